// SPDX-License-Identifier: GPL-2.0

//! The walker against a plain map.

use crate::{
    format::{
        any_attributes,
        any_cpu,
        any_permissions, //
    },
    memory::Unlocked,
    world::{
        budget,
        Op,
        Place,
        World, //
    },
};
use kvm_core::stage2::{
    Attributes,
    Level,
    MapError,
    MapStep,
    Mapped,
    MemoryType,
    Permissions,
    Progress,
    RelaxError,
    Split,
    Stage2,
    TableAddr, //
};
use proptest::prelude::*;

pub fn any_place() -> impl Strategy<Value = Place> {
    let level = prop_oneof![
        6 => Just(Level::L3),
        2 => Just(Level::L2),
        1 => Just(Level::L1),
    ];
    ([0..=2u8, 0..=2, 0..=2, 0..=3], level).prop_map(|(index, level)| Place { index, level })
}

fn any_budget() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1..4u32, Just(700), Just(u32::MAX)]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (any_place(), 0..4u64, any_attributes()).prop_map(|(at, pa, a)| Op::Map(at, pa, a)),
        3 => (any_place(), 0..4u64, any_attributes(), any_budget())
            .prop_map(|(at, pa, a, n)| Op::MapOver(at, pa, a, n)),
        2 => (
            (any_place(), 0..4u64, any_attributes(), any_budget()),
            prop::collection::vec(any_place(), 1..4),
        )
            .prop_map(|((at, pa, a, n), others)| Op::MapOverBeside(at, pa, a, n, others)),
        2 => (any_place(), any_permissions()).prop_map(|(at, more)| Op::Relax(at, more)),
        1 => any_place().prop_map(Op::SetAccessed),
        4 => (any_place(), any_place(), any_budget()).prop_map(|(a, b, n)| Op::Unmap(a, b, n)),
        1 => (any_place(), any_place(), any_budget())
            .prop_map(|(a, b, n)| Op::WriteProtect(a, b, n)),
        1 => (any_place(), any_place(), any_budget())
            .prop_map(|(a, b, n)| Op::ClearAccessed(a, b, n)),
        2 => (any_place(), any::<u64>(), any::<u64>())
            .prop_map(|(at, a, b)| Op::WriteProtectPages(at, a & b)),
        1 => (any_place(), any_place(), any_budget()).prop_map(|(a, b, n)| Op::Split(a, b, n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn as_a_map(
        (config, cpu) in any_cpu(),
        ops in prop::collection::vec(any_op(), 1..40),
        some in (any_place(), any_place(), any_budget()),
        teardown_budget in any_budget(),
    ) {
        let mut world = World::on(&config, cpu);
        for op in ops {
            world.run(op);
        }
        let range = world.range(some.0, some.1);
        world.compare(range.clone(), budget(some.2, &range, &world.geometry()));
        world.compare(0..u64::MAX, u32::MAX);
        world.tear_down(teardown_budget);
    }

    #[test]
    fn unmapping_everything_frees_everything(
        (config, cpu) in any_cpu(),
        ops in prop::collection::vec(any_op(), 1..20),
        n in 97u32..10_000,
    ) {
        let mut world = World::on(&config, cpu);
        for op in ops {
            world.run(op);
        }
        world.unmap(0..u64::MAX, n);
        world.mem.assert_clean();
        prop_assert_eq!(world.mem.tables(), 0);
        world.mem.assert_root_empty();
    }

    /// Hardware sets access flags in the moment in which entries are changed.
    #[test]
    fn beside_a_walker((config, cpu) in any_cpu(), ops in prop::collection::vec(any_op(), 1..40)) {
        let mut world = World::on(&config, cpu);
        world.mem.walker = true;
        for op in ops {
            // What an access flag is then is up to the walker.
            if !matches!(op, Op::ClearAccessed(..)) {
                world.run(op);
            }
        }
        world.compare(0..u64::MAX, u32::MAX);
        world.tear_down(u32::MAX);
    }

    #[test]
    fn an_empty_reserve_changes_nothing_that_shows(
        (config, cpu) in any_cpu(),
        places in prop::collection::vec(any_place(), 1..8),
        reserve in 0usize..4,
    ) {
        let mut world = World::on(&config, cpu);
        let geometry = world.geometry();
        let attributes =
            Attributes::new(Permissions::new(true, true, true), MemoryType::Normal).unwrap();
        for place in places {
            let level = Level::L3;
            let ipa = place.ipa(&geometry);
            world.mem.reserve = reserve;
            match world.stage2.map(&mut world.mem, ipa, level, 0, attributes) {
                Err(MapError::NoTable) => {
                    prop_assert!(reserve < geometry.tables_to_map(level));
                    prop_assert_eq!(world.stage2.lookup(&world.mem, ipa), None);
                    // Those that were taken are in place: with what is missing it goes on.
                    world.mem.reserve = geometry.tables_to_map(level) - reserve;
                    let again = world.stage2.map(&mut world.mem, ipa, level, 0, attributes);
                    prop_assert_eq!(again, Ok(Mapped::New));
                }
                other => prop_assert!(other.is_ok()),
            }
            world.mem.assert_clean();
        }
        world.mem.reserve = usize::MAX;
        world.unmap(0..u64::MAX, u32::MAX);
        prop_assert_eq!(world.mem.tables(), 0);
    }

    #[test]
    fn a_split_goes_on_when_there_are_tables_again((config, cpu) in any_cpu(), place in any_place()) {
        let mut world = World::on(&config, cpu);
        let geometry = world.geometry();
        let level = Level::L2;
        let ipa = place.ipa(&geometry) & !(geometry.span(level) - 1);
        let attributes =
            Attributes::new(Permissions::new(true, false, true), MemoryType::Normal).unwrap();
        world.stage2.map(&mut world.mem, ipa, level, 0, attributes).unwrap();
        let before = world.stage2.lookup(&world.mem, ipa);
        let range = ipa..ipa + 1;

        world.mem.reserve = 0;
        let done = world.stage2.split(&mut world.mem, range.clone(), u32::MAX);
        prop_assert_eq!(done, Split::NoTable(ipa));
        prop_assert_eq!(world.stage2.lookup(&world.mem, ipa), before);
        world.mem.reserve = 1;
        let done = world.stage2.split(&mut world.mem, range.clone(), u32::MAX);
        prop_assert_eq!(done, Split::More(ipa));
        let done = world.stage2.split(&mut world.mem, range, u32::MAX);
        prop_assert_eq!(done, Split::Done);
        world.mem.assert_clean();
        let after = world.stage2.lookup(&world.mem, ipa).unwrap();
        prop_assert_eq!(after.level, Level::L3);
        prop_assert_eq!(after.permissions, attributes.permissions());
    }

    #[test]
    fn tables_that_stay_empty_are_freed((config, cpu) in any_cpu(), place in any_place()) {
        let mut world = World::on(&config, cpu);
        let geometry = world.geometry();
        prop_assume!(geometry.tables_to_map(Level::L3) >= 2);
        let ipa = place.ipa(&geometry);
        let attributes = Attributes::new(Permissions::NONE, MemoryType::Device).unwrap();
        world.mem.reserve = 1;
        let done = world.stage2.map(&mut world.mem, ipa, Level::L3, 0, attributes);
        prop_assert_eq!(done, Err(MapError::NoTable));
        prop_assert_eq!(world.mem.tables(), 1);
        let _ = world.stage2.unmap(&mut world.mem, ipa..ipa + 1, u32::MAX);
        world.mem.assert_clean();
        prop_assert_eq!(world.mem.tables(), 0);
    }
}

/// TLB maintenance is made once for each table, not once for each page.
#[test]
fn unmap_invalidates_by_the_table() {
    let config = crate::geometry::config(kvm_core::granule::Granule::K4, 40, 40);
    let mut world = World::new(&config);
    let attributes =
        Attributes::new(Permissions::new(true, true, true), MemoryType::Normal).unwrap();
    for page in 0..1024u64 {
        let ipa = page << 12;
        world
            .stage2
            .map(&mut world.mem, ipa, Level::L3, ipa, attributes)
            .unwrap();
    }
    assert_eq!(world.mem.invalidations, 0);
    let range = 0..1024 << 12;
    assert_eq!(
        world.stage2.unmap(&mut world.mem, range, u32::MAX),
        Progress::Done
    );
    assert_eq!(world.mem.invalidations, 2);
    assert_eq!(world.mem.tables(), 0);
}

/// Another CPU faults on a page of what is to become a block, after the step that took it.
#[test]
fn a_page_that_comes_back_before_the_block_does() {
    let config = crate::geometry::config(kvm_core::granule::Granule::K4, 40, 40);
    let mut world = World::new(&config);
    let geometry = world.geometry();
    let attributes =
        Attributes::new(Permissions::new(true, true, true), MemoryType::Normal).unwrap();
    let page = |world: &mut World, ipa| {
        let done = world
            .stage2
            .map(&mut world.mem, ipa, Level::L3, ipa, attributes);
        assert_eq!(done, Ok(Mapped::New));
    };
    let block = geometry.extent(Level::L2, 2 << 20, 0, 2 << 20);
    let step = |world: &mut World, from| {
        let done = world
            .stage2
            .map_over(&mut world.mem, from, &block, attributes, 256);
        world.mem.assert_clean();
        done
    };
    let half = block.ipa + block.size / 2;
    for ipa in block.ipas().step_by(1 << 12) {
        page(&mut world, ipa);
    }
    for _ in 0..3 {
        assert_eq!(step(&mut world, block.ipa), Ok(MapStep::More(half)));
        page(&mut world, block.ipa);
        // The page keeps the table.
        assert_eq!(step(&mut world, half), Ok(MapStep::More(block.ipa)));
        page(&mut world, half);
    }
    assert_eq!(step(&mut world, block.ipa), Ok(MapStep::More(half)));
    let done = step(&mut world, half);
    assert_eq!(done, Ok(MapStep::Done(Mapped::Replaced)));
    let mapping = world.stage2.lookup(&world.mem, half).unwrap();
    assert_eq!((mapping.ipa, mapping.size), (block.ipa, block.size));
    assert_eq!(world.mem.tables(), geometry.tables_to_map(Level::L2));
}

#[test]
fn addresses_that_are_none() {
    let config = crate::geometry::config(kvm_core::granule::Granule::K4, 40, 44);
    let mut world = World::new(&config);
    let attributes = Attributes::new(Permissions::NONE, MemoryType::Normal).unwrap();
    for ipa in [1 << 40, u64::MAX & !0xfff, 0x800] {
        assert_eq!(
            world
                .stage2
                .map(&mut world.mem, ipa, Level::L3, 0, attributes),
            Err(MapError::Ipa)
        );
    }
    assert_eq!(world.stage2.lookup(&world.mem, 1 << 40), None);
    assert_eq!(world.stage2.lookup(&world.mem, u64::MAX), None);
    let shared = world.stage2.shared();
    let tables = Unlocked::new(&mut world.mem);
    assert!(!shared.set_accessed(&tables, u64::MAX));
    assert_eq!(
        shared.relax(&tables, u64::MAX, Permissions::NONE),
        Err(RelaxError::NotMapped)
    );
    let beyond = 1 << 40..u64::MAX;
    assert_eq!(
        world.stage2.unmap(&mut world.mem, beyond, 1),
        Progress::Done
    );
    let misaligned = TableAddr::new(world.mem.root().pa() + 0x1000, config.granule).unwrap();
    assert_eq!(Stage2::new(*world.stage2.format(), misaligned), None);
}
