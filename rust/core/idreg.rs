// SPDX-License-Identifier: GPL-2.0

//! Identification registers: what a CPU can do.
//!
//! A field has the architecture's name in lower case. The numbers of an unsigned ID field grow with
//! the feature, so that `>=` is the right test for all but the few that say otherwise (Arm ARM,
//! "Principles of the ID scheme for fields in ID registers").

pub mod cache;
pub mod dfr;
pub mod gic;
pub mod isar;
pub mod mmfr;
pub mod pfr;
pub mod vector;

pub use self::{
    cache::CtrEl0,
    dfr::{
        IdAa64Dfr0El1,
        IdAa64Dfr1El1, //
    },
    gic::{
        IccSreEl2,
        IchVtrEl2, //
    },
    isar::{
        IdAa64Isar0El1,
        IdAa64Isar1El1,
        IdAa64Isar2El1,
        IdAa64Isar3El1, //
    },
    mmfr::{
        GranuleSupport,
        IdAa64Mmfr0El1,
        IdAa64Mmfr1El1,
        IdAa64Mmfr2El1,
        IdAa64Mmfr3El1,
        IdAa64Mmfr4El1, //
    },
    pfr::{
        ElStates,
        IdAa64Pfr0El1,
        IdAa64Pfr1El1,
        IdAa64Pfr2El1, //
    },
    vector::{
        IdAa64Fpfr0El1,
        IdAa64Smfr0El1,
        IdAa64Zfr0El1, //
    },
};
