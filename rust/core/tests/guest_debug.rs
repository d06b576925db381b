// SPDX-License-Identifier: GPL-2.0

//! KVM_SET_GUEST_DEBUG, and stepping.

mod common;

use common::vcpu::{
    pstate,
    Vcpu,
    ALL, //
};
use kvm_core::{
    context::Context,
    esr::Esr,
    guest_debug::{
        guest_only,
        has_effect,
        BadControl,
        DebugAction,
        DebugExit,
        GuestDebug,
        MdscrEl1,
        SoftwareStep, //
    },
    inject::{
        Exception,
        Sctlr2El1, //
    },
    pstate::EntryFeatures,
    sysreg::SysReg, //
};
use proptest::prelude::*;

const STEP: u32 = GuestDebug::ENABLE | GuestDebug::SINGLESTEP;

/// ESR_EL2 of a Software Step exception.
const STEPPED: u64 = 0xca00_0022;

fn any_debug() -> impl Strategy<Value = GuestDebug> {
    any::<u32>().prop_map(|bits| GuestDebug::new(bits & GuestDebug::VALID).unwrap())
}

/// What a vCPU does while it is stepped.
#[derive(Copy, Clone, Debug)]
enum Act {
    /// The CPU executes the instruction.
    Execute,
    /// The instruction traps and is emulated, with an exit to the host between or not.
    Emulate { puts: bool },
    /// The instruction is UNDEFINED.
    Undefined,
    /// A host interrupt comes before the instruction.
    Interrupt,
}

