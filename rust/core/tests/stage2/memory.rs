// SPDX-License-Identifier: GPL-2.0

//! Tables in memory, which CPUs walk at any time.

use super::cpu::{
    Cached,
    Cpu,
    Features,
    Leaf,
    Walked, //
};
use kvm_core::stage2::{
    tlbi::Operands,
    Descriptor,
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

/// Checks each access against the architecture's rules; a violation panics.
pub struct Memory {
    geometry: Geometry,
    root: u64,
    /// The root's tables, and those that were allocated, from the top of memory down; [`None`] is
    /// one that was freed.
    tables: Vec<Option<Table>>,
    cpu: Cpu,
    /// How many tables are left in the reserve.
    pub reserve: usize,
    /// Nothing walks the tables any more.
    pub teardown: bool,
    /// Hardware sets the access flag of each leaf that is about to be changed.
    pub walker: bool,
    /// How often TLBs were invalidated.
    pub invalidations: usize,
    /// How often something that was mapped was not so any more.
    pub windows: usize,
}

/// Bits of a leaf that may change while it is valid: S2AP, AF, DBM, XN and software's.
const CHANGEABLE: u64 = (3 << 6) | (1 << 10) | (1 << 51) | (3 << 53) | (0xf << 55);
const AF: u64 = 1 << 10;

impl Memory {
    pub fn new(format: Format, features: Features) -> Self {
        let geometry = *format.geometry();
        // The root is aligned to its size, and physical memory ends with the CPU's addresses.
        let root = (1 << geometry.pa_bits()) - geometry.root_size();
        let mut memory = Self {
            geometry,
            root,
            tables: Vec::new(),
            cpu: Cpu::new(&format, features),
            reserve: usize::MAX,
            teardown: false,
            walker: false,
            invalidations: 0,
            windows: 0,
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
        let stale = self.cpu.stale();
        assert!(stale.is_empty(), "left in a TLB: {stale:?}");
    }

    /// What a CPU finds that walks the tables, and at which level.
    pub fn walk(&self, ipa: u64) -> (u8, Option<Leaf>) {
        let granule = 1u64 << self.geometry.granule().shift();
        self.cpu.walk(self.root, ipa, |pa| {
            let table = pa & !(granule - 1);
            self.table(table).entries[((pa - table) / 8) as usize]
        })
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

    /// What CPUs may cache of an entry: itself, and what it leads to.
    fn reachable(&self, raw: u64, level: Level, ipa: u64, found: &mut Vec<Cached>) {
        let what = self.cpu.read(raw, level.get());
        if what == Walked::Fault {
            return;
        }
        found.push(Cached {
            ipa,
            size: self.geometry.span(level),
            level: level.get(),
            what,
        });
        if let Walked::Table(table) = what {
            let below = level.next().unwrap();
            let size = self.geometry.span(below);
            for (index, raw) in self.table(table).entries.iter().enumerate() {
                self.reachable(*raw, below, ipa + index as u64 * size, found);
            }
        }
    }

    /// A table is found at an entry from now on.
    fn hang(&mut self, table: u64, level: Level, ipa: u64, parent: EntryAddr) {
        let child = self.table_mut(table);
        assert!(child.place.is_none(), "a table in two places");
        child.place = Some(Place { level, ipa, parent });
    }

    /// An entry becomes another one, one of which is valid. All that CPUs may go on to use of the old is
    /// checked against the new.
    fn replace(&mut self, entry: EntryAddr, old: Descriptor, new: Descriptor) {
        let (level, ipa) = self.place(entry);
        let (old, new) = (old.into_raw(), new.into_raw());
        let (mut gone, mut made) = (Vec::new(), Vec::new());
        self.reachable(old, level, ipa, &mut gone);
        self.reachable(new, level, ipa, &mut made);
        assert_eq!(made.is_empty(), new & 1 == 0, "reserved at {level:?}");

        self.set(entry, new);
        if let Walked::Table(table) = self.cpu.read(old, level.get()) {
            self.table_mut(table).place = None;
        }
        if let Walked::Table(table) = self.cpu.read(new, level.get()) {
            self.hang(table, level.next().unwrap(), ipa, entry);
        }
        if self.teardown {
            return;
        }
        self.windows += usize::from(mapped(&made) < mapped(&gone));
        self.cpu.keep(gone);
        self.cpu.check_made(&made);
    }

    /// Whether a walk finds the table that the entry is in.
    fn is_in_place(&self, entry: EntryAddr) -> bool {
        let (table, _) = self.locate(entry);
        table.wrapping_sub(self.root) < self.geometry.root_size()
            || self.table(table).place.is_some()
    }

    /// One valid entry replaces another.
    fn change(&mut self, entry: EntryAddr, old: Descriptor, new: Descriptor) {
        let (level, ipa) = self.place(entry);
        let read = |raw: Descriptor| self.cpu.read(raw.into_raw(), level.get());
        let (Walked::Leaf(was), Walked::Leaf(is)) = (read(old), read(new)) else {
            return self.replace(entry, old, new);
        };
        assert_eq!(
            (old.into_raw() ^ new.into_raw()) & !CHANGEABLE,
            0,
            "changed without break-before-make"
        );
        if !is.permissions.contains(was.permissions) {
            self.cpu.keep([Cached {
                ipa,
                size: self.geometry.span(level),
                level: level.get(),
                what: Walked::Leaf(was),
            }]);
        }
        self.set(entry, new.into_raw());
    }
}

/// How many bytes pages and blocks have.
fn mapped(cached: &[Cached]) -> u64 {
    let leaves = cached.iter();
    let leaves = leaves.filter(|cached| matches!(cached.what, Walked::Leaf(_)));
    leaves.map(|cached| cached.size).sum()
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
        if !self.is_in_place(entry) {
            let (table, _) = self.locate(entry);
            assert!(
                !self.cpu.may_walk(table),
                "written to while it may be walked"
            );
            self.set(entry, new.into_raw());
            return;
        }
        assert!(!old.valid() || self.teardown, "a valid entry written over");
        assert!(!new.valid() || !self.teardown);
        if old.valid() || new.valid() {
            self.replace(entry, old, new);
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
        let is_leaf = matches!(self.cpu.read(now.into_raw(), level.get()), Walked::Leaf(_));
        if self.walker && is_leaf {
            now = Descriptor::from_raw(now.into_raw() | AF);
            self.set(entry, now.into_raw());
        }
        if now != old {
            return Err(now);
        }
        match (old.valid(), new.valid()) {
            (false, false) => self.set(entry, new.into_raw()),
            (true, true) => self.change(entry, old, new),
            _ => self.replace(entry, old, new),
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
        assert!(!self.cpu.may_walk(pa), "freed while a TLB may hold it");
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
        let features = self.cpu.tlbi_features();
        let operands = Operands::new(&self.geometry, features, ipa, size, stale);
        self.cpu.invalidate(operands.as_ref());
    }
}
