// SPDX-License-Identifier: GPL-2.0

//! PSCI as a guest sees it.

mod vm;

use kvm_core::{
    psci::{
        call,
        Affinity,
        Config,
        Function,
        Outcome,
        PowerOnError,
        PowerOnState,
        SystemEvent,
        Version, //
    },
    pstate::{
        Mode,
        Pstate,
        Pstate32, //
    },
    smccc::{
        Call,
        Conduit,
        FunctionId,
        Registers, //
    },
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select, //
};
use vm::{
    hvc,
    hvc32,
    Vm,
    NOT_SUPPORTED, //
};

const INVALID: [u64; 4] = [-2i64 as u64, 0, 0, 0];
const FAILURE: [u64; 4] = [-6i64 as u64, 0, 0, 0];

/// The functions that are there, and since which version: the table of DEN0022, less what KVM does
/// not implement. SYSTEM_SUSPEND is apart.
const FUNCTIONS: &[(u32, Version)] = &[
    (0x8400_0000, Version::V0_2),
    (0x8400_0001, Version::V0_2),
    (0xc400_0001, Version::V0_2),
    (0x8400_0002, Version::V0_2),
    (0x8400_0003, Version::V0_2),
    (0xc400_0003, Version::V0_2),
    (0x8400_0004, Version::V0_2),
    (0xc400_0004, Version::V0_2),
    (0x8400_0006, Version::V0_2),
    (0x8400_0008, Version::V0_2),
    (0x8400_0009, Version::V0_2),
    (0x8400_000a, Version::V1_0),
    (0x8400_0012, Version::V1_1),
    (0xc400_0012, Version::V1_1),
    (0x8400_0015, Version::V1_3),
    (0xc400_0015, Version::V1_3),
];

const SUSPEND: [u32; 2] = [0x8400_000e, 0xc400_000e];

fn config(version: Version) -> Config {
    Config {
        version,
        system_suspend: false,
    }
}

const LATEST: Config = Config {
    version: Version::LATEST,
    system_suspend: true,
};

fn any_version() -> impl Strategy<Value = Version> {
    select(Version::ALL)
}

/// All identifiers near those that mean something.
fn interesting_ids() -> impl Iterator<Item = u32> {
    (0x8400_0000..0x8400_0030)
        .chain(0xc400_0000..0xc400_0030)
        .chain(0x0400_0000..0x0400_0020)
        .chain(0x95c1_ba50..0x95c1_ba70)
        .chain(0x8401_0000..0x8401_0020)
        .chain([0, 0x8000_0000, 0x8000_0001, 0xc000_0000, u32::MAX])
}

fn returned(outcome: Outcome) -> [u64; 4] {
    match outcome {
        Outcome::Return(Registers(registers)) => registers,
        other => panic!("{other:?}"),
    }
}

fn run(call_: &Call, config: Config) -> Outcome {
    call(call_, config, &Vm::default())
}

#[test]
fn versions_are_numbers() {
    let raw: Vec<_> = Version::ALL.iter().map(|v| v.into_raw()).collect();
    assert_eq!(raw, [1, 2, 0x1_0000, 0x1_0001, 0x1_0002, 0x1_0003]);
    for version in Version::ALL {
        assert_eq!(Version::from_raw(version.into_raw().into()), Some(*version));
        if *version != Version::V0_1 {
            assert_eq!(
                returned(run(&hvc(0x8400_0000, [7; 3]), config(*version))),
                [u64::from(version.into_raw()), 0, 0, 0]
            );
        }
    }
    assert_eq!(Version::from_raw(0), None);
    assert_eq!(Version::from_raw(0x1_0004), None);
    assert_eq!(Version::from_raw(0x1_0000_0002), None);
}

