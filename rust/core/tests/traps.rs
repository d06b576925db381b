// SPDX-License-Identifier: GPL-2.0

//! Traps of VMs.

mod common;

use common::MAX;
use kvm_core::{
    bits::Bits,
    traps::{
        cnthctl,
        mdcr,
        CnthctlEl2,
        FineTrap,
        Hfgitr2El2,
        HfgitrEl2,
        HostTraps,
        MdcrInputs,
        VmTraps, //
    },
    vm_idreg::{
        HostFacts,
        HostIdRegs,
        Offer,
        VmConfig,
        VmFeature,
        VmFeatures,
        VmGic,
        VmIdRegs, //
    },
};
use proptest::prelude::*;

fn feature_strategy() -> impl Strategy<Value = VmFeature> {
    proptest::sample::select(VmFeature::ALL)
}

/// Any set of features; each is in or not.
fn features_strategy() -> impl Strategy<Value = VmFeatures> {
    proptest::collection::vec(any::<bool>(), VmFeature::ALL.len()).prop_map(|present| {
        VmFeature::ALL
            .iter()
            .zip(present)
            .fold(VmFeatures::EMPTY, |set, (feature, present)| {
                set.with(*feature, present)
            })
    })
}

fn host_strategy() -> impl Strategy<Value = HostTraps> {
    (features_strategy(), any::<bool>()).prop_map(|(features, ctr_is_hosts)| HostTraps {
        features,
        ctr_is_hosts,
    })
}

fn fine_strategy() -> impl Strategy<Value = FineTrap<HfgitrEl2>> {
    proptest::sample::select(HfgitrEl2::TRAPS).prop_map(|(_, trap)| trap)
}

/// The bits, by number.
fn bits(numbers: &[u32]) -> u64 {
    numbers.iter().fold(0, |raw, bit| raw | (1 << bit))
}

/// Bits of HCR_EL2 and HCRX_EL2 that give the guest something; all others take.
const HCR_GIVES: u64 = (1 << 40) | (1 << 41) | (1 << 56);
const HCRX_GIVES: u64 = !((1 << 10) | (1 << 4));

