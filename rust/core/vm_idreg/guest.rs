// SPDX-License-Identifier: GPL-2.0

//! What a guest reads from ID registers.

use crate::{
    sysreg::SysReg,
    vm_idreg::{
        features::{
            VmFeature,
            VmFeatures, //
        },
        regs::VmIdRegs,
        space::IdIndex,
        table,
    },
};

/// What becomes of a trapped MRS of an ID register.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum GuestRead {
    /// It gives this value.
    Value(u64),
    /// It gives the value of the CPU that the vCPU runs on.
    ThisCpu,
    /// The guest takes an exception with the ESR of the trap: EC 0x18. FEAT_IDST.
    IdTrap,
    /// The guest takes an exception for an UNDEFINED instruction: EC 0.
    Undefined,
}

impl VmIdRegs {
    /// Returns what an MRS of `reg` at EL1 does, or [`None`] if the register is outside of the ID
    /// registers' range or belongs to a vCPU: MPIDR_EL1, CCSIDR_EL1, CLIDR_EL1 and DCZID_EL0, which
    /// is only trapped by a fine-grained trap.
    ///
    /// `features` is what [`VmIdRegs::freeze`] returned. An encoding that no register has reads as
    /// zero where CRm is 1 to 7 (Arm ARM, "Reserved encodings in the ID register space"); all others
    /// do what the Arm ARM's pseudocode UnimplementedIDRegister() says. So do CCSIDR2_EL1, GMID_EL1
    /// and SMIDR_EL1, whose features no VM has.
    #[inline]
    pub fn guest_read(&self, reg: SysReg, features: VmFeatures) -> Option<GuestRead> {
        IdIndex::new(reg)?;
        match reg {
            SysReg::MPIDR_EL1 | SysReg::CCSIDR_EL1 | SysReg::CLIDR_EL1 | SysReg::DCZID_EL0 => None,
            _ => Some(match self.get(reg) {
                Some(_)
                    if !self.has_writable_implementation()
                        && table::implementation_mask(reg).is_some() =>
                {
                    GuestRead::ThisCpu
                }
                Some(value) => GuestRead::Value(value),
                None if features.contains(VmFeature::Idst) => GuestRead::IdTrap,
                None => GuestRead::Undefined,
            }),
        }
    }
}
