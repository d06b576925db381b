// SPDX-License-Identifier: GPL-2.0

//! Registers that are saved only if the guest has written them, which traps.
//!
//! They are a [`Bank`](kvm_core::lazy::Bank) of which a stay is one from load to put. The rows of the
//! register table say which they are; those that the VM has are moved as one. They are restored with
//! each load in any case.

use crate::{
    el2::*,
    irqs::with_irqs_off,
    pinned::PinnedCpu,
    sysreg::msr,
    vcpu::cpu::VcpuCpu, //
};
use kvm_core::{
    lazy::{
        Access,
        Events,
        Policy, //
    },
    register::Reg,
    sysreg::SysReg, //
};

impl VcpuCpu {
    /// When the registers are saved: always ([`Policy::Eager`]), or after a write
    /// ([`Policy::OnWrite`]). From the next load on.
    pub fn set_tracking_policy(&self, policy: Policy) {
        let mut bank = self.tracked.get();

        bank.set_policy(policy);
        self.tracked.set(bank);
    }

    /// Returns what has happened to them since this was called last.
    pub fn take_tracking_events(&self, _cpu: &PinnedCpu) -> Events {
        let mut bank = self.tracked.get();
        let events = bank.take_events();

        self.tracked.set(bank);
        events
    }

    /// The vCPU is loaded: returns HFGWTR_EL2, from `hfgwtr` for the VM.
    #[inline]
    pub(super) fn start_tracking(&self, hfgwtr: u64) -> u64 {
        let Some(field) = self.controls.get().tracking else {
            return hfgwtr;
        };
        let mut bank = self.tracked.get();
        // All registers are restored at load.
        let _ = bank.begin(false);
        let is_clean = bank.traps().writes();

        self.tracked.set(bank);
        self.switch
            .regs
            .set_clean(if is_clean { field.mask() } else { 0 });
        field.apply(hfgwtr, is_clean)
    }

    /// The vCPU is put, after its registers.
    #[inline]
    pub(super) fn end_tracking(&self) {
        if self.controls.get().tracking.is_none() {
            return;
        }
        let mut bank = self.tracked.get();
        // Put has done that.
        let _ = bank.give_back();

        self.tracked.set(bank);
        self.switch.regs.set_clean(0);
    }

    /// A write of the guest to this register has trapped, for whatever reason. If it is one of these,
    /// there are no more such traps until the vCPU is put.
    #[inline]
    pub fn wrote(&self, register: SysReg) {
        if self.switch.regs.clean() != 0 {
            self.wrote_when_clean(register);
        }
    }

    #[cold]
    fn wrote_when_clean(&self, register: SysReg) {
        let Some(reg) = Reg::from_sysreg(register) else {
            return;
        };
        with_irqs_off(|_| {
            let controls = self.controls.get();
            let (Some(field), true) = (
                controls.tracking,
                self.switch.regs.clean() & reg.write_trap() != 0,
            ) else {
                return;
            };
            let mut bank = self.tracked.get();
            // They are in the CPU.
            let _ = bank.trapped(Access::Write);

            self.tracked.set(bank);
            self.switch.regs.set_clean(0);
            // SAFETY: With FEAT_FGT, which the trap is of, the register exists. The vCPU is loaded:
            // otherwise nothing would be clean.
            unsafe { msr!(HFGWTR_EL2, field.apply(controls.hfg, false)) };
        });
    }
}
