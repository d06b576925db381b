// SPDX-License-Identifier: GPL-2.0

//! The ID registers of VMs.

mod common;

use std::collections::HashMap;

use common::MAX;
use kvm_core::{
    cpu::ReadIdRegister,
    idreg::*,
    sysreg::SysReg,
    vm_idreg::{
        one_reg_list,
        rule::Write,
        space::is_aarch32,
        table::fields,
        writable_mask,
        GuestRead,
        HostFacts,
        HostIdRegs,
        IdIndex,
        IdView,
        Offer,
        SetError,
        VmConfig,
        VmFeature,
        VmFeatures,
        VmGic,
        VmIdRegs, //
    },
};
use proptest::prelude::*;

/// A host of any values; what is not in the map is zero.
#[derive(Clone, Debug, Default)]
struct AnyHost(HashMap<SysReg, u64>);

impl ReadIdRegister for AnyHost {
    fn read(&self, reg: SysReg) -> u64 {
        self.0.get(&reg).copied().unwrap_or(0)
    }
}

/// The registers that all vCPUs of a VM share.
fn registers() -> Vec<SysReg> {
    one_reg_list().collect()
}

fn reg_strategy() -> impl Strategy<Value = SysReg> {
    proptest::sample::select(registers())
}

/// Hosts of arbitrary registers, half of them without AArch32.
fn host_strategy() -> impl Strategy<Value = HostIdRegs> {
    (
        proptest::collection::vec(any::<u64>(), registers().len()),
        any::<(bool, bool, bool, bool)>(),
    )
        .prop_map(|(values, (aarch32, v2, v3, cntvoff))| {
            let mut host = AnyHost(registers().into_iter().zip(values).collect());
            let pfr0 = host.0.entry(SysReg::ID_AA64PFR0_EL1).or_default();
            *pfr0 = *pfr0 & !0xf | if aarch32 { 2 } else { 1 };
            HostIdRegs::read(
                &host,
                HostFacts {
                    spectre_v2_unaffected: v2,
                    meltdown_unaffected: v3,
                    broken_cntvoff: cntvoff,
                },
            )
        })
}

prop_compose! {
    fn config_strategy()(bits: [bool; 13]) -> VmConfig {
        let [aarch32_el1, fpmr, gicv3, ls64, mte, pauth, pmuv3, s1poe, sve, a, b, c, d] = bits;
        VmConfig {
            offer: Offer { aarch32_el1, fpmr, gicv3, ls64, mte, pauth, pmuv3, s1poe, sve },
            mte: a,
            pauth: b,
            pmuv3: c,
            sve: d,
        }
    }
}

fn vm(host: &HostIdRegs, config: &VmConfig) -> VmIdRegs {
    let mut vm = VmIdRegs::new();
    vm.init(host, config);
    vm
}

fn mask(host: &HostIdRegs, reg: SysReg) -> u64 {
    writable_mask(IdIndex::new(reg).unwrap(), host.has_aarch32_el0())
}

/// Whether a changed value of the field outside of the mask may be taken for the right one.
fn forgiven(reg: SysReg, lo: u32) -> bool {
    matches!(
        (reg, lo),
        (SysReg::ID_AA64PFR0_EL1, 40)
            | (SysReg::ID_AA64PFR1_EL1, 16 | 40)
            | (SysReg::ID_AA64MMFR2_EL1, 24)
    )
}

fn is_raz_wi(host: &HostIdRegs, reg: SysReg) -> bool {
    is_aarch32(reg) && !host.has_aarch32_el0() && !fields(reg).is_empty()
}

fn is_implementation(reg: SysReg) -> bool {
    matches!(
        reg,
        SysReg::MIDR_EL1 | SysReg::REVIDR_EL1 | SysReg::AIDR_EL1
    )
}

/// How upstream's set_id_regs.c and the architecture see a field of four bits: its lowest bit, and a
/// scale of unsigned or signed numbers of which smaller ones may be written, down to the last number.
type Scale = (u32, bool, i64);

