// SPDX-License-Identifier: GPL-2.0

//! A VM's interrupts in memory, and a CPU with a virtual CPU interface as IHI 0069 has it.

pub use crate::cell::CellWord;
use kvm_core::{
    bits::Bits,
    psci::Affinity,
    vgic::{
        candidates::Candidates,
        cell::IrqCell,
        interrupts::{Groups, Interrupts},
        intid::{IntId, PRIVATE},
        irq::Irq,
        lr::ListRegister,
        queue::{IchHcrEl2, VirtualInterface},
    },
};
use std::cell::{Cell, RefCell};

/// A VM's interrupts.
pub struct Vm {
    private: Vec<Vec<CellWord>>,
    spis: Vec<CellWord>,
    pub candidates: Vec<Candidates<CellWord>>,
    groups: Cell<Groups>,
    /// The host's interrupts whose active state was set, in order.
    pub host_active: RefCell<Vec<(usize, IntId, bool)>>,
}

impl Vm {
    pub fn new(vcpus: usize, spis: usize) -> Self {
        // SPIs are level-sensitive, which is more to get wrong; a test makes some edge-triggered.
        let cell = |intid, target| {
            let irq = Irq::reset(IntId::new(intid).unwrap(), target, true);
            CellWord::from(irq.set_edge(intid < 16))
        };

        Self {
            private: (0..vcpus)
                .map(|vcpu| {
                    (0..PRIVATE as u32)
                        .map(|intid| cell(intid, Some(vcpu)))
                        .collect()
                })
                .collect(),
            spis: (0..spis)
                .map(|spi| cell((PRIVATE + spi) as u32, Some(0)))
                .collect(),
            candidates: (0..vcpus)
                .map(|_| Candidates::new(CellWord::default))
                .collect(),
            groups: Cell::new(Groups {
                group0: true,
                group1: true,
            }),
            host_active: RefCell::new(Vec::new()),
        }
    }

    pub fn irq(&self, vcpu: usize, intid: IntId) -> Irq {
        IrqCell::load(self.cell(vcpu, intid).unwrap())
    }
}

/// 4 vCPUs in a cluster, so that more than one field of an affinity counts.
pub fn affinity_of(vcpu: usize) -> Affinity {
    Affinity::from_mpidr((vcpu / 4) as u64 * 0x01_0000_0100 + (vcpu % 4) as u64)
}

impl Interrupts for Vm {
    type Cell = CellWord;

    fn vcpus(&self) -> usize {
        self.private.len()
    }

    fn spis(&self) -> usize {
        self.spis.len()
    }

    fn cell(&self, vcpu: usize, intid: IntId) -> Option<&CellWord> {
        match intid.spi_index() {
            Some(spi) => self.spis.get(spi),
            None => self.private.get(vcpu)?.get(intid.index()),
        }
    }

    fn affinity(&self, vcpu: usize) -> Option<Affinity> {
        (vcpu < self.vcpus()).then(|| affinity_of(vcpu))
    }

    fn find(&self, affinity: Affinity) -> Option<usize> {
        (0..self.vcpus()).find(|vcpu| affinity_of(*vcpu) == affinity)
    }

    fn router(&self, _intid: IntId) -> u64 {
        unreachable!("the CPU interface does not look at it")
    }

    fn set_router(&self, _intid: IntId, _value: u64) {
        unreachable!("the CPU interface does not change it")
    }

    fn groups(&self) -> Groups {
        self.groups.get()
    }

    fn set_groups(&self, groups: Groups) {
        self.groups.set(groups);
        self.candidates.iter().for_each(Candidates::mark_all);
    }

    fn notify(&self, vcpu: usize, intid: IntId) {
        self.candidates[vcpu].mark(intid);
    }

    fn set_host_active(&self, vcpu: usize, intid: IntId, active: bool) {
        self.host_active.borrow_mut().push((vcpu, intid, active));
    }

    fn settle(&self, _vcpu: Option<usize>, _of: usize, _intid: IntId) {}
}

/// A CPU's virtual interface, and the guest that uses it.
pub struct Cpu {
    lrs: RefCell<Vec<ListRegister>>,
    hcr: Cell<IchHcrEl2>,
    /// The priorities that are active: ICH_AP0R and ICH_AP1R.
    pub running: RefCell<Vec<(IntId, u64)>>,
    /// ICC_CTLR_EL1.EOImode.
    pub eoi_mode: bool,
    /// ICC_PMR_EL1.
    pub mask: u64,
    /// How often a list register or ICH_HCR_EL2 was accessed.
    pub accesses: Cell<usize>,
    /// The host's interrupts that the guest has deactivated.
    pub deactivated: RefCell<Vec<u64>>,
}

