// SPDX-License-Identifier: GPL-2.0

//! The processor state that a VM may have.
//!
//! The hypervisor returns to a guest by an ERET that takes SPSR_EL2 from here. Were that EL2, the
//! guest would be the hypervisor: userspace that sets PSTATE must never get it past this file
//! (CVE-2018-18021).

use core::fmt;

use crate::{
    bits::Bits,
    pstate::{
        mode::Mode,
        spsr::{
            Pstate,
            Pstate32, //
        },
    },
};

/// The execution states that a vCPU has.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum GuestState {
    /// EL1 is AArch64.
    Aarch64 {
        /// Whether EL0 may be AArch32: the CPU can do that (ID_AA64PFR0_EL1.EL0 is 2).
        el0_aarch32: bool,
    },
    /// EL1 and EL0 are AArch32 (KVM_ARM_VCPU_EL1_32BIT).
    Aarch32,
}

impl GuestState {
    /// Whether a vCPU of this kind may be in `mode`.
    #[inline]
    pub const fn allows(self, mode: Mode) -> bool {
        match mode {
            Mode::El0t | Mode::El1t | Mode::El1h => matches!(self, Self::Aarch64 { .. }),
            Mode::Usr => !matches!(self, Self::Aarch64 { el0_aarch32: false }),
            Mode::Fiq | Mode::Irq | Mode::Svc | Mode::Abt | Mode::Und | Mode::Sys => {
                matches!(self, Self::Aarch32)
            }
            Mode::El2t | Mode::El2h | Mode::El3t | Mode::El3h | Mode::Mon | Mode::Hyp => false,
        }
    }
}

/// PSTATE that is safe to return to a guest with.
///
/// # Invariants
///
/// M\[4:0\] is a mode that [`GuestState::allows`] for the state it was made with, so never one of
/// EL2 or EL3, and the bits that the format reserves are clear.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct GuestPstate(u64);

impl GuestPstate {
    /// The state of an AArch64 vCPU after KVM_ARM_VCPU_INIT: EL1h with D, A, I and F masked.
    pub const RESET: Self = Self(
        Pstate::from_raw(0)
            .with_mode(Mode::El1h)
            .with_d(true)
            .with_a(true)
            .with_i(true)
            .with_f(true)
            .into_raw(),
    );

    /// The state of an AArch32 vCPU after KVM_ARM_VCPU_INIT: Supervisor with A, I and F masked.
    pub const RESET_AARCH32: Self = Self(
        Pstate32::from_raw(0)
            .with_mode(Mode::Svc)
            .with_a(true)
            .with_i(true)
            .with_f(true)
            .into_raw(),
    );

    /// Returns `raw`, from userspace or from SPSR_EL2, as a state for a vCPU of kind `state`.
    ///
    /// Reserved bits are cleared, not refused. Today they do nothing, so an older VMM that passes
    /// on what it was given goes on working; kept, they would switch on a feature of some future
    /// CPU behind the VM's back.
    ///
    /// # Errors
    ///
    /// [`BadPstate`] if M\[4:0\] is not a mode that the vCPU can be in; EINVAL for userspace.
    #[inline]
    pub const fn new(raw: u64, state: GuestState) -> Result<Self, BadPstate> {
        match Pstate::from_raw(raw).mode() {
            Some(mode) if state.allows(mode) => {
                let defined = if mode.is_aarch32() {
                    Pstate32::MASK
                } else {
                    Pstate::MASK
                };
                Ok(Self(raw & defined))
            }
            _ => Err(BadPstate {
                mode: Bits::truncated(raw),
            }),
        }
    }

    /// Returns a state that the caller, in this module's parent, has kept the invariants for.
    #[inline]
    pub(in crate::pstate) const fn from_el1h(pstate: Pstate) -> Self {
        Self(pstate.with_mode(Mode::El1h).into_raw() & Pstate::MASK)
    }

    /// Returns the value for SPSR_EL2.
    #[inline]
    pub const fn into_raw(self) -> u64 {
        self.0
    }

    /// Returns the mode.
    #[inline]
    pub const fn mode(self) -> Mode {
        match Pstate::from_raw(self.0).mode() {
            Some(mode) => mode,
            // Not reached, by the type's invariants.
            None => Mode::El0t,
        }
    }

    /// Whether the state is privileged: not EL0.
    #[inline]
    pub const fn is_privileged(self) -> bool {
        !matches!(self.mode(), Mode::El0t | Mode::Usr)
    }
}

/// PSTATE has a mode that the vCPU cannot be in.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BadPstate {
    /// M\[4:0\] of the value.
    pub mode: Bits<5>,
}

impl fmt::Display for BadPstate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PSTATE.M of {:?} is not a mode of this vCPU", self.mode)
    }
}
