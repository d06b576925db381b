// SPDX-License-Identifier: GPL-2.0

//! Instruction set attribute registers.
//!
//! Source: Arm ARM, the pages of ID_AA64ISAR0_EL1 to ID_AA64ISAR3_EL1.

use crate::bit_struct;

bit_struct! {
    /// AArch64 Instruction Set Attribute Register 0.
    pub struct IdAa64Isar0El1("ID_AA64ISAR0_EL1") {
        /// AES: 1 FEAT_AES, 2 FEAT_PMULL.
        aes / with_aes: bits 4..=7,
        /// SHA1: 1 FEAT_SHA1.
        sha1 / with_sha1: bits 8..=11,
        /// SHA2: 1 FEAT_SHA256, 2 FEAT_SHA512.
        sha2 / with_sha2: bits 12..=15,
        /// CRC32: 1 FEAT_CRC32.
        crc32 / with_crc32: bits 16..=19,
        /// Atomics: 2 FEAT_LSE, 3 FEAT_LSE128.
        atomic / with_atomic: bits 20..=23,
        /// Rounding double multiply: 1 FEAT_RDM.
        rdm / with_rdm: bits 28..=31,
        /// SHA3: 1 FEAT_SHA3.
        sha3 / with_sha3: bits 32..=35,
        /// SM3: 1 FEAT_SM3.
        sm3 / with_sm3: bits 36..=39,
        /// SM4: 1 FEAT_SM4.
        sm4 / with_sm4: bits 40..=43,
        /// Dot product: 1 FEAT_DotProd.
        dp / with_dp: bits 44..=47,
        /// Half precision multiply to single: 1 FEAT_FHM.
        fhm / with_fhm: bits 48..=51,
        /// Flag manipulation: 1 FEAT_FlagM, 2 FEAT_FlagM2.
        ts / with_ts: bits 52..=55,
        /// TLB maintenance: 1 outer shareable (FEAT_TLBIOS), 2 also by range (FEAT_TLBIRANGE).
        tlb / with_tlb: bits 56..=59,
        /// Random numbers: 1 FEAT_RNG.
        rndr / with_rndr: bits 60..=63,
    }
}

bit_struct! {
    /// AArch64 Instruction Set Attribute Register 1.
    pub struct IdAa64Isar1El1("ID_AA64ISAR1_EL1") {
        /// Clean to persistence: 1 FEAT_DPB, 2 FEAT_DPB2.
        dpb / with_dpb: bits 0..=3,
        /// Address authentication by QARMA5: 0 none, 1 to 6 the version.
        apa / with_apa: bits 4..=7,
        /// Address authentication, implementation defined algorithm: 0 none, 1 to 6 the version.
        api / with_api: bits 8..=11,
        /// JavaScript conversion: 1 FEAT_JSCVT.
        jscvt / with_jscvt: bits 12..=15,
        /// Complex numbers: 1 FEAT_FCMA.
        fcma / with_fcma: bits 16..=19,
        /// Release consistency: 1 FEAT_LRCPC, 2 and 3 its successors.
        lrcpc / with_lrcpc: bits 20..=23,
        /// Generic authentication by QARMA5: 1.
        gpa / with_gpa: bits 24..=27,
        /// Generic authentication, implementation defined algorithm: 1.
        gpi / with_gpi: bits 28..=31,
        /// Rounding to integer: 1 FEAT_FRINTTS.
        frintts / with_frintts: bits 32..=35,
        /// Speculation barrier: 1 FEAT_SB.
        sb / with_sb: bits 36..=39,
        /// Prediction invalidation: 1 FEAT_SPECRES, 2 FEAT_SPECRES2.
        specres / with_specres: bits 40..=43,
        /// BFloat16: 1 FEAT_BF16, 2 FEAT_EBF16.
        bf16 / with_bf16: bits 44..=47,
        /// Data gathering hint: 1 FEAT_DGH.
        dgh / with_dgh: bits 48..=51,
        /// Int8 matrix multiply: 1 FEAT_I8MM.
        i8mm / with_i8mm: bits 52..=55,
        /// XS attribute and nXS maintenance: 1 FEAT_XS.
        xs / with_xs: bits 56..=59,
        /// 64-byte accesses: 1 FEAT_LS64, 2 to 4 its successors.
        ls64 / with_ls64: bits 60..=63,
    }
}