const SCALES: &[(SysReg, &[Scale])] = &[
    (
        SysReg::ID_AA64PFR0_EL1,
        &[
            (0, false, 1),
            (4, false, 1),
            (8, false, 0),
            (12, false, 0),
            (24, false, 0),
            (28, false, 0),
            (36, false, 0),
            (48, false, 0),
            (56, false, 0),
            (60, false, 0),
        ],
    ),
    (
        SysReg::ID_AA64PFR1_EL1,
        &[(0, false, 0), (4, false, 0), (56, false, 0)],
    ),
    (
        SysReg::ID_AA64DFR0_EL1,
        &[(0, false, 6), (20, false, 0), (36, true, -8)],
    ),
    (
        SysReg::ID_AA64ISAR0_EL1,
        &[
            (4, false, 0),
            (20, false, 0),
            (28, false, 0),
            (56, false, 0),
            (60, false, 0),
        ],
    ),
    (
        SysReg::ID_AA64ISAR1_EL1,
        &[
            (0, false, 0),
            (20, false, 0),
            (56, false, 0),
            (60, false, 0),
        ],
    ),
    (
        SysReg::ID_AA64ISAR2_EL1,
        &[
            (0, false, 0),
            (16, false, 0),
            (20, false, 0),
            (60, false, 0),
        ],
    ),
    (
        SysReg::ID_AA64MMFR0_EL1,
        &[
            (0, false, 0),
            (20, false, 0),
            (24, true, -8),
            (28, true, -8),
            (56, false, 0),
            (60, false, 0),
        ],
    ),
    (
        SysReg::ID_AA64MMFR1_EL1,
        &[
            (0, false, 0),
            (20, false, 0),
            (40, false, 0),
            (60, false, 0),
        ],
    ),
    (
        SysReg::ID_AA64MMFR2_EL1,
        &[
            (0, false, 0),
            (28, false, 0),
            (52, false, 0),
            (60, false, 0),
        ],
    ),
    (
        SysReg::ID_AA64MMFR3_EL1,
        &[(0, false, 0), (4, false, 0), (8, false, 0), (16, false, 0)],
    ),
    (SysReg::ID_AA64MMFR4_EL1, &[(20, false, 0)]),
    (SysReg::CTR_EL0, &[(0, false, 0), (16, false, 0)]),
    (
        SysReg::ID_MMFR0_EL1,
        &[(0, false, 0), (8, true, -8), (28, true, -8)],
    ),
    (SysReg::ID_DFR0_EL1, &[(0, false, 6), (4, false, 0)]),
    (SysReg::MVFR2_EL1, &[(0, false, 0), (28, false, 0)]),
];

fn scale_strategy() -> impl Strategy<Value = (SysReg, Scale)> {
    let all: Vec<_> = SCALES
        .iter()
        .flat_map(|(reg, scales)| scales.iter().map(|scale| (*reg, *scale)))
        .collect();
    proptest::sample::select(all)
}

fn number(raw: u64, signed: bool) -> i64 {
    if signed && raw & 8 != 0 {
        raw as i64 - 16
    } else {
        raw as i64
    }
}

