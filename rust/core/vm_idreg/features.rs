// SPDX-License-Identifier: GPL-2.0

//! What a set of ID registers means: one bit for each feature that decides something.

use core::fmt;

use crate::{
    idreg::{
        IdAa64Dfr0El1,
        IdAa64Dfr1El1,
        IdAa64Isar0El1,
        IdAa64Isar1El1,
        IdAa64Isar2El1,
        IdAa64Mmfr0El1,
        IdAa64Mmfr1El1,
        IdAa64Mmfr2El1,
        IdAa64Mmfr3El1,
        IdAa64Mmfr4El1,
        IdAa64Pfr0El1,
        IdAa64Pfr1El1,
        IdAa64Pfr2El1, //
    },
    vm_idreg::view::IdView,
};

/// The ID registers by which features are told, read once.
struct Registers {
    pfr0: IdAa64Pfr0El1,
    pfr1: IdAa64Pfr1El1,
    pfr2: IdAa64Pfr2El1,
    dfr0: IdAa64Dfr0El1,
    dfr1: IdAa64Dfr1El1,
    isar0: IdAa64Isar0El1,
    isar1: IdAa64Isar1El1,
    isar2: IdAa64Isar2El1,
    mmfr0: IdAa64Mmfr0El1,
    mmfr1: IdAa64Mmfr1El1,
    mmfr2: IdAa64Mmfr2El1,
    mmfr3: IdAa64Mmfr3El1,
    mmfr4: IdAa64Mmfr4El1,
}

/// The value of ID_AA64ISAR1_EL1.APA and API and ID_AA64ISAR2_EL1.APA3 that means FEAT_PAuth_LR.
const PAUTH_LR: u64 = 6;

