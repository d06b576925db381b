// SPDX-License-Identifier: GPL-2.0

//! Cleaning and invalidating all that is mapped.

use crate::memory::{
    guest::Memory,
    mmu::BUDGET, //
};
use kvm_core::stage2::{
    MemoryType,
    Progress, //
};
use kvm_host::{
    cache::Caches,
    trace, //
};

/// How many bytes a step of a flush cleans with the lock held: a line takes tens of nanoseconds if it
/// is dirty, and a block has millions.
const FLUSH_BYTES: u64 = 256 << 10;

impl Memory {
    /// Cleans and invalidates a part of what is mapped, by address to the Point of Coherency, from a
    /// guest address on, which may be inside of a block. Returns where to go on, and how many bytes it
    /// was.
    pub(crate) fn flush_step(&self, from: u64) -> (Option<u64>, u64) {
        let mut bytes = 0;
        let (range, memory) = (from..u64::MAX, MemoryType::Normal);
        let mut mmu = self.mmu.lock();
        let progress = mmu.with_tables(&self.translation, None, |walk| {
            walk.for_each_piece(range, memory, BUDGET, FLUSH_BYTES, |piece| {
                let mut done = 0;
                while done < piece.size {
                    let some = (piece.size - done).min(Caches::MAX_BYTES as u64);
                    let _ = self.caches.clean_invalidate(piece.pa + done, some as usize);
                    done += some;
                }
                trace::flush_range(piece.ipa, piece.size);
                bytes += piece.size;
            })
        });
        match progress {
            Progress::Done => (None, bytes),
            Progress::More(next) => (Some(next), bytes),
        }
    }
}
