// SPDX-License-Identifier: GPL-2.0

//! The ring against a queue, and batches against sets.

use kvm_core::dirty::{
    ring::{
        DIRTY,
        RESET, //
    },
    BadRingSize,
    Batch,
    Entries,
    Full,
    Page,
    Ring,
    RingSize, //
};
use proptest::prelude::*;
use std::{
    cell::Cell,
    collections::{
        BTreeSet,
        VecDeque, //
    },
};

const PAGE_SIZE: u64 = 4096;
const ENTRIES: u32 = 256;

#[derive(Debug)]
struct Memory {
    entries: Vec<Cell<(u32, Page)>>,
    put: Cell<u32>,
    taken: Cell<u32>,
}

impl Entries for Memory {
    fn flags(&self, at: u32) -> u32 {
        self.entries[at as usize].get().0
    }

    fn set_flags(&self, at: u32, flags: u32) {
        let entry = &self.entries[at as usize];
        entry.set((flags, entry.get().1));
    }

    fn page(&self, at: u32) -> Page {
        self.entries[at as usize].get().1
    }

    fn set_page(&self, at: u32, page: Page) {
        let entry = &self.entries[at as usize];
        entry.set((entry.get().0, page));
    }

    fn put(&self) -> u32 {
        self.put.get()
    }

    fn set_put(&self, count: u32) {
        self.put.set(count);
    }

    fn taken(&self) -> u32 {
        self.taken.get()
    }

    fn set_taken(&self, count: u32) {
        // From now on the vCPU may use the entry, and nobody else touches it.
        assert_eq!(self.flags(self.taken.get() % ENTRIES), 0);
        self.taken.set(count);
    }
}

/// A ring whose counters are about to wrap around.
fn ring(counter: u32) -> Ring<Memory> {
    let page = Page { slot: 0, offset: 0 };
    let memory = Memory {
        entries: (0..ENTRIES).map(|_| Cell::new((0, page))).collect(),
        put: Cell::new(counter),
        taken: Cell::new(counter),
    };
    Ring::new(memory, RingSize::from_bytes(PAGE_SIZE, PAGE_SIZE).unwrap())
}

/// The pages of a batch that are within a slot.
fn pages(batch: &Batch, limit: u64) -> Vec<(u32, u64)> {
    batch.within(limit).map_or(Vec::new(), |(first, mask)| {
        (0..64)
            .filter(|bit| (mask >> bit) & 1 != 0)
            .map(|bit| (batch.slot(), first + bit))
            .collect()
    })
}

fn any_page() -> impl Strategy<Value = Page> {
    let offset = prop_oneof![
        12 => 0..200u64,
        2 => (u64::MAX - 70)..=u64::MAX,
        1 => any::<u64>(),
    ];
    (0..2u32, offset).prop_map(|(slot, offset)| Page { slot, offset })
}

#[derive(Clone, Debug)]
enum Step {
    Put(Page),
    /// User space marks so many of the next entries as harvested.
    Harvest(usize),
    Reset(u32),
}

