// SPDX-License-Identifier: GPL-2.0

//! Exceptions that a vCPU is made to take.

mod common;

use common::vcpu::{
    pstate,
    Vcpu,
    ALL, //
};
use kvm_core::{
    context::Gpr,
    esr::{
        AbortKind,
        Esr,
        Level,
        Misuse,
        SError, //
    },
    inject::{
        AbortedAccess,
        DebugException,
        Exception,
        NotAarch64,
        Sctlr2El1, //
    },
    pstate::{
        EntryFeatures,
        GuestPstate,
        GuestState, //
    },
    register::Reg,
    sysreg::SysReg, //
};
use proptest::prelude::*;

const VBAR: u64 = 0xffff_8000_0801_0800;
const FAR: u64 = 0xffff_0000_dead_beef;

fn any_exception() -> impl Strategy<Value = Exception> {
    let kind = prop_oneof![Just(AbortKind::Data), Just(AbortKind::Instruction)];
    let access = prop_oneof![
        any::<Option<u64>>().prop_map(|far| AbortedAccess::Final { far }),
        (any::<u64>(), -2i8..4).prop_map(|(far, level)| AbortedAccess::Walk {
            far,
            level: Level::new(level).unwrap(),
        }),
    ];
    let debug = (any::<u64>(), 0usize..5, any::<u64>()).prop_map(|(esr, class, far)| {
        let ec = [0x30, 0x32, 0x34, 0x38, 0x3c][class];
        let esr = Esr::from_raw((esr & !(0x3f << 26)) | (ec << 26));
        Exception::Debug(DebugException::new(esr, far).unwrap())
    });
    prop_oneof![
        Just(Exception::Undefined),
        (any::<u16>(), 0u8..32, any::<bool>()).prop_map(|(reg, rt, read)| {
            Exception::SystemAccess {
                reg: SysReg::from_raw(reg),
                rt: Gpr::new(rt).unwrap(),
                read,
            }
        }),
        (kind, access).prop_map(|(kind, access)| Exception::ExternalAbort { kind, access }),
        (any::<bool>(), any::<bool>(), any::<u64>()).prop_map(|(atomic, write, far)| {
            Exception::Misuse {
                misuse: if atomic {
                    Misuse::Atomic
                } else {
                    Misuse::Unaligned
                },
                write,
                far,
            }
        }),
        any::<u64>().prop_map(|iss| Exception::SError(SError::from_raw(iss))),
        debug,
    ]
}

/// Makes a vCPU in state `raw` take `exception` and returns ESR_EL1, and the vector's offset.
fn take(exception: Exception, raw: u64, sctlr2: u64) -> (u64, u64, Vcpu) {
    let mut vcpu = Vcpu::new(pstate(raw), 0x4000).with(Reg::VBAR_EL1, VBAR);
    let features = EntryFeatures::of(ALL, false);
    exception
        .take(&mut vcpu, Sctlr2El1::from_raw(sctlr2), features)
        .unwrap();
    let esr = vcpu.sysregs[&Reg::ESR_EL1];
    (esr, vcpu.pc - VBAR, vcpu)
}

proptest! {
    #[test]
    fn what_entry_writes(
        exception in any_exception(),
        raw: u64,
        mode in 0usize..4,
        sctlr: u64,
        ease: bool,
    ) {
        let (mode, group) = [(0x00, 0x400), (0x04, 0x000), (0x05, 0x200), (0x10, 0x600)][mode];
        let from = pstate((raw & !0x1f) | mode);
        let mut vcpu = Vcpu::new(from, 0x1234_5678)
            .with(Reg::VBAR_EL1, VBAR | 0x7ff)
            .with(Reg::SCTLR_EL1, sctlr)
            .with(Reg::FAR_EL1, FAR);
        let before = vcpu.clone();
        let sctlr2 = Sctlr2El1::from_raw(0).with_ease(ease);
        exception.take(&mut vcpu, sctlr2, EntryFeatures::of(ALL, true)).unwrap();

        prop_assert_eq!(vcpu.sysregs[&Reg::ELR_EL1], 0x1234_5678);
        prop_assert_eq!(vcpu.sysregs[&Reg::SPSR_EL1], from.into_raw());
        prop_assert_eq!(vcpu.pstate.into_raw() & 0x3df, 0x3c5);
        let serror = match exception {
            Exception::SError(_) => true,
            Exception::ExternalAbort { .. } => ease,
            _ => false,
        };
        prop_assert_eq!(vcpu.pc, VBAR + group + if serror { 0x180 } else { 0 });
        // EL1 is told of EL0 as lower, of itself as the same, in each class that has two numbers.
        let ec = (vcpu.sysregs[&Reg::ESR_EL1] >> 26) & 0x3f;
        let lower = matches!(mode, 0x00 | 0x10);
        if matches!(ec, 0x20..=0x21 | 0x24..=0x25 | 0x30..=0x35) {
            prop_assert_eq!(ec & 1 == 0, lower);
        }
        // FAR_EL1 is written exactly if it says something.
        let far = match exception {
            Exception::ExternalAbort { access: AbortedAccess::Final { far }, .. } => far,
            Exception::ExternalAbort { access: AbortedAccess::Walk { far, .. }, .. } => Some(far),
            Exception::Misuse { far, .. } => Some(far),
            _ => exception.far(),
        };
        prop_assert_eq!(vcpu.sysregs[&Reg::FAR_EL1], far.unwrap_or(FAR));
        // And nothing else.
        prop_assert_eq!(vcpu.gprs, before.gprs);
        prop_assert_eq!(vcpu.sysregs.len(), 6);
        prop_assert_eq!(vcpu.sysregs[&Reg::SCTLR_EL1], sctlr);
    }

    #[test]
    fn an_aarch32_el1_is_left_alone(exception in any_exception(), raw: u64, mode in 0usize..6) {
        let mode = [0x11, 0x12, 0x13, 0x17, 0x1b, 0x1f][mode];
        let from = GuestPstate::new((raw & !0x1f) | mode, GuestState::Aarch32, ALL).unwrap();
        let mut vcpu = Vcpu::new(from, 0);
        let before = vcpu.clone();
        let result = exception.take(&mut vcpu, Sctlr2El1::from_raw(0), EntryFeatures::of(ALL, false));
        prop_assert_eq!(result, Err(NotAarch64));
        prop_assert_eq!(vcpu, before);
    }
}

