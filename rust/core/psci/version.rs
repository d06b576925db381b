// SPDX-License-Identifier: GPL-2.0

//! Versions of the interface.

/// A version that KVM implements.
///
/// The order is that of time. The value is that of PSCI_VERSION and of KVM_REG_ARM_PSCI_VERSION:
/// the major version in bits 31 to 16, the minor one in bits 15 to 0.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub enum Version {
    /// KVM's own, before there was a standard for function identifiers.
    V0_1 = 0x0_0001,
    /// PSCI 0.2.
    V0_2 = 0x0_0002,
    /// PSCI 1.0: PSCI_FEATURES, SYSTEM_SUSPEND.
    V1_0 = 0x1_0000,
    /// PSCI 1.1: SYSTEM_RESET2.
    V1_1 = 0x1_0001,
    /// PSCI 1.2.
    V1_2 = 0x1_0002,
    /// PSCI 1.3: SYSTEM_OFF2.
    V1_3 = 0x1_0003,
}

impl Version {
    /// What a VM has unless its user space asks for an earlier one.
    pub const LATEST: Self = Self::V1_3;

    /// All versions, from the earliest.
    pub const ALL: &'static [Self] = &[
        Self::V0_1,
        Self::V0_2,
        Self::V1_0,
        Self::V1_1,
        Self::V1_2,
        Self::V1_3,
    ];

    /// Returns the version of this value, or [`None`] if KVM has no such version.
    #[inline]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            0x0_0001 => Some(Self::V0_1),
            0x0_0002 => Some(Self::V0_2),
            0x1_0000 => Some(Self::V1_0),
            0x1_0001 => Some(Self::V1_1),
            0x1_0002 => Some(Self::V1_2),
            0x1_0003 => Some(Self::V1_3),
            _ => None,
        }
    }

    /// Returns the value.
    #[inline]
    pub const fn into_raw(self) -> u32 {
        self as u32
    }
}
