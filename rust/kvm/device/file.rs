// SPDX-License-Identifier: GPL-2.0

//! A device's file descriptor.
//!
//! Source: api.rst, "4.80 KVM_SET_DEVICE_ATTR/KVM_GET_DEVICE_ATTR".

use crate::{
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
    abi::KVM_CREATE_DEVICE_TEST,
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

/// Makes a device and its descriptor, whose number goes to `request`, which is at `arg`; or says that
/// there are such devices, if that is all that is asked for.
///
/// # Errors
///
/// What [`Device::new`] and [`Device::attach`] return, `EMFILE` and `ENFILE` if there are too many
/// files, `EFAULT`. The VM is as before then.
pub(super) fn open<D: Device>(vm: &Arc<Vm>, arg: usize, mut request: kvm_create_device) -> Result {
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
