// SPDX-License-Identifier: GPL-2.0

//! The services of the firmware.

mod vm;

use kvm_core::{
    firmware::{
        handle,
        ClockReading,
        Firmware,
        FwRegister,
        Outcome,
        StartStolenTime,
        StolenTimeIpa,
        VcpuFeatures, //
    },
    smccc::{
        Action,
        Call,
        Conduit,
        FilterRange,
        Hypercall,
        KvmSmcccFilter,
        Registers, //
    },
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select, //
};
use vm::{
    firmware,
    hvc,
    hvc32,
    Ranges,
    Vm,
    NOT_SUPPORTED, //
};

const VCPU: VcpuFeatures = VcpuFeatures {
    psci_0_2: true,
    ssbs: true,
};

const BITMAPS: [FwRegister; 4] = [
    FwRegister::StdBmap,
    FwRegister::StdHypBmap,
    FwRegister::VendorHypBmap,
    FwRegister::VendorHypBmap2,
];

/// The calls that a bitmap gates: its register, the function, an argument that it takes.
const GATED: &[(FwRegister, u32, u64)] = &[
    (FwRegister::StdBmap, 0x8400_0050, 0),
    (FwRegister::StdBmap, 0x8400_0051, 0xc400_0053),
    (FwRegister::StdBmap, 0x8400_0052, 0),
    (FwRegister::StdBmap, 0x8400_0053, 8),
    (FwRegister::StdBmap, 0xc400_0053, 8),
    (FwRegister::StdHypBmap, 0x8000_0001, 0xc500_0020),
    (FwRegister::StdHypBmap, 0xc500_0020, 0xc500_0021),
    (FwRegister::StdHypBmap, 0xc500_0021, 0),
    (FwRegister::VendorHypBmap, 0x8600_0000, 0),
    (FwRegister::VendorHypBmap, 0x8600_ff01, 0),
    (FwRegister::VendorHypBmap, 0x8600_0001, 0),
];

/// A VM that has everything.
fn rich() -> Vm {
    let reading = |wall, counter| ClockReading { wall, counter };
    Vm {
        clock: Some([
            reading(0x1234_5678_9abc_def0, 0xfedc_ba98_7654_3210),
            reading(7, 8),
        ]),
        stolen_time: StolenTimeIpa::new(0x4000_0040),
        ..Vm::default()
    }
}

fn run(call: &Call, firmware: &Firmware, vm: &Vm) -> Outcome {
    handle(call, firmware, &Ranges::filter(0), vm)
}

fn returned(call: &Call, firmware: &Firmware, vm: &Vm) -> [u64; 4] {
    match run(call, firmware, vm) {
        Outcome::Return(Registers(registers)) => registers,
        other => panic!("{call:?}: {other:?}"),
    }
}

#[test]
fn versions() {
    let call = hvc(0x8000_0000, [1, 2, 3]);
    assert_eq!(
        returned(&call, &firmware(), &Vm::default()),
        [0x1_0001, 0, 0, 0]
    );
    let call = hvc(0x8400_0000, [1, 2, 3]);
    assert_eq!(
        returned(&call, &firmware(), &Vm::default()),
        [0x1_0003, 0, 0, 0]
    );
    assert_eq!(
        returned(&hvc(0x8400_0050, [0; 3]), &firmware(), &rich())[0],
        0x1_0000
    );
}

#[test]
fn who_kvm_is() {
    // ARM_SMCCC_VENDOR_HYP_UID_KVM as guests compare it.
    let call = hvc(0x8600_ff01, [0; 3]);
    assert_eq!(
        returned(&call, &firmware(), &rich()),
        [0xb66f_b428, 0xe911_c52e, 0x564b_caa9, 0x743a_004d]
    );
    let call = hvc(0x8400_0052, [0; 3]);
    assert_eq!(
        returned(&call, &firmware(), &rich()),
        [0x00e0_210d, 0xeb11_8443, 0x4452_7080, 0x4c5a_4e55]
    );
}

