// SPDX-License-Identifier: GPL-2.0

//! A page's name.

/// A page as a ring's entry names it. What comes from the ring is what user space wrote there.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The slot's number, and the address space's in bits 31 to 16.
    pub slot: u32,
    /// Which page of the slot.
    pub offset: u64,
}
