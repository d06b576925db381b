// SPDX-License-Identifier: GPL-2.0

//! What user space says of a GIC before it can be used: how many interrupts it has, and where its
//! frames are.
//!
//! The number of interrupts is settled when the GIC is initialised, the frames when a vCPU runs for
//! the first time.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::Atomic,
        Mutex,
        SetOnce, //
    },
};
use kvm_core::{
    ipa::IpaBits,
    vgic::{
        attr::IrqCount,
        dist::Revision,
        regions::{
            BadFrame,
            Frames,
            NoRoom,
            Region,
            RegionStore,
            Unmapped, //
        },
    },
};
use kvm_host::relaxed;

/// The PPI that maintenance interrupts of a guest's own hypervisor have, unless user space says
/// another one. Source: SBSA, "PPI assignments".
const MAINTENANCE_PPI: u32 = 25;

/// The regions of redistributors.
pub(crate) struct Regions(KVec<Region>);

impl RegionStore for Regions {
    #[inline]
    fn regions(&self) -> &[Region] {
        &self.0
    }

    fn push(&mut self, region: Region) -> Result<(), NoRoom> {
        self.0.push(region, GFP_KERNEL_ACCOUNT).map_err(|_| NoRoom)
    }
}

/// What can still be changed.
struct Open {
    /// [`None`] once the frames are settled.
    frames: Option<Frames<Regions>>,
    irqs: Option<IrqCount>,
    maintenance: u32,
}

/// What a GIC is to be.
#[pin_data]
pub(crate) struct Setup {
    #[pin]
    open: Mutex<Open>,
    frames: SetOnce<Frames<Regions>>,
    /// The [`Revision`] as a number.
    revision: Atomic<u32>,
}

/// The errno of a refused address. Source: arm-vgic-v3.rst, "KVM_DEV_ARM_VGIC_GRP_ADDR".
fn errno(error: BadFrame) -> Error {
    match error {
        BadFrame::Range => E2BIG,
        BadFrame::Exists => EEXIST,
        BadFrame::NoRoom => ENOMEM,
        BadFrame::Alignment
        | BadFrame::Flags
        | BadFrame::Empty
        | BadFrame::Index
        | BadFrame::Mixed
        | BadFrame::Overlap => EINVAL,
    }
}

impl Setup {
    /// Nothing is said yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            open <- new_mutex!(Open {
                frames: Some(Frames::new(Regions(KVec::new()))),
                irqs: None,
                maintenance: MAINTENANCE_PPI,
            }, "kvm_vhe::Setup::open"),
            frames: SetOnce::new(),
            revision: Atomic::new(Revision::Three as u32),
        })
    }

    /// The frames, once a vCPU has run.
    #[inline]
    pub(crate) fn settled_frames(&self) -> Option<&Frames<Regions>> {
        self.frames.as_ref()
    }

    /// Looks at the frames as they are. May sleep until a vCPU has run.
    pub(crate) fn with_frames<R>(&self, f: impl FnOnce(&Frames<Regions>) -> R) -> Option<R> {
        if let Some(frames) = self.settled_frames() {
            return Some(f(frames));
        }
        let open = self.open.lock();
        open.frames.as_ref().or(self.settled_frames()).map(f)
    }

    /// Changes the frames.
    ///
    /// # Errors
    ///
    /// `EBUSY` if a vCPU has run, and what [`BadFrame`] says.
    pub(crate) fn place(
        &self,
        f: impl FnOnce(&mut Frames<Regions>) -> Result<(), BadFrame>,
    ) -> Result {
        let mut open = self.open.lock();

        f(open.frames.as_mut().ok_or(EBUSY)?).map_err(errno)
    }

    /// Settles the frames of a GIC with this number of vCPUs, which is to run: they stay as they are.
    ///
    /// # Errors
    ///
    /// `ENXIO` if one is missing, `EINVAL` if they overlap or are not all in the address space, `EBUSY`
    /// if the GIC is not `ready`.
    pub(crate) fn settle_frames(&self, vcpus: usize, ipa: IpaBits, ready: bool) -> Result {
        let mut open = self.open.lock();
        let Some(frames) = &open.frames else {
            return Ok(());
        };

        frames.check(vcpus, ipa).map_err(|error| match error {
            Unmapped::Missing => ENXIO,
            Unmapped::Misplaced => EINVAL,
        })?;
        if !ready {
            return Err(EBUSY);
        }
        if let Some(frames) = open.frames.take() {
            self.frames.populate(frames);
        }
        Ok(())
    }

    /// The number of interrupts, if user space has said it.
    pub(crate) fn irqs(&self) -> Option<IrqCount> {
        self.open.lock().irqs
    }

    /// Sets the number of interrupts.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is set, or the GIC was initialised without: [`take_irqs`](Self::take_irqs).
    pub(crate) fn set_irqs(&self, count: IrqCount) -> Result {
        let mut open = self.open.lock();

        if open.irqs.is_some() {
            return Err(EBUSY);
        }
        open.irqs = Some(count);
        Ok(())
    }

    /// Settles the number of interrupts, for the GIC to be initialised with.
    pub(crate) fn take_irqs(&self) -> IrqCount {
        *self.open.lock().irqs.get_or_insert(IrqCount::DEFAULT)
    }

    /// The maintenance interrupt of a guest's own hypervisor.
    pub(crate) fn maintenance(&self) -> u32 {
        self.open.lock().maintenance
    }

    /// Sets it.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is no PPI.
    pub(crate) fn set_maintenance(&self, intid: u32) -> Result {
        if !(16..32).contains(&intid) {
            return Err(EINVAL);
        }
        self.open.lock().maintenance = intid;
        Ok(())
    }

    /// The revision.
    #[inline]
    pub(crate) fn revision(&self) -> Revision {
        if relaxed::load(&self.revision) == Revision::Two as u32 {
            Revision::Two
        } else {
            Revision::Three
        }
    }

    /// Sets the revision.
    pub(crate) fn set_revision(&self, revision: Revision) {
        relaxed::store(&self.revision, revision as u32);
    }
}
