// SPDX-License-Identifier: GPL-2.0

//! The translation cache against a map.

use kvm_core::its::{
    Cache,
    DeviceId,
    Event,
    Forget, //
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    rc::Rc, //
};

#[derive(Clone, Debug)]
enum Op {
    Insert(Event),
    Forget(Forget),
    Get(Event),
}

fn any_event() -> impl Strategy<Value = Event> {
    (0..6u32, 0..6u32).prop_map(|(device, event)| Event::new(device, event).unwrap())
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any_event().prop_map(Op::Insert),
        3 => any_event().prop_map(Op::Get),
        2 => any_event().prop_map(|event| Op::Forget(Forget::Event(event))),
        1 => (0..6u16).prop_map(|device| Op::Forget(Forget::Device(DeviceId::from(device)))),
        1 => Just(Op::Forget(Forget::All)),
    ]
}

proptest! {
    /// What is found was inserted last and not forgotten since; right after it was inserted it is
    /// found; and each reference that goes in comes out once.
    #[test]
    fn the_cache_holds_part_of_a_map(ops in prop::collection::vec(any_op(), 0..200)) {
        let mut cache = Cache::<Rc<u32>, 8>::new();
        let mut map = BTreeMap::new();
        let mut all = Vec::new();
        let mut held = 0;
        for (n, op) in (0..).zip(ops) {
            match op {
                Op::Insert(event) => {
                    let lpi = Rc::new(n);
                    all.push(lpi.clone());
                    held += 1;
                    if cache.insert(event, lpi.clone()).is_some() {
                        held -= 1;
                    }
                    prop_assert!(Rc::ptr_eq(cache.get(event).unwrap(), &lpi));
                    map.insert(event, lpi);
                }
                Op::Get(event) => {
                    if let Some(lpi) = cache.get(event) {
                        prop_assert!(Rc::ptr_eq(lpi, &map[&event]));
                    }
                }
                Op::Forget(which) => {
                    let mut from = 0;
                    while let Some(lpi) = cache.take(which, &mut from) {
                        prop_assert_eq!(Rc::strong_count(&lpi) >= 2, true);
                        held -= 1;
                    }
                    map.retain(|event, _| !which.covers(*event));
                    for event in (0..36).map(|n| Event::new(n / 6, n % 6).unwrap()) {
                        prop_assert!(!which.covers(event) || cache.get(event).is_none());
                    }
                }
            }
        }
        map.clear();
        let cached: usize = all.iter().map(|lpi| Rc::strong_count(lpi) - 1).sum();
        prop_assert_eq!(cached, held);
        drop(cache);
        prop_assert!(all.iter().all(|lpi| Rc::strong_count(lpi) == 1));
    }
}

/// The events of one device that uses a range of them, as drivers do, do not take each other's
/// places.
#[test]
fn a_devices_events_have_different_places() {
    let mut cache = Cache::<u32, 64>::new();
    for n in 0..64 {
        assert_eq!(cache.insert(Event::new(0x100, n).unwrap(), n), None);
    }
}
