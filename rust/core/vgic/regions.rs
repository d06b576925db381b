// SPDX-License-Identifier: GPL-2.0

//! Where in a guest's physical address space the frames of its GICv3 are.
//!
//! User space places the distributor and either one region of redistributors, which is as long as
//! it has to be, or several ones of a given length. Regions are filled in their order by vCPUs in
//! the order of their creation; so the n-th vCPU always has the n-th place, and there is nothing to
//! remember of a vCPU.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, "KVM_DEV_ARM_VGIC_GRP_ADDR".

use core::fmt;

use crate::{
    bit_struct,
    bits::Bits,
    ipa::IpaBits, //
};

/// The size of the distributor's frame, in bytes, and what each frame is aligned to.
pub const DIST_SIZE: u64 = 0x1_0000;

/// The size of one vCPU's redistributor, in bytes: RD_base and SGI_base, 64 KiB each.
pub const REDIST_SIZE: u64 = 0x2_0000;

/// What each frame is aligned to, in bytes.
const ALIGN: u64 = 0x1_0000;

bit_struct! {
    /// The value of KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION.
    pub struct RedistRegionAttr("REDIST_REGION") {
        /// The region's number.
        index / with_index: bits 0..=11,
        /// Zero.
        flags / with_flags: bits 12..=15,
        /// Bits 51 to 16 of the address of the first redistributor.
        base / with_base: bits 16..=51,
        /// How many redistributors there are in it.
        count / with_count: bits 52..=63,
    }
}

/// A region of redistributors.
///
/// # Invariants
///
/// `base` is aligned to 64 KiB, `count` is not zero, and all of it is in the VM's address space.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Region {
    base: u64,
    count: u16,
}

impl Region {
    /// The address of the first redistributor.
    #[inline]
    pub const fn base(self) -> u64 {
        self.base
    }

    /// How many redistributors there is room for.
    #[inline]
    pub const fn count(self) -> u16 {
        self.count
    }

    const fn size(self) -> u64 {
        self.count as u64 * REDIST_SIZE
    }
}

/// Storage for the regions in their order.
pub trait RegionStore {
    /// The regions.
    fn regions(&self) -> &[Region];

    /// Adds a region behind the others.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    fn push(&mut self, region: Region) -> Result<(), NoRoom>;
}

/// There is no memory for another region.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NoRoom;

/// An address is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadFrame {
    /// It is not aligned to 64 KiB; EINVAL.
    Alignment,
    /// It, or the end of what begins there, is not in the VM's address space; E2BIG.
    Range,
    /// There is an address already; EEXIST.
    Exists,
    /// The flags of the region are not zero; EINVAL.
    Flags,
    /// There is no redistributor in the region; EINVAL.
    Empty,
    /// The region's number is not the next one; EINVAL.
    Index,
    /// The one region without a length, and regions with one, exclude each other; EINVAL.
    Mixed,
    /// It overlaps with other frames; EINVAL.
    Overlap,
    /// There is no memory to note it; ENOMEM.
    NoRoom,
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alignment => "GIC frame not aligned to 64 KiB",
            Self::Range => "GIC frame beyond the VM's address space",
            Self::Exists => "GIC frame that has an address already",
            Self::Flags => "redistributor region with unknown flags",
            Self::Empty => "redistributor region without redistributors",
            Self::Index => "redistributor region out of order",
            Self::Mixed => "redistributor regions with and without a length",
            Self::Overlap => "GIC frame that overlaps another",
            Self::NoRoom => "no memory for a redistributor region",
        })
    }
}

/// Why vCPUs cannot run with the frames as they are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Unmapped {
    /// The distributor has no address, or a vCPU no redistributor; ENXIO.
    Missing,
    /// Frames overlap, or are not all in the VM's address space; EINVAL.
    Misplaced,
}

/// A frame that an address is in.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The distributor.
    Dist {
        /// The offset in it, below [`DIST_SIZE`].
        offset: u32,
    },
    /// A redistributor.
    Redist {
        /// The vCPU's number in the order of creation.
        vcpu: usize,
        /// The offset in its two frames, below [`REDIST_SIZE`].
        offset: u32,
    },
}

