// SPDX-License-Identifier: GPL-2.0

//! What the tests' CPU has against: each of these is a walker with one mistake. And the guest's view
//! while blocks and tables replace each other.

use crate::{
    cpu::Features,
    format::any_cpu,
    geometry::config,
    memory::Memory,
    walker::any_place,
    world::World, //
};
use kvm_core::{
    granule::Granule,
    stage2::{
        Attributes,
        Config,
        Descriptor,
        Entry,
        EntryAddr,
        Format,
        Level,
        MapStep,
        Mapped,
        MemoryType,
        Permissions,
        Split,
        Stage2,
        Stale,
        TableAddr,
        TableMemory,
        TableRead, //
    },
};
use proptest::prelude::*;
use std::cell::RefCell;

const BLOCK: u64 = 2 << 20;
const PAGE: u64 = 1 << 12;

/// What a walker that looks for an address reads: the entries on the way.
struct Watched<'a>(&'a Memory, RefCell<Vec<EntryAddr>>);

impl TableRead for Watched<'_> {
    fn read(&self, entry: EntryAddr) -> Descriptor {
        self.1.borrow_mut().push(entry);
        self.0.read(entry)
    }
}

/// Tables that are changed by hand.
struct ByHand {
    format: Format,
    stage2: Stage2,
    mem: Memory,
}

impl ByHand {
    /// A block of 2 MiB, and a page behind it, that can be written to.
    fn new(bbm: u8) -> Self {
        let config = config(Granule::K4, 40, 44);
        let features = Features {
            bbm,
            ..Features::of(&config)
        };
        let format = Format::new(config).unwrap();
        let mem = Memory::new(format, features);
        let mut this = Self {
            format,
            stage2: Stage2::new(format, mem.root()).unwrap(),
            mem,
        };
        for (ipa, level) in [(BLOCK, Level::L2), (2 * BLOCK, Level::L3)] {
            let done = this
                .stage2
                .map(&mut this.mem, ipa, level, ipa, attributes(true));
            assert_eq!(done, Ok(Mapped::New));
        }
        this
    }

    fn leaf(&self, level: Level, pa: u64, write: bool) -> Descriptor {
        self.format.leaf(level, pa, attributes(write)).unwrap()
    }

    /// The entry of an address at this level.
    fn entry(&self, ipa: u64, level: Level) -> EntryAddr {
        let watched = Watched(&self.mem, RefCell::default());
        let _ = self.stage2.lookup(&watched, ipa);
        let way = watched.1.into_inner();
        way[level as usize - self.format.geometry().start() as usize]
    }

    fn exchange(&mut self, entry: EntryAddr, new: Descriptor) {
        let old = self.mem.read(entry);
        TableMemory::compare_exchange(&mut self.mem, entry, old, new).unwrap();
    }

    /// A table with the pages of the block, moved by so much.
    fn table(&mut self, moved: u64) -> TableAddr {
        let table = self.mem.allocate().unwrap();
        // An entry's address is the walker's to make: hang the table somewhere, and look for it.
        let spare = 8 * BLOCK;
        let entry = self.entry(spare, Level::L2);
        self.mem.write(entry, self.format.table(table));
        for page in 0..512 {
            let at = self.entry(spare + page * PAGE, Level::L3);
            let leaf = self.leaf(Level::L3, BLOCK + moved + page * PAGE, true);
            self.mem.write(at, leaf);
        }
        self.exchange(entry, Descriptor::INVALID);
        self.mem.invalidate(spare, BLOCK, Stale::Tables);
        self.mem.assert_clean();
        table
    }

    /// Puts a table in the place of the block, without more.
    fn replace_block(&mut self, moved: u64) {
        let table = self.table(moved);
        let entry = self.entry(BLOCK, Level::L2);
        let new = self.format.table(table);
        self.exchange(entry, new);
    }

    /// Takes the table with the page out; returns it.
    fn take_out(&mut self) -> TableAddr {
        let entry = self.entry(2 * BLOCK, Level::L2);
        let Entry::Table(table) = self.format.decode(self.mem.read(entry), Level::L2) else {
            panic!("a table");
        };
        self.exchange(entry, Descriptor::INVALID);
        table
    }
}

fn attributes(write: bool) -> Attributes {
    Attributes::new(Permissions::new(true, write, false), MemoryType::Normal).unwrap()
}

#[test]
#[should_panic(expected = "break-before-make")]
fn a_block_becomes_a_table_at_level_0() {
    ByHand::new(0).replace_block(0);
}

/// Level 1 is about entries that say nT, which these do not.
#[test]
#[should_panic(expected = "break-before-make")]
fn a_block_becomes_a_table_at_level_1() {
    ByHand::new(1).replace_block(0);
}

#[test]
#[should_panic(expected = "TLB conflict")]
fn a_block_becomes_a_table_at_level_2() {
    ByHand::new(2).replace_block(0);
}

