// SPDX-License-Identifier: GPL-2.0

//! A VM's GICv3, or GICv2, from when it is made on.
//!
//! First there is only what user space says of it. Once it is initialised it has interrupts and
//! registers, and its vCPUs are those that there are.

use crate::{
    memory::{
        DirtyRing,
        Memory, //
    },
    vgic::{
        its::{
            Around,
            Its, //
        },
        redistributors::RedistRegisters,
        setup::Setup,
        v2::Setup2,
        vm::{
            Member,
            Version,
            Vgic, //
        },
    },
};
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc,
        SetOnce,
        SpinLockIrq, //
    },
};
use kvm_core::its::{
    lpi,
    Event,
    Undelivered, //
};
use kvm_core::vgic::{
    dist::{
        Distributor,
        Revision, //
    },
    intid::IntId,
    redist::{
        GicrPendbaser,
        GicrPropbaser,
        Lpis,
        Redistributors, //
    },
    v2,
};
use kvm_host::relaxed;

/// The most ITSs of a VM: they are searched for an address with interrupts off.
const MAX_ITSES: usize = 64;

/// What a GIC has once it is initialised.
struct Ready {
    vgic: Arc<Vgic>,
    status: Atomic<u32>,
    redistributors: RedistRegisters,
}

/// A GICv3 or a GICv2.
#[pin_data]
pub(crate) struct IrqChip {
    pub(crate) version: Version,
    #[pin]
    pub(crate) setup: Setup,
    /// What else there is to say of a GICv2.
    #[pin]
    pub(crate) v2: Setup2,
    ready: SetOnce<Ready>,
    memory: Arc<Memory>,
    /// The ITSs, in the order in which they were made. They go with the GIC.
    #[pin]
    itses: SpinLockIrq<KVec<Arc<Its>>>,
    /// Whether there are any.
    has_its: Atomic<u32>,
    /// Whether an ITS has commands that nobody carries out.
    commands: Atomic<u32>,
}

/// A GICv3 that is initialised.
#[derive(Copy, Clone)]
pub(crate) struct ReadyGic<'a> {
    gic: &'a IrqChip,
    ready: &'a Ready,
    memory: &'a Memory,
    /// Of the vCPU that accesses it, if it is one: where what is written to memory is noted.
    ring: Option<&'a DirtyRing>,
}

impl IrqChip {
    /// Makes one of which nothing is said yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(version: Version, memory: Arc<Memory>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                version,
                setup <- Setup::new(),
                v2 <- Setup2::new(),
                ready: SetOnce::new(),
                memory,
                itses <- new_spinlock_irq!(KVec::new(), "kvm_vhe::IrqChip::itses"),
                has_its: Atomic::new(0),
                commands: Atomic::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The GIC, if it is initialised.
    #[inline]
    pub(crate) fn ready(&self) -> Option<ReadyGic<'_>> {
        Some(ReadyGic {
            gic: self,
            ready: self.ready.as_ref()?,
            memory: &self.memory,
            ring: None,
        })
    }

    /// Adds an ITS.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there are [`MAX_ITSES`], `ENOMEM`.
    pub(crate) fn add_its(&self, its: Arc<Its>) -> Result {
        // The room is made before the lock, under which nothing may sleep, is taken.
        let mut room: KVec<Arc<Its>> = KVec::new();
        loop {
            let mut itses = self.itses.lock();
            if itses.len() >= MAX_ITSES {
                return Err(ENOSPC);
            }
            if room.capacity() > itses.len() {
                for other in itses.drain_all() {
                    room.push(other, GFP_ATOMIC)?;
                }
                room.push(its, GFP_ATOMIC)?;
                core::mem::swap(&mut *itses, &mut room);
                break;
            }
            let wanted = itses.len() + 1;
            drop(itses);
            room = KVec::with_capacity(wanted, GFP_KERNEL_ACCOUNT)?;
        }
        relaxed::store(&self.has_its, 1);
        Ok(())
    }

    /// Whether it has an ITS.
    #[inline]
    pub(crate) fn has_its(&self) -> bool {
        relaxed::load(&self.has_its) != 0
    }

    /// The ITS that has this address in its frame, and the offset there. Anywhere.
    pub(super) fn its_at(&self, ipa: u64) -> Option<(Arc<Its>, u64)> {
        if !self.has_its() {
            return None;
        }
        let itses = self.itses.lock();
        itses
            .iter()
            .find_map(|its| its.offset(ipa).map(|offset| (its.clone(), offset)))
    }

    /// The ITS with this number, in the order in which they were made.
    pub(crate) fn its(&self, n: usize) -> Option<Arc<Its>> {
        self.itses.lock().get(n).cloned()
    }

    /// Whether [`ReadyGic::carry_on`] has something to do.
    #[inline]
    pub(crate) fn has_commands(&self) -> bool {
        relaxed::load(&self.commands) != 0
    }

    /// Its interrupts, if it is initialised.
    #[inline]
    pub(crate) fn vgic(&self) -> Option<&Arc<Vgic>> {
        self.ready.as_ref().map(|ready| &ready.vgic)
    }

    /// Initialises it with these vCPUs. Nothing changes if it was; the caller sees to it that two do
    /// not do it at once.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn init(&self, members: KVec<KBox<Member>>) -> Result {
        if self.ready.as_ref().is_some() {
            return Ok(());
        }
        let redistributors = RedistRegisters::new(members.len())?;
        let vgic = Vgic::new(self.version, self.setup.take_irqs().spis(), members)?;
        self.ready.populate(Ready {
            vgic: Arc::new(vgic, GFP_KERNEL_ACCOUNT)?,
            status: Atomic::new(0),
            redistributors,
        });
        Ok(())
    }
}

