// SPDX-License-Identifier: GPL-2.0

//! Exception syndromes and fault addresses.

use std::collections::BTreeSet;

use kvm_core::{
    bit_struct::{
        BitStruct,
        FieldInfo, //
    },
    bits::Bits,
    esr::{
        AbortKind,
        Access,
        AccessSize,
        Coprocessor32,
        Coprocessor64,
        CoprocessorMemory,
        DataAbort,
        ErrorType,
        Esr,
        ExceptionClass,
        ExternalAbort,
        FaultStatus,
        Immediate,
        InstructionAbort,
        Level,
        Misuse,
        Origin,
        SError,
        SmeReason,
        SoftwareStep,
        Syndrome,
        Wait,
        WaitKind,
        Watchpoint, //
    },
    far::{
        fault_ipa,
        HpfarEl2, //
    },
    sysreg::SysReg, //
};
use proptest::prelude::*;

fn level(level: i8) -> Level {
    Level::new(level).unwrap()
}

proptest! {
    #[test]
    fn decoding_is_total(raw: u64) {
        let esr = Esr::from_raw(raw);
        let text = format!("{:?}", esr.decode());
        prop_assert!(!text.is_empty());
        prop_assert_eq!(esr.ec().into_bits().get(), (raw >> 26) & 0x3f);
        prop_assert_eq!(esr.payload(), raw & 0x00ff_ffff_01ff_ffff);
    }

    #[test]
    fn accesses_are_what_was_built(
        raw: u16, rt in 0u64..32, read: bool,
    ) {
        let (reg, rt) = (SysReg::from_raw(raw), Bits::new(rt).unwrap());
        let esr = Esr::system_access(reg, rt, read);
        prop_assert_eq!(esr.ec(), ExceptionClass::System);
        prop_assert!(esr.il());
        let Syndrome::System(access) = esr.decode() else {
            panic!("{esr:?} is not a system register access");
        };
        prop_assert_eq!((access.reg(), access.rt(), access.read()), (reg, rt, read));
        // The fields that the structure has of its own agree with SysReg's reading.
        prop_assert_eq!(
            (access.op0(), access.op1(), access.crn(), access.crm(), access.op2()),
            (
                Bits::truncated(reg.op0().into()),
                Bits::truncated(reg.op1().into()),
                Bits::truncated(reg.crn().into()),
                Bits::truncated(reg.crm().into()),
                Bits::truncated(reg.op2().into()),
            )
        );
        prop_assert_eq!(esr.into_raw() >> 32, 0);
    }

    #[test]
    fn serrors_are_what_was_built(iss in 0u64..1 << 25, above: u64) {
        let esr = Esr::serror(SError::from_raw(iss | (above << 25)));
        prop_assert_eq!(esr.into_raw(), 0xbe00_0000 | iss);
        prop_assert_eq!(esr.decode(), Syndrome::SError(SError::from_raw(iss)));
    }

    #[test]
    fn ipa_is_page_and_offset(page in 0u64..1 << 44, far: u64, noise: u64) {
        // FIPA is bits 47 to 4; the others say nothing of the address.
        let hpfar = HpfarEl2::from_raw((page << 4) | (noise & 0xffff_0000_0000_000f));
        prop_assert_eq!(hpfar.page(), page * 4096);
        prop_assert_eq!(fault_ipa(hpfar, far), page * 4096 + far % 4096);
    }
}

#[test]
fn exception_classes_round_trip() {
    let mut allocated = BTreeSet::new();
    for raw in 0..64 {
        let bits = Bits::new(raw).unwrap();
        let class = ExceptionClass::from_bits(bits);
        assert_eq!(class.into_bits(), bits);
        match class {
            ExceptionClass::Unallocated(number) => assert_eq!(number, bits),
            class => assert!(allocated.insert(class)),
        }
    }
    assert_eq!(allocated.len(), ExceptionClass::ALLOCATED.len());
    // Those of the Arm ARM's table for ESR_EL2 that nothing is allocated to.
    for free in [
        0x02, 0x0b, 0x0f, 0x10, 0x1b, 0x23, 0x29, 0x2a, 0x2b, 0x2e, 0x36, 0x37, 0x39, 0x3b, 0x3e,
        0x3f,
    ] {
        let bits = Bits::new(free).unwrap();
        assert_eq!(
            ExceptionClass::from_bits(bits),
            ExceptionClass::Unallocated(bits)
        );
    }
}

