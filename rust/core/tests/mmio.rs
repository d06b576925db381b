// SPDX-License-Identifier: GPL-2.0

//! Accesses of devices.

mod common;

use common::vcpu::{
    pstate,
    Vcpu, //
};
use kvm_core::{
    esr::Esr,
    far::HpfarEl2,
    mmio::{
        decode,
        Direction,
        MmioAccess,
        Outcome,
        PendingMmio, //
    },
    register::Reg, //
};
use proptest::prelude::*;

const DEVICE: u64 = 0x0800_0000;
const HPFAR: u64 = DEVICE >> 12 << 4;

/// One instruction as a literal model: how the abort describes it, and its effect on bytes.
#[derive(Copy, Clone, Debug)]
struct Insn {
    sas: u32,
    write: bool,
    register: u64,
    sf: bool,
    sse: bool,
}

fn any_insn() -> impl Strategy<Value = Insn> {
    (
        0u32..4,
        any::<bool>(),
        0u64..32,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(sas, write, register, sf, sse)| Insn {
            sas,
            write,
            register,
            sf,
            sse,
        })
}

impl Insn {
    fn esr(self) -> Esr {
        Esr::from_raw(
            0x9200_0007
                | (1 << 24)
                | (u64::from(self.sas) << 22)
                | (u64::from(self.sse) << 21)
                | (self.register << 16)
                | (u64::from(self.sf) << 15)
                | (u64::from(self.write) << 6),
        )
    }

    fn len(self) -> usize {
        1 << self.sas
    }

    /// What a load makes of the bytes.
    fn load(self, bytes: &[u8], big: bool) -> u64 {
        let mut value: u64 = 0;
        for i in 0..self.len() {
            let byte = if big { i } else { self.len() - 1 - i };
            value = value.wrapping_shl(8) | u64::from(bytes[byte]);
        }
        let negative = value >> (8 * self.len() - 1) == 1;
        if self.sse && negative && self.len() < 8 {
            value |= u64::MAX << (8 * self.len());
        }
        if self.sf {
            value
        } else {
            value & 0xffff_ffff
        }
    }

    /// What a store makes of the register.
    fn store(self, value: u64, big: bool) -> [u8; 8] {
        let mut bytes = [0; 8];
        for i in 0..self.len() {
            let byte = if big { self.len() - 1 - i } else { i };
            bytes[byte] = (value >> (8 * i)) as u8;
        }
        bytes
    }
}

/// A state, with the SCTLR_EL1 in which it is big-endian or not.
fn any_endian() -> impl Strategy<Value = (u64, u64, bool)> {
    let (e0e, ee) = (1 << 24, 1 << 25);
    prop::sample::select(vec![
        (0x5, 0, false),
        (0x5, e0e, false),
        (0x5, ee, true),
        (0x4, ee, true),
        (0x0, ee, false),
        (0x0, e0e, true),
        (0x10, ee | e0e, false),
        (0x210, 0, true),
    ])
}

