// SPDX-License-Identifier: GPL-2.0

//! Devices of a VM, which user space makes by KVM_CREATE_DEVICE and configures by attributes.
//!
//! Source: api.rst, "4.79 KVM_CREATE_DEVICE".

mod file;

mod vgic_its;
pub(crate) mod vgic_v2;
mod vgic_v3;

use crate::{
    device::{
        file::open,
        vgic_its::VgicIts,
        vgic_v2::VgicV2,
        vgic_v3::VgicV3, //
    },
    ioctl::read_user,
    vcpu::{
        State,
        Vcpu, //
    },
    vm::Vm, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kvm_host::{
    abi::{
        kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS,
        kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2,
        kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3, //
    },
    lock::KillableGuard,
    uapi::kvm_create_device, //
};

/// All vCPUs of a VM with their states. While these are locked none runs.
type Stopped<'a> = KVec<(&'a Vcpu, KillableGuard<'a, State>)>;

/// Locks the vCPUs, so that none runs, and calls `f`. Who does so at the same time waits.
///
/// # Errors
///
/// `EBUSY` if a vCPU runs or an ioctl on one is under way, `EINTR` if the thread is being killed,
/// `ENOMEM`, and what `f` returns.
fn stopped<R>(vm: &Vm, f: impl FnOnce(&mut Stopped<'_>) -> Result<R>) -> Result<R> {
    let vcpus = vm.vcpus()?;
    // It ends after the vCPUs' locks have.
    let _turn = vm.stops_vcpus()?;
    let mut stopped = KVec::with_capacity(vcpus.len(), GFP_KERNEL)?;

    for vcpu in &vcpus {
        stopped.push((&**vcpu, vcpu.try_state().ok_or(EBUSY)?), GFP_KERNEL)?;
    }
    f(&mut stopped)
}

/// KVM_CREATE_DEVICE.
///
/// # Errors
///
/// `ENODEV` if there are no such devices, what making one of them returns. The VM is as before then.
pub(crate) fn create(vm: &Arc<Vm>, arg: usize) -> Result {
    let request: kvm_create_device = read_user(arg)?;

    if !vm.cpus.has_vgic() {
        return Err(ENODEV);
    }
    if request.type_ == kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3 {
        open::<VgicV3>(vm, arg, request)
    } else if request.type_ == kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2 {
        open::<VgicV2>(vm, arg, request)
    } else if request.type_ == kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS {
        open::<VgicIts>(vm, arg, request)
    } else {
        Err(ENODEV)
    }
}
