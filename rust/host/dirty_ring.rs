// SPDX-License-Identifier: GPL-2.0

//! The memory of a dirty ring, which a vCPU shares with its VMM: pages of the vCPU's mapping.
//!
//! api.rst, "7.36 KVM_CAP_DIRTY_LOG_RING/KVM_CAP_DIRTY_LOG_RING_ACQ_REL". The VMM may write to the
//! pages at any time: nothing in them is trusted. What is counted is not in them.

use crate::{
    abi::KVM_DIRTY_LOG_PAGE_OFFSET,
    bindings::kvm_dirty_gfn,
    relaxed,
    shared_page::{
        Field,
        SharedPages, //
    },
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    page::{
        BorrowedPage,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Release, //
    },
};
use kvm_core::dirty::{
    Entries,
    Page,
    RingSize, //
};

/// The index of the ring's first page in a vCPU's mapping.
pub const FIRST_PAGE: usize = KVM_DIRTY_LOG_PAGE_OFFSET as usize;

const ENTRY: usize = size_of::<kvm_dirty_gfn>();
const ENTRIES_IN_PAGE: u32 = (PAGE_SIZE / ENTRY) as u32;

const _: () = assert!(ENTRY as u64 == RingSize::ENTRY && PAGE_SIZE % ENTRY == 0);

/// The entries of a ring, and how many were put in and taken out.
pub struct RingPages {
    pages: KVec<SharedPages<1>>,
    put: Atomic<u32>,
    taken: Atomic<u32>,
}

impl RingPages {
    /// Allocates a ring's memory, all zeroes. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(size: RingSize) -> Result<Self> {
        let count = (size.bytes() as usize).div_ceil(PAGE_SIZE);
        let mut pages = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;

        for _ in 0..count {
            pages.push(SharedPages::new()?, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self {
            pages,
            put: Atomic::new(0),
            taken: Atomic::new(0),
        })
    }

    /// A page for the VMM's mappings, by its index in the ring:
    /// [`AnonFile::page`](crate::file::AnonFile::page).
    pub fn page(&self, index: usize) -> Option<BorrowedPage<'_>> {
        self.pages.get(index)?.page(0)
    }

    /// The page that an entry is in, and its field at `offset`.
    #[inline]
    fn field<T>(&self, at: u32, offset: usize) -> Option<(&SharedPages<1>, Field<1, T>)> {
        let page = self.pages.get((at / ENTRIES_IN_PAGE) as usize)?;
        let entry = (at % ENTRIES_IN_PAGE) as usize * ENTRY;

        Some((page, Field::checked(entry + offset)?))
    }
}

impl Entries for RingPages {
    #[inline]
    fn flags(&self, at: u32) -> u32 {
        self.field(at, offset_of!(kvm_dirty_gfn, flags))
            .map_or(0, |(page, field)| page.read_acquire(field))
    }

    #[inline]
    fn set_flags(&self, at: u32, flags: u32) {
        if let Some((page, field)) = self.field(at, offset_of!(kvm_dirty_gfn, flags)) {
            page.write_release(field, flags);
        }
    }

    #[inline]
    fn page(&self, at: u32) -> Page {
        Page {
            slot: self
                .field(at, offset_of!(kvm_dirty_gfn, slot))
                .map_or(0, |(page, field)| page.read(field)),
            offset: self
                .field(at, offset_of!(kvm_dirty_gfn, offset))
                .map_or(0, |(page, field)| page.read(field)),
        }
    }

    #[inline]
    fn set_page(&self, at: u32, new: Page) {
        if let Some((page, field)) = self.field(at, offset_of!(kvm_dirty_gfn, slot)) {
            page.write(field, new.slot);
        }
        if let Some((page, field)) = self.field(at, offset_of!(kvm_dirty_gfn, offset)) {
            page.write(field, new.offset);
        }
    }

    #[inline]
    fn put(&self) -> u32 {
        relaxed::load(&self.put)
    }

    #[inline]
    fn set_put(&self, count: u32) {
        relaxed::store(&self.put, count);
    }

    #[inline]
    fn taken(&self) -> u32 {
        self.taken.load(Acquire)
    }

    #[inline]
    fn set_taken(&self, count: u32) {
        self.taken.store(count, Release);
    }
}
