// SPDX-License-Identifier: GPL-2.0

//! Speculation hardening at the exit from a guest.

use kvm_core::{
    bits::Bits,
    cpu::hardening::{
        as_kernel_says,
        harden,
        ExitHardening,
        Exposure,
        Exposures,
        Firmware,
        HardeningInputs,
        Midr,
        Workaround,
        LONGEST_HISTORY, //
    },
    idreg::{
        IdAa64Isar2El1,
        IdAa64Mmfr1El1,
        IdAa64Pfr0El1, //
    },
};
use proptest::prelude::*;

const CSV2: u32 = 56;
const CLRBHB: u32 = 28;
const ECBHB: u32 = 60;

/// MIDR_EL1 of one of Arm's cores, r1p2.
fn arm(part: u64) -> Midr {
    Midr((0x41 << 24) | (1 << 20) | (0xf << 16) | (part << 4) | 2)
}

/// A core with nothing in its ID registers and no firmware.
fn bare(midr: Midr) -> HardeningInputs {
    HardeningInputs {
        midr,
        pfr0: IdAa64Pfr0El1::from_raw(0),
        isar2: IdAa64Isar2El1::from_raw(0),
        mmfr1: IdAa64Mmfr1El1::from_raw(0),
        workaround_1: Firmware::NotAvailable,
        workaround_2: Firmware::NotAvailable,
        workaround_3: Firmware::NotAvailable,
    }
}

fn with_csv2(midr: Midr, csv2: u64) -> HardeningInputs {
    HardeningInputs {
        pfr0: IdAa64Pfr0El1::from_raw(csv2 << CSV2),
        ..bare(midr)
    }
}

fn firmware() -> impl Strategy<Value = Firmware> {
    prop_oneof![
        Just(Firmware::NotAvailable),
        Just(Firmware::Available),
        Just(Firmware::NotRequired),
    ]
}

prop_compose! {
    fn inputs()(
        implementer in prop_oneof![Just(0x41u64), any::<u8>().prop_map(u64::from)],
        part in prop_oneof![0xd00u64..0xd90, 0u64..0x1000],
        revision in 0u64..16,
        csv2 in 0u64..4,
        clrbhb in 0u64..2,
        ecbhb in 0u64..2,
        others: u32,
        workaround_1 in firmware(),
        workaround_2 in firmware(),
        workaround_3 in firmware(),
    ) -> HardeningInputs {
        // The other fields are noise.
        let noise = u64::from(others & 0xfff_ffff);
        HardeningInputs {
            midr: Midr((implementer << 24) | (part << 4) | revision),
            pfr0: IdAa64Pfr0El1::from_raw((csv2 << CSV2) | noise),
            isar2: IdAa64Isar2El1::from_raw((clrbhb << CLRBHB) | noise),
            mmfr1: IdAa64Mmfr1El1::from_raw((ecbhb << ECBHB) | noise),
            workaround_1,
            workaround_2,
            workaround_3,
        }
    }
}

prop_compose! {
    fn exposures()(v2 in exposure(), bhb in exposure(), v4 in exposure()) -> Exposures {
        Exposures { v2, bhb, v4 }
    }
}

fn exposure() -> impl Strategy<Value = Exposure> {
    prop_oneof![
        Just(Exposure::Unaffected),
        Just(Exposure::Mitigated),
        Just(Exposure::Vulnerable),
    ]
}

