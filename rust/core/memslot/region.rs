// SPDX-License-Identifier: GPL-2.0

//! What KVM_SET_USER_MEMORY_REGION and KVM_SET_USER_MEMORY_REGION2 ask for.

use crate::{
    granule::Granule,
    ipa::IpaBits,
    memslot::slot::{
        Flags,
        SlotId, //
    },
};
use core::{
    fmt,
    num::NonZeroU64, //
};

/// `struct kvm_userspace_memory_region2`, as userspace filled it in.
///
/// For KVM_SET_USER_MEMORY_REGION, `guest_memfd_offset` is 0.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// The slot's number, and the address space's in bits 31 to 16.
    pub slot: u32,
    /// KVM_MEM_* flags.
    pub flags: u32,
    /// The guest's first physical address.
    pub guest_phys_addr: u64,
    /// Size in bytes; 0 deletes the slot.
    pub memory_size: u64,
    /// The VMM's first virtual address.
    pub userspace_addr: u64,
    /// Where in the guest_memfd the memory is, in bytes.
    pub guest_memfd_offset: u64,
}

/// What a VM's slots are limited by.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The host's page size.
    pub page: Granule,
    /// The VM's physical address size.
    pub ipa: IpaBits,
    /// The first address that is not the VMM's: TASK_SIZE. Tagged addresses are beyond it.
    pub hva_limit: u64,
    /// The flags that the ioctl knows: KVM_SET_USER_MEMORY_REGION never knows
    /// [`Flags::GUEST_MEMFD`], and each of them has a capability.
    pub flags: Flags,
}

/// Error numbers of the ioctls, for the caller to translate into its own.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Errno {
    /// EINVAL.
    Einval,
    /// EEXIST.
    Eexist,
    /// EFAULT.
    Efault,
}

/// Why a request is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A flag that is not known, or not together with another.
    Flags(Flags),
    /// A number or an address space that does not exist.
    Slot(u32),
    /// An address or the size is not a multiple of the page size.
    Alignment,
    /// The guest's addresses wrap around.
    GuestWrap,
    /// The VMM's addresses are not all in its address space.
    Hva,
    /// The slot has too many pages.
    Size,
    /// The range of the guest_memfd wraps around.
    GuestMemfd,
    /// The slot to delete does not exist.
    NoSlot,
    /// A slot that exists cannot have another size or other memory, nor become (or no longer be)
    /// read-only, and one with a guest_memfd cannot change at all.
    Fixed,
    /// Another slot has some of the guest's addresses.
    Overlap,
    /// The guest's addresses are not all in its address space.
    Ipa,
}

impl Refusal {
    /// Returns the error number.
    pub const fn errno(self) -> Errno {
        match self {
            Self::Overlap => Errno::Eexist,
            Self::Ipa => Errno::Efault,
            _ => Errno::Einval,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(flags) => write!(f, "memory slot with bad flags {flags:?}"),
            Self::Slot(slot) => write!(f, "no memory slot {slot:#x}"),
            Self::Alignment => f.write_str("memory slot not aligned to pages"),
            Self::GuestWrap => f.write_str("memory slot wraps around"),
            Self::Hva => f.write_str("memory slot with memory that is no user's"),
            Self::Size => f.write_str("memory slot too large"),
            Self::GuestMemfd => f.write_str("memory slot with a bad range of a guest_memfd"),
            Self::NoSlot => f.write_str("memory slot to delete does not exist"),
            Self::Fixed => f.write_str("memory slot cannot change this way"),
            Self::Overlap => f.write_str("memory slot overlaps another"),
            Self::Ipa => f.write_str("memory slot beyond the VM's address space"),
        }
    }
}

/// A request that is sound in itself.
///
/// # Invariants
///
/// Addresses are aligned, and neither of the ranges wraps around in 64 bits. If there are pages,
/// there are at most [`Region::MAX_PAGES`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Region {
    pub(super) id: SlotId,
    pub(super) gfn: u64,
    /// [`None`] to delete the slot.
    pub(super) pages: Option<NonZeroU64>,
    pub(super) hva: u64,
    pub(super) page_shift: u32,
    pub(super) flags: Flags,
    /// The first page that the VM cannot address.
    pub(super) gfn_limit: u64,
}

impl Region {
    /// The most pages that a slot can have: a bit number of its dirty bitmap fits an `int`.
    pub const MAX_PAGES: u64 = (1 << 31) - 1;

    /// Checks what can be checked without a look at the slots that exist.
    ///
    /// # Errors
    ///
    /// [`Refusal`], EINVAL in each case.
    pub fn check(request: &Request, limits: &Limits) -> Result<Self, Refusal> {
        let flags = Flags::from_raw(request.flags);
        let mut known = limits.flags;
        if flags.contains(Flags::GUEST_MEMFD) {
            // Writes to private memory are neither logged nor emulated.
            known = known.without(Flags::LOG_DIRTY_PAGES.union(Flags::READONLY));
        }
        let unknown = flags.without(known);
        if !unknown.is_empty() {
            return Err(Refusal::Flags(unknown));
        }
        // There is one address space, number 0.
        let id = u16::try_from(request.slot)
            .ok()
            .and_then(SlotId::new)
            .ok_or(Refusal::Slot(request.slot))?;
        let page_shift = limits.page.shift();
        let offsets = request.guest_phys_addr | request.memory_size | request.userspace_addr;
        if offsets & ((1 << page_shift) - 1) != 0 {
            return Err(Refusal::Alignment);
        }
        if request
            .userspace_addr
            .checked_add(request.memory_size)
            .is_none_or(|end| end > limits.hva_limit)
        {
            return Err(Refusal::Hva);
        }
        if flags.contains(Flags::GUEST_MEMFD) {
            let end = request.guest_memfd_offset.checked_add(request.memory_size);
            if request.guest_memfd_offset & ((1 << page_shift) - 1) != 0 || end.is_none() {
                return Err(Refusal::GuestMemfd);
            }
        }
        // Checked like this, the end is an address, too: the last page of all is no slot's.
        if request
            .guest_phys_addr
            .checked_add(request.memory_size)
            .is_none()
        {
            return Err(Refusal::GuestWrap);
        }
        let pages = request.memory_size >> page_shift;
        if pages > Self::MAX_PAGES {
            return Err(Refusal::Size);
        }
        Ok(Self {
            id,
            gfn: request.guest_phys_addr >> page_shift,
            pages: NonZeroU64::new(pages),
            hva: request.userspace_addr,
            page_shift,
            flags,
            gfn_limit: limits.ipa.size() >> page_shift,
        })
    }

    /// Returns the slot's number.
    #[inline]
    pub const fn id(&self) -> SlotId {
        self.id
    }
}
