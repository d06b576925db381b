// SPDX-License-Identifier: GPL-2.0

//! The counter, and how long the current task waited for a CPU.

use crate::bindings;

/// The counter that guests' counters are derived from.
pub fn counter() -> u64 {
    // SAFETY: Reads the counter.
    unsafe { bindings::kvm_vhe_counter() }
}

/// 64 random bits.
pub fn random() -> u64 {
    // SAFETY: May be called anywhere.
    unsafe { bindings::kvm_vhe_random() }
}

/// CLOCK_REALTIME in nanoseconds, and the counter at that moment; [`None`] if the clocksource is
/// another.
pub fn wall_and_counter() -> Option<(u64, u64)> {
    let (mut wall, mut count) = (0, 0);
    // SAFETY: The pointers are valid for writes.
    unsafe { bindings::kvm_vhe_wall_and_counter(&mut wall, &mut count) }.then_some((wall, count))
}

/// How long, in nanoseconds, the current task has waited for a CPU since it began.
pub fn run_delay() -> u64 {
    // SAFETY: Looks at the current task.
    unsafe { bindings::kvm_vhe_run_delay() }
}
