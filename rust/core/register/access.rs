// SPDX-License-Identifier: GPL-2.0

//! A guest's access to a system register that traps.
//!
//! Source: Arm ARM DDI 0487, the pseudocode of each register's MRS and MSR, and "DC ISW", "DC CSW",
//! "DC CISW".

use crate::{
    bits::Bits,
    esr::SystemAccess,
    register::{
        feature::FeatureSet,
        reg::Reg,
        row::Trap, //
    },
    sysreg::SysReg,
};

/// What emulating an access needs of the vCPU that made it.
pub trait AccessEnv {
    /// Returns the features that the VM has.
    fn features(&self) -> FeatureSet;

    /// Returns X0 to X30, and zero for 31.
    fn gpr(&self, n: Bits<5>) -> u64;

    /// Sets X0 to X30; nothing for 31.
    fn set_gpr(&mut self, n: Bits<5>, value: u64);

    /// Returns a register of the table.
    fn read(&self, reg: Reg) -> u64;

    /// Sets a register of the table.
    fn write(&mut self, reg: Reg, value: u64);

    /// Returns what a read of an ID register gives.
    fn id_register(&self, encoding: SysReg) -> IdRead;

    /// Returns the levels of cache.
    fn clidr(&self) -> u64;

    /// Returns the geometry of the cache that `csselr` selects.
    fn ccsidr(&self, csselr: u64) -> u64;

    /// Returns the value of a counter.
    fn counter(&self, reg: Reg) -> u64;

    /// Returns what a register of a timer reads as.
    fn timer(&self, reg: Reg) -> u64;

    /// Writes a register of a timer.
    fn set_timer(&mut self, reg: Reg, value: u64);
}

/// What a read of an ID register gives.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum IdRead {
    /// A value.
    Value(u64),
    /// An UNDEFINED exception.
    Undefined,
    /// An exception with EC 0x18 (FEAT_IDST).
    Trap,
}

/// An operation by set and way.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SetWay {
    /// DC ISW.
    Invalidate,
    /// DC CSW.
    Clean,
    /// DC CISW.
    CleanInvalidate,
}

/// What is to be done after an access.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Go on behind the instruction.
    Done,
    /// The instruction is UNDEFINED.
    Undefined,
    /// The guest takes an exception with EC 0x18.
    IdTrap,
    /// As `Done`; a control of stage 1 was written, and SCTLR_EL1 was and is this. They differ only
    /// if it was SCTLR_EL1 that was written.
    VmControl {
        /// SCTLR_EL1 before.
        before: u64,
        /// SCTLR_EL1 now.
        after: u64,
    },
    /// A set/way operation: as `Done`, and the set/way policy decides.
    SetWay(SetWay),
    /// As `Undefined`, and nothing in the table has this encoding.
    Unknown,
}

/// Returns the set/way operation with this encoding.
#[inline]
const fn set_way(encoding: SysReg) -> Option<SetWay> {
    // Patterns need constants of a type with derived equality, which SysReg is.
    match encoding {
        SysReg::DC_ISW => Some(SetWay::Invalidate),
        SysReg::DC_CSW => Some(SetWay::Clean),
        SysReg::DC_CISW => Some(SetWay::CleanInvalidate),
        _ => None,
    }
}

/// OSLAR_EL1.OSLK.
const OSLAR_OSLK: u64 = 1;
/// OSLSR_EL1.OSLK.
const OSLSR_OSLK: u64 = 1 << 1;

/// Emulates a trapped MRS, MSR or system instruction.
pub fn emulate(access: SystemAccess, env: &mut impl AccessEnv) -> Outcome {
    let encoding = access.reg();
    let (rt, is_read) = (access.rt(), access.read());

    let Some(reg) = Reg::from_sysreg(encoding) else {
        return match set_way(encoding) {
            Some(operation) => Outcome::SetWay(operation),
            None => Outcome::Unknown,
        };
    };
    let row = reg.row();
    if !env.features().contains(row.gate) {
        return Outcome::Undefined;
    }

    match (row.trap, is_read) {
        (Trap::Undef, _) => return Outcome::Undefined,
        (Trap::IdUndef, _) => {
            return match env.id_register(encoding) {
                IdRead::Trap => Outcome::IdTrap,
                _ => Outcome::Undefined,
            }
        }
        (Trap::Id, true) => match env.id_register(encoding) {
            IdRead::Value(value) => env.set_gpr(rt, value),
            IdRead::Undefined => return Outcome::Undefined,
            IdRead::Trap => return Outcome::IdTrap,
        },
        (Trap::Clidr, true) => env.set_gpr(rt, env.clidr()),
        (Trap::Ccsidr, true) => {
            let value = env.ccsidr(env.read(Reg::CSSELR_EL1));
            env.set_gpr(rt, value);
        }
        (Trap::Counter, true) => {
            let value = env.counter(reg);
            env.set_gpr(rt, value);
        }
        (Trap::Timer, true) => {
            let value = env.timer(reg);
            env.set_gpr(rt, value);
        }
        (Trap::Timer, false) => env.set_timer(reg, env.gpr(rt)),
        (Trap::OsLock, false) => {
            let lock = env.gpr(rt) & OSLAR_OSLK;
            let status = env.read(Reg::OSLSR_EL1) & !OSLSR_OSLK;
            env.write(
                Reg::OSLSR_EL1,
                status | if lock != 0 { OSLSR_OSLK } else { 0 },
            );
        }
        (Trap::Raz | Trap::RazWi, true) => env.set_gpr(rt, 0),
        (
            Trap::Storage | Trap::VmControl | Trap::Debug | Trap::ReadOnly | Trap::WriteIgnored,
            true,
        ) => {
            let value = env.read(reg);
            env.set_gpr(rt, value);
        }
        (Trap::Storage | Trap::Debug, false) => env.write(reg, env.gpr(rt)),
        (Trap::VmControl, false) => {
            let before = env.read(Reg::SCTLR_EL1);
            env.write(reg, env.gpr(rt));
            let after = env.read(Reg::SCTLR_EL1);
            return Outcome::VmControl { before, after };
        }
        (Trap::RazWi | Trap::WriteIgnored, false) => {}
        (
            Trap::Raz | Trap::ReadOnly | Trap::Id | Trap::Clidr | Trap::Ccsidr | Trap::Counter,
            false,
        )
        | (Trap::OsLock, true) => return Outcome::Undefined,
    }
    Outcome::Done
}
