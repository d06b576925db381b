// SPDX-License-Identifier: GPL-2.0

//! The LPIs that wait for a vCPU, by priority.
//!
//! There may be tens of thousands, and the one with the highest priority is to be found with
//! interrupts off. As with [`Candidates`](super::candidates::Candidates) there is a bitmap that any
//! thread sets bits in. For each level of priority there is a second one, of the words of the first
//! that have an LPI of that level, and a word says which of these levels have any. So who looks for
//! the first ones looks at words that have one, whatever else waits.
//!
//! All bits are hints to look at something, and own nothing: an LPI may have gone, have another
//! priority or belong to another vCPU by then. Who makes an LPI wait stores its state, and then
//! sets the bits from the bottom up; who looks takes a bit away and then looks once more at what it
//! was for, and sets it again if there is something. All of these are full barriers, so one of the
//! two sees the other.

use super::{
    candidates::Word,
    intid::{
        IntId,
        FIRST_LPI,
        INTID_BITS, //
    },
    irq::{
        Irq,
        PRIORITY_BITS, //
    },
};
use crate::bits::Bits;
use core::ops::Deref;

const BITS: usize = u64::BITS as usize;

/// Words with a bit per LPI.
const LPI_WORDS: usize = ((1 << INTID_BITS) - FIRST_LPI as usize) / BITS;

/// Words with a bit for each of those.
const HINT_WORDS: usize = LPI_WORDS.div_ceil(BITS);

/// Levels of priority.
const LEVELS: usize = 1 << PRIORITY_BITS;

/// How many LPIs [`Waiting::first`] looks at, about: enough for those of a CPU's list registers if each
/// is alone in its word, and for as many words again of which nothing comes.
const BUDGET: u32 = 4096;

/// What it costs to look at a word, in LPIs.
const WORD_COST: u32 = 8;

/// What it costs to pass one on to another vCPU.
const PASS_COST: u32 = 16;

/// The LPIs that wait for a vCPU, in words that their owner made.
pub struct Waiting<S>(S);

/// How many words that takes.
pub const WORDS: usize = LPI_WORDS + LEVELS * HINT_WORDS + 1;

/// The LPIs themselves.
pub trait Look {
    /// Calls `f` for each that `bits` has a bit for, in order, with the bit's number. Bit 0 is for
    /// `first`, whose number is a multiple of 64. [`None`] stands for one that does not wait for the
    /// vCPU.
    ///
    /// Returns how many of those wait for another vCPU, and were passed on to it.
    fn look(&mut self, first: IntId, bits: u64, f: impl FnMut(u32, Option<Irq>)) -> u32;
}

/// What there is beside those that [`Waiting::first`] has found.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// Perhaps others, none of them of a higher priority than the last.
    Others,
    /// Perhaps others of a higher priority than some: it takes too long to find out at once. It is
    /// to be asked again, and that comes to an end.
    Unknown,
}

/// What came of looking at a word.
enum Visit {
    Nothing,
    Found,
    Enough,
}

/// Returns the place of an LPI's bit: its word and the bit's number. [`None`] if it is no LPI.
#[inline]
fn place(intid: IntId) -> Option<(usize, usize)> {
    let n = intid.index().checked_sub(FIRST_LPI as usize)?;
    Some((n / BITS, n % BITS))
}

/// The level of a priority; 0 is the highest.
#[inline]
fn level_of(priority: Bits<8>) -> usize {
    (priority.get() >> (8 - PRIORITY_BITS)) as usize
}

/// Clears `bits`, with a full barrier if any was set.
#[inline]
fn clear<W: Word>(word: &W, bits: u64) {
    let mut old = word.load();
    while old & bits != 0 {
        match word.compare_exchange(old, old & !bits) {
            Ok(()) => return,
            Err(now) => old = now,
        }
    }
}

impl<S> Waiting<S> {
    /// Returns an empty set; `words` are zero, and [`WORDS`] many.
    pub const fn new(words: S) -> Self {
        Self(words)
    }

    /// The word with the bits of 64 LPIs.
    #[inline]
    fn word<W: Word>(&self, n: usize) -> Option<&W>
    where
        S: Deref<Target = [W]>,
    {
        self.0.get(..LPI_WORDS)?.get(n)
    }

    /// The hints of a level.
    #[inline]
    fn hints<W: Word>(&self, level: usize) -> &[W]
    where
        S: Deref<Target = [W]>,
    {
        let from = LPI_WORDS + level * HINT_WORDS;
        self.0.get(from..from + HINT_WORDS).unwrap_or(&[])
    }

    /// The levels that have hints.
    #[inline]
    fn levels<W: Word>(&self) -> Option<&W>
    where
        S: Deref<Target = [W]>,
    {
        self.0.get(WORDS - 1)
    }

