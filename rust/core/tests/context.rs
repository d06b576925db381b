// SPDX-License-Identifier: GPL-2.0

//! Skipping an instruction, and conditions of AArch32.

mod common;

use common::vcpu::{
    pstate,
    Vcpu, //
};
use kvm_core::{
    bits::Bits,
    context::{
        condition_holds,
        Context,
        Gpr, //
    },
    esr::Esr,
    pstate::Pstate32, //
};
use proptest::prelude::*;

/// An ESR of this class.
fn esr(ec: u64, iss: u64) -> Esr {
    Esr::from_raw((ec << 26) | (1 << 25) | iss)
}

/// AArch32 EL0 with this ITSTATE, T32.
fn t32(it: u64) -> u64 {
    0x30 | ((it >> 2) << 10) | ((it & 3) << 25)
}

fn itstate(raw: u64) -> u64 {
    (((raw >> 10) & 0x3f) << 2) | ((raw >> 25) & 3)
}

proptest! {
    #[test]
    fn the_zero_register_is_nowhere(values: [u64; 31], index in 0u8..40, value: u64) {
        let mut vcpu = Vcpu::new(pstate(5), 0);
        vcpu.gprs.0 = values;
        let Some(gpr) = Gpr::new(index) else {
            prop_assert!(index > 31);
            return Ok(());
        };
        prop_assert_eq!(vcpu.gpr(gpr), values.get(usize::from(index)).copied().unwrap_or(0));
        vcpu.set_gpr(gpr, value);
        for (i, old) in values.iter().enumerate() {
            let expected = if i == usize::from(index) { value } else { *old };
            prop_assert_eq!(vcpu.gprs.0[i], expected);
        }
        prop_assert_eq!(vcpu.gpr(gpr), if index == 31 { 0 } else { value });
        prop_assert_eq!(Gpr::from_bits(gpr.into_bits()), gpr);
    }

    #[test]
    fn an_a64_instruction_is_four_bytes(raw: u64, mode in 0usize..3, pc: u64, esr: u64) {
        let raw = (raw & !0x1f) | [0, 4, 5][mode];
        let mut vcpu = Vcpu::new(pstate(raw), pc);
        let before = vcpu.clone();
        vcpu.advance(Esr::from_raw(esr));
        prop_assert_eq!(vcpu.pc, pc.wrapping_add(4));
        // BTYPE, SS and PACM are cleared, and nothing else changes.
        let cleared = (3 << 10) | (1 << 21) | (1 << 35);
        prop_assert_eq!(vcpu.pstate.into_raw(), before.pstate.into_raw() & !cleared);
        prop_assert_eq!(vcpu.gprs, before.gprs);
        prop_assert_eq!(vcpu.sysregs, before.sysregs);
    }

    #[test]
    fn an_aarch32_instruction_has_its_length(raw: u64, pc: u64, long: bool) {
        let raw = (raw & !0x1f) | 0x10;
        let mut vcpu = Vcpu::new(pstate(raw), pc);
        vcpu.advance(Esr::from_raw(0).with_il(long));
        let thumb = raw & 0x20 != 0;
        let length = if thumb && !long { 2 } else { 4 };
        prop_assert_eq!(vcpu.pc, (pc + length) & 0xffff_ffff);
        // All but SS and ITSTATE stays.
        let rest = 0xffff_ffff & !((1 << 21) | 0x0600_fc00);
        prop_assert_eq!(vcpu.pstate.into_raw() & rest, raw & rest);
        prop_assert!(!vcpu.pstate.ss());
        // ITAdvance().
        let it = itstate(raw);
        let next = if it & 7 == 0 { 0 } else { (it & 0xe0) | ((it << 1) & 0x1f) };
        prop_assert_eq!(itstate(vcpu.pstate.into_raw()), next);
    }

    #[test]
    fn conditions_are_the_architectures(flags in 0u64..16, cond in 0u64..16) {
        let (n, z, c, v) = (flags & 8 != 0, flags & 4 != 0, flags & 2 != 0, flags & 1 != 0);
        let expected = match cond {
            0 => z,
            1 => !z,
            2 => c,
            3 => !c,
            4 => n,
            5 => !n,
            6 => v,
            7 => !v,
            8 => c && !z,
            9 => !c || z,
            10 => n == v,
            11 => n != v,
            12 => !z && n == v,
            13 => z || n != v,
            _ => true,
        };
        let state = Pstate32::from_raw((flags << 28) | 0x10);
        prop_assert_eq!(condition_holds(Bits::truncated(cond), state), expected);

        // With CV, from the syndrome, whatever IT says; without, from IT.
        for ec in [0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0c] {
            let vcpu = Vcpu::new(pstate((flags << 28) | t32(0x18)), 0);
            prop_assert_eq!(vcpu.condition_passed(esr(ec, (1 << 24) | (cond << 20))), expected);
            let vcpu = Vcpu::new(pstate((flags << 28) | t32((cond << 4) | 8)), 0);
            prop_assert_eq!(vcpu.condition_passed(esr(ec, 0)), expected);
        }
        // SMC only if it is not known to have passed.
        let vcpu = Vcpu::new(pstate((flags << 28) | 0x10), 0);
        let iss = (1 << 24) | (cond << 20);
        prop_assert_eq!(vcpu.condition_passed(esr(0x13, iss | (1 << 19))), expected);
        prop_assert!(vcpu.condition_passed(esr(0x13, iss)));
        // What has no condition: HVC, SVC, aborts; and AArch64.
        for ec in [0x12, 0x11, 0x24, 0x20, 0x18] {
            prop_assert!(vcpu.condition_passed(esr(ec, iss)));
        }
        let vcpu = Vcpu::new(pstate(flags << 28), 0);
        prop_assert!(vcpu.condition_passed(esr(0x07, iss)));
    }
}

#[test]
fn outside_of_an_it_block_t32_is_unconditional() {
    // Z clear: EQ would fail.
    let vcpu = Vcpu::new(pstate(t32(0)), 0);
    assert!(vcpu.condition_passed(esr(0x03, 0)));
    let vcpu = Vcpu::new(pstate(t32(0x08)), 0);
    assert!(!vcpu.condition_passed(esr(0x03, 0)));
}

#[test]
fn an_it_block_runs_out() {
    // ITTE EQ: conditions EQ, EQ, NE.
    let mut vcpu = Vcpu::new(pstate(t32(0x06)), 0x8000);
    let mut seen = vec![];
    while itstate(vcpu.pstate.into_raw()) != 0 {
        seen.push(itstate(vcpu.pstate.into_raw()) >> 4);
        vcpu.advance(Esr::from_raw(0));
    }
    assert_eq!(seen, [0, 0, 1]);
    assert_eq!(vcpu.pc, 0x8006);
}
