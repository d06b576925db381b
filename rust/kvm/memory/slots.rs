// SPDX-License-Identifier: GPL-2.0

//! A VM's slots, by guest address, by number and by the VMM's address.

use crate::memory::log::{
    DirtyRing,
    Log, //
};
use core::{
    borrow::Borrow,
    ops::Range, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};
use kvm_core::memslot::{
    self,
    Change,
    Edit,
    Flags,
    Listed,
    Slot,
    SlotId, //
};
use kvm_host::rcu_cell::Fresh;

/// A slot of a VM.
#[derive(Clone)]
pub(super) struct MemorySlot {
    slot: Slot,
    /// Where writes to it are recorded, if not in rings alone.
    log: Option<Arc<Log>>,
}

impl Borrow<Slot> for MemorySlot {
    #[inline(always)]
    fn borrow(&self) -> &Slot {
        &self.slot
    }
}

impl MemorySlot {
    #[inline]
    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Whether writes to it are recorded.
    #[inline]
    pub(super) fn logs(&self) -> bool {
        self.slot.flags().contains(Flags::LOG_DIRTY_PAGES)
    }

    #[inline]
    pub(super) fn log(&self) -> Option<&Arc<Log>> {
        self.log.as_ref()
    }

    /// The VMM's address of a guest address that is in the slot.
    #[inline]
    pub(super) fn hva(&self, ipa: u64) -> Option<usize> {
        Some(self.slot.hva_of(ipa / PAGE_SIZE as u64)? as usize)
    }

    /// Its guest addresses.
    #[inline]
    pub(super) fn gpas(&self) -> Range<u64> {
        let page = PAGE_SIZE as u64;
        let gfns = self.slot.gfns();
        gfns.start * page..gfns.end * page
    }

    /// Marks the page at a guest address, which is in the slot, as written to, if the slot logs. With a
    /// ring, which is that of the vCPU whose thread this is, that is where it goes.
    #[inline]
    pub(super) fn mark(&self, ipa: u64, ring: Option<&DirtyRing>) {
        if !self.logs() {
            return;
        }
        let page = ipa / PAGE_SIZE as u64 - self.slot.gfns().start;

        if ring.is_some_and(|ring| ring.put(self.slot.id().get(), page).is_ok()) {
            return;
        }
        if let Some(log) = &self.log {
            log.mark(page);
        }
    }

    /// Whether the guest must not write to it.
    #[inline]
    pub(super) fn is_read_only(&self) -> bool {
        self.slot.flags().contains(Flags::READONLY)
    }
}

/// The slots of a chunk.
#[derive(Clone)]
struct Chunk(Arc<KVec<MemorySlot>>);

impl memslot::Chunk for Chunk {
    type Slot = MemorySlot;

    #[inline(always)]
    fn slots(&self) -> &[MemorySlot] {
        &self.0
    }
}

/// A VM's slots. They do not change: others come in their place.
pub(super) struct Slots {
    list: KVVec<Listed<Chunk>>,
}

impl Slots {
    /// No slots.
    pub(super) fn none() -> Result<Fresh<Self>> {
        Fresh::new(Self { list: KVVec::new() })
    }

    /// The slot at a guest address.
    #[inline]
    pub(super) fn find(&self, ipa: u64) -> Option<&MemorySlot> {
        memslot::find(&self.list, ipa / PAGE_SIZE as u64)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The slot with a number.
    pub(super) fn with_id(&self, id: SlotId, numbers: &Numbers) -> Option<&MemorySlot> {
        memslot::find(&self.list, numbers.first_page(id)?)
    }

    /// The guest addresses that use some of the VMM's, in order; of those in the page of `from` and
    /// behind it.
    pub(super) fn in_hvas(
        &self,
        from: u64,
        hvas: Range<u64>,
    ) -> impl Iterator<Item = Range<u64>> + '_ {
        let page = PAGE_SIZE as u64;
        memslot::in_hva_range(&self.list, from / page, hvas)
            .map(move |hit| hit.gfns.start * page..hit.gfns.end * page)
    }

    /// [Marks](MemorySlot::mark) the page at a guest address as written to. Returns its slot.
    #[inline]
    pub(super) fn mark(&self, ipa: u64, ring: Option<&DirtyRing>) -> Option<&MemorySlot> {
        self.find(ipa).inspect(|slot| slot.mark(ipa, ring))
    }

