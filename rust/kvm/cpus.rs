// SPDX-License-Identifier: GPL-2.0

//! Which CPUs are in use for VMs.

use kernel::{
    prelude::*,
    sync::atomic::{
        AtomicFlag,
        Relaxed, //
    },
};
use kvm_host::{
    hotplug::CpuCallbacks,
    machine::Machine,
    percpu::PerCpu,
    pinned::PinnedCpu,
    syscore::SyscoreCallbacks,
    translation::reset_guest_translation, //
};

/// Takes CPUs into use as they come up and out of use as they go down, or the whole system does.
pub(crate) struct Cpus {
    machine: Machine,
    /// Whether a CPU is in use. Only that CPU looks at its flag, so no ordering is needed. It is
    /// needed since a CPU may be told to go down twice: by the system's shutdown and by hotplug.
    in_use: PerCpu<AtomicFlag>,
}

impl Cpus {
    pub(crate) fn new(machine: Machine) -> Result<Self> {
        Ok(Self {
            machine,
            in_use: PerCpu::new()?,
        })
    }

    fn take(&self, cpu: &PinnedCpu) {
        if !self.in_use.this(cpu).xchg(true, Relaxed) {
            reset_guest_translation(self.machine.host, cpu);
        }
    }

    /// Leaves nothing of a VM in the CPU.
    fn leave(&self, cpu: &PinnedCpu) {
        if self.in_use.this(cpu).xchg(false, Relaxed) {
            reset_guest_translation(self.machine.host, cpu);
        }
    }
}

impl CpuCallbacks for Cpus {
    fn online(&self, cpu: &PinnedCpu) -> Result {
        self.machine.check_cpu(cpu).map_err(|mismatch| {
            pr_err!(
                "CPU {} cannot be used for VMs, which may run on any: {}. Take it offline to load \
                 the module, or unload the module to use it\n",
                cpu.id().as_u32(),
                core::format_args!("{mismatch}")
            );
            ENODEV
        })?;
        self.take(cpu);
        Ok(())
    }

    fn offline(&self, cpu: &PinnedCpu) {
        self.leave(cpu);
    }
}

impl SyscoreCallbacks for Cpus {
    fn suspend(&self, cpu: &PinnedCpu) {
        self.leave(cpu);
    }

    fn resume(&self, cpu: &PinnedCpu) {
        self.take(cpu);
    }

    fn shutdown(&self, cpu: &PinnedCpu) {
        self.leave(cpu);
    }
}
