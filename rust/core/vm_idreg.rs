// SPDX-License-Identifier: GPL-2.0

//! The ID registers that a VM shows.
//!
//! A VM starts with all that the host's CPUs have in common and the module virtualizes: its limit.
//! The VMM may lower that, field by field, until the VM first runs (vcpu-features.rst, "The ID
//! Registers"). What is left then decides which registers and instructions the guest has.
//!
//! From the bottom up: `space` bounds the encodings; `view` reads fields out of a set of ID
//! registers and `features` gives names to what they mean; `host` and `config` are what limits are
//! made from, `vcpu_init` what a VMM asks for; `rule` says how a field may be written and what
//! limits it; `fields` and `aarch32` are the table of all fields, which `table` joins; `regs` holds
//! the VM's values and `guest` says what a guest reads; `cache` is the cache geometry, which is per
//! vCPU.
//!
//! # Differences from C KVM
//!
//! The reset values are those of C KVM in Linux 7.3 with these exceptions; the first two go
//! with a flag in [`Offer`]:
//!
//! - `ID_AA64PFR0_EL1.EL1` is at most 1 and `ID_AA64ISAR1_EL1.LS64` is 0: 32-bit VMs and
//!   64-byte accesses are not virtualized.
//! - `ID_AA64DFR0_EL1.PMUVer`, `ID_DFR0_EL1.PerfMon`, `ID_AA64PFR0_EL1.SVE`, `ID_AA64ZFR0_EL1` and
//!   the fields of MTE are 0 also for a VM that asks for the feature, until it is offered.
//! - `ID_AA64PFR2_EL1.GCIE` is 0: there is no vGICv5.
//! - The mask of `ID_AA64FPFR0_EL1` has no bits 7 to 2, which mean nothing.
//! - `ID_AA64MMFR0_EL1.PARANGE` is at most 52 bits: 56 need 128-bit descriptors, which no VM has.

pub mod space;

pub mod view;

pub mod features;

pub mod gates;

pub mod host;

pub mod config;

pub mod vcpu_init;

pub mod rule;

mod fields;

mod aarch32;

pub mod table;

pub mod regs;

pub mod guest;

pub mod cache;

pub use self::{
    cache::{
        CacheLevel,
        CacheRegs, //
    },
    config::{
        Offer,
        VmConfig, //
    },
    features::{
        VmFeature,
        VmFeatures, //
    },
    guest::GuestRead,
    host::{
        HostFacts,
        HostIdRegs, //
    },
    regs::{
        one_reg_list,
        SetError,
        VmGic,
        VmIdRegs, //
    },
    space::IdIndex,
    table::writable_mask,
    vcpu_init::{
        BadVcpuFeatures,
        VcpuFeatures, //
    },
    view::{
        IdRegister,
        IdView, //
    },
};
