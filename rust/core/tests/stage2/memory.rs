// SPDX-License-Identifier: GPL-2.0

//! Tables in memory, with TLBs that keep what the architecture lets them keep.

use kvm_core::stage2::{
    Descriptor,
    Entry,
    EntryAddr,
    Format,
    Geometry,
    Level,
    SharedTables,
    Stale,
    TableAddr,
    TableMemory,
    TableRead, //
};
use std::cell::RefCell;

/// Where a table hangs in the tree.
#[derive(Copy, Clone, Debug)]
struct Place {
    level: Level,
    ipa: u64,
    parent: EntryAddr,
}

struct Table {
    entries: Vec<u64>,
    /// [`None`] from allocation to the first entry that leads there, and after the last.
    place: Option<Place>,
}

/// A translation that a TLB may hold though the tables have it no more.
#[derive(Debug)]
struct Cached {
    ipa: u64,
    size: u64,
    level: Level,
    /// The table that it leads to, if it is not a leaf.
    table: Option<u64>,
    /// The leaf is still there, but allows less.
    narrowed: bool,
}

/// Checks each access against the architecture's rules; a violation panics.
pub struct Memory {
    geometry: Geometry,
    format: Format,
    root: u64,
    /// The root's tables, and those that were allocated, from the top of memory down; [`None`] is
    /// one that was freed.
    tables: Vec<Option<Table>>,
    cached: Vec<Cached>,
    /// How many tables are left in the reserve.
    pub reserve: usize,
    /// Nothing walks the tables any more.
    pub teardown: bool,
    /// Hardware sets the access flag of each leaf that is about to be changed.
    pub walker: bool,
    /// How often TLBs were invalidated.
    pub invalidations: usize,
}

/// Bits of a leaf that may change while it is valid: S2AP, AF, DBM, XN and software's.
const CHANGEABLE: u64 = (3 << 6) | (1 << 10) | (1 << 51) | (3 << 53) | (0xf << 55);
const AF: u64 = 1 << 10;

impl Memory {
    pub fn new(format: Format) -> Self {
        let geometry = *format.geometry();
        // The root is aligned to its size, and physical memory ends with the CPU's addresses.
        let root = (1 << geometry.pa_bits()) - geometry.root_size();
        let mut memory = Self {
            geometry,
            format,
            root,
            tables: Vec::new(),
            cached: Vec::new(),
            reserve: usize::MAX,
            teardown: false,
            walker: false,
            invalidations: 0,
        };
        for _ in 0..geometry.root_tables() {
            memory.add();
        }
        memory
    }

    /// Adds a table, and returns its address.
    fn add(&mut self) -> u64 {
        let granule = 1 << self.geometry.granule().shift();
        self.tables.push(Some(Table {
            entries: vec![0; granule / 8],
            place: None,
        }));
        (1 << self.geometry.pa_bits()) - (self.tables.len() * granule) as u64
    }

    /// Returns the number of the table that `pa` is in.
    fn number(&self, pa: u64) -> usize {
        (((1 << self.geometry.pa_bits()) - 1 - pa) >> self.geometry.granule().shift()) as usize
    }

    fn table(&self, pa: u64) -> &Table {
        self.tables[self.number(pa)].as_ref().expect("no table")
    }

    fn table_mut(&mut self, pa: u64) -> &mut Table {
        let number = self.number(pa);
        self.tables[number].as_mut().expect("no table")
    }

    pub fn root(&self) -> TableAddr {
        TableAddr::new(self.root, self.geometry.granule()).unwrap()
    }

    /// Returns the number of tables without the root.
    pub fn tables(&self) -> usize {
        self.tables.iter().flatten().count() - self.geometry.root_tables()
    }

    /// No TLB holds what the tables have no more.
    pub fn assert_clean(&self) {
        assert!(self.cached.is_empty(), "left in a TLB: {:?}", self.cached);
    }

    /// Forgets about narrowed permissions: their owner said that it invalidates.
    pub fn invalidate_narrowed(&mut self) {
        self.cached.retain(|cached| !cached.narrowed);
    }

