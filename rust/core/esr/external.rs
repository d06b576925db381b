// SPDX-License-Identifier: GPL-2.0

//! Synchronous External aborts of a guest's accesses that were taken to EL2.
//!
//! With FEAT_RAS and HCR_EL2.TEA all of a guest's are. Without, those come that stage 2 itself has
//! met, whose tables are the hypervisor's.

use crate::esr::{
    class::ExceptionClass,
    fault::{
        FaultStatus,
        Level, //
    },
    iss::DataAbort,
    syndrome::Esr, //
};

/// A synchronous External abort, or a parity or ECC error, which is one without FEAT_RAS.
///
/// # Invariants
///
/// The syndrome is that of an instruction or data abort from a lower Exception level with such a
/// status. The fields that are looked at are in the same places in both.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ExternalAbort(Esr);

impl ExternalAbort {
    /// Returns the abort that ESR_EL2 describes, or [`None`] if it is none of these.
    #[inline]
    pub const fn new(esr: Esr) -> Option<Self> {
        let is_abort = matches!(
            esr.ec(),
            ExceptionClass::DataAbortLower | ExceptionClass::InstructionAbortLower
        );
        match DataAbort::from_raw(esr.payload()).status() {
            FaultStatus::External
            | FaultStatus::ExternalWalk(_)
            | FaultStatus::Parity
            | FaultStatus::ParityWalk(_)
                if is_abort =>
            {
                // INVARIANT: Just checked.
                Some(Self(esr))
            }
            _ => None,
        }
    }

    const fn iss(self) -> DataAbort {
        DataAbort::from_raw(self.0.payload())
    }

    /// The level of the descriptor that could not be read, if it was one.
    pub const fn walk_level(self) -> Option<Level> {
        match self.iss().status() {
            FaultStatus::ExternalWalk(level) | FaultStatus::ParityWalk(level) => Some(level),
            _ => None,
        }
    }

    /// Whether what could not be read is known to be one of stage 2's descriptors, which are the
    /// hypervisor's: met while a stage 1 descriptor was looked for. One that was met on the way to the
    /// guest's data looks like one of stage 1's.
    pub const fn is_of_stage_2(self) -> bool {
        self.walk_level().is_some() && self.iss().s1ptw()
    }

    /// Whether FAR_EL2 has the virtual address: FnV is for aborts only that are not on a walk.
    pub const fn far_valid(self) -> bool {
        self.walk_level().is_some() || !self.iss().fnv()
    }

    /// Whether an address translation instruction can say the IPA: one that would read the same broken
    /// descriptor must not be executed.
    pub const fn can_translate(self) -> bool {
        self.walk_level().is_none() && self.far_valid()
    }

    /// Returns the syndrome for user space, as api.rst has it at KVM_EXIT_ARM_SEA: of a VM with
    /// FEAT_RAS, SET is part of it.
    pub const fn for_user(self, ras: bool) -> u64 {
        let iss = self.iss();
        let iss = DataAbort::from_raw(0)
            .with_dfsc(iss.dfsc())
            .with_wnr(iss.wnr())
            .with_cm(iss.cm())
            .with_ea(iss.ea())
            .with_fnv(iss.fnv())
            .with_set(if ras {
                iss.set()
            } else {
                DataAbort::from_raw(0).set()
            });

        Esr::from_raw(iss.into_raw())
            .with_ec(self.0.ec())
            .with_il(self.0.il())
            .into_raw()
    }
}
