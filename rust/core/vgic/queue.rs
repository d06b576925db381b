// SPDX-License-Identifier: GPL-2.0

//! A vCPU's list registers: what is put there before the guest is entered, and what came of it.
//!
//! There may be more interrupts than list registers. Those that matter first are put there, and
//! maintenance interrupts tell when it is time for the others:
//!
//! - The guest has taken all that are pending (NPIE), and there are more.
//! - It has ended one that is active and in none of the list registers (LRENPIE, EOIcount). As the
//!   guest ends interrupts in the reverse of the order in which they preempted each other, it is
//!   the one with the highest priority, if software has not made others active. If it deactivates
//!   them in another order, with EOImode 1, it does so by ICV_DIR_EL1, which traps.
//!
//! Source: IHI 0069, "Usage model for the List registers", the page of ICH_HCR_EL2.

use super::{
    candidates::{
        Candidates,
        Marks,
        Word, //
    },
    cell::{
        Change,
        IrqCell, //
    },
    choice::Selection,
    interrupts::{
        Groups,
        Interrupts, //
    },
    intid::{
        IntId,
        Kind, //
    },
    irq::Irq,
    lr::ListRegister,
    waiting::Rest, //
};
use crate::{
    bit_struct,
    bits::Bits, //
};

pub use super::lr::MAX_LIST_REGISTERS;

bit_struct! {
    /// Interrupt Controller Hyp Control Register.
    pub struct IchHcrEl2("ICH_HCR_EL2") {
        /// The virtual CPU interface is in operation.
        en / with_en: flag 0,
        /// Maintenance interrupt if no more than one list register is valid.
        uie / with_uie: flag 1,
        /// Maintenance interrupt if `eoicount` is not zero.
        lrenpie / with_lrenpie: flag 2,
        /// Maintenance interrupt if none is pending.
        npie / with_npie: flag 3,
        /// Trap what is common to both groups.
        tc / with_tc: flag 10,
        /// Trap the registers of group 0.
        tall0 / with_tall0: flag 11,
        /// Trap the registers of group 1.
        tall1 / with_tall1: flag 12,
        /// Trap ICV_DIR_EL1.
        tdir / with_tdir: flag 14,
        /// How many interrupts the guest has ended that were in no list register.
        eoicount / with_eoicount: bits 27..=31,
    }
}

/// The virtual CPU interface of the current CPU.
pub trait VirtualInterface {
    /// Returns how many list registers there are, at most [`MAX_LIST_REGISTERS`].
    fn list_registers(&self) -> usize;

    /// Reads a list register.
    fn list_register(&self, n: usize) -> ListRegister;

    /// Writes a list register.
    fn set_list_register(&self, n: usize, value: ListRegister);

    /// Reads ICH_HCR_EL2.
    fn hcr(&self) -> IchHcrEl2;

    /// Writes ICH_HCR_EL2.
    fn set_hcr(&self, value: IchHcrEl2);

    /// Returns the guest's ICC_CTLR_EL1.EOImode (ICH_VMCR_EL2.VEOIM).
    fn eoi_mode(&self) -> bool;
}

/// The LPIs that wait for a vCPU, and those that it has in list registers.
pub trait Lpis {
    /// Calls `f` with those that wait, from the highest priority on, until it returns false; see
    /// [`Waiting::first`](super::waiting::Waiting::first).
    fn first(&mut self, f: impl FnMut(IntId, Irq) -> bool) -> Rest;

    /// Takes one out of those that wait and puts it into list register `n` of the vCPU `holder`, with
    /// [`Irq::list`]. [`None`] if it cannot be listed any more.
    fn list(
        &mut self,
        n: usize,
        intid: IntId,
        holder: usize,
        groups: Groups,
    ) -> Option<ListRegister>;

    /// Takes the one that is in list register `n` out of it, with [`Irq::fold`]. It waits again if
    /// it is pending still, perhaps for another vCPU, which is notified. Returns whether any wait for
    /// this one.
    fn fold(&mut self, n: usize, lr: ListRegister) -> bool;
}

/// No LPIs.
pub struct NoLpis;

impl Lpis for NoLpis {
    fn first(&mut self, _f: impl FnMut(IntId, Irq) -> bool) -> Rest {
        Rest::Nothing
    }

    fn list(
        &mut self,
        _n: usize,
        _intid: IntId,
        _holder: usize,
        _groups: Groups,
    ) -> Option<ListRegister> {
        None
    }

    fn fold(&mut self, _n: usize, _lr: ListRegister) -> bool {
        false
    }
}

/// A vCPU's interrupts, as its own thread has them.
///
/// While nothing is in list registers, ICH_HCR_EL2 is what the queue was made with: so it is to be
/// when the vCPU is loaded into a CPU, where all list registers are empty then.
pub struct Queue {
    /// The vCPU's index.
    vcpu: usize,
    /// ICH_HCR_EL2 while there is nothing to wait for.
    base: IchHcrEl2,
    /// ICH_HCR_EL2 as it is.
    hcr: IchHcrEl2,
    /// What is to be looked at, beside the candidates; less what is in a list register.
    marks: Marks,
    /// Whether `marks` have changed since the list registers were filled.
    changed: bool,
    slots: [Option<IntId>; MAX_LIST_REGISTERS],
    used: usize,
    /// Whether an interrupt is active and in no list register.
    unlisted: bool,
}

