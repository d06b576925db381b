// SPDX-License-Identifier: GPL-2.0

//! Calls and their outcomes.

use core::ops::ControlFlow;

use crate::{
    psci::{
        affinity::{
            Affinity,
            AffinityLevel, //
        },
        event::SystemEvent,
        function::{
            Function,
            Width, //
        },
        reset::PowerOnState,
        version::Version, //
    },
    smccc::{
        Call,
        FunctionId,
        Owner,
        Registers, //
    },
};

/// Return codes, by DEN0022, "Return error codes".
mod code {
    pub(super) const SUCCESS: i64 = 0;
    pub(super) const NOT_SUPPORTED: i64 = -1;
    pub(super) const INVALID_PARAMETERS: i64 = -2;
    pub(super) const ALREADY_ON: i64 = -4;
    pub(super) const INTERNAL_FAILURE: i64 = -6;
}

/// What AFFINITY_INFO returns if a CPU of the group is on.
const LEVEL_ON: i64 = 0;

/// What AFFINITY_INFO returns if all CPUs of the group are off.
const LEVEL_OFF: i64 = 1;

/// What MIGRATE_INFO_TYPE returns if there is no Trusted OS that would have to migrate.
const NO_MIGRATION: i64 = 2;

/// SYSTEM_OFF2's one type, as an argument and as a bit of what PSCI_FEATURES returns for it.
const HIBERNATE_OFF: u32 = 1;

/// The first of SYSTEM_RESET2's types that a vendor defines. Below it there is warm reset, 0.
const FIRST_VENDOR_RESET: u32 = 1 << 31;

/// What the interface is like in a VM.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The version that its guest sees.
    pub version: Version,
    /// Whether user space carries out SYSTEM_SUSPEND (KVM_CAP_ARM_SYSTEM_SUSPEND).
    pub system_suspend: bool,
}

/// The VM as a PSCI call sees it.
pub trait Platform {
    /// Whether data accesses of the calling vCPU are big-endian: SCTLR_EL1.EE, or PSTATE.E of
    /// AArch32. A call always comes from EL1.
    fn caller_is_big_endian(&self) -> bool;

    /// Calls `visit` with each vCPU's affinity and whether it is powered on, until it breaks.
    ///
    /// "On" is any KVM_MP_STATE but KVM_MP_STATE_STOPPED. No lock need be held over all of them.
    fn visit_vcpus(&self, visit: impl FnMut(Affinity, bool) -> ControlFlow<()>);
}

/// What is to be done for a call.
///
/// Registers go into the caller's X0 to X3 in any case, before anything else is done.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing more; the caller goes on.
    Return(Registers),
    /// The caller waits as by WFI, then goes on.
    Standby(Registers),
    /// The caller is powered off (KVM_MP_STATE_STOPPED).
    PowerOff(Registers),
    /// Another vCPU is powered on; then the caller goes on.
    PowerOn(PowerOn),
    /// KVM_EXIT_SYSTEM_EVENT.
    SystemEvent(SystemEvent, Registers),
}

impl Outcome {
    #[inline]
    const fn code(code: i64) -> Self {
        Self::Return(Registers::code(code))
    }
}

/// CPU_ON with arguments that are well-formed.
///
/// Two vCPUs may power on the same one at once, and one of them must be told that it is on already.
/// So whether it is off is asked and its state changed under one lock, its own:
///
/// - no vCPU has the affinity: [`PowerOnError::NotPresent`];
/// - it is not KVM_MP_STATE_STOPPED: [`PowerOnError::AlreadyOn`];
/// - otherwise it is given `state`, becomes KVM_MP_STATE_RUNNABLE and is woken up.
///
/// Then [`answer`](Self::answer) says what the caller gets.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use = "the caller waits for an answer"]
pub struct PowerOn {
    /// The vCPU.
    pub target: Affinity,
    /// What it starts with.
    pub state: PowerOnState,
    version: Version,
}

/// Why a vCPU is not powered on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PowerOnError {
    /// There is none of this affinity.
    NotPresent,
    /// It is on.
    AlreadyOn,
}

impl PowerOn {
    /// Returns the caller's registers after `result`.
    pub const fn answer(&self, result: Result<(), PowerOnError>) -> Registers {
        Registers::code(match result {
            Ok(()) => code::SUCCESS,
            Err(PowerOnError::NotPresent) => code::INVALID_PARAMETERS,
            // PSCI 0.1 has no code of its own for it.
            Err(PowerOnError::AlreadyOn) => match self.version {
                Version::V0_1 => code::INVALID_PARAMETERS,
                _ => code::ALREADY_ON,
            },
        })
    }
}

