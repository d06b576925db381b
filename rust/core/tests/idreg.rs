// SPDX-License-Identifier: GPL-2.0

//! ID registers.

mod common;

use common::{
    at_el2,
    CORTEX_A57,
    MAX,
    NEOVERSE_N1, //
};
use kvm_core::{
    bit_struct::BitStruct,
    bits::Bits,
    granule::Granule,
    idreg::*, //
};
use proptest::prelude::*;

/// How each stage 2 field value is to be read, given stage 1's support.
fn stage2(field: u64, stage1: GranuleSupport, with_lpa2: bool) -> GranuleSupport {
    match field {
        0 => stage1,
        1 => GranuleSupport::None,
        2 => GranuleSupport::Implemented,
        _ if with_lpa2 => GranuleSupport::Lpa2,
        _ => GranuleSupport::Implemented,
    }
}

proptest! {
    #[test]
    fn stage2_granules(raw: u64) {
        let mmfr0 = IdAa64Mmfr0El1::from_raw(raw);
        for (granule, shift, lpa2) in [
            (Granule::K4, 40, true),
            (Granule::K16, 32, true),
            (Granule::K64, 36, false),
        ] {
            prop_assert_eq!(
                mmfr0.stage2_granule(granule),
                stage2((raw >> shift) & 15, mmfr0.stage1_granule(granule), lpa2)
            );
        }
    }

    #[test]
    fn gic_numbers_are_in_range(raw: u64) {
        let vtr = IchVtrEl2::from_raw(raw);
        prop_assert!((1..=16).contains(&vtr.list_registers()));
        prop_assert!((1..=8).contains(&vtr.priority_bits()));
        prop_assert!((1..=8).contains(&vtr.preemption_bits()));
    }

    #[test]
    fn debug_numbers_are_in_range(raw: u64) {
        let dfr0 = IdAa64Dfr0El1::from_raw(raw);
        prop_assert_eq!(u64::from(dfr0.breakpoints()), ((raw >> 12) & 15) + 1);
        prop_assert_eq!(u64::from(dfr0.watchpoints()), ((raw >> 20) & 15) + 1);
        prop_assert_eq!(dfr0.has_pmuv3(), !matches!((raw >> 8) & 15, 0 | 15));
    }
}

#[test]
fn stage1_granules() {
    let of = |raw| {
        let mmfr0 = IdAa64Mmfr0El1::from_raw(raw);
        Granule::ALL
            .iter()
            .map(|granule| mmfr0.stage1_granule(*granule))
            .collect::<Vec<_>>()
    };
    use GranuleSupport::*;
    // TGran4 is 31:28, TGran64 27:24, TGran16 23:20; the first two are signed, the third is not.
    assert_eq!(of(0x0000_0000), [Implemented, None, Implemented]);
    assert_eq!(of(0xff00_0000), [None, None, None]);
    assert_eq!(of(0x1010_0000), [Lpa2, Implemented, Implemented]);
    assert_eq!(of(0x0020_0000), [Implemented, Lpa2, Implemented]);
    assert_eq!(of(0x00f0_0000), [Implemented, Lpa2, Implemented]);
}

#[test]
fn physical_address_sizes() {
    let sizes = [32, 36, 40, 42, 44, 48, 52, 56];
    for raw in 0..16 {
        let mmfr0 = IdAa64Mmfr0El1::from_raw(raw | 0xfff0);
        assert_eq!(mmfr0.pa_bits(), sizes.get(raw as usize).copied());
    }
}

#[test]
fn vmid_sizes() {
    for raw in 0..16u64 {
        let mmfr1 = IdAa64Mmfr1El1::from_raw(raw << 4);
        assert_eq!(mmfr1.vmid_bits(), if raw == 2 { 16 } else { 8 });
    }
}

