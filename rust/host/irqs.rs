// SPDX-License-Identifier: GPL-2.0

//! Interrupts off, for as long as a series of guest entries lasts.

use crate::{
    bindings,
    pinned::PinnedCpu, //
};

/// Proof that the interrupts of this CPU are off.
///
/// # Invariants
///
/// While a value exists, interrupts are off.
pub struct IrqsOff {
    cpu: PinnedCpu,
}

impl IrqsOff {
    /// The CPU, which the code cannot leave.
    #[inline(always)]
    pub fn cpu(&self) -> &PinnedCpu {
        &self.cpu
    }
}

/// Runs `f` with interrupts off, which must be on before. `f` must not sleep.
#[inline]
pub fn with_irqs_off<R>(f: impl FnOnce(&IrqsOff) -> R) -> R {
    // SAFETY: Interrupts may be switched off anywhere; they are switched on again below, since `f`
    // cannot unwind.
    unsafe { bindings::kvm_vhe_irq_disable() };
    // INVARIANT: Interrupts are off until the value is gone.
    // SAFETY: As above, so the CPU cannot change.
    let result = f(&IrqsOff {
        cpu: unsafe { PinnedCpu::current() },
    });
    // SAFETY: The counterpart of the above.
    unsafe { bindings::kvm_vhe_irq_enable() };

    result
}

/// Runs `f`, which enters guests, with interrupts off; they must be on before. The time it takes is
/// accounted to the guest, and an interrupt that ended it is taken before this returns.
#[inline]
pub fn with_guest_time<R>(f: impl FnOnce(&IrqsOff) -> R) -> R {
    // SAFETY: As in `with_irqs_off()`; `kvm_vhe_guest_end()` switches interrupts on.
    unsafe { bindings::kvm_vhe_irq_disable() };
    // SAFETY: Interrupts are off.
    unsafe { bindings::kvm_vhe_guest_begin() };
    // INVARIANT: Interrupts are off until the value is gone.
    // SAFETY: As above, so the CPU cannot change.
    let result = f(&IrqsOff {
        cpu: unsafe { PinnedCpu::current() },
    });
    // SAFETY: The counterpart of `kvm_vhe_guest_begin()`.
    unsafe { bindings::kvm_vhe_guest_end() };

    result
}
