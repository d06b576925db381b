// SPDX-License-Identifier: GPL-2.0

//! The LPIs that wait for a vCPU against a set.

use kvm_core::vgic::{
    candidates::Word,
    intid::IntId,
    waiting::{
        Waiting,
        WORDS, //
    },
};
use proptest::prelude::*;
use std::{
    cell::Cell,
    collections::BTreeSet, //
};

#[derive(Clone, Default)]
struct TestWord(Cell<u64>);

impl Word for TestWord {
    fn load(&self) -> u64 {
        self.0.get()
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        if self.0.get() != old {
            return Err(self.0.get());
        }
        self.0.set(new);
        Ok(())
    }

    fn swap(&self, new: u64) -> u64 {
        self.0.replace(new)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Mark(u32),
    Clear(u32),
    /// Keeps those whose number has one of these two low bits set, and marks one meanwhile.
    Retain(u32, Option<u32>),
}

fn any_lpi() -> impl Strategy<Value = u32> {
    prop_oneof![
        8192..8330u32,
        8192 + 4090..8192 + 4100u32,
        65500..65536u32,
        8192..65536u32
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any_lpi().prop_map(Op::Mark),
        2 => any_lpi().prop_map(Op::Clear),
        2 => (0..4u32, prop::option::of(any_lpi())).prop_map(|(m, n)| Op::Retain(m, n)),
    ]
}

proptest! {
    /// It is a set; what is added while it is looked through stays.
    #[test]
    fn it_is_a_set(ops in prop::collection::vec(any_op(), 0..100)) {
        let waiting = Waiting::new(vec![TestWord::default(); WORDS]);
        let mut model = BTreeSet::new();
        for op in ops {
            match op {
                Op::Mark(n) => {
                    waiting.mark(IntId::lpi(n).unwrap());
                    model.insert(n);
                }
                Op::Clear(n) => {
                    waiting.clear(IntId::lpi(n).unwrap());
                    model.remove(&n);
                }
                Op::Retain(mask, added) => {
                    let mut seen = BTreeSet::new();
                    let mut last = 0;
                    let any = waiting.retain(|intid| {
                        let n = intid.get();
                        assert!(last < n, "in order");
                        last = n;
                        if seen.is_empty() {
                            added.into_iter().for_each(|n| waiting.mark(IntId::lpi(n).unwrap()));
                        }
                        seen.insert(n);
                        n & mask != 0
                    });
                    prop_assert!(seen.is_superset(&model) || model.is_empty());
                    if let (Some(n), false) = (added, model.is_empty()) {
                        seen.remove(&n);
                        model.remove(&n);
                        prop_assert!(seen.iter().all(|n| model.contains(n)));
                        model.retain(|n| n & mask != 0);
                        // It may have been seen after it was added, and not kept then.
                        let mut is_there = false;
                        waiting.retain(|intid| {
                            is_there |= intid.get() == n;
                            true
                        });
                        if is_there {
                            model.insert(n);
                        } else {
                            prop_assert_eq!(n & mask, 0);
                        }
                    } else {
                        prop_assert_eq!(&seen, &model);
                        model.retain(|n| n & mask != 0);
                        prop_assert_eq!(any, !model.is_empty());
                    }
                }
            }
            let mut all = BTreeSet::new();
            let any = waiting.retain(|intid| all.insert(intid.get()));
            prop_assert_eq!(&all, &model);
            prop_assert_eq!(any, !model.is_empty());
        }
    }
}
