// SPDX-License-Identifier: GPL-2.0

//! The encodings of ID registers, and where a VM keeps their values.

use crate::sysreg::SysReg;

/// An encoding in the range of KVM_ARM_GET_REG_WRITABLE_MASKS: Op0 3, Op1 0, 1 or 3, CRn 0, CRm 0 to
/// 7, Op2 0 to 7.
///
/// # Invariants
///
/// The number is below [`IdIndex::COUNT`].
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IdIndex(u8);

impl IdIndex {
    /// KVM_ARM_FEATURE_ID_RANGE_SIZE.
    pub const COUNT: usize = 3 * 8 * 8;

    /// Returns the index of `reg`, or [`None`] if it is outside of the range.
    #[inline]
    pub const fn new(reg: SysReg) -> Option<Self> {
        if reg.op0() != 3 || reg.crn() != 0 || reg.crm() > 7 {
            return None;
        }
        let block = match reg.op1() {
            0 => 0,
            1 => 1,
            3 => 2,
            _ => return None,
        };
        Some(Self((block << 6) | (reg.crm() << 3) | reg.op2()))
    }

    /// Returns the position in the array of masks, below [`IdIndex::COUNT`]:
    /// KVM_ARM_FEATURE_ID_RANGE_IDX of the register.
    #[inline]
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    /// Returns the register, the inverse of [`IdIndex::new`].
    pub const fn reg(self) -> SysReg {
        let op1: u16 = match self.0 >> 6 {
            0 => 0,
            1 => 1,
            _ => 3,
        };
        SysReg::from_raw((3 << 14) | (op1 << 11) | (self.0 & 0x3f) as u16)
    }

    /// Returns all encodings of the range, in the order of [`IdIndex::get`].
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }
}

/// The place of a register that all vCPUs of a VM share.
///
/// These are the feature ID space (Op1 0, CRm 1 to 7; see [`SysReg::is_feature_id`]) and MIDR_EL1,
/// REVIDR_EL1, AIDR_EL1 and CTR_EL0. MPIDR_EL1 and CLIDR_EL1 belong to a vCPU.
///
/// # Invariants
///
/// The number is below [`Slot::COUNT`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Slot(u8);

/// The registers that are not in the feature ID space, in the order of their slots.
const OTHERS: [SysReg; 4] = [
    SysReg::MIDR_EL1,
    SysReg::REVIDR_EL1,
    SysReg::AIDR_EL1,
    SysReg::CTR_EL0,
];

/// The size of the feature ID space: CRm 1 to 7, Op2 0 to 7.
const FEATURES: u8 = 7 * 8;

impl Slot {
    /// The number of slots.
    pub(crate) const COUNT: usize = FEATURES as usize + OTHERS.len();

    /// Returns the slot of `reg`, or [`None`] if a VM does not keep it.
    #[inline]
    pub(crate) const fn new(reg: SysReg) -> Option<Self> {
        if reg.is_feature_id() {
            return Some(Self(((reg.crm() - 1) << 3) | reg.op2()));
        }
        let mut other = 0;
        while other < OTHERS.len() {
            if OTHERS[other].into_raw() == reg.into_raw() {
                return Some(Self(FEATURES + other as u8));
            }
            other += 1;
        }
        None
    }

    /// Returns the slot of a constant register; one that has none fails to compile.
    pub(crate) const fn of(reg: SysReg) -> Self {
        match Self::new(reg) {
            Some(slot) => slot,
            None => panic!("a VM does not keep this register"),
        }
    }

    /// Returns the register.
    pub(crate) const fn reg(self) -> SysReg {
        if self.0 < FEATURES {
            SysReg::from_raw((3 << 14) | (self.0 + 8) as u16)
        } else {
            OTHERS[(self.0 - FEATURES) as usize]
        }
    }

    /// Returns all slots.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }
}

/// A value for each [`Slot`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct SlotArray([u64; Slot::COUNT]);

impl SlotArray {
    /// All values zero.
    pub(crate) const ZERO: Self = Self([0; Slot::COUNT]);

    #[inline]
    pub(crate) const fn get(&self, slot: Slot) -> u64 {
        self.0[slot.0 as usize]
    }

    #[inline]
    pub(crate) fn set(&mut self, slot: Slot, value: u64) {
        self.0[slot.0 as usize] = value;
    }
}

/// Whether `reg` is an ID register of AArch32 state as AArch64 sees it: Op1 0, CRn 0, CRm 1 to 3.
#[inline]
pub const fn is_aarch32(reg: SysReg) -> bool {
    reg.is_feature_id() && reg.crm() <= 3
}
