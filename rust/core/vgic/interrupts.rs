// SPDX-License-Identifier: GPL-2.0

//! The interrupts of a VM, to those who change them.

use super::{
    cell::{
        Change,
        IrqCell, //
    },
    intid::IntId,
    irq::Irq, //
};
use crate::psci::Affinity;

/// The interrupt groups that the distributor forwards: GICD_CTLR.EnableGrp0 and EnableGrp1.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Groups {
    /// Group 0.
    pub group0: bool,
    /// Group 1.
    pub group1: bool,
}

impl Groups {
    /// Whether the group of `irq` is forwarded.
    #[inline]
    pub const fn forwards(self, irq: Irq) -> bool {
        if irq.group1() {
            self.group1
        } else {
            self.group0
        }
    }
}

/// A VM's SGIs, PPIs and SPIs, and the vCPUs they go to.
///
/// vCPUs have indices from 0 to below [`vcpus`](Self::vcpus), in the order of their redistributors;
/// they are not their numbers in KVM_CREATE_VCPU.
pub trait Interrupts {
    /// What an interrupt is kept in.
    type Cell: IrqCell;

    /// Returns the number of vCPUs.
    fn vcpus(&self) -> usize;

    /// Returns the number of SPIs.
    fn spis(&self) -> usize;

    /// Returns an interrupt: an SGI or a PPI of the vCPU with index `vcpu`, or an SPI, for which
    /// `vcpu` does not matter. [`None`] if there is no such vCPU or SPI, and for LPIs.
    fn cell(&self, vcpu: usize, intid: IntId) -> Option<&Self::Cell>;

    /// Returns a vCPU's affinity, its name in GICR_TYPER, GICD_IROUTER and SGI registers; [`None`] if
    /// there is no such vCPU.
    fn affinity(&self, vcpu: usize) -> Option<Affinity>;

    /// Returns the vCPU with this affinity.
    fn find(&self, affinity: Affinity) -> Option<usize>;

    /// Returns GICD_IROUTER of an SPI as it was last set; zero for other interrupts.
    ///
    /// Where the interrupt really goes is [`Irq::target`].
    fn router(&self, intid: IntId) -> u64;

    /// Sets what [`router`](Self::router) returns, and nothing else.
    fn set_router(&self, intid: IntId, value: u64);

    /// Returns the groups that the distributor forwards.
    fn groups(&self) -> Groups;

    /// Sets the groups that the distributor forwards, and makes all vCPUs look.
    fn set_groups(&self, groups: Groups);

    /// Makes a vCPU look at an interrupt of its own or an SPI: marks it as a candidate and kicks the
    /// vCPU. What it is to see is stored already.
    fn notify(&self, vcpu: usize, intid: IntId);

    /// An interrupt that stands for one of the host was given to the guest, or taken from it, by
    /// software: the host's interrupt is to be active, or not, for it. `vcpu` is the one whose
    /// interrupt it is.
    fn set_host_active(&self, vcpu: usize, intid: IntId, active: bool);

    /// Waits until an interrupt of `vcpu`, or an SPI, that another vCPU than `by` has in a list
    /// register has been folded back once, so that its pending and active state is a recent one. `by`
    /// is the vCPU that asks (its own are folded already), or [`None`] for user space.
    fn settle(&self, by: Option<usize>, vcpu: usize, intid: IntId);

    /// Applies `f`, which says what a device or the host's own interrupt does, to an interrupt, and
    /// makes the vCPU look that is concerned. [`None`] if there is no such interrupt.
    #[inline]
    fn signal(&self, vcpu: usize, intid: IntId, f: impl FnMut(Irq) -> Irq) -> Option<Change> {
        let change = self.cell(vcpu, intid)?.update(f);

        if let Some(concerned) = change.concerns() {
            self.notify(concerned, intid);
        }
        Some(change)
    }

    /// As [`signal`](Self::signal), for what software does: if the interrupt stands for one of the
    /// host, that goes with it.
    #[inline]
    fn update(&self, vcpu: usize, intid: IntId, f: impl FnMut(Irq) -> Irq) -> Option<Change> {
        let change = self.signal(vcpu, intid, f)?;

        if let Some(active) = change.host_active() {
            self.set_host_active(vcpu, intid, active);
        }
        Some(change)
    }
}
