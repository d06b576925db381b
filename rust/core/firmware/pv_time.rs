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

/// A guest asks for its stolen time to be counted, from now on.
///
/// The 16 bytes of the structure at `ipa` are cleared, the vCPU's stolen time so far is taken as the
/// starting point, and the caller gets `registers`. It gets them even if the memory cannot be
/// written: that is its user space's doing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct StartStolenTime {
    /// Where the structure is, as user space said by KVM_ARM_VCPU_PVTIME_IPA.
    pub ipa: u64,
    /// The caller's registers afterwards.
    pub registers: Registers,
}

/// Returns what is to be done for a standard hypervisor call: start to count, or nothing but to
/// return.
///
/// `ipa` is where the calling vCPU's structure is; [`None`] if user space has given it no place.
pub(in crate::firmware) fn call(
    call: &Call,
    ipa: Option<u64>,
) -> Result<StartStolenTime, Registers> {
    match (call.function(), ipa) {
        (FEATURES, Some(_)) => match FunctionId::new(call.w1()) {
            FEATURES | STOLEN_TIME => Err(Registers::code(SUCCESS)),
            _ => Err(Registers::code(NOT_SUPPORTED)),
        },
        (STOLEN_TIME, Some(ipa)) => Ok(StartStolenTime {
            ipa,
            registers: Registers::value(ipa),
        }),
        _ => Err(Registers::code(NOT_SUPPORTED)),
    }
}
