// SPDX-License-Identifier: GPL-2.0

//! The Power State Coordination Interface: how a guest powers its CPUs and itself on and off.
//!
//! KVM's implementation of it is what a guest sees. It has no Trusted OS, so nothing migrates; a
//! suspended CPU keeps its state, so suspending is waiting for an interrupt; and a CPU that is
//! being powered on is on at once, so nobody sees ON_PENDING.
//!
//! Source: Arm DEN0022, "Power State Coordination Interface", and include/uapi/linux/psci.h.

pub mod affinity;
pub mod event;
pub mod reset;
pub mod version;

pub mod function;

pub mod call;

pub use self::{
    affinity::{
        Affinity,
        AffinityLevel, //
    },
    call::{
        call,
        Config,
        Outcome,
        Platform,
        PowerOn,
        PowerOnError, //
    },
    event::SystemEvent,
    function::{
        Function,
        Width, //
    },
    reset::{
        EntryState,
        PowerOnState, //
    },
    version::Version,
};
