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

mod registers;
mod speed;
mod switch;

use guest::{
    Guest,
    Regime, //
};
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
    },
}

/// The loaded module: the CPUs are its until it is unloaded.
#[pin_data]
struct KvmVheTest {
    #[pin]
    _hotplug: CpuHotplug<Regime>,
}

impl kernel::InPlaceModule for KvmVheTest {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let machine = Machine::probe().map_err(|refusal| {
                pr_err!("not loaded: {}\n", core::format_args!("{refusal}"));
                ENODEV
            })?;
            let slot = HotplugSlot::claim()?;
            let regime = Arc::new(Regime::new(machine.host), GFP_KERNEL)?;

            Ok(try_pin_init!(Self {
                _hotplug <- CpuHotplug::register(slot, regime),
                _: {
                    run(&machine)?;
                },
            }? Error))
        })
    }
}

fn run(machine: &Machine) -> Result {
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
    speed::measure(&guest, &mut report)?;
    registers::misplaced(machine, &guest, &mut report)?;
    report.end();
    Ok(())
}
