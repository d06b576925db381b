// SPDX-License-Identifier: GPL-2.0

//! Reasons of exits.

use std::collections::BTreeSet;

use kvm_core::{
    esr::Esr,
    exit_reason::ExitReason, //
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_syndrome_has_a_reason(esr: u64) {
        let reason = ExitReason::of(Esr::from_raw(esr));
        prop_assert_eq!(ExitReason::ALL[reason.index()], reason);
        // The immediate, the address and the register do not matter: only class, fault and TI.
        let ec = (esr >> 26) & 0x3f;
        let matters = match ec {
            0x01 => 3,
            0x20..=0x25 => 0x3f,
            _ => 0,
        };
        let class = Esr::from_raw((ec << 26) | (esr & matters));
        prop_assert_eq!(ExitReason::of(class), reason);
    }
}

#[test]
fn names_are_unique_and_fit() {
    let names: BTreeSet<_> = ExitReason::ALL.iter().map(|r| r.name()).collect();
    assert_eq!(names.len(), ExitReason::COUNT);
    for (i, reason) in ExitReason::ALL.iter().enumerate() {
        assert_eq!(reason.index(), i);
        let name = reason.name();
        assert!((1..48).contains(&name.len()), "{name}");
        assert!(name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
    }
    // These three are what tools know.
    assert_eq!(ExitReason::Hvc.name(), "hvc_exit_stat");
    assert_eq!(ExitReason::Wfi.name(), "wfi_exit_stat");
    assert_eq!(ExitReason::Wfe.name(), "wfe_exit_stat");
}

#[test]
fn reasons() {
    use ExitReason::*;

    for (ec, iss, reason) in [
        (0x00, 0, Other),
        (0x01, 0, Wfi),
        (0x01, 1, Wfe),
        (0x01, 2, Wfi),
        (0x01, 3, Wfe),
        (0x03, 0, Coprocessor),
        (0x04, 0, Coprocessor),
        (0x05, 0, Coprocessor),
        (0x06, 0, Coprocessor),
        (0x07, 0, FpSimd),
        (0x08, 0, Coprocessor),
        (0x09, 0, PointerAuth),
        (0x0c, 0, Coprocessor),
        (0x0e, 0, Illegal),
        (0x11, 0, Other),
        (0x12, 0, Hvc),
        (0x13, 0, Smc),
        (0x16, 0, Hvc),
        (0x17, 0, Smc),
        (0x18, 0, System),
        (0x19, 0, Sve),
        (0x1a, 0, Eret),
        (0x1d, 0, Sme),
        (0x20, 0x07, InstructionAbort),
        (0x20, 0x0f, InstructionAbort),
        (0x20, 0x10, ExternalAbort),
        (0x24, 0x07, Stage2Fault),
        (0x24, 0x0b, Stage2Fault),
        (0x24, 0x0f, PermissionFault),
        (0x24, 0x10, ExternalAbort),
        (0x24, 0x17, ExternalAbort),
        (0x24, 0x18, ExternalAbort),
        (0x24, 0x1f, ExternalAbort),
        (0x2f, 0, SError),
        (0x30, 0, Debug),
        (0x32, 0, Debug),
        (0x34, 0, Debug),
        (0x38, 0, Debug),
        (0x3a, 0, Debug),
        (0x3c, 0, Debug),
        (0x3f, 0, Other),
    ] {
        let esr = Esr::from_raw((ec << 26) | iss);
        assert_eq!(ExitReason::of(esr), reason, "{ec:#x} {iss:#x}");
    }
}