impl Queue {
    /// Returns that of the vCPU with index `vcpu`. `base` is ICH_HCR_EL2 as far as it does not depend
    /// on the interrupts that there are.
    pub fn new(vcpu: usize, base: IchHcrEl2) -> Self {
        Self {
            vcpu,
            base,
            hcr: base,
            marks: Marks::NONE,
            changed: false,
            slots: [None; MAX_LIST_REGISTERS],
            used: 0,
            unlisted: false,
        }
    }

    /// Returns that of a vCPU whose interrupts are signalled without list registers. It is stale before
    /// each entry, so that others need not be asked what they are.
    pub fn unused(vcpu: usize) -> Self {
        Self {
            changed: true,
            ..Self::new(vcpu, IchHcrEl2::from_raw(0))
        }
    }

    /// The vCPU's index.
    #[inline]
    pub fn vcpu(&self) -> usize {
        self.vcpu
    }

    /// Whether the list registers are to be filled anew before the guest is entered.
    #[inline(always)]
    pub fn is_stale<W: Word>(&self, candidates: &Candidates<W>) -> bool {
        candidates.any() || self.changed
    }

    /// Whether the CPU has something of the queue: a list register, or a reason for a maintenance
    /// interrupt.
    #[inline(always)]
    pub fn is_in_use(&self) -> bool {
        self.used != 0 || self.hcr != self.base
    }

    /// Fills the list registers. They are to be folded first. Returns whether these are those that
    /// matter most; if not, which can be if there are very many LPIs, it is to be done anew before
    /// the guest is entered.
    #[must_use]
    pub fn fill<I: Interrupts, W: Word>(
        &mut self,
        interrupts: &I,
        candidates: &Candidates<W>,
        lpis: &mut impl Lpis,
        hardware: &impl VirtualInterface,
    ) -> bool {
        // The groups are loaded after what says that they have changed.
        candidates.take(&mut self.marks);
        let vcpu = self.vcpu;
        let groups = interrupts.groups();
        let mut selection = Selection::new(hardware.list_registers(), groups);

        self.marks.retain(|intid| {
            let irq = candidate(interrupts, vcpu, intid);
            if let Some(irq) = irq {
                selection.offer(intid, irq);
            }
            irq.is_some()
        });
        let mut waiting: usize = 0;
        let mut rest = Rest::Nothing;
        if self.marks.lpis() {
            // One more than there is room for, to know that there are more. No one of those that follow
            // would be chosen. There are few that are active, at most one for each priority.
            let mut room = hardware.list_registers();
            rest = lpis.first(|intid, irq| {
                waiting += 1;
                selection.offer(intid, irq);
                if !irq.active() {
                    match room.checked_sub(1) {
                        Some(left) => room = left,
                        None => return false,
                    }
                }
                true
            });
        }
        self.changed = rest == Rest::Unknown;
        let offered = selection.offered;
        let (chosen, count) = selection.chosen();
        let more = offered.deliverable > count.deliverable;
        self.unlisted = offered.active > count.active;

        for intid in chosen {
            // While there are more, a list register is not to hold up the maintenance interrupt that
            // says that none is pending.
            let lr = if intid.kind() == Kind::Lpi {
                lpis.list(self.used, intid, vcpu, groups)
            } else {
                list(interrupts, vcpu, intid, groups, !more)
            };
            let Some(lr) = lr else {
                // Something has happened to it since. It is a candidate if it needs to be, but
                // another one could have its place.
                self.changed = true;
                continue;
            };
            if intid.kind() == Kind::Lpi {
                waiting = waiting.saturating_sub(1);
            }
            self.marks.remove(intid);
            hardware.set_list_register(self.used, lr);
            self.slots[self.used] = Some(intid);
            self.used += 1;
        }
        // Unless all are in list registers. One that comes meanwhile is a candidate.
        self.marks.set_lpis(waiting != 0 || rest != Rest::Nothing);
        self.set_hcr(
            self.base.with_npie(more).with_lrenpie(self.unlisted),
            hardware,
        );
        rest != Rest::Unknown
    }

