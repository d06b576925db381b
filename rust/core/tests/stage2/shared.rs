// SPDX-License-Identifier: GPL-2.0

//! Changes of a leaf without the lock of the tables, beside others and beside changes with the lock, in
//! all orders of their accesses.

use crate::{
    geometry::config,
    orders::{
        in_all_orders,
        scheduled,
        Scheduled, //
    },
};
use kvm_core::{
    granule::Granule,
    stage2::{
        Attributes,
        Config,
        Descriptor,
        EntryAddr,
        Execute,
        Format,
        Level,
        Limit,
        MapStep,
        Mapped,
        Mapping,
        MemoryType,
        Permissions,
        Progress,
        RelaxError,
        SharedTables,
        Split,
        Stage2,
        Stale,
        TableAddr,
        TableMemory,
        TableRead, //
    },
    word::Word, //
};
use std::{
    cell::Cell,
    sync::atomic::{
        AtomicU64,
        AtomicUsize,
        Ordering, //
    },
};

const IPA: u64 = 0x4000_3000;
const PAGE: u64 = 0x1000;
/// Where the tables are: first the root, four tables of level 2 for 32 bits.
const TABLES: u64 = 0x10_0000;
const ROOT: usize = 4;
const ENTRIES: usize = 512;

/// What both threads have.
struct World {
    entries: Vec<AtomicU64>,
    used: AtomicUsize,
    freed: AtomicUsize,
    /// A word in a log of what was written.
    dirty: Scheduled,
    /// What a thread found out.
    told: AtomicU64,
    /// [`Config::live_resize`].
    live: bool,
}

impl World {
    fn at(&self, entry: EntryAddr) -> &AtomicU64 {
        &self.entries[((entry.pa() - TABLES) / 8) as usize]
    }

    /// Makes an access when it is the thread's turn, if others may be interested in it: tables have
    /// hundreds of entries of which nobody is.
    fn access<R>(&self, entry: EntryAddr, access: impl FnOnce(&AtomicU64) -> R) -> R {
        let word = self.at(entry);
        let index = (entry.pa() - TABLES) / 8;
        let root = (ROOT * ENTRIES) as u64;
        let shared = if index < root {
            index == IPA >> 21
        } else {
            index % ENTRIES as u64 == (IPA >> 12) % ENTRIES as u64
        };
        if shared {
            scheduled(|| access(word))
        } else {
            access(word)
        }
    }

    fn exchange(
        &self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor> {
        self.access(entry, |word| {
            word.compare_exchange(
                old.into_raw(),
                new.into_raw(),
                Ordering::SeqCst,
                Ordering::SeqCst,
            )
        })
        .map(|_| ())
        .map_err(Descriptor::from_raw)
    }

    fn stage2(&self) -> Stage2 {
        let config = Config {
            live_resize: self.live,
            ..config(Granule::K4, 32, 40)
        };
        let format = Format::new(config).unwrap();
        Stage2::new(format, TableAddr::new(TABLES, Granule::K4).unwrap()).unwrap()
    }

    fn mapping(&self) -> Option<Mapping> {
        self.stage2().lookup(&self, IPA)
    }

    /// Whether a CPU that walks the tables finds the page mapped.
    fn guest_finds(&self) -> bool {
        let look = |index: u64| {
            let word = &self.entries[index as usize];
            scheduled(|| word.load(Ordering::SeqCst))
        };
        let entry = look(IPA >> 21);
        if entry & 3 != 3 {
            return entry & 1 != 0;
        }
        let table = ((entry & 0xffff_ffff_f000) - TABLES) / 8;
        look(table + (IPA >> 12) % ENTRIES as u64) & 1 != 0
    }

    /// Maps the page, or the block around it, for reading.
    fn with(level: Level, live: bool) -> Self {
        let world = Self {
            entries: (0..(ROOT + 4) * ENTRIES)
                .map(|_| AtomicU64::new(0))
                .collect(),
            used: AtomicUsize::new(ROOT),
            freed: AtomicUsize::new(0),
            dirty: Scheduled::default(),
            told: AtomicU64::new(0),
            live,
        };
        world.map(level, false, false);
        world
    }

    fn map(&self, level: Level, write: bool, execute: bool) {
        let permissions = Permissions::new(true, write, execute);
        let limit = Limit {
            write: true,
            execute: true,
        };
        let attributes = Attributes::new(permissions, MemoryType::Normal)
            .unwrap()
            .with_limit(limit);
        let mut stage2 = self.stage2();
        let ipa = IPA & !(stage2.geometry().span(level) - 1);
        stage2
            .map(&mut &*self, ipa, level, 0x8000_0000 + ipa, attributes)
            .unwrap();
    }

    fn relax(&self, write: bool, execute: bool) -> Result<(), RelaxError> {
        let more = Permissions::new(true, write, execute);
        self.stage2().shared().relax(&self, IPA, more).map(|_| ())
    }
}

impl TableRead for &World {
    fn read(&self, entry: EntryAddr) -> Descriptor {
        Descriptor::from_raw(self.access(entry, |word| word.load(Ordering::SeqCst)))
    }
}

impl SharedTables for &World {
    fn compare_exchange(
        &self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor> {
        self.exchange(entry, old, new)
    }
}

impl TableMemory for &World {
    fn write(&mut self, entry: EntryAddr, new: Descriptor) {
        self.access(entry, |word| word.store(new.into_raw(), Ordering::SeqCst));
    }

