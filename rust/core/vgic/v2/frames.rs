// SPDX-License-Identifier: GPL-2.0

//! Where in a guest's physical address space the frames of its GICv2 are.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst, "KVM_DEV_ARM_VGIC_GRP_ADDR".

use super::{
    super::regions::{
        BadFrame,
        Unmapped, //
    },
    cpu,
    dist, //
};
use crate::ipa::IpaBits;

/// What each frame is aligned to, in bytes.
const ALIGN: u64 = 0x1000;

/// What of the GIC has an address.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// The distributor, of [`dist::FRAME_SIZE`].
    Dist,
    /// The CPU interfaces, of [`cpu::FRAME_SIZE`]: each vCPU finds its own there.
    Cpu,
}

impl Part {
    /// How long it is, in bytes.
    const fn size(self) -> u64 {
        match self {
            Self::Dist => dist::FRAME_SIZE as u64,
            Self::Cpu => cpu::FRAME_SIZE as u64,
        }
    }
}

/// The addresses, as far as user space has said them.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Frames {
    dist: Option<u64>,
    cpu: Option<u64>,
}

impl Frames {
    /// None is said yet.
    pub const NONE: Self = Self {
        dist: None,
        cpu: None,
    };

    /// The address of a part.
    #[inline]
    pub const fn get(self, part: Part) -> Option<u64> {
        match part {
            Part::Dist => self.dist,
            Part::Cpu => self.cpu,
        }
    }

    /// Places a part. That they overlap is found by [`check`](Self::check) only.
    ///
    /// # Errors
    ///
    /// [`BadFrame::Exists`], [`BadFrame::Alignment`] (here 4 KiB) and [`BadFrame::Range`].
    pub fn set(&mut self, part: Part, base: u64, ipa: IpaBits) -> Result<(), BadFrame> {
        let slot = match part {
            Part::Dist => &mut self.dist,
            Part::Cpu => &mut self.cpu,
        };

        if slot.is_some() {
            return Err(BadFrame::Exists);
        }
        if base % ALIGN != 0 {
            return Err(BadFrame::Alignment);
        }
        if base >= ipa.size() || part.size() > ipa.size() - base {
            return Err(BadFrame::Range);
        }
        *slot = Some(base);
        Ok(())
    }

    /// Checks that all have addresses, for a vCPU to run.
    ///
    /// # Errors
    ///
    /// [`Unmapped::Missing`], or [`Unmapped::Misplaced`] if they overlap.
    pub fn check(self) -> Result<(), Unmapped> {
        let (Some(dist), Some(cpu)) = (self.dist, self.cpu) else {
            return Err(Unmapped::Missing);
        };

        if dist < cpu + Part::Cpu.size() && cpu < dist + Part::Dist.size() {
            return Err(Unmapped::Misplaced);
        }
        Ok(())
    }

    /// Returns the part that has this address, and the offset in it.
    #[inline]
    pub fn find(self, ipa: u64) -> Option<(Part, u32)> {
        let offset = |part: Part| {
            let offset = ipa.checked_sub(self.get(part)?)?;
            (offset < part.size()).then_some((part, offset as u32))
        };

        offset(Part::Dist).or_else(|| offset(Part::Cpu))
    }
}
