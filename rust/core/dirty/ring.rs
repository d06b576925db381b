// SPDX-License-Identifier: GPL-2.0

//! A vCPU's ring of written pages, which it shares with user space.

use crate::dirty::{
    page::Page,
    protect::Batch, //
};

/// `KVM_DIRTY_GFN_F_DIRTY`: the entry has a page that user space has not seen.
pub const DIRTY: u32 = 1 << 0;
/// `KVM_DIRTY_GFN_F_RESET`: user space has seen it, and it is to be write-protected again.
pub const RESET: u32 = 1 << 1;

/// How large the rings of a VM are.
///
/// # Invariants
///
/// The number of entries is a power of two, larger than [`RingSize::RESERVED`], and at most
/// [`RingSize::MAX`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RingSize(u32);

/// Why there is no ring of a size.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadRingSize {
    /// Not a power of two, or too small: EINVAL.
    Invalid,
    /// Too large: E2BIG.
    TooLarge,
}

impl RingSize {
    /// The size of an entry, `struct kvm_dirty_gfn`, in bytes.
    pub const ENTRY: u64 = 16;

    /// The most entries: `KVM_DIRTY_RING_MAX_ENTRIES`.
    pub const MAX: u32 = 65536;

    /// Entries that are left for what a vCPU writes between two looks at the ring:
    /// `KVM_DIRTY_RING_RSVD_ENTRIES`.
    pub const RESERVED: u32 = 64;

    /// Returns the size of rings with `bytes` bytes, on a host with this size of a page.
    ///
    /// # Errors
    ///
    /// [`BadRingSize`].
    pub const fn from_bytes(bytes: u64, page_size: u64) -> Result<Self, BadRingSize> {
        if !bytes.is_power_of_two()
            || bytes < page_size
            || bytes <= Self::RESERVED as u64 * Self::ENTRY
        {
            return Err(BadRingSize::Invalid);
        }
        if bytes > Self::MAX as u64 * Self::ENTRY {
            return Err(BadRingSize::TooLarge);
        }
        Ok(Self((bytes / Self::ENTRY) as u32))
    }

    /// Returns the number of entries.
    #[inline]
    pub const fn entries(self) -> u32 {
        self.0
    }

    /// Returns the number of bytes.
    #[inline]
    pub const fn bytes(self) -> u64 {
        self.0 as u64 * Self::ENTRY
    }
}

/// The memory of a ring: `struct kvm_dirty_gfn` each, which user space reads and writes at any time;
/// and two counters that it has no access to.
///
/// An index is less than the number of entries.
pub trait Entries {
    /// Returns the flags of an entry; what is read afterwards is not older.
    fn flags(&self, at: u32) -> u32;

    /// Sets the flags of an entry; who reads them sees what was written before.
    fn set_flags(&self, at: u32, flags: u32);

    /// Returns the page in an entry.
    fn page(&self, at: u32) -> Page;

    /// Writes a page to an entry.
    fn set_page(&self, at: u32, page: Page);

    /// Returns how many pages were put in. Wraps around.
    fn put(&self) -> u32;

    /// Changes what [`Self::put`] returns.
    fn set_put(&self, count: u32);

    /// Returns how many pages were taken out; what is read or written afterwards is not older. Wraps
    /// around.
    fn taken(&self) -> u32;

    /// Changes what [`Self::taken`] returns; who reads that sees what was written before.
    fn set_taken(&self, count: u32);
}

/// The ring is full.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Full;

/// A vCPU's ring.
///
/// The vCPU's thread puts pages in, and one thread at a time takes out those that user space has
/// harvested, which api.rst calls a reset. User space may write anything to the entries: how many
/// there are to take is known by the counters alone, and pages that it invented are the business of
/// who looks for their slot.
#[derive(Debug)]
pub struct Ring<E> {
    entries: E,
    size: RingSize,
}

impl<E: Entries> Ring<E> {
    /// Returns a ring in `entries`, of which there are `size`; its counters are equal.
    pub const fn new(entries: E, size: RingSize) -> Self {
        Self { entries, size }
    }

    /// Returns the memory.
    #[inline]
    pub const fn entries(&self) -> &E {
        &self.entries
    }

    /// Returns how many pages are in the ring.
    #[inline]
    fn used(&self) -> u32 {
        self.entries.put().wrapping_sub(self.entries.taken())
    }

    /// The index of an entry by how many were before it.
    #[inline]
    fn index(&self, count: u32) -> u32 {
        count & (self.size.entries() - 1)
    }

    /// Whether only the reserve is left, so that the vCPU has to stop: KVM_EXIT_DIRTY_RING_FULL.
    #[inline]
    pub fn is_soft_full(&self) -> bool {
        self.used() >= self.size.entries() - RingSize::RESERVED
    }

    /// Puts a page in. The vCPU's thread only.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is not one entry left, not even of the reserve.
    #[inline]
    pub fn put(&self, page: Page) -> Result<(), Full> {
        if self.used() >= self.size.entries() {
            return Err(Full);
        }
        let count = self.entries.put();
        let at = self.index(count);

        self.entries.set_page(at, page);
        // Before user space can harvest the entry, so that it is counted when it is to be taken.
        self.entries.set_put(count.wrapping_add(1));
        self.entries.set_flags(at, DIRTY);
        Ok(())
    }

    /// Takes a page out that user space has harvested; [`None`] if the next one is not. One thread at
    /// a time.
    #[inline]
    fn take(&self) -> Option<Page> {
        let count = self.entries.taken();
        let at = self.index(count);

        // The flags first: if user space has set them in order, `put()` was counted before.
        if self.entries.flags(at) & RESET == 0 || self.entries.put() == count {
            return None;
        }
        let page = self.entries.page(at);

        // Before the entry can be used again, whose flags are the vCPU's then.
        self.entries.set_flags(at, 0);
        self.entries.set_taken(count.wrapping_add(1));
        Some(page)
    }

    /// Takes out up to `budget` pages that user space has harvested, and calls `protect` with them in
    /// batches. Returns how many there were: fewer than the budget, if that is not 0, only if there
    /// are no more. One thread at a time.
    pub fn reset(&self, budget: u32, mut protect: impl FnMut(Batch)) -> u32 {
        let mut batch: Option<Batch> = None;
        let mut count = 0;

        while count < budget {
            let Some(page) = self.take() else { break };
            count += 1;
            if batch.as_mut().is_some_and(|batch| batch.add(page)) {
                continue;
            }
            if let Some(done) = batch.replace(Batch::new(page)) {
                protect(done);
            }
        }
        if let Some(last) = batch {
            protect(last);
        }
        count
    }
}
