// SPDX-License-Identifier: GPL-2.0

//! What is known of the pages that were written to: a slot's log, and a vCPU's ring.

use core::num::NonZeroU64;
use kernel::{
    page::{
        BorrowedPage,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::Arc, //
};
use kvm_core::dirty::{
    BadRingSize,
    Batch,
    Bitmap,
    Full,
    Page,
    Ring,
    RingSize, //
};
use kvm_host::{
    dirty_ring::RingPages,
    word::AtomicWord, //
};

/// The log of a slot.
pub(super) type Log = Bitmap<KVVec<AtomicWord>>;

/// Makes the log of a slot with so many pages. May sleep.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn new_log(pages: u64) -> Result<Arc<Log>> {
    let pages = NonZeroU64::new(pages).ok_or(EINVAL)?;
    let count = Log::words_for(pages) as usize;
    let mut words = KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;

    for _ in 0..count {
        words.push(AtomicWord::new(0), GFP_KERNEL_ACCOUNT)?;
    }
    let log = Log::new(words, pages).ok_or(EINVAL)?;
    Ok(Arc::new(log, GFP_KERNEL_ACCOUNT)?)
}

/// The size of rings.
///
/// # Errors
///
/// `EINVAL` if it is not a power of two or less than a page, `E2BIG` if it is too large.
pub(super) fn ring_size(bytes: u64) -> Result<RingSize> {
    RingSize::from_bytes(bytes, PAGE_SIZE as u64).map_err(|bad| match bad {
        BadRingSize::Invalid => EINVAL,
        BadRingSize::TooLarge => E2BIG,
    })
}

/// A vCPU's ring. What its thread puts in nobody else does.
pub(crate) struct DirtyRing {
    ring: Ring<RingPages>,
    size: RingSize,
}

impl DirtyRing {
    /// Makes one. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(size: RingSize) -> Result<Self> {
        Ok(Self {
            ring: Ring::new(RingPages::new(size)?, size),
            size,
        })
    }

    /// Its size.
    pub(crate) fn size(&self) -> RingSize {
        self.size
    }

    /// The number of its pages.
    pub(crate) fn pages(&self) -> usize {
        self.size.bytes() as usize / PAGE_SIZE
    }

    /// A page for the VMM's mappings, by its index in the ring.
    pub(crate) fn page(&self, index: usize) -> Option<BorrowedPage<'_>> {
        self.ring.entries().page(index)
    }

    /// Whether the vCPU has to stop until the VMM has looked at it.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.ring.is_soft_full()
    }

    /// Puts a page of a slot in. The vCPU's thread only.
    ///
    /// # Errors
    ///
    /// [`Full`].
    #[inline]
    pub(super) fn put(&self, slot: u16, offset: u64) -> Result<(), Full> {
        self.ring.put(Page {
            slot: slot.into(),
            offset,
        })
    }

    /// Takes out up to `budget` pages that the VMM has harvested: [`Ring::reset`].
    pub(super) fn reset(&self, budget: u32, protect: impl FnMut(Batch)) -> u32 {
        self.ring.reset(budget, protect)
    }
}
