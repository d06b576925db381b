// SPDX-License-Identifier: GPL-2.0

//! What an exit from the guest goes through: any syndrome, in any state of the vCPU.

#![no_main]

use kvm_core::{
    bits::Bits,
    context::{
        condition_holds,
        Context,
        Gpr, //
    },
    esr::{
        AbortKind,
        Esr,
        Level,
        SError, //
    },
    events::{
        Events,
        VirtualSError, //
    },
    exit_reason::ExitReason,
    far::HpfarEl2,
    guest_debug::{
        DebugAction,
        GuestDebug, //
    },
    inject::{
        AbortedAccess,
        Exception,
        Sctlr2El1, //
    },
    mmio::{
        decode,
        Direction,
        Endian,
        MmioAccess,
        Outcome,
        PendingMmio, //
    },
    pstate::{
        EntryFeatures,
        GuestPstate,
        GuestState,
        Mode, //
    },
    register::Reg,
    stage1::descriptor_level,
    sysreg::SysReg, //
};
use kvm_fuzz::{
    common::vcpu::{
        Vcpu,
        ALL, //
    },
    Input, //
};

kvm_fuzz::target!(run);

/// The registers that anything here looks at.
const REGS: [Reg; 9] = [
    Reg::SCTLR_EL1,
    Reg::TCR_EL1,
    Reg::TTBR0_EL1,
    Reg::TTBR1_EL1,
    Reg::VBAR_EL1,
    Reg::ESR_EL1,
    Reg::FAR_EL1,
    Reg::ELR_EL1,
    Reg::SPSR_EL1,
];

fn run(input: &mut Input<'_>) {
    let vcpu = any_vcpu(input);
    let (esr, far) = (Esr::from_raw(input.u64()), input.u64());
    let hpfar = HpfarEl2::from_raw(input.u64());
    syndrome(esr);
    steps(&vcpu, esr);
    mmio(&vcpu, esr, far, hpfar, input);
    inject(&vcpu, esr, far, input);
    walk(&vcpu, far, hpfar.page(), input);
}

/// A vCPU in a state that userspace or a guest can bring it to.
fn any_vcpu(input: &mut Input<'_>) -> Vcpu {
    let raw = input.u64();
    let pstate = match input.below(3) {
        0 => GuestPstate::new(raw, GuestState::Aarch64 { el0_aarch32: true }, ALL),
        1 => GuestPstate::new(raw, GuestState::Aarch32, ALL),
        _ => Ok(GuestPstate::from_exit(raw)),
    }
    .unwrap_or(GuestPstate::RESET);
    check_pstate(pstate);
    let mut vcpu = Vcpu::new(pstate, input.u64());
    for reg in REGS {
        vcpu.set_sysreg(reg, input.u64());
    }
    let (register, value) = (input.below(32), input.u64());
    vcpu.set_gpr(Gpr::new(register).unwrap(), value);
    vcpu
}

/// Nothing leads out of the guest.
fn check_pstate(pstate: GuestPstate) {
    let mode = pstate.mode();
    assert!(
        !matches!(
            mode,
            Mode::El2t | Mode::El2h | Mode::El3t | Mode::El3h | Mode::Mon | Mode::Hyp
        ),
        "{pstate:?}"
    );
    // M[4:0] is what the CPU goes by.
    let m = pstate.into_raw() & 0x1f;
    assert!(
        matches!(m, 0 | 4 | 5 | 0x10..=0x13 | 0x17 | 0x1b | 0x1f),
        "{pstate:?}"
    );
}

/// A syndrome means the same each time, and something.
fn syndrome(esr: Esr) {
    assert_eq!(esr.decode(), esr.decode());
    let reason = ExitReason::of(esr);
    assert_eq!(ExitReason::ALL[reason.index()], reason);
    assert!(!reason.name().is_empty() && reason.name().len() <= 47);
}

/// Stepping over an instruction.
fn steps(vcpu: &Vcpu, esr: Esr) {
    if let Some(pstate) = vcpu.pstate.aarch32() {
        for always in [14, 15] {
            assert!(condition_holds(Bits::truncated(always), pstate));
        }
    } else {
        assert!(vcpu.condition_passed(esr));
    }
    let mut after = vcpu.clone();
    after.advance(esr);
    check_advance(vcpu, &after, esr);
    assert_eq!(after.gprs, vcpu.gprs);
    assert_eq!(after.sysregs, vcpu.sysregs);
}

