// SPDX-License-Identifier: GPL-2.0

//! Polling before a vCPU's thread sleeps: the module's parameters, and the loop.
//!
//! The parameters are C KVM's, Documentation/virt/kvm/halt-polling.rst. Root may change them while VMs
//! run, in `/sys/module/kvm_vhe/parameters`.

use crate::{
    bindings,
    task_work::thread_flags,
    time, //
};
use core::arch::asm;
use kernel::ffi::c_uint;
use kvm_core::halt_poll::Tuning;

/// Loads a parameter.
///
/// # Safety
///
/// It is one that lives as long as the module.
unsafe fn load(parameter: *const c_uint) -> u32 {
    // SAFETY: By this function's contract. It may be written at the same time, as a whole: a volatile
    // read of an aligned word is READ_ONCE().
    unsafe { parameter.read_volatile() }
}

/// The longest time that vCPUs poll, in nanoseconds, where a VM has no limit of its own.
pub fn limit() -> u32 {
    // SAFETY: A static variable.
    unsafe { load(&raw const bindings::kvm_vhe_halt_poll_ns) }
}

/// How the time changes for which they do.
pub fn tuning() -> Tuning {
    // SAFETY: Static variables.
    unsafe {
        Tuning {
            grow: load(&raw const bindings::kvm_vhe_halt_poll_ns_grow),
            grow_start: load(&raw const bindings::kvm_vhe_halt_poll_ns_grow_start),
            shrink: load(&raw const bindings::kvm_vhe_halt_poll_ns_shrink),
        }
    }
}

/// cpu_relax(): others of the core, or of the emulator, may go first. `core`'s is an ISB, which is
/// none.
#[inline(always)]
fn relax() {
    // SAFETY: A hint.
    unsafe { asm!("yield", options(nostack, preserves_flags)) };
}

/// What ends [`poll`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polled {
    /// There is news.
    News,
    /// The time is over.
    Over,
    /// Somebody else wants the CPU, or the thread has a signal.
    Wanted,
}

/// Looks for `news` until the host's counter is `until`. With preemption and interrupts on.
///
/// There may be news without end that are of no use: what the thread is wanted for comes first.
pub fn poll(until: u64, mut news: impl FnMut() -> bool) -> Polled {
    loop {
        if thread_flags() & bindings::kvm_vhe_thread_flags_KVM_VHE_WANTED as usize != 0 {
            return Polled::Wanted;
        }
        if news() {
            return Polled::News;
        }
        if time::counter() >= until {
            return Polled::Over;
        }
        // SAFETY: Looks at the run queue of whatever CPU this is.
        if !unsafe { bindings::single_task_running() } {
            return Polled::Wanted;
        }
        relax();
    }
}
