// SPDX-License-Identifier: GPL-2.0

//! VTCR_EL2 and VTTBR_EL2.

use crate::{
    bit_struct,
    bits::Bits,
    granule::Granule,
    stage2::{
        address::TableAddr,
        descriptor::Format,
        geometry::Level, //
    },
};

bit_struct! {
    /// Virtualization Translation Control Register.
    ///
    /// Source: Arm ARM, VTCR_EL2.
    pub struct VtcrEl2("VTCR_EL2") {
        /// 64 less the width of input addresses.
        t0sz / with_t0sz: bits 0..=5,
        /// Start level, by granule: 4 KiB 2, 1, 0, 3; others 3, 2, 1, 0.
        sl0 / with_sl0: bits 6..=7,
        /// Inner cacheability of table walks: 0 non-cacheable, 1 write-back, 2 write-through.
        irgn0 / with_irgn0: bits 8..=9,
        /// Outer cacheability of table walks, as for `irgn0`.
        orgn0 / with_orgn0: bits 10..=11,
        /// Shareability of table walks: 0 non-, 2 outer, 3 inner. With DS also of what is mapped.
        sh0 / with_sh0: bits 12..=13,
        /// Granule: 0 4 KiB, 1 64 KiB, 2 16 KiB.
        tg0 / with_tg0: bits 14..=15,
        /// Output address size, as ID_AA64MMFR0_EL1.PARange.
        ps / with_ps: bits 16..=18,
        /// VMIDs have 16 bits (FEAT_VMID16).
        vs / with_vs: flag 19,
        /// Hardware sets the access flag (FEAT_HAFDBS).
        ha / with_ha: flag 21,
        /// Hardware sets the dirty state (FEAT_HAFDBS).
        hd / with_hd: flag 22,
        /// Hardware use of bits 59 to 62 of descriptors (FEAT_HPDS2).
        hwu / with_hwu: bits 25..=28,
        /// Non-secure table walks access non-secure memory; Secure state only.
        nsw / with_nsw: flag 29,
        /// Non-secure output addresses; Secure state only.
        nsa / with_nsa: flag 30,
        /// RES1.
        res1 / with_res1: flag 31,
        /// 52-bit addresses with 4 KiB and 16 KiB (FEAT_LPA2).
        ds / with_ds: flag 32,
        /// With DS and 4 KiB: a walk starts at level -1.
        sl2 / with_sl2: flag 33,
    }
}

impl VtcrEl2 {
    /// Returns the value for tables of `format`. Tables are written through the host's cacheable
    /// mapping, and so are walks cacheable and inner shareable.
    pub const fn new(format: &Format) -> Self {
        let (geometry, config) = (format.geometry(), format.config());
        let (tg0, first) = match geometry.granule() {
            Granule::K4 => (Bits::of::<0>(), 2),
            Granule::K16 => (Bits::of::<2>(), 3),
            Granule::K64 => (Bits::of::<1>(), 3),
        };
        let start = match geometry.start() {
            Level::L0 => 0,
            Level::L1 => 1,
            Level::L2 => 2,
            Level::L3 => 3,
        };
        Self::from_raw(0)
            .with_t0sz(Bits::truncated(64 - geometry.ipa().get() as u64))
            // For 4 KiB and level 3 this is 3, as it should be.
            .with_sl0(Bits::truncated((first + 4 - start) & 3))
            .with_irgn0(Bits::of::<1>())
            .with_orgn0(Bits::of::<1>())
            .with_sh0(Bits::of::<3>())
            .with_tg0(tg0)
            .with_ps(Bits::truncated(geometry.pa_size() as u64))
            .with_vs(config.vmid16)
            .with_ha(config.hardware_access_flag)
            .with_ds(geometry.ds())
            .with_res1(true)
    }
}

bit_struct! {
    /// Virtualization Translation Table Base Register.
    ///
    /// Source: Arm ARM, VTTBR_EL2.
    pub struct VttbrEl2("VTTBR_EL2") {
        /// The tables are the same on all CPUs that set it (FEAT_TTCNP).
        cnp / with_cnp: flag 0,
        /// Bits 47 to 1 of the root's address; bits 5 to 2 hold its bits 51 to 48.
        baddr / with_baddr: bits 1..=47,
        /// The VMID; bits 15 to 8 are RES0 where VMIDs have 8 bits.
        vmid / with_vmid: bits 48..=63,
    }
}

impl VttbrEl2 {
    /// Returns the value for the tables at `root` and translations tagged with `vmid`.
    ///
    /// Tables are aligned to 4 KiB at least, so the low bits are free for bits 51 to 48 of a
    /// 52-bit address; they are clear in any other.
    #[inline]
    pub const fn new(root: TableAddr, vmid: u16) -> Self {
        let pa = root.pa();
        let folded = (pa & Bits::<48>::MAX) | ((pa >> 48) << 2);
        Self::from_raw(0)
            .with_baddr(Bits::truncated(folded >> 1))
            .with_vmid(Bits::truncated(vmid as u64))
    }
}
