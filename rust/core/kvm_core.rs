// SPDX-License-Identifier: GPL-2.0

//! What the Arm architecture and KVM's rules say, without the machine.
//!
//! Everything here is a pure function of its arguments: no `unsafe`, no allocation, no `kernel`
//! crate. The same files are compiled into the kernel module and, as a Cargo package, into the
//! tests that run on the build machine.
//!
//! From the bottom up: [`bits`] and [`mod@bit_struct`] are the vocabulary every register is written
//! in, and [`mod@word`] what threads share; [`sysreg`], [`esr`], [`far`], [`pstate`] and [`idreg`]
//! describe registers, [`lazy`] says when some are moved, and [`register`] is the table of a vCPU's;
//! [`one_reg`] names them to user space. [`ipa`], [`cpu`], [`vm_idreg`] and [`traps`] hold the decisions that are made from ID
//! registers. [`context`] is a vCPU's registers to whoever emulates an instruction; on it stand
//! [`inject`], [`mmio`], [`stage1`], [`events`] and [`guest_debug`], and beside it [`mmio_bus`],
//! [`setway`], [`exit_reason`], [`timer`], [`halt_poll`] and [`stats`]. [`smccc`], [`psci`] and
//! [`firmware`] are what a guest finds behind HVC and SMC. [`stage2`], [`memslot`], [`dirty`],
//! [`vmid`] and [`invalidate`] are a VM's memory, [`users`] those who use something that is
//! replaced, and [`vgic`] its interrupt controller; [`its`] translates messages into interrupts.
//! [`irq_line`] and [`irq_routing`] are user space's names of them. [`acpi`] is what firmware says
//! of the host's interrupts. A module uses those before it in the list below, never one after it.

// Kbuild says so itself on the command line.
#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]

pub mod bits;

pub mod bit_struct;

pub mod granule;

pub mod word;

pub mod sysreg;

pub mod esr;

pub mod far;

pub mod pstate;

pub mod idreg;

pub mod lazy;

#[macro_use]
pub mod register;

pub mod one_reg;

pub mod ipa;

pub mod cpu;

pub mod vm_idreg;

pub mod traps;

pub mod context;

pub mod inject;

pub mod mmio;

pub mod mmio_bus;

pub mod stage1;

pub mod setway;

pub mod events;

pub mod guest_debug;

pub mod exit_reason;

pub mod timer;

pub mod halt_poll;

pub mod stats;

pub mod smccc;

pub mod psci;

pub mod firmware;

pub mod stage2;

pub mod memslot;

pub mod users;

pub mod dirty;

pub mod vmid;

pub mod invalidate;

pub mod vgic;

pub mod its;

pub mod irq_line;

pub mod irq_routing;

pub mod acpi;
