// SPDX-License-Identifier: GPL-2.0

//! Saving and restoring tables.

use crate::harness::{
    drive::{
        itt_of,
        Bytes,
        Pair, //
    },
    memory::{
        BASE,
        COLLECTIONS,
        CONFIG,
        DEVICES,
        ITTS,
        PENDING,
        SECOND,
        SIZE, //
    },
};
use kvm_core::its::{
    lpi,
    Environment,
    Event,
    Forget,
    LpiId,
    Lpis as _,
    TableError, //
};
use proptest::prelude::*;

const VALID: u64 = 1 << 63;

/// Commands of a guest that keeps to the rules: each device has an ITT of its own, which is zero
/// when it is mapped, and no LPI is left in a collection that goes nowhere, or elsewhere than its
/// collection.
fn tame(pair: &mut Pair, bytes: &mut Bytes<'_>) {
    let words = bytes.command();
    let device = words[0] >> 32;
    match words[0] & 0xff {
        0x8 => {
            for n in 0..32 {
                pair.poke(itt_of(device) + n * 8, 0);
            }
            let valid = words[2] & VALID;
            pair.command([words[0], 4, itt_of(device) | valid, 0]);
        }
        0xe => {}
        _ => {
            pair.command(words);
        }
    }
}

proptest! {
    /// What is saved and then restored is what there was: devices, events, collections, and LPIs
    /// with their target, configuration and pending state.
    #[test]
    fn save_then_restore_is_identity(
        indirect in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..2000)
    ) {
        let mut pair = Pair::enabled();
        if indirect {
            pair.write(0, 0);
            for n in 0..2 {
                pair.poke(DEVICES + n * 8, VALID | (SECOND + n * 0x1_0000));
            }
            pair.write(0x100, DEVICES | VALID | 1 << 62 | 2 << 8);
            pair.write(0, 1);
        }
        pair.set_up();
        let mut bytes = Bytes(&bytes);
        while !bytes.is_empty() {
            tame(&mut pair, &mut bytes);
        }
        let events: Vec<_> = pair.model.events.clone().into_iter().collect();
        for ((device, event), (_, icid)) in &events {
            if pair.model.collections.contains_key(icid) {
                pair.command([0xc | device << 32, *event, 0, 0]);
            } else {
                // No table has the pending state of an LPI that goes nowhere.
                pair.command([0x4 | device << 32, *event, 0, 0]);
                pair.command([0xc | device << 32, *event, 0, 0]);
            }
        }
        pair.check();
        let before = pair.model.clone();
        pair.save_pending();
        prop_assert!(pair.save());
        pair.move_house().unwrap();
        pair.check();
        prop_assert_eq!(&pair.model.devices, &before.devices);
        prop_assert_eq!(&pair.model.events, &before.events);
        prop_assert_eq!(&pair.model.collections, &before.collections);
        prop_assert_eq!(&pair.model.lpis, &before.lpis);
        prop_assert_eq!(pair.model.enabled, before.enabled);
        pair.finish();
    }
}

/// An ITS whose tables have one device, one collection and one event.
fn saved() -> Pair {
    let mut pair = Pair::enabled();
    pair.command([0x9, 0, 5 | 9 << 16 | VALID, 0]);
    pair.command([0x8 | 2 << 32, 4, itt_of(2) | VALID, 0]);
    pair.command([0xa | 2 << 32, 3 | 8200 << 32, 5, 0]);
    assert!(pair.save());
    pair
}

/// The layout is the documented one, to the bit.
#[test]
fn entries_are_as_documented() {
    let mut pair = saved();
    let memory = |pair: &Pair, ipa| pair.world.memory.borrow().u64(ipa).unwrap();
    assert_eq!(
        memory(&pair, DEVICES + 2 * 8),
        VALID | (ITTS + 0x200) >> 8 << 5 | 4
    );
    assert_eq!(memory(&pair, ITTS + 0x200 + 3 * 8), 8200 << 16 | 5);
    assert_eq!(memory(&pair, COLLECTIONS), VALID | 9 << 16 | 5);
    assert_eq!(memory(&pair, COLLECTIONS + 8), 0);

    pair.command([0x8 | 0x1fff << 32, 4, itt_of(3) | VALID, 0]);
    pair.command([0xa | 2 << 32, 31 | 8201 << 32, 6, 0]);
    assert!(pair.save());
    let next = (0x1fff - 2) << 49;
    assert_eq!(
        memory(&pair, DEVICES + 2 * 8),
        VALID | next | (ITTS + 0x200) >> 8 << 5 | 4
    );
    assert_eq!(memory(&pair, ITTS + 0x218), (31 - 3) << 48 | 8200 << 16 | 5);
    assert_eq!(memory(&pair, ITTS + 0x2f8), 8201 << 16 | 6);
    // A collection that goes nowhere, but has an event.
    assert_eq!(
        memory(&pair, COLLECTIONS + 8),
        VALID | 0xffff_ffff << 16 | 6
    );
}

