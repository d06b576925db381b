// SPDX-License-Identifier: GPL-2.0

//! The services of the firmware, and its pseudo-registers.

mod vm;

use kvm_core::{
    firmware::{
        handle,
        workaround::Workaround,
        ClockReading,
        Firmware,
        FwRegister,
        Mitigation,
        Mitigations,
        Outcome,
        StartStolenTime,
        StolenTimeIpa,
        VcpuFeatures,
        WriteError, //
    },
    psci::Version,
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

const STATES: [Mitigation; 3] = [
    Mitigation::Vulnerable,
    Mitigation::Mitigated,
    Mitigation::Unaffected,
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

fn open_to(spectre_v2: Mitigation, spectre_v4: Mitigation, spectre_bhb: Mitigation) -> Firmware {
    Firmware::new(Mitigations {
        spectre_v2,
        spectre_v4,
        spectre_bhb,
    })
}

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
fn attacks_and_workarounds() {
    // By state of the host: WORKAROUND_1 and _3; then _2 with SSBS, and without.
    let expected = [
        (u64::MAX, 0, u64::MAX, 0, u64::MAX, 0),
        (0, 1, u64::MAX, 0, -2i64 as u64, 3),
        (1, 2, -2i64 as u64, 3, -2i64 as u64, 3),
    ];
    let ask = |firmware: &Firmware, which: u64, ssbs| {
        let mut vm = Vm::default();
        vm.features.ssbs = ssbs;
        let [x0, rest @ ..] = returned(&hvc(0x8000_0001, [which, 0, 0]), firmware, &vm);
        assert_eq!(rest, [0; 3]);
        x0
    };
    let read = |firmware: &Firmware, which, ssbs| {
        let vcpu = VcpuFeatures { ssbs, ..VCPU };
        firmware.read(FwRegister::Workaround(which), vcpu)
    };
    let other = Mitigation::Vulnerable;
    for (state, (call, level, call_ssbs, level_ssbs, call_without, level_without)) in
        STATES.into_iter().zip(expected)
    {
        for ssbs in [false, true] {
            let v2 = open_to(state, other, other);
            assert_eq!(ask(&v2, 0x8000_8000, ssbs), call);
            assert_eq!(read(&v2, Workaround::One, ssbs), level);
            let bhb = open_to(other, other, state);
            assert_eq!(ask(&bhb, 0x8000_3fff, ssbs), call);
            assert_eq!(read(&bhb, Workaround::Three, ssbs), level);
        }
        let v4 = open_to(other, state, other);
        assert_eq!(ask(&v4, 0x8000_7fff, true), call_ssbs);
        assert_eq!(read(&v4, Workaround::Two, true), level_ssbs);
        assert_eq!(ask(&v4, 0x8000_7fff, false), call_without);
        assert_eq!(read(&v4, Workaround::Two, false), level_without);
    }
}

#[test]
fn workarounds_take_what_the_host_can_do() {
    let accepted = |firmware: &mut Firmware, which| -> Vec<u64> {
        let values = (0..64).chain([0x100, 1 << 32, u64::MAX]);
        let register = FwRegister::Workaround(which);
        let before = firmware.read(register, VCPU);
        let accepted = values
            .filter(|value| {
                let running = firmware.write_running(register, *value, VCPU);
                let result = firmware.write(register, *value, VCPU);
                assert_eq!(result, running);
                assert!(matches!(result, Ok(()) | Err(WriteError::Invalid)));
                result.is_ok()
            })
            .collect();
        // The host stays what it is.
        assert_eq!(firmware.read(register, VCPU), before);
        accepted
    };
    let ladder: [&[u64]; 3] = [&[0], &[0, 1], &[0, 1, 2]];
    // NOT_AVAIL and UNKNOWN; AVAIL, ENABLED or not, and NOT_REQUIRED.
    let pair: [&[u64]; 3] = [&[0, 1], &[0, 1], &[0, 1, 2, 3, 0x12]];
    for (state, (one, two)) in STATES.into_iter().zip(ladder.into_iter().zip(pair)) {
        let mut firmware = open_to(state, state, state);
        assert_eq!(accepted(&mut firmware, Workaround::One), one);
        assert_eq!(accepted(&mut firmware, Workaround::Two), two);
        assert_eq!(accepted(&mut firmware, Workaround::Three), one);
    }
}

#[test]
fn registers_have_identifiers() {
    let ids = FwRegister::ALL.map(FwRegister::id);
    assert_eq!(
        ids,
        [
            0x6030_0000_0014_0000,
            0x6030_0000_0014_0001,
            0x6030_0000_0014_0002,
            0x6030_0000_0014_0003,
            0x6030_0000_0016_0000,
            0x6030_0000_0016_0001,
            0x6030_0000_0016_0002,
            0x6030_0000_0016_0003,
        ]
    );
    for register in FwRegister::ALL {
        assert_eq!(FwRegister::from_id(register.id()), Some(register));
        // A size of 32 bits, another architecture, a number that is not there.
        for wrong in [1 << 52, 1 << 60, 4, 8, 1 << 16] {
            assert_eq!(FwRegister::from_id(register.id() ^ wrong), None);
        }
    }
}

#[test]
fn bitmaps_before_and_after_the_vm_has_run() {
    let mut firmware = firmware();
    for (register, (reset, all)) in BITMAPS.into_iter().zip([(1, 1), (1, 1), (3, 3), (0, 3)]) {
        assert_eq!(firmware.read(register, VCPU), reset);
        for value in [all, 0] {
            assert_eq!(firmware.write(register, value, VCPU), Ok(()));
            assert_eq!(firmware.read(register, VCPU), value);
        }
        let too_much = Err(WriteError::Invalid);
        for value in [all + 1, 1 << 63, u64::MAX] {
            assert_eq!(firmware.write(register, value, VCPU), too_much);
            // What is invalid is so before it is too late.
            assert_eq!(firmware.write_running(register, value, VCPU), too_much);
        }
        assert_eq!(
            firmware.write_running(register, all, VCPU),
            Err(WriteError::Busy)
        );
        assert_eq!(firmware.write_running(register, 0, VCPU), Ok(()));
        assert_eq!(firmware.read(register, VCPU), 0);
    }
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
    vm.clock = Some(
        [ClockReading {
            wall: 1 << 63,
            counter: 0,
        }; 2],
    );
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

    #[test]
    fn psci_versions_of_a_vm(value: u64, version in select(Version::ALL), psci_0_2: bool) {
        let vcpu = VcpuFeatures { psci_0_2, ssbs: false };
        let register = FwRegister::PsciVersion;
        let mut firmware = firmware();
        let default = if psci_0_2 { 0x1_0003 } else { 1 };
        prop_assert_eq!(firmware.read(register, vcpu), default);

        let known = version.into_raw().into();
        for value in [known, known | (1 << 32), value] {
            let valid = value == known && (version == Version::V0_1) != psci_0_2;
            let expected = if valid { Ok(()) } else { Err(WriteError::Invalid) };
            let before = firmware.read(register, vcpu);
            prop_assert_eq!(firmware.write(register, value, vcpu), expected);
            let after = if valid { value } else { before };
            prop_assert_eq!(firmware.read(register, vcpu), after);
            // Not fixed by running.
            prop_assert_eq!(firmware.write_running(register, value, vcpu), expected);
            prop_assert_eq!(firmware.psci(vcpu).version.into_raw(), after as u32);
        }
        // Whatever was chosen, an old vCPU has 0.1.
        let old = VcpuFeatures { psci_0_2: false, ssbs: false };
        prop_assert_eq!(firmware.read(register, old), 1);
    }

    /// The registers, read as one number from X1 to X3, are that many bits, from the source's top.
    #[test]
    fn random_numbers(
        bits in 0u32..200, wide: bool, aarch32: bool, source in vec(any::<u64>(), 3), left in 0usize..4,
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
