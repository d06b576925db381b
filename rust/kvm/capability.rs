// SPDX-License-Identifier: GPL-2.0

//! What `KVM_CHECK_EXTENSION` answers.

use kvm_core::cpu::HostCapabilities;
use kvm_host::abi::{
    KVM_CAP_ARM_VM_IPA_SIZE,
    KVM_CAP_CHECK_EXTENSION_VM, //
};

/// Returns the value of a capability: zero for one that does not exist or does not work.
///
/// api.rst, "4.4 KVM_CHECK_EXTENSION".
pub(crate) fn check_extension(host: &HostCapabilities, capability: usize) -> u32 {
    match u32::try_from(capability) {
        Ok(KVM_CAP_CHECK_EXTENSION_VM) => 1,
        Ok(KVM_CAP_ARM_VM_IPA_SIZE) => host.ipa_limit.get().into(),
        _ => 0,
    }
}
