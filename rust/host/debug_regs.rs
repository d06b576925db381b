// SPDX-License-Identifier: GPL-2.0

//! The CPU's breakpoint and watchpoint registers.

use crate::{
    pinned::PinnedCpu,
    sysreg::{
        mrs,
        msr, //
    },
};
use kvm_core::{
    idreg::IdAa64Dfr0El1,
    sysreg::SysReg, //
};

/// The most breakpoints, and the most watchpoints, that a CPU has without FEAT_Debugv8p9.
pub const DEBUG_REGS: usize = 16;

/// How many breakpoints and watchpoints CPUs have; 1 to [`DEBUG_REGS`] each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DebugResources {
    breakpoints: u8,
    watchpoints: u8,
}

impl DebugResources {
    /// What ID_AA64DFR0_EL1 of the system says in BRPs and WRPs: no CPU that is used for VMs has
    /// fewer.
    pub(crate) fn of_system(dfr0: IdAa64Dfr0El1) -> Self {
        Self {
            breakpoints: dfr0.breakpoints(),
            watchpoints: dfr0.watchpoints(),
        }
    }

    /// What this CPU has, which may be more: a guest that accesses its registers itself has all.
    pub(crate) fn of(_cpu: &PinnedCpu) -> Self {
        // SAFETY: EL2 may look at it on all CPUs.
        Self::of_system(IdAa64Dfr0El1::from_raw(unsafe {
            mrs!(SysReg::ID_AA64DFR0_EL1)
        }))
    }

    /// The number of breakpoints.
    pub fn breakpoints(self) -> usize {
        self.breakpoints.into()
    }

    /// The number of watchpoints.
    pub fn watchpoints(self) -> usize {
        self.watchpoints.into()
    }
}

/// Values of the breakpoint and watchpoint registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DebugRegs {
    /// DBGBVR\<n\>_EL1.
    pub bvr: [u64; DEBUG_REGS],
    /// DBGBCR\<n\>_EL1.
    pub bcr: [u64; DEBUG_REGS],
    /// DBGWVR\<n\>_EL1.
    pub wvr: [u64; DEBUG_REGS],
    /// DBGWCR\<n\>_EL1.
    pub wcr: [u64; DEBUG_REGS],
}

/// Repeats `$do` for each number that a register can have, and is below `$count`.
macro_rules! for_each_number {
    ($count:expr, $do:ident) => {
        for_each_number!($count, $do: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    ($count:expr, $do:ident: $($n:literal)*) => {
        $(
            if $count > $n {
                $do!($n);
            }
        )*
    };
}

impl DebugRegs {
    /// Reads the registers of this CPU.
    pub(crate) fn save(&mut self, cpu: &PinnedCpu) {
        let resources = DebugResources::of(cpu);

        macro_rules! breakpoint {
            ($n:literal) => {
                // SAFETY: The CPU has this breakpoint, and EL2 may look at it.
                self.bvr[$n] = unsafe { mrs!(SysReg::of::<2, 0, 0, $n, 4>()) };
                // SAFETY: As above.
                self.bcr[$n] = unsafe { mrs!(SysReg::of::<2, 0, 0, $n, 5>()) };
            };
        }
        macro_rules! watchpoint {
            ($n:literal) => {
                // SAFETY: The CPU has this watchpoint, and EL2 may look at it.
                self.wvr[$n] = unsafe { mrs!(SysReg::of::<2, 0, 0, $n, 6>()) };
                // SAFETY: As above.
                self.wcr[$n] = unsafe { mrs!(SysReg::of::<2, 0, 0, $n, 7>()) };
            };
        }
        for_each_number!(resources.breakpoints, breakpoint);
        for_each_number!(resources.watchpoints, watchpoint);
    }

    /// Writes the registers of this CPU.
    ///
    /// # Safety
    ///
    /// Debug exceptions are masked at EL2 for as long as the CPU has values that are not the host's.
    pub(crate) unsafe fn load(&self, cpu: &PinnedCpu) {
        let resources = DebugResources::of(cpu);

        macro_rules! breakpoint {
            ($n:literal) => {
                // SAFETY: The CPU has this breakpoint; by this function's contract it cannot hit
                // the host.
                unsafe { msr!(SysReg::of::<2, 0, 0, $n, 4>(), self.bvr[$n]) };
                // SAFETY: As above.
                unsafe { msr!(SysReg::of::<2, 0, 0, $n, 5>(), self.bcr[$n]) };
            };
        }
        macro_rules! watchpoint {
            ($n:literal) => {
                // SAFETY: The CPU has this watchpoint; by this function's contract it cannot hit
                // the host.
                unsafe { msr!(SysReg::of::<2, 0, 0, $n, 6>(), self.wvr[$n]) };
                // SAFETY: As above.
                unsafe { msr!(SysReg::of::<2, 0, 0, $n, 7>(), self.wcr[$n]) };
            };
        }
        for_each_number!(resources.breakpoints, breakpoint);
        for_each_number!(resources.watchpoints, watchpoint);
    }
}
