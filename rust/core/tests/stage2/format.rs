// SPDX-License-Identifier: GPL-2.0

//! Descriptors.

use crate::{
    cpu::Features,
    geometry::config,
    world::SHAPES, //
};
use kvm_core::{
    granule::Granule,
    stage2::{
        Attributes,
        Config,
        Descriptor,
        Entry,
        Execute,
        Format,
        Geometry,
        Level,
        Limit,
        MemoryType,
        Permissions,
        TableAddr, //
    },
};
use proptest::prelude::*;

fn format(config: &Config) -> Format {
    Format::new(*config).unwrap()
}

fn attributes(read: bool, write: bool, execute: bool, memory: MemoryType) -> Attributes {
    Attributes::new(Permissions::new(read, write, execute), memory).unwrap()
}

#[test]
fn examples() {
    let plain = config(Granule::K4, 40, 48);
    let k4 = format(&plain);
    let fwb = format(&Config { fwb: true, ..plain });
    let rwx = attributes(true, true, true, MemoryType::Normal);
    let device = attributes(true, true, false, MemoryType::Device);
    let leaf = |format: &Format, level, pa, attributes| {
        format.leaf(level, pa, attributes).map(Descriptor::into_raw)
    };
    // AF, inner shareable, read and write, MemAttr 0b1111, page. May be written, may be executed.
    assert_eq!(
        leaf(&k4, Level::L3, 0x1234_5000, rwx),
        Some(0x0180_0000_1234_57ff)
    );
    // MemAttr 0b0110.
    assert_eq!(
        leaf(&fwb, Level::L3, 0x1234_5000, rwx),
        Some(0x0180_0000_1234_57db)
    );
    // A block, XN, MemAttr 0b0001.
    for format in [&k4, &fwb] {
        assert_eq!(
            leaf(format, Level::L2, 0x1220_0000, device),
            Some(0x00c0_0000_1220_07c5)
        );
    }
    let nc = attributes(true, false, true, MemoryType::NormalNonCacheable);
    for format in [&k4, &fwb] {
        assert_eq!(
            leaf(format, Level::L3, 0x1000, nc),
            Some(0x0100_0000_0000_1757)
        );
    }
    // Addresses of 52 bits: FEAT_LPA has bits 51 to 48 at 15 to 12, FEAT_LPA2 51 and 50 at 9 and 8.
    let k64 = format(&config(Granule::K64, 48, 52));
    assert_eq!(
        leaf(&k64, Level::L3, 0x000a_8000_0001_0000, rwx),
        Some(0x0180_8000_0001_a7ff)
    );
    let lpa2 = format(&Config {
        lpa2: true,
        ..config(Granule::K4, 52, 52)
    });
    assert_eq!(
        leaf(&lpa2, Level::L3, 0x000a_8000_0001_1000, rwx),
        Some(0x0182_8000_0001_16ff)
    );
    let table = TableAddr::new(0x8_1234_5000, Granule::K4).unwrap();
    assert_eq!(k4.table(table).into_raw(), 0x8_1234_5003);
}

#[test]
fn what_there_is_not() {
    let plain = config(Granule::K4, 40, 40);
    let k4 = format(&plain);
    let rwx = attributes(true, true, true, MemoryType::Normal);
    assert_eq!(k4.leaf(Level::L3, 0x800, rwx), None);
    assert_eq!(k4.leaf(Level::L2, 0x1000, rwx), None);
    assert_eq!(k4.leaf(Level::L3, 1 << 40, rwx), None);
    assert_eq!(k4.leaf(Level::L0, 0, rwx), None);
    assert_eq!(
        format(&config(Granule::K16, 48, 48)).leaf(Level::L1, 0, rwx),
        None
    );
    // Reserved encodings count as invalid.
    assert_eq!(
        k4.decode(Descriptor::from_raw(1), Level::L3),
        Entry::Invalid
    );
    assert_eq!(
        k4.decode(Descriptor::from_raw(1), Level::L0),
        Entry::Invalid
    );
    for execute in [Execute::El0, Execute::El1] {
        let permissions = Permissions {
            execute,
            ..Permissions::NONE
        };
        let part = Attributes::new(permissions, MemoryType::Normal).unwrap();
        assert_eq!(k4.leaf(Level::L3, 0, part), None);
        let xnx = format(&Config { xnx: true, ..plain });
        let leaf = xnx.leaf(Level::L3, 0, part).unwrap();
        assert_eq!(leaf.permissions(), permissions);
        assert_eq!(Attributes::new(permissions, MemoryType::Device), None);
    }
    assert_eq!(
        Attributes::new(Permissions::new(true, true, true), MemoryType::Device),
        None
    );
}

