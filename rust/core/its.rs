// SPDX-License-Identifier: GPL-2.0

//! A virtual Interrupt Translation Service (ITS).
//!
//! A device's message carries a DeviceID and an EventID. The guest's commands say which LPI that is
//! and which collection it is in, and which vCPU a collection goes to. [`Its`] is the whole state,
//! over maps of its owner ([`Storage`]); what is around it (guest memory, the VM's LPIs and
//! redistributors, the translation cache) is an [`Environment`].
//!
//! From the bottom up: [`id`] holds the bounded numbers, [`config`] an LPI's configuration and
//! [`env`] what is asked of the surroundings; [`register`] the registers that place tables and the
//! queue, [`entry`] and [`command`] the one parser for what guest memory says, used for what a
//! guest commands and for what is restored; [`table`] finds entries; [`lpi`] reads LPIs'
//! configuration and pending tables; [`cache`] is storage for translations. [`state`] is the
//! [`Its`]; [`translate`], [`execute`], [`save`], [`restore`] and [`frame`] are what happens to it.
//!
//! # Ownership
//!
//! An LPI is mapped by at most one event in a VM: of two mappings, which the architecture leaves
//! UNPREDICTABLE, the first keeps it. So an [`Its`] holds one reference to an LPI per event, there
//! are never more events than LPIs, and taking the event out of the map yields the one reference,
//! which goes back by [`Lpis::unmap`]. All others are clones that their holders keep alive.
//!
//! # Bounds
//!
//! A command touches each event of the ITS at most once, and [`Its::process`] stops after a number
//! of steps, to be called again. So no guest keeps a CPU for long, whatever its queue holds.
//!
//! Source: Arm GIC Architecture Specification, IHI 0069, "The ITS", "ITS commands" and the pages of
//! GITS_*; Documentation/virt/kvm/devices/arm-vgic-its.rst.

pub mod id;

pub mod config;

pub mod env;

pub mod register;

pub mod entry;

pub mod command;

pub mod table;

pub mod lpi;

pub mod cache;

pub mod state;

pub mod translate;

pub mod execute;

pub mod save;

pub mod restore;

pub mod frame;

pub use self::{
    cache::Cache,
    config::{
        ConfigTable,
        LpiConfig, //
    },
    entry::Device,
    env::{
        Environment,
        Forget,
        GuestMemory,
        Lpis,
        Map, //
    },
    execute::Progress,
    frame::Refused,
    id::{
        CollectionId,
        DeviceId,
        Event,
        EventBits,
        EventId,
        IttAddress,
        LpiId,
        Processor, //
    },
    state::{
        Collection,
        Its,
        Mapping,
        Storage,
        TableError, //
    },
    translate::Undelivered, //
};
