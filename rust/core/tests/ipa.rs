// SPDX-License-Identifier: GPL-2.0

//! KVM_CREATE_VM's machine type.

use kvm_core::ipa::{
    ipa_size,
    BadVmType,
    IpaBits, //
};
use proptest::prelude::*;

fn any_limit() -> impl Strategy<Value = IpaBits> {
    (32u8..=52).prop_map(|bits| IpaBits::new(bits).unwrap())
}

proptest! {
    #[test]
    fn sizes_up_to_the_limit_are_granted(limit in any_limit(), asked in 1u8..) {
        let granted = ipa_size(asked.into(), limit);
        if (32..=limit.get()).contains(&asked) {
            prop_assert_eq!(granted.map(IpaBits::get), Ok(asked));
        } else {
            prop_assert_eq!(granted, Err(BadVmType::IpaSize { asked, limit }));
        }
    }

    #[test]
    fn zero_is_forty(limit in any_limit()) {
        let granted = ipa_size(0, limit);
        if limit.get() >= 40 {
            prop_assert_eq!(granted, Ok(IpaBits::DEFAULT));
        } else {
            prop_assert_eq!(granted, Err(BadVmType::IpaSize { asked: 40, limit }));
        }
    }

    #[test]
    fn other_bits_are_refused(limit in any_limit(), low: u8, bits in 1u64..1 << 56) {
        prop_assert_eq!(
            ipa_size((bits << 8) | u64::from(low), limit),
            Err(BadVmType::UnknownBits(bits << 8))
        );
    }

    #[test]
    fn widths_are_32_to_52(bits: u8) {
        let width = IpaBits::new(bits);
        prop_assert_eq!(width.is_some(), (32..=52).contains(&bits));
        if let Some(width) = width {
            prop_assert_eq!(width.get(), bits);
            prop_assert_eq!(width.size(), 2u64.pow(bits.into()));
        }
    }
}

#[test]
fn messages() {
    let limit = IpaBits::new(36).unwrap();
    assert_eq!(
        ipa_size(0, limit).unwrap_err().to_string(),
        "IPA size of 40 bits is not in 32 to 36"
    );
    assert_eq!(
        ipa_size(1 << 31, limit).unwrap_err().to_string(),
        "machine type has unknown bits 0x80000000"
    );
}
