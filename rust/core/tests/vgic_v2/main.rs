// SPDX-License-Identifier: GPL-2.0

//! A GICv2 against one as the specification has it: both get the same accesses of several vCPUs and of
//! user space and the same lines, return the same, and have the same state and signals after each.

#[path = "../common/cell.rs"]
mod cell;
mod machine;
mod model;
mod race;

use kvm_core::{
    esr::AccessSize,
    vgic::{
        bank::By,
        interrupts::Interrupts,
        intid::IntId,
        v2::{
            cpu,
            dist, //
        },
    },
};
use machine::Machine;
use model::{
    At,
    Gic,
    Who, //
};
use proptest::{
    prelude::*,
    strategy::ValueTree, //
};
use std::collections::BTreeSet;

const GICC_IAR: u32 = 0xc;
const GICC_EOIR: u32 = 0x10;
const GICC_AIAR: u32 = 0x20;
const GICC_AEOIR: u32 = 0x24;
const GICC_DIR: u32 = 0x1000;

/// What happens. vCPUs are numbers of which the remainder counts.
#[derive(Copy, Clone, Debug)]
enum Step {
    DistRead(Who, usize, At),
    DistWrite(Who, usize, At, u32),
    CpuRead(usize, At),
    CpuWrite(usize, At, u32),
    CpuUserRead(usize, u32),
    CpuUserWrite(usize, u32, u32),
    Line(usize, u32, bool),
    /// The vCPU reads GICC_IAR or GICC_AIAR, and keeps what it reads.
    Take(usize, u32),
    /// It writes what it has last kept to GICC_EOIR or GICC_AEOIR.
    End(usize, u32),
    /// It writes what it has ended before to GICC_DIR, perhaps another vCPU.
    Deactivate(usize),
    /// It sleeps, and is asked whether something is signalled.
    Sleep(usize),
    /// The guest sets up all of it again, with this in GICC_CTLR.
    Start(u32),
}

fn any_who() -> impl Strategy<Value = Who> {
    prop_oneof![4 => Just(Who::Guest), 1 => Just(Who::User)]
}

fn any_size() -> impl Strategy<Value = u32> {
    prop::sample::select(&[1u32, 1, 2, 4, 4, 4, 4, 8][..])
}

/// Offsets in the distributor's frame that tend to be registers.
fn any_dist() -> impl Strategy<Value = At> {
    let offset = prop_oneof![
        8 => (1u32..8, 0u32..4).prop_map(|(array, n)| array * 0x80 + n * 4),
        4 => 0x400u32..0x450,
        6 => 0x800u32..0x850,
        3 => (0u32..10).prop_map(|n| 0xc00 + n * 4),
        8 => 0xf00u32..0xf30,
        3 => (0u32..4).prop_map(|n| n * 4),
        3 => Just(0xf00),
        1 => (0x1000u32 - 0x40)..0x1000,
        1 => 0u32..0x1000,
    ];
    (offset, any_size()).prop_map(|(offset, size)| At { offset, size })
}

fn any_cpu_offset() -> impl Strategy<Value = u32> {
    prop_oneof![
        12 => (0u32..11).prop_map(|n| n * 4),
        2 => (0u32..4).prop_map(|n| 0xd0 + n * 4),
        1 => Just(0xfc),
        1 => Just(GICC_DIR),
        1 => 0u32..0x2000,
    ]
}

fn any_cpu() -> impl Strategy<Value = At> {
    let size = prop::sample::select(&[1u32, 2, 4, 4, 4, 4, 4, 4][..]);
    (any_cpu_offset(), size).prop_map(|(offset, size)| At { offset, size })
}

fn any_value() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => any::<u32>(),
        4 => (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(a, b, c)| a & b & c),
        2 => prop::sample::select(&[0u32, 1, 2, 3, 7, 0x207, 0xf8, u32::MAX][..]),
        3 => (0u32..3, 1u32..256, 0u32..16).prop_map(|(a, b, c)| (a << 24) | (b << 16) | c),
        1 => prop::sample::select(&[0x4b00_143bu32, 0x4b00_243b, 0x4b00_343b, 0x4b00_343a][..]),
        1 => 0u32..1024,
    ]
}

