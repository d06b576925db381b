// SPDX-License-Identifier: GPL-2.0

//! The LPIs that wait for a vCPU against a map.

use kvm_core::{
    bits::Bits,
    vgic::{
        candidates::Word,
        intid::IntId,
        irq::{
            Irq,
            PRIORITY_MASK, //
        },
        waiting::{
            Look,
            Rest,
            Waiting,
            WORDS, //
        },
    },
};
use proptest::prelude::*;
use std::{
    cell::{
        Cell,
        RefCell, //
    },
    collections::BTreeMap, //
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

/// Who is to look, and what happens in that moment.
struct Lpis<'a> {
    model: &'a RefCell<BTreeMap<u32, u8>>,
    looks: usize,
    during: Box<dyn FnMut() + 'a>,
}

impl Look for Lpis<'_> {
    fn look(&mut self, first: IntId, bits: u64, mut f: impl FnMut(u32, Option<Irq>)) -> u32 {
        assert_eq!(first.get() % 64, 0);
        for bit in (0..64).filter(|bit| bits & (1 << bit) != 0) {
            let irq = self
                .model
                .borrow()
                .get(&(first.get() + bit))
                .map(|priority| {
                    Irq::reset(lpi(first.get() + bit), Some(0), true)
                        .set_enabled(true)
                        .set_pending()
                        .set_priority(*priority)
                });
            self.looks += 1;
            f(bit, irq);
        }
        (self.during)();
        0
    }
}

/// All wait for another vCPU by now.
struct Moved {
    passed: u32,
}

impl Look for Moved {
    fn look(&mut self, _first: IntId, bits: u64, mut f: impl FnMut(u32, Option<Irq>)) -> u32 {
        for bit in (0..64).filter(|bit| bits & (1 << bit) != 0) {
            f(bit, None);
        }
        self.passed += bits.count_ones();
        bits.count_ones()
    }
}

fn lpi(n: u32) -> IntId {
    IntId::lpi(n).unwrap()
}

fn priority(p: u8) -> Bits<8> {
    Bits::new(p.into()).unwrap()
}

struct World {
    waiting: Waiting<Vec<TestWord>>,
    /// Those that wait, with their priorities.
    model: RefCell<BTreeMap<u32, u8>>,
}

impl World {
    fn new() -> Self {
        Self {
            waiting: Waiting::new(vec![TestWord::default(); WORDS]),
            model: RefCell::new(BTreeMap::new()),
        }
    }

    /// An LPI waits, or has another priority.
    fn wait(&self, n: u32, p: u8) {
        self.model.borrow_mut().insert(n, p & PRIORITY_MASK);
        self.waiting.mark(lpi(n), priority(p & PRIORITY_MASK));
    }

    /// The first ones, as long as it takes, with their priorities; how often it was asked, and how many
    /// LPIs were looked at at once at most.
    fn first(&self, limit: usize) -> (Vec<(u8, u32)>, Rest, usize, usize) {
        let mut most = 0;
        for asked in 1.. {
            let mut found = Vec::new();
            let mut lpis = Lpis {
                model: &self.model,
                looks: 0,
                during: Box::new(|| ()),
            };
            let rest = self.waiting.first(&mut lpis, |intid, irq| {
                found.push((irq.priority().get() as u8, intid.get()));
                found.len() < limit
            });
            most = most.max(lpis.looks);
            if rest != Rest::Unknown {
                return (found, rest, asked, most);
            }
        }
        unreachable!()
    }

