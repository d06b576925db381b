// SPDX-License-Identifier: GPL-2.0

//! Being told when an eventfd is signalled, at once.
//!
//! [`Irqfd`] is an entry in the wait queue of an eventfd, whose callback runs in whoever signals it: a
//! thread that writes, or the kernel (vhost, VFIO) in any context, with the eventfd's lock held and
//! interrupts off. How long things live:
//!
//! - The `Irqfd` owns a reference to the eventfd, so the queue and its lock are there as long as the
//!   entry is in it, whatever becomes of the eventfd's descriptors.
//! - What the callback looks at is in the `Irqfd`, which is pinned. It goes in two steps
//!   ([`PinnedDrop`]): first the entry is taken out of the queue, under the lock that callbacks run
//!   under, so that none runs afterwards, and the work is not queued any more; then the work is waited
//!   for. Nothing of this module's runs for it after that.
//! - When the last descriptor goes (`EPOLLHUP`), the callback only makes a note of it, since
//!   the `Irqfd` cannot be dropped under that lock. Its owner does, when it next looks.
//!
//! C headers: `include/linux/eventfd.h`, `include/linux/wait.h`, `include/linux/poll.h`

use crate::{
    eventfd::EventFd,
    irqs::{
        with_irqs_off,
        IrqsOff, //
    },
};
use core::ptr::NonNull;
use kernel::{
    bindings as linux,
    container_of,
    error::to_result,
    ffi::{
        c_int,
        c_uint, //
    },
    fs::LocalFile,
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc, //
    },
    types::Opaque, //
};

/// EPOLLIN: the eventfd's counter is not zero.
const EPOLLIN: linux::__poll_t = 1 << 0;
/// EPOLLHUP: it has no descriptor any more.
const EPOLLHUP: linux::__poll_t = 1 << 4;

/// Where [`Signalled::later`] is called.
///
/// What it waits for may be held by a VMM for as long as that likes, by memory of its guest that is not
/// there. So each VM has a queue of its own, one thread at most: the system's has to have threads for
/// others.
///
/// # Invariants
///
/// It is a live work queue, which is owned.
pub struct LaterQueue(NonNull<linux::workqueue_struct>);

// SAFETY: A work queue may be used and destroyed by any thread.
unsafe impl Send for LaterQueue {}
// SAFETY: As above.
unsafe impl Sync for LaterQueue {}

impl LaterQueue {
    /// Makes one. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        // SAFETY: The name is a format without arguments, and is copied.
        let queue = unsafe {
            linux::alloc_workqueue_noprof(
                c"kvm_vhe_irqfd".as_char_ptr(),
                linux::wq_flags_WQ_UNBOUND,
                1,
            )
        };

