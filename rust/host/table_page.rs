// SPDX-License-Identifier: GPL-2.0

//! Pages for stage-2 tables.
//!
//! Hardware and software walk tables by physical addresses. [`TableArena`] gives the memory behind
//! such an address only if it is a table of its own: each of its pages carries the arena's mark, so a
//! wrong address is found out instead of being accessed.
//!
//! Tables are looked at in RCU read-side critical sections, and freed after a grace period, so that no
//! lock is needed for the looking alone.

use crate::{
    bindings,
    irqs::IrqsOff,
    rcu_cell::Deferred, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    bindings as linux,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        rcu, //
    },
};
use kvm_core::stage2::{
    Descriptor,
    EntryAddr, //
};

/// How many pages a table may have at most, as a power of two: up to 16 tables are concatenated at
/// the start level. Arm ARM DDI 0487, "Concatenated translation tables".
pub const MAX_ORDER: u32 = 4;

/// The number of entries of a table of one page.
pub(crate) const ENTRIES: usize = PAGE_SIZE / size_of::<u64>();

/// Zeroed pages that can become a table: `1 << order` of them, contiguous and aligned to their size.
///
/// # Invariants
///
/// `page` is the first page of an allocation of this order, which this owns.
pub struct ZeroedPages {
    page: NonNull<linux::page>,
    order: u32,
}

// SAFETY: Pages may be freed by any thread.
unsafe impl Send for ZeroedPages {}
// SAFETY: There is nothing to do with a shared reference.
unsafe impl Sync for ZeroedPages {}

impl ZeroedPages {
    /// Allocates `1 << order` pages, accounted to the current task's memory group. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if the order is beyond [`MAX_ORDER`].
    pub fn new(order: u32) -> Result<Self> {
        if order > MAX_ORDER {
            return Err(EINVAL);
        }
        // SAFETY: It may be called where sleeping is allowed.
        let page =
            unsafe { linux::alloc_pages(linux::GFP_KERNEL_ACCOUNT | linux::__GFP_ZERO, order) };

        // INVARIANT: These are the pages just allocated.
        Ok(Self {
            page: NonNull::new(page).ok_or(ENOMEM)?,
            order,
        })
    }

    /// The number of pages.
    fn pages(&self) -> usize {
        1 << self.order
    }
}

impl Drop for ZeroedPages {
    fn drop(&mut self) {
        // SAFETY: By the type invariant these are our pages.
        unsafe { linux::__free_pages(self.page.as_ptr(), self.order) }
    }
}

/// Single pages set aside where sleeping is possible, for tables that are made under a lock.
pub struct PageReserve<const N: usize> {
    pages: [Option<ZeroedPages>; N],
    len: usize,
}

impl<const N: usize> PageReserve<N> {
    /// An empty reserve.
    pub const fn new() -> Self {
        Self {
            pages: [const { None }; N],
            len: 0,
        }
    }

    /// Fills the reserve up to `min` pages, at most `N`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; what was allocated stays in the reserve.
    pub fn top_up(&mut self, min: usize) -> Result {
        while self.len < min.min(N) {
            self.pages[self.len] = Some(ZeroedPages::new(0)?);
            self.len += 1;
        }
        Ok(())
    }

    /// The number of pages in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a page. Does not sleep.
    pub fn take(&mut self) -> Option<ZeroedPages> {
        self.len = self.len.checked_sub(1)?;
        self.pages[self.len].take()
    }
}

impl<const N: usize> Default for PageReserve<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// What an arena's pages point to: its address is the arena's mark, the low bits say what the page
/// is in its table.
#[repr(align(16))]
struct Owner {
    /// How many pages the arena has. Also what keeps the structure from having no address.
    pages: Atomic<i64>,
}

/// The low bits of the mark of a page other than the first of its table; those of the first are the
/// table's order.
const NOT_FIRST: usize = 0xf;

/// Proof of being in an RCU read-side critical section as long as it is borrowed.
///
/// # Safety
///
/// It is so.
pub(crate) unsafe trait ReadSide {}

// SAFETY: That is what the guard is.
unsafe impl ReadSide for rcu::Guard {}

// SAFETY: Interrupts are off as long as it is borrowed, in code that RCU watches, which is such a
// section as well (`Documentation/RCU/whatisRCU.rst`, section 7).
unsafe impl ReadSide for IrqsOff {}

/// The tables of one VM's stage 2.
///
/// Tables come and go one by one, under the lock of who changes what is in them; when the arena is
/// dropped, all must have gone.
///
/// # Invariants
///
/// A page whose `private` is the address of `owner`, in its upper bits, belongs to a table that was
/// made by [`add`](Self::add) and has not been taken out by [`remove`](Self::remove) or
/// [`remove_unread`](Self::remove_unread): `owner` is an allocation of this arena, which nobody
/// else has the address of. What was taken out while the arena may be shared is freed after a grace
/// period.
pub(crate) struct TableArena {
    owner: ManuallyDrop<KBox<Owner>>,
    /// For what is left to RCU.
    _deferred: Deferred,
}