/// GICC_CTLR, with the flags mostly as they are used.
fn any_ctlr() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0u32), 2 => any::<u32>(), 1 => Just(0x200u32), 1 => Just(0x4u32)]
}

fn any_step() -> impl Strategy<Value = Step> {
    let vcpu = 0usize..8;
    let intid = prop_oneof![16u32..40, 16u32..96, 0u32..1020];
    prop_oneof![
        4 => (any_who(), vcpu.clone(), any_dist())
            .prop_map(|(who, vcpu, at)| Step::DistRead(who, vcpu, at)),
        10 => (any_who(), vcpu.clone(), any_dist(), any_value())
            .prop_map(|(who, vcpu, at, value)| Step::DistWrite(who, vcpu, at, value)),
        4 => (vcpu.clone(), any_cpu()).prop_map(|(vcpu, at)| Step::CpuRead(vcpu, at)),
        3 => (vcpu.clone(), any_cpu(), any_value())
            .prop_map(|(vcpu, at, value)| Step::CpuWrite(vcpu, at, value)),
        1 => (vcpu.clone(), any_cpu_offset())
            .prop_map(|(vcpu, offset)| Step::CpuUserRead(vcpu, offset)),
        1 => (vcpu.clone(), any_cpu_offset(), any_value())
            .prop_map(|(vcpu, offset, value)| Step::CpuUserWrite(vcpu, offset, value)),
        8 => (vcpu.clone(), intid, any::<bool>())
            .prop_map(|(vcpu, intid, level)| Step::Line(vcpu, intid, level)),
        10 => (vcpu.clone(), prop::sample::select(&[GICC_IAR, GICC_IAR, GICC_AIAR][..]))
            .prop_map(|(vcpu, offset)| Step::Take(vcpu, offset)),
        7 => (vcpu.clone(), prop::sample::select(&[GICC_EOIR, GICC_EOIR, GICC_AEOIR][..]))
            .prop_map(|(vcpu, offset)| Step::End(vcpu, offset)),
        3 => vcpu.clone().prop_map(Step::Deactivate),
        2 => vcpu.prop_map(Step::Sleep),
        3 => any_ctlr().prop_map(Step::Start),
    ]
}

fn size(at: At) -> AccessSize {
    match at.size {
        1 => AccessSize::Byte,
        2 => AccessSize::Halfword,
        4 => AccessSize::Word,
        _ => AccessSize::Doubleword,
    }
}

fn by(who: Who, vcpu: usize) -> By {
    match who {
        Who::Guest => By::Guest(vcpu),
        Who::User => By::User,
    }
}

/// User space accesses words.
fn adapt(who: Who, at: At) -> At {
    match who {
        Who::Guest => at,
        Who::User => At { size: 4, ..at },
    }
}

/// Both, and what the guest keeps.
struct Pair {
    machine: Machine,
    gic: Gic,
    taken: Vec<Vec<u32>>,
    ended: Vec<u32>,
    /// How many interrupts were taken.
    count: usize,
}

impl Pair {
    fn new(spis: usize, vcpus: usize) -> Self {
        Self {
            machine: Machine::new(spis, vcpus),
            gic: Gic::new(spis, vcpus),
            taken: vec![Vec::new(); vcpus],
            ended: Vec::new(),
            count: 0,
        }
    }

    /// The guest sets up all of it, so that interrupts are taken.
    fn start(&mut self, ctlr: u32) {
        let word = |offset| At { offset, size: 4 };
        for vcpu in 0..self.gic.cpus.len() {
            self.step(Step::CpuWrite(vcpu, word(0x0), ctlr | 3));
            self.step(Step::CpuWrite(vcpu, word(0x4), 0xf8));
            self.step(Step::DistWrite(Who::Guest, vcpu, word(0x100), u32::MAX));
        }
        for n in 1..3 {
            self.step(Step::DistWrite(
                Who::Guest,
                0,
                word(0x100 + 4 * n),
                u32::MAX,
            ));
        }
        for n in 8..20 {
            self.step(Step::DistWrite(
                Who::Guest,
                0,
                word(0x800 + 4 * n),
                0x0402_0103,
            ));
        }
        self.step(Step::DistWrite(Who::Guest, 0, word(0x0), 3));
    }

