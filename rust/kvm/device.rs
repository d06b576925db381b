// SPDX-License-Identifier: GPL-2.0

//! Devices of a VM, which user space makes by KVM_CREATE_DEVICE and configures by attributes.
//!
//! Source: api.rst, "4.79 KVM_CREATE_DEVICE" and "4.80 KVM_SET_DEVICE_ATTR/KVM_GET_DEVICE_ATTR".

mod vgic_its;
pub(crate) mod vgic_v3;

use crate::{
    device::{
        vgic_its::VgicIts,
        vgic_v3::VgicV3, //
    },
    ioctl::*,
    vm::Vm, //
};
use kernel::{
    fs::file::{
        flags::O_CLOEXEC,
        FileDescriptorReservation, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::{
        Arc,
        ArcBorrow, //
    },
};
use kvm_host::{
    abi::*,
    file::{
        new_anon_file,
        AnonFile, //
    },
    uapi::{
        kvm_create_device,
        kvm_device_attr, //
    },
};

/// A device of a VM.
pub(crate) trait Device: Sized + Send + Sync + 'static {
    /// The name of its descriptor.
    const NAME: &'static CStr;

    /// Makes the device, which the VM does not know of yet.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the VM has one and can have no more, `ENOMEM`.
    fn new(vm: &Arc<Vm>) -> Result<Self>;

    /// Makes the device the VM's. Nothing can fail any more after this.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the VM has one and can have no more, `EBUSY` if it is too late.
    fn attach(&self, vm: &Vm) -> Result;

    /// Whether the attribute exists.
    ///
    /// # Errors
    ///
    /// `ENXIO` if it does not, and what else the device's documentation names.
    fn has(&self, vm: &Vm, attr: &kvm_device_attr) -> Result;

    /// Sets an attribute.
    ///
    /// # Errors
    ///
    /// Those that the device's documentation names.
    fn set(&self, vm: &Vm, attr: &kvm_device_attr) -> Result;

    /// Gets an attribute.
    ///
    /// # Errors
    ///
    /// Those that the device's documentation names.
    fn get(&self, vm: &Vm, attr: &kvm_device_attr) -> Result;
}

/// A device's file, which shares in owning the VM.
struct DeviceFile<D> {
    vm: Arc<Vm>,
    device: D,
}

impl<D: Device> AnonFile for DeviceFile<D> {
    const NAME: &'static CStr = D::NAME;

    fn ioctl(file: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<u32> {
        if !file.vm.is_ours() {
            return Err(EIO);
        }
        let access = match cmd {
            KVM_SET_DEVICE_ATTR => D::set,
            KVM_GET_DEVICE_ATTR => D::get,
            KVM_HAS_DEVICE_ATTR => D::has,
            _ => return Err(ENOTTY),
        };
        access(&file.device, &file.vm, &read_user(arg)?)?;
        Ok(0)
    }

    fn show_fdinfo(_file: ArcBorrow<'_, Self>, _m: &SeqFile) {}
}

/// KVM_CREATE_DEVICE.
///
/// # Errors
///
/// `ENODEV` if there are no such devices, what [`Device::new`] and [`Device::attach`] return, `EMFILE`
/// and `ENFILE` if there are too many files, `EFAULT`. The VM is as before then.
pub(crate) fn create(vm: &Arc<Vm>, arg: usize) -> Result {
    let request: kvm_create_device = read_user(arg)?;

    // Without its interrupt at the host there is no GIC for VMs, nor on CPUs where all that a guest
    // does with its CPU interface has to trap, which is not emulated.
    let gic = &vm.cpus.gic;
    let has_vgic = gic.maintenance().is_ok() && gic.interface().required_traps() == 0;
    if !has_vgic {
        return Err(ENODEV);
    }
    if request.type_ == kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3 {
        open::<VgicV3>(vm, arg, request)
    } else if request.type_ == kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS {
        open::<VgicIts>(vm, arg, request)
    } else {
        Err(ENODEV)
    }
}

fn open<D: Device>(vm: &Arc<Vm>, arg: usize, mut request: kvm_create_device) -> Result {
    if request.flags & KVM_CREATE_DEVICE_TEST != 0 {
        return Ok(());
    }
    let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let device = Arc::new(
        DeviceFile {
            vm: vm.clone(),
            device: D::new(vm)?,
        },
        GFP_KERNEL_ACCOUNT,
    )?;
    let file = new_anon_file(device.clone())?;

    request.fd = fd.reserved_fd();
    write_user(arg, &request)?;
    device.device.attach(vm)?;
    fd.fd_install(file);
    Ok(())
}
