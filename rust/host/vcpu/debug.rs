// SPDX-License-Identifier: GPL-2.0

//! The debug registers while the guest runs: its own, or its debugger's.
//!
//! The guest's breakpoint and watchpoint registers are a [`Bank`], of which a stay is one in the inner
//! loop. While they are in the CPU the guest accesses them itself, if what else MDCR_EL2.TDA lets
//! through can be trapped on its own (FEAT_FGT); otherwise those in the CPU are copies. MDSCR_EL1 is
//! changed around each entry, so that no debug exception that they are the reason of comes in the host.
//!
//! A host that debugs itself (perf, a debugger of the thread) has its registers back after each exit,
//! else at the end of the stay. A debugger's registers by KVM_SET_GUEST_DEBUG are moved around each
//! entry; the guest's are in memory then.

use crate::{
    debug_regs::{
        DebugRegs,
        DEBUG_REGS, //
    },
    el2::*,
    pinned::PinnedCpu,
    sysreg::{
        isb,
        mrs,
        msr, //
    },
    vcpu::{
        cpu::VcpuCpu,
        debug_state::*, //
    },
};
use kvm_core::{
    esr::{
        Esr,
        ExceptionClass, //
    },
    guest_debug::{
        guest_only,
        has_effect,
        MdscrEl1, //
    },
    lazy::{
        Access,
        Events,
        Give,
        Policy,
        State,
        Take,
        TrapField, //
    },
    register::{
        Reg,
        RegRange, //
    },
};

/// MDSCR_EL1.SS, KDE and MDE: what makes debug exceptions possible.
const MDSCR_ACTIVE: u64 = 1 | 1 << 13 | 1 << 15;

/// MDCR_EL2.TDA: accesses to debug registers trap.
const MDCR_TDA: TrapField = TrapField::if_set(1 << 9);

/// PSTATE.SS: software step.
const PSTATE_SS: u64 = 1 << 21;

/// OSLSR_EL1.OSLK: the OS lock is locked.
const OSLSR_OSLK: u64 = 1 << 1;

/// What was done before an entry that is to be undone.
pub(super) struct Entered {
    host_mdscr: u64,
    /// The CPU has the debugger's registers.
    external: bool,
}

impl VcpuCpu {
    /// The debugger's registers.
    pub(super) fn set_external_debug_regs(&self, regs: &DebugRegs) {
        self.debug.regs.borrow_mut().external = *regs;
    }

    /// When the guest's breakpoint and watchpoint registers are moved: always
    /// ([`Policy::Eager`]), or if they matter.
    pub fn set_debug_policy(&self, policy: Policy) {
        let policy = match policy {
            Policy::Eager if self.available.fgt => Policy::Eager,
            _ => Policy::WhileEnabled {
                copies: !self.available.fgt,
            },
        };
        let mut bank = self.debug.bank.get();

        if bank.policy() != policy {
            bank.set_policy(policy);
            self.debug.bank.set(bank);
            self.debug_changed();
        }
    }

    /// Returns what has happened to them since this was called last.
    pub fn take_debug_events(&self, _cpu: &PinnedCpu) -> Events {
        let mut bank = self.debug.bank.get();
        let events = bank.take_events();

        self.debug.bank.set(bank);
        events
    }

    /// The guest has accessed one of its debug registers, which has trapped. Returns whether it is to do
    /// that again, for it will not trap then; otherwise the registers are in memory, and it is to be
    /// emulated and [told](Self::debug_changed).
    pub fn wants_debug_regs(&self) -> bool {
        let may = self.available.fgt && self.lets_guest_debug();

        self.debug.set(WANTED, may);
        may
    }

    /// One of the guest's debug registers in memory has changed, or its OS lock.
    pub fn debug_changed(&self) {
        self.debug.set(STALE, true);
    }

    fn lets_guest_debug(&self) -> bool {
        let os_lock = self.switch.regs.file().get(Reg::OSLSR_EL1) & OSLSR_OSLK != 0;

        self.guest_debug.get().lets_guest_debug(os_lock)
    }

    /// MDCR_EL2 while the vCPU is loaded and its debug registers are not in the CPU.
    pub(super) fn set_debug_mdcr(&self, mdcr: u64) {
        self.debug.mdcr.set(mdcr);
    }

    /// MDSCR_EL1 to run with.
    fn mdscr(&self) -> u64 {
        let file = self.switch.regs.file();
        let guest = file.get(Reg::MDSCR_EL1);
        let debug = self.guest_debug.get();

        if debug.is_enabled() || file.get(Reg::OSLSR_EL1) & OSLSR_OSLK != 0 {
            debug.mdscr(MdscrEl1::from_raw(guest)).into_raw()
        } else {
            guest
        }
    }

    /// Before an entry: the debug registers are what they are to be in the guest. [`None`] if nothing
    /// was done that [`leave_debug`](Self::leave_debug) undoes.
    #[inline(always)]
    pub(super) fn enter_debug(&self, cpu: &PinnedCpu) -> Option<Entered> {
        // SAFETY: MDSCR_EL1 exists on all CPUs.
        let host_mdscr = unsafe { mrs!(MDSCR_EL1) };

        if !self.debug.is_due() && host_mdscr & MDSCR_ACTIVE == 0 {
            return None;
        }
        self.enter_debug_active(host_mdscr, cpu)
    }

