// SPDX-License-Identifier: GPL-2.0

//! Exceptions that the hypervisor makes a vCPU take to an AArch64 EL1.
//!
//! An [`Exception`] says what happened; [`Exception::take`] does to the vCPU's registers what the
//! CPU does when it takes one. An exception from AArch32 EL0 goes to the same EL1, by the vectors
//! for AArch32.
//!
//! Source: Arm ARM, the pseudocode functions AArch64.TakeException and AArch64.Abort.

use crate::{
    bit_struct,
    context::{
        Context,
        Gpr, //
    },
    esr::{
        AbortKind,
        Esr,
        ExceptionClass,
        Level,
        Misuse,
        Origin,
        SError, //
    },
    pstate::{
        EntryFeatures,
        ExceptionEntry,
        ExceptionKind,
        GuestPstate,
        SctlrEntry, //
    },
    register::Reg,
    sysreg::SysReg, //
};

bit_struct! {
    /// The bits of SCTLR2_EL1 that injection depends on.
    pub struct Sctlr2El1("SCTLR2_EL1") {
        /// Synchronous External aborts are taken to the vector of SError (FEAT_DoubleFault2).
        ease / with_ease: flag 5,
    }
}

/// What was accessed when an External abort occurred.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AbortedAccess {
    /// The access itself.
    Final {
        /// The virtual address; [`None`] if it is not known, which FnV says then.
        far: Option<u64>,
    },
    /// A stage 1 descriptor that the access needed.
    Walk {
        /// The virtual address of the access.
        far: u64,
        /// The level of the descriptor.
        level: Level,
    },
}

/// A debug exception that was routed to EL2 and is the guest's own.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DebugException {
    esr: Esr,
    far: u64,
}

impl DebugException {
    /// Returns the exception that ESR_EL2 and FAR_EL2 describe, or [`None`] if it is not a debug
    /// exception that a vCPU can take to an AArch64 EL1.
    ///
    /// These are breakpoints, watchpoints and software steps from a lower Exception level, BRK and
    /// BKPT. A vector catch is for an AArch32 EL1 only.
    #[inline]
    pub const fn new(esr: Esr, far: u64) -> Option<Self> {
        match esr.ec() {
            ExceptionClass::BreakpointLower
            | ExceptionClass::StepLower
            | ExceptionClass::WatchpointLower
            | ExceptionClass::Bkpt32
            | ExceptionClass::Brk64 => Some(Self { esr, far }),
            _ => None,
        }
    }

    /// Returns ESR_EL1 for an exception from `origin`.
    ///
    /// The syndrome is EL2's but for the class, which for EL2 says that a guest's EL1 is lower.
    const fn esr(self, origin: Origin) -> Esr {
        let ec = match (self.esr.ec(), origin) {
            (ExceptionClass::BreakpointLower, Origin::Same) => ExceptionClass::BreakpointSame,
            (ExceptionClass::StepLower, Origin::Same) => ExceptionClass::StepSame,
            (ExceptionClass::WatchpointLower, Origin::Same) => ExceptionClass::WatchpointSame,
            (ec, _) => ec,
        };
        Esr::from_raw(self.esr.payload())
            .with_ec(ec)
            .with_il(self.esr.il())
    }

    /// Returns FAR_EL1; [`None`] for a class that does not write it.
    const fn far(self) -> Option<u64> {
        match self.esr.ec() {
            ExceptionClass::WatchpointLower => Some(self.far),
            _ => None,
        }
    }
}

/// An exception for EL1.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Exception {
    /// The instruction is UNDEFINED: EC 0.
    Undefined,
    /// An access to a system register that is trapped to EL1: EC 0x18. With FEAT_IDST, an EL0 read
    /// of an ID register.
    SystemAccess {
        /// The register.
        reg: SysReg,
        /// The general register.
        rt: Gpr,
        /// Whether it is a read.
        read: bool,
    },
    /// A synchronous External abort.
    ExternalAbort {
        /// The kind of access.
        kind: AbortKind,
        /// What was accessed.
        access: AbortedAccess,
    },
    /// An access that stage 2's memory type, or the memory itself, does not stand. By the
    /// architecture such an abort comes to EL2; it is the guest that can do something about it.
    Misuse {
        /// What was wrong with it.
        misuse: Misuse,
        /// Whether it was a write.
        write: bool,
        /// The virtual address.
        far: u64,
    },
    /// An SError interrupt. Mostly the CPU injects it, see
    /// [`VirtualSError`](crate::events::VirtualSError).
    SError(SError),
    /// A debug exception of the guest's own.
    Debug(DebugException),
}

