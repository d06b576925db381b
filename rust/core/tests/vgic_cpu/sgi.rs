// SPDX-License-Identifier: GPL-2.0

//! SGIs, against the description of the register read field by field.

use crate::machine::{affinity_of, Vm};
use kvm_core::vgic::{
    interrupts::Interrupts,
    intid::IntId,
    irq::Irq,
    sgi::{Sgi, SgiRegister},
};
use proptest::prelude::*;

const VCPUS: usize = 12;

proptest! {
    #[test]
    fn reach_whom_they_name(
        raw: u64,
        // Mostly an affinity that exists.
        cluster in prop::option::weighted(0.8, 0..4u64),
        group1s: u16,
        from in 0..VCPUS,
        to_group1: bool,
        all in prop::bool::weighted(0.2),
    ) {
        let vm = Vm::new(VCPUS, 0);
        for vcpu in 0..VCPUS {
            for sgi in 0..16 {
                let intid = IntId::new(sgi).unwrap();
                vm.update(vcpu, intid, |irq| irq.set_group1(group1s & (1 << vcpu) != 0));
            }
        }
        let raw = match cluster {
            Some(cluster) => (raw & 0x0f00_ffff) | (cluster << 16) | (cluster << 48),
            None => raw & !(1 << 40),
        } | (u64::from(all) << 40);
        let register = if to_group1 { SgiRegister::Group1 } else { SgiRegister::Group0 };
        Sgi::from_raw(raw).send(register, from, &vm);

        for vcpu in 0..VCPUS {
            let affinity = affinity_of(vcpu).into_raw();
            let field = |value: u64, lo: u32, bits: u32| (value >> lo) & ((1 << bits) - 1);
            let named = if field(raw, 40, 1) != 0 {
                vcpu != from
            } else {
                field(raw, 48, 8) == field(affinity, 32, 8)
                    && field(raw, 32, 8) == field(affinity, 16, 8)
                    && field(raw, 16, 8) == field(affinity, 8, 8)
                    && field(raw, 44, 4) == field(affinity, 4, 4)
                    && field(raw, field(affinity, 0, 4) as u32, 1) != 0
            };
            let group1 = group1s & (1 << vcpu) != 0;
            for sgi in 0..16u32 {
                let irq: Irq = vm.irq(vcpu, IntId::new(sgi).unwrap());
                let sent =
                    u64::from(sgi) == field(raw, 24, 4) && named && (to_group1 || !group1);
                prop_assert_eq!(irq.pending(), sent);
                prop_assert_eq!(vm.candidates[vcpu].any() && sent, sent);
            }
        }
    }
}
