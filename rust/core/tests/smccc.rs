// SPDX-License-Identifier: GPL-2.0

//! The calling convention and the filter.

mod vm;

use kvm_core::smccc::{
    Action,
    BadFilter,
    Call,
    Conduit,
    Filter,
    FilterError,
    FilterRange,
    FunctionId,
    Hypercall,
    KvmSmcccFilter,
    Owner,
    Registers, //
};
use proptest::{
    collection::vec,
    prelude::*, //
};
use vm::Ranges;

#[test]
fn identifiers_that_everybody_knows() {
    let psci_version = FunctionId::new(0x8400_0000);
    assert_eq!(psci_version, FunctionId::fast32(Owner::Standard, 0));
    assert!(psci_version.is_fast() && !psci_version.is_64());
    assert_eq!(
        FunctionId::new(0xc500_0021),
        FunctionId::fast64(Owner::StandardHyp, 0x21)
    );
    assert_eq!(
        FunctionId::new(0x8600_ff01),
        FunctionId::fast32(Owner::VendorHyp, 0xff01)
    );
    assert!(matches!(
        FunctionId::new(0xb200_0000).owner(),
        Owner::TrustedOs(n) if n == 50
    ));
    assert!(matches!(
        FunctionId::new(0x3100_0000).owner(),
        Owner::TrustedApp(n) if n == 49
    ));
    assert!(matches!(
        FunctionId::new(0x95c1_ba5e).owner(),
        Owner::Reserved(n) if n == 0x15
    ));
    assert_eq!(format!("{psci_version:?}"), "FunctionId(0x84000000)");
}

proptest! {
    #[test]
    fn identifiers_are_their_fields(raw: u32, x0_high: u32) {
        let id = FunctionId::from_x0((u64::from(x0_high) << 32) | u64::from(raw));
        prop_assert_eq!(id.raw(), raw);
        prop_assert_eq!(id.is_fast(), raw >= 0x8000_0000);
        prop_assert_eq!(id.is_64(), (raw / 0x4000_0000) % 2 == 1);
        prop_assert_eq!(id.owner().into_bits().get(), u64::from((raw / 0x100_0000) % 64));
        prop_assert_eq!(u32::from(id.number()), raw % 0x1_0000);
        let rebuilt = if id.is_64() {
            FunctionId::fast64(id.owner(), id.number())
        } else {
            FunctionId::fast32(id.owner(), id.number())
        };
        prop_assert_eq!(rebuilt == id, id.is_fast() && (raw / 0x1_0000) % 0x100 == 0);
    }

    #[test]
    fn aarch32_callers_have_32_bit_registers(registers: [u64; 4], aarch32: bool) {
        let call = Call::new(Conduit::Hvc, aarch32, 0, true, Registers(registers));
        let expected = registers.map(|x| if aarch32 { x & 0xffff_ffff } else { x });
        prop_assert_eq!(call.registers(), Registers(expected));
        prop_assert_eq!(call.function().raw(), registers[0] as u32);
        prop_assert_eq!(call.w1(), registers[1] as u32);
    }

    #[test]
    fn user_space_is_told_function_and_conduit(
        registers: [u64; 4], smc: bool, aarch32: bool, il: bool,
    ) {
        let conduit = if smc { Conduit::Smc } else { Conduit::Hvc };
        let call = Call::new(conduit, aarch32, 0, il, Registers(registers));
        prop_assert_eq!(call.forward(), Hypercall {
            nr: registers[0] & 0xffff_ffff,
            flags: u64::from(smc) + 2 * u64::from(!il),
        });
        prop_assert_eq!(conduit.needs_skip(), smc);
    }
}

#[test]
fn user_space_describes_ranges() {
    let good = KvmSmcccFilter {
        base: 0x8400_0000,
        nr_functions: 0x20,
        action: 1,
        pad: [0; 15],
    };
    let range = FilterRange::new(&good).unwrap();
    assert_eq!(range.first().raw(), 0x8400_0000);
    assert_eq!(range.last().raw(), 0x8400_001f);
    assert_eq!(range.action(), Action::Deny);

    let bad = |change: fn(&mut KvmSmcccFilter)| {
        let mut filter = good;
        change(&mut filter);
        FilterRange::new(&filter).unwrap_err()
    };
    assert_eq!(bad(|f| f.nr_functions = 0), BadFilter::Empty);
    assert_eq!(
        bad(|f| {
            f.base = 0;
            f.nr_functions = 0;
        }),
        BadFilter::Empty
    );
    assert_eq!(
        bad(|f| {
            f.base = u32::MAX;
            f.nr_functions = u32::MAX;
        }),
        BadFilter::Wraps
    );
    assert_eq!(
        bad(|f| {
            f.base = u32::MAX;
            f.nr_functions = 2;
        }),
        BadFilter::Wraps
    );
    assert_eq!(bad(|f| f.action = 3), BadFilter::Action(3));
    assert_eq!(bad(|f| f.action = 255), BadFilter::Action(255));
    assert_eq!(bad(|f| f.pad[0] = 0xff), BadFilter::Padding);
    assert_eq!(bad(|f| f.pad[14] = 1), BadFilter::Padding);
    assert_eq!(
        bad(|f| f.action = 9).to_string(),
        "SMCCC filter action 9 does not exist"
    );

    let last = KvmSmcccFilter {
        base: u32::MAX,
        nr_functions: 1,
        ..good
    };
    assert_eq!(FilterRange::new(&last).unwrap().last().raw(), u32::MAX);
}

