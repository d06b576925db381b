// SPDX-License-Identifier: GPL-2.0

//! The firmware that a guest finds: the services behind HVC and SMC.
//!
//! To a guest KVM is its firmware, and not all versions of KVM are the same one. So user space can
//! read what a VM has, and bring it down to what another KVM has, by pseudo-registers.
//!
//! Sources: Documentation/virt/kvm/arm/fw-pseudo-registers.rst and hypercalls.rst, and the Arm
//! documents that each file names.

pub mod pv_time;
pub mod trng;
pub mod workaround;

pub mod register;

pub mod state;

pub mod arch;
pub mod vendor;

pub mod handle;

pub use self::{
    handle::{
        handle,
        Environment,
        Outcome, //
    },
    pv_time::{
        StartStolenTime,
        StolenTimeIpa, //
    },
    register::{
        FwRegister,
        StdBmap,
        StdHypBmap,
        VendorHypBmap,
        VendorHypBmap2, //
    },
    state::{
        Firmware,
        VcpuFeatures,
        WriteError, //
    },
    trng::Entropy,
    vendor::{
        Clock,
        ClockReading,
        Counter, //
    },
    workaround::{
        Mitigation,
        Mitigations, //
    },
};
