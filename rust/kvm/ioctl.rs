// SPDX-License-Identifier: GPL-2.0

//! The ioctls that are implemented, by their names and numbers in `include/uapi/linux/kvm.h`.

use kernel::ioctl::_IO;

/// The type of all of KVM's ioctls.
const KVMIO: u32 = 0xae;

pub(crate) const KVM_GET_API_VERSION: u32 = _IO(KVMIO, 0x00);
pub(crate) const KVM_CREATE_VM: u32 = _IO(KVMIO, 0x01);
pub(crate) const KVM_CHECK_EXTENSION: u32 = _IO(KVMIO, 0x03);
pub(crate) const KVM_GET_VCPU_MMAP_SIZE: u32 = _IO(KVMIO, 0x04);
