// SPDX-License-Identifier: GPL-2.0

//! Exception syndromes: what ESR_EL2 says about a trap, and what ESR_EL1 tells a guest.
//!
//! Source: Arm ARM DDI 0487, the pages of ESR_EL1 and ESR_EL2.

pub mod class;
pub mod fault;
pub mod iss;
pub mod syndrome;

pub mod external;

pub use self::{
    class::ExceptionClass,
    external::ExternalAbort,
    fault::{
        FaultStatus,
        Level, //
    },
    iss::{
        Access,
        AccessSize,
        Conditional,
        Coprocessor32,
        Coprocessor64,
        CoprocessorMemory,
        DataAbort,
        Eret,
        ErrorType,
        Immediate,
        InstructionAbort,
        SError,
        SmeReason,
        SmeTrap,
        SoftwareStep,
        SystemAccess,
        Wait,
        WaitKind,
        Watchpoint, //
    },
    syndrome::{
        AbortKind,
        Esr,
        Misuse,
        Origin,
        Syndrome, //
    },
};
