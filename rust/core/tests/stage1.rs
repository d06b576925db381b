// SPDX-License-Identifier: GPL-2.0

//! Levels of descriptors in a guest's tables.

mod common;

use std::collections::BTreeMap;

use common::vcpu::{
    pstate,
    Vcpu, //
};
use kvm_core::{
    bits::Bits,
    register::Reg, //
    stage1::{
        descriptor_level,
        SctlrWalk,
        TcrEl1, //
    },
};
use proptest::prelude::*;

/// A guest's tables for one address.
struct Guest {
    vcpu: Vcpu,
    memory: BTreeMap<u64, [u8; 8]>,
    /// The descriptor's address at each level from the first, with that level.
    path: Vec<(i8, u64)>,
}

/// The addresses' bits that each level translates, by granule: the lowest, for levels 3 to -1, by
/// the figures of the Arm ARM.
fn lowest_bits(granule: u32) -> &'static [u32] {
    match granule {
        12 => &[12, 21, 30, 39, 48],
        14 => &[14, 25, 36, 47],
        _ => &[16, 29, 42],
    }
}

/// Builds tables that translate `va` down to level 3; each table is at a place of its own.
fn guest(granule: u32, input: u32, wide: bool, upper: bool, big: bool, va: u64) -> Guest {
    let bits = lowest_bits(granule);
    let va = if upper {
        va | (u64::MAX << input)
    } else {
        va & ((1 << input) - 1)
    };
    // The first level is the highest that translates any bit of the address.
    let levels = bits.iter().filter(|low| **low < input).count();
    let place = |n: usize| {
        let high = if wide { 0xa << 48 } else { 0 };
        high | (0x40_0000_0000 + ((n as u64 + 1) << 24))
    };
    let mut memory = BTreeMap::new();
    let mut path = vec![];
    for n in 0..levels {
        let level = levels - 1 - n;
        let top = if n == 0 { input } else { bits[level + 1] };
        let index = (va >> bits[level]) & ((1 << (top - bits[level])) - 1);
        let address = place(n) + 8 * index;
        path.push((3 - level as i8, address));
        let next = place(n + 1);
        let (next, high) = (next & 0xffff_ffff_ffff, next >> 48);
        let descriptor = match (wide, granule) {
            (false, _) => next,
            (true, 16) => next | (high << 12),
            (true, _) => next | ((high & 3) << 48) | ((high >> 2) << 8),
        } | 3;
        let bytes = if big {
            descriptor.to_be_bytes()
        } else {
            descriptor.to_le_bytes()
        };
        memory.insert(address, bytes);
    }
    let numbers = match granule {
        12 => [0, 2],
        14 => [2, 1],
        _ => [1, 3],
    };
    let size = Bits::truncated(u64::from(64 - input));
    let tcr = TcrEl1::from_raw(0).with_ds(wide && granule != 16);
    let tcr = tcr.with_ips(Bits::truncated(if wide { 6 } else { 5 }));
    let tcr = if upper {
        tcr.with_t1sz(size)
            .with_tg1(Bits::truncated(numbers[1]))
            .with_epd0(true)
    } else {
        tcr.with_t0sz(size)
            .with_tg0(Bits::truncated(numbers[0]))
            .with_epd1(true)
    };
    // An ASID and CnP are no part of the address.
    let first = place(0);
    let ttbr = (first & 0xffff_ffff_ffff) | ((first >> 48) << 2) | (0xbeef << 48) | 1;
    let vcpu = Vcpu::new(pstate(5), 0)
        .with(Reg::TCR_EL1, tcr.into_raw())
        .with(
            if upper {
                Reg::TTBR1_EL1
            } else {
                Reg::TTBR0_EL1
            },
            ttbr,
        )
        .with(
            Reg::SCTLR_EL1,
            SctlrWalk::from_raw(0).with_m(true).with_ee(big).into_raw(),
        );
    Guest { vcpu, memory, path }
}

