// SPDX-License-Identifier: GPL-2.0

//! Memory slots: which of the guest's physical addresses are which of its VMM's virtual ones.
//!
//! A VM's slots are a table of chunks, sorted by address, that the caller owns. [`Region::check`]
//! checks what KVM_SET_USER_MEMORY_REGION and KVM_SET_USER_MEMORY_REGION2 were given, [`plan()`]
//! says what that does to the table, [`insert`], [`replace`] and [`remove`] which chunks that
//! touches, and [`find`], [`in_gfn_range`] and [`in_hva_range`] look things up. Nothing here changes
//! a table: the caller builds a new one, of new chunks and of those that stay, and replaces the old
//! one as a whole.
//!
//! An element of a chunk is a [`Slot`] or anything that has one, through [`Borrow`].
//!
//! Source: api.rst, "4.35 KVM_SET_USER_MEMORY_REGION", "4.140 KVM_SET_USER_MEMORY_REGION2".
//!
//! [`Borrow`]: core::borrow::Borrow

pub mod slot;

pub mod chunk;
pub mod region;

pub mod lookup;

pub mod plan;

pub use self::{
    chunk::{
        insert,
        remove,
        replace,
        Chunk,
        Content,
        Edit,
        Listed,
        CHUNK, //
    },
    lookup::{
        find,
        in_gfn_range,
        in_hva_range,
        HvaHit, //
    },
    plan::{
        plan,
        Change, //
    },
    region::{
        Errno,
        Limits,
        Refusal,
        Region,
        Request, //
    },
    slot::{
        Flags,
        Slot,
        SlotId, //
    },
};
