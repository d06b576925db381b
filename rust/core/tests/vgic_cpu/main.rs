// SPDX-License-Identifier: GPL-2.0

//! The way of interrupts to a guest and back, against what IHI 0069 says without list registers: the
//! distributor's state machine for each interrupt, and a guest that takes the first of those that are
//! signalled to it.

mod candidates;
#[path = "../common/cell.rs"]
mod cell;
mod icc;
mod lpis;
mod machine;
#[path = "../common/orders.rs"]
mod orders;
mod race;
mod sgi;
mod wire;

use kvm_core::{
    bits::Bits,
    vgic::{
        interrupts::{Groups, Interrupts},
        intid::IntId,
        irq::{Irq, PRIORITY_MASK},
        queue::{IchHcrEl2, NoLpis, Queue},
    },
};
use machine::{Cpu, Vm};
use proptest::prelude::*;

const VCPUS: usize = 2;
const SPIS: usize = 8;
const HCR: IchHcrEl2 = IchHcrEl2::from_raw(0).with_en(true).with_tdir(true);

/// The private interrupts that are looked at: two SGIs and two PPIs.
const PRIVATE: [u32; 4] = [0, 15, 16, 31];

/// An interrupt of the test: private ones of each vCPU, then SPIs.
const INTERRUPTS: usize = VCPUS * PRIVATE.len() + SPIS;

fn interrupt(n: usize) -> (usize, IntId) {
    let (vcpu, intid) = match n.checked_sub(VCPUS * PRIVATE.len()) {
        Some(spi) => (0, 32 + spi as u32),
        None => (n / PRIVATE.len(), PRIVATE[n % PRIVATE.len()]),
    };
    (vcpu, IntId::new(intid).unwrap())
}

#[derive(Clone, Debug)]
enum Step {
    Line(usize, bool),
    SetPending(usize),
    ClearPending(usize),
    Enable(usize, bool),
    SetActive(usize, bool),
    Edge(usize, bool),
    Group1(usize, bool),
    Priority(usize, u8),
    Target(usize, Option<usize>),
    Groups(bool, bool),
    Acknowledge(usize),
    End(usize),
    /// A vCPU writes ICC_DIR_EL1 for the n-th interrupt that is active and whose priority is dropped.
    Deactivate(usize, usize),
    /// Registers are compared.
    Compare,
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..INTERRUPTS;
    let vcpu = 0..VCPUS;

    prop_oneof![
        4 => (n.clone(), any::<bool>()).prop_map(|(n, level)| Step::Line(n, level)),
        3 => n.clone().prop_map(Step::SetPending),
        1 => n.clone().prop_map(Step::ClearPending),
        2 => (n.clone(), prop::bool::weighted(0.8)).prop_map(|(n, on)| Step::Enable(n, on)),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, on)| Step::SetActive(n, on)),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, on)| Step::Edge(n, on)),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, on)| Step::Group1(n, on)),
        2 => (n.clone(), 0..4u8).prop_map(|(n, p)| Step::Priority(n, p << 5)),
        1 => (n, prop::option::weighted(0.9, vcpu.clone()))
            .prop_map(|(n, vcpu)| Step::Target(n, vcpu)),
        1 => (prop::bool::weighted(0.8), prop::bool::weighted(0.8))
            .prop_map(|(g0, g1)| Step::Groups(g0, g1)),
        8 => vcpu.clone().prop_map(Step::Acknowledge),
        6 => vcpu.clone().prop_map(Step::End),
        3 => (vcpu, 0..8usize).prop_map(|(vcpu, n)| Step::Deactivate(vcpu, n)),
        2 => Just(Step::Compare),
    ]
}

/// An interrupt as the architecture has it.
#[derive(Clone, Debug)]
struct Model {
    enabled: bool,
    edge: bool,
    group1: bool,
    latch: bool,
    line: bool,
    active: bool,
    priority: u64,
    target: Option<usize>,
}

impl Model {
    fn pending(&self) -> bool {
        self.latch || (!self.edge && self.line)
    }
}

