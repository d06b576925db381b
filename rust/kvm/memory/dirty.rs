// SPDX-License-Identifier: GPL-2.0

//! Dirty tracking: which pages the guest, or the kernel for it, has written to.
//!
//! The order that makes it safe is [`kvm_core::dirty`]'s. Whoever marks a page looks its slot up after
//! the page was made writable, or written to. So if a slot begins to log meanwhile, either the new
//! table is found and the page marked, or the write-protection that follows the new table finds the
//! leaf, and the VMM what was written.

use crate::memory::{
    guest::Memory,
    log::{
        new_log,
        ring_size,
        DirtyRing,
        Log, //
    },
    mmu::{
        Reserve,
        BUDGET, //
    },
    slots::{
        MemorySlot,
        Numbers, //
    },
    tracking::MANUAL_FLAGS, //
};
use core::{
    mem::size_of,
    ops::Range, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            self,
            Relaxed, //
        },
        barrier::{
            smp_mb,
            Full, //
        },
        rcu,
        Arc, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use kvm_core::{
    dirty::{
        is_clear,
        Batch,
        Part,
        RingSize, //
    },
    memslot::{
        Flags,
        Slot,
        SlotId, //
    },
    stage2::{
        leaf_sizes,
        Progress,
        Split,
        Stale, //
    },
};
use kvm_host::{
    abi::KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
    table_page::publish,
    task_work::is_being_killed,
    word::copy_to_user, //
};

/// How many words of a bitmap are copied from or to user space at once: 1 GiB of memory with pages of
/// 4 KiB.
const CHUNK: usize = 4096;

/// How many words are looked at with the lock of the tables held.
const STEP: usize = BUDGET as usize / u64::BITS as usize;

/// How many entries of a ring are taken out between two looks at signals.
const RING_STEP: u32 = 256;

const PAGE: u64 = PAGE_SIZE as u64;

/// The guest addresses of a slot.
pub(super) fn addresses(slot: &Slot) -> Range<u64> {
    let gfns = slot.gfns();
    gfns.start * PAGE..gfns.end * PAGE
}

/// Changes of how memory is tracked.
impl Memory {
    /// KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.
    ///
    /// # Errors
    ///
    /// `EINVAL` for flags that are not known, or not without another.
    pub(crate) fn set_manual_protect(&self, flags: u64) -> Result {
        let known = if flags & u64::from(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) != 0 {
            MANUAL_FLAGS
        } else {
            0
        };
        if flags & !u64::from(known) != 0 {
            return Err(EINVAL);
        }
        let _numbers = self.numbers.lock();
        self.tracking.manual.store(flags as u32, Relaxed);
        Ok(())
    }

    /// Whether rings can have so many bytes.
    ///
    /// # Errors
    ///
    /// As [`ring_size`].
    pub(crate) fn check_ring_size(&self, bytes: u64) -> Result {
        ring_size(bytes).map(|_| ())
    }

    /// KVM_CAP_DIRTY_LOG_RING_ACQ_REL: vCPUs are made with rings of so many bytes. The caller has made
    /// sure that there is none yet.
    ///
    /// # Errors
    ///
    /// As [`ring_size`]; `EINVAL` if they have a size already.
    pub(crate) fn set_ring_size(&self, bytes: u64) -> Result {
        let size = ring_size(bytes)?;
        let ring = &self.tracking.ring;

        match ring.cmpxchg(0, size.bytes() as u32, atomic::Full) {
            Ok(_) => Ok(()),
            Err(_) => Err(EINVAL),
        }
    }

    /// The size of vCPUs' rings, if they have any.
    pub(crate) fn ring_size(&self) -> Option<RingSize> {
        ring_size(self.tracking.ring.load(Relaxed).into()).ok()
    }

    /// KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are no rings, or there is a slot.
    pub(crate) fn set_ring_with_bitmap(&self) -> Result {
        let _numbers = self.numbers.lock();
        if self.tracking.ring.load(Relaxed) == 0 || self.has_slots() {
            return Err(EINVAL);
        }
        self.tracking.with_bitmap.store(true, Relaxed);
        Ok(())
    }

