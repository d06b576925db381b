// SPDX-License-Identifier: GPL-2.0

//! One CPU's features, whether the hypervisor can work with them, and what its speculation needs.

pub mod features;
pub mod hardening;

pub mod registers;

pub mod compat;
pub mod host;

pub use self::{
    compat::{
        Mismatch,
        ReliedOn,
        Rule, //
    },
    features::{
        Feature,
        FeatureSet, //
    },
    host::{
        check_host,
        HostCapabilities,
        HostState,
        Refusal, //
    },
    registers::{
        CpuFeatures,
        ReadIdRegister, //
    },
};