impl<'a> ReadyGic<'a> {
    /// Its interrupts.
    #[inline]
    pub(crate) fn vgic(&self) -> &'a Vgic {
        &self.ready.vgic
    }

    /// What is around its LPIs.
    pub(crate) fn around(self) -> Around<'a> {
        Around {
            vgic: self.vgic(),
            memory: self.memory,
            redistributors: &self.ready.redistributors,
            ring: self.ring,
        }
    }

    /// For an access by the vCPU that has the ring, if there are any.
    pub(crate) fn for_vcpu(self, ring: Option<&'a DirtyRing>) -> Self {
        Self { ring, ..self }
    }

    /// Whether it has an ITS.
    pub(crate) fn has_its(self) -> bool {
        self.gic.has_its()
    }

    /// A vCPU accesses the frame of an ITS; `value` is what it writes. [`None`] if the address is in
    /// none. May sleep.
    pub(crate) fn access_its(self, ipa: u64, len: usize, value: Option<u64>) -> Option<u64> {
        let (its, offset) = self.gic.its_at(ipa)?;
        let Some(value) = value else {
            return Some(its.read(offset, len));
        };
        its.write(self.around(), offset, len, value);
        if its.process(self.around()) {
            relaxed::store(&self.gic.commands, 1);
        }
        Some(0)
    }

    /// Whether this is the address of an ITS.
    #[inline]
    pub(crate) fn is_its(self, ipa: u64) -> bool {
        self.gic.its_at(ipa).is_some()
    }

    /// Carries out some of the commands that are left. Returns whether there are more. May sleep.
    #[inline]
    pub(crate) fn carry_on(self) -> bool {
        self.gic.has_commands() && self.carry_on_now()
    }

    fn carry_on_now(self) -> bool {
        let (mut n, mut more) = (0, false);

        // Who leaves some says so after this.
        self.gic.commands.xchg(0, Full);
        while let Some(its) = self.gic.its(n) {
            more |= its.process(self.around());
            n += 1;
        }
        if more {
            relaxed::store(&self.gic.commands, 1);
        }
        more
    }

    /// A device writes `event` to the doorbell at `address`. Returns whether the guest wants it. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no ITS at the address, `EBUSY` if it is
    /// disabled, or LPIs are where the message goes.
    pub(crate) fn message(self, address: u64, device: u32, event: u32) -> Result<bool> {
        let (its, _) = self.gic.its_at(address).ok_or(EINVAL)?;
        let result = match Event::new(device, event) {
            Some(event) => its.message(self.around(), event),
            None => Err(Undelivered::Unmapped),
        };
        match result {
            Ok(()) => Ok(true),
            Err(Undelivered::Unmapped) => Ok(false),
            Err(Undelivered::Disabled) => Err(EBUSY),
        }
    }

    /// As [`message`](Self::message), if nothing needs to be waited for. Returns whether it is done.
    /// Anywhere.
    pub(crate) fn message_at_once(self, address: u64, device: u32, event: u32) -> bool {
        match (self.gic.its_at(address), Event::new(device, event)) {
            (Some((its, _)), Some(event)) => its.message_at_once(self.around(), event),
            _ => false,
        }
    }

    /// Writes the pending LPIs to the tables of the vCPUs.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub(crate) fn save_pending(self) -> Result {
        lpi::save_pending(&self.around().lpis()).map_err(|_| EFAULT)
    }
}

