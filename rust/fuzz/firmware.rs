// SPDX-License-Identifier: GPL-2.0

//! Calls of a guest to the firmware: any registers, behind any filter, with any services.

#![no_main]

use kvm_core::{
    firmware::{
        handle,
        ClockReading,
        Firmware,
        FwRegister,
        Mitigation,
        Mitigations,
        Outcome,
        StolenTimeIpa,
        VcpuFeatures, //
    },
    psci::Affinity,
    smccc::{
        Action,
        Call,
        Conduit,
        Filter,
        FilterRange,
        KvmSmcccFilter,
        Owner,
        Registers, //
    },
};
use kvm_fuzz::{
    vm::{
        Ranges,
        Vm, //
    },
    Input, //
};
use std::cell::RefCell;

kvm_fuzz::target!(run);

/// Functions that there are, or nearly.
const FUNCTIONS: [u32; 12] = [
    0x8000_0000,
    0x8000_8000,
    0x8000_7fff,
    0x8000_3fff,
    0x8400_0000,
    0xc400_0000,
    0x8400_0050,
    0xc400_0050,
    0xc500_0020,
    0x8600_0000,
    0x8600_ff01,
    0x95c1_ba5e,
];

fn run(input: &mut Input<'_>) {
    let features = VcpuFeatures {
        psci_0_2: input.bool(),
        ssbs: input.bool(),
    };
    let mut firmware = any_firmware(input, features);
    let filter = any_filter(input);
    let vm = any_vm(input, features);
    while !input.is_empty() {
        let call = any_call(input);
        let outcome = handle(&call, &firmware, &filter, &vm);
        check(&call, &filter, &vm, outcome);
        if input.bool() {
            write(&mut firmware, input, features);
        }
    }
}

fn any_firmware(input: &mut Input<'_>, features: VcpuFeatures) -> Firmware {
    let all = [
        Mitigation::Vulnerable,
        Mitigation::Mitigated,
        Mitigation::Unaffected,
    ];
    let mut firmware = Firmware::new(Mitigations {
        spectre_v2: input.one_of(&all),
        spectre_v4: input.one_of(&all),
        spectre_bhb: input.one_of(&all),
    });
    if input.bool() {
        firmware.enable_system_suspend();
    }
    for _ in 0..input.below(4) {
        write(&mut firmware, input, features);
    }
    firmware
}

/// KVM_SET_ONE_REG of a pseudo-register: it has the value afterwards, or nothing has changed.
fn write(firmware: &mut Firmware, input: &mut Input<'_>, features: VcpuFeatures) {
    let state = |firmware: &Firmware| FwRegister::ALL.map(|reg| firmware.read(reg, features));
    let register = input.one_of(&FwRegister::ALL);
    let value = match input.below(3) {
        0 => input.u64(),
        1 => u64::from(input.u8()),
        _ => 0x1_0000 + u64::from(input.u8()),
    };
    let before = state(firmware);
    let running = input.bool();
    let done = if running {
        firmware.write_running(register, value, features)
    } else {
        firmware.write(register, value, features)
    };
    let after = state(firmware);
    for (n, other) in FwRegister::ALL.into_iter().enumerate() {
        if other == register && done.is_ok() {
            // A workaround reads as this host's, whatever was asked for.
            let fixed = matches!(register, FwRegister::Workaround(_));
            assert_eq!(after[n], if fixed { before[n] } else { value });
            let psci = register == FwRegister::PsciVersion;
            assert!(!running || psci || after[n] == before[n]);
        } else {
            assert_eq!(after[n], before[n], "{other:?}");
        }
        // What a VM shows it can be given again.
        assert_eq!(firmware.write(other, after[n], features), Ok(()));
    }
}

