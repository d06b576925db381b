// SPDX-License-Identifier: GPL-2.0

//! The walker against a plain map.

use crate::{
    format::{
        any_attributes,
        any_format,
        any_permissions, //
    },
    memory::Memory,
};
use kvm_core::stage2::{
    Attributes,
    Config,
    Execute,
    Format,
    Geometry,
    Level,
    MapError,
    Mapped,
    Mapping,
    MemoryType,
    Permissions,
    Progress,
    RelaxError,
    Stage2,
    TableAddr, //
};
use proptest::prelude::*;
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    ops::Range, //
};

/// An operation; addresses are made to fit when it is done.
#[derive(Clone, Debug)]
enum Op {
    Map(Place, u64, Attributes),
    Relax(Place, Permissions),
    SetAccessed(Place),
    Unmap(Place, Place, u32),
    WriteProtect(Place, Place, u32),
    ClearAccessed(Place, Place, u32),
}

/// A place in the address space, near others at each level: by level which entry of its table.
#[derive(Copy, Clone, Debug)]
struct Place {
    index: [u8; Level::COUNT],
    level: Level,
}

impl Place {
    fn ipa(&self, geometry: &Geometry) -> u64 {
        let mut ipa = 0;
        for level in Level::ALL
            .iter()
            .filter(|level| **level >= geometry.start())
        {
            let index = match self.index[*level as usize] {
                index @ 0..=1 => u64::from(index),
                last => geometry.entries(*level) as u64 - u64::from(last - 1),
            };
            ipa += index * geometry.span(*level);
        }
        ipa
    }
}

fn any_place() -> impl Strategy<Value = Place> {
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
        2 => (any_place(), any_permissions()).prop_map(|(at, more)| Op::Relax(at, more)),
        1 => any_place().prop_map(Op::SetAccessed),
        4 => (any_place(), any_place(), any_budget()).prop_map(|(a, b, n)| Op::Unmap(a, b, n)),
        1 => (any_place(), any_place(), any_budget())
            .prop_map(|(a, b, n)| Op::WriteProtect(a, b, n)),
        1 => (any_place(), any_place(), any_budget())
            .prop_map(|(a, b, n)| Op::ClearAccessed(a, b, n)),
    ]
}

/// Returns the budget for a step. The smallest ones are for narrow ranges: a wide one visits
/// thousands of entries.
fn budget(budget: u32, range: &Range<u64>, geometry: &Geometry) -> u32 {
    if range.end - range.start > 4 * geometry.span(Level::L3) {
        budget.max(97)
    } else {
        budget
    }
}

/// The tables, and the map that they are compared with.
struct World {
    stage2: Stage2,
    mem: Memory,
    /// By first address.
    map: BTreeMap<u64, Mapping>,
}

impl World {
    fn new(config: &Config) -> Self {
        let format = Format::new(*config).unwrap();
        let mem = Memory::new(format);
        Self {
            stage2: Stage2::new(format, mem.root()).unwrap(),
            mem,
            map: BTreeMap::new(),
        }
    }

    fn geometry(&self) -> Geometry {
        *self.stage2.geometry()
    }

    fn range(&self, a: Place, b: Place) -> Range<u64> {
        let geometry = self.geometry();
        let (a, b) = (a.ipa(&geometry), b.ipa(&geometry));
        a.min(b)..a.max(b) + geometry.span(Level::L3)
    }

    /// Returns the first addresses of what is mapped in `range`, in part or as a whole.
    fn touched(&self, range: &Range<u64>) -> Vec<u64> {
        self.map
            .values()
            .filter(|m| m.ipa < range.end && range.start < m.ipa + m.size)
            .map(|m| m.ipa)
            .collect()
    }

    fn at(&self, ipa: u64) -> Option<Mapping> {
        let (_, mapping) = self.map.range(..=ipa).next_back()?;
        (ipa < mapping.ipa + mapping.size).then_some(*mapping)
    }

