// SPDX-License-Identifier: GPL-2.0

//! Stolen time.
//!
//! Source: Arm DEN0057, "Paravirtualized Time for Arm-based Systems", and
//! Documentation/virt/kvm/arm/pvtime.rst.

use crate::smccc::{
    Call,
    FunctionId,
    Owner,
    Registers,
    NOT_SUPPORTED,
    SUCCESS, //
};

/// PV_TIME_FEATURES.
pub const FEATURES: FunctionId = FunctionId::fast64(Owner::StandardHyp, 0x20);

/// PV_TIME_ST.
pub const STOLEN_TIME: FunctionId = FunctionId::fast64(Owner::StandardHyp, 0x21);

/// Where a vCPU's stolen time is reported: the IPA of the structure that DEN0057 defines.
///
/// # Invariants
///
/// It is a multiple of 64.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct StolenTimeIpa(u64);

impl StolenTimeIpa {
    /// The size of the structure in bytes: a revision and attributes, both zero and of 4 bytes, and
    /// the stolen time.
    pub const SIZE: u64 = 16;

    /// Returns the place that user space asks for by KVM_ARM_VCPU_PVTIME_IPA.
    ///
    /// [`None`], for which it gets EINVAL, if it is not a multiple of 64. It has to be in a memslot
    /// besides, and can be set once.
    #[inline]
    pub const fn new(ipa: u64) -> Option<Self> {
        if ipa % 64 == 0 {
            Some(Self(ipa))
        } else {
            None
        }
    }

    /// Returns the IPA of the structure.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the IPA of the stolen time in it: nanoseconds in 8 bytes, little-endian.
    #[inline]
    pub const fn stolen_time(self) -> u64 {
        // Bit 3 is clear.
        self.0 | 8
    }
}

/// A guest asks for its stolen time to be counted, from now on.
///
/// The structure at `ipa` is cleared, the vCPU's stolen time so far is taken as the starting point,
/// and the caller gets `registers`. It gets them even if the memory cannot be written: that is its
/// user space's doing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct StartStolenTime {
    /// Where the structure is.
    pub ipa: StolenTimeIpa,
    /// The caller's registers afterwards.
    pub registers: Registers,
}

/// Returns what is to be done for a standard hypervisor call: start to count, or nothing but to
/// return.
///
/// `ipa` is where the calling vCPU's structure is; [`None`] if user space has given it no place.
pub(in crate::firmware) fn call(
    call: &Call,
    ipa: Option<StolenTimeIpa>,
) -> Result<StartStolenTime, Registers> {
    match (call.function(), ipa) {
        (FEATURES, Some(_)) => match FunctionId::new(call.w1()) {
            FEATURES | STOLEN_TIME => Err(Registers::code(SUCCESS)),
            _ => Err(Registers::code(NOT_SUPPORTED)),
        },
        (STOLEN_TIME, Some(ipa)) => Ok(StartStolenTime {
            ipa,
            registers: Registers::value(ipa.get()),
        }),
        _ => Err(Registers::code(NOT_SUPPORTED)),
    }
}
