// SPDX-License-Identifier: GPL-2.0

//! The ID registers of one CPU.

use crate::{
    cpu::features::{
        Feature,
        FeatureSet, //
    },
    granule::Granule,
    idreg::{
        CtrEl0,
        GranuleSupport,
        IccSreEl2,
        IchVtrEl2,
        IdAa64Dfr0El1,
        IdAa64Dfr1El1,
        IdAa64Isar0El1,
        IdAa64Isar1El1,
        IdAa64Isar2El1,
        IdAa64Isar3El1,
        IdAa64Mmfr0El1,
        IdAa64Mmfr1El1,
        IdAa64Mmfr2El1,
        IdAa64Mmfr3El1,
        IdAa64Mmfr4El1,
        IdAa64Pfr0El1,
        IdAa64Pfr1El1,
        IdAa64Pfr2El1,
        IdAa64Smfr0El1,
        IdAa64Zfr0El1, //
    },
    ipa::IpaBits,
    sysreg::SysReg, //
};

/// Reads system registers of the CPU that the caller runs on and stays on.
pub trait ReadIdRegister {
    /// Returns the value of `reg`.
    ///
    /// [`CpuFeatures::read`] asks for feature ID registers and CTR_EL0 at any Exception level, and
    /// for ICC_SRE_EL2 and ICH_VTR_EL2 where these are accessible; for nothing else.
    fn read(&self, reg: SysReg) -> u64;
}

/// What the hypervisor knows of one CPU.
///
/// The default is a CPU whose ID registers all read as zero.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct CpuFeatures {
    /// ID_AA64PFR0_EL1.
    pub pfr0: IdAa64Pfr0El1,
    /// ID_AA64PFR1_EL1.
    pub pfr1: IdAa64Pfr1El1,
    /// ID_AA64PFR2_EL1.
    pub pfr2: IdAa64Pfr2El1,
    /// ID_AA64ZFR0_EL1.
    pub zfr0: IdAa64Zfr0El1,
    /// ID_AA64SMFR0_EL1.
    pub smfr0: IdAa64Smfr0El1,
    /// ID_AA64DFR0_EL1.
    pub dfr0: IdAa64Dfr0El1,
    /// ID_AA64DFR1_EL1.
    pub dfr1: IdAa64Dfr1El1,
    /// ID_AA64ISAR0_EL1.
    pub isar0: IdAa64Isar0El1,
    /// ID_AA64ISAR1_EL1.
    pub isar1: IdAa64Isar1El1,
    /// ID_AA64ISAR2_EL1.
    pub isar2: IdAa64Isar2El1,
    /// ID_AA64ISAR3_EL1.
    pub isar3: IdAa64Isar3El1,
    /// ID_AA64MMFR0_EL1.
    pub mmfr0: IdAa64Mmfr0El1,
    /// ID_AA64MMFR1_EL1.
    pub mmfr1: IdAa64Mmfr1El1,
    /// ID_AA64MMFR2_EL1.
    pub mmfr2: IdAa64Mmfr2El1,
    /// ID_AA64MMFR3_EL1.
    pub mmfr3: IdAa64Mmfr3El1,
    /// ID_AA64MMFR4_EL1.
    pub mmfr4: IdAa64Mmfr4El1,
    /// CTR_EL0.
    pub ctr: CtrEl0,
    /// ICC_SRE_EL2; zero if it was not accessible.
    pub sre: IccSreEl2,
    /// ICH_VTR_EL2; [`None`] if it was not accessible.
    pub vtr: Option<IchVtrEl2>,
}