/// The frames of a GICv3.
#[derive(Clone, Debug, Default)]
pub struct Frames<S> {
    dist: Option<u64>,
    /// The one region without a length.
    single: Option<u64>,
    /// The regions that have one. There are none if there is the other.
    store: S,
}

/// Whether the ranges have an address in common. Neither wraps around.
const fn overlaps(a: u64, a_size: u64, b: u64, b_size: u64) -> bool {
    a < b + b_size && b < a + a_size
}

/// Checks that a range is aligned and in the address space. `size` is below 2^40.
fn check(base: u64, size: u64, ipa: IpaBits) -> Result<(), BadFrame> {
    if base % ALIGN != 0 {
        return Err(BadFrame::Alignment);
    }
    if base >= ipa.size() || size > ipa.size() - base {
        return Err(BadFrame::Range);
    }
    Ok(())
}

/// The size of the region without a length for this number of vCPUs.
const fn single_size(vcpus: usize) -> u64 {
    // There are fewer vCPUs than MPIDR_EL1 has affinities; with none it still has to begin in the
    // address space.
    let vcpus = if vcpus == 0 { 1 } else { vcpus as u64 & 0xffff };
    vcpus * REDIST_SIZE
}

impl<S: RegionStore> Frames<S> {
    /// Returns frames that have no addresses, with an empty store.
    pub const fn new(store: S) -> Self {
        Self {
            dist: None,
            single: None,
            store,
        }
    }

    /// The distributor's address: KVM_VGIC_V3_ADDR_TYPE_DIST.
    pub const fn dist(&self) -> Option<u64> {
        self.dist
    }

    /// The address of the first redistributor: KVM_VGIC_V3_ADDR_TYPE_REDIST.
    pub fn redist(&self) -> Option<u64> {
        self.single
            .or_else(|| self.store.regions().first().map(|region| region.base))
    }

    /// A region with its length: KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION. [`None`], which is ENOENT, if
    /// there is none of that number. The one region without a length has the length zero.
    pub fn region(&self, index: Bits<12>) -> Option<RedistRegionAttr> {
        let regions = self.store.regions();
        let (base, count) = match self.single {
            Some(base) if index == 0 => (base, 0),
            Some(_) => return None,
            None => regions
                .get(u16::from(index) as usize)
                .map(|region| (region.base, region.count))?,
        };
        Some(
            RedistRegionAttr::from_raw(0)
                .with_index(index)
                .with_base(Bits::truncated(base >> 16))
                .with_count(Bits::truncated(count.into())),
        )
    }

    /// Places the distributor. That it overlaps with redistributors is found by
    /// [`check`](Self::check) only, when the number of vCPUs is known.
    ///
    /// # Errors
    ///
    /// [`BadFrame`].
    pub fn set_dist(&mut self, base: u64, ipa: IpaBits) -> Result<(), BadFrame> {
        if self.dist.is_some() {
            return Err(BadFrame::Exists);
        }
        check(base, DIST_SIZE, ipa)?;
        self.dist = Some(base);
        Ok(())
    }

    /// Places the one region without a length; there are `vcpus` vCPUs by now.
    ///
    /// # Errors
    ///
    /// [`BadFrame`].
    pub fn set_redist(&mut self, base: u64, vcpus: usize, ipa: IpaBits) -> Result<(), BadFrame> {
        if !self.store.regions().is_empty() {
            return Err(BadFrame::Mixed);
        }
        if self.single.is_some() {
            return Err(BadFrame::Exists);
        }
        let size = single_size(vcpus);
        check(base, size, ipa)?;
        if self.dist_overlaps(base, size) {
            return Err(BadFrame::Overlap);
        }
        self.single = Some(base);
        Ok(())
    }