struct World {
    vm: Vm,
    queues: Vec<Queue>,
    cpus: Vec<Cpu>,
    model: Vec<Model>,
    groups: Groups,
    ended: Vec<IntId>,
}

impl World {
    fn new(list_registers: usize, eoi_mode: bool, mask: u8) -> Self {
        let vm = Vm::new(VCPUS, SPIS);
        let model = (0..INTERRUPTS)
            .map(|n| {
                let (vcpu, intid) = interrupt(n);
                Model {
                    enabled: intid.get() < 16,
                    edge: intid.get() < 16,
                    group1: true,
                    latch: false,
                    line: false,
                    active: false,
                    priority: 0,
                    target: Some(vcpu),
                }
            })
            .collect();

        Self {
            vm,
            queues: (0..VCPUS).map(|vcpu| Queue::new(vcpu, HCR)).collect(),
            cpus: (0..VCPUS)
                .map(|_| Cpu::new(list_registers, eoi_mode, mask, HCR))
                .collect(),
            model,
            groups: Groups {
                group0: true,
                group1: true,
            },
            ended: Vec::new(),
        }
    }

    /// Folds a vCPU's list registers, as an exit for somebody else does.
    fn fold(&mut self, vcpu: usize) {
        let ended = &mut self.ended;

        self.queues[vcpu].fold(&self.vm, &mut NoLpis, &self.cpus[vcpu], |intid| {
            ended.push(intid)
        });
    }

