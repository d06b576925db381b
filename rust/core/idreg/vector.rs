// SPDX-License-Identifier: GPL-2.0

//! Feature registers of the vector, matrix and 8-bit floating-point extensions.
//!
//! Source: Arm ARM, the pages of ID_AA64ZFR0_EL1, ID_AA64SMFR0_EL1 and ID_AA64FPFR0_EL1.

use crate::bit_struct;

bit_struct! {
    /// SVE Feature ID Register 0.
    pub struct IdAa64Zfr0El1("ID_AA64ZFR0_EL1") {
        /// SVE version: 0 SVE, 1 SVE2, 2 SVE2.1, 3 SVE2.2, 4 SVE2.3.
        svever / with_svever: bits 0..=3,
        /// AES: 1 FEAT_SVE_AES, 2 FEAT_SVE_PMULL128, 3 FEAT_SVE_AES2.
        aes / with_aes: bits 4..=7,
        /// Element permutations: 1 FEAT_SVE_ELTPERM.
        eltperm / with_eltperm: bits 12..=15,
        /// Bit permutations: 1 FEAT_SVE_BitPerm.
        bitperm / with_bitperm: bits 16..=19,
        /// BFloat16: 1 FEAT_BF16, 2 FEAT_EBF16.
        bf16 / with_bf16: bits 20..=23,
        /// BFloat16 to BFloat16: 1 FEAT_SVE_B16B16.
        b16b16 / with_b16b16: bits 24..=27,
        /// SHA3: 1 FEAT_SVE_SHA3.
        sha3 / with_sha3: bits 32..=35,
        /// SM4: 1 FEAT_SVE_SM4.
        sm4 / with_sm4: bits 40..=43,
        /// Int8 matrix multiply: 1 FEAT_I8MM.
        i8mm / with_i8mm: bits 44..=47,
        /// Half precision matrix multiply: 1 FEAT_SVE_F16F32MM.
        f16mm / with_f16mm: bits 48..=51,
        /// Single precision matrix multiply: 1 FEAT_F32MM.
        f32mm / with_f32mm: bits 52..=55,
        /// Double precision matrix multiply: 1 FEAT_F64MM.
        f64mm / with_f64mm: bits 56..=59,
    }
}

bit_struct! {
    /// SME Feature ID Register 0.
    pub struct IdAa64Smfr0El1("ID_AA64SMFR0_EL1") {
        /// Quarter-tile outer products.
        smop4 / with_smop4: flag 0,
        /// Structured sparsity outer products.
        stmop / with_stmop: flag 16,
        /// FEXPA in Streaming SVE mode.
        sfexpa / with_sfexpa: flag 23,
        /// AES in Streaming SVE mode.
        aes / with_aes: flag 24,
        /// Bit permutations in Streaming SVE mode.
        sbitperm / with_sbitperm: flag 25,
        /// 8-bit floating-point 2-way dot product in Streaming SVE mode.
        sf8dp2 / with_sf8dp2: flag 28,
        /// 8-bit floating-point 4-way dot product in Streaming SVE mode.
        sf8dp4 / with_sf8dp4: flag 29,
        /// 8-bit floating-point multiply-accumulate in Streaming SVE mode.
        sf8fma / with_sf8fma: flag 30,
        /// Single precision outer product.
        f32f32 / with_f32f32: flag 32,
        /// Binary outer product.
        bi32i32 / with_bi32i32: flag 33,
        /// BFloat16 to single precision outer product.
        b16f32 / with_b16f32: flag 34,
        /// Half to single precision outer product.
        f16f32 / with_f16f32: flag 35,
        /// Int8 to int32 outer product: 15 implemented.
        i8i32 / with_i8i32: bits 36..=39,
        /// 8-bit floating-point to single precision.
        f8f32 / with_f8f32: flag 40,
        /// 8-bit floating-point to half precision.
        f8f16 / with_f8f16: flag 41,
        /// Half precision outer product.
        f16f16 / with_f16f16: flag 42,
        /// BFloat16 outer product.
        b16b16 / with_b16b16: flag 43,
        /// Int16 to int32 outer product: 5 implemented.
        i16i32 / with_i16i32: bits 44..=47,
        /// Double precision outer product.
        f64f64 / with_f64f64: flag 48,
        /// Int16 to int64 outer product: 15 implemented.
        i16i64 / with_i16i64: bits 52..=55,
        /// SME version: 0 SME, 1 SME2, 2 SME2.1, 3 SME2.2, 4 SME2.3.
        smever / with_smever: bits 56..=59,
        /// Lookup tables, second version.
        lutv2 / with_lutv2: flag 60,
        /// Lookup tables of 6-bit indices.
        lut6 / with_lut6: flag 61,
        /// All of A64 in Streaming SVE mode.
        fa64 / with_fa64: flag 63,
    }
}

bit_struct! {
    /// Floating-point Feature ID Register 0.
    pub struct IdAa64Fpfr0El1("ID_AA64FPFR0_EL1") {
        /// Format E5M2.
        f8e5m2 / with_f8e5m2: flag 0,
        /// Format E4M3.
        f8e4m3 / with_f8e4m3: flag 1,
        /// Half precision matrix multiply: FEAT_F16MM.
        f16mm2 / with_f16mm2: flag 15,
        /// 8-bit matrix multiply to single precision: FEAT_F8F32MM.
        f8mm4 / with_f8mm4: flag 26,
        /// 8-bit matrix multiply to half precision: FEAT_F8F16MM.
        f8mm8 / with_f8mm8: flag 27,
        /// 2-way dot product: FEAT_FP8DOT2.
        f8dp2 / with_f8dp2: flag 28,
        /// 4-way dot product: FEAT_FP8DOT4.
        f8dp4 / with_f8dp4: flag 29,
        /// Multiply-accumulate: FEAT_FP8FMA.
        f8fma / with_f8fma: flag 30,
        /// Conversions: FEAT_FP8.
        f8cvt / with_f8cvt: flag 31,
    }
}
