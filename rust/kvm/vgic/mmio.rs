// SPDX-License-Identifier: GPL-2.0

//! A guest's accesses to the frames of its GIC.

use kvm_core::{
    mmio::{
        Direction,
        MmioAccess, //
    },
    vgic::{
        bank::By,
        dist,
        redist::{
            self,
            Redistributors, //
        },
        regions::Frame,
        v2, //
    },
};

/// Does what the vCPU with index `by`, whose list registers are folded, accesses in a frame. Returns a
/// load's data, as it would be in memory; [`None`] if it may sleep, and that is not allowed here.
#[inline]
pub(crate) fn access<G: Redistributors>(
    gic: &G,
    frame: Frame,
    by: usize,
    access: &MmioAccess,
    may_sleep: bool,
) -> Option<[u8; 8]> {
    let (by, size) = (By::Guest(by), access.size);

    Some(match (frame, access.direction) {
        (Frame::Dist { offset }, Direction::Read(_)) => {
            dist::read(gic, by, offset, size).to_le_bytes()
        }
        (Frame::Dist { offset }, Direction::Write(data)) => {
            dist::write(gic, by, offset, size, u64::from_le_bytes(data));
            data
        }
        (Frame::Redist { vcpu, offset }, Direction::Read(_)) => {
            redist::read(gic, by, vcpu, offset, size).to_le_bytes()
        }
        (Frame::Redist { vcpu, offset }, Direction::Write(data)) => {
            if !may_sleep && redist::write_may_sleep(offset, size) {
                return None;
            }
            redist::write(gic, by, vcpu, offset, size, u64::from_le_bytes(data));
            data
        }
    })
}

/// Does what the vCPU with index `by` accesses in the frame of a GICv2's distributor. Returns a load's
/// data, as it would be in memory.
#[inline]
pub(crate) fn access_dist<G: v2::dist::Distributor>(
    gic: &G,
    offset: u32,
    by: usize,
    access: &MmioAccess,
) -> [u8; 8] {
    let (who, size) = (By::Guest(by), access.size);

    match access.direction {
        Direction::Read(_) => u64::from(v2::dist::read(gic, who, by, offset, size)).to_le_bytes(),
        Direction::Write(data) => {
            let value = u64::from_le_bytes(data) as u32;
            // Only what user space writes can be refused.
            let _ = v2::dist::write(gic, who, by, offset, size, value);
            data
        }
    }
}
