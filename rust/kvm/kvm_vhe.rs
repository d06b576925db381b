// SPDX-License-Identifier: GPL-2.0

//! KVM for arm64 with VHE, as a module: `/dev/kvm`, its VMs, and what holds them together.
//!
//! The architecture and KVM's rules are in `kvm_core`, the CPU and Linux in `kvm_host`; this crate
//! joins them. Files import from those above them in the list below only.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod counters;
mod cpus;
mod ioctl;
mod power;

mod memory;

mod irq_routes;

mod vgic;

mod bus;

mod coalesced;
mod ioeventfd;
mod irqfd;

mod timer;
mod vcpu;

mod vm;

mod capability;
mod firmware;
mod irq_line;
mod registers;
mod reset;

mod stats;

mod debugfs;

mod run;

mod halt;

mod exit;

mod run_loop;

mod vcpu_fd;

mod device;

mod vm_fd;

mod system;

use cpus::Cpus;
use debugfs::Debugfs;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kvm_host::{
    abi,
    cpu_pm::CpuPm,
    file::MiscDevice,
    firmware_irqs::GuestPpis,
    gic::HostGic,
    guest_timer,
    hotplug::{
        CpuHotplug,
        HotplugSlot, //
    },
    machine::Machine,
    percpu_irq::NotRequested,
    syscore::Syscore,
    timer_irqs::TimerIrqs, //
};
use system::{
    report_c_kvm,
    System, //
};

module! {
    type: KvmVhe,
    name: "kvm_vhe",
    authors: ["The kvm-vhe developers"],
    description: "KVM for arm64 with VHE, in Rust",
    license: "GPL",
    alias: ["devname:kvm", "char-major-10-232"],
    params: {
        vmid_bits: i64 {
            default: 0,
            description: "8: use 256 VMIDs, however many the CPUs have, so that they run out sooner",
        },
    },
}

/// The loaded module. Dropping it undoes, from the first field to the last, what loading did.
#[pin_data]
struct KvmVhe {
    #[pin]
    _device: MiscDevice<System>,
    #[pin]
    _cpu_pm: CpuPm<Cpus>,
    #[pin]
    _syscore: Syscore<Cpus>,
    #[pin]
    _hotplug: CpuHotplug<Cpus>,
}

impl kernel::InPlaceModule for KvmVhe {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let mut machine = Machine::probe().map_err(|refusal| {
                pr_err!("not loaded: {}\n", core::format_args!("{refusal}"));
                ENODEV
            })?;
            machine.capabilities.vmid_bits = match module_parameters::vmid_bits.value() {
                0 => machine.capabilities.vmid_bits,
                // The low numbers are right with VTCR_EL2.VS set as well.
                8 => 8,
                other => {
                    pr_err!("not loaded: vmid_bits={} is neither 0 nor 8\n", other);
                    return Err(EINVAL);
                }
            };
            let capabilities = machine.capabilities;
            let slot = HotplugSlot::claim().inspect_err(|error| {
                if *error == EBUSY {
                    report_c_kvm();
                } else {
                    pr_err!("not loaded: no slot in CPU hotplug: {:?}\n", error);
                }
            })?;
            let frequency = guest_timer::frequency(machine.host).ok_or_else(|| {
                pr_err!("not loaded: firmware has not set the counter's frequency, CNTFRQ_EL0\n");
                ENODEV
            })?;
            let ppis = GuestPpis::find();
            let gic = HostGic::new(&machine, &ppis)
                .inspect_err(|error| pr_err!("not loaded: no memory for the GIC: {:?}\n", error))?;
            match gic.maintenance() {
                // Whoever else would have it.
                Err(NotRequested::InUse) => {
                    report_c_kvm();
                    return Err(EBUSY);
                }
                Err(why) => pr_info!(
                    "VMs get no vGIC, for there is no maintenance interrupt of the GIC: {}\n",
                    core::format_args!("{why}")
                ),
                Ok(()) => {}
            }
            let timer_irqs = TimerIrqs::request(&ppis).map_err(|(timer, refusal)| {
                pr_err!(
                    "not loaded: no interrupt of the EL1 {} timer: {}\n",
                    timer.name(),
                    core::format_args!("{refusal}")
                );
                ENODEV
            })?;
            let cpus = Cpus::new(machine, gic, timer_irqs, frequency)
                .and_then(|cpus| Arc::pin_init(cpus, GFP_KERNEL))
                .inspect_err(|error| {
                    pr_err!("not loaded: no memory for the CPUs: {:?}\n", error)
                })?;

            let debugfs = Debugfs::new()
                .inspect_err(|error| pr_err!("not loaded: no memory for debugfs: {:?}\n", error))?;

            Ok(try_pin_init!(Self {
                _hotplug <- CpuHotplug::register(slot, cpus.clone()),
                _syscore <- Syscore::register(cpus.clone()),
                _cpu_pm <- CpuPm::register(cpus.clone()),
                // From here on there are files, so nothing may fail any more.
                _device <- MiscDevice::register(System::new(cpus, debugfs.clone())),
                _: {
                    // So that it is there before the first VM is.
                    let _ = debugfs.open();
                    pr_info!(
                        "{} on Linux {}: VHE, GICv3, {}\n",
                        abi::VERSION,
                        abi::KERNEL_RELEASE,
                        core::format_args!("{capabilities}")
                    );
                },
            }? Error))
        })
    }
}
