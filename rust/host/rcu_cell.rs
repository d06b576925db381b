// SPDX-License-Identifier: GPL-2.0

//! A value that is read without a lock, and replaced as a whole.
//!
//! The `kernel` crate has RCU's read side and nothing that it protects.
//!
//! C header: `include/linux/rcupdate.h`

use crate::{
    irqs::IrqsOff,
    relaxed, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    bindings as linux,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed,
            Release, //
        },
        lock::mutex::MutexGuard,
        rcu,
        Arc,
        Mutex, //
    },
    types::Opaque, //
};

/// So many values wait for the end of a grace period at most, of the cells that share a [`Deferred`]:
/// who replaces one more waits, so that nobody fills the memory faster than RCU frees it.
const MOST_DEFERRED: u32 = 1024;

/// What is RCU's to call: functions of the module, which has to stay as long.
struct Calls;

impl Drop for Calls {
    /// Waits until RCU has called all that it was given.
    fn drop(&mut self) {
        // SAFETY: Process context: whatever has one of these goes where sleeping is allowed.
        unsafe { linux::rcu_barrier() };
    }
}

/// What cells, and others that leave something to RCU, have as long as they may do so. Dropping the
/// last one waits until RCU has called all of it; so may dropping any, which may sleep therefore.
#[derive(Clone)]
pub struct Deferred {
    /// How many values wait.
    waiting: Arc<Atomic<u32>>,
    calls: Arc<Calls>,
}

impl Deferred {
    /// The first, for the module, which goes by its end.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        Ok(Self {
            waiting: Arc::new(Atomic::new(0), GFP_KERNEL_ACCOUNT)?,
            calls: Arc::new(Calls, GFP_KERNEL_ACCOUNT)?,
        })
    }

    /// One whose values are counted apart: who has too many of these waits alone.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn apart(&self) -> Result<Self> {
        Ok(Self {
            waiting: Arc::new(Atomic::new(0), GFP_KERNEL_ACCOUNT)?,
            calls: self.calls.clone(),
        })
    }
}

/// A value in its box.
#[repr(C)]
struct Node<T> {
    /// RCU's, once the value is replaced.
    head: Opaque<linux::callback_head>,
    /// Where it is counted, once it waits. Who replaces it writes this, and who drops it reads it.
    waiting: UnsafeCell<Option<Arc<Atomic<u32>>>>,
    value: T,
}

/// A value that no reader has seen.
pub struct Fresh<T>(KBox<Node<T>>);

impl<T> Fresh<T> {
    /// A value to come.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(value: T) -> Result<Self> {
        let node = Node {
            head: Opaque::uninit(),
            waiting: UnsafeCell::new(None),
            value,
        };

        Ok(Self(KBox::new(node, GFP_KERNEL_ACCOUNT)?))
    }
}

/// A boxed value that readers look at under RCU.
///
/// # Invariants
///
/// `value` is what [`KBox::into_raw`] returned for a box that nobody else has. It is changed with
/// `update` held only, and what was in it is made a box again only after a grace period, or if there
/// are no readers.
#[pin_data(PinnedDrop)]
pub struct RcuCell<T> {
    value: Atomic<*mut Node<T>>,
    #[pin]
    update: Mutex<()>,
    deferred: Deferred,
    _owns: PhantomData<KBox<T>>,
}

// SAFETY: The value is owned as by a `KBox`, and others see it by shared references.
unsafe impl<T: Send + Sync> Send for RcuCell<T> {}
// SAFETY: As above: what is shared are references, and the boxes that an [`Update`] moves.
unsafe impl<T: Send + Sync> Sync for RcuCell<T> {}

impl<T> RcuCell<T> {
    /// Returns an initialiser of a cell with this value.
    pub fn new(value: Fresh<T>, deferred: Deferred) -> impl PinInit<Self> {
        // INVARIANT: It comes from a box.
        pin_init!(Self {
            value: Atomic::new(KBox::into_raw(value.0)),
            update <- new_mutex!((), "kvm_host::RcuCell::update"),
            deferred,
            _owns: PhantomData,
        })
    }

    /// The value, for who has interrupts off.
    #[inline(always)]
    pub fn read<'a>(&'a self, _irqs: &'a IrqsOff) -> &'a T {
        // SAFETY: Interrupts are off as long as `_irqs` is borrowed, in code that RCU watches: it does
        // not while a guest runs, for which `run_guest()` borrows the proof exclusively. So this is a
        // read-side critical section (`Documentation/RCU/whatisRCU.rst`, section 7).
        unsafe { self.get() }
    }

    /// The value, for who is in a read-side critical section.
    #[inline]
    pub fn read_rcu<'a>(&'a self, _guard: &'a rcu::Guard) -> &'a T {
        // SAFETY: The guard stands for one.
        unsafe { self.get() }
    }

