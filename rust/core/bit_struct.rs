// SPDX-License-Identifier: GPL-2.0

//! Registers as structures of bit fields.
//!
//! [`bit_struct!`](crate::bit_struct!) declares a 64-bit register and its fields,
//! [`bit_enum!`](crate::bit_enum!) the values of a field that have names.

use core::fmt;

/// What is known of a field when the program runs: for tables, tests and messages.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FieldInfo {
    /// The field's name, the architecture's in lower case.
    pub name: &'static str,
    /// Its lowest bit.
    pub lo: u32,
    /// Its highest bit, at least `lo`.
    pub hi: u32,
    /// Whether the architecture reads it as a signed number.
    pub signed: bool,
}

impl FieldInfo {
    /// Returns the field's bits in place; none if they would lie outside of a register.
    #[inline]
    pub const fn mask(&self) -> u64 {
        if self.lo > self.hi || self.hi >= u64::BITS {
            return 0;
        }
        (u64::MAX >> (u64::BITS - 1 - self.hi)) & (u64::MAX << self.lo)
    }

    /// Returns the field's bits in `raw`, moved down to bit 0.
    #[inline]
    pub const fn extract(&self, raw: u64) -> u64 {
        match (raw & self.mask()).checked_shr(self.lo) {
            Some(bits) => bits,
            None => 0,
        }
    }

    /// Returns the field of `fields` with this name.
    pub const fn find(mut fields: &[Self], name: &str) -> Option<Self> {
        while let [field, rest @ ..] = fields {
            if same_bytes(field.name.as_bytes(), name.as_bytes()) {
                return Some(*field);
            }
            fields = rest;
        }
        None
    }
}

/// Whether `a` and `b` are equal; `==` is not `const`.
const fn same_bytes(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([first_a, rest_a @ ..], [first_b, rest_b @ ..]) = (a, b) {
        if *first_a != *first_b {
            return false;
        }
        a = rest_a;
        b = rest_b;
    }
    a.is_empty() && b.is_empty()
}

/// Returns the bits that belong to one of `fields`, or [`None`] if two of them share a bit or one
/// leaves the 64 bits.
#[doc(hidden)]
pub const fn layout(mut fields: &[FieldInfo]) -> Option<u64> {
    let mut used = 0;
    while let [field, rest @ ..] = fields {
        let mask = field.mask();
        if mask == 0 || used & mask != 0 {
            return None;
        }
        used |= mask;
        fields = rest;
    }
    Some(used)
}

/// A type declared by [`bit_struct!`](crate::bit_struct!).
pub trait BitStruct: Copy + Eq + fmt::Debug {
    /// The architecture's name of the register.
    const NAME: &'static str;

    /// The fields, in the order of their declaration.
    const FIELDS: &'static [FieldInfo];

    /// Returns the register that reads as `raw`.
    fn from_raw(raw: u64) -> Self;

    /// Returns the register's 64 bits.
    fn into_raw(self) -> u64;
}