/// Checks that `id` is a function of `version`, and that PSCI_FEATURES knows it, if it should be.
fn check_function(id: u32, version: Version) {
    let there = if version == Version::V0_1 {
        id == 0x95c1_ba5f || id == 0x95c1_ba60
    } else {
        FUNCTIONS
            .iter()
            .any(|(known, since)| *known == id && *since <= version)
    };
    let there_32 = there && id & 0x4000_0000 == 0;
    let refusal = Outcome::Return(Registers(NOT_SUPPORTED));
    // Zeros are good arguments for each of them, but for PSCI_FEATURES: there is no function 0.
    let refused = run(&hvc(id, [0; 3]), config(version)) == refusal;
    assert_eq!(refused, !there || id == 0x8400_000a, "{id:#x} {version:?}");
    let refused = run(&hvc32(id, [0; 3]), config(version)) == refusal;
    assert_eq!(
        refused,
        !there_32 || id == 0x8400_000a,
        "{id:#x} {version:?}"
    );

    if version < Version::V1_0 {
        return;
    }
    let expected = |there| match id {
        0x8400_0015 | 0xc400_0015 if there => [1, 0, 0, 0],
        // SMCCC_VERSION.
        0x8000_0000 => [0; 4],
        _ if there => [0; 4],
        _ => NOT_SUPPORTED,
    };
    let features = hvc(0x8400_000a, [0x5555_0000_0000_0000 | u64::from(id), 1, 2]);
    let answer = returned(run(&features, config(version)));
    assert_eq!(answer, expected(there), "{id:#x} {version:?}");
    let features = hvc32(0x8400_000a, [id.into(), 1, 2]);
    let answer = returned(run(&features, config(version)));
    assert_eq!(answer, expected(there_32), "{id:#x} {version:?}");
}

#[test]
fn only_functions_of_the_version_are_there() {
    for version in Version::ALL {
        for id in interesting_ids() {
            check_function(id, *version);
        }
    }
}

#[test]
fn psci_is_a_range_of_numbers() {
    for id in interesting_ids() {
        let standard = id & 0x3f00_0000 == 0x0400_0000 && id & 0xffff < 0x20;
        let old = (0x95c1_ba5e..0x95c1_ba62).contains(&id);
        assert_eq!(Function::is_psci(FunctionId::new(id)), standard || old);
        assert_eq!(Function::is_0_1(FunctionId::new(id)), old);
    }
}