proptest! {
    #[test]
    fn what_is_done_exists(cpu in inputs()) {
        match harden(&cpu).0 {
            ExitHardening::None => {}
            ExitHardening::BhbLoop(n) => prop_assert!((1..=LONGEST_HISTORY).contains(&n)),
            ExitHardening::ClearBhb => prop_assert_eq!(cpu.isar2.clrbhb().get(), 1),
            ExitHardening::FirmwareWa1 => prop_assert_eq!(cpu.workaround_1, Firmware::Available),
            ExitHardening::FirmwareWa3 => prop_assert_eq!(cpu.workaround_3, Firmware::Available),
        }
    }

    #[test]
    fn mitigated_means_that_something_is_done(cpu in inputs()) {
        let (exit, exposures) = harden(&cpu);
        let mitigates = exposures.v2 == Exposure::Mitigated || exposures.bhb == Exposure::Mitigated;
        prop_assert_eq!(mitigates, exit != ExitHardening::None);
        if exposures.v2 == Exposure::Mitigated {
            prop_assert!(matches!(
                exit,
                ExitHardening::FirmwareWa1 | ExitHardening::FirmwareWa3
            ));
        }
        prop_assert_ne!(exposures.bhb, Exposure::Vulnerable);
        prop_assert_ne!(exposures.v4, Exposure::Mitigated);
    }

    /// A kernel never makes it do more, and where it mitigates all, it is as without it.
    #[test]
    fn a_kernel_only_takes_away(cpu in inputs(), kernel in exposures()) {
        let (exit, _) = harden(&cpu);
        let done = as_kernel_says(exit, &kernel);
        prop_assert!(done == exit || done == ExitHardening::None);
        if kernel.v2 == Exposure::Mitigated && kernel.bhb == Exposure::Mitigated {
            prop_assert_eq!(done, exit);
        }
        if kernel.v2 != Exposure::Mitigated && kernel.bhb != Exposure::Mitigated {
            prop_assert_eq!(done, ExitHardening::None);
        }
    }

    /// Against what the kernel mitigates, it is done what is done without it.
    #[test]
    fn nothing_is_taken_away_that_a_kernel_mitigates(cpu in inputs(), kernel in exposures()) {
        let (exit, own) = harden(&cpu);
        let needed = own.v2 == Exposure::Mitigated && kernel.v2 == Exposure::Mitigated
            || own.v2 == Exposure::Unaffected
                && own.bhb == Exposure::Mitigated && kernel.bhb == Exposure::Mitigated;
        if needed {
            prop_assert_eq!(as_kernel_says(exit, &kernel), exit);
        }
    }

    #[test]
    fn csv2_3_needs_nothing(cpu in inputs()) {
        let cpu = HardeningInputs { pfr0: cpu.pfr0.with_csv2(Bits::of::<3>()), ..cpu };
        let (exit, exposures) = harden(&cpu);
        prop_assert_eq!(exit, ExitHardening::None);
        prop_assert_eq!(exposures.v2, Exposure::Unaffected);
        prop_assert_eq!(exposures.bhb, Exposure::Unaffected);
    }

    #[test]
    fn more_hardware_is_never_worse(cpu in inputs()) {
        let (_, before) = harden(&cpu);
        if let Some(csv2) = Bits::new(cpu.pfr0.csv2().get() + 1) {
            let (_, after) = harden(&HardeningInputs { pfr0: cpu.pfr0.with_csv2(csv2), ..cpu });
            prop_assert!(after.v2 <= before.v2 && after.bhb <= before.bhb);
        }
        let (_, after) = harden(&HardeningInputs {
            mmfr1: IdAa64Mmfr1El1::from_raw(cpu.mmfr1.into_raw() | (1 << ECBHB)),
            ..cpu
        });
        prop_assert!(after.v2 <= before.v2 && after.bhb <= before.bhb);
    }

    #[test]
    fn unknown_cores_get_the_longest_loop(
        implementer in (0u64..256).prop_filter("not Arm's", |i| *i != 0x41),
        part in 0u64..0x1000,
        csv2 in 1u64..3,
    ) {
        let cpu = with_csv2(Midr((implementer << 24) | (part << 4)), csv2);
        prop_assert_eq!(harden(&cpu).0, ExitHardening::BhbLoop(LONGEST_HISTORY));
    }

    #[test]
    fn revisions_do_not_matter(cpu in inputs(), variant in 0u64..16, revision in 0u64..16) {
        let midr = Midr((cpu.midr.0 & !0xf0_000f) | (variant << 20) | revision);
        prop_assert_eq!(harden(&HardeningInputs { midr, ..cpu }), harden(&cpu));
    }

    #[test]
    fn merging_keeps_the_worst(a in exposures(), b in exposures(), c in exposures()) {
        let both = a.merge(b);
        prop_assert_eq!(both, b.merge(a));
        prop_assert_eq!(both.merge(c), a.merge(b.merge(c)));
        prop_assert_eq!(a.merge(a), a);
        prop_assert!(both.v2 >= a.v2 && both.bhb >= a.bhb && both.v4 >= a.v4);
        prop_assert!([a.v2, b.v2].contains(&both.v2));
    }

    #[test]
    fn guests_are_told_how_it_stands(e in exposures()) {
        let told = e.guest_workarounds();
        for (exposure, workaround) in [
            (e.v2, told.workaround_1),
            (e.v4, told.workaround_2),
            (e.bhb, told.workaround_3),
        ] {
            prop_assert_eq!(
                workaround,
                match exposure {
                    Exposure::Unaffected => Workaround::NotRequired,
                    Exposure::Mitigated => Workaround::Available,
                    Exposure::Vulnerable => Workaround::NotAvailable,
                }
            );
        }
    }

    #[test]
    fn firmware_answers(answer in any::<i32>().prop_filter("named", |a| !(-2..=1).contains(a))) {
        prop_assert_eq!(Firmware::from_answer(answer.into()), Firmware::NotAvailable);
        prop_assert_eq!(Firmware::from_answer_2(answer.into()), Firmware::NotAvailable);
    }
}