/// The program counter is behind the instruction, and aligned if it was.
fn check_advance(before: &Vcpu, after: &Vcpu, esr: Esr) {
    check_pstate(after.pstate);
    assert_eq!(after.pstate.mode(), before.pstate.mode());
    assert!(!after.pstate.ss());
    match before.pstate.aarch32() {
        None => assert_eq!(after.pc, before.pc.wrapping_add(4)),
        Some(aarch32) => {
            let short = aarch32.t() && !esr.il();
            let length = if short { 2 } else { 4 };
            assert_eq!(after.pc, before.pc.wrapping_add(length) & 0xffff_ffff);
            assert_eq!(aarch32.t(), after.pstate.aarch32().unwrap().t());
        }
    }
}

/// An access of a device, from the abort to its end.
fn mmio(vcpu: &Vcpu, esr: Esr, far: u64, hpfar: HpfarEl2, input: &mut Input<'_>) {
    let outcome = decode(vcpu, esr, far, hpfar);
    assert_eq!(outcome, decode(vcpu, esr, far, hpfar));
    match outcome {
        Outcome::Skip => {}
        Outcome::Walk { table, .. } => assert!(table >> 56 == 0 && table % 4096 == 0),
        Outcome::NoSyndrome(undecoded) | Outcome::LoadStore64B(undecoded) => {
            assert!(undecoded.fault_ipa >> 56 == 0);
        }
        Outcome::Access(access) => finish(vcpu, &access, esr, far, input.array()),
    }
}

