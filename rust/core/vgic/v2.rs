// SPDX-License-Identifier: GPL-2.0

//! A virtual GICv2, wholly in software: for a host whose GICv3 has no GICv2's CPU interface for
//! guests.
//!
//! The interrupts are those of a GICv3, [`Irq`](super::irq::Irq), and never in list registers.
//! [`lists`] is what a GICv2 has beside, the senders of an SGI and the targets of an SPI, and [`sgi`]
//! what sends the former. [`dist`] are the distributor's registers, in one frame for all vCPUs.
//! [`cpu`] is a vCPU's CPU interface: it chooses the interrupt that the vCPU is signalled, which
//! HCR_EL2.VI and VF do, and all of its registers are in memory and trap. [`frames`] is where both
//! are, and [`attr`] what user space can ask for.
//!
//! There are group 0 and group 1, and no Security Extensions. An SPI that has several targets goes to
//! the first of them.
//!
//! Source: Arm GIC Architecture Specification, version 2.0, IHI 0048; for what a guest sees of the CPU
//! interface, its chapter on virtualization, "The virtual CPU interface", GICV_*.

pub mod lists;

pub mod sgi;

pub mod dist;

pub mod cpu;

pub mod frames;

pub mod attr;