#[test]
fn fault_status_round_trips() {
    let mut statuses = Vec::new();
    for raw in 0..64 {
        let bits = Bits::new(raw).unwrap();
        let status = FaultStatus::from_bits(bits);
        assert_eq!(status.to_bits(), Some(bits), "{status:?}");
        assert!(!statuses.contains(&status), "{status:?} twice");
        statuses.push(status);
    }
}

#[test]
fn fault_status_codes() {
    for (code, status) in [
        (0x00, FaultStatus::AddressSize(level(0))),
        (0x03, FaultStatus::AddressSize(level(3))),
        (0x04, FaultStatus::Translation(level(0))),
        (0x07, FaultStatus::Translation(level(3))),
        (0x09, FaultStatus::AccessFlag(level(1))),
        (0x0c, FaultStatus::Permission(level(0))),
        (0x0f, FaultStatus::Permission(level(3))),
        (0x10, FaultStatus::External),
        (0x11, FaultStatus::TagCheck),
        (0x12, FaultStatus::ExternalWalk(level(-2))),
        (0x13, FaultStatus::ExternalWalk(level(-1))),
        (0x16, FaultStatus::ExternalWalk(level(2))),
        (0x18, FaultStatus::Parity),
        (0x1b, FaultStatus::ParityWalk(level(-1))),
        (0x1d, FaultStatus::ParityWalk(level(1))),
        (0x21, FaultStatus::Alignment),
        (0x22, FaultStatus::GranuleProtectionWalk(level(-2))),
        (0x23, FaultStatus::GranuleProtectionWalk(level(-1))),
        (0x24, FaultStatus::GranuleProtectionWalk(level(0))),
        (0x28, FaultStatus::GranuleProtection),
        (0x29, FaultStatus::AddressSize(level(-1))),
        (0x2a, FaultStatus::Translation(level(-2))),
        (0x2b, FaultStatus::Translation(level(-1))),
        (0x2c, FaultStatus::AddressSize(level(-2))),
        (0x30, FaultStatus::TlbConflict),
        (0x31, FaultStatus::AtomicHardwareUpdate),
        (0x34, FaultStatus::Lockdown),
        (0x35, FaultStatus::UnsupportedAtomic),
    ] {
        assert_eq!(FaultStatus::from_bits(Bits::new(code).unwrap()), status);
    }
    for code in [
        0x19, 0x1a, 0x20, 0x2d, 0x2e, 0x2f, 0x32, 0x33, 0x36, 0x3d, 0x3f,
    ] {
        let bits = Bits::new(code).unwrap();
        assert_eq!(FaultStatus::from_bits(bits), FaultStatus::Unallocated(bits));
    }
}

#[test]
fn faults_that_no_code_exists_for() {
    assert_eq!(Level::new(-3), None);
    assert_eq!(Level::new(4), None);
    for below_zero in [-2, -1] {
        let level = level(below_zero);
        assert_eq!(FaultStatus::AccessFlag(level).to_bits(), None);
        assert_eq!(FaultStatus::Permission(level).to_bits(), None);
    }
    assert_eq!(FaultStatus::ParityWalk(level(-2)).to_bits(), None);
}