/// A restore of a table with one wrong entry fails with the error that the documentation names, and
/// leaves nothing behind.
#[test]
fn wrong_tables_are_refused_and_leave_nothing() {
    let inconsistent = TableError::Inconsistent;
    let cases = [
        // A redistributor that does not exist; a collection without a place; one twice.
        (COLLECTIONS, VALID | 2 << 16 | 5, inconsistent),
        (COLLECTIONS, VALID | 0x1_0009 << 16 | 5, inconsistent),
        (COLLECTIONS, VALID | 9 << 16 | 0x2000, inconsistent),
        (COLLECTIONS + 8, VALID | 9 << 16 | 5, TableError::Exists),
        // A collection that is not there for the event.
        (COLLECTIONS, VALID | 9 << 16 | 6, inconsistent),
        (COLLECTIONS, 0, inconsistent),
        // Too many EventID bits; an ITT that is not in memory.
        (DEVICES + 16, VALID | itt_of(2) >> 3 | 16, inconsistent),
        (DEVICES + 16, VALID | itt_of(2) >> 3 | 31, inconsistent),
        (
            DEVICES + 16,
            VALID | (BASE + SIZE) >> 3 | 4,
            TableError::Fault,
        ),
        // An INTID that is no LPI's; a next event that the device does not have.
        (itt_of(2) + 24, 8191 << 16 | 5, inconsistent),
        (itt_of(2) + 24, 65536 << 16 | 5, inconsistent),
        (itt_of(2) + 24, 29 << 48 | 8200 << 16 | 5, inconsistent),
    ];
    for (at, entry, error) in cases {
        let mut pair = saved();
        pair.poke(at, entry);
        assert_eq!(pair.move_house(), Err(error), "{entry:x} at {at:x}");
        pair.check();
        assert!(pair.its.devices().map.is_empty());
        assert!(pair.its.collections().map.is_empty());
        pair.finish();
    }
}

/// CVE-2026-64106: a device table entry with more EventID bits than there are made the scan of its
/// ITT a shift out of range. All sizes of the field, whatever else is in the entry.
#[test]
fn cve_2026_64106_size_of_a_restored_device() {
    for size in 0..32 {
        let mut pair = saved();
        pair.poke(DEVICES + 16, VALID | itt_of(2) >> 3 | size);
        let restored = pair.move_house();
        // With 1 or 2 bits it does not have its event, which then is none.
        let refused = if size < 16 {
            None
        } else {
            Some(TableError::Inconsistent)
        };
        match refused {
            // The ITT ends where memory ends if it is long.
            None => assert!(
                matches!(restored, Ok(()) | Err(TableError::Fault)),
                "{size}"
            ),
            Some(error) => assert_eq!(restored, Err(error), "{size}"),
        }
        pair.check();
    }
}

/// A first event that says that it is the last ends the scan; entries behind it are not looked at.
#[test]
fn the_last_entry_is_the_last() {
    let mut pair = saved();
    pair.poke(itt_of(2) + 32, 1 << 16);
    pair.poke(DEVICES + 24, VALID | 31);
    assert_eq!(pair.move_house(), Ok(()));
    assert_eq!(pair.its.events().map.len(), 1);
    pair.finish();
}

/// Of two saved events with the same LPI the first has it.
#[test]
fn an_lpi_that_is_saved_twice_is_restored_once() {
    let mut pair = saved();
    pair.poke(itt_of(2) + 24, 1 << 48 | 8200 << 16 | 5);
    pair.poke(itt_of(2) + 32, 8200 << 16 | 5);
    assert_eq!(pair.move_house(), Ok(()));
    pair.check();
    assert_eq!(pair.its.events().map.len(), 1);
    pair.finish();
}

