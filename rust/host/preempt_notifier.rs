// SPDX-License-Identifier: GPL-2.0

//! The scheduler tells when it takes the CPU from the current task and gives it back.
//!
//! C header: `include/linux/preempt.h`

use crate::{
    irqs::with_irqs_off,
    pinned::{
        with_preemption_off,
        PinnedCpu, //
    },
};
use kernel::{
    bindings as linux, container_of,
    ffi::c_int,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// What is done when the current task gets the CPU and when it loses it.
///
/// The two alternate, beginning with [`sched_in`](Self::sched_in) and ending with
/// [`sched_out`](Self::sched_out), and each pair runs on one CPU.
pub trait SchedCallbacks {
    /// The task has the CPU `cpu` from now on.
    ///
    /// Runs in the task, with preemption off and interrupts on. The scheduler calls it at the end of
    /// the context switch (`finish_task_switch()`), after it has released the runqueue. It must not
    /// sleep; locks, wake-ups and RCU are allowed.
    fn sched_in(&self, cpu: &PinnedCpu);

    /// The task is about to lose the CPU `cpu`.
    ///
    /// Runs in the task, with interrupts off. The scheduler calls it at the start of the context
    /// switch (`prepare_task_switch()`), **with the lock of the runqueue held**. So it must not wake
    /// a task, arm a timer that may wake one at once, print (`pr_*!`, save for the deferred kind) or
    /// take a lock under which others do such; saving registers, per-CPU data and a raw spinlock
    /// that is a leaf are what it is for.
    fn sched_out(&self, cpu: &PinnedCpu);
}

/// A user of preemption notifiers: while there is none in the system, the scheduler's code for them
/// is patched out.
pub struct NotifierUser(());

impl NotifierUser {
    /// Becomes a user. May sleep: the first one patches the kernel's code.
    pub fn register() -> Self {
        // SAFETY: Process context; the counterpart is in `Drop`.
        unsafe { linux::preempt_notifier_inc() };
        Self(())
    }
}

impl Drop for NotifierUser {
    /// May sleep.
    fn drop(&mut self) {
        // SAFETY: `register()` has counted this user.
        unsafe { linux::preempt_notifier_dec() };
    }
}

/// A registration; lives on the stack of the task that it is for.
#[repr(C)]
struct Notifier<'a, T> {
    raw: Opaque<linux::preempt_notifier>,
    callbacks: &'a T,
    _not_send: NotThreadSafe,
}

impl<T: SchedCallbacks> Notifier<'_, T> {
    const OPS: &'static linux::preempt_ops = &linux::preempt_ops {
        sched_in: Some(Self::sched_in),
        sched_out: Some(Self::sched_out),
    };

    /// # Safety
    ///
    /// To be called by the scheduler only, for the notifier of a `Self` that is registered.
    unsafe extern "C" fn sched_in(raw: *mut linux::preempt_notifier, _cpu: c_int) {
        // SAFETY: By this function's contract it is the field of a `Self`, which `with_notifier()`
        // keeps in place and only ever shares while it is registered.
        let this = unsafe { &*container_of!(raw.cast::<Opaque<_>>(), Self, raw) };
        // SAFETY: The scheduler runs this with preemption off.
        let cpu = unsafe { PinnedCpu::current() };

        this.callbacks.sched_in(&cpu);
    }

    /// # Safety
    ///
    /// As `sched_in()`.
    unsafe extern "C" fn sched_out(
        raw: *mut linux::preempt_notifier,
        _next: *mut linux::task_struct,
    ) {
        // SAFETY: As in `sched_in()`.
        let this = unsafe { &*container_of!(raw.cast::<Opaque<_>>(), Self, raw) };
        // SAFETY: The scheduler runs this with interrupts off.
        let cpu = unsafe { PinnedCpu::current() };

        this.callbacks.sched_out(&cpu);
    }
}

/// Runs `f` between `callbacks`: [`SchedCallbacks::sched_in`] before it, `sched_out()` after it, and
/// the two in turn whenever the task loses the CPU and gets it back in between.
///
/// For the current task only: what `f` does in it. To be called where sleeping is allowed. Calls may
/// be nested: then the inner callbacks run first, in both directions.
pub fn with_notifier<T: SchedCallbacks, R>(
    _user: &NotifierUser,
    callbacks: &T,
    f: impl FnOnce() -> R,
) -> R {
    let notifier = Notifier {
        raw: Opaque::new(linux::preempt_notifier {
            link: pin_init::zeroed(),
            ops: core::ptr::from_ref(Notifier::<'_, T>::OPS).cast_mut(),
        }),
        callbacks,
        _not_send: NotThreadSafe,
    };

    // Preemption between the registration and the call would be an unpaired one.
    with_preemption_off(|cpu| {
        callbacks.sched_in(cpu);
        // SAFETY: There is a user (`_user`), so the notifiers are on. `notifier` is filled in and
        // not moved until it is unregistered below: `f` cannot unwind and knows nothing of it. The
        // scheduler looks at it in this task only.
        unsafe { linux::preempt_notifier_register(notifier.raw.get()) };
    });

    let result = f();

    with_irqs_off(|irqs| {
        // SAFETY: It was registered above, in this task.
        unsafe { linux::preempt_notifier_unregister(notifier.raw.get()) };
        callbacks.sched_out(irqs.cpu());
    });

    result
}
