// SPDX-License-Identifier: GPL-2.0

//! Fine-grained traps of instructions.
//!
//! Source: Arm ARM, the pages of HFGITR_EL2 and HFGITR2_EL2.

use crate::fine_grained;

fine_grained! {
    /// Hypervisor Fine-Grained Instruction Trap Register.
    ///
    /// Exists with FEAT_FGT.
    pub struct HfgitrEl2("HFGITR_EL2") {
        /// PSB CSYNC.
        PSBCSYNC = 63;
        /// AT S1E1A.
        ATS1E1A = 62;
        /// COSP RCTX.
        COSPRCTX = 60;
        /// GCSPUSHX, GCSPOPCX and GCSPOPX.
        nGCSEPP = !59;
        /// GCSSTR and GCSSTTR at EL1.
        nGCSSTR_EL1 = !58;
        /// GCSPUSHM at EL1.
        nGCSPUSHM_EL1 = !57;
        /// BRB IALL.
        nBRBIALL = !56;
        /// BRB INJ.
        nBRBINJ = !55;
        /// DC CVAC, CGVAC and CGDVAC.
        DCCVAC = 54;
        /// SVC at EL1.
        SVC_EL1 = 53;
        /// SVC at EL0.
        SVC_EL0 = 52;
        /// ERET, ERETAA and ERETAB.
        ERET = 51;
        /// CPP RCTX.
        CPPRCTX = 50;
        /// DVP RCTX.
        DVPRCTX = 49;
        /// CFP RCTX.
        CFPRCTX = 48;
        /// TLBI VAALE1 and its nXS variant.
        TLBIVAALE1 = 47;
        /// TLBI VALE1 and its nXS variant.
        TLBIVALE1 = 46;
        /// TLBI VAAE1 and its nXS variant.
        TLBIVAAE1 = 45;
        /// TLBI ASIDE1 and its nXS variant.
        TLBIASIDE1 = 44;
        /// TLBI VAE1 and its nXS variant.
        TLBIVAE1 = 43;
        /// TLBI VMALLE1 and its nXS variant.
        TLBIVMALLE1 = 42;
        /// TLBI RVAALE1 and its nXS variant.
        TLBIRVAALE1 = 41;
        /// TLBI RVALE1 and its nXS variant.
        TLBIRVALE1 = 40;
        /// TLBI RVAAE1 and its nXS variant.
        TLBIRVAAE1 = 39;
        /// TLBI RVAE1 and its nXS variant.
        TLBIRVAE1 = 38;
        /// TLBI RVAALE1IS and its nXS variant.
        TLBIRVAALE1IS = 37;
        /// TLBI RVALE1IS and its nXS variant.
        TLBIRVALE1IS = 36;
        /// TLBI RVAAE1IS and its nXS variant.
        TLBIRVAAE1IS = 35;
        /// TLBI RVAE1IS and its nXS variant.
        TLBIRVAE1IS = 34;
        /// TLBI VAALE1IS and its nXS variant.
        TLBIVAALE1IS = 33;
        /// TLBI VALE1IS and its nXS variant.
        TLBIVALE1IS = 32;
        /// TLBI VAAE1IS and its nXS variant.
        TLBIVAAE1IS = 31;
        /// TLBI ASIDE1IS and its nXS variant.
        TLBIASIDE1IS = 30;
        /// TLBI VAE1IS and its nXS variant.
        TLBIVAE1IS = 29;
        /// TLBI VMALLE1IS and its nXS variant.
        TLBIVMALLE1IS = 28;
        /// TLBI RVAALE1OS and its nXS variant.
        TLBIRVAALE1OS = 27;
        /// TLBI RVALE1OS and its nXS variant.
        TLBIRVALE1OS = 26;
        /// TLBI RVAAE1OS and its nXS variant.
        TLBIRVAAE1OS = 25;
        /// TLBI RVAE1OS and its nXS variant.
        TLBIRVAE1OS = 24;
        /// TLBI VAALE1OS and its nXS variant.
        TLBIVAALE1OS = 23;
        /// TLBI VALE1OS and its nXS variant.
        TLBIVALE1OS = 22;
        /// TLBI VAAE1OS and its nXS variant.
        TLBIVAAE1OS = 21;
        /// TLBI ASIDE1OS and its nXS variant.
        TLBIASIDE1OS = 20;
        /// TLBI VAE1OS and its nXS variant.
        TLBIVAE1OS = 19;
        /// TLBI VMALLE1OS and its nXS variant.
        TLBIVMALLE1OS = 18;
        /// AT S1E1WP.
        ATS1E1WP = 17;
        /// AT S1E1RP.
        ATS1E1RP = 16;
        /// AT S1E0W.
        ATS1E0W = 15;
        /// AT S1E0R.
        ATS1E0R = 14;
        /// AT S1E1W.
        ATS1E1W = 13;
        /// AT S1E1R.
        ATS1E1R = 12;
        /// DC ZVA, GVA and GZVA.
        DCZVA = 11;
        /// DC CIVAC, CIGVAC and CIGDVAC.
        DCCIVAC = 10;
        /// DC CVADP, CGVADP and CGDVADP.
        DCCVADP = 9;
        /// DC CVAP, CGVAP and CGDVAP.
        DCCVAP = 8;
        /// DC CVAU.
        DCCVAU = 7;
        /// DC CISW, CIGSW and CIGDSW.
        DCCISW = 6;
        /// DC CSW, CGSW and CGDSW.
        DCCSW = 5;
        /// DC ISW, IGSW and IGDSW.
        DCISW = 4;
        /// DC IVAC, IGVAC and IGDVAC.
        DCIVAC = 3;
        /// IC IVAU.
        ICIVAU = 2;
        /// IC IALLU.
        ICIALLU = 1;
        /// IC IALLUIS.
        ICIALLUIS = 0;
    }
}

fine_grained! {
    /// Hypervisor Fine-Grained Instruction Trap Register 2.
    ///
    /// Exists with FEAT_FGT2.
    pub struct Hfgitr2El2("HFGITR2_EL2") {
        /// DC CIVAPS and CIGDVAPS.
        nDCCIVAPS = !1;
        /// TSB CSYNC.
        TSBCSYNC = 0;
    }
}
