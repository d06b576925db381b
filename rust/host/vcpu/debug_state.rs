// SPDX-License-Identifier: GPL-2.0

//! What a vCPU keeps of debug registers.

use crate::debug_regs::DebugRegs;
use core::cell::{
    Cell,
    RefCell, //
};
use kvm_core::lazy::Bank;

/// The guest's registers are in the CPU.
pub(super) const HERE: u32 = 1 << 0;
/// They are for the CPU as soon as the guest is entered. Of no account while they are there.
pub(super) const ENABLED: u32 = 1 << 1;
/// The guest has accessed them, which has trapped.
pub(super) const WANTED: u32 = 1 << 2;
/// Something has changed that the others depend on.
pub(super) const STALE: u32 = 1 << 3;
/// MDSCR_EL1 is one with which there may be debug exceptions.
pub(super) const ACTIVE: u32 = 1 << 4;

/// What becomes of the debug registers of a vCPU.
#[derive(Default)]
pub(super) struct DebugState {
    pub(super) bank: Cell<Bank>,
    /// What there is to be done at an entry: a set of the below.
    due: Cell<u32>,
    /// MDCR_EL2 while the vCPU is loaded, with TDA.
    pub(super) mdcr: Cell<u64>,
    pub(super) regs: RefCell<Others>,
}

/// Debug registers that are not the guest's.
#[derive(Default)]
pub(super) struct Others {
    /// The debugger's.
    pub(super) external: DebugRegs,
    /// The host's, while the CPU has others.
    pub(super) host: DebugRegs,
}

impl DebugState {
    /// Whether there is anything to be done at an entry.
    #[inline(always)]
    pub(super) fn is_due(&self) -> bool {
        self.due.get() != 0
    }

    /// Whether one of these is.
    #[inline(always)]
    pub(super) fn has(&self, what: u32) -> bool {
        self.due.get() & what != 0
    }

    /// Sets or clears one of them.
    #[inline]
    pub(super) fn set(&self, what: u32, on: bool) {
        let others = self.due.get() & !what;

        self.due.set(if on { others | what } else { others });
    }
}
