// SPDX-License-Identifier: GPL-2.0

//! A VM's file descriptor: its ioctls.

use crate::{
    capability::{
        check_vm_extension,
        enable_cap, //
    },
    counters::Counter,
    cpus::Cpus,
    debugfs::{
        Debugfs,
        VmDir, //
    },
    device::{
        self,
        vgic_v2, //
    },
    ioctl::*,
    irq_line::irq_line,
    memory::DirtyRing,
    stats,
    vcpu::Vcpu,
    vcpu_fd::{
        VcpuFile,
        TARGET_GENERIC_V8, //
    },
    vm::{
        Vm,
        MAX_VCPUS, //
    },
};
use kernel::{
    fs::file::{
        flags::O_CLOEXEC,
        FileDescriptorReservation, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        Arc,
        ArcBorrow, //
    },
};
use kvm_core::{
    smccc::{
        FilterRange,
        KvmSmcccFilter,
        KVM_ARM_VM_SMCCC_CTRL,
        KVM_ARM_VM_SMCCC_FILTER, //
    },
    vm_idreg::{
        writable_mask,
        IdIndex, //
    },
};
use kvm_host::{
    abi::KVM_MSI_VALID_DEVID,
    file::{
        new_anon_file,
        AnonFile, //
    },
    uapi::{
        kvm_arm_counter_offset,
        kvm_arm_device_addr,
        kvm_clear_dirty_log,
        kvm_coalesced_mmio_zone,
        kvm_device_attr,
        kvm_dirty_log,
        kvm_enable_cap,
        kvm_ioeventfd,
        kvm_irqfd,
        kvm_msi,
        kvm_userspace_memory_region,
        kvm_userspace_memory_region2,
        kvm_vcpu_init,
        reg_mask_range,
        zeroed, //
    },
};

/// Creates a VM and its file descriptor in the current process.
///
/// # Errors
///
/// `EMFILE` and `ENFILE` if there are too many files, `EINVAL` if there is no such machine type,
/// `EBUSY` if the system is going down, `ENOMEM`.
pub(crate) fn create_vm(cpus: &Arc<Cpus>, debugfs: &Debugfs, machine_type: usize) -> Result<u32> {
    let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let number = fd.reserved_fd();
    let vm = Vm::new(cpus, machine_type)?;
    let file = VmFile {
        // What is for looking only may be missing.
        debugfs: debugfs.add_vm(&vm, number).ok(),
        vm,
    };
    let file = new_anon_file(Arc::new(file, GFP_KERNEL_ACCOUNT)?)?;

    fd.fd_install(file);
    Ok(number)
}

fn create_vcpu(vm: &Arc<Vm>, debugfs: Option<&Arc<VmDir>>, id: usize) -> Result<u32> {
    let id = u32::try_from(id).map_err(|_| EINVAL)?;
    if id as usize >= MAX_VCPUS {
        return Err(EINVAL);
    }
    let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let ring = vm.memory.ring_size().map(DirtyRing::new).transpose()?;
    let vcpu = Vcpu::new(&vm.cpus, id, ring)?;
    let object = VcpuFile::new(vm.clone(), vcpu.clone())?;
    let file = new_anon_file(object.clone())?;
    vm.add_vcpu(vcpu.clone())?;
    // Now that it is the only one of its number.
    if let Some(dir) = debugfs.and_then(|dir| dir.add_vcpu(vm, &vcpu).ok()) {
        object.show_in(dir);
    }
    let number = fd.reserved_fd();

    fd.fd_install(file);
    Ok(number)
}

