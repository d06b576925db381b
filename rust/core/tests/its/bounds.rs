// SPDX-License-Identifier: GPL-2.0

//! What a guest can make the host do, or keep.

use crate::harness::{
    drive::{
        itt_of,
        Pair, //
    },
    world::World, //
};
use kvm_core::its::{
    command::{
        Command,
        CommandError, //
    },
    Event,
    GuestMemory,
    Its,
    Progress, //
};
use std::rc::Rc;

const VALID: u64 = 1 << 63;

fn execute(pair: &mut Pair, words: [u64; 4]) -> Result<u32, CommandError> {
    let mut steps = 0;
    pair.its
        .execute(&pair.world, Command::parse(words)?, &mut steps)
        .map(|()| steps)
}

/// Two events, of one device, of two or of two ITSs, cannot have the same LPI: so a guest cannot
/// make more mappings than there are LPIs.
#[test]
fn an_lpi_belongs_to_one_event() {
    let mut pair = Pair::enabled();
    pair.set_up();
    let map = |device: u64, event: u64| [0xa | device << 32, event | 8192 << 32, 0, 0];
    assert_eq!(execute(&mut pair, map(0, 1)), Err(CommandError::Taken));
    assert_eq!(execute(&mut pair, map(1, 2)), Err(CommandError::Taken));
    let mut other = pair.world.its();
    other.write(&pair.world, 0x100, 8, pair.its.read(0x100, 8));
    other.write(&pair.world, 0x108, 8, pair.its.read(0x108, 8));
    let mut run = |words| other.execute(&pair.world, Command::parse(words)?, &mut 0);
    assert_eq!(run([0x8, 4, itt_of(5) | VALID, 0]), Ok(()));
    assert_eq!(run(map(0, 0)), Err(CommandError::Taken));
    assert_eq!(
        run(map(0, 0).map(|w| w + if w == 8192 << 32 { 9 << 32 } else { 0 })),
        Ok(())
    );
    assert_eq!(other.events().map.len(), 1);
    assert_eq!(other.collections().map.len(), 1);
    other.clear(&pair.world);
    pair.world.check_references(&pair.its);
}

/// Without memory on the host a command has no effect, and loses no reference.
#[test]
fn a_command_without_memory_has_no_effect() {
    for words in [
        [0x9, 0, 7 | VALID, 0],
        [0x8 | 7 << 32, 4, itt_of(7) | VALID, 0],
        [0xa, 7 | 8199 << 32, 0, 0],
        [0xa, 7 | 8199 << 32, 7, 0],
    ] {
        for room in 0..2 {
            let mut pair = Pair::enabled();
            pair.set_up();
            pair.world.room.set(room);
            let done = execute(&mut pair, words);
            if done.is_err() {
                assert_eq!(done, Err(CommandError::NoMemory));
                pair.check();
            } else {
                assert!(pair.command(words) || done.is_ok());
            }
            pair.world.check_references(&pair.its);
        }
    }
}

/// A vCPU's write of GITS_CWRITER leads to batches of a bounded number of commands, whatever is in
/// the queue; a command's steps count.
#[test]
fn the_queue_is_carried_out_in_batches() {
    let mut pair = Pair::enabled();
    pair.set_up();
    for n in 0..20 {
        assert!(pair.command([0xa, (3 + n) | (8200 + n) << 32, 0, 0]));
    }
    // A queue full of INVALL of a collection with 21 events.
    pair.write(0, 0);
    for n in 0..127 {
        let at = kvm_core::its::register::Cbaser::from_raw(pair.its.read(0x80, 8)).base();
        pair.poke(at + n * 32, 0xd);
    }
    pair.its.write(&pair.world, 0x88, 8, 127 * 32);
    pair.its.write(&pair.world, 0, 4, 1);
    let mut batches = 0;
    while pair.its.process(&pair.world, 100) == Progress::More {
        batches += 1;
        let done = pair.its.read(0x90, 8) / 32;
        assert_eq!(done, batches * 5, "5 times 22 steps are over 100");
    }
    assert_eq!(batches, 25);
}

