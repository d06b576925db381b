// SPDX-License-Identifier: GPL-2.0

//! Which registers of the table a VM has.

use crate::{
    register::{
        Feature,
        FeatureSet, //
    },
    vm_idreg::features::{
        VmFeature,
        VmFeatures, //
    },
};

impl VmFeatures {
    /// Returns the features that registers come with.
    pub const fn registers(self) -> FeatureSet {
        FeatureSet::BASE
            .with(Feature::ECV, self.contains(VmFeature::Ecv))
            .with(Feature::AARCH32_EL1, self.contains(VmFeature::Aarch32El1))
            .with(Feature::SCTLR2, self.contains(VmFeature::Sctlr2))
            .with(Feature::TCR2, self.contains(VmFeature::Tcr2))
            .with(Feature::S1PIE, self.contains(VmFeature::S1pie))
            .with(Feature::S1POE, self.contains(VmFeature::S1poe))
            .with(
                Feature::PAUTH_ADDRESS,
                self.contains(VmFeature::PAuthAddress),
            )
            .with(
                Feature::PAUTH_GENERIC,
                self.contains(VmFeature::PAuthGeneric),
            )
            .with(Feature::RAS, self.contains(VmFeature::Ras))
            .with(Feature::RAS1P1, self.contains(VmFeature::RasV1p1))
            .with(Feature::SCXTNUM, self.contains(VmFeature::Scxtnum))
            .with(Feature::LOR, self.contains(VmFeature::Lor))
            .with(Feature::LS64_ACCDATA, self.contains(VmFeature::Ls64AccData))
            .with(Feature::FPMR, self.contains(VmFeature::Fpmr))
            .with(Feature::SVE, self.contains(VmFeature::Sve))
            .with(Feature::SME, self.contains(VmFeature::Sme))
            .with(Feature::MTE, self.contains(VmFeature::Mte2))
            .with(Feature::PMU, self.contains(VmFeature::PmuV3))
    }
}