        // INVARIANT: It is new.
        NonNull::new(queue).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for LaterQueue {
    /// Sleeps.
    fn drop(&mut self) {
        // SAFETY: By the type invariant it lives, and is not used any more.
        unsafe { linux::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// Who is told.
pub trait Signalled: Send + Sync + 'static {
    /// The eventfd was signalled, once or more often. Returns whether all is done; if not,
    /// [`later`](Self::later) is called.
    ///
    /// It must neither sleep, nor signal an eventfd, nor drop an [`Irqfd`], and runs under the
    /// eventfd's lock: what it locks must not be held by who signals an eventfd.
    fn at_once(&self, irqs: &IrqsOff) -> bool;

    /// As [`at_once`](Self::at_once), where sleeping is allowed, in a thread of the kernel. It may be
    /// called once for several signals.
    fn later(&self);
}

/// A registration with an eventfd. When it has been dropped nobody is told any more, and all that
/// was signalled before has been told.
///
/// # Invariants
///
/// `wait` is in the wait queue of `eventfd`, with [`Self::woken`], and was put there after the other
/// fields were initialised. `work` is initialised, with [`Self::work`].
#[pin_data(PinnedDrop)]
pub struct Irqfd<T: Signalled> {
    eventfd: EventFd,
    closed: AtomicFlag,
    target: T,
    later: Arc<LaterQueue>,
    #[pin]
    work: Opaque<linux::work_struct>,
    #[pin]
    wait: Opaque<linux::wait_queue_entry>,
}

// SAFETY: It may be dropped by another thread than registered it; what is shared is `Send + Sync`.
unsafe impl<T: Signalled> Send for Irqfd<T> {}
// SAFETY: The fields are atomic, `Sync`, or behind the C side's locks.
unsafe impl<T: Signalled> Sync for Irqfd<T> {}

/// What `poll()` of an eventfd hands to [`enqueue`]: the table is its first field.
#[repr(C)]
struct Enqueue {
    table: linux::poll_table_struct,
    wait: *mut linux::wait_queue_entry,
    result: c_int,
}

/// Puts an entry into a wait queue, as the one that is woken first, and alone.
///
/// # Safety
///
/// `table` is the field of an [`Enqueue`] whose entry is initialised and in no queue.
unsafe extern "C" fn enqueue(
    _file: *mut linux::file,
    queue: *mut linux::wait_queue_head,
    table: *mut linux::poll_table_struct,
) {
    // SAFETY: By this function's contract; it is the first field, and nobody else has it.
    let this = unsafe { &mut *table.cast::<Enqueue>() };

    // SAFETY: The queue is the eventfd's, which its file keeps, and the entry is as it should be.
    this.result = unsafe { linux::add_wait_queue_priority_exclusive(queue, this.wait) };
}

impl<T: Signalled> Irqfd<T> {
    /// Has `target` told when the eventfd with this descriptor of the current process's is signalled,
    /// also if it was already. What is to be done later is, in `later`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBADF` if there is no such descriptor, `EINVAL` if it is not an eventfd's, `EBUSY` if somebody
    /// else is told first when it is signalled.
    pub fn register(fd: i32, target: T, later: Arc<LaterQueue>) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let file = LocalFile::fget(fd as u32)?;
            let eventfd = EventFd::from_file(&file)?;

            Ok(try_pin_init!(Self {
                eventfd,
                closed: AtomicFlag::new(false),
                target,
                later,
                work <- Opaque::ffi_init(|work: *mut linux::work_struct| {
                    // SAFETY: `work` is memory for a work item; it is pinned, and name and key are
                    // static.
                    unsafe {
                        linux::init_work_with_key(
                            work,
                            Some(Self::work),
                            false,
                            c"kvm_host::Irqfd::work".as_char_ptr(),
                            static_lock_class!().as_ptr(),
                        )
                    }
                }),
                // The last one: the callback may come at once.
                wait <- Opaque::try_ffi_init(move |wait: *mut linux::wait_queue_entry| {
                    let mut entry: linux::wait_queue_entry = pin_init::zeroed();
                    entry.func = Some(Self::woken);
                    // SAFETY: `wait` is memory for an entry.
                    unsafe { wait.write(entry) };
                    // SAFETY: It is pinned until `PinnedDrop` takes it out, and the other fields,
                    // which the callback reaches through it, are initialised by now.
                    unsafe { Self::enqueue(&file, wait) }
                }),
            }? Error))
        })
    }

    /// # Safety
    ///
    /// `wait` is the field of a pinned `Self` of which all other fields are initialised, `eventfd` as
    /// that of `file`. If this succeeds it is in that one's queue.
    unsafe fn enqueue(file: &LocalFile, wait: *mut linux::wait_queue_entry) -> Result {
        let file = file.as_ptr();
        let mut enqueue = Enqueue {
            table: linux::poll_table_struct {
                _qproc: Some(enqueue),
                _key: !0,
            },
            wait,
            result: EINVAL.to_errno(),
        };
        // SAFETY: The file is an eventfd's, so it has this operation, which calls `enqueue()` with the
        // table, once, before it looks at the counter.
        let events = unsafe {
            let poll = (*(*file).f_op).poll.ok_or(EINVAL)?;
            poll(file, (&raw mut enqueue).cast())
        };

        to_result(enqueue.result)?;
        if events & EPOLLIN != 0 {
            // SAFETY: By this function's contract `wait` is in a `Self`; all of it is initialised now.
            unsafe { Self::signalled(Self::of_wait(wait)) };
        }
        Ok(())
    }