/// Commands wait while what they write to memory cannot be noted: a DISCARD writes an entry.
#[test]
fn the_queue_waits_for_room_for_notes() {
    let mut pair = Pair::enabled();
    pair.set_up();
    for n in 0..20 {
        assert!(pair.command([0xa, (3 + n) | (8200 + n) << 32, 0, 0]));
    }
    pair.write(0, 0);
    let queue = kvm_core::its::register::Cbaser::from_raw(pair.its.read(0x80, 8)).base();
    for n in 0..20 {
        pair.poke(queue + n * 32, 0xf);
        pair.poke(queue + n * 32 + 8, 3 + n);
    }
    pair.world.notes.set(0);
    pair.its.write(&pair.world, 0x80, 8, pair.its.read(0x80, 8));
    pair.its.write(&pair.world, 0x88, 8, 20 * 32);
    pair.its.write(&pair.world, 0, 4, 1);
    for done in (0..20).step_by(4) {
        assert_eq!(pair.its.process(&pair.world, 1000), Progress::More);
        assert_eq!(pair.its.read(0x90, 8), done * 32);
        pair.world.notes.set(4);
    }
    assert_eq!(pair.its.process(&pair.world, 1000), Progress::Idle);
    assert_eq!(pair.its.read(0x90, 8), 20 * 32);
}

/// CVE-2024-26598: a message finds its LPI in the cache while DISCARD unmaps the event. The reference
/// that was found is one of its own.
#[test]
fn cve_2024_26598_message_and_discard() {
    let mut pair = Pair::enabled();
    pair.set_up();
    let event = Event::new(1, 1).unwrap();
    pair.message(1, 1).unwrap();
    let found = pair.world.cache.borrow().get(event).cloned().unwrap();
    assert!(pair.command([0xf | 1 << 32, 1, 0, 0]));
    assert_eq!(Rc::strong_count(&found), 1, "only the message has it");
    assert!(pair.world.cache.borrow().get(event).is_none());
    drop(found);
    pair.check();
}

/// CVE-2026-46316: several paths invalidate the cache at once. Each reference comes out once,
/// whoever takes it.
#[test]
fn cve_2026_46316_invalidations_that_meet() {
    use kvm_core::its::{
        Environment,
        Forget, //
    };
    let mut pair = Pair::enabled();
    pair.set_up();
    for n in 0..3 {
        pair.message(n, n).unwrap();
    }
    // Two walks through the cache, one step of each at a time.
    let (mut a, mut b) = (0, 0);
    let mut taken = Vec::new();
    for _ in 0..4 {
        for from in [&mut a, &mut b] {
            taken.extend(pair.world.cache.borrow_mut().take(Forget::All, from));
        }
    }
    for lpi in &taken {
        assert_eq!(
            taken.iter().filter(|other| Rc::ptr_eq(lpi, other)).count(),
            1
        );
    }
    taken.clear();
    pair.check();
    pair.world.forget(Forget::All);
    pair.write(0, 0);
    pair.reset();
    pair.check();
    pair.finish();
}

/// CVE-2026-74568: an LPI's last reference is dropped while its number is mapped again. The old and
/// the new one are two, and the old one is pending no more.
#[test]
fn cve_2026_74568_release_and_map_again() {
    let mut pair = Pair::enabled();
    pair.set_up();
    pair.message(0, 0).unwrap();
    let old = pair.its.events().map[&Event::FIRST].lpi.clone();
    assert!(pair.command([0xf, 0, 0, 0]));
    assert!(pair.command([0xa, 8192 << 32, 0, 0]));
    let new = pair.its.events().map[&Event::FIRST].lpi.clone();
    assert!(!Rc::ptr_eq(&old, &new));
    assert!(!old.pending.get() && !new.pending.get());
    drop((old, new));
    pair.check();
    pair.finish();
}

/// Memory behind the end of a guest's is never touched: whatever the addresses, an access that the
/// world does not have is a fault, not a panic.
#[test]
fn addresses_at_the_end_of_the_address_space() {
    let world = World::new(kvm_core::its::ConfigTable {
        base: u64::MAX - 0xfff,
        id_bits: 32,
    });
    let mut its: Its<_> = world.its();
    let top = 0xffff_ffff_0000 | 0xf000 | 2 << 8 | VALID | 0xff;
    its.write(&world, 0x100, 8, top | 1 << 62);
    its.write(&world, 0x108, 8, top);
    its.write(&world, 0x80, 8, 0xf_ffff_ffff_0000 | VALID | 0xff);
    its.write(&world, 0, 4, 1);
    its.write(&world, 0x88, 8, 0xf_ffe0);
    while its.process(&world, 1000) == Progress::More {}
    for device in [0u64, 1, 0xffff] {
        let words = [0x8 | device << 32, 15, (1 << 52) - 256 | VALID, 0];
        let done = its.execute(&world, Command::parse(words).unwrap(), &mut 0);
        assert_eq!(done, Err(CommandError::DeviceOor));
    }
    assert!(its.save(&world).is_err());
    assert!(its.restore(&world).is_err());
    assert!(!world.is_memory(u64::MAX));
}