/// Declares [`VmFeature`] and how each is told from the registers.
macro_rules! features {
    ($($(#[$meta:meta])* $variant:ident = |$id:ident| $present:expr;)*) => {
        /// A feature of the architecture that gates registers or decides about traps.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum VmFeature {
            $($(#[$meta])* $variant,)*
        }

        impl VmFeature {
            /// All features.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Whether the ID registers say that the feature is there.
            fn is_in(self, registers: &Registers) -> bool {
                match self {
                    $(Self::$variant => {
                        let $id = registers;
                        $present
                    })*
                }
            }
        }
    };
}

features! {
    /// AArch32 at EL0.
    Aarch32El0 = |id| id.pfr0.el0_aarch32();
    /// AArch32 at EL1.
    Aarch32El1 = |id| id.pfr0.el1_aarch32();
    /// FEAT_AIE: MAIR2_EL1 and AMAIR2_EL1.
    Aie = |id| id.mmfr3.aie() >= 1;
    /// FEAT_AMUv1: activity monitors.
    Amu = |id| id.pfr0.amu() >= 1;
    /// FEAT_ATS1A: AT S1E1A.
    Ats1a = |id| id.isar2.ats1a() >= 1;
    /// FEAT_BRBE: branch records.
    Brbe = |id| id.dfr0.brbe() >= 1;
    /// FEAT_BTI: branch targets.
    Bti = |id| id.pfr1.bt() >= 1;
    /// FEAT_CMOW: cache maintenance needs write permission.
    Cmow = |id| id.mmfr1.cmow() >= 1;
    /// FEAT_CSV2_2 or FEAT_CSV2_1p2: SCXTNUM_EL0 and SCXTNUM_EL1.
    Scxtnum = |id| id.pfr0.csv2() >= 2 || (id.pfr0.csv2() == 1 && id.pfr1.csv2_frac() >= 2);
    /// FEAT_D128: 128-bit descriptors.
    D128 = |id| id.mmfr3.d128() >= 1;
    /// FEAT_Debugv8p9: MDSELR_EL1.
    Debugv8p9 = |id| id.dfr0.debugver() >= 11;
    /// FEAT_DoubleFault2: masking of external aborts.
    DoubleFault2 = |id| id.pfr1.df2() >= 1;
    /// FEAT_DoubleLock: OSDLR_EL1 does something.
    DoubleLock = |id| id.dfr0.doublelock() >= 0;
    /// FEAT_DPB2: DC CVADP.
    Dpb2 = |id| id.isar1.dpb() >= 2;
    /// FEAT_DIT: data-independent timing.
    Dit = |id| id.pfr0.dit() >= 1;
    /// FEAT_UAO: user access override.
    Uao = |id| id.mmfr2.uao() >= 1;
    /// FEAT_E0PD.
    E0pd = |id| id.mmfr2.e0pd() >= 1;
    /// FEAT_ECV: CNTPCTSS_EL0 and CNTVCTSS_EL0.
    Ecv = |id| id.mmfr0.ecv() >= 1;
    /// FEAT_ECV_POFF: CNTPOFF_EL2.
    EcvPoff = |id| id.mmfr0.ecv() >= 2;
    /// FEAT_EVT without the traps of TLB maintenance: HCR_EL2.TID4, TICAB and TOCU.
    Evt = |id| id.mmfr2.evt() >= 1;
    /// FEAT_EVT with HCR_EL2.TTLBIS and TTLBOS.
    EvtTtlb = |id| id.mmfr2.evt() >= 2;
    /// FEAT_FGT: fine-grained traps.
    Fgt = |id| id.mmfr0.fgt() >= 1;
    /// FEAT_FGT2: more fine-grained traps.
    Fgt2 = |id| id.mmfr0.fgt() >= 2;
    /// FEAT_FPMR: FPMR.
    Fpmr = |id| id.pfr2.fpmr() >= 1;
    /// FEAT_S2FWB: stage 2 decides cacheability alone.
    Fwb = |id| id.mmfr2.fwb() >= 1;
    /// FEAT_GCS: guarded control stack.
    Gcs = |id| id.pfr1.gcs() >= 1;
    /// System registers of the GIC CPU interface.
    Gic = |id| id.pfr0.has_gic_sysregs();
    /// FEAT_HCX: HCRX_EL2.
    Hcx = |id| id.mmfr1.hcx() >= 1;
    /// FEAT_HPDS: hierarchical permission disable.
    Hpds = |id| id.mmfr1.hpds() >= 1;
    /// FEAT_IDST: a read of an ID register that is not there reports EC 0x18.
    Idst = |id| id.mmfr2.has_idst();
    /// FEAT_LOR: limited ordering regions.
    Lor = |id| id.mmfr1.lo() >= 1;
    /// FEAT_LS64: LD64B and ST64B.
    Ls64 = |id| id.isar1.ls64() >= 1;
    /// FEAT_LS64_V: ST64BV.
    Ls64V = |id| id.isar1.ls64() >= 2;
    /// FEAT_LS64_ACCDATA: ST64BV0 and ACCDATA_EL1.
    Ls64AccData = |id| id.isar1.ls64() >= 3;
    /// FEAT_MOPS: memory copy and set.
    Mops = |id| id.isar2.mops() >= 1;
    /// FEAT_MPAM, of either major version.
    Mpam = |id| id.pfr0.mpam() >= 1 || id.pfr1.mpam_frac() >= 1;
    /// FEAT_MTE: the instructions.
    Mte = |id| id.pfr1.mte() >= 1;
    /// FEAT_MTE2: the registers, and tags in memory.
    Mte2 = |id| id.pfr1.mte() >= 2;
    /// FEAT_NMI: ALLINT.
    Nmi = |id| id.pfr1.nmi() >= 1;
    /// FEAT_PAN: PSTATE.PAN.
    Pan = |id| id.mmfr1.pan() >= 1;
    /// FEAT_PAN2: AT S1E1RP and AT S1E1WP.
    Pan2 = |id| id.mmfr1.pan() >= 2;
    /// Authentication of addresses, by any algorithm.
    PAuthAddress = |id| id.isar1.apa() >= 1 || id.isar1.api() >= 1 || id.isar2.apa3() >= 1;
    /// Generic authentication, by any algorithm.
    PAuthGeneric = |id| id.isar1.gpa() >= 1 || id.isar1.gpi() >= 1 || id.isar2.gpa3() >= 1;
    /// FEAT_PAuth_LR: authentication with the PC.
    PAuthLr = |id| {
        id.isar1.apa() >= PAUTH_LR || id.isar1.api() >= PAUTH_LR || id.isar2.apa3() >= PAUTH_LR
    };
    /// FEAT_PFAR: PFAR_EL1.
    Pfar = |id| id.pfr1.pfar() >= 1;
    /// FEAT_PMUv3: performance monitors.
    PmuV3 = |id| id.dfr0.has_pmuv3();
    /// FEAT_PMUv3_ICNTR: PMICNTR_EL0.
    PmuIcntr = |id| id.dfr1.pmicntr() >= 1;
    /// FEAT_RAS: ERR* registers.
    Ras = |id| id.pfr0.ras() >= 1;
    /// FEAT_RASv1p1: fault injection registers, ERXMISC2_EL1 and ERXMISC3_EL1.
    RasV1p1 = |id| id.pfr0.ras() >= 2 || (id.pfr0.ras() == 1 && id.pfr1.ras_frac() >= 1);
    /// FEAT_RASv2: ERXGSR_EL1.
    RasV2 = |id| id.pfr0.ras() >= 3;
    /// FEAT_RNG: RNDR and RNDRRS.
    Rng = |id| id.isar0.rndr() >= 1;
    /// FEAT_S1PIE: PIR_EL1 and PIRE0_EL1.
    S1pie = |id| id.mmfr3.s1pie() >= 1;
    /// FEAT_S1POE: POR_EL0 and POR_EL1.
    S1poe = |id| id.mmfr3.s1poe() >= 1;
    /// FEAT_SCTLR2: SCTLR2_EL1.
    Sctlr2 = |id| id.mmfr3.sctlrx() >= 1;
    /// FEAT_SME: streaming mode and its registers.
    Sme = |id| id.pfr1.sme() >= 1;
    /// FEAT_SPE: statistical profiling.
    Spe = |id| id.dfr0.pmsver() >= 1;
    /// FEAT_SPEv1p5: PSB CSYNC can be trapped.
    SpeV1p5 = |id| id.dfr0.pmsver() >= 5;
    /// FEAT_SPECRES: CFP, DVP and CPP RCTX.
    Specres = |id| id.isar1.specres() >= 1;
    /// FEAT_SPECRES2: COSP RCTX.
    Specres2 = |id| id.isar1.specres() >= 2;
    /// FEAT_SPMU: system PMU.
    Spmu = |id| id.dfr1.spmu() >= 1;
    /// FEAT_SRMASK: write masks of system registers.
    Srmask = |id| id.mmfr4.srmask() >= 1;
    /// PSTATE.SSBS.
    Ssbs = |id| id.pfr1.ssbs() >= 1;
    /// FEAT_SVE: scalable vectors.
    Sve = |id| id.pfr0.sve() >= 1;
    /// FEAT_TCR2: TCR2_EL1.
    Tcr2 = |id| id.mmfr3.tcrx() >= 1;
    /// FEAT_THE: RCWMASK_EL1 and RCWSMASK_EL1.
    The = |id| id.pfr1.the() >= 1;
    /// FEAT_TLBIOS: TLB maintenance in the Outer Shareable domain.
    TlbiOs = |id| id.isar0.tlb() >= 1;
    /// FEAT_TLBIRANGE: TLB maintenance by range.
    TlbiRange = |id| id.isar0.tlb() >= 2;
    /// FEAT_TRBE: trace buffer.
    Trbe = |id| id.dfr0.tracebuffer() >= 1;
    /// FEAT_TRBEv1p1: TSB CSYNC can be trapped.
    TrbeV1p1 = |id| id.dfr0.tracebuffer() >= 2;
    /// FEAT_TRC_SR: system registers of the trace unit.
    TraceSysRegs = |id| id.dfr0.tracever() >= 1;
    /// FEAT_TRF: self-hosted trace.
    Trf = |id| id.dfr0.tracefilt() >= 1;
    /// FEAT_WFxT: WFIT and WFET.
    Wfxt = |id| id.isar2.wfxt() >= 2;
    /// FEAT_PoPS: DC CIVAPS and DC CIGDVAPS.
    Pops = |id| id.mmfr4.pops() >= 1;
    /// FEAT_XS: TLB maintenance with nXS.
    Xs = |id| id.isar1.xs() >= 1;
}

/// A set of [`VmFeature`]s.
///
/// For a VM it is what its final ID registers say, computed once, when the VM first runs.
#[derive(Copy, Clone, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct VmFeatures([u64; 2]);

// Every feature has a bit.
const _: () = assert!(VmFeature::ALL.len() <= 2 * u64::BITS as usize);

impl VmFeatures {
    /// The set without features.
    pub const EMPTY: Self = Self([0; 2]);

    /// Returns the features that a VM's ID registers promise, or that the host's do.
    pub fn of(view: &impl IdView) -> Self {
        let registers = Registers {
            pfr0: view.reg(),
            pfr1: view.reg(),
            pfr2: view.reg(),
            dfr0: view.reg(),
            dfr1: view.reg(),
            isar0: view.reg(),
            isar1: view.reg(),
            isar2: view.reg(),
            mmfr0: view.reg(),
            mmfr1: view.reg(),
            mmfr2: view.reg(),
            mmfr3: view.reg(),
            mmfr4: view.reg(),
        };
        VmFeature::ALL.iter().fold(Self::EMPTY, |set, feature| {
            set.with(*feature, feature.is_in(&registers))
        })
    }

    /// Returns the set with `feature` in it if `present`, and as it was otherwise.
    #[inline]
    #[must_use]
    pub const fn with(self, feature: VmFeature, present: bool) -> Self {
        let Self(mut words) = self;
        let (word, bit) = Self::place(feature);
        words[word] |= (present as u64) << bit;
        Self(words)
    }

    /// Whether `feature` is in the set.
    #[inline]
    pub const fn contains(self, feature: VmFeature) -> bool {
        let (word, bit) = Self::place(feature);
        (self.0[word] >> bit) & 1 != 0
    }

    /// Returns the word and the bit of `feature`: constants, where it is one.
    #[inline]
    const fn place(feature: VmFeature) -> (usize, u32) {
        let number = feature as u32;
        ((number / u64::BITS % 2) as usize, number % u64::BITS)
    }

    /// Returns the features in the set, in the order of [`VmFeature::ALL`].
    pub fn iter(self) -> impl Iterator<Item = VmFeature> {
        VmFeature::ALL
            .iter()
            .copied()
            .filter(move |feature| self.contains(*feature))
    }
}

impl fmt::Debug for VmFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
