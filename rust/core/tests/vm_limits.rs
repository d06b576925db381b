// SPDX-License-Identifier: GPL-2.0

//! Where what a VM shows is not simply what the host has, and what features follow from it.

use std::collections::HashMap;

use kvm_core::{
    cpu::ReadIdRegister,
    sysreg::SysReg,
    vm_idreg::{
        HostFacts,
        HostIdRegs,
        IdView,
        Offer,
        SetError,
        VmConfig,
        VmFeature,
        VmFeatures,
        VmIdRegs, //
    },
};
use proptest::prelude::*;

/// Some registers; all others are zero.
#[derive(Clone, Debug, Default)]
struct Some64(HashMap<SysReg, u64>);

impl ReadIdRegister for Some64 {
    fn read(&self, reg: SysReg) -> u64 {
        self.raw(reg)
    }
}

impl IdView for Some64 {
    fn raw(&self, reg: SysReg) -> u64 {
        self.0.get(&reg).copied().unwrap_or(0)
    }
}

const PFR0: SysReg = SysReg::ID_AA64PFR0_EL1;
const PFR1: SysReg = SysReg::ID_AA64PFR1_EL1;
const PFR2: SysReg = SysReg::ID_AA64PFR2_EL1;
const DFR0: SysReg = SysReg::ID_AA64DFR0_EL1;
const DFR1: SysReg = SysReg::ID_AA64DFR1_EL1;
const ISAR0: SysReg = SysReg::ID_AA64ISAR0_EL1;
const ISAR1: SysReg = SysReg::ID_AA64ISAR1_EL1;
const ISAR2: SysReg = SysReg::ID_AA64ISAR2_EL1;
const MMFR0: SysReg = SysReg::ID_AA64MMFR0_EL1;
const MMFR1: SysReg = SysReg::ID_AA64MMFR1_EL1;
const MMFR2: SysReg = SysReg::ID_AA64MMFR2_EL1;
const MMFR3: SysReg = SysReg::ID_AA64MMFR3_EL1;
const MMFR4: SysReg = SysReg::ID_AA64MMFR4_EL1;

