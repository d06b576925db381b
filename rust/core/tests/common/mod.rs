// SPDX-License-Identifier: GPL-2.0

//! CPUs to test with.

#![allow(dead_code)]

pub mod vcpu;

use kvm_core::{
    cpu::{
        CpuFeatures,
        ReadIdRegister, //
    },
    sysreg::SysReg, //
};

/// The ID registers of one CPU; a register that is not listed reads as zero, as a reserved one.
pub struct Model(pub &'static [(SysReg, u64)]);

impl ReadIdRegister for Model {
    fn read(&self, reg: SysReg) -> u64 {
        self.0
            .iter()
            .find(|(known, _)| *known == reg)
            .map_or(0, |(_, value)| *value)
    }
}

/// Returns what a kernel at EL2 sees of `model`.
pub fn at_el2(model: &Model) -> CpuFeatures {
    CpuFeatures::read(model, 2)
}

// The values were read by MRS at EL2 under QEMU 11.1.3 with
// `-M virt,virtualization=on,gic-version=3`.

/// QEMU's `-cpu max`.
pub const MAX: Model = Model(&[
    (SysReg::ID_AA64PFR0_EL1, 0x1301_0011_2111_0222),
    (SysReg::ID_AA64PFR1_EL1, 0x0010_1010_1200_0121),
    (SysReg::ID_AA64PFR2_EL1, 0x0000_0001_0000_0111),
    (SysReg::ID_AA64ZFR0_EL1, 0x0110_1101_0121_0022),
    (SysReg::ID_AA64SMFR0_EL1, 0x92f1_5fff_7180_0001),
    (SysReg::ID_AA64DFR0_EL1, 0x1000_0000_1030_560a),
    (SysReg::ID_AA64ISAR0_EL1, 0x1221_1111_1031_2120),
    (SysReg::ID_AA64ISAR1_EL1, 0x0111_2111_1021_1502),
    (SysReg::ID_AA64ISAR2_EL1, 0x1120_0000_0011_0012),
    (SysReg::ID_AA64ISAR3_EL1, 0x0000_0000_1000_0010),
    (SysReg::ID_AA64MMFR0_EL1, 0x2100_0323_1020_1126),
    (SysReg::ID_AA64MMFR1_EL1, 0x0110_1120_1031_2122),
    (SysReg::ID_AA64MMFR2_EL1, 0x1221_0111_1201_1011),
    (SysReg::ID_AA64MMFR3_EL1, 0x1000_0000_1100_1111),
    (SysReg::ID_AA64MMFR4_EL1, 0x0000_0000_0000_0100),
    (SysReg::CTR_EL0, 0xb444_c004),
    (SysReg::ICC_SRE_EL2, 0xf),
    (SysReg::ICH_VTR_EL2, 0x90b8_0003),
]);

/// QEMU's `-cpu neoverse-n1`.
pub const NEOVERSE_N1: Model = Model(&[
    (SysReg::ID_AA64PFR0_EL1, 0x1100_0000_1111_0112),
    (SysReg::ID_AA64PFR1_EL1, 0x0000_0000_0000_0020),
    (SysReg::ID_AA64DFR0_EL1, 0x0000_0000_1030_5408),
    (SysReg::ID_AA64ISAR0_EL1, 0x0000_1000_1021_1120),
    (SysReg::ID_AA64ISAR1_EL1, 0x0000_0000_0010_0001),
    (SysReg::ID_AA64MMFR0_EL1, 0x0000_0000_0010_1125),
    (SysReg::ID_AA64MMFR1_EL1, 0x0000_0000_1021_2122),
    (SysReg::ID_AA64MMFR2_EL1, 0x0000_0000_0000_1011),
    (SysReg::CTR_EL0, 0x8444_c004),
    (SysReg::ICC_SRE_EL2, 0xf),
    (SysReg::ICH_VTR_EL2, 0x90b8_0003),
]);

/// QEMU's `-cpu cortex-a57`, an Armv8.0 CPU.
pub const CORTEX_A57: Model = Model(&[
    (SysReg::ID_AA64PFR0_EL1, 0x0000_0000_0100_0222),
    (SysReg::ID_AA64DFR0_EL1, 0x0000_0000_1030_5106),
    (SysReg::ID_AA64ISAR0_EL1, 0x0000_0000_0001_1120),
    (SysReg::ID_AA64MMFR0_EL1, 0x0000_0000_0000_1124),
    (SysReg::CTR_EL0, 0x8444_c004),
    (SysReg::ICC_SRE_EL2, 0xf),
    (SysReg::ICH_VTR_EL2, 0x90b8_0003),
]);
