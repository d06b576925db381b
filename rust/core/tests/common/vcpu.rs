// SPDX-License-Identifier: GPL-2.0

//! A vCPU whose registers are in memory.

use std::collections::BTreeMap;

use kvm_core::{
    context::{
        Context,
        Gpr,
        Gprs, //
    },
    pstate::{
        GuestPstate,
        GuestState,
        PstateFeatures, //
    },
    register::Reg, //
};

/// A VM with every feature that PSTATE knows.
pub const ALL: PstateFeatures = PstateFeatures {
    pan: true,
    uao: true,
    dit: true,
    ssbs: true,
    bti: true,
    mte2: true,
    nmi: true,
    ebep: true,
    sebep: true,
    gcs: true,
    pauth_lr: true,
    uinj: true,
};

/// A state of an AArch64 guest whose EL0 may be AArch32.
pub fn pstate(raw: u64) -> GuestPstate {
    GuestPstate::new(raw, GuestState::Aarch64 { el0_aarch32: true }, ALL).unwrap()
}

/// A vCPU. A system register that was not set reads as zero.
#[derive(Clone, PartialEq, Debug)]
pub struct Vcpu {
    pub sysregs: BTreeMap<Reg, u64>,
    pub gprs: Gprs,
    pub pc: u64,
    pub pstate: GuestPstate,
}

impl Vcpu {
    /// A vCPU in this state; each general register has a value of its own.
    pub fn new(pstate: GuestPstate, pc: u64) -> Self {
        let mut gprs = Gprs::default();
        for (i, x) in gprs.0.iter_mut().enumerate() {
            *x = 0xf00d_0000_cafe_0000 + i as u64;
        }
        Self {
            sysregs: BTreeMap::new(),
            gprs,
            pc,
            pstate,
        }
    }

    /// The same with a system register set.
    pub fn with(mut self, reg: Reg, value: u64) -> Self {
        self.sysregs.insert(reg, value);
        self
    }
}

impl Context for Vcpu {
    fn sysreg(&self, reg: Reg) -> u64 {
        self.sysregs.get(&reg).copied().unwrap_or(0)
    }

    fn set_sysreg(&mut self, reg: Reg, value: u64) {
        self.sysregs.insert(reg, value);
    }

    fn gpr(&self, index: Gpr) -> u64 {
        self.gprs.get(index)
    }

    fn set_gpr(&mut self, index: Gpr, value: u64) {
        self.gprs.set(index, value);
    }

    fn pc(&self) -> u64 {
        self.pc
    }

    fn set_pc(&mut self, pc: u64) {
        self.pc = pc;
    }

    fn pstate(&self) -> GuestPstate {
        self.pstate
    }

    fn set_pstate(&mut self, pstate: GuestPstate) {
        self.pstate = pstate;
    }
}
