// SPDX-License-Identifier: GPL-2.0

//! The instruction specific syndrome of each exception class.
//!
//! Each structure has ISS in bits 24 to 0 and ISS2 in bits 55 to 32, where ESR_ELx has them.
//! Source: Arm ARM, ESR_EL2, "ISS encoding for ...".

use crate::{
    bit_enum,
    bit_struct,
    bits::Bits,
    esr::fault::FaultStatus,
    sysreg::SysReg, //
};

/// The size of a data access.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AccessSize {
    /// 1 byte.
    Byte,
    /// 2 bytes.
    Halfword,
    /// 4 bytes.
    Word,
    /// 8 bytes.
    Doubleword,
}

impl AccessSize {
    /// Returns the size that SAS stands for.
    #[inline]
    pub const fn from_bits(bits: Bits<2>) -> Self {
        match bits.get() {
            0 => Self::Byte,
            1 => Self::Halfword,
            2 => Self::Word,
            _ => Self::Doubleword,
        }
    }

    /// Returns SAS for this size.
    #[inline]
    pub const fn into_bits(self) -> Bits<2> {
        match self {
            Self::Byte => Bits::of::<0>(),
            Self::Halfword => Bits::of::<1>(),
            Self::Word => Bits::of::<2>(),
            Self::Doubleword => Bits::of::<3>(),
        }
    }

    /// Returns the size in bytes: 1, 2, 4 or 8.
    #[inline]
    pub const fn bytes(self) -> u8 {
        1 << self.into_bits().get()
    }
}

bit_struct! {
    /// A data abort.
    pub struct DataAbort("ISS of a data abort") {
        /// Data fault status code.
        dfsc / with_dfsc: bits 0..=5,
        /// Whether the access was a write. Cache maintenance counts as a write.
        wnr / with_wnr: flag 6,
        /// Whether the stage 2 fault was on a stage 1 table walk.
        s1ptw / with_s1ptw: flag 7,
        /// Whether it was cache maintenance or an address translation instruction.
        cm / with_cm: flag 8,
        /// External abort type, implementation defined.
        ea / with_ea: flag 9,
        /// Whether FAR_ELx is not valid; only for External aborts.
        fnv / with_fnv: flag 10,
        /// SET, the state of the PE after an External abort, or LST, the kind of an LS64 access.
        set / with_set: bits 11..=12,
        /// Whether it was an access through VNCR_EL2.
        vncr / with_vncr: flag 13,
        /// Whether the access had acquire or release semantics. Valid with `isv`.
        ar / with_ar: flag 14,
        /// Whether the register is 64 bits wide. Valid with `isv`.
        sf / with_sf: flag 15,
        /// The register that is loaded or stored; 31 is the zero register. Valid with `isv`.
        srt / with_srt: bits 16..=20,
        /// Whether the data is sign-extended into the register. Valid with `isv`.
        sse / with_sse: flag 21,
        /// The size of the access. Valid with `isv`.
        sas / with_sas: total 22..=23 as AccessSize,
        /// Whether `sas`, `sse`, `srt`, `sf` and `ar` describe the access.
        isv / with_isv: flag 24,
        /// Xs, the register of an ST64BV or ST64BV0.
        xs / with_xs: bits 32..=36,
        /// Whether the permission fault was for dirty state.
        dirtybit / with_dirtybit: flag 37,
        /// Whether the permission fault was from an overlay.
        overlay / with_overlay: flag 38,
        /// Whether the stage 2 permission fault was for the AssuredOnly attribute.
        assuredonly / with_assuredonly: flag 39,
        /// Whether it was an access to a guarded control stack.
        gcs / with_gcs: flag 40,
        /// Whether it was an access to an allocation tag.
        tagaccess / with_tagaccess: flag 41,
        /// Whether tag access is denied by stage 2.
        tnd / with_tnd: flag 42,
        /// Whether the fault was on appending to the hardware dirty state structure.
        hdbssf / with_hdbssf: flag 43,
    }
}

/// A load or store of one general register, as a device has to emulate it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// Whether it is a store.
    pub write: bool,
    /// The size of the access.
    pub size: AccessSize,
    /// The register, 0 to 31; 31 is the zero register.
    pub register: Bits<5>,
    /// Whether a load writes all 64 bits of the register, not only the low 32 with zeros above.
    pub register_64: bool,
    /// Whether a load extends the sign to the width of the register.
    pub sign_extend: bool,
    /// Whether it has acquire or release semantics.
    pub ordered: bool,
}

