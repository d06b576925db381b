// SPDX-License-Identifier: GPL-2.0

//! Exception classes.

use crate::bits::Bits;

/// Declares [`ExceptionClass`] and its conversions from one list.
macro_rules! exception_classes {
    ($($(#[$meta:meta])* $name:ident = $value:literal,)*) => {
        /// ESR_ELx.EC: what kind of exception it was.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum ExceptionClass {
            $($(#[$meta])* $name,)*
            /// A number that the architecture has not allocated.
            Unallocated(Bits<6>),
        }

        impl ExceptionClass {
            /// All allocated classes.
            pub const ALLOCATED: &'static [Self] = &[$(Self::$name),*];

            /// Returns the class with this number.
            #[inline]
            pub const fn from_bits(bits: Bits<6>) -> Self {
                match bits.get() {
                    $($value => Self::$name,)*
                    _ => Self::Unallocated(bits),
                }
            }

            /// Returns the class's number.
            #[inline]
            pub const fn into_bits(self) -> Bits<6> {
                match self {
                    $(Self::$name => Bits::of::<$value>(),)*
                    Self::Unallocated(bits) => bits,
                }
            }
        }
    };
}

exception_classes! {
    /// Unknown reason; to EL1, an UNDEFINED instruction.
    Unknown = 0x00,
    /// WFI, WFE, WFIT or WFET.
    Wfx = 0x01,
    /// AArch32 MCR or MRC, coprocessor 15.
    Cp15Mcr = 0x03,
    /// AArch32 MCRR or MRRC, coprocessor 15.
    Cp15Mcrr = 0x04,
    /// AArch32 MCR or MRC, coprocessor 14.
    Cp14Mcr = 0x05,
    /// AArch32 LDC or STC, coprocessor 14.
    Cp14Ldc = 0x06,
    /// SVE, Advanced SIMD or floating-point that is trapped (CPTR_EL2.FPEN, CPACR_EL1.FPEN).
    SimdFp = 0x07,
    /// AArch32 VMRS of a media ID register (HCR_EL2.TID0, TID3).
    Vmrs = 0x08,
    /// A pointer authentication instruction (HCR_EL2.API).
    PointerAuth = 0x09,
    /// An instruction of several kinds: LD64B, ST64B, TSB CSYNC and the like.
    Other = 0x0a,
    /// AArch32 MRRC, coprocessor 14.
    Cp14Mrrc = 0x0c,
    /// Branch target.
    BranchTarget = 0x0d,
    /// Illegal execution state, PSTATE.IL.
    IllegalState = 0x0e,
    /// SVC from AArch32.
    Svc32 = 0x11,
    /// HVC from AArch32.
    Hvc32 = 0x12,
    /// SMC from AArch32.
    Smc32 = 0x13,
    /// MSRR, MRRS or a 128-bit system instruction (FEAT_SYSREG128, FEAT_SYSINSTR128).
    System128 = 0x14,
    /// SVC from AArch64.
    Svc64 = 0x15,
    /// HVC from AArch64.
    Hvc64 = 0x16,
    /// SMC from AArch64.
    Smc64 = 0x17,
    /// MSR, MRS or a system instruction, from AArch64.
    System = 0x18,
    /// SVE that is trapped (CPTR_EL2.ZEN, CPACR_EL1.ZEN).
    Sve = 0x19,
    /// ERET, ERETAA or ERETAB (nested virtualization, FEAT_FGT).
    Eret = 0x1a,
    /// A failed pointer authentication (FEAT_FPAC).
    PointerAuthFail = 0x1c,
    /// SME that is trapped (CPTR_EL2.SMEN, CPACR_EL1.SMEN) or used in the wrong mode.
    Sme = 0x1d,
    /// A granule protection check that failed; to EL3 only.
    GranuleProtection = 0x1e,
    /// Implementation defined; to EL3 only.
    ImplementationDefined = 0x1f,
    /// Instruction abort from a lower Exception level.
    InstructionAbortLower = 0x20,
    /// Instruction abort from the Exception level it was taken to.
    InstructionAbortSame = 0x21,
    /// PC alignment fault.
    PcAlignment = 0x22,
    /// Data abort from a lower Exception level.
    DataAbortLower = 0x24,
    /// Data abort from the Exception level it was taken to.
    DataAbortSame = 0x25,
    /// SP alignment fault.
    SpAlignment = 0x26,
    /// Memory copy and set instructions (FEAT_MOPS).
    MemoryCopy = 0x27,
    /// Floating-point exception from AArch32.
    FpException32 = 0x28,
    /// Floating-point exception from AArch64.
    FpException64 = 0x2c,
    /// Guarded control stack (FEAT_GCS).
    GuardedControlStack = 0x2d,
    /// SError interrupt.
    SError = 0x2f,
    /// Hardware breakpoint from a lower Exception level.
    BreakpointLower = 0x30,
    /// Hardware breakpoint from the Exception level it was taken to.
    BreakpointSame = 0x31,
    /// Software step from a lower Exception level.
    StepLower = 0x32,
    /// Software step from the Exception level it was taken to.
    StepSame = 0x33,
    /// Watchpoint from a lower Exception level.
    WatchpointLower = 0x34,
    /// Watchpoint from the Exception level it was taken to.
    WatchpointSame = 0x35,
    /// BKPT from AArch32.
    Bkpt32 = 0x38,
    /// AArch32 vector catch.
    VectorCatch32 = 0x3a,
    /// BRK from AArch64.
    Brk64 = 0x3c,
    /// A PMU exception (FEAT_EBEP).
    Profiling = 0x3d,
}
