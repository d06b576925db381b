// SPDX-License-Identifier: GPL-2.0

//! From a guest's HVC or SMC to its outcome.

use crate::{
    firmware::{
        arch,
        pv_time::{
            self,
            StartStolenTime,
            StolenTimeIpa, //
        },
        state::{
            Firmware,
            VcpuFeatures, //
        },
        trng::{
            self,
            Entropy, //
        },
        vendor::{
            self,
            Clock, //
        },
    },
    psci::{
        self,
        Platform,
        PowerOn,
        SystemEvent, //
    },
    smccc::{
        Action,
        Call,
        Conduit,
        Filter,
        Hypercall,
        Owner,
        RangeStore,
        Registers,
        NOT_SUPPORTED, //
    },
};

/// The calling vCPU, its VM and its host.
pub trait Environment: Platform + Entropy + Clock {
    /// Returns the vCPU's features.
    fn features(&self) -> VcpuFeatures;

    /// Returns where the vCPU's stolen time is to be reported (KVM_ARM_VCPU_PVTIME_IPA).
    ///
    /// [`None`] if user space has not said so.
    fn stolen_time(&self) -> Option<StolenTimeIpa>;
}

/// What is to be done for a call.
///
/// Before that, an SMC is stepped over ([`Conduit::needs_skip`]). Registers go into the caller's X0
/// to X3 before anything else is done. No call ends in an exception.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing more; the caller goes on.
    Return(Registers),
    /// The vCPU's stolen time is counted from now on; then the caller goes on.
    StartStolenTime(StartStolenTime),
    /// KVM_EXIT_HYPERCALL, and no register changes.
    ForwardToUser(Hypercall),
    /// The caller waits as by WFI, then goes on.
    Standby(Registers),
    /// The caller is powered off (KVM_MP_STATE_STOPPED).
    PowerOff(Registers),
    /// Another vCPU is powered on; then the caller goes on with what [`PowerOn::answer`] says.
    PowerOn(PowerOn),
    /// KVM_EXIT_SYSTEM_EVENT.
    SystemEvent(SystemEvent, Registers),
}

impl From<psci::Outcome> for Outcome {
    #[inline]
    fn from(outcome: psci::Outcome) -> Self {
        match outcome {
            psci::Outcome::Return(registers) => Self::Return(registers),
            psci::Outcome::Standby(registers) => Self::Standby(registers),
            psci::Outcome::PowerOff(registers) => Self::PowerOff(registers),
            psci::Outcome::PowerOn(power_on) => Self::PowerOn(power_on),
            psci::Outcome::SystemEvent(event, registers) => Self::SystemEvent(event, registers),
        }
    }
}

/// Returns what is to be done for `call`.
///
/// The filter comes first, then what the firmware has. Calls that nobody implements, that the VM
/// lacks, or that an AArch32 caller makes by a 64-bit identifier return NOT_SUPPORTED.
///
/// An HVC is a call whatever its immediate is. An SMC is one only if that is zero: others are
/// reserved, and return NOT_SUPPORTED with all but X0 as it was. Source: DEN0028, "SMC and HVC
/// immediate value".
///
/// The architecture's calls, and those that nobody implements, are answered inline. Nothing here
/// sleeps.
#[inline]
pub fn handle<S: RangeStore, E: Environment>(
    call: &Call,
    firmware: &Firmware,
    filter: &Filter<S>,
    environment: &E,
) -> Outcome {
    if matches!(call.conduit(), Conduit::Smc) && call.immediate() != 0 {
        return Outcome::Return(call.registers().with_code(NOT_SUPPORTED));
    }
    let function = call.function();
    match filter.action(function) {
        Action::Handle => {}
        Action::Deny => return Outcome::Return(Registers::code(NOT_SUPPORTED)),
        Action::ForwardToUser => return Outcome::ForwardToUser(call.forward()),
    }
    if function.is_64() && call.is_aarch32() {
        return Outcome::Return(Registers::code(NOT_SUPPORTED));
    }
    match function.owner() {
        Owner::Arch => Outcome::Return(arch::call(call, firmware, environment.features())),
        Owner::Standard => standard(call, firmware, environment),
        Owner::StandardHyp if firmware.std_hyp().pv_time() => {
            match pv_time::call(call, environment.stolen_time()) {
                Ok(start) => Outcome::StartStolenTime(start),
                Err(registers) => Outcome::Return(registers),
            }
        }
        Owner::VendorHyp => Outcome::Return(vendor::call(call, firmware, environment)),
        // KVM's identifiers for PSCI 0.1 are older than owners.
        Owner::Reserved(_) if psci::Function::is_0_1(function) => {
            standard(call, firmware, environment)
        }
        _ => Outcome::Return(Registers::code(NOT_SUPPORTED)),
    }
}

/// Returns what is to be done for a standard secure service, or for PSCI 0.1.
#[inline(never)]
fn standard<E: Environment>(call: &Call, firmware: &Firmware, environment: &E) -> Outcome {
    if psci::Function::is_psci(call.function()) {
        let config = firmware.psci(environment.features());
        return psci::call(call, config, environment).into();
    }
    Outcome::Return(if firmware.std().trng_v1_0() {
        trng::call(call, environment)
    } else {
        Registers::code(NOT_SUPPORTED)
    })
}
