// SPDX-License-Identifier: GPL-2.0

//! Resetting a vCPU, and powering it on.

use crate::{
    vcpu::{
        State,
        Vcpu, //
    },
    vm::Vm, //
};
use kvm_core::{
    bits::Bits,
    register::{
        Reg,
        Reset, //
    },
    setway::SetWay, //
};
use kvm_host::{
    neon::FpState,
    vcpu::VcpuCpu, //
};

impl Vcpu {
    /// Brings the registers to their values after a reset, wherever they are.
    pub(crate) fn reset_registers(&self, vm: &Vm, cpu: &VcpuCpu) {
        let (actlr, amair) = vm.cpus.implementation_registers();

        cpu.reset(|reg, reset| match reset {
            Reset::Id => vm.config.id_register(reg.encoding()).unwrap_or(0),
            Reset::Mpidr => self.mpidr(),
            Reset::Actlr => actlr,
            Reset::Amair => amair,
            Reset::Value(_) | Reset::Unknown => 0,
        });
    }

    /// Resets the vCPU, which is not loaded.
    pub(crate) fn reset(&self, vm: &Vm, state: &mut State) {
        self.reset_registers(vm, &state.cpu);
        *state.fp = FpState::new();
        state.mmio.cancel();
        state.set_way = SetWay::new(vm.cpus.cacheability());
        state.cpu.trap_vm_controls(state.set_way.tvm());
        state.update_debug();
    }

    /// Resets the vCPU and starts it as CPU_ON says, if that is what it waits for.
    pub(crate) fn apply_power_on(&self, vm: &Vm, state: &mut State) {
        let Some(on) = self.power.take_start() else {
            return;
        };
        self.reset(vm, state);
        let entry = on.entry(false, state.cpu.read_any(Reg::SCTLR_EL1));
        state.cpu.set_pc(entry.pc);
        state.cpu.set_gpr(Bits::of::<0>(), entry.x0);
        state.cpu.set_pstate(entry.pstate);
        state.cpu.write_any(Reg::SCTLR_EL1, entry.sctlr);
    }
}
