// SPDX-License-Identifier: GPL-2.0

//! The attributes of KVM_DEV_TYPE_ARM_VGIC_V2, and where its frames are.

use kvm_core::{
    ipa::IpaBits,
    vgic::{
        regions::{
            BadFrame,
            Unmapped, //
        },
        v2::{
            attr::{
                addr_type,
                Attr,
                RegisterAttr, //
            },
            frames::{
                Frames,
                Part, //
            },
        },
    },
};
use proptest::prelude::*;

const PARTS: [(Part, u64); 2] = [(Part::Dist, 0x1000), (Part::Cpu, 0x2000)];

/// Addresses near each other, near the end of the address space, or anywhere.
fn any_base() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0u64..8).prop_map(|n| 0x800_0000 + n * 0x1000),
        1 => (0u64..8).prop_map(|n| (1 << 40) - n * 0x1000),
        1 => (0u64..8).prop_map(|n| 0x800_0000 + n * 0x800),
        1 => any::<u64>(),
    ]
}

proptest! {
    #[test]
    fn registers_are_named_by_vcpu_and_offset(vcpu: u8, offset: u32, reserved in 0u64..1 << 24) {
        let attr = (reserved << 40) | (u64::from(vcpu) << 32) | u64::from(offset);
        let register = RegisterAttr { vcpu, offset };
        prop_assert_eq!(Attr::new(1, attr), Some(Attr::Dist(register)));
        prop_assert_eq!(Attr::new(2, attr), Some(Attr::Cpu(register)));
    }

    #[test]
    fn what_is_unknown_is_nothing(group in 5u32.., attr: u64, above in 1u64..) {
        prop_assert_eq!(Attr::new(group, attr), None);
        prop_assert_eq!(Attr::new(0, above.saturating_add(1)), None);
        prop_assert_eq!(Attr::new(4, above), None);
        prop_assert_eq!(addr_type(above.saturating_add(1)), None);
    }

    #[test]
    fn an_address_is_in_the_part_that_is_there(
        bases in [any_base(), any_base()],
        bits in prop::sample::select(&[32u8, 40, 48][..]),
        addresses in prop::collection::vec(any_base(), 20),
        inside in 0u64..0x3000,
    ) {
        let ipa = IpaBits::new(bits).unwrap();
        let mut frames = Frames::NONE;
        let mut there = Vec::new();

        for ((part, size), base) in PARTS.into_iter().zip(bases) {
            // Aligned to 4 KiB, and all of it in the address space.
            let expected = if base & 0xfff != 0 {
                Err(BadFrame::Alignment)
            } else if u128::from(base) + u128::from(size) > 1u128 << bits {
                Err(BadFrame::Range)
            } else {
                there.push((part, base..base + size));
                Ok(())
            };
            prop_assert_eq!(frames.set(part, base, ipa), expected);
            let placed = expected.is_ok();
            prop_assert_eq!(frames.get(part), placed.then_some(base));
            if placed {
                prop_assert_eq!(frames.set(part, base, ipa), Err(BadFrame::Exists));
            }
        }
        let overlap = there.len() == 2
            && (there[0].1.contains(&there[1].1.start) || there[1].1.contains(&there[0].1.start));
        prop_assert_eq!(frames.check(), match (there.len(), overlap) {
            (2, false) => Ok(()),
            (2, true) => Err(Unmapped::Misplaced),
            _ => Err(Unmapped::Missing),
        });
        for address in addresses.into_iter().map(|base| base.saturating_add(inside)) {
            let expected = there
                .iter()
                .find(|(_, range)| range.contains(&address))
                .map(|(part, range)| (*part, (address - range.start) as u32));
            prop_assert_eq!(frames.find(address), expected);
        }
    }
}

#[test]
fn the_other_attributes_are_there() {
    assert_eq!(Attr::new(0, 0), Some(Attr::Addr(Part::Dist)));
    assert_eq!(Attr::new(0, 1), Some(Attr::Addr(Part::Cpu)));
    assert_eq!(Attr::new(3, 0), Some(Attr::IrqCount));
    assert_eq!(Attr::new(4, 0), Some(Attr::Init));
}
