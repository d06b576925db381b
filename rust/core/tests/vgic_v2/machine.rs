// SPDX-License-Identifier: GPL-2.0

//! A VM with a GICv2 for the implementation: cells, candidates and CPU interfaces.

pub use crate::cell::CellWord;
use kvm_core::{
    psci::Affinity,
    vgic::{
        candidates::Candidates,
        cell::IrqCell,
        dist::Revision,
        interrupts::{
            Groups,
            Interrupts, //
        },
        intid::IntId,
        irq::Irq,
        v2::{
            cpu::{
                CpuInterface,
                Signals, //
            },
            dist::{
                spi,
                Distributor, //
            },
        },
    },
};
use std::cell::{
    Cell,
    RefCell, //
};

fn private(intid: u32, vcpu: usize) -> CellWord {
    CellWord::from(Irq::reset(IntId::new(intid).unwrap(), Some(vcpu), false))
}

/// A vCPU.
pub struct Cpu {
    pub private: Vec<CellWord>,
    pub candidates: Candidates<CellWord>,
    pub interface: RefCell<CpuInterface>,
    signals: Cell<Signals>,
}

pub struct Machine {
    pub spis: Vec<CellWord>,
    pub cpus: Vec<Cpu>,
    groups: Cell<Groups>,
    revision: Cell<Option<Revision>>,
}

impl Machine {
    pub fn new(spis: usize, vcpus: usize) -> Self {
        Self {
            spis: (0..spis)
                .map(|n| CellWord::from(spi(IntId::new(n as u32 + 32).unwrap(), vcpus)))
                .collect(),
            cpus: (0..vcpus)
                .map(|vcpu| Cpu {
                    private: (0..32).map(|n| private(n, vcpu)).collect(),
                    candidates: Candidates::new(CellWord::default),
                    interface: RefCell::new(CpuInterface::new(vcpu)),
                    signals: Cell::default(),
                })
                .collect(),
            groups: Cell::default(),
            revision: Cell::default(),
        }
    }

    pub fn irq(&self, vcpu: usize, intid: usize) -> Irq {
        let intid = IntId::new(intid as u32).unwrap();
        IrqCell::load(self.cell(vcpu, intid).unwrap())
    }

    /// What a vCPU has in HCR_EL2 when it enters its guest.
    pub fn enter(&self, vcpu: usize) -> Signals {
        let cpu = &self.cpus[vcpu];
        let mut interface = cpu.interface.borrow_mut();

        if interface.is_stale(&cpu.candidates) {
            cpu.signals.set(interface.signals(self, &cpu.candidates));
        }
        cpu.signals.get()
    }
}

impl Interrupts for Machine {
    type Cell = CellWord;

    fn vcpus(&self) -> usize {
        self.cpus.len()
    }

    fn spis(&self) -> usize {
        self.spis.len()
    }

    fn cell(&self, vcpu: usize, intid: IntId) -> Option<&CellWord> {
        match intid.spi_index() {
            Some(spi) => self.spis.get(spi),
            None => self.cpus.get(vcpu)?.private.get(intid.index()),
        }
    }

    fn affinity(&self, _vcpu: usize) -> Option<Affinity> {
        unreachable!("vCPUs have numbers in a GICv2")
    }

    fn find(&self, _affinity: Affinity) -> Option<usize> {
        unreachable!("vCPUs have numbers in a GICv2")
    }

    fn router(&self, _intid: IntId) -> u64 {
        unreachable!("a GICv2 has no GICD_IROUTER")
    }

    fn set_router(&self, _intid: IntId, _value: u64) {
        unreachable!("a GICv2 has no GICD_IROUTER")
    }

    fn groups(&self) -> Groups {
        self.groups.get()
    }

    fn set_groups(&self, groups: Groups) {
        self.groups.set(groups);
        self.cpus.iter().for_each(|cpu| cpu.candidates.mark_all());
    }

    fn notify(&self, vcpu: usize, intid: IntId) {
        self.cpus[vcpu].candidates.mark(intid);
    }

    fn set_host_active(&self, _vcpu: usize, intid: IntId, _active: bool) {
        panic!("{intid:?} stands for none of the host");
    }

    fn settle(&self, _by: Option<usize>, _vcpu: usize, intid: IntId) {
        panic!("{intid:?} is in no list register");
    }
}

impl Distributor for Machine {
    type Interrupts = Self;

    fn interrupts(&self) -> &Self {
        self
    }

    fn said_revision(&self) -> Option<Revision> {
        self.revision.get()
    }

    fn say_revision(&self, revision: Revision) {
        self.revision.set(Some(revision));
    }
}