proptest! {
    #[test]
    fn no_other_functions_are_there(id: u32, version in any_version()) {
        check_function(id, version);
        if Function::decode(FunctionId::new(id), version).is_some() {
            prop_assert!(Function::is_psci(FunctionId::new(id)));
        }
    }

    #[test]
    fn cpu_on(
        wide: bool, target: u64, entry: u64, context: u64, big_endian: bool,
        version in any_version(),
    ) {
        let (id, mask) = match (version, wide) {
            (Version::V0_1, _) => (0x95c1_ba60, u64::MAX),
            (_, true) => (0xc400_0003, u64::MAX),
            (_, false) => (0x8400_0003, 0xffff_ffff),
        };
        let vm = Vm { big_endian, ..Vm::default() };
        for target in [target, target & 0xff_00ff_ffff] {
            let outcome = call(&hvc(id, [target, entry, context]), config(version), &vm);
            let target = target & mask;
            if target & !0xff_00ff_ffff != 0 {
                prop_assert_eq!(returned(outcome), INVALID);
                continue;
            }
            let Outcome::PowerOn(power_on) = outcome else {
                return Err(TestCaseError::fail(format!("{outcome:?}")));
            };
            prop_assert_eq!(power_on.target.into_raw(), target);
            prop_assert_eq!(power_on.state, PowerOnState {
                entry: entry & mask,
                context: context & mask,
                big_endian,
            });
            prop_assert_eq!(power_on.answer(Ok(())), Registers([0; 4]));
            prop_assert_eq!(
                power_on.answer(Err(PowerOnError::NotPresent)),
                Registers(INVALID)
            );
            let already = if version == Version::V0_1 { -2i64 } else { -4 };
            prop_assert_eq!(
                power_on.answer(Err(PowerOnError::AlreadyOn)),
                Registers([already as u64, 0, 0, 0])
            );
        }
    }

    /// The model compares the affinity fields one by one.
    #[test]
    fn affinity_info(
        cpus in vec((0u8..3, 0u8..3, 0u8..3, 0u8..3, any::<bool>()), 1..12),
        target in (0u8..3, 0u8..3, 0u8..3, 0u8..3),
        level in 0u64..6,
        wide: bool,
        junk: u32,
    ) {
        let mpidr = |aff3: u8, aff2: u8, aff1: u8, aff0: u8| {
            (u64::from(aff3) << 32)
                | (u64::from(aff2) << 16)
                | (u64::from(aff1) << 8)
                | u64::from(aff0)
        };
        let vm = Vm {
            vcpus: cpus
                .iter()
                .map(|(a3, a2, a1, a0, on)| (mpidr(*a3, *a2, *a1, *a0) | (1 << 31), *on))
                .collect(),
            ..Vm::default()
        };
        let (t3, t2, t1, t0) = target;
        let t3 = if wide { t3 } else { 0 };
        let argument = mpidr(t3, t2, t1, t0);
        let high = u64::from(junk) << 32;
        let call_ = if wide {
            hvc(0xc400_0004, [argument, level, 0])
        } else {
            // The upper halves are no arguments.
            hvc(0x8400_0004, [argument | high, level | high, 0])
        };
        let group: Vec<_> = cpus
            .iter()
            .filter(|(a3, a2, a1, a0, _)| {
                *a3 == t3
                    && (level > 2 || *a2 == t2)
                    && (level > 1 || *a1 == t1)
                    && (level > 0 || *a0 == t0)
            })
            .collect();
        let expected = if level > 3 || group.is_empty() {
            INVALID
        } else if group.iter().any(|(.., on)| *on) {
            [0; 4]
        } else {
            [1, 0, 0, 0]
        };
        prop_assert_eq!(returned(call(&call_, LATEST, &vm)), expected);
    }

    #[test]
    fn affinity_info_of_what_is_no_affinity(target: u64) {
        prop_assume!(target & !0xff_00ff_ffff != 0);
        let call_ = hvc(0xc400_0004, [target, 3, 0]);
        prop_assert_eq!(returned(run(&call_, LATEST)), INVALID);
    }

    #[test]
    fn affinities_are_bits_of_mpidr(raw: u64) {
        let affinity = Affinity::from_mpidr(raw);
        prop_assert_eq!(affinity.into_raw(), raw & 0xff_00ff_ffff);
        prop_assert_eq!(Affinity::new(affinity.into_raw()), Some(affinity));
        let exact = affinity.into_raw() == raw;
        prop_assert_eq!(Affinity::new(raw), exact.then_some(affinity));
    }

    #[test]
    fn reset2(kind: u64, cookie: u64, x3: u64, wide: bool, version in any_version()) {
        let id = if wide { 0xc400_0012 } else { 0x8400_0012 };
        let edges = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
            .map(|low| (kind & !0xffff_ffff) | low);
        for kind in edges.into_iter().chain([kind]) {
            let outcome = run(&hvc(id, [kind, cookie, x3]), config(version));
            let valid = kind as u32 == 0 || kind as u32 >= 1 << 31;
            if version < Version::V1_1 {
                prop_assert_eq!(returned(outcome), NOT_SUPPORTED);
            } else if valid {
                let mask = if wide { u64::MAX } else { 0xffff_ffff };
                let registers = [FAILURE[0], kind & mask, cookie & mask, x3 & mask];
                prop_assert_eq!(
                    outcome,
                    Outcome::SystemEvent(SystemEvent::Reset2, Registers(registers))
                );
            } else {
                prop_assert_eq!(returned(outcome), INVALID);
            }
        }
    }

    #[test]
    fn off2(kind in 0u64..4, cookie in 0u64..2, wide: bool, version in any_version()) {
        let id = if wide { 0xc400_0015 } else { 0x8400_0015 };
        let outcome = run(&hvc(id, [kind, cookie, 5]), config(version));
        if version < Version::V1_3 {
            prop_assert_eq!(returned(outcome), NOT_SUPPORTED);
        } else if kind < 2 && cookie == 0 {
            prop_assert_eq!(
                outcome,
                Outcome::SystemEvent(SystemEvent::Hibernate, Registers(FAILURE))
            );
        } else {
            prop_assert_eq!(returned(outcome), INVALID);
        }
    }

    #[test]
    fn suspending_the_system_is_up_to_user_space(
        arguments: [u64; 3], wide: bool, enabled: bool, version in any_version(), x0_high: u32,
    ) {
        let id = SUSPEND[usize::from(wide)];
        let config = Config { version, system_suspend: enabled };
        let [x1, x2, x3] = arguments;
        let x0 = (u64::from(x0_high) << 32) | u64::from(id);
        let registers = Registers([x0, x1, x2, x3]);
        let call_ = Call::new(Conduit::Hvc, false, 0, true, registers);
        let outcome = run(&call_, config);
        let there = enabled && version >= Version::V1_0;
        if there {
            let mask = if wide { u64::MAX } else { 0xffff_ffff };
            let registers = [x0, x1 & mask, x2 & mask, x3 & mask];
            prop_assert_eq!(
                outcome,
                Outcome::SystemEvent(SystemEvent::Suspend, Registers(registers))
            );
        } else {
            prop_assert_eq!(returned(outcome), NOT_SUPPORTED);
        }
        if version >= Version::V1_0 {
            let features = returned(run(&hvc(0x8400_000a, [id.into(), 0, 0]), config));
            prop_assert_eq!(features, if there { [0; 4] } else { NOT_SUPPORTED });
        }
    }

    #[test]
    fn aarch64_starts_at_the_entry(entry: u64, context: u64, big_endian: bool, sctlr: u64) {
        let state = PowerOnState { entry, context, big_endian };
        let start = state.entry(false, sctlr);
        prop_assert_eq!(start.pc, entry);
        prop_assert_eq!(start.x0, context);
        prop_assert_eq!(start.sctlr, if big_endian { sctlr | (1 << 25) } else { sctlr });
        let pstate = Pstate::from_raw(start.pstate.into_raw());
        prop_assert_eq!(pstate.mode(), Some(Mode::El1h));
        prop_assert_eq!(pstate.into_raw(), 0x3c5);
    }

    #[test]
    fn aarch32_starts_in_the_right_instruction_set(
        entry: u32, context: u32, big_endian: bool, sctlr: u64,
    ) {
        let state = PowerOnState { entry: entry.into(), context: context.into(), big_endian };
        let start = state.entry(true, sctlr);
        prop_assert_eq!(start.pc, u64::from(entry & !1));
        prop_assert_eq!(start.x0, u64::from(context));
        prop_assert_eq!(start.sctlr, sctlr);
        let pstate = Pstate32::from_raw(start.pstate.into_raw());
        prop_assert_eq!(pstate.t(), entry & 1 == 1);
        prop_assert_eq!(pstate.e(), big_endian);
        prop_assert_eq!(pstate.with_t(false).with_e(false).into_raw(), 0x1d3);
    }
}

