// SPDX-License-Identifier: GPL-2.0

//! Where in guest memory the entries of tables are.

use super::{
    entry::second_level,
    env::{
        Fault,
        GuestMemory, //
    },
    register::{
        Baser,
        ENTRY_SIZE, //
    },
};

/// Entries that follow each other in memory.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The ID of the first one.
    pub first: u64,
    /// The first ID behind the last one.
    pub end: u64,
    /// The IPA of the first one, or [`None`] if there is no second-level table for them.
    pub base: Option<u64>,
}

impl Run {
    /// Returns the IPA of the entry of `id`, which is one of the run's.
    pub fn entry(&self, id: u64) -> Option<u64> {
        Some(self.base?.wrapping_add((id - self.first) * ENTRY_SIZE))
    }
}

/// Returns the entries of which that of `id` is one; [`None`] if it is behind the end of the table,
/// or there is no table.
///
/// # Errors
///
/// [`Fault`]: the first level cannot be read.
pub fn run<M: GuestMemory + ?Sized>(
    memory: &M,
    baser: Baser,
    id: u64,
) -> Result<Option<Run>, Fault> {
    if !baser.valid() {
        return Ok(None);
    }
    let slots = baser.bytes() / ENTRY_SIZE;
    if !baser.indirect() {
        return Ok((id < slots).then_some(Run {
            first: 0,
            end: slots,
            base: Some(baser.base()),
        }));
    }
    let per_page = baser.page_bytes() / ENTRY_SIZE;
    let slot = id / per_page;
    if slot >= slots {
        return Ok(None);
    }
    let raw = memory.read_u64(baser.base().wrapping_add(slot * ENTRY_SIZE))?;
    Ok(Some(Run {
        first: slot * per_page,
        end: (slot + 1) * per_page,
        base: second_level(raw, baser.page_bytes()),
    }))
}

/// Returns the IPA of the entry of `id`, or [`None`] if there is none in guest memory.
pub fn entry<M: GuestMemory + ?Sized>(memory: &M, baser: Baser, id: u32) -> Option<u64> {
    run(memory, baser, id.into())
        .ok()??
        .entry(id.into())
        .filter(|ipa| memory.is_memory(*ipa))
}

/// The size of a block of entries in bytes. ITTs are aligned to it, tables to more.
const BLOCK: usize = 256;

/// Reads entries, in blocks: tables may have many and most of them nothing in them.
pub struct Reader {
    /// The IPA of the block.
    at: Option<u64>,
    bytes: [u8; BLOCK],
}

impl Reader {
    /// Returns a reader that has read nothing.
    pub const fn new() -> Self {
        Self {
            at: None,
            bytes: [0; BLOCK],
        }
    }

    /// Reads the entry at `ipa`, a multiple of its size.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub fn read<M: GuestMemory + ?Sized>(&mut self, memory: &M, ipa: u64) -> Result<u64, Fault> {
        let offset = ipa % BLOCK as u64;
        let block = ipa - offset;
        if self.at != Some(block) {
            self.at = None;
            memory.read(block, &mut self.bytes)?;
            self.at = Some(block);
        }
        let mut entry = [0; ENTRY_SIZE as usize];
        let (_, rest) = self.bytes.split_at(offset as usize);
        if let Some(bytes) = rest.first_chunk() {
            entry = *bytes;
        }
        Ok(u64::from_le_bytes(entry))
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}
