// SPDX-License-Identifier: GPL-2.0

//! KVM_SET_USER_MEMORY_REGION against a plain map of slots.

mod model;

use kvm_core::{
    granule::Granule,
    memslot::{
        find,
        in_gfn_range,
        in_hva_range,
        remove,
        Change,
        Chunk,
        Errno,
        Flags,
        Limits,
        Listed,
        Region,
        Request,
        Slot,
        SlotId,
        CHUNK, //
    },
};
use model::{
    content,
    request,
    set,
    specified,
    Model,
    Shared,
    Slots,
    GUEST_MEMFD,
    LIMITS,
    LOG,
    PAGE,
    READONLY, //
};
use proptest::prelude::*;
use std::{
    cell::Cell,
    ops::Range,
    rc::Rc, //
};

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

/// Looks things up as the table does, and in all slots one by one.
/// `range` is one of the guest's pages, from the first of which on `hvas` are looked for, too.
fn lookups(slots: &Slots, range: Range<u64>, hvas: Range<u64>) -> Result<(), TestCaseError> {
    for gfn in 0..40 {
        let expected = slots.iter().find(|slot| slot.gfns().contains(&gfn));
        prop_assert_eq!(find(&slots.list, gfn), expected);
        if let Some(slot) = expected {
            let hva = slot.hva_of(gfn).unwrap();
            prop_assert_eq!(hva, slot.hvas().start + ((gfn - slot.gfns().start) << 12));
        }
        for slot in slots.iter() {
            prop_assert_eq!(slot.hva_of(gfn).is_some(), slot.gfns().contains(&gfn));
        }
    }
    let found: Vec<_> = in_gfn_range(&slots.list, range.clone()).collect();
    let expected: Vec<_> = slots
        .iter()
        .filter(|slot| {
            let own = slot.gfns();
            own.start.max(range.start) < own.end.min(range.end)
        })
        .collect();
    prop_assert_eq!(found, expected);

    let hits = |from| -> Vec<_> {
        in_hva_range(&slots.list, from, hvas.clone())
            .flat_map(|hit| hit.gfns.map(|gfn| (hit.slot.id(), gfn)))
            .collect()
    };
    let expected: Vec<_> = slots
        .iter()
        .flat_map(|slot| {
            let first = slot.gfns().start;
            // The range is small; the rest of a huge slot is not in it.
            let pages = slot.pages().min(64);
            (first..first + pages).map(move |gfn| (slot.id(), gfn, slot.hva_of(gfn).unwrap()))
        })
        .filter(|(_, _, hva)| *hva < hvas.end && hvas.start < hva + PAGE && !hvas.is_empty())
        .map(|(id, gfn, _)| (id, gfn))
        .collect();
    prop_assert_eq!(&hits(0), &expected);
    let behind: Vec<_> = expected
        .into_iter()
        .filter(|(_, gfn)| *gfn >= range.start)
        .collect();
    prop_assert_eq!(hits(range.start), behind);
    Ok(())
}

/// Whether the table is in the shape that keeps it fast.
fn well_shaped(slots: &Slots) -> Result<(), TestCaseError> {
    let sizes: Vec<_> = slots.list.iter().map(|c| c.slots().len()).collect();
    prop_assert!(
        sizes.iter().all(|size| (1..=CHUNK).contains(size)),
        "{:?}",
        sizes
    );
    prop_assert!(
        sizes.windows(2).all(|two| two[0] + two[1] > CHUNK / 2),
        "{:?}",
        sizes
    );
    let all: Vec<_> = slots.iter().collect();
    prop_assert!(all
        .windows(2)
        .all(|two| two[0].gfns().end <= two[1].gfns().start));
    Ok(())
}