    /// # Safety
    ///
    /// `wait` is the field of a `Self`.
    unsafe fn of_wait(wait: *mut linux::wait_queue_entry) -> *const Self {
        // SAFETY: By this function's contract.
        unsafe { container_of!(wait.cast::<Opaque<linux::wait_queue_entry>>(), Self, wait) }
    }

    /// Tells the target.
    ///
    /// # Safety
    ///
    /// `this` is initialised, and not past the first step of being dropped.
    unsafe fn signalled(this: *const Self) {
        // SAFETY: By this function's contract; `Sync`.
        let target = unsafe { &(*this).target };

        if !with_irqs_off(|irqs| target.at_once(irqs)) {
            // SAFETY: The work is initialised, by the type invariant, and flushed before `this` goes,
            // and the queue with it.
            unsafe {
                linux::queue_work_on(
                    linux::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                    (*this).later.0.as_ptr(),
                    (*this).work.get(),
                )
            };
        }
    }

    /// # Safety
    ///
    /// To be called by a wake-up only: under the lock of the queue that the entry, that of a `Self`, is
    /// in.
    unsafe extern "C" fn woken(
        wait: *mut linux::wait_queue_entry,
        _mode: c_uint,
        _flags: c_int,
        key: *mut c_void,
    ) -> c_int {
        // SAFETY: By this function's contract. An entry that is in the queue has not been taken out,
        // which is the first step of dropping it, and is not while its lock is held.
        let this = unsafe { Self::of_wait(wait) };
        // SAFETY: As above: the field is initialised, and `Sync`.
        let closed = unsafe { &(*this).closed };
        let events = key as usize as linux::__poll_t;
        let mut taken = 0;

        if events & EPOLLIN != 0 && !closed.load(Relaxed) {
            let mut count = 0;
            // SAFETY: The eventfd lives, and its lock is the one that is held.
            unsafe { linux::eventfd_ctx_do_read((*this).eventfd.as_ptr(), &mut count) };
            // SAFETY: As above.
            unsafe { Self::signalled(this) };
            taken = 1;
        }
        if events & EPOLLHUP != 0 {
            closed.store(true, Relaxed);
        }
        taken
    }

    /// # Safety
    ///
    /// To be called by the work queue only, for the work of a `Self`.
    unsafe extern "C" fn work(work: *mut linux::work_struct) {
        // SAFETY: By this function's contract; `PinnedDrop` waits for it.
        let this = unsafe { container_of!(work.cast::<Opaque<linux::work_struct>>(), Self, work) };
        // SAFETY: As above; `Sync`.
        let target = unsafe { &(*this).target };

        target.later();
    }

    /// The eventfd.
    pub fn eventfd(&self) -> &EventFd {
        &self.eventfd
    }

    /// Who is told.
    pub fn target(&self) -> &T {
        &self.target
    }

    /// Whether the eventfd has no descriptor any more. Nobody is told then, and it may be dropped.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}

#[pinned_drop]
impl<T: Signalled> PinnedDrop for Irqfd<T> {
    /// Sleeps.
    fn drop(self: Pin<&mut Self>) {
        let mut count = 0;

        // SAFETY: By the type invariant the entry is in that queue. This takes the queue's lock, under
        // which the callback runs: none does from here on.
        unsafe {
            linux::eventfd_ctx_remove_wait_queue(self.eventfd.as_ptr(), self.wait.get(), &mut count)
        };
        // SAFETY: By the type invariant the work is initialised. It is queued by the callback only, and
        // when this returns it has run.
        unsafe { linux::flush_work(self.work.get()) };
    }
}
