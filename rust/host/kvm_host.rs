// SPDX-License-Identifier: GPL-2.0

//! What this CPU and this Linux do, behind safe functions.
//!
//! This is the one room of the project with `unsafe`, assembly and C. Each file is one facility:
//! what the `kernel` crate offers is used as it is, what it lacks is here, with as little behind
//! the `unsafe` as can be.
//!
//! A file imports from those above it in the list below, never from one beside or below it.

#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

/// What the log lines of this crate begin with; `pr_*!` looks for it at the crate's root.
const __LOG_PREFIX: &[u8] = b"kvm_vhe\0";

mod bindings;
mod el2;
pub mod relaxed;
mod sysreg;

pub mod abi;
pub mod lock;
pub mod pinned;
pub mod shared_page;
pub mod uapi;

pub mod debug_regs;

pub mod counters;
pub mod cpu_pm;
pub mod eventfd;
pub mod file;
pub mod firmware_irqs;
pub mod guest_page;
pub mod hardening;
pub mod hotplug;
pub mod irqs;
pub mod machine;
pub mod mmu_notifier;
pub mod percpu;
pub mod run_page;
pub mod syscore;
pub mod time;

pub mod cache;
pub mod coalesced_ring;
pub mod debugfs;
pub mod dirty_ring;
pub mod guest_time;
pub mod guest_timer;
pub mod guest_tlb;
pub mod ich;
pub mod irqfd;
pub mod kick;
pub mod preempt_notifier;
pub mod profiling;
pub mod rcu_cell;
pub mod signal_mask;
pub mod task_work;
pub mod trace;
pub mod translation;
pub mod word;

pub mod alarm;
pub mod halt_poll;
pub mod lazy;
mod registers;
pub mod table_page;

pub mod guest_tables;
pub mod percpu_irq;

pub mod gic;
mod switch;
pub mod timer_irqs;

pub mod vcpu;

pub mod load;
pub mod neon;

#[cfg(KVM_VHE_TEST)]
pub mod testing;
#[cfg(KVM_VHE_TEST)]
pub mod testing_tables;
