// SPDX-License-Identifier: GPL-2.0

//! Descriptors: the entries of tables.

use crate::{
    bit_struct,
    bits::Bits,
    granule::Granule,
    stage2::{
        address::TableAddr,
        attributes::{
            Attributes,
            Execute,
            Limit,
            MemoryType,
            Permissions, //
        },
        geometry::{
            BadConfig,
            Config,
            Geometry,
            Level, //
        },
    },
};

bit_struct! {
    /// A stage 2 descriptor, invalid, table, block or page.
    ///
    /// Where the address is depends on the granule and the level, see [`Format`]. Source: Arm ARM,
    /// "VMSAv8-64 descriptor formats".
    pub struct Descriptor("VMSAv8-64 stage 2 descriptor") {
        /// Without it all other bits are software's.
        valid / with_valid: flag 0,
        /// A table, or at level 3 a page; otherwise a block.
        table / with_table: flag 1,
        /// Memory type; means something else with FEAT_S2FWB.
        mem_attr / with_mem_attr: bits 2..=5,
        /// Read permission, S2AP\[0\].
        read / with_read: flag 6,
        /// Write permission, S2AP\[1\].
        write / with_write: flag 7,
        /// Shareability; with VTCR_EL2.DS bits 51 and 50 of the address.
        sh / with_sh: bits 8..=9,
        /// Access flag.
        af / with_af: flag 10,
        /// Dirty bit modifier: hardware may set the write permission (FEAT_HAFDBS).
        dbm / with_dbm: flag 51,
        /// One of a set of entries that a TLB may cache as one.
        contiguous / with_contiguous: flag 52,
        /// Execute never.
        xn / with_xn: option 53..=54 as Execute,
        /// Software's: may be made writable, see [`Limit`].
        may_write / with_may_write: flag 55,
        /// Software's: may be made executable.
        may_execute / with_may_execute: flag 56,
        /// Software's.
        software / with_software: bits 57..=58,
    }
}

impl Descriptor {
    /// An invalid entry.
    pub const INVALID: Self = Self::from_raw(0);

    /// The bits of a leaf that may change while it is valid: permissions, access flag, dirty bit
    /// modifier and software's. Source: Arm ARM, "Using break-before-make when updating translation
    /// table entries".
    const CHANGEABLE: u64 = Self::INVALID
        .with_read(true)
        .with_write(true)
        .with_af(true)
        .with_dbm(true)
        .with_xn(Execute::El1)
        .with_may_write(true)
        .with_may_execute(true)
        .with_software(Bits::of::<0b11>())
        .into_raw();

    /// Whether `self` and `other`, both leaves of one level, translate to the same memory of the
    /// same type, so that one may be written over the other without break-before-make.
    #[inline]
    pub const fn same_translation(self, other: Self) -> bool {
        (self.into_raw() ^ other.into_raw()) & !Self::CHANGEABLE == 0
    }

    /// Returns what a leaf allows.
    #[inline]
    pub const fn permissions(self) -> Permissions {
        Permissions {
            read: self.read(),
            write: self.write(),
            execute: match self.xn() {
                Some(execute) => execute,
                // All four patterns have a name.
                None => Execute::Never,
            },
        }
    }

    /// Returns what a leaf may come to allow.
    #[inline]
    pub const fn limit(self) -> Limit {
        Limit {
            write: self.may_write(),
            execute: self.may_execute(),
        }
    }

    /// Returns a copy of a leaf that may come to allow `limit`.
    #[inline]
    #[must_use]
    pub const fn with_limit(self, limit: Limit) -> Self {
        self.with_may_write(limit.write)
            .with_may_execute(limit.execute)
    }

    /// Returns a copy of a leaf that allows `permissions`.
    #[inline]
    #[must_use]
    pub const fn with_permissions(self, permissions: Permissions) -> Self {
        self.with_read(permissions.read)
            .with_write(permissions.write)
            .with_xn(permissions.execute)
    }
}

/// What an entry is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Nothing: an access faults.
    Invalid,
    /// A table of the next level.
    Table(TableAddr),
    /// A page or a block at this physical address.
    Leaf(u64),
}

/// How descriptors of a VM are written and read.
///
/// # Invariants
///
/// The geometry is that of the configuration.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Format {
    config: Config,
    geometry: Geometry,
}

/// Normal memory, inner and outer write-back.
const NORMAL: Bits<4> = Bits::of::<0b1111>();
/// Normal memory, inner and outer non-cacheable.
const NORMAL_NC: Bits<4> = Bits::of::<0b0101>();
/// Device-nGnRE.
const DEVICE: Bits<4> = Bits::of::<0b0001>();
/// With FEAT_S2FWB: Normal memory, write-back whatever stage 1 says.
const FWB_NORMAL: Bits<4> = Bits::of::<0b0110>();
/// With FEAT_S2FWB: Normal memory, non-cacheable; a device stays one if stage 1 says so.
const FWB_NORMAL_NC: Bits<4> = Bits::of::<0b0101>();

/// Inner shareable.
const INNER: Bits<2> = Bits::of::<0b11>();

