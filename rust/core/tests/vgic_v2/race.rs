// SPDX-License-Identifier: GPL-2.0

//! Something happens elsewhere while a vCPU takes or ends an interrupt: at whatever moment that is,
//! it is as if it had been just before or just after.

use super::{
    any_ctlr,
    any_step,
    machine::{
        CellWord,
        Machine, //
    },
    model::{
        At,
        Gic,
        Who, //
    },
    Pair,
    Snapshot,
    Step,
    GICC_AIAR,
    GICC_EOIR,
    GICC_IAR, //
};
use kvm_core::{
    esr::AccessSize,
    psci::Affinity,
    vgic::{
        bank::By,
        interrupts::{
            Groups,
            Interrupts, //
        },
        intid::IntId,
        v2::dist, //
    },
};
use proptest::prelude::*;
use std::cell::Cell;

/// A GIC with which something is done just before a vCPU asks it something.
struct Interfered<'a, F> {
    machine: &'a Machine,
    /// What, by how often it was asked before.
    other: F,
    looks: Cell<usize>,
}

impl<F: Fn(usize)> Interfered<'_, F> {
    fn look(&self) {
        let looks = self.looks.get();
        self.looks.set(looks + 1);
        (self.other)(looks);
    }
}

impl<F: Fn(usize)> Interrupts for Interfered<'_, F> {
    type Cell = CellWord;

    fn vcpus(&self) -> usize {
        self.machine.vcpus()
    }

    fn spis(&self) -> usize {
        self.machine.spis()
    }

    fn cell(&self, vcpu: usize, intid: IntId) -> Option<&CellWord> {
        self.look();
        self.machine.cell(vcpu, intid)
    }

    fn affinity(&self, vcpu: usize) -> Option<Affinity> {
        self.machine.affinity(vcpu)
    }

    fn find(&self, affinity: Affinity) -> Option<usize> {
        self.machine.find(affinity)
    }

    fn router(&self, intid: IntId) -> u64 {
        self.machine.router(intid)
    }

    fn set_router(&self, intid: IntId, value: u64) {
        self.machine.set_router(intid, value);
    }

    fn groups(&self) -> Groups {
        self.look();
        self.machine.groups()
    }

    fn set_groups(&self, groups: Groups) {
        self.machine.set_groups(groups);
    }

    fn notify(&self, vcpu: usize, intid: IntId) {
        self.machine.notify(vcpu, intid);
    }

    fn set_host_active(&self, vcpu: usize, intid: IntId, active: bool) {
        self.machine.set_host_active(vcpu, intid, active);
    }

    fn settle(&self, by: Option<usize>, vcpu: usize, intid: IntId) {
        self.machine.settle(by, vcpu, intid);
    }
}

/// What the second vCPU or a device does. Each is about one interrupt.
#[derive(Copy, Clone, Debug)]
enum Other {
    Write(At, u32),
    Take(u32),
    Line(u32, bool),
}

impl Other {
    /// Does it with the implementation. Returns what is read.
    fn on_machine(self, machine: &Machine) -> u32 {
        let cpu = &machine.cpus[1];
        match self {
            Self::Write(At { offset, size }, value) => {
                let size = if size == 1 {
                    AccessSize::Byte
                } else {
                    AccessSize::Word
                };
                dist::write(machine, By::Guest(1), 1, offset, size, value).unwrap();
                0
            }
            Self::Take(offset) => {
                let mut interface = cpu.interface.borrow_mut();
                interface.read(machine, &cpu.candidates, offset, AccessSize::Word)
            }
            Self::Line(m, level) => {
                machine.signal(0, IntId::new(m).unwrap(), |irq| irq.set_line(level));
                0
            }
        }
    }

    /// Does it with the model.
    fn on_model(self, gic: &mut Gic) -> u32 {
        match self {
            Self::Write(at, value) => {
                assert!(gic.dist_write(Who::Guest, 1, at, value));
                0
            }
            Self::Take(offset) => gic.cpu_read(1, At { offset, size: 4 }),
            Self::Line(m, level) => {
                let irq = gic.irq(0, m).unwrap();
                if irq.edge {
                    irq.latch |= level;
                } else {
                    irq.line = level;
                }
                0
            }
        }
    }
}