impl v2::dist::Distributor for ReadyGic<'_> {
    type Interrupts = Vgic;

    #[inline]
    fn interrupts(&self) -> &Vgic {
        &self.ready.vgic
    }

    fn said_revision(&self) -> Option<Revision> {
        self.gic.v2.said_revision()
    }

    fn say_revision(&self, revision: Revision) {
        self.gic.v2.say_revision(revision);
    }
}

impl Distributor for ReadyGic<'_> {
    type Interrupts = Vgic;

    #[inline]
    fn interrupts(&self) -> &Vgic {
        &self.ready.vgic
    }

    fn has_lpis(&self) -> bool {
        self.gic.has_its()
    }

    fn revision(&self) -> Revision {
        self.gic.setup.revision()
    }

    fn set_revision(&self, revision: Revision) {
        self.gic.setup.set_revision(revision);
    }

    fn dist_status(&self) -> u32 {
        relaxed::load(&self.ready.status)
    }

    fn set_dist_status(&self, value: u32) {
        relaxed::store(&self.ready.status, value);
    }
}

impl Redistributors for ReadyGic<'_> {
    fn number(&self, vcpu: usize) -> u16 {
        // vCPUs have smaller numbers than that.
        self.ready
            .vgic
            .member(vcpu)
            .map_or(0, |member| member.id as u16)
    }

    fn is_last(&self, vcpu: usize) -> bool {
        let vcpus = self.ready.redistributors.count();
        self.gic
            .setup
            .with_frames(|frames| frames.is_last(vcpu, vcpus))
            .unwrap_or(false)
    }

    fn redist_status(&self, vcpu: usize) -> u32 {
        self.ready.redistributors.status(vcpu)
    }

    fn set_redist_status(&self, vcpu: usize, value: u32) {
        self.ready.redistributors.set_status(vcpu, value);
    }

    fn lpis(&self, vcpu: usize) -> Lpis {
        if self.ready.redistributors.lpis(vcpu) {
            Lpis::Enabled
        } else {
            Lpis::Disabled
        }
    }

    /// Without memory for what is needed LPIs stay disabled, which the guest sees.
    fn enable_lpis(&self, vcpu: usize) {
        let Some(member) = self.vgic().member(vcpu) else {
            return;
        };
        if member.prepare_lpis().is_err() {
            return;
        }
        self.ready.redistributors.set_lpis(vcpu, true);
        if !self.pendbaser(vcpu).ptz() {
            // What cannot be read is the guest's business.
            let _ = lpi::load_pending(&self.around().lpis(), vcpu);
        }
    }

    fn disable_lpis(&self, vcpu: usize) {
        let mut n = 0;

        self.ready.redistributors.set_lpis(vcpu, false);
        while let Some(its) = self.gic.its(n) {
            its.wait_for_messages();
            n += 1;
        }
        lpi::drop_pending(&self.around().lpis(), vcpu);
    }

    fn propbaser(&self) -> GicrPropbaser {
        self.ready.redistributors.propbaser()
    }

    fn set_propbaser(&self, value: GicrPropbaser) {
        self.ready.redistributors.set_propbaser(value);
    }

    fn pendbaser(&self, vcpu: usize) -> GicrPendbaser {
        self.ready.redistributors.pendbaser(vcpu)
    }

    fn set_pendbaser(&self, vcpu: usize, value: GicrPendbaser) {
        self.ready.redistributors.set_pendbaser(vcpu, value);
    }

    fn invalidate(&self, vcpu: usize, intid: IntId) {
        if let Some(lpi) = self.vgic().lpis().get(intid) {
            if lpi.irq().target() == Some(vcpu) {
                // As above.
                let _ = lpi::reload(&self.around().lpis(), &lpi);
            }
        }
    }

    fn invalidate_all(&self, vcpu: usize) {
        lpi::reload_all(&self.around().lpis(), vcpu);
    }

    fn is_invalidating(&self, _vcpu: usize) -> bool {
        false
    }
}