/// Declares a 64-bit register as a structure of named bit fields.
///
/// ```text
/// bit_struct! {
///     /// Documentation.
///     pub struct Name("ARCHITECTURE_NAME") {
///         /// Documentation.
///         getter / setter: kind lo..=hi,
///         ...
///     }
/// }
/// ```
///
/// Bit numbers are inclusive and literal. The getter's name is the field's; the setter has its own,
/// `with_` and the field, because a macro of stable Rust cannot join the two. The kinds:
///
/// | declaration | getter returns, setter takes |
/// |---|---|
/// | `flag 9` | `bool`, `bool` |
/// | `bits 0..=3` | `Bits<4>`, `Bits<4>` |
/// | `signed 16..=19` | `SignedBits<4>`, `SignedBits<4>` |
/// | `total 22..=23 as Size` | `Size`, `Size`; every bit pattern is a `Size` |
/// | `option 0..=4 as Mode` | `Option<Mode>`, `Mode`; some patterns are not a `Mode` |
///
/// A conversion calls the type's own `const fn from_bits(Bits<N>)`, giving `Self` or
/// `Option<Self>`, and `const fn into_bits(self) -> Bits<N>`.
///
/// The type is a transparent `u64` with `from_raw`, `into_raw`, the constants `NAME`, `FIELDS` and
/// `MASK` (bits that belong to a field), and [`BitStruct`](crate::bit_struct::BitStruct). All
/// accessors are `const`. A setter returns a changed copy and leaves all other bits, those that no
/// field names included, as they were. `Debug` prints every field by name.
///
/// # Examples
///
/// ```
/// use kvm_core::{bit_struct, bits::Bits};
///
/// bit_struct! {
///     /// A register.
///     pub struct Example("EXAMPLE_EL1") {
///         /// A number.
///         count / with_count: bits 0..=3,
///         /// A switch.
///         enable / with_enable: flag 63,
///     }
/// }
///
/// const ON: Example = Example::from_raw(0x10).with_enable(true).with_count(Bits::of::<7>());
/// assert_eq!(ON.into_raw(), (1 << 63) | 0x17);
/// assert_eq!(format!("{ON:?}"), "Example { count: 0x7, enable: true }");
/// ```
///
/// Fields that share a bit do not compile:
///
/// ```compile_fail,E0080
/// kvm_core::bit_struct! {
///     /// A register.
///     pub struct Overlap("OVERLAP") {
///         /// Bits 0 to 3.
///         a / with_a: bits 0..=3,
///         /// Bit 3 again.
///         b / with_b: flag 3,
///     }
/// }
/// ```
///
/// nor does a field that leaves the register,
///
/// ```compile_fail,E0080
/// kvm_core::bit_struct! {
///     /// A register.
///     pub struct Outside("OUTSIDE") {
///         /// Bit 64 does not exist.
///         a / with_a: bits 60..=64,
///     }
/// }
/// ```
///
/// one whose bits are the wrong way round,
///
/// ```compile_fail,E0080
/// kvm_core::bit_struct! {
///     /// A register.
///     pub struct Reversed("REVERSED") {
///         /// High before low.
///         a / with_a: bits 7..=4,
///     }
/// }
/// ```
///
/// or a value of the wrong width:
///
/// ```compile_fail,E0308
/// kvm_core::bit_struct! {
///     /// A register.
///     pub struct Width("WIDTH") {
///         /// Four bits.
///         a / with_a: bits 0..=3,
///     }
/// }
/// let five_bits = kvm_core::bits::Bits::<5>::of::<1>();
/// let _ = Width::from_raw(0).with_a(five_bits);
/// ```
#[macro_export]
macro_rules! bit_struct {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($arch:literal) {
            $(
                $(#[$fmeta:meta])*
                $field:ident / $with:ident: $kind:ident $lo:literal $(..= $hi:literal)?
                    $(as $ty:ident)?
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Copy, Clone, PartialEq, Eq, Default)]
        #[repr(transparent)]
        $vis struct $name(u64);

        impl $name {
            /// The architecture's name of the register.
            $vis const NAME: &'static str = $arch;

            /// The fields, in the order of their declaration.
            $vis const FIELDS: &'static [$crate::bit_struct::FieldInfo] = &[
                $($crate::bit_struct!(@info $field $kind $lo $(..= $hi)?)),*
            ];

            /// The bits that belong to a field.
            $vis const MASK: u64 = match $crate::bit_struct::layout(Self::FIELDS) {
                Some(mask) => mask,
                None => panic!("two fields share a bit, or a field leaves the register"),
            };

            /// Returns the register that reads as `raw`.
            #[inline]
            $vis const fn from_raw(raw: u64) -> Self {
                // Where it is used or not, the layout is checked.
                const _: u64 = $name::MASK;
                Self(raw)
            }

            /// Returns the register's 64 bits.
            #[inline]
            $vis const fn into_raw(self) -> u64 {
                self.0
            }

            $(
                $crate::bit_struct! {
                    @access $vis $field $with [$(#[$fmeta])*] $kind $lo $(..= $hi)? $(as $ty)?
                }
            )*
        }

        impl $crate::bit_struct::BitStruct for $name {
            const NAME: &'static str = $name::NAME;
            const FIELDS: &'static [$crate::bit_struct::FieldInfo] = $name::FIELDS;

            #[inline]
            fn from_raw(raw: u64) -> Self {
                Self(raw)
            }

            #[inline]
            fn into_raw(self) -> u64 {
                self.0
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field()))*
                    .finish()
            }
        }
    };

    // The description of one field.
    (@info $field:ident flag $bit:literal) => {
        $crate::bit_struct::FieldInfo {
            name: stringify!($field),
            lo: $bit,
            hi: $bit,
            signed: false,
        }
    };
    (@info $field:ident signed $lo:literal ..= $hi:literal) => {
        $crate::bit_struct::FieldInfo {
            name: stringify!($field),
            lo: $lo,
            hi: $hi,
            signed: true,
        }
    };
    (@info $field:ident $kind:ident $lo:literal ..= $hi:literal) => {
        $crate::bit_struct::FieldInfo {
            name: stringify!($field),
            lo: $lo,
            hi: $hi,
            signed: false,
        }
    };

    // The accessors of one field, by its kind.
    (@access $vis:vis $field:ident $with:ident [$($fmeta:tt)*] flag $bit:literal) => {
        $($fmeta)*
        #[inline]
        $vis const fn $field(self) -> bool {
            (self.0 >> $bit) & 1 != 0
        }

        #[doc = concat!("Returns a copy with `", stringify!($field), "` replaced.")]
        #[inline]
        #[must_use]
        $vis const fn $with(self, value: bool) -> Self {
            Self((self.0 & !(1 << $bit)) | ((value as u64) << $bit))
        }
    };
    (
        @access $vis:vis $field:ident $with:ident [$($fmeta:tt)*]
        bits $lo:literal ..= $hi:literal
    ) => {
        $($fmeta)*
        #[inline]
        $vis const fn $field(self) -> $crate::bits::Bits<{ $hi - $lo + 1 }> {
            $crate::bits::Bits::truncated(self.0 >> $lo)
        }

        #[doc = concat!("Returns a copy with `", stringify!($field), "` replaced.")]
        #[inline]
        #[must_use]
        $vis const fn $with(self, value: $crate::bits::Bits<{ $hi - $lo + 1 }>) -> Self {
            Self(
                (self.0 & !($crate::bits::Bits::<{ $hi - $lo + 1 }>::MAX << $lo))
                    | (value.get() << $lo),
            )
        }
    };
    (
        @access $vis:vis $field:ident $with:ident [$($fmeta:tt)*]
        signed $lo:literal ..= $hi:literal
    ) => {
        $($fmeta)*
        #[inline]
        $vis const fn $field(self) -> $crate::bits::SignedBits<{ $hi - $lo + 1 }> {
            $crate::bits::SignedBits::from_bits($crate::bits::Bits::truncated(self.0 >> $lo))
        }

        #[doc = concat!("Returns a copy with `", stringify!($field), "` replaced.")]
        #[inline]
        #[must_use]
        $vis const fn $with(self, value: $crate::bits::SignedBits<{ $hi - $lo + 1 }>) -> Self {
            Self(
                (self.0 & !($crate::bits::Bits::<{ $hi - $lo + 1 }>::MAX << $lo))
                    | (value.to_bits().get() << $lo),
            )
        }
    };
    (
        @access $vis:vis $field:ident $with:ident [$($fmeta:tt)*]
        total $lo:literal ..= $hi:literal as $ty:ident
    ) => {
        $($fmeta)*
        #[inline]
        $vis const fn $field(self) -> $ty {
            $ty::from_bits($crate::bits::Bits::<{ $hi - $lo + 1 }>::truncated(self.0 >> $lo))
        }

        $crate::bit_struct! { @with $vis $field $with $lo $hi $ty }
    };
    (
        @access $vis:vis $field:ident $with:ident [$($fmeta:tt)*]
        option $lo:literal ..= $hi:literal as $ty:ident
    ) => {
        $($fmeta)*
        #[inline]
        $vis const fn $field(self) -> Option<$ty> {
            $ty::from_bits($crate::bits::Bits::<{ $hi - $lo + 1 }>::truncated(self.0 >> $lo))
        }

        $crate::bit_struct! { @with $vis $field $with $lo $hi $ty }
    };

    // The setter of a field that has a type of its own.
    (@with $vis:vis $field:ident $with:ident $lo:literal $hi:literal $ty:ident) => {
        #[doc = concat!("Returns a copy with `", stringify!($field), "` replaced.")]
        #[inline]
        #[must_use]
        $vis const fn $with(self, value: $ty) -> Self {
            let bits: $crate::bits::Bits<{ $hi - $lo + 1 }> = value.into_bits();
            Self(
                (self.0 & !($crate::bits::Bits::<{ $hi - $lo + 1 }>::MAX << $lo))
                    | (bits.get() << $lo),
            )
        }
    };
}

