// SPDX-License-Identifier: GPL-2.0

//! A VM's memory: its slots, and the stage 2 translation that faults fill in.
//!
//! The lock order is: `numbers`, then the one in `slots`, then `mmu`, under which nothing sleeps.

mod accesses;
mod log;
mod slots;
mod tracking;

mod translation;

mod mmu;

mod guest;

mod dirty;
mod fault;

mod fast;
mod flush;
mod inspect;
mod notifier;
mod pre_fault;
mod region;

pub(crate) use self::{
    fault::{
        Access,
        Faulted, //
    },
    guest::Memory,
    log::DirtyRing,
    mmu::Reserve,
    pre_fault::check_range,
    tracking::MANUAL_FLAGS, //
};
