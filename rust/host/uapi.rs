// SPDX-License-Identifier: GPL-2.0

//! The structures of the KVM user-space ABI, `include/uapi/linux/kvm.h` and `asm/kvm.h`, and that
//! they may be copied from and to user space as the bytes that they are.
//!
//! `struct kvm_run`, which is shared and not copied, is in [`crate::run_page`]. Those that end in a
//! flexible array (`kvm_reg_list`, `kvm_signal_mask`, `kvm_irq_routing`) have a plain integer or two
//! before it, which is what there is to read of them.

pub use crate::bindings::{
    kvm_arm_counter_offset,
    kvm_arm_device_addr,
    kvm_clear_dirty_log,
    kvm_coalesced_mmio,
    kvm_coalesced_mmio_zone,
    kvm_create_device,
    kvm_debug_exit_arch,
    kvm_device_attr,
    kvm_dirty_log,
    kvm_enable_cap,
    kvm_guest_debug,
    kvm_guest_debug_arch,
    kvm_ioeventfd,
    kvm_irq_level,
    kvm_irq_routing_entry,
    kvm_irqfd,
    kvm_mp_state,
    kvm_msi,
    kvm_one_reg,
    kvm_pmu_event_filter,
    kvm_pre_fault_memory,
    kvm_smccc_filter,
    kvm_sync_regs,
    kvm_userspace_memory_region,
    kvm_userspace_memory_region2,
    kvm_vcpu_events,
    kvm_vcpu_init,
    reg_mask_range, //
};

use core::mem::size_of;
use kernel::transmute::{
    AsBytes,
    FromBytes, //
};

/// Says of structures that all bytes of them are fields, and all bytes that a field can have are
/// valid. The sizes of the fields, as the header has them, are added up here, so a structure with
/// padding, or one that grew, does not build.
macro_rules! plain {
    ($($name:ident: $($size:literal)+;)+) => {$(
        const _: () = assert!(size_of::<$name>() == 0 $(+ $size)+, "has padding, or has changed");

        // SAFETY: The structure consists of integers, arrays of them, pointers to user space, which
        // are never followed as such, and structures and unions of these: any bytes are valid.
        unsafe impl FromBytes for $name {}
        // SAFETY: As the assertion above shows, its fields fill it: it has no padding, and what is
        // in it is initialised. The members of a union in it are of one size.
        unsafe impl AsBytes for $name {}
    )+};
}

plain! {
    kvm_arm_counter_offset: 8 8;
    kvm_arm_device_addr: 8 8;
    kvm_clear_dirty_log: 4 4 8 8;
    kvm_coalesced_mmio: 8 4 4 8;
    kvm_coalesced_mmio_zone: 8 4 4;
    kvm_create_device: 4 4 4;
    kvm_debug_exit_arch: 4 4 8;
    kvm_device_attr: 4 4 8 8;
    kvm_dirty_log: 4 4 8;
    kvm_enable_cap: 4 4 32 64;
    kvm_guest_debug: 4 4 512;
    kvm_guest_debug_arch: 128 128 128 128;
    kvm_ioeventfd: 8 8 4 4 4 36;
    kvm_irq_level: 4 4;
    kvm_irqfd: 4 4 4 4 16;
    kvm_mp_state: 4;
    kvm_msi: 4 4 4 4 4 12;
    kvm_one_reg: 8 8;
    kvm_pmu_event_filter: 2 2 1 3;
    kvm_pre_fault_memory: 8 8 8 40;
    kvm_smccc_filter: 4 4 1 15;
    kvm_sync_regs: 8;
    kvm_userspace_memory_region: 4 4 8 8 8;
    kvm_userspace_memory_region2: 4 4 8 8 8 8 4 4 112;
    kvm_vcpu_events: 1 1 1 5 8 48;
    kvm_vcpu_init: 4 28;
    reg_mask_range: 8 4 52;
}

const _: () = assert!(size_of::<kvm_irq_routing_entry>() == 4 * 4 + 32);

// SAFETY: Integers and a union of structures of integers: any bytes are valid. It is no `AsBytes`,
// as the members of the union differ in size; nobody gives one to user space.
unsafe impl FromBytes for kvm_irq_routing_entry {}

impl kvm_coalesced_mmio_zone {
    /// Whether its addresses are those of ports: 0 or 1 where user space has made sense.
    pub fn pio(&self) -> u32 {
        // SAFETY: Both members of the union are this integer.
        unsafe { self.__bindgen_anon_1.pio }
    }
}

impl kvm_dirty_log {
    /// The address of user space's bitmap.
    pub fn bitmap(&self) -> usize {
        // SAFETY: Both members of the union are as large, and any bytes are this integer.
        unsafe { self.__bindgen_anon_1.padding2 as usize }
    }
}

impl kvm_clear_dirty_log {
    /// The address of user space's bitmap.
    pub fn bitmap(&self) -> usize {
        // SAFETY: As in `kvm_dirty_log::bitmap()`.
        unsafe { self.__bindgen_anon_1.padding2 as usize }
    }
}

/// An all-zero structure, to fill in for user space.
pub fn zeroed<T: FromBytes>() -> T {
    // SAFETY: Any bytes are a valid `T`, by `FromBytes`.
    unsafe { core::mem::zeroed() }
}
