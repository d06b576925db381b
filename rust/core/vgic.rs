// SPDX-License-Identifier: GPL-2.0

//! A virtual GICv3: what its interrupts are, and how they get to a vCPU.
//!
//! [`intid`] is the number of an interrupt and [`irq`] its state, one word, which [`cell`] keeps
//! where several threads change it without a lock. [`interrupts`] is what those who change
//! interrupts (the distributor, the redistributors, who injects) know of a VM. [`lr`] is what a list
//! register says of an interrupt, [`candidates`] what a vCPU has to look at, [`waiting`] the LPIs
//! among that, and [`queue`] brings the two together: it fills the list registers before the guest is
//! entered and reads them after. [`sgi`] is what a vCPU sends to others.
//!
//! [`regions`] is where a guest finds its frames, and [`attr`] what user space can ask for. The
//! registers in the frames are [`dist`]'s and [`redist`]'s, those with a field for each interrupt
//! [`bank`]'s; [`cpuregs`] are those of the CPU interface, to user space, and [`icc`]
//! what of them traps for a guest.
//!
//! [`v2`] is a GICv2 instead, of the same interrupts.
//!
//! Source: Arm GIC Architecture Specification, IHI 0069.

pub mod intid;

pub mod irq;

pub mod cell;

pub mod interrupts;

pub mod lr;

pub mod candidates;

pub mod waiting;

mod choice;

pub mod queue;

pub mod sgi;

pub mod regions;

pub mod attr;

pub mod bank;

pub mod dist;

pub mod redist;

pub mod cpuregs;

pub mod icc;

pub mod v2;