proptest! {
    #[test]
    fn what_a_vm_shows_is_always_accepted(
        host in host_strategy(),
        config in config_strategy(),
        reg in reg_strategy(),
    ) {
        let mut vm = vm(&host, &config);
        let value = vm.get(reg).unwrap();
        prop_assert_eq!(vm.set(&host, reg, value), Ok(()));
        vm.freeze(VmGic::V3);
        let value = vm.get(reg).unwrap();
        prop_assert_eq!(vm.set(&host, reg, value), Ok(()));
        prop_assert_eq!(vm.get(reg), Some(value));
    }

    #[test]
    fn bits_outside_of_the_mask_stay(
        host in host_strategy(),
        config in config_strategy(),
        reg in reg_strategy(),
        flips: u64,
        few: [u8; 2],
    ) {
        let forgiving = fields(reg)
            .iter()
            .filter(|field| forgiven(reg, field.info.lo))
            .fold(0, |mask, field| mask | field.info.mask());
        for flips in [flips, few.iter().fold(0, |bits, bit| bits | (1 << (bit % 64)))] {
            let flips = flips & !mask(&host, reg) & !forgiving;
            let mut vm = vm(&host, &config);
            let before = vm.get(reg).unwrap();
            let expected = if flips == 0 || is_raz_wi(&host, reg) {
                Ok(())
            } else {
                Err(SetError::Invalid)
            };
            prop_assert_eq!(vm.set(&host, reg, before ^ flips), expected);
            prop_assert_eq!(vm.get(reg), Some(before));
        }
    }

    #[test]
    fn scales_can_be_lowered_and_not_raised(
        host in host_strategy(),
        config in config_strategy(),
        (reg, (lo, signed, least)) in scale_strategy(),
        new in 0..16u64,
    ) {
        let mut vm = vm(&host, &config);
        let before = vm.get(reg).unwrap();
        let old = (before >> lo) & 15;
        let after = before & !(15 << lo) | (new << lo);
        if is_raz_wi(&host, reg) {
            prop_assert_eq!(vm.set(&host, reg, after), Ok(()));
            prop_assert_eq!(vm.get(reg), Some(0));
            return Ok(());
        }
        prop_assert_eq!(mask(&host, reg) & (15 << lo), 15 << lo);
        let (new, old) = (number(new, signed), number(old, signed));
        if new == old || (least <= new && new <= old) {
            prop_assert_eq!(vm.set(&host, reg, after), Ok(()));
            prop_assert_eq!(vm.get(reg), Some(after));
            // It is no ratchet: up to the limit it can be raised again.
            prop_assert_eq!(vm.set(&host, reg, before), Ok(()));
        } else {
            prop_assert_eq!(vm.set(&host, reg, after), Err(SetError::Invalid));
            prop_assert_eq!(vm.get(reg), Some(before));
        }
    }

    #[test]
    fn special_fields(host in host_strategy(), config in config_strategy(), new in 0..16u64) {
        let vm = vm(&host, &config);
        let set = |reg, lo: u32, width: u32, accepted: &dyn Fn(u64, u64) -> bool| {
            let mut vm = vm.clone();
            let before: u64 = vm.get(reg).unwrap();
            let field = ((1 << width) - 1) << lo;
            let new = new & ((1 << width) - 1);
            let after = before & !field | (new << lo);
            let old = (before & field) >> lo;
            let expected = if new == old || accepted(new, old) || is_raz_wi(&host, reg) {
                Ok(())
            } else {
                Err(SetError::Invalid)
            };
            prop_assert_eq!(vm.set(&host, reg, after), expected, "{} {}: {} to {}", reg, lo, old, new);
            Ok(vm.get(reg).unwrap() & field == after & field)
        };
        for lo in [32, 36, 40] {
            set(SysReg::ID_AA64MMFR0_EL1, lo, 4, &|new, _| new == 1)?;
        }
        set(SysReg::ID_AA64MMFR1_EL1, 24, 4, &|new, old| new >= old)?;
        set(SysReg::ID_MMFR4_EL1, 0, 4, &|new, old| new >= old)?;
        set(SysReg::CTR_EL0, 14, 2, &|new, _| new == 2)?;
        set(SysReg::CTR_EL0, 28, 1, &|new, _| new == 0)?;
        set(SysReg::CTR_EL0, 29, 1, &|new, _| new == 0)?;
        // An implementation defined PMU was once shown, and is taken for none.
        set(SysReg::ID_AA64DFR0_EL1, 8, 4, &|new, old| new == 15 || new <= old)?;
        set(SysReg::ID_DFR0_EL1, 24, 4, &|new, old| {
            new == 15 || new == 0 || (3..=old).contains(&new)
        })?;
        // The host's own MPAM, MPAM_frac and NV were once shown. They do not come back.
        for (reg, lo) in [
            (SysReg::ID_AA64PFR0_EL1, 40),
            (SysReg::ID_AA64PFR1_EL1, 16),
            (SysReg::ID_AA64MMFR2_EL1, 24),
        ] {
            let theirs = (host.raw(reg) >> lo) & 15;
            let stored = set(reg, lo, 4, &|new, _| new == theirs)?;
            prop_assert_eq!(stored, new == 0);
        }
    }

    #[test]
    fn a_vm_that_has_run_is_fixed(
        host in host_strategy(),
        config in config_strategy(),
        reg in reg_strategy(),
        value: u64,
        imp: bool,
    ) {
        let mut vm = VmIdRegs::new();
        if imp {
            vm.enable_writable_implementation().unwrap();
        }
        vm.init(&host, &config);
        prop_assert!(vm.enable_writable_implementation().is_err());
        let features = vm.freeze(VmGic::None);
        let before = vm.get(reg).unwrap();
        let result = vm.set(&host, reg, value);
        if value == before || is_raz_wi(&host, reg) {
            prop_assert_eq!(result, Ok(()));
        } else if is_implementation(reg) && !imp {
            prop_assert_eq!(result, Err(SetError::Invalid));
        } else {
            prop_assert!(matches!(result, Err(SetError::Busy) | Ok(())));
        }
        prop_assert_eq!(vm.get(reg), Some(before));
        // Nor does anything else move it.
        vm.init(&host, &VmConfig::default());
        vm.set_gic(VmGic::V3);
        prop_assert_eq!(vm.freeze(VmGic::V3), features);
        prop_assert_eq!(vm.get(reg), Some(before));
    }

    #[test]
    fn a_vm_has_no_feature_that_the_host_lacks(
        host in host_strategy(),
        config in config_strategy(),
    ) {
        let mut vm = vm(&host, &config);
        let theirs = VmFeatures::of(&host);
        for features in [VmFeatures::of(&vm), vm.freeze(VmGic::None)] {
            for feature in features.iter() {
                prop_assert!(theirs.contains(feature), "{:?}", feature);
            }
            for never in [
                VmFeature::Amu, VmFeature::Brbe, VmFeature::Cmow, VmFeature::D128,
                VmFeature::Debugv8p9, VmFeature::Gcs, VmFeature::Mpam, VmFeature::Nmi,
                VmFeature::Pfar, VmFeature::Scxtnum, VmFeature::Sme, VmFeature::Spe,
                VmFeature::Srmask, VmFeature::The, VmFeature::TraceSysRegs, VmFeature::Trbe,
                VmFeature::Trf, VmFeature::Aie, VmFeature::Pops, VmFeature::Spmu,
            ] {
                prop_assert!(!features.contains(never), "{:?}", never);
            }
            for (feature, asked) in [
                (VmFeature::Mte, config.offer.mte && config.mte),
                (VmFeature::PAuthAddress, config.offer.pauth && config.pauth),
                (VmFeature::PAuthGeneric, config.offer.pauth && config.pauth),
                (VmFeature::PmuV3, config.offer.pmuv3 && config.pmuv3),
                (VmFeature::Sve, config.offer.sve && config.sve),
                (VmFeature::Fpmr, config.offer.fpmr),
                (VmFeature::Ls64, config.offer.ls64),
                (VmFeature::Aarch32El1, config.offer.aarch32_el1),
            ] {
                prop_assert!(asked || !features.contains(feature), "{:?}", feature);
            }
        }
        let frozen = VmFeatures::of(&vm);
        let pie = frozen.contains(VmFeature::Tcr2) && frozen.contains(VmFeature::Ats1a);
        prop_assert!(pie || !frozen.contains(VmFeature::S1pie));
        let poe = pie && frozen.contains(VmFeature::Hpds);
        prop_assert!(poe || !frozen.contains(VmFeature::S1poe));
        // Both stay if what they need is there.
        prop_assert_eq!(frozen.contains(VmFeature::S1pie), pie && theirs.contains(VmFeature::S1pie));
    }

    #[test]
    fn the_gic_is_what_the_vm_has(host in host_strategy(), config in config_strategy()) {
        for (gic, shown) in [(VmGic::None, 0), (VmGic::V2, 0), (VmGic::V3, 1)] {
            let fresh = vm(&host, &config);
            let mut created = fresh.clone();
            created.set_gic(gic);
            let mut run = fresh.clone();
            run.freeze(gic);
            for vm in [created, run] {
                prop_assert_eq!(vm.reg::<IdAa64Pfr0El1>().gic(), shown);
                prop_assert_eq!(vm.reg::<IdAa64Pfr2El1>().gcie(), 0);
                let aarch32 = if host.has_aarch32_el0() { shown } else { 0 };
                let others = fresh.raw(SysReg::ID_PFR1_EL1) & 0x0fff_ffff;
                prop_assert_eq!(vm.raw(SysReg::ID_PFR1_EL1), others | (aarch32 << 28));
            }
        }
    }

    #[test]
    fn implementation_registers(host in host_strategy(), value: u64) {
        let config = VmConfig::default();
        let mut vm = VmIdRegs::new();
        vm.enable_writable_implementation().unwrap();
        vm.init(&host, &config);
        for reg in [SysReg::MIDR_EL1, SysReg::REVIDR_EL1, SysReg::AIDR_EL1] {
            prop_assert_eq!(vm.get(reg), Some(host.raw(reg)));
            let fits = value & !mask(&host, reg) == 0 || value == host.raw(reg);
            let expected = if fits { Ok(()) } else { Err(SetError::Invalid) };
            prop_assert_eq!(vm.set(&host, reg, value), expected);
            let value = if fits { value } else { host.raw(reg) };
            prop_assert_eq!(vm.get(reg), Some(value));
            prop_assert_eq!(
                vm.guest_read(reg, VmFeatures::EMPTY),
                Some(GuestRead::Value(value))
            );
        }
        prop_assert_eq!(vm.virtual_midr(), vm.get(SysReg::MIDR_EL1));
    }

    #[test]
    fn guests_read_what_vmms_read(
        host in host_strategy(),
        config in config_strategy(),
        raw: u16,
        index in 0..IdIndex::COUNT,
    ) {
        let mut vm = vm(&host, &config);
        let features = vm.freeze(VmGic::V3);
        let absent = if features.contains(VmFeature::Idst) {
            GuestRead::IdTrap
        } else {
            GuestRead::Undefined
        };
        for reg in [SysReg::from_raw(raw), IdIndex::all().nth(index).unwrap().reg()] {
            let read = vm.guest_read(reg, features);
            match vm.get(reg) {
                Some(_) if is_implementation(reg) => prop_assert_eq!(read, Some(GuestRead::ThisCpu)),
                Some(value) => prop_assert_eq!(read, Some(GuestRead::Value(value))),
                None if IdIndex::new(reg).is_none() => prop_assert_eq!(read, None),
                None => prop_assert!(read.is_none() || read == Some(absent), "{}", reg),
            }
        }
        for reg in [SysReg::CCSIDR2_EL1, SysReg::GMID_EL1, SysReg::SMIDR_EL1] {
            prop_assert_eq!(vm.guest_read(reg, features), Some(absent));
        }
        for reg in [SysReg::MPIDR_EL1, SysReg::CCSIDR_EL1, SysReg::CLIDR_EL1, SysReg::DCZID_EL0] {
            prop_assert_eq!(vm.guest_read(reg, features), None);
        }
    }
}

