// SPDX-License-Identifier: GPL-2.0

//! The state of one interrupt.
//!
//! All that can happen to it is a function from [`Irq`] to [`Irq`], so that it can be applied to a
//! word that several threads change ([`cell`](super::cell)), and compared with a model.
//!
//! # Who has an interrupt
//!
//! While an interrupt is in a list register ([`Irq::listed`]) the guest changes its state there, and
//! nobody but the vCPU that holds it knows that state. So pending and active are then what they
//! were when it was put there, until it is folded back:
//!
//! - What is made pending meanwhile is kept here, beside what the list register says. What was
//!   pending when it was put there is [`Irq::carried`]; clearing that makes the list register's
//!   pending bit have no effect.
//! - If the active state is written meanwhile, [`Irq::active_written`] says that what the list
//!   register says of it has no effect.
//!
//! An interrupt that is active belongs to the vCPU that has taken it, wherever it goes next: that
//! vCPU has its priority among the active ones, and ends it.
//!
//! An interrupt that stands for one of the host ([`Irq::wire`]) comes once for each time that the
//! host's becomes active: the list register takes the line's level with it, and the host's
//! interrupt, which the guest deactivates, raises it again if its cause is still there.
//!
//! Source: IHI 0069, "Interrupt handling state machine", the pages of GICD_* and ICH_LR<n>_EL2.

use super::intid::{
    IntId,
    Kind, //
};
use crate::{
    bit_struct,
    bits::Bits, //
};

/// The number of bits of a priority that a guest can set, the upper ones of the 8.
pub const PRIORITY_BITS: u32 = 5;

/// The bits of a priority that a guest can set.
pub const PRIORITY_MASK: u8 = !(u8::MAX >> PRIORITY_BITS);

/// [`Irq::target_bits`] and [`Irq::holder`] where there is no vCPU.
const NO_TARGET: Bits<16> = Bits::of::<0xffff>();

bit_struct! {
    /// One interrupt.
    pub struct Irq("VGIC_IRQ") {
        /// Enabled (GICD_ISENABLER).
        enabled / with_enabled: flag 0,
        /// The pending latch: an edge came, or software made it pending.
        latch / with_latch: flag 1,
        /// The level of the line of an interrupt that is level-sensitive.
        line / with_line: flag 2,
        /// Active; while it is listed, see the module's text.
        active / with_active: flag 3,
        /// Edge-triggered, not level-sensitive (GICD_ICFGR).
        edge / with_edge: flag 4,
        /// In group 1, not 0 (GICD_IGROUPR).
        group1 / with_group1: flag 5,
        /// It is in a list register of the vCPU `holder`.
        listed / with_listed: flag 6,
        /// What made it pending when it was put into the list register, which has it since.
        carried / with_carried: flag 7,
        /// The priority (GICD_IPRIORITYR): 0 is the highest.
        priority / with_priority: bits 8..=15,
        /// The index of the vCPU it goes to, or all ones; see [`Irq::target`].
        target_bits / with_target_bits: bits 16..=31,
        /// While it is listed or active, the index of the vCPU that has it, or all ones.
        holder / with_holder: bits 32..=47,
        /// While it is wired, the INTID of the host's interrupt; see [`Irq::wire`]. Of a GICv2's
        /// interrupt, [`Irq::senders`] or [`Irq::targets`].
        host / with_host: bits 48..=60,
        /// It stands for an interrupt of the host, which the guest's deactivation deactivates.
        wired / with_wired: flag 61,
        /// The active state was written while it was listed.
        active_written / with_active_written: flag 62,
    }
}

impl Irq {
    /// Returns the interrupt `intid` after a reset.
    ///
    /// SGIs are edge-triggered and enabled, as the architecture lets an implementation have them;
    /// LPIs are edge-triggered and in group 1; PPIs are level-sensitive and disabled. SPIs are
    /// disabled, and edge-triggered as C KVM has them: GICD_ICFGR is UNKNOWN after a reset. `group1`
    /// says where PPIs and SPIs are.
    #[inline]
    pub const fn reset(intid: IntId, target: Option<usize>, group1: bool) -> Self {
        let kind = intid.kind();

        Self::from_raw(0)
            .with_enabled(matches!(kind, Kind::Sgi))
            .with_edge(!matches!(kind, Kind::Ppi))
            .with_group1(group1 || matches!(kind, Kind::Lpi))
            .with_target_bits(NO_TARGET)
            .set_target(target)
    }

    /// Whether it is pending, as GICD_ISPENDR says to a guest: the latch, or the line if it is
    /// level-sensitive.
    #[inline]
    pub const fn pending(self) -> bool {
        self.latch() || self.carried() || (!self.edge() && self.line())
    }

