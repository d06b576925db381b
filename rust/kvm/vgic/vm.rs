// SPDX-License-Identifier: GPL-2.0

//! A VM's interrupts, and what of its vCPUs is needed to send them there.
//!
//! All of it is atomic words, so nobody needs a lock to raise, lower, read or configure an interrupt,
//! wherever they are.

use crate::vgic::lpis::LpiTable;
use core::array::from_fn;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        SetOnce, //
    },
};
use kvm_core::{
    bits::Bits,
    psci::Affinity,
    vgic::{
        candidates::Candidates,
        cell::IrqCell,
        dist,
        interrupts::{
            Groups,
            Interrupts, //
        },
        intid::{
            IntId,
            MAX_SPIS,
            PRIVATE, //
        },
        irq::Irq,
        v2,
        waiting::{
            self,
            Waiting, //
        },
    },
};
use kvm_host::{
    kick::Kick,
    relaxed,
    word::AtomicWord, //
};

/// [`Groups`] in a word.
const GROUP0: u32 = 1 << 0;
/// As above.
const GROUP1: u32 = 1 << 1;

/// What a GIC is to its guest.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Version {
    /// A GICv2, in software.
    V2,
    /// A GICv3.
    V3,
}

/// A vCPU, to the interrupt controller.
pub(crate) struct Member {
    /// Its number in KVM_CREATE_VCPU.
    pub(crate) id: u32,
    /// MPIDR_EL1.
    affinity: Atomic<u64>,
    kick: Arc<Kick>,
    private: [AtomicWord; PRIVATE],
    pub(super) candidates: Candidates<AtomicWord>,
    /// How often the list registers were emptied into the interrupts.
    folds: Atomic<u64>,
    /// The private interrupts, a bit for each, whose host's interrupts are to be made active or not.
    host_changes: Atomic<u32>,
    /// The LPIs that wait for it, from when it first has LPIs enabled.
    waiting: SetOnce<Waiting<KVec<AtomicWord>>>,
}

impl Member {
    /// Returns the vCPU that becomes the one with `index`, with its private interrupts as after a
    /// reset.
    pub(crate) fn new(
        version: Version,
        index: usize,
        id: u32,
        affinity: Affinity,
        kick: Arc<Kick>,
    ) -> Self {
        Self {
            id,
            affinity: Atomic::new(affinity.into_raw()),
            kick,
            private: from_fn(|n| match IntId::private(n as u32) {
                Some(intid) => AtomicWord::new(
                    Irq::reset(intid, Some(index), version == Version::V3).into_raw(),
                ),
                None => AtomicWord::new(0),
            }),
            candidates: Candidates::new(|| AtomicWord::new(0)),
            folds: Atomic::new(0),
            host_changes: Atomic::new(0),
            waiting: SetOnce::new(),
        }
    }

    /// Makes room for the LPIs that wait for it. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn prepare_lpis(&self) -> Result {
        if self.waiting.as_ref().is_none() {
            let mut words = KVec::with_capacity(waiting::WORDS, GFP_KERNEL_ACCOUNT)?;
            for _ in 0..waiting::WORDS {
                words.push(AtomicWord::new(0), GFP_KERNEL_ACCOUNT)?;
            }
            // Another thread may have been faster.
            self.waiting.populate(Waiting::new(words));
        }
        Ok(())
    }

    fn affinity(&self) -> Affinity {
        Affinity::from_mpidr(relaxed::load(&self.affinity))
    }

    /// One of its own interrupts.
    pub(super) fn private(&self, intid: IntId) -> Option<&AtomicWord> {
        self.private.get(intid.index())
    }

    /// The vCPU's list registers are empty, and the interrupts say what they said.
    pub(super) fn folded(&self) {
        relaxed::store(&self.folds, relaxed::load(&self.folds).wrapping_add(1));
    }

    /// Takes the private interrupts, a bit for each, whose host's interrupts are to be made active or
    /// not, as [`Irq::is_with_guest`] says.
    pub(crate) fn take_host_changes(&self) -> u32 {
        if relaxed::load(&self.host_changes) == 0 {
            return 0;
        }
        self.host_changes.xchg(0, Full)
    }
}