    /// KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is no size of a block, or there is a slot.
    pub(crate) fn set_split_chunk(&self, size: u64) -> Result {
        let sizes = leaf_sizes(self.cpus.capabilities().granule);
        if size != 0 && (!size.is_power_of_two() || size & sizes == 0) {
            return Err(EINVAL);
        }
        let _numbers = self.numbers.lock();
        if self.has_slots() {
            return Err(EINVAL);
        }
        self.tracking.split_chunk.store(size, Relaxed);
        Ok(())
    }

    /// What [`Self::set_split_chunk`] has set.
    pub(crate) fn split_chunk(&self) -> u64 {
        self.tracking.split_chunk.load(Relaxed)
    }

    fn has_slots(&self) -> bool {
        let rcu = rcu::read_lock();
        !self.slots.read_rcu(&rcu).is_empty()
    }
}

/// What faults, and changes of slots, do.
impl Memory {
    /// Marks the page at a guest address as written to. What was written, or the leaf through which the
    /// guest can, is there before. Returns the slot.
    pub(super) fn mark_dirty(&self, ipa: u64, ring: Option<&DirtyRing>) -> Option<Slot> {
        // The slots that are looked at are not older than that.
        smp_mb(Full);
        let rcu = rcu::read_lock();
        let slot = self.slots.read_rcu(&rcu).mark(ipa, ring)?;
        Some(*slot.slot())
    }

    /// The log of a slot that becomes `slot`; [`None`] if it needs none.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn log_for(
        &self,
        slot: &Slot,
        old: Option<&MemorySlot>,
    ) -> Result<Option<Arc<Log>>> {
        if !slot.flags().contains(Flags::LOG_DIRTY_PAGES) {
            return Ok(None);
        }
        if let Some(log) = old.and_then(MemorySlot::log) {
            return Ok(Some(log.clone()));
        }
        if !self.tracking.uses_bitmap() {
            return Ok(None);
        }
        let log = new_log(slot.pages())?;
        if self.tracking.sets_initially() {
            log.mark_all();
        }
        Ok(Some(log))
    }

    /// Begins to log what was mapped before, once the slot is found as one that logs: unless all of it
    /// counts as written to, and is protected as the VMM takes it.
    ///
    /// Faults go on meanwhile. One that looked the slot up when it did not log has mapped what it found
    /// by now, and it is protected below, or does not map it; others mark what they make writable, and
    /// if that is protected below, too, it stays marked.
    pub(super) fn begin_log(&self, slot: &Slot, log: Option<&Log>) {
        {
            let mut mmu = self.mmu.lock();
            mmu.seq.begin(slot.hvas());
            mmu.seq.end();
        }
        // Who marks has written before it looks for the slot.
        smp_mb(Full);
        if log.is_some() && self.tracking.sets_initially() {
            return;
        }
        let range = addresses(slot);
        self.write_protect(range.clone());
        self.split_blocks(range);
    }

    /// Takes the permission to write from what is mapped, in bounded steps.
    fn write_protect(&self, range: Range<u64>) {
        let (mut from, mut changed) = (range.start, false);
        loop {
            let mut mmu = self.mmu.lock();
            let update = mmu.with_tables(&self.translation, None, |walk| {
                walk.write_protect(from..range.end, BUDGET)
            });
            drop(mmu);
            changed |= update.changed;
            match update.progress {
                Progress::Done => break,
                Progress::More(next) => from = next,
            }
        }
        if changed {
            publish();
            self.translation
                .invalidate(range.start, range.end - range.start, Stale::Tables);
        }
    }

    /// Splits blocks into pages, if the VMM wants that before faults do. Memory for the tables may be
    /// missing, or the thread be killed meanwhile: what is left are blocks, which is no error.
    fn split_blocks(&self, range: Range<u64>) {
        if self.split_chunk() == 0 {
            return;
        }
        let mut reserve = Reserve::new();
        let mut from = range.start;
        while !is_being_killed() && reserve.top_up(1).is_ok() {
            let mut mmu = self.mmu.lock();
            let split = mmu.with_tables(&self.translation, Some(&mut reserve), |walk| {
                walk.split(from..range.end, BUDGET)
            });
            publish();
            drop(mmu);
            match split {
                Split::Done => break,
                Split::More(next) | Split::NoTable(next) => from = next,
            }
        }
    }

    /// Takes the permission to write from pages of a slot: those that have a bit in `words`, the first
    /// of which is for the slot's page `first`.
    fn protect_pages(&self, slot: &Slot, first: u64, words: &[u64]) {
        let start = addresses(slot).start + first * PAGE;
        let mut changed: Option<Range<u64>> = None;

        for (step, words) in words.chunks(STEP).enumerate() {
            if words.iter().all(|mask| *mask == 0) {
                continue;
            }
            let mut mmu = self.mmu.lock();
            mmu.with_tables(&self.translation, None, |walk| {
                for (at, mask) in words.iter().enumerate().filter(|(_, mask)| **mask != 0) {
                    let pages = (step * STEP + at) as u64 * u64::from(u64::BITS);
                    let ipa = start + pages * PAGE;
                    if walk.write_protect_pages(ipa, *mask) {
                        let end = ipa + u64::from(u64::BITS - mask.leading_zeros()) * PAGE;
                        let ipa = ipa + u64::from(mask.trailing_zeros()) * PAGE;
                        let start = changed.as_ref().map_or(ipa, |changed| changed.start);
                        changed = Some(start..end);
                    }
                }
            });
        }
        if let Some(range) = changed {
            publish();
            self.translation
                .invalidate(range.start, range.end - range.start, Stale::Tables);
        }
    }
}