proptest! {
    #[test]
    fn as_a_queue(
        counter in prop_oneof![Just(0), (u32::MAX - 300)..=u32::MAX],
        steps in prop::collection::vec(prop_oneof![
            30 => any_page().prop_map(Step::Put),
            4 => (1..40usize).prop_map(Step::Harvest),
            3 => (0..60u32).prop_map(Step::Reset),
        ], 1..1200),
    ) {
        let ring = ring(counter);
        let mut seen = 0;
        let mut queue = VecDeque::new();
        for step in steps {
            match step {
                Step::Put(page) => {
                    let done = ring.put(page);
                    if queue.len() == ENTRIES as usize {
                        prop_assert_eq!(done, Err(Full));
                    } else {
                        prop_assert_eq!(done, Ok(()));
                        queue.push_back(page);
                    }
                }
                Step::Harvest(count) => {
                    for _ in 0..count {
                        if seen == queue.len() {
                            break;
                        }
                        let count = ring.entries().taken().wrapping_add(seen as u32);
                        let entry = &ring.entries().entries[(count % ENTRIES) as usize];
                        prop_assert_eq!(entry.get(), (DIRTY, queue[seen]));
                        // Bit 0 is ignored.
                        entry.set((RESET | (seen as u32 & 1), queue[seen]));
                        seen += 1;
                    }
                }
                Step::Reset(budget) => {
                    let mut protected = BTreeSet::new();
                    let count = ring.reset(budget, |batch| protected.extend(pages(&batch, u64::MAX)));
                    prop_assert_eq!(count as usize, seen.min(budget as usize));
                    let expected: BTreeSet<_> = queue
                        .drain(..count as usize)
                        .map(|page| (page.slot, page.offset))
                        .filter(|(_, offset)| *offset != u64::MAX)
                        .collect();
                    prop_assert_eq!(protected, expected);
                    seen -= count as usize;
                }
            }
            let used = queue.len() as u32;
            prop_assert_eq!(ring.is_soft_full(), used >= ENTRIES - RingSize::RESERVED);
        }
    }

    /// User space writes what it likes to the ring, at any time.
    #[test]
    fn hostile(
        rounds in prop::collection::vec(
            (
                0..40u32,
                prop::collection::vec((0..ENTRIES, any::<u32>(), any_page()), 0..60),
                0..400u32,
            ),
            1..30,
        ),
    ) {
        let ring = ring(u32::MAX - 100);
        let (mut put, mut taken) = (0, 0);
        for (pages, writes, budget) in rounds {
            for offset in 0..pages {
                let page = Page { slot: 0, offset: offset.into() };
                prop_assert_eq!(ring.put(page).is_ok(), put - taken < ENTRIES);
                put += u32::from(put - taken < ENTRIES);
            }
            for (at, flags, page) in writes {
                ring.entries().entries[at as usize].set((flags, page));
            }
            let mut protected = 0;
            let count = ring.reset(budget, |batch| protected += pages_in(&batch));
            // No more than were put in, and each of them makes one page to protect at most.
            prop_assert!(count <= budget && count <= put - taken);
            prop_assert!(protected <= count);
            taken += count;
            prop_assert_eq!(
                ring.entries().put().wrapping_sub(ring.entries().taken()),
                put - taken
            );
            prop_assert_eq!(ring.is_soft_full(), put - taken >= ENTRIES - RingSize::RESERVED);
        }
    }

    #[test]
    fn batches_have_what_was_added(
        first in any_page(),
        others in prop::collection::vec(any_page(), 0..40),
        limit in prop_oneof![0..300u64, Just(u64::MAX)],
    ) {
        let mut batch = Batch::new(first);
        let mut model = BTreeSet::from([first.offset]);
        for page in others {
            let low = page.offset.min(*model.first().unwrap());
            let high = page.offset.max(*model.last().unwrap());
            let fits = page.slot == first.slot && high - low < 64;
            prop_assert_eq!(batch.add(page), fits);
            if fits {
                model.insert(page.offset);
            }
        }
        let expected: Vec<_> = model
            .into_iter()
            .filter(|offset| *offset < limit)
            .map(|offset| (first.slot, offset))
            .collect();
        prop_assert_eq!(pages(&batch, limit), expected);
    }

    #[test]
    fn sizes(shift in 0..40u32, less in 0..2u64, page_shift in prop::sample::select(vec![12, 14, 16])) {
        let bytes = (1 << shift) - less;
        let page = 1 << page_shift;
        let size = RingSize::from_bytes(bytes, page);
        if !bytes.is_power_of_two() || bytes < page {
            prop_assert_eq!(size, Err(BadRingSize::Invalid));
        } else if bytes > 1 << 20 {
            prop_assert_eq!(size, Err(BadRingSize::TooLarge));
        } else {
            prop_assert_eq!(size.unwrap().bytes(), bytes);
            prop_assert_eq!(u64::from(size.unwrap().entries()), bytes / 16);
        }
    }
}

fn pages_in(batch: &Batch) -> u32 {
    batch
        .within(u64::MAX)
        .map_or(0, |(_, mask)| mask.count_ones())
}

/// A guest that goes through its memory, either way, makes a batch of each 64 pages.
#[test]
fn neighbours_come_together() {
    for down in [false, true] {
        let ring = ring(0);
        for n in 0..128u64 {
            let offset = if down { 1000 - n } else { n };
            ring.put(Page { slot: 3, offset }).unwrap();
        }
        for entry in &ring.entries().entries[..128] {
            entry.set((RESET, entry.get().1));
        }
        let mut masks = Vec::new();
        let count = ring.reset(u32::MAX, |batch| masks.push(batch.within(2000).unwrap().1));
        assert_eq!(count, 128);
        assert_eq!(masks, [u64::MAX; 2]);
    }
}
