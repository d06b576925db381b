// SPDX-License-Identifier: GPL-2.0

//! The features of vCPUs.

mod common;

use common::{
    Model,
    MAX,
    NEOVERSE_N1, //
};
use kvm_core::{
    cpu::ReadIdRegister,
    sysreg::SysReg,
    vm_idreg::{
        BadVcpuFeatures,
        HostFacts,
        HostIdRegs,
        Offer,
        VcpuFeatures, //
    },
};
use proptest::prelude::*;

const ALL: Offer = Offer {
    aarch32_el1: true,
    fpmr: true,
    gicv3: true,
    ls64: true,
    mte: true,
    pauth: true,
    pmuv3: true,
    s1poe: true,
    sve: true,
};

fn host(model: &Model) -> HostIdRegs {
    HostIdRegs::read(model, HostFacts::default())
}

#[test]
fn what_hosts_support() {
    for (model, offer, bits) in [
        (&MAX, ALL, 0b10_0111_1111),
        (&MAX, Offer::CURRENT, 0b110_0101),
        (&MAX, Offer::default(), 0b101),
        // No SVE, no authentication; AArch32 at EL0 only.
        (&NEOVERSE_N1, ALL, 0b10_0000_1101),
    ] {
        assert_eq!(VcpuFeatures::supported(&offer, &host(model)), bits);
    }
}

#[test]
fn authentication_is_of_one_algorithm() {
    const Q5: u64 = 0x0100_0010;
    const IMPDEF: u64 = 0x1000_0100;
    const Q3: u64 = 0x1100;
    for (isar1, isar2, supported) in [
        (0, 0, false),
        (Q5, 0, true),
        (IMPDEF, 0, true),
        (0, Q3, true),
        (Q5 | IMPDEF, 0, false),
        (Q5, Q3, false),
        (IMPDEF & 0xf00, 0, false),
        (IMPDEF & !0xf00, 0, false),
        // Address by one, data by the other.
        (0x0100_0100, 0, false),
    ] {
        let host = HostIdRegs::read(&Isar(isar1, isar2), HostFacts::default());
        let bits = VcpuFeatures::supported(&ALL, &host);
        assert_eq!(
            bits & (VcpuFeatures::PTRAUTH_ADDRESS | VcpuFeatures::PTRAUTH_GENERIC),
            if supported { 0x60 } else { 0 },
            "{isar1:#x} {isar2:#x}"
        );
    }
}

/// A host of two registers.
struct Isar(u64, u64);

impl ReadIdRegister for Isar {
    fn read(&self, reg: SysReg) -> u64 {
        match reg {
            SysReg::ID_AA64ISAR1_EL1 => self.0,
            SysReg::ID_AA64ISAR2_EL1 => self.1,
            _ => 0,
        }
    }
}

proptest! {
    #[test]
    fn checks(
        first in prop_oneof![any::<u32>(), 0..1u32 << 10],
        other in prop_oneof![Just(0), any::<u32>()],
        position in 1..7usize,
        mte: bool,
        all: bool,
    ) {
        let mut words = [0; 7];
        words[0] = first;
        words[position] = other;
        let offer = if all { ALL } else { Offer::CURRENT };
        let host = host(&MAX);
        let supported = VcpuFeatures::supported(&offer, &host);
        let bit = |number: u32| (first >> number) & 1 == 1;
        let expected = if first >> 10 != 0 || other != 0 {
            Err(BadVcpuFeatures::Unknown)
        } else if first & !supported != 0
            || bit(5) != bit(6)
            || (bit(9) && !bit(3))
            || (bit(1) && mte)
        {
            Err(BadVcpuFeatures::Unsupported)
        } else {
            Ok(())
        };
        let checked = VcpuFeatures::check(&words, &offer, &host, mte);
        prop_assert_eq!(checked.map(|_| ()), expected);
        if let Ok(features) = checked {
            let config = features.config(offer, mte);
            prop_assert_eq!(config.offer, offer);
            prop_assert_eq!(
                [config.mte, config.pmuv3, config.sve, config.pauth],
                [mte, bit(3), bit(4), bit(5)]
            );
            for number in 0..10 {
                prop_assert_eq!(features.contains(1 << number), bit(number));
            }
        }
    }

    #[test]
    fn all_vcpus_are_of_one_vm(a in 0..1u32 << 10, b in 0..1u32 << 10) {
        let check = |word| VcpuFeatures::check(&[word, 0, 0, 0, 0, 0, 0], &ALL, &host(&MAX), false);
        if let (Ok(first), Ok(second)) = (check(a), check(b)) {
            prop_assert_eq!(first.is_same_vm(second), a | 1 == b | 1);
        }
        if let Ok(first) = check(a) {
            prop_assert!(first.is_same_vm(check(a ^ 1).unwrap()));
        }
    }
}