pub fn any_format() -> impl Strategy<Value = Config> {
    (
        prop::sample::select(SHAPES.to_vec()),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|((granule, ipa, pa), fwb, xnx)| Config {
            lpa2: ipa > 48,
            fwb,
            xnx,
            ..config(granule, ipa, pa)
        })
}

/// Tables, and CPUs that they may be for: what a CPU can do is not always used.
pub fn any_cpu() -> impl Strategy<Value = (Config, Features)> {
    (any_format(), 0..=3u8, any::<[bool; 3]>()).prop_map(|(config, bbm, [ttl, range, used])| {
        let config = Config {
            live_resize: used && bbm == 3,
            ..config
        };
        let features = Features {
            bbm,
            ttl,
            range,
            ..Features::of(&config)
        };
        (config, features)
    })
}

pub fn any_execute() -> impl Strategy<Value = Execute> {
    prop::sample::select(Execute::ALL)
}

pub fn any_permissions() -> impl Strategy<Value = Permissions> {
    (any::<bool>(), any::<bool>(), any_execute()).prop_map(|(read, write, execute)| Permissions {
        read,
        write,
        execute,
    })
}

pub fn any_attributes() -> impl Strategy<Value = Attributes> {
    (
        any_permissions(),
        prop::sample::select(vec![
            MemoryType::Normal,
            MemoryType::NormalNonCacheable,
            MemoryType::Device,
        ]),
        any::<(bool, bool)>(),
    )
        .prop_filter_map(
            "device memory is not executable",
            |(permissions, memory, (write, execute))| {
                let attributes = Attributes::new(permissions, memory)?;
                Some(attributes.with_limit(Limit { write, execute }))
            },
        )
}

proptest! {
    #[test]
    fn leaves_read_as_written(
        config in any_format(),
        level in prop::sample::select(Level::ALL),
        attributes in any_attributes(),
        pa: u64,
    ) {
        let geometry = Geometry::new(&config).unwrap();
        let format = Format::new(config).unwrap();
        let pa = pa & !(geometry.span(level) - 1) & ((1 << geometry.pa_bits()) - 1);
        let leaf = format.leaf(level, pa, attributes);
        let possible = geometry.has_leaves(level) && format.can_express(attributes.permissions());
        prop_assert_eq!(leaf.is_some(), possible);
        if let Some(leaf) = leaf {
            prop_assert_eq!(format.decode(leaf, level), Entry::Leaf(pa));
            prop_assert_eq!(leaf.permissions(), attributes.permissions());
            prop_assert_eq!(leaf.limit(), attributes.limit());
            prop_assert!(leaf.limit().allows(leaf.permissions()));
            let device = attributes.memory() == MemoryType::Device;
            prop_assert!(!(device && leaf.limit().execute));
            prop_assert_eq!(format.memory_type(leaf), Some(attributes.memory()));
            prop_assert!(leaf.af() && !leaf.contiguous() && leaf.software() == 0);
            // Only FEAT_XNX has the lower bit of XN.
            prop_assert!(config.xnx || (leaf.into_raw() >> 53) & 1 == 0);
        }
    }

    #[test]
    fn tables_read_as_written(
        config in any_format(),
        level in prop::sample::select(&[Level::L0, Level::L1, Level::L2][..]),
        pa: u64,
    ) {
        let geometry = Geometry::new(&config).unwrap();
        let pa = pa & !(geometry.span(Level::L3) - 1) & ((1 << geometry.pa_bits()) - 1);
        let table = TableAddr::new(pa, config.granule).unwrap();
        let format = Format::new(config).unwrap();
        prop_assert_eq!(format.decode(format.table(table), level), Entry::Table(table));
    }

    #[test]
    fn whatever_is_not_valid_is_invalid(
        config in any_format(),
        level in prop::sample::select(Level::ALL),
        raw: u64,
    ) {
        let descriptor = Descriptor::from_raw(raw & !1);
        prop_assert_eq!(format(&config).decode(descriptor, level), Entry::Invalid);
    }

    #[test]
    fn union_allows_what_either_does(a in any_permissions(), b in any_permissions()) {
        let union = a.union(b);
        prop_assert!(union.contains(a) && union.contains(b));
        prop_assert_eq!(union.read, a.read | b.read);
        prop_assert_eq!(union.write, a.write | b.write);
        prop_assert_eq!(union.execute.at_el0(), a.execute.at_el0() | b.execute.at_el0());
        prop_assert_eq!(union.execute.at_el1(), a.execute.at_el1() | b.execute.at_el1());
        prop_assert_eq!(a.contains(b), union == a);
    }
}
