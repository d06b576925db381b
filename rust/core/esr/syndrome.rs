// SPDX-License-Identifier: GPL-2.0

//! ESR_ELx as a whole: decoding what was trapped, building what is injected.

use crate::{
    bit_struct,
    bits::Bits,
    esr::{
        class::ExceptionClass,
        fault::{
            FaultStatus,
            Level, //
        },
        iss::{
            Conditional,
            Coprocessor32,
            Coprocessor64,
            CoprocessorMemory,
            DataAbort,
            Eret,
            Immediate,
            InstructionAbort,
            SError,
            SmeTrap,
            SoftwareStep,
            SystemAccess,
            Wait,
            Watchpoint, //
        },
    },
    sysreg::SysReg, //
};

bit_struct! {
    /// Exception Syndrome Register, ESR_EL1 or ESR_EL2.
    pub struct Esr("ESR_ELx") {
        /// Instruction specific syndrome; its format depends on `ec`.
        iss / with_iss: bits 0..=24,
        /// Whether the instruction is 32 bits long; also set where length has no meaning.
        il / with_il: flag 25,
        /// Exception class.
        ec / with_ec: total 26..=31 as ExceptionClass,
        /// Second part of the instruction specific syndrome.
        iss2 / with_iss2: bits 32..=55,
    }
}

/// Where an exception came from, as seen from where it is taken.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// A lower Exception level.
    Lower,
    /// The same Exception level.
    Same,
}

/// An access that the memory at its address does not stand.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Misuse {
    /// Not aligned, to Device memory.
    Unaligned,
    /// Exclusive or atomic, where the memory has no such accesses.
    Atomic,
}

/// Which kind of access is aborted.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AbortKind {
    /// A load, store, cache or address translation instruction.
    Data,
    /// An instruction fetch.
    Instruction,
}

/// A decoded syndrome.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Syndrome {
    /// WFI, WFE, WFIT or WFET.
    Wait(Wait),
    /// AArch32 MCR or MRC of coprocessor 15.
    Cp15Mcr(Coprocessor32),
    /// AArch32 MCRR or MRRC of coprocessor 15.
    Cp15Mcrr(Coprocessor64),
    /// AArch32 MCR or MRC of coprocessor 14.
    Cp14Mcr(Coprocessor32),
    /// AArch32 LDC or STC of coprocessor 14.
    Cp14Ldc(CoprocessorMemory),
    /// AArch32 MRRC of coprocessor 14.
    Cp14Mrrc(Coprocessor64),
    /// AArch32 VMRS of a media ID register.
    Vmrs(Coprocessor32),
    /// SVE, Advanced SIMD or floating-point.
    SimdFp(Conditional),
    /// SVE.
    Sve,
    /// SME.
    Sme(SmeTrap),
    /// SVC; `aarch32` tells from which state.
    Svc {
        /// Whether it came from AArch32 state.
        aarch32: bool,
        /// The immediate.
        iss: Immediate,
    },
    /// HVC; `aarch32` tells from which state.
    Hvc {
        /// Whether it came from AArch32 state.
        aarch32: bool,
        /// The immediate.
        iss: Immediate,
    },
    /// SMC; `aarch32` tells from which state.
    Smc {
        /// Whether it came from AArch32 state.
        aarch32: bool,
        /// The immediate.
        iss: Immediate,
    },
    /// MSR, MRS or a system instruction.
    System(SystemAccess),
    /// ERET, ERETAA or ERETAB.
    Eret(Eret),
    /// Instruction abort.
    InstructionAbort(Origin, InstructionAbort),
    /// Data abort.
    DataAbort(Origin, DataAbort),
    /// SError interrupt.
    SError(SError),
    /// Hardware breakpoint.
    Breakpoint(Origin),
    /// Software step.
    SoftwareStep(Origin, SoftwareStep),
    /// Watchpoint.
    Watchpoint(Origin, Watchpoint),
    /// BRK or, from AArch32, BKPT.
    Brk {
        /// Whether it came from AArch32 state.
        aarch32: bool,
        /// The immediate.
        iss: Immediate,
    },
    /// Any other class, for which the syndrome says nothing that is needed here.
    Other(ExceptionClass),
}

