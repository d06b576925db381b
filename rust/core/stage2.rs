// SPDX-License-Identifier: GPL-2.0

//! Stage 2 translation tables: from the guest's physical addresses to the host's.
//!
//! [`Geometry`] says how large the tables of a VM are and at which level a walk starts. [`Format`]
//! writes and reads descriptors, and gives VTCR_EL2. [`Stage2`] walks and changes tables that
//! its caller owns and reaches through [`TableMemory`]: memory, a reserve of empty tables, and TLB
//! maintenance.
//!
//! All operations work on leaves of any level that the granule has, and what spans a range works
//! in steps of a bounded number of entries, so that the caller can drop its lock and reschedule.
//!
//! Locking: operations that change tables take `&mut Stage2` and `&mut impl TableMemory`, so the
//! caller holds a lock around each call. What they may still run into are the CPUs' table walks,
//! which read, and with [`Config::hardware_access_flag`] set access flags; and [`SharedStage2`], which
//! sets bits of leaves without the lock.
//!
//! Source: Arm ARM DDI 0487, chapter D8, "The AArch64 Virtual Memory System Architecture".

pub mod address;

pub mod geometry;

pub mod attributes;

pub mod block;

pub mod descriptor;

pub mod vtcr;

pub mod memory;

pub mod tlbi;

pub mod walk;

pub mod range;

pub mod split;

pub mod collapse;

pub mod unmap;

pub mod map;

pub mod shared;

pub mod teardown;

pub use self::{
    address::{
        EntryAddr,
        TableAddr, //
    },
    attributes::{
        Attributes,
        Execute,
        Limit,
        MemoryType,
        Permissions, //
    },
    block::{
        Backing,
        Extent, //
    },
    descriptor::{
        Descriptor,
        Entry,
        Format, //
    },
    geometry::{
        leaf_sizes,
        BadConfig,
        Config,
        Geometry,
        Level, //
    },
    map::{
        MapError,
        MapStep,
        Mapped, //
    },
    memory::{
        SharedTables,
        Stale,
        TableMemory,
        TableRead, //
    },
    range::{
        Piece,
        Progress,
        Update, //
    },
    shared::{
        RelaxError,
        Relaxed,
        SharedStage2, //
    },
    split::Split,
    teardown::Teardown,
    vtcr::{
        VtcrEl2,
        VttbrEl2, //
    },
    walk::{
        Leaves,
        Mapping,
        Stage2, //
    },
};