/// A VM's interrupt controller, of which the size is settled.
pub(crate) struct Vgic {
    pub(crate) version: Version,
    spis: KVec<AtomicWord>,
    routers: KVec<Atomic<u64>>,
    members: KVec<KBox<Member>>,
    groups: Atomic<u32>,
    lpis: Pin<KBox<LpiTable>>,
}

impl Vgic {
    /// Makes one with `spis` SPIs, less those beyond [`MAX_SPIS`], and these vCPUs, which have the
    /// indices that they were made with.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(version: Version, spis: usize, members: KVec<KBox<Member>>) -> Result<Self> {
        let spis = spis.min(MAX_SPIS);
        let mut this = Self {
            version,
            spis: KVec::with_capacity(spis, GFP_KERNEL_ACCOUNT)?,
            routers: KVec::with_capacity(spis, GFP_KERNEL_ACCOUNT)?,
            members,
            groups: Atomic::new(0),
            lpis: KBox::pin_init(LpiTable::new(), GFP_KERNEL_ACCOUNT)?,
        };

        for spi in 0..spis {
            let intid = IntId::spi((PRIVATE + spi) as u32).ok_or(EINVAL)?;
            let irq = match version {
                // GICD_IROUTER is zero, which is the affinity of the first vCPU.
                Version::V3 => Irq::reset(intid, this.find(Affinity::from_mpidr(0)), true),
                Version::V2 => v2::dist::spi(intid, this.members.len()),
            };
            this.spis
                .push(AtomicWord::new(irq.into_raw()), GFP_KERNEL_ACCOUNT)?;
            this.routers.push(Atomic::new(0), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(this)
    }

    /// The vCPU with this index.
    #[inline]
    pub(crate) fn member(&self, index: usize) -> Option<&Member> {
        self.members.get(index).map(|member| &**member)
    }

    /// The LPIs that are mapped.
    #[inline]
    pub(crate) fn lpis(&self) -> &LpiTable {
        &self.lpis
    }

    /// The LPIs that wait for a vCPU.
    #[inline]
    pub(super) fn waiting(&self, vcpu: usize) -> Option<&Waiting<KVec<AtomicWord>>> {
        self.member(vcpu)?.waiting.as_ref()
    }

    /// An LPI of this priority is to be looked at by a vCPU. If it has never had LPIs enabled, it looks
    /// when it has.
    #[inline]
    pub(super) fn lpi_waits(&self, vcpu: usize, intid: IntId, priority: Bits<8>) {
        if let Some(waiting) = self.waiting(vcpu) {
            waiting.mark(intid, priority);
            self.notify(vcpu, intid);
        }
    }

    /// The index of the vCPU with this number in KVM_CREATE_VCPU.
    pub(crate) fn index_of(&self, id: u32) -> Option<usize> {
        // Most VMs make them in order.
        if self
            .member(id as usize)
            .is_some_and(|member| member.id == id)
        {
            return Some(id as usize);
        }
        self.members.iter().position(|member| member.id == id)
    }

    /// The vCPU with the index has another affinity now, and SPIs go there or not any more. One call
    /// at a time.
    pub(crate) fn set_affinity(&self, index: usize, affinity: Affinity) {
        let Some(member) = self.member(index) else {
            return;
        };
        let old = member.affinity();

        if old != affinity {
            relaxed::store(&member.affinity, affinity.into_raw());
            dist::renamed(self, old, affinity);
        }
    }

    /// The line of an SPI, which a device has, is at `level`. Anywhere; see [`Irq::set_line`].
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such SPI.
    pub(crate) fn set_spi(&self, intid: IntId, level: bool) -> Result {
        if intid.spi_index().is_none() {
            return Err(EINVAL);
        }
        self.set_private(0, intid, level)
    }

    /// The line of an interrupt of the vCPU with this index is at `level`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such interrupt.
    pub(crate) fn set_private(&self, vcpu: usize, intid: IntId, level: bool) -> Result {
        self.signal(vcpu, intid, |irq| irq.set_line(level))
            .map(|_| ())
            .ok_or(EINVAL)
    }

    /// An interrupt of the vCPU stands for the host's interrupt `host` from now on, or for none: see
    /// [`Irq::set_wire`].
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such interrupt, or the list registers have no room for the number.
    pub(crate) fn wire_private(&self, vcpu: usize, intid: IntId, host: Option<u32>) -> Result {
        let host = match host {
            Some(host) => Some(Bits::new(host.into()).ok_or(EINVAL)?),
            None => None,
        };

        self.signal(vcpu, intid, |irq| irq.set_wire(host))
            .map(|_| ())
            .ok_or(EINVAL)
    }

    /// The state of an interrupt: of the vCPU with this index, or an SPI.
    pub(crate) fn irq(&self, vcpu: usize, intid: IntId) -> Option<Irq> {
        self.cell(vcpu, intid).map(IrqCell::load)
    }

    /// Waits until a vCPU that runs has emptied its list registers once. It does as soon as it leaves
    /// its guest, without waiting for anybody, before its thread has interrupts on.
    fn wait_for_fold(&self, holder: &Member, cell: &AtomicWord) {
        let before = relaxed::load(&holder.folds);

        while IrqCell::load(cell).listed() && relaxed::load(&holder.folds) == before {
            holder.kick.kick();
            core::hint::spin_loop();
        }
    }
}

impl Interrupts for Vgic {
    type Cell = AtomicWord;

