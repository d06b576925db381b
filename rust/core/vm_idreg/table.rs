// SPDX-License-Identifier: GPL-2.0

//! The table of all fields of all ID registers that VMs share.

use crate::{
    cpu::ReadIdRegister,
    sysreg::SysReg,
    vm_idreg::{
        aarch32, fields,
        host::{
            HostFacts,
            HostIdRegs, //
        },
        rule::Field,
        space::{
            is_aarch32,
            IdIndex,
            Slot,
            SlotArray, //
        },
    },
};

/// An ID register and its fields.
struct Register {
    slot: Slot,
    fields: &'static [Field],
}

macro_rules! table {
    ($($reg:ident: $fields:expr;)*) => {
        &[$(Register {
            slot: Slot::of(SysReg::$reg),
            fields: $fields,
        }),*]
    };
}

/// The registers that can differ from zero. All are in Linux's table of registers that it
/// sanitises, so that it can be asked for each.
const TABLE: &[Register] = table! {
    ID_PFR0_EL1: &aarch32::PLAIN;
    ID_PFR1_EL1: &aarch32::PLAIN;
    ID_DFR0_EL1: &aarch32::DFR0;
    ID_MMFR0_EL1: &aarch32::MMFR0;
    ID_MMFR1_EL1: &aarch32::PLAIN;
    ID_MMFR2_EL1: &aarch32::PLAIN;
    ID_MMFR3_EL1: &aarch32::PLAIN;
    ID_ISAR0_EL1: &aarch32::PLAIN;
    ID_ISAR1_EL1: &aarch32::PLAIN;
    ID_ISAR2_EL1: &aarch32::PLAIN;
    ID_ISAR3_EL1: &aarch32::PLAIN;
    ID_ISAR4_EL1: &aarch32::PLAIN;
    ID_ISAR5_EL1: &aarch32::PLAIN;
    ID_MMFR4_EL1: &aarch32::MMFR4;
    ID_ISAR6_EL1: &aarch32::PLAIN;
    MVFR0_EL1: &aarch32::PLAIN;
    MVFR1_EL1: &aarch32::PLAIN;
    MVFR2_EL1: &aarch32::PLAIN;
    ID_PFR2_EL1: &aarch32::PLAIN;
    ID_MMFR5_EL1: &aarch32::PLAIN;
    ID_AA64PFR0_EL1: fields::PFR0;
    ID_AA64PFR1_EL1: fields::PFR1;
    ID_AA64PFR2_EL1: fields::PFR2;
    ID_AA64ZFR0_EL1: fields::ZFR0;
    ID_AA64FPFR0_EL1: fields::FPFR0;
    ID_AA64DFR0_EL1: fields::DFR0;
    ID_AA64ISAR0_EL1: fields::ISAR0;
    ID_AA64ISAR1_EL1: fields::ISAR1;
    ID_AA64ISAR2_EL1: fields::ISAR2;
    ID_AA64ISAR3_EL1: fields::ISAR3;
    ID_AA64MMFR0_EL1: fields::MMFR0;
    ID_AA64MMFR1_EL1: fields::MMFR1;
    ID_AA64MMFR2_EL1: fields::MMFR2;
    ID_AA64MMFR3_EL1: fields::MMFR3;
    ID_AA64MMFR4_EL1: fields::MMFR4;
    CTR_EL0: fields::CTR;
};

/// Returns the fields of `slot`'s register; none if it is zero in every VM or has no fields, as
/// MIDR_EL1.
pub(crate) fn fields_of(slot: Slot) -> &'static [Field] {
    TABLE
        .iter()
        .find(|register| register.slot == slot)
        .map_or(&[], |register| register.fields)
}

/// Returns the table's fields of `reg`; none if the register is zero in every VM or has no fields,
/// as MIDR_EL1.
pub fn fields(reg: SysReg) -> &'static [Field] {
    Slot::new(reg).map_or(&[], fields_of)
}

/// Returns the bits that a VMM can change of an implementation ID register, once
/// KVM_CAP_ARM_WRITABLE_IMP_ID_REGS is enabled; [`None`] for any other register.
pub(crate) fn implementation_mask(reg: SysReg) -> Option<u64> {
    match reg {
        SysReg::MIDR_EL1 => Some(u64::from(u32::MAX)),
        SysReg::REVIDR_EL1 | SysReg::AIDR_EL1 => Some(u64::MAX),
        _ => None,
    }
}

/// The bits of CLIDR_EL1 that have a meaning. Arm ARM, the page of CLIDR_EL1.
pub(crate) const CLIDR_MASK: u64 = (1 << 47) - 1;

/// Returns the bits of a register that a VMM can change before the VM first runs: an element of the
/// array of KVM_ARM_GET_REG_WRITABLE_MASKS.
///
/// `aarch32_el0` is [`HostIdRegs::has_aarch32_el0`].
pub fn writable_mask(index: IdIndex, aarch32_el0: bool) -> u64 {
    let reg = index.reg();
    if let Some(mask) = implementation_mask(reg) {
        return mask;
    }
    if reg == SysReg::CLIDR_EL1 {
        return CLIDR_MASK;
    }
    if is_aarch32(reg) && !aarch32_el0 {
        return 0;
    }
    fields(reg)
        .iter()
        .filter(|field| field.write.is_writable())
        .fold(0, |mask, field| mask | field.info.mask())
}

impl HostIdRegs {
    /// Reads the host's registers.
    ///
    /// `source` must give the kernel's sanitised values: what all CPUs have, less what the kernel
    /// does without. It is asked for registers that Linux sanitises, and for MIDR_EL1, REVIDR_EL1
    /// and AIDR_EL1, which differ between CPUs and of which it gives those of any one.
    pub fn read(source: &impl ReadIdRegister, facts: HostFacts) -> Self {
        let mut values = SlotArray::ZERO;
        for slot in Slot::all() {
            let reg = slot.reg();
            if !fields_of(slot).is_empty() || implementation_mask(reg).is_some() {
                values.set(slot, source.read(reg));
            }
        }
        Self::new(values, facts)
    }
}