    fn map(&mut self, place: Place, pa: u64, attributes: Attributes) {
        let geometry = self.geometry();
        let level = place.level;
        let size = geometry.span(level);
        let ipa = place.ipa(&geometry) & !(size - 1);
        // The last address that there is, or one of the first.
        let pa = match pa {
            0 => (1 << geometry.pa_bits()) - size,
            pa => pa * size,
        };
        let done = self.stage2.map(&mut self.mem, ipa, level, pa, attributes);
        let possible = geometry.has_leaves(level)
            && level >= geometry.start()
            && pa + size <= 1 << geometry.pa_bits()
            && self.stage2.format().can_express(attributes.permissions());
        let new = Mapping {
            ipa,
            pa,
            size,
            level,
            permissions: attributes.permissions(),
            memory: Some(attributes.memory()),
            accessed: true,
        };
        let expected = match self.at(ipa) {
            _ if !possible => Err(MapError::Leaf),
            Some(old) if old.size > size => Ok(Mapped::Replaced),
            Some(old) if old.size == size => Ok(if old == new {
                Mapped::Same
            } else if (old.pa, old.memory) == (new.pa, new.memory) {
                Mapped::Permissions
            } else {
                Mapped::Replaced
            }),
            _ if !self.touched(&(ipa..ipa + size)).is_empty() => Err(MapError::TableInTheWay),
            _ => Ok(Mapped::New),
        };
        assert_eq!(done, expected);
        if done.is_ok() {
            for old in self.touched(&(ipa..ipa + size)) {
                self.map.remove(&old);
            }
            self.map.insert(ipa, new);
        }
    }

    fn relax(&mut self, place: Place, more: Permissions) {
        let ipa = place.ipa(&self.geometry());
        let done = self.stage2.relax(&mut self.mem, ipa, more);
        let Some(mut old) = self.at(ipa) else {
            assert_eq!(done, Err(RelaxError::NotMapped));
            return;
        };
        old.permissions = old.permissions.union(more);
        old.accessed = true;
        let device = old.memory == Some(MemoryType::Device);
        if (device && old.permissions.execute != Execute::Never)
            || !self.stage2.format().can_express(old.permissions)
        {
            assert_eq!(done, Err(RelaxError::Permissions));
        } else {
            assert_eq!(done, Ok(old.level));
            self.map.insert(old.ipa, old);
        }
    }

    fn unmap(&mut self, range: Range<u64>, budget: u32) {
        let mut from = range.start;
        while let Progress::More(next) = self.stage2.unmap(&mut self.mem, from..range.end, budget) {
            assert!(from < next && next < range.end);
            // What is removed is gone at once, not only in the end.
            self.mem.assert_clean();
            from = next;
        }
        for ipa in self.touched(&range) {
            self.map.remove(&ipa);
        }
    }

    fn update(&mut self, range: Range<u64>, budget: u32, protect: bool) {
        let mut from = range.start;
        let mut changed = false;
        loop {
            let rest = from..range.end;
            let update = if protect {
                self.stage2.write_protect(&mut self.mem, rest, budget)
            } else {
                self.stage2.clear_accessed(&mut self.mem, rest, budget)
            };
            changed |= update.changed;
            match update.progress {
                Progress::Done => break,
                Progress::More(next) => {
                    assert!(from < next && next < range.end);
                    from = next;
                }
            }
        }
        let mut expected = false;
        for ipa in self.touched(&range) {
            let mapping = self.map.get_mut(&ipa).unwrap();
            let flag = if protect {
                &mut mapping.permissions.write
            } else {
                &mut mapping.accessed
            };
            expected |= core::mem::take(flag);
        }
        assert_eq!(changed, expected);
        if changed {
            self.mem.invalidate_narrowed();
        }
    }