/// KVM_SIGNAL_MSI: returns 1 if the message has arrived, 0 if the guest does not want it.
///
/// # Errors
///
/// `EINVAL` if there is no interrupt controller, no ITS at the address or no DeviceID, `ENODEV` if
/// there is no ITS, `EBUSY` if it, or LPIs, are disabled.
fn signal_msi(vm: &Vm, msi: &kvm_msi) -> Result<u32> {
    let gic = vm.gic().and_then(|gic| gic.ready()).ok_or(EINVAL)?;
    if msi.flags & !KVM_MSI_VALID_DEVID != 0 {
        return Err(EINVAL);
    }
    if !gic.has_its() {
        return Err(ENODEV);
    }
    if msi.flags != KVM_MSI_VALID_DEVID {
        return Err(EINVAL);
    }
    let address = u64::from(msi.address_hi) << 32 | u64::from(msi.address_lo);

    Ok(gic.message(address, msi.devid, msi.data)?.into())
}

fn writable_masks(vm: &Vm, arg: usize) -> Result {
    /// KVM_ARM_FEATURE_ID_RANGE.
    const FEATURE_ID_RANGE: u32 = 0;

    let range: reg_mask_range = read_user(arg)?;
    if range.range != FEATURE_ID_RANGE || range.reserved != [0; 13] {
        return Err(EINVAL);
    }
    let aarch32 = vm.cpus.id_registers().has_aarch32_el0();
    for index in IdIndex::all() {
        let at = (range.addr as usize).wrapping_add(index.get() * 8);
        write_user(at, &writable_mask(index, aarch32))?;
    }
    Ok(())
}

fn set_smccc_filter(vm: &Vm, address: u64) -> Result {
    let bytes: [u8; 24] = read_user(address as usize)?;
    let range = FilterRange::new(&KvmSmcccFilter::from_ne_bytes(&bytes)).map_err(|_| EINVAL)?;

    vm.config.filter_calls(range)
}

fn device_attr(vm: &Vm, cmd: u32, arg: usize) -> Result {
    let attr: kvm_device_attr = read_user(arg)?;

    if attr.group != KVM_ARM_VM_SMCCC_CTRL || attr.attr != KVM_ARM_VM_SMCCC_FILTER {
        return Err(ENXIO);
    }
    match cmd {
        KVM_HAS_DEVICE_ATTR => Ok(()),
        KVM_SET_DEVICE_ATTR => set_smccc_filter(vm, attr.addr),
        _ => Err(ENXIO),
    }
}

fn preferred_target(arg: usize) -> Result {
    write_user(
        arg,
        &kvm_vcpu_init {
            target: TARGET_GENERIC_V8,
            features: [0; 7],
        },
    )
}

/// KVM_SET_USER_MEMORY_REGION as KVM_SET_USER_MEMORY_REGION2.
fn with_memfd(region: &kvm_userspace_memory_region) -> kvm_userspace_memory_region2 {
    kvm_userspace_memory_region2 {
        slot: region.slot,
        flags: region.flags,
        guest_phys_addr: region.guest_phys_addr,
        memory_size: region.memory_size,
        userspace_addr: region.userspace_addr,
        ..zeroed()
    }
}

/// A VM's file.
pub(crate) struct VmFile {
    vm: Arc<Vm>,
    debugfs: Option<Arc<VmDir>>,
}

impl Drop for VmFile {
    /// The file is closed, while vCPUs may be open and run.
    fn drop(&mut self) {
        self.vm.irqfds.clear();
    }
}

impl AnonFile for VmFile {
    const NAME: &'static CStr = c"kvm-vm";