    fn cpu_read(&mut self, vcpu: usize, at: At) -> u32 {
        let cpu = &self.machine.cpus[vcpu];
        let mut interface = cpu.interface.borrow_mut();
        let value = interface.read(&self.machine, &cpu.candidates, at.offset, size(at));
        assert_eq!(value, self.gic.cpu_read(vcpu, at));
        value
    }

    fn cpu_write(&mut self, vcpu: usize, at: At, value: u32) {
        let mut interface = self.machine.cpus[vcpu].interface.borrow_mut();
        let ended = interface.write(&self.machine, at.offset, size(at), value);
        assert_eq!(ended.map(IntId::get), self.gic.cpu_write(vcpu, at, value));
    }

    /// Does a step on both and compares what it returns.
    fn step(&mut self, step: Step) {
        let vcpus = self.gic.cpus.len();

        match step {
            Step::DistRead(who, vcpu, at) => {
                let (vcpu, at) = (vcpu % vcpus, adapt(who, at));
                assert_eq!(
                    dist::read(&self.machine, by(who, vcpu), vcpu, at.offset, size(at)),
                    self.gic.dist_read(who, vcpu, at)
                );
                assert_eq!(
                    dist::exists(self.machine.spis.len(), at.offset),
                    self.gic.dist_has(at.offset)
                );
            }
            Step::DistWrite(who, vcpu, at, value) => {
                let (vcpu, at) = (vcpu % vcpus, adapt(who, at));
                let result = dist::write(
                    &self.machine,
                    by(who, vcpu),
                    vcpu,
                    at.offset,
                    size(at),
                    value,
                );
                assert_eq!(result.is_ok(), self.gic.dist_write(who, vcpu, at, value));
            }
            Step::CpuRead(vcpu, at) => {
                self.cpu_read(vcpu % vcpus, at);
            }
            Step::CpuWrite(vcpu, at, value) => self.cpu_write(vcpu % vcpus, at, value),
            Step::CpuUserRead(vcpu, offset) => {
                let vcpu = vcpu % vcpus;
                let interface = self.machine.cpus[vcpu].interface.borrow();
                assert_eq!(
                    interface.user_read(offset),
                    self.gic.cpu_user_read(vcpu, offset)
                );
                let there = matches!(
                    offset,
                    0x0 | 0x4 | 0x8 | 0x1c | 0xd0 | 0xd4 | 0xd8 | 0xdc | 0xfc
                );
                assert_eq!(cpu::exists(offset), there);
            }
            Step::CpuUserWrite(vcpu, offset, value) => {
                let vcpu = vcpu % vcpus;
                let mut interface = self.machine.cpus[vcpu].interface.borrow_mut();
                interface.user_write(offset, value);
                self.gic.cpu_user_write(vcpu, offset, value);
            }
            Step::Line(vcpu, m, level) => {
                let vcpu = vcpu % vcpus;
                let intid = IntId::new(m).unwrap();
                let Some(irq) = self.gic.irq(vcpu, m).filter(|_| m >= 16) else {
                    return;
                };
                if irq.edge {
                    irq.latch |= level;
                } else {
                    irq.line = level;
                }
                self.machine.signal(vcpu, intid, |irq| irq.set_line(level));
            }
            Step::Take(vcpu, offset) => {
                let vcpu = vcpu % vcpus;
                let id = self.cpu_read(vcpu, At { offset, size: 4 });
                if id & 0x3ff < 1020 {
                    self.taken[vcpu].push(id);
                    self.count += 1;
                }
            }
            Step::End(vcpu, offset) => {
                let vcpu = vcpu % vcpus;
                if let Some(id) = self.taken[vcpu].pop() {
                    self.cpu_write(vcpu, At { offset, size: 4 }, id);
                    self.ended.push(id);
                }
            }
            Step::Start(ctlr) => self.start(ctlr),
            Step::Sleep(vcpu) => {
                let vcpu = vcpu % vcpus;
                let cpu = &self.machine.cpus[vcpu];
                let mut interface = cpu.interface.borrow_mut();
                assert_eq!(
                    interface.has_signal(&self.machine, &cpu.candidates),
                    self.gic.signals(vcpu) != (false, false)
                );
            }
            Step::Deactivate(vcpu) => {
                if let Some(id) = self.ended.pop() {
                    let at = At {
                        offset: GICC_DIR,
                        size: 4,
                    };
                    self.cpu_write(vcpu % vcpus, at, id);
                }
            }
        }
    }

