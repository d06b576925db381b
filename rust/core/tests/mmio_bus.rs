// SPDX-License-Identifier: GPL-2.0

//! Doorbells and zones against lists that are searched from one end to the other.

use kvm_core::{
    bits::Bits,
    esr::AccessSize,
    mmio_bus::{
        index_of,
        maximal,
        place_of,
        rung,
        zone_of,
        BadDoorbell,
        Doorbell,
        HasDoorbell,
        Space,
        Write,
        Zone,
        IOEVENTFD_DATAMATCH,
        IOEVENTFD_DEASSIGN,
        IOEVENTFD_PIO, //
    },
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select, //
};

fn write(ipa: u64, sas: u64, value: u64) -> Write {
    let size = AccessSize::from_bits(Bits::truncated(sas));
    let unused = 64 - 8 * u32::from(size.bytes());
    Write {
        ipa,
        size,
        data: (value << unused >> unused).to_le_bytes(),
    }
}

/// What KVM_IOEVENTFD says of a doorbell, word for word.
#[derive(Copy, Clone, Debug, PartialEq)]
struct Args {
    ipa: u64,
    len: u32,
    flags: u32,
    datamatch: u64,
}

impl Args {
    fn doorbell(&self) -> Doorbell {
        Doorbell::new(self.ipa, self.len, self.flags, self.datamatch).unwrap()
    }

    fn rung_by(&self, write: &Write) -> bool {
        let value = write
            .data
            .iter()
            .rev()
            .fold(0, |v, b| (v << 8) | u64::from(*b));
        self.flags & IOEVENTFD_PIO == 0
            && self.ipa == write.ipa
            && (self.len == 0 || self.len == u32::from(write.size.bytes()))
            && (self.flags & IOEVENTFD_DATAMATCH == 0 || self.datamatch == value)
    }
}

/// A doorbell and who has it.
struct Bell(Doorbell, Args);

impl HasDoorbell for Bell {
    fn doorbell(&self) -> &Doorbell {
        &self.0
    }
}

fn args() -> impl Strategy<Value = Args> {
    (
        0x1000u64..0x1006,
        select(vec![0u32, 1, 2, 4, 8]),
        select(vec![0, IOEVENTFD_DATAMATCH, IOEVENTFD_PIO, 3]),
        select(vec![0u64, 1, 2, 0x100, 0x101, 0x1_0000_0001, u64::MAX]),
    )
        .prop_map(|(ipa, len, flags, datamatch)| Args {
            ipa,
            len,
            flags: if len == 0 {
                flags & IOEVENTFD_PIO
            } else {
                flags
            },
            datamatch: if len != 0 && flags & IOEVENTFD_DATAMATCH != 0 {
                datamatch
            } else {
                0
            },
        })
}

fn any_write() -> impl Strategy<Value = Write> {
    (
        0x0fffu64..0x1007,
        0u64..4,
        select(vec![0u64, 1, 2, 0x100, 0x101, 0x1_0000_0001, u64::MAX]),
    )
        .prop_map(|(ipa, sas, value)| write(ipa, sas, value))
}

/// Writes that tell any two of the doorbells of `args()` apart.
fn all_writes() -> Vec<Write> {
    let mut all = Vec::new();
    for ipa in 0x0fff..0x1007 {
        for sas in 0..4 {
            for value in [0, 1, 2, 3, 0x100, 0x101, 0x1_0000_0001, u64::MAX] {
                all.push(write(ipa, sas, value));
            }
        }
    }
    all
}

#[test]
fn arguments_that_name_no_doorbell() {
    let new = |ipa, len, flags| Doorbell::new(ipa, len, flags, 0);

    for len in [3, 5, 6, 7, 9, 16, 256, u32::MAX] {
        assert_eq!(new(0, len, 0), Err(BadDoorbell::Length(len)));
    }
    assert_eq!(new(u64::MAX, 1, 0), Err(BadDoorbell::Wraps));
    assert_eq!(new(u64::MAX - 7, 8, 0), Err(BadDoorbell::Wraps));
    assert!(new(u64::MAX - 8, 8, 0).is_ok());
    assert!(new(u64::MAX, 0, 0).is_ok());
    for bit in 3..32 {
        assert_eq!(new(0, 4, 1 << bit), Err(BadDoorbell::Flags(1 << bit)));
    }
    assert_eq!(
        new(0, 0, IOEVENTFD_DATAMATCH),
        Err(BadDoorbell::DataWithoutLength)
    );
    // Whether it comes or goes is not part of what it is.
    assert_eq!(new(0, 4, IOEVENTFD_DEASSIGN), new(0, 4, 0));
}

