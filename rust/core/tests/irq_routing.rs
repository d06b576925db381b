// SPDX-License-Identifier: GPL-2.0

//! Tables of routes against a map.

use kvm_core::irq_routing::{
    BadRoute,
    Entry,
    Msi,
    RawEntry,
    Route,
    Routing,
    MAX_ROUTES, //
};
use proptest::{
    collection::vec,
    prelude::*, //
};
use std::collections::BTreeMap;

type Table = Routing<Vec<Option<Route>>>;

/// As an ioctl does it.
fn set(entries: &[RawEntry]) -> Result<Table, BadRoute> {
    let mut all = Vec::new();
    for raw in entries {
        all.push(Entry::new(raw)?);
    }
    let len = all.iter().map(Entry::table_len).max().unwrap_or(0);
    let mut table = vec![None; len];
    for entry in &all {
        entry.put(&mut table)?;
    }
    Ok(Routing::Table(table))
}

fn raw() -> impl Strategy<Value = RawEntry> {
    let gsi = prop_oneof![30 => 0u32..40, 1 => 4090u32..4100, 1 => any::<u32>()];
    let kind = prop_oneof![20 => 1u32..3, 1 => 0u32..7, 1 => any::<u32>()];
    let flags = prop_oneof![10 => 0u32..2, 1 => any::<u32>()];
    let irqchip = prop_oneof![20 => Just(0u32), 1 => any::<u32>()];
    let pin = prop_oneof![20 => 0u32..988, 1 => 980u32..1000, 1 => any::<u32>()];

    (gsi, kind, flags, irqchip, pin, any::<[u32; 7]>()).prop_map(
        |(gsi, kind, flags, u0, u1, rest)| {
            let [pad, u2, u3, u4, u5, u6, u7] = rest;
            // Most of the pins would be refused with the flag that half of the messages have.
            let flags = if kind == 1 { flags & !1 } else { flags };
            [gsi, kind, flags, pad, u0, u1, u2, u3, u4, u5, u6, u7]
        },
    )
}

/// What an entry says, from the text of api.rst.
fn meaning(raw: &RawEntry) -> Option<Route> {
    if raw[0] >= 4096 {
        return None;
    }
    match raw[1] {
        1 if raw[2] == 0 && raw[4] == 0 && raw[5] < 988 => {
            let pins = Table::Identity;
            let route = pins.route(raw[5]);
            assert!(matches!(route, Some(Route::Spi(spi)) if spi.get() == raw[5] + 32));
            route
        }
        2 if raw[2] < 2 => Some(Route::Msi(Msi {
            address: u64::from(raw[5]) * (1 << 32) + u64::from(raw[4]),
            data: raw[6],
            device: (raw[2] == 1).then_some(raw[7]),
        })),
        _ => None,
    }
}

#[test]
fn all_gsis_can_have_a_route() {
    let entry = |gsi| [gsi, 1, 0, 0, 0, gsi % 988, 0, 0, 0, 0, 0, 0];
    let all: Vec<RawEntry> = (0..MAX_ROUTES as u32).map(entry).collect();
    let table = set(&all).unwrap();

    for gsi in 0..MAX_ROUTES as u32 {
        assert_eq!(table.route(gsi), Table::Identity.route(gsi % 988));
    }
    assert_eq!(table.route(MAX_ROUTES as u32), None);
    assert_eq!(
        Entry::new(&entry(MAX_ROUTES as u32)),
        Err(BadRoute::Gsi(MAX_ROUTES as u32))
    );
    assert!(set(&[]).unwrap().route(0).is_none());
}

proptest! {
    #[test]
    fn without_a_table_a_gsi_is_a_pin(gsi in prop_oneof![0u32..1100, any::<u32>()]) {
        match Table::Identity.route(gsi) {
            Some(Route::Spi(spi)) => prop_assert_eq!(spi.get(), gsi + 32),
            Some(Route::Msi(_)) => prop_assert!(false),
            None => prop_assert!(gsi >= 988),
        }
    }

    #[test]
    fn a_table_is_a_map(entries in vec(raw(), 0..24)) {
        let mut model = BTreeMap::new();
        let mut good = true;

        for raw in &entries {
            match meaning(raw) {
                Some(route) => good &= model.insert(raw[0], route).is_none(),
                None => good = false,
            }
        }
        let table = set(&entries);
        prop_assert_eq!(table.is_ok(), good);
        if let Ok(table) = table {
            for gsi in 0..4200 {
                prop_assert_eq!(table.route(gsi), model.get(&gsi).copied());
            }
            prop_assert_eq!(table.route(u32::MAX), None);
        }
    }

    #[test]
    fn each_entry_says_why_it_is_refused(raw in raw()) {
        match Entry::new(&raw) {
            Ok(entry) => {
                prop_assert!(meaning(&raw).is_some());
                prop_assert_eq!(entry.table_len(), raw[0] as usize + 1);
                let mut short = vec![None; entry.table_len() - 1];
                prop_assert_eq!(entry.put(&mut short), Err(BadRoute::Gsi(raw[0])));
            }
            Err(error) => {
                prop_assert_eq!(meaning(&raw), None);
                let said = match error {
                    BadRoute::Gsi(gsi) => gsi == raw[0] && gsi >= 4096,
                    BadRoute::Type(kind) => kind == raw[1] && !(1..3).contains(&kind),
                    BadRoute::Flags(flags) => flags == raw[2] && flags != 0,
                    BadRoute::Pin(chip, pin) => chip != 0 || pin >= 988,
                    BadRoute::Twice(_) => false,
                };
                prop_assert!(said);
            }
        }
    }
}
