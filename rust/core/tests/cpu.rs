// SPDX-License-Identifier: GPL-2.0

//! Whether a machine will do, and whether its CPUs are alike.

mod common;

use std::{
    cell::RefCell,
    collections::BTreeSet, //
};

use common::{
    at_el2,
    Model,
    CORTEX_A57,
    MAX,
    NEOVERSE_N1, //
};
use kvm_core::{
    bits::Bits,
    cpu::{
        check_host,
        CpuFeatures,
        Feature,
        FeatureSet,
        HostState,
        Mismatch,
        ReadIdRegister,
        Refusal,
        Rule, //
    },
    granule::Granule,
    idreg::*,
    sysreg::SysReg, //
};
use proptest::prelude::*;

/// A kernel that uses VHE, with 4 KiB pages.
const VHE: HostState = HostState {
    current_el: 2,
    e2h: true,
    page_size: 4096,
};

/// Every register reads as a different number made from `seed`; what was read is kept.
struct Random {
    seed: u64,
    read: RefCell<Vec<SysReg>>,
}

impl ReadIdRegister for Random {
    fn read(&self, reg: SysReg) -> u64 {
        self.read.borrow_mut().push(reg);
        (self.seed ^ u64::from(reg.into_raw())).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

fn random_cpu(seed: u64, el: u8) -> (CpuFeatures, Vec<SysReg>) {
    let source = Random {
        seed,
        read: RefCell::default(),
    };
    let cpu = CpuFeatures::read(&source, el);
    (cpu, source.read.into_inner())
}

proptest! {
    #[test]
    fn any_cpu_is_decided_on(seed: u64, current_el in 0u8..4, e2h: bool, page_size in 0usize..1 << 17) {
        let (cpu, _) = random_cpu(seed, current_el);
        for page_size in [page_size, 0x1000, 0x4000, 0x1_0000] {
            match check_host(&cpu, &HostState { current_el, e2h, page_size }) {
                Ok(host) => {
                    prop_assert!(current_el == 2 && e2h);
                    prop_assert!(cpu.mmfr1.has_vhe() && cpu.pfr0.has_el2());
                    prop_assert!(host.ipa_limit.get() <= cpu.mmfr0.pa_bits().unwrap_or(48));
                    if !host.features.contains(Feature::Lpa2) && host.granule != Granule::K64 {
                        prop_assert!(host.ipa_limit.get() <= 48);
                    }
                    prop_assert!((1..=16).contains(&host.vtr.list_registers()));
                    prop_assert!([8, 16].contains(&host.vmid_bits));
                    prop_assert_eq!(1usize << host.granule.shift(), page_size);
                }
                Err(refusal) => prop_assert!(!refusal.to_string().contains('\n')),
            }
        }
    }

    #[test]
    fn only_readable_registers_are_read(seed: u64, current_el in 0u8..4) {
        let (cpu, read) = random_cpu(seed, current_el);
        for reg in &read {
            match *reg {
                SysReg::ICC_SRE_EL2 => {
                    prop_assert!(current_el == 2 && cpu.pfr0.has_gic_sysregs());
                }
                SysReg::ICH_VTR_EL2 => {
                    prop_assert!(current_el == 2 && cpu.pfr0.has_gic_sysregs() && cpu.sre.sre());
                }
                reg => prop_assert!(reg.is_feature_id() || reg == SysReg::CTR_EL0),
            }
        }
        prop_assert_eq!(cpu.vtr.is_some(), read.contains(&SysReg::ICH_VTR_EL2));
        // Each once.
        prop_assert_eq!(read.iter().collect::<BTreeSet<_>>().len(), read.len());
    }

    #[test]
    fn a_cpu_is_compatible_with_itself(seed: u64) {
        let (cpu, _) = random_cpu(seed, 2);
        prop_assert_eq!(cpu.compatible(&cpu), Ok(()));
    }

    #[test]
    fn compatible_is_what_the_table_says(a: u64, b: u64, max in any::<bool>()) {
        let (other, _) = random_cpu(b, 2);
        let boot = if max { at_el2(&MAX) } else { random_cpu(a, 2).0 };
        let differs = |relied: &&kvm_core::cpu::ReliedOn| match relied.rule {
            Rule::Same => relied.value(&boot) != relied.value(&other),
            Rule::AtLeast => relied.value(&boot) > relied.value(&other),
        };
        let first = CpuFeatures::RELIED_ON.iter().find(differs).map(|relied| {
            (relied.register, relied.field.name)
        });
        let verdict = boot.compatible(&other);
        prop_assert_eq!(verdict.err().map(|m| (m.register, m.field)), first);
    }

    #[test]
    fn feature_sets(bits in prop::collection::vec(any::<bool>(), Feature::ALL.len())) {
        let members = || Feature::ALL.iter().copied().zip(&bits);
        let set = members().fold(FeatureSet::EMPTY, |set, (feature, member)| {
            set.with(feature, *member)
        });
        for (feature, member) in members() {
            prop_assert_eq!(set.contains(feature), *member);
        }
        let names: Vec<_> = members()
            .filter(|(_, member)| **member)
            .map(|(feature, _)| feature.name())
            .collect();
        let text = if names.is_empty() { "-".into() } else { names.join(" ") };
        prop_assert_eq!(set.to_string(), text);
        // What is in a set stays there.
        let again = members().fold(set, |set, (feature, _)| set.with(feature, false));
        prop_assert_eq!(again, set);
    }
}

#[test]
fn every_register_is_kept_in_its_place() {
    let source = Random {
        seed: 1,
        read: RefCell::default(),
    };
    let cpu = CpuFeatures::read(&source, 2);
    let value = |reg| source.read(reg);
    assert_eq!(cpu.pfr0.into_raw(), value(SysReg::ID_AA64PFR0_EL1));
    assert_eq!(cpu.pfr1.into_raw(), value(SysReg::ID_AA64PFR1_EL1));
    assert_eq!(cpu.pfr2.into_raw(), value(SysReg::ID_AA64PFR2_EL1));
    assert_eq!(cpu.zfr0.into_raw(), value(SysReg::ID_AA64ZFR0_EL1));
    assert_eq!(cpu.smfr0.into_raw(), value(SysReg::ID_AA64SMFR0_EL1));
    assert_eq!(cpu.dfr0.into_raw(), value(SysReg::ID_AA64DFR0_EL1));
    assert_eq!(cpu.dfr1.into_raw(), value(SysReg::ID_AA64DFR1_EL1));
    assert_eq!(cpu.isar0.into_raw(), value(SysReg::ID_AA64ISAR0_EL1));
    assert_eq!(cpu.isar1.into_raw(), value(SysReg::ID_AA64ISAR1_EL1));
    assert_eq!(cpu.isar2.into_raw(), value(SysReg::ID_AA64ISAR2_EL1));
    assert_eq!(cpu.isar3.into_raw(), value(SysReg::ID_AA64ISAR3_EL1));
    assert_eq!(cpu.mmfr0.into_raw(), value(SysReg::ID_AA64MMFR0_EL1));
    assert_eq!(cpu.mmfr1.into_raw(), value(SysReg::ID_AA64MMFR1_EL1));
    assert_eq!(cpu.mmfr2.into_raw(), value(SysReg::ID_AA64MMFR2_EL1));
    assert_eq!(cpu.mmfr3.into_raw(), value(SysReg::ID_AA64MMFR3_EL1));
    assert_eq!(cpu.mmfr4.into_raw(), value(SysReg::ID_AA64MMFR4_EL1));
    assert_eq!(cpu.ctr.into_raw(), value(SysReg::CTR_EL0));
    let max = at_el2(&MAX);
    assert_eq!(max.sre.into_raw(), 0xf);
    assert_eq!(max.vtr.map(IchVtrEl2::into_raw), Some(0x90b8_0003));
}

#[test]
fn qemu_max_will_do() {
    let host = check_host(&at_el2(&MAX), &VHE).unwrap();
    assert_eq!(
        host.to_string(),
        "4K pages, IPA 52 bits, VMID 16 bits, 4 list registers, 5 priority bits, \
         FGT HCX TCR2 SCTLR2 S1PIE SVE SME PAuth RAS PMUv3 FWB XNX HAFDBS BBM2 TTL TLBIRANGE EVT \
         ECV WFxT LPA2 AArch32"
    );
    assert_eq!(host.vtr.preemption_bits(), 5);
}

#[test]
fn neoverse_n1_will_do() {
    for (page_size, name) in [(0x1000, "4K"), (0x4000, "16K"), (0x1_0000, "64K")] {
        let host = check_host(&at_el2(&NEOVERSE_N1), &HostState { page_size, ..VHE }).unwrap();
        assert_eq!(
            host.to_string(),
            format!(
                "{name} pages, IPA 48 bits, VMID 16 bits, 4 list registers, 5 priority bits, \
                 RAS PMUv3 XNX HAFDBS"
            )
        );
    }
}

#[test]
fn ipa_limits() {
    let limit = |mmfr0: u64, granule| {
        let cpu = CpuFeatures {
            mmfr0: IdAa64Mmfr0El1::from_raw(mmfr0),
            ..CpuFeatures::default()
        };
        cpu.ipa_limit(granule).get()
    };
    // PARange is 3:0; TGran4_2 is 43:40, TGran16_2 35:32, 3 being LPA2.
    assert_eq!(limit(0x0, Granule::K4), 32);
    assert_eq!(limit(0x2, Granule::K4), 40);
    assert_eq!(limit(0x5, Granule::K4), 48);
    assert_eq!(limit(0x6, Granule::K4), 48);
    assert_eq!(limit(0x300_0000_0006, Granule::K4), 52);
    assert_eq!(limit(0x300_0000_0006, Granule::K16), 48);
    assert_eq!(limit(0x303_0000_0006, Granule::K16), 52);
    assert_eq!(limit(0x303_0000_0005, Granule::K16), 48);
    assert_eq!(limit(0x6, Granule::K64), 52);
    assert_eq!(limit(0x300_0000_0007, Granule::K4), 52);
    assert_eq!(limit(0x300_0000_000f, Granule::K4), 48);
}

#[test]
fn refusals_come_in_order() {
    // Everything is wrong at first; one thing after the other is put right.
    let mut cpu = CpuFeatures::default();
    let mut host = HostState {
        current_el: 1,
        e2h: false,
        page_size: 8192,
    };
    let refusal = |cpu: &CpuFeatures, host: &HostState| check_host(cpu, host).unwrap_err();

    assert_eq!(refusal(&cpu, &host), Refusal::NoEl2);
    cpu.pfr0 = cpu.pfr0.with_el2(ElStates::Aarch64);
    assert_eq!(refusal(&cpu, &host), Refusal::NoVhe);
    cpu.mmfr1 = cpu.mmfr1.with_vh(Bits::of::<1>());
    assert_eq!(refusal(&cpu, &host), Refusal::NotAtEl2 { current_el: 1 });
    host.current_el = 2;
    assert_eq!(refusal(&cpu, &host), Refusal::E2hClear);
    host.e2h = true;
    assert_eq!(refusal(&cpu, &host), Refusal::NoGicSystemRegisters);
    cpu.pfr0 = cpu.pfr0.with_gic(Bits::of::<1>());
    assert_eq!(refusal(&cpu, &host), Refusal::GicSystemRegistersOff);
    cpu.vtr = Some(IchVtrEl2::from_raw(0));
    assert_eq!(refusal(&cpu, &host), Refusal::GicSystemRegistersOff);
    cpu.sre = cpu.sre.with_sre(true);
    assert_eq!(refusal(&cpu, &host), Refusal::PageSize(8192));
    host.page_size = 0x4000;
    assert_eq!(refusal(&cpu, &host), Refusal::NoStage2Granule(Granule::K16));
    host.page_size = 0x1000;
    assert!(check_host(&cpu, &host).is_ok());
}

#[test]
fn refusals_say_what_to_do() {
    let text = |refusal: Refusal| refusal.to_string();
    assert!(text(Refusal::NoEl2).contains("virtualization=on"));
    assert!(text(Refusal::NoVhe).contains("Armv8.1"));
    assert_eq!(
        text(Refusal::NotAtEl2 { current_el: 1 }),
        "the kernel runs at EL1 although the CPU has EL2 and VHE: boot it at EL2 (firmware or \
         hypervisor must hand over at EL2; QEMU: -M virt,virtualization=on) and without \
         kvm-arm.mode=nvhe, kvm-arm.mode=protected or id_aa64mmfr1.vh=0"
    );
    assert!(text(Refusal::E2hClear).contains("E2H"));
    assert!(text(Refusal::NoGicSystemRegisters).contains("gic-version=3"));
    assert!(text(Refusal::GicSystemRegistersOff).contains("firmware"));
    assert!(text(Refusal::PageSize(8192)).contains("8192 bytes"));
    assert!(text(Refusal::NoStage2Granule(Granule::K16)).contains("TGRAN16_2"));
    assert_eq!(check_host(&at_el2(&CORTEX_A57), &VHE), Err(Refusal::NoVhe));
}

#[test]
fn no_gic_no_read() {
    // With the GIC's field clear, nothing of the GIC is touched.
    const NO_GIC: Model = Model(&[(SysReg::ICC_SRE_EL2, 1), (SysReg::ICH_VTR_EL2, 3)]);
    let cpu = at_el2(&NO_GIC);
    assert!(!cpu.sre.sre());
    assert_eq!(cpu.vtr, None);
}

#[test]
fn each_feature_has_its_field() {
    let base = CpuFeatures::default();
    let one = Bits::of::<1>();
    let two = Bits::of::<2>();
    let cases: [(CpuFeatures, &str); 27] = [
        (base, "-"),
        (
            CpuFeatures {
                mmfr0: base.mmfr0.with_fgt(one),
                ..base
            },
            "FGT",
        ),
        (
            CpuFeatures {
                mmfr0: base.mmfr0.with_fgt(two),
                ..base
            },
            "FGT FGT2",
        ),
        (
            CpuFeatures {
                mmfr0: base.mmfr0.with_ecv(one),
                ..base
            },
            "ECV",
        ),
        (
            CpuFeatures {
                mmfr0: base.mmfr0.with_tgran4_2(Bits::of::<3>()),
                ..base
            },
            "LPA2",
        ),
        (
            CpuFeatures {
                mmfr1: base.mmfr1.with_hcx(one),
                ..base
            },
            "HCX",
        ),
        (
            CpuFeatures {
                mmfr1: base.mmfr1.with_xnx(one),
                ..base
            },
            "XNX",
        ),
        (
            CpuFeatures {
                mmfr1: base.mmfr1.with_hafdbs(two),
                ..base
            },
            "HAFDBS",
        ),
        (
            CpuFeatures {
                mmfr2: base.mmfr2.with_fwb(one),
                ..base
            },
            "FWB",
        ),
        (
            CpuFeatures {
                mmfr2: base.mmfr2.with_bbm(two),
                ..base
            },
            "BBM2",
        ),
        (
            CpuFeatures {
                mmfr2: base.mmfr2.with_ttl(one),
                ..base
            },
            "TTL",
        ),
        (
            CpuFeatures {
                mmfr2: base.mmfr2.with_evt(one),
                ..base
            },
            "EVT",
        ),
        (
            CpuFeatures {
                mmfr3: base.mmfr3.with_tcrx(one),
                ..base
            },
            "TCR2",
        ),
        (
            CpuFeatures {
                mmfr3: base.mmfr3.with_sctlrx(one),
                ..base
            },
            "SCTLR2",
        ),
        (
            CpuFeatures {
                mmfr3: base.mmfr3.with_s1pie(one),
                ..base
            },
            "S1PIE",
        ),
        (
            CpuFeatures {
                mmfr3: base.mmfr3.with_s1poe(one),
                ..base
            },
            "S1POE",
        ),
        (
            CpuFeatures {
                pfr0: base.pfr0.with_sve(one),
                ..base
            },
            "SVE",
        ),
        (
            CpuFeatures {
                pfr0: base.pfr0.with_ras(one),
                ..base
            },
            "RAS",
        ),
        (
            CpuFeatures {
                pfr0: base.pfr0.with_el1(ElStates::Aarch64AndAarch32),
                ..base
            },
            "AArch32",
        ),
        (
            CpuFeatures {
                pfr1: base.pfr1.with_sme(one),
                ..base
            },
            "SME",
        ),
        (
            CpuFeatures {
                pfr1: base.pfr1.with_mte(two),
                ..base
            },
            "MTE2",
        ),
        (
            CpuFeatures {
                isar0: base.isar0.with_tlb(two),
                ..base
            },
            "TLBIRANGE",
        ),
        (
            CpuFeatures {
                isar1: base.isar1.with_apa(one),
                ..base
            },
            "PAuth",
        ),
        (
            CpuFeatures {
                isar1: base.isar1.with_api(one),
                ..base
            },
            "PAuth",
        ),
        (
            CpuFeatures {
                isar2: base.isar2.with_apa3(one),
                ..base
            },
            "PAuth",
        ),
        (
            CpuFeatures {
                isar2: base.isar2.with_wfxt(two),
                ..base
            },
            "WFxT",
        ),
        (
            CpuFeatures {
                dfr0: base.dfr0.with_pmuver(one),
                ..base
            },
            "PMUv3",
        ),
    ];
    for (cpu, names) in cases {
        assert_eq!(cpu.features(Granule::K4).to_string(), names);
        // A CPU that lacks a feature of the system must not run its vCPUs.
        assert_eq!(cpu.compatible(&base).is_err(), names != "-", "{names}");
    }
    // One step less than what counts.
    for cpu in [
        CpuFeatures {
            mmfr1: base.mmfr1.with_hafdbs(one),
            ..base
        },
        CpuFeatures {
            mmfr2: base.mmfr2.with_bbm(one),
            ..base
        },
        CpuFeatures {
            pfr1: base.pfr1.with_mte(one),
            ..base
        },
        CpuFeatures {
            isar0: base.isar0.with_tlb(one),
            ..base
        },
        CpuFeatures {
            isar2: base.isar2.with_wfxt(one),
            ..base
        },
        CpuFeatures {
            dfr0: base.dfr0.with_pmuver(Bits::of::<15>()),
            ..base
        },
        CpuFeatures {
            mmfr0: base.mmfr0.with_tgran16_2(Bits::of::<3>()),
            ..base
        },
    ] {
        assert_eq!(cpu.features(Granule::K4), FeatureSet::EMPTY);
    }
    let names: BTreeSet<_> = Feature::ALL.iter().map(|feature| feature.name()).collect();
    assert_eq!(names.len(), Feature::ALL.len());
}

#[test]
fn mismatches_are_named() {
    let boot = at_el2(&MAX);
    let other = CpuFeatures {
        mmfr1: boot.mmfr1.with_vmidbits(Bits::of::<0>()),
        ..boot
    };
    assert_eq!(
        boot.compatible(&other).unwrap_err().to_string(),
        "ID_AA64MMFR1_EL1.VMIDBITS is 0x2 system-wide and 0x0 on this CPU, where it must be no less"
    );
    // The other way round it is a capacity that is left unused.
    assert_eq!(other.compatible(&boot), Ok(()));

    let other = CpuFeatures {
        pfr0: boot.pfr0.with_sve(Bits::of::<0>()),
        ..boot
    };
    let mismatch = Mismatch {
        register: "ID_AA64PFR0_EL1",
        field: "sve",
        system: 1,
        cpu: 0,
        rule: Rule::AtLeast,
    };
    assert_eq!(boot.compatible(&other), Err(mismatch));
    assert_eq!(
        mismatch.to_string(),
        "ID_AA64PFR0_EL1.SVE is 0x1 system-wide and 0x0 on this CPU, where it must be no less"
    );
    // The kernel may do without what a CPU has (arm64.nosve).
    assert_eq!(other.compatible(&boot), Ok(()));

    let gic = CpuFeatures {
        vtr: Some(IchVtrEl2::from_raw(0x90b8_0001)),
        ..boot
    };
    assert_eq!(
        boot.compatible(&gic).unwrap_err().to_string(),
        "ICH_VTR_EL2.LISTREGS is 0x3 system-wide and 0x1 on this CPU, where it must be the same"
    );
    assert!(gic.compatible(&boot).is_err());
}

#[test]
fn different_cores_of_one_architecture_are_compatible() {
    // Instructions, larger caches lines, a longer CWG and more physical address bits.
    let boot = at_el2(&NEOVERSE_N1);
    let other = CpuFeatures {
        isar0: boot
            .isar0
            .with_sha3(Bits::of::<1>())
            .with_rndr(Bits::of::<1>()),
        isar1: boot.isar1.with_bf16(Bits::of::<1>()),
        mmfr0: boot.mmfr0.with_parange(Bits::of::<6>()),
        zfr0: IdAa64Zfr0El1::from_raw(1),
        ctr: boot
            .ctr
            .with_cwg(Bits::of::<6>())
            .with_dminline(Bits::of::<5>()),
        ..boot
    };
    assert_eq!(boot.compatible(&other), Ok(()));
    // A smaller line would be skipped over by the system's stride.
    assert_eq!(other.compatible(&boot).unwrap_err().field, "parange");
    let lines = CpuFeatures {
        ctr: other.ctr,
        ..boot
    };
    assert_eq!(lines.compatible(&boot).unwrap_err().field, "dminline");
}
