// SPDX-License-Identifier: GPL-2.0

//! The cache geometry that a vCPU shows: CLIDR_EL1 and CCSIDR_EL1.
//!
//! The true one differs between CPUs and means nothing to a guest, whose set/way operations are
//! trapped. It is made up so that guests do as few of those as possible: one cache level, or two,
//! of one set and one way. Only the line size is true. CCSIDR_EL1 has the 32-bit format.

use crate::{
    idreg::CtrEl0,
    vm_idreg::{
        host::HostIdRegs,
        regs::SetError,
        table::CLIDR_MASK,
        view::IdView, //
    },
};

/// A cache as CSSELR_EL1 selects it: bits 3 to 1 the level less one, bit 0 an instruction cache.
///
/// # Invariants
///
/// The number is below [`CacheLevel::COUNT`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CacheLevel(u8);

/// KVM_REG_ARM64, KVM_REG_SIZE_U32, KVM_REG_ARM_DEMUX and KVM_REG_ARM_DEMUX_ID_CCSIDR.
const ONE_REG_CCSIDR: u64 = 0x6020_0000_0011_0000;

impl CacheLevel {
    /// Seven levels of two kinds.
    pub const COUNT: usize = 14;

    /// Returns the cache that a value of CSSELR_EL1 selects, or [`None`] if there is no such level.
    /// The bits other than Level and InD are ignored: without MTE, TnD is RES0.
    #[inline]
    pub const fn from_csselr(csselr: u64) -> Option<Self> {
        let number = csselr & 0xf;
        if number < Self::COUNT as u64 {
            Some(Self(number as u8))
        } else {
            None
        }
    }

    /// Returns the cache whose CCSIDR_EL1 a KVM_GET_ONE_REG id names, or [`None`] if it is not such
    /// an id, with a size of 32 bits.
    #[inline]
    pub const fn from_one_reg(id: u64) -> Option<Self> {
        if id & !0xff == ONE_REG_CCSIDR && id & 0xff < Self::COUNT as u64 {
            Some(Self(id as u8))
        } else {
            None
        }
    }

    /// Returns the id of its CCSIDR_EL1 for KVM_GET_ONE_REG.
    #[inline]
    pub const fn to_one_reg(self) -> u64 {
        ONE_REG_CCSIDR | self.0 as u64
    }

    /// Returns all caches.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Whether it is an instruction cache.
    const fn is_instruction(self) -> bool {
        self.0 & 1 != 0
    }
}

/// CLIDR_EL1 and all CCSIDR_EL1 of a vCPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CacheRegs {
    clidr: u64,
    ccsidr: [u32; CacheLevel::COUNT],
}

/// Types of a cache in CLIDR_EL1.
const INSTRUCTION: u64 = 1;
const DATA: u64 = 2;
const UNIFIED: u64 = 4;

const LOUIS_SHIFT: u32 = 21;
const LOC_SHIFT: u32 = 24;
const LOUU_SHIFT: u32 = 27;
const TTYPE1_SHIFT: u32 = 33;

impl CacheRegs {
    /// Returns the geometry of a vCPU's reset; `mte` says that the VM has memory tagging.
    pub fn new(host: &HostIdRegs, mte: bool) -> Self {
        let ctr: CtrEl0 = host.reg();
        let mut ccsidr = [0; CacheLevel::COUNT];
        for level in CacheLevel::all() {
            ccsidr[level.0 as usize] = line_size(ctr, level);
        }
        Self {
            clidr: made_up_clidr(ctr, mte),
            ccsidr,
        }
    }

    /// Returns CLIDR_EL1, for KVM_GET_ONE_REG and for the guest.
    #[inline]
    pub fn clidr(&self) -> u64 {
        self.clidr
    }

    /// Sets CLIDR_EL1 by KVM_SET_ONE_REG.
    ///
    /// # Errors
    ///
    /// [`SetError::Invalid`] if a reserved bit is set, or if the value spares a guest cache
    /// maintenance that the host's CPUs need: no level of coherence, or none of unification.
    pub fn set_clidr(&mut self, host: &HostIdRegs, value: u64) -> Result<(), SetError> {
        let level = |shift: u32| (value >> shift) & 7;
        let spares = level(LOC_SHIFT) == 0 || (level(LOUIS_SHIFT) == 0 && level(LOUU_SHIFT) == 0);
        if value & !CLIDR_MASK != 0 || (spares && !host.reg::<CtrEl0>().idc()) {
            return Err(SetError::Invalid);
        }
        self.clidr = value;
        Ok(())
    }

    /// Returns a CCSIDR_EL1 for KVM_GET_ONE_REG.
    #[inline]
    pub fn ccsidr(&self, level: CacheLevel) -> u32 {
        self.ccsidr[level.0 as usize]
    }

    /// Sets a CCSIDR_EL1 by KVM_SET_ONE_REG.
    ///
    /// # Errors
    ///
    /// [`SetError::Invalid`] if the line is smaller than the host's smallest: a guest that goes by
    /// it would be right, but the architecture has no CPU on which CTR_EL0 then is.
    pub fn set_ccsidr(
        &mut self,
        host: &HostIdRegs,
        level: CacheLevel,
        value: u32,
    ) -> Result<(), SetError> {
        if value & 7 < line_size(host.reg(), level) {
            return Err(SetError::Invalid);
        }
        self.ccsidr[level.0 as usize] = value;
        Ok(())
    }

    /// Returns what the guest reads from CCSIDR_EL1 while CSSELR_EL1 is `csselr`; zero, where the
    /// architecture says UNKNOWN, for a cache that cannot be.
    #[inline]
    pub fn guest_ccsidr(&self, csselr: u64) -> u64 {
        CacheLevel::from_csselr(csselr).map_or(0, |level| u64::from(self.ccsidr(level)))
    }
}

/// Returns CCSIDR_EL1 with the line size of the host and one set and one way: log2 of the line's
/// bytes, less 4, in bits 2 to 0. CTR_EL0 has log2 of its words. Lines of 8 bytes, which this cannot
/// say, do not exist.
fn line_size(ctr: CtrEl0, level: CacheLevel) -> u32 {
    let words = if level.is_instruction() {
        ctr.iminline()
    } else {
        ctr.dminline()
    };
    (words.get().saturating_sub(2) as u32).min(7)
}

/// Returns a CLIDR_EL1 with the cache levels that CTR_EL0 needs to be true: where a clean or an
/// invalidate to the point of unification is needed, there is a cache to do that to.
fn made_up_clidr(ctr: CtrEl0, mte: bool) -> u64 {
    let first = if ctr.dic() { 0 } else { INSTRUCTION };
    let (levels, types, unification) = match (ctr.idc(), ctr.dic()) {
        (true, true) => (1, UNIFIED, 0),
        (true, false) => (2, first | (UNIFIED << 3), 0),
        (false, _) => (1, first | DATA, 1),
    };
    let tags = if mte {
        2 << (TTYPE1_SHIFT + 2 * (levels as u32 - 1))
    } else {
        0
    };
    types
        | (levels << LOC_SHIFT)
        | (unification << LOUIS_SHIFT)
        | (unification << LOUU_SHIFT)
        | tags
}