    #[inline]
    fn vcpus(&self) -> usize {
        self.members.len()
    }

    #[inline]
    fn spis(&self) -> usize {
        self.spis.len()
    }

    #[inline]
    fn cell(&self, vcpu: usize, intid: IntId) -> Option<&AtomicWord> {
        match intid.spi_index() {
            Some(spi) => self.spis.get(spi),
            None => self.member(vcpu)?.private(intid),
        }
    }

    fn affinity(&self, vcpu: usize) -> Option<Affinity> {
        self.member(vcpu).map(Member::affinity)
    }

    #[inline]
    fn find(&self, affinity: Affinity) -> Option<usize> {
        // What a vCPU has unless user space says otherwise.
        let raw = affinity.into_raw();
        let guess = (raw & 0xf | raw >> 4 & 0xff0 | raw >> 4 & 0xf_f000) as usize;

        if self.affinity(guess) == Some(affinity) {
            return Some(guess);
        }
        self.members
            .iter()
            .position(|member| member.affinity() == affinity)
    }

    fn router(&self, intid: IntId) -> u64 {
        intid
            .spi_index()
            .and_then(|spi| self.routers.get(spi))
            .map_or(0, relaxed::load)
    }

    fn set_router(&self, intid: IntId, value: u64) {
        if let Some(router) = intid.spi_index().and_then(|spi| self.routers.get(spi)) {
            relaxed::store(router, value);
        }
    }

    #[inline]
    fn groups(&self) -> Groups {
        let word = relaxed::load(&self.groups);

        Groups {
            group0: word & GROUP0 != 0,
            group1: word & GROUP1 != 0,
        }
    }

    fn set_groups(&self, groups: Groups) {
        let group0 = if groups.group0 { GROUP0 } else { 0 };
        let group1 = if groups.group1 { GROUP1 } else { 0 };

        self.groups.store(group0 | group1, Relaxed);
        for member in &self.members {
            member.candidates.mark_all();
            member.kick.kick();
        }
    }

    #[inline]
    fn notify(&self, vcpu: usize, intid: IntId) {
        if let Some(member) = self.member(vcpu) {
            member.candidates.mark(intid);
            member.kick.kick();
        }
    }

    fn set_host_active(&self, vcpu: usize, intid: IntId, _active: bool) {
        // Only the CPU that the vCPU is on can do it, so the vCPU does, by what the interrupt says
        // then.
        let Some(member) = self.member(vcpu).filter(|_| intid.is_private()) else {
            return;
        };
        let mut old = relaxed::load(&member.host_changes);
        while let Err(now) = member
            .host_changes
            .cmpxchg(old, old | 1 << intid.get(), Full)
        {
            old = now;
        }
        self.notify(vcpu, intid);
    }

    fn settle(&self, by: Option<usize>, vcpu: usize, intid: IntId) {
        let Some(cell) = self.cell(vcpu, intid) else {
            return;
        };
        let irq = IrqCell::load(cell);
        if !irq.listed() || irq.owner() == by {
            return;
        }
        if let Some(holder) = irq.owner().and_then(|holder| self.member(holder)) {
            self.wait_for_fold(holder, cell);
        }
    }
}