/// Features that one field of four bits tells: its register, its lowest bit, and from which value on.
/// Source: Arm ARM, the pages of the registers.
const THRESHOLDS: &[(VmFeature, SysReg, u32, u64)] = &[
    (VmFeature::Aie, MMFR3, 24, 1),
    (VmFeature::Amu, PFR0, 44, 1),
    (VmFeature::Ats1a, ISAR2, 60, 1),
    (VmFeature::Brbe, DFR0, 52, 1),
    (VmFeature::Bti, PFR1, 0, 1),
    (VmFeature::Cmow, MMFR1, 56, 1),
    (VmFeature::D128, MMFR3, 32, 1),
    (VmFeature::Debugv8p9, DFR0, 0, 11),
    (VmFeature::Dit, PFR0, 48, 1),
    (VmFeature::DoubleFault2, PFR1, 56, 1),
    (VmFeature::Dpb2, ISAR1, 0, 2),
    (VmFeature::E0pd, MMFR2, 60, 1),
    (VmFeature::Uao, MMFR2, 4, 1),
    (VmFeature::Ecv, MMFR0, 60, 1),
    (VmFeature::EcvPoff, MMFR0, 60, 2),
    (VmFeature::Evt, MMFR2, 56, 1),
    (VmFeature::EvtTtlb, MMFR2, 56, 2),
    (VmFeature::Fgt, MMFR0, 56, 1),
    (VmFeature::Fgt2, MMFR0, 56, 2),
    (VmFeature::Fpmr, PFR2, 32, 1),
    (VmFeature::Fwb, MMFR2, 40, 1),
    (VmFeature::Gcs, PFR1, 44, 1),
    (VmFeature::Gic, PFR0, 24, 1),
    (VmFeature::Hcx, MMFR1, 40, 1),
    (VmFeature::Hpds, MMFR1, 12, 1),
    (VmFeature::Idst, MMFR2, 36, 1),
    (VmFeature::Lor, MMFR1, 16, 1),
    (VmFeature::Ls64, ISAR1, 60, 1),
    (VmFeature::Ls64V, ISAR1, 60, 2),
    (VmFeature::Ls64AccData, ISAR1, 60, 3),
    (VmFeature::Mops, ISAR2, 16, 1),
    (VmFeature::Mpam, PFR0, 40, 1),
    (VmFeature::Mpam, PFR1, 16, 1),
    (VmFeature::Mte, PFR1, 8, 1),
    (VmFeature::Mte2, PFR1, 8, 2),
    (VmFeature::Nmi, PFR1, 36, 1),
    (VmFeature::Pan, MMFR1, 20, 1),
    (VmFeature::Pan2, MMFR1, 20, 2),
    (VmFeature::PAuthAddress, ISAR1, 4, 1),
    (VmFeature::PAuthAddress, ISAR1, 8, 1),
    (VmFeature::PAuthAddress, ISAR2, 12, 1),
    (VmFeature::PAuthGeneric, ISAR1, 24, 1),
    (VmFeature::PAuthGeneric, ISAR1, 28, 1),
    (VmFeature::PAuthGeneric, ISAR2, 8, 1),
    (VmFeature::PAuthLr, ISAR1, 4, 6),
    (VmFeature::PAuthLr, ISAR1, 8, 6),
    (VmFeature::PAuthLr, ISAR2, 12, 6),
    (VmFeature::Pfar, PFR1, 60, 1),
    (VmFeature::PmuIcntr, DFR1, 36, 1),
    (VmFeature::Pops, MMFR4, 0, 1),
    (VmFeature::Ras, PFR0, 28, 1),
    (VmFeature::RasV1p1, PFR0, 28, 2),
    (VmFeature::RasV2, PFR0, 28, 3),
    (VmFeature::Rng, ISAR0, 60, 1),
    (VmFeature::S1pie, MMFR3, 8, 1),
    (VmFeature::S1poe, MMFR3, 16, 1),
    (VmFeature::Scxtnum, PFR0, 56, 2),
    (VmFeature::Sctlr2, MMFR3, 4, 1),
    (VmFeature::Sme, PFR1, 24, 1),
    (VmFeature::Spe, DFR0, 32, 1),
    (VmFeature::SpeV1p5, DFR0, 32, 5),
    (VmFeature::Specres, ISAR1, 40, 1),
    (VmFeature::Specres2, ISAR1, 40, 2),
    (VmFeature::Spmu, DFR1, 32, 1),
    (VmFeature::Srmask, MMFR4, 44, 1),
    (VmFeature::Ssbs, PFR1, 4, 1),
    (VmFeature::Sve, PFR0, 32, 1),
    (VmFeature::Tcr2, MMFR3, 0, 1),
    (VmFeature::The, PFR1, 48, 1),
    (VmFeature::TlbiOs, ISAR0, 56, 1),
    (VmFeature::TlbiRange, ISAR0, 56, 2),
    (VmFeature::TraceSysRegs, DFR0, 4, 1),
    (VmFeature::Trbe, DFR0, 44, 1),
    (VmFeature::TrbeV1p1, DFR0, 44, 2),
    (VmFeature::Trf, DFR0, 40, 1),
    (VmFeature::Wfxt, ISAR2, 0, 2),
    (VmFeature::Xs, ISAR1, 56, 1),
];

/// Features that have a test of their own.
const OTHERS: &[VmFeature] = &[
    VmFeature::Aarch32El0,
    VmFeature::Aarch32El1,
    VmFeature::DoubleLock,
    VmFeature::PmuV3,
];

