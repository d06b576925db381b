// SPDX-License-Identifier: GPL-2.0

//! The shape of the tables: levels, sizes, and where a walk starts.

use crate::{
    cpu::{
        CpuFeatures,
        Feature, //
    },
    granule::Granule,
    ipa::IpaBits, //
};
use core::fmt;

/// A level of the tables, 0 to 3. A walk goes from lower to higher ones; level 3 has pages only.
///
/// Level -1 is never needed: 16 concatenated tables at level 0 reach 52 bits with every granule.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Level {
    /// Level 0.
    L0 = 0,
    /// Level 1.
    L1 = 1,
    /// Level 2.
    L2 = 2,
    /// Level 3, the last.
    L3 = 3,
}

impl Level {
    /// All levels, in the order of a walk.
    pub const ALL: &'static [Self] = &[Self::L0, Self::L1, Self::L2, Self::L3];

    /// How many levels there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Returns the architecture's number.
    #[inline]
    pub const fn get(self) -> u8 {
        self as u8
    }

    /// Returns the level that the tables of this one lead to; [`None`] after level 3.
    #[inline]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::L0 => Some(Self::L1),
            Self::L1 => Some(Self::L2),
            Self::L2 => Some(Self::L3),
            Self::L3 => None,
        }
    }

    /// Returns the level from which tables lead to this one; [`None`] for level 0.
    #[inline]
    pub const fn previous(self) -> Option<Self> {
        match self {
            Self::L0 => None,
            Self::L1 => Some(Self::L0),
            Self::L2 => Some(Self::L1),
            Self::L3 => Some(Self::L2),
        }
    }
}

/// What decides the shape and the format of a VM's tables.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The granule, which is the host's page size.
    pub granule: Granule,
    /// The width of the VM's physical addresses.
    pub ipa: IpaBits,
    /// The width of physical addresses that the CPUs implement, as
    /// [`IdAa64Mmfr0El1::pa_bits`](crate::idreg::IdAa64Mmfr0El1::pa_bits) gives it.
    pub cpu_pa_bits: u8,
    /// The width of physical addresses that the host's kernel uses, 52 at most.
    pub host_pa_bits: u8,
    /// FEAT_LPA2 at stage 2 for this granule.
    pub lpa2: bool,
    /// FEAT_S2FWB, and HCR_EL2.FWB will be set.
    pub fwb: bool,
    /// FEAT_XNX.
    pub xnx: bool,
    /// VTCR_EL2.HA is to be set; needs FEAT_HAFDBS.
    pub hardware_access_flag: bool,
    /// A block may become a table that maps the same, and the other way round, without being invalid
    /// in between, and no CPU takes a TLB conflict abort for it: level 3 of FEAT_BBM.
    pub live_resize: bool,
    /// VMIDs have 16 bits, not 8.
    pub vmid16: bool,
}

impl Config {
    /// Returns the configuration for a VM on CPUs like `cpu` that uses what they have, as far as their ID
    /// registers say.
    pub fn for_cpu(cpu: &CpuFeatures, granule: Granule, ipa: IpaBits, host_pa_bits: u8) -> Self {
        let features = cpu.features(granule);
        Self {
            granule,
            ipa,
            cpu_pa_bits: cpu.mmfr0.pa_bits().unwrap_or(48),
            host_pa_bits,
            lpa2: features.contains(Feature::Lpa2),
            fwb: features.contains(Feature::Fwb),
            xnx: features.contains(Feature::Xnx),
            hardware_access_flag: cpu.mmfr1.hafdbs() >= 1,
            // Most of the CPUs that can do it have no ID register that says so.
            live_resize: false,
            vmid16: cpu.mmfr1.vmid_bits() == 16,
        }
    }
}

/// Why there are no tables of a configuration.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadConfig {
    /// The width of physical addresses is none that ID_AA64MMFR0_EL1.PARange can name.
    PaBits(u8),
    /// The VM's addresses are wider than what stage 2 translates, in bits.
    IpaBits {
        /// The width that was asked for.
        asked: IpaBits,
        /// The limit of the CPU and the granule.
        limit: u8,
    },
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PaBits(bits) => write!(f, "no physical address size of {bits} bits"),
            Self::IpaBits { asked, limit } => {
                write!(f, "IPA size of {asked} bits, stage 2 translates {limit}")
            }
        }
    }
}

/// The most tables that can stand side by side at the start level, as a power of two.
const CONCATENATION: u32 = 4;

/// The shape of a VM's tables.
///
/// # Invariants
///
/// The start level's tables, 16 at most, cover exactly the VM's address space.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Geometry {
    granule: Granule,
    ipa: IpaBits,
    /// VTCR_EL2.PS: 0 to 6.
    pa_size: u8,
    /// Width of output addresses that descriptors hold and the CPU accepts.
    pa_bits: u8,
    /// VTCR_EL2.DS: the descriptors are FEAT_LPA2's.
    ds: bool,
    start: Level,
}

