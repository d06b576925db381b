// SPDX-License-Identifier: GPL-2.0

//! Code that runs with interrupts off.
//!
//! The `kernel` crate's `interrupt.rs` counts how often interrupts were switched off and has no way
//! to let a pending one in between, which a vCPU's loop needs: it leaves the guest because of a
//! host interrupt that has yet to be taken. So the switching is done here, and what the `kernel`
//! crate wants as proof that it is done is lent out.
//!
//! C header: `include/linux/irqflags.h`

use crate::{
    bindings,
    pinned::PinnedCpu, //
};
use kernel::{
    ffi::c_ulong,
    interrupt::LocalInterruptDisabled, //
};

/// Proof that interrupts are off on the current CPU, and that the task stays on that CPU.
///
/// # Invariants
///
/// While a value exists and [`IrqsOff::window`] does not run, interrupts are off; preemption is off
/// all the time. `section` is what names the section that it is made for.
pub struct IrqsOff {
    cpu: PinnedCpu,
    section: c_ulong,
}

impl IrqsOff {
    /// The CPU.
    #[inline]
    pub fn cpu(&self) -> &PinnedCpu {
        &self.cpu
    }

    /// The same proof for the `kernel` crate, as `SpinLock::lock_with` takes it.
    #[inline]
    pub fn local(&self) -> &LocalInterruptDisabled {
        // SAFETY: By the type invariant interrupts are off until `window()` borrows `self`
        // exclusively, or it goes away: not while it lends the result.
        unsafe { LocalInterruptDisabled::assume_disabled() }
    }

    /// Lets the CPU take the interrupts that are pending. The task stays on its CPU: an interrupt
    /// that wants another task to run leaves that to whoever looks at
    /// [`work_pending`](crate::task_work::work_pending), which is to be done after this.
    ///
    /// If interrupts were off already when this section began, they stay off. So they do, with a
    /// warning, inside of another section that has begun in this one, and while a spinlock is held.
    #[inline]
    pub fn window(&mut self) {
        // SAFETY: Interrupts are off and `section` says what they were before, in the same task.
        // Nothing borrows from `self`, so nobody relies on them being off by this proof; that there
        // is no other is looked at.
        unsafe { bindings::kvm_vhe_irq_window(self.section) };
    }

    /// What names the section.
    #[inline]
    pub(crate) fn section(&self) -> c_ulong {
        self.section
    }
}

/// Runs `f` with interrupts and preemption off. `f` must not sleep.
///
/// May be used wherever the kernel runs, also where interrupts are off already. An outer proof can be
/// used in `f` as well. What takes it exclusively has no effect then, as the inner proof is to hold:
/// the compiler cannot tell, but the count of preemption does.
#[inline]
pub fn with_irqs_off<R>(f: impl FnOnce(&mut IrqsOff) -> R) -> R {
    // SAFETY: Both may be switched off anywhere; they are as before after the below, since `f`
    // cannot unwind, the kernel being built to abort on panics.
    let section = unsafe { bindings::kvm_vhe_irqs_off() };
    // INVARIANT: Interrupts and preemption are off until the value is gone.
    let result = f(&mut IrqsOff {
        // SAFETY: Preemption is off until the value is gone.
        cpu: unsafe { PinnedCpu::current() },
        section,
    });
    // SAFETY: This is the counterpart of the above.
    unsafe { bindings::kvm_vhe_irqs_restore(section) };

    result
}
