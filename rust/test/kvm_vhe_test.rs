// SPDX-License-Identifier: GPL-2.0

//! The tests of `kvm_host` that need a CPU at EL2, as a module of their own.
//!
//! Loading it runs them. Their results are TAP in the kernel's log, which
//! `tools/testing/selftests/kvm_vhe/host.c` reads. Files import from those above them in the list
//! below only.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod report;

mod guest;

mod interrupts;
mod registers;
mod speed;
mod switch;

use guest::Guest;
use interrupts::Interrupts;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kvm_host::{
    hotplug::{
        CpuHotplug,
        HotplugSlot, //
    },
    machine::Machine,
};
use report::Report;

module! {
    type: KvmVheTest,
    name: "kvm_vhe_test",
    authors: ["The kvm-vhe developers"],
    description: "Tests of kvm_vhe on the CPU",
    license: "GPL",
    params: {
        fault: i64 {
            default: 0,
            description: "Not the tests, but a fault in the world switch, which panics",
        },
        speed: i64 {
            default: 1,
            description: "Whether speeds are measured, which needs a machine that counts \
                          instructions as time",
        },
    },
}

/// The loaded module: the CPUs are its until it is unloaded.
#[pin_data]
struct KvmVheTest {
    #[pin]
    _hotplug: CpuHotplug<Interrupts>,
}

impl kernel::InPlaceModule for KvmVheTest {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let machine = Machine::probe().map_err(|refusal| {
                pr_err!("not loaded: {}\n", core::format_args!("{refusal}"));
                ENODEV
            })?;
            let slot = HotplugSlot::claim()?;
            let machine = Arc::new(machine, GFP_KERNEL)?;
            let interrupts = Arc::new(Interrupts::new(machine.clone())?, GFP_KERNEL)?;

            Ok(try_pin_init!(Self {
                _hotplug <- CpuHotplug::register(slot, interrupts.clone()),
                _: {
                    run(&machine, &interrupts)?;
                },
            }? Error))
        })
    }
}

fn run(machine: &Machine, interrupts: &Interrupts) -> Result {
    let guest = Guest::new(machine)?;

    if module_parameters::fault.value() != 0 {
        return switch::fault(&guest);
    }
    let mut report = Report::begin();
    // First: what an earlier load had left behind would pass for the host's.
    switch::host_state(&guest, &mut report);
    registers::dispatches_agree(&guest, &mut report);
    switch::vectors(&guest, &mut report);
    switch::illegal(&guest, &mut report);
    if module_parameters::speed.value() != 0 {
        speed::measure(&guest, &mut report)?;
    }
    interrupts.test(&guest, &mut report);
    registers::misplaced(machine, &guest, &mut report)?;
    report.end();
    Ok(())
}
