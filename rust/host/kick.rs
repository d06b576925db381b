// SPDX-License-Identifier: GPL-2.0

//! Making a vCPU's thread look: out of the guest, or out of its sleep.
//!
//! Somebody has something for a vCPU (an interrupt, a request). They put it where the vCPU looks
//! before it enters the guest, and then [`Kick::kick`] it. One word says where its thread is:
//!
//! - `OUTSIDE`: in the kernel or in user space. It will look by itself, nothing to do.
//! - `IN_GUEST`: in the guest, or about to enter it without another look. An IPI makes it exit.
//! - `EXITING`: the same, and an IPI is on its way. Nothing more to do.
//! - `BLOCKED`: asleep, or about to be without another look. Wake it.
//!
//! Each side writes, has a full barrier, and then reads what the other wrote:
//!
//! ```text
//! the vCPU's thread                           who kicks it
//!   [S] where = IN_GUEST (or BLOCKED)           [S] the request
//!       full barrier                                full barrier
//!   [L] the request                             [L] where
//! ```
//!
//! so at least one of them sees the other's store: the thread sees the request and stays out, or it
//! is seen in the guest (or asleep) and is interrupted (or woken). The thread has interrupts off from
//! before its store until it is in the guest, so the IPI waits for that, and then makes it exit.
//!
//! C headers: `include/linux/sched.h`, `include/linux/rcuwait.h` (whose use of RCU this has)

use crate::{
    bindings,
    irqs::IrqsOff,
    relaxed, //
};
use kernel::{
    bindings as linux,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        barrier::{
            smp_mb,
            Full as FullBarrier, //
        },
        rcu, //
    },
    task::Task,
    types::NotThreadSafe, //
};

const OUTSIDE: u32 = 0;
const IN_GUEST: u32 = 1;
const EXITING: u32 = 2;
const BLOCKED: u32 = 3;

/// How to reach the thread that runs a vCPU.
///
/// # Invariants
///
/// `task` is null or a task that is in [`Kick::run`]; it is written by that task only.
pub struct Kick {
    place: Atomic<u32>,
    task: Atomic<*mut linux::task_struct>,
}

// SAFETY: The pointer to a task may be used by any thread under RCU, see `kick()`.
unsafe impl Send for Kick {}
// SAFETY: As above; all is atomic.
unsafe impl Sync for Kick {}

impl Kick {
    /// Of a vCPU that nobody runs.
    pub const fn new() -> Self {
        Self {
            place: Atomic::new(OUTSIDE),
            task: Atomic::new(core::ptr::null_mut()),
        }
    }