impl Geometry {
    /// Returns the shape for `config`.
    ///
    /// The walk starts as late as 16 concatenated tables allow, but at level 2 or before, so that
    /// there is always a level of blocks. FEAT_LPA2's descriptors, which leave no room for
    /// shareability, are used only where addresses of either side do not fit the others.
    ///
    /// # Errors
    ///
    /// [`BadConfig`] if there is no such size or the CPU cannot translate it.
    pub const fn new(config: &Config) -> Result<Self, BadConfig> {
        let granule = config.granule;
        let ipa = config.ipa;
        let wide = config.lpa2 && !matches!(granule, Granule::K64);
        let ds = wide && (ipa.get() > 48 || (config.host_pa_bits > 48 && config.cpu_pa_bits > 48));
        let reach = if ds || matches!(granule, Granule::K64) {
            52
        } else {
            48
        };
        // What is wider than 52 bits needs 128-bit descriptors, and is reached up to there.
        let (pa_size, pa_bits) = match config.cpu_pa_bits {
            32 => (0, 32),
            36 => (1, 36),
            40 => (2, 40),
            42 => (3, 42),
            44 => (4, 44),
            52 | 56 if reach == 52 => (6, 52),
            48 | 52 | 56 => (5, 48),
            bits => return Err(BadConfig::PaBits(bits)),
        };
        if ipa.get() > pa_bits {
            return Err(BadConfig::IpaBits {
                asked: ipa,
                limit: pa_bits,
            });
        }
        let mut start = Level::L2;
        while let Some(earlier) = start.previous() {
            let bits = level_shift(granule, start) + index_bits(granule) + CONCATENATION;
            if ipa.get() as u32 <= bits {
                break;
            }
            start = earlier;
        }
        Ok(Self {
            granule,
            ipa,
            pa_size,
            pa_bits,
            ds,
            start,
        })
    }

    /// Returns the granule.
    #[inline]
    pub const fn granule(&self) -> Granule {
        self.granule
    }

    /// Returns the width of the VM's physical addresses.
    #[inline]
    pub const fn ipa(&self) -> IpaBits {
        self.ipa
    }

    /// Returns the width of output addresses in bits.
    #[inline]
    pub const fn pa_bits(&self) -> u8 {
        self.pa_bits
    }

    /// Returns VTCR_EL2.PS, 0 to 6.
    #[inline]
    pub const fn pa_size(&self) -> u8 {
        self.pa_size
    }

    /// Whether the descriptors are FEAT_LPA2's (VTCR_EL2.DS).
    #[inline]
    pub const fn ds(&self) -> bool {
        self.ds
    }

    /// Returns the level at which a walk starts.
    #[inline]
    pub const fn start(&self) -> Level {
        self.start
    }

    /// Returns log2 of what one entry at `level` spans, in bytes.
    #[inline]
    pub const fn shift(&self, level: Level) -> u32 {
        level_shift(self.granule, level)
    }

    /// Returns what one entry at `level` spans, in bytes.
    #[inline]
    pub const fn span(&self, level: Level) -> u64 {
        1 << self.shift(level)
    }

    /// Returns the number of entries that the tables at `level` have: at the start level those of
    /// all concatenated tables, which may also be fewer than one table has.
    #[inline]
    pub const fn entries(&self, level: Level) -> usize {
        if level as u8 == self.start as u8 {
            1 << (self.ipa.get() as u32 - self.shift(level))
        } else {
            1 << index_bits(self.granule)
        }
    }

    /// Returns the index of `ipa`'s entry in its table at `level`.
    #[inline]
    pub const fn index(&self, ipa: u64, level: Level) -> usize {
        (ipa >> self.shift(level)) as usize & (self.entries(level) - 1)
    }

    /// Returns the number of granule-sized tables, 1 to 16, that form the root. They are one piece
    /// of physical memory, aligned to its size.
    #[inline]
    pub const fn root_tables(&self) -> usize {
        let tables = self.entries(self.start) >> index_bits(self.granule);
        if tables == 0 {
            1
        } else {
            tables
        }
    }

    /// Returns the size of the root in bytes, and its alignment.
    #[inline]
    pub const fn root_size(&self) -> u64 {
        (self.root_tables() as u64) << self.granule.shift()
    }

    /// Returns how many tables mapping one leaf at `level` can take from the reserve.
    #[inline]
    pub const fn tables_to_map(&self, level: Level) -> usize {
        (level as usize).saturating_sub(self.start as usize)
    }

    /// Whether an entry at `level` can be a leaf: a page at level 3, a block at those before that
    /// have them (1 GiB and 2 MiB; 32 MiB; 512 MiB).
    ///
    /// The larger blocks that come with 52-bit addresses are not used.
    #[inline]
    pub const fn has_leaves(&self, level: Level) -> bool {
        has_leaves(self.granule, level)
    }
}

#[inline]
const fn has_leaves(granule: Granule, level: Level) -> bool {
    match level {
        Level::L0 => false,
        Level::L1 => matches!(granule, Granule::K4),
        Level::L2 | Level::L3 => true,
    }
}

/// Returns the sizes in bytes that blocks and pages can have, a bit each.
pub fn leaf_sizes(granule: Granule) -> u64 {
    Level::ALL
        .iter()
        .filter(|level| has_leaves(granule, **level))
        .fold(0, |sizes, level| {
            sizes | (1 << level_shift(granule, *level))
        })
}

/// Returns log2 of what one entry at `level` spans.
#[inline]
const fn level_shift(granule: Granule, level: Level) -> u32 {
    granule.shift() + (Level::L3 as u32 - level as u32) * index_bits(granule)
}

/// Returns log2 of the entries of a table: descriptors have 8 bytes.
#[inline]
const fn index_bits(granule: Granule) -> u32 {
    granule.shift() - 3
}