    /// # Safety
    ///
    /// All uses of the result are in the RCU read-side critical section that this is called in, or
    /// with `update` held since before the call.
    #[inline(always)]
    unsafe fn get<'a>(&'a self) -> &'a T {
        // What is read through the pointer depends on it, so it is not older.
        let node = relaxed::load(&self.value);

        // SAFETY: By the type invariant it is a box's, which is kept until a grace period has passed
        // since it was last in `value`, and stays in `value` while `update` is held.
        unsafe { &(*node).value }
    }

    /// The value, for who replaces it. Others who would wait. Sleeps.
    pub fn update(&self) -> Update<'_, T> {
        Update {
            cell: self,
            _guard: self.update.lock(),
        }
    }
}

/// The right to replace the value of a cell, which stays what it is until then.
pub struct Update<'a, T> {
    cell: &'a RcuCell<T>,
    _guard: MutexGuard<'a, ()>,
}

impl<T> Deref for Update<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `update` is held as long as there is `self`, which is borrowed.
        unsafe { self.cell.get() }
    }
}

impl<T> Update<'_, T> {
    /// Publishes a value. Returns the old one, which readers may still see.
    fn publish(&mut self, fresh: Fresh<T>) -> *mut Node<T> {
        let old = relaxed::load(&self.cell.value);

        // INVARIANT: It comes from a box, `update` is held, and the old one is left to the caller.
        self.cell.value.store(KBox::into_raw(fresh.0), Release);
        old
    }

    /// Replaces the value. When this returns nobody sees the old one any more. Sleeps.
    ///
    /// The grace period is an expedited one: somebody's ioctl waits for it, and a VMM makes many of
    /// these when its guest sets up its devices. Guests do not feel it, as RCU does not wait for a CPU
    /// that is in a guest.
    pub fn replace_and_wait(mut self, fresh: Fresh<T>) {
        let old = self.publish(fresh);

        drop(self);
        // SAFETY: `publish()` has taken it out of a cell.
        unsafe { free_after_readers(old) };
    }
}

impl<T: Send + Sync + 'static> Update<'_, T> {
    /// Replaces the value. Some may go on to see the old one for a while, which is dropped, in a
    /// context that must not sleep, when nobody does. There may be so many old ones of the cell's
    /// [`Deferred`] that this waits for that. May sleep.
    pub fn replace(&mut self, fresh: Fresh<T>) {
        let old = self.publish(fresh);
        let waiting = &self.cell.deferred.waiting;

        if waiting.fetch_add(1, Relaxed) < MOST_DEFERRED {
            // SAFETY: It was a box's by the cell's type invariant. Readers have references to its value
            // alone, and it was replaced here, once.
            unsafe { *(*old).waiting.get() = Some(waiting.clone()) };
            // SAFETY: As above, and `head` is the field's that is there for this. As the first field
            // of the `repr(C)` node, it is where the node is. The function is there when it is
            // called: the module does not go before all `Calls` have, of which the cell has one.
            unsafe { linux::call_rcu((*old).head.get(), Some(free::<T>)) };
        } else {
            waiting.fetch_sub(1, Relaxed);
            // SAFETY: `publish()` has taken it out of a cell.
            unsafe { free_after_readers(old) };
        }
    }
}

/// # Safety
///
/// `old` was the value of a cell, and is the caller's.
unsafe fn free_after_readers<T>(old: *mut Node<T>) {
    // SAFETY: Process context, where sleeping is allowed: a mutex was taken.
    unsafe { linux::synchronize_rcu_expedited() };
    // SAFETY: By the type invariant of `RcuCell` it was a box's. It is in the cell no more, and all who
    // have read it there under RCU have ended their sections; who reads it with `update` held has not
    // replaced it.
    drop(unsafe { KBox::from_raw(old) });
}

/// # Safety
///
/// To be called by RCU only, for a `Node<T>` that was the value of a cell.
unsafe extern "C" fn free<T>(head: *mut linux::callback_head) {
    // SAFETY: As in `free_after_readers()`: RCU calls this after a grace period. `head` is the first
    // field.
    let mut node = unsafe { KBox::from_raw(head.cast::<Node<T>>()) };
    let waiting = node.waiting.get_mut().take();

    drop(node);
    if let Some(waiting) = waiting {
        waiting.fetch_sub(1, Relaxed);
    }
}

#[pinned_drop]
impl<T> PinnedDrop for RcuCell<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is a box's. Who reads the cell borrows it, so nobody does.
        drop(unsafe { KBox::from_raw(relaxed::load(&self.value)) });
    }
}
