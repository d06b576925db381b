// SPDX-License-Identifier: GPL-2.0

//! What the kernel wants of a task before it enters a guest, as it does before the task returns to
//! user space: signals, rescheduling, task work, live patching.
//!
//! C headers: `include/linux/entry-virt.h`, `include/linux/rseq.h`

use crate::{
    bindings,
    irqs::IrqsOff, //
};
use core::arch::asm;
use kernel::{
    bindings as linux,
    error::to_result,
    prelude::*, //
};

/// The flags of the current task's `struct thread_info`.
///
/// On arm64 SP_EL0 is `current` while the kernel runs, so this is two instructions.
#[inline(always)]
pub(crate) fn thread_flags() -> usize {
    let current: *const linux::task_struct;

    // SAFETY: The kernel keeps the current task in SP_EL0 (`arch/arm64/include/asm/current.h`); for
    // a given task's code the value never changes, so the compiler may merge two reads.
    unsafe {
        asm!(
            "mrs {}, sp_el0",
            out(reg) current,
            options(pure, nomem, nostack, preserves_flags),
        )
    };

    // SAFETY: The current task exists. Others set flags at any time with atomic operations; a
    // volatile read of an aligned word is the READ_ONCE() that `read_thread_flags()` does.
    unsafe { (&raw const (*current).thread_info.flags).read_volatile() }
}

/// Whether [`handle_work`] has something to do.
///
/// With interrupts off the answer holds until they are on: who sets a flag for this CPU's task sends
/// an interrupt, which makes the CPU leave the guest at once. So this is to be the last look before
/// the guest is entered.
#[inline(always)]
pub fn work_pending(_irqs: &IrqsOff) -> bool {
    thread_flags() & bindings::kvm_vhe_thread_flags_KVM_VHE_XFER_TO_GUEST_WORK as usize != 0
}

/// Whether [`handle_work`] had something to do a moment ago; for a look without interrupts off.
#[inline(always)]
pub fn work_was_pending() -> bool {
    thread_flags() & bindings::kvm_vhe_thread_flags_KVM_VHE_XFER_TO_GUEST_WORK as usize != 0
}

/// Does what is wanted of the current task: reschedules, runs task work. May sleep, run other
/// subsystems' code, and return on another CPU.
///
/// To be called in a system call of a user task, without locks, references to guest memory, or an
/// [`FpSection`](crate::neon::FpSection) that is live.
///
/// # Errors
///
/// `EINTR` if a signal is pending; the caller returns to user space with it.
pub fn handle_work() -> Result {
    // SAFETY: Process context, with interrupts and preemption on.
    to_result(unsafe { bindings::xfer_to_guest_mode_handle_work() })
}

/// Whether the current task is being killed, and what it does has no receiver any more.
#[inline]
pub fn is_being_killed() -> bool {
    // SAFETY: May be called anywhere; the current task exists.
    unsafe { bindings::kvm_vhe_is_being_killed() }
}

/// Lets another thread that wants the CPU have it for a while. May sleep.
pub fn yield_cpu() {
    // SAFETY: Process context, without locks.
    unsafe { linux::yield_() };
}

/// To be called with interrupts off, before the last [`work_pending`]: on a CPU without a tick
/// (`nohz_full=`) RCU callbacks that wait are handed on now.
#[inline]
pub fn prepare_guest_entry(_irqs: &mut IrqsOff) {
    // SAFETY: Interrupts are off.
    unsafe { bindings::kvm_vhe_prepare_guest_entry() };
}

/// To be called once at the end of the system call in which [`handle_work`] may have been called.
///
/// That clears TIF_NOTIFY_RESUME without telling user space's restartable sequence that the task was
/// preempted or migrated, since there is no user-space context to fix up at that moment. This sets it
/// again if need be.
pub fn userspace_exit() {
    // SAFETY: Looks at and changes the current task only.
    unsafe { bindings::kvm_vhe_userspace_exit() };
}
