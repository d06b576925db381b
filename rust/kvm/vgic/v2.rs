// SPDX-License-Identifier: GPL-2.0

//! What user space says of a GICv2, beside what it says of any GIC.

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
        dist::Revision,
        regions::{
            BadFrame,
            Unmapped, //
        },
        v2::frames::{
            Frames,
            Part, //
        },
    },
};
use kvm_host::relaxed;

/// What a GICv2 is to be.
#[pin_data]
pub(crate) struct Setup2 {
    #[pin]
    open: Mutex<Frames>,
    settled: SetOnce<Frames>,
    /// The [`Revision`] as a number, or zero if none is said.
    revision: Atomic<u32>,
}

impl Setup2 {
    /// Nothing is said yet.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            open <- new_mutex!(Frames::NONE, "kvm_vhe::Setup2::open"),
            settled: SetOnce::new(),
            revision: Atomic::new(0),
        })
    }

    /// The frames, once a vCPU has run.
    #[inline]
    pub(crate) fn settled_frames(&self) -> Option<Frames> {
        self.settled.as_ref().copied()
    }

    /// The frames as they are.
    pub(crate) fn frames(&self) -> Frames {
        *self.open.lock()
    }

    /// Places a frame.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it has an address, `EINVAL` if that is not aligned, `E2BIG` if it is not all in the
    /// address space.
    pub(crate) fn place(&self, part: Part, base: u64, ipa: IpaBits) -> Result {
        self.open
            .lock()
            .set(part, base, ipa)
            .map_err(|error| match error {
                BadFrame::Exists => EEXIST,
                BadFrame::Range => E2BIG,
                _ => EINVAL,
            })
    }

    /// Settles the frames of a GIC that is to run. Once it has, none can be placed any more, since all
    /// are.
    ///
    /// # Errors
    ///
    /// `ENXIO` if one is missing, `EINVAL` if they overlap, `EBUSY` if the GIC is not `ready`.
    pub(crate) fn settle_frames(&self, ready: bool) -> Result {
        let frames = self.frames();

        frames.check().map_err(|error| match error {
            Unmapped::Missing => ENXIO,
            Unmapped::Misplaced => EINVAL,
        })?;
        if !ready {
            return Err(EBUSY);
        }
        self.settled.populate(frames);
        Ok(())
    }

    /// The revision, if it is said.
    pub(super) fn said_revision(&self) -> Option<Revision> {
        match relaxed::load(&self.revision) {
            0 => None,
            revision if revision == Revision::Two as u32 => Some(Revision::Two),
            _ => Some(Revision::Three),
        }
    }

    /// Says the revision.
    pub(super) fn say_revision(&self, revision: Revision) {
        relaxed::store(&self.revision, revision as u32);
    }
}