fn any_other() -> impl Strategy<Value = Other> {
    let spi = 32u32..96;
    let bit = (
        prop::sample::select(&[0x100u32, 0x180, 0x200, 0x280, 0x300, 0x380][..]),
        spi.clone(),
    )
        .prop_map(|(array, m)| {
            let at = At {
                offset: array + m / 32 * 4,
                size: 4,
            };
            Other::Write(at, 1 << (m % 32))
        });
    let byte = (
        prop::sample::select(&[0x400u32, 0x800][..]),
        spi.clone(),
        any::<u8>(),
    )
        .prop_map(|(array, m, value)| {
            Other::Write(
                At {
                    offset: array + m,
                    size: 1,
                },
                value.into(),
            )
        });
    let sgi = (0u32..16).prop_map(|m| {
        Other::Write(
            At {
                offset: 0xf00,
                size: 4,
            },
            (1 << 16) | m,
        )
    });
    let groups = (0u32..4).prop_map(|value| Other::Write(At { offset: 0, size: 4 }, value));
    prop_oneof![
        3 => bit,
        4 => byte,
        2 => sgi,
        2 => groups,
        4 => prop::sample::select(&[GICC_IAR, GICC_AIAR][..]).prop_map(Other::Take),
        3 => (spi, any::<bool>()).prop_map(|(m, level)| Other::Line(m, level)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_is_as_if_one_were_after_the_other(
        ctlr in any_ctlr(),
        steps in prop::collection::vec(any_step(), 1..40),
        lines in prop::collection::vec(32u32..96, 0..4),
        end: bool,
        other in any_other(),
        looks in 0usize..12,
    ) {
        let mut pair = Pair::new(64, 3);
        pair.start(ctlr);
        for step in steps {
            pair.step(step);
        }
        for m in lines {
            pair.step(Step::Line(0, m, true));
        }
        let id = pair.taken[0].last().copied().filter(|_| end);

        // The two orders.
        let own = |gic: &mut Gic| match id {
            Some(id) => {
                gic.cpu_write(0, At { offset: GICC_EOIR, size: 4 }, id);
                0
            }
            None => gic.cpu_read(0, At { offset: GICC_IAR, size: 4 }),
        };
        let (mut before, mut after) = (pair.gic.clone(), pair.gic.clone());
        let (second, first) = (own(&mut before), other.on_model(&mut before));
        let mut wanted = vec![(second, first, Snapshot::of_model(&before))];
        let (first, second) = (other.on_model(&mut after), own(&mut after));
        wanted.push((second, first, Snapshot::of_model(&after)));

        let machine = &pair.machine;
        let seen = Cell::new(None);
        let interfered = Interfered {
            machine,
            other: |look: usize| {
                if look == looks {
                    seen.set(Some(other.on_machine(machine)));
                }
            },
            looks: Cell::new(0),
        };
        let cpu = &machine.cpus[0];
        let mut interface = cpu.interface.borrow_mut();
        let own = match id {
            Some(id) => {
                interface.write(&interfered, GICC_EOIR, AccessSize::Word, id);
                0
            }
            None => interface.read(&interfered, &cpu.candidates, GICC_IAR, AccessSize::Word),
        };
        drop(interface);
        let seen = seen.get().unwrap_or_else(|| other.on_machine(machine));
        let got = (own, seen, Snapshot::of(machine));
        prop_assert!(wanted.contains(&got), "{:?}\nis none of\n{:?}", got, wanted);
    }
}

/// Somebody gives the only interrupt another priority whenever the vCPU asks about it: reading GICC_IAR
/// comes to an end all the same, and the interrupt is there when they stop.
#[test]
fn a_rival_that_never_stops() {
    let mut pair = Pair::new(64, 2);
    pair.start(0);
    let vcpus = At {
        offset: 0x800 + 40,
        size: 1,
    };
    pair.step(Step::DistWrite(Who::Guest, 0, vcpus, 1));
    pair.step(Step::Line(0, 40, true));
    // What is marked beside it is settled.
    pair.compare();

    let machine = &pair.machine;
    let cpu = &machine.cpus[0];
    let interfered = Interfered {
        machine,
        other: |look: usize| {
            assert!(look < 100);
            let priority = At {
                offset: 0x400 + 40,
                size: 1,
            };
            Other::Write(priority, (look as u32 % 16) << 3).on_machine(machine);
        },
        looks: Cell::new(0),
    };
    let id =
        cpu.interface
            .borrow_mut()
            .read(&interfered, &cpu.candidates, GICC_IAR, AccessSize::Word);
    assert_eq!(id, 1023);
    assert!(!machine.irq(0, 40).active());
    assert!(machine.enter(0).irq);
    let id = cpu
        .interface
        .borrow_mut()
        .read(machine, &cpu.candidates, GICC_IAR, AccessSize::Word);
    assert_eq!(id, 40);
}