#[test]
fn features_have_thresholds() {
    for (feature, reg, lo, least) in THRESHOLDS {
        for value in 0..16 {
            let view = Some64([(*reg, value << lo)].into());
            assert_eq!(
                VmFeatures::of(&view).contains(*feature),
                value >= *least,
                "{feature:?} {value}"
            );
        }
    }
    for feature in VmFeature::ALL {
        let known = THRESHOLDS.iter().any(|(it, ..)| it == feature) || OTHERS.contains(feature);
        assert!(known, "{feature:?}");
    }
}

#[test]
fn features_that_are_no_threshold() {
    let has = |feature, registers: &[(SysReg, u64)]| {
        VmFeatures::of(&Some64(registers.iter().copied().collect())).contains(feature)
    };
    for value in 0..16 {
        assert_eq!(has(VmFeature::Aarch32El0, &[(PFR0, value)]), value == 2);
        assert_eq!(
            has(VmFeature::Aarch32El1, &[(PFR0, value << 4)]),
            value == 2
        );
        assert_eq!(
            has(VmFeature::DoubleLock, &[(DFR0, value << 36)]),
            value < 8
        );
        assert_eq!(
            has(VmFeature::PmuV3, &[(DFR0, value << 8)]),
            value != 0 && value != 15
        );
        // The minor versions count with major version 1 only.
        for major in 0..4 {
            assert_eq!(
                has(
                    VmFeature::RasV1p1,
                    &[(PFR0, major << 28), (PFR1, value << 12)]
                ),
                major >= 2 || (major == 1 && value >= 1)
            );
            assert_eq!(
                has(
                    VmFeature::Scxtnum,
                    &[(PFR0, major << 56), (PFR1, value << 32)]
                ),
                major >= 2 || (major == 1 && value >= 2)
            );
        }
    }
}

prop_compose! {
    fn config_strategy()(bits: [bool; 11]) -> VmConfig {
        let [aarch32_el1, fpmr, gicv3, ls64, mte, pmuv3, s1poe, sve, a, b, c] = bits;
        let pauth = false;
        VmConfig {
            offer: Offer { aarch32_el1, fpmr, gicv3, ls64, mte, pauth, pmuv3, s1poe, sve },
            mte: a,
            pauth,
            pmuv3: b,
            sve: c,
        }
    }
}