proptest! {
    #[test]
    fn doorbells_collide_if_a_write_could_ring_both(one in args(), other in args()) {
        // Where the values are beyond what the length can have, nothing rings either; they collide
        // nevertheless if they are the same.
        let reachable = |args: &Args| {
            args.len == 0 || args.len == 8 || args.datamatch < 1 << (8 * args.len)
        };
        let in_memory = |args: &Args| Args { flags: args.flags & !IOEVENTFD_PIO, ..*args };
        let expected = if one == other {
            true
        } else if (one.flags ^ other.flags) & IOEVENTFD_PIO != 0 {
            false
        } else if reachable(&one) && reachable(&other) {
            all_writes()
                .iter()
                .any(|write| in_memory(&one).rung_by(write) && in_memory(&other).rung_by(write))
        } else {
            return Ok(());
        };
        prop_assert_eq!(one.doorbell().collides(&other.doorbell()), expected);
        prop_assert_eq!(other.doorbell().collides(&one.doorbell()), expected);
    }

    #[test]
    fn a_bus_of_doorbells_is_a_list_of_them(
        steps in vec((args(), any::<bool>()), 1..60),
        writes in vec(any_write(), 1..60),
    ) {
        let mut sorted: Vec<Bell> = Vec::new();
        let mut model: Vec<Args> = Vec::new();

        for (args, assign) in steps {
            let doorbell = args.doorbell();
            if assign {
                let place = place_of(&sorted, &doorbell);
                let exists = model.iter().any(|known| known.doorbell().collides(&doorbell));
                prop_assert_eq!(place.is_none(), exists);
                if let Some(place) = place {
                    sorted.insert(place, Bell(doorbell, args));
                    model.push(args);
                }
            } else {
                let index = index_of(&sorted, &doorbell);
                let at = model.iter().position(|known| *known == args);
                prop_assert_eq!(index.is_some(), at.is_some());
                if let (Some(index), Some(at)) = (index, at) {
                    prop_assert_eq!(sorted.remove(index).1, model.remove(at));
                }
            }
            prop_assert!(sorted.windows(2).all(|pair| pair[0].0 < pair[1].0));
            for write in &writes {
                let mut ringing = model.iter().filter(|args| args.rung_by(write));
                prop_assert_eq!(rung(&sorted, write).map(|bell| &bell.1), ringing.next());
                prop_assert_eq!(ringing.next(), None, "two are rung");
            }
        }
    }

    #[test]
    fn a_write_is_in_a_zone_if_all_of_it_is_in_one(
        zones in vec((any::<bool>(), 0u64..64, 0u32..32), 0..12),
        ipa in 0u64..96,
        sas in 0u64..4,
    ) {
        let write = write(ipa, sas, 0);
        let mut sorted: Vec<Zone> = zones
            .iter()
            .map(|&(ports, start, size)| {
                let space = if ports { Space::Ports } else { Space::Memory };
                Zone::new(space, start, size).unwrap()
            })
            .collect();
        sorted.sort_by_key(Zone::order);
        let maximal: Vec<Zone> = maximal(sorted.iter()).copied().collect();
        let expected = zones.iter().any(|&(ports, start, size)| {
            !ports
                && (ipa..ipa + u64::from(write.bytes()))
                    .all(|byte| (start..start + u64::from(size)).contains(&byte))
        });

        prop_assert_eq!(zone_of(&maximal, &write).is_some(), expected);
        for (i, one) in maximal.iter().enumerate() {
            let others = maximal.iter().enumerate().filter(|(j, _)| i != *j);
            prop_assert!(others.into_iter().all(|(_, other)| !other.contains(one)));
        }
        for zone in &sorted {
            prop_assert!(maximal.iter().any(|large| large.contains(zone)));
        }
    }

    #[test]
    fn zones_do_not_wrap(start: u64, size: u32, high in 0u64..16) {
        for start in [start, u64::MAX - u64::from(size).wrapping_sub(high)] {
            let end = u128::from(start) + u128::from(size);
            prop_assert_eq!(
                Zone::new(Space::Memory, start, size).is_some(),
                end <= u128::from(u64::MAX)
            );
        }
        // Nor does a write at the end of all addresses find one.
        let zone = Zone::new(Space::Memory, u64::MAX - 16, 16).unwrap();
        prop_assert!(!zone.has(&write(u64::MAX - high % 3, 3, 0)));
    }
}
