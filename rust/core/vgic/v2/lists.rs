// SPDX-License-Identifier: GPL-2.0

//! The lists of vCPUs that a GICv2's interrupts have: who has sent an SGI, and where an SPI goes.
//!
//! They are in the interrupt's word, so that what comes of them changes with them. No interrupt of a
//! GICv2 stands for one of the host's, so that [`Irq::host`] is free.
//!
//! Source: IHI 0048, "GICD_CPENDSGIRn", "GICD_ITARGETSRn".

use super::super::{
    intid::{
        IntId,
        Kind, //
    },
    irq::Irq,
};
use crate::bits::Bits;

/// The most vCPUs: a bit for each in GICD_ITARGETSR.
pub const MAX_VCPUS: usize = 8;

/// Returns a bit for each of the vCPUs of a GIC that has this many, at most [`MAX_VCPUS`].
#[inline]
pub(super) const fn all(vcpus: usize) -> u8 {
    if vcpus < MAX_VCPUS {
        (1 << vcpus) - 1
    } else {
        u8::MAX
    }
}

impl Irq {
    #[inline]
    const fn vcpus(self) -> u8 {
        match self.wire() {
            Some(_) => 0,
            None => self.host().get() as u8,
        }
    }

    /// The vCPUs that sent an SGI that is pending, a bit for each.
    #[inline]
    pub const fn senders(self) -> u8 {
        self.vcpus()
    }

    /// An SGI is pending from these vCPUs, and not if there are none.
    #[inline]
    #[must_use]
    pub const fn set_senders(self, senders: u8) -> Self {
        self.with_host(Bits::truncated(senders as u64))
            .with_latch(senders != 0)
    }

    /// The vCPUs that an SPI is for, a bit for each: its field of GICD_ITARGETSR.
    #[inline]
    pub const fn targets(self) -> u8 {
        self.vcpus()
    }

    /// An SPI is for these vCPUs, of which it is the first that gets it.
    #[inline]
    #[must_use]
    pub const fn set_targets(self, targets: u8) -> Self {
        let first = match targets {
            0 => None,
            _ => Some(targets.trailing_zeros() as usize),
        };

        self.with_host(Bits::truncated(targets as u64))
            .set_target(first)
    }

    /// The sender with which the interrupt `intid` is acknowledged: of an SGI that is pending, the
    /// first that there is; zero of others.
    #[inline]
    pub(super) const fn sender(self, intid: IntId) -> u32 {
        match (intid.kind(), self.senders()) {
            (Kind::Sgi, 1..) => self.senders().trailing_zeros(),
            _ => 0,
        }
    }

    /// The vCPU with index `vcpu` acknowledges the interrupt `intid`: an SGI that of
    /// [`sender`](Self::sender). A level-sensitive one stays pending while its line is high.
    #[inline]
    #[must_use]
    pub(super) const fn acknowledge(self, vcpu: usize, intid: IntId) -> Self {
        let active = self
            .with_active(true)
            .with_holder(Bits::truncated(vcpu as u64));
        let senders = self.senders();

        match intid.kind() {
            Kind::Sgi => active.set_senders(senders & senders.saturating_sub(1)),
            _ => active.with_latch(false),
        }
    }
}
