// SPDX-License-Identifier: GPL-2.0

//! Software-generated interrupts: what a vCPU sends to others.
//!
//! Source: IHI 0069, the pages of ICC_SGI0R_EL1, ICC_SGI1R_EL1 and ICC_ASGI1R_EL1, and "Software
//! Generated Interrupts".

use super::{
    interrupts::Interrupts,
    intid::IntId,
    irq::Irq, //
};
use crate::{
    bit_struct,
    psci::Affinity, //
};

bit_struct! {
    /// What is written to an SGI register.
    pub struct Sgi("ICC_SGI1R_EL1") {
        /// A bit for each of the 16 CPUs that share the rest of the affinity.
        target_list / with_target_list: bits 0..=15,
        /// Affinity level 1.
        aff1 / with_aff1: bits 16..=23,
        /// The SGI.
        intid / with_intid: bits 24..=27,
        /// Affinity level 2.
        aff2 / with_aff2: bits 32..=39,
        /// To all but the sender, whatever the affinity.
        irm / with_irm: flag 40,
        /// The CPUs are those from 16 times this number on (range selector).
        rs / with_rs: bits 44..=47,
        /// Affinity level 3.
        aff3 / with_aff3: bits 48..=55,
    }
}

/// Which of the registers an SGI is sent by.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SgiRegister {
    /// ICC_SGI0R_EL1. ICC_ASGI1R_EL1 is the same where there is one Security state.
    Group0,
    /// ICC_SGI1R_EL1.
    Group1,
}

impl SgiRegister {
    /// Whether the register can generate an interrupt of this group.
    ///
    /// With one Security state (GICD_CTLR.DS is 1) group 0 is no secret, so ICC_SGI1R_EL1 generates
    /// whichever the target has configured.
    const fn reaches(self, irq: Irq) -> bool {
        match self {
            Self::Group0 => !irq.group1(),
            Self::Group1 => true,
        }
    }
}

impl Sgi {
    /// Returns the affinities of the target list; there are none for [`Sgi::irm`].
    pub fn affinities(self) -> impl Iterator<Item = Affinity> {
        let list = if self.irm() {
            0
        } else {
            self.target_list().get()
        };
        let others = (self.aff3().get() << 32)
            | (self.aff2().get() << 16)
            | (self.aff1().get() << 8)
            | (self.rs().get() << 4);

        (0..16)
            .filter(move |n| list & (1 << n) != 0)
            .map(move |n| Affinity::from_mpidr(others | n))
    }

    /// Sends it, from the vCPU with index `from`. Affinities without a vCPU are passed over.
    pub fn send<I: Interrupts>(self, register: SgiRegister, from: usize, interrupts: &I) {
        let Some(intid) = IntId::private(self.intid().get() as u32) else {
            return;
        };
        let send = |vcpu| {
            interrupts.update(vcpu, intid, |irq| {
                if register.reaches(irq) {
                    irq.set_pending()
                } else {
                    irq
                }
            });
        };

        if self.irm() {
            (0..interrupts.vcpus())
                .filter(|vcpu| *vcpu != from)
                .for_each(send);
        } else {
            self.affinities()
                .filter_map(|affinity| interrupts.find(affinity))
                .for_each(send);
        }
    }
}