#[test]
fn gated_calls() {
    let vm = rich();
    let on = firmware();
    for (register, function, argument) in GATED {
        let call = hvc(*function, [*argument, 0, 0]);
        let refused = Outcome::Return(Registers(NOT_SUPPORTED));
        assert_ne!(run(&call, &on, &vm), refused, "{function:#x}");
        for other in BITMAPS {
            let mut off = firmware();
            off.write(other, 0, VCPU).unwrap();
            assert_eq!(
                run(&call, &off, &vm) == refused,
                other == *register,
                "{function:#x} without {other:?}"
            );
        }
    }
    // Functions of other services, and none at all.
    for (asked, about) in [
        (0x8400_0051, 0x8600_0001),
        (0x8000_0001, 0xc400_0053),
        (0xc500_0020, 0xc400_0053),
        (0x8000_0001, 0x8000_0002),
        (0x8000_0001, 0x8400_0000),
        (0x8400_0051, 0x8400_0054),
    ] {
        let call = hvc(asked, [about, 0, 0]);
        assert_eq!(returned(&call, &on, &vm), NOT_SUPPORTED);
    }
    assert_eq!(
        returned(&hvc(0x8000_0001, [0x8000_0000, 0, 0]), &on, &vm),
        [0; 4]
    );
    assert_eq!(
        returned(&hvc(0x8000_0001, [0x8000_0001, 0, 0]), &on, &vm),
        [0; 4]
    );
}

#[test]
fn vendor_features_are_the_bitmaps() {
    let call = hvc(0x8600_0000, [9; 3]);
    let mut firmware = firmware();
    assert_eq!(returned(&call, &firmware, &rich()), [3, 0, 0, 0]);
    firmware.write(FwRegister::VendorHypBmap2, 2, VCPU).unwrap();
    assert_eq!(returned(&call, &firmware, &rich()), [3, 0, 2, 0]);
    firmware.write(FwRegister::VendorHypBmap, 1, VCPU).unwrap();
    assert_eq!(returned(&call, &firmware, &rich()), [1, 0, 2, 0]);
    // Only user space can carry these out.
    for function in [0xc600_0040, 0xc600_0041] {
        firmware.write(FwRegister::VendorHypBmap2, 3, VCPU).unwrap();
        let call = hvc(function, [0; 3]);
        assert_eq!(returned(&call, &firmware, &rich()), NOT_SUPPORTED);
    }
}

#[test]
fn each_vendor_service_has_a_bit() {
    for (bits, function) in [(1, 0x8600_0000), (1, 0x8600_ff01), (2, 0x8600_0001)] {
        let call = hvc(function, [0; 3]);
        for value in 0..4 {
            let mut firmware = firmware();
            let register = FwRegister::VendorHypBmap;
            firmware.write(register, value, VCPU).unwrap();
            let refused = returned(&call, &firmware, &rich()) == NOT_SUPPORTED;
            assert_eq!(refused, value & bits == 0, "{function:#x} with {value}");
        }
    }
}

#[test]
fn the_most_random_bits() {
    for (function, most) in [(0x8400_0053, 96), (0xc400_0053, 192)] {
        let ask = |bits| {
            let vm = rich();
            *vm.random.borrow_mut() = vec![u64::MAX; 8];
            let [code, words @ ..] = returned(&hvc(function, [bits, 0, 0]), &firmware(), &vm);
            let ones: u32 = words.iter().map(|word| word.count_ones()).sum();
            (code as i64, u64::from(ones))
        };
        for bits in 1..=most {
            assert_eq!(ask(bits), (0, bits));
        }
        for bits in [0, most + 1, most + 32, 0xffff_ffff] {
            assert_eq!(ask(bits), (-2, 0));
        }
    }
}

#[test]
fn stolen_time() {
    let firmware = firmware();
    let mut vm = rich();
    for about in [0xc500_0020, 0xc500_0021] {
        let call = hvc(0xc500_0020, [about, 0, 0]);
        assert_eq!(returned(&call, &firmware, &vm), [0; 4]);
    }
    assert_eq!(
        run(&hvc(0xc500_0021, [0; 3]), &firmware, &vm),
        Outcome::StartStolenTime(StartStolenTime {
            ipa: StolenTimeIpa::new(0x4000_0040).unwrap(),
            registers: Registers([0x4000_0040, 0, 0, 0]),
        })
    );
    vm.stolen_time = None;
    for call in [
        hvc(0xc500_0020, [0xc500_0020, 0, 0]),
        hvc(0xc500_0020, [0xc500_0021, 0, 0]),
        hvc(0xc500_0021, [0; 3]),
    ] {
        assert_eq!(returned(&call, &firmware, &vm), NOT_SUPPORTED);
    }
}