#[test]
fn hpfar_validity() {
    let of = |code| FaultStatus::from_bits(Bits::new(code).unwrap());
    for (code, on_access, on_walk) in [
        (0x00, true, true),   // Address size.
        (0x29, true, true),   // Address size, level -1.
        (0x06, true, true),   // Translation.
        (0x2b, true, true),   // Translation, level -1.
        (0x0b, true, true),   // Access flag.
        (0x0f, false, true),  // Permission.
        (0x10, false, false), // External abort.
        (0x21, false, false), // Alignment.
        (0x22, true, true),   // Granule protection on a walk, level -2.
        (0x27, true, true),   // Granule protection on a walk, level 3.
        (0x28, false, false), // Granule protection, not on a walk.
    ] {
        assert_eq!(of(code).writes_hpfar(false), on_access, "{code:#x}");
        assert_eq!(of(code).writes_hpfar(true), on_walk, "{code:#x}");
    }
}

#[test]
fn a_load_from_a_device() {
    // ldr x0, [device]: translation fault at level 3, stage 2.
    let Syndrome::DataAbort(Origin::Lower, abort) = Esr::from_raw(0x93c0_8007).decode() else {
        panic!();
    };
    assert_eq!(abort.status(), FaultStatus::Translation(level(3)));
    assert_eq!(
        abort.access(),
        Some(Access {
            write: false,
            size: AccessSize::Doubleword,
            register: Bits::of::<0>(),
            register_64: true,
            sign_extend: false,
            ordered: false,
        })
    );
}

#[test]
fn loads_and_stores_of_every_kind() {
    for (esr, write, bytes, rt, wide, signed, ordered) in [
        (0x9383_0046u64, true, 4, 3, false, false, false), // str w3
        (0x933f_8007, false, 1, 31, true, true, false),    // ldrsb xzr
        (0x9362_0007, false, 2, 2, false, true, false),    // ldrsh w2
        (0x93c5_c047, true, 8, 5, true, false, true),      // stlr x5
    ] {
        let Syndrome::DataAbort(_, abort) = Esr::from_raw(esr).decode() else {
            panic!("{esr:#x}");
        };
        let access = abort.access().unwrap();
        assert_eq!(access.write, write, "{esr:#x}");
        assert_eq!(access.size.bytes(), bytes, "{esr:#x}");
        assert_eq!(access.register, rt, "{esr:#x}");
        assert_eq!(access.register_64, wide, "{esr:#x}");
        assert_eq!(access.sign_extend, signed, "{esr:#x}");
        assert_eq!(access.ordered, ordered, "{esr:#x}");
    }
}

#[test]
fn an_abort_without_a_valid_syndrome_has_no_access() {
    // ISV clear, all that it guards set.
    let Syndrome::DataAbort(Origin::Lower, abort) = Esr::from_raw(0x92ff_c046).decode() else {
        panic!();
    };
    assert_eq!(abort.access(), None);
    assert!(abort.wnr());
}

#[test]
fn abort_qualifiers() {
    let flags = |raw: u64| match Esr::from_raw(0x9200_0000 | raw).decode() {
        Syndrome::DataAbort(_, abort) => abort,
        other => panic!("{other:?}"),
    };
    assert!(flags(1 << 7).s1ptw() && !flags(!(1 << 7) & 0x1ff_ffff).s1ptw());
    assert!(flags(1 << 8).cm() && flags(1 << 9).ea() && flags(1 << 10).fnv());
    assert_eq!(flags(2 << 11).set(), 2);
    assert!(flags(1 << 13).vncr());
    // ISS2 starts at bit 32.
    assert_eq!(flags(0x15 << 32).xs(), 0x15);
    assert!(flags(1 << 37).dirtybit() && flags(1 << 38).overlay() && flags(1 << 39).assuredonly());
    assert!(flags(1 << 40).gcs() && flags(1 << 41).tagaccess() && flags(1 << 42).tnd());
    assert!(flags(1 << 43).hdbssf());
}