    /// Places a region with its length.
    ///
    /// # Errors
    ///
    /// [`BadFrame`].
    pub fn add_region(&mut self, attr: RedistRegionAttr, ipa: IpaBits) -> Result<(), BadFrame> {
        if attr.flags() != 0 {
            return Err(BadFrame::Flags);
        }
        let region = Region {
            base: attr.base().get() << 16,
            count: u16::from(attr.count()),
        };
        if region.count == 0 {
            return Err(BadFrame::Empty);
        }
        if self.single.is_some() {
            return Err(BadFrame::Mixed);
        }
        let others = self.store.regions();
        if usize::from(u16::from(attr.index())) != others.len() {
            return Err(BadFrame::Index);
        }
        check(region.base, region.size(), ipa)?;
        if self.dist_overlaps(region.base, region.size())
            || others
                .iter()
                .any(|other| overlaps(region.base, region.size(), other.base, other.size()))
        {
            return Err(BadFrame::Overlap);
        }
        self.store.push(region).map_err(|NoRoom| BadFrame::NoRoom)
    }

    fn dist_overlaps(&self, base: u64, size: u64) -> bool {
        self.dist
            .is_some_and(|dist| overlaps(dist, DIST_SIZE, base, size))
    }

    /// Checks that `vcpus` vCPUs can run.
    ///
    /// # Errors
    ///
    /// [`Unmapped`].
    pub fn check(&self, vcpus: usize, ipa: IpaBits) -> Result<(), Unmapped> {
        let places = self.store.regions().iter().map(|region| region.count);
        if self.single.is_none() && places.map(usize::from).sum::<usize>() < vcpus {
            return Err(Unmapped::Missing);
        }
        let dist = self.dist.ok_or(Unmapped::Missing)?;
        let misplaced =
            |base, size| check(base, size, ipa).is_err() || overlaps(dist, DIST_SIZE, base, size);
        if self
            .single
            .is_some_and(|base| misplaced(base, single_size(vcpus)))
            || self
                .store
                .regions()
                .iter()
                .any(|region| misplaced(region.base, region.size()))
        {
            return Err(Unmapped::Misplaced);
        }
        Ok(())
    }

    /// Returns the frame of the GIC with `vcpus` vCPUs that has this address.
    #[inline]
    pub fn find(&self, ipa: u64, vcpus: usize) -> Option<Frame> {
        if let Some(offset) = self.dist.and_then(|base| ipa.checked_sub(base)) {
            if offset < DIST_SIZE {
                return Some(Frame::Dist {
                    offset: offset as u32,
                });
            }
        }
        self.find_redist(ipa, vcpus)
    }

    #[inline]
    fn find_redist(&self, ipa: u64, vcpus: usize) -> Option<Frame> {
        let place = |first: usize, base: u64, count: u64| {
            let offset = ipa.checked_sub(base)?;
            // The remainder fits in 17 bits.
            let (n, offset) = (offset / REDIST_SIZE, (offset % REDIST_SIZE) as u32);
            let vcpu = first.checked_add(usize::try_from(n).ok()?)?;
            (n < count && vcpu < vcpus).then_some(Frame::Redist { vcpu, offset })
        };
        if let Some(base) = self.single {
            return place(0, base, u64::MAX);
        }
        let mut first = 0;
        for region in self.store.regions() {
            if let Some(frame) = place(first, region.base, region.count.into()) {
                return Some(frame);
            }
            first += usize::from(region.count);
        }
        None
    }

    /// The address of the redistributor of the vCPU with this number in the order of creation, or
    /// [`None`] if there is no place for it.
    pub fn redist_of(&self, vcpu: usize) -> Option<u64> {
        if let Some(base) = self.single {
            return Some(base + vcpu as u64 * REDIST_SIZE);
        }
        let mut n = vcpu;
        for region in self.store.regions() {
            if n < usize::from(region.count) {
                return Some(region.base + n as u64 * REDIST_SIZE);
            }
            n -= usize::from(region.count);
        }
        None
    }

    /// GICR_TYPER.Last of a vCPU: whether there is no redistributor right behind its own.
    pub fn is_last(&self, vcpu: usize, vcpus: usize) -> bool {
        self.redist_of(vcpu)
            .is_some_and(|base| self.find_redist(base + REDIST_SIZE, vcpus).is_none())
    }
}
