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

/// The features of a VM that bits of PSTATE belong to.
///
/// The bits of an absent feature are RES0 for the VM, even where the CPU has them: left as they
/// come, they would switch on what the VM was told it lacks, UINJ or EXLOCK for example.
///
/// Source: Arm ARM, SPSR_EL2, the condition at each field.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct PstateFeatures {
    /// FEAT_PAN: PAN.
    pub pan: bool,
    /// FEAT_UAO: UAO.
    pub uao: bool,
    /// FEAT_DIT: DIT.
    pub dit: bool,
    /// FEAT_SSBS: SSBS.
    pub ssbs: bool,
    /// FEAT_BTI: BTYPE.
    pub bti: bool,
    /// FEAT_MTE2: TCO. No VM has FEAT_MTE without it.
    pub mte2: bool,
    /// FEAT_NMI: ALLINT.
    pub nmi: bool,
    /// FEAT_EBEP: PM.
    pub ebep: bool,
    /// FEAT_SEBEP: PPEND.
    pub sebep: bool,
    /// FEAT_GCS: EXLOCK.
    pub gcs: bool,
    /// FEAT_PAuth_LR: PACM.
    pub pauth_lr: bool,
    /// FEAT_UINJ: UINJ.
    pub uinj: bool,
}

impl PstateFeatures {
    /// A VM with none of them, as one of Armv8.0 is.
    pub const NONE: Self = Self {
        pan: false,
        uao: false,
        dit: false,
        ssbs: false,
        bti: false,
        mte2: false,
        nmi: false,
        ebep: false,
        sebep: false,
        gcs: false,
        pauth_lr: false,
        uinj: false,
    };

    /// Returns the bits that the VM has in `mode`'s format of SPSR_EL2.
    #[inline]
    const fn mask(self, mode: Mode) -> u64 {
        if mode.is_aarch32() {
            let absent = Pstate32::from_raw(0)
                .with_pan(!self.pan)
                .with_ssbs(!self.ssbs)
                .with_dit(!self.dit);
            return Pstate32::MASK & !absent.into_raw();
        }
        let btype = if self.bti { 0 } else { 3 };
        let absent = Pstate::from_raw(0)
            .with_pan(!self.pan)
            .with_uao(!self.uao)
            .with_dit(!self.dit)
            .with_ssbs(!self.ssbs)
            .with_btype(Bits::truncated(btype))
            .with_tco(!self.mte2)
            .with_allint(!self.nmi)
            .with_pm(!self.ebep)
            .with_ppend(!self.sebep)
            .with_exlock(!self.gcs)
            .with_pacm(!self.pauth_lr)
            .with_uinj(!self.uinj);
        Pstate::MASK & !absent.into_raw()
    }
}

/// PSTATE that is safe to return to a guest with.
///
/// # Invariants
///
/// M\[4:0\] is a mode that [`GuestState::allows`] for the state it was made with, so never one of
/// EL2 or EL3, and the bits that the format reserves, or that belong to a feature which the VM it was
/// made for lacks, are clear.
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

    /// Returns `raw`, from userspace or from SPSR_EL2, as a state for a vCPU of kind `state`
    /// in a VM with `features`.
    ///
    /// Reserved bits, those of features that the VM lacks included, are cleared, not refused. Today
    /// they do nothing, so an older VMM that passes on what it was given goes on working; kept, they
    /// would switch on a feature of some future CPU behind the VM's back.
    ///
    /// # Errors
    ///
    /// [`BadPstate`] if M\[4:0\] is not a mode that the vCPU can be in; EINVAL for userspace.
    #[inline]
    pub const fn new(
        raw: u64,
        state: GuestState,
        features: PstateFeatures,
    ) -> Result<Self, BadPstate> {
        match Pstate::from_raw(raw).mode() {
            Some(mode) if state.allows(mode) => Ok(Self(raw & features.mask(mode))),
            _ => Err(BadPstate {
                mode: Bits::truncated(raw),
            }),
        }
    }

    /// Returns the state that SPSR_EL2 reports of a guest which was entered with another
    /// `GuestPstate`: what it can have become is what it may be.
    ///
    /// A mode of EL2 or EL3, which no exit from a guest reports, becomes [`GuestPstate::RESET`].
    #[inline]
    pub const fn from_exit(spsr: u64) -> Self {
        match Pstate::from_raw(spsr).mode() {
            Some(Mode::El2t | Mode::El2h | Mode::El3t | Mode::El3h | Mode::Mon | Mode::Hyp)
            | None => Self::RESET,
            Some(mode) if mode.is_aarch32() => Self(spsr & Pstate32::MASK),
            Some(_) => Self(spsr & Pstate::MASK),
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

    /// Whether the vCPU is in AArch32 state.
    #[inline]
    pub const fn is_aarch32(self) -> bool {
        self.mode().is_aarch32()
    }

    /// Returns the state in the AArch32 format, or [`None`] in AArch64 state.
    #[inline]
    pub const fn aarch32(self) -> Option<Pstate32> {
        if self.is_aarch32() {
            Some(Pstate32::from_raw(self.0))
        } else {
            None
        }
    }

    /// Returns PSTATE.SS, which both formats have in the same place.
    #[inline]
    pub const fn ss(self) -> bool {
        Pstate::from_raw(self.0).ss()
    }

    /// Returns the state with PSTATE.SS replaced.
    #[inline]
    #[must_use]
    pub const fn with_ss(self, ss: bool) -> Self {
        Self(Pstate::from_raw(self.0).with_ss(ss).into_raw())
    }

    /// Returns the state after the instruction that it belongs to: what the CPU does to PSTATE
    /// when any instruction that changes no flag is executed.
    ///
    /// BTYPE and PACM say something about the one instruction that follows, and are cleared; the
    /// If-Then state of AArch32 advances; SS is cleared, so that a vCPU that is stepped takes a
    /// Software Step exception next.
    ///
    /// Source: Arm ARM, R_PLWLR for PACM, the pseudocode function AArch32.ITAdvance, and "Behavior in
    /// the active-not-pending state" of software step.
    #[inline]
    #[must_use]
    pub const fn after_instruction(self) -> Self {
        if let Some(old) = self.aarch32() {
            let (hi, lo) = (old.it_hi().get(), old.it_lo().get());
            let it = (hi << 2) | lo;
            // Bits 7 to 5 are the base condition, 4 to 0 shift out; a last one ends the block.
            let next = if it & 0x7 == 0 {
                0
            } else {
                (it & 0xe0) | ((it << 1) & 0x1f)
            };
            return Self(
                old.with_it_hi(Bits::truncated(next >> 2))
                    .with_it_lo(Bits::truncated(next))
                    .with_ss(false)
                    .into_raw(),
            );
        }
        Self(
            Pstate::from_raw(self.0)
                .with_btype(Bits::of::<0>())
                .with_pacm(false)
                .with_ss(false)
                .into_raw(),
        )
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
