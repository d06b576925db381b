// SPDX-License-Identifier: GPL-2.0

//! Registers of fine-grained traps.
//!
//! Most of their bits trap when they are 1. Those whose name begins with `n` came later and trap
//! when they are 0, so that hypervisors that do not know them trap. Here a trap is on or off; which
//! bit value that is, is the register's business.

use core::{
    fmt,
    marker::PhantomData, //
};

/// A trap of the register `R`.
#[derive(PartialEq, Eq)]
pub struct FineTrap<R> {
    bit: u8,
    traps_if_clear: bool,
    register: PhantomData<R>,
}

impl<R> FineTrap<R> {
    /// Returns the trap that is on if bit `bit`, 0 to 63, is set, or, with `traps_if_clear`, if it is
    /// clear. For [`fine_grained!`](crate::fine_grained!) only.
    #[doc(hidden)]
    pub const fn new(bit: u8, traps_if_clear: bool) -> Self {
        assert!(bit < 64, "a register has 64 bits");
        Self {
            bit,
            traps_if_clear,
            register: PhantomData,
        }
    }

    /// Returns the bit as a mask.
    #[inline]
    pub const fn mask(self) -> u64 {
        1 << self.bit
    }

    /// Whether the trap is on if the bit is clear.
    #[inline]
    pub const fn traps_if_clear(self) -> bool {
        self.traps_if_clear
    }
}

impl<R> Copy for FineTrap<R> {}

impl<R> Clone for FineTrap<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> fmt::Debug for FineTrap<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.traps_if_clear { "!" } else { "" };
        write!(f, "{sign}{}", self.bit)
    }
}

/// Declares a register of fine-grained traps.
///
/// Each trap has the architecture's name, and after it the literal number of its bit; `!` before the
/// number says that the trap is on if the bit is clear.
///
/// # Examples
///
/// ```
/// kvm_core::fine_grained! {
///     /// A register.
///     pub struct Example("EXAMPLE_EL2") {
///         /// Traps if 1.
///         THIS = 3;
///         /// Traps if 0.
///         nTHAT = !4;
///     }
/// }
///
/// assert_eq!(Example::NO_TRAPS.into_raw(), 1 << 4);
/// let both = Example::NO_TRAPS
///     .with_trap(Example::THIS, true)
///     .with_trap(Example::nTHAT, true);
/// assert_eq!(both.into_raw(), 1 << 3);
/// assert!(both.traps(Example::nTHAT) && !Example::NO_TRAPS.traps(Example::nTHAT));
/// ```
///
/// A trap of another register does not compile:
///
/// ```compile_fail,E0308
/// use kvm_core::traps::{Hfgitr2El2, HfgitrEl2};
///
/// let _ = HfgitrEl2::NO_TRAPS.with_trap(Hfgitr2El2::TSBCSYNC, true);
/// ```
///
/// nor do two traps in one bit:
///
/// ```compile_fail,E0080
/// kvm_core::fine_grained! {
///     /// A register.
///     pub struct Example("EXAMPLE_EL2") {
///         /// Bit 3.
///         THIS = 3;
///         /// Bit 3 again.
///         nTHAT = !3;
///     }
/// }
/// assert_eq!(Example::NO_TRAPS.into_raw(), 1 << 3);
/// ```
#[macro_export]
macro_rules! fine_grained {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($arch:literal) {
            $(
                $(#[$tmeta:meta])*
                $trap:ident = $(! $clear:literal)? $($set:literal)?;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Copy, Clone, PartialEq, Eq)]
        #[repr(transparent)]
        $vis struct $name(u64);

        #[allow(non_upper_case_globals)]
        impl $name {
            /// The architecture's name of the register.
            $vis const NAME: &'static str = $arch;

            /// All traps with their names.
            $vis const TRAPS: &'static [(&'static str, $crate::traps::fine::FineTrap<Self>)] = &[
                $((stringify!($trap), Self::$trap)),*
            ];

            /// No trap is on.
            $vis const NO_TRAPS: Self = {
                let mut used = 0;
                let mut raw = 0;
                let mut traps = Self::TRAPS;
                while let [(_, trap), rest @ ..] = traps {
                    assert!(used & trap.mask() == 0, "two traps have the same bit");
                    used |= trap.mask();
                    if trap.traps_if_clear() {
                        raw |= trap.mask();
                    }
                    traps = rest;
                }
                Self(raw)
            };

            $(
                $(#[$tmeta])*
                $vis const $trap: $crate::traps::fine::FineTrap<Self> =
                    $crate::fine_grained!(@trap $(! $clear)? $($set)?);
            )*

            /// Returns the register whose bits are `raw`.
            #[inline]
            $vis const fn from_raw(raw: u64) -> Self {
                Self(raw)
            }

            /// Returns the register's 64 bits.
            #[inline]
            $vis const fn into_raw(self) -> u64 {
                self.0
            }

            /// Whether a trap is on.
            #[inline]
            $vis const fn traps(self, trap: $crate::traps::fine::FineTrap<Self>) -> bool {
                (self.0 & trap.mask() != 0) != trap.traps_if_clear()
            }

            /// Returns a copy with a trap switched on or off.
            #[inline]
            #[must_use]
            $vis const fn with_trap(
                self,
                trap: $crate::traps::fine::FineTrap<Self>,
                on: bool,
            ) -> Self {
                if on != trap.traps_if_clear() {
                    Self(self.0 | trap.mask())
                } else {
                    Self(self.0 & !trap.mask())
                }
            }

            /// Returns a copy in which those of the traps that `other` has on are on, too.
            #[inline]
            #[must_use]
            $vis const fn union(self, other: Self) -> Self {
                // Turned to where 1 traps for all.
                let turned = Self::NO_TRAPS.0;
                Self(((self.0 ^ turned) | (other.0 ^ turned)) ^ turned)
            }
        }

        /// Lists the traps that are on.
        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let on = Self::TRAPS.iter().filter(|(_, trap)| self.traps(*trap));
                f.debug_set().entries(on.map(|(name, _)| name)).finish()
            }
        }
    };

    (@trap ! $bit:literal) => {
        $crate::traps::fine::FineTrap::new($bit, true)
    };
    (@trap $bit:literal) => {
        $crate::traps::fine::FineTrap::new($bit, false)
    };
}