impl DataAbort {
    /// Returns why the access was aborted.
    #[inline]
    pub const fn status(self) -> FaultStatus {
        FaultStatus::from_bits(self.dfsc())
    }

    /// Whether the access needs the permission to write of stage 2.
    ///
    /// WnR does not say it for two kinds of access. Cache maintenance counts as a write and needs no
    /// permission, but for DC IVAC: a permission fault of cache maintenance is always its, on memory
    /// that is not writable. A walk of stage 1 reads, unless it updates a descriptor, and only then
    /// it has a permission fault.
    ///
    /// Source: Arm ARM, "MMU faults generated by cache maintenance operations"; ESR_EL2, "ISS encoding
    /// for an exception from a Data Abort", CM, S1PTW and WnR.
    #[inline]
    pub const fn needs_write(self) -> bool {
        if self.s1ptw() || self.cm() {
            matches!(self.status(), FaultStatus::Permission(_))
        } else {
            self.wnr()
        }
    }

    /// Returns the access, or [`None`] if the syndrome does not describe it (ISV is clear).
    #[inline]
    pub const fn access(self) -> Option<Access> {
        if !self.isv() {
            return None;
        }
        Some(Access {
            write: self.wnr(),
            size: self.sas(),
            register: self.srt(),
            register_64: self.sf(),
            sign_extend: self.sse(),
            ordered: self.ar(),
        })
    }
}

bit_struct! {
    /// An instruction abort.
    pub struct InstructionAbort("ISS of an instruction abort") {
        /// Instruction fault status code.
        ifsc / with_ifsc: bits 0..=5,
        /// Whether the stage 2 fault was on a stage 1 table walk.
        s1ptw / with_s1ptw: flag 7,
        /// External abort type, implementation defined.
        ea / with_ea: flag 9,
        /// Whether FAR_ELx is not valid; only for External aborts.
        fnv / with_fnv: flag 10,
        /// The state of the PE after an External abort.
        set / with_set: bits 11..=12,
        /// Whether the permission fault was from an overlay.
        overlay / with_overlay: flag 38,
        /// Whether the stage 2 permission fault was for the AssuredOnly attribute.
        assuredonly / with_assuredonly: flag 39,
        /// Whether the fault was on appending to the hardware dirty state structure.
        hdbssf / with_hdbssf: flag 43,
    }
}

impl InstructionAbort {
    /// Returns why the fetch was aborted.
    #[inline]
    pub const fn status(self) -> FaultStatus {
        FaultStatus::from_bits(self.ifsc())
    }
}

bit_struct! {
    /// MSR, MRS or a system instruction from AArch64.
    pub struct SystemAccess("ISS of MSR, MRS, or System instruction") {
        /// Whether it is a read: MRS or SYSL.
        read / with_read: flag 0,
        /// CRm of the encoding.
        crm / with_crm: bits 1..=4,
        /// The general register, 0 to 31; 31 is the zero register.
        rt / with_rt: bits 5..=9,
        /// CRn of the encoding.
        crn / with_crn: bits 10..=13,
        /// Op1 of the encoding.
        op1 / with_op1: bits 14..=16,
        /// Op2 of the encoding.
        op2 / with_op2: bits 17..=19,
        /// Op0 of the encoding.
        op0 / with_op0: bits 20..=21,
    }
}

impl SystemAccess {
    /// Returns the syndrome of an access to `reg` with the general register `rt`.
    #[inline]
    pub const fn new(reg: SysReg, rt: Bits<5>, read: bool) -> Self {
        Self::from_raw(reg.to_iss()).with_rt(rt).with_read(read)
    }

    /// Returns the register or instruction that was accessed.
    #[inline]
    pub const fn reg(self) -> SysReg {
        SysReg::from_iss(self.into_raw())
    }
}

/// Which wait instruction was trapped.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WaitKind {
    /// Wait for interrupt.
    Wfi,
    /// Wait for event.
    Wfe,
    /// Wait for interrupt, with timeout (FEAT_WFxT).
    Wfit,
    /// Wait for event, with timeout (FEAT_WFxT).
    Wfet,
}

impl WaitKind {
    /// Returns the instruction that TI stands for.
    #[inline]
    pub const fn from_bits(bits: Bits<2>) -> Self {
        match bits.get() {
            0 => Self::Wfi,
            1 => Self::Wfe,
            2 => Self::Wfit,
            _ => Self::Wfet,
        }
    }

