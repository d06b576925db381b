// SPDX-License-Identifier: GPL-2.0

//! A VM and its file descriptor.

use crate::{
    capability::check_extension,
    cpus::Cpus,
    ioctl::KVM_CHECK_EXTENSION, //
};
use kernel::{
    fs::file::{
        flags::O_CLOEXEC,
        FileDescriptorReservation, //
    },
    mm::Mm,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow, //
    },
};
use kvm_core::ipa::{
    ipa_size,
    IpaBits, //
};
use kvm_host::file::{
    new_anon_file,
    AnonFile, //
};

/// A virtual machine. Its file descriptor owns it, and so does whatever is made of it; it goes when
/// the last of them is closed.
pub(crate) struct Vm {
    /// The address space that the VM's memory is part of, the creator's. No other process may use
    /// the descriptor. This is the `struct mm_struct`, not what it maps: a VM does not keep its
    /// creator's memory alive.
    mm: ARef<Mm>,
    cpus: Arc<Cpus>,
    ipa: IpaBits,
}

impl Vm {
    /// Creates a VM of a machine type, which is its IPA size. api.rst, "4.2 KVM_CREATE_VM".
    fn new(cpus: &Arc<Cpus>, machine_type: usize) -> Result<Self> {
        let limit = cpus.capabilities().ipa_limit;
        let ipa = ipa_size(machine_type as u64, limit).map_err(|_| EINVAL)?;
        if !cpus.current_in_use() {
            return Err(EBUSY);
        }
        let task = current!();
        // An ioctl comes from user space, so there is one.
        let mm: &Mm = task.mm().ok_or(EINVAL)?;

        Ok(Self {
            mm: mm.into(),
            cpus: cpus.clone(),
            ipa,
        })
    }

    /// Creates a VM and its file descriptor in the current process.
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` if there are too many files, `EINVAL` if there is no such machine type,
    /// `EBUSY` if the system is going down, `ENOMEM`.
    pub(crate) fn create(cpus: &Arc<Cpus>, machine_type: usize) -> Result<u32> {
        let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
        let vm = Arc::new(Self::new(cpus, machine_type)?, GFP_KERNEL_ACCOUNT)?;
        let file = new_anon_file(vm)?;
        let number = fd.reserved_fd();

        fd.fd_install(file);
        Ok(number)
    }

    /// Whether the current process is the one that the VM belongs to.
    fn is_ours(&self) -> bool {
        current!()
            .mm()
            .is_some_and(|mm| core::ptr::eq::<Mm>(&**mm, &*self.mm))
    }
}

impl AnonFile for Vm {
    const NAME: &'static CStr = c"kvm-vm";

    fn ioctl(vm: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<u32> {
        if !vm.is_ours() {
            return Err(EIO);
        }
        match cmd {
            KVM_CHECK_EXTENSION => Ok(check_extension(vm.cpus.capabilities(), arg)),
            _ => Err(EINVAL),
        }
    }

    fn show_fdinfo(vm: ArcBorrow<'_, Self>, m: &SeqFile) {
        seq_print!(m, "kvm-ipa-bits:\t{}\n", vm.ipa.get());
    }
}