/// A granule, and an address size that it can have.
fn any_shape() -> impl Strategy<Value = (u32, u32, bool)> {
    prop_oneof![Just(12u32), Just(14), Just(16)].prop_flat_map(|granule| {
        any::<bool>().prop_flat_map(move |wide| {
            let most = if wide { 52 } else { 48 };
            (Just(granule), 22u32..=most, Just(wide))
        })
    })
}

proptest! {
    #[test]
    fn every_level_is_found(
        (granule, input, wide) in any_shape(),
        upper: bool,
        big: bool,
        va: u64,
    ) {
        let guest = guest(granule, input, wide, upper, big, va);
        let va = if upper { va | (u64::MAX << input) } else { va & ((1 << input) - 1) };
        for (i, (level, address)) in guest.path.iter().enumerate() {
            // The table of this level is where no memory is.
            let mut reads = vec![];
            let found = descriptor_level(&guest.vcpu, va, address & !0xfff, |address| {
                reads.push(address);
                guest.memory.get(&address).copied()
            });
            prop_assert_eq!(found.map(|level| level.get()), Some(*level));
            // Nothing but the descriptors above it is read.
            let above: Vec<_> = guest.path[..i].iter().map(|(_, address)| *address).collect();
            prop_assert_eq!(reads, above);
        }
        // A page without a descriptor for this address, translation off, tables that changed.
        let read = |address| guest.memory.get(&address).copied();
        prop_assert_eq!(descriptor_level(&guest.vcpu, va, 0x1000, read), None);
        let (_, first) = guest.path[0];
        let mut off = guest.vcpu.clone();
        off.sysregs.insert(Reg::SCTLR_EL1, 0);
        prop_assert_eq!(descriptor_level(&off, va, first & !0xfff, read), None);
        if let [.., (_, last)] = guest.path[1..] {
            let empty = |_| Some([0; 8]);
            prop_assert_eq!(descriptor_level(&guest.vcpu, va, last & !0xfff, empty), None);
        }
    }

    #[test]
    fn no_tables_do_harm(
        tcr: u64,
        ttbr: [u64; 2],
        sctlr: u64,
        va: u64,
        page: u64,
        contents: [u64; 5],
    ) {
        let vcpu = Vcpu::new(pstate(5), 0)
            .with(Reg::TCR_EL1, tcr)
            .with(Reg::TTBR0_EL1, ttbr[0])
            .with(Reg::TTBR1_EL1, ttbr[1])
            .with(Reg::SCTLR_EL1, sctlr | 1);
        let mut reads = 0;
        let _ = descriptor_level(&vcpu, va, page, |_| {
            reads += 1;
            Some((contents[reads - 1] | 3).to_le_bytes())
        });
        prop_assert!(reads <= 5);
    }
}

/// The case of upstream's selftest: the level 2 entry points past the end of memory.
#[test]
fn a_last_level_out_of_memory() {
    let guest = guest(12, 48, false, false, false, 0x800_0000);
    let levels: Vec<_> = guest.path.iter().map(|(level, _)| *level).collect();
    assert_eq!(levels, [0, 1, 2, 3]);
    let (_, last) = guest.path[3];
    let level = descriptor_level(&guest.vcpu, 0x800_0000, last & !0xfff, |address| {
        guest.memory.get(&address).copied()
    });
    assert_eq!(level.map(|level| level.get()), Some(3));
}

/// The low bits of a TTBR that the table's alignment leaves out count as zero; a fuzzer's case.
#[test]
fn a_base_that_is_not_aligned() {
    let guest = guest(12, 48, false, false, false, 0x800_0000);
    let (_, last) = guest.path[3];
    let ttbr = guest.vcpu.sysregs[&Reg::TTBR0_EL1];
    for low in [2, 4, 8, 0xffe] {
        let vcpu = guest.vcpu.clone().with(Reg::TTBR0_EL1, ttbr | low);
        let level = descriptor_level(&vcpu, 0x800_0000, last & !0xfff, |address| {
            assert_eq!(address % 8, 0, "TTBR0_EL1 {low:#x}");
            guest.memory.get(&address).copied()
        });
        assert_eq!(level.map(|level| level.get()), Some(3));
    }
}
