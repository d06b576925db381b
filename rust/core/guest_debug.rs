// SPDX-License-Identifier: GPL-2.0

//! KVM_SET_GUEST_DEBUG: a debugger in userspace, and how it shares the CPU's debug facilities with
//! the guest.
//!
//! Source: api.rst, "4.87 KVM_SET_GUEST_DEBUG"; Arm ARM, "Self-hosted debug".

use core::fmt;

use crate::{
    bit_struct,
    bits::Bits,
    esr::{
        Esr,
        ExceptionClass, //
    },
    inject::DebugException,
    pstate::GuestPstate, //
};

/// What userspace wants of guest debugging: `control` of `struct kvm_guest_debug`, checked.
///
/// # Invariants
///
/// Only bits of [`GuestDebug::VALID`] are set, and none if [`GuestDebug::ENABLE`] is not.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct GuestDebug(u32);

impl GuestDebug {
    /// KVM_GUESTDBG_ENABLE.
    pub const ENABLE: u32 = 1 << 0;

    /// KVM_GUESTDBG_SINGLESTEP.
    pub const SINGLESTEP: u32 = 1 << 1;

    /// KVM_GUESTDBG_USE_SW_BP.
    pub const USE_SW_BP: u32 = 1 << 16;

    /// KVM_GUESTDBG_USE_HW.
    pub const USE_HW: u32 = 1 << 17;

    /// All bits that are allowed, which is also what KVM_CAP_SET_GUEST_DEBUG2 returns.
    pub const VALID: u32 = Self::ENABLE | Self::SINGLESTEP | Self::USE_SW_BP | Self::USE_HW;

    /// No debugging.
    pub const OFF: Self = Self(0);

    /// Returns what `control` asks for. Without [`GuestDebug::ENABLE`] the other bits ask for
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`BadControl`] for a bit that is not in [`GuestDebug::VALID`], EINVAL for userspace.
    #[inline]
    pub const fn new(control: u32) -> Result<Self, BadControl> {
        let unknown = control & !Self::VALID;
        if unknown != 0 {
            Err(BadControl { unknown })
        } else if control & Self::ENABLE == 0 {
            Ok(Self::OFF)
        } else {
            Ok(Self(control))
        }
    }

    /// Whether the guest is debugged.
    #[inline]
    pub const fn is_enabled(self) -> bool {
        self.0 & Self::ENABLE != 0
    }

    /// Whether each KVM_RUN executes one instruction.
    #[inline]
    pub const fn single_step(self) -> bool {
        self.0 & Self::SINGLESTEP != 0
    }

    /// Whether the ioctl's set of breakpoints and watchpoints replaces the one that was set before.
    #[inline]
    pub const fn uses_hardware(self) -> bool {
        self.0 & Self::USE_HW != 0
    }

    /// Whether the CPU may have the guest's own breakpoints and watchpoints while it runs; `os_lock` is
    /// its OSLSR_EL1.OSLK. They are without effect otherwise, and their truth is in memory.
    #[inline]
    pub const fn lets_guest_debug(self, os_lock: bool) -> bool {
        !self.is_enabled() && !os_lock
    }

    /// Returns MDSCR_EL1 to run with while the guest [may not](Self::lets_guest_debug) have the
    /// registers, from the guest's.
    ///
    /// What enables debug exceptions is the debugger's. If nobody debugs, the guest has the OS lock
    /// set, which the CPU's own OS lock does not say: breakpoints, watchpoints and software steps
    /// are off then, as the architecture has it.
    #[inline]
    pub const fn mdscr(self, guest: MdscrEl1) -> MdscrEl1 {
        guest
            .with_ss(self.single_step())
            .with_mde(self.uses_hardware())
            .with_kde(self.uses_hardware())
    }

    /// Returns what becomes of an exception with ESR_EL2 `esr` and FAR_EL2 `far`, or [`None`] if it
    /// is not a debug exception of a guest.
    ///
    /// While the guest is debugged all of them exit to userspace, breakpoint instructions that are
    /// the guest's own as well: it knows which it has planted and injects the others.
    #[inline]
    pub fn exception(self, esr: Esr, far: u64) -> Option<DebugAction> {
        let exception = DebugException::new(esr, far)?;
        if !self.is_enabled() {
            return Some(DebugAction::Guest(exception));
        }
        let far = matches!(esr.ec(), ExceptionClass::WatchpointLower).then_some(far);
        Some(DebugAction::Exit(DebugExit {
            hsr: esr.into_raw() as u32,
            hsr_high: (esr.into_raw() >> 32) as u32,
            far,
        }))
    }
}

/// The control word of KVM_SET_GUEST_DEBUG has unknown bits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BadControl {
    /// The bits.
    pub unknown: u32,
}

impl fmt::Display for BadControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "guest debug control has unknown bits {:#x}",
            self.unknown
        )
    }
}

bit_struct! {
    /// Monitor Debug System Control Register, the bits that enable debug exceptions.
    pub struct MdscrEl1("MDSCR_EL1") {
        /// Software step.
        ss / with_ss: flag 0,
        /// Debug exceptions from EL1 to itself, while PSTATE.D is clear.
        kde / with_kde: flag 13,
        /// Breakpoints, watchpoints and vector catches.
        mde / with_mde: flag 15,
    }
}

