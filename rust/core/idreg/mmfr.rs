// SPDX-License-Identifier: GPL-2.0

//! Memory model feature registers.
//!
//! Source: Arm ARM, the pages of ID_AA64MMFR0_EL1 to ID_AA64MMFR4_EL1.

use crate::{
    bit_struct,
    granule::Granule, //
};

/// How a stage of translation supports a granule.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum GranuleSupport {
    /// Not at all.
    None,
    /// Yes; with 4 KiB and 16 KiB, addresses are limited to 48 bits.
    Implemented,
    /// Yes, with 52-bit addresses and FEAT_LPA2's descriptors.
    Lpa2,
}

bit_struct! {
    /// AArch64 Memory Model Feature Register 0.
    pub struct IdAa64Mmfr0El1("ID_AA64MMFR0_EL1") {
        /// Physical address size; see [`Self::pa_bits`].
        parange / with_parange: bits 0..=3,
        /// ASID size: 0 is 8 bits, 2 is 16.
        asidbits / with_asidbits: bits 4..=7,
        /// Mixed endianness: 1 FEAT_MixedEnd.
        bigend / with_bigend: bits 8..=11,
        /// Secure memory is distinct: 1.
        snsmem / with_snsmem: bits 12..=15,
        /// Mixed endianness at EL0: 1 FEAT_MixedEndEL0.
        bigendel0 / with_bigendel0: bits 16..=19,
        /// 16 KiB granule at stage 1: 0 none, 1 implemented, 2 with 52 bits.
        tgran16 / with_tgran16: bits 20..=23,
        /// 64 KiB granule at stage 1: -1 none, 0 implemented.
        tgran64 / with_tgran64: signed 24..=27,
        /// 4 KiB granule at stage 1: -1 none, 0 implemented, 1 with 52 bits.
        tgran4 / with_tgran4: signed 28..=31,
        /// 16 KiB granule at stage 2: 0 as stage 1, 1 none, 2 implemented, 3 with 52 bits.
        tgran16_2 / with_tgran16_2: bits 32..=35,
        /// 64 KiB granule at stage 2: 0 as stage 1, 1 none, 2 implemented.
        tgran64_2 / with_tgran64_2: bits 36..=39,
        /// 4 KiB granule at stage 2: 0 as stage 1, 1 none, 2 implemented, 3 with 52 bits.
        tgran4_2 / with_tgran4_2: bits 40..=43,
        /// Exceptions that do not synchronize: 1 FEAT_ExS.
        exs / with_exs: bits 44..=47,
        /// Fine-grained traps: 1 FEAT_FGT, 2 FEAT_FGT2.
        fgt / with_fgt: bits 56..=59,
        /// Enhanced counter virtualization: 1 FEAT_ECV, 2 with CNTPOFF_EL2.
        ecv / with_ecv: bits 60..=63,
    }
}

impl IdAa64Mmfr0El1 {
    /// Returns the size of physical addresses in bits: 32, 36, 40, 42, 44, 48, 52 or 56;
    /// [`None`] for a reserved value.
    #[inline]
    pub const fn pa_bits(self) -> Option<u8> {
        match self.parange().get() {
            0 => Some(32),
            1 => Some(36),
            2 => Some(40),
            3 => Some(42),
            4 => Some(44),
            5 => Some(48),
            6 => Some(52),
            7 => Some(56),
            _ => None,
        }
    }

    /// Returns how stage 1 supports `granule`.
    pub const fn stage1_granule(self, granule: Granule) -> GranuleSupport {
        match granule {
            Granule::K4 => match self.tgran4().get() {
                ..=-1 => GranuleSupport::None,
                0 => GranuleSupport::Implemented,
                1.. => GranuleSupport::Lpa2,
            },
            Granule::K16 => match self.tgran16().get() {
                0 => GranuleSupport::None,
                1 => GranuleSupport::Implemented,
                2.. => GranuleSupport::Lpa2,
            },
            Granule::K64 => match self.tgran64().get() {
                ..=-1 => GranuleSupport::None,
                0.. => GranuleSupport::Implemented,
            },
        }
    }

    /// Returns how stage 2 supports `granule`; TGranX_2 of 0 refers to stage 1.
    pub const fn stage2_granule(self, granule: Granule) -> GranuleSupport {
        let field = match granule {
            Granule::K4 => self.tgran4_2(),
            Granule::K16 => self.tgran16_2(),
            Granule::K64 => self.tgran64_2(),
        };
        match (field.get(), granule) {
            (0, _) => self.stage1_granule(granule),
            (1, _) => GranuleSupport::None,
            (2, _) | (_, Granule::K64) => GranuleSupport::Implemented,
            _ => GranuleSupport::Lpa2,
        }
    }
}

