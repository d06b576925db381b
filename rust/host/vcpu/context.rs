// SPDX-License-Identifier: GPL-2.0

//! A vCPU as instructions are emulated on it.

use crate::vcpu::cpu::VcpuCpu;
use kvm_core::{
    context::{
        Context,
        Gpr, //
    },
    pstate::GuestPstate,
    register::Reg, //
};

/// Whatever thread has the vCPU emulates instructions on it; the registers are cells.
impl Context for &VcpuCpu {
    #[inline(always)]
    fn sysreg(&self, reg: Reg) -> u64 {
        self.read(reg)
    }

    #[inline(always)]
    fn set_sysreg(&mut self, reg: Reg, value: u64) {
        self.write(reg, value);
    }

    #[inline(always)]
    fn gpr(&self, index: Gpr) -> u64 {
        VcpuCpu::gpr(self, index.into_bits())
    }

    #[inline(always)]
    fn set_gpr(&mut self, index: Gpr, value: u64) {
        VcpuCpu::set_gpr(self, index.into_bits(), value);
    }

    #[inline(always)]
    fn pc(&self) -> u64 {
        VcpuCpu::pc(self)
    }

    #[inline(always)]
    fn set_pc(&mut self, pc: u64) {
        VcpuCpu::set_pc(self, pc);
    }

    #[inline(always)]
    fn pstate(&self) -> GuestPstate {
        GuestPstate::from_exit(self.raw_pstate())
    }

    #[inline(always)]
    fn set_pstate(&mut self, pstate: GuestPstate) {
        VcpuCpu::set_pstate(self, pstate);
    }
}