#[test]
fn what_needs_no_argument() {
    let success = Registers([0; 4]);
    let failure = Registers(FAILURE);
    for id in [0x8400_0001, 0xc400_0001] {
        let suspend = hvc(id, [u64::MAX; 3]);
        assert_eq!(run(&suspend, LATEST), Outcome::Standby(success));
    }
    for (id, version) in [
        (0x8400_0002, Version::V0_2),
        (0x95c1_ba5f, Version::V0_1),
        (0x8400_0002, Version::V1_3),
    ] {
        let off = hvc(id, [5; 3]);
        assert_eq!(run(&off, config(version)), Outcome::PowerOff(success));
    }
    assert_eq!(
        run(&hvc(0x8400_0006, [0; 3]), LATEST),
        Outcome::Return(Registers([2, 0, 0, 0]))
    );
    assert_eq!(
        run(&hvc(0x8400_0008, [3; 3]), LATEST),
        Outcome::SystemEvent(SystemEvent::Off, failure)
    );
    assert_eq!(
        run(&hvc(0x8400_0009, [3; 3]), LATEST),
        Outcome::SystemEvent(SystemEvent::Reset, failure)
    );
}

#[test]
fn cpus_of_an_aarch32_guest() {
    let on = hvc32(0x8400_0003, [1, 0x8001, 0x42]);
    let Outcome::PowerOn(power_on) = run(&on, LATEST) else {
        panic!("CPU_ON is there");
    };
    assert_eq!(power_on.target.into_raw(), 1);
    assert_eq!(power_on.state.entry, 0x8001);
    // What the CPU has in the upper halves is not the caller's.
    let old = hvc32(0x95c1_ba60, [0xffff_ffff_0000_0001, 1 << 40, 1 << 40]);
    let Outcome::PowerOn(power_on) = run(&old, config(Version::V0_1)) else {
        panic!("CPU_ON is there");
    };
    assert_eq!(power_on.target.into_raw(), 1);
    assert_eq!((power_on.state.entry, power_on.state.context), (0, 0));
}

#[test]
fn events_say_what_happened() {
    let all = [
        SystemEvent::Off,
        SystemEvent::Hibernate,
        SystemEvent::Reset,
        SystemEvent::Reset2,
        SystemEvent::Suspend,
    ];
    let seen: Vec<_> = all
        .iter()
        .map(|event| (event.event_type(), event.data(), event.stops_vcpus()))
        .collect();
    assert_eq!(
        seen,
        [
            (1, Some(0), true),
            (1, Some(1), true),
            (2, Some(0), true),
            (2, Some(1), true),
            (5, None, false),
        ]
    );
}