#[test]
fn the_range_is_that_of_the_abi() {
    // KVM_ARM_FEATURE_ID_RANGE_IDX: op1 (3 counts as 2) << 6 | crm << 3 | op2.
    for (reg, index) in [
        (SysReg::MIDR_EL1, 0),
        (SysReg::ID_PFR0_EL1, 8),
        (SysReg::ID_AA64PFR0_EL1, 32),
        (SysReg::ID_AA64MMFR4_EL1, 60),
        (SysReg::CLIDR_EL1, 65),
        (SysReg::AIDR_EL1, 71),
        (SysReg::CTR_EL0, 129),
        (SysReg::DCZID_EL0, 135),
    ] {
        assert_eq!(IdIndex::new(reg).map(IdIndex::get), Some(index));
    }
    assert_eq!(IdIndex::COUNT, 192);
    assert_eq!(IdIndex::new(SysReg::CSSELR_EL1), None);
    assert_eq!(IdIndex::new(SysReg::HCR_EL2), None);
    for (position, index) in IdIndex::all().enumerate() {
        assert_eq!(index.get(), position);
        assert_eq!(IdIndex::new(index.reg()), Some(index));
    }
    for raw in 0..=u16::MAX {
        let reg = SysReg::from_raw(raw);
        let inside =
            reg.op0() == 3 && matches!(reg.op1(), 0 | 1 | 3) && reg.crn() == 0 && reg.crm() < 8;
        assert_eq!(IdIndex::new(reg).is_some(), inside);
    }
}

