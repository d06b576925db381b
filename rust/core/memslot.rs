// SPDX-License-Identifier: GPL-2.0

//! Memory slots: which of the guest's physical addresses are which of its VMM's virtual ones.
//!
//! A VM's slots are a slice, sorted by address, that the caller owns. [`Region::check`] checks what
//! KVM_SET_USER_MEMORY_REGION and KVM_SET_USER_MEMORY_REGION2 were given, [`plan()`] says what
//! that does to the slice, and [`find`] and [`in_hva_range`] look things up. Nothing here changes
//! the slice: the caller builds a new one and replaces the old as a whole, or changes it under a
//! lock.
//!
//! An element of the slice is a [`Slot`] or anything that has one, through [`Borrow`].
//!
//! Source: api.rst, "4.35 KVM_SET_USER_MEMORY_REGION", "4.140 KVM_SET_USER_MEMORY_REGION2".
//!
//! [`Borrow`]: core::borrow::Borrow

pub mod slot;

pub mod lookup;
pub mod region;

pub mod plan;

pub use self::{
    lookup::{
        find,
        find_id,
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