impl CpuFeatures {
    /// Reads the registers of the current CPU, which runs at Exception level `current_el`.
    ///
    /// ICC_SRE_EL2 is read only at EL2 and only if the CPU has the GIC's system registers, and
    /// ICH_VTR_EL2 only if ICC_SRE_EL2 says that these are in use: otherwise the read itself would
    /// be UNDEFINED.
    pub fn read(source: &impl ReadIdRegister, current_el: u8) -> Self {
        let mut cpu = Self {
            pfr0: IdAa64Pfr0El1::from_raw(source.read(SysReg::ID_AA64PFR0_EL1)),
            pfr1: IdAa64Pfr1El1::from_raw(source.read(SysReg::ID_AA64PFR1_EL1)),
            pfr2: IdAa64Pfr2El1::from_raw(source.read(SysReg::ID_AA64PFR2_EL1)),
            zfr0: IdAa64Zfr0El1::from_raw(source.read(SysReg::ID_AA64ZFR0_EL1)),
            smfr0: IdAa64Smfr0El1::from_raw(source.read(SysReg::ID_AA64SMFR0_EL1)),
            dfr0: IdAa64Dfr0El1::from_raw(source.read(SysReg::ID_AA64DFR0_EL1)),
            dfr1: IdAa64Dfr1El1::from_raw(source.read(SysReg::ID_AA64DFR1_EL1)),
            isar0: IdAa64Isar0El1::from_raw(source.read(SysReg::ID_AA64ISAR0_EL1)),
            isar1: IdAa64Isar1El1::from_raw(source.read(SysReg::ID_AA64ISAR1_EL1)),
            isar2: IdAa64Isar2El1::from_raw(source.read(SysReg::ID_AA64ISAR2_EL1)),
            isar3: IdAa64Isar3El1::from_raw(source.read(SysReg::ID_AA64ISAR3_EL1)),
            mmfr0: IdAa64Mmfr0El1::from_raw(source.read(SysReg::ID_AA64MMFR0_EL1)),
            mmfr1: IdAa64Mmfr1El1::from_raw(source.read(SysReg::ID_AA64MMFR1_EL1)),
            mmfr2: IdAa64Mmfr2El1::from_raw(source.read(SysReg::ID_AA64MMFR2_EL1)),
            mmfr3: IdAa64Mmfr3El1::from_raw(source.read(SysReg::ID_AA64MMFR3_EL1)),
            mmfr4: IdAa64Mmfr4El1::from_raw(source.read(SysReg::ID_AA64MMFR4_EL1)),
            ctr: CtrEl0::from_raw(source.read(SysReg::CTR_EL0)),
            sre: IccSreEl2::from_raw(0),
            vtr: None,
        };
        if current_el == 2 && cpu.pfr0.has_gic_sysregs() {
            cpu.sre = IccSreEl2::from_raw(source.read(SysReg::ICC_SRE_EL2));
            if cpu.sre.sre() {
                cpu.vtr = Some(IchVtrEl2::from_raw(source.read(SysReg::ICH_VTR_EL2)));
            }
        }
        cpu
    }

    /// Whether the CPU authenticates addresses, by any of the three algorithms.
    #[inline]
    pub const fn has_address_auth(&self) -> bool {
        self.isar1.apa().get() != 0 || self.isar1.api().get() != 0 || self.isar2.apa3().get() != 0
    }

    /// Returns the largest IPA size that stage 2 can translate with `granule`.
    ///
    /// That is the CPU's physical address size, but 48 bits at most if the granule lacks FEAT_LPA2
    /// (64 KiB needs none), and 52 in any case. A physical address size that the architecture has
    /// not allocated counts as 48 bits.
    pub fn ipa_limit(&self, granule: Granule) -> IpaBits {
        let reachable = match (granule, self.mmfr0.stage2_granule(granule)) {
            (Granule::K64, _) | (_, GranuleSupport::Lpa2) => IpaBits::MAX.get(),
            _ => 48,
        };
        let bits = self.mmfr0.pa_bits().unwrap_or(48).min(reachable);
        IpaBits::new(bits).unwrap_or(IpaBits::MIN)
    }

    /// Returns the features that the hypervisor makes decisions by, for stage 2 with `granule`.
    pub fn features(&self, granule: Granule) -> FeatureSet {
        FeatureSet::EMPTY
            .with(Feature::Fgt, self.mmfr0.fgt() >= 1)
            .with(Feature::Fgt2, self.mmfr0.fgt() >= 2)
            .with(Feature::Hcx, self.mmfr1.hcx() >= 1)
            .with(Feature::Tcr2, self.mmfr3.tcrx() >= 1)
            .with(Feature::Sctlr2, self.mmfr3.sctlrx() >= 1)
            .with(Feature::S1pie, self.mmfr3.s1pie() >= 1)
            .with(Feature::S1poe, self.mmfr3.s1poe() >= 1)
            .with(Feature::Sve, self.pfr0.sve() >= 1)
            .with(Feature::Sme, self.pfr1.sme() >= 1)
            .with(Feature::PAuth, self.has_address_auth())
            .with(Feature::Mte2, self.pfr1.mte() >= 2)
            .with(Feature::Ras, self.pfr0.ras() >= 1)
            .with(Feature::PmuV3, self.dfr0.has_pmuv3())
            .with(Feature::Fwb, self.mmfr2.fwb() >= 1)
            .with(Feature::Xnx, self.mmfr1.xnx() >= 1)
            .with(Feature::Hafdbs, self.mmfr1.hafdbs() >= 2)
            .with(Feature::Bbm2, self.mmfr2.bbm() >= 2)
            .with(Feature::Ttl, self.mmfr2.ttl() >= 1)
            .with(Feature::TlbiRange, self.isar0.tlb() >= 2)
            .with(Feature::Evt, self.mmfr2.evt() >= 1)
            .with(Feature::Ecv, self.mmfr0.ecv() >= 1)
            .with(Feature::Wfxt, self.isar2.wfxt() >= 2)
            .with(
                Feature::Lpa2,
                self.mmfr0.stage2_granule(granule) == GranuleSupport::Lpa2,
            )
            .with(Feature::Aarch32, self.pfr0.el1_aarch32())
    }
}
