// SPDX-License-Identifier: GPL-2.0

//! Processor state and exception entry.

use kvm_core::{
    bits::Bits,
    pstate::{
        EntryFeatures,
        ExceptionEntry,
        ExceptionKind,
        GuestPstate,
        GuestState,
        Mode,
        Pstate,
        Pstate32,
        PstateFeatures,
        SctlrEntry, //
    },
};
use proptest::prelude::*;

const STATES: [GuestState; 3] = [
    GuestState::Aarch64 { el0_aarch32: false },
    GuestState::Aarch64 { el0_aarch32: true },
    GuestState::Aarch32,
];

/// All features, so that what entry does shows in every bit.
const ALL: EntryFeatures = EntryFeatures {
    pan: true,
    ssbs: true,
    dit: true,
    mte2: true,
    nmi: true,
    ebep: true,
    gcs_exlocken: true,
};

/// The same for the bits of PSTATE.
const ALL_BITS: PstateFeatures = PstateFeatures {
    pan: true,
    uao: true,
    dit: true,
    ssbs: true,
    bti: true,
    mte2: true,
    nmi: true,
    ebep: true,
    sebep: true,
    gcs: true,
    pauth_lr: true,
    uinj: true,
};

/// M[4:0] of the modes that each of `STATES` has, by the Arm ARM's tables of modes.
const ALLOWED: [&[u64]; 3] = [
    &[0b00000, 0b00100, 0b00101],
    &[0b00000, 0b00100, 0b00101, 0b10000],
    &[
        0b10000, 0b10001, 0b10010, 0b10011, 0b10111, 0b11011, 0b11111,
    ],
];

fn any_features() -> impl Strategy<Value = EntryFeatures> {
    any::<[bool; 7]>().prop_map(
        |[pan, ssbs, dit, mte2, nmi, ebep, gcs_exlocken]| EntryFeatures {
            pan,
            ssbs,
            dit,
            mte2,
            nmi,
            ebep,
            gcs_exlocken,
        },
    )
}

fn aarch64(raw: u64) -> GuestPstate {
    GuestPstate::new(raw, GuestState::Aarch64 { el0_aarch32: true }, ALL_BITS).unwrap()
}

