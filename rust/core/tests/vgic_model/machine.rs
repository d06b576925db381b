// SPDX-License-Identifier: GPL-2.0

//! A VM for the implementation: cells, and notes of what it was told to do.

use kvm_core::{
    psci::Affinity,
    vgic::{
        cell::IrqCell,
        dist::{
            Distributor,
            Revision, //
        },
        interrupts::{
            Groups,
            Interrupts, //
        },
        intid::{
            IntId,
            Kind, //
        },
        irq::Irq,
        redist::{
            GicrPendbaser,
            GicrPropbaser,
            Lpis,
            Redistributors, //
        },
    },
};
use std::{
    cell::{
        Cell,
        RefCell, //
    },
    collections::BTreeSet, //
};

pub struct Word(Cell<Irq>);

impl IrqCell for Word {
    fn load(&self) -> Irq {
        self.0.get()
    }

    fn compare_exchange(&self, old: Irq, new: Irq) -> Result<(), Irq> {
        if self.0.get() != old {
            return Err(self.0.get());
        }
        self.0.set(new);
        Ok(())
    }
}

pub struct Cpu {
    pub id: u16,
    pub affinity: u64,
    pub last: bool,
    pub private: Vec<Word>,
    pub status: Cell<u32>,
    pub pendbaser: Cell<GicrPendbaser>,
    pub lpis: Cell<bool>,
    pub invalidated: RefCell<Vec<Option<u32>>>,
    /// What it was made to look at, ever.
    pub notified: RefCell<BTreeSet<u32>>,
    /// The active state of the host's interrupts behind its own, as it was told.
    pub host_active: RefCell<BTreeSet<u32>>,
}

pub struct Machine {
    pub its: bool,
    pub revision: Cell<Revision>,
    pub groups: Cell<Groups>,
    pub status: Cell<u32>,
    pub propbaser: Cell<GicrPropbaser>,
    pub spis: Vec<Word>,
    pub routers: Vec<Cell<u64>>,
    pub cpus: Vec<Cpu>,
}

impl Machine {
    pub fn new(spis: usize, its: bool, vcpus: &[(u16, u64, bool)]) -> Self {
        let word = |n: usize, target| {
            let intid = IntId::new(n as u32).unwrap();
            Word(Cell::new(Irq::reset(intid, Some(target), true)))
        };
        Self {
            its,
            revision: Cell::new(Revision::Three),
            groups: Cell::new(Groups::default()),
            status: Cell::new(0),
            propbaser: Cell::new(GicrPropbaser::from_raw(0)),
            spis: (0..spis).map(|n| word(n + 32, 0)).collect(),
            routers: (0..spis).map(|_| Cell::new(0)).collect(),
            cpus: vcpus
                .iter()
                .enumerate()
                .map(|(n, (id, affinity, last))| Cpu {
                    id: *id,
                    affinity: *affinity,
                    last: *last,
                    private: (0..32).map(|m| word(m, n)).collect(),
                    status: Cell::new(0),
                    pendbaser: Cell::new(GicrPendbaser::from_raw(0)),
                    lpis: Cell::new(false),
                    invalidated: RefCell::default(),
                    notified: RefCell::default(),
                    host_active: RefCell::default(),
                })
                .collect(),
        }
    }
}

impl Interrupts for Machine {
    type Cell = Word;

    fn vcpus(&self) -> usize {
        self.cpus.len()
    }

    fn spis(&self) -> usize {
        self.spis.len()
    }

    fn cell(&self, vcpu: usize, intid: IntId) -> Option<&Word> {
        match intid.kind() {
            Kind::Sgi | Kind::Ppi => self.cpus.get(vcpu)?.private.get(intid.index()),
            Kind::Spi => self.spis.get(intid.spi_index()?),
            Kind::Lpi => None,
        }
    }

    fn affinity(&self, vcpu: usize) -> Option<Affinity> {
        Affinity::new(self.cpus.get(vcpu)?.affinity)
    }

    fn find(&self, affinity: Affinity) -> Option<usize> {
        self.cpus
            .iter()
            .position(|cpu| cpu.affinity == affinity.into_raw())
    }

    fn router(&self, intid: IntId) -> u64 {
        intid
            .spi_index()
            .and_then(|n| self.routers.get(n))
            .map_or(0, Cell::get)
    }

    fn set_router(&self, intid: IntId, value: u64) {
        self.routers[intid.spi_index().unwrap()].set(value);
    }

    fn groups(&self) -> Groups {
        self.groups.get()
    }

    fn set_groups(&self, groups: Groups) {
        self.groups.set(groups);
    }

    fn notify(&self, vcpu: usize, intid: IntId) {
        self.cpus[vcpu].notified.borrow_mut().insert(intid.get());
    }

    fn set_host_active(&self, vcpu: usize, intid: IntId, active: bool) {
        let mut host = self.cpus[vcpu].host_active.borrow_mut();
        if active {
            host.insert(intid.get());
        } else {
            host.remove(&intid.get());
        }
    }

    fn settle(&self, _vcpu: Option<usize>, _of: usize, intid: IntId) {
        panic!("{intid:?} is in no list register");
    }
}

impl Distributor for Machine {
    type Interrupts = Self;

    fn interrupts(&self) -> &Self {
        self
    }

    fn has_lpis(&self) -> bool {
        self.its
    }

    fn revision(&self) -> Revision {
        self.revision.get()
    }

    fn set_revision(&self, revision: Revision) {
        self.revision.set(revision);
    }

    fn dist_status(&self) -> u32 {
        self.status.get()
    }

    fn set_dist_status(&self, value: u32) {
        self.status.set(value);
    }
}

impl Redistributors for Machine {
    fn number(&self, vcpu: usize) -> u16 {
        self.cpus[vcpu].id
    }

    fn is_last(&self, vcpu: usize) -> bool {
        self.cpus[vcpu].last
    }

    fn redist_status(&self, vcpu: usize) -> u32 {
        self.cpus[vcpu].status.get()
    }

    fn set_redist_status(&self, vcpu: usize, value: u32) {
        self.cpus[vcpu].status.set(value);
    }

    fn lpis(&self, vcpu: usize) -> Lpis {
        match self.cpus[vcpu].lpis.get() {
            true => Lpis::Enabled,
            false => Lpis::Disabled,
        }
    }

    fn enable_lpis(&self, vcpu: usize) {
        assert!(!self.cpus[vcpu].lpis.replace(true));
    }

    fn disable_lpis(&self, vcpu: usize) {
        assert!(self.cpus[vcpu].lpis.replace(false));
    }

    fn propbaser(&self) -> GicrPropbaser {
        self.propbaser.get()
    }

    fn set_propbaser(&self, value: GicrPropbaser) {
        self.propbaser.set(value);
    }

    fn pendbaser(&self, vcpu: usize) -> GicrPendbaser {
        self.cpus[vcpu].pendbaser.get()
    }

    fn set_pendbaser(&self, vcpu: usize, value: GicrPendbaser) {
        self.cpus[vcpu].pendbaser.set(value);
    }

    fn invalidate(&self, vcpu: usize, intid: IntId) {
        self.cpus[vcpu]
            .invalidated
            .borrow_mut()
            .push(Some(intid.get()));
    }

    fn invalidate_all(&self, vcpu: usize) {
        self.cpus[vcpu].invalidated.borrow_mut().push(None);
    }

    fn is_invalidating(&self, _vcpu: usize) -> bool {
        false
    }
}