/// What an access asks of stage 2, by what it is, and not by WnR alone.
#[test]
fn accesses_that_need_write_permission() {
    let permission = FaultStatus::Permission(level(3));
    let translation = FaultStatus::Translation(level(3));
    // (cm, s1ptw, wnr, the status), and whether it needs write permission.
    for ((cm, s1ptw, wnr, status), write) in [
        ((false, false, false, translation), false),
        ((false, false, false, permission), false),
        ((false, false, true, translation), true),
        ((false, false, true, permission), true),
        // Cache maintenance, of which DC IVAC alone is refused for want of a permission. It would be
        // refused for ever were it taken for a read.
        ((true, false, true, translation), false),
        ((true, false, true, permission), true),
        // A walk, which writes if hardware updates the descriptor.
        ((false, true, true, translation), false),
        ((false, true, false, permission), true),
        // A walk for an address translation instruction.
        ((true, true, false, translation), false),
        ((true, true, false, permission), true),
    ] {
        let abort = DataAbort::from_raw(0)
            .with_dfsc(status.to_bits().unwrap())
            .with_cm(cm)
            .with_s1ptw(s1ptw)
            .with_wnr(wnr);
        assert_eq!(abort.needs_write(), write, "{abort:?}");
    }
}

#[test]
fn instruction_aborts() {
    // A page that is not mapped at level 2, from EL0 and from EL1, on a stage 1 walk the second.
    for (esr, origin, s1ptw) in [
        (0x8200_0006, Origin::Lower, false),
        (0x8600_0086, Origin::Same, true),
    ] {
        let Syndrome::InstructionAbort(from, abort) = Esr::from_raw(esr).decode() else {
            panic!("{esr:#x}");
        };
        assert_eq!(from, origin);
        assert_eq!(abort.status(), FaultStatus::Translation(level(2)));
        assert_eq!(abort.s1ptw(), s1ptw);
    }
}

#[test]
fn system_register_traps() {
    // mrs x2, ctr_el0 and msr sctlr_el1, x0.
    for (esr, reg, rt, read) in [
        (0x6232_c041, SysReg::CTR_EL0, 2, true),
        (0x6230_0400, SysReg::of::<3, 0, 1, 0, 0>(), 0, false),
    ] {
        let Syndrome::System(access) = Esr::from_raw(esr).decode() else {
            panic!("{esr:#x}");
        };
        assert_eq!(access.reg(), reg);
        assert_eq!(access.rt(), rt);
        assert_eq!(access.read(), read);
        assert_eq!(
            Esr::system_access(reg, Bits::new(rt).unwrap(), read).into_raw(),
            esr
        );
    }
}

#[test]
fn waits() {
    for (esr, kind, timeout) in [
        (0x07e0_0000, WaitKind::Wfi, None),
        (0x07e0_0001, WaitKind::Wfe, None),
        (0x07e0_0067, WaitKind::Wfet, Some(3)),
        (0x07e0_0066, WaitKind::Wfit, Some(3)),
        (0x07e0_0062, WaitKind::Wfit, None), // RV is clear.
        (0x07e0_0064, WaitKind::Wfi, None),  // RV without a timeout.
    ] {
        let Syndrome::Wait(wait) = Esr::from_raw(esr).decode() else {
            panic!("{esr:#x}");
        };
        assert_eq!(wait.ti(), kind, "{esr:#x}");
        assert_eq!(wait.timeout_register().map(Bits::get), timeout, "{esr:#x}");
        assert!(wait.cv());
        assert_eq!(wait.cond(), 0xe);
        assert_eq!(wait.with_ti(kind), wait);
    }
}

#[test]
fn calls_and_breakpoint_instructions() {
    let imm = |esr| match Esr::from_raw(esr).decode() {
        Syndrome::Hvc { aarch32, iss } => ("hvc", aarch32, iss.imm16().get()),
        Syndrome::Smc { aarch32, iss } => ("smc", aarch32, iss.imm16().get()),
        Syndrome::Svc { aarch32, iss } => ("svc", aarch32, iss.imm16().get()),
        Syndrome::Brk { aarch32, iss } => ("brk", aarch32, iss.imm16().get()),
        other => panic!("{other:?}"),
    };
    assert_eq!(imm(0x5a00_0000), ("hvc", false, 0));
    assert_eq!(imm(0x5a00_4b48), ("hvc", false, 0x4b48));
    assert_eq!(imm(0x4a00_ffff), ("hvc", true, 0xffff));
    assert_eq!(imm(0x5e00_0000), ("smc", false, 0));
    assert_eq!(imm(0x4e00_0000), ("smc", true, 0));
    assert_eq!(imm(0x5600_0001), ("svc", false, 1));
    assert_eq!(imm(0x4600_0000), ("svc", true, 0));
    assert_eq!(imm(0xf200_0800), ("brk", false, 0x800)); // Linux's BUG().
    assert_eq!(imm(0xe200_0001), ("brk", true, 1));
}

