// SPDX-License-Identifier: GPL-2.0

//! The registers.

use crate::harness::{
    drive::Pair,
    memory::{
        COLLECTIONS,
        DEVICES,
        QUEUE, //
    },
};
use kvm_core::its::{
    frame::{
        check_attribute,
        FRAME_SIZE,
        TRANSLATER, //
    },
    Refused, //
};
use proptest::prelude::*;

const VALID: u64 = 1 << 63;

/// What of the frame user space has: registers of 32 and of 64 bits.
fn is_register(offset: u64) -> bool {
    matches!(offset, 0..=0xf | 0x80..=0x97 | 0x100..=0x13f | 0xffd0..=0xffff)
}

proptest! {
    /// A vCPU's access of any size anywhere does something only to a register of that size; two
    /// halves are the whole.
    #[test]
    fn any_access_is_of_a_register_or_nothing(offset in 0..FRAME_SIZE, len in 0..17usize) {
        let pair = Pair::enabled();
        let value = pair.its.read(offset, len);
        let aligned = (len == 4 || len == 8) && offset % len as u64 == 0;
        if !aligned || !is_register(offset) {
            prop_assert_eq!(value, 0);
        }
        let at = offset & !7;
        if (8..0xffd0).contains(&at) {
            let halves = pair.its.read(at, 4) | pair.its.read(at + 4, 4) << 32;
            prop_assert_eq!(pair.its.read(at, 8), halves);
        }
    }

    /// What is written where a vCPU cannot write changes nothing, in an ITS that is enabled.
    #[test]
    fn what_is_read_only_stays(
        offset in prop_oneof![
            0..FRAME_SIZE, Just(0x4), Just(0x8), Just(0x80), Just(0x90), Just(0x100), Just(0x108),
            Just(TRANSLATER),
        ],
        len in prop::sample::select(vec![1usize, 2, 4, 8]),
        value in any::<u64>()
    ) {
        prop_assume!(!matches!(offset, 0..4 | 0x88..0x90));
        let mut pair = Pair::enabled();
        pair.its.write(&pair.world, offset, len, value);
        pair.check();
    }

    /// User space gets the documented error for an offset.
    #[test]
    fn offsets_of_attributes(offset in prop_oneof![0..FRAME_SIZE, any::<u64>()]) {
        let align = if (8..0xffd0).contains(&offset) { 8 } else { 4 };
        let expected = if offset % align != 0 {
            Err(Refused::Unaligned)
        } else if is_register(offset) {
            Ok(())
        } else {
            Err(Refused::Unknown)
        };
        let mut pair = Pair::enabled();
        prop_assert_eq!(check_attribute(offset), expected);
        prop_assert_eq!(pair.its.user_read(offset).map(|_| ()), expected);
        if expected.is_err() {
            prop_assert_eq!(pair.its.user_write(&pair.world, offset, 0), expected);
        }
        pair.check();
    }
}

/// It is not enabled without tables and a queue, in whatever order they come.
#[test]
fn it_is_enabled_with_tables_and_queue_only() {
    for have in 0..8 {
        let mut pair = Pair::new(16);
        for (n, (offset, base)) in [(0x100, DEVICES), (0x108, COLLECTIONS), (0x80, QUEUE)]
            .into_iter()
            .enumerate()
        {
            if have & 1 << n != 0 {
                pair.write(offset, base | VALID);
            }
        }
        pair.write(0, 1);
        pair.check();
        assert_eq!(pair.its.read(0, 4) & 1, u64::from(have == 7));
    }
}

/// User space restores GITS_CREADR after GITS_CBASER and before GITS_CTLR; what is then between it
/// and GITS_CWRITER is carried out when the ITS is enabled, and no more.
#[test]
fn commands_that_were_not_carried_out_survive() {
    let mut pair = Pair::enabled();
    pair.write(0, 0);
    // Three commands, of which the first was carried out.
    let mapc = |icid: u64| [0x9, 0, icid | VALID, 0];
    for icid in 1..=3 {
        pair.queue(mapc(icid));
    }
    let write = |pair: &mut Pair, offset, value| {
        pair.its.user_write(&pair.world, offset, value).unwrap();
        pair.model.user_set(offset, value).unwrap();
    };
    write(&mut pair, 0x80, QUEUE | VALID);
    write(&mut pair, 0x88, 0x60);
    write(&mut pair, 0x90, 0x20);
    pair.write(0, 1);
    pair.check();
    let icids: Vec<_> = pair
        .its
        .collections()
        .map
        .keys()
        .map(|id| id.get())
        .collect();
    assert_eq!(icids, [2, 3]);
    let creadr = |value| pair.its.user_write(&pair.world, 0x90, value);
    assert_eq!({ creadr }(0), Err(Refused::Enabled));
}

/// The queue wraps at its end, which is not a power of two here.
#[test]
fn the_queue_wraps() {
    let mut pair = Pair::new(16);
    pair.enable();
    pair.write(0, 0);
    pair.write(0x80, QUEUE | VALID | 2);
    pair.write(0, 1);
    // Behind the end there is a command, which maps a collection.
    pair.poke(QUEUE + 0x3000, 0x9);
    pair.poke(QUEUE + 0x3010, 77 | VALID);
    for n in 0..0x3000 / 32 * 2 + 5 {
        pair.queue([0x9, 0, n % 32 | (n & 1) << 16 | VALID, 0]);
        pair.check();
    }
    assert_eq!(pair.its.read(0x90, 8), 5 * 32);
}

/// A command that cannot be read is skipped, and so is a whole queue of them.
#[test]
fn a_queue_that_is_nowhere_is_skipped() {
    let mut pair = Pair::enabled();
    pair.write(0, 0);
    pair.write(0x80, 0x7777_0000 | VALID);
    pair.write(0, 1);
    pair.write(0x88, 0xfe0);
    pair.check();
    assert_eq!(pair.its.read(0x90, 8), 0xfe0);
}

/// The tables' page sizes and addresses, as GITS_BASER has them.
#[test]
fn page_sizes() {
    let mut pair = Pair::new(16);
    for (value, page, base) in [
        (0x4000_f000, 0, 0x4000_f000),
        (0x4000_f100, 1, 0x4000_c000),
        (0x4000_f200, 2, 0xf_0000_4000_0000),
        (0x4000_f300, 2, 0xf_0000_4000_0000),
    ] {
        pair.write(0x100, value);
        pair.check();
        let baser = kvm_core::its::register::Baser::from_raw(pair.its.read(0x100, 8));
        assert_eq!(baser.page_size(), page);
        assert_eq!(baser.base(), base);
    }
}