proptest! {
    #[test]
    fn a_feature_less_is_a_trap_more(
        vm in features_strategy(),
        host in host_strategy(),
        feature in feature_strategy(),
    ) {
        let without = VmFeatures::EMPTY;
        let less = vm
            .iter()
            .filter(|it| *it != feature)
            .fold(without, |set, feature| set.with(feature, true));
        let (more, less) = (VmTraps::of(vm, host), VmTraps::of(less, host));
        // Turned so that a bit more is something less for the guest. RW is no trap.
        let turned = |traps: &VmTraps| (traps.hcr.into_raw() ^ HCR_GIVES) & !(1 << 31);
        prop_assert_eq!(turned(&more) & !turned(&less), 0);
        if let (Some(more), Some(less)) = (more.hcrx, less.hcrx) {
            prop_assert_eq!(less.into_raw() & HCRX_GIVES & !more.into_raw(), 0);
        }
        if let (Some(more), Some(less)) = (more.hfgitr, less.hfgitr) {
            for (name, trap) in HfgitrEl2::TRAPS {
                prop_assert!(less.traps(*trap) || !more.traps(*trap), "{}", name);
            }
        }
    }

    #[test]
    fn what_the_host_lacks_is_not_written(vm in features_strategy(), host in host_strategy()) {
        let traps = VmTraps::of(vm, host);
        let has = |feature| host.features.contains(feature);
        prop_assert_eq!(traps.hcrx.is_some(), has(VmFeature::Hcx));
        prop_assert_eq!(traps.hfgitr.is_some(), has(VmFeature::Fgt));
        prop_assert_eq!(traps.hfgitr2.is_some(), has(VmFeature::Fgt2));
        prop_assert_eq!(traps.hcr.fwb(), has(VmFeature::Fwb));
        prop_assert_eq!(traps.hcr.tea(), has(VmFeature::Ras));
    }

    #[test]
    fn the_cache_geometry_always_traps(vm in features_strategy(), host in host_strategy()) {
        let hcr = VmTraps::of(vm, host).hcr;
        prop_assert!(hcr.tid2() != hcr.tid4());
        prop_assert_eq!(
            hcr.tid2(),
            !host.ctr_is_hosts || !host.features.contains(VmFeature::Evt)
        );
    }

    #[test]
    fn absent_features_trap(vm in features_strategy(), mut host in host_strategy()) {
        for feature in [VmFeature::Fgt, VmFeature::Fgt2, VmFeature::Hcx] {
            host.features = host.features.with(feature, true);
        }
        let traps = VmTraps::of(vm, host);
        let (fine, hcrx) = (traps.hfgitr.unwrap(), traps.hcrx.unwrap());
        let has = |feature| vm.contains(feature);
        for (feature, bits) in [
            (VmFeature::Ats1a, 62..=62),
            (VmFeature::Specres2, 60..=60),
            (VmFeature::Specres, 48..=50),
            (VmFeature::TlbiRange, 38..=41),
            (VmFeature::TlbiRange, 34..=37),
            (VmFeature::TlbiRange, 24..=27),
            (VmFeature::TlbiOs, 18..=23),
            (VmFeature::Pan2, 16..=17),
            (VmFeature::Dpb2, 9..=9),
        ] {
            for bit in bits {
                prop_assert_eq!((fine.into_raw() >> bit) & 1 == 0, has(feature));
            }
        }
        for (feature, bits) in [(VmFeature::Gcs, 57..=59), (VmFeature::Brbe, 55..=56)] {
            for bit in bits {
                prop_assert_eq!((fine.into_raw() >> bit) & 1 != 0, has(feature));
            }
        }
        for (feature, bit) in [
            (VmFeature::Ls64AccData, 0),
            (VmFeature::Ls64, 1),
            (VmFeature::Ls64V, 2),
            (VmFeature::Mops, 10),
            (VmFeature::Mops, 11),
            (VmFeature::Tcr2, 14),
            (VmFeature::Sctlr2, 15),
            (VmFeature::D128, 17),
            (VmFeature::Gcs, 22),
            (VmFeature::Fpmr, 23),
            (VmFeature::Srmask, 26),
        ] {
            prop_assert_eq!((hcrx.into_raw() >> bit) & 1 != 0, has(feature));
        }
        prop_assert_eq!(traps.hfgitr2.unwrap().into_raw() & 1, 0);
        prop_assert_eq!(traps.hfgitr2.unwrap().into_raw() & 2 != 0, has(VmFeature::Pops));
        let pauth = has(VmFeature::PAuthAddress) || has(VmFeature::PAuthGeneric);
        prop_assert_eq!(traps.hcr.api() && traps.hcr.apk(), pauth);
        prop_assert_eq!(traps.hcr.api() || traps.hcr.apk(), pauth);
        prop_assert_eq!(traps.hcr.ata(), has(VmFeature::Mte2));
        prop_assert_eq!(traps.hcr.tid5(), !has(VmFeature::Mte2));
        prop_assert_eq!(traps.hcr.ttlbos(), !has(VmFeature::TlbiOs));
        prop_assert_eq!(traps.hcr.rw(), !has(VmFeature::Aarch32El1));
        prop_assert_eq!(traps.cptr.into_raw(), bits(&[28, 30]));
        let vectors = if has(VmFeature::Sve) { 3 << 16 } else { 0 };
        prop_assert_eq!(traps.cptr_with_fp().into_raw(), bits(&[28, 30, 20, 21]) | vectors);
    }

    #[test]
    fn fine_traps_have_a_polarity(raw: u64, trap in fine_strategy(), other in fine_strategy()) {
        let register = HfgitrEl2::from_raw(raw);
        for on in [false, true] {
            let changed = register.with_trap(trap, on);
            prop_assert_eq!(changed.traps(trap), on);
            prop_assert_eq!(changed.into_raw() & !trap.mask(), raw & !trap.mask());
            if other != trap {
                prop_assert_eq!(changed.traps(other), register.traps(other));
            }
        }
        prop_assert!(!HfgitrEl2::NO_TRAPS.traps(trap));
    }

    #[test]
    fn fine_traps_add_up(a: u64, b: u64) {
        let (a, b) = (HfgitrEl2::from_raw(a), HfgitrEl2::from_raw(b));
        for (_, trap) in HfgitrEl2::TRAPS {
            prop_assert_eq!(a.union(b).traps(*trap), a.traps(*trap) || b.traps(*trap));
        }
    }

    #[test]
    fn the_hosts_timer_controls_stay(raw: u64, cntpoff: bool, zero: bool) {
        let guest = cnthctl(CnthctlEl2::from_raw(raw), cntpoff, zero);
        let ours = bits(&[10, 11, 12, 13, 14, 15, 16]);
        prop_assert_eq!(guest.into_raw() & !ours, raw & !ours);
        let mut expected = 0;
        if cntpoff || zero {
            expected |= bits(&[10]);
        }
        if zero {
            expected |= bits(&[11]);
        }
        if cntpoff {
            expected |= bits(&[12]);
        }
        prop_assert_eq!(guest.into_raw() & ours, expected);
    }

    #[test]
    fn debug_controls(counters in 0..32u64, guest_debug: bool) {
        let value = mdcr(MdcrInputs {
            event_counters: Bits::truncated(counters),
            guest_debug,
        });
        let mut expected = counters | bits(&[5, 6, 9, 10, 11, 14, 19, 27]);
        if guest_debug {
            expected |= bits(&[8]);
        }
        prop_assert_eq!(value.into_raw(), expected);
    }
}

#[test]
fn names_tell_the_polarity() {
    for (name, trap) in HfgitrEl2::TRAPS {
        assert_eq!(trap.traps_if_clear(), name.starts_with('n'), "{name}");
    }
    for (name, trap) in Hfgitr2El2::TRAPS {
        assert_eq!(trap.traps_if_clear(), name.starts_with('n'), "{name}");
    }
    assert_eq!(HfgitrEl2::TRAPS.len(), 63);
    assert_eq!(HfgitrEl2::NO_TRAPS.into_raw(), bits(&[55, 56, 57, 58, 59]));
    let all = HfgitrEl2::NO_TRAPS.with_trap(HfgitrEl2::ERET, true);
    assert_eq!(format!("{all:?}"), r#"{"ERET"}"#);
}

#[test]
fn qemu_max() {
    let host = HostIdRegs::read(&MAX, HostFacts::default());
    let mut vm = VmIdRegs::new();
    let config = VmConfig {
        offer: Offer::CURRENT,
        ..VmConfig::default()
    };
    vm.init(&host, &config);
    let traps = VmTraps::of(
        vm.freeze(VmGic::V3),
        HostTraps {
            features: VmFeatures::of(&host),
            ctr_is_hosts: true,
        },
    );
    let hcr = [
        0, 1, 2, 3, 4, 5, 9, 10, 13, 14, 16, 18, 19, 20, 21, 22, 31, 34, 35, 36, 37, 46, 49, 58,
    ];
    assert_eq!(traps.hcr.into_raw(), bits(&hcr));
    assert_eq!(traps.hcrx.unwrap().into_raw(), bits(&[10, 11, 14, 15, 23]));
    // No COSP RCTX, guarded control stack or branch records.
    assert_eq!(traps.hfgitr.unwrap().into_raw(), bits(&[60]));
    assert_eq!(traps.hfgitr2, None);
}
