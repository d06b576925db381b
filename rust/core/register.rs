// SPDX-License-Identifier: GPL-2.0

//! The system registers of a vCPU: one table, and what is generated from it.
//!
//! A [`Reg`] is a register that has a row; [`Row`] says everything about it. The accessors that
//! find a register in memory or in the CPU are generated from the same rows, in `kvm_host`.

#[macro_use]
pub mod rows;

pub mod feature;

pub mod row;

pub mod reg;

pub mod fgt;

pub mod file;

pub mod access;

pub use self::{
    feature::{
        Feature,
        FeatureSet, //
    },
    file::RegFile,
    reg::{
        Reg,
        RegRange, //
    },
    row::{
        Class,
        FgtBit,
        FgtGroup,
        Reset,
        Row,
        Trap,
        User, //
    },
};
