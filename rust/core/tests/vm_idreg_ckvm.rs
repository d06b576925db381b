// SPDX-License-Identifier: GPL-2.0

//! The ID registers of VMs next to those of C KVM.
//!
//! The values were read by KVM_GET_ONE_REG and KVM_ARM_GET_REG_WRITABLE_MASKS from C KVM of Linux
//! 7.3 on QEMU's `-cpu max`. A register that is not listed is zero there.

mod common;

use common::{
    Model,
    MAX, //
};
use kvm_core::{
    cpu::ReadIdRegister,
    sysreg::SysReg,
    vm_idreg::{
        one_reg_list,
        writable_mask,
        CacheLevel,
        CacheRegs,
        HostFacts,
        HostIdRegs,
        IdIndex,
        Offer,
        VmConfig,
        VmIdRegs, //
    },
};

/// What a VM without optional features shows.
const C_KVM: Model = Model(&[
    (SysReg::MIDR_EL1, 0x0000_0000_000f_0510),
    (SysReg::ID_PFR0_EL1, 0x0000_0000_0102_0131),
    (SysReg::ID_PFR1_EL1, 0x0000_0000_1001_1001),
    (SysReg::ID_DFR0_EL1, 0x0000_0000_0000_000a),
    (SysReg::ID_MMFR0_EL1, 0x0000_0000_1010_1105),
    (SysReg::ID_MMFR1_EL1, 0x0000_0000_4000_0000),
    (SysReg::ID_MMFR2_EL1, 0x0000_0000_0126_0000),
    (SysReg::ID_MMFR3_EL1, 0x0000_0000_0212_2211),
    (SysReg::ID_ISAR0_EL1, 0x0000_0000_0210_1110),
    (SysReg::ID_ISAR1_EL1, 0x0000_0000_1311_2111),
    (SysReg::ID_ISAR2_EL1, 0x0000_0000_2123_2042),
    (SysReg::ID_ISAR3_EL1, 0x0000_0000_0111_2131),
    (SysReg::ID_ISAR4_EL1, 0x0000_0000_0001_1142),
    (SysReg::ID_ISAR5_EL1, 0x0000_0000_0101_1121),
    (SysReg::ID_MMFR4_EL1, 0x0000_0000_2002_1110),
    (SysReg::ID_ISAR6_EL1, 0x0000_0000_0111_1111),
    (SysReg::MVFR0_EL1, 0x0000_0000_1011_0222),
    (SysReg::MVFR1_EL1, 0x0000_0000_1321_1111),
    (SysReg::MVFR2_EL1, 0x0000_0000_0000_0043),
    (SysReg::ID_PFR2_EL1, 0x0000_0000_0000_0011),
    (SysReg::ID_MMFR5_EL1, 0x0000_0000_0000_0002),
    (SysReg::ID_AA64PFR0_EL1, 0x1101_0010_2111_0222),
    (SysReg::ID_AA64PFR1_EL1, 0x0000_0000_0000_0021),
    (SysReg::ID_AA64PFR2_EL1, 0x0000_0001_0000_0000),
    (SysReg::ID_AA64FPFR0_EL1, 0x0000_0000_fc00_0003),
    (SysReg::ID_AA64DFR0_EL1, 0x0000_0000_1030_500a),
    (SysReg::ID_AA64ISAR0_EL1, 0x1221_1111_1031_2120),
    (SysReg::ID_AA64ISAR1_EL1, 0x0111_2111_0021_1002),
    (SysReg::ID_AA64ISAR2_EL1, 0x1120_0000_0011_0012),
    (SysReg::ID_AA64ISAR3_EL1, 0x0000_0000_1000_0010),
    (SysReg::ID_AA64MMFR0_EL1, 0x2100_0323_1020_1126),
    (SysReg::ID_AA64MMFR1_EL1, 0x0010_1120_1031_2122),
    (SysReg::ID_AA64MMFR2_EL1, 0x1221_0111_1001_1011),
    (SysReg::ID_AA64MMFR3_EL1, 0x0000_0000_0000_0111),
    (SysReg::CTR_EL0, 0x0000_0000_b444_c004),
]);

/// The bits that can be written.
const C_KVM_MASKS: Model = Model(&[
    (SysReg::MIDR_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::REVIDR_EL1, 0xffff_ffff_ffff_ffff),
    (SysReg::ID_PFR0_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_PFR1_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_DFR0_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_MMFR0_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_MMFR1_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_MMFR2_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_MMFR3_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_ISAR0_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_ISAR1_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_ISAR2_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_ISAR3_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_ISAR4_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_ISAR5_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_MMFR4_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_ISAR6_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::MVFR0_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::MVFR1_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::MVFR2_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_PFR2_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_MMFR5_EL1, 0x0000_0000_ffff_ffff),
    (SysReg::ID_AA64PFR0_EL1, 0xffff_00f0_ff00_ffff),
    (SysReg::ID_AA64PFR1_EL1, 0x0f00_000f_0000_f0ff),
    (SysReg::ID_AA64PFR2_EL1, 0x0000_000f_0000_fff0),
    (SysReg::ID_AA64ZFR0_EL1, 0x0fff_ff0f_0fff_f0ff),
    (SysReg::ID_AA64FPFR0_EL1, 0x0000_0000_fc00_80ff),
    (SysReg::ID_AA64DFR0_EL1, 0x0000_00f0_00f0_0f0f),
    (SysReg::ID_AA64ISAR0_EL1, 0xffff_ffff_f0ff_fff0),
    (SysReg::ID_AA64ISAR1_EL1, 0xffff_ffff_00ff_f00f),
    (SysReg::ID_AA64ISAR2_EL1, 0xffff_ffff_ffff_00ff),
    (SysReg::ID_AA64ISAR3_EL1, 0x0000_0000_ff0f_00f0),
    (SysReg::ID_AA64MMFR0_EL1, 0xff00_ffff_ffff_ff0f),
    (SysReg::ID_AA64MMFR1_EL1, 0xffff_ffff_0fff_f00f),
    (SysReg::ID_AA64MMFR2_EL1, 0xf0ff_000f_f00f_ffff),
    (SysReg::ID_AA64MMFR3_EL1, 0x0000_0000_000f_0fff),
    (SysReg::ID_AA64MMFR4_EL1, 0x0000_0000_00f0_0000),
    (SysReg::CLIDR_EL1, 0x0000_7fff_ffff_ffff),
    (SysReg::AIDR_EL1, 0xffff_ffff_ffff_ffff),
    (SysReg::CTR_EL0, 0x0000_0000_300f_c00f),
]);

