// SPDX-License-Identifier: GPL-2.0

//! What a guest is told of attacks by speculation, and what its user space may have it told.
//!
//! Source: Arm DEN0070, "Firmware interfaces for mitigating cache speculation vulnerabilities", and
//! DEN0028 for what SMCCC_ARCH_FEATURES returns.

use crate::smccc::{
    NOT_REQUIRED,
    NOT_SUPPORTED,
    SUCCESS, //
};

/// How the host stands towards one attack, on the worst of its CPUs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Mitigation {
    /// It is open to it, or nothing is known.
    Vulnerable,
    /// It is safe because the kernel does something about it, on exits from a guest too.
    Mitigated,
    /// Its CPUs are safe.
    Unaffected,
}

/// How the host stands towards the attacks that there are firmware calls for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Mitigations {
    /// CVE-2017-5715.
    pub spectre_v2: Mitigation,
    /// CVE-2018-3639.
    pub spectre_v4: Mitigation,
    /// CVE-2022-23960.
    pub spectre_bhb: Mitigation,
}

/// A firmware call against such an attack.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Workaround {
    /// SMCCC_ARCH_WORKAROUND_1, against [`Mitigations::spectre_v2`].
    One,
    /// SMCCC_ARCH_WORKAROUND_2, against [`Mitigations::spectre_v4`].
    Two,
    /// SMCCC_ARCH_WORKAROUND_3, against [`Mitigations::spectre_bhb`].
    Three,
}

/// Whether a guest is to make the call.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// There is no such call, and the guest may be open to the attack.
    NotAvailable,
    /// The guest has to call.
    Available,
    /// The guest need not call.
    NotRequired,
}

/// KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_ENABLED, which once told that a vCPU had not switched the
/// mitigation off.
const ENABLED: u64 = 1 << 4;

impl Workaround {
    /// Returns what a VM's guest is to do.
    ///
    /// `ssbs` tells whether the VM has FEAT_SSBS. Then its guest decides on store bypassing itself.
    /// Otherwise a host that mitigates does so for the guest, all the time.
    pub const fn level(self, host: &Mitigations, ssbs: bool) -> Level {
        match self {
            Self::One => called(host.spectre_v2),
            Self::Three => called(host.spectre_bhb),
            Self::Two => match host.spectre_v4 {
                Mitigation::Unaffected => Level::NotRequired,
                Mitigation::Mitigated if !ssbs => Level::NotRequired,
                Mitigation::Mitigated | Mitigation::Vulnerable => Level::NotAvailable,
            },
        }
    }

    /// Returns what SMCCC_ARCH_FEATURES says of the call.
    pub const fn answer(self, level: Level) -> i64 {
        match level {
            Level::NotAvailable => NOT_SUPPORTED,
            Level::Available => SUCCESS,
            Level::NotRequired => match self {
                // SMCCC_ARCH_WORKAROUND_RET_UNAFFECTED: the call is there and does nothing.
                Self::One | Self::Three => 1,
                Self::Two => NOT_REQUIRED,
            },
        }
    }

    /// Returns the value of the pseudo-register.
    pub const fn register(self, level: Level) -> u64 {
        match (self, level) {
            (_, Level::NotAvailable) => 0,
            (Self::One | Self::Three, Level::Available) => 1,
            (Self::One | Self::Three, Level::NotRequired) => 2,
            (Self::Two, Level::Available) => 2,
            (Self::Two, Level::NotRequired) => 3,
        }
    }

    /// Whether a host at `host` can be what `value`, written to the pseudo-register, asks for.
    ///
    /// It can if it offers as much or more. A guest that comes from a host that offered less goes
    /// on as it was; the register is still read as this host's.
    pub const fn accepts(self, host: Level, value: u64) -> bool {
        match self {
            Self::One | Self::Three => value <= self.register(host),
            Self::Two => match value {
                // NOT_AVAIL and UNKNOWN.
                0 | 1 => true,
                // AVAIL, with and without the bit that is allowed only there, and NOT_REQUIRED.
                2 | 3 => matches!(host, Level::NotRequired),
                _ => value == 2 | ENABLED && matches!(host, Level::NotRequired),
            },
        }
    }
}

/// Returns the level of a call that has the guest's mitigation done by the host.
const fn called(host: Mitigation) -> Level {
    match host {
        Mitigation::Vulnerable => Level::NotAvailable,
        Mitigation::Mitigated => Level::Available,
        Mitigation::Unaffected => Level::NotRequired,
    }
}
