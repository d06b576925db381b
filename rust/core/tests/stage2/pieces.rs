// SPDX-License-Identifier: GPL-2.0

//! What is mapped, in pieces of so many bytes, against the mappings.

use crate::{
    format::{
        any_attributes,
        any_format, //
    },
    walker::any_place,
    world::{
        Op,
        World, //
    },
};
use kvm_core::stage2::{
    Attributes,
    Level,
    MemoryType,
    Permissions,
    Piece,
    Progress, //
};
use proptest::prelude::*;
use std::ops::Range;

/// All pieces, step by step; each step is within its budgets.
fn pieces(
    world: &World,
    range: &Range<u64>,
    memory: MemoryType,
    budget: u32,
    bytes: u64,
) -> Vec<Piece> {
    let page = world.geometry().span(Level::L3);
    let mut found = Vec::new();
    let mut from = range.start;
    loop {
        let (first, rest) = (found.len(), from..range.end);
        let progress =
            world
                .stage2
                .for_each_piece(&world.mem, rest, memory, budget, bytes, |piece| {
                    found.push(piece)
                });
        let sum: u64 = found[first..].iter().map(|piece| piece.size).sum();
        assert!(sum <= bytes.max(page));
        assert!(found.len() - first <= budget.max(1) as usize);
        match progress {
            Progress::Done => return found,
            Progress::More(next) => {
                assert!(from < next && next < range.end);
                from = next;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn all_of_the_range_once(
        config in any_format(),
        maps in prop::collection::vec((any_place(), 0..4u64, any_attributes()), 1..20),
        ends in (any_place(), any_place()),
        odd in (0..1u64 << 30, 0..1u64 << 30),
        memory in prop::sample::select(vec![MemoryType::Normal, MemoryType::Device]),
        steps in 1..40u64,
        budget in 97..1000u32,
    ) {
        let mut world = World::new(&config);
        for (place, pa, attributes) in maps {
            world.run(Op::Map(place, pa, attributes));
        }
        // Inside of blocks.
        let page = world.geometry().span(Level::L3);
        let range = world.range(ends.0, ends.1);
        let start = (range.start + odd.0 % (range.end - range.start)) & !(page - 1);
        let range = start..start + ((odd.1 % (range.end - start)) & !(page - 1)) + page;

        let mut expected = Vec::new();
        let all = world.stage2.for_each_mapping(&world.mem, range.clone(), u32::MAX, |m| {
            let start = m.ipa.max(range.start);
            let size = (m.ipa + m.size).min(range.end) - start;
            if m.memory == Some(memory) {
                expected.push(Piece { ipa: start, pa: m.translate(start).unwrap(), size });
            }
        });
        prop_assert_eq!(all, Progress::Done);

        let sum: u64 = expected.iter().map(|piece| piece.size).sum();
        let bytes = sum / steps;
        let mut found: Vec<Piece> = Vec::new();
        for piece in pieces(&world, &range, memory, budget, bytes) {
            match found.last_mut() {
                // The rest of what a step began.
                Some(last)
                    if last.ipa + last.size == piece.ipa
                        && expected.iter().all(|whole| whole.ipa != piece.ipa) =>
                {
                    prop_assert_eq!(last.pa + last.size, piece.pa);
                    last.size += piece.size;
                }
                _ => found.push(piece),
            }
        }
        prop_assert_eq!(found, expected);
    }
}

/// A block is not cleaned at once, and a step does not begin what it has no bytes left for.
#[test]
fn a_block_in_steps() {
    let config = crate::geometry::config(kvm_core::granule::Granule::K4, 40, 44);
    let mut world = World::new(&config);
    let read = Permissions::new(true, false, false);
    let attributes = Attributes::new(read, MemoryType::Normal).unwrap();
    let (g1, m1) = (1u64 << 30, 1u64 << 20);
    for (ipa, level) in [(g1, Level::L1), (2 * g1, Level::L3)] {
        let done = world
            .stage2
            .map(&mut world.mem, ipa, level, 4 * g1 + ipa, attributes);
        assert!(done.is_ok());
    }
    let found = pieces(&world, &(0..u64::MAX), MemoryType::Normal, 512, m1);
    assert_eq!(found.len(), 1025);
    for (n, piece) in found.iter().enumerate() {
        let ipa = g1 + n as u64 * m1;
        let size = if n == 1024 { 0x1000 } else { m1 };
        assert_eq!((piece.ipa, piece.pa, piece.size), (ipa, 4 * g1 + ipa, size));
    }
}