    fn compare_exchange(
        &mut self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor> {
        self.exchange(entry, old, new)
    }

    fn allocate(&mut self) -> Option<TableAddr> {
        let table = self.used.fetch_add(1, Ordering::SeqCst);
        TableAddr::new(TABLES + table as u64 * PAGE, Granule::K4)
    }

    /// The memory stays: who looks at it without the lock may go on to do so.
    fn free(&mut self, _: TableAddr) {
        self.freed.fetch_add(1, Ordering::SeqCst);
    }

    fn invalidate(&mut self, _: u64, _: u64, _: Stale) {}
}

/// A page, at first.
struct Page(World);

impl Default for Page {
    fn default() -> Self {
        Self(World::with(Level::L3, false))
    }
}

/// A block of 2 MiB, at first.
struct Block(World);

impl Default for Block {
    fn default() -> Self {
        Self(World::with(Level::L2, false))
    }
}

/// The same where a block may become a table, and the other way round, with nothing in between.
struct LivePage(World);

impl Default for LivePage {
    fn default() -> Self {
        Self(World::with(Level::L3, true))
    }
}

/// The same for a block.
struct LiveBlock(World);

impl Default for LiveBlock {
    fn default() -> Self {
        Self(World::with(Level::L2, true))
    }
}

/// What is allowed comes together, whoever is first.
#[test]
fn relax_beside_relax() {
    let orders = in_all_orders(
        |Page(world): &Page| world.relax(true, false).unwrap(),
        |Page(world): &Page| world.relax(false, true).unwrap(),
        |Page(world)| {
            let mapping = world.mapping().unwrap();
            assert_eq!(mapping.permissions, Permissions::new(true, true, true));
        },
    );
    assert!(orders > 5, "{orders}");
}

/// What was taken out does not come back, in a table that may be freed least of all.
#[test]
fn relax_beside_unmap() {
    thread_local!(static OUTCOMES: Cell<[bool; 2]> = const { Cell::new([false; 2]) });
    in_all_orders(
        |Page(world): &Page| {
            let done = world.relax(true, false);
            assert!(matches!(done, Ok(()) | Err(RelaxError::NotMapped)));
            world.told.store(u64::from(done.is_ok()), Ordering::SeqCst);
        },
        |Page(world): &Page| {
            let done = world.stage2().unmap(&mut &*world, IPA..IPA + PAGE, 512);
            assert_eq!(done, Progress::Done);
        },
        |Page(world)| {
            assert!(world.entries.iter().all(|e| e.load(Ordering::SeqCst) == 0));
            assert_eq!(world.freed.load(Ordering::SeqCst), 1);
            let mut outcomes = OUTCOMES.get();
            outcomes[world.told.load(Ordering::SeqCst) as usize] = true;
            OUTCOMES.set(outcomes);
        },
    );
    assert_eq!(OUTCOMES.get(), [true; 2]);
}

/// Another page in the place of one that was taken out has what it was given, or more of its own.
#[test]
fn relax_beside_unmap_and_map() {
    in_all_orders(
        |Page(world): &Page| {
            let _ = world.relax(true, false);
        },
        |Page(world): &Page| {
            let mut stage2 = world.stage2();
            let _ = stage2.unmap(&mut &*world, IPA..IPA + PAGE, 512);
            let read = Permissions::new(true, false, false);
            let attributes = Attributes::new(read, MemoryType::Normal).unwrap();
            stage2
                .map(&mut &*world, IPA, Level::L3, 0x1000, attributes)
                .unwrap();
        },
        |Page(world)| {
            let mapping = world.mapping().unwrap();
            assert_eq!(mapping.pa, 0x1000);
            assert!(!mapping.permissions.write, "not within its limit");
        },
    );
}

/// A page that is writable in the end is in the log: it was made so before it was marked there, and the
/// log is taken before pages are protected.
#[test]
fn relax_beside_the_log() {
    in_all_orders(
        |Page(world): &Page| {
            world.relax(true, false).unwrap();
            world.dirty.set(1);
        },
        |Page(world): &Page| {
            for _ in 0..2 {
                world.dirty.swap(0);
                let done = world
                    .stage2()
                    .write_protect(&mut &*world, IPA..IPA + PAGE, 512);
                assert_eq!(done.progress, Progress::Done);
            }
        },
        |Page(world)| {
            let mapping = world.mapping().unwrap();
            assert!(mapping.limit.write && mapping.accessed);
            assert!(!mapping.permissions.write || world.dirty.peek() == 1);
        },
    );
}

/// Permissions survive that the access flag is cleared, and the other way round.
#[test]
fn relax_beside_age() {
    in_all_orders(
        |Page(world): &Page| world.relax(true, true).unwrap(),
        |Page(world): &Page| {
            let done = world
                .stage2()
                .clear_accessed(&mut &*world, IPA..IPA + PAGE, 512);
            assert!(done.changed);
        },
        |Page(world)| {
            let mapping = world.mapping().unwrap();
            assert_eq!(mapping.permissions, Permissions::new(true, true, true));
        },
    );
}

#[test]
fn accessed_beside_unmap_and_protect() {
    in_all_orders(
        |Page(world): &Page| {
            world.stage2().shared().set_accessed(&world, IPA);
        },
        |Page(world): &Page| {
            let mut stage2 = world.stage2();
            let _ = stage2.clear_accessed(&mut &*world, IPA..IPA + PAGE, 512);
            let _ = stage2.write_protect(&mut &*world, IPA..IPA + PAGE, 512);
            let _ = stage2.unmap(&mut &*world, IPA..IPA + PAGE, 512);
        },
        |Page(world)| assert_eq!(world.mapping(), None),
    );
}

/// A fault that maps the page anew with what it found, while another allows more.
#[test]
fn relax_beside_map() {
    in_all_orders(
        |Page(world): &Page| world.relax(false, true).unwrap(),
        |Page(world): &Page| world.map(Level::L3, true, false),
        |Page(world)| {
            let permissions = world.mapping().unwrap().permissions;
            assert!(permissions.read && permissions.write);
        },
    );
}

/// A block becomes a table: what was relaxed in the block is not lost to the table, at worst the guest
/// faults on it again. A page of it is not made writable in the block.
#[test]
fn relax_beside_split() {
    in_all_orders(
        |Block(world): &Block| {
            let _ = world.relax(false, true);
            let _ = world.relax(true, false);
        },
        |Block(world): &Block| {
            let done = world.stage2().split(&mut &*world, IPA..IPA + PAGE, 512);
            assert!(matches!(done, Split::More(_)));
        },
        |Block(world)| {
            let mapping = world.mapping().unwrap();
            assert_eq!(mapping.level, Level::L3);
            assert_eq!(mapping.pa, 0x8000_0000 + IPA);
            let stage2 = world.stage2();
            let other = stage2.lookup(&world, IPA + PAGE).unwrap();
            assert!(!other.permissions.write);
            assert!(other.limit.write && other.limit.execute);
        },
    );
}

/// The same at once: something is mapped at any moment.
#[test]
fn relax_beside_live_split() {
    in_all_orders(
        |LiveBlock(world): &LiveBlock| {
            assert!(world.guest_finds());
            let _ = world.relax(false, true);
            assert!(world.guest_finds());
        },
        |LiveBlock(world): &LiveBlock| {
            let done = world.stage2().split(&mut &*world, IPA..IPA + PAGE, 512);
            assert!(matches!(done, Split::More(_)));
        },
        |LiveBlock(world)| {
            let mapping = world.mapping().unwrap();
            assert_eq!(mapping.level, Level::L3);
            assert_eq!(mapping.pa, 0x8000_0000 + IPA);
            let other = world.stage2().lookup(&world, IPA + PAGE).unwrap();
            assert!(!other.permissions.write);
        },
    );
}

/// A table becomes a block: what was relaxed in the table is lost, and the block allows no more than
/// it was given. Nothing is left of the table, which others may still look at.
#[test]
fn relax_beside_collapse() {
    in_all_orders(
        |LivePage(world): &LivePage| {
            let _ = world.relax(true, false);
        },
        |LivePage(world): &LivePage| {
            let mut stage2 = world.stage2();
            let read = Permissions::new(true, false, false);
            let attributes = Attributes::new(read, MemoryType::Normal).unwrap();
            let ipa = IPA & !(stage2.geometry().span(Level::L2) - 1);
            let block = stage2
                .geometry()
                .extent(Level::L2, ipa, 0, 0x8000_0000 + ipa);
            let done = stage2.map_over(&mut &*world, ipa, &block, attributes, 512);
            assert_eq!(done, Ok(MapStep::Done(Mapped::Replaced)));
        },
        |LivePage(world)| {
            let mapping = world.mapping().unwrap();
            assert_eq!(mapping.level, Level::L2);
            assert_eq!(mapping.translate(IPA), Some(0x8000_0000 + IPA));
            assert!(!mapping.permissions.write);
            let mut tables = world.entries[ROOT * ENTRIES..].iter();
            assert!(tables.all(|e| e.load(Ordering::SeqCst) == 0));
            assert_eq!(world.freed.load(Ordering::SeqCst), 1);
        },
    );
}

#[test]
fn a_block_is_not_made_writable() {
    let Block(world) = Block::default();
    assert_eq!(world.relax(true, false), Err(RelaxError::Limit));
    assert_eq!(world.relax(false, true), Ok(()));
    let permissions = world.mapping().unwrap().permissions;
    assert_eq!(permissions.execute, Execute::All);
    world.map(Level::L2, true, false);
    assert_eq!(world.relax(true, false), Ok(()));
}