impl Esr {
    /// The bits of ISS and ISS2.
    const PAYLOAD: u64 = Bits::<25>::MAX | (Bits::<24>::MAX << 32);

    /// Returns ISS and ISS2 in place, the other bits clear.
    #[inline]
    pub const fn payload(self) -> u64 {
        self.into_raw() & Self::PAYLOAD
    }

    /// Returns the register of class `ec` with ISS and ISS2 from `payload` and IL set.
    #[inline]
    const fn of_class(ec: ExceptionClass, payload: u64) -> Self {
        Self::from_raw(payload & Self::PAYLOAD)
            .with_ec(ec)
            .with_il(true)
    }

    /// Returns what the syndrome says. Every value has a meaning; none is an error.
    pub const fn decode(self) -> Syndrome {
        use ExceptionClass as Ec;

        let iss = self.payload();
        match self.ec() {
            Ec::Wfx => Syndrome::Wait(Wait::from_raw(iss)),
            Ec::Cp15Mcr => Syndrome::Cp15Mcr(Coprocessor32::from_raw(iss)),
            Ec::Cp15Mcrr => Syndrome::Cp15Mcrr(Coprocessor64::from_raw(iss)),
            Ec::Cp14Mcr => Syndrome::Cp14Mcr(Coprocessor32::from_raw(iss)),
            Ec::Cp14Ldc => Syndrome::Cp14Ldc(CoprocessorMemory::from_raw(iss)),
            Ec::Cp14Mrrc => Syndrome::Cp14Mrrc(Coprocessor64::from_raw(iss)),
            Ec::Vmrs => Syndrome::Vmrs(Coprocessor32::from_raw(iss)),
            Ec::SimdFp => Syndrome::SimdFp(Conditional::from_raw(iss)),
            Ec::Sve => Syndrome::Sve,
            Ec::Sme => Syndrome::Sme(SmeTrap::from_raw(iss)),
            ec @ (Ec::Svc32 | Ec::Svc64) => Syndrome::Svc {
                aarch32: matches!(ec, Ec::Svc32),
                iss: Immediate::from_raw(iss),
            },
            ec @ (Ec::Hvc32 | Ec::Hvc64) => Syndrome::Hvc {
                aarch32: matches!(ec, Ec::Hvc32),
                iss: Immediate::from_raw(iss),
            },
            ec @ (Ec::Smc32 | Ec::Smc64) => Syndrome::Smc {
                aarch32: matches!(ec, Ec::Smc32),
                iss: Immediate::from_raw(iss),
            },
            Ec::System => Syndrome::System(SystemAccess::from_raw(iss)),
            Ec::Eret => Syndrome::Eret(Eret::from_raw(iss)),
            Ec::InstructionAbortLower => {
                Syndrome::InstructionAbort(Origin::Lower, InstructionAbort::from_raw(iss))
            }
            Ec::InstructionAbortSame => {
                Syndrome::InstructionAbort(Origin::Same, InstructionAbort::from_raw(iss))
            }
            Ec::DataAbortLower => Syndrome::DataAbort(Origin::Lower, DataAbort::from_raw(iss)),
            Ec::DataAbortSame => Syndrome::DataAbort(Origin::Same, DataAbort::from_raw(iss)),
            Ec::SError => Syndrome::SError(SError::from_raw(iss)),
            Ec::BreakpointLower => Syndrome::Breakpoint(Origin::Lower),
            Ec::BreakpointSame => Syndrome::Breakpoint(Origin::Same),
            Ec::StepLower => Syndrome::SoftwareStep(Origin::Lower, SoftwareStep::from_raw(iss)),
            Ec::StepSame => Syndrome::SoftwareStep(Origin::Same, SoftwareStep::from_raw(iss)),
            Ec::WatchpointLower => Syndrome::Watchpoint(Origin::Lower, Watchpoint::from_raw(iss)),
            Ec::WatchpointSame => Syndrome::Watchpoint(Origin::Same, Watchpoint::from_raw(iss)),
            ec @ (Ec::Bkpt32 | Ec::Brk64) => Syndrome::Brk {
                aarch32: matches!(ec, Ec::Bkpt32),
                iss: Immediate::from_raw(iss),
            },
            ec => Syndrome::Other(ec),
        }
    }

