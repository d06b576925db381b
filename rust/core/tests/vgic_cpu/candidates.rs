// SPDX-License-Identifier: GPL-2.0

//! The candidates' protocol, in all orders in which two threads' accesses can come.
//!
//! All its accesses but one load are full barriers, and so is the change of the interrupt's state, so
//! the orders in which one access follows another are all there are.

use crate::{
    cell::CellWord,
    orders::{in_all_orders, Scheduled},
};
use kvm_core::{
    vgic::{
        candidates::{Candidates, Marks},
        intid::IntId,
    },
    word::Word,
};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Mutex};

struct Shared {
    candidates: Candidates<Scheduled>,
    /// The interrupts' states, each 1 if it is to be looked at.
    states: [Scheduled; 2],
    /// What the vCPU has seen.
    seen: Mutex<[u64; 2]>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            candidates: Candidates::new(Scheduled::default),
            states: Default::default(),
            seen: Mutex::new([0; 2]),
        }
    }
}

/// Two of one word, or of two.
const NEAR: [u32; 2] = [33, 40];
const FAR: [u32; 2] = [33, 900];

fn raise(shared: &Shared, intids: [u32; 2], n: usize) {
    shared.states[n].swap(1);
    shared.candidates.mark(IntId::new(intids[n]).unwrap());
}

/// The vCPU looks once, if there is something to look at.
fn look(shared: &Shared, intids: [u32; 2]) {
    let mut marks = Marks::NONE;

    if !shared.candidates.any() {
        return;
    }
    shared.candidates.take(&mut marks);
    marks.retain(|intid| {
        let n = intids.iter().position(|n| *n == intid.get()).unwrap();
        let state = shared.states[n].load();
        shared.seen.lock().unwrap()[n] |= state;
        true
    });
}

/// An interrupt that was raised has been seen, or will be at the next look.
fn nothing_is_missed(shared: &Shared, intids: [u32; 2]) {
    look(shared, intids);
    let seen = *shared.seen.lock().unwrap();
    for (seen, state) in seen.iter().zip(&shared.states) {
        assert_eq!(*seen, state.load());
    }
    assert!(!shared.candidates.any());
}

#[test]
fn raised_while_the_vcpu_looks() {
    let orders = in_all_orders(
        |shared| {
            raise(shared, NEAR, 0);
            raise(shared, NEAR, 1);
        },
        |shared| {
            look(shared, NEAR);
            look(shared, NEAR);
        },
        |shared| nothing_is_missed(shared, NEAR),
    );
    assert!(orders > 100, "{orders}");
}

#[test]
fn raised_by_two_at_once() {
    in_all_orders(
        |shared| raise(shared, FAR, 0),
        |shared| raise(shared, FAR, 1),
        |shared| nothing_is_missed(shared, FAR),
    );
    in_all_orders(
        |shared| raise(shared, NEAR, 0),
        |shared| raise(shared, NEAR, 1),
        |shared| nothing_is_missed(shared, NEAR),
    );
}

/// The same one again, by another thread, while the first has not finished.
#[test]
fn raised_again() {
    in_all_orders(
        |shared: &Shared| {
            shared.states[0].swap(1);
            shared.candidates.mark(IntId::new(FAR[0]).unwrap());
            shared.states[1].swap(1);
            shared.candidates.mark(IntId::new(FAR[1]).unwrap());
        },
        |shared| {
            look(shared, FAR);
        },
        |shared| nothing_is_missed(shared, FAR),
    );
}

#[derive(Clone, Debug)]
enum Change {
    Insert(u32),
    Remove(u32),
    Take(Vec<u32>),
    Lpis(bool),
    Retain(u32),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..1020u32).prop_map(Change::Insert),
        4 => (0..1020u32).prop_map(Change::Remove),
        2 => prop::collection::vec(0..1020u32, 0..5).prop_map(Change::Take),
        1 => any::<bool>().prop_map(Change::Lpis),
        1 => (1..5u32).prop_map(Change::Retain),
    ]
}

fn intid(n: u32) -> IntId {
    IntId::new(n).unwrap()
}

proptest! {
    /// What a vCPU has taken note of is a set, and one that has the same is equal.
    #[test]
    fn marks_are_a_set(changes in prop::collection::vec(any_change(), 1..60)) {
        let mut marks = Marks::NONE;
        let mut model = BTreeSet::new();
        let mut lpis = false;

        for change in changes {
            match change {
                Change::Insert(n) => {
                    marks.insert(intid(n));
                    model.insert(n);
                }
                Change::Remove(n) => {
                    marks.remove(intid(n));
                    model.remove(&n);
                }
                Change::Take(those) => {
                    let candidates = Candidates::new(CellWord::default);
                    those.iter().for_each(|n| candidates.mark(intid(*n)));
                    model.extend(those);
                    candidates.take(&mut marks);
                    prop_assert!(!candidates.any());
                }
                Change::Lpis(some) => {
                    marks.set_lpis(some);
                    lpis = some;
                }
                Change::Retain(step) => {
                    let mut seen = vec![];
                    marks.retain(|id| {
                        seen.push(id.get());
                        id.get() % step != 0
                    });
                    prop_assert!(seen.iter().eq(&model));
                    model.retain(|n| n % step != 0);
                }
            }
            let mut fresh = Marks::NONE;
            fresh.set_lpis(lpis);
            model.iter().for_each(|n| fresh.insert(intid(*n)));
            prop_assert_eq!(&marks, &fresh);
            prop_assert_eq!(marks.lpis(), lpis);
            prop_assert_eq!(marks.is_empty(), model.is_empty() && !lpis);
        }
    }
}