proptest! {
    #[test]
    fn limits(
        config in config_strategy(),
        pfr0: u64,
        pfr1: u64,
        pfr2: u64,
        dfr0: u64,
        mmfr0: u64,
        others: u64,
        ras in 0..4u64,
        v2: bool,
        v3: bool,
        cntvoff: bool,
    ) {
        // AArch32 at EL0, so that its registers show something.
        let pfr0 = (pfr0 & !0xf000_000f) | (ras << 28) | 2;
        let host = Some64(
            [
                (PFR0, pfr0), (PFR1, pfr1), (PFR2, pfr2), (DFR0, dfr0), (MMFR0, mmfr0),
                (SysReg::ID_DFR0_EL1, others & 0xffff_ffff), (MMFR3, others), (ISAR1, others),
                (ISAR2, others), (SysReg::ID_AA64ZFR0_EL1, others),
                (SysReg::ID_AA64FPFR0_EL1, others), (SysReg::CTR_EL0, others),
            ]
            .into(),
        );
        let facts = HostFacts {
            spectre_v2_unaffected: v2,
            meltdown_unaffected: v3,
            broken_cntvoff: cntvoff,
        };
        let mut vm = VmIdRegs::new();
        vm.init(&HostIdRegs::read(&host, facts), &config);
        let offer = config.offer;
        let theirs = |reg, lo: u32| (host.raw(reg) >> lo) & 15;
        let ours = |reg, lo: u32| (vm.raw(reg) >> lo) & 15;
        let when = |condition, value| if condition { value } else { 0 };

        let el1 = theirs(PFR0, 4);
        prop_assert_eq!(ours(PFR0, 4), if offer.aarch32_el1 { el1 } else { el1.min(1) });
        prop_assert_eq!(ours(PFR0, 24), when(offer.gicv3, theirs(PFR0, 24).min(1)));
        prop_assert_eq!(ours(PFR0, 28), ras);
        prop_assert_eq!(ours(PFR1, 12), when(ras == 1, theirs(PFR1, 12)));
        prop_assert_eq!(ours(PFR0, 56), if v2 { 1 } else { theirs(PFR0, 56).min(1) });
        prop_assert_eq!(ours(PFR0, 60), if v3 { 1 } else { theirs(PFR0, 60).min(1) });
        prop_assert_eq!(ours(ISAR2, 0), when(!cntvoff, theirs(ISAR2, 0)));
        prop_assert_eq!(ours(ISAR1, 60), when(offer.ls64, theirs(ISAR1, 60)));
        prop_assert_eq!(ours(MMFR3, 16), when(offer.s1poe, theirs(MMFR3, 16)));
        prop_assert_eq!(ours(MMFR0, 0), theirs(MMFR0, 0).min(6));
        prop_assert_eq!(ours(PFR2, 32), when(offer.fpmr, theirs(PFR2, 32)));
        let formats = host.raw(SysReg::ID_AA64FPFR0_EL1) & 0xfc00_8003;
        prop_assert_eq!(vm.raw(SysReg::ID_AA64FPFR0_EL1), when(offer.fpmr, formats));

        let mte = offer.mte && config.mte && theirs(PFR1, 8) >= 2;
        for (reg, lo) in [(PFR1, 8), (PFR1, 40), (PFR2, 4), (PFR2, 8)] {
            prop_assert_eq!(ours(reg, lo), when(mte, theirs(reg, lo)));
        }
        let tags = (host.raw(SysReg::CTR_EL0) >> 32) & 0x3f;
        prop_assert_eq!((vm.raw(SysReg::CTR_EL0) >> 32) & 0x3f, when(mte, tags));

        let sve = offer.sve && config.sve;
        prop_assert_eq!(ours(PFR0, 32), when(sve, theirs(PFR0, 32)));
        let vectors = host.raw(SysReg::ID_AA64ZFR0_EL1) & 0x0fff_ff0f_0fff_f0ff;
        prop_assert_eq!(vm.raw(SysReg::ID_AA64ZFR0_EL1), when(sve, vectors));

        let pmu = offer.pmuv3 && config.pmuv3 && theirs(DFR0, 8) != 15;
        let version = when(pmu, theirs(DFR0, 8).min(6));
        prop_assert_eq!(ours(DFR0, 8), version);
        let aarch32 = if version == 1 { 3 } else { version };
        prop_assert_eq!(ours(SysReg::ID_DFR0_EL1, 24), aarch32);
        prop_assert_eq!(ours(DFR0, 0), theirs(DFR0, 0).min(10));
        prop_assert_eq!(
            ours(SysReg::ID_DFR0_EL1, 0),
            theirs(SysReg::ID_DFR0_EL1, 0).min(10)
        );
    }
}

#[test]
fn asynchronous_tag_faults_are_not_promised() {
    // As set_id_regs.c: MTE2 without asynchronous faults was once shown as MTE_frac 0.
    let host = HostIdRegs::read(
        &Some64([(PFR1, 0xf00_0000_0200)].into()),
        HostFacts::default(),
    );
    let config = VmConfig {
        offer: Offer {
            mte: true,
            ..Offer::default()
        },
        mte: true,
        ..VmConfig::default()
    };
    let mut vm = VmIdRegs::new();
    vm.init(&host, &config);
    assert_eq!(vm.get(PFR1), Some(0xf00_0000_0200));
    assert_eq!(vm.set(&host, PFR1, 0x200), Ok(()));
    assert_eq!(vm.get(PFR1), Some(0xf00_0000_0200));
    assert_eq!(vm.set(&host, PFR1, 0x100_0000_0200), Err(SetError::Invalid));
}