    /// Returns the syndrome of an UNDEFINED instruction, EC 0.
    ///
    /// IL is set, as the architecture says of this class for any length of instruction.
    #[inline]
    pub const fn undefined() -> Self {
        Self::of_class(ExceptionClass::Unknown, 0)
    }

    /// Returns the syndrome of an access to a system register that is trapped to EL1, EC 0x18, as
    /// by FEAT_IDST.
    #[inline]
    pub const fn system_access(reg: SysReg, rt: Bits<5>, read: bool) -> Self {
        let iss = SystemAccess::new(reg, rt, read);
        Self::of_class(ExceptionClass::System, iss.into_raw())
    }

    /// Returns the syndrome of a synchronous External abort that is injected into EL1.
    ///
    /// `far_valid` tells whether FAR_EL1 is given the address. Nothing is said about the access
    /// itself: ISV is clear, and IL set as the architecture demands then.
    pub const fn external_abort(kind: AbortKind, origin: Origin, far_valid: bool) -> Self {
        const STATUS: Bits<6> = match FaultStatus::External.to_bits() {
            Some(bits) => bits,
            None => panic!("every External abort has a code"),
        };
        // The ISS of the two has these fields in the same places.
        let iss = DataAbort::from_raw(0)
            .with_dfsc(STATUS)
            .with_fnv(!far_valid);
        Self::abort(kind, origin, iss)
    }

    /// Returns the syndrome of a data abort for an access that memory does not stand: an Alignment
    /// fault, or one of an exclusive or atomic access.
    ///
    /// FAR_EL1 is valid. As with an External abort, of the access it says no more than whether it was
    /// a write.
    pub const fn misuse(misuse: Misuse, origin: Origin, write: bool) -> Self {
        let status = match misuse {
            Misuse::Unaligned => FaultStatus::Alignment,
            Misuse::Atomic => FaultStatus::UnsupportedAtomic,
        };
        let iss = DataAbort::from_raw(0).with_wnr(write);
        let iss = match status.to_bits() {
            Some(bits) => iss.with_dfsc(bits),
            // Not reached: both have a code.
            None => iss,
        };
        Self::abort(AbortKind::Data, origin, iss)
    }

    /// Returns the syndrome of a synchronous External abort on a stage 1 table walk that is
    /// injected into EL1; the descriptor of `level` could not be read.
    ///
    /// FAR_EL1 is valid: FnV exists only for aborts that are not on a walk.
    pub const fn external_abort_on_walk(kind: AbortKind, origin: Origin, level: Level) -> Self {
        let status = match FaultStatus::ExternalWalk(level).to_bits() {
            Some(bits) => bits,
            // Not reached: every level has a code.
            None => Bits::of::<0x14>(),
        };
        Self::abort(kind, origin, DataAbort::from_raw(0).with_dfsc(status))
    }

    /// Returns the syndrome of an abort with ISV clear.
    const fn abort(kind: AbortKind, origin: Origin, iss: DataAbort) -> Self {
        let ec = match (kind, origin) {
            (AbortKind::Data, Origin::Lower) => ExceptionClass::DataAbortLower,
            (AbortKind::Data, Origin::Same) => ExceptionClass::DataAbortSame,
            (AbortKind::Instruction, Origin::Lower) => ExceptionClass::InstructionAbortLower,
            (AbortKind::Instruction, Origin::Same) => ExceptionClass::InstructionAbortSame,
        };
        Self::of_class(ec, iss.into_raw())
    }

    /// Returns the syndrome of an SError interrupt that is injected into EL1.
    #[inline]
    pub const fn serror(iss: SError) -> Self {
        Self::of_class(ExceptionClass::SError, iss.into_raw() & Bits::<25>::MAX)
    }
}