/// Where a word of a bitmap in user space is.
fn word(address: usize, at: usize) -> UserPtr {
    UserPtr::from_addr(address).wrapping_byte_add(at * size_of::<u64>())
}

/// Some words of a bitmap in user space.
fn user(address: usize, first: usize, words: usize) -> UserSlice {
    UserSlice::new(word(address, first), words * size_of::<u64>())
}

/// The ioctls.
impl Memory {
    /// The slot with a number, as user space gives it, and its log.
    ///
    /// # Errors
    ///
    /// `ENXIO` if there are rings instead, `EINVAL` if there is no such number; `check` goes before
    /// `ENOENT` if there is no such slot, or it does not log.
    fn logging_slot(&self, numbers: &Numbers, id: u32, check: Result) -> Result<(Slot, Arc<Log>)> {
        if !self.tracking.uses_bitmap() {
            return Err(ENXIO);
        }
        let id = u16::try_from(id).ok().and_then(SlotId::new).ok_or(EINVAL)?;
        check?;
        let rcu = rcu::read_lock();
        let slot = self
            .slots
            .read_rcu(&rcu)
            .with_id(id, numbers)
            .ok_or(ENOENT)?;
        let log = slot.log().ok_or(ENOENT)?;

        Ok((*slot.slot(), log.clone()))
    }

