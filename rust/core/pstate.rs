// SPDX-License-Identifier: GPL-2.0

//! Processor state: PSTATE as SPSR_ELx holds it, what of it a VM may have, and how an exception
//! changes it.

pub mod mode;

pub mod spsr;

pub mod guest;

pub mod entry;

pub use self::{
    entry::{
        EntryFeatures,
        ExceptionEntry,
        ExceptionKind,
        SctlrEntry, //
    },
    guest::{
        BadPstate,
        GuestPstate,
        GuestState,
        PstateFeatures, //
    },
    mode::Mode,
    spsr::{
        Pstate,
        Pstate32, //
    },
};
