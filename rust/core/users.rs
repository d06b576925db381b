// SPDX-License-Identifier: GPL-2.0

//! Waiting for those who still use what has just been replaced.
//!
//! Who uses a thing enters, looks up what the thing is now, and leaves when it is done with that,
//! which may take long: it may sleep. Who replaces the thing then turns and waits until nobody is on
//! the side that was the current one. Who has entered there may use the old thing; who enters later is
//! on the other side, finds the new one, and is not waited for.
//!
//! Both counts and which of them is the current one are in one word, so that the order of its changes
//! is all there is to it: who entered before the turn is counted where that looks, and who enters after
//! it sees all that was done before.

use crate::word::Word;

/// Bits of a count. The number of threads has fewer.
const COUNT: u32 = 31;

/// The bit that says which side is the current one.
const CURRENT: u64 = 1 << 63;

/// One of the two sides that users are on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Side(bool);

impl Side {
    const fn current(word: u64) -> Self {
        Self(word & CURRENT != 0)
    }

    const fn shift(self) -> u32 {
        if self.0 {
            COUNT
        } else {
            0
        }
    }

    const fn is_used(self, word: u64) -> bool {
        (word >> self.shift()) & ((1 << COUNT) - 1) != 0
    }
}

/// The users of a thing.
pub struct Users<W>(W);

impl<W: Word> Users<W> {
    /// Returns no users; `word` is zero.
    pub const fn new(word: W) -> Self {
        Self(word)
    }

    fn change(&self, f: impl Fn(u64) -> u64) -> u64 {
        let mut old = self.0.load();
        loop {
            match self.0.compare_exchange(old, f(old)) {
                Ok(()) => return old,
                Err(now) => old = now,
            }
        }
    }

    /// A user comes. What it uses it looks up after this. The result is for [`leave`](Self::leave).
    #[inline]
    pub fn enter(&self) -> Side {
        let old = self.change(|word| word + (1 << Side::current(word).shift()));
        Side::current(old)
    }

    /// A user goes. Returns whether somebody who replaced the thing may wait for just this.
    #[inline]
    #[must_use]
    pub fn leave(&self, side: Side) -> bool {
        let one = 1 << side.shift();
        let now = self.change(|word| word - one) - one;
        side != Side::current(now) && !side.is_used(now)
    }

    /// The thing has been replaced. Returns the side of all who may use the old one. Nobody is on the
    /// other side: one who replaces the thing waits before the next one does.
    pub fn turn(&self) -> Side {
        Side::current(self.change(|word| word ^ CURRENT))
    }

    /// Whether there are users on a side that [`turn`](Self::turn) has returned.
    pub fn are_on(&self, side: Side) -> bool {
        // That they have left is known by a full barrier: what they did was before.
        side.is_used(self.change(|word| word))
    }
}