#[test]
fn vector_traps() {
    assert!(matches!(
        Esr::from_raw(0x1fe0_0000).decode(),
        Syndrome::SimdFp(iss) if iss.cv() && iss.cond() == 0xe
    ));
    assert_eq!(Esr::from_raw(0x6600_0000).decode(), Syndrome::Sve);
    for (code, reason) in [
        (0, Some(SmeReason::Disabled)),
        (1, Some(SmeReason::IllegalInStreaming)),
        (2, Some(SmeReason::NotStreaming)),
        (3, Some(SmeReason::ZaOff)),
        (4, Some(SmeReason::Zt0Disabled)),
        (5, None),
    ] {
        let Syndrome::Sme(trap) = Esr::from_raw(0x7600_0000 | code).decode() else {
            panic!("{code}");
        };
        assert_eq!(trap.smtc(), reason);
    }
}

#[test]
fn errors() {
    // An asynchronous, recoverable SError; then one with an implementation defined syndrome.
    let Syndrome::SError(error) = Esr::from_raw(0xbe00_0c11).decode() else {
        panic!();
    };
    assert_eq!(error.aet(), Some(ErrorType::Recoverable));
    assert_eq!(error.dfsc(), 0x11);
    assert!(!error.ids() && !error.iesb() && !error.ea());
    let Syndrome::SError(error) = Esr::from_raw(0xbf00_2202).decode() else {
        panic!();
    };
    assert!(error.ids() && error.iesb() && error.ea());
}

#[test]
fn debug_exceptions() {
    assert_eq!(
        Esr::from_raw(0xc200_0022).decode(),
        Syndrome::Breakpoint(Origin::Lower)
    );
    assert_eq!(
        Esr::from_raw(0xc600_0022).decode(),
        Syndrome::Breakpoint(Origin::Same)
    );
    assert!(matches!(
        Esr::from_raw(0xcb00_0062).decode(),
        Syndrome::SoftwareStep(Origin::Lower, step) if step.isv() && step.ex()
    ));
    assert!(matches!(
        Esr::from_raw(0xce00_0022).decode(),
        Syndrome::SoftwareStep(Origin::Same, step) if !step.isv() && !step.ex()
    ));
    assert!(matches!(
        Esr::from_raw(0xd20e_0062).decode(),
        Syndrome::Watchpoint(Origin::Lower, hit)
            if hit.wnr() && hit.wptv() && hit.wpt() == 3 && !hit.wpf() && !hit.fnp()
    ));
    assert!(matches!(
        Esr::from_raw(0xd600_0422).decode(),
        Syndrome::Watchpoint(Origin::Same, hit) if hit.fnv() && !hit.wnr() && !hit.wptv()
    ));
}

