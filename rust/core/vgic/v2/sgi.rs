// SPDX-License-Identifier: GPL-2.0

//! A GICv2's SGIs: what a vCPU sends.
//!
//! The same SGI of several vCPUs is pending once for each of them, and is acknowledged once for each,
//! with the sender's number. It is active for the vCPU that it goes to, whoever sent it.
//!
//! Source: IHI 0048, "GICD_SGIR", "GICD_CPENDSGIRn", "GICD_SPENDSGIRn".

use super::{
    super::{
        interrupts::Interrupts,
        intid::IntId, //
    },
    lists::MAX_VCPUS,
};
use crate::{
    bit_enum,
    bit_struct, //
};

bit_enum! {
    /// GICD_SGIR.TargetListFilter: whom an SGI goes to.
    pub enum Filter: 2 {
        /// Those in the list.
        List = 0,
        /// All but the sender.
        Others = 1,
        /// The sender.
        Own = 2,
    }
}

bit_struct! {
    /// What is written to GICD_SGIR.
    pub struct GicdSgir("GICD_SGIR") {
        /// The SGI.
        intid / with_intid: bits 0..=3,
        /// The list, a bit for each vCPU.
        list / with_list: bits 16..=23,
        /// What the list is for.
        filter / with_filter: option 24..=25 as Filter,
    }
}

impl GicdSgir {
    /// Sends it, from the vCPU with index `from`. To nobody if the filter is the reserved one.
    pub fn send<I: Interrupts + ?Sized>(self, from: usize, interrupts: &I) {
        let (Some(intid), Some(filter)) =
            (IntId::private(self.intid().get() as u32), self.filter())
        else {
            return;
        };
        let list = self.list().get();
        let reaches = |vcpu: &usize| match filter {
            Filter::List => (list >> vcpu) & 1 != 0,
            Filter::Others => *vcpu != from,
            Filter::Own => *vcpu == from,
        };

        for vcpu in (0..interrupts.vcpus().min(MAX_VCPUS)).filter(reaches) {
            add(interrupts, vcpu, intid, 1 << (from % MAX_VCPUS));
        }
    }
}

/// An SGI is pending for the vCPU from these vCPUs, too.
pub(super) fn add<I: Interrupts + ?Sized>(gic: &I, vcpu: usize, intid: IntId, senders: u8) {
    gic.update(vcpu, intid, |irq| irq.set_senders(irq.senders() | senders));
}

/// An SGI is not pending for the vCPU from these vCPUs.
pub(super) fn remove<I: Interrupts + ?Sized>(gic: &I, vcpu: usize, intid: IntId, senders: u8) {
    gic.update(vcpu, intid, |irq| irq.set_senders(irq.senders() & !senders));
}
