// SPDX-License-Identifier: GPL-2.0

//! The LPIs that wait for a vCPU.
//!
//! As with [`Candidates`](super::candidates::Candidates): a bitmap that any thread sets bits in, and a
//! second level that says which of its words are worth reading. A bit is a hint to look at an LPI, and
//! owns nothing: the LPI may have gone or belong to another vCPU by then.

use super::{
    candidates::Word,
    intid::{
        IntId,
        FIRST_LPI,
        INTID_BITS, //
    },
};
use core::ops::Deref;

const BITS: usize = u64::BITS as usize;

/// Words with a bit per LPI.
const LPI_WORDS: usize = ((1 << INTID_BITS) - FIRST_LPI as usize) / BITS;

/// Words with a bit for each of those.
const SUMMARY_WORDS: usize = LPI_WORDS.div_ceil(BITS);

/// The LPIs that wait for a vCPU, in words that their owner made.
pub struct Waiting<S>(S);

/// How many words that takes.
pub const WORDS: usize = LPI_WORDS + SUMMARY_WORDS;

/// Returns the place of an LPI's bit: its word and the bit's number. [`None`] if it is no LPI.
#[inline]
fn place(intid: IntId) -> Option<(usize, usize)> {
    let n = intid.index().checked_sub(FIRST_LPI as usize)?;
    Some((n / BITS, n % BITS))
}

impl<S> Waiting<S> {
    /// Returns an empty set; `words` are zero, and [`WORDS`] many.
    pub const fn new(words: S) -> Self {
        Self(words)
    }

    /// Adds an LPI. What it is to be looked at for is stored already.
    #[inline]
    pub fn mark<W: Word>(&self, intid: IntId)
    where
        S: Deref<Target = [W]>,
    {
        let Some((n, bit)) = place(intid) else { return };
        let (words, summary) = self.0.split_at(LPI_WORDS);
        if let (Some(word), Some(above)) = (words.get(n), summary.get(n / BITS)) {
            word.set(1 << bit);
            above.set(1 << (n % BITS));
        }
    }

    /// Removes an LPI.
    #[inline]
    pub fn clear<W: Word>(&self, intid: IntId)
    where
        S: Deref<Target = [W]>,
    {
        let Some((n, bit)) = place(intid) else { return };
        if let Some(word) = self.0.get(n) {
            let mut old = word.load();
            while let Err(now) = word.compare_exchange(old, old & !(1 << bit)) {
                old = now;
            }
        }
    }

    /// Calls `keep` for each, in order, and removes those for which it is false. Those that are added
    /// meanwhile are looked at, now or the next time. Returns whether any that were looked at stay.
    pub fn retain<W: Word>(&self, mut keep: impl FnMut(IntId) -> bool) -> bool
    where
        S: Deref<Target = [W]>,
    {
        let (words, summary) = self.0.split_at(LPI_WORDS);
        let mut any = false;

        for (n, above) in summary.iter().enumerate() {
            if above.load() == 0 {
                continue;
            }
            let mut which = above.swap(0);
            let mut stay = 0;
            while which != 0 {
                let m = which.trailing_zeros() as usize;
                which &= which - 1;
                let at = n * BITS + m;
                // A word is set before its bit here, and was loaded after that bit was taken.
                let Some(word) = words.get(at).filter(|word| word.load() != 0) else {
                    continue;
                };
                let first = FIRST_LPI as usize + at * BITS;
                let mut bits = word.swap(0);
                let mut kept = 0;
                while bits != 0 {
                    let bit = bits.trailing_zeros();
                    bits &= bits - 1;
                    if IntId::lpi(first as u32 + bit).is_some_and(&mut keep) {
                        kept |= 1 << bit;
                    }
                }
                if kept != 0 {
                    word.set(kept);
                    stay |= 1 << m;
                }
            }
            if stay != 0 {
                above.set(stay);
                any = true;
            }
        }
        any
    }
}