    /// Empties the list registers into the interrupts. `ended` is called for each that the guest has
    /// ended and whose cause is to be looked at again.
    pub fn fold<I: Interrupts>(
        &mut self,
        interrupts: &I,
        lpis: &mut impl Lpis,
        hardware: &impl VirtualInterface,
        mut ended: impl FnMut(IntId),
    ) {
        // Before those that are in list registers come to the others.
        if self.unlisted {
            let count = hardware.hcr().eoicount().get();
            // With EOImode 1 nothing ends but by ICV_DIR_EL1, which traps. QEMU counts all the same.
            if count != 0 && !hardware.eoi_mode() {
                for _ in 0..count {
                    self.end_unlisted(interrupts, &mut ended);
                }
            }
        }
        let used = core::mem::take(&mut self.used);

        for (n, slot) in self.slots[..used].iter_mut().enumerate() {
            let Some(intid) = slot.take() else { continue };
            let lr = hardware.list_register(n);
            hardware.set_list_register(n, ListRegister::EMPTY);
            if intid.kind() == Kind::Lpi {
                if lpis.fold(n, lr) {
                    self.marks.set_lpis(true);
                }
                continue;
            }
            let Some(change) = fold(interrupts, self.vcpu, intid, lr) else {
                continue;
            };
            match change.concerns() {
                Some(concerned) if concerned != self.vcpu => interrupts.notify(concerned, intid),
                Some(_) => self.marks.insert(intid),
                None => {}
            }
            if lr.has_ended() && !change.old.edge() {
                ended(intid);
            }
        }
        self.changed |= used != 0 && !self.marks.is_empty();
        self.unlisted = false;
        self.set_hcr(self.base, hardware);
    }

    /// The guest has ended the first of those that are active and were in no list register.
    fn end_unlisted<I: Interrupts>(&mut self, interrupts: &I, ended: &mut impl FnMut(IntId)) {
        let vcpu = self.vcpu;
        let mut first: Option<(Bits<8>, IntId)> = None;

        self.marks.retain(|intid| {
            if let Some(irq) = candidate(interrupts, vcpu, intid) {
                let this = (irq.priority(), intid);
                if irq.active() && first.is_none_or(|first| this < first) {
                    first = Some(this);
                }
            }
            true
        });
        let Some((_, intid)) = first else { return };
        let change = interrupts.update(vcpu, intid, |irq| irq.set_active(false));
        if change.is_some_and(|change| change.old.active() && !change.new.edge()) {
            ended(intid);
        }
        self.changed = true;
    }

    /// Whether an interrupt with a priority higher than `mask` (ICC_PMR_EL1) waits for the vCPU, in one
    /// of the groups `enabled` (ICC_IGRPEN0_EL1 and ICC_IGRPEN1_EL1). The list registers are to be
    /// folded first.
    pub fn has_deliverable<I: Interrupts, W: Word>(
        &mut self,
        interrupts: &I,
        candidates: &Candidates<W>,
        lpis: &mut impl Lpis,
        mask: u8,
        enabled: Groups,
    ) -> bool {
        if candidates.any() {
            candidates.take(&mut self.marks);
            self.changed = true;
        }
        let vcpu = self.vcpu;
        let groups = interrupts.groups();
        let mut found = false;
        let mut look = |irq: Irq| {
            found |= irq.is_deliverable(groups)
                && enabled.forwards(irq)
                && irq.priority().get() < u64::from(mask);
        };

        self.marks.retain(|intid| {
            let irq = candidate(interrupts, vcpu, intid);
            if let Some(irq) = irq {
                look(irq);
            }
            irq.is_some()
        });
        if self.marks.lpis() {
            let mut any = false;
            // If not even the first one that could be taken is, none is.
            let rest = lpis.first(|_, irq| {
                any = true;
                look(irq);
                irq.active()
            });
            self.marks.set_lpis(any || rest != Rest::Nothing);
            // Who waits may look in vain.
            found |= rest == Rest::Unknown;
        }
        found
    }

    fn set_hcr(&mut self, hcr: IchHcrEl2, hardware: &impl VirtualInterface) {
        if hcr != self.hcr {
            hardware.set_hcr(hcr);
            self.hcr = hcr;
        }
    }
}

/// Returns an interrupt if the vCPU has to look at it.
#[inline]
fn candidate<I: Interrupts>(interrupts: &I, vcpu: usize, intid: IntId) -> Option<Irq> {
    let irq = interrupts.cell(vcpu, intid)?.load();

    (irq.is_candidate() && irq.owner() == Some(vcpu)).then_some(irq)
}

/// Puts an SGI, PPI or SPI into a list register.
#[inline]
fn list<I: Interrupts>(
    interrupts: &I,
    vcpu: usize,
    intid: IntId,
    groups: Groups,
    both: bool,
) -> Option<ListRegister> {
    let mut lr = None;

    interrupts
        .cell(vcpu, intid)?
        .update(|irq| match irq.list(intid, vcpu, groups, both) {
            Some((listed, register)) => {
                lr = Some(register);
                listed
            }
            None => {
                lr = None;
                irq
            }
        });
    lr
}

/// Takes an SGI, PPI or SPI out of a list register.
#[inline]
fn fold<I: Interrupts>(
    interrupts: &I,
    vcpu: usize,
    intid: IntId,
    lr: ListRegister,
) -> Option<Change> {
    let change = interrupts.cell(vcpu, intid)?.update(|irq| irq.fold(lr));

    if lr.hw() {
        // The guest has deactivated the host's interrupt, too, if it has the list register empty.
        if lr.is_invalid() && change.new.active() {
            interrupts.set_host_active(vcpu, intid, true);
        } else if !lr.is_invalid() && !change.new.is_with_guest() {
            interrupts.set_host_active(vcpu, intid, false);
        }
    }
    Some(change)
}
