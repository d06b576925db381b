// SPDX-License-Identifier: GPL-2.0

//! The features of a VM that registers come with.

/// Declares [`Feature`].
macro_rules! features {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// A feature of a VM that a register comes with.
        ///
        /// The names are those of the architecture's features, or of the parts that a VM is given.
        #[derive(Copy, Clone, PartialEq, Eq, Debug)]
        #[allow(non_camel_case_types)]
        #[repr(u8)]
        pub enum Feature {
            $($(#[$meta])* $name,)*
        }

        impl Feature {
            /// All features.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the name as the table has it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

features! {
    /// What every VM has.
    ALWAYS,
    /// FEAT_RAS of the CPUs, whether the VM shows it or not.
    HOST_RAS,
    /// The physical counter is the CPU's, so that the guest has the CPU's physical timer.
    PHYSICAL_TIMER,
    /// FEAT_ECV.
    ECV,
    /// AArch32 at EL1.
    AARCH32_EL1,
    /// FEAT_SCTLR2.
    SCTLR2,
    /// FEAT_TCR2.
    TCR2,
    /// FEAT_S1PIE.
    S1PIE,
    /// FEAT_S1POE.
    S1POE,
    /// FEAT_PAuth, addresses.
    PAUTH_ADDRESS,
    /// FEAT_PAuth, generic code.
    PAUTH_GENERIC,
    /// FEAT_RAS.
    RAS,
    /// FEAT_RASv1p1.
    RAS1P1,
    /// FEAT_LOR.
    LOR,
    /// FEAT_CSV2_2: SCXTNUM.
    SCXTNUM,
    /// FEAT_LS64_ACCDATA.
    LS64_ACCDATA,
    /// FEAT_FPMR.
    FPMR,
    /// FEAT_SVE.
    SVE,
    /// FEAT_SME.
    SME,
    /// FEAT_MTE2.
    MTE,
    /// FEAT_PMUv3.
    PMU,
}

/// A set of [`Feature`]s.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct FeatureSet(u64);

const _: () = assert!(Feature::ALL.len() <= u64::BITS as usize);

impl FeatureSet {
    /// The set without features: not even [`Feature::ALWAYS`].
    pub const EMPTY: Self = Self(0);

    /// What a VM has that is given nothing.
    pub const BASE: Self = Self::EMPTY.with(Feature::ALWAYS, true);

    /// Returns the set with `feature` in it if `present`, and as it was otherwise.
    #[inline]
    #[must_use]
    pub const fn with(self, feature: Feature, present: bool) -> Self {
        Self(self.0 | ((present as u64) << feature as u8))
    }

    /// Whether `feature` is in the set.
    #[inline(always)]
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u8) != 0
    }

    /// Returns the set as a number, a bit for each feature in the order of [`Feature::ALL`].
    #[inline]
    pub const fn into_raw(self) -> u64 {
        self.0
    }

    /// Returns the set that [`FeatureSet::into_raw`] gave.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw & (u64::MAX >> (64 - Feature::ALL.len())))
    }
}