    #[cold]
    fn enter_debug_active(&self, host_mdscr: u64, cpu: &PinnedCpu) -> Option<Entered> {
        let debug = &self.debug;
        let external = self.guest_debug.get().uses_hardware();

        if debug.has(STALE) {
            self.give_back_debug(cpu);
        }
        // SAFETY: Masks debug exceptions; `leave_debug()` and the below end that.
        unsafe { kernel::asm!("msr daifset, #8"; options(nostack, preserves_flags)) };
        if self.lets_guest_debug() {
            let mut bank = debug.bank.get();
            let mut take = bank.begin(debug.has(ENABLED));

            if debug.has(WANTED) && take == Take::Nothing {
                take = bank.trapped(Access::Write);
            }
            debug.set(WANTED, false);
            debug.bank.set(bank);
            if take == Take::Restore {
                let regs = self.guest_debug_regs();

                debug.regs.borrow_mut().host.save(cpu);
                // SAFETY: Debug exceptions are masked now, and whenever MDSCR_EL1 is the guest's:
                // `kvm_vhe_run_guest()` leaves PSTATE.D set. In between it is the host's, which lets
                // none come, or the registers are.
                unsafe { regs.load(cpu) };
                debug.set(HERE, true);
                // What traps the writes of copies traps their reads as well.
                self.trap_debug_regs(bank.traps().writes());
            }
        } else if external {
            let regs = &mut *debug.regs.borrow_mut();
            let mut external = regs.external;

            regs.host.save(cpu);
            // Nothing of them may match at EL2.
            external.bcr = external.bcr.map(guest_only);
            external.wcr = external.wcr.map(guest_only);
            // SAFETY: Debug exceptions are masked until the registers are the host's again.
            unsafe { external.load(cpu) };
        }
        let mdscr = self.mdscr();
        if !debug.has(HERE) && !external && (host_mdscr | mdscr) & MDSCR_ACTIVE == 0 {
            // SAFETY: The counterpart of the above.
            unsafe { kernel::asm!("msr daifclr, #8"; options(nostack, preserves_flags)) };
            return None;
        }
        // SAFETY: MDSCR_EL1 exists on all CPUs, and debug exceptions are masked.
        unsafe { msr!(MDSCR_EL1, mdscr) };
        Some(Entered {
            host_mdscr,
            external,
        })
    }

    /// After the exit: MDSCR_EL1 is the host's, and so are the registers if it needs them.
    #[cold]
    pub(super) fn leave_debug(&self, entered: &Entered, cpu: &PinnedCpu) {
        if self.debug.bank.get().state() == State::Dirty {
            // SAFETY: MDSCR_EL1 exists on all CPUs.
            let mdscr = unsafe { mrs!(MDSCR_EL1) };
            self.switch.regs.file().set(Reg::MDSCR_EL1, mdscr);
        }
        if entered.external {
            // SAFETY: The host's own values.
            unsafe { self.debug.regs.borrow().host.load(cpu) };
        } else if entered.host_mdscr & MDSCR_ACTIVE != 0 {
            self.give_back_debug(cpu);
        }
        // SAFETY: The host's own value.
        unsafe { msr!(MDSCR_EL1, entered.host_mdscr) };
        isb();
        // SAFETY: The counterpart of the one in `enter_debug_active()`.
        unsafe { kernel::asm!("msr daifclr, #8"; options(nostack, preserves_flags)) };
    }

    /// The stay ends: the registers are the host's from here on.
    #[inline(always)]
    pub(crate) fn end_stay(&self, cpu: &PinnedCpu) {
        if self.debug.has(HERE) {
            self.give_back_debug(cpu);
        }
    }

    /// Gives the registers back if they are the guest's, and looks what is in memory. MDSCR_EL1 is such
    /// that they have no effect, or debug exceptions are masked.
    #[cold]
    fn give_back_debug(&self, cpu: &PinnedCpu) {
        let debug = &self.debug;
        let mut bank = debug.bank.get();
        let give = bank.give_back();

        debug.bank.set(bank);
        if give == Give::Save {
            let mut regs = self.guest_debug_regs();

            // A CPU may have fewer than others; those of the others stay.
            regs.save(cpu);
            self.set_guest_debug_regs(&regs);
        }
        if give != Give::Nothing {
            // SAFETY: The host's own values.
            unsafe { debug.regs.borrow().host.load(cpu) };
            self.trap_debug_regs(true);
        }
        debug.set(HERE | STALE, false);
        debug.set(
            ENABLED,
            self.lets_guest_debug() && (bank.policy() == Policy::Eager || self.debug_has_effect()),
        );
        debug.set(ACTIVE, self.mdscr() & MDSCR_ACTIVE != 0);
    }

    /// Whether the guest's debug registers in memory have an effect.
    fn debug_has_effect(&self) -> bool {
        let file = self.switch.regs.file();
        let controls = (0..DEBUG_REGS as u16)
            .flat_map(|n| [Reg::DBGBCR_EL1.get(n), Reg::DBGWCR_EL1.get(n)])
            .flatten();

        has_effect(
            MdscrEl1::from_raw(file.get(Reg::MDSCR_EL1)),
            controls.map(|control| file.get(control)),
        )
    }

    fn trap_debug_regs(&self, trap: bool) {
        let mdcr = MDCR_TDA.apply(self.debug.mdcr.get(), trap);

        // SAFETY: The host is at EL2 (`vhe`), and the vCPU is loaded; put gives the host's value back.
        unsafe { msr!(MDCR_EL2, mdcr) };
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

    /// The guest's debug registers in memory.
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

    fn set_guest_debug_regs(&self, regs: &DebugRegs) {
        let file = self.switch.regs.file();

        for n in 0..DEBUG_REGS {
            let set = |range: RegRange<16>, value| {
                if let Some(reg) = range.get(n as u16) {
                    file.set(reg, value);
                }
            };
            set(Reg::DBGBVR_EL1, regs.bvr[n]);
            set(Reg::DBGBCR_EL1, regs.bcr[n]);
            set(Reg::DBGWVR_EL1, regs.wvr[n]);
            set(Reg::DBGWCR_EL1, regs.wcr[n]);
        }
    }
}
