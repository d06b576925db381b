// SPDX-License-Identifier: GPL-2.0

//! The vectors that lead out of the guest.

use crate::bindings;
use kvm_core::cpu::hardening::ExitHardening;

/// The vectors that lead out of the guest, by what they do against speculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// Which set, below `KVM_VHE_VECTORS_COUNT`.
    set: u8,
    /// How many branches the set with the loop takes.
    pub(super) bhb_loops: u8,
}

impl Vectors {
    /// Returns those for a CPU that is hardened as `against` says.
    pub fn new(against: ExitHardening) -> Self {
        let (set, bhb_loops) = match against {
            ExitHardening::None => (bindings::KVM_VHE_VECTORS_PLAIN, 0),
            ExitHardening::BhbLoop(count) => (bindings::KVM_VHE_VECTORS_LOOP, count.max(1)),
            ExitHardening::ClearBhb => (bindings::KVM_VHE_VECTORS_CLRBHB, 0),
            ExitHardening::FirmwareWa1 => (bindings::KVM_VHE_VECTORS_WA1, 0),
            ExitHardening::FirmwareWa3 => (bindings::KVM_VHE_VECTORS_WA3, 0),
        };

        Self {
            set: set as u8,
            bhb_loops,
        }
    }

    /// Returns them as a number, for an atomic variable; never 0.
    pub const fn into_raw(self) -> u64 {
        1 << 16 | (self.set as u64) << 8 | self.bhb_loops as u64
    }

    /// Returns those that [`Vectors::into_raw`] made `raw` of; [`None`] for other numbers.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        let set = (raw >> 8) as u8;

        if raw >> 16 != 1 || set as u32 >= bindings::KVM_VHE_VECTORS_COUNT {
            return None;
        }
        Some(Self {
            set,
            bhb_loops: raw as u8,
        })
    }

    /// VBAR_EL2.
    pub(super) fn address(self) -> u64 {
        (&raw const bindings::kvm_vhe_vectors) as u64
            + u64::from(self.set) * u64::from(bindings::KVM_VHE_VECTORS_SIZE)
    }
}
