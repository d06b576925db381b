// SPDX-License-Identifier: GPL-2.0

//! An interrupt that stands for one of the host: a timer's, whose cause comes and goes as the guest
//! pleases, and which the host's interrupt controller signals while it is not active there.

use crate::{
    machine::{Cpu, Vm},
    HCR,
};
use kvm_core::{
    bits::Bits,
    vgic::{
        interrupts::Interrupts,
        intid::IntId,
        queue::{NoLpis, Queue},
    },
};
use proptest::prelude::*;

const HOST: u64 = 27;

#[derive(Clone, Debug)]
enum Step {
    /// The timer fires or is masked by the guest.
    Cause(bool),
    Acknowledge,
    End,
    Enable(bool),
    /// An exit for some other reason: the host looks at the timer.
    Exit,
    /// The guest writes GICR_ICACTIVER0, while it does not handle the interrupt.
    ClearActive,
    /// The guest writes GICR_ICPENDR0.
    ClearPending,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<bool>().prop_map(Step::Cause),
        3 => Just(Step::Acknowledge),
        3 => Just(Step::End),
        1 => prop::bool::weighted(0.7).prop_map(Step::Enable),
        2 => Just(Step::Exit),
        1 => Just(Step::ClearActive),
        1 => Just(Step::ClearPending),
    ]
}

struct World {
    vm: Vm,
    queue: Queue,
    cpu: Cpu,
    cause: bool,
    /// The host's interrupt is active there: it has been given to the guest.
    host_active: bool,
    intid: IntId,
}

impl World {
    fn exit(&mut self) {
        self.queue.fold(&self.vm, &mut NoLpis, &self.cpu, |_| {
            panic!("nobody raises it but the host")
        });
        // Its cause has gone before the guest took it.
        let irq = self.vm.irq(0, self.intid);
        if !self.cause && irq.pending() {
            self.vm.signal(0, self.intid, |irq| irq.set_line(false));
            self.host_active &= irq.active();
        }
        self.deliver();
    }

    /// The host takes its interrupt, if it is signalled, and the guest is entered; again if that makes
    /// it be signalled anew.
    fn deliver(&mut self) {
        loop {
            for host in self.cpu.deactivated.take() {
                assert_eq!(host, HOST);
                assert!(self.host_active, "deactivated twice");
                self.host_active = false;
            }
            for (vcpu, intid, active) in self.vm.host_active.take() {
                assert_eq!((vcpu, intid), (0, self.intid));
                self.host_active = active;
            }
            if self.cause && !self.host_active {
                self.host_active = true;
                self.vm.signal(0, self.intid, |irq| irq.set_line(true));
            }
            if !self.queue.is_stale(&self.vm.candidates[0]) {
                break;
            }
            self.queue.fold(&self.vm, &mut NoLpis, &self.cpu, |_| ());
            let is_done = self
                .queue
                .fill(&self.vm, &self.vm.candidates[0], &mut NoLpis, &self.cpu);
            assert!(is_done);
        }
        assert!(self.vm.host_active.borrow().is_empty());
        assert!(!self.cpu.maintenance());
    }

    fn enabled(&self) -> bool {
        self.vm.irq(0, self.intid).enabled()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn comes_while_there_is_a_cause(steps in prop::collection::vec(step(), 1..60)) {
        let intid = IntId::new(27).unwrap();
        let mut world = World {
            vm: Vm::new(1, 0),
            queue: Queue::new(0, HCR),
            cpu: Cpu::new(4, false, 0xff, HCR),
            cause: false,
            host_active: false,
            intid,
        };
        world.vm.update(0, intid, |irq| irq.set_wire(Bits::new(HOST)).set_enabled(true));

        for step in &steps {
            let handling = !world.cpu.running.borrow().is_empty();
            match *step {
                Step::Cause(cause) => world.cause = cause,
                Step::Acknowledge => {
                    let taken = world.cpu.acknowledge();
                    // It may come once after its cause has gone, but never not come.
                    prop_assert!(taken.is_some() || handling || !world.cause || !world.enabled());
                    prop_assert!(taken.is_none() || (!handling && world.host_active));
                }
                Step::End => {
                    world.cpu.end();
                }
                Step::Enable(on) => {
                    world.vm.update(0, intid, |irq| irq.set_enabled(on));
                }
                Step::Exit => world.exit(),
                Step::ClearActive => {
                    if !handling {
                        world.exit();
                        world.vm.update(0, intid, |irq| irq.set_active(false));
                    }
                }
                Step::ClearPending => {
                    world.vm.update(0, intid, |irq| irq.clear_pending());
                }
            }
            world.deliver();
            // Else it would never come again.
            if !world.cpu.running.borrow().is_empty() {
                prop_assert!(world.host_active);
            }
        }
        // Whatever has happened, the guest gets it if there is a cause, and none is left if not.
        world.vm.update(0, intid, |irq| irq.set_enabled(true));
        world.cpu.end();
        world.deliver();
        world.exit();
        prop_assert_eq!(world.cpu.acknowledge().is_some(), world.cause);
        world.cpu.end();
        world.cause = false;
        world.deliver();
        world.exit();
        prop_assert!(!world.host_active);
    }
}