    /// Compares all of the state, and what is signalled.
    fn compare(&self) {
        assert_eq!(Snapshot::of(&self.machine), Snapshot::of_model(&self.gic));
    }
}

/// All of the state, as the model has it.
#[derive(PartialEq, Eq, Debug)]
struct Snapshot {
    enable: [bool; 2],
    /// For each vCPU whether IRQ and FIQ are signalled.
    signals: Vec<(bool, bool)>,
    /// Its CPU interface's registers.
    registers: Vec<[u32; 5]>,
    private: Vec<Vec<model::Irq>>,
    spis: Vec<model::Irq>,
}

impl Snapshot {
    const REGISTERS: [u32; 5] = [0x0, 0x4, 0x8, 0x1c, 0xd0];

    fn of(machine: &Machine) -> Self {
        let (groups, vcpus) = (machine.groups(), 0..machine.cpus.len());
        let signals = |vcpu| {
            let signals = machine.enter(vcpu);
            (signals.irq, signals.fiq)
        };
        Self {
            enable: [groups.group0, groups.group1],
            signals: vcpus.clone().map(signals).collect(),
            registers: machine
                .cpus
                .iter()
                .map(|cpu| Self::REGISTERS.map(|offset| cpu.interface.borrow().user_read(offset)))
                .collect(),
            private: vcpus
                .map(|vcpu| (0..32).map(|m| seen(machine, vcpu, m)).collect())
                .collect(),
            spis: (0..machine.spis.len())
                .map(|n| seen(machine, 0, n + 32))
                .collect(),
        }
    }

    fn of_model(gic: &Gic) -> Self {
        let vcpus = 0..gic.cpus.len();
        Self {
            enable: gic.enable,
            signals: vcpus.clone().map(|vcpu| gic.signals(vcpu)).collect(),
            registers: vcpus
                .map(|vcpu| Self::REGISTERS.map(|offset| gic.cpu_user_read(vcpu, offset)))
                .collect(),
            private: gic.cpus.iter().map(|cpu| cpu.private.clone()).collect(),
            spis: gic.spis.clone(),
        }
    }
}

