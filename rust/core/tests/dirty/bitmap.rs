// SPDX-License-Identifier: GPL-2.0

//! The bitmap against a set of pages.

use kvm_core::{
    dirty::{
        is_clear,
        Bitmap,
        Part, //
    },
    word::Word, //
};
use proptest::prelude::*;
use std::{
    cell::Cell,
    collections::BTreeSet,
    num::NonZeroU64, //
};

/// A word of one thread.
#[derive(Debug, Default)]
pub struct Plain(Cell<u64>);

impl Word for Plain {
    fn load(&self) -> u64 {
        self.0.get()
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        if self.load() == old {
            self.0.set(new);
            Ok(())
        } else {
            Err(self.load())
        }
    }

    fn swap(&self, new: u64) -> u64 {
        self.0.replace(new)
    }
}

fn words(count: u64) -> Vec<Plain> {
    (0..count).map(|_| Plain::default()).collect()
}

fn pages(count: u64) -> NonZeroU64 {
    NonZeroU64::new(count).unwrap()
}

fn bitmap(count: u64) -> Bitmap<Vec<Plain>> {
    Bitmap::new(words(count.div_ceil(64)), pages(count)).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Mark(u64),
    MarkAll,
    Take(usize),
    Clear(usize, u64),
    GiveBack(usize, u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..1400u64).prop_map(Step::Mark),
        1 => prop::sample::select(vec![u64::MAX, 1 << 32, 1 << 63]).prop_map(Step::Mark),
        1 => Just(Step::MarkAll),
        2 => (0..24usize).prop_map(Step::Take),
        2 => (0..24usize, any::<u64>()).prop_map(|(at, mask)| Step::Clear(at, mask)),
        1 => (0..24usize, any::<u64>()).prop_map(|(at, mask)| Step::GiveBack(at, mask)),
    ]
}

/// The pages that the bits of a word stand for.
fn named(at: usize, bits: u64) -> impl Iterator<Item = u64> {
    (0..64)
        .filter(move |bit| (bits >> bit) & 1 != 0)
        .map(move |bit| at as u64 * 64 + bit)
}

proptest! {
    #[test]
    fn as_a_set(count in 1..1300u64, skip in 0..24usize, length in 0..24usize, steps in prop::collection::vec(any_step(), 1..60)) {
        let bitmap = bitmap(count);
        let mut model = BTreeSet::new();
        for step in steps {
            match step {
                Step::Mark(page) => {
                    bitmap.mark(page);
                    if page < count {
                        model.insert(page);
                    }
                }
                Step::MarkAll => {
                    bitmap.mark_all();
                    model.extend(0..count);
                }
                Step::Take(at) if at < bitmap.count() => {
                    let taken: BTreeSet<_> = named(at, bitmap.take(at)).collect();
                    let expected: BTreeSet<_> = named(at, u64::MAX)
                        .filter(|page| model.remove(page))
                        .collect();
                    prop_assert_eq!(taken, expected);
                }
                Step::Clear(at, mask) if at < bitmap.count() => {
                    let taken: BTreeSet<_> = named(at, bitmap.clear(at, mask)).collect();
                    let expected: BTreeSet<_> = named(at, mask)
                        .filter(|page| model.remove(page))
                        .collect();
                    prop_assert_eq!(taken, expected);
                }
                Step::GiveBack(at, mask) if at < bitmap.count() => {
                    bitmap.give_back(at, mask);
                    model.extend(named(at, mask).filter(|page| *page < count));
                }
                Step::Take(_) | Step::Clear(..) | Step::GiveBack(..) => {}
            }
            let words = bitmap.words(skip, length);
            prop_assert_eq!(words.len(), length.min(bitmap.count().saturating_sub(skip)));
            let same = words.iter().enumerate().all(|(n, word)| word.load() == bitmap.peek(skip + n));
            prop_assert!(same);
            prop_assert_eq!(is_clear(words), words.iter().all(|word| word.load() == 0));
            let now: BTreeSet<_> = (0..bitmap.count())
                .flat_map(|at| named(at, bitmap.peek(at)))
                .collect();
            prop_assert_eq!(&now, &model);
        }
        let behind = bitmap.words(skip, length).len();
        let mut words = vec![u64::MAX; behind];
        bitmap.take_into(skip, &mut words);
        let taken: BTreeSet<_> = (0..behind).flat_map(|n| named(skip + n, words[n])).collect();
        let span = skip as u64 * 64..(skip + behind) as u64 * 64;
        let expected = model.iter().copied().filter(|page| span.contains(page)).collect();
        prop_assert_eq!(&taken, &expected);

        let mut words = vec![0; bitmap.count() + 1];
        bitmap.take_into(0, &mut words);
        let rest: BTreeSet<_> = (0..words.len()).flat_map(|at| named(at, words[at])).collect();
        prop_assert_eq!(rest, &model - &taken);
        prop_assert!((0..bitmap.count()).all(|at| bitmap.peek(at) == 0));
    }

    #[test]
    fn has_as_many_words_as_pages_need(count in 1..1000u64, others in 0..20u64) {
        let fits = others == count.div_ceil(64);
        prop_assert_eq!(Bitmap::new(words(others), pages(count)).is_some(), fits);
        prop_assert_eq!(Bitmap::<Vec<Plain>>::words_for(pages(count)), count.div_ceil(64));
    }

    /// What api.rst says about `first_page` and `num_pages`.
    #[test]
    fn parts(
        count in prop_oneof![1..400u64, Just((1 << 31) - 1)],
        first in prop_oneof![0..500u64, (0..8u64).prop_map(|n| n * 64), any::<u64>()],
        length in prop_oneof![0..500u32, (0..8u32).prop_map(|n| n * 64), any::<u32>()],
        to_the_end: bool,
    ) {
        let length = match count.checked_sub(first) {
            Some(rest) if to_the_end => rest as u32,
            _ => length,
        };
        let end = u128::from(first) + u128::from(length);
        let valid = first % 64 == 0
            && end <= count.into()
            && (length % 64 == 0 || end == count.into());
        let part = Part::new(first, length, pages(count));
        prop_assert_eq!(part.is_some(), valid);
        if let Some(part) = part {
            let words = part.words();
            prop_assert_eq!(words.start as u64 * 64, first);
            prop_assert_eq!(words.len() as u64, u64::from(length).div_ceil(64));
            prop_assert!(words.end as u64 <= count.div_ceil(64));
        }
    }
}