    fn compare(&self, limit: usize) {
        let mut all: Vec<_> = self.model.borrow().iter().map(|(n, p)| (*p, *n)).collect();
        all.sort_unstable();
        let (found, rest, ..) = self.first(limit);
        assert_eq!(found, all[..limit.min(all.len())]);
        assert_eq!(rest == Rest::Others, all.len() >= limit);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Wait(u32, u8),
    /// It does not wait any more, which nobody says.
    Leave(u32),
    /// It is taken.
    Take(u32),
    First(usize),
    /// The n-th look is in the moment when one comes, or has another priority.
    During(usize, u32, u8),
}

fn any_lpi() -> impl Strategy<Value = u32> {
    prop_oneof![
        8192..8330u32,
        8192 + 4090..8192 + 4100u32,
        65500..65536u32,
        8192..65536u32
    ]
}

fn any_priority() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0xa0), Just(0), any::<u8>()]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (any_lpi(), any_priority()).prop_map(|(n, p)| Op::Wait(n, p)),
        2 => any_lpi().prop_map(Op::Leave),
        2 => any_lpi().prop_map(Op::Take),
        2 => (1..20usize).prop_map(Op::First),
        2 => (0..6usize, any_lpi(), any_priority()).prop_map(|(at, n, p)| Op::During(at, n, p)),
    ]
}

proptest! {
    /// The first ones are found in the order of their priorities, whatever happened before.
    #[test]
    fn by_priority(ops in prop::collection::vec(any_op(), 0..100)) {
        let world = World::new();
        for op in ops {
            match op {
                Op::Wait(n, p) => world.wait(n, p),
                Op::Leave(n) => {
                    world.model.borrow_mut().remove(&n);
                }
                Op::Take(n) => {
                    world.waiting.clear(lpi(n));
                    world.model.borrow_mut().remove(&n);
                }
                Op::First(limit) => world.compare(limit),
                Op::During(at, n, p) => {
                    let mut left = at;
                    let mut lpis = Lpis {
                        model: &world.model,
                        looks: 0,
                        during: Box::new(|| {
                            if left == 0 {
                                world.wait(n, p);
                            }
                            left = left.wrapping_sub(1);
                        }),
                    };
                    // What is found now is another matter.
                    let _ = world.waiting.first(&mut lpis, |_, _| true);
                }
            }
        }
        world.compare(17);
        world.compare(usize::MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// However many wait, it is enough to look at few of them.
    #[test]
    fn few_looks(priorities in prop::collection::vec(any_priority(), 1..8), limit in 1..18usize) {
        let world = World::new();
        for n in 8192..16384 {
            world.wait(n, priorities[n as usize % priorities.len()]);
        }
        for _ in 0..4 {
            let (found, rest, asked, looks) = world.first(limit);
            let best = priorities.iter().min().unwrap() & PRIORITY_MASK;
            prop_assert!(found.iter().all(|(p, _)| *p == best));
            prop_assert_eq!((found.len(), rest, asked), (limit, Rest::Others, 1));
            prop_assert!(looks <= limit * 64);
            for (_, n) in found {
                world.waiting.clear(lpi(n));
                world.model.borrow_mut().remove(&n);
            }
        }
    }
}

/// All that could make a look long: each word has been named by all levels, all wait, and what is
/// looked for is at the end. It takes some calls, none of them is long.
#[test]
fn a_look_is_bounded() {
    let world = World::new();
    for p in (0..0xf8).step_by(8) {
        for n in (8192..65536).step_by(64) {
            world.wait(n, p);
        }
    }
    for n in 8192..65536 {
        world.wait(n, 0xf8);
    }
    let (found, rest, asked, looks) = world.first(1);
    assert_eq!((found, rest), (vec![(0xf8, 8192)], Rest::Others));
    assert!(looks <= 4096, "{looks}");
    assert!(
        asked > 1 && asked < 31 * 896 * (64 + 8) / 4096 * 2,
        "{asked}"
    );
    // It is paid for.
    assert_eq!(world.first(1).2, 1);
}

/// A vCPU finds that all that waited for it go to another: no call passes many of them on.
#[test]
fn passing_on_is_bounded() {
    let world = World::new();
    for n in 8192..65536 {
        world.waiting.mark(lpi(n), priority(0xa0));
    }
    let mut passed = 0;
    for asked in 1.. {
        let mut lpis = Moved { passed: 0 };
        let rest = world.waiting.first(&mut lpis, |_, _| unreachable!());
        assert!(lpis.passed <= 512, "{}", lpis.passed);
        passed += lpis.passed;
        if rest == Rest::Nothing {
            break;
        }
        assert_eq!(rest, Rest::Unknown);
        assert!(asked < 1000);
    }
    assert!(passed >= 65536 - 8192);
}
