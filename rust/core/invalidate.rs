// SPDX-License-Identifier: GPL-2.0

//! Keeping pages that the host takes away from being mapped after all.
//!
//! A vCPU's fault looks up the host page behind a guest address without a lock, since that may
//! sleep, and then maps it under the lock of the VM's tables. In between the host may take the page
//! away: its notifier unmaps what is mapped, finds nothing, and the fault would then map a page that
//! belongs to somebody else. So the notifier records, under the same lock, what it invalidates and
//! when; the fault takes a [`Snapshot`] before the lookup and asks before it maps whether what it
//! found may be stale, in which case the guest takes its fault again.

use core::ops::Range;

/// The moment at which a lookup began. It belongs to the [`InvalidateSeq`] that it was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot(u64);

/// The record of a VM's invalidations. It is part of what the lock of the VM's tables protects, and
/// all of its methods are called under that lock.
#[derive(Debug, Default)]
pub struct InvalidateSeq {
    /// How many invalidations have ended.
    sequence: u64,
    /// How many are under way.
    in_progress: u64,
    /// Addresses from the lowest to the highest of those under way, and of those that ended while
    /// others went on. Meaningless when none is under way.
    start: u64,
    end: u64,
}

impl InvalidateSeq {
    /// A record without invalidations.
    pub const fn new() -> Self {
        Self {
            sequence: 0,
            in_progress: 0,
            start: 0,
            end: 0,
        }
    }

    /// An invalidation of the addresses in `range`, which is not empty, begins: called before, and
    /// under the same holding of the lock as, what is mapped there is unmapped.
    pub fn begin(&mut self, range: Range<u64>) {
        if self.in_progress == 0 {
            (self.start, self.end) = (range.start, range.end);
        } else {
            self.start = self.start.min(range.start);
            self.end = self.end.max(range.end);
        }
        self.in_progress += 1;
    }

    /// An invalidation that [`begin`](Self::begin) recorded has ended: from now on a lookup finds
    /// what is there afterwards.
    ///
    /// Returns whether no other is under way, so that who waits for that can be woken up. An end
    /// without a beginning changes nothing, and returns false.
    pub fn end(&mut self) -> bool {
        let Some(others) = self.in_progress.checked_sub(1) else {
            return false;
        };

        // Lookups that began before now may have found what was there before. Wrapping takes
        // centuries, and then harms only a lookup that took as long.
        self.sequence = self.sequence.wrapping_add(1);
        self.in_progress = others;
        others == 0
    }

    /// Whether an invalidation is under way.
    pub fn in_progress(&self) -> bool {
        self.in_progress != 0
    }

    /// A lookup begins.
    #[inline]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.sequence)
    }

    /// Whether what a lookup found for any of `addresses` may be stale, so that it must not be
    /// mapped.
    ///
    /// That is so if any invalidation has ended since the lookup began, or one is under way that
    /// may concern an address of these. An invalidation elsewhere that goes on for long does not stop
    /// the VM.
    #[inline]
    pub fn must_retry(&self, snapshot: Snapshot, addresses: Range<u64>) -> bool {
        snapshot.0 != self.sequence
            || (self.in_progress != 0 && self.start < addresses.end && addresses.start < self.end)
    }
}
