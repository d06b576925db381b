// SPDX-License-Identifier: GPL-2.0

//! Where a guest's access faulted.

use crate::bit_struct;

bit_struct! {
    /// Hypervisor IPA Fault Address Register, HPFAR_EL2.
    pub struct HpfarEl2("HPFAR_EL2") {
        /// Bits 55 to 12 of the faulting IPA. Bits above the implemented physical address size
        /// are RES0: 51 to 12 are used with 52-bit addresses, 47 to 12 without.
        fipa / with_fipa: bits 4..=47,
        /// Whether the faulting address is in the Non-secure space, for a fault in Secure state.
        ns / with_ns: flag 63,
    }
}

impl HpfarEl2 {
    /// Returns the IPA of the 4 KiB page that the access faulted in, whatever the granule.
    ///
    /// Valid only if the syndrome says that HPFAR_EL2 was written; see
    /// [`FaultStatus::writes_hpfar`](crate::esr::FaultStatus::writes_hpfar).
    #[inline]
    pub const fn page(self) -> u64 {
        self.fipa().get() << 12
    }
}

/// Returns the IPA, up to 56 bits, that an access faulted at.
///
/// HPFAR_EL2 gives the 4 KiB page and `far`, FAR_EL2, the offset in it: no granule is smaller, so
/// translation keeps bits 11 to 0. `far` says nothing if the syndrome's FnV is set, and belongs to
/// another address if S1PTW is (the access that needed the stage 1 table, not the table): use
/// [`HpfarEl2::page`] for these.
#[inline]
pub const fn fault_ipa(hpfar: HpfarEl2, far: u64) -> u64 {
    hpfar.page() | (far & 0xfff)
}