    fn ioctl(file: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<u32> {
        let vm = &file.vm;

        if !vm.is_ours() {
            return Err(EIO);
        }
        match cmd {
            KVM_CHECK_EXTENSION => return Ok(check_vm_extension(vm, arg)),
            KVM_GET_STATS_FD => return stats::open((*vm).clone(), None),
            KVM_CREATE_VCPU => return create_vcpu(vm, file.debugfs.as_ref(), arg),
            KVM_SET_USER_MEMORY_REGION => {
                let region: kvm_userspace_memory_region = read_user(arg)?;
                vm.memory.set_region(&with_memfd(&region))?;
            }
            KVM_SET_USER_MEMORY_REGION2 => {
                let region: kvm_userspace_memory_region2 = read_user(arg)?;
                vm.memory.set_region(&region)?;
            }
            KVM_GET_DIRTY_LOG => {
                let log: kvm_dirty_log = read_user(arg)?;
                vm.memory.get_dirty_log(log.slot, log.bitmap())?;
            }
            KVM_CLEAR_DIRTY_LOG => {
                let log: kvm_clear_dirty_log = read_user(arg)?;
                vm.memory
                    .clear_dirty_log(log.slot, log.first_page, log.num_pages, log.bitmap())?;
            }
            KVM_RESET_DIRTY_RINGS => return vm.reset_dirty_rings(),
            KVM_REGISTER_COALESCED_MMIO => {
                let zone: kvm_coalesced_mmio_zone = read_user(arg)?;
                vm.bus.register_coalesced(&zone)?;
            }
            KVM_UNREGISTER_COALESCED_MMIO => {
                let zone: kvm_coalesced_mmio_zone = read_user(arg)?;
                vm.bus.unregister_coalesced(&zone)?;
            }
            KVM_IRQ_LINE | KVM_IRQ_LINE_STATUS => {
                // `struct kvm_irq_level`. That there is no status is one, too.
                let [irq, level]: [u32; 2] = read_user(arg)?;
                irq_line(vm, irq, level != 0)?;
            }
            KVM_SET_GSI_ROUTING => {
                // `struct kvm_irq_routing`, and behind it the entries.
                let head: [u32; 2] = read_user(arg)?;
                let entries = arg.wrapping_add(core::mem::size_of_val(&head));
                vm.routes.set(head[0], head[1], entries)?;
            }
            KVM_IRQFD => {
                let args: kvm_irqfd = read_user(arg)?;
                vm.irqfds.change(vm.gic(), &vm.routes, &args)?;
            }
            KVM_IOEVENTFD => {
                let args: kvm_ioeventfd = read_user(arg)?;
                vm.bus.ioeventfd(&args)?;
            }
            KVM_ENABLE_CAP => {
                let cap: kvm_enable_cap = read_user(arg)?;
                enable_cap(vm, &cap)?;
            }
            KVM_CREATE_IRQCHIP => vgic_v2::create(vm)?,
            KVM_ARM_SET_DEVICE_ADDR => {
                let place: kvm_arm_device_addr = read_user(arg)?;
                vgic_v2::set_address(vm, place.id, place.addr)?;
            }
            KVM_CREATE_DEVICE => device::create(vm, arg)?,
            KVM_SIGNAL_MSI => return signal_msi(vm, &read_user(arg)?),
            KVM_ARM_PREFERRED_TARGET => preferred_target(arg)?,
            KVM_ARM_SET_COUNTER_OFFSET => {
                let offset: kvm_arm_counter_offset = read_user(arg)?;
                if offset.reserved != 0 {
                    return Err(EINVAL);
                }
                vm.give_counter_offset(offset.counter_offset)?;
            }
            KVM_ARM_GET_REG_WRITABLE_MASKS => writable_masks(vm, arg)?,
            KVM_SET_DEVICE_ATTR | KVM_GET_DEVICE_ATTR | KVM_HAS_DEVICE_ATTR => {
                device_attr(vm, cmd, arg)?
            }
            _ => return Err(EINVAL),
        }
        Ok(0)
    }

    fn show_fdinfo(file: ArcBorrow<'_, Self>, m: &SeqFile) {
        let vm = &file.vm;

        seq_print!(m, "kvm-ipa-bits:\t{}\n", vm.ipa.get());
        seq_print!(m, "table_pages:\t{}\n", vm.memory.table_pages());
        for counter in Counter::all() {
            seq_print!(m, "{}:\t{}\n", counter.name(), vm.sum(counter));
        }
    }
}
