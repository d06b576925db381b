// SPDX-License-Identifier: GPL-2.0

//! The VM, its vCPUs and its interrupt controller, made in Firecracker's order.

use crate::boot::Entry;
use crate::devices::Devices;
use crate::layout;
use crate::Result;
use kvm_bindings as kvm;
use kvm_ioctls::{Cap, DeviceFd, Kvm, VcpuExit, VcpuFd, VmFd};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use vm_memory::{Address, GuestAddress, GuestMemory, GuestMemoryMmap, GuestMemoryRegion};

/// 64-bit registers of KVM_GET_ONE_REG (api.rst, 4.68).
const MPIDR_EL1: u64 = 0x6030_0000_0013_c005;
const PTIMER_CNT: u64 = 0x6030_0000_0013_df01;
const CORE_X0: u64 = 0x6030_0000_0010_0000;
const CORE_PC: u64 = 0x6030_0000_0010_0040;
const CORE_PSTATE: u64 = 0x6030_0000_0010_0042;
/// EL1h with all exceptions masked.
const PSTATE: u64 = 0x3c5;
const CAP_COUNTER_OFFSET: u64 = 227;
/// What Firecracker does not start without.
const NEEDED: [Cap; 7] = [
    Cap::Ioeventfd,
    Cap::Irqfd,
    Cap::UserMemory,
    Cap::ArmPsci02,
    Cap::DeviceCtrl,
    Cap::MpState,
    Cap::OneReg,
];

/// How the VM ended.
#[derive(Debug)]
pub enum Ended {
    /// By PSCI SYSTEM_OFF.
    Shutdown,
    /// By something else.
    Unexpected(#[allow(dead_code, reason = "printed")] String),
}

/// A VM that has everything but its devices.
pub struct Machine {
    kvm: Kvm,
    vm: Arc<VmFd>,
    memory: GuestMemoryMmap,
    vcpus: Mutex<Vec<VcpuFd>>,
    /// The interrupt controller's devices, open as long as the VM is.
    _gic: [DeviceFd; 2],
}

impl Machine {
    /// Makes a VM with this many vCPUs.
    ///
    /// # Errors
    ///
    /// What KVM says to this, or that it lacks what Firecracker needs.
    pub fn new(cpus: u32) -> Result<Self> {
        let kvm = Kvm::new()?;
        if kvm.get_api_version() != 12 {
            return Err("not version 12 of the KVM API".into());
        }
        if let Some(cap) = NEEDED.into_iter().find(|&cap| !kvm.check_extension(cap)) {
            return Err(format!("KVM lacks {cap:?}").into());
        }
        let vm = Arc::new(kvm.create_vm()?);

        let memory =
            GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(layout::RAM), layout::RAM_BYTES)])?;
        for (slot, region) in memory.iter().enumerate() {
            let region = kvm::kvm_userspace_memory_region {
                slot: slot as u32,
                flags: 0,
                guest_phys_addr: region.start_addr().raw_value(),
                memory_size: region.len(),
                userspace_addr: memory.get_host_address(region.start_addr())? as u64,
            };
            // SAFETY: the region is mapped as long as `memory` lives, which the machine owns with
            // the VM; and nothing here has a reference into it.
            unsafe { vm.set_user_memory_region(region)? };
        }

        let vcpus = (0..u64::from(cpus))
            .map(|id| vm.create_vcpu(id))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let gic = interrupt_controller(&vm, cpus)?;
        if !vm.check_extension(Cap::MsiDevid) {
            return Err("KVM knows no device IDs, though the VM has an ITS".into());
        }
        for (index, vcpu) in vcpus.iter().enumerate() {
            let mut init = kvm::kvm_vcpu_init::default();
            vm.get_preferred_target(&mut init)?;
            init.features[0] |= 1 << kvm::KVM_ARM_VCPU_PSCI_0_2;
            if index > 0 {
                init.features[0] |= 1 << kvm::KVM_ARM_VCPU_POWER_OFF;
            }
            vcpu.vcpu_init(&init)?;
        }
        Ok(Self {
            kvm,
            vm,
            memory,
            vcpus: Mutex::new(vcpus),
            _gic: gic,
        })
    }

    /// The VM's file descriptor.
    pub fn vm(&self) -> &Arc<VmFd> {
        &self.vm
    }

    /// The guest's memory.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// What the vCPUs have in MPIDR_EL1.
    ///
    /// # Errors
    ///
    /// What KVM says to this.
    pub fn mpidrs(&self) -> Result<Vec<u64>> {
        let vcpus = self.vcpus.lock().unwrap_or_else(PoisonError::into_inner);
        let mpidr = |vcpu: &VcpuFd| {
            let mut bytes = [0; 8];
            vcpu.get_one_reg(MPIDR_EL1, &mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        vcpus.iter().map(mpidr).collect()
    }

    /// Starts the vCPUs, each in a thread; the first one that ends the VM says how.
    ///
    /// # Errors
    ///
    /// What KVM says to the registers that are set.
    pub fn start(
        &self,
        entry: &Entry,
        devices: &Arc<Devices>,
        ended: &Sender<Ended>,
    ) -> Result<()> {
        let mut vcpus = self.vcpus.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, vcpu) in vcpus.iter().enumerate() {
            vcpu.set_one_reg(CORE_PSTATE, &PSTATE.to_le_bytes())?;
            if index == 0 {
                vcpu.set_one_reg(CORE_PC, &entry.pc.to_le_bytes())?;
                vcpu.set_one_reg(CORE_X0, &entry.fdt.to_le_bytes())?;
            }
            // The guest's counters begin at zero; one write does it for all of the VM.
            if index == 0 && self.kvm.check_extension_raw(CAP_COUNTER_OFFSET) != 0 {
                vcpu.set_one_reg(PTIMER_CNT, &0u64.to_le_bytes())?;
            }
        }
        for (index, mut vcpu) in vcpus.drain(..).enumerate() {
            let devices = devices.clone();
            let ended = ended.clone();
            thread::Builder::new()
                .name(format!("vcpu {index}"))
                .spawn(move || {
                    // Nobody listens any more if another vCPU ended it already.
                    let _ = ended.send(run(&mut vcpu, &devices));
                })?;
        }
        Ok(())
    }
}

