// SPDX-License-Identifier: GPL-2.0

//! A VM's interrupt controller, a GICv3: its interrupts and the vCPUs that they go to ([`vm`]), and how
//! they get into the list registers of the CPU that a vCPU runs on ([`cpu`]).
//!
//! Nothing here knows a VM. A [`Vgic`] exists once the number of its SPIs and its vCPUs are settled;
//! what comes before, and user space's way to it, is the device's.

mod word;

mod vm;

mod cpu;

pub(crate) use self::{
    cpu::{
        base_hcr,
        Gic,
        VgicCpu, //
    },
    vm::{
        Member,
        Vgic, //
    },
};
