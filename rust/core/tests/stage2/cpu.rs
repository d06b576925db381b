// SPDX-License-Identifier: GPL-2.0

//! A CPU that walks stage 2 tables, and its TLBs, by the architecture's description and by nothing of
//! what the crate knows about descriptors.
//!
//! The TLBs hold as much as they may: each entry that was valid at some time, until an instruction
//! invalidates it that is about it, or the CPUs have something else to use. What the architecture
//! forbids, or has no answer to, panics.

use kvm_core::stage2::{
    tlbi::{
        Operands,
        TlbiFeatures, //
    },
    Config,
    Execute,
    Format,
    MemoryType,
    Permissions,
    VtcrEl2, //
};

/// What CPUs have or not.
#[derive(Copy, Clone, Debug)]
pub struct Features {
    /// ID_AA64MMFR2_EL1.BBM, 0 to 3. Level 1 is by the nT bit, which no entry has here.
    pub bbm: u8,
    /// FEAT_TTL.
    pub ttl: bool,
    /// FEAT_TLBIRANGE.
    pub range: bool,
    /// FEAT_S2FWB, and HCR_EL2.FWB is set.
    pub fwb: bool,
    /// FEAT_XNX.
    pub xnx: bool,
}

impl Features {
    /// What `config` is for; TLBI has everything.
    pub fn of(config: &Config) -> Self {
        Self {
            bbm: if config.live_resize { 3 } else { 0 },
            ttl: true,
            range: true,
            fwb: config.fwb,
            xnx: config.xnx,
        }
    }
}

/// What a page or block is to a CPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    pub pa: u64,
    pub memory: MemoryType,
    pub permissions: Permissions,
    pub accessed: bool,
}

/// What an entry is to a CPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Walked {
    Fault,
    Table(u64),
    Leaf(Leaf),
}

/// What a TLB holds of one entry.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Cached {
    pub ipa: u64,
    pub size: u64,
    pub level: u8,
    pub what: Walked,
}

impl Cached {
    fn touches(&self, ipa: u64, size: u64) -> bool {
        ipa < self.ipa + self.size && self.ipa < ipa + size
    }
}

/// The CPUs of a system, which are alike.
pub struct Cpu {
    pub features: Features,
    vtcr: u64,
    /// What TLBs may hold that is in the tables no more, or allows less there.
    stale: Vec<Cached>,
}

impl Cpu {
    pub fn new(format: &Format, features: Features) -> Self {
        Self {
            features,
            vtcr: VtcrEl2::new(format).into_raw(),
            stale: Vec::new(),
        }
    }

    fn vtcr(&self, low: u32, high: u32) -> u64 {
        (self.vtcr >> low) & ((1 << (high - low + 1)) - 1)
    }

    fn page_shift(&self) -> u32 {
        match self.vtcr(14, 15) {
            0 => 12,
            1 => 16,
            2 => 14,
            _ => panic!("VTCR_EL2.TG0 is reserved"),
        }
    }

    fn ds(&self) -> bool {
        self.vtcr(32, 32) == 1
    }

    /// The width of input addresses.
    pub fn input_bits(&self) -> u32 {
        64 - self.vtcr(0, 5) as u32
    }

    fn output_bits(&self) -> u32 {
        [32, 36, 40, 42, 44, 48, 52, 56][self.vtcr(16, 18) as usize]
    }

    /// The level at which a walk starts.
    pub fn start(&self) -> u8 {
        let by_sl0 = match self.page_shift() {
            12 => [2, 1, 0, 3],
            _ => [3, 2, 1, 0],
        };
        by_sl0[self.vtcr(6, 7) as usize]
    }

    /// log2 of what an entry at `level` spans.
    pub fn shift(&self, level: u8) -> u32 {
        self.page_shift() + u32::from(3 - level) * (self.page_shift() - 3)
    }

    fn has_blocks(&self, level: u8) -> bool {
        match self.page_shift() {
            12 => level == 1 || level == 2 || (level == 0 && self.ds()),
            14 => level == 2 || (level == 1 && self.ds()),
            _ => level == 2 || (level == 1 && self.output_bits() == 52),
        }
    }

