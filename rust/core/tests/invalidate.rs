// SPDX-License-Identifier: GPL-2.0

//! Invalidations against a literal model: a host page per address whose content changes somewhere
//! between the beginning and the end of an invalidation.

use kvm_core::invalidate::{InvalidateSeq, Snapshot};
use proptest::prelude::*;
use std::collections::VecDeque;

const ADDRESSES: u64 = 16;

#[derive(Clone, Debug)]
enum Step {
    Begin(u64, u64),
    /// The host takes the pages of the n-th invalidation under way.
    Take(usize),
    End(usize),
    Lookup(u64),
    /// The oldest lookup goes on to map what it found.
    Map,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..ADDRESSES, 1..=4u64).prop_map(|(start, len)| Step::Begin(start, start + len)),
        (0..4usize).prop_map(Step::Take),
        (0..4usize).prop_map(Step::End),
        (0..ADDRESSES).prop_map(Step::Lookup),
        Just(Step::Map),
    ]
}

struct Lookup {
    address: u64,
    found: u64,
    snapshot: Snapshot,
    /// Steps of invalidations seen since.
    disturbed: bool,
}

proptest! {
    /// Once the last invalidation of an address has ended, nothing that was there before it is
    /// mapped; and nothing taken is mapped at any time after it was taken.
    #[test]
    fn nothing_stale_is_mapped(steps in prop::collection::vec(step(), 0..200)) {
        let mut seq = InvalidateSeq::new();
        let mut host = vec![0u64; ADDRESSES as usize + 4];
        let mut guest = vec![None; ADDRESSES as usize + 4];
        let mut active: Vec<(u64, u64)> = Vec::new();
        let mut lookups: VecDeque<Lookup> = VecDeque::new();

        for step in steps {
            match step {
                Step::Begin(start, end) => {
                    seq.begin(start..end);
                    active.push((start, end));
                    for a in start..end {
                        guest[a as usize] = None;
                    }
                    lookups.iter_mut().for_each(|l| l.disturbed = true);
                }
                Step::Take(n) => {
                    if let Some(&(start, end)) = active.get(n) {
                        for a in start..end {
                            host[a as usize] += 1;
                        }
                    }
                }
                Step::End(n) => {
                    if n < active.len() {
                        active.remove(n);
                        prop_assert_eq!(seq.end(), active.is_empty());
                        lookups.iter_mut().for_each(|l| l.disturbed = true);
                    }
                }
                Step::Lookup(address) => lookups.push_back(Lookup {
                    address,
                    found: host[address as usize],
                    snapshot: seq.snapshot(),
                    disturbed: !active.is_empty(),
                }),
                Step::Map => {
                    if let Some(l) = lookups.pop_front() {
                        let retry = seq.must_retry(l.snapshot, l.address..l.address + 1);
                        if !retry {
                            guest[l.address as usize] = Some(l.found);
                        }
                        // Progress: who was not disturbed is not stopped.
                        prop_assert!(l.disturbed || !retry);
                    }
                }
            }
            prop_assert_eq!(seq.in_progress(), !active.is_empty());
            for (address, mapped) in guest.iter().enumerate() {
                if let Some(found) = mapped {
                    prop_assert_eq!(*found, host[address], "stale at {}", address);
                }
            }
        }
    }

    /// An invalidation elsewhere that has not ended stops nobody.
    #[test]
    fn elsewhere_does_not_stop(
        start in 0..1000u64,
        len in 1..1000u64,
        address in 0..3000u64,
        size in 1..600u64,
    ) {
        let addresses = address..address + size;
        let mut seq = InvalidateSeq::new();
        let before = seq.snapshot();
        seq.begin(start..start + len);
        let inside = (start..start + len).any(|a| addresses.contains(&a));

        prop_assert_eq!(seq.must_retry(before, addresses.clone()), inside);
        prop_assert_eq!(seq.must_retry(seq.snapshot(), addresses.clone()), inside);
        prop_assert!(seq.end());
        prop_assert!(seq.must_retry(before, addresses.clone()));
        prop_assert!(!seq.must_retry(seq.snapshot(), addresses.clone()));
    }
}

#[test]
fn end_without_begin_changes_nothing() {
    let mut seq = InvalidateSeq::new();
    let before = seq.snapshot();

    assert!(!seq.end());
    assert_eq!(seq.snapshot(), before);
    assert!(!seq.in_progress());
}