    pub fn assert_root_empty(&self) {
        for table in self.tables.iter().flatten() {
            assert!(table.entries.iter().all(|entry| entry & 1 == 0));
        }
    }

    /// Returns the table that the entry is in and its index there.
    fn locate(&self, entry: EntryAddr) -> (u64, usize) {
        let granule = 1 << self.geometry.granule().shift();
        assert_eq!(entry.pa() % 8, 0);
        let table = entry.pa() & !(granule - 1);
        (table, ((entry.pa() - table) / 8) as usize)
    }

    /// Returns the level and the first address of what the entry translates.
    fn place(&self, entry: EntryAddr) -> (Level, u64) {
        let (table, index) = self.locate(entry);
        let granule = 1u64 << self.geometry.granule().shift();
        let offset = table.wrapping_sub(self.root);
        let (level, base, index) = if offset < self.geometry.root_size() {
            let index = offset / granule * (granule / 8) + index as u64;
            assert!((index as usize) < self.geometry.entries(self.geometry.start()));
            (self.geometry.start(), 0, index)
        } else {
            let place = self.table(table).place.expect("a table that hangs nowhere");
            (place.level, place.ipa, index as u64)
        };
        (level, base + index * self.geometry.span(level))
    }

    fn set(&mut self, entry: EntryAddr, raw: u64) {
        let (table, index) = self.locate(entry);
        self.table_mut(table).entries[index] = raw;
    }

    /// A valid entry replaces one that is not.
    fn make(&mut self, entry: EntryAddr, new: Descriptor) {
        let (level, ipa) = self.place(entry);
        let size = self.geometry.span(level);
        for cached in &self.cached {
            assert!(
                cached.ipa + cached.size <= ipa || ipa + size <= cached.ipa,
                "made at {ipa:#x} while a TLB may hold {cached:?}"
            );
        }
        match self.format.decode(new, level) {
            Entry::Invalid => panic!("{new:?} is reserved at {level:?}"),
            Entry::Leaf(pa) => assert_eq!(pa % size, 0),
            Entry::Table(table) => {
                let child = self.table_mut(table.pa());
                assert!(child.place.is_none(), "a table in two places");
                child.place = Some(Place {
                    level: level.next().unwrap(),
                    ipa,
                    parent: entry,
                });
                self.check_new_table(table.pa(), level.next().unwrap());
            }
        }
        self.set(entry, new.into_raw());
    }

    /// A table that was just put in place: it is empty, or full of leaves.
    fn check_new_table(&self, table: u64, level: Level) {
        let entries = &self.table(table).entries;
        let leaf = |raw: &u64| {
            let pa = match self.format.decode(Descriptor::from_raw(*raw), level) {
                Entry::Leaf(pa) => Some(pa),
                _ => None,
            };
            pa.is_some_and(|pa| pa % self.geometry.span(level) == 0)
        };
        assert!(entries.iter().all(|raw| *raw == 0) || entries.iter().all(leaf));
    }

    /// Whether a walk finds the table that the entry is in.
    fn is_in_place(&self, entry: EntryAddr) -> bool {
        let (table, _) = self.locate(entry);
        table.wrapping_sub(self.root) < self.geometry.root_size()
            || self.table(table).place.is_some()
    }

    /// A valid entry goes.
    fn unmake(&mut self, entry: EntryAddr, old: Descriptor, new: Descriptor) {
        let (level, ipa) = self.place(entry);
        let table = match self.format.decode(old, level) {
            Entry::Table(table) => Some(table.pa()),
            _ => None,
        };
        self.set(entry, new.into_raw());
        if let Some(table) = table {
            self.table_mut(table).place = None;
        }
        if !self.teardown {
            self.cached.push(Cached {
                ipa,
                size: self.geometry.span(level),
                level,
                table,
                narrowed: false,
            });
        }
    }