#[test]
fn list_registers_stop_at_sixteen() {
    for (raw, count) in [(0, 1), (3, 4), (15, 16), (16, 16), (31, 16)] {
        assert_eq!(IchVtrEl2::from_raw(raw).list_registers(), count);
    }
}

#[test]
fn interrupt_identifiers() {
    for (raw, bits) in [(0, Some(16)), (1, Some(24)), (2, None)] {
        assert_eq!(IchVtrEl2::from_raw(raw << 23).intid_bits(), bits);
    }
}

#[test]
fn exception_levels() {
    let pfr0 = IdAa64Pfr0El1::from_raw(0x3021);
    assert_eq!(pfr0.el0(), Some(ElStates::Aarch64));
    assert_eq!(pfr0.el1(), Some(ElStates::Aarch64AndAarch32));
    assert_eq!(pfr0.el2(), Some(ElStates::NotImplemented));
    assert_eq!(pfr0.el3(), None);
    assert!(!pfr0.has_el2() && pfr0.el1_aarch32() && !pfr0.el0_aarch32());
    assert!(IdAa64Pfr0El1::from_raw(0x0100).has_el2());
}

#[test]
fn qemu_max() {
    let cpu = at_el2(&MAX);
    assert_eq!(cpu.mmfr0.pa_bits(), Some(52));
    for granule in [Granule::K4, Granule::K16] {
        assert_eq!(cpu.mmfr0.stage2_granule(granule), GranuleSupport::Lpa2);
    }
    assert_eq!(
        cpu.mmfr0.stage2_granule(Granule::K64),
        GranuleSupport::Implemented
    );
    assert_eq!(cpu.mmfr0.fgt(), 1);
    assert_eq!(cpu.mmfr0.ecv(), 2);
    assert!(cpu.mmfr1.has_vhe());
    assert_eq!(cpu.mmfr1.vmid_bits(), 16);
    assert_eq!(cpu.mmfr1.hafdbs(), 2);
    assert_eq!(cpu.mmfr1.hpds(), 2);
    assert_eq!(cpu.mmfr1.hcx(), 1);
    assert_eq!(cpu.mmfr1.tidcp1(), 1);
    assert_eq!(cpu.mmfr2.nv(), 2);
    assert_eq!(cpu.mmfr2.evt(), 2);
    assert_eq!(cpu.mmfr2.bbm(), 2);
    assert!(cpu.mmfr2.has_idst() && cpu.mmfr2.has_small_tables());
    assert_eq!(cpu.mmfr3.s1pie(), 1);
    assert_eq!(cpu.mmfr3.s1poe(), 0);
    assert_eq!(cpu.mmfr3.spec_fpacc(), 1);
    assert_eq!(cpu.mmfr4.asid2(), 1);
    assert_eq!(cpu.mmfr4.e2h0().get(), 0);
    assert_eq!(cpu.pfr0.csv2(), 3);
    assert_eq!(cpu.pfr0.fp().get(), 1);
    assert!(cpu.pfr0.el1_aarch32());
    assert_eq!(cpu.pfr1.sme(), 2);
    assert_eq!(cpu.pfr1.gcs(), 1);
    assert_eq!(cpu.pfr2.fpmr(), 1);
    assert_eq!(cpu.dfr0.debugver(), 10);
    assert_eq!(cpu.dfr0.breakpoints(), 6);
    assert_eq!(cpu.dfr0.watchpoints(), 4);
    assert_eq!(cpu.dfr0.pmuver(), 6);
    assert_eq!(cpu.isar0.tlb(), 2);
    assert_eq!(cpu.isar0.atomic(), 3);
    assert_eq!(cpu.isar1.api(), 5);
    assert_eq!(cpu.isar2.wfxt(), 2);
    assert_eq!(cpu.isar3.faminmax(), 1);
    assert_eq!(cpu.zfr0.svever(), 2);
    assert!(cpu.smfr0.fa64());
    assert_eq!(cpu.smfr0.smever(), 2);
    assert_eq!(cpu.ctr.data_line_bytes(), 64);
    assert_eq!(cpu.ctr.instruction_line_bytes(), 64);
    assert!(cpu.ctr.dic() && cpu.ctr.idc());
    let vtr = cpu.vtr.unwrap();
    assert_eq!(
        (
            vtr.list_registers(),
            vtr.priority_bits(),
            vtr.preemption_bits()
        ),
        (4, 5, 5)
    );
    assert_eq!(vtr.intid_bits(), Some(24));
    assert!(vtr.a3v() && vtr.nv4() && vtr.tds() && !vtr.seis() && !vtr.dvim());
    assert!(cpu.sre.sre() && cpu.sre.enable());
}