#[test]
fn the_list_has_each_register_once() {
    let list = registers();
    assert_eq!(list.len(), 60);
    for reg in (0..=u16::MAX).map(SysReg::from_raw) {
        let kept = reg.is_feature_id() || is_implementation(reg) || reg == SysReg::CTR_EL0;
        assert_eq!(
            list.iter().filter(|it| **it == reg).count(),
            usize::from(kept)
        );
        assert_eq!(VmIdRegs::new().get(reg).is_some(), kept);
        if !kept {
            let host = HostIdRegs::read(&MAX, HostFacts::default());
            assert_eq!(
                vm(&host, &VmConfig::default()).set(&host, reg, 0),
                Err(SetError::Unknown)
            );
        }
    }
}

#[test]
fn fields_of_a_register_share_no_bits() {
    for reg in registers() {
        let mut used = 0;
        for field in fields(reg) {
            assert_ne!(field.info.mask(), 0, "{reg}");
            assert_eq!(used & field.info.mask(), 0, "{reg}.{}", field.info.name);
            used |= field.info.mask();
            if field.info.signed {
                assert!(matches!(
                    field.write,
                    Write::Fixed | Write::DownTo(i64::MIN)
                ));
            }
        }
    }
}

#[test]
fn without_aarch32_its_registers_are_zero_and_ignore_writes() {
    let mut host = AnyHost::default();
    for reg in registers() {
        host.0.insert(reg, 0x1111_1111);
    }
    let host = HostIdRegs::read(&host, HostFacts::default());
    let mut vm = vm(&host, &VmConfig::default());
    for reg in registers().into_iter().filter(|reg| is_aarch32(*reg)) {
        // As aarch32_id_regs.c has it.
        let reserved = matches!((reg.crm(), reg.op2()), (1, 3) | (3, 3 | 5 | 7));
        let expected = if reserved {
            Err(SetError::Invalid)
        } else {
            Ok(())
        };
        assert_eq!(vm.get(reg), Some(0));
        assert_eq!(vm.set(&host, reg, 0x1bad_c0de), expected, "{reg}");
        assert_eq!(vm.get(reg), Some(0));
        assert_eq!(mask(&host, reg), 0);
    }
}

