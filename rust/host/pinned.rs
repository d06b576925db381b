// SPDX-License-Identifier: GPL-2.0

//! Code that is bound to one CPU.

use crate::bindings;
use core::marker::PhantomData;
use kernel::cpu::CpuId;

/// Proof that the code that holds it stays on one CPU.
///
/// Whoever calls code that must not migrate (a CPU hotplug callback, an IPI, a syscore callback)
/// lends it one of these; what needs the guarantee, such as access to the system registers of
/// "this" CPU, takes it by reference.
///
/// # Invariants
///
/// While a value exists, the current task or interrupt runs on `cpu` and cannot leave it. The value
/// can neither be sent to another thread nor shared with one.
pub struct PinnedCpu {
    cpu: CpuId,
    _not_send: PhantomData<*mut ()>,
}

impl PinnedCpu {
    /// Takes the word of the caller for it.
    ///
    /// # Safety
    ///
    /// For as long as the value lives, the caller cannot migrate away from the current CPU: it is
    /// bound to it, or preemption or interrupts are off.
    pub(crate) unsafe fn current() -> Self {
        // INVARIANT: The caller cannot migrate, so the current CPU stays the current one.
        Self {
            cpu: CpuId::current(),
            _not_send: PhantomData,
        }
    }

    /// The CPU.
    pub fn id(&self) -> CpuId {
        self.cpu
    }
}

/// Runs `f` with preemption off. `f` must not sleep.
pub fn with_preemption_off<R>(f: impl FnOnce(&PinnedCpu) -> R) -> R {
    // SAFETY: Preemption may be switched off anywhere, and is switched on again below: `f` cannot
    // unwind, the kernel being built to abort on panics.
    unsafe { bindings::kvm_vhe_preempt_disable() };
    // SAFETY: Preemption is off until the value is gone.
    let result = f(&unsafe { PinnedCpu::current() });
    // SAFETY: This is the counterpart of the above.
    unsafe { bindings::kvm_vhe_preempt_enable() };

    result
}