    /// The pending latch, as GICD_ISPENDR says to user space.
    ///
    /// Source: arm-vgic-v3.rst, KVM_DEV_ARM_VGIC_GRP_DIST_REGS.
    #[inline]
    pub const fn latched(self) -> bool {
        self.latch() || self.carried()
    }

    /// Whether its vCPU has to look at it: it is to be taken, or it is active, and its
    /// deactivation has to be noticed.
    #[inline]
    pub const fn is_candidate(self) -> bool {
        self.active() || (self.enabled() && self.pending())
    }

    /// Whether the guest has it to take or to end. If it stands for an interrupt of the host, that is
    /// active meanwhile.
    #[inline]
    pub const fn is_with_guest(self) -> bool {
        self.active() || self.pending()
    }

    /// Returns the index of the vCPU that it goes to.
    #[inline]
    pub const fn target(self) -> Option<usize> {
        let target = self.target_bits();

        if target.get() == NO_TARGET.get() {
            None
        } else {
            Some(target.get() as usize)
        }
    }

    /// Returns the vCPU that has to look at it: the one that has it in a list register or has taken
    /// it, or the one that it goes to.
    #[inline]
    pub const fn owner(self) -> Option<usize> {
        if (self.listed() || self.active()) && self.holder().get() != NO_TARGET.get() {
            Some(self.holder().get() as usize)
        } else {
            self.target()
        }
    }

    /// Returns the host's interrupt that it stands for.
    #[inline]
    pub const fn wire(self) -> Option<Bits<13>> {
        if self.wired() {
            Some(self.host())
        } else {
            None
        }
    }

    /// The line is now at `level`. For an edge-triggered one the high level is the edge, each time
    /// that it is reported. If one that is wired falls, the list register's pending bit falls with it.
    #[inline]
    #[must_use]
    pub const fn set_line(self, level: bool) -> Self {
        if self.edge() {
            self.with_latch(self.latch() || level)
        } else {
            self.with_line(level)
                .with_carried(self.carried() && (level || !self.wired()))
        }
    }

    /// Software makes it pending: GICD_ISPENDR, an SGI, an LPI's message.
    #[inline]
    #[must_use]
    pub const fn set_pending(self) -> Self {
        self.with_latch(true)
    }

    /// Software makes it not pending (GICD_ICPENDR). The line has its effect all the same.
    #[inline]
    #[must_use]
    pub const fn clear_pending(self) -> Self {
        self.with_latch(false).with_carried(false)
    }

    /// Enables or disables it.
    #[inline]
    #[must_use]
    pub const fn set_enabled(self, enabled: bool) -> Self {
        self.with_enabled(enabled)
    }

    /// Software writes the active state (GICD_ISACTIVER, GICD_ICACTIVER).
    #[inline]
    #[must_use]
    pub const fn set_active(self, active: bool) -> Self {
        let held = if self.listed() || self.active() {
            self
        } else {
            self.with_holder(self.target_bits())
        };

        held.with_active(active).with_active_written(self.listed())
    }

    /// Makes it edge-triggered or level-sensitive (GICD_ICFGR).
    #[inline]
    #[must_use]
    pub const fn set_edge(self, edge: bool) -> Self {
        self.with_edge(edge)
    }

    /// Moves it to group 1 or 0.
    #[inline]
    #[must_use]
    pub const fn set_group1(self, group1: bool) -> Self {
        self.with_group1(group1)
    }

    /// Sets the priority, of which [`PRIORITY_MASK`]'s bits exist.
    #[inline]
    #[must_use]
    pub const fn set_priority(self, priority: u8) -> Self {
        self.with_priority(Bits::truncated((priority & PRIORITY_MASK) as u64))
    }

    /// Sends it to the vCPU with this index, or to none. If it is in a list register it stays there
    /// until it is folded back.
    #[inline]
    #[must_use]
    pub const fn set_target(self, target: Option<usize>) -> Self {
        match target {
            Some(index) if index < NO_TARGET.get() as usize => {
                self.with_target_bits(Bits::truncated(index as u64))
            }
            _ => self.with_target_bits(NO_TARGET),
        }
    }

    /// Makes it stand for the interrupt `host` of the host, or for none.
    #[inline]
    #[must_use]
    pub const fn set_wire(self, host: Option<Bits<13>>) -> Self {
        match host {
            Some(host) => self.with_host(host).with_wired(true),
            None => self.with_host(Bits::of::<0>()).with_wired(false),
        }
    }
}