    fn run(&mut self, op: Op) {
        let geometry = self.geometry();
        match op {
            Op::Map(place, pa, attributes) => self.map(place, pa, attributes),
            Op::Relax(place, more) => self.relax(place, more),
            Op::SetAccessed(place) => {
                let ipa = place.ipa(&geometry);
                let done = self.stage2.set_accessed(&mut self.mem, ipa);
                let old = self.at(ipa);
                assert_eq!(done, old.is_some());
                if let Some(mut old) = old {
                    old.accessed = true;
                    self.map.insert(old.ipa, old);
                }
            }
            Op::Unmap(a, b, n) => {
                let range = self.range(a, b);
                self.unmap(range.clone(), budget(n, &range, &geometry));
            }
            Op::WriteProtect(a, b, n) => {
                let range = self.range(a, b);
                self.update(range.clone(), budget(n, &range, &geometry), true);
            }
            Op::ClearAccessed(a, b, n) => {
                let range = self.range(a, b);
                self.update(range.clone(), budget(n, &range, &geometry), false);
            }
        }
        self.mem.assert_clean();
    }

    /// The tables say what the map says, and there are no more of them than that takes.
    fn compare(&self, range: Range<u64>, budget: u32) {
        let mut found = Vec::new();
        let mut from = range.start;
        loop {
            let rest = from..range.end;
            let progress = self
                .stage2
                .for_each_mapping(&self.mem, rest, budget, |mapping| found.push(mapping));
            match progress {
                Progress::Done => break,
                Progress::More(next) => from = next,
            }
        }
        let expected: Vec<_> = self
            .touched(&range)
            .iter()
            .map(|ipa| self.map[ipa])
            .collect();
        assert_eq!(found, expected);
        for mapping in self.map.values() {
            for ipa in [
                mapping.ipa.wrapping_sub(1),
                mapping.ipa,
                mapping.ipa + mapping.size - 1,
                mapping.ipa + mapping.size,
            ] {
                let found = self.stage2.lookup(&self.mem, ipa);
                assert_eq!(found, self.at(ipa), "at {ipa:#x}");
                if let Some(found) = found {
                    assert_eq!(found.translate(ipa), Some(found.pa + (ipa - found.ipa)));
                }
            }
        }
        let geometry = self.geometry();
        let tables: BTreeSet<_> = self
            .map
            .values()
            .flat_map(|mapping| {
                Level::ALL
                    .iter()
                    .filter(move |level| geometry.start() < **level && **level <= mapping.level)
                    .map(move |level| {
                        let above = level.previous().unwrap();
                        (*level, mapping.ipa >> geometry.shift(above))
                    })
            })
            .collect();
        assert_eq!(self.mem.tables(), tables.len());
    }

    fn tear_down(mut self, budget: u32) {
        self.mem.teardown = true;
        let mut teardown = self.stage2.into_teardown();
        assert_eq!(teardown.root(), self.mem.root());
        while let Progress::More(_) = teardown.step(&mut self.mem, budget) {}
        assert_eq!(teardown.step(&mut self.mem, budget), Progress::Done);
        assert_eq!(self.mem.tables(), 0, "leaked");
        self.mem.assert_root_empty();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn as_a_map(
        config in any_format(),
        ops in prop::collection::vec(any_op(), 1..40),
        some in (any_place(), any_place(), any_budget()),
        teardown_budget in any_budget(),
    ) {
        let mut world = World::new(&config);
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
        config in any_format(),
        ops in prop::collection::vec(any_op(), 1..20),
        n in 97u32..10_000,
    ) {
        let mut world = World::new(&config);
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
    fn beside_a_walker(config in any_format(), ops in prop::collection::vec(any_op(), 1..40)) {
        let mut world = World::new(&config);
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
        config in any_format(),
        places in prop::collection::vec(any_place(), 1..8),
        reserve in 0usize..4,
    ) {
        let mut world = World::new(&config);
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
    fn tables_that_stay_empty_are_freed(config in any_format(), place in any_place()) {
        let mut world = World::new(&config);
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
    assert!(!world.stage2.set_accessed(&mut world.mem, u64::MAX));
    assert_eq!(
        world
            .stage2
            .relax(&mut world.mem, u64::MAX, Permissions::NONE),
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