#[test]
fn aborts_as_the_selftests_want_them() {
    let abort = |access| Exception::ExternalAbort {
        kind: AbortKind::Data,
        access,
    };
    let access = AbortedAccess::Final { far: Some(FAR) };
    let (esr, offset, vcpu) = take(abort(access), 0x3c5, 0);
    assert_eq!((esr, offset), (0x9600_0010, 0x200));
    assert_eq!(vcpu.sysregs[&Reg::FAR_EL1], FAR);
    // EASE, bit 5: the vector of SError, the same syndrome.
    let (esr, offset, vcpu) = take(abort(access), 0x3c5, 1 << 5);
    assert_eq!((esr, offset), (0x9600_0010, 0x380));
    assert_eq!(vcpu.sysregs[&Reg::FAR_EL1], FAR);
    // A walk that failed at level 3.
    let level = Level::new(3).unwrap();
    let (esr, _, _) = take(abort(AbortedAccess::Walk { far: FAR, level }), 0x3c5, 0);
    assert_eq!(esr, 0x9600_0017);
    // No address: FnV.
    let (esr, offset, _) = take(abort(AbortedAccess::Final { far: None }), 0x0, 0);
    assert_eq!((esr, offset), (0x9200_0410, 0x400));
}

#[test]
fn other_syndromes() {
    assert_eq!(take(Exception::Undefined, 0x10, 0).0, 0x0200_0000);
    assert_eq!(take(Exception::Undefined, 0x10, 0).1, 0x600);
    // MRS X3, ID_AA64PFR0_EL1 at EL0.
    let access = Exception::SystemAccess {
        reg: SysReg::ID_AA64PFR0_EL1,
        rt: Gpr::new(3).unwrap(),
        read: true,
    };
    assert_eq!(take(access, 0x0, 0).0, 0x6230_0069);
    let serror = Exception::SError(SError::from_raw(0x101_d1ed));
    assert_eq!(take(serror, 0x5, 0).0, 0xbf01_d1ed);
    assert_eq!(take(serror, 0x5, 0).1, 0x380);
}

#[test]
fn debug_exceptions_of_the_guest() {
    for (hyp, el0, el1, far) in [
        (0xc200_0022u64, 0xc200_0022u64, 0xc600_0022u64, false),
        (0xca00_0022, 0xca00_0022, 0xce00_0022, false),
        (0xd200_0062, 0xd200_0062, 0xd600_0062, true),
        (0xf200_0123, 0xf200_0123, 0xf200_0123, false),
        // BKPT of 2 bytes: IL is clear.
        (0xe000_0001, 0xe000_0001, 0xe000_0001, false),
    ] {
        let exception = DebugException::new(Esr::from_raw(hyp), FAR).unwrap();
        let (esr, _, vcpu) = take(Exception::Debug(exception), 0x0, 0);
        assert_eq!(esr, el0, "{hyp:#x}");
        assert_eq!(vcpu.sysregs.contains_key(&Reg::FAR_EL1), far);
        assert_eq!(take(Exception::Debug(exception), 0x5, 0).0, el1, "{hyp:#x}");
    }
    // From EL2 itself, a vector catch, and what is no debug exception.
    for ec in [0x31, 0x33, 0x35, 0x3a, 0x24, 0x00, 0x16] {
        assert_eq!(DebugException::new(Esr::from_raw(ec << 26), 0), None);
    }
}