/// Runs a vCPU until the VM ends.
fn run(vcpu: &mut VcpuFd, devices: &Devices) -> Ended {
    loop {
        match vcpu.run() {
            Ok(VcpuExit::MmioRead(address, data)) => devices.read(address, data),
            Ok(VcpuExit::MmioWrite(address, data)) => {
                if let Err(error) = devices.write(address, data) {
                    return Ended::Unexpected(format!("a store to {address:#x}: {error}"));
                }
            }
            Ok(VcpuExit::SystemEvent(kvm::KVM_SYSTEM_EVENT_SHUTDOWN, _)) => return Ended::Shutdown,
            Ok(exit) => return Ended::Unexpected(format!("{exit:?}")),
            Err(error) if matches!(error.errno(), EINTR | EAGAIN) => {}
            Err(error) => return Ended::Unexpected(format!("KVM_RUN: {error}")),
        }
    }
}

const EINTR: i32 = 4;
const EAGAIN: i32 = 11;

fn device(vm: &VmFd, kind: kvm::kvm_device_type) -> Result<DeviceFd> {
    let mut device = kvm::kvm_create_device {
        type_: kind,
        fd: 0,
        flags: 0,
    };
    Ok(vm.create_device(&mut device)?)
}

fn set<T>(device: &DeviceFd, group: u32, attr: u32, value: Option<&T>) -> Result<()> {
    let attr = kvm::kvm_device_attr {
        flags: 0,
        group,
        attr: u64::from(attr),
        addr: value.map_or(0, |value| std::ptr::from_ref(value) as u64),
    };
    device
        .set_device_attr(&attr)
        .map_err(|error| format!("group {group}, attribute {}: {error}", attr.attr).into())
}

/// A GICv3 with an ITS, after the vCPUs: the addresses, the ITS, then what completes it.
fn interrupt_controller(vm: &VmFd, cpus: u32) -> Result<[DeviceFd; 2]> {
    let addr = kvm::KVM_DEV_ARM_VGIC_GRP_ADDR;
    let ctrl = kvm::KVM_DEV_ARM_VGIC_GRP_CTRL;
    let init = kvm::KVM_DEV_ARM_VGIC_CTRL_INIT;
    let nr_irqs = kvm::KVM_DEV_ARM_VGIC_GRP_NR_IRQS;

    let gic = device(vm, kvm::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3)?;
    let dist = layout::dist();
    let redist = layout::redist(cpus);
    set(&gic, addr, kvm::KVM_VGIC_V3_ADDR_TYPE_DIST, Some(&dist))?;
    set(&gic, addr, kvm::KVM_VGIC_V3_ADDR_TYPE_REDIST, Some(&redist))?;

    let its = device(vm, kvm::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS)?;
    let base = layout::its(cpus);
    set(&its, addr, kvm::KVM_VGIC_ITS_ADDR_TYPE, Some(&base))?;
    set::<()>(&its, ctrl, init, None)?;

    set(&gic, nr_irqs, 0, Some(&layout::NR_IRQS))?;
    set::<()>(&gic, ctrl, init, None)?;
    Ok([gic, its])
}