/// One page of a table.
///
/// # Invariants
///
/// `entries` is the address of [`ENTRIES`] entries, valid for `'a`, that are accessed atomically
/// only.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    entries: &'a [Atomic<u64>; ENTRIES],
}

impl<'a> Table<'a> {
    /// An entry; none beyond [`ENTRIES`].
    ///
    /// A load with `Acquire` sees what was in a table before an entry that leads to it was stored with
    /// `Release` or exchanged. The walker sees it after [`publish`].
    #[inline]
    pub(crate) fn entry(self, index: usize) -> Option<&'a Atomic<u64>> {
        self.entries.get(index)
    }

    /// Reads an entry, and what is behind it not earlier; zero, which is no entry, beyond
    /// [`ENTRIES`].
    #[inline]
    pub(crate) fn read(self, index: usize) -> u64 {
        self.entry(index).map_or(0, |entry| entry.load(Acquire))
    }

    /// Writes an entry, after all that was written before.
    ///
    /// # Errors
    ///
    /// `EINVAL` beyond [`ENTRIES`].
    #[inline]
    pub(crate) fn write(self, index: usize, value: u64) -> Result {
        self.entry(index).ok_or(EINVAL)?.store(value, Release);
        Ok(())
    }

    /// Replaces an entry if it is `old`; the value found otherwise, as the walker, too, changes
    /// entries where it manages the access flag or the dirty state.
    ///
    /// # Errors
    ///
    /// The value that is there; zero beyond [`ENTRIES`].
    #[inline]
    pub(crate) fn compare_exchange(self, index: usize, old: u64, new: u64) -> Result<(), u64> {
        match self.entry(index) {
            Some(entry) => entry.cmpxchg(old, new, Full).map(|_| ()),
            None => Err(0),
        }
    }
}

/// The page that an entry is in, and its index there.
#[inline]
pub(crate) fn split(entry: EntryAddr) -> (u64, usize) {
    let mask = PAGE_SIZE as u64 - 1;

    (entry.pa() & !mask, ((entry.pa() & mask) / 8) as usize)
}

impl TableArena {
    /// An arena without tables. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(deferred: Deferred) -> Result<Self> {
        let owner = KBox::new(
            Owner {
                pages: Atomic::new(0),
            },
            GFP_KERNEL_ACCOUNT,
        )?;

