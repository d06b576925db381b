// SPDX-License-Identifier: GPL-2.0

//! Capabilities: what `KVM_CHECK_EXTENSION` answers, and `KVM_ENABLE_CAP`.

use crate::{
    cpus::Cpus,
    memory::MANUAL_FLAGS,
    vm::{
        Vm,
        MAX_VCPUS, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};
use kvm_core::{
    dirty::RingSize,
    guest_debug::GuestDebug,
    irq_routing::MAX_ROUTES,
    memslot::SlotId,
    stage2::leaf_sizes, //
};
use kvm_host::{
    abi::*,
    coalesced_ring::RING_PAGE,
    uapi::kvm_enable_cap, //
};

/// Returns the value of a capability: zero for one that does not exist or does not work.
///
/// api.rst, "4.4 KVM_CHECK_EXTENSION".
pub(crate) fn check_extension(cpus: &Cpus, capability: usize) -> u32 {
    let Ok(capability) = u32::try_from(capability) else {
        return 0;
    };
    match capability {
        KVM_CAP_CHECK_EXTENSION_VM
        | KVM_CAP_USER_MEMORY
        | KVM_CAP_USER_MEMORY2
        | KVM_CAP_DESTROY_MEMORY_REGION_WORKS
        | KVM_CAP_JOIN_MEMORY_REGIONS_WORKS
        | KVM_CAP_SYNC_MMU
        | KVM_CAP_READONLY_MEM
        | KVM_CAP_PRE_FAULT_MEMORY
        | KVM_CAP_ONE_REG
        | KVM_CAP_ARM_PSCI
        | KVM_CAP_ARM_PSCI_0_2
        | KVM_CAP_MP_STATE
        | KVM_CAP_IMMEDIATE_EXIT
        | KVM_CAP_VCPU_EVENTS
        | KVM_CAP_VCPU_ATTRIBUTES
        | KVM_CAP_VM_ATTRIBUTES
        | KVM_CAP_ENABLE_CAP_VM
        | KVM_CAP_ARM_NISV_TO_USER
        | KVM_CAP_ARM_SEA_TO_USER
        | KVM_CAP_MEMORY_FAULT_INFO
        | KVM_CAP_ARM_INJECT_EXT_DABT
        | KVM_CAP_ARM_SYSTEM_SUSPEND
        | KVM_CAP_ARM_WRITABLE_IMP_ID_REGS
        | KVM_CAP_INTERNAL_ERROR_DATA
        | KVM_CAP_SYSTEM_EVENT_DATA
        | KVM_CAP_IOEVENTFD
        | KVM_CAP_IOEVENTFD_ANY_LENGTH
        | KVM_CAP_COALESCED_PIO
        | KVM_CAP_ARM_SET_DEVICE_ADDR
        | KVM_CAP_IRQFD
        | KVM_CAP_IRQFD_RESAMPLE
        | KVM_CAP_ARM_IRQ_LINE_LAYOUT_2
        | KVM_CAP_PTP_KVM
        | KVM_CAP_DEVICE_CTRL
        | KVM_CAP_COUNTER_OFFSET
        | KVM_CAP_ARM_USER_IRQ
        | KVM_CAP_SIGNAL_MSI
        | KVM_CAP_BINARY_STATS_FD
        | KVM_CAP_HALT_POLL
        | KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
        | KVM_CAP_STEAL_TIME => 1,
        KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 => MANUAL_FLAGS,
        KVM_CAP_DIRTY_LOG_RING_ACQ_REL => RingSize::MAX * RingSize::ENTRY as u32,
        KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES => leaf_sizes(cpus.capabilities().granule) as u32,
        KVM_CAP_ARM_INJECT_SERROR_ESR => cpus.has_ras().into(),
        KVM_CAP_ARM_PTRAUTH_ADDRESS | KVM_CAP_ARM_PTRAUTH_GENERIC => cpus.has_pauth().into(),
        KVM_CAP_ARM_VM_IPA_SIZE => cpus.capabilities().ipa_limit.get().into(),
        KVM_CAP_NR_MEMSLOTS => SlotId::COUNT.into(),
        KVM_CAP_NR_VCPUS => kvm_host::machine::online_cpus().min(MAX_VCPUS as u32),
        KVM_CAP_MAX_VCPUS | KVM_CAP_MAX_VCPU_ID => MAX_VCPUS as u32,
        KVM_CAP_IRQCHIP => cpus.has_vgic().into(),
        KVM_CAP_IRQ_ROUTING => MAX_ROUTES as u32,
        KVM_CAP_COALESCED_MMIO => RING_PAGE,
        KVM_CAP_SET_GUEST_DEBUG => 1,
        KVM_CAP_SET_GUEST_DEBUG2 => GuestDebug::VALID,
        KVM_CAP_GUEST_DEBUG_HW_BPS => cpus.debug_resources().breakpoints() as u32,
        KVM_CAP_GUEST_DEBUG_HW_WPS => cpus.debug_resources().watchpoints() as u32,
        // KVM_ARM_FEATURE_ID_RANGE is the one range.
        KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES => 1,
        _ => 0,
    }
}

/// As [`check_extension`], asked of a VM.
pub(crate) fn check_vm_extension(vm: &Vm, capability: usize) -> u32 {
    match u32::try_from(capability) {
        Ok(KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE) => vm.memory.split_chunk() as u32,
        // Messages have to have a DeviceID.
        Ok(KVM_CAP_MSI_DEVID) => vm.gic().is_some_and(|gic| gic.has_its()).into(),
        Ok(KVM_CAP_MAX_VCPUS | KVM_CAP_MAX_VCPU_ID) => vm.max_vcpus() as u32,
        _ => check_extension(&vm.cpus, capability),
    }
}

/// KVM_ENABLE_CAP of a VM.
///
/// # Errors
///
/// `EINVAL` for one that cannot be enabled, or not any more.
pub(crate) fn enable_cap(vm: &Vm, cap: &kvm_enable_cap) -> Result {
    if cap.flags != 0 {
        return Err(EINVAL);
    }
    match cap.cap {
        KVM_CAP_HALT_POLL => {
            vm.limit_halt_poll(u32::try_from(cap.args[0]).map_err(|_| EINVAL)?);
        }
        KVM_CAP_ARM_NISV_TO_USER => vm.nisv_to_user.store(true, Relaxed),
        KVM_CAP_ARM_SEA_TO_USER => vm.sea_to_user.store(true, Relaxed),
        KVM_CAP_ARM_SYSTEM_SUSPEND => vm.config.enable_system_suspend(),
        KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 => vm.memory.set_manual_protect(cap.args[0])?,
        KVM_CAP_DIRTY_LOG_RING_ACQ_REL => vm.enable_dirty_rings(cap.args[0])?,
        KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP => vm.memory.set_ring_with_bitmap()?,
        KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE => vm.memory.set_split_chunk(cap.args[0])?,
        KVM_CAP_ARM_WRITABLE_IMP_ID_REGS => vm.enable_writable_implementation()?,
        _ => return Err(EINVAL),
    }
    Ok(())
}
