// SPDX-License-Identifier: GPL-2.0

//! The debug registers while the guest runs: its own, or its debugger's.

use crate::{
    debug_regs::{
        DebugRegs,
        DEBUG_REGS, //
    },
    el2::*,
    pinned::PinnedCpu,
    sysreg::{
        isb,
        msr, //
    },
    vcpu::cpu::VcpuCpu, //
};
use kvm_core::{
    esr::{
        Esr,
        ExceptionClass, //
    },
    guest_debug::{
        guest_only,
        MdscrEl1, //
    },
    register::{
        Reg,
        RegRange, //
    },
};

/// PSTATE.SS: software step.
const PSTATE_SS: u64 = 1 << 21;

/// OSLSR_EL1.OSLK: the OS lock is locked.
const OSLSR_OSLK: u64 = 1 << 1;

impl VcpuCpu {
    /// MDSCR_EL1 to run with.
    #[inline(always)]
    pub(super) fn mdscr(&self) -> u64 {
        let file = self.switch.regs.file();
        let guest = file.get(Reg::MDSCR_EL1);
        let debug = self.guest_debug.get();

        if debug.is_enabled() || file.get(Reg::OSLSR_EL1) & OSLSR_OSLK != 0 {
            debug.mdscr(MdscrEl1::from_raw(guest)).into_raw()
        } else {
            guest
        }
    }

    /// Moves the debug registers of the guest, or of its debugger, into the CPU.
    #[cold]
    pub(super) fn load_debug(&self, mdscr: u64, cpu: &PinnedCpu) {
        let state = &mut *self.debug.borrow_mut();

        // SAFETY: Masks debug exceptions; `put_debug()` ends that.
        unsafe { kernel::asm!("msr daifset, #8"; options(nostack, preserves_flags)) };
        state.host.save(self.resources, cpu);
        let mut regs = if self.guest_debug.get().uses_hardware() {
            state.external
        } else {
            self.guest_debug_regs()
        };
        // Nothing of them may match at EL2.
        regs.bcr = regs.bcr.map(guest_only);
        regs.wcr = regs.wcr.map(guest_only);
        // SAFETY: MDSCR_EL1 exists on all CPUs. Debug exceptions are masked until the registers are
        // the host's again: `kvm_vhe_run_guest()` leaves PSTATE.D set.
        unsafe {
            regs.load(self.resources, cpu);
            msr!(MDSCR_EL1, mdscr);
        }
    }

    /// Gives the host its debug registers back. The guest's have not changed: its writes trap.
    #[cold]
    pub(super) fn put_debug(&self, host_mdscr: u64, cpu: &PinnedCpu) {
        // SAFETY: The host's own values.
        unsafe {
            self.debug.borrow().host.load(self.resources, cpu);
            msr!(MDSCR_EL1, host_mdscr);
        }
        isb();
        // SAFETY: The counterpart of the one in `load_debug()`.
        unsafe { kernel::asm!("msr daifclr, #8"; options(nostack, preserves_flags)) };
    }

    /// Takes PSTATE as it was at entry, if a synchronous exit is that of the first instruction of a
    /// step and was for pointer authentication: Cortex-A510's erratum 2077057 corrupts SPSR_EL2
    /// then. The instruction has not been executed, so on other CPUs it is the same anyhow.
    #[cold]
    pub(super) fn keep_step_state(&self, pstate: u64) {
        if pstate & PSTATE_SS != 0
            && Esr::from_raw(self.switch.esr.get()).ec() == ExceptionClass::PointerAuth
        {
            self.switch.pstate.set(pstate);
        }
    }

    /// The guest's debug registers, as its writes left them in memory.
    fn guest_debug_regs(&self) -> DebugRegs {
        let file = self.switch.regs.file();
        let mut regs = DebugRegs::default();

        for n in 0..DEBUG_REGS {
            let get = |range: RegRange<16>| range.get(n as u16).map_or(0, |reg| file.get(reg));
            regs.bvr[n] = get(Reg::DBGBVR_EL1);
            regs.bcr[n] = get(Reg::DBGBCR_EL1);
            regs.wvr[n] = get(Reg::DBGWVR_EL1);
            regs.wcr[n] = get(Reg::DBGWCR_EL1);
        }
        regs
    }
}
