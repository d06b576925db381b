// SPDX-License-Identifier: GPL-2.0

//! Bounded numbers and the bit field macros.

use kvm_core::{
    bit_enum, bit_struct,
    bit_struct::{
        BitStruct,
        FieldInfo, //
    },
    bits::{
        Bits,
        SignedBits, //
    },
};
use proptest::prelude::*;

bit_enum! {
    /// A field that has names for some of its values.
    pub enum Colour: 3 {
        /// Red.
        Red = 1,
        /// Green.
        Green = 4,
        /// Blue.
        Blue = 7,
    }
}

/// A field that has names for all of its values.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Parity {
    /// An even number.
    Even,
    /// An odd number.
    Odd,
}

impl Parity {
    const fn from_bits(bits: Bits<1>) -> Self {
        if bits.get() == 0 {
            Self::Even
        } else {
            Self::Odd
        }
    }

    const fn into_bits(self) -> Bits<1> {
        match self {
            Self::Even => Bits::of::<0>(),
            Self::Odd => Bits::of::<1>(),
        }
    }
}

bit_struct! {
    /// A register with a field of every kind, at both ends and in between.
    pub struct Sample("SAMPLE_EL1") {
        /// The lowest bit.
        low / with_low: flag 0,
        /// A number.
        number / with_number: bits 1..=7,
        /// A signed number.
        level / with_level: signed 12..=15,
        /// A field with some names.
        colour / with_colour: option 20..=22 as Colour,
        /// A field with all names.
        parity / with_parity: total 23..=23 as Parity,
        /// A number across the middle.
        middle / with_middle: bits 30..=35,
        /// A flag in the upper half.
        upper / with_upper: flag 40,
        /// The highest bits.
        high / with_high: bits 60..=63,
    }
}

bit_struct! {
    /// A register that is one field.
    pub struct Whole("WHOLE_EL1") {
        /// All of it.
        all / with_all: bits 0..=63,
    }
}

/// Returns bits `lo..=hi` of `raw`, found one by one.
fn read_bits(raw: u64, lo: u32, hi: u32) -> u64 {
    (lo..=hi).fold(0, |value, bit| {
        value | ((raw / 2u64.pow(bit) % 2) * 2u64.pow(bit - lo))
    })
}

/// Returns `raw` with bits `lo..=hi` replaced by those of `value`, one by one.
fn write_bits(raw: u64, lo: u32, hi: u32, value: u64) -> u64 {
    (0..64).fold(0, |result, bit| {
        let from = if (lo..=hi).contains(&bit) {
            value / 2u64.pow(bit - lo) % 2
        } else {
            raw / 2u64.pow(bit) % 2
        };
        result | (from * 2u64.pow(bit))
    })
}

