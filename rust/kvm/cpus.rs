// SPDX-License-Identifier: GPL-2.0

//! Which CPUs are in use for VMs.

use kernel::{
    prelude::*,
    sync::atomic::{
        AtomicFlag,
        Relaxed, //
    },
};
use kvm_core::cpu::HostCapabilities;
use kvm_host::{
    hotplug::CpuCallbacks,
    machine::Machine,
    percpu::PerCpu,
    pinned::{
        with_preemption_off,
        PinnedCpu, //
    },
    syscore::SyscoreCallbacks,
    translation::reset_guest_translation, //
};

/// Takes CPUs into use as they come up and out of use as they go down, or the whole system does.
pub(crate) struct Cpus {
    machine: Machine,
    /// Whether a CPU is in use for VMs. Only that CPU looks at its flag, so no ordering is needed.
    in_use: PerCpu<AtomicFlag>,
}

impl Cpus {
    pub(crate) fn new(machine: Machine) -> Result<Self> {
        Ok(Self {
            machine,
            in_use: PerCpu::new()?,
        })
    }

    /// What the hypervisor can do on these CPUs.
    pub(crate) fn capabilities(&self) -> &HostCapabilities {
        &self.machine.capabilities
    }

    /// Whether the current CPU is in use. It is not once the system is on its way down.
    pub(crate) fn current_in_use(&self) -> bool {
        with_preemption_off(|cpu| self.in_use.this(cpu).load(Relaxed))
    }

    fn take(&self, cpu: &PinnedCpu) {
        reset_guest_translation(self.machine.host, cpu);
        self.in_use.this(cpu).store(true, Relaxed);
    }

    /// Leaves nothing of a VM in the CPU. A CPU may be told to go down twice, by the system's
    /// shutdown and then by hotplug; it is done twice, since a task may have run in between.
    fn leave(&self, cpu: &PinnedCpu) {
        self.in_use.this(cpu).store(false, Relaxed);
        reset_guest_translation(self.machine.host, cpu);
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
