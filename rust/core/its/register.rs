// SPDX-License-Identifier: GPL-2.0

//! The registers that say where the tables and the command queue are.
//!
//! Source: IHI 0069, the pages of GITS_BASER\<n\> and GITS_CBASER.

use crate::{
    bit_struct,
    bits::Bits, //
};

/// The size of a table entry in bytes, the same for all tables of revision 0 of the ABI.
pub const ENTRY_SIZE: u64 = 8;

/// The size of a command in bytes.
pub const COMMAND_SIZE: u64 = 32;

/// Shareability: Inner Shareable.
const INNER_SHAREABLE: Bits<2> = Bits::of::<1>();

/// Inner cacheability: Normal, Read-Allocate, Write-back.
const READ_ALLOCATE_WRITE_BACK: Bits<3> = Bits::of::<3>();

/// Returns the shareability that a field reads as: KVM has no outer domain of its own.
fn shareability(field: Bits<2>) -> Bits<2> {
    match field.get() {
        0 => Bits::of::<0>(),
        _ => INNER_SHAREABLE,
    }
}

/// Returns the inner cacheability that a field reads as: KVM's accesses are cacheable, and the
/// allocation hints are the guest's.
fn inner_cacheability(field: Bits<3>) -> Bits<3> {
    match field.get() {
        0 | 1 => READ_ALLOCATE_WRITE_BACK,
        _ => field,
    }
}

/// Returns the outer cacheability that a field reads as: that of the inner domain, unless there is
/// to be none.
fn outer_cacheability(field: Bits<3>) -> Bits<3> {
    match field.get() {
        1 => field,
        _ => Bits::of::<0>(),
    }
}

/// What a table is for; the numbers of GITS_BASER\<n\>.Type.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TableKind {
    /// The device table.
    Devices = 1,
    /// The collection table. It has one level only: KVM saves collections one after the other,
    /// which has no meaning for a table of tables.
    Collections = 4,
}

bit_struct! {
    /// Where a table is.
    pub struct Baser("GITS_BASER") {
        /// The number of pages less one.
        size / with_size: bits 0..=7,
        /// The size of a page: 4, 16 or 64 KiB.
        page_size / with_page_size: bits 8..=9,
        /// Shareability of accesses to the table.
        shareability / with_shareability: bits 10..=11,
        /// The address: bits 47 to 12; with pages of 64 KiB, bits 47 to 16, and the low four are 51
        /// to 48.
        address / with_address: bits 12..=47,
        /// The number of bytes per entry less one.
        entry_size / with_entry_size: bits 48..=52,
        /// Outer cacheability.
        outer_cache / with_outer_cache: bits 53..=55,
        /// [`TableKind`].
        kind / with_kind: bits 56..=58,
        /// Inner cacheability.
        inner_cache / with_inner_cache: bits 59..=61,
        /// The table is one of tables.
        indirect / with_indirect: flag 62,
        /// There is a table.
        valid / with_valid: flag 63,
    }
}

impl Baser {
    /// Returns the register as an ITS is created with it: without a table.
    pub fn reset(kind: TableKind) -> Self {
        Self::from_raw(0)
            .with_shareability(INNER_SHAREABLE)
            .with_inner_cache(READ_ALLOCATE_WRITE_BACK)
            .with_page_size(Bits::of::<2>())
            .written(kind)
    }

    /// Returns what the register reads as after this value was written to that of `kind`.
    #[must_use]
    pub fn written(self, kind: TableKind) -> Self {
        let page_size = self.page_size().get().min(2);
        // Of an address of a page of 16 KiB, bits 13 and 12 are zero.
        let address = self.address().get() & if page_size == 1 { !3 } else { !0 };
        self.with_kind(Bits::truncated(kind as u64))
            .with_entry_size(Bits::truncated(ENTRY_SIZE - 1))
            .with_indirect(self.indirect() && kind == TableKind::Devices)
            .with_page_size(Bits::truncated(page_size))
            .with_address(Bits::truncated(address))
            .with_shareability(shareability(self.shareability()))
            .with_inner_cache(inner_cacheability(self.inner_cache()))
            .with_outer_cache(outer_cacheability(self.outer_cache()))
    }

    /// Returns the size of a page in bytes.
    pub fn page_bytes(self) -> u64 {
        match self.page_size().get() {
            0 => 0x1000,
            1 => 0x4000,
            _ => 0x1_0000,
        }
    }

    /// Returns the size of the table in bytes, of the first level if there are two.
    pub fn bytes(self) -> u64 {
        (self.size().get() + 1) * self.page_bytes()
    }

    /// Returns the table's IPA.
    pub fn base(self) -> u64 {
        let address = self.address().get();
        if self.page_bytes() == 0x1_0000 {
            ((address & !0xf) << 12) | ((address & 0xf) << 48)
        } else {
            address << 12
        }
    }
}

bit_struct! {
    /// Where the command queue is.
    pub struct Cbaser("GITS_CBASER") {
        /// The number of pages of 4 KiB less one.
        size / with_size: bits 0..=7,
        /// Shareability of accesses to the queue.
        shareability / with_shareability: bits 10..=11,
        /// Bits 51 to 12 of the address.
        address / with_address: bits 12..=51,
        /// Outer cacheability.
        outer_cache / with_outer_cache: bits 53..=55,
        /// Inner cacheability.
        inner_cache / with_inner_cache: bits 59..=61,
        /// There is a queue.
        valid / with_valid: flag 63,
    }
}

impl Cbaser {
    /// Returns what the register reads as after this value was written.
    #[must_use]
    pub fn written(self) -> Self {
        // The address is aligned to 64 KiB.
        Self::from_raw(self.into_raw() & Self::MASK)
            .with_address(Bits::truncated(self.address().get() & !0xf))
            .with_shareability(shareability(self.shareability()))
            .with_inner_cache(inner_cacheability(self.inner_cache()))
            .with_outer_cache(outer_cacheability(self.outer_cache()))
    }

    /// Returns the queue's IPA.
    pub fn base(self) -> u64 {
        self.address().get() << 12
    }

    /// Returns the size of the queue in bytes, at most 1 MiB.
    pub fn bytes(self) -> u64 {
        (self.size().get() + 1) << 12
    }

    /// Returns the offset that GITS_CWRITER or GITS_CREADR holds, or [`None`] if it is not in the
    /// queue.
    pub fn offset(self, register: u64) -> Option<u64> {
        let offset = register & 0xf_ffe0;
        (offset < self.bytes()).then_some(offset)
    }

    /// Returns the offset of the command after that at `offset`.
    pub fn next(self, offset: u64) -> u64 {
        let next = offset + COMMAND_SIZE;
        if next < self.bytes() {
            next
        } else {
            0
        }
    }
}
