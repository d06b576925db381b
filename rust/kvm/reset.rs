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
    mmio::PendingMmio,
    psci::PowerOnState,
    pstate::GuestPstate,
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
    fn reset_registers(&self, vm: &Vm, cpu: &VcpuCpu) {
        let (actlr, amair) = vm.cpus.implementation_registers();

        cpu.reset(|reg, reset| match reset {
            Reset::Id => vm.config.id_register(reg.encoding()).unwrap_or(0),
            Reset::Mpidr => self.mpidr(),
            Reset::Actlr => actlr,
            Reset::Amair => amair,
            Reset::Value(_) | Reset::Unknown => 0,
        });
    }

    /// Resets the vCPU, but for its FP registers.
    fn reset_but_fp(&self, vm: &Vm, cpu: &VcpuCpu, mmio: &mut PendingMmio, set_way: &mut SetWay) {
        self.reset_registers(vm, cpu);
        mmio.cancel();
        *set_way = SetWay::new(vm.cpus.cacheability());
        cpu.trap_vm_controls(set_way.tvm());
    }

    /// Resets the vCPU, which is not loaded.
    pub(crate) fn reset(&self, vm: &Vm, state: &mut State) {
        self.reset_but_fp(vm, &state.cpu, &mut state.mmio, &mut state.set_way);
        *state.fp = FpState::new();
        state.update_debug();
    }

    /// Resets the vCPU, loaded or not, and lets it start as CPU_ON says, which leaves the FP registers
    /// UNKNOWN. Returns the PSTATE that it has then.
    pub(crate) fn power_on(
        &self,
        vm: &Vm,
        cpu: &VcpuCpu,
        mmio: &mut PendingMmio,
        set_way: &mut SetWay,
        on: &PowerOnState,
    ) -> GuestPstate {
        self.reset_but_fp(vm, cpu, mmio, set_way);
        let entry = on.entry(false, cpu.read_any(Reg::SCTLR_EL1));
        cpu.set_pc(entry.pc);
        cpu.set_gpr(Bits::of::<0>(), entry.x0);
        cpu.set_pstate(entry.pstate);
        cpu.write_any(Reg::SCTLR_EL1, entry.sctlr);
        entry.pstate
    }

    /// Starts the vCPU, which is not loaded, as CPU_ON says, if that is what it waits for.
    pub(crate) fn apply_power_on(&self, vm: &Vm, state: &mut State) {
        if let Some(on) = self.power.take_start() {
            self.power_on(vm, &state.cpu, &mut state.mmio, &mut state.set_way, &on);
            *state.fp = FpState::new();
        }
    }
}