proptest! {
    #[test]
    fn bits_hold_exactly_what_fits(value: u64, shift in 0u32..64) {
        let value = value >> shift;
        prop_assert_eq!(Bits::<1>::new(value).is_some(), value < 2);
        prop_assert_eq!(Bits::<13>::new(value).is_some(), value < 8192);
        prop_assert_eq!(Bits::<13>::new(value).map_or(value, Bits::get), value);
        prop_assert_eq!(Bits::<13>::truncated(value).get(), value % 8192);
        prop_assert_eq!(Bits::<64>::new(value).map(Bits::get), Some(value));
    }

    #[test]
    fn signed_bits_hold_exactly_what_fits(value: i64, shift in 0u32..64) {
        let value = value >> shift;
        prop_assert_eq!(SignedBits::<4>::new(value).is_some(), (-8..8).contains(&value));
        prop_assert_eq!(SignedBits::<64>::new(value).map(SignedBits::get), Some(value));
        if let Some(small) = SignedBits::<4>::new(value) {
            prop_assert_eq!(small.get(), value);
            prop_assert_eq!(small.to_bits().get(), value.rem_euclid(16) as u64);
            prop_assert_eq!(SignedBits::from_bits(small.to_bits()), small);
        }
    }

    #[test]
    fn getters_read_their_bits(raw: u64) {
        let sample = Sample::from_raw(raw);
        prop_assert_eq!(sample.into_raw(), raw);
        prop_assert_eq!(u64::from(sample.low()), read_bits(raw, 0, 0));
        prop_assert_eq!(sample.number().get(), read_bits(raw, 1, 7));
        prop_assert_eq!(sample.level().to_bits().get(), read_bits(raw, 12, 15));
        prop_assert_eq!(sample.level().get() < 0, read_bits(raw, 15, 15) == 1);
        prop_assert_eq!(
            sample.colour(),
            match read_bits(raw, 20, 22) {
                1 => Some(Colour::Red),
                4 => Some(Colour::Green),
                7 => Some(Colour::Blue),
                _ => None,
            }
        );
        prop_assert_eq!(sample.parity() == Parity::Odd, read_bits(raw, 23, 23) == 1);
        prop_assert_eq!(sample.middle().get(), read_bits(raw, 30, 35));
        prop_assert_eq!(u64::from(sample.upper()), read_bits(raw, 40, 40));
        prop_assert_eq!(sample.high().get(), read_bits(raw, 60, 63));
        prop_assert_eq!(Whole::from_raw(raw).all().get(), raw);
    }

    #[test]
    fn setters_change_their_bits_and_no_other(raw: u64, value: u64, flag: bool) {
        let sample = Sample::from_raw(raw);
        prop_assert_eq!(
            sample.with_low(flag).into_raw(),
            write_bits(raw, 0, 0, flag.into())
        );
        prop_assert_eq!(
            sample.with_number(Bits::truncated(value)).into_raw(),
            write_bits(raw, 1, 7, value)
        );
        prop_assert_eq!(
            sample.with_level(SignedBits::from_bits(Bits::truncated(value))).into_raw(),
            write_bits(raw, 12, 15, value)
        );
        for (colour, bits) in [(Colour::Red, 1), (Colour::Green, 4), (Colour::Blue, 7)] {
            prop_assert_eq!(
                sample.with_colour(colour).into_raw(),
                write_bits(raw, 20, 22, bits)
            );
        }
        prop_assert_eq!(
            sample.with_parity(Parity::Odd).into_raw(),
            write_bits(raw, 23, 23, 1)
        );
        prop_assert_eq!(
            sample.with_parity(Parity::Even).into_raw(),
            write_bits(raw, 23, 23, 0)
        );
        prop_assert_eq!(
            sample.with_middle(Bits::truncated(value)).into_raw(),
            write_bits(raw, 30, 35, value)
        );
        prop_assert_eq!(
            sample.with_upper(flag).into_raw(),
            write_bits(raw, 40, 40, flag.into())
        );
        prop_assert_eq!(
            sample.with_high(Bits::truncated(value)).into_raw(),
            write_bits(raw, 60, 63, value)
        );
        prop_assert_eq!(Whole::from_raw(raw).with_all(Bits::truncated(value)).into_raw(), value);
    }

    #[test]
    fn field_info_agrees_with_the_getters(raw: u64) {
        let number = FieldInfo::find(Sample::FIELDS, "number").unwrap();
        prop_assert_eq!(number.extract(raw), Sample::from_raw(raw).number().get());
        let whole = FieldInfo::find(Whole::FIELDS, "all").unwrap();
        prop_assert_eq!(whole.extract(raw), raw);
    }
}

#[test]
fn fields_are_found_by_their_whole_name() {
    assert_eq!(
        FieldInfo::find(Sample::FIELDS, "level"),
        Some(FieldInfo {
            name: "level",
            lo: 12,
            hi: 15,
            signed: true
        })
    );
    for absent in ["leve", "levels", "evel", "", "LEVEL"] {
        assert_eq!(FieldInfo::find(Sample::FIELDS, absent), None, "{absent}");
    }
}

#[test]
fn mask_is_the_union_of_the_fields() {
    assert_eq!(Sample::MASK, 0xf000_010f_c0f0_f0ff);
    assert_eq!(Whole::MASK, u64::MAX);
    assert_eq!(<Sample as BitStruct>::NAME, "SAMPLE_EL1");
}

#[test]
fn debug_prints_every_field() {
    let text = format!("{:?}", Sample::from_raw(0x8000_0000_0010_f003));
    assert_eq!(
        text,
        "Sample { low: true, number: 0x1, level: -1, colour: Some(Red), parity: Even, \
         middle: 0x0, upper: false, high: 0x8 }"
    );
}

#[test]
fn everything_is_const() {
    const SAMPLE: Sample = Sample::from_raw(0)
        .with_low(true)
        .with_number(Bits::of::<0x7f>())
        .with_level(SignedBits::of::<-8>())
        .with_colour(Colour::Green);
    const LEVEL: i64 = SAMPLE.level().get();
    assert_eq!(SAMPLE.into_raw(), 0x40_80ff);
    assert_eq!(LEVEL, -8);
}

#[test]
fn bit_enum_converts_both_ways() {
    for raw in 0..8 {
        let bits = Bits::new(raw).unwrap();
        match Colour::from_bits(bits) {
            Some(colour) => {
                assert_eq!(colour.into_bits(), bits);
                assert!(Colour::ALL.contains(&colour));
            }
            None => assert!(![1, 4, 7].contains(&raw)),
        }
    }
}