#[test]
fn coprocessor_accesses() {
    // mcr p15, 0, r1, c7, c14, 2 (DCCISW).
    let Syndrome::Cp15Mcr(access) = Esr::from_raw(0x0fe4_1c3c).decode() else {
        panic!();
    };
    assert_eq!(
        (
            access.opc1().get(),
            access.crn().get(),
            access.crm().get(),
            access.opc2().get(),
            access.rt().get()
        ),
        (0, 7, 14, 2, 1)
    );
    assert!(!access.read() && access.cv() && access.cond() == 0xe);
    // mrrc p15, 1, r2, r3, c14 (CNTVCT).
    let Syndrome::Cp15Mcrr(access) = Esr::from_raw(0x13e1_0c5d).decode() else {
        panic!();
    };
    assert_eq!(
        (
            access.opc1().get(),
            access.crm().get(),
            access.rt().get(),
            access.rt2().get()
        ),
        (1, 14, 2, 3)
    );
    assert!(access.read() && access.cv());
    // The same fields under their other classes.
    assert!(matches!(
        Esr::from_raw(0x17e4_1c3c).decode(),
        Syndrome::Cp14Mcr(access) if access.crn() == 7 && access.opc2() == 2
    ));
    assert!(matches!(
        Esr::from_raw(0x33e1_0c5d).decode(),
        Syndrome::Cp14Mrrc(access) if access.opc1() == 1 && access.rt2() == 3
    ));
    assert!(matches!(
        Esr::from_raw(0x23e0_0001).decode(),
        Syndrome::Vmrs(access) if access.read()
    ));
    // ldc p14, c5, [r4, #8].
    assert!(matches!(
        Esr::from_raw(0x1be0_2093).decode(),
        Syndrome::Cp14Ldc(access)
            if access.load() && access.am() == 1 && access.offset() && access.rn() == 4
                && access.imm8() == 2
    ));
}

#[test]
fn field_masks() {
    fn mask<R: BitStruct>(field: &str) -> u64 {
        FieldInfo::find(R::FIELDS, field).unwrap().mask()
    }
    // Fields whose width no example above fills.
    for (mask, expected) in [
        (mask::<Esr>("iss"), 0x01ff_ffff),
        (mask::<Esr>("iss2"), 0x00ff_ffff_0000_0000),
        (mask::<DataAbort>("dfsc"), 0x3f),
        (mask::<DataAbort>("set"), 0x1800),
        (mask::<DataAbort>("srt"), 0x1f_0000),
        (mask::<DataAbort>("xs"), 0x1f_0000_0000),
        (mask::<InstructionAbort>("ifsc"), 0x3f),
        (mask::<InstructionAbort>("set"), 0x1800),
        (mask::<Wait>("rn"), 0x3e0),
        (mask::<Wait>("cond"), 0xf0_0000),
        (mask::<Immediate>("imm16"), 0xffff),
        (mask::<Immediate>("ccknownpass"), 0x8_0000),
        (mask::<SError>("dfsc"), 0x3f),
        (mask::<Watchpoint>("wpt"), 0xfc_0000),
        (mask::<Watchpoint>("fnp"), 0x8000),
        (mask::<Watchpoint>("wpf"), 0x1_0000),
        (mask::<Watchpoint>("cm"), 0x100),
        (mask::<Watchpoint>("vncr"), 0x2000),
        (mask::<SoftwareStep>("ifsc"), 0x3f),
        (mask::<Coprocessor32>("crm"), 0x1e),
        (mask::<Coprocessor32>("rt"), 0x3e0),
        (mask::<Coprocessor32>("crn"), 0x3c00),
        (mask::<Coprocessor32>("opc1"), 0x1_c000),
        (mask::<Coprocessor32>("opc2"), 0xe_0000),
        (mask::<Coprocessor64>("crm"), 0x1e),
        (mask::<Coprocessor64>("rt"), 0x3e0),
        (mask::<Coprocessor64>("rt2"), 0x7c00),
        (mask::<Coprocessor64>("opc1"), 0xf_0000),
        (mask::<CoprocessorMemory>("am"), 0xe),
        (mask::<CoprocessorMemory>("rn"), 0x3e0),
        (mask::<CoprocessorMemory>("imm8"), 0xf_f000),
    ] {
        assert_eq!(mask, expected);
    }
}

#[test]
fn returns() {
    assert!(matches!(
        Esr::from_raw(0x6a00_0003).decode(),
        Syndrome::Eret(eret) if eret.eret() && eret.ereta()
    ));
    assert!(matches!(
        Esr::from_raw(0x6a00_0000).decode(),
        Syndrome::Eret(eret) if !eret.eret() && !eret.ereta()
    ));
}

