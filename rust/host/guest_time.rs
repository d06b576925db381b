// SPDX-License-Identifier: GPL-2.0

//! Whose time it is: the host's or the guest's.
//!
//! C header: `include/linux/kvm_host.h`

use crate::{
    bindings,
    irqs::IrqsOff, //
};
use kernel::{
    ffi::c_ulong,
    prelude::*, //
};

extern "C" {
    /// Tells context tracking and RCU that the CPU is in a guest, enters it, and takes that back;
    /// `guest_enter.c`.
    fn kvm_vhe_run_guest(context: *mut c_void, section: c_ulong) -> u64;
}

/// Accounts the time in `f` to the guest.
///
/// `f` enters the guest, and after the last time it opens an [`IrqsOff::window`]: where time is
/// accounted by ticks, it is the tick that is pending then that has to be the guest's.
#[inline]
pub fn with_guest_time<R>(irqs: &mut IrqsOff, f: impl FnOnce(&mut IrqsOff) -> R) -> R {
    // SAFETY: Interrupts are off (`irqs`), and the counterpart is below; `f` cannot unwind.
    unsafe { bindings::kvm_vhe_guest_timing_enter() };
    let result = f(irqs);
    // SAFETY: As above.
    unsafe { bindings::kvm_vhe_guest_timing_exit() };

    result
}

/// Enters the guest that the assembly finds in `context`, and returns what it returns when the guest
/// is left. In between RCU takes the CPU for one in user space, and lockdep takes interrupts for on: no
/// read-side critical section lasts longer, so what stands for one is borrowed exclusively. Inside of a
/// section with interrupts off that is in that of `irqs`, it is not entered: this is an interrupt then.
///
/// # Safety
///
/// `context` is what `kvm_vhe_enter()` takes, and all else that it relies on is so: the CPU's
/// registers hold the state of a guest that may run here.
#[inline]
pub(crate) unsafe fn run_guest(irqs: &mut IrqsOff, context: *mut c_void) -> u64 {
    // SAFETY: Interrupts are off (`irqs`), and nobody inside of that counts on it, or the function
    // does nothing; the rest is this function's contract.
    unsafe { kvm_vhe_run_guest(context, irqs.section()) }
}