/// Declares the values of a bit field that have names.
///
/// The number after the name is the field's width. The enum gets `from_bits`, which is [`None`] for
/// a value without a name, `into_bits` and `ALL`.
///
/// # Examples
///
/// ```
/// use kvm_core::{bit_enum, bits::Bits};
///
/// bit_enum! {
///     /// A colour.
///     pub enum Colour: 2 {
///         /// Red.
///         Red = 0,
///         /// Blue.
///         Blue = 2,
///     }
/// }
///
/// assert_eq!(Colour::from_bits(Bits::of::<2>()), Some(Colour::Blue));
/// assert_eq!(Colour::from_bits(Bits::of::<1>()), None);
/// ```
///
/// A value that does not fit the width does not compile:
///
/// ```compile_fail,E0080
/// kvm_core::bit_enum! {
///     /// A colour.
///     pub enum Colour: 2 {
///         /// Too large for two bits.
///         Green = 4,
///     }
/// }
/// println!("{:?}", Colour::Green.into_bits());
/// ```
#[macro_export]
macro_rules! bit_enum {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident: $width:literal {
            $($(#[$vmeta:meta])* $variant:ident = $value:literal),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        $vis enum $name {
            $($(#[$vmeta])* $variant = $value,)*
        }

        impl $name {
            /// All values, in the order of their declaration.
            $vis const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the value that `bits` stands for, or [`None`] if it has no name.
            #[inline]
            $vis const fn from_bits(bits: $crate::bits::Bits<$width>) -> Option<Self> {
                match bits.get() {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Returns the field's bits.
            #[inline]
            $vis const fn into_bits(self) -> $crate::bits::Bits<$width> {
                match self {
                    $(Self::$variant => $crate::bits::Bits::of::<$value>(),)*
                }
            }
        }
    };
}