impl Exception {
    /// Returns ESR_EL1 for an exception from `origin`.
    pub const fn esr(self, origin: Origin) -> Esr {
        match self {
            Self::Undefined => Esr::undefined(),
            Self::SystemAccess { reg, rt, read } => Esr::system_access(reg, rt.into_bits(), read),
            Self::ExternalAbort { kind, access } => match access {
                AbortedAccess::Final { far } => Esr::external_abort(kind, origin, far.is_some()),
                AbortedAccess::Walk { level, .. } => {
                    Esr::external_abort_on_walk(kind, origin, level)
                }
            },
            Self::Misuse { misuse, write, .. } => Esr::misuse(misuse, origin, write),
            Self::SError(iss) => Esr::serror(iss),
            Self::Debug(exception) => exception.esr(origin),
        }
    }

    /// Returns FAR_EL1, or [`None`] if the exception leaves it as it is.
    pub const fn far(self) -> Option<u64> {
        match self {
            Self::ExternalAbort { access, .. } => match access {
                AbortedAccess::Final { far } => far,
                AbortedAccess::Walk { far, .. } => Some(far),
            },
            Self::Misuse { far, .. } => Some(far),
            Self::Debug(exception) => exception.far(),
            Self::Undefined | Self::SystemAccess { .. } | Self::SError(_) => None,
        }
    }

    /// Returns which vector of its group the exception takes.
    ///
    /// SCTLR2_EL1.EASE moves a synchronous External abort to that of SError, and changes nothing
    /// else about it: ESR_EL1, FAR_EL1 and ELR_EL1 remain those of the abort.
    #[inline]
    pub const fn kind(self, sctlr2: Sctlr2El1) -> ExceptionKind {
        match self {
            Self::SError(_) => ExceptionKind::SError,
            Self::ExternalAbort { .. } if sctlr2.ease() => ExceptionKind::SError,
            _ => ExceptionKind::Synchronous,
        }
    }

    /// Makes the vCPU take the exception; the program counter is that of the instruction which the
    /// handler shall see in ELR_EL1.
    ///
    /// `sctlr2` is SCTLR2_EL1 as far as it has an effect: zero for a VM without FEAT_SCTLR2, whose
    /// register is not looked at.
    ///
    /// # Errors
    ///
    /// [`NotAarch64`] if EL1 is AArch32, and nothing is changed.
    pub fn take<C: Context + ?Sized>(
        self,
        vcpu: &mut C,
        sctlr2: Sctlr2El1,
        features: EntryFeatures,
    ) -> Result<(), NotAarch64> {
        let from = vcpu.pstate();
        let sctlr = SctlrEntry::from_raw(vcpu.sysreg(Reg::SCTLR_EL1));
        let Some(entry) = ExceptionEntry::new(from, self.kind(sctlr2), sctlr, features) else {
            return Err(NotAarch64);
        };
        vcpu.set_sysreg(Reg::ESR_EL1, self.esr(origin_of(from)).into_raw());
        if let Some(far) = self.far() {
            vcpu.set_sysreg(Reg::FAR_EL1, far);
        }
        vcpu.set_sysreg(Reg::SPSR_EL1, entry.spsr);
        vcpu.set_sysreg(Reg::ELR_EL1, vcpu.pc());
        let vbar = Vbar::from_raw(vcpu.sysreg(Reg::VBAR_EL1));
        vcpu.set_pc((vbar.base().get() << 11) | entry.vector_offset);
        vcpu.set_pstate(entry.pstate);
        Ok(())
    }
}

bit_struct! {
    /// Vector Base Address Register.
    pub struct Vbar("VBAR_EL1") {
        /// Bits 63 to 11 of the base; the others are RES0.
        base / with_base: bits 11..=63,
    }
}

/// The vCPU's EL1 is AArch32: its exceptions follow other rules.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NotAarch64;

/// Returns how EL1 sees an exception that is taken to it in state `from`.
#[inline]
pub const fn origin_of(from: GuestPstate) -> Origin {
    if from.is_privileged() {
        Origin::Same
    } else {
        Origin::Lower
    }
}
