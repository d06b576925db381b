// SPDX-License-Identifier: GPL-2.0

//! One CPU's features, and whether the hypervisor can work with them.

pub mod compat;
pub mod features;
pub mod host;
pub mod registers;

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
