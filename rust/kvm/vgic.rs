// SPDX-License-Identifier: GPL-2.0

//! A VM's interrupt controller, a GICv3 or a GICv2: its interrupts and the vCPUs that they go to
//! ([`vm`]), and how they get into the list registers of the CPU that a vCPU runs on ([`cpu`]).
//!
//! Nothing here knows a VM. A [`Vgic`] exists once the number of its SPIs and its vCPUs are
//! settled. A VM has a [`IrqChip`], of either [`Version`], which is a [`setup`] first and has a
//! [`Vgic`] later, and whose registers a guest accesses by [`mmio`]. User space's way to it is the
//! device's.

mod lpis;

mod vm;

mod cpu_lpis;

mod cpu;

pub(crate) mod setup;

mod tree;

mod redistributors;

mod its;

mod v2;

mod irqchip;

pub(crate) mod mmio;

pub(crate) use self::{
    cpu::{
        base_hcr,
        Gic,
        VgicCpu, //
    },
    irqchip::{
        IrqChip,
        ReadyGic, //
    },
    its::Its,
    vm::{
        Member,
        Version,
        Vgic, //
    },
};