/// A step of a VMM with many slots: those that come in a row, from below or from above, one at any
/// place, one that goes or moves.
#[derive(Clone, Debug)]
enum Step {
    Row { from: u32, count: u32, up: bool },
    Gone { from: u32, count: u32 },
    One(u32),
    Moved { number: u32, to: u32 },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..400u32, 1..200u32, any::<bool>())
            .prop_map(|(from, count, up)| Step::Row { from, count, up }),
        1 => (0..400u32, 1..150u32).prop_map(|(from, count)| Step::Gone { from, count }),
        4 => (0..600u32).prop_map(Step::One),
        4 => (0..600u32, 0..600u32).prop_map(|(number, to)| Step::Moved { number, to }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Many slots against a plain vector of them: slot `n` has page `places[n]`.
    #[test]
    fn many(steps in prop::collection::vec(any_step(), 1..40), hva in 0..600u64) {
        let mut slots = Slots::new();
        let mut places: Vec<Option<u64>> = vec![None; 600];
        // The VMM's memory is in another order.
        let hva_of = |number: u32| (u64::from(number) * 7919 % 600) << 12;
        for step in steps {
            let wanted: Vec<(u32, Option<u64>)> = match step {
                Step::Row { from, count, up } => (0..count)
                    .map(|n| from + if up { n } else { count - 1 - n })
                    .map(|n| (n, Some(u64::from(n))))
                    .collect(),
                Step::Gone { from, count } => (from..from + count).map(|n| (n, None)).collect(),
                Step::One(n) => vec![(n, Some(u64::from(n)))],
                Step::Moved { number, to } => vec![(number, Some(u64::from(to)))],
            };
            for (number, gfn) in wanted {
                let at = number as usize;
                let size = if gfn.is_some() { PAGE } else { 0 };
                let r = request(number, 0, gfn.unwrap_or(0) << 12, size, hva_of(number));
                let taken = gfn.is_some() && places[at] != gfn && places.contains(&gfn);
                let expected = if taken {
                    Err(Errno::Eexist)
                } else if gfn.is_none() && places[at].is_none() {
                    Err(Errno::Einval)
                } else {
                    places[at] = gfn;
                    Ok(())
                };
                prop_assert_eq!(set(&mut slots, &r, &LIMITS).map(|_| ()), expected, "{:?}", r);
            }
            well_shaped(&slots)?;
        }
        prop_assert_eq!(slots.iter().count(), places.iter().flatten().count());
        for (number, gfn) in places.iter().enumerate() {
            let id = SlotId::new(number as u16).unwrap();
            let slot = slots.find_id(id);
            prop_assert_eq!(slot.map(|slot| slot.gfns().start), *gfn);
            if let Some(gfn) = *gfn {
                prop_assert_eq!(find(&slots.list, gfn).map(Slot::id), Some(id));
            }
        }
        lookups(&slots, hva..hva + 70, hva << 12..(hva + 70) << 12)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn as_specified(
        requests in prop::collection::vec(any_request(), 1..60),
        memfd: bool,
        gfns in (0..40u64, 0..8u64),
        hvas in (0xf_000..0x1_a000u64, 0..0x3000u64),
    ) {
        let known = LOG | READONLY | if memfd { GUEST_MEMFD } else { 0 };
        let limits = Limits { flags: Flags::from_raw(known), ..LIMITS };
        let mut slots = Slots::new();
        let mut model = Model::new();
        for r in &requests {
            let before = slots.clone();
            let was = content(&before);
            let expected = specified(&mut model, r, known, 1 << 36, 1 << 48);
            let done = set(&mut slots, r, &limits);
            prop_assert_eq!(done.map(|_| ()), expected, "{:?}", r);
            prop_assert_eq!(&content(&slots), &model);
            // What the change is called is what it is.
            match done {
                Ok(Change::Create { .. }) => prop_assert_eq!(model.len(), was.len() + 1),
                Ok(Change::Delete { .. }) => prop_assert_eq!(model.len(), was.len() - 1),
                Ok(Change::Move { old, slot }) => {
                    prop_assert_eq!(old.id(), slot.id());
                    prop_assert_eq!(old.pages(), slot.pages());
                    prop_assert!(old.gfns() != slot.gfns());
                }
                Ok(Change::Flags { old, slot }) => {
                    prop_assert_eq!(old.gfns(), slot.gfns());
                    prop_assert!(old.flags() != slot.flags());
                }
                Ok(Change::Nothing) | Err(_) => prop_assert_eq!(&was, &model),
            }
            // What somebody still looks at is what it was.
            prop_assert_eq!(content(&before), was);
        }
        lookups(&slots, gfns.0..gfns.0 + gfns.1, hvas.0..hvas.0 + hvas.1)?;
    }

    #[test]
    fn other_granules(pages in 1..100u64, gfn in 0..100u64, odd in 1..0x1_0000u64) {
        for granule in Granule::ALL {
            let shift = granule.shift();
            let limits = Limits { page: *granule, ..LIMITS };
            let mut slots = Slots::new();
            let good = request(1, 0, gfn << shift, pages << shift, 1 << 40);
            let created = set(&mut slots, &good, &limits);
            prop_assert!(created.is_ok());
            let slot = *find(&slots.list, gfn).unwrap();
            prop_assert_eq!(slot.gfns(), gfn..gfn + pages);
            prop_assert_eq!(slot.hvas(), 1 << 40..(1 << 40) + (pages << shift));
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
        let change = set(
            &mut slots,
            &request(slot, 0, at, size, 0x1000_0000 + at),
            &LIMITS,
        );
        assert!(matches!(change, Ok(Change::Create { .. })));
    }
    let at = u64::from(count) * size;
    for slot in [count, 0xffff, 1 << 16] {
        let one_more = request(slot, 0, at, size, 0x1000_0000 + at);
        assert_eq!(set(&mut slots, &one_more, &LIMITS), Err(Errno::Einval));
    }
    assert_eq!(slots.iter().count(), 32767);
    // In the order of their addresses, they fill the chunks.
    assert_eq!(slots.list.len(), 32767usize.div_ceil(CHUNK));
    for slot in [0, 1, 16384, 32766] {
        let found = find(&slots.list, u64::from(slot) * 512 + 511);
        assert_eq!(found.map(|slot| slot.id().get()), Some(slot));
    }
    assert_eq!(find(&slots.list, u64::from(count) * 512), None);
}

/// A chunk that counts how often its slots are looked at.
struct Counted(Vec<Slot>, Rc<Cell<usize>>);

impl Chunk for Counted {
    type Slot = Slot;

    fn slots(&self) -> &[Slot] {
        self.1.set(self.1.get() + 1);
        &self.0
    }
}

/// All slots have the same memory: who goes on behind each of them begins at none of those before.
#[test]
fn going_on_behind_a_slot() {
    let mut slots = Slots::new();
    for slot in 0..4096 {
        let at = u64::from(slot) * PAGE;
        let made = set(
            &mut slots,
            &request(slot, 0, at, PAGE, 0x1000_0000),
            &LIMITS,
        );
        assert!(made.is_ok());
    }
    let looks = Rc::new(Cell::new(0));
    let list: Vec<_> = slots
        .list
        .iter()
        .filter_map(|chunk| Listed::new(Counted(chunk.slots().to_vec(), looks.clone())))
        .collect();
    looks.set(0);

    let (mut from, mut count) = (0, 0);
    while let Some(hit) = in_hva_range(&list, from, 0x1000_0000..0x1000_1000).next() {
        assert_eq!(hit.gfns, count..count + 1);
        from = hit.gfns.end;
        count += 1;
    }
    assert_eq!(count, 4096);
    // One chunk each time, two where one ends.
    assert!(looks.get() <= 4096 + 2 * list.len(), "{}", looks.get());
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

#[test]
fn nothing_is_found_where_nothing_is() {
    let none = Slots::new().list;
    assert_eq!(find(&none, 0), None);
    assert_eq!(in_gfn_range(&none, 0..u64::MAX).count(), 0);
    assert_eq!(in_hva_range(&none, 0, 0..u64::MAX).count(), 0);
    assert!(remove(&none, 0).is_none());
    assert!(Listed::new(Shared(Rc::new(Vec::new()))).is_none());
    assert_eq!(SlotId::new(32767), None);
}
