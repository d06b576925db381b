// SPDX-License-Identifier: GPL-2.0

//! The tables beside a plain map, and operations on both.

use super::{
    cpu::{
        Features,
        Leaf, //
    },
    memory::{
        Memory,
        Unlocked, //
    },
};
use kvm_core::{
    granule::Granule,
    stage2::{
        Attributes,
        Config,
        Extent,
        Format,
        Geometry,
        Level,
        MapError,
        MapStep,
        Mapped,
        Mapping,
        Permissions,
        Progress,
        RelaxError,
        Relaxed,
        Split,
        Stage2,
        Stale,
        TableMemory, //
    },
};
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    ops::Range, //
};

/// Granules, with sizes of IPA and PA that have another shape each.
pub const SHAPES: [(Granule, u8, u8); 13] = [
    (Granule::K4, 32, 40),
    (Granule::K4, 40, 44),
    (Granule::K4, 43, 48),
    (Granule::K4, 44, 48),
    (Granule::K4, 48, 48),
    (Granule::K4, 52, 52),
    (Granule::K16, 36, 40),
    (Granule::K16, 40, 48),
    (Granule::K16, 48, 48),
    (Granule::K16, 52, 52),
    (Granule::K64, 32, 48),
    (Granule::K64, 43, 48),
    (Granule::K64, 52, 52),
];

/// An operation; addresses are made to fit when it is done.
#[derive(Clone, Debug)]
pub enum Op {
    Map(Place, u64, Attributes),
    MapOver(Place, u64, Attributes, u32),
    /// Others map something in between.
    MapOverBeside(Place, u64, Attributes, u32, Vec<Place>),
    Relax(Place, Permissions),
    SetAccessed(Place),
    Unmap(Place, Place, u32),
    WriteProtect(Place, Place, u32),
    ClearAccessed(Place, Place, u32),
    /// Some of 64 pages.
    WriteProtectPages(Place, u64),
    Split(Place, Place, u32),
}

/// A place in the address space, near others at each level: by level which entry of its table.
#[derive(Copy, Clone, Debug)]
pub struct Place {
    pub index: [u8; Level::COUNT],
    pub level: Level,
}

