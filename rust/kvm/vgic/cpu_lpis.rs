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
};

impl Vgic {
    /// Applies `f` to an LPI, and makes the vCPU look that is concerned. Anywhere.
    pub(crate) fn update_lpi(&self, lpi: &Lpi, f: impl FnMut(Irq) -> Irq) {
        if let Some(vcpu) = lpi.irq.update(f).concerns() {
            self.lpi_waits(vcpu, lpi.intid());
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

impl queue::Lpis for CpuLpis<'_> {
    fn for_each(&mut self, mut f: impl FnMut(IntId, Irq)) -> bool {
        let Some(waiting) = self.vgic.waiting(self.vcpu) else {
            return false;
        };
        waiting.retain(|intid| {
            let Some(lpi) = self.vgic.lpis().get(intid) else {
                return false;
            };
            let irq = lpi.irq();
            // One that is in a list register waits again when it is folded.
            if irq.listed() || !irq.is_candidate() {
                return false;
            }
            match irq.owner() {
                Some(owner) if owner == self.vcpu => {
                    f(intid, irq);
                    true
                }
                Some(owner) => {
                    self.vgic.lpi_waits(owner, intid);
                    false
                }
                None => false,
            }
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
        let owner = lpi.irq.update(|irq| irq.fold(lr)).concerns();

        if let Some(owner) = owner {
            self.vgic.lpi_waits(owner, lpi.intid());
        }
        owner == Some(self.vcpu)
    }
}