bit_struct! {
    /// AArch64 Memory Model Feature Register 1.
    pub struct IdAa64Mmfr1El1("ID_AA64MMFR1_EL1") {
        /// Hardware update of descriptors: 1 access flag, 2 also dirty state, 3 FEAT_HAFT, 4
        /// FEAT_HDBSS.
        hafdbs / with_hafdbs: bits 0..=3,
        /// VMID size; see [`Self::vmid_bits`].
        vmidbits / with_vmidbits: bits 4..=7,
        /// Virtualization host extensions: 1 FEAT_VHE.
        vh / with_vh: bits 8..=11,
        /// Hierarchical permission disable: 1 FEAT_HPDS, 2 FEAT_HPDS2.
        hpds / with_hpds: bits 12..=15,
        /// Limited ordering regions: 1 FEAT_LOR.
        lo / with_lo: bits 16..=19,
        /// Privileged access never: 1 FEAT_PAN, 2 FEAT_PAN2, 3 FEAT_PAN3.
        pan / with_pan: bits 20..=23,
        /// Speculative reads can cause an SError interrupt: 1.
        specsei / with_specsei: bits 24..=27,
        /// Execute-never by Exception level at stage 2: 1 FEAT_XNX.
        xnx / with_xnx: bits 28..=31,
        /// Delayed trapping of WFE: 1 FEAT_TWED.
        twed / with_twed: bits 32..=35,
        /// Enhanced translation synchronization: 2 FEAT_ETS2, 3 FEAT_ETS3.
        ets / with_ets: bits 36..=39,
        /// HCRX_EL2: 1 FEAT_HCX.
        hcx / with_hcx: bits 40..=43,
        /// Alternate floating-point: 1 FEAT_AFP.
        afp / with_afp: bits 44..=47,
        /// Intermediate caching by the TLB excludes non-coherent ones: 1 FEAT_nTLBPA.
        ntlbpa / with_ntlbpa: bits 48..=51,
        /// Trapping of implementation defined instructions at EL0: 1 FEAT_TIDCP1.
        tidcp1 / with_tidcp1: bits 52..=55,
        /// Permission for cache maintenance: 1 FEAT_CMOW.
        cmow / with_cmow: bits 56..=59,
        /// Branch history of one context does not steer another: 1 FEAT_ECBHB.
        ecbhb / with_ecbhb: bits 60..=63,
    }
}

impl IdAa64Mmfr1El1 {
    /// Returns the size of VMIDs in bits: 16, or 8, also for a reserved value.
    #[inline]
    pub const fn vmid_bits(self) -> u8 {
        match self.vmidbits().get() {
            2 => 16,
            _ => 8,
        }
    }

    /// Whether the CPU has the Virtualization Host Extensions.
    #[inline]
    pub const fn has_vhe(self) -> bool {
        self.vh().get() != 0
    }
}

bit_struct! {
    /// AArch64 Memory Model Feature Register 2.
    pub struct IdAa64Mmfr2El1("ID_AA64MMFR2_EL1") {
        /// Common not private translations: 1 FEAT_TTCNP.
        cnp / with_cnp: bits 0..=3,
        /// User access override: 1 FEAT_UAO.
        uao / with_uao: bits 4..=7,
        /// Load and store multiple controls: 1 FEAT_LSMAOC.
        lsm / with_lsm: bits 8..=11,
        /// Implicit error synchronization: 1 FEAT_IESB.
        iesb / with_iesb: bits 12..=15,
        /// Virtual addresses of 52 bits: 1 FEAT_LVA.
        varange / with_varange: bits 16..=19,
        /// 64-bit CCSIDR_EL1: 1 FEAT_CCIDX.
        ccidx / with_ccidx: bits 20..=23,
        /// Nested virtualization: 1 FEAT_NV, 2 FEAT_NV2.
        nv / with_nv: bits 24..=27,
        /// Small translation tables: 1 FEAT_TTST, TxSZ up to 48 (47 with 64 KiB).
        st / with_st: bits 28..=31,
        /// Unaligned single-copy atomicity: 1 FEAT_LSE2.
        at / with_at: bits 32..=35,
        /// ID register traps: 1 FEAT_IDST, EC 0x18 instead of 0; 2 FEAT_IDTE3.
        ids / with_ids: bits 36..=39,
        /// Stage 2 forced write-back: 1 FEAT_S2FWB.
        fwb / with_fwb: bits 40..=43,
        /// Level hints of TLB maintenance: 1 FEAT_TTL.
        ttl / with_ttl: bits 48..=51,
        /// Break-before-make: the level, 0 to 2.
        bbm / with_bbm: bits 52..=55,
        /// Enhanced traps of cache and TLB maintenance: 1 or 2 FEAT_EVT.
        evt / with_evt: bits 56..=59,
        /// Preventing EL0 access to halves of the address map: 1 FEAT_E0PD.
        e0pd / with_e0pd: bits 60..=63,
    }
}