    /// What a request does to the slots.
    ///
    /// # Errors
    ///
    /// As [`memslot::plan()`].
    pub(super) fn plan(
        &self,
        region: &memslot::Region,
        numbers: &Numbers,
    ) -> Result<Change, memslot::Refusal> {
        let old = self.with_id(region.id(), numbers);
        memslot::plan(&self.list, region, old.map(Borrow::borrow))
    }

    /// The slots after a change; `log` is the one of the slot that there is then.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn changed(&self, change: &Change, log: Option<Arc<Log>>) -> Result<Self> {
        let with = |slot: &Slot| MemorySlot {
            slot: *slot,
            log: log.clone(),
        };
        // An edit makes two chunks of one at most.
        let mut list = KVVec::with_capacity(self.list.len() + 1, GFP_KERNEL_ACCOUNT)?;
        list.extend_from_slice(&self.list, GFP_KERNEL_ACCOUNT)?;
        let mut new = Self { list };

        match change {
            Change::Nothing => {}
            Change::Create { slot } => new.insert(&with(slot))?,
            Change::Delete { old } => new.remove(old)?,
            Change::Move { old, slot } => {
                new.remove(old)?;
                new.insert(&with(slot))?;
            }
            Change::Flags { slot, .. } => {
                let slot = with(slot);
                let edit = memslot::replace(&new.list, &slot).ok_or(EINVAL)?;
                new.put(Part::of(edit)?)?;
            }
        }
        Ok(new)
    }

    fn insert(&mut self, slot: &MemorySlot) -> Result {
        let part = Part::of(memslot::insert(&self.list, slot))?;
        self.put(part)
    }

    fn remove(&mut self, slot: &Slot) -> Result {
        let edit = memslot::remove(&self.list, slot.gfns().start).ok_or(EINVAL)?;
        let part = Part::of(edit)?;
        self.put(part)
    }

    fn put(&mut self, part: Part) -> Result {
        let mut at = part.replaced;

        for chunk in part.chunks.into_iter().flatten() {
            match self.list.get_mut(at.clone()) {
                Some([old, ..]) => *old = chunk,
                _ => {
                    self.list.reserve(1, GFP_KERNEL_ACCOUNT)?;
                    self.list
                        .insert_within_capacity(at.start, chunk)
                        .map_err(|_| EINVAL)?;
                    at.end += 1;
                }
            }
            at.start += 1;
        }
        for gone in at.rev() {
            self.list.remove(gone).map_err(|_| EINVAL)?;
        }
        Ok(())
    }
}

/// New chunks, and those in whose place they come.
struct Part {
    replaced: Range<usize>,
    chunks: [Option<Listed<Chunk>>; 2],
}

impl Part {
    fn of(edit: Edit<'_, MemorySlot>) -> Result<Self> {
        let mut chunks = [const { None }; 2];

        for (chunk, content) in chunks.iter_mut().zip(edit.contents()) {
            let mut slots = KVec::with_capacity(content.len(), GFP_KERNEL_ACCOUNT)?;
            for part in content.parts() {
                slots.extend_from_slice(part, GFP_KERNEL_ACCOUNT)?;
            }
            *chunk = Listed::new(Chunk(Arc::new(slots, GFP_KERNEL_ACCOUNT)?));
        }
        Ok(Self {
            replaced: edit.replaced,
            chunks,
        })
    }
}

/// In [`Numbers`], a slot that does not exist.
const NO_SLOT: u64 = u64::MAX;

/// The first guest page of each slot, by its number.
pub(super) struct Numbers(KVVec<u64>);

impl Numbers {
    pub(super) const fn new() -> Self {
        Self(KVVec::new())
    }

    fn first_page(&self, id: SlotId) -> Option<u64> {
        self.0
            .get(usize::from(id.get()))
            .copied()
            .filter(|gfn| *gfn != NO_SLOT)
    }

    /// Makes room for a number.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn make_room(&mut self, id: SlotId) -> Result {
        let number = usize::from(id.get());
        if number >= self.0.len() {
            let len = (number + 1).next_power_of_two().max(8);
            self.0.resize(len, NO_SLOT, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(())
    }

    /// Follows a change of a slot for whose number there is room.
    pub(super) fn follow(&mut self, change: &Change) {
        let (id, gfn) = match change {
            Change::Nothing => return,
            Change::Delete { old } => (old.id(), NO_SLOT),
            Change::Create { slot } | Change::Move { slot, .. } | Change::Flags { slot, .. } => {
                (slot.id(), slot.gfns().start)
            }
        };
        if let Some(known) = self.0.get_mut(usize::from(id.get())) {
            *known = gfn;
        }
    }
}