#[test]
fn before_a_vcpu_there_is_nothing_to_write() {
    let host = HostIdRegs::read(&MAX, HostFacts::default());
    let mut vm = VmIdRegs::new();
    assert!(!vm.is_initialised());
    assert_eq!(
        vm.set(&host, SysReg::ID_AA64ISAR0_EL1, 0x10),
        Err(SetError::Invalid)
    );
    assert_eq!(vm.freeze(VmGic::V3), VmFeatures::of(&VmIdRegs::new()));
    vm.init(&host, &VmConfig::default());
    assert!(vm.is_initialised());
}

#[test]
fn mitigations_are_shown_once_known() {
    let facts = HostFacts {
        spectre_v2_unaffected: true,
        meltdown_unaffected: true,
        broken_cntvoff: true,
    };
    let config = VmConfig::default();
    let none = AnyHost::default();
    let pfr0 = |host: &HostIdRegs| vm(host, &config).reg::<IdAa64Pfr0El1>();
    let unknown = HostIdRegs::read(&none, HostFacts::default());
    assert!(pfr0(&unknown).csv2() == 0 && pfr0(&unknown).csv3() == 0);
    let known = HostIdRegs::read(&none, facts);
    assert!(pfr0(&known).csv2() == 1 && pfr0(&known).csv3() == 1);
    let max = HostIdRegs::read(&MAX, HostFacts::default());
    assert!(pfr0(&max).csv2() == 1 && pfr0(&max).csv3() == 1);
    assert_eq!(vm(&max, &config).reg::<IdAa64Isar2El1>().wfxt(), 2);
    let max = HostIdRegs::read(&MAX, facts);
    assert_eq!(vm(&max, &config).reg::<IdAa64Isar2El1>().wfxt(), 0);
}
