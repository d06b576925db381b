// SPDX-License-Identifier: GPL-2.0

//! The pseudo-registers of the firmware.

mod vm;

use kvm_core::{
    firmware::{
        handle,
        workaround::Workaround,
        Firmware,
        FwRegister,
        Mitigation,
        Mitigations,
        Outcome,
        VcpuFeatures,
        WriteError, //
    },
    psci::Version,
    smccc::Registers,
};
use proptest::{
    prelude::*,
    sample::select, //
};
use vm::{
    firmware,
    hvc,
    Ranges,
    Vm, //
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

fn open_to(spectre_v2: Mitigation, spectre_v4: Mitigation, spectre_bhb: Mitigation) -> Firmware {
    Firmware::new(Mitigations {
        spectre_v2,
        spectre_v4,
        spectre_bhb,
    })
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
        let call = hvc(0x8000_0001, [which, 0, 0]);
        let outcome = handle(&call, firmware, &Ranges::filter(0), &vm);
        let Outcome::Return(Registers([x0, rest @ ..])) = outcome else {
            panic!("{outcome:?}");
        };
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

proptest! {
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
}