fn finish(vcpu: &Vcpu, access: &MmioAccess, esr: Esr, far: u64, data: [u8; 8]) {
    assert!(access.ipa >> 56 == 0 && access.ipa % 4096 == far % 4096);
    let size = usize::from(access.size.bytes());
    assert!(matches!(size, 1 | 2 | 4 | 8));
    // ISS of a data abort: SSE is bit 21, SRT 20 to 16, SF 15.
    let iss = esr.into_raw();
    let register = Gpr::new(((iss >> 16) & 31) as u8).unwrap();
    let mut pending = PendingMmio::NONE;
    pending.start(access, esr);
    let mut after = vcpu.clone();
    assert!(pending.finish(&mut after, data));
    assert!(!pending.is_pending() && !pending.finish(&mut after, data));
    check_advance(vcpu, &after, esr);
    assert_eq!(after.sysregs, vcpu.sysregs);

    // In reading order the most significant byte first.
    let number = |bytes: &[u8]| {
        let mut bytes = bytes[..size].to_vec();
        if Endian::of(vcpu) == Endian::Little {
            bytes.reverse();
        }
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let mut expected = vcpu.gprs;
    match access.direction {
        Direction::Write(bytes) => {
            assert!(bytes[size..].iter().all(|byte| *byte == 0));
            let low = u64::MAX >> (64 - 8 * size);
            assert_eq!(number(&bytes), vcpu.gpr(register) & low);
        }
        Direction::Read(_) => {
            let mut value = i128::from(number(&data));
            if iss & (1 << 21) != 0 && value >> (8 * size - 1) != 0 {
                value -= 1 << (8 * size);
            }
            let value = value as u64;
            let wide = iss & (1 << 15) != 0;
            expected.set(register, if wide { value } else { value as u32 as u64 });
        }
    }
    assert_eq!(after.gprs, expected);
    assert_eq!(after.gpr(Gpr::ZERO), 0);
}

/// Exceptions that the vCPU is made to take.
fn inject(vcpu: &Vcpu, esr: Esr, far: u64, input: &mut Input<'_>) {
    let debug = GuestDebug::new(input.u32());
    let kind = if input.bool() {
        AbortKind::Data
    } else {
        AbortKind::Instruction
    };
    let exception = match input.below(7) {
        0 => Exception::Undefined,
        1 => Exception::SystemAccess {
            reg: SysReg::from_raw(input.u16()),
            rt: Gpr::new(input.below(32)).unwrap(),
            read: input.bool(),
        },
        2 => Exception::ExternalAbort {
            kind,
            access: AbortedAccess::Final {
                far: input.bool().then_some(far),
            },
        },
        3 => {
            let Some(level) = Level::new(input.below(5) as i8 - 1) else {
                return;
            };
            Exception::ExternalAbort {
                kind,
                access: AbortedAccess::Walk { far, level },
            }
        }
        4 => Exception::SError(SError::from_raw(input.u64())),
        5 => return events(vcpu, input.bool().then_some(far), input),
        _ => match debug.unwrap_or(GuestDebug::OFF).exception(esr, far) {
            Some(DebugAction::Guest(exception)) => Exception::Debug(exception),
            Some(DebugAction::Exit(exit)) => {
                assert!(debug.unwrap().is_enabled());
                let whole = u64::from(exit.hsr_high) << 32 | u64::from(exit.hsr);
                assert_eq!(whole, esr.into_raw());
                assert!(exit.far.is_none_or(|it| it == far));
                return;
            }
            None => return,
        },
    };
    let sctlr2 = Sctlr2El1::from_raw(input.u64());
    let mut after = vcpu.clone();
    match exception.take(&mut after, sctlr2, entry_features(input)) {
        Ok(()) => check_taken(vcpu, &after),
        Err(_) => {
            assert_eq!(&after, vcpu);
            assert!(vcpu.pstate.is_aarch32() && vcpu.pstate.is_privileged());
        }
    }
}

fn entry_features(input: &mut Input<'_>) -> EntryFeatures {
    let bits = input.u8();
    let bit = |n: u8| bits >> n & 1 != 0;
    EntryFeatures {
        pan: bit(0),
        ssbs: bit(1),
        dit: bit(2),
        mte2: bit(3),
        nmi: bit(4),
        ebep: bit(5),
        gcs_exlocken: bit(6),
    }
}

/// The vCPU is at a vector, with everything masked, and can return to where it was.
fn check_taken(before: &Vcpu, after: &Vcpu) {
    check_pstate(after.pstate);
    assert_eq!(after.pstate.mode(), Mode::El1h);
    // D, A, I and F.
    assert_eq!(after.pstate.into_raw() & 0x3c0, 0x3c0);
    let vbar = before.sysreg(Reg::VBAR_EL1) & !0x7ff;
    assert_eq!(after.pc & !0x7ff, vbar);
    assert_eq!(after.pc & 0x7f, 0);
    assert_eq!(after.gprs, before.gprs);
    assert_eq!(after.sysreg(Reg::ELR_EL1), before.pc);
    assert_eq!(after.sysreg(Reg::SPSR_EL1), before.pstate.into_raw());
    let written = [Reg::ESR_EL1, Reg::FAR_EL1, Reg::ELR_EL1, Reg::SPSR_EL1];
    for (reg, value) in &before.sysregs {
        assert!(
            written.contains(reg) || after.sysreg(*reg) == *value,
            "{reg:?}"
        );
    }
}

/// KVM_SET_VCPU_EVENTS with any bytes.
fn events(vcpu: &Vcpu, far: Option<u64>, input: &mut Input<'_>) {
    let ras = input.bool();
    let raw = input.array();
    let Ok(events) = Events::new(&raw, ras) else {
        return;
    };
    let (mut after, mut serror) = (vcpu.clone(), VirtualSError::default());
    let mut pending = PendingMmio::NONE;
    let features = entry_features(input);
    let sctlr2 = Sctlr2El1::from_raw(input.u64());
    match events.apply(&mut after, &mut serror, &mut pending, far, sctlr2, features) {
        Ok(()) if events.external_abort => check_taken(vcpu, &after),
        Ok(()) => assert_eq!(&after, vcpu),
        Err(_) => {
            assert_eq!(&after, vcpu);
            assert!(!serror.hcr_vse());
            return;
        }
    }
    assert_eq!(serror.hcr_vse(), events.serror.is_some());
    assert!(serror.vsesr().is_none_or(|iss| iss >> 25 == 0));
    let again = Events::new(&serror.get(ras), ras).unwrap();
    assert_eq!(again.serror.is_some(), events.serror.is_some());
    assert!(!again.external_abort);
}

/// A walk of tables that are any bytes.
fn walk(vcpu: &Vcpu, va: u64, page: u64, input: &mut Input<'_>) {
    let memory: [u64; 6] = std::array::from_fn(|_| input.u64());
    let holes = input.u8();
    let mut reads = Vec::new();
    let mut level = || {
        reads.clear();
        descriptor_level(vcpu, va, page, |ipa| {
            let n = reads.len();
            reads.push(ipa);
            (holes >> n & 1 == 0).then(|| memory[n].to_le_bytes())
        })
    };
    let first = level();
    assert_eq!(first, level());
    assert!(reads.len() <= 5);
    for ipa in reads {
        // A descriptor is never in two pages.
        assert_eq!(ipa % 8, 0, "{ipa:#x}");
        assert!(ipa & !0xfff != page);
    }
}
