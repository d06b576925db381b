// SPDX-License-Identifier: GPL-2.0

//! KVM_SET_USER_MEMORY_REGION2 again and again, against its specification.

#![no_main]

use kvm_core::memslot::{
    find,
    Change,
    Flags,
    Limits,
    Request, //
};
use kvm_fuzz::{
    memslot::{
        content,
        set,
        specified,
        Model,
        Slots,
        GUEST_MEMFD,
        LIMITS,
        LOG,
        READONLY, //
    },
    Input, //
};

kvm_fuzz::target!(run);

/// An address or size: near others, near a limit, or any.
fn number(input: &mut Input<'_>) -> u64 {
    let kind = input.u8();
    let pages = u64::from(kind >> 3);
    match kind & 7 {
        0..=3 => pages << 12,
        4 => (1u64 << 36).wrapping_sub(pages << 12),
        5 => (1u64 << 48).wrapping_sub(pages << 12),
        6 => 0u64.wrapping_sub(pages << 12),
        _ => input.u64(),
    }
}

fn run(input: &mut Input<'_>) {
    let known = LOG | READONLY | if input.bool() { GUEST_MEMFD } else { 0 };
    let limits = Limits {
        flags: Flags::from_raw(known),
        ..LIMITS
    };
    let mut slots = Slots::new();
    let mut model = Model::new();
    while !input.is_empty() {
        let kind = input.u8();
        let request = Request {
            slot: if kind & 0xe0 == 0xe0 {
                input.u32()
            } else {
                u32::from(kind & 7)
            },
            flags: if kind & 8 != 0 {
                input.u32()
            } else {
                u32::from(kind >> 4 & 1)
            },
            guest_phys_addr: number(input),
            memory_size: number(input),
            userspace_addr: number(input),
            guest_memfd_offset: number(input),
        };
        let before = content(&slots);
        let expected = specified(&mut model, &request, known, 1 << 36, 1 << 48);
        let done = set(&mut slots, &request, &limits);
        assert_eq!(done.map(|_| ()), expected, "{request:?}");
        if matches!(done, Err(_) | Ok(Change::Nothing)) {
            assert_eq!(content(&slots), before);
        }
        assert_eq!(content(&slots), model);
        let all: Vec<_> = slots.iter().collect();
        for pair in all.windows(2) {
            assert!(pair[0].gfns().end <= pair[1].gfns().start);
        }
        let gfn = request.guest_phys_addr >> 12;
        let expected = slots.iter().find(|slot| slot.gfns().contains(&gfn));
        assert_eq!(find(&slots.list, gfn), expected);
    }
}