    /// The address in a descriptor whose lowest bit is `low`.
    fn address(&self, raw: u64, low: u32) -> u64 {
        let field = |high: u32, low: u32| ((raw >> low) & ((1 << (high - low + 1)) - 1)) << low;
        let pa = if self.ds() {
            field(49, low) | (((raw >> 8) & 3) << 50)
        } else if self.page_shift() == 16 && self.output_bits() == 52 {
            field(47, low) | (((raw >> 12) & 0xf) << 48)
        } else {
            field(47, low)
        };
        assert_eq!(pa >> self.output_bits(), 0, "an address size fault");
        pa
    }

    /// What an entry at `level` is.
    pub fn read(&self, raw: u64, level: u8) -> Walked {
        let is_table = match (raw & 3, level) {
            (0 | 2, _) => return Walked::Fault,
            (1, 3) => return Walked::Fault,
            (1, _) if !self.has_blocks(level) => return Walked::Fault,
            (3, 0..=2) => true,
            _ => false,
        };
        if is_table {
            return Walked::Table(self.address(raw, self.page_shift()));
        }
        let inside = (1u64 << self.shift(level)) - (1 << self.page_shift());
        assert_eq!(raw & inside, 0, "RES0 bits of a block, or nT");
        assert_eq!((raw >> 52) & 1, 0, "the contiguous bit");
        assert!(
            self.features.xnx || (raw >> 53) & 1 == 0,
            "XN[0] without FEAT_XNX"
        );
        let memory = match (self.features.fwb, (raw >> 2) & 0xf) {
            (_, 0b0001) => MemoryType::Device,
            (false, 0b1111) | (true, 0b0110) => MemoryType::Normal,
            (_, 0b0101) => MemoryType::NormalNonCacheable,
            (fwb, other) => panic!("MemAttr {other:#06b}, FWB {fwb}"),
        };
        assert!(self.ds() || (raw >> 8) & 3 == 3, "not inner shareable");
        Walked::Leaf(Leaf {
            pa: self.address(raw, self.shift(level)),
            memory,
            permissions: Permissions {
                read: (raw >> 6) & 1 == 1,
                write: (raw >> 7) & 1 == 1,
                execute: match (raw >> 53) & 3 {
                    0 => Execute::All,
                    1 => Execute::El0,
                    2 => Execute::Never,
                    _ => Execute::El1,
                },
            },
            accessed: (raw >> 10) & 1 == 1,
        })
    }

    /// Walks the tables at `root`, of which `read` gives the memory. Returns the level and what is found
    /// there: a page or block, or nothing.
    pub fn walk(&self, root: u64, ipa: u64, read: impl Fn(u64) -> u64) -> (u8, Option<Leaf>) {
        let mut level = self.start();
        let mut table = root;
        // Tables stand side by side at the first level.
        let mut bits = self.input_bits();
        assert_eq!(ipa >> bits, 0);
        loop {
            let index = (ipa & ((1 << bits) - 1)) >> self.shift(level);
            match self.read(read(table + index * 8), level) {
                Walked::Fault => return (level, None),
                Walked::Leaf(leaf) => return (level, Some(leaf)),
                Walked::Table(next) => {
                    bits = self.shift(level);
                    (table, level) = (next, level + 1);
                }
            }
        }
    }

    /// What TLBs may hold though they should not.
    pub fn stale(&self) -> &[Cached] {
        &self.stale
    }

    /// Whether a CPU may go on to walk the table at `pa`.
    pub fn may_walk(&self, pa: u64) -> bool {
        let table = Walked::Table(pa);
        self.stale.iter().any(|cached| cached.what == table)
    }

    /// Entries are gone that were valid, or allow less: TLBs may go on to hold them.
    pub fn keep(&mut self, gone: impl IntoIterator<Item = Cached>) {
        self.stale.extend(gone);
    }

    /// Entries have become valid: those that one access of memory has made so, leaves and perhaps the
    /// table above them.
    pub fn check_made(&self, made: &[Cached]) {
        for new in made {
            for old in self
                .stale
                .iter()
                .filter(|old| old.touches(new.ipa, new.size))
            {
                self.check_pair(old, new);
            }
        }
    }