bit_struct! {
    /// AArch64 Instruction Set Attribute Register 2.
    pub struct IdAa64Isar2El1("ID_AA64ISAR2_EL1") {
        /// WFIT and WFET: 2 FEAT_WFxT.
        wfxt / with_wfxt: bits 0..=3,
        /// Reciprocals of 12 bits: 1 FEAT_RPRES.
        rpres / with_rpres: bits 4..=7,
        /// Generic authentication by QARMA3: 1.
        gpa3 / with_gpa3: bits 8..=11,
        /// Address authentication by QARMA3: 0 none, 1 to 6 the version.
        apa3 / with_apa3: bits 12..=15,
        /// Memory copy and set: 1 FEAT_MOPS.
        mops / with_mops: bits 16..=19,
        /// Hinted conditional branch: 1 FEAT_HBC.
        bc / with_bc: bits 20..=23,
        /// Authentication of a constant size: 1 FEAT_CONSTPACFIELD.
        pac_frac / with_pac_frac: bits 24..=27,
        /// Clear branch history: 1 FEAT_CLRBHB.
        clrbhb / with_clrbhb: bits 28..=31,
        /// 128-bit system registers: 1 FEAT_SYSREG128.
        sysreg_128 / with_sysreg_128: bits 32..=35,
        /// 128-bit system instructions: 1 FEAT_SYSINSTR128.
        sysinstr_128 / with_sysinstr_128: bits 36..=39,
        /// Prefetch to the system level cache: 1 FEAT_PRFMSLC.
        prfmslc / with_prfmslc: bits 40..=43,
        /// Producer-consumer hints: 1 FEAT_PCDPHINT.
        pcdphint / with_pcdphint: bits 44..=47,
        /// Range prefetch: 1 FEAT_RPRFM.
        rprfm / with_rprfm: bits 48..=51,
        /// Common short sequences: 1 FEAT_CSSC, 2 FEAT_CMPBR.
        cssc / with_cssc: bits 52..=55,
        /// Lookup tables: 1 FEAT_LUT.
        lut / with_lut: bits 56..=59,
        /// Translation without permission check: 1 FEAT_ATS1A.
        ats1a / with_ats1a: bits 60..=63,
    }
}

bit_struct! {
    /// AArch64 Instruction Set Attribute Register 3.
    pub struct IdAa64Isar3El1("ID_AA64ISAR3_EL1") {
        /// Checked pointer arithmetic: 1 FEAT_CPA, 2 FEAT_CPA2.
        cpa / with_cpa: bits 0..=3,
        /// Maximum and minimum of absolute values: 1 FEAT_FAMINMAX.
        faminmax / with_faminmax: bits 4..=7,
        /// TLB maintenance of dirty state: 1 FEAT_TLBIW.
        tlbiw / with_tlbiw: bits 8..=11,
        /// Authentication with PC: 1 or 2 FEAT_PAuth_LR's PACM.
        pacm / with_pacm: bits 12..=15,
        /// Floating-point atomics: 1 FEAT_LSFE.
        lsfe / with_lsfe: bits 16..=19,
        /// Maintenance to the outer cache: 1 FEAT_OCCMO.
        occmo / with_occmo: bits 20..=23,
        /// Unprivileged atomics: 1 FEAT_LSUI.
        lsui / with_lsui: bits 24..=27,
        /// Conversions between registers of different size: 1 FEAT_FPRCVT.
        fprcvt / with_fprcvt: bits 28..=31,
    }
}