#[test]
fn clocks() {
    let firmware = firmware();
    let mut vm = rich();
    let ask = |vm: &Vm, counter| returned(&hvc(0x8600_0001, [counter, 0, 0]), &firmware, vm);
    assert_eq!(
        ask(&vm, 0),
        [0x1234_5678, 0x9abc_def0, 0xfedc_ba98, 0x7654_3210]
    );
    assert_eq!(ask(&vm, 1), [0, 7, 0, 8]);
    assert_eq!(ask(&vm, 2), NOT_SUPPORTED);
    // W1 is the argument.
    assert_eq!(ask(&vm, (1 << 32) | 1), [0, 7, 0, 8]);
    let wall = |wall| Some([ClockReading { wall, counter: 0 }; 2]);
    vm.clock = wall(i64::MAX as u64);
    assert_eq!(ask(&vm, 0), [0x7fff_ffff, 0xffff_ffff, 0, 0]);
    vm.clock = wall(1 << 63);
    assert_eq!(ask(&vm, 0), NOT_SUPPORTED);
    vm.clock = None;
    assert_eq!(ask(&vm, 0), NOT_SUPPORTED);
}

#[test]
fn workarounds_are_done_by_being_called() {
    for function in [0x8000_8000, 0x8000_7fff, 0x8000_3fff] {
        let call = hvc(function, [1, 2, 3]);
        assert_eq!(returned(&call, &firmware(), &Vm::default()), [0, 1, 2, 3]);
    }
}

#[test]
fn psci_0_1_is_all_that_an_old_vcpu_has() {
    let mut vm = Vm::default();
    let firmware = firmware();
    let old = hvc(0x95c1_ba5f, [0; 3]);
    let new = hvc(0x8400_0002, [0; 3]);
    let off = Outcome::PowerOff(Registers([0; 4]));
    let refused = Outcome::Return(Registers(NOT_SUPPORTED));
    assert_eq!(run(&old, &firmware, &vm), refused);
    assert_eq!(run(&new, &firmware, &vm), off);
    vm.features.psci_0_2 = false;
    assert_eq!(run(&old, &firmware, &vm), off);
    assert_eq!(run(&new, &firmware, &vm), refused);
}

#[test]
fn system_suspend_is_a_capability() {
    let firmware = firmware();
    let call = hvc(0xc400_000e, [1, 2, 0]);
    assert_eq!(returned(&call, &firmware, &Vm::default()), NOT_SUPPORTED);
    firmware.enable_system_suspend();
    assert!(matches!(
        run(&call, &firmware, &Vm::default()),
        Outcome::SystemEvent(kvm_core::psci::SystemEvent::Suspend, registers)
            if registers == call.registers()
    ));
}

#[test]
fn the_filter_comes_first() {
    let mut filter = Ranges::filter(8);
    let mut add = |base, nr_functions, action: Action| {
        let range = FilterRange::new(&KvmSmcccFilter {
            base,
            nr_functions,
            action: action as u8,
            pad: [0; 15],
        });
        filter.insert(range.unwrap()).unwrap();
    };
    add(0x8400_0000, 1, Action::Deny);
    add(0x8400_0002, 1, Action::ForwardToUser);
    add(0x8400_0003, 1, Action::Handle);
    add(0xc600_0040, 2, Action::ForwardToUser);
    add(0xc500_0021, 1, Action::ForwardToUser);
    let firmware = firmware();
    let vm = rich();
    let run = |call: &Call| handle(call, &firmware, &filter, &vm);

    assert_eq!(
        run(&hvc(0x8400_0000, [1, 2, 3])),
        Outcome::Return(Registers(NOT_SUPPORTED))
    );
    let forwarded = |nr| Outcome::ForwardToUser(Hypercall { nr, flags: 0 });
    for nr in [0x8400_0002, 0xc600_0040, 0xc600_0041, 0xc500_0021] {
        assert_eq!(run(&hvc(nr as u32, [0; 3])), forwarded(nr));
        // User space may have 64-bit functions for AArch32 callers.
        assert_eq!(run(&hvc32(nr as u32, [0; 3])), forwarded(nr));
        let registers = Registers([nr, 0, 0, 0]);
        let smc = Call::new(Conduit::Smc, false, 0, true, registers);
        assert_eq!(
            run(&smc),
            Outcome::ForwardToUser(Hypercall { nr, flags: 1 })
        );
        // Not a call, so not forwarded either.
        let smc = Call::new(Conduit::Smc, false, 1, true, registers);
        assert_eq!(run(&smc), Outcome::Return(Registers([u64::MAX, 0, 0, 0])));
    }
    assert!(matches!(
        run(&hvc(0x8400_0003, [1, 2, 3])),
        Outcome::PowerOn(_)
    ));
    assert_eq!(
        run(&hvc(0x8000_0000, [0; 3])),
        Outcome::Return(Registers([0x1_0001, 0, 0, 0]))
    );
}