    /// One valid entry replaces another.
    fn change(&mut self, entry: EntryAddr, old: Descriptor, new: Descriptor) {
        let (level, ipa) = self.place(entry);
        assert!(
            matches!(self.format.decode(old, level), Entry::Leaf(_)),
            "a table changed"
        );
        assert_eq!(
            (old.into_raw() ^ new.into_raw()) & !CHANGEABLE,
            0,
            "changed without break-before-make"
        );
        if !new.permissions().contains(old.permissions()) {
            self.cached.push(Cached {
                ipa,
                size: self.geometry.span(level),
                level,
                table: None,
                narrowed: true,
            });
        }
        self.set(entry, new.into_raw());
    }
}

impl TableRead for Memory {
    fn read(&self, entry: EntryAddr) -> Descriptor {
        let (table, index) = self.locate(entry);
        Descriptor::from_raw(self.table(table).entries[index])
    }
}

/// The tables for who has no lock, one at a time.
pub struct Unlocked<'a>(RefCell<&'a mut Memory>);

impl<'a> Unlocked<'a> {
    pub fn new(memory: &'a mut Memory) -> Self {
        Self(RefCell::new(memory))
    }
}

impl TableRead for Unlocked<'_> {
    fn read(&self, entry: EntryAddr) -> Descriptor {
        self.0.borrow().read(entry)
    }
}

impl SharedTables for Unlocked<'_> {
    fn compare_exchange(
        &self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor> {
        let mut memory = self.0.borrow_mut();
        TableMemory::compare_exchange(&mut **memory, entry, old, new)
    }
}

impl TableMemory for Memory {
    fn write(&mut self, entry: EntryAddr, new: Descriptor) {
        let old = self.read(entry);
        if self.teardown {
            assert!(!new.valid());
            if old.valid() {
                self.unmake(entry, old, new);
            }
            return;
        }
        assert!(!old.valid(), "a valid entry written over");
        if !self.is_in_place(entry) {
            self.set(entry, new.into_raw());
        } else if new.valid() {
            self.make(entry, new);
        }
    }

    fn compare_exchange(
        &mut self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor> {
        let (level, _) = self.place(entry);
        let mut now = self.read(entry);
        if self.walker && matches!(self.format.decode(now, level), Entry::Leaf(_)) {
            now = Descriptor::from_raw(now.into_raw() | AF);
            self.set(entry, now.into_raw());
        }
        if now != old {
            return Err(now);
        }
        match (old.valid(), new.valid()) {
            (false, false) => self.set(entry, new.into_raw()),
            (false, true) => self.make(entry, new),
            (true, false) => self.unmake(entry, old, new),
            (true, true) => self.change(entry, old, new),
        }
        Ok(())
    }

    fn allocate(&mut self) -> Option<TableAddr> {
        self.reserve = self.reserve.checked_sub(1)?;
        let pa = self.add();
        TableAddr::new(pa, self.geometry.granule())
    }

    fn free(&mut self, table: TableAddr) {
        let pa = table.pa();
        let number = self.number(pa);
        assert!(number >= self.geometry.root_tables());
        let gone = self.tables[number].take().expect("freed twice");
        if let Some(place) = gone.place {
            panic!("freed though reached from {:#x}", place.parent.pa());
        }
        assert!(
            self.cached.iter().all(|cached| cached.table != Some(pa)),
            "freed while a TLB may hold it"
        );
        assert!(
            self.teardown || gone.entries.iter().all(|entry| entry & 1 == 0),
            "freed with mappings"
        );
    }

    fn invalidate(&mut self, ipa: u64, size: u64, stale: Stale) {
        let page = self.geometry.span(Level::L3);
        assert!(size != 0 && ipa % page == 0 && size % page == 0);
        assert!(!self.teardown);
        self.invalidations += 1;
        self.cached.retain(|cached| {
            let touched = ipa < cached.ipa + cached.size && cached.ipa < ipa + size;
            let meant = match stale {
                Stale::Tables => true,
                Stale::Leaves(level) => cached.table.is_none() && cached.level == level,
            };
            !(touched && meant)
        });
    }
}
