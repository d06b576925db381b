// SPDX-License-Identifier: GPL-2.0

//! Devices of a VM, which user space makes by KVM_CREATE_DEVICE and configures by attributes.
//!
//! Source: api.rst, "4.79 KVM_CREATE_DEVICE".

mod file;
mod stopped;

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
    uapi::kvm_create_device, //
};

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
