// SPDX-License-Identifier: GPL-2.0

//! How much one entry may map, against a rule that looks at each page.

use crate::format::any_format;
use kvm_core::stage2::{
    Backing,
    Format,
    Geometry,
    Level, //
};
use proptest::prelude::*;

/// Whether each page of the block of `size` around the page is in the slot and in the host's entry,
/// and the block is aligned on each side. Edges are all that there is to look at of a range.
fn may_map(page: &Backing, size: u64) -> bool {
    let offset = page.ipa % size;
    let first = page.ipa - offset;
    let last = first + (size - 1);
    page.hva % size == offset
        && page.pa % size == offset
        && page.gpas.contains(&first)
        && page.gpas.contains(&last)
        && page.hva / page.mapped == (page.hva - offset) / page.mapped
        && page.hva / page.mapped == (page.hva - offset + (size - 1)) / page.mapped
}

fn geometry(config: &kvm_core::stage2::Config) -> Geometry {
    *Format::new(*config).unwrap().geometry()
}

proptest! {
    #[test]
    fn the_largest_that_fits(
        config in any_format(),
        // In pages: where the slot begins, the page in it, and what follows.
        at in (0..1u64 << 19, 0..1u64 << 19, 1..1u64 << 19),
        // The other sides are aligned alike up to a level, or not at all.
        hva_apart in (0..4usize, 0..8u64),
        pa_apart in (0..4usize, 0..8u64),
        mapped in 0..4usize,
    ) {
        let geometry = geometry(&config);
        let shift = geometry.granule().shift();
        let apart = |(level, n): (usize, u64)| n << geometry.shift(Level::ALL[level]).min(50);
        let ipa = (at.0 + at.1) << shift;
        let page = Backing {
            ipa,
            hva: ipa + apart(hva_apart),
            pa: ipa + apart(pa_apart),
            gpas: at.0 << shift..(at.0 + at.1 + at.2) << shift,
            mapped: geometry.span(Level::ALL[mapped]),
        };
        let extent = geometry.largest_extent(&page);
        let expected = Level::ALL
            .iter()
            .filter(|level| **level >= geometry.start() && geometry.has_leaves(**level))
            .find(|level| may_map(&page, geometry.span(**level)))
            .copied()
            .unwrap_or(Level::L3);
        prop_assert_eq!(extent.level, expected);
        prop_assert_eq!(extent.size, geometry.span(expected));
        for (first, of) in [(extent.ipa, page.ipa), (extent.hva, page.hva), (extent.pa, page.pa)] {
            prop_assert_eq!(first % extent.size, 0);
            prop_assert_eq!(of - first, page.ipa - extent.ipa);
        }
        prop_assert!(extent.ipas().contains(&page.ipa) && extent.hvas().contains(&page.hva));
    }
}

#[test]
fn the_edges_of_a_slot() {
    let config = crate::geometry::config(kvm_core::granule::Granule::K4, 40, 44);
    let geometry = geometry(&config);
    let m2 = 2 << 20;
    let level = |start: u64, end: u64, hva: u64| {
        let page = Backing {
            ipa: m2 + 0x5000,
            hva: hva + 0x5000,
            pa: 0x4000_5000,
            gpas: start..end,
            mapped: m2,
        };
        geometry.largest_extent(&page).level
    };
    assert_eq!(level(m2, 2 * m2, m2), Level::L2);
    assert_eq!(level(0, u64::MAX, m2), Level::L2);
    assert_eq!(level(m2 + 0x1000, 2 * m2, m2), Level::L3);
    assert_eq!(level(m2, 2 * m2 - 0x1000, m2), Level::L3);
    assert_eq!(level(m2, 2 * m2, m2 + 0x1000), Level::L3);
}
