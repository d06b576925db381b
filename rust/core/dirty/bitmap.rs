// SPDX-License-Identifier: GPL-2.0

//! A slot's bitmap of written pages.

use crate::word::Word;
use core::{
    num::NonZeroU64,
    ops::{
        Deref,
        Range, //
    }, //
};

/// Pages in a word of a bitmap.
pub const WORD_PAGES: u64 = u64::BITS as u64;

/// Which of a slot's pages were written to since somebody looked.
///
/// # Invariants
///
/// There are as many words as the pages need, and no bit beyond the last page is set. A word is changed
/// by full barriers.
#[derive(Debug)]
pub struct Bitmap<S> {
    words: S,
    pages: NonZeroU64,
}

impl<S: Deref<Target = [W]>, W: Word> Bitmap<S> {
    /// Returns the number of words for a slot of so many pages.
    pub const fn words_for(pages: NonZeroU64) -> u64 {
        pages.get().div_ceil(WORD_PAGES)
    }

    /// Returns a bitmap in `words`, all of which are 0; [`None`] if they are not as many as
    /// [`Self::words_for`] says.
    pub fn new(words: S, pages: NonZeroU64) -> Option<Self> {
        (words.len() as u64 == Self::words_for(pages)).then_some(Self { words, pages })
    }

    /// Returns the number of pages.
    #[inline]
    pub const fn pages(&self) -> NonZeroU64 {
        self.pages
    }

    /// Returns the number of words.
    #[inline]
    pub fn count(&self) -> usize {
        self.words.len()
    }

    /// Marks all pages: KVM_DIRTY_LOG_INITIALLY_SET.
    pub fn mark_all(&self) {
        for (at, word) in self.words.iter().enumerate() {
            word.set(self.valid(at));
        }
    }

    /// Marks a page as written to, `page` counted from the slot's first. What is no page of the slot
    /// is left out.
    ///
    /// Before this the leaf was made writable: see [`crate::dirty`].
    #[inline]
    pub fn mark(&self, page: u64) {
        if page >= self.pages.get() {
            return;
        }
        if let Some(word) = self.words.get((page / WORD_PAGES) as usize) {
            word.set(1 << (page % WORD_PAGES));
        }
    }

    /// Returns the bits of pages that a word has.
    #[inline]
    fn valid(&self, at: usize) -> u64 {
        match self.pages.get().checked_sub(at as u64 * WORD_PAGES) {
            Some(rest) if rest < WORD_PAGES => (1 << rest) - 1,
            Some(_) => u64::MAX,
            None => 0,
        }
    }

    /// Returns a word as it is; 0 if there are not as many.
    #[inline]
    pub fn peek(&self, at: usize) -> u64 {
        self.words.get(at).map_or(0, W::load)
    }

    /// Takes a word: returns the pages that are marked, which are so no more. Afterwards they are
    /// write-protected.
    #[inline]
    pub fn take(&self, at: usize) -> u64 {
        self.words.get(at).map_or(0, take)
    }

    /// Returns the words from `first` on, `count` of them or as many as there are.
    #[inline]
    pub fn words(&self, first: usize, count: usize) -> &[W] {
        let words = self.words.get(first..).unwrap_or_default();
        words.get(..count).unwrap_or(words)
    }

    /// [Takes](Self::take) words from the word `first` on.
    pub fn take_into(&self, first: usize, out: &mut [u64]) {
        let words = self.words(first, out.len());
        for (out, words) in out.chunks_mut(GROUP).zip(words.chunks(GROUP)) {
            if is_clear(words) {
                out.fill(0);
                continue;
            }
            for (out, word) in out.iter_mut().zip(words) {
                *out = take(word);
            }
        }
    }

    /// Takes those of `pages` that are marked. Afterwards what is returned is write-protected.
    #[inline]
    pub fn clear(&self, at: usize, pages: u64) -> u64 {
        match self.words.get(at) {
            Some(word) if pages != 0 => word.clear(pages) & pages,
            _ => 0,
        }
    }

    /// Marks pages that were taken after all: whoever took them could not be told.
    #[inline]
    pub fn give_back(&self, at: usize, pages: u64) {
        if let Some(word) = self.words.get(at).filter(|_| pages != 0) {
            word.set(pages & self.valid(at));
        }
    }
}

/// How many words are looked at together to see that nothing is marked: most of a large slot is not
/// written to between two looks.
const GROUP: usize = 8;

/// Whether no bit of the words is set.
#[inline]
pub fn is_clear<W: Word>(words: &[W]) -> bool {
    let any = |words: &[W]| words.iter().fold(0, |all, word| all | word.load()) != 0;
    let mut groups = words.chunks_exact(GROUP);

    !groups.any(any) && !any(groups.remainder())
}

/// Takes a word's bits.
#[inline]
fn take(word: &impl Word) -> u64 {
    match word.load() {
        0 => 0,
        _ => word.swap(0),
    }
}

/// The part of a slot that KVM_CLEAR_DIRTY_LOG is about.
///
/// # Invariants
///
/// The words are such that a slot has of which the part was made.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Part {
    first: usize,
    words: usize,
}

impl Part {
    /// Returns the part of a slot with `pages` pages that begins with page `first_page` and has
    /// `num_pages`.
    ///
    /// [`None`], which is EINVAL, if the first is not a multiple of 64, the last not one and not the
    /// slot's last, or they are not all the slot's. Nothing from the slot's end on is a part.
    pub const fn new(first_page: u64, num_pages: u32, pages: NonZeroU64) -> Option<Self> {
        let num_pages = num_pages as u64;
        let rest = match pages.get().checked_sub(first_page) {
            Some(rest) => rest,
            None => return None,
        };
        if first_page % WORD_PAGES != 0
            || num_pages > rest
            || (num_pages < rest && num_pages % WORD_PAGES != 0)
        {
            return None;
        }
        Some(Self {
            first: (first_page / WORD_PAGES) as usize,
            words: num_pages.div_ceil(WORD_PAGES) as usize,
        })
    }

    /// Returns the words of the slot's bitmap that the part is in. User space's bitmap of the part
    /// has as many.
    #[inline]
    pub const fn words(&self) -> Range<usize> {
        self.first..self.first + self.words
    }
}