/// The host: as QEMU has it, but what an AArch64 test cannot take from `MAX` as C KVM shows it, and a
/// PMU, which C KVM hides from most VMs.
struct Host;

impl ReadIdRegister for Host {
    fn read(&self, reg: SysReg) -> u64 {
        let hidden = if reg == SysReg::ID_DFR0_EL1 {
            6 << 24
        } else {
            0
        };
        match MAX.read(reg) {
            0 => C_KVM.read(reg) | hidden,
            value => value,
        }
    }
}

/// All that C KVM offers.
const ALL: Offer = Offer {
    aarch32_el1: true,
    fpmr: true,
    gicv3: true,
    ls64: true,
    mte: true,
    pauth: true,
    pmuv3: true,
    s1poe: true,
    sve: true,
};

/// Compares what a VM shows with what C KVM's does, where `differences` has the values that are
/// another there.
fn compare(config: VmConfig, differences: &[(SysReg, u64)]) {
    let host = HostIdRegs::read(&Host, HostFacts::default());
    let mut vm = VmIdRegs::new();
    vm.init(&host, &config);
    for reg in one_reg_list() {
        let expected = differences
            .iter()
            .find(|(other, _)| *other == reg)
            .map_or_else(|| C_KVM.read(reg), |(_, value)| *value);
        assert_eq!(
            vm.get(reg),
            Some(expected),
            "{reg} {:?}: {:#x} instead of {expected:#x}",
            reg.name(),
            vm.get(reg).unwrap()
        );
    }
}

#[test]
fn a_vm_without_options() {
    let config = VmConfig {
        offer: ALL,
        ..VmConfig::default()
    };
    compare(config, &[]);
}

#[test]
fn a_vm_with_pointer_authentication() {
    let config = VmConfig {
        offer: ALL,
        pauth: true,
        ..VmConfig::default()
    };
    compare(config, &[(SysReg::ID_AA64ISAR1_EL1, 0x0111_2111_1021_1502)]);
}

#[test]
fn a_vm_with_a_pmu() {
    let config = VmConfig {
        offer: ALL,
        pmuv3: true,
        ..VmConfig::default()
    };
    compare(
        config,
        &[
            (SysReg::ID_DFR0_EL1, 0x0600_000a),
            (SysReg::ID_AA64DFR0_EL1, 0x1030_560a),
        ],
    );
}

#[test]
fn a_vm_with_sve() {
    let config = VmConfig {
        offer: ALL,
        sve: true,
        ..VmConfig::default()
    };
    compare(
        config,
        &[
            (SysReg::ID_AA64PFR0_EL1, 0x1101_0011_2111_0222),
            (SysReg::ID_AA64ZFR0_EL1, 0x0110_1101_0121_0022),
        ],
    );
}

#[test]
fn what_this_version_does_not_offer() {
    // AArch32 at EL1. This CPU has no LS64.
    let differences = [(SysReg::ID_AA64PFR0_EL1, 0x1101_0010_2111_0212)];
    let config = VmConfig {
        offer: Offer::CURRENT,
        ..VmConfig::default()
    };
    compare(config, &differences);
    let asking = VmConfig {
        mte: true,
        pmuv3: true,
        sve: true,
        ..config
    };
    compare(asking, &differences);
}

#[test]
fn writable_masks() {
    for index in IdIndex::all() {
        let reg = index.reg();
        // C KVM has bits 7 to 2 of ID_AA64FPFR0_EL1, which mean nothing, in the mask, and takes no
        // value but zero for them.
        let nothing = if reg == SysReg::ID_AA64FPFR0_EL1 {
            0xfc
        } else {
            0
        };
        assert_eq!(
            writable_mask(index, true),
            C_KVM_MASKS.read(reg) & !nothing,
            "{reg}"
        );
        let aarch32 = reg.is_feature_id() && reg.crm() <= 3;
        assert_eq!(
            writable_mask(index, false),
            if aarch32 {
                0
            } else {
                writable_mask(index, true)
            }
        );
    }
}

#[test]
fn caches() {
    let host = HostIdRegs::read(&Host, HostFacts::default());
    let caches = CacheRegs::new(&host, false);
    assert_eq!(caches.clidr(), 0x0100_0004);
    for level in CacheLevel::all() {
        assert_eq!(caches.ccsidr(level), 2);
    }
}