/// A collection that was known only because of an event which is gone now is not restored.
#[test]
fn a_saved_collection_without_anything_is_forgotten() {
    let mut pair = saved();
    pair.poke(COLLECTIONS + 8, VALID | 0xffff_ffff << 16 | 7);
    pair.poke(COLLECTIONS + 16, 0);
    assert_eq!(pair.move_house(), Ok(()));
    pair.check();
    assert_eq!(pair.its.collections().map.len(), 1);
    pair.finish();
}

/// A guest that breaks its tables cannot make a save fail that user space needs: what has no place
/// is left out.
#[test]
fn a_save_leaves_out_what_has_no_place() {
    // The page of the second of two devices goes.
    let mut pair = Pair::new(16);
    pair.poke(DEVICES, VALID | SECOND);
    pair.poke(DEVICES + 8, VALID | (SECOND + 0x1_0000));
    pair.enable();
    pair.write(0, 0);
    pair.write(0x100, DEVICES | VALID | 1 << 62 | 2 << 8);
    pair.write(0, 1);
    assert!(pair.command([0x8, 4, itt_of(0) | VALID, 0]));
    assert!(pair.command([0x8 | 8192 << 32, 4, itt_of(1) | VALID, 0]));
    pair.poke(DEVICES + 8, 0);
    assert!(pair.save());
    let first = pair.world.memory.borrow().u64(SECOND).unwrap();
    assert_eq!(
        first,
        VALID | itt_of(0) >> 3 | 4,
        "it does not say that there is a next one"
    );
    assert_eq!(pair.move_house(), Ok(()));
    assert_eq!(pair.its.devices().map.len(), 1);

    // The collection table shrinks below a collection with an event.
    let mut pair = Pair::enabled();
    pair.write(0, 0);
    pair.write(0x108, COLLECTIONS | VALID | 1);
    pair.write(0, 1);
    assert!(pair.command([0x9, 0, 600 | VALID, 0]));
    assert!(pair.command([0x8, 4, itt_of(0) | VALID, 0]));
    assert!(pair.command([0xa, 8192 << 32, 600, 0]));
    pair.write(0, 0);
    pair.write(0x108, COLLECTIONS | VALID);
    assert!(pair.save());
    assert_eq!(pair.world.memory.borrow().u64(COLLECTIONS), Some(0));
    assert_eq!(pair.world.memory.borrow().u64(itt_of(0)), Some(0));
    assert_eq!(pair.move_house(), Ok(()));
    pair.check();
    pair.finish();
}

/// A restore without memory on the host fails with ENOMEM wherever it is, and leaves nothing.
#[test]
fn a_restore_without_memory_leaves_nothing() {
    for room in 0..3 {
        let mut pair = saved();
        let order = [0x80, 0x100, 0x108];
        let registers = order.map(|offset| (offset, pair.its.user_read(offset).unwrap()));
        pair.its.reset(&pair.world);
        for (offset, value) in registers {
            pair.its.user_write(&pair.world, offset, value).unwrap();
        }
        pair.world.room.set(room);
        let restored = pair.its.restore(&pair.world);
        assert_eq!(restored, Err(TableError::NoMemory), "room for {room}");
        pair.world.check_references(&pair.its);
        assert!(pair.its.collections().map.is_empty());
        pair.world.room.set(3);
        assert_eq!(pair.its.restore(&pair.world), Ok(()));
    }
}

/// A thread that is being killed gives up at each step of a save and of a restore.
#[test]
fn save_and_restore_can_be_killed_at_each_step() {
    let mut pair = saved();
    let mut patience = 0;
    loop {
        pair.world.patience.set(patience);
        match pair.its.save(&pair.world) {
            Ok(()) => break,
            Err(error) => assert_eq!(error, TableError::Killed),
        }
        patience += 1;
    }
    assert_eq!(patience, 3);
    patience = 0;
    loop {
        pair.world.patience.set(u64::MAX);
        pair.its.clear(&pair.world);
        pair.world.patience.set(patience);
        match pair.its.restore(&pair.world) {
            Ok(()) => break,
            Err(error) => assert_eq!(error, TableError::Killed),
        }
        pair.world.check_references(&pair.its);
        assert!(pair.its.events().map.is_empty());
        patience += 1;
    }
    assert!(patience > 6);
}