impl Cpu {
    pub fn new(list_registers: usize, eoi_mode: bool, mask: u8, hcr: IchHcrEl2) -> Self {
        Self {
            lrs: RefCell::new(vec![ListRegister::EMPTY; list_registers]),
            hcr: Cell::new(hcr),
            running: RefCell::new(Vec::new()),
            eoi_mode,
            mask: mask.into(),
            accesses: Cell::new(0),
            deactivated: RefCell::new(Vec::new()),
        }
    }

    pub fn running_priority(&self) -> u64 {
        self.running
            .borrow()
            .last()
            .map_or(u64::MAX, |(_, priority)| *priority)
    }

    /// The guest reads ICC_IAR0_EL1 or ICC_IAR1_EL1, the one that it has been signalled.
    pub fn acknowledge(&self) -> Option<IntId> {
        assert!(self.hcr.get().en());
        let limit = self.mask.min(self.running_priority());
        let mut lrs = self.lrs.borrow_mut();
        let lr = lrs
            .iter_mut()
            .filter(|lr| lr.pending() && !lr.active() && lr.priority().get() < limit)
            .min_by_key(|lr| lr.priority())?;
        let intid = IntId::new(lr.intid().get() as u32).unwrap();

        *lr = lr.with_pending(false).with_active(true);
        self.running.borrow_mut().push((intid, lr.priority().get()));
        Some(intid)
    }

    /// The guest writes ICC_EOIR0_EL1 or ICC_EOIR1_EL1, for the interrupt that it took last.
    pub fn end(&self) -> Option<IntId> {
        let (intid, _) = self.running.borrow_mut().pop()?;

        let listed = self
            .lrs
            .borrow()
            .iter()
            .any(|lr| lr.intid() == u64::from(intid.get()) && lr.active());

        // QEMU's CPU counts those that it does not find with EOImode 1, too.
        if !self.eoi_mode || !listed {
            self.deactivate(intid);
        }
        Some(intid)
    }

    fn deactivate(&self, intid: IntId) {
        let mut lrs = self.lrs.borrow_mut();

        match lrs
            .iter_mut()
            .find(|lr| lr.intid() == u64::from(intid.get()) && lr.active())
        {
            Some(lr) => {
                *lr = lr.with_active(false);
                if lr.hw() {
                    self.deactivated.borrow_mut().push(lr.host().get());
                }
            }
            None => {
                let hcr = self.hcr.get();
                let count = hcr.eoicount().get() + 1;
                self.hcr
                    .set(hcr.with_eoicount(Bits::new(count).expect("EOIcount overflows")));
            }
        }
    }

    /// Whether there is a maintenance interrupt: ICH_MISR_EL2.
    pub fn maintenance(&self) -> bool {
        let hcr = self.hcr.get();
        let lrs = self.lrs.borrow();
        let valid = lrs.iter().filter(|lr| !lr.is_invalid()).count();

        hcr.en()
            && (lrs.iter().any(|lr| lr.has_ended())
                || (hcr.uie() && valid <= 1)
                || (hcr.lrenpie() && hcr.eoicount() != 0)
                || (hcr.npie() && !lrs.iter().any(|lr| lr.pending())))
    }
}

impl VirtualInterface for Cpu {
    fn list_registers(&self) -> usize {
        self.lrs.borrow().len()
    }

    fn list_register(&self, n: usize) -> ListRegister {
        self.accesses.set(self.accesses.get() + 1);
        self.lrs.borrow()[n]
    }

    fn set_list_register(&self, n: usize, value: ListRegister) {
        self.accesses.set(self.accesses.get() + 1);
        // IHI 0069: pending and active at once is for software's interrupts only.
        assert!(!(value.hw() && value.pending() && value.active()));
        let mut lrs = self.lrs.borrow_mut();
        lrs[n] = value;
        // ICH_LR<n>_EL2: UNPREDICTABLE if two of them have the same vINTID and are valid.
        let same = |lr: &&ListRegister| lr.intid() == value.intid() && !lr.is_invalid();
        assert!(value.is_invalid() || lrs.iter().filter(same).count() == 1);
    }

    fn hcr(&self) -> IchHcrEl2 {
        self.accesses.set(self.accesses.get() + 1);
        self.hcr.get()
    }

    fn set_hcr(&self, value: IchHcrEl2) {
        self.accesses.set(self.accesses.get() + 1);
        self.hcr.set(value);
    }

    fn eoi_mode(&self) -> bool {
        self.eoi_mode
    }
}
