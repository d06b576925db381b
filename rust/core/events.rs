// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS, and the virtual SError interrupt behind them.
//!
//! Source: api.rst, 4.31 and 4.32.

use core::fmt;

use crate::{
    bits::Bits,
    context::Context,
    esr::{
        AbortKind,
        SError, //
    },
    inject::{
        AbortedAccess,
        Exception,
        NotAarch64,
        Sctlr2El1, //
    },
    mmio::PendingMmio,
    pstate::EntryFeatures, //
};

/// The size of `struct kvm_vcpu_events`, in bytes.
pub const EVENTS_SIZE: usize = 64;

/// The virtual SError interrupt of a vCPU: HCR_EL2.VSE and VSESR_EL2.
///
/// The CPU takes it to the guest's EL1 as soon as the guest has PSTATE.A clear, and clears
/// HCR_EL2.VSE as it does. HCR_EL2.AMO has to be set for that, as it is while a guest runs. With
/// RAS it puts VSESR_EL2 in ESR_EL1; without, ESR_EL1 is implementation defined.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct VirtualSError {
    pending: bool,
    iss: Bits<25>,
}

impl VirtualSError {
    /// Makes an SError pending; one that is pending already is replaced.
    ///
    /// `iss` is what VSESR_EL2 says with RAS: the ISS of ESR_EL1.
    #[inline]
    pub fn pend(&mut self, iss: Bits<25>) {
        *self = Self { pending: true, iss };
    }

    /// Returns HCR_EL2.VSE for the vCPU's entry.
    #[inline]
    pub const fn hcr_vse(&self) -> bool {
        self.pending
    }

    /// Returns VSESR_EL2 for the vCPU's entry, if the CPU has RAS and one is pending; without RAS
    /// the register does not exist.
    #[inline]
    pub const fn vsesr(&self) -> Option<u64> {
        if self.pending {
            Some(self.iss.get())
        } else {
            None
        }
    }

    /// The vCPU has left the CPU with `hcr_vse` in HCR_EL2.VSE: clear means that it has taken what
    /// was pending. Set where none was pending has no meaning and is ignored.
    #[inline]
    pub fn after_exit(&mut self, hcr_vse: bool) {
        if !hcr_vse {
            *self = Self::default();
        }
    }

    /// Returns the syndrome of the SError that is pending, if any.
    #[inline]
    pub const fn syndrome(&self) -> Option<SError> {
        match self.vsesr() {
            Some(iss) => Some(SError::from_raw(iss)),
            None => None,
        }
    }

    /// Returns `struct kvm_vcpu_events` for KVM_GET_VCPU_EVENTS.
    ///
    /// `serror_has_esr` is that the host has RAS, whether or not an SError is pending. An external
    /// abort is never pending: it is taken when it is set.
    pub fn get(&self, ras: bool) -> [u8; EVENTS_SIZE] {
        let mut raw = [0; EVENTS_SIZE];
        let [serror_pending, has_esr, ..] = &mut raw;
        *serror_pending = u8::from(self.pending);
        *has_esr = u8::from(ras);
        if let (true, Some(iss)) = (ras, self.vsesr()) {
            if let Some(esr) = raw.get_mut(ESR) {
                esr.copy_from_slice(&iss.to_ne_bytes());
            }
        }
        raw
    }
}

/// Where `serror_esr` is in `struct kvm_vcpu_events`.
const ESR: core::ops::Range<usize> = 8..16;

/// What KVM_SET_VCPU_EVENTS asks for, checked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Events {
    /// Make an SError pending with this ISS. An SError cannot be cancelled: [`None`] leaves one that
    /// is pending as it is.
    pub serror: Option<Bits<25>>,
    /// Abort the access that userspace was asked to emulate.
    pub external_abort: bool,
}

impl Events {
    /// Returns what `raw`, a `struct kvm_vcpu_events` from userspace, asks for.
    ///
    /// `ras` is whether the host's CPUs have RAS, and with it KVM_CAP_ARM_INJECT_SERROR_ESR. An
    /// SError without ESR gets an ISS of IDS set and 0 otherwise: implementation defined, and
    /// uncategorized by any reader that knows RAS.
    ///
    /// # Errors
    ///
    /// [`BadEvents`], EINVAL for userspace; then nothing of it may be done. The fields of the SError
    /// are only looked at if one is to be made pending, so that what KVM_GET_VCPU_EVENTS returned
    /// can always be set again.
    pub fn new(raw: &[u8; EVENTS_SIZE], ras: bool) -> Result<Self, BadEvents> {
        let [serror_pending, has_esr, ext_dabt_pending, rest @ ..] = *raw;
        let [p0, p1, p2, p3, p4, rest @ ..] = rest;
        let [e0, e1, e2, e3, e4, e5, e6, e7, reserved @ ..] = rest;
        if [p0, p1, p2, p3, p4] != [0; 5] || reserved != [0; EVENTS_SIZE - 16] {
            return Err(BadEvents::Reserved);
        }
        let esr = u64::from_ne_bytes([e0, e1, e2, e3, e4, e5, e6, e7]);
        let serror = match (serror_pending != 0, has_esr != 0) {
            (false, _) => None,
            (true, false) => Some(Self::IMPLEMENTATION_DEFINED),
            (true, true) if !ras => return Err(BadEvents::NoRas),
            (true, true) => match Bits::new(esr) {
                Some(iss) => Some(iss),
                None => return Err(BadEvents::Esr(esr)),
            },
        };
        Ok(Self {
            serror,
            external_abort: ext_dabt_pending != 0,
        })
    }

    /// The ISS of an SError for which userspace gave none: IDS alone.
    pub const IMPLEMENTATION_DEFINED: Bits<25> =
        Bits::truncated(SError::from_raw(0).with_ids(true).into_raw());

    /// Does what was asked for.
    ///
    /// `far` is FAR_EL2 of the access that userspace was asked to emulate or told of, [`None`] if it
    /// was not valid; `mmio` is that access, which is not finished any more if it is aborted.
    /// `sctlr2` and `features` are as for [`Exception::take`].
    ///
    /// # Errors
    ///
    /// [`NotAarch64`] if there is an abort to inject and EL1 is AArch32, and nothing is changed.
    pub fn apply<C: Context + ?Sized>(
        self,
        vcpu: &mut C,
        serror: &mut VirtualSError,
        mmio: &mut PendingMmio,
        far: Option<u64>,
        sctlr2: Sctlr2El1,
        features: EntryFeatures,
    ) -> Result<(), NotAarch64> {
        if self.external_abort {
            let abort = Exception::ExternalAbort {
                kind: AbortKind::Data,
                access: AbortedAccess::Final { far },
            };
            abort.take(vcpu, sctlr2, features)?;
            mmio.cancel();
        }
        if let Some(iss) = self.serror {
            serror.pend(iss);
        }
        Ok(())
    }
}

/// Why KVM_SET_VCPU_EVENTS refuses its argument; EINVAL in each case.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadEvents {
    /// Padding or a reserved field is not zero.
    Reserved,
    /// An ESR is given, and the host has no RAS.
    NoRas,
    /// The ESR has more than the 25 bits of ISS.
    Esr(u64),
}

impl fmt::Display for BadEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("a reserved field is not zero"),
            Self::NoRas => f.write_str("the host cannot give an SError an ESR"),
            Self::Esr(esr) => write!(f, "{esr:#x} is not the ISS of an ESR"),
        }
    }
}