    /// Lets all vCPUs exit and enter that are kicked or have a maintenance interrupt.
    fn run(&mut self) {
        // One exit may be the reason of another's, but that has an end.
        for _ in 0..8 {
            let mut quiet = true;
            for vcpu in 0..VCPUS {
                let maintenance = self.cpus[vcpu].maintenance();
                if maintenance || self.queues[vcpu].is_stale(&self.vm.candidates[vcpu]) {
                    assert!(
                        self.queues[vcpu].is_in_use() || !maintenance,
                        "who leaves the guest would not take the cause away"
                    );
                    self.fold(vcpu);
                    assert!(
                        !self.cpus[vcpu].maintenance(),
                        "the interrupt would come again"
                    );
                    let is_done = self.queues[vcpu].fill(
                        &self.vm,
                        &self.vm.candidates[vcpu],
                        &mut NoLpis,
                        &self.cpus[vcpu],
                    );
                    assert!(is_done);
                    quiet = false;
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the vCPUs never stop exiting");
    }

    fn update(&mut self, n: usize, irq: impl Fn(Irq) -> Irq, model: impl Fn(&mut Model)) {
        let (vcpu, intid) = interrupt(n);

        self.vm.update(vcpu, intid, irq).unwrap();
        model(&mut self.model[n]);
    }

    /// The number of the interrupt that is `intid` for a vCPU.
    fn number(&self, vcpu: usize, intid: IntId) -> usize {
        (0..INTERRUPTS)
            .find(|n| interrupt(*n) == (if intid.is_private() { vcpu } else { 0 }, intid))
            .unwrap()
    }

    /// Whether a vCPU has taken it and not dropped its priority yet.
    fn runs(&self, n: usize) -> bool {
        let (_, intid) = interrupt(n);

        (0..VCPUS).any(|vcpu| {
            let running = self.cpus[vcpu].running.borrow();
            running.iter().any(|(running, _)| *running == intid) && self.number(vcpu, intid) == n
        })
    }

    /// The priority of the first interrupt that is signalled to a vCPU.
    fn signalled(&self, vcpu: usize) -> Option<u64> {
        let limit = self.cpus[vcpu].mask.min(self.cpus[vcpu].running_priority());

        self.model
            .iter()
            .filter(|m| m.target == Some(vcpu) && m.enabled && m.pending() && !m.active)
            .filter(|m| {
                if m.group1 {
                    self.groups.group1
                } else {
                    self.groups.group0
                }
            })
            .map(|m| m.priority)
            .filter(|priority| *priority < limit)
            .min()
    }

    fn compare(&mut self) {
        (0..VCPUS).for_each(|vcpu| self.fold(vcpu));
        for (n, model) in self.model.iter().enumerate() {
            let (vcpu, intid) = interrupt(n);
            let irq = self.vm.irq(vcpu, intid);
            assert_eq!(irq.pending(), model.pending(), "{intid:?} {irq:?}");
            assert_eq!(irq.latched(), model.latch, "{intid:?} {irq:?}");
            assert_eq!(irq.active(), model.active, "{intid:?} {irq:?}");
            assert!(!irq.listed() && !irq.carried() && !irq.active_written());
        }
        for vcpu in 0..VCPUS {
            let all = Groups {
                group0: true,
                group1: true,
            };
            // The running priority is no matter for it: a vCPU that waits may look in vain.
            let mask = self.cpus[vcpu].mask as u8;
            let deliverable = self.queues[vcpu].has_deliverable(
                &self.vm,
                &self.vm.candidates[vcpu],
                &mut NoLpis,
                mask,
                all,
            );
            assert!(deliverable || self.signalled(vcpu).is_none());
            if self.cpus[vcpu].running.borrow().is_empty() {
                assert_eq!(deliverable, self.signalled(vcpu).is_some());
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Line(n, level) => self.update(
                n,
                |irq| irq.set_line(level),
                |m| {
                    if m.edge {
                        m.latch |= level;
                    } else {
                        m.line = level;
                    }
                },
            ),
            Step::SetPending(n) => self.update(n, Irq::set_pending, |m| m.latch = true),
            Step::ClearPending(n) => self.update(n, Irq::clear_pending, |m| m.latch = false),
            Step::Enable(n, on) => self.update(n, |irq| irq.set_enabled(on), |m| m.enabled = on),
            // What the guest does to one that it is handling is its own problem, and so below. So is
            // what it does with EOImode 0, where none is active that it is not handling.
            Step::SetActive(n, _) if self.runs(n) || !self.cpus[0].eoi_mode => {}
            Step::SetActive(n, on) => self.update(n, |irq| irq.set_active(on), |m| m.active = on),
            Step::Edge(n, edge) => self.update(n, |irq| irq.set_edge(edge), |m| m.edge = edge),
            Step::Group1(n, on) => self.update(n, |irq| irq.set_group1(on), |m| m.group1 = on),
            Step::Priority(n, _) if self.runs(n) => {}
            Step::Priority(n, priority) => self.update(
                n,
                |irq| irq.set_priority(priority | 7),
                |m| m.priority = (priority & PRIORITY_MASK).into(),
            ),
            Step::Target(n, target) => {
                if n >= VCPUS * PRIVATE.len() {
                    self.update(n, |irq| irq.set_target(target), |m| m.target = target);
                }
            }
            Step::Groups(group0, group1) => {
                self.groups = Groups { group0, group1 };
                self.vm.set_groups(self.groups);
            }
            Step::Acknowledge(vcpu) => {
                let signalled = self.signalled(vcpu);
                let taken = self.cpus[vcpu].acknowledge();
                let n = taken.map(|intid| self.number(vcpu, intid));
                let priority = n.map(|n| self.model[n].priority);
                assert_eq!(priority, signalled, "{taken:?}");
                if let Some(n) = n {
                    let model = &mut self.model[n];
                    assert!(model.target == Some(vcpu) && model.enabled && !model.active);
                    model.latch = false;
                    model.active = true;
                }
            }
            Step::End(vcpu) => {
                let ended = self.cpus[vcpu].end();
                if let (Some(intid), false) = (ended, self.cpus[vcpu].eoi_mode) {
                    let n = self.number(vcpu, intid);
                    let model = &mut self.model[n];
                    model.active = false;
                    let edge = model.edge;
                    self.ended.clear();
                    self.run();
                    assert!(!edge || !self.ended.contains(&intid));
                }
            }
            Step::Deactivate(vcpu, nth) => {
                let mut active = (0..INTERRUPTS).filter(|n| {
                    let (owner, intid) = interrupt(*n);
                    self.model[*n].active
                        && !self.runs(*n)
                        && (!intid.is_private() || owner == vcpu)
                });
                let Some(n) = active.nth(nth) else { return };
                let (_, intid) = interrupt(n);
                // The trap of ICC_DIR_EL1, perhaps on another vCPU than the one that took it.
                self.fold(vcpu);
                self.vm.update(vcpu, intid, |irq| irq.set_active(false));
                self.model[n].active = false;
            }
            Step::Compare => self.compare(),
        }
        self.run();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A guest takes what the architecture would signal to it, whatever the number of list registers.
    #[test]
    fn as_without_list_registers(
        list_registers in 1..=5usize,
        eoi_mode: bool,
        mask in prop::sample::select(vec![0xff, 0xf0, 0x40]),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(list_registers, eoi_mode, mask);
        for n in 0..INTERRUPTS {
            world.step(&Step::Enable(n, n % 5 != 4));
            world.step(&Step::Priority(n, (n as u8 % 3) << 6));
        }
        for step in &steps {
            world.step(step);
        }
        world.compare();
    }
}

/// A vCPU that has no interrupts does not access the interface, and one that has some in its list
/// registers accesses it again only if something happens.
#[test]
fn nothing_to_do_is_nothing_done() {
    let mut world = World::new(4, false, 0xff);
    world.run();
    assert_eq!(world.cpus[0].accesses.get(), 0);

    world.step(&Step::Enable(VCPUS * PRIVATE.len(), true));
    world.step(&Step::Line(VCPUS * PRIVATE.len(), true));
    let accesses = world.cpus[0].accesses.get();
    assert_ne!(accesses, 0);
    world.run();
    assert_eq!(world.cpus[0].accesses.get(), accesses);
    assert!(world.queues[0].is_in_use());
    assert_eq!(world.cpus[1].accesses.get(), 0);
}

/// A level-sensitive interrupt whose cause stays comes again, and whoever raises it is told each time.
#[test]
fn a_level_comes_again() {
    let mut world = World::new(2, false, 0xff);
    let n = VCPUS * PRIVATE.len();
    world.step(&Step::Enable(n, true));
    world.step(&Step::Line(n, true));

    for _ in 0..3 {
        world.step(&Step::Acknowledge(0));
        world.step(&Step::End(0));
        assert_eq!(world.ended, [interrupt(n).1]);
    }
    world.step(&Step::Line(n, false));
    world.step(&Step::Acknowledge(0));
    assert_eq!(world.cpus[0].running_priority(), u64::MAX);
}

/// With EOImode 1 a guest may keep as many active as it likes; others come all the same.
#[test]
fn active_ones_do_not_keep_others_out() {
    let mut world = World::new(1, true, 0xff);
    for spi in 0..SPIS {
        let n = VCPUS * PRIVATE.len() + spi;
        world.step(&Step::Enable(n, true));
        world.step(&Step::Line(n, true));
    }
    for _ in 0..SPIS {
        world.step(&Step::Acknowledge(0));
        world.step(&Step::End(0));
    }
    assert!((0..SPIS).all(|spi| world.model[VCPUS * PRIVATE.len() + spi].active));
}

/// What an interrupt is after a reset.
#[test]
fn reset() {
    for number in (0..1020).chain([8192, 0xffff]) {
        let intid = IntId::new(number).unwrap();
        let irq = Irq::reset(intid, Some(5), false);
        assert_eq!(irq.enabled(), number < 16);
        assert_eq!(irq.edge(), !(16..32).contains(&number));
        assert_eq!(irq.group1(), number >= 8192);
        assert_eq!(irq.target(), Some(5));
        assert!(!irq.pending() && !irq.active() && !irq.is_candidate());
        assert_eq!(irq.wire(), None);
        assert_eq!(irq.set_wire(Bits::new(27)).wire(), Bits::new(27));
    }
    for number in [1020, 1023, 1024, 4096, 8191, 1 << 16, u32::MAX] {
        assert_eq!(IntId::new(number), None);
    }
}