#[test]
fn the_architectures_calls_cannot_be_filtered() {
    let mut filter = Ranges::filter(100);
    let mut insert = |base, nr_functions, action: Action| {
        let range = range(base, nr_functions, action);
        filter.insert(range)
    };
    let exists = Err(FilterError::Exists);
    assert_eq!(insert(0x8000_8000, 1, Action::Deny), exists);
    assert_eq!(insert(0xc000_0000, 1, Action::Deny), exists);
    // Not even to be handled.
    assert_eq!(insert(0x8000_ffff, 2, Action::Handle), exists);
    assert_eq!(insert(0xbfff_ffff, 2, Action::ForwardToUser), exists);
    assert_eq!(insert(0, u32::MAX, Action::Deny), exists);
    // Just beside them, and yielding calls.
    assert_eq!(insert(0x7fff_ffff, 1, Action::Deny), Ok(()));
    assert_eq!(insert(0x8001_0000, 1, Action::Deny), Ok(()));
    assert_eq!(insert(0xbfff_ffff, 1, Action::Deny), Ok(()));
    assert_eq!(insert(0xc001_0000, 1, Action::Deny), Ok(()));
    assert_eq!(insert(0, 0x1_0000, Action::Deny), Ok(()));
}

#[test]
fn a_filter_starts_empty() {
    let mut store = Ranges::new(1);
    store.ranges.push(range(0x8400_0000, 1, Action::Deny));
    assert!(Filter::new(store).is_none());
}

fn range(base: u32, nr_functions: u32, action: Action) -> FilterRange {
    FilterRange::new(&KvmSmcccFilter {
        base,
        nr_functions,
        action: action as u8,
        pad: [0; 15],
    })
    .unwrap()
}

/// Ranges that are near each other, near those of the architecture and near the ends.
fn any_range() -> impl Strategy<Value = (u32, u32, u8)> {
    let base = prop_oneof![
        0u32..32,
        0x7fff_fff0u32..0x8000_0008,
        0x8000_fff8u32..0x8001_0008,
        0x8400_0000u32..0x8400_0040,
        0xbfff_fff8u32..0xc000_0002,
        0xc000_fffcu32..0xc001_0004,
        0xffff_ffe0u32..=0xffff_ffff,
        any::<u32>(),
    ];
    let count = prop_oneof![0u32..12, Just(u32::MAX), any::<u32>()];
    (base, count, 0u8..4)
}

proptest! {
    #[test]
    fn the_bytes_of_user_space(base: u32, nr_functions: u32, action: u8, pad: [u8; 15]) {
        let mut bytes = [0; 24];
        bytes[0..4].copy_from_slice(&base.to_ne_bytes());
        bytes[4..8].copy_from_slice(&nr_functions.to_ne_bytes());
        bytes[8] = action;
        bytes[9..].copy_from_slice(&pad);
        prop_assert_eq!(
            KvmSmcccFilter::from_ne_bytes(&bytes),
            KvmSmcccFilter { base, nr_functions, action, pad }
        );
    }

    /// The model is a list of what was taken, searched from one end to the other in numbers that
    /// cannot wrap.
    #[test]
    fn a_filter_is_a_list_of_ranges(asked in vec(any_range(), 0..40), room in 0usize..24, at: u32) {
        let mut filter = Ranges::filter(room);
        let mut model: Vec<(u64, u64, Action)> = Vec::new();
        let reserved = [(0x8000_0000, 0x8000_ffff), (0xc000_0000, 0xc000_ffff)];
        let mut probes = vec![at];

        for (base, nr_functions, action) in asked {
            let (first, end) = (u64::from(base), u64::from(base) + u64::from(nr_functions));
            let request = KvmSmcccFilter { base, nr_functions, action, pad: [0; 15] };
            let range = FilterRange::new(&request);
            prop_assert_eq!(range.is_ok(), nr_functions != 0 && end <= 1 << 32 && action < 3);
            let Ok(range) = range else { continue };

            let taken = reserved
                .iter()
                .copied()
                .chain(model.iter().map(|(first, last, _)| (*first, *last)))
                .any(|(known, last)| first <= last && known < end);
            let expected = if taken {
                Err(FilterError::Exists)
            } else if model.len() == room {
                Err(FilterError::NoMemory)
            } else {
                model.push((first, end - 1, range.action()));
                Ok(())
            };
            prop_assert_eq!(filter.insert(range), expected);
            for edge in [base, (end - 1) as u32] {
                probes.extend([edge, edge.wrapping_sub(1), edge.wrapping_add(1)]);
            }
        }
        for probe in probes {
            let expected = model
                .iter()
                .find(|(first, last, _)| (*first..=*last).contains(&probe.into()))
                .map_or(Action::Handle, |(_, _, action)| *action);
            prop_assert_eq!(filter.action(FunctionId::new(probe)), expected);
        }
    }
}
