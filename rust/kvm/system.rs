// SPDX-License-Identifier: GPL-2.0

//! `/dev/kvm`, the system file descriptor.

use crate::{
    capability::check_extension,
    cpus::Cpus,
    debugfs::Debugfs,
    ioctl::{
        KVM_CHECK_EXTENSION,
        KVM_CREATE_VM,
        KVM_GET_API_VERSION,
        KVM_GET_VCPU_MMAP_SIZE, //
    },
    vm_fd::create_vm, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};
use kvm_host::{
    abi::KVM_API_VERSION,
    file::Device, //
};

/// The size of a vCPU's mapping: the page of `struct kvm_run` and the one behind it, which is the
/// ring of coalesced MMIO. VMMs map all of it and rely on the first page only, unless
/// `KVM_CAP_COALESCED_MMIO` says where the ring is.
const VCPU_MMAP_SIZE: u32 = 2 * PAGE_SIZE as u32;

/// What C KVM's presence means to the user, and what to do about it.
pub(crate) fn report_c_kvm() {
    pr_err!(
        "not loaded: the kernel's own KVM is active; boot with kvm-arm.mode=none to leave the CPUs \
         and /dev/kvm to this module\n"
    );
}

/// The device.
pub(crate) struct System {
    cpus: Arc<Cpus>,
    debugfs: Arc<Debugfs>,
}

impl System {
    pub(crate) fn new(cpus: Arc<Cpus>, debugfs: Arc<Debugfs>) -> Self {
        Self { cpus, debugfs }
    }
}

impl Device for System {
    const NAME: &'static CStr = c"kvm";

    /// `KVM_MINOR`: udev rules, containers and `modprobe` by device number rely on it.
    const MINOR: u8 = 232;

    fn not_registered(error: Error) {
        if error == EBUSY {
            report_c_kvm();
        } else {
            pr_err!("not loaded: /dev/kvm cannot be registered: {:?}\n", error);
        }
    }

    fn ioctl(&self, cmd: u32, arg: usize) -> Result<u32> {
        match cmd {
            KVM_GET_API_VERSION if arg == 0 => Ok(KVM_API_VERSION),
            KVM_CREATE_VM => create_vm(&self.cpus, &self.debugfs, arg),
            KVM_CHECK_EXTENSION => Ok(check_extension(&self.cpus, arg)),
            KVM_GET_VCPU_MMAP_SIZE if arg == 0 => Ok(VCPU_MMAP_SIZE),
            _ => Err(EINVAL),
        }
    }
}
