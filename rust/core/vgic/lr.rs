// SPDX-License-Identifier: GPL-2.0

//! List registers: an interrupt as the virtual CPU interface has it.
//!
//! Source: IHI 0069, the page of ICH_LR\<n\>_EL2.

use super::{
    interrupts::Groups,
    intid::{
        IntId,
        Kind, //
    },
    irq::Irq, //
};
use crate::{
    bit_struct,
    bits::Bits, //
};

/// The most list registers that a CPU has.
pub const MAX_LIST_REGISTERS: usize = 16;

bit_struct! {
    /// Interrupt Controller List Register.
    pub struct ListRegister("ICH_LR_EL2") {
        /// The virtual interrupt (vINTID).
        intid / with_intid: bits 0..=31,
        /// If `hw` is set, the host's interrupt (pINTID); if not, see [`ListRegister::EOI`].
        host / with_host: bits 32..=44,
        /// The priority.
        priority / with_priority: bits 48..=55,
        /// Group 1, not 0.
        group1 / with_group1: flag 60,
        /// Deactivating it deactivates the host's interrupt.
        hw / with_hw: flag 61,
        /// Pending.
        pending / with_pending: flag 62,
        /// Active.
        active / with_active: flag 63,
    }
}

impl ListRegister {
    /// A list register that holds no interrupt.
    pub const EMPTY: Self = Self::from_raw(0);

    /// `host` of a virtual interrupt without a host's: its deactivation is to cause a maintenance
    /// interrupt (ICH_LR\<n\>_EL2.EOI, bit 41).
    const EOI: Bits<13> = Bits::of::<0x200>();

    /// Whether it is neither pending nor active: the guest is done with it.
    #[inline]
    pub const fn is_invalid(self) -> bool {
        !self.pending() && !self.active()
    }

    /// Whether it held an interrupt whose end was to be noticed, and which has ended.
    #[inline]
    pub const fn has_ended(self) -> bool {
        self.is_invalid() && !self.hw() && self.host().get() & Self::EOI.get() != 0
    }
}

impl Irq {
    /// Whether it is to be signalled to a vCPU, as far as the distributor decides. One that is active
    /// is not before it has ended.
    #[inline]
    pub const fn is_deliverable(self, groups: Groups) -> bool {
        self.enabled() && self.pending() && groups.forwards(self) && !self.active()
    }

    /// Puts the interrupt `intid` into a list register of the vCPU with index `holder`. [`None`] if it
    /// is none of that vCPU's business: not deliverable and not active, another vCPU's, or listed.
    ///
    /// `both` says that one which is active and edge-triggered may be pending there as well. That
    /// saves an exit when it ends, but the CPU may not count it as one that is active only.
    #[inline]
    #[must_use]
    pub const fn list(
        self,
        intid: IntId,
        holder: usize,
        groups: Groups,
        both: bool,
    ) -> Option<(Self, ListRegister)> {
        // A level-sensitive interrupt is looked at anew when it has ended, and one that stands for a
        // host's comes anew.
        let again = both && self.edge() && !self.wired();
        let pending = if again {
            self.with_active(false).is_deliverable(groups)
        } else {
            self.is_deliverable(groups)
        };

        match self.owner() {
            Some(owner) if owner == holder && !self.listed() && (pending || self.active()) => {}
            _ => return None,
        }
        let lr = ListRegister::EMPTY
            .with_intid(Bits::truncated(intid.get() as u64))
            .with_priority(self.priority())
            .with_group1(self.group1())
            .with_pending(pending)
            .with_active(self.active());
        let lr = match self.wire() {
            Some(host) => lr.with_host(host).with_hw(true),
            // When it has ended, its cause is to be looked at again, or it is pending again.
            None if !self.edge() || (self.pending() && !pending) => lr.with_host(ListRegister::EOI),
            None => lr,
        };
        let irq = self
            .with_listed(true)
            .with_holder(Bits::truncated(holder as u64));
        let irq = if !pending {
            irq
        } else if self.wired() && !self.edge() {
            irq.with_carried(true).with_line(false).with_latch(false)
        } else {
            irq.with_carried(self.latch()).with_latch(false)
        };

        Some((irq, lr))
    }

    /// Takes the interrupt out of the list register, which reads as `lr`.
    #[inline]
    #[must_use]
    pub const fn fold(self, lr: ListRegister) -> Self {
        let pending = self.carried() && lr.pending();
        let active = if self.active_written() {
            self.active()
        } else {
            // An LPI has no active state. IHI 0069, "LPIs".
            lr.active() && !is_lpi(lr)
        };
        let irq = if self.wired() && !self.edge() {
            self.with_line(self.line() || pending)
        } else {
            self.with_latch(self.latch() || pending)
        };

        irq.with_active(active)
            .with_listed(false)
            .with_carried(false)
            .with_active_written(false)
    }
}

/// Whether `lr` holds an LPI.
const fn is_lpi(lr: ListRegister) -> bool {
    match IntId::new(lr.intid().get() as u32) {
        Some(intid) => matches!(intid.kind(), Kind::Lpi),
        None => false,
    }
}
