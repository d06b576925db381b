// SPDX-License-Identifier: GPL-2.0

//! Operands of TLBI against the architecture's description of them.

use crate::format::any_format;
use kvm_core::{
    granule::Granule,
    stage2::{
        tlbi::{
            Operands,
            TlbiFeatures, //
        },
        Format,
        Geometry,
        Level,
        Stale, //
    },
};
use proptest::prelude::*;

/// The addresses, and the level if one is said, that an operand of IPAS2E1IS is about.
fn entry(geometry: &Geometry, operand: u64, span: u64) -> (u64, u64, u64) {
    assert_eq!(operand & (0xf << 40), 0);
    let at = (operand & ((1 << 40) - 1)) << 12;
    let ttl = operand >> 44;
    let granule = match geometry.granule() {
        Granule::K4 => 1,
        Granule::K16 => 2,
        Granule::K64 => 3,
    };
    assert!(ttl == 0 || ttl >> 2 == granule);
    (at, at + span, ttl & 3)
}

/// Those of RIPAS2E1IS.
fn range(geometry: &Geometry, operand: u64) -> (u64, u64, u64) {
    let field = |low: u32, high: u32| (operand >> low) & ((1 << (high - low + 1)) - 1);
    let (base, ttl, num, scale, tg) = (
        field(0, 36),
        field(37, 38),
        field(39, 43),
        field(44, 45),
        field(46, 47),
    );
    let shift = [0, 12, 14, 16][tg as usize];
    assert_eq!(shift, geometry.granule().shift());
    assert_eq!(operand >> 48, 0);
    let at = base << if geometry.ds() { 16 } else { shift };
    (
        at,
        at + ((num + 1) << (5 * scale + 1 + u64::from(shift))),
        ttl,
    )
}

proptest! {
    #[test]
    fn all_of_it_and_no_more(
        config in any_format(),
        ttl: bool,
        ranges: bool,
        level in prop::sample::select(&[Level::L1, Level::L2, Level::L3][..]),
        tables: bool,
        first in 0..1u64 << 18,
        pages in prop_oneof![1..80u64, 1..1u64 << 22],
    ) {
        let geometry = *Format::new(config).unwrap().geometry();
        let level = level.max(geometry.start());
        let level = if geometry.has_leaves(level) { level } else { Level::L3 };
        let stale = if tables { Stale::Tables } else { Stale::Leaves(level) };
        let shift = geometry.granule().shift();
        let (ipa, size) = (first << shift, pages << shift);
        let features = TlbiFeatures { ttl, range: ranges };
        let span = geometry.span(if tables { Level::L3 } else { level });
        let (start, end) = (ipa / span * span, (ipa + size).div_ceil(span) * span);
        let Some(operands) = Operands::new(&geometry, features, ipa, size, stale) else {
            let many = (end - start) / span > 48 && !ranges;
            prop_assert!(many || (end - start) >> shift > 1 << 21 || geometry.ds());
            return Ok(());
        };
        prop_assert!(ranges || operands.ranges().is_empty());
        let mut parts: Vec<_> = operands
            .entries()
            .iter()
            .map(|operand| entry(&geometry, *operand, span))
            .chain(operands.ranges().iter().map(|operand| range(&geometry, *operand)))
            .collect();
        parts.sort();
        let mut at = start;
        for (from, to, said) in parts {
            prop_assert_eq!(from, at);
            // A wrong hint would leave the entry where it is.
            prop_assert!(said == 0 || (ttl && !tables && said == u64::from(level.get())));
            at = to;
        }
        prop_assert_eq!(at, end);
    }
}

#[test]
fn examples() {
    let config = crate::geometry::config(Granule::K4, 40, 44);
    let geometry = *Format::new(config).unwrap().geometry();
    let all = TlbiFeatures {
        ttl: true,
        range: true,
    };
    let none = TlbiFeatures {
        ttl: false,
        range: false,
    };
    let block = Stale::Leaves(Level::L2);
    let of = |features, size, stale| Operands::new(&geometry, features, 0x4020_0000, size, stale);
    // A block is one entry, with and without a hint.
    let one = of(all, 2 << 20, block).unwrap();
    assert_eq!(one.entries(), [0x4_0200 | (0b0110 << 44)]);
    assert!(one.ranges().is_empty());
    assert_eq!(of(none, 2 << 20, block).unwrap().entries(), [0x4_0200]);
    // 512 pages: scale 1, 8 times 64.
    let table = of(all, 2 << 20, Stale::Leaves(Level::L3)).unwrap();
    assert!(table.entries().is_empty());
    assert_eq!(
        table.ranges(),
        [0x4_0200 | (3 << 37) | (7 << 39) | (1 << 44) | (1 << 46)]
    );
    assert_eq!(of(none, 2 << 20, Stale::Leaves(Level::L3)), None);
    assert_eq!(
        of(none, 64 << 12, Stale::Tables).unwrap().entries().len(),
        64
    );
    assert_eq!(of(none, 65 << 12, Stale::Tables), None);
}
