// SPDX-License-Identifier: GPL-2.0

//! Numbers of a known width in bits.

use core::{
    cmp::Ordering,
    fmt, //
};

/// An unsigned number of `N` bits, `N` being 1 to 64.
///
/// A value out of range cannot be built, so a register field that takes one needs no check and
/// loses no bits.
///
/// # Examples
///
/// ```
/// use kvm_core::bits::Bits;
///
/// assert_eq!(Bits::<4>::new(15).map(Bits::get), Some(15));
/// assert_eq!(Bits::<4>::new(16), None);
/// const FIVE: Bits<3> = Bits::of::<5>();
/// assert_eq!(FIVE, 5);
/// ```
///
/// A constant out of range does not compile:
///
/// ```compile_fail
/// use kvm_core::bits::Bits;
///
/// const NINE: Bits<3> = Bits::of::<9>();
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Bits<const N: u32>(u64);

impl<const N: u32> Bits<N> {
    /// The largest value, which is also the mask of `N` bits.
    pub const MAX: u64 = {
        assert!(N != 0 && N <= u64::BITS, "a width of 1 to 64 bits");
        u64::MAX >> (u64::BITS - N)
    };

    /// Returns `value` as a number of `N` bits, or [`None`] if it does not fit.
    #[inline]
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// Returns the constant `VALUE`; one that does not fit fails to compile.
    #[inline]
    pub const fn of<const VALUE: u64>() -> Self {
        const { assert!(VALUE <= Self::MAX, "the value does not fit its width") };
        Self(VALUE)
    }

    /// Returns the low `N` bits of `value`; the others are dropped.
    #[inline]
    pub const fn truncated(value: u64) -> Self {
        Self(value & Self::MAX)
    }

    /// Returns the number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<const N: u32> fmt::Debug for Bits<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl<const N: u32> PartialEq<u64> for Bits<N> {
    #[inline]
    fn eq(&self, other: &u64) -> bool {
        self.0 == *other
    }
}

impl<const N: u32> PartialOrd<u64> for Bits<N> {
    #[inline]
    fn partial_cmp(&self, other: &u64) -> Option<Ordering> {
        self.0.partial_cmp(other)
    }
}

impl<const N: u32> From<Bits<N>> for u64 {
    #[inline]
    fn from(value: Bits<N>) -> Self {
        value.0
    }
}

/// Implements the lossless conversion of [`Bits`] of the given widths to `$int`.
macro_rules! narrow {
    ($int:ident: $($bits:literal)*) => {
        $(
            impl From<Bits<$bits>> for $int {
                #[inline]
                fn from(value: Bits<$bits>) -> Self {
                    value.0 as $int
                }
            }
        )*
    };
}

narrow! { u8: 1 2 3 4 5 6 7 8 }
narrow! { u16: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 }

impl From<u8> for Bits<8> {
    #[inline]
    fn from(value: u8) -> Self {
        Self(u64::from(value))
    }
}

impl From<u16> for Bits<16> {
    #[inline]
    fn from(value: u16) -> Self {
        Self(u64::from(value))
    }
}

/// A signed number of `N` bits in two's complement, `N` being 1 to 64.
///
/// Some ID fields are signed: "not implemented" is -1 there and 0 already means a feature.
///
/// # Examples
///
/// ```
/// use kvm_core::bits::{Bits, SignedBits};
///
/// let none = SignedBits::<4>::from_bits(Bits::of::<0xf>());
/// assert_eq!(none.get(), -1);
/// assert_eq!(none.to_bits(), 0xf);
/// assert_eq!(SignedBits::<4>::new(8), None);
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct SignedBits<const N: u32>(i64);

impl<const N: u32> SignedBits<N> {
    /// The largest value.
    pub const MAX: i64 = (Bits::<N>::MAX >> 1) as i64;

    /// The smallest value.
    pub const MIN: i64 = -Self::MAX - 1;

    /// Returns `value` as a signed number of `N` bits, or [`None`] if it does not fit.
    #[inline]
    pub const fn new(value: i64) -> Option<Self> {
        if value >= Self::MIN && value <= Self::MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// Returns the constant `VALUE`; one that does not fit fails to compile.
    #[inline]
    pub const fn of<const VALUE: i64>() -> Self {
        const {
            assert!(
                VALUE >= Self::MIN && VALUE <= Self::MAX,
                "the value does not fit its width"
            )
        };
        Self(VALUE)
    }

    /// Returns the number that the bit pattern `bits` stands for.
    #[inline]
    pub const fn from_bits(bits: Bits<N>) -> Self {
        let unused = u64::BITS - N;
        Self((bits.get() << unused) as i64 >> unused)
    }

    /// Returns the bit pattern.
    #[inline]
    pub const fn to_bits(self) -> Bits<N> {
        Bits::truncated(self.0 as u64)
    }

    /// Returns the number.
    #[inline]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl<const N: u32> fmt::Debug for SignedBits<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<const N: u32> PartialEq<i64> for SignedBits<N> {
    #[inline]
    fn eq(&self, other: &i64) -> bool {
        self.0 == *other
    }
}

impl<const N: u32> PartialOrd<i64> for SignedBits<N> {
    #[inline]
    fn partial_cmp(&self, other: &i64) -> Option<Ordering> {
        self.0.partial_cmp(other)
    }
}