    /// KVM_GET_DIRTY_LOG. api.rst, "4.8 KVM_GET_DIRTY_LOG". Sleeps.
    ///
    /// # Errors
    ///
    /// As [`Self::logging_slot`]; `EFAULT` if the bitmap cannot be written: what could not be told is
    /// told the next time. `ENOMEM`.
    pub(crate) fn get_dirty_log(&self, slot: u32, bitmap: usize) -> Result {
        let numbers = self.numbers.lock();
        let (slot, log) = self.logging_slot(&numbers, slot, Ok(()))?;
        let manual = self.tracking.is_manual();
        let mut buffer = None;

        for first in (0..log.count()).step_by(CHUNK) {
            let marks = log.words(first, CHUNK);
            if manual || is_clear(marks) {
                // What is marked from now on stays so, told or not.
                copy_to_user(marks, word(bitmap, first))?;
                continue;
            }
            // Once at most, and before anything was taken: no chunk is longer than one before it.
            let words = buffer.get_or_insert_with(KVVec::new);
            words.resize(marks.len(), 0, GFP_KERNEL)?;
            log.take_into(first, words);
            self.protect_pages(&slot, first as u64 * u64::from(u64::BITS), words);
            let copied = user(bitmap, first, words.len())
                .writer()
                .write_slice(words.as_bytes());
            if let Err(error) = copied {
                for (at, word) in words.iter().enumerate() {
                    log.give_back(first + at, *word);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// KVM_CLEAR_DIRTY_LOG. api.rst, "4.117 KVM_CLEAR_DIRTY_LOG". Sleeps.
    ///
    /// # Errors
    ///
    /// As [`Self::logging_slot`]; `EINVAL` if the pages are not the slot's, or not multiples of 64
    /// where they have to be, `EFAULT` if the bitmap cannot be read. `ENOMEM`.
    pub(crate) fn clear_dirty_log(
        &self,
        slot: u32,
        first_page: u64,
        num_pages: u32,
        bitmap: usize,
    ) -> Result {
        let numbers = self.numbers.lock();
        let aligned = if first_page % u64::from(u64::BITS) == 0 {
            Ok(())
        } else {
            Err(EINVAL)
        };
        let (slot, log) = self.logging_slot(&numbers, slot, aligned)?;
        let part = Part::new(first_page, num_pages, log.pages())
            .ok_or(EINVAL)?
            .words();
        let mut words = KVVec::<u64>::with_capacity(part.len().min(CHUNK), GFP_KERNEL)?;

        if part.len() > CHUNK {
            // What cannot be read changes nothing.
            for first in (0..part.len()).step_by(PAGE_SIZE / size_of::<u64>()) {
                user(bitmap, first, 1).reader().read::<u64>()?;
            }
            user(bitmap, part.len() - 1, 1).reader().read::<u64>()?;
        }
        for first in (0..part.len()).step_by(CHUNK) {
            let count = (part.len() - first).min(CHUNK);
            words.resize(count, 0, GFP_KERNEL)?;
            user(bitmap, first, count)
                .reader()
                .read_slice(words.as_mut_bytes())?;
            for (at, word) in words.iter_mut().enumerate() {
                *word = log.clear(part.start + first + at, *word);
            }
            let page = (part.start + first) as u64 * u64::from(u64::BITS);
            self.protect_pages(&slot, page, &words);
        }
        if self.tracking.sets_initially() {
            // They were not when the slot began to log.
            let start = addresses(&slot).start;
            let pages = first_page..first_page + u64::from(num_pages);
            self.split_blocks(start + pages.start * PAGE..start + pages.end * PAGE);
        }
        Ok(())
    }

    /// KVM_RESET_DIRTY_RINGS. Returns how many entries were taken out; a signal ends it early. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are no rings.
    pub(crate) fn reset_dirty_rings<'a>(
        &self,
        rings: impl Iterator<Item = &'a DirtyRing>,
    ) -> Result<u32> {
        self.ring_size().ok_or(EINVAL)?;
        let numbers = self.numbers.lock();
        let mut total = 0;

        'rings: for ring in rings {
            loop {
                if current!().signal_pending() {
                    break 'rings;
                }
                let budget = RING_STEP.min(i32::MAX as u32 - total);
                let count = ring.reset(budget, |batch| self.protect_batch(&numbers, &batch));
                total += count;
                if count < RING_STEP {
                    break;
                }
            }
        }
        if total != 0 {
            publish();
            self.translation
                .invalidate(0, self.ipa.size(), Stale::Tables);
        }
        Ok(total)
    }

    /// Takes the permission to write from pages that a ring had, if they are a slot's. TLBs are the
    /// caller's.
    fn protect_batch(&self, numbers: &Numbers, batch: &Batch) {
        let slot = {
            let rcu = rcu::read_lock();
            let id = u16::try_from(batch.slot()).ok().and_then(SlotId::new);
            let slots = self.slots.read_rcu(&rcu);
            id.and_then(|id| slots.with_id(id, numbers))
                .map(|slot| *slot.slot())
        };
        let Some((slot, (first, mask))) =
            slot.and_then(|slot| Some((slot, batch.within(slot.pages())?)))
        else {
            return;
        };
        let start = addresses(&slot).start + first * PAGE;
        let mut mmu = self.mmu.lock();
        mmu.with_tables(&self.translation, None, |walk| {
            walk.write_protect_pages(start, mask)
        });
    }
}