impl Format {
    /// Returns the format for `config`.
    ///
    /// # Errors
    ///
    /// [`BadConfig`] if there are no such tables.
    pub const fn new(config: Config) -> Result<Self, BadConfig> {
        match Geometry::new(&config) {
            Ok(geometry) => Ok(Self { config, geometry }),
            Err(bad) => Err(bad),
        }
    }

    /// Returns what the format was made of.
    #[inline]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the shape of the tables.
    #[inline]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Whether a leaf can allow `permissions`: telling EL1 from EL0 needs FEAT_XNX.
    #[inline]
    pub const fn can_express(&self, permissions: Permissions) -> bool {
        match permissions.execute {
            Execute::All | Execute::Never => true,
            Execute::El0 | Execute::El1 => self.config.xnx,
        }
    }

    /// Returns the entry of a table of tables.
    #[inline]
    pub const fn table(&self, table: TableAddr) -> Descriptor {
        self.address(table.pa()).with_valid(true).with_table(true)
    }

    /// Returns a leaf at `level`, with its access flag set; [`None`] if `level` has no leaves, `pa`
    /// is not aligned to its span or too wide, or the permissions need what the CPU lacks.
    #[inline]
    pub fn leaf(&self, level: Level, pa: u64, attributes: Attributes) -> Option<Descriptor> {
        if !self.geometry.has_leaves(level)
            || pa & (self.geometry.span(level) - 1) != 0
            || pa >> self.geometry.pa_bits() != 0
            || !self.can_express(attributes.permissions())
        {
            return None;
        }
        let mem_attr = match (attributes.memory(), self.config.fwb) {
            (MemoryType::Normal, false) => NORMAL,
            (MemoryType::Normal, true) => FWB_NORMAL,
            (MemoryType::NormalNonCacheable, false) => NORMAL_NC,
            (MemoryType::NormalNonCacheable, true) => FWB_NORMAL_NC,
            (MemoryType::Device, _) => DEVICE,
        };
        let leaf = self
            .address(pa)
            .with_valid(true)
            .with_table(level == Level::L3)
            .with_mem_attr(mem_attr)
            .with_permissions(attributes.permissions())
            .with_limit(attributes.limit())
            .with_af(true);
        Some(if self.geometry.ds() {
            // Shareability comes from VTCR_EL2.SH0.
            leaf
        } else {
            leaf.with_sh(INNER)
        })
    }

    /// Returns what `descriptor` is at `level`. An encoding that is reserved there counts as
    /// invalid, as for the CPU.
    #[inline]
    pub const fn decode(&self, descriptor: Descriptor, level: Level) -> Entry {
        if !descriptor.valid() {
            return Entry::Invalid;
        }
        let pa = self.pa(descriptor);
        match (descriptor.table(), level) {
            (true, Level::L3) => Entry::Leaf(pa),
            (false, Level::L3) => Entry::Invalid,
            (true, _) => Entry::Table(TableAddr::containing(pa, self.geometry.granule())),
            (false, _) if self.geometry.has_leaves(level) => {
                Entry::Leaf(pa & !(self.geometry.span(level) - 1))
            }
            (false, _) => Entry::Invalid,
        }
    }

    /// Returns the kind of memory that a leaf maps; [`None`] for one that [`Self::leaf`] never
    /// writes.
    #[inline]
    pub fn memory_type(&self, leaf: Descriptor) -> Option<MemoryType> {
        match (leaf.mem_attr(), self.config.fwb) {
            (DEVICE, _) => Some(MemoryType::Device),
            (NORMAL, false) | (FWB_NORMAL, true) => Some(MemoryType::Normal),
            (NORMAL_NC, _) => Some(MemoryType::NormalNonCacheable),
            _ => None,
        }
    }

    /// The address bits that stay in place.
    #[inline]
    const fn in_place(&self) -> u64 {
        let top = if self.geometry.ds() { 50 } else { 48 };
        (1 << top) - (1 << self.geometry.granule().shift())
    }

    /// Returns a descriptor with only the address `pa`.
    #[inline]
    const fn address(&self, pa: u64) -> Descriptor {
        let moved = if self.geometry.ds() {
            // Bits 51 and 50 are where shareability otherwise is.
            ((pa >> 50) & 0b11) << 8
        } else if matches!(self.geometry.granule(), Granule::K64) {
            // Bits 51 to 48 (FEAT_LPA) follow the page's own 16 bits down.
            ((pa >> 48) & 0xf) << 12
        } else {
            0
        };
        Descriptor::from_raw((pa & self.in_place()) | moved)
    }

    /// Returns the address in a descriptor of a table or leaf.
    #[inline]
    const fn pa(&self, descriptor: Descriptor) -> u64 {
        let raw = descriptor.into_raw();
        let moved = if self.geometry.ds() {
            ((raw >> 8) & 0b11) << 50
        } else if matches!(self.geometry.granule(), Granule::K64) {
            ((raw >> 12) & 0xf) << 48
        } else {
            0
        };
        (raw & self.in_place()) | moved
    }
}
