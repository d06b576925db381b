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
/// all the time.
pub struct IrqsOff {
    cpu: PinnedCpu,
    flags: c_ulong,
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
    /// If interrupts were off already when this section began, they stay off.
    #[inline]
    pub fn window(&mut self) {
        // SAFETY: Interrupts are off and `flags` is what they were before, in the same task.
        // Nothing borrows from `self`, so nobody relies on them being off.
        unsafe { bindings::kvm_vhe_irq_window(self.flags) };
    }
}

/// Runs `f` with interrupts and preemption off. `f` must not sleep.
///
/// May be used wherever the kernel runs, also where interrupts are off already. What takes an outer
/// proof exclusively is not for code inside of an inner section, which the compiler does not see.
#[inline]
pub fn with_irqs_off<R>(f: impl FnOnce(&mut IrqsOff) -> R) -> R {
    // SAFETY: Both may be switched off anywhere; they are as before after the below, since `f`
    // cannot unwind, the kernel being built to abort on panics.
    let flags = unsafe { bindings::kvm_vhe_irqs_off() };
    // INVARIANT: Interrupts and preemption are off until the value is gone.
    let result = f(&mut IrqsOff {
        // SAFETY: Preemption is off until the value is gone.
        cpu: unsafe { PinnedCpu::current() },
        flags,
    });
    // SAFETY: This is the counterpart of the above.
    unsafe { bindings::kvm_vhe_irqs_restore(flags) };

    result
}