proptest! {
    #[test]
    fn guest_state_is_never_more_than_el1(raw: u64) {
        for (state, allowed) in STATES.iter().zip(ALLOWED) {
            match GuestPstate::new(raw, *state, ALL_BITS) {
                Ok(pstate) => {
                    prop_assert!(allowed.contains(&(raw & 0x1f)));
                    prop_assert_eq!(pstate.into_raw() & 0x1f, raw & 0x1f);
                    prop_assert_eq!(pstate.mode().into_bits().get(), raw & 0x1f);
                    // No bit appears, only reserved ones go.
                    prop_assert_eq!(pstate.into_raw() & !raw, 0);
                    prop_assert_eq!(GuestPstate::new(pstate.into_raw(), *state, ALL_BITS), Ok(pstate));
                }
                Err(error) => {
                    prop_assert!(!allowed.contains(&(raw & 0x1f)));
                    prop_assert_eq!(error.mode, raw & 0x1f);
                }
            }
        }
    }

    #[test]
    fn bits_of_absent_features_are_cleared(raw: u64, mode in 0usize..4, has: [bool; 12]) {
        let [pan, uao, dit, ssbs, bti, mte2, nmi, ebep, sebep, gcs, pauth_lr, uinj] = has;
        let features = PstateFeatures {
            pan, uao, dit, ssbs, bti, mte2, nmi, ebep, sebep, gcs, pauth_lr, uinj,
        };
        let raw = (raw & !0x1f) | ALLOWED[1][mode];
        let all = GuestPstate::new(raw, STATES[1], ALL_BITS).unwrap().into_raw();
        let some = GuestPstate::new(raw, STATES[1], features).unwrap();
        // The bits of each feature in the order above; AArch32 has three of them.
        let bits: [u64; 12] = if mode == 3 {
            [1 << 22, 0, 1 << 24, 1 << 23, 0, 0, 0, 0, 0, 0, 0, 0]
        } else {
            [
                1 << 22, 1 << 23, 1 << 24, 1 << 12, 3 << 10, 1 << 25,
                1 << 13, 1 << 32, 1 << 33, 1 << 34, 1 << 35, 1 << 36,
            ]
        };
        let absent = bits.iter().zip(has).filter(|(_, has)| !has).fold(0, |sum, (bit, _)| sum | bit);
        prop_assert_eq!(some.into_raw(), all & !absent);

        // An exception taken from there has no bit of an absent feature either.
        let entry = ExceptionEntry::new(
            some,
            ExceptionKind::Synchronous,
            SctlrEntry::from_raw(0),
            EntryFeatures::of(features, true),
        )
        .unwrap();
        let handler = entry.pstate.into_raw();
        prop_assert_eq!(GuestPstate::new(handler, STATES[0], features), Ok(entry.pstate));
    }

    #[test]
    fn entry_follows_the_pseudocode(raw: u64, mode in 0usize..4, sctlr: u64, features in any_features()) {
        let from = aarch64((raw & !0x1f) | ALLOWED[1][mode]);
        let entry = ExceptionEntry::new(
            from,
            ExceptionKind::Synchronous,
            SctlrEntry::from_raw(sctlr),
            features,
        )
        .unwrap();

        // Written out bit by bit, from AArch64.TakeException.
        let old = from.into_raw();
        let bit = |value: bool, position: u32| u64::from(value) << position;
        let keep = |position: u32| old & (1 << position);
        let expected = 0b00101
            | bit(true, 6) | bit(true, 7) | bit(true, 8) | bit(true, 9)
            | bit(features.ssbs && ((sctlr >> 44) & 1) == 1, 12)
            | bit(features.nmi && ((sctlr >> 62) & 1) == 0, 13)
            | bit(features.pan && (((old >> 22) & 1) == 1 || ((sctlr >> 23) & 1) == 0), 22)
            | if features.dit { keep(24) } else { 0 }
            | bit(features.mte2, 25)
            | keep(28) | keep(29) | keep(30) | keep(31)
            | bit(features.ebep, 32)
            | bit(features.gcs_exlocken && old & 0x1c == 4, 34);
        prop_assert_eq!(entry.pstate.into_raw(), expected);
        prop_assert_eq!(entry.spsr, old);
        prop_assert_eq!(GuestPstate::new(expected, STATES[0], ALL_BITS), Ok(entry.pstate));
    }

    #[test]
    fn aarch32_above_el0_has_no_entry_to_aarch64(raw: u64, mode in 1usize..7, features in any_features()) {
        let from = GuestPstate::new((raw & !0x1f) | ALLOWED[2][mode], GuestState::Aarch32, ALL_BITS).unwrap();
        prop_assert_eq!(
            ExceptionEntry::new(from, ExceptionKind::Irq, SctlrEntry::from_raw(raw), features),
            None
        );
    }
}

#[test]
fn hypervisor_modes_are_refused() {
    // EL2h with everything masked: what CVE-2018-18021 let userspace set.
    for raw in [0x3c9, 0x3c8, 0x3cd, 0x3cc, 0x1da, 0x1d6] {
        for state in STATES {
            let error = GuestPstate::new(raw, state, ALL_BITS).unwrap_err();
            assert_eq!(error.mode, raw & 0x1f);
        }
    }
    assert_eq!(
        GuestPstate::new(0x3c9, STATES[0], ALL_BITS)
            .unwrap_err()
            .to_string(),
        "PSTATE.M of 0x9 is not a mode of this vCPU"
    );
}

#[test]
fn reserved_bits_are_cleared() {
    // AArch64: bits 5, 14 to 19, 26, 27 and 37 up. AArch32: 32 up.
    assert_eq!(aarch64(!0x1f | 5).into_raw(), 0x1f_f3f0_3fc5);
    assert_eq!(aarch64(!0x1f | 0x10).into_raw(), 0xffff_fff0);
}

