// SPDX-License-Identifier: GPL-2.0

//! A guest's accesses to the frames of its GIC.

use crate::vgic::setup::Regions;
use kvm_core::{
    mmio::{
        Direction,
        MmioAccess, //
    },
    vgic::{
        bank::By,
        dist,
        interrupts::Interrupts,
        redist::{
            self,
            Redistributors, //
        },
        regions::{
            Frame,
            Frames, //
        },
    },
};

/// What became of an access.
pub(crate) enum Accessed {
    /// It is no access to the GIC.
    Elsewhere,
    /// It may sleep: it is to be done again where that is allowed.
    Sleeps,
    /// It is done. A load's data, as it would be in memory.
    Done([u8; 8]),
}

/// Does what a vCPU accesses, if it is the GIC. The vCPU's list registers are folded.
#[inline]
pub(crate) fn access<G: Redistributors>(
    gic: &G,
    frames: &Frames<Regions>,
    vcpu: usize,
    access: &MmioAccess,
    may_sleep: bool,
) -> Accessed {
    let Some(frame) = frames.find(access.ipa, gic.interrupts().vcpus()) else {
        return Accessed::Elsewhere;
    };
    let (by, size) = (By::Guest(vcpu), access.size);

    Accessed::Done(match (frame, access.direction) {
        (Frame::Dist { offset }, Direction::Read(_)) => {
            dist::read(gic, by, offset, size).to_le_bytes()
        }
        (Frame::Dist { offset }, Direction::Write(data)) => {
            dist::write(gic, by, offset, size, u64::from_le_bytes(data));
            [0; 8]
        }
        (Frame::Redist { vcpu, offset }, Direction::Read(_)) => {
            redist::read(gic, by, vcpu, offset, size).to_le_bytes()
        }
        (Frame::Redist { vcpu, offset }, Direction::Write(data)) => {
            if !may_sleep && redist::write_may_sleep(offset, size) {
                return Accessed::Sleeps;
            }
            redist::write(gic, by, vcpu, offset, size, u64::from_le_bytes(data));
            [0; 8]
        }
    })
}