#[test]
fn injected_syndromes() {
    assert_eq!(Esr::undefined().into_raw(), 0x0200_0000);
    for (kind, origin, far_valid, raw) in [
        (AbortKind::Data, Origin::Same, true, 0x9600_0010),
        (AbortKind::Data, Origin::Lower, true, 0x9200_0010),
        (AbortKind::Instruction, Origin::Same, true, 0x8600_0010),
        (AbortKind::Instruction, Origin::Lower, true, 0x8200_0010),
        (AbortKind::Data, Origin::Same, false, 0x9600_0410),
        (AbortKind::Instruction, Origin::Lower, false, 0x8200_0410),
    ] {
        assert_eq!(
            Esr::external_abort(kind, origin, far_valid).into_raw(),
            raw,
            "{kind:?} {origin:?}"
        );
    }
    for (misuse, origin, write, raw) in [
        (Misuse::Unaligned, Origin::Same, false, 0x9600_0021),
        (Misuse::Unaligned, Origin::Lower, true, 0x9200_0061),
        (Misuse::Atomic, Origin::Same, true, 0x9600_0075),
        (Misuse::Atomic, Origin::Lower, false, 0x9200_0035),
    ] {
        assert_eq!(Esr::misuse(misuse, origin, write).into_raw(), raw);
    }
    for (kind, origin, level, raw) in [
        (AbortKind::Data, Origin::Same, 3, 0x9600_0017),
        (AbortKind::Data, Origin::Lower, 0, 0x9200_0014),
        (AbortKind::Instruction, Origin::Same, -1, 0x8600_0013),
        (AbortKind::Instruction, Origin::Lower, -2, 0x8200_0012),
    ] {
        let level = Level::new(level).unwrap();
        assert_eq!(
            Esr::external_abort_on_walk(kind, origin, level).into_raw(),
            raw,
            "{kind:?} {origin:?} {level:?}"
        );
    }
}

proptest! {
    /// api.rst, KVM_EXIT_ARM_SEA: the fields by their places in the architecture's register pages.
    #[test]
    fn external_aborts(raw: u64, instruction: bool, code in prop_oneof![
        Just(0x10u64), 0x12u64..=0x18, 0x1bu64..=0x1f, 0u64..64,
    ], ras: bool) {
        let ec = if instruction { 0x20 } else { 0x24 };
        let raw = (raw & !(0x3f << 26) & !0x3f) | (ec << 26) | code;
        let bit = |n: u32| (raw >> n) & 1 != 0;
        let found = ExternalAbort::new(Esr::from_raw(raw));
        let walk = matches!(code, 0x12..=0x17 | 0x1b..=0x1f);

        prop_assert_eq!(found.is_some(), walk || matches!(code, 0x10 | 0x18));
        if let Some(abort) = found {
            prop_assert_eq!(abort.is_of_stage_2(), walk && bit(7));
            prop_assert_eq!(abort.far_valid(), walk || !bit(10));
            prop_assert_eq!(abort.can_translate(), !walk && !bit(10));
            prop_assert_eq!(abort.walk_level().map(Level::get), walk.then_some(match code {
                0x12 => -2,
                0x13 | 0x1b => -1,
                _ => (code & 3) as i8,
            }));
            // EC, IL, SET; FnV, EA, CM, WnR, the status.
            let mask = if ras { 0xfe00_1f7f } else { 0xfe00_077f };
            prop_assert_eq!(abort.for_user(ras), raw & mask);
        }
    }

    #[test]
    fn other_classes_are_no_external_aborts(raw: u64, ec in 0u64..64) {
        let esr = Esr::from_raw((raw & !(0x3f << 26) & !0x3f) | (ec << 26) | 0x10);
        prop_assert_eq!(ExternalAbort::new(esr).is_some(), ec == 0x20 || ec == 0x24);
    }
}
