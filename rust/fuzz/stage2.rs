// SPDX-License-Identifier: GPL-2.0

//! Sequences of changes of stage 2 tables, against a plain map.

#![no_main]

use kvm_core::{
    ipa::IpaBits,
    stage2::{
        Attributes,
        Config,
        Execute,
        Level,
        MemoryType,
        Permissions, //
    },
};
use kvm_fuzz::{
    world::{
        Op,
        Place,
        World,
        SHAPES, //
    },
    Input, //
};

kvm_fuzz::target!(run);

/// More operations make an input slow and no more interesting.
const OPERATIONS: usize = 24;

fn run(input: &mut Input<'_>) {
    let (granule, ipa, pa) = input.one_of(&SHAPES);
    let flags = input.u8();
    let mut world = World::new(&Config {
        granule,
        ipa: IpaBits::new(ipa).unwrap(),
        cpu_pa_bits: pa,
        host_pa_bits: 48,
        lpa2: ipa > 48,
        fwb: flags & 1 != 0,
        xnx: flags & 2 != 0,
        hardware_access_flag: false,
        live_resize: flags & 8 != 0,
        vmid16: false,
    });
    for _ in 0..OPERATIONS {
        if input.is_empty() {
            break;
        }
        let Some(op) = any_op(input) else { continue };
        world.run(op);
    }
    world.compare(0..u64::MAX, u32::MAX);
    if flags & 4 != 0 {
        world.unmap(0..u64::MAX, 97 + u32::from(flags));
        world.mem.assert_clean();
        assert_eq!(world.mem.tables(), 0);
        world.mem.assert_root_empty();
    } else {
        world.tear_down(97 + u32::from(flags));
    }
}

fn any_op(input: &mut Input<'_>) -> Option<Op> {
    let kind = input.u8();
    let at = any_place(input);
    Some(match kind & 15 {
        0..=4 => Op::Map(at, u64::from(kind >> 4 & 3), any_attributes(input)?),
        6 => Op::WriteProtectPages(at, input.u64()),
        7 => Op::Split(at, any_place(input), any_budget(kind)),
        5 => Op::MapOver(
            at,
            u64::from(kind >> 4 & 3),
            any_attributes(input)?,
            any_budget(kind),
        ),
        8 | 9 => Op::Relax(at, any_permissions(input)),
        10 => Op::SetAccessed(at),
        11..=13 => Op::Unmap(at, any_place(input), any_budget(kind)),
        14 => Op::WriteProtect(at, any_place(input), any_budget(kind)),
        _ => Op::ClearAccessed(at, any_place(input), any_budget(kind)),
    })
}

fn any_budget(kind: u8) -> u32 {
    [0, 1, 2, 700, u32::MAX][usize::from(kind >> 4) % 5]
}

/// A byte: two bits for each of the four levels; another one for the level.
fn any_place(input: &mut Input<'_>) -> Place {
    let index = input.u8();
    Place {
        index: [index & 1, index >> 2 & 1, index >> 4 & 3, index >> 6],
        level: input.one_of(&[Level::L3, Level::L3, Level::L2, Level::L1]),
    }
}

fn any_permissions(input: &mut Input<'_>) -> Permissions {
    let bits = input.u8();
    Permissions {
        read: bits & 1 != 0,
        write: bits & 2 != 0,
        execute: Execute::ALL[usize::from(bits >> 2) % Execute::ALL.len()],
    }
}

fn any_attributes(input: &mut Input<'_>) -> Option<Attributes> {
    let memory = [
        MemoryType::Normal,
        MemoryType::NormalNonCacheable,
        MemoryType::Device,
    ];
    let permissions = any_permissions(input);
    Attributes::new(permissions, input.one_of(&memory))
}
