// SPDX-License-Identifier: GPL-2.0

//! A VM's GICv3, from when it is made on.
//!
//! First there is only what user space says of it. Once it is initialised it has interrupts and
//! registers, and its vCPUs are those that there are.

use crate::vgic::{
    setup::Setup,
    vm::{
        Member,
        Vgic, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc,
        SetOnce, //
    },
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
};
use kvm_host::relaxed;

/// What a vCPU's redistributor stores.
struct Redistributor {
    status: Atomic<u32>,
    pendbaser: Atomic<u64>,
}

impl Redistributor {
    const fn new() -> Self {
        Self {
            status: Atomic::new(0),
            pendbaser: Atomic::new(0),
        }
    }
}

/// What a GIC has once it is initialised.
struct Ready {
    vgic: Arc<Vgic>,
    status: Atomic<u32>,
    propbaser: Atomic<u64>,
    redistributors: KVec<Redistributor>,
}

/// A GICv3.
#[pin_data]
pub(crate) struct Gicv3 {
    #[pin]
    pub(crate) setup: Setup,
    ready: SetOnce<Ready>,
}

/// A GICv3 that is initialised.
#[derive(Copy, Clone)]
pub(crate) struct ReadyGic<'a> {
    setup: &'a Setup,
    ready: &'a Ready,
}

impl Gicv3 {
    /// Makes one of which nothing is said yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                setup <- Setup::new(),
                ready: SetOnce::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The GIC, if it is initialised.
    #[inline]
    pub(crate) fn ready(&self) -> Option<ReadyGic<'_>> {
        Some(ReadyGic {
            setup: &self.setup,
            ready: self.ready.as_ref()?,
        })
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
        let mut redistributors = KVec::with_capacity(members.len(), GFP_KERNEL_ACCOUNT)?;
        for _ in 0..members.len() {
            redistributors.push(Redistributor::new(), GFP_KERNEL_ACCOUNT)?;
        }
        let vgic = Vgic::new(self.setup.take_irqs().spis(), members)?;
        self.ready.populate(Ready {
            vgic: Arc::new(vgic, GFP_KERNEL_ACCOUNT)?,
            status: Atomic::new(0),
            propbaser: Atomic::new(0),
            redistributors,
        });
        Ok(())
    }
}

impl ReadyGic<'_> {
    fn redistributor(&self, vcpu: usize) -> Option<&Redistributor> {
        self.ready.redistributors.get(vcpu)
    }
}

impl Distributor for ReadyGic<'_> {
    type Interrupts = Vgic;

    #[inline]
    fn interrupts(&self) -> &Vgic {
        &self.ready.vgic
    }

    fn has_lpis(&self) -> bool {
        false
    }

    fn revision(&self) -> Revision {
        self.setup.revision()
    }

    fn set_revision(&self, revision: Revision) {
        self.setup.set_revision(revision);
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
        let vcpus = self.ready.redistributors.len();
        self.setup
            .with_frames(|frames| frames.is_last(vcpu, vcpus))
            .unwrap_or(false)
    }

    fn redist_status(&self, vcpu: usize) -> u32 {
        self.redistributor(vcpu)
            .map_or(0, |redist| relaxed::load(&redist.status))
    }

    fn set_redist_status(&self, vcpu: usize, value: u32) {
        if let Some(redist) = self.redistributor(vcpu) {
            relaxed::store(&redist.status, value);
        }
    }

    fn lpis(&self, _vcpu: usize) -> Lpis {
        Lpis::Disabled
    }

    fn enable_lpis(&self, _vcpu: usize) {}

    fn disable_lpis(&self, _vcpu: usize) {}

    fn propbaser(&self) -> GicrPropbaser {
        GicrPropbaser::from_raw(relaxed::load(&self.ready.propbaser))
    }

    fn set_propbaser(&self, value: GicrPropbaser) {
        relaxed::store(&self.ready.propbaser, value.into_raw());
    }

    fn pendbaser(&self, vcpu: usize) -> GicrPendbaser {
        let redist = self.redistributor(vcpu);
        GicrPendbaser::from_raw(redist.map_or(0, |redist| relaxed::load(&redist.pendbaser)))
    }

    fn set_pendbaser(&self, vcpu: usize, value: GicrPendbaser) {
        if let Some(redist) = self.redistributor(vcpu) {
            relaxed::store(&redist.pendbaser, value.into_raw());
        }
    }

    fn invalidate(&self, _vcpu: usize, _intid: IntId) {}

    fn invalidate_all(&self, _vcpu: usize) {}

    fn is_invalidating(&self, _vcpu: usize) -> bool {
        false
    }
}