    /// "Break-before-make": what a TLB may hold beside what the tables have.
    fn check_pair(&self, old: &Cached, new: &Cached) {
        let resized = match (old.what, new.what) {
            (Walked::Leaf(was), Walked::Leaf(is)) => {
                let at = old.ipa.max(new.ipa);
                let same = was.pa + (at - old.ipa) == is.pa + (at - new.ipa);
                assert!(
                    same && was.memory == is.memory,
                    "break-before-make: {new:?} while a TLB may hold {old:?}"
                );
                old.level != new.level
            }
            (Walked::Table(_), Walked::Table(_)) if old.level == new.level => {
                panic!("break-before-make: another table, {new:?} for {old:?}")
            }
            // A table and its own entries, or those of a block that is in its place.
            (Walked::Table(_), Walked::Leaf(_)) => old.level >= new.level,
            (Walked::Leaf(_), Walked::Table(_)) => old.level <= new.level,
            _ => false,
        };
        match (resized, self.features.bbm) {
            (false, _) | (true, 3) => {}
            (true, 2) => panic!("TLB conflict abort: {new:?} beside {old:?}"),
            (true, _) => panic!("break-before-make: {new:?} in the place of {old:?}"),
        }
    }

    /// Does what TLBI does, with the operands that the crate makes; all of the VMID's entries without
    /// any.
    pub fn invalidate(&mut self, operands: Option<&Operands>) {
        let Some(operands) = operands else {
            self.stale.clear();
            return;
        };
        for operand in operands.entries() {
            let (ipa, level) = self.entry_operand(*operand);
            self.drop_at(ipa, 1, level);
        }
        for operand in operands.ranges() {
            let (ipa, size, level) = self.range_operand(*operand);
            self.drop_at(ipa, size, level);
        }
    }

    /// With a level nothing has to go but leaves of that.
    fn drop_at(&mut self, ipa: u64, size: u64, level: Option<u8>) {
        self.stale.retain(|cached| {
            let meant = match (level, cached.what) {
                (None, _) => true,
                (Some(level), Walked::Leaf(_)) => cached.level == level,
                (Some(_), _) => false,
            };
            !(meant && cached.touches(ipa, size))
        });
    }

    fn granule_of(&self, tg: u64) -> bool {
        tg == match self.page_shift() {
            12 => 1,
            14 => 2,
            _ => 3,
        }
    }

    /// The address and the level, if there is one, of an operand of TLBI IPAS2E1IS.
    fn entry_operand(&self, operand: u64) -> (u64, Option<u8>) {
        let ttl = (operand >> 44) & 0xf;
        assert!(ttl == 0 || self.features.ttl, "TTL is RES0");
        assert!(
            ttl == 0 || self.granule_of(ttl >> 2),
            "TTL of another granule"
        );
        let ipa = (operand & ((1 << 40) - 1)) << 12;
        // Of level 0 there is no hint with these granules but with 52-bit addresses, nor of level 1
        // with 16 KiB.
        let level = (ttl & 3) as u8;
        (ipa, (ttl != 0 && level != 0).then_some(level))
    }

    /// The same for TLBI RIPAS2E1IS, and the size.
    fn range_operand(&self, operand: u64) -> (u64, u64, Option<u8>) {
        assert!(self.features.range, "no FEAT_TLBIRANGE");
        assert!(self.granule_of((operand >> 46) & 3), "another granule");
        let (num, scale) = ((operand >> 39) & 0x1f, (operand >> 44) & 3);
        let level = ((operand >> 37) & 3) as u8;
        assert!(level == 0 || self.features.ttl, "TTL is RES0");
        let unit = if self.ds() { 16 } else { self.page_shift() };
        let ipa = (operand & ((1 << 37) - 1)) << unit;
        let pages = (num + 1) << (5 * scale + 1);
        (
            ipa,
            pages << self.page_shift(),
            (level != 0).then_some(level),
        )
    }

    /// What the crate is told of the CPUs.
    pub fn tlbi_features(&self) -> TlbiFeatures {
        TlbiFeatures {
            ttl: self.features.ttl,
            range: self.features.range,
        }
    }
}