#[test]
fn a_block_becomes_a_table_at_level_3() {
    let mut tables = ByHand::new(3);
    tables.replace_block(0);
    tables
        .mem
        .invalidate(BLOCK, BLOCK, Stale::Leaves(Level::L2));
    tables.mem.assert_clean();
}

/// The table is made before the TLBs are invalidated.
#[test]
#[should_panic(expected = "break-before-make")]
fn a_table_too_early() {
    let mut tables = ByHand::new(0);
    let table = tables.table(0);
    let entry = tables.entry(BLOCK, Level::L2);
    tables.exchange(entry, Descriptor::INVALID);
    let new = tables.format.table(table);
    tables.mem.write(entry, new);
}

/// The parts have to be those of the block, whatever the CPU has.
#[test]
#[should_panic(expected = "break-before-make")]
fn a_block_becomes_a_table_of_something_else() {
    ByHand::new(3).replace_block(BLOCK);
}

#[test]
#[should_panic(expected = "left in a TLB")]
fn a_split_that_invalidates_nothing() {
    let mut tables = ByHand::new(3);
    tables.replace_block(0);
    tables.mem.assert_clean();
}

#[test]
#[should_panic(expected = "left in a TLB")]
fn a_split_with_the_hint_of_what_is_new() {
    let mut tables = ByHand::new(3);
    tables.replace_block(0);
    tables
        .mem
        .invalidate(BLOCK, BLOCK, Stale::Leaves(Level::L3));
    tables.mem.assert_clean();
}

#[test]
#[should_panic(expected = "left in a TLB")]
fn protection_without_invalidation() {
    let mut tables = ByHand::new(0);
    let entry = tables.entry(2 * BLOCK, Level::L3);
    let new = tables.leaf(Level::L3, 2 * BLOCK, false);
    tables.exchange(entry, new);
    tables.mem.assert_clean();
}

#[test]
#[should_panic(expected = "left in a TLB")]
fn protection_of_a_block_with_a_hint_of_pages() {
    let mut tables = ByHand::new(0);
    let entry = tables.entry(BLOCK, Level::L2);
    let new = tables.leaf(Level::L2, BLOCK, false);
    tables.exchange(entry, new);
    tables
        .mem
        .invalidate(BLOCK, BLOCK, Stale::Leaves(Level::L3));
    tables.mem.assert_clean();
}

#[test]
#[should_panic(expected = "left in a TLB")]
fn invalidation_of_too_little() {
    let mut tables = ByHand::new(0);
    let entry = tables.entry(2 * BLOCK, Level::L3);
    tables.exchange(entry, Descriptor::INVALID);
    tables
        .mem
        .invalidate(2 * BLOCK + PAGE, PAGE, Stale::Leaves(Level::L3));
    tables.mem.assert_clean();
}

#[test]
#[should_panic(expected = "changed without break-before-make")]
fn other_memory_in_a_live_page() {
    let mut tables = ByHand::new(3);
    let entry = tables.entry(2 * BLOCK, Level::L3);
    let new = tables.leaf(Level::L3, 3 * BLOCK, true);
    tables.exchange(entry, new);
}

#[test]
#[should_panic(expected = "break-before-make")]
fn other_memory_in_a_page_that_tlbs_may_hold() {
    let mut tables = ByHand::new(3);
    let entry = tables.entry(2 * BLOCK, Level::L3);
    tables.exchange(entry, Descriptor::INVALID);
    let new = tables.leaf(Level::L3, 3 * BLOCK, true);
    tables.mem.write(entry, new);
}

#[test]
#[should_panic(expected = "freed while a TLB may hold it")]
fn a_table_freed_without_invalidation() {
    let mut tables = ByHand::new(3);
    let table = tables.take_out();
    tables.mem.free(table);
}

/// A hint, even of the right level of the leaves, leaves what leads to the table.
#[test]
#[should_panic(expected = "freed while a TLB may hold it")]
fn a_table_freed_with_a_hint() {
    let mut tables = ByHand::new(3);
    let table = tables.take_out();
    tables
        .mem
        .invalidate(2 * BLOCK, BLOCK, Stale::Leaves(Level::L3));
    tables.mem.free(table);
}

/// Descriptors for another CPU than the one that walks them.
fn on_another_cpu(made_for: Config, fwb: bool, xnx: bool) {
    let features = Features {
        fwb,
        xnx,
        ..Features::of(&made_for)
    };
    let mut world = World::on(&made_for, features);
    let permissions = Permissions {
        execute: kvm_core::stage2::Execute::El1,
        ..Permissions::new(true, false, false)
    };
    let possible = Attributes::new(permissions, MemoryType::Normal).unwrap();
    let attributes = if made_for.xnx {
        possible
    } else {
        attributes(true)
    };
    let _ = world
        .stage2
        .map(&mut world.mem, 0, Level::L3, 0, attributes);
}