#[test]
fn named_firmware_answers() {
    use Firmware::*;
    for (answer, plain, second) in [
        (0, Available, Available),
        (1, NotRequired, NotRequired),
        (-1, NotAvailable, NotAvailable),
        (-2, NotAvailable, NotRequired),
    ] {
        assert_eq!(Firmware::from_answer(answer), plain);
        assert_eq!(Firmware::from_answer_2(answer), second);
    }
}

#[test]
fn loops_of_known_cores() {
    for (part, csv2, length) in [
        (0xd08, 1, 8),   // Cortex-A72 r1
        (0xd0b, 1, 24),  // Cortex-A76
        (0xd0c, 1, 24),  // Neoverse N1
        (0xd40, 1, 32),  // Neoverse V1
        (0xd49, 2, 32),  // Neoverse N2
        (0xd4d, 2, 38),  // Cortex-A715
        (0xd4e, 2, 132), // Cortex-X3
        (0xd4f, 2, 132), // Neoverse V2
    ] {
        let (exit, exposures) = harden(&with_csv2(arm(part), csv2));
        assert_eq!(exit, ExitHardening::BhbLoop(length), "{part:#x}");
        assert_eq!(exposures.v2, Exposure::Unaffected);
    }
}

#[test]
fn small_cores_need_nothing() {
    for part in [0xd02, 0xd03, 0xd04, 0xd05, 0xd46, 0xd80] {
        let (exit, exposures) = harden(&bare(arm(part)));
        assert_eq!(exit, ExitHardening::None);
        assert_eq!(
            exposures,
            Exposures {
                v2: Exposure::Unaffected,
                bhb: Exposure::Unaffected,
                v4: Exposure::Unaffected,
            }
        );
    }
}

#[test]
fn firmware_on_old_cores() {
    let a72 = bare(arm(0xd08));
    let available = Firmware::Available;

    // Without firmware, the history at least.
    let (exit, exposures) = harden(&a72);
    assert_eq!(exit, ExitHardening::BhbLoop(8));
    assert_eq!(exposures.v2, Exposure::Vulnerable);

    let first = HardeningInputs {
        workaround_1: available,
        ..a72
    };
    assert_eq!(harden(&first).0, ExitHardening::FirmwareWa1);

    let both = HardeningInputs {
        workaround_3: available,
        ..first
    };
    assert_eq!(harden(&both).0, ExitHardening::FirmwareWa3);

    // Cortex-A75 r3: CSV2, but no loop that is known to do it.
    let a75 = HardeningInputs {
        workaround_3: available,
        ..with_csv2(arm(0xd0a), 1)
    };
    assert_eq!(harden(&a75).0, ExitHardening::FirmwareWa3);
}