fn any_function() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (
            select(vec![0u32, 1, 2, 3]),
            0u32..8,
            select(vec![0u32, 0x10, 0x20, 0x50, 0x7ff0, 0xff00]),
            0u32..32
        )
            .prop_map(|(kind, owner, base, number)| (kind << 30) | (owner << 24) | (base + number)),
        0x95c1_ba50u32..0x95c1_ba70,
    ]
}

/// All functions that the firmware may do more for than to refuse them.
fn is_known(function: u32) -> bool {
    GATED.iter().any(|(_, gated, _)| *gated == function)
        || [
            0x8000_0000,
            0x8000_0001,
            0x8000_8000,
            0x8000_7fff,
            0x8000_3fff,
        ]
        .contains(&function)
        || (function & 0xbfff_ffff).wrapping_sub(0x8400_0000) < 0x20
        || (0x95c1_ba5e..0x95c1_ba62).contains(&function)
}

proptest! {
    #[test]
    fn what_nobody_implements_is_refused(
        function in any_function(), arguments: [u64; 3], high: u32, smc: bool, immediate: u16,
        aarch32: bool, psci_0_2: bool, random in vec(any::<u64>(), 0..4),
    ) {
        let [x1, x2, x3] = arguments;
        let registers = Registers([(u64::from(high) << 32) | u64::from(function), x1, x2, x3]);
        let conduit = if smc { Conduit::Smc } else { Conduit::Hvc };
        let call = Call::new(conduit, aarch32, immediate, true, registers);
        let mut vm = rich();
        vm.features.psci_0_2 = psci_0_2;
        *vm.random.borrow_mut() = random;
        let outcome = run(&call, &firmware(), &vm);
        if smc && immediate != 0 {
            let Registers([_, x1, x2, x3]) = call.registers();
            prop_assert_eq!(outcome, Outcome::Return(Registers([u64::MAX, x1, x2, x3])));
        } else if !is_known(function) || (aarch32 && function & 0x4000_0000 != 0) {
            prop_assert_eq!(outcome, Outcome::Return(Registers(NOT_SUPPORTED)));
        }
    }

    #[test]
    fn places_for_stolen_time(ipa: u64) {
        for ipa in [ipa, ipa & !63] {
            let place = StolenTimeIpa::new(ipa);
            prop_assert_eq!(place.is_some(), ipa.trailing_zeros() >= 6);
            if let Some(place) = place {
                prop_assert_eq!(place.get(), ipa);
                prop_assert_eq!(place.stolen_time() - ipa, 8);
                prop_assert!(place.stolen_time() - ipa + 8 == StolenTimeIpa::SIZE);
            }
        }
    }

    #[test]
    fn an_hvc_has_any_immediate(immediate: u16, aarch32: bool) {
        let registers = Registers([0x8000_0000, 1, 2, 3]);
        let call = Call::new(Conduit::Hvc, aarch32, immediate, true, registers);
        prop_assert_eq!(
            returned(&call, &firmware(), &Vm::default()),
            [0x1_0001, 0, 0, 0]
        );
    }

    /// The registers, read as one number from X1 to X3, are that many bits, from the source's top.
    #[test]
    fn random_numbers(
        bits in 0u32..200, wide: bool, aarch32: bool, source in vec(any::<u64>(), 3),
        left in 0usize..4,
    ) {
        let (function, width) = if wide { (0xc400_0053, 64) } else { (0x8400_0053, 32) };
        let vm = rich();
        // Taken from the end.
        *vm.random.borrow_mut() = source.iter().rev().copied().take(left).rev().collect();
        let call = if aarch32 {
            hvc32(function, [bits.into(), 0, 0])
        } else {
            hvc(function, [bits.into(), 0, 0])
        };
        let [x0, words @ ..] = returned(&call, &firmware(), &vm);
        let needed = bits.div_ceil(width) as usize;
        if wide && aarch32 {
            prop_assert_eq!(x0, u64::MAX);
        } else if bits == 0 || bits > 3 * width {
            prop_assert_eq!(x0, -2i64 as u64);
        } else if needed > left.min(3) {
            prop_assert_eq!(x0, -3i64 as u64);
        } else {
            prop_assert_eq!(x0, 0);
            let mut missing = bits;
            for (word, random) in words.iter().rev().zip(source.iter().rev()) {
                let take = missing.min(width);
                let expected = if take == 0 { 0 } else { random >> (64 - take) };
                prop_assert_eq!(*word, expected);
                missing -= take;
            }
            prop_assert_eq!(vm.random.borrow().len(), left.min(3) - needed);
            return Ok(());
        }
        prop_assert_eq!(words, [0; 3]);
    }
}