/// A filter that says of each function what the first range with it did.
fn any_filter(input: &mut Input<'_>) -> Filter<Ranges> {
    let mut filter = Ranges::filter(8);
    let mut taken: Vec<FilterRange> = Vec::new();
    for _ in 0..input.below(12) {
        let mut raw: [u8; 24] = input.array();
        if input.bool() {
            raw[9..].fill(0);
            raw[8] %= 3;
        }
        let Ok(range) = FilterRange::new(&KvmSmcccFilter::from_ne_bytes(&raw)) else {
            continue;
        };
        assert!(range.first() <= range.last());
        if filter.insert(range).is_ok() {
            taken.push(range);
        }
    }
    for range in &taken {
        assert_eq!(filter.action(range.first()), range.action());
        assert_eq!(filter.action(range.last()), range.action());
        let others = taken.iter().filter(|other| *other != range);
        for other in others {
            assert!(other.last() < range.first() || range.last() < other.first());
        }
    }
    filter
}

fn any_vm(input: &mut Input<'_>, features: VcpuFeatures) -> Vm {
    let reading = |input: &mut Input<'_>| ClockReading {
        wall: input.u64(),
        counter: input.u64(),
    };
    let vcpus = (0..input.below(5))
        .map(|_| (input.u64(), input.bool()))
        .collect();
    let random = (0..input.below(6)).map(|_| input.u64()).collect();
    Vm {
        features,
        big_endian: input.bool(),
        vcpus,
        random: RefCell::new(random),
        clock: input.bool().then(|| [reading(input), reading(input)]),
        stolen_time: StolenTimeIpa::new(input.u64()),
    }
}

fn any_call(input: &mut Input<'_>) -> Call {
    let conduit = if input.bool() {
        Conduit::Smc
    } else {
        Conduit::Hvc
    };
    let mut registers = [0; 4].map(|_: u64| input.u64());
    if input.bool() {
        registers[0] = u64::from(input.one_of(&FUNCTIONS)) + u64::from(input.below(32));
    }
    if input.bool() {
        registers[1] = u64::from(input.one_of(&FUNCTIONS)) + u64::from(input.below(32));
    }
    let immediate = if input.bool() { input.u16() } else { 0 };
    Call::new(
        conduit,
        input.bool(),
        immediate,
        input.bool(),
        Registers(registers),
    )
}

fn check(call: &Call, filter: &Filter<Ranges>, vm: &Vm, outcome: Outcome) {
    let function = call.function();
    let not_supported = Outcome::Return(Registers::code(-1));
    if call.conduit() == Conduit::Smc && call.immediate() != 0 {
        assert_eq!(outcome, Outcome::Return(call.registers().with_code(-1)));
        return;
    }
    match filter.action(function) {
        Action::Deny => assert_eq!(outcome, not_supported),
        Action::ForwardToUser => assert_eq!(outcome, Outcome::ForwardToUser(call.forward())),
        Action::Handle if function.is_64() && call.is_aarch32() => {
            assert_eq!(outcome, not_supported);
        }
        Action::Handle => assert!(!matches!(outcome, Outcome::ForwardToUser(_))),
    }
    if call.is_aarch32() {
        // Nothing but its own halves get in.
        let Registers(registers) = call.registers();
        assert!(registers.iter().all(|register| register >> 32 == 0));
    }
    match outcome {
        Outcome::PowerOn(power_on) => {
            assert_eq!(power_on.target.into_raw() & !Affinity::MASK, 0);
            assert_eq!(power_on.state.big_endian, vm.big_endian);
            let entry = power_on.state.entry(call.is_aarch32(), 0);
            let m = entry.pstate.into_raw() & 0x1f;
            assert_eq!(m, if call.is_aarch32() { 0x13 } else { 5 });
        }
        Outcome::SystemEvent(..) | Outcome::PowerOff(_) | Outcome::Standby(_) => {
            assert!(matches!(
                function.owner(),
                Owner::Standard | Owner::Reserved(_)
            ));
        }
        Outcome::StartStolenTime(start) => {
            assert_eq!(Some(start.ipa), vm.stolen_time);
            assert_eq!(start.ipa.get() % 64, 0);
        }
        Outcome::Return(_) | Outcome::ForwardToUser(_) => {}
    }
}