#[test]
fn older_cores() {
    let n1 = at_el2(&NEOVERSE_N1);
    assert_eq!(n1.mmfr0.pa_bits(), Some(48));
    // TGranX_2 is zero: stage 2 is as stage 1.
    assert_eq!(
        n1.mmfr0.stage2_granule(Granule::K4),
        GranuleSupport::Implemented
    );
    assert_eq!(
        n1.mmfr0.stage2_granule(Granule::K16),
        GranuleSupport::Implemented
    );
    assert!(n1.pfr0.el0_aarch32() && !n1.pfr0.el1_aarch32());
    let a57 = at_el2(&CORTEX_A57);
    assert!(!a57.mmfr1.has_vhe());
    assert_eq!(a57.mmfr0.pa_bits(), Some(44));
    assert_eq!(a57.mmfr0.stage2_granule(Granule::K16), GranuleSupport::None);
    assert_eq!(a57.mmfr1.vmid_bits(), 8);
    assert_eq!(a57.dfr0.breakpoints(), 6);
}

#[test]
fn signed_fields_are_those_of_the_architecture() {
    let mut signed = Vec::new();
    fn collect<R: BitStruct>(into: &mut Vec<String>) {
        into.extend(
            R::FIELDS
                .iter()
                .filter(|field| field.signed)
                .map(|field| format!("{}.{}", R::NAME, field.name)),
        );
    }
    collect::<IdAa64Pfr0El1>(&mut signed);
    collect::<IdAa64Pfr1El1>(&mut signed);
    collect::<IdAa64Mmfr0El1>(&mut signed);
    collect::<IdAa64Mmfr1El1>(&mut signed);
    collect::<IdAa64Mmfr2El1>(&mut signed);
    collect::<IdAa64Mmfr4El1>(&mut signed);
    collect::<IdAa64Dfr0El1>(&mut signed);
    assert_eq!(
        signed,
        [
            "ID_AA64PFR0_EL1.fp",
            "ID_AA64PFR0_EL1.advsimd",
            "ID_AA64MMFR0_EL1.tgran64",
            "ID_AA64MMFR0_EL1.tgran4",
            "ID_AA64MMFR4_EL1.e2h0",
            "ID_AA64DFR0_EL1.doublelock",
            "ID_AA64DFR0_EL1.mtpmu",
        ]
    );
    assert!(IdAa64Pfr0El1::from_raw(0x00ff_0000).fp() < 0);
    assert_eq!(IdAa64Mmfr4El1::from_raw(0xe << 24).e2h0().get(), -2);
    assert_eq!(
        IdAa64Mmfr0El1::from_raw(0)
            .with_parange(Bits::of::<5>())
            .into_raw(),
        5
    );
}

#[test]
fn granules() {
    for granule in Granule::ALL {
        assert_eq!(
            Granule::from_page_size(1 << granule.shift()),
            Some(*granule)
        );
        assert_eq!(
            granule.to_string(),
            format!("{}K", (1 << granule.shift()) / 1024)
        );
    }
    for bytes in [0, 4095, 8192, 32768, 1 << 21] {
        assert_eq!(Granule::from_page_size(bytes), None);
    }
}