bit_struct! {
    /// DBGBCRn_EL1 or DBGWCRn_EL1: whether it is enabled, and the fields that say at which Exception
    /// levels it matches.
    pub struct DebugControl("DBGBCR_EL1") {
        /// Enable.
        e / with_e: flag 0,
        /// Higher mode control.
        hmc / with_hmc: flag 13,
        /// Security state control.
        ssc / with_ssc: bits 14..=15,
        /// Extension of `ssc` (FEAT_RME).
        ssce / with_ssce: flag 29,
    }
}

/// Whether breakpoints and watchpoints with these DBGBCR and DBGWCR, or what goes on beside them, may
/// matter with this MDSCR_EL1.
///
/// Looking at MDSCR_EL1 alone is not enough: an enable bit is what a guest sets first. Nor is that a
/// guest has written them: Linux does, for all of them, when it finds a CPU.
#[inline]
pub fn has_effect(mdscr: MdscrEl1, mut controls: impl Iterator<Item = u64>) -> bool {
    mdscr.mde() || mdscr.kde() || controls.any(|control| DebugControl::from_raw(control).e())
}

/// Returns the DBGBCR or DBGWCR that the CPU gets for the debugger's `control`.
///
/// With HMC and SSC clear nothing matches at EL2 or EL3: a guest's debugger may not put a breakpoint
/// in the hypervisor. PMC or PAC still chooses between EL0 and EL1.
/// Source: Arm ARM, "Execution conditions for which a breakpoint generates Breakpoint exceptions".
#[inline]
pub const fn guest_only(control: u64) -> u64 {
    DebugControl::from_raw(control)
        .with_hmc(false)
        .with_ssc(Bits::of::<0>())
        .with_ssce(false)
        .into_raw()
}

/// What KVM_EXIT_DEBUG tells userspace, as `struct kvm_debug_exit_arch`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DebugExit {
    /// ESR_EL2, bits 31 to 0.
    pub hsr: u32,
    /// ESR_EL2, bits 63 to 32. Valid, as [`DebugExit::FLAGS`] in `flags` of `struct kvm_run` says.
    pub hsr_high: u32,
    /// FAR_EL2, for a watchpoint.
    pub far: Option<u64>,
}

impl DebugExit {
    /// KVM_DEBUG_ARCH_HSR_HIGH_VALID.
    pub const FLAGS: u16 = 1 << 0;
}

/// What becomes of a debug exception.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DebugAction {
    /// KVM_EXIT_DEBUG.
    Exit(DebugExit),
    /// The guest takes it.
    Guest(DebugException),
}

/// Whose PSTATE.SS the vCPU has, and the other one's.
///
/// Software step is a machine with two states that matter here, of which PSTATE.SS is the memory:
/// set, the next instruction is executed and clears it; clear, with MDSCR_EL1.SS set, a Software
/// Step exception comes before the next instruction. While userspace steps a vCPU that is the
/// debugger's machine, and the guest's waits.
///
/// An instruction that is emulated clears PSTATE.SS as an executed one does
/// ([`Context::advance`](crate::context::Context::advance)), and so does taking an exception: on
/// entry the exception comes at once, at the instruction after it or at the handler's first. So
/// emulation has to be finished while the vCPU is loaded, and nothing else has to be done for it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SoftwareStep {
    /// While the vCPU is loaded and stepped, the guest's PSTATE.SS.
    guest: Option<bool>,
    /// Otherwise, whether the debugger's PSTATE.SS is clear: an instruction is done and the exit
    /// for it has still to come.
    done: bool,
}

impl SoftwareStep {
    /// The state of a new vCPU, and after each KVM_SET_GUEST_DEBUG that does not step.
    pub const IDLE: Self = Self {
        guest: None,
        done: false,
    };

    /// The debugging of a vCPU that is not loaded changes to `debug`.
    ///
    /// Without stepping, an instruction that was done is forgotten. A debugger that goes on stepping
    /// is still owed the exit for it.
    #[inline]
    pub fn configure(&mut self, debug: GuestDebug) {
        if !debug.single_step() {
            self.done = false;
        }
    }

    /// The vCPU is loaded: returns the PSTATE to run with, from the guest's. A vCPU that is loaded
    /// already keeps its state.
    #[inline]
    #[must_use]
    pub fn load(&mut self, debug: GuestDebug, pstate: GuestPstate) -> GuestPstate {
        if !debug.single_step() || self.guest.is_some() {
            return pstate;
        }
        self.guest = Some(pstate.ss());
        pstate.with_ss(!self.done)
    }

    /// The vCPU is put: returns the guest's PSTATE, from the one it ran with. Nothing changes
    /// for one that was not loaded as one that is stepped.
    #[inline]
    #[must_use]
    pub fn put(&mut self, pstate: GuestPstate) -> GuestPstate {
        let Some(guest) = self.guest.take() else {
            return pstate;
        };
        self.done = !pstate.ss();
        pstate.with_ss(guest)
    }

    /// A loaded vCPU exits to userspace for a Software Step exception: returns the PSTATE with
    /// which the next KVM_RUN executes the next instruction. Nothing changes for other classes.
    #[inline]
    #[must_use]
    pub fn after_exit(&self, exit: &DebugExit, pstate: GuestPstate) -> GuestPstate {
        let step = matches!(
            Esr::from_raw(u64::from(exit.hsr)).ec(),
            ExceptionClass::StepLower
        );
        if step && self.guest.is_some() {
            pstate.with_ss(true)
        } else {
            pstate
        }
    }
}