/// Pending LPIs come back: from the table that they were saved to when their event is restored, and
/// from the table when a vCPU enables its LPIs.
#[test]
fn pending_lpis_survive() {
    let mut pair = saved();
    let bit = PENDING + 2 * 0x2000 + 8200 / 8;
    assert_eq!(pair.message(2, 3), Some(8200));
    pair.save_pending();
    assert_eq!(pair.world.memory.borrow().u8(bit), Some(1 << (8200 % 8)));
    pair.move_house().unwrap();
    pair.check();
    assert!(pair.model.lpis[&8200].pending);
    assert_eq!(pair.world.memory.borrow().u8(bit), Some(0), "it was taken");

    pair.poke_u8(bit, 0);
    pair.enable_lpis(2, false);
    pair.enable_lpis(2, true);
    assert!(!pair.model.lpis[&8200].pending);
    pair.poke_u8(bit, 1);
    pair.enable_lpis(2, true);
    assert!(pair.model.lpis[&8200].pending);
    pair.check();
}

/// A message that comes while a vCPU's pending table is read stays, whatever the table has.
#[test]
fn a_message_comes_while_the_pending_table_is_read() {
    let mut pair = saved();
    let bit = PENDING + 2 * 0x2000 + 8200 / 8;
    pair.enable_lpis(2, false);
    pair.poke_u8(bit, 0);
    pair.world.message_at.set(Some(bit));
    pair.enable_lpis(2, true);
    assert!(pair.world.message_at.get().is_none(), "it was read");
    let id = LpiId::new(8200).unwrap();
    assert!(pair.world.lpis.borrow()[&id].pending.get());
}

/// A vCPU that has its LPIs disabled has none pending: not those that there were, not one that is
/// moved there, and none of a message that found its LPI before.
#[test]
fn no_lpi_is_pending_where_they_are_disabled() {
    let mut pair = Pair::enabled();
    pair.set_up();
    let id = |pair: &Pair, n| pair.world.lpis.borrow()[&LpiId::new(n).unwrap()].clone();
    for event in 0..2 {
        pair.message(event, event).unwrap();
        pair.check();
    }
    let target = id(&pair, 8192).target.get().unwrap();
    let late = pair.its.translate(&pair.world, Event::new(0, 0).unwrap());
    pair.enable_lpis(target, false);
    assert!(!id(&pair, 8192).pending.get());
    pair.world.set_pending(&late.unwrap(), true);
    assert!(!id(&pair, 8192).pending.get(), "it was translated before");
    pair.check();

    assert!(id(&pair, 8193).pending.get());
    assert!(pair.command([0x1 | 1 << 32, 1, 0, 0]), "MOVI");
    assert_eq!(id(&pair, 8193).target.get(), Some(target));
    assert!(!id(&pair, 8193).pending.get());
    pair.check();
    pair.enable_lpis(target, true);
    pair.check();
    pair.finish();
}

/// GICR_INVALLR reads the configuration of the LPIs of one vCPU again, and of no other.
#[test]
fn a_redistributor_reads_the_configuration_of_its_lpis() {
    let mut pair = Pair::enabled();
    pair.set_up();
    for n in 0..3 {
        pair.poke_u8(CONFIG + n, 0xa1);
    }
    lpi::reload_all(&pair.world, 0);
    pair.world.forget(Forget::All);
    let priorities: Vec<_> = pair
        .world
        .lpis
        .borrow()
        .values()
        .map(|lpi| (lpi.target.get(), lpi.config.get().priority))
        .collect();
    assert_eq!(priorities, [(Some(0), 0xa0), (Some(1), 0), (Some(2), 0)]);
}

/// A first-level entry points to a page of GITS_BASER's size; lower bits of its address are ignored.
#[test]
fn second_level_tables_are_pages() {
    for (n, page) in [(0, 0x1000), (1, 0x4000), (2, 0x1_0000)] {
        let mut pair = Pair::new(16);
        pair.write(0x100, DEVICES | VALID | 1 << 62 | n << 8);
        pair.write(0x108, COLLECTIONS | VALID);
        for entry in 0..2 {
            pair.poke(DEVICES + entry * 8, VALID | (SECOND + entry * page + 0xf00));
        }
        let device = page / 8 + 3;
        assert!(pair.command([0x8 | device << 32, 4, itt_of(3) | VALID, 0]));
        pair.check();
        assert!(pair.save());
        let saved = pair.world.memory.borrow().u64(SECOND + page + 3 * 8);
        assert_eq!(saved, Some(VALID | itt_of(3) >> 3 | 4));
        assert_eq!(pair.move_house(), Ok(()));
        pair.check();
        assert_eq!(pair.its.devices().map.len(), 1);
    }
}