impl Place {
    pub fn ipa(&self, geometry: &Geometry) -> u64 {
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

/// Returns the budget for a step. The smallest ones are for narrow ranges: a wide one visits
/// thousands of entries.
pub fn budget(budget: u32, range: &Range<u64>, geometry: &Geometry) -> u32 {
    if range.end - range.start > 4 * geometry.span(Level::L3) {
        budget.max(97)
    } else {
        budget
    }
}

/// The tables, and the map that they are compared with.
pub struct World {
    pub stage2: Stage2,
    pub mem: Memory,
    /// By first address.
    map: BTreeMap<u64, Mapping>,
}

impl World {
    pub fn new(config: &Config) -> Self {
        Self::on(config, Features::of(config))
    }

    /// On CPUs that have these features.
    pub fn on(config: &Config, features: Features) -> Self {
        let format = Format::new(*config).unwrap();
        let mem = Memory::new(format, features);
        Self {
            stage2: Stage2::new(format, mem.root()).unwrap(),
            mem,
            map: BTreeMap::new(),
        }
    }

    pub fn geometry(&self) -> Geometry {
        *self.stage2.geometry()
    }

    pub fn range(&self, a: Place, b: Place) -> Range<u64> {
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
        self.map_at(place.ipa(&self.geometry()), place.level, pa, attributes);
    }

    /// Maps what is around an address.
    fn map_at(&mut self, ipa: u64, level: Level, pa: u64, attributes: Attributes) {
        let geometry = self.geometry();
        let size = geometry.span(level);
        let ipa = ipa & !(size - 1);
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
            limit: attributes.limit(),
            memory: Some(attributes.memory()),
            accessed: true,
        };
        let mut kept = None;
        let expected = match self.at(ipa) {
            _ if !possible => Err(MapError::Leaf),
            Some(old) if old.size > size => {
                let same = old.translate(ipa) == Some(pa) && old.memory == new.memory;
                if same && old.permissions.contains(new.permissions) {
                    kept = Some(Mapping {
                        accessed: true,
                        ..old
                    });
                    Ok(Mapped::Same)
                } else if same {
                    self.split_to(ipa, level);
                    Ok(Mapped::Permissions)
                } else {
                    Ok(Mapped::Replaced)
                }
            }
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
            let new = kept.unwrap_or(new);
            self.map.insert(new.ipa, new);
        }
    }

    /// Maps over what is there, in steps, and another somewhere in the same place after each.
    fn map_over(
        &mut self,
        place: Place,
        pa: u64,
        attributes: Attributes,
        budget: u32,
        others: &[Place],
    ) {
        let geometry = self.geometry();
        let extent = geometry.extent(place.level, place.ipa(&geometry), 0, 0);
        let in_the_way: Vec<_> = self
            .touched(&extent.ipas())
            .into_iter()
            .filter(|ipa| self.map[ipa].size < extent.size)
            .collect();
        if in_the_way.is_empty() || !geometry.has_leaves(place.level) {
            return self.map(place, pa, attributes);
        }
        let extent = Extent {
            pa: pa * extent.size,
            ..extent
        };
        let mut from = extent.ipa;
        let mut others = others.iter();
        let done = loop {
            match self
                .stage2
                .map_over(&mut self.mem, from, &extent, attributes, budget)
            {
                Ok(MapStep::Done(done)) => break Ok(done),
                Ok(MapStep::More(next)) => {
                    let anew = next == extent.ipa;
                    assert!(anew || from < next && extent.ipas().contains(&next));
                    self.mem.assert_clean();
                    let gone = from..if anew { extent.ipas().end } else { next };
                    for old in self.touched(&gone) {
                        self.map.remove(&old);
                    }
                    from = next;
                    if let Some(other) = others.next().filter(|other| other.level > extent.level) {
                        let ipa = extent.ipa | other.ipa(&geometry) & (extent.size - 1);
                        self.map_at(ipa, other.level, pa, attributes);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let possible = place.level >= geometry.start()
            && extent.pa + extent.size <= 1 << geometry.pa_bits()
            && self.stage2.format().can_express(attributes.permissions());
        if !possible {
            assert_eq!(done, Err(MapError::Leaf));
            return;
        }
        assert_eq!(done, Ok(Mapped::Replaced));
        for old in self.touched(&extent.ipas()) {
            self.map.remove(&old);
        }
        self.map.insert(
            extent.ipa,
            Mapping {
                ipa: extent.ipa,
                pa: extent.pa,
                size: extent.size,
                level: extent.level,
                permissions: attributes.permissions(),
                limit: attributes.limit(),
                memory: Some(attributes.memory()),
                accessed: true,
            },
        );
    }

    fn relax(&mut self, place: Place, more: Permissions) {
        let ipa = place.ipa(&self.geometry());
        let shared = self.stage2.shared();
        let done = shared.relax(&Unlocked::new(&mut self.mem), ipa, more);
        let Some(mut old) = self.at(ipa) else {
            assert_eq!(done, Err(RelaxError::NotMapped));
            return;
        };
        let before = old.permissions;
        old.permissions = before.union(more);
        old.accessed = true;
        // A block that is written to for the first time may have to be split.
        let splits = old.permissions.write && !before.write && old.level != Level::L3;
        if !old.limit.allows(more) || splits || !self.stage2.format().can_express(old.permissions) {
            assert_eq!(done, Err(RelaxError::Limit));
        } else {
            let level = old.level;
            assert_eq!(done, Ok(Relaxed { level, before }));
            self.map.insert(old.ipa, old);
        }
    }

    pub fn unmap(&mut self, range: Range<u64>, budget: u32) {
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
        if changed && protect {
            self.mem
                .invalidate(range.start, range.end - range.start, Stale::Tables);
        }
    }

    fn write_protect_pages(&mut self, ipa: u64, mask: u64) {
        let size = self.geometry().span(Level::L3);
        let changed = self.stage2.write_protect_pages(&mut self.mem, ipa, mask);
        let mut expected = false;
        for page in (0..64).filter(|page| (mask >> page) & 1 != 0) {
            let Some(mut mapping) = self.at(ipa.saturating_add(page * size)) else {
                continue;
            };
            expected |= core::mem::take(&mut mapping.permissions.write);
            self.map.insert(mapping.ipa, mapping);
        }
        assert_eq!(changed, expected);
        if changed {
            self.mem.invalidate(ipa, 64 * size, Stale::Tables);
        }
    }

    fn split(&mut self, range: Range<u64>, budget: u32) {
        let mut from = range.start;
        loop {
            match self.stage2.split(&mut self.mem, from..range.end, budget) {
                Split::Done => break,
                Split::NoTable(_) => panic!("there are tables"),
                Split::More(next) => {
                    assert!(from <= next && next < range.end);
                    from = next;
                }
            }
            self.mem.assert_clean();
        }
        let geometry = self.geometry();
        for ipa in self.touched(&range) {
            self.split_one(ipa, &range, &geometry);
        }
    }

    /// Replaces what is mapped at `ipa` by smaller blocks, and the one there again, down to `level`.
    fn split_to(&mut self, ipa: u64, level: Level) {
        let geometry = self.geometry();
        while let Some(old) = self.at(ipa).filter(|old| old.level < level) {
            let below = old.level.next().unwrap();
            self.split_into(old, geometry.span(below), below);
        }
    }

    /// Replaces a mapping by others of a level.
    fn split_into(&mut self, old: Mapping, size: u64, level: Level) {
        self.map.remove(&old.ipa);
        for offset in (0..old.size).step_by(size as usize) {
            let part = Mapping {
                ipa: old.ipa + offset,
                pa: old.pa + offset,
                size,
                level,
                ..old
            };
            self.map.insert(part.ipa, part);
        }
    }

    /// Replaces a mapping by pages, where `range` touches it.
    fn split_one(&mut self, ipa: u64, range: &Range<u64>, geometry: &Geometry) {
        let old = self.map[&ipa];
        let Some(level) = old.level.next() else {
            return;
        };
        let size = geometry.span(level);
        self.split_into(old, size, level);
        for part in (old.ipa..old.ipa + old.size).step_by(size as usize) {
            if part < range.end && range.start < part + size {
                self.split_one(part, range, geometry);
            }
        }
    }

    pub fn run(&mut self, op: Op) {
        let geometry = self.geometry();
        match op {
            Op::Map(place, pa, attributes) => self.map(place, pa, attributes),
            Op::MapOver(place, pa, attributes, n) => {
                let size = geometry.span(place.level);
                self.map_over(place, pa, attributes, budget(n, &(0..size), &geometry), &[]);
            }
            Op::MapOverBeside(place, pa, attributes, n, others) => {
                let budget = budget(n, &(0..geometry.span(place.level)), &geometry);
                self.map_over(place, pa, attributes, budget, &others);
            }
            Op::Relax(place, more) => self.relax(place, more),
            Op::SetAccessed(place) => {
                let ipa = place.ipa(&geometry);
                let shared = self.stage2.shared();
                let done = shared.set_accessed(&Unlocked::new(&mut self.mem), ipa);
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
            Op::WriteProtectPages(at, mask) => {
                self.write_protect_pages(at.ipa(&geometry), mask);
            }
            Op::Split(a, b, n) => {
                // Not so much that it becomes millions of pages.
                let range = self.range(a, b);
                let end = range.end.min(range.start + 2 * geometry.span(Level::L2));
                let range = range.start..end;
                self.split(range.clone(), budget(n, &range, &geometry));
            }
        }
        self.mem.assert_clean();
    }

    /// What a CPU finds at an address is what the map says.
    fn compare_walk(&self, ipa: u64) {
        let (level, found) = self.mem.walk(ipa);
        let expected = self.at(ipa).map(|mapping| {
            assert_eq!(level, mapping.level.get());
            Leaf {
                pa: mapping.pa,
                memory: mapping.memory.unwrap(),
                permissions: mapping.permissions,
                accessed: mapping.accessed,
            }
        });
        assert_eq!(found, expected, "at {ipa:#x}");
    }

    /// The tables say what the map says, and there are no more of them than that takes.
    pub fn compare(&self, range: Range<u64>, budget: u32) {
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
                if ipa < self.geometry().ipa().size() {
                    self.compare_walk(ipa);
                }
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
        for level in Level::ALL {
            let count = self.map.values().filter(|m| m.level == *level).count();
            assert_eq!(self.stage2.leaves().at(*level), count as u64);
        }
    }

    pub fn tear_down(mut self, budget: u32) {
        self.mem.teardown = true;
        let mut teardown = self.stage2.into_teardown();
        assert_eq!(teardown.root(), self.mem.root());
        while let Progress::More(_) = teardown.step(&mut self.mem, budget) {}
        assert_eq!(teardown.step(&mut self.mem, budget), Progress::Done);
        assert_eq!(self.mem.tables(), 0, "leaked");
        self.mem.assert_root_empty();
    }
}
