// SPDX-License-Identifier: GPL-2.0

//! KVM_SET_USER_MEMORY_REGION against a plain map of slots.

mod model;

use kvm_core::{
    granule::Granule,
    memslot::{
        find,
        in_gfn_range,
        in_hva_range,
        plan,
        Change,
        Errno,
        Flags,
        Limits,
        Region,
        Request,
        Slot,
        SlotId, //
    },
};
use model::{
    content,
    request,
    set,
    specified,
    Model,
    Slots,
    GUEST_MEMFD,
    LIMITS,
    LOG,
    PAGE,
    READONLY, //
};
use proptest::prelude::*;
use std::rc::Rc;

/// Numbers of pages that tend to hit each other and the limits.
fn any_request() -> impl Strategy<Value = Request> {
    let slot = prop_oneof![
        20 => 0..6u32,
        1 => prop::sample::select(vec![32766, 32767, 0xffff, 0x1_0000, 0x1_0001, u32::MAX]),
    ];
    let flags = prop_oneof![
        8 => 0..2u32,
        2 => 0..8u32,
        1 => any::<u32>(),
    ];
    let gfn = prop_oneof![
        12 => 0..24u64,
        2 => (1u64 << 24) - 4..(1 << 24) + 1,
        1 => (1u64 << 52) - 3..1 << 52,
    ];
    let pages = prop_oneof![
        4 => Just(0u64),
        12 => 1..5u64,
        1 => prop::sample::select(vec![
            (1u64 << 31) - 1, 1 << 31, 1 << 24, (1 << 24) + 1, (1 << 52) - 1,
        ]),
    ];
    let hva = prop_oneof![
        12 => 0x10..0x14u64,
        1 => (1u64 << 36) - 4..(1 << 36) + 1,
        1 => (1u64 << 52) - 3..1 << 52,
    ];
    let odd = prop_oneof![30 => Just((0u64, 0)), 1 => (1..PAGE, 0..4)];
    (slot, flags, gfn, pages, hva, odd, 0..4u64).prop_map(
        |(slot, flags, gfn, pages, hva, (odd, which), offset)| {
            let odd = |field| if which == field { odd } else { 0 };
            Request {
                guest_memfd_offset: match offset {
                    3 => 0u64.wrapping_sub(PAGE),
                    offset => offset * PAGE,
                } + odd(3),
                ..request(
                    slot,
                    flags,
                    (gfn << 12) + odd(0),
                    (pages << 12) + odd(1),
                    (hva << 12) + odd(2),
                )
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn as_specified(
        requests in prop::collection::vec(any_request(), 1..60),
        memfd: bool,
        gfns in (0..40u64, 0..8u64),
        hvas in (0xf_000..0x1_a000u64, 0..0x3000u64),
        hint in 0..8usize,
    ) {
        let known = LOG | READONLY | if memfd { GUEST_MEMFD } else { 0 };
        let limits = Limits { flags: Flags::from_raw(known), ..LIMITS };
        let mut slots = Slots::new();
        let mut model = Model::new();
        for r in &requests {
            let before = slots.clone();
            let expected = specified(&mut model, r, known, 1 << 36, 1 << 48);
            let done = set(&mut slots, r, &limits);
            prop_assert_eq!(done.map(|_| ()), expected, "{:?}", r);
            if done.is_err() || done == Ok(Change::Nothing) {
                prop_assert_eq!(&slots, &before);
            }
            // What the change is called is what it is.
            match done {
                Ok(Change::Create { .. }) => prop_assert_eq!(slots.len(), before.len() + 1),
                Ok(Change::Delete { .. }) => prop_assert_eq!(slots.len(), before.len() - 1),
                Ok(Change::Move { from, to, slot }) => {
                    prop_assert_eq!(before[from].id(), slot.id());
                    prop_assert!(before[from].gfns() != slots[to].gfns());
                }
                Ok(Change::Flags { at, .. }) => {
                    prop_assert_eq!(before[at].gfns(), slots[at].gfns());
                    prop_assert!(before[at].flags() != slots[at].flags());
                }
                _ => {}
            }
            for pair in slots.windows(2) {
                prop_assert!(pair[0].gfns().end <= pair[1].gfns().start);
            }
            prop_assert_eq!(&content(&slots), &model);
        }

        // Lookups.
        for gfn in 0..40 {
            let expected = slots.iter().position(|slot| slot.gfns().contains(&gfn));
            prop_assert_eq!(find(&slots, gfn, hint), expected);
            if let Some(index) = expected {
                let slot = &slots[index];
                let hva = slot.hva_of(gfn).unwrap();
                prop_assert_eq!(hva, slot.hvas().start + ((gfn - slot.gfns().start) << 12));
            }
            for slot in &slots {
                prop_assert_eq!(slot.hva_of(gfn).is_some(), slot.gfns().contains(&gfn));
            }
        }
        let range = gfns.0..gfns.0 + gfns.1;
        let found: Vec<_> = in_gfn_range(&slots, range.clone()).map(|(index, _)| index).collect();
        let expected: Vec<_> = (0..slots.len())
            .filter(|index| {
                let own = slots[*index].gfns();
                own.start.max(range.start) < own.end.min(range.end)
            })
            .collect();
        prop_assert_eq!(found, expected);

        let range = hvas.0..hvas.0 + hvas.1;
        let found: Vec<_> = in_hva_range(&slots, range.clone())
            .flat_map(|hit| hit.gfns.map(|gfn| (hit.slot.id(), gfn)))
            .collect();
        let expected: Vec<_> = slots
            .iter()
            .flat_map(|slot| {
                let first = slot.gfns().start;
                // The range is small; the rest of a huge slot is not in it.
                let pages = slot.pages().min(64);
                (first..first + pages).map(move |gfn| (slot.id(), gfn, slot.hva_of(gfn).unwrap()))
            })
            .filter(|(_, _, hva)| *hva < range.end && range.start < hva + PAGE && !range.is_empty())
            .map(|(id, gfn, _)| (id, gfn))
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn other_granules(pages in 1..100u64, gfn in 0..100u64, odd in 1..0x1_0000u64) {
        for granule in Granule::ALL {
            let shift = granule.shift();
            let limits = Limits { page: *granule, ..LIMITS };
            let mut slots = Slots::new();
            let good = request(1, 0, gfn << shift, pages << shift, 1 << 40);
            let created = set(&mut slots, &good, &limits);
            let is_first = matches!(created, Ok(Change::Create { at: 0, .. }));
            prop_assert!(is_first);
            prop_assert_eq!(slots[0].gfns(), gfn..gfn + pages);
            prop_assert_eq!(slots[0].hvas(), 1 << 40..(1 << 40) + (pages << shift));
            let odd = odd & ((1 << shift) - 1);
            prop_assume!(odd != 0);
            let bad = request(2, 0, 1 << 30, odd, 1 << 40);
            prop_assert_eq!(set(&mut slots, &bad, &limits), Err(Errno::Einval));
        }
    }
}

/// What upstream's set_memory_region_test expects of any architecture with read-only memory.
#[test]
fn invalid_flags() {
    for bit in 0..32 {
        let flags = 1u32 << bit;
        let known = flags & (LOG | READONLY) != 0;
        let mut slots = Slots::new();
        let done = set(&mut slots, &request(0, flags, 0, 0x20_0000, 0), &LIMITS);
        assert_eq!(done.is_ok(), known, "flag {flags:#x}");
    }
    let memfd = Limits {
        flags: LIMITS.flags.union(Flags::GUEST_MEMFD),
        ..LIMITS
    };
    for (flags, fine) in [
        (GUEST_MEMFD, true),
        (GUEST_MEMFD | LOG, false),
        (GUEST_MEMFD | READONLY, false),
    ] {
        let done = Region::check(&request(0, flags, 0, 0x20_0000, 0), &memfd);
        assert_eq!(done.is_ok(), fine, "flags {flags:#x}");
    }
}

/// The same test's other part: as many slots as KVM_CAP_NR_MEMSLOTS says, and not one more.
#[test]
fn all_slots() {
    let size = 0x20_0000;
    let count = u32::from(SlotId::COUNT);
    let mut slots = Slots::new();
    for slot in 0..count {
        let at = u64::from(slot) * size;
        let region = Region::check(&request(slot, 0, at, size, 0x1000_0000 + at), &LIMITS);
        let change = plan(&slots, &region.unwrap(), None).unwrap();
        let Change::Create { at, slot } = change else {
            panic!("{change:?}");
        };
        slots.insert(at, Rc::new(slot));
    }
    let at = u64::from(count) * size;
    for slot in [count, 0xffff, 1 << 16] {
        let one_more = request(slot, 0, at, size, 0x1000_0000 + at);
        assert_eq!(set(&mut slots, &one_more, &LIMITS), Err(Errno::Einval));
    }
    assert_eq!(slots.len(), 32767);
    for slot in [0, 1, 16384, 32766] {
        assert_eq!(find(&slots, slot as u64 * 512 + 511, 0), Some(slot));
    }
    assert_eq!(find(&slots, u64::from(count) * 512, usize::MAX), None);
}

#[test]
fn messages() {
    let refused = |r| Region::check(&r, &LIMITS).unwrap_err().to_string();
    assert_eq!(
        refused(request(0, 12, 0, PAGE, 0)),
        "memory slot with bad flags 0xc"
    );
    assert_eq!(
        refused(request(0x1_0000, 0, 0, PAGE, 0)),
        "no memory slot 0x10000"
    );
}

/// A slot that is found through a plain reference, and a hint that is out of range.
#[test]
fn elements_may_be_anything_with_a_slot() {
    let mut slots = Slots::new();
    let created = set(&mut slots, &request(3, 0, PAGE, PAGE, 0), &LIMITS);
    assert!(matches!(created, Ok(Change::Create { at: 0, .. })));
    let plain: Vec<Slot> = slots.iter().map(|slot| **slot).collect();
    assert_eq!(find(&plain, 1, usize::MAX), Some(0));
    assert_eq!(find(&plain, 2, 0), None);
    assert_eq!(find::<Slot>(&[], 0, 0), None);
    assert_eq!(SlotId::new(32767), None);
}
