// SPDX-License-Identifier: GPL-2.0

//! The tables of one VM, and how they are walked.

use crate::stage2::{
    address::{
        EntryAddr,
        TableAddr, //
    },
    attributes::{
        Limit,
        MemoryType,
        Permissions, //
    },
    descriptor::{
        Descriptor,
        Entry,
        Format, //
    },
    geometry::{
        Geometry,
        Level, //
    },
    memory::{
        TableMemory,
        TableRead, //
    },
};

/// The stage 2 tables of one VM.
///
/// The tables themselves are in the [`TableMemory`] that each operation is given, always the same.
/// The value knows where the root is and how to read what is there. It does not free anything when
/// it is dropped; [`Stage2::into_teardown`] does.
#[derive(PartialEq, Eq, Debug)]
pub struct Stage2 {
    pub(super) format: Format,
    pub(super) root: TableAddr,
    pub(super) leaves: Leaves,
}

/// How many pages and blocks there are, by level.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Leaves([u64; Level::COUNT]);

impl Leaves {
    /// Returns how many there are at a level.
    pub const fn at(&self, level: Level) -> u64 {
        self.0[level as usize]
    }

    /// Some were made.
    #[inline]
    pub(super) fn add(&mut self, level: Level, count: u64) {
        let leaves = &mut self.0[level as usize];
        *leaves = leaves.wrapping_add(count);
    }

    /// Some are gone.
    #[inline]
    pub(super) fn remove(&mut self, level: Level, count: u64) {
        let leaves = &mut self.0[level as usize];
        *leaves = leaves.wrapping_sub(count);
    }
}

/// What one address is mapped to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The guest's first address of the page or block.
    pub ipa: u64,
    /// The host's first address.
    pub pa: u64,
    /// The size of the page or block in bytes.
    pub size: u64,
    /// The level of the entry: 3 for a page.
    pub level: Level,
    /// What the guest may do.
    pub permissions: Permissions,
    /// What the mapping may come to allow.
    pub limit: Limit,
    /// The kind of memory; [`None`] for one that [`Format::leaf`] never writes.
    pub memory: Option<MemoryType>,
    /// The access flag.
    pub accessed: bool,
}

impl Mapping {
    /// Returns what `ipa` is mapped to, or [`None`] if this is not its mapping.
    #[inline]
    pub const fn translate(&self, ipa: u64) -> Option<u64> {
        match ipa.checked_sub(self.ipa) {
            Some(offset) if offset < self.size => Some(self.pa + offset),
            _ => None,
        }
    }
}

/// The tables on the way to an address.
#[derive(Copy, Clone)]
pub(super) struct Path {
    /// By level; those before the start level and after `level` have no meaning.
    tables: [TableAddr; Level::COUNT],
    /// The level of the last table.
    pub(super) level: Level,
}

impl Path {
    /// Returns the table at `level`, which is in the path.
    #[inline]
    pub(super) const fn table(&self, level: Level) -> TableAddr {
        self.tables[level as usize]
    }
}

/// A leaf that was found.
#[derive(Copy, Clone)]
pub(super) struct Leaf {
    pub(super) entry: EntryAddr,
    pub(super) descriptor: Descriptor,
    pub(super) ipa: u64,
    pub(super) pa: u64,
    pub(super) level: Level,
}

impl Stage2 {
    /// Returns the VM's tables with nothing mapped.
    ///
    /// `root` has [`Geometry::root_size`] bytes, is aligned to that, and is zero; it stays the
    /// caller's. [`None`] if `root` is not aligned.
    pub const fn new(format: Format, root: TableAddr) -> Option<Self> {
        if root.pa() & (format.geometry().root_size() - 1) != 0 {
            return None;
        }
        Some(Self {
            format,
            root,
            leaves: Leaves([0; Level::COUNT]),
        })
    }

    /// Returns the shape of the tables.
    #[inline]
    pub const fn geometry(&self) -> &Geometry {
        self.format.geometry()
    }

    /// Returns the format of the descriptors.
    #[inline]
    pub const fn format(&self) -> &Format {
        &self.format
    }

    /// Returns where the root is.
    #[inline]
    pub const fn root(&self) -> TableAddr {
        self.root
    }

    /// Returns how many pages and blocks are mapped.
    pub const fn leaves(&self) -> Leaves {
        self.leaves
    }

    /// Returns what `ipa` is mapped to.
    #[inline]
    pub fn lookup(&self, mem: &impl TableRead, ipa: u64) -> Option<Mapping> {
        self.find(mem, ipa).map(|leaf| self.mapping(leaf))
    }

    /// Returns the leaf that maps `ipa`.
    #[inline]
    pub(super) fn find(&self, mem: &impl TableRead, ipa: u64) -> Option<Leaf> {
        if ipa >= self.geometry().ipa().size() {
            return None;
        }
        let path = self.descend(mem, ipa);
        self.leaf_in(mem, path.table(path.level), path.level, ipa)
    }

