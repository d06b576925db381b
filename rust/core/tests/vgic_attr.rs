// SPDX-License-Identifier: GPL-2.0

//! The attributes of KVM_DEV_TYPE_ARM_VGIC_V3.

use kvm_core::{
    psci::Affinity,
    sysreg::SysReg,
    vgic::attr::{
        AddrAttr,
        Attr,
        BadAttr,
        IrqCount, //
    },
};
use proptest::prelude::*;

/// Aff3 to Aff0 as the attribute has them, and as MPIDR_EL1 has them.
fn mpidr(aff: [u8; 4]) -> (u64, Affinity) {
    let [aff3, aff2, aff1, aff0] = aff.map(u64::from);
    (
        (aff3 << 56) | (aff2 << 48) | (aff1 << 40) | (aff0 << 32),
        Affinity::new((aff3 << 32) | (aff2 << 16) | (aff1 << 8) | aff0).unwrap(),
    )
}

proptest! {
    #[test]
    fn registers_are_named_by_affinity_and_offset(aff: [u8; 4], offset: u32) {
        let (bits, vcpu) = mpidr(aff);
        let attr = bits | u64::from(offset);
        prop_assert_eq!(Attr::new(1, attr), Ok(Attr::Dist { offset }));
        prop_assert_eq!(Attr::new(5, attr), Ok(Attr::Redist { vcpu, offset }));
        prop_assert_eq!(
            Attr::new(6, attr),
            Ok(Attr::Cpu { vcpu, reg: SysReg::from_raw(offset as u16) })
        );
    }

    #[test]
    fn lines_are_in_groups_of_32(aff: [u8; 4], intid in 0u64..1024, info in 0u64..1 << 22) {
        let (bits, vcpu) = mpidr(aff);
        match Attr::new(7, bits | intid) {
            Ok(Attr::LineLevel { vcpu: named, group }) => {
                prop_assert_eq!(named, vcpu);
                match group {
                    Some(group) => prop_assert_eq!(group.get() * 32, intid),
                    None => prop_assert_ne!(intid % 32, 0),
                }
            }
            other => prop_assert!(false, "{:?}", other),
        }
        if info != 0 {
            prop_assert_eq!(Attr::new(7, bits | (info << 10) | intid), Err(BadAttr::LevelInfo));
        }
    }

    #[test]
    fn groups_and_numbers_that_do_not_exist(group: u32, attr: u64) {
        match group {
            0 if ![2, 3, 5].contains(&attr) => {}
            4 if ![0, 3].contains(&attr) => {}
            2 | 8 | 10.. => {}
            _ => return Ok(()),
        }
        prop_assert_eq!(Attr::new(group, attr), Err(BadAttr::Unknown));
    }

    #[test]
    fn interrupts_are_64_to_1024_in_steps_of_32(count in prop_oneof![0u32..1200, any::<u32>()]) {
        let valid = (2..=32).any(|n| n * 32 == count);
        prop_assert_eq!(IrqCount::new(count).map(IrqCount::get), valid.then_some(count));
        // The last INTID of an SPI is 1019.
        let spis = (32..=1019u32).filter(|intid| *intid < count).count();
        prop_assert_eq!(IrqCount::new(count).map(IrqCount::spis), valid.then_some(spis));
    }
}

#[test]
fn the_named_attributes() {
    for (group, attr, named) in [
        (0, 2, Attr::Addr(AddrAttr::Dist)),
        (0, 3, Attr::Addr(AddrAttr::Redist)),
        (0, 5, Attr::Addr(AddrAttr::RedistRegion)),
        (3, 0, Attr::IrqCount),
        (4, 0, Attr::Init),
        (4, 3, Attr::SavePendingTables),
        (9, 0, Attr::MaintenanceIrq),
    ] {
        assert_eq!(Attr::new(group, attr), Ok(named));
    }
}