#[test]
#[should_panic(expected = "MemAttr")]
fn memory_types_of_fwb_without_it() {
    let plain = config(Granule::K4, 40, 44);
    on_another_cpu(Config { fwb: true, ..plain }, false, false);
}

#[test]
#[should_panic(expected = "MemAttr")]
fn memory_types_without_fwb_on_it() {
    on_another_cpu(config(Granule::K4, 40, 44), true, false);
}

#[test]
#[should_panic(expected = "XN[0]")]
fn execution_by_el1_without_xnx() {
    let plain = config(Granule::K4, 40, 44);
    on_another_cpu(Config { xnx: true, ..plain }, false, false);
}

#[test]
#[should_panic(expected = "TTL is RES0")]
fn a_hint_without_ttl() {
    let config = config(Granule::K4, 40, 44);
    let cpu = crate::cpu::Cpu::new(
        &Format::new(config).unwrap(),
        Features {
            ttl: false,
            ..Features::of(&config)
        },
    );
    let all = kvm_core::stage2::tlbi::TlbiFeatures {
        ttl: true,
        range: true,
    };
    let geometry = *Format::new(config).unwrap().geometry();
    let stale = Stale::Leaves(Level::L3);
    let operands = kvm_core::stage2::tlbi::Operands::new(&geometry, all, 0, PAGE, stale);
    let mut cpu = cpu;
    cpu.invalidate(operands.as_ref());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The guest finds the block, or the same as pages, at any moment, where the CPUs allow that; with
    /// break-before-make there is one moment for each change at which it does not.
    #[test]
    fn a_guest_that_looks_all_the_time((config, cpu) in any_cpu(), place in any_place(), other: u64) {
        let mut world = World::on(&config, cpu);
        let geometry = world.geometry();
        let span = geometry.span(Level::L2);
        let block = geometry.extent(Level::L2, place.ipa(&geometry), 0, 0);
        let attributes = attributes(true);
        let done = world.stage2.map(&mut world.mem, block.ipa, Level::L2, block.pa, attributes);
        prop_assert_eq!(done, Ok(Mapped::New));
        let windows = |world: &mut World| std::mem::take(&mut world.mem.windows);

        let done = world.stage2.split(&mut world.mem, block.ipa..block.ipa + 1, u32::MAX);
        prop_assert_eq!(done, Split::More(block.ipa));
        world.mem.assert_clean();
        prop_assert_eq!(windows(&mut world), usize::from(!config.live_resize));

        // Some of the pages are gone by the time it becomes a block again.
        let some = block.ipa + other % span;
        let _ = world.stage2.unmap(&mut world.mem, some..some + 1, u32::MAX);
        windows(&mut world);
        let done = world.stage2.map_over(&mut world.mem, block.ipa, &block, attributes, u32::MAX);
        prop_assert_eq!(done, Ok(MapStep::Done(Mapped::Replaced)));
        world.mem.assert_clean();
        prop_assert_eq!(windows(&mut world) == 0, config.live_resize);
        prop_assert_eq!(world.mem.walk(block.ipa).0, 2);

        // A part that has to allow more.
        let page = geometry.extent(Level::L3, some & !(geometry.span(Level::L3) - 1), 0, 0);
        let execute = Permissions::new(true, true, true);
        let more = Attributes::new(execute, MemoryType::Normal).unwrap();
        let pa = block.pa + (page.ipa - block.ipa);
        let done = world.stage2.map(&mut world.mem, page.ipa, Level::L3, pa, more);
        prop_assert_eq!(done, Ok(Mapped::Permissions));
        world.mem.assert_clean();
        prop_assert_eq!(windows(&mut world), usize::from(!config.live_resize));
        let beside = world.mem.walk(page.ipa ^ geometry.span(Level::L3)).1.unwrap();
        prop_assert_eq!(beside.permissions, attributes.permissions());
        prop_assert_eq!(world.mem.walk(page.ipa).1.unwrap().permissions, execute);
    }

    /// A table with a page of something else is no block's.
    #[test]
    fn a_table_of_something_else_is_broken_first((config, cpu) in any_cpu(), which: u64) {
        let mut world = World::on(&config, cpu);
        let geometry = world.geometry();
        let page = geometry.span(Level::L3);
        let block = geometry.extent(Level::L2, 0, 0, 0);
        let at = (which % block.size) & !(page - 1);
        for (ipa, pa) in [(0, 0), (at, at + block.size)] {
            let done = world.stage2.map(&mut world.mem, ipa, Level::L3, pa, attributes(true));
            prop_assert!(done.is_ok());
        }
        let done =
            world.stage2.map_over(&mut world.mem, 0, &block, attributes(true), u32::MAX);
        prop_assert_eq!(done, Ok(MapStep::Done(Mapped::Replaced)));
        world.mem.assert_clean();
        prop_assert!(world.mem.windows > 0);
        prop_assert_eq!(world.mem.walk(at).1.unwrap().pa, 0);
    }
}