    /// Adds an LPI of this priority. What it is to be looked at for is stored already.
    #[inline]
    pub fn mark<W: Word>(&self, intid: IntId, priority: Bits<8>)
    where
        S: Deref<Target = [W]>,
    {
        let Some((n, bit)) = place(intid) else { return };
        if let Some(word) = self.word(n) {
            word.set(1 << bit);
            self.hint(level_of(priority), n);
        }
    }

    /// Says that a word has an LPI of a level.
    #[inline]
    fn hint<W: Word>(&self, level: usize, n: usize)
    where
        S: Deref<Target = [W]>,
    {
        if let (Some(hints), Some(levels)) = (self.hints(level).get(n / BITS), self.levels()) {
            hints.set(1 << (n % BITS));
            levels.set(1 << level);
        }
    }

    /// Removes an LPI.
    #[inline]
    pub fn clear<W: Word>(&self, intid: IntId)
    where
        S: Deref<Target = [W]>,
    {
        let Some((n, bit)) = place(intid) else { return };
        if let Some(word) = self.word(n) {
            clear(word, 1 << bit);
        }
    }

    /// Calls `f` with those that wait, from the highest priority on, until it returns false. Those that
    /// `lpis` does not know to wait are removed. One that comes meanwhile may be missing, and so may be
    /// one whose priority changes: whoever does that marks it.
    ///
    /// To be called by one thread at a time.
    pub fn first<W: Word>(
        &self,
        lpis: &mut impl Look,
        mut f: impl FnMut(IntId, Irq) -> bool,
    ) -> Rest
    where
        S: Deref<Target = [W]>,
    {
        let Some(levels) = self.levels() else {
            return Rest::Nothing;
        };
        let mut budget = BUDGET;
        let mut left = levels.load();

        while left != 0 {
            let level = left.trailing_zeros() as usize;
            let mut any = false;
            left &= left - 1;

            for (n, hints) in self.hints(level).iter().enumerate() {
                let mut which = hints.load();
                while which != 0 {
                    let m = which.trailing_zeros() as usize;
                    let at = n * BITS + m;
                    which &= which - 1;

                    let waiting = self.word(at).map_or(0, |word| word.load().count_ones());
                    match budget.checked_sub(WORD_COST + waiting) {
                        Some(left) => budget = left,
                        None => return Rest::Unknown,
                    }
                    let mut visit = self.visit(level, at, lpis, &mut budget, &mut f);
                    if let Visit::Nothing = visit {
                        clear(hints, 1 << m);
                        budget = budget.saturating_sub(waiting);
                        visit = self.visit(level, at, lpis, &mut budget, &mut f);
                        if !matches!(visit, Visit::Nothing) {
                            self.hint(level, at);
                        }
                    }
                    match visit {
                        Visit::Nothing => {}
                        Visit::Found => any = true,
                        Visit::Enough => return Rest::Others,
                    }
                }
            }
            if !any {
                clear(levels, 1 << level);
                if self.hints(level).iter().any(|hints| hints.load() != 0) {
                    levels.set(1 << level);
                }
            }
        }
        Rest::Nothing
    }

    /// Calls `f` with those of a level in a word, until it returns false, and removes those that do not
    /// wait. Takes what it costs to pass some on from the budget.
    fn visit<W: Word>(
        &self,
        level: usize,
        at: usize,
        lpis: &mut impl Look,
        budget: &mut u32,
        f: &mut impl FnMut(IntId, Irq) -> bool,
    ) -> Visit
    where
        S: Deref<Target = [W]>,
    {
        let number = FIRST_LPI + (at * BITS) as u32;
        let (Some(word), Some(first)) = (self.word(at), IntId::lpi(number)) else {
            return Visit::Nothing;
        };
        let bits = word.load();
        let mut gone = 0;
        let mut visit = Visit::Nothing;

        if bits == 0 {
            return visit;
        }
        let mut passed = lpis.look(first, bits, |bit, irq| {
            match (irq, IntId::lpi(number + bit)) {
                (Some(irq), Some(intid)) => {
                    if level_of(irq.priority()) == level && !matches!(visit, Visit::Enough) {
                        visit = if f(intid, irq) {
                            Visit::Found
                        } else {
                            Visit::Enough
                        };
                    }
                }
                _ => gone |= 1 << bit,
            }
        });
        if gone != 0 {
            clear(word, gone);
            passed += lpis.look(first, gone, |bit, irq| {
                if let (Some(irq), Some(intid)) = (irq, IntId::lpi(number + bit)) {
                    self.mark(intid, irq.priority());
                }
            });
        }
        *budget = budget.saturating_sub(passed * PASS_COST);
        visit
    }
}
