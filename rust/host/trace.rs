// SPDX-License-Identifier: GPL-2.0

//! Trace events: `/sys/kernel/tracing/events/kvm_vhe`.
//!
//! The events themselves are C, `trace.h`. An event that is off costs one NOP where it is called
//! from: the kernel patches it into a branch when the event goes on, as it does in C. The kernel's
//! `declare_trace!` does the same for the events of its own bindings only.
//!
//! None of these may be called between the entry into a guest and its exit as `guest_time.rs` has
//! them, where RCU does not watch; anywhere else, interrupts off included.
//!
//! C header: `include/linux/tracepoint.h`

use crate::bindings;
use kernel::{
    bindings as linux,
    jump_label::static_branch_unlikely, //
};

/// Why the guest was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum ExitReason {
    /// Something it did, see ESR_EL2.
    Trap = bindings::kvm_vhe_exit_reason_KVM_VHE_EXIT_TRAP,
    /// An interrupt of the host.
    Irq = bindings::kvm_vhe_exit_reason_KVM_VHE_EXIT_IRQ,
    /// An SError.
    SError = bindings::kvm_vhe_exit_reason_KVM_VHE_EXIT_SERROR,
    /// Its PSTATE was not one that can be entered.
    Illegal = bindings::kvm_vhe_exit_reason_KVM_VHE_EXIT_ILLEGAL,
}

macro_rules! events {
    ($(
        $(#[$attr:meta])*
        pub fn $name:ident($($arg:ident: $type:ty $(as $raw:ty)?),*) = $key:ident, $call:ident;
    )*) => {$(
        $(#[$attr])*
        #[inline(always)]
        pub fn $name($($arg: $type),*) {
            // SAFETY: The key is the tracepoint's, which `trace.c` defines.
            let on = unsafe {
                static_branch_unlikely!(bindings::$key, linux::tracepoint, key)
            };

            if on {
                // SAFETY: The C side takes values only and may be called wherever RCU watches.
                unsafe { bindings::$call($($arg $(as $raw)?),*) };
            }
        }
    )*};
}

events! {
    /// A guest is about to be entered: by which vCPU, and at what address.
    pub fn vcpu_entry(vcpu: u32, pc: u64) = __tracepoint_vcpu_entry, kvm_vhe_trace_vcpu_entry;

    /// A guest was left; `esr` is ESR_EL2 where `reason` is [`ExitReason::Trap`], and zero otherwise.
    pub fn vcpu_exit(vcpu: u32, reason: ExitReason as u32, esr: u64, pc: u64)
        = __tracepoint_vcpu_exit, kvm_vhe_trace_vcpu_exit;

    /// A guest's first set/way cache operation, which is done to all its memory by address; whether
    /// its caches were on.
    pub fn set_way_flush(vcpu: u32, pc: u64, cached: bool)
        = __tracepoint_set_way_flush, kvm_vhe_trace_set_way_flush;

    /// A guest switched its caches on or off after a set/way operation, or changed something else
    /// about its translation.
    pub fn toggle_cache(vcpu: u32, pc: u64, was: bool, now: bool)
        = __tracepoint_toggle_cache, kvm_vhe_trace_toggle_cache;

    /// A range of a guest's memory was cleaned and invalidated by address.
    pub fn flush_range(ipa: u64, bytes: u64)
        = __tracepoint_flush_range, kvm_vhe_trace_flush_range;
}
