// SPDX-License-Identifier: GPL-2.0

//! The interrupts that a vCPU has to look at.
//!
//! [`Candidates`] is a bitmap that any thread sets bits in, and [`Marks`] the one of the vCPU itself.
//! A second level says which words of the first are worth reading, so that a vCPU that has nothing to
//! look at finds out by one load.
//!
//! The order makes sure that nothing is missed. Who changes an interrupt stores its state, sets the
//! bit in the word, and then the word's bit in the summary. The vCPU goes the other way: it clears the
//! summary, takes the word, and then loads the interrupt's state. All of these are full barriers. So
//! if the vCPU misses the new state, the bit was set after the word was taken, and then the bit in the
//! summary after that was cleared: the vCPU will look again.

use super::intid::IntId;

pub use crate::word::Word;

/// Interrupts in a word.
const BITS: usize = u64::BITS as usize;

/// Words for SGIs, PPIs and SPIs.
const WORDS: usize = 1024 / BITS;

/// The summary's bit for LPIs, which are in a list and not in the bitmap.
const LPIS: u64 = 1 << WORDS;

/// The interrupts that a vCPU has to look at, as other threads tell it.
pub struct Candidates<W> {
    words: [W; WORDS],
    summary: W,
}

impl<W: Word> Candidates<W> {
    /// Returns an empty set; `word` makes a word that is zero.
    pub fn new(mut word: impl FnMut() -> W) -> Self {
        Self {
            words: core::array::from_fn(|_| word()),
            summary: word(),
        }
    }

    /// Makes the vCPU look at `intid`; at all its LPIs, if it is one. Whoever calls this kicks it next.
    #[inline]
    pub fn mark(&self, intid: IntId) {
        let summary = match self.words.get(intid.index() / BITS) {
            Some(word) => {
                word.set(1 << (intid.index() % BITS));
                1 << (intid.index() / BITS)
            }
            None => LPIS,
        };

        self.summary.set(summary);
    }

    /// Makes the vCPU look whether something is different, though no interrupt of its own is.
    #[inline]
    pub fn mark_all(&self) {
        self.summary.set(LPIS);
    }

    /// Whether there is something to look at.
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.summary.load() != 0
    }

    /// Moves all to `marks`. By the vCPU's own thread.
    #[inline]
    pub fn take(&self, marks: &mut Marks) {
        if !self.any() {
            return;
        }
        let summary = self.summary.swap(0);

        marks.used |= summary & LPIS;
        for n in Words(summary & !LPIS) {
            if let Some(word) = self.words.get(n) {
                marks.add(n, word.swap(0));
            }
        }
    }
}

/// The words that a summary has bits for.
struct Words(u64);

impl Iterator for Words {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let first = self.0;
        self.0 &= first.checked_sub(1)?;
        Some(first.trailing_zeros() as usize)
    }
}

/// The interrupts that a vCPU has to look at, as it has taken note of them itself.
///
/// # Invariants
///
/// `used` has a bit for each word that is not 0, and no other but [`LPIS`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    words: [u64; WORDS],
    used: u64,
}

impl Marks {
    /// No interrupts.
    pub const NONE: Self = Self {
        words: [0; WORDS],
        used: 0,
    };

    /// Adds interrupts of a word.
    #[inline]
    fn add(&mut self, n: usize, bits: u64) {
        if let Some(word) = self.words.get_mut(n).filter(|_| bits != 0) {
            *word |= bits;
            self.used |= 1 << n;
        }
    }

    /// Adds an interrupt; all LPIs, if it is one.
    #[inline]
    pub fn insert(&mut self, intid: IntId) {
        match intid.index() / BITS {
            n @ 0..WORDS => self.add(n, 1 << (intid.index() % BITS)),
            _ => self.set_lpis(true),
        }
    }

    /// Removes an interrupt that is not an LPI.
    #[inline]
    pub fn remove(&mut self, intid: IntId) {
        let n = intid.index() / BITS;

        if let Some(word) = self.words.get_mut(n) {
            *word &= !(1 << (intid.index() % BITS));
            if *word == 0 {
                self.used &= !(1 << n);
            }
        }
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether LPIs are to be looked at.
    #[inline]
    pub fn lpis(&self) -> bool {
        self.used & LPIS != 0
    }

    /// Sets whether LPIs are to be looked at.
    #[inline]
    pub fn set_lpis(&mut self, lpis: bool) {
        self.used &= !LPIS;
        if lpis {
            self.used |= LPIS;
        }
    }

    /// Calls `keep` for each that is not an LPI, in order, and removes those for which it is false.
    #[inline]
    pub fn retain(&mut self, mut keep: impl FnMut(IntId) -> bool) {
        for n in Words(self.used & !LPIS) {
            let Some(word) = self.words.get_mut(n) else {
                continue;
            };
            let mut left = *word;

            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                let intid = IntId::new(n as u32 * u64::BITS + bit);
                if !intid.is_some_and(&mut keep) {
                    *word &= !(1 << bit);
                }
            }
            if *word == 0 {
                self.used &= !(1 << n);
            }
        }
    }
}
