// SPDX-License-Identifier: GPL-2.0

//! LPIs on their way to a vCPU: those that wait for it, those in its list registers.

use crate::vgic::{
    lpis::{
        Lpi,
        NotAdded, //
    },
    vm::Vgic, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kvm_core::vgic::{
    cell::IrqCell,
    interrupts::Groups,
    intid::IntId,
    irq::Irq,
    lr::ListRegister,
    queue::{
        self,
        MAX_LIST_REGISTERS, //
    },
    waiting::{
        Look,
        Rest, //
    },
};

impl Vgic {
    /// Applies `f` to an LPI, and makes the vCPU look that is concerned. Anywhere.
    pub(crate) fn update_lpi(&self, lpi: &Lpi, f: impl FnMut(Irq) -> Irq) {
        let change = lpi.irq.update(f);
        if let Some(vcpu) = change.concerns() {
            self.lpi_waits(vcpu, lpi.intid(), change.new.priority());
        }
    }

    /// Maps an LPI. May sleep.
    ///
    /// # Errors
    ///
    /// [`NotAdded`].
    pub(crate) fn map_lpi(&self, intid: IntId, irq: Irq) -> Result<Arc<Lpi>, NotAdded> {
        let lpi = Lpi::new(intid, irq).map_err(|_| NotAdded::NoMemory)?;
        self.lpis().add(lpi.clone())?;
        Ok(lpi)
    }

    /// Unmaps an LPI: it does not wait for a vCPU any more. One that has it in a list register gives it
    /// up as soon as it looks.
    pub(crate) fn unmap_lpi(&self, lpi: Arc<Lpi>) {
        let removed = self.lpis().remove(&lpi);
        self.update_lpi(&lpi, |irq| {
            irq.clear_pending().set_enabled(false).set_target(None)
        });
        drop((removed, lpi));
    }
}

/// The LPIs that a vCPU has in list registers.
pub(super) type Slots = [Option<Arc<Lpi>>; MAX_LIST_REGISTERS];

/// The LPIs of a vCPU, to its queue.
pub(super) struct CpuLpis<'a> {
    pub(super) vgic: &'a Vgic,
    pub(super) vcpu: usize,
    pub(super) slots: &'a mut Slots,
}

/// All LPIs, as one vCPU looks at them.
struct OfVcpu<'a> {
    vgic: &'a Vgic,
    vcpu: usize,
}

impl Look for OfVcpu<'_> {
    fn look(&mut self, first: IntId, bits: u64, mut f: impl FnMut(u32, Option<Irq>)) -> u32 {
        let mut moved: u64 = 0;

        self.vgic.lpis().look(first, bits, |bit, lpi| {
            // One that is in a list register waits again when it is folded.
            let irq = lpi
                .map(Lpi::irq)
                .filter(|irq| !irq.listed() && irq.is_candidate());
            let owner = irq.and_then(Irq::owner);
            if owner.is_some_and(|owner| owner != self.vcpu) {
                moved |= 1 << bit;
            }
            f(bit, irq.filter(|_| owner == Some(self.vcpu)));
        });
        let passed = moved.count_ones();
        // Nobody is kicked under the table's lock.
        while moved != 0 {
            let moving = IntId::lpi(first.get() + moved.trailing_zeros());
            moved &= moved - 1;
            if let Some(lpi) = moving.and_then(|intid| self.vgic.lpis().get(intid)) {
                let irq = lpi.irq();
                if let Some(owner) = irq.owner() {
                    self.vgic.lpi_waits(owner, lpi.intid(), irq.priority());
                }
            }
        }
        passed
    }
}

impl queue::Lpis for CpuLpis<'_> {
    fn first(&mut self, f: impl FnMut(IntId, Irq) -> bool) -> Rest {
        let (vgic, vcpu) = (self.vgic, self.vcpu);

        vgic.waiting(vcpu).map_or(Rest::Nothing, |waiting| {
            waiting.first(&mut OfVcpu { vgic, vcpu }, f)
        })
    }

    fn list(
        &mut self,
        n: usize,
        intid: IntId,
        holder: usize,
        groups: Groups,
    ) -> Option<ListRegister> {
        let slot = self.slots.get_mut(n)?;
        let lpi = self.vgic.lpis().get(intid)?;
        let mut lr = None;

        if let Some(waiting) = self.vgic.waiting(self.vcpu) {
            waiting.clear(intid);
        }
        lpi.irq.update(|irq| {
            let listed = irq.list(intid, holder, groups, true);
            lr = listed.map(|(_, lr)| lr);
            listed.map_or(irq, |(irq, _)| irq)
        });
        if lr.is_some() {
            *slot = Some(lpi);
        }
        lr
    }

    fn fold(&mut self, n: usize, lr: ListRegister) -> bool {
        let Some(lpi) = self.slots.get_mut(n).and_then(Option::take) else {
            return false;
        };
        let change = lpi.irq.update(|irq| irq.fold(lr));
        let owner = change.concerns();

        if let Some(owner) = owner {
            self.vgic
                .lpi_waits(owner, lpi.intid(), change.new.priority());
        }
        owner == Some(self.vcpu)
    }
}