        // INVARIANT: No page has this address yet: it has just been allocated, and arenas take their
        // mark from all of their pages before they free it.
        Ok(Self {
            owner: ManuallyDrop::new(owner),
            _deferred: deferred,
        })
    }

    fn mark(&self) -> usize {
        core::ptr::from_ref::<Owner>(&self.owner) as usize
    }

    /// The number of pages in tables.
    pub(crate) fn pages(&self) -> u64 {
        self.owner.pages.load(Relaxed) as u64
    }

    /// Makes a table of pages and returns its physical address. Does not sleep.
    pub(crate) fn add(&self, pages: ZeroedPages) -> u64 {
        let pages = ManuallyDrop::new(pages);
        let first = pages.page.as_ptr();

        for i in (0..pages.pages()).rev() {
            let position = if i == 0 {
                pages.order as usize
            } else {
                NOT_FIRST
            };
            // INVARIANT: The pages are a table of this arena's from now on.
            // SAFETY: By the invariant of `ZeroedPages` all of them are ours; the `struct page`s of
            // an allocation are contiguous. The field is the owner's to use.
            unsafe { bindings::kvm_vhe_set_page_private(first.add(i), self.mark() | position) };
        }
        self.count(first, pages.pages() as i32);

        // SAFETY: The page is valid.
        unsafe { bindings::kvm_vhe_page_to_phys(first) }
    }

    /// The page at a physical address, and its place in its table, if it is one of this arena's.
    fn own_page(&self, physical: u64) -> Option<(NonNull<linux::page>, usize)> {
        if physical % PAGE_SIZE as u64 != 0 {
            return None;
        }
        // SAFETY: Any address may be asked for.
        let page = NonNull::new(unsafe { bindings::kvm_vhe_phys_to_page(physical) })?;
        // SAFETY: There is a `struct page`, whoever it belongs to. It may be changed meanwhile if it
        // is not ours, and is not ours then.
        let private = unsafe { bindings::kvm_vhe_page_private(page.as_ptr()) };

        (private & !NOT_FIRST == self.mark()).then_some((page, private & NOT_FIRST))
    }

    /// An entry of a table; [`Descriptor::INVALID`] if it is in none of this arena's.
    #[inline]
    pub(crate) fn entry(&self, entry: EntryAddr, section: &impl ReadSide) -> Descriptor {
        let (table, index) = split(entry);

        Descriptor::from_raw(
            self.table(table, section)
                .map_or(0, |table| table.read(index)),
        )
    }

    /// Writes an entry; nothing if it is in none of this arena's tables.
    #[inline]
    pub(crate) fn set_entry(&self, entry: EntryAddr, new: Descriptor, section: &impl ReadSide) {
        let (table, index) = split(entry);

        if let Some(table) = self.table(table, section) {
            // The index is within a page.
            let _ = table.write(index, new.into_raw());
        }
    }

    /// Writes an entry if it is still `old`.
    ///
    /// # Errors
    ///
    /// What it is instead; [`Descriptor::INVALID`] if it is in none of this arena's tables.
    #[inline]
    pub(crate) fn exchange_entry(
        &self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
        section: &impl ReadSide,
    ) -> Result<(), Descriptor> {
        let (table, index) = split(entry);

        match self.table(table, section) {
            Some(table) => table
                .compare_exchange(index, old.into_raw(), new.into_raw())
                .map_err(Descriptor::from_raw),
            None => Err(Descriptor::INVALID),
        }
    }

    /// The page of a table at a physical address; none if it is not one of this arena's tables, of
    /// which any page may be named.
    ///
    /// It may be taken out meanwhile; then it stays what it is as long as it is lent.
    #[inline]
    pub(crate) fn table<'a>(
        &'a self,
        physical: u64,
        _section: &'a impl ReadSide,
    ) -> Option<Table<'a>> {
        let (page, _) = self.own_page(physical)?;
        // SAFETY: The page is ours, by the type invariant, and in the linear map, as all that the
        // allocator gives without further flags.
        let entries = unsafe { bindings::kvm_vhe_page_to_virt(page.as_ptr()) };

        // SAFETY: It is a page, with the size and the alignment. Any memory is valid entries. It
        // was a table's when its mark was read, in the section that is borrowed, and is freed after
        // that at the soonest: `remove()` leaves that to RCU, and `remove_unread()` takes the arena
        // exclusively. Nothing else accesses it but the walker.
        let entries = unsafe { &*entries.cast::<[Atomic<u64>; ENTRIES]>() };

        // INVARIANT: These are the entries.
        Some(Table { entries })
    }

    /// Takes the marks from a table that begins at the address, if there is one of this arena's. Of
    /// several calls for the same table one gets it.
    fn take(&self, physical: u64) -> Option<ZeroedPages> {
        let (page, position) = self.own_page(physical)?;
        if position > MAX_ORDER as usize {
            return None;
        }
        // SAFETY: There is a `struct page`. That of a table is the arena's to change, and no other page
        // has this value.
        if !unsafe { bindings::kvm_vhe_take_page_private(page.as_ptr(), self.mark() | position, 0) }
        {
            return None;
        }
        // INVARIANT: By the mark, which nobody else has taken, these are the pages that `add()` got, of
        // that order, and the only owner of them was this arena.
        let pages = ZeroedPages {
            page,
            order: position as u32,
        };

        for i in 1..pages.pages() {
            // SAFETY: As in `add()`, which marked these pages. The allocator wants zero.
            unsafe { bindings::kvm_vhe_set_page_private(page.as_ptr().add(i), 0) };
        }
        self.count(page.as_ptr(), -(pages.pages() as i32));
        Some(pages)
    }

    /// Takes a table out. By now no walker may use it any more, which is what TLB invalidation
    /// after its parent's entry was cleared is for. Its pages are freed when no [`Table`] of it is
    /// lent any more.
    ///
    /// Returns whether there was a table of this arena's that begins at the address.
    pub(crate) fn remove(&self, physical: u64) -> bool {
        let Some(pages) = self.take(physical) else {
            return false;
        };
        let pages = ManuallyDrop::new(pages);

        // SAFETY: The pages are ours, by the invariant of `ZeroedPages`, and nobody's from here on. The
        // module does not go before RCU has called what it was given, by the arena's `Deferred`.
        unsafe { bindings::kvm_vhe_free_pages_after_readers(pages.page.as_ptr(), pages.order) };
        true
    }

    /// As [`remove`](Self::remove), of an arena that nobody else has: its pages are freed at once.
    pub(crate) fn remove_unread(&mut self, physical: u64) -> bool {
        self.take(physical).is_some()
    }

    /// Counts pages, also in the statistics of the memory group that `first` is accounted to.
    fn count(&self, first: *mut linux::page, pages: i32) {
        self.owner.pages.add(i64::from(pages), Relaxed);
        // SAFETY: The page is valid, and all pages of an allocation are accounted alike.
        unsafe { bindings::kvm_vhe_count_table_pages(first, pages) };
    }
}

impl Drop for TableArena {
    fn drop(&mut self) {
        let left = self.pages();

        if left == 0 {
            // SAFETY: It is not used any more; no page has its address as mark.
            unsafe { ManuallyDrop::drop(&mut self.owner) };
        } else {
            // A bug. Whether hardware still walks the tables is not known, so they stay, and so does
            // the address that marks them.
            pr_err!("{} pages of stage-2 tables were not freed\n", left);
        }
    }
}

/// Makes what was written to tables visible to the walkers of all CPUs, before what follows.
///
/// Needed before something that a walker follows only then, and before TLB invalidation, whose
/// functions in [`crate::guest_tlb`] have it.
#[inline]
pub fn publish() {
    // SAFETY: A barrier changes nothing.
    unsafe { kernel::asm!("dsb ishst"; options(nostack, preserves_flags)) };
}
