// SPDX-License-Identifier: GPL-2.0

//! The functions that KVM implements.

use crate::{
    psci::version::Version,
    smccc::{
        FunctionId,
        Owner, //
    },
};

/// How wide a function's arguments are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Width {
    /// As wide as the caller's registers. All functions of PSCI 0.1 are of this kind.
    Caller,
    /// 32 bits (SMC32).
    W32,
    /// 64 bits (SMC64).
    W64,
}

/// A function.
///
/// Source: DEN0022, "PSCI functions", with KVM's identifiers of 0.1 from the arm64 asm/kvm.h.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Function {
    /// PSCI_VERSION.
    Version,
    /// CPU_SUSPEND.
    CpuSuspend,
    /// CPU_OFF.
    CpuOff,
    /// CPU_ON.
    CpuOn,
    /// AFFINITY_INFO.
    AffinityInfo,
    /// MIGRATE_INFO_TYPE.
    MigrateInfoType,
    /// SYSTEM_OFF.
    SystemOff,
    /// SYSTEM_RESET.
    SystemReset,
    /// PSCI_FEATURES.
    Features,
    /// SYSTEM_SUSPEND.
    SystemSuspend,
    /// SYSTEM_RESET2.
    SystemReset2,
    /// SYSTEM_OFF2.
    SystemOff2,
}

impl Function {
    /// KVM_PSCI_FN_BASE: the first of KVM's identifiers for PSCI 0.1.
    pub const BASE_0_1: u32 = 0x95c1_ba5e;

    /// The highest number that DEN0028 reserves for PSCI among the standard secure services.
    const LAST_NUMBER: u16 = 0x1f;

    /// Whether `id` is one of KVM's identifiers for PSCI 0.1.
    #[inline]
    pub const fn is_0_1(id: FunctionId) -> bool {
        id.raw().wrapping_sub(Self::BASE_0_1) < 4
    }

    /// Whether `id` belongs to PSCI, implemented or not.
    #[inline]
    pub const fn is_psci(id: FunctionId) -> bool {
        Self::is_0_1(id)
            || (matches!(id.owner(), Owner::Standard) && id.number() <= Self::LAST_NUMBER)
    }

    /// Returns the function that `id` is in `version`, and how wide its arguments are.
    ///
    /// [`None`] if it is not a function of that version. Whether SYSTEM_SUSPEND is there depends on
    /// the VM, too.
    pub const fn decode(id: FunctionId, version: Version) -> Option<(Self, Width)> {
        if matches!(version, Version::V0_1) {
            return match id.raw().wrapping_sub(Self::BASE_0_1) {
                1 => Some((Self::CpuOff, Width::Caller)),
                2 => Some((Self::CpuOn, Width::Caller)),
                _ => None,
            };
        }
        let number = id.number();
        let (width, exists) = if id.is_64() {
            let exists = FunctionId::fast64(Owner::Standard, number);
            (Width::W64, exists)
        } else {
            let exists = FunctionId::fast32(Owner::Standard, number);
            (Width::W32, exists)
        };
        if exists.raw() != id.raw() {
            return None;
        }
        let Some((function, since, both)) = Self::numbered(number) else {
            return None;
        };
        if (version.into_raw() < since.into_raw()) || (matches!(width, Width::W64) && !both) {
            return None;
        }
        Some((function, width))
    }

    /// Returns the function of PSCI 0.2 and later with this number, the version that has it first,
    /// and whether it is there with 64-bit arguments too.
    const fn numbered(number: u16) -> Option<(Self, Version, bool)> {
        Some(match number {
            0 => (Self::Version, Version::V0_2, false),
            1 => (Self::CpuSuspend, Version::V0_2, true),
            2 => (Self::CpuOff, Version::V0_2, false),
            3 => (Self::CpuOn, Version::V0_2, true),
            4 => (Self::AffinityInfo, Version::V0_2, true),
            6 => (Self::MigrateInfoType, Version::V0_2, false),
            8 => (Self::SystemOff, Version::V0_2, false),
            9 => (Self::SystemReset, Version::V0_2, false),
            10 => (Self::Features, Version::V1_0, false),
            14 => (Self::SystemSuspend, Version::V1_0, true),
            18 => (Self::SystemReset2, Version::V1_1, true),
            21 => (Self::SystemOff2, Version::V1_3, true),
            _ => return None,
        })
    }
}