    /// Returns the leaf of `ipa` in `table`, if there is one.
    #[inline]
    pub(super) fn leaf_in(
        &self,
        mem: &impl TableRead,
        table: TableAddr,
        level: Level,
        ipa: u64,
    ) -> Option<Leaf> {
        let entry = table.entry(self.geometry().index(ipa, level));
        let descriptor = mem.read(entry);
        match self.format.decode(descriptor, level) {
            Entry::Leaf(pa) => Some(Leaf {
                entry,
                descriptor,
                ipa: ipa & !(self.geometry().span(level) - 1),
                pa,
                level,
            }),
            Entry::Invalid | Entry::Table(_) => None,
        }
    }

    /// Returns the way to the last table for `ipa`, whose entry is a leaf or invalid.
    #[inline]
    pub(super) fn descend(&self, mem: &impl TableRead, ipa: u64) -> Path {
        let mut path = Path {
            tables: [self.root; Level::COUNT],
            level: self.geometry().start(),
        };
        while let Some(next) = path.level.next() {
            let index = self.geometry().index(ipa, path.level);
            let descriptor = mem.read(path.table(path.level).entry(index));
            match self.format.decode(descriptor, path.level) {
                Entry::Table(table) => {
                    path.tables[next as usize] = table;
                    path.level = next;
                }
                Entry::Invalid | Entry::Leaf(_) => break,
            }
        }
        path
    }

    /// Returns what is public of `leaf`.
    #[inline]
    pub(super) fn mapping(&self, leaf: Leaf) -> Mapping {
        Mapping {
            ipa: leaf.ipa,
            pa: leaf.pa,
            size: self.geometry().span(leaf.level),
            level: leaf.level,
            permissions: leaf.descriptor.permissions(),
            limit: leaf.descriptor.limit(),
            memory: self.format.memory_type(leaf.descriptor),
            accessed: leaf.descriptor.af(),
        }
    }
}

/// A way through a range of addresses, in a bounded number of entries.
pub(super) struct Steps {
    next: u64,
    end: u64,
    budget: u32,
}

impl Steps {
    /// Returns the way through those of `start..end` that the VM has. A budget of 0 counts as 1:
    /// a step always gets on.
    #[inline]
    pub(super) fn new(geometry: &Geometry, start: u64, end: u64, budget: u32) -> Self {
        Self {
            next: start,
            end: end.min(geometry.ipa().size()),
            budget: budget.max(1),
        }
    }

    /// Returns the next address, if the range is not at its end and the budget neither.
    #[inline]
    pub(super) fn pending(&self) -> Option<u64> {
        (self.next < self.end && self.budget != 0).then_some(self.next)
    }

    /// Returns where to go on in a later step, if the range is not at its end.
    #[inline]
    pub(super) fn rest(&self) -> Option<u64> {
        (self.next < self.end).then_some(self.next)
    }

    /// Goes through the next entries in the last table of `path`, which is the way to [`pending`], as
    /// far as the table, the range and the budget go. Returns the addresses of the entries, one at
    /// least; those of other tables are not among them, and need a new path.
    ///
    /// [`pending`]: Self::pending
    #[inline]
    pub(super) fn rest_of_table(
        &mut self,
        stage2: &Stage2,
        mem: &impl TableRead,
        path: &Path,
    ) -> impl Iterator<Item = u64> {
        let geometry = stage2.geometry();
        let (level, table) = (path.level, path.table(path.level));
        let span = geometry.span(level);
        let start = self.next & !(span - 1);
        let index = geometry.index(start, level);
        let count = (self.end - start)
            .div_ceil(span)
            .min(self.budget.into())
            .min((geometry.entries(level) - index) as u64);
        let is_table = |n: &u64| {
            let next = mem.read(table.entry(index + *n as usize));
            matches!(stage2.format().decode(next, level), Entry::Table(_))
        };
        // What level 3 has are no tables, nor is what the path ends at.
        let count = match level {
            Level::L3 => count,
            _ => (1..count).find(is_table).unwrap_or(count),
        };

        self.next = start + count * span;
        self.budget -= count as u32;
        (start..self.next).step_by(span as usize)
    }
}

/// Replaces a leaf by what `change` makes of it, and returns what it was before. What it was when
/// it was found is `found`: hardware may set its access flag at any time.
#[inline]
pub(super) fn replace<M: TableMemory>(
    mem: &mut M,
    entry: EntryAddr,
    found: Descriptor,
    change: impl Fn(Descriptor) -> Descriptor,
) -> Descriptor {
    let mut old = found;
    // The caller's lock keeps away who would replace the leaf by something else. Hardware, and who has
    // no lock, only set bits of it, so each does so once.
    while let Err(now) = mem.compare_exchange(entry, old, change(old)) {
        old = now;
    }
    old
}
