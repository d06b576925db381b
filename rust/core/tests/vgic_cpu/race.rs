// SPDX-License-Identifier: GPL-2.0

//! Another thread changes an interrupt while a vCPU fills its list registers.

use super::{
    machine::{CellWord, Cpu, Vm},
    HCR, SPIS,
};
use kvm_core::{
    psci::Affinity,
    vgic::{
        interrupts::{Groups, Interrupts},
        intid::IntId,
        irq::Irq,
        queue::{NoLpis, Queue, VirtualInterface},
    },
};
use std::cell::Cell;

/// A VM of which another thread clears what is pending of an interrupt, once, just before the n-th time
/// that an interrupt is looked up.
struct Interfered<'a> {
    vm: &'a Vm,
    looks: Cell<usize>,
    intid: IntId,
}

impl Interrupts for Interfered<'_> {
    type Cell = CellWord;

    fn vcpus(&self) -> usize {
        self.vm.vcpus()
    }

    fn spis(&self) -> usize {
        self.vm.spis()
    }

    fn cell(&self, vcpu: usize, intid: IntId) -> Option<&CellWord> {
        let looks = self.looks.get();
        self.looks.set(looks.wrapping_sub(1));
        if looks == 0 {
            self.vm.update(0, self.intid, Irq::clear_pending);
        }
        self.vm.cell(vcpu, intid)
    }

    fn affinity(&self, vcpu: usize) -> Option<Affinity> {
        self.vm.affinity(vcpu)
    }

    fn find(&self, affinity: Affinity) -> Option<usize> {
        self.vm.find(affinity)
    }

    fn router(&self, intid: IntId) -> u64 {
        self.vm.router(intid)
    }

    fn set_router(&self, intid: IntId, value: u64) {
        self.vm.set_router(intid, value);
    }

    fn groups(&self) -> Groups {
        self.vm.groups()
    }

    fn set_groups(&self, groups: Groups) {
        self.vm.set_groups(groups);
    }

    fn notify(&self, vcpu: usize, intid: IntId) {
        self.vm.notify(vcpu, intid);
    }

    fn set_host_active(&self, vcpu: usize, intid: IntId, active: bool) {
        self.vm.set_host_active(vcpu, intid, active);
    }

    fn settle(&self, by: Option<usize>, vcpu: usize, intid: IntId) {
        self.vm.settle(by, vcpu, intid);
    }
}

/// The one that has the only list register goes away before it is there, at whatever moment that
/// is; the other one that is pending is taken all the same.
#[test]
fn the_chosen_one_goes_away() {
    let [first, second] = [32, 33].map(|intid| IntId::new(intid).unwrap());

    for looks in 0..6 {
        let vm = Vm::new(1, SPIS);
        let mut queue = Queue::new(0, HCR);
        let cpu = Cpu::new(1, false, 0xff, HCR);
        for intid in [first, second] {
            vm.update(0, intid, |irq| irq.set_enabled(true).set_pending());
        }
        let interfered = Interfered {
            vm: &vm,
            looks: Cell::new(looks),
            intid: first,
        };
        assert!(queue.fill(&interfered, &vm.candidates[0], &mut NoLpis, &cpu));

        // Exits for a maintenance interrupt or a kick, as long as there are such.
        let mut exits = 0;
        while cpu.maintenance() || queue.is_stale(&vm.candidates[0]) {
            queue.fold(&vm, &mut NoLpis, &cpu, |_| ());
            if queue.is_stale(&vm.candidates[0]) {
                assert!(queue.fill(&vm, &vm.candidates[0], &mut NoLpis, &cpu));
            }
            exits += 1;
            assert!(exits < 4);
        }
        let wanted = if vm.irq(0, first).latched() {
            first
        } else {
            second
        };
        let listed = cpu.list_register(0);
        assert!(listed.pending(), "after {looks}");
        assert_eq!(listed.intid(), u64::from(wanted.get()), "after {looks}");
    }
}
