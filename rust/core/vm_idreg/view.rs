// SPDX-License-Identifier: GPL-2.0

//! Typed reads from a set of ID registers.

use crate::{
    bit_struct::BitStruct,
    idreg::{
        CtrEl0,
        IdAa64Dfr0El1,
        IdAa64Dfr1El1,
        IdAa64Fpfr0El1,
        IdAa64Isar0El1,
        IdAa64Isar1El1,
        IdAa64Isar2El1,
        IdAa64Isar3El1,
        IdAa64Mmfr0El1,
        IdAa64Mmfr1El1,
        IdAa64Mmfr2El1,
        IdAa64Mmfr3El1,
        IdAa64Mmfr4El1,
        IdAa64Pfr0El1,
        IdAa64Pfr1El1,
        IdAa64Pfr2El1,
        IdAa64Smfr0El1,
        IdAa64Zfr0El1, //
    },
    sysreg::SysReg,
    vm_idreg::space::{
        Slot,
        SlotArray, //
    },
};

/// An ID register with named fields.
pub trait IdRegister: BitStruct {
    /// Its encoding.
    const REG: SysReg;
}

macro_rules! id_registers {
    ($($name:ident = $reg:ident;)*) => {
        $(impl IdRegister for $name {
            const REG: SysReg = SysReg::$reg;
        })*
    };
}

id_registers! {
    IdAa64Pfr0El1 = ID_AA64PFR0_EL1;
    IdAa64Pfr1El1 = ID_AA64PFR1_EL1;
    IdAa64Pfr2El1 = ID_AA64PFR2_EL1;
    IdAa64Zfr0El1 = ID_AA64ZFR0_EL1;
    IdAa64Smfr0El1 = ID_AA64SMFR0_EL1;
    IdAa64Fpfr0El1 = ID_AA64FPFR0_EL1;
    IdAa64Dfr0El1 = ID_AA64DFR0_EL1;
    IdAa64Dfr1El1 = ID_AA64DFR1_EL1;
    IdAa64Isar0El1 = ID_AA64ISAR0_EL1;
    IdAa64Isar1El1 = ID_AA64ISAR1_EL1;
    IdAa64Isar2El1 = ID_AA64ISAR2_EL1;
    IdAa64Isar3El1 = ID_AA64ISAR3_EL1;
    IdAa64Mmfr0El1 = ID_AA64MMFR0_EL1;
    IdAa64Mmfr1El1 = ID_AA64MMFR1_EL1;
    IdAa64Mmfr2El1 = ID_AA64MMFR2_EL1;
    IdAa64Mmfr3El1 = ID_AA64MMFR3_EL1;
    IdAa64Mmfr4El1 = ID_AA64MMFR4_EL1;
    CtrEl0 = CTR_EL0;
}

/// A set of ID registers: the host's or a VM's.
pub trait IdView {
    /// Returns the value of `reg`; zero if it is none of the registers that a VM keeps.
    fn raw(&self, reg: SysReg) -> u64;

    /// Returns a register with its fields.
    #[inline]
    fn reg<R: IdRegister>(&self) -> R {
        R::from_raw(self.raw(R::REG))
    }
}

impl IdView for SlotArray {
    #[inline]
    fn raw(&self, reg: SysReg) -> u64 {
        Slot::new(reg).map_or(0, |slot| self.get(slot))
    }
}
