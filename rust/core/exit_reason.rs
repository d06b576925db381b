// SPDX-License-Identifier: GPL-2.0

//! Why vCPUs leave the guest, for statistics.

use crate::esr::{
    Esr,
    ExceptionClass,
    FaultStatus,
    Syndrome,
    WaitKind, //
};

/// Declares [`ExitReason`], the list of all and their names.
macro_rules! exit_reasons {
    ($($(#[$meta:meta])* $name:ident = $text:literal,)*) => {
        /// Why a vCPU left the guest.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum ExitReason {
            $($(#[$meta])* $name,)*
        }

        impl ExitReason {
            /// All reasons, in the order of their [`index`](Self::index).
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Returns the name of the reason's counter, of at most 47 letters, as the names of
            /// KVM_GET_STATS_FD are. It is C KVM's where that has a counter of the same meaning.
            #[inline]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

exit_reasons! {
    /// A physical interrupt for the host.
    Irq = "irq_exits",
    /// A physical SError interrupt.
    SError = "serror_exits",
    /// WFI or WFIT.
    Wfi = "wfi_exit_stat",
    /// WFE or WFET.
    Wfe = "wfe_exit_stat",
    /// HVC.
    Hvc = "hvc_exit_stat",
    /// SMC.
    Smc = "smc_exits",
    /// MSR, MRS or a system instruction.
    System = "sysreg_exits",
    /// AArch32 MCR, MRC, MCRR, MRRC, LDC, STC or VMRS.
    Coprocessor = "coprocessor_exits",
    /// A data abort that is an access of a device.
    Mmio = "mmio_exits",
    /// A data abort on memory that is not mapped, or whose access flag is clear.
    Stage2Fault = "stage2_fault_exits",
    /// A data abort on memory that is mapped without write permission.
    PermissionFault = "permission_fault_exits",
    /// An instruction abort.
    InstructionAbort = "instruction_abort_exits",
    /// An External abort or an error in memory, on data or instructions.
    ExternalAbort = "external_abort_exits",
    /// A debug exception.
    Debug = "debug_exits",
    /// SIMD and floating-point, while they are not the vCPU's.
    FpSimd = "fpsimd_exits",
    /// SVE, while it is not the vCPU's.
    Sve = "sve_exits",
    /// SME.
    Sme = "sme_exits",
    /// Pointer authentication.
    PointerAuth = "pauth_exits",
    /// ERET of a nested hypervisor.
    Eret = "eret_exits",
    /// Illegal execution state on entry.
    Illegal = "illegal_state_exits",
    /// Any other exception.
    Other = "other_exits",
}

impl ExitReason {
    /// Returns the reason's place in [`ExitReason::ALL`], for an array of counters.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the reason of a synchronous exception with ESR_EL2 `esr`.
    ///
    /// A data abort counts as one on memory; that it was an access of a device turns out later, and
    /// counts as [`ExitReason::Mmio`] as well.
    #[inline]
    pub const fn of(esr: Esr) -> Self {
        match esr.decode() {
            Syndrome::Wait(wait) => match wait.ti() {
                WaitKind::Wfi | WaitKind::Wfit => Self::Wfi,
                WaitKind::Wfe | WaitKind::Wfet => Self::Wfe,
            },
            Syndrome::Cp15Mcr(_)
            | Syndrome::Cp15Mcrr(_)
            | Syndrome::Cp14Mcr(_)
            | Syndrome::Cp14Ldc(_)
            | Syndrome::Cp14Mrrc(_)
            | Syndrome::Vmrs(_) => Self::Coprocessor,
            Syndrome::SimdFp(_) => Self::FpSimd,
            Syndrome::Sve => Self::Sve,
            Syndrome::Sme(_) => Self::Sme,
            Syndrome::Hvc { .. } => Self::Hvc,
            Syndrome::Smc { .. } => Self::Smc,
            Syndrome::System(_) => Self::System,
            Syndrome::Eret(_) => Self::Eret,
            Syndrome::InstructionAbort(_, abort) => match abort.status() {
                status if is_external(status) => Self::ExternalAbort,
                _ => Self::InstructionAbort,
            },
            Syndrome::DataAbort(_, abort) => match abort.status() {
                status if is_external(status) => Self::ExternalAbort,
                FaultStatus::Permission(_) => Self::PermissionFault,
                _ => Self::Stage2Fault,
            },
            Syndrome::SError(_) => Self::SError,
            Syndrome::Breakpoint(_)
            | Syndrome::SoftwareStep(..)
            | Syndrome::Watchpoint(..)
            | Syndrome::Brk { .. }
            | Syndrome::Other(ExceptionClass::VectorCatch32) => Self::Debug,
            Syndrome::Other(ExceptionClass::PointerAuth | ExceptionClass::PointerAuthFail) => {
                Self::PointerAuth
            }
            Syndrome::Other(ExceptionClass::IllegalState) => Self::Illegal,
            Syndrome::Svc { .. } | Syndrome::Other(_) => Self::Other,
        }
    }
}

/// Whether an abort was reported by memory or a device.
const fn is_external(status: FaultStatus) -> bool {
    matches!(
        status,
        FaultStatus::External
            | FaultStatus::ExternalWalk(_)
            | FaultStatus::Parity
            | FaultStatus::ParityWalk(_)
    )
}