    /// Runs `f` as the one thread that runs the vCPU, the current one.
    ///
    /// # Errors
    ///
    /// `EBUSY` if some thread does already; `f` is not run then.
    pub fn run<R>(&self, f: impl FnOnce(&Running<'_>) -> R) -> Result<R> {
        // INVARIANT: The current task is in `run()`; it takes the place of nobody.
        self.task
            .cmpxchg(core::ptr::null_mut(), Task::current_raw(), Full)
            .map_err(|_| EBUSY)?;

        let result = f(&Running {
            kick: self,
            _not_send: NotThreadSafe,
        });

        relaxed::store(&self.place, OUTSIDE);
        // INVARIANT: The task goes out of `run()`.
        self.task.store(core::ptr::null_mut(), Release);
        Ok(result)
    }

    /// Makes the vCPU's thread look again. What it is to see must have been stored before. The thread
    /// itself may do this, too, also between [`Running::entering_guest`] and the guest, if it looks
    /// again before it enters.
    ///
    /// May be called anywhere, also with interrupts off and in an interrupt handler, but not under a
    /// runqueue's lock, as it may wake a task. Where the thread looks by itself, it is no more than
    /// a barrier and a load.
    pub fn kick(&self) {
        // A cmpxchg() that fails orders nothing.
        smp_mb(FullBarrier);

        match relaxed::load(&self.place) {
            // It is about to enter the guest, and looks again before it does. Nobody sends an IPI, so
            // nobody is to rely on one being on its way.
            IN_GUEST if self.task.load(Relaxed) == Task::current_raw() => {}
            IN_GUEST if self.place.cmpxchg(IN_GUEST, EXITING, Full).is_ok() => self.reach(|task| {
                // SAFETY: The task exists, see `reach()`. An IPI is sent only if it runs on another
                // CPU. If it is to run on this one, it is not in the guest: this code is here.
                unsafe { linux::kick_process(task) }
            }),
            BLOCKED => self.reach(|task| {
                // SAFETY: The task exists, see `reach()`. It may have woken up by itself and sleep
                // for another reason by now: all sleeps in the kernel cope with such a wake-up.
                unsafe { linux::wake_up_process(task) };
            }),
            _ => {}
        }
    }

    /// Calls `f` with the thread that runs the vCPU, if there is one.
    fn reach(&self, f: impl FnOnce(*mut linux::task_struct)) {
        let guard = rcu::read_lock();
        // The dependency orders this before what `f` does with it.
        let task = self.task.load(Relaxed);

        // By the type invariant the task was in `run()` when the pointer was read, hence alive. A
        // `struct task_struct` outlives its task's exit by an RCU grace period at least
        // (`put_task_struct_rcu_user()`), so it is there until the guard is gone.
        if !task.is_null() {
            f(task);
        }
        drop(guard);
    }
}

impl Default for Kick {
    fn default() -> Self {
        Self::new()
    }
}

/// What [`Running::block`] has come to.
pub struct Blocked {
    /// Whether the thread gave up its CPU.
    pub slept: bool,
    /// `EINTR` if a signal is pending and the condition does not hold.
    pub result: Result,
}

/// The current thread as the one that runs a vCPU.
pub struct Running<'a> {
    kick: &'a Kick,
    _not_send: NotThreadSafe,
}

impl Running<'_> {
    /// The thread is about to enter the guest: from now on it is interrupted by a kick. What it looks
    /// at before it enters, it must look at **after** this.
    ///
    /// It may leave and enter the guest as often as it likes while interrupts are off: an IPI that
    /// has been sent stays pending and lets it out of the guest at once. After it had interrupts on
    /// ([`IrqsOff::window`]) this is to be called anew, and followed by another look.
    #[inline]
    pub fn entering_guest(&self, _irqs: &IrqsOff) {
        relaxed::store(&self.kick.place, IN_GUEST);
        smp_mb(FullBarrier);
    }

    /// Whether there was a kick since [`entering_guest`](Self::entering_guest).
    #[inline]
    pub fn is_kicked(&self) -> bool {
        relaxed::load(&self.kick.place) == EXITING
    }

    /// The thread will not enter the guest again without [`entering_guest`](Self::entering_guest).
    #[inline]
    pub fn left_guest(&self) {
        relaxed::store(&self.kick.place, OUTSIDE);
    }

    /// Sleeps until `condition` holds; a [`Kick::kick`] makes it look again, and it may look for no
    /// reason. `condition` must not sleep, nor take a lock that does. For PSCI's CPU_OFF and for WFI.
    ///
    /// To be called where sleeping is allowed.
    pub fn block(&self, mut condition: impl FnMut() -> bool) -> Blocked {
        let mut slept = false;
        let result = loop {
            relaxed::store(&self.kick.place, BLOCKED);
            // The task's state goes behind `place` and before `condition`, with a full barrier. Who
            // sees BLOCKED but a state that is not yet "asleep" wakes nobody: then its store of what
            // `condition` looks at came before the load here.
            // SAFETY: Changes the current task's state, back below.
            unsafe { bindings::kvm_vhe_prepare_to_block() };

            if condition() {
                break Ok(());
            }
            if kernel::current!().signal_pending() {
                break Err(EINTR);
            }
            slept = true;
            // SAFETY: Process context, without locks.
            unsafe { linux::schedule() };
        };

        // SAFETY: As above.
        unsafe { bindings::kvm_vhe_finish_block() };
        self.left_guest();
        Blocked { slept, result }
    }
}