    /// Returns TI for this instruction.
    #[inline]
    pub const fn into_bits(self) -> Bits<2> {
        match self {
            Self::Wfi => Bits::of::<0>(),
            Self::Wfe => Bits::of::<1>(),
            Self::Wfit => Bits::of::<2>(),
            Self::Wfet => Bits::of::<3>(),
        }
    }
}

bit_struct! {
    /// WFI, WFE, WFIT or WFET.
    pub struct Wait("ISS of WF* instructions") {
        /// Which instruction.
        ti / with_ti: total 0..=1 as WaitKind,
        /// Whether `rn` is valid.
        rv / with_rv: flag 2,
        /// The register with the timeout of a WFIT or WFET, 0 to 31.
        rn / with_rn: bits 5..=9,
        /// The condition code of an AArch32 instruction. Valid with `cv`.
        cond / with_cond: bits 20..=23,
        /// Whether `cond` is valid; always from AArch64.
        cv / with_cv: flag 24,
    }
}

impl Wait {
    /// Returns the register that holds the timeout, a value of CNTVCT_EL0, or [`None`] if the
    /// instruction has none or the syndrome does not name it (RV is clear).
    #[inline]
    pub const fn timeout_register(self) -> Option<Bits<5>> {
        match self.ti() {
            WaitKind::Wfit | WaitKind::Wfet if self.rv() => Some(self.rn()),
            _ => None,
        }
    }
}

bit_struct! {
    /// HVC, SMC, SVC, BRK or BKPT with its immediate.
    pub struct Immediate("ISS of HVC, SVC, SMC, BRK and BKPT") {
        /// The immediate; that of BRK is also called the comment. An SMC from AArch32 has none.
        imm16 / with_imm16: bits 0..=15,
        /// For an SMC from AArch32: whether it is unknown if the condition passed.
        ccknownpass / with_ccknownpass: flag 19,
        /// For an SMC from AArch32: its condition code. Valid with `cv`.
        cond / with_cond: bits 20..=23,
        /// For an SMC from AArch32: whether `cond` is valid.
        cv / with_cv: flag 24,
    }
}

bit_struct! {
    /// A trapped floating-point, Advanced SIMD or VMRS instruction.
    pub struct Conditional("ISS of trapped SIMD and floating-point") {
        /// The condition code of an AArch32 instruction. Valid with `cv`.
        cond / with_cond: bits 20..=23,
        /// Whether `cond` is valid; always from AArch64.
        cv / with_cv: flag 24,
    }
}

bit_enum! {
    /// Why an SME instruction was trapped.
    pub enum SmeReason: 3 {
        /// Access to SME is disabled by CPACR_EL1, CPTR_EL2 or CPTR_EL3.
        Disabled = 0,
        /// The instruction is illegal in Streaming SVE mode.
        IllegalInStreaming = 1,
        /// Streaming SVE mode, PSTATE.SM, is off.
        NotStreaming = 2,
        /// ZA storage, PSTATE.ZA, is off.
        ZaOff = 3,
        /// Access to ZT0 is disabled.
        Zt0Disabled = 4,
    }
}

bit_struct! {
    /// A trapped SME instruction.
    pub struct SmeTrap("ISS of trapped SME") {
        /// The reason; [`None`] for a number that the architecture has not allocated.
        smtc / with_smtc: option 0..=2 as SmeReason,
    }
}

bit_enum! {
    /// AET: the state of the PE after an asynchronous error.
    pub enum ErrorType: 3 {
        /// Uncontainable.
        Uncontainable = 0,
        /// Unrecoverable state.
        Unrecoverable = 1,
        /// Restartable state.
        Restartable = 2,
        /// Recoverable state.
        Recoverable = 3,
        /// Corrected.
        Corrected = 6,
    }
}

bit_struct! {
    /// An SError interrupt.
    pub struct SError("ISS of an SError interrupt") {
        /// Fault status: 0 uncategorized, 0x11 asynchronous SError. Other fields but `ids` are
        /// valid with 0x11 only.
        dfsc / with_dfsc: bits 0..=5,
        /// External abort type, implementation defined.
        ea / with_ea: flag 9,
        /// The state of the PE; [`None`] for a number that the architecture has not allocated.
        aet / with_aet: option 10..=12 as ErrorType,
        /// Whether an implicit error synchronization took the error (FEAT_IESB).
        iesb / with_iesb: flag 13,
        /// Whether bits 23 to 0 have an implementation defined format.
        ids / with_ids: flag 24,
    }
}