#[test]
fn modes() {
    let expected = [
        (0x00, Mode::El0t),
        (0x04, Mode::El1t),
        (0x05, Mode::El1h),
        (0x08, Mode::El2t),
        (0x09, Mode::El2h),
        (0x0c, Mode::El3t),
        (0x0d, Mode::El3h),
        (0x10, Mode::Usr),
        (0x11, Mode::Fiq),
        (0x12, Mode::Irq),
        (0x13, Mode::Svc),
        (0x16, Mode::Mon),
        (0x17, Mode::Abt),
        (0x1a, Mode::Hyp),
        (0x1b, Mode::Und),
        (0x1f, Mode::Sys),
    ];
    for raw in 0..32 {
        let mode = Mode::from_bits(Bits::new(raw).unwrap());
        let known = expected.iter().find(|(bits, _)| *bits == raw);
        assert_eq!(mode, known.map(|(_, mode)| *mode), "{raw:#x}");
        if let Some(mode) = mode {
            assert_eq!(mode.is_aarch32(), raw >= 0x10);
        }
    }
}

#[test]
fn reset_states() {
    assert_eq!(GuestPstate::RESET.into_raw(), 0x3c5);
    assert_eq!(GuestPstate::RESET_AARCH32.into_raw(), 0x1d3);
    assert!(GuestPstate::RESET.is_privileged());
    assert!(!aarch64(0x0).is_privileged());
    assert!(!aarch64(0x10).is_privileged());
    assert!(aarch64(0x4).is_privileged());
}

#[test]
fn vector_offsets() {
    for (mode, group) in [
        (Mode::El1t, Some(0x000)),
        (Mode::El1h, Some(0x200)),
        (Mode::El0t, Some(0x400)),
        (Mode::Usr, Some(0x600)),
        (Mode::El2h, None),
        (Mode::El3h, None),
        (Mode::Svc, None),
    ] {
        for (kind, vector) in [
            (ExceptionKind::Synchronous, 0x000),
            (ExceptionKind::Irq, 0x080),
            (ExceptionKind::Fiq, 0x100),
            (ExceptionKind::SError, 0x180),
        ] {
            assert_eq!(kind.vector_offset(mode), group.map(|group| group + vector));
        }
    }
    let entry = ExceptionEntry::new(
        aarch64(0x0),
        ExceptionKind::Irq,
        SctlrEntry::from_raw(0),
        ALL,
    );
    assert_eq!(entry.unwrap().vector_offset, 0x480);
}

#[test]
fn entry_of_a_linux_guest() {
    // From EL0 with C and V set, PAN off; SPAN clear, DSSBS clear: the handler runs with PAN on.
    let features = EntryFeatures {
        pan: true,
        ssbs: true,
        dit: true,
        ..EntryFeatures::default()
    };
    let entry = ExceptionEntry::new(
        aarch64(0x3000_1000),
        ExceptionKind::Synchronous,
        SctlrEntry::from_raw(0),
        features,
    )
    .unwrap();
    assert_eq!(entry.pstate.into_raw(), 0x3040_03c5);
    assert_eq!(entry.spsr, 0x3000_1000);
    assert_eq!(entry.vector_offset, 0x400);
}

#[test]
fn formats() {
    // Each field alone in its place.
    assert!(Pstate::from_raw(1 << 20).il() && Pstate32::from_raw(1 << 20).il());
    assert!(Pstate::from_raw(1 << 21).ss() && Pstate32::from_raw(1 << 21).ss());
    assert!(Pstate::from_raw(1 << 12).ssbs() && Pstate32::from_raw(1 << 23).ssbs());
    assert!(Pstate::from_raw(1 << 23).uao());
    assert!(Pstate32::from_raw(1 << 5).t() && Pstate32::from_raw(1 << 9).e());
    assert_eq!(Pstate::from_raw(3 << 10).btype(), 3);
    assert_eq!(Pstate32::from_raw(0x0600_fc00).it_hi(), 0x3f);
    assert_eq!(Pstate32::from_raw(0x0600_fc00).it_lo(), 3);
    assert_eq!(Pstate32::from_raw(0x000f_0000).ge(), 15);
    assert_eq!(Pstate32::MASK, 0xffff_ffff);
    assert_eq!(Pstate::MASK, 0x1f_f3f0_3fdf);
}
