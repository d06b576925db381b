// SPDX-License-Identifier: GPL-2.0

//! A VM's slots, by guest address and by number.

use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_core::memslot::{
    self,
    Change,
    Flags,
    Slot,
    SlotId, //
};

/// In [`Slots::starts`], a slot that does not exist.
const NO_SLOT: u64 = u64::MAX;

/// A VM's slots.
pub(super) struct Slots {
    /// The slots by guest address.
    slots: KVVec<Slot>,
    /// The first guest page of each slot by its number, by which it is found in `slots`.
    starts: KVVec<u64>,
}

/// The capacities that a change of the slots needs; 0 where there is enough.
pub(super) struct Room {
    pub(super) slots: usize,
    pub(super) starts: usize,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            slots: KVVec::new(),
            starts: KVVec::new(),
        }
    }

    /// The slots by guest address.
    pub(super) fn as_slice(&self) -> &[Slot] {
        &self.slots
    }

    /// The VMM's address of a guest address, and the slot's flags.
    pub(super) fn find(&self, ipa: u64) -> Option<(usize, Flags)> {
        let page = PAGE_SIZE as u64;
        let slot = self.slots.get(memslot::find(&self.slots, ipa / page, 0)?)?;
        Some((slot.hva_of(ipa / page)? as usize, slot.flags()))
    }

    /// The index of the slot with this number.
    pub(super) fn index_of(&self, id: SlotId) -> Option<usize> {
        let start = *self.starts.get(usize::from(id.get()))?;
        memslot::find(&self.slots, start, 0)
    }

    /// What a change of the slot with this number needs at most.
    pub(super) fn room_for(&self, id: SlotId) -> Room {
        let number = usize::from(id.get());

        Room {
            slots: if self.slots.len() < self.slots.capacity() {
                0
            } else {
                (self.slots.len() * 2).max(8)
            },
            starts: if number < self.starts.len() {
                0
            } else {
                (number + 1).next_power_of_two().max(8)
            },
        }
    }

    fn insert(&mut self, at: usize, slot: Slot) -> Result {
        let start = self
            .starts
            .get_mut(usize::from(slot.id().get()))
            .ok_or(ENOMEM)?;
        self.slots
            .insert_within_capacity(at, slot)
            .map_err(|_| ENOMEM)?;
        *start = slot.gfns().start;
        Ok(())
    }

    fn remove(&mut self, at: usize) -> Result<Slot> {
        let slot = self.slots.remove(at).map_err(|_| EINVAL)?;
        if let Some(start) = self.starts.get_mut(usize::from(slot.id().get())) {
            *start = NO_SLOT;
        }
        Ok(slot)
    }

    /// Takes the new storage, if there is any, for what is there.
    pub(super) fn make_room(
        &mut self,
        room: &Room,
        slots: &mut KVVec<Slot>,
        starts: &mut KVVec<u64>,
    ) -> Result {
        if room.slots != 0 {
            slots.extend_from_slice(&self.slots, GFP_ATOMIC)?;
            core::mem::swap(&mut self.slots, slots);
        }
        if room.starts != 0 {
            starts.extend_from_slice(&self.starts, GFP_ATOMIC)?;
            starts.resize(room.starts, NO_SLOT, GFP_ATOMIC)?;
            core::mem::swap(&mut self.starts, starts);
        }
        Ok(())
    }

    /// Changes the slots, for which there is room.
    pub(super) fn change(&mut self, change: Change) -> Result {
        match change {
            Change::Nothing => Ok(()),
            Change::Create { at, slot } => self.insert(at, slot),
            Change::Delete { at } => self.remove(at).map(|_| ()),
            Change::Move { from, to, slot } => {
                self.remove(from)?;
                self.insert(to, slot)
            }
            Change::Flags { at, slot } => {
                *self.slots.get_mut(at).ok_or(EINVAL)? = slot;
                Ok(())
            }
        }
    }
}