/// The state of an interrupt as the model has it.
fn seen(machine: &Machine, vcpu: usize, m: usize) -> model::Irq {
    let irq = machine.irq(vcpu, m);
    let set = |list: u8| -> BTreeSet<usize> { (0..8).filter(|n| (list >> n) & 1 != 0).collect() };

    assert!(!irq.listed() && !irq.carried() && !irq.wired());
    if m < 16 {
        assert_eq!(irq.latch(), irq.senders() != 0);
    }
    model::Irq {
        enabled: irq.enabled(),
        group1: irq.group1(),
        priority: irq.priority().into(),
        edge: irq.edge(),
        line: irq.line(),
        latch: m >= 16 && irq.latch(),
        active: irq.active(),
        targets: set(if m < 32 { 0 } else { irq.targets() }),
        sources: set(if m < 16 { irq.senders() } else { 0 }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_gic_is_that_of_the_specification(
        spis in prop_oneof![8 => Just(64usize), 2 => Just(32usize), 1 => Just(988usize)],
        vcpus in prop::sample::select(&[1usize, 2, 3, 8][..]),
        ctlr in proptest::option::weighted(0.8, any_ctlr()),
        steps in prop::collection::vec(any_step(), 1..150),
    ) {
        let mut pair = Pair::new(spis, vcpus);

        pair.compare();
        if let Some(ctlr) = ctlr {
            pair.start(ctlr);
        }
        for step in steps {
            pair.step(step);
            pair.compare();
        }
    }

    #[test]
    fn what_user_space_reads_is_what_it_writes_back(
        ctlr in any_ctlr(),
        steps in prop::collection::vec(any_step(), 1..150),
    ) {
        let (mut pair, copy) = (Pair::new(64, 3), Machine::new(64, 3));
        pair.start(ctlr);
        for step in steps {
            pair.step(step);
        }
        let Pair { machine, gic, .. } = &mut pair;

        // GICD_IIDR first, as arm-vgic.rst says. The enables and active states are cleared before they
        // are set, and SGIs come from whom they are from after they are pending.
        let offsets = std::iter::once(0x8)
            .chain((0..0x1000).step_by(4))
            .filter(|offset| *offset != 0xf00 && dist::exists(64, *offset));
        for offset in offsets {
            for vcpu in 0..3 {
                let (by, word) = (By::User, AccessSize::Word);
                let value = dist::read(machine, by, vcpu, offset, word);
                let value = match offset {
                    0x180..0x200 | 0x380..0x400 | 0xf10..0xf20 => !value,
                    _ => value,
                };
                prop_assert_eq!(dist::write(&copy, by, vcpu, offset, word, value), Ok(()));
            }
        }
        for (from, to) in machine.cpus.iter().zip(&copy.cpus) {
            for offset in (0..0x2000).step_by(4).filter(|offset| cpu::exists(*offset)) {
                let value = from.interface.borrow().user_read(offset);
                to.interface.borrow_mut().user_write(offset, value);
            }
        }
        // The lines are the devices' to say again.
        for m in 16..96 {
            for vcpu in 0..3 {
                let line = gic.irq(vcpu, m).is_some_and(|irq| irq.line);
                let intid = IntId::new(m).unwrap();
                copy.signal(vcpu, intid, |irq| irq.with_line(line));
            }
        }
        pair.machine = copy;
        pair.compare();
    }

    #[test]
    fn an_sgi_comes_once_from_each_sender(senders in 1u8.., priority: u8) {
        let mut pair = Pair::new(32, 8);
        pair.start(0);
        let word = |offset| At { offset, size: 4 };
        pair.step(Step::DistWrite(Who::Guest, 5, At { offset: 0x403, size: 1 }, (priority & 0x70).into()));
        for sender in (0..8).filter(|n| (senders >> n) & 1 != 0) {
            // Twice, which is once.
            pair.step(Step::DistWrite(Who::Guest, sender, word(0xf00), (1 << 21) | 3));
            pair.step(Step::DistWrite(Who::Guest, sender, word(0xf00), (1 << 21) | 3));
        }
        for sender in (0u32..8).filter(|n| (senders >> n) & 1 != 0) {
            prop_assert!(pair.machine.enter(5).irq);
            prop_assert_eq!(pair.cpu_read(5, word(GICC_IAR)), (sender << 10) | 3);
            prop_assert!(!pair.machine.enter(5).irq);
            pair.cpu_write(5, word(GICC_EOIR), (sender << 10) | 3);
        }
        prop_assert!(!pair.machine.enter(5).any());
        prop_assert_eq!(pair.cpu_read(5, word(GICC_IAR)), 1023);
    }
}

/// The steps of the first test do what it is about: interrupts are taken, nested and ended.
#[test]
fn interrupts_are_taken() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut taken, mut nested) = (0, 0);

    for _ in 0..50 {
        let steps = prop::collection::vec(any_step(), 150)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut pair = Pair::new(64, 2);
        pair.start(0);
        for step in steps {
            pair.step(step);
            nested += usize::from(pair.gic.cpus.iter().any(|cpu| cpu.active.len() > 1));
        }
        taken += pair.count;
    }
    assert!(taken > 100 && nested > 100, "{taken}, {nested}");
}
