// SPDX-License-Identifier: GPL-2.0

//! Numbers of the KVM user-space ABI, as this kernel's `include/uapi/linux/kvm.h` has them, and
//! the versions of what this module was built from.

pub use crate::bindings::{
    KVM_API_VERSION,
    KVM_CAP_ARM_VM_IPA_SIZE,
    KVM_CAP_CHECK_EXTENSION_VM, //
};

use crate::bindings;
use kernel::prelude::*;

/// The module's version.
pub const VERSION: &CStr = c_str(bindings::KVM_VHE_VERSION);

/// The release of the kernel that the module was built for; it loads into no other.
pub const KERNEL_RELEASE: &CStr = c_str(bindings::UTS_RELEASE);

/// A string constant of a C header.
const fn c_str(bytes: &'static [u8]) -> &'static CStr {
    match CStr::from_bytes_with_nul(bytes) {
        Ok(string) => string,
        Err(_) => panic!("a string constant of a C header is not NUL-terminated"),
    }
}