proptest! {
    #[test]
    fn control(control: u32) {
        match GuestDebug::new(control) {
            Err(BadControl { unknown }) => {
                prop_assert_ne!(unknown, 0);
                prop_assert_eq!(unknown, control & !0x3_0003);
            }
            Ok(debug) => {
                prop_assert_eq!(control & !0x3_0003, 0);
                let on = control & 1 != 0;
                prop_assert_eq!(debug.is_enabled(), on);
                prop_assert_eq!(debug.single_step(), on && control & 2 != 0);
                prop_assert_eq!(debug.uses_hardware(), on && control & 0x2_0000 != 0);
                prop_assert_eq!(debug == GuestDebug::OFF, !on);
            }
        }
    }

    #[test]
    fn registers(debug in any_debug(), mdscr: u64, os_lock: bool) {
        let guest = MdscrEl1::from_raw(mdscr);
        prop_assert_eq!(debug.lets_guest_debug(os_lock), !debug.is_enabled() && !os_lock);
        // What enables debug exceptions is the debugger's, the rest is the guest's.
        let external = debug.mdscr(guest).into_raw();
        prop_assert_eq!(external & !0xa001, mdscr & !0xa001);
        prop_assert_eq!(external & 1 != 0, debug.single_step());
        let hw = if debug.uses_hardware() { 0xa000 } else { 0 };
        prop_assert_eq!(external & 0xa000, hw);
    }

    #[test]
    fn what_has_an_effect(
        mdscr in prop_oneof![any::<u64>(), any::<u64>().prop_map(|raw| raw & !0xa000)],
        controls in prop::collection::vec(any::<u64>().prop_map(|raw| raw & !1), 0..32),
        enabled in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut controls = controls;
        let mut expected = mdscr & 0xa000 != 0;
        if let Some(index) = enabled.filter(|_| !controls.is_empty()) {
            *index.get_mut(&mut controls) |= 1;
            expected = true;
        }
        let mdscr = MdscrEl1::from_raw(mdscr);
        prop_assert_eq!(has_effect(mdscr, controls.into_iter()), expected);
    }

    #[test]
    fn nothing_matches_in_the_hypervisor(control: u64) {
        let limited = guest_only(control);
        // HMC and SSC clear; every other field stays.
        prop_assert_eq!(limited, control & !0x2000_e000);
    }

    #[test]
    fn where_exceptions_go(debug in any_debug(), esr: u64, far: u64, class in 0u64..64) {
        let esr = (esr & !(0x3f << 26)) | (class << 26);
        let action = debug.exception(Esr::from_raw(esr), far);
        prop_assert_eq!(action.is_some(), [0x30, 0x32, 0x34, 0x38, 0x3c].contains(&class));
        match action {
            None => {}
            Some(DebugAction::Guest(_)) => prop_assert!(!debug.is_enabled()),
            Some(DebugAction::Exit(exit)) => {
                prop_assert!(debug.is_enabled());
                let hsr = (u64::from(exit.hsr_high) << 32) | u64::from(exit.hsr);
                prop_assert_eq!(hsr, esr);
                prop_assert_eq!(exit.far, (class == 0x34).then_some(far));
            }
        }
    }

    /// Each KVM_RUN executes one instruction, however it is executed, and the guest's own
    /// PSTATE.SS never changes for it.
    #[test]
    fn each_run_is_one_instruction(
        acts in prop::collection::vec(
            prop_oneof![
                Just(Act::Execute),
                any::<bool>().prop_map(|puts| Act::Emulate { puts }),
                Just(Act::Undefined),
                Just(Act::Interrupt),
            ],
            1..30,
        ),
        guest_ss: bool,
    ) {
        let debug = GuestDebug::new(STEP).unwrap();
        let mut step = SoftwareStep::IDLE;
        let mut vcpu = Vcpu::new(pstate(0x3c5).with_ss(guest_ss), 0x1000);
        let mut expected_ss = guest_ss;
        let mut expected_pc = 0x1000;
        for act in acts {
            vcpu.pstate = step.load(debug, vcpu.pstate);
            // Active and not pending: the next instruction is executed.
            prop_assert!(vcpu.pstate.ss());
            match act {
                Act::Execute => {
                    vcpu.pc += 4;
                    vcpu.pstate = vcpu.pstate.after_instruction();
                    expected_pc += 4;
                }
                Act::Emulate { puts } => {
                    if puts {
                        vcpu.pstate = step.put(vcpu.pstate);
                        prop_assert_eq!(vcpu.pstate.ss(), expected_ss);
                        vcpu.pstate = step.load(debug, vcpu.pstate);
                    }
                    vcpu.advance(Esr::from_raw(1 << 25));
                    expected_pc += 4;
                }
                Act::Undefined => {
                    Exception::Undefined
                        .take(&mut vcpu, Sctlr2El1::from_raw(0), EntryFeatures::of(ALL, false))
                        .unwrap();
                    // The step ends at the first instruction of the handler.
                    expected_pc = 0x200;
                }
                Act::Interrupt => {}
            }
            if matches!(act, Act::Interrupt) {
                vcpu.pstate = step.put(vcpu.pstate);
                prop_assert_eq!(vcpu.pstate.ss(), expected_ss);
                continue;
            }
            // A preemption before the exception comes does not lose it.
            vcpu.pstate = step.put(vcpu.pstate);
            prop_assert_eq!(vcpu.pstate.ss(), expected_ss);
            vcpu.pstate = step.load(debug, vcpu.pstate);
            prop_assert!(!vcpu.pstate.ss());
            let action = debug.exception(Esr::from_raw(STEPPED), 0);
            let Some(DebugAction::Exit(exit)) = action else {
                panic!("{action:?}");
            };
            vcpu.pstate = step.after_exit(&exit, vcpu.pstate);
            vcpu.pstate = step.put(vcpu.pstate);
            prop_assert_eq!(vcpu.pstate.ss(), expected_ss);
            prop_assert_eq!(vcpu.pc, expected_pc);
            // Userspace may set the guest's.
            expected_ss = !expected_ss;
            vcpu.pstate = vcpu.pstate.with_ss(expected_ss);
        }
    }

    #[test]
    fn a_vcpu_that_is_not_stepped_keeps_its_pstate(debug in any_debug(), raw: u64, ran: bool) {
        prop_assume!(!debug.single_step());
        let mut step = SoftwareStep::IDLE;
        let before = pstate((raw & !0x1f) | 5);
        let loaded = step.load(debug, before);
        prop_assert_eq!(loaded, before);
        // The guest steps itself.
        let after = loaded.with_ss(loaded.ss() && !ran);
        prop_assert_eq!(step.put(after), after);
        let exit = DebugExit { hsr: STEPPED as u32, hsr_high: 0, far: None };
        prop_assert_eq!(step.after_exit(&exit, after), after);
        prop_assert_eq!(step, SoftwareStep::IDLE);
    }
}

#[test]
fn an_end_of_stepping_forgets_the_exit() {
    let debug = GuestDebug::new(STEP).unwrap();
    for (next, ss) in [(debug, false), (GuestDebug::OFF, true)] {
        let mut step = SoftwareStep::IDLE;
        // An instruction is done; userspace gets control before the exception.
        let running = step.load(debug, pstate(0x5));
        let stopped = step.put(running.after_instruction());
        assert!(!stopped.ss());
        step.configure(next);
        assert_eq!(step.load(debug, stopped).ss(), ss);
    }
}

#[test]
fn an_exit_for_a_breakpoint_is_no_step() {
    let debug = GuestDebug::new(STEP).unwrap();
    let mut step = SoftwareStep::IDLE;
    let running = step.load(debug, pstate(0x5)).with_ss(false);
    let exit = |hsr| DebugExit {
        hsr,
        hsr_high: 0,
        far: None,
    };
    assert!(!step.after_exit(&exit(0xf200_0000), running).ss());
    assert!(step.after_exit(&exit(STEPPED as u32), running).ss());
    // Loading twice is loading once.
    assert_eq!(step.load(debug, running), running);
}

#[test]
fn registers_are_named_as_they_are() {
    assert_eq!(MdscrEl1::NAME, "MDSCR_EL1");
    assert_eq!(SysReg::MDSCR_EL1.to_string(), "S2_0_C0_C2_2");
}