/// Returns what is to be done for a call of a standard secure service with a PSCI number, or of a
/// function of PSCI 0.1. NOT_SUPPORTED is returned for any other.
pub fn call(call: &Call, config: Config, platform: &impl Platform) -> Outcome {
    let Some((function, width)) = implemented(call.function(), config, call.is_aarch32()) else {
        return Outcome::code(code::NOT_SUPPORTED);
    };
    let registers = match width {
        Width::W32 => call.registers().with_narrow_arguments(),
        // Those of an AArch32 caller are narrow.
        Width::Caller | Width::W64 => call.registers(),
    };
    let Registers([_, x1, x2, x3]) = registers;
    let failed_if_resumed = Registers::code(code::INTERNAL_FAILURE);

    match function {
        Function::Version => Outcome::code(config.version.into_raw().into()),
        Function::CpuSuspend => Outcome::Standby(Registers::code(code::SUCCESS)),
        Function::CpuOff => Outcome::PowerOff(Registers::code(code::SUCCESS)),
        Function::CpuOn => match Affinity::new(x1) {
            Some(target) => Outcome::PowerOn(PowerOn {
                target,
                state: PowerOnState {
                    entry: x2,
                    context: x3,
                    big_endian: platform.caller_is_big_endian(),
                },
                version: config.version,
            }),
            None => Outcome::code(code::INVALID_PARAMETERS),
        },
        Function::AffinityInfo => Outcome::code(affinity_info(x1, x2, platform)),
        Function::MigrateInfoType => Outcome::code(NO_MIGRATION),
        Function::SystemOff => Outcome::SystemEvent(SystemEvent::Off, failed_if_resumed),
        Function::SystemReset => Outcome::SystemEvent(SystemEvent::Reset, failed_if_resumed),
        Function::Features => Outcome::code(features(call, config)),
        // User space reads the arguments and writes the result.
        Function::SystemSuspend => Outcome::SystemEvent(SystemEvent::Suspend, registers),
        Function::SystemReset2 => {
            let kind = x1 as u32;
            if kind != 0 && kind < FIRST_VENDOR_RESET {
                return Outcome::code(code::INVALID_PARAMETERS);
            }
            // User space reads the arguments.
            let registers = registers.with_code(code::INTERNAL_FAILURE);
            Outcome::SystemEvent(SystemEvent::Reset2, registers)
        }
        Function::SystemOff2 => {
            // Earlier revisions of PSCI 1.3 number the type from 0, and the cookie must be zero.
            let kind = x1 as u32;
            if (kind != 0 && kind != HIBERNATE_OFF) || x2 != 0 {
                return Outcome::code(code::INVALID_PARAMETERS);
            }
            Outcome::SystemEvent(SystemEvent::Hibernate, failed_if_resumed)
        }
    }
}

/// Returns the function that `id` is for a caller in this VM.
const fn implemented(id: FunctionId, config: Config, aarch32: bool) -> Option<(Function, Width)> {
    match Function::decode(id, config.version) {
        Some((_, Width::W64)) if aarch32 => None,
        Some((Function::SystemSuspend, _)) if !config.system_suspend => None,
        decoded => decoded,
    }
}

/// AFFINITY_INFO: whether a CPU of the group that `target` is in at `level` is on.
fn affinity_info(target: u64, level: u64, platform: &impl Platform) -> i64 {
    let (Some(target), Some(level)) = (Affinity::new(target), AffinityLevel::new(level)) else {
        return code::INVALID_PARAMETERS;
    };
    let mut answer = code::INVALID_PARAMETERS;
    platform.visit_vcpus(|affinity, on| {
        if !affinity.same_at(target, level) {
            return ControlFlow::Continue(());
        }
        if on {
            answer = LEVEL_ON;
            return ControlFlow::Break(());
        }
        answer = LEVEL_OFF;
        ControlFlow::Continue(())
    });
    answer
}

/// PSCI_FEATURES: whether the function that X1 names is there, and the flags of it.
const fn features(call: &Call, config: Config) -> i64 {
    /// SMCCC_VERSION. That it is there is what tells a guest that SMCCC 1.1 is.
    const SMCCC_VERSION: u32 = FunctionId::fast32(Owner::Arch, 0).raw();

    let id = FunctionId::new(call.w1());
    if id.raw() == SMCCC_VERSION {
        return code::SUCCESS;
    }
    match implemented(id, config, call.is_aarch32()) {
        Some((Function::SystemOff2, _)) => HIBERNATE_OFF as i64,
        // CPU_SUSPEND: the power state is in the original format, and platform-coordinated.
        Some(_) => code::SUCCESS,
        None => code::NOT_SUPPORTED,
    }
}
