// SPDX-License-Identifier: GPL-2.0

//! The way of LPIs to a guest, beside SPIs: it takes the first of those that are pending, however many
//! there are and however few list registers.

use crate::{
    machine::{CellWord, Cpu, Vm},
    HCR,
};
use kvm_core::vgic::{
    cell::IrqCell,
    interrupts::{Groups, Interrupts},
    intid::IntId,
    irq::{Irq, PRIORITY_MASK},
    lr::ListRegister,
    queue::{self, Queue, VirtualInterface, MAX_LIST_REGISTERS},
    waiting::{Look, Rest, Waiting, WORDS},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SPIS: usize = 4;

/// The LPIs of a VM whose one vCPU is the first.
struct Table {
    lpis: BTreeMap<IntId, CellWord>,
    waiting: Waiting<Vec<CellWord>>,
}

impl Table {
    /// Changes an LPI, and makes the vCPU look.
    fn update(&self, vm: &Vm, intid: IntId, f: impl FnMut(Irq) -> Irq) {
        let change = self.lpis[&intid].update(f);

        if change.concerns() == Some(0) {
            self.waiting.mark(intid, change.new.priority());
            vm.candidates[0].mark(intid);
        }
    }
}

impl Look for &Table {
    fn look(&mut self, first: IntId, bits: u64, mut f: impl FnMut(u32, Option<Irq>)) -> u32 {
        for bit in (0..64).filter(|bit| bits & (1 << bit) != 0) {
            let irq = IntId::lpi(first.get() + bit).and_then(|intid| self.lpis.get(&intid));
            f(
                bit,
                irq.map(IrqCell::load)
                    .filter(|irq| !irq.listed() && irq.is_candidate() && irq.owner() == Some(0)),
            );
        }
        0
    }
}

struct Lpis<'a> {
    vm: &'a Vm,
    table: &'a Table,
    slots: &'a mut [Option<IntId>; MAX_LIST_REGISTERS],
}

impl queue::Lpis for Lpis<'_> {
    fn first(&mut self, f: impl FnMut(IntId, Irq) -> bool) -> Rest {
        self.table.waiting.first(&mut &*self.table, f)
    }

    fn list(
        &mut self,
        n: usize,
        intid: IntId,
        holder: usize,
        groups: Groups,
    ) -> Option<ListRegister> {
        let mut lr = None;

        self.table.waiting.clear(intid);
        self.table.lpis[&intid].update(|irq| match irq.list(intid, holder, groups, true) {
            Some((irq, listed)) => {
                lr = Some(listed);
                irq
            }
            None => irq,
        });
        self.slots[n] = lr.map(|_| intid);
        lr
    }

    fn fold(&mut self, n: usize, lr: ListRegister) -> bool {
        let Some(intid) = self.slots[n].take() else {
            return false;
        };
        let mut waits = false;
        self.table.update(self.vm, intid, |irq| irq.fold(lr));
        let irq = IrqCell::load(&self.table.lpis[&intid]);
        waits |= irq.is_candidate() && irq.owner() == Some(0);
        waits
    }
}

/// A CPU whose LPIs have no active state.
struct World {
    vm: Vm,
    table: Table,
    cpu: Cpu,
    queue: Queue,
    slots: [Option<IntId>; MAX_LIST_REGISTERS],
    fills: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Message(usize),
    Clear(usize),
    Enable(usize, bool),
    Priority(usize, u8),
    Target(usize, bool),
    Spi(usize),
    Groups(bool),
    Take,
}

impl World {
    fn new(list_registers: usize, numbers: &[u32]) -> Self {
        let vm = Vm::new(1, SPIS);
        let cell = |intid| {
            let word = CellWord::default();
            word.update(|_| Irq::reset(intid, Some(0), true).set_enabled(true));
            (intid, word)
        };

        for spi in 0..SPIS {
            let intid = IntId::spi(32 + spi as u32).unwrap();
            let priority = 0x20 + 0x40 * spi as u8;
            vm.update(0, intid, |irq| {
                irq.set_enabled(true).set_edge(true).set_priority(priority)
            });
        }
        Self {
            vm,
            table: Table {
                lpis: numbers
                    .iter()
                    .map(|n| cell(IntId::lpi(*n).unwrap()))
                    .collect(),
                waiting: Waiting::new((0..WORDS).map(|_| CellWord::default()).collect()),
            },
            cpu: Cpu::new(list_registers, false, 0xff, HCR),
            queue: Queue::new(0, HCR),
            slots: [None; MAX_LIST_REGISTERS],
            fills: 0,
        }
    }

    fn intid(&self, n: usize) -> IntId {
        *self
            .table
            .lpis
            .keys()
            .nth(n % self.table.lpis.len())
            .unwrap()
    }

    fn run(&mut self) {
        for _ in 0..16 {
            if !self.cpu.maintenance() && !self.queue.is_stale(&self.vm.candidates[0]) {
                return;
            }
            let mut lpis = Lpis {
                vm: &self.vm,
                table: &self.table,
                slots: &mut self.slots,
            };
            self.queue.fold(&self.vm, &mut lpis, &self.cpu, |_| ());
            let _ = self
                .queue
                .fill(&self.vm, &self.vm.candidates[0], &mut lpis, &self.cpu);
            self.fills += 1;
        }
        panic!("the vCPU never stops exiting");
    }