impl IdAa64Mmfr2El1 {
    /// Whether a trapped read of an ID register at EL0 reports EC 0x18 (FEAT_IDST), not EC 0.
    #[inline]
    pub const fn has_idst(self) -> bool {
        self.ids().get() != 0
    }

    /// Whether translation tables can be small, TxSZ up to 48 (FEAT_TTST), not only up to 39.
    #[inline]
    pub const fn has_small_tables(self) -> bool {
        self.st().get() != 0
    }
}

bit_struct! {
    /// AArch64 Memory Model Feature Register 3.
    pub struct IdAa64Mmfr3El1("ID_AA64MMFR3_EL1") {
        /// TCR2_ELx: 1 FEAT_TCR2.
        tcrx / with_tcrx: bits 0..=3,
        /// SCTLR2_ELx: 1 FEAT_SCTLR2.
        sctlrx / with_sctlrx: bits 4..=7,
        /// Stage 1 permission indirection: 1 FEAT_S1PIE.
        s1pie / with_s1pie: bits 8..=11,
        /// Stage 2 permission indirection: 1 FEAT_S2PIE.
        s2pie / with_s2pie: bits 12..=15,
        /// Stage 1 permission overlays: 1 FEAT_S1POE.
        s1poe / with_s1poe: bits 16..=19,
        /// Stage 2 permission overlays: 1 FEAT_S2POE.
        s2poe / with_s2poe: bits 20..=23,
        /// Attribute index extension: 1 FEAT_AIE.
        aie / with_aie: bits 24..=27,
        /// Memory encryption contexts: 1 FEAT_MEC.
        mec / with_mec: bits 28..=31,
        /// 128-bit descriptors: 1 FEAT_D128.
        d128 / with_d128: bits 32..=35,
        /// 128-bit descriptors at stage 2: 1.
        d128_2 / with_d128_2: bits 36..=39,
        /// Synchronous errors on reads of Normal memory.
        snerr / with_snerr: bits 40..=43,
        /// Asynchronous errors on reads of Normal memory.
        anerr / with_anerr: bits 44..=47,
        /// Synchronous errors on reads of Device memory.
        sderr / with_sderr: bits 52..=55,
        /// Asynchronous errors on reads of Device memory.
        aderr / with_aderr: bits 56..=59,
        /// Speculation past a failed authentication: 1 none.
        spec_fpacc / with_spec_fpacc: bits 60..=63,
    }
}

bit_struct! {
    /// AArch64 Memory Model Feature Register 4.
    pub struct IdAa64Mmfr4El1("ID_AA64MMFR4_EL1") {
        /// Maintenance to the point of physical storage: 1 FEAT_PoPS.
        pops / with_pops: bits 0..=3,
        /// Early implicit error synchronization.
        eiesb / with_eiesb: bits 4..=7,
        /// Two ASIDs: 1 FEAT_ASID2.
        asid2 / with_asid2: bits 8..=11,
        /// Hardware cleaning of dirty state: 1 FEAT_HACDBS.
        hacdbs / with_hacdbs: bits 12..=15,
        /// Fine-grained write traps to EL3: 1 FEAT_FGWTE3.
        fgwte3 / with_fgwte3: bits 16..=19,
        /// Nested virtualization, further: 0 FEAT_NV and FEAT_NV2, 1 FEAT_NV2 only, 2 FEAT_NV2p1.
        nv_frac / with_nv_frac: bits 20..=23,
        /// HCR_EL2.E2H can be 0: 0 yes, -1 no (RES1), -2 no and NV1 neither.
        e2h0 / with_e2h0: signed 24..=27,
        /// Granular data isolation: 1 FEAT_RME_GDI.
        rmegdi / with_rmegdi: bits 28..=31,
        /// Delegated SError by EL3: 1 FEAT_E3DSE.
        e3dse / with_e3dse: bits 36..=39,
        /// Bitwise write masks of system registers: 1 FEAT_SRMASK.
        srmask / with_srmask: bits 44..=47,
    }
}