bit_struct! {
    /// A watchpoint.
    pub struct Watchpoint("ISS of a Watchpoint exception") {
        /// Fault status, 0x22.
        dfsc / with_dfsc: bits 0..=5,
        /// Whether the access was a write.
        wnr / with_wnr: flag 6,
        /// Whether it was cache maintenance.
        cm / with_cm: flag 8,
        /// Whether FAR_ELx is not valid.
        fnv / with_fnv: flag 10,
        /// Whether it was an access through VNCR_EL2.
        vncr / with_vncr: flag 13,
        /// Whether FAR_ELx is not precise.
        fnp / with_fnp: flag 15,
        /// Whether the watchpoint may have matched an access that it does not watch.
        wpf / with_wpf: flag 16,
        /// Whether `wpt` is valid.
        wptv / with_wptv: flag 17,
        /// The number of the watchpoint. Valid with `wptv`.
        wpt / with_wpt: bits 18..=23,
    }
}

bit_struct! {
    /// A software step.
    pub struct SoftwareStep("ISS of a Software Step exception") {
        /// Fault status, 0x22.
        ifsc / with_ifsc: bits 0..=5,
        /// Whether a load-exclusive was stepped. Valid with `isv`.
        ex / with_ex: flag 6,
        /// Whether `ex` is valid.
        isv / with_isv: flag 24,
    }
}

bit_struct! {
    /// AArch32 MCR, MRC or VMRS.
    pub struct Coprocessor32("ISS of an MCR or MRC access") {
        /// Whether it is a read: MRC or VMRS.
        read / with_read: flag 0,
        /// CRm of the encoding.
        crm / with_crm: bits 1..=4,
        /// The general register, as the AArch64 register that holds it, 0 to 30.
        rt / with_rt: bits 5..=9,
        /// CRn of the encoding.
        crn / with_crn: bits 10..=13,
        /// Opc1 of the encoding.
        opc1 / with_opc1: bits 14..=16,
        /// Opc2 of the encoding.
        opc2 / with_opc2: bits 17..=19,
        /// The condition code. Valid with `cv`.
        cond / with_cond: bits 20..=23,
        /// Whether `cond` is valid.
        cv / with_cv: flag 24,
    }
}

bit_struct! {
    /// AArch32 MCRR or MRRC.
    pub struct Coprocessor64("ISS of an MCRR or MRRC access") {
        /// Whether it is a read: MRRC.
        read / with_read: flag 0,
        /// CRm of the encoding.
        crm / with_crm: bits 1..=4,
        /// The first general register, as the AArch64 register that holds it, 0 to 30.
        rt / with_rt: bits 5..=9,
        /// The second general register, likewise.
        rt2 / with_rt2: bits 10..=14,
        /// Opc1 of the encoding.
        opc1 / with_opc1: bits 16..=19,
        /// The condition code. Valid with `cv`.
        cond / with_cond: bits 20..=23,
        /// Whether `cond` is valid.
        cv / with_cv: flag 24,
    }
}

bit_struct! {
    /// AArch32 LDC or STC, of DBGDTRTXint or DBGDTRRXint.
    pub struct CoprocessorMemory("ISS of an LDC or STC instruction") {
        /// Whether it reads memory: LDC.
        load / with_load: flag 0,
        /// The addressing mode.
        am / with_am: bits 1..=3,
        /// Whether the offset is added.
        offset / with_offset: flag 4,
        /// The base register, as the AArch64 register that holds it. Not valid for the literal
        /// addressing modes.
        rn / with_rn: bits 5..=9,
        /// The immediate offset, in words.
        imm8 / with_imm8: bits 12..=19,
        /// The condition code. Valid with `cv`.
        cond / with_cond: bits 20..=23,
        /// Whether `cond` is valid.
        cv / with_cv: flag 24,
    }
}

bit_struct! {
    /// ERET, ERETAA or ERETAB.
    pub struct Eret("ISS of an ERET instruction") {
        /// For an authenticating ERET, whether it uses key B.
        ereta / with_ereta: flag 0,
        /// Whether it authenticates: ERETAA or ERETAB.
        eret / with_eret: flag 1,
    }
}