fn access_of(vcpu: &Vcpu, esr: Esr) -> MmioAccess {
    match decode(vcpu, esr, 0x8018, HpfarEl2::from_raw(HPFAR)) {
        Outcome::Access(access) => access,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn loads_and_stores(
        insn in any_insn(),
        (raw, sctlr, big) in any_endian(),
        data: [u8; 8],
        far: u64,
    ) {
        let mut vcpu = Vcpu::new(pstate(raw | (1 << 21)), 0x4000).with(Reg::SCTLR_EL1, sctlr);
        let outcome = decode(&vcpu, insn.esr(), far, HpfarEl2::from_raw(HPFAR));
        let Outcome::Access(access) = outcome else {
            panic!("{outcome:?}");
        };
        prop_assert_eq!(access.ipa, DEVICE | (far & 0xfff));
        prop_assert_eq!(usize::from(access.size.bytes()), insn.len());
        let mut expected = vcpu.clone();
        let value = vcpu.gprs.0.get(insn.register as usize).copied().unwrap_or(0);
        match access.direction {
            Direction::Write(bytes) => {
                prop_assert!(insn.write);
                prop_assert_eq!(bytes, insn.store(value, big));
            }
            Direction::Read(_) => {
                prop_assert!(!insn.write);
                if let Some(x) = expected.gprs.0.get_mut(insn.register as usize) {
                    *x = insn.load(&data, big);
                }
            }
        }

        // Userspace may turn the order around meanwhile: the access was done in the old one.
        let mut pending = PendingMmio::NONE;
        prop_assert!(!pending.finish(&mut vcpu, data));
        pending.start(&access, insn.esr());
        vcpu.sysregs.insert(Reg::SCTLR_EL1, !sctlr);
        prop_assert!(pending.is_pending());
        prop_assert!(pending.finish(&mut vcpu, data));
        prop_assert_eq!(vcpu.gprs, expected.gprs);
        prop_assert_eq!(vcpu.pc, 0x4004);
        prop_assert!(!vcpu.pstate.ss());

        // Once only.
        let after = vcpu.clone();
        prop_assert!(!pending.finish(&mut vcpu, data));
        prop_assert_eq!(vcpu, after);
    }

    #[test]
    fn any_abort_has_an_outcome(esr: u64, far: u64, hpfar: u64, raw: u64) {
        let vcpu = Vcpu::new(pstate((raw & !0x1f) | 5), 0);
        let esr = Esr::from_raw(esr);
        let bit = |bit: u32| (esr.into_raw() >> bit) & 1 == 1;
        let ipa = ((hpfar >> 4) & ((1 << 44) - 1)) << 12;
        match decode(&vcpu, esr, far, HpfarEl2::from_raw(hpfar)) {
            Outcome::Walk { far: address, table } => {
                prop_assert!(bit(7));
                prop_assert_eq!((address, table), (far, ipa));
            }
            Outcome::Skip => prop_assert!(bit(8) && !bit(7)),
            Outcome::NoSyndrome(undecoded) => {
                prop_assert!(!bit(24) && !bit(8) && !bit(7));
                // CM is clear by now; WnR and DFSC are what is valid.
                prop_assert_eq!(undecoded.esr_iss, esr.into_raw() & 0x7f);
                prop_assert_eq!(undecoded.fault_ipa, ipa | (far & 0xfff));
            }
            Outcome::LoadStore64B(undecoded) => {
                prop_assert!(bit(24) && (bit(11) || bit(12)));
                prop_assert_eq!(undecoded.esr_iss, esr.into_raw() & !0x3f);
                prop_assert_eq!(undecoded.fault_ipa, ipa | (far & 0xfff));
            }
            Outcome::Access(access) => {
                prop_assert!(bit(24) && !bit(8) && !bit(7));
                prop_assert_eq!(matches!(access.direction, Direction::Write(_)), bit(6));
            }
        }
    }

    #[test]
    fn a_cancelled_access_leaves_no_trace(insn in any_insn(), data: [u8; 8]) {
        let mut vcpu = Vcpu::new(pstate(0x5), 0x4000);
        let before = vcpu.clone();
        let mut pending = PendingMmio::NONE;
        pending.start(&access_of(&vcpu, insn.esr()), insn.esr());
        pending.cancel();
        prop_assert!(!pending.is_pending() && !pending.finish(&mut vcpu, data));
        prop_assert_eq!(vcpu, before);
    }
}

/// The cases of upstream's selftest for sign extension, from the architecture's text.
#[test]
fn sign_extension() {
    // SAS, SF, the value, what the register becomes.
    for (sas, sf, data, expected) in [
        (0, true, 0xff, u64::MAX),
        (0, true, 0x7f, 0x7f),
        (0, false, 0xff, 0xffff_ffff),
        (1, true, 0x8001, 0xffff_ffff_ffff_8001),
        (1, false, 0x8001, 0xffff_8001),
        (1, false, 0x7fff, 0x7fff),
        (2, true, 0x8000_0001u64, 0xffff_ffff_8000_0001),
        (2, true, 0x7fff_ffff, 0x7fff_ffff),
    ] {
        let insn = Insn {
            sas,
            write: false,
            register: 19,
            sf,
            sse: true,
        };
        for big in [false, true] {
            let sctlr = u64::from(big) << 24;
            let mut vcpu = Vcpu::new(pstate(0x0), 0).with(Reg::SCTLR_EL1, sctlr);
            let mut pending = PendingMmio::NONE;
            pending.start(&access_of(&vcpu, insn.esr()), insn.esr());
            assert!(pending.finish(&mut vcpu, insn.store(data, big)));
            assert_eq!(vcpu.gprs.0[19], expected, "{insn:?} {big}");
        }
    }
}

#[test]
fn sixty_four_bytes() {
    let vcpu = Vcpu::new(pstate(0x5), 0);
    // ST64BV: LST is 1, translation fault at level 3.
    let esr = Esr::from_raw(0x93c0_0847);
    assert!(matches!(
        decode(&vcpu, esr, 0, HpfarEl2::from_raw(HPFAR)),
        Outcome::LoadStore64B(undecoded)
            if undecoded.esr_iss == 0x93c0_0840 && undecoded.fault_ipa == DEVICE
    ));
}
