// SPDX-License-Identifier: GPL-2.0

//! The ioctls that are implemented, by their names and numbers in `include/uapi/linux/kvm.h`, and
//! their arguments in user space.

use core::mem::size_of;
use kernel::{
    ioctl::{
        _IO,
        _IOR,
        _IOW,
        _IOWR, //
    },
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use kvm_host::uapi::{
    kvm_arm_counter_offset,
    kvm_arm_device_addr,
    kvm_clear_dirty_log,
    kvm_coalesced_mmio_zone,
    kvm_create_device,
    kvm_device_attr,
    kvm_dirty_log,
    kvm_enable_cap,
    kvm_guest_debug,
    kvm_ioeventfd,
    kvm_irq_level,
    kvm_irqfd,
    kvm_mp_state,
    kvm_msi,
    kvm_one_reg,
    kvm_pre_fault_memory,
    kvm_userspace_memory_region,
    kvm_userspace_memory_region2,
    kvm_vcpu_events,
    kvm_vcpu_init,
    reg_mask_range, //
};

/// The type of all of KVM's ioctls.
const KVMIO: u32 = 0xae;

const fn ior<T>(nr: u32) -> u32 {
    _IOR::<T>(KVMIO, nr)
}

const fn iow<T>(nr: u32) -> u32 {
    _IOW::<T>(KVMIO, nr)
}

pub(crate) const KVM_GET_API_VERSION: u32 = _IO(KVMIO, 0x00);
pub(crate) const KVM_CREATE_VM: u32 = _IO(KVMIO, 0x01);
pub(crate) const KVM_CHECK_EXTENSION: u32 = _IO(KVMIO, 0x03);
pub(crate) const KVM_GET_VCPU_MMAP_SIZE: u32 = _IO(KVMIO, 0x04);

pub(crate) const KVM_GET_STATS_FD: u32 = _IO(KVMIO, 0xce);
pub(crate) const KVM_CREATE_VCPU: u32 = _IO(KVMIO, 0x41);
pub(crate) const KVM_SET_USER_MEMORY_REGION: u32 = iow::<kvm_userspace_memory_region>(0x46);
pub(crate) const KVM_SET_USER_MEMORY_REGION2: u32 = iow::<kvm_userspace_memory_region2>(0x49);
pub(crate) const KVM_GET_DIRTY_LOG: u32 = iow::<kvm_dirty_log>(0x42);
pub(crate) const KVM_CLEAR_DIRTY_LOG: u32 = _IOWR::<kvm_clear_dirty_log>(KVMIO, 0xc0);
pub(crate) const KVM_RESET_DIRTY_RINGS: u32 = _IO(KVMIO, 0xc7);
pub(crate) const KVM_REGISTER_COALESCED_MMIO: u32 = iow::<kvm_coalesced_mmio_zone>(0x67);
pub(crate) const KVM_UNREGISTER_COALESCED_MMIO: u32 = iow::<kvm_coalesced_mmio_zone>(0x68);
pub(crate) const KVM_IRQ_LINE: u32 = iow::<kvm_irq_level>(0x61);
pub(crate) const KVM_IRQ_LINE_STATUS: u32 = _IOWR::<kvm_irq_level>(KVMIO, 0x67);
pub(crate) const KVM_SET_GSI_ROUTING: u32 = iow::<[u32; 2]>(0x6a);
pub(crate) const KVM_IRQFD: u32 = iow::<kvm_irqfd>(0x76);
pub(crate) const KVM_IOEVENTFD: u32 = iow::<kvm_ioeventfd>(0x79);
pub(crate) const KVM_ENABLE_CAP: u32 = iow::<kvm_enable_cap>(0xa3);
pub(crate) const KVM_ARM_PREFERRED_TARGET: u32 = ior::<kvm_vcpu_init>(0xaf);
pub(crate) const KVM_ARM_SET_COUNTER_OFFSET: u32 = iow::<kvm_arm_counter_offset>(0xb5);
pub(crate) const KVM_ARM_GET_REG_WRITABLE_MASKS: u32 = ior::<reg_mask_range>(0xb6);
pub(crate) const KVM_CREATE_IRQCHIP: u32 = _IO(KVMIO, 0x60);
pub(crate) const KVM_ARM_SET_DEVICE_ADDR: u32 = iow::<kvm_arm_device_addr>(0xab);
pub(crate) const KVM_SIGNAL_MSI: u32 = iow::<kvm_msi>(0xa5);
pub(crate) const KVM_CREATE_DEVICE: u32 = _IOWR::<kvm_create_device>(KVMIO, 0xe0);
pub(crate) const KVM_SET_DEVICE_ATTR: u32 = iow::<kvm_device_attr>(0xe1);
pub(crate) const KVM_GET_DEVICE_ATTR: u32 = iow::<kvm_device_attr>(0xe2);
pub(crate) const KVM_HAS_DEVICE_ATTR: u32 = iow::<kvm_device_attr>(0xe3);

pub(crate) const KVM_RUN: u32 = _IO(KVMIO, 0x80);
pub(crate) const KVM_SET_SIGNAL_MASK: u32 = iow::<u32>(0x8b);
pub(crate) const KVM_GET_MP_STATE: u32 = ior::<kvm_mp_state>(0x98);
pub(crate) const KVM_SET_MP_STATE: u32 = iow::<kvm_mp_state>(0x99);
pub(crate) const KVM_SET_GUEST_DEBUG: u32 = iow::<kvm_guest_debug>(0x9b);
pub(crate) const KVM_GET_VCPU_EVENTS: u32 = ior::<kvm_vcpu_events>(0x9f);
pub(crate) const KVM_SET_VCPU_EVENTS: u32 = iow::<kvm_vcpu_events>(0xa0);
pub(crate) const KVM_GET_ONE_REG: u32 = iow::<kvm_one_reg>(0xab);
pub(crate) const KVM_SET_ONE_REG: u32 = iow::<kvm_one_reg>(0xac);
pub(crate) const KVM_ARM_VCPU_INIT: u32 = iow::<kvm_vcpu_init>(0xae);
pub(crate) const KVM_ARM_VCPU_FINALIZE: u32 = iow::<u32>(0xc2);
pub(crate) const KVM_PRE_FAULT_MEMORY: u32 = _IOWR::<kvm_pre_fault_memory>(KVMIO, 0xd5);
pub(crate) const KVM_GET_REG_LIST: u32 = _IOWR::<u64>(KVMIO, 0xb0);

/// Reads a structure from user space.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn read_user<T: FromBytes>(address: usize) -> Result<T> {
    UserSlice::new(UserPtr::from_addr(address), size_of::<T>())
        .reader()
        .read()
}

/// Writes a structure to user space.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn write_user<T: AsBytes>(address: usize, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(address), size_of::<T>())
        .writer()
        .write(value)
}
