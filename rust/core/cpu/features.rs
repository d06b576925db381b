// SPDX-License-Identifier: GPL-2.0

//! Named features, for decisions and for the log.

use core::fmt;

/// Declares [`Feature`] and the names.
macro_rules! features {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)*) => {
        /// A feature of the CPU that changes what the hypervisor does or a VM can have.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Feature {
            $($(#[$meta])* $variant,)*
        }

        impl Feature {
            /// All features, in the order in which they are printed.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name, as the log has it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

features! {
    /// FEAT_FGT: fine-grained traps.
    Fgt = "FGT",
    /// FEAT_FGT2: more fine-grained traps.
    Fgt2 = "FGT2",
    /// FEAT_HCX: HCRX_EL2.
    Hcx = "HCX",
    /// FEAT_TCR2: TCR2_EL1.
    Tcr2 = "TCR2",
    /// FEAT_SCTLR2: SCTLR2_EL1.
    Sctlr2 = "SCTLR2",
    /// FEAT_S1PIE: stage 1 permission indirection.
    S1pie = "S1PIE",
    /// FEAT_S1POE: stage 1 permission overlays.
    S1poe = "S1POE",
    /// FEAT_SVE: scalable vectors.
    Sve = "SVE",
    /// FEAT_SME: scalable matrices.
    Sme = "SME",
    /// FEAT_PAuth: address authentication, by any algorithm.
    PAuth = "PAuth",
    /// FEAT_MTE2: memory tagging with checks.
    Mte2 = "MTE2",
    /// FEAT_RAS: error records and error synchronization.
    Ras = "RAS",
    /// FEAT_PMUv3: performance monitors.
    PmuV3 = "PMUv3",
    /// FEAT_S2FWB: stage 2 decides cacheability alone.
    Fwb = "FWB",
    /// FEAT_XNX: stage 2 execute permission by Exception level.
    Xnx = "XNX",
    /// FEAT_HAFDBS: hardware updates of the access flag and of dirty state.
    Hafdbs = "HAFDBS",
    /// FEAT_BBM level 2: changing the block size without break-before-make.
    Bbm2 = "BBM2",
    /// FEAT_TTL: level hints of TLB maintenance.
    Ttl = "TTL",
    /// FEAT_TLBIRANGE: TLB maintenance by range.
    TlbiRange = "TLBIRANGE",
    /// FEAT_EVT: separate traps of cache and TLB maintenance.
    Evt = "EVT",
    /// FEAT_ECV: enhanced counter virtualization.
    Ecv = "ECV",
    /// FEAT_WFxT: WFIT and WFET.
    Wfxt = "WFxT",
    /// FEAT_LPA2 at stage 2, for the host's granule.
    Lpa2 = "LPA2",
    /// AArch32 at EL1: 32-bit VMs.
    Aarch32 = "AArch32",
}

/// A set of [`Feature`]s.
#[derive(Copy, Clone, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct FeatureSet(u64);

// Every feature has a bit.
const _: () = assert!(Feature::ALL.len() <= u64::BITS as usize);

impl FeatureSet {
    /// The set without features.
    pub const EMPTY: Self = Self(0);

    /// Returns the set with `feature` in it if `present`, and as it was otherwise.
    #[inline]
    #[must_use]
    pub const fn with(self, feature: Feature, present: bool) -> Self {
        Self(self.0 | ((present as u64) << feature as u32))
    }

    /// Whether `feature` is in the set.
    #[inline]
    pub const fn contains(self, feature: Feature) -> bool {
        (self.0 >> feature as u32) & 1 != 0
    }

    /// Returns the features in the set, in the order of [`Feature::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL
            .iter()
            .copied()
            .filter(move |feature| self.contains(*feature))
    }
}

/// Prints the names, separated by spaces; `-` for the empty set.
impl fmt::Display for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::EMPTY {
            return f.write_str("-");
        }
        let mut separator = "";
        for feature in self.iter() {
            f.write_str(separator)?;
            f.write_str(feature.name())?;
            separator = " ";
        }
        Ok(())
    }
}

impl fmt::Debug for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