    /// What the architecture would signal: the priority of the first one that is pending.
    fn signalled(&mut self) -> Option<u64> {
        let mut lpis = Lpis {
            vm: &self.vm,
            table: &self.table,
            slots: &mut self.slots,
        };
        self.queue.fold(&self.vm, &mut lpis, &self.cpu, |_| ());
        let groups = self.vm.groups();
        let spis = (0..SPIS).map(|n| self.vm.irq(0, IntId::spi(32 + n as u32).unwrap()));
        let all = self.table.lpis.values().map(IrqCell::load).chain(spis);
        let first = all
            .filter(|irq| irq.owner() == Some(0) && irq.is_deliverable(groups))
            .map(|irq| irq.priority().get())
            .min();
        let mut lpis = Lpis {
            vm: &self.vm,
            table: &self.table,
            slots: &mut self.slots,
        };
        let all = Groups {
            group0: true,
            group1: true,
        };
        let candidates = &self.vm.candidates[0];
        let found = self
            .queue
            .has_deliverable(&self.vm, candidates, &mut lpis, 0xff, all);
        // The lowest priority is masked.
        assert_eq!(found, first.is_some_and(|priority| priority < 0xff));
        first
    }

    fn take(&mut self) {
        let want = self.signalled();
        self.run();
        let taken = self.cpu.acknowledge();
        let got = taken.map(|_| self.cpu.running_priority());
        assert_eq!(got, want);
        if let Some(intid) = taken {
            if self.table.lpis.contains_key(&intid) {
                // It is over with that.
                let at = (0..self.cpu.list_registers())
                    .find(|n| self.cpu.list_register(*n).intid() == u64::from(intid.get()))
                    .unwrap();
                let lr = self.cpu.list_register(at).with_active(false);
                self.cpu.set_list_register(at, lr);
                self.cpu.running.borrow_mut().pop();
            } else {
                self.cpu.end();
            }
        }
        self.run();
    }

    fn step(&mut self, step: &Step) {
        let update = |world: &Self, n, f: &dyn Fn(Irq) -> Irq| {
            world.table.update(&world.vm, world.intid(n), f);
        };

        match *step {
            Step::Message(n) => update(self, n, &Irq::set_pending),
            Step::Clear(n) => update(self, n, &Irq::clear_pending),
            Step::Enable(n, on) => update(self, n, &|irq| irq.set_enabled(on)),
            Step::Priority(n, p) => update(self, n, &|irq| irq.set_priority(p & PRIORITY_MASK)),
            Step::Target(n, here) => update(self, n, &|irq| irq.set_target(here.then_some(0))),
            Step::Spi(n) => {
                let intid = IntId::spi(32 + n as u32).unwrap();
                self.vm.update(0, intid, |irq| irq.set_line(true));
            }
            Step::Groups(group1) => self.vm.set_groups(Groups {
                group0: true,
                group1,
            }),
            Step::Take => self.take(),
        }
        self.run();
    }
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..200usize;

    prop_oneof![
        8 => n.clone().prop_map(Step::Message),
        1 => n.clone().prop_map(Step::Clear),
        1 => (n.clone(), prop::bool::weighted(0.7)).prop_map(|(n, on)| Step::Enable(n, on)),
        3 => (n.clone(), any::<u8>()).prop_map(|(n, p)| Step::Priority(n, p)),
        1 => (n, prop::bool::weighted(0.8)).prop_map(|(n, here)| Step::Target(n, here)),
        1 => (0..SPIS).prop_map(Step::Spi),
        1 => prop::bool::weighted(0.8).prop_map(Step::Groups),
        6 => Just(Step::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A guest takes what has the highest priority, LPIs or SPIs, and then the next.
    #[test]
    fn in_order(
        list_registers in 1..=5usize,
        numbers in prop::collection::btree_set(
            prop_oneof![8192..8400u32, 8192..65536u32],
            1..80,
        ),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let numbers: Vec<u32> = numbers.into_iter().collect();
        let mut world = World::new(list_registers, &numbers);
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::Groups(true));
        for _ in 0..numbers.len() + SPIS {
            world.take();
        }
        prop_assert_eq!(world.signalled(), None);
    }
}

/// A guest that takes one after the other of very many does not exit more often than its list registers
/// are empty.
#[test]
fn many() {
    let numbers: Vec<u32> = (8192..8192 + 4000).collect();
    let mut world = World::new(4, &numbers);
    for n in 0..numbers.len() {
        world
            .table
            .update(&world.vm, world.intid(n), Irq::set_pending);
    }
    world.run();
    let before = world.fills;
    for _ in 0..numbers.len() {
        assert!(world.cpu.acknowledge().is_some());
        let (intid, _) = world.cpu.running.borrow_mut().pop().unwrap();
        let at = (0..4)
            .find(|n| world.cpu.list_register(*n).intid() == u64::from(intid.get()))
            .unwrap();
        let lr = world.cpu.list_register(at).with_active(false);
        world.cpu.set_list_register(at, lr);
        world.run();
    }
    assert!(world.cpu.acknowledge().is_none());
    assert!(world.fills - before <= numbers.len() / 4 + 1);
}
