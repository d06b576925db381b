// SPDX-License-Identifier: GPL-2.0

//! The host page behind a user address, for mapping it into a guest.
//!
//! The page is not pinned: the reference lasts from the lookup until the page is mapped, and from
//! then on the notifier ([`crate::mmu_notifier`]) keeps the mapping true.
//!
//! To copy from or to a guest's memory in a context that may sleep, the `kernel` crate's `UserSlice`
//! on the user address that the memslots translate to is all it takes.
//!
//! C headers: `include/linux/mm.h`, `include/linux/highmem.h`

use crate::bindings;
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    bindings as linux,
    error::to_result,
    ffi::{
        c_int,
        c_short,
        c_uint, //
    },
    mm::virt::VmaRef,
    page::{
        PAGE_MASK,
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// Why there is no page to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// Nothing is mapped at the address, or not with the permission asked for: `EFAULT`.
    Fault,
    /// There is no memory for it.
    NoMemory,
    /// The page has lost its content to a hardware error: [`signal_hardware_error`].
    HardwareError,
    /// A signal is pending.
    Interrupted,
    /// The mapping changed meanwhile; the guest takes its fault again.
    Again,
}

impl From<FaultError> for Error {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Fault => EFAULT,
            FaultError::NoMemory => ENOMEM,
            FaultError::HardwareError => EHWPOISON,
            FaultError::Interrupted => EINTR,
            FaultError::Again => EAGAIN,
        }
    }
}

/// What memory behaves like, as stage 2 says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryType {
    /// Normal memory, cacheable: RAM.
    Normal,
    /// Normal memory, not cacheable: of a device whose driver says that it stands that.
    NormalNonCacheable,
    /// Device memory.
    Device,
}

/// A page that was found behind a user address, at the time it was looked up.
///
/// # Invariants
///
/// `page`, where there is one, is the page at `physical`, with a reference that this owns.
#[derive(Debug)]
pub struct FaultedPage {
    page: Option<NonNull<linux::page>>,
    physical: u64,
    /// The user's address.
    address: usize,
    /// How much around it is known to be contiguous; a power of two.
    mapped: usize,
    writable: bool,
    memory_type: MemoryType,
}

// SAFETY: A reference on a page may be dropped by any thread.
unsafe impl Send for FaultedPage {}

impl FaultedPage {
    /// Takes over a reference on a page.
    ///
    /// # Safety
    ///
    /// The caller owns the reference.
    unsafe fn from_raw(page: NonNull<linux::page>, address: usize, writable: bool) -> Self {
        // INVARIANT: The caller gives its reference away.
        Self {
            // SAFETY: By the reference the page is valid.
            physical: unsafe { bindings::kvm_vhe_page_to_phys(page.as_ptr()) },
            page: Some(page),
            address,
            mapped: PAGE_SIZE,
            writable,
            memory_type: MemoryType::Normal,
        }
    }

    /// The physical address of the page.
    pub fn physical(&self) -> u64 {
        self.physical
    }

    /// The size in bytes of what one entry of the current process's tables maps at the page's address:
    /// the page, or a block whose parts are contiguous and aligned in physical memory, too, so that one
    /// entry of stage 2 may map them. Does not sleep.
    ///
    /// It says what is so now. It stays so under the lock of the VM's tables if no invalidation concerns
    /// the block and none did since its page was looked up.
    pub fn mapping_size(&mut self) -> usize {
        // SAFETY: Any address may be asked for.
        let shift = unsafe { bindings::kvm_vhe_user_mapping_shift(self.address) };

        self.mapped = 1_usize.checked_shl(shift).unwrap_or(0).max(PAGE_SIZE);
        self.mapped
    }

    /// Whether so much, from this physical address on, is the page, or a part of what
    /// [`Self::mapping_size`] has found that has the page in it.
    pub(crate) fn is_part_of(&self, physical: u64, size: u64) -> bool {
        size.is_power_of_two()
            && size <= self.mapped as u64
            && self.physical & !(size - 1) == physical
    }

    /// Whether the user may write to it, and thus the guest: it may also be so when only reading
    /// was asked for.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// How to map it.
    pub fn memory_type(&self) -> MemoryType {
        self.memory_type
    }

    /// Whether it is ordinary memory, which the kernel counts references on, as opposed to what a
    /// driver has mapped.
    pub fn is_ordinary(&self) -> bool {
        self.page.is_some()
    }

    /// The physical addresses that the reference keeps: those of the page, and of the huge page that
    /// it may be part of. None for what a driver has mapped.
    pub(crate) fn kept(&self) -> Range<u64> {
        let Some(page) = self.page else { return 0..0 };
        // SAFETY: By the type invariant the page is valid, and stays the huge page's that it is in,
        // as does that itself: a huge page on which there are references is not split.
        let size = unsafe { bindings::kvm_vhe_folio_size(page.as_ptr()) } as u64;
        // Aligned to its size.
        let start = self.physical & !(size - 1);

        start..start + size
    }

    /// Tells memory management that the guest can write to the page. To be called under the lock of
    /// the VM's tables, under which it was mapped: the notifier that write-protects the page before
    /// its content is written back takes that lock, too. Does not sleep.
    ///
    /// That suffices for what the guest writes later: before the host takes a dirty page for clean
    /// it write-protects it, which takes the guest's mapping away.
    pub fn mark_dirty(&self) {
        if let Some(page) = self.page {
            // SAFETY: By the type invariant the page is valid.
            unsafe { bindings::kvm_vhe_set_page_dirty(page.as_ptr()) };
        }
    }

    /// Lets go of a page that has been mapped into the guest, and tells memory management that it is
    /// in use. To be called after the lock of the VM's tables was released: may sleep.
    pub fn release_mapped(self) {
        if let Some(page) = self.page {
            // SAFETY: By the type invariant the page is valid.
            unsafe { bindings::kvm_vhe_mark_page_accessed(page.as_ptr()) };
        }
    }
}

impl Drop for FaultedPage {
    fn drop(&mut self) {
        if let Some(page) = self.page {
            // SAFETY: By the type invariant this is our reference.
            unsafe { bindings::kvm_vhe_put_page(page.as_ptr()) };
        }
    }
}

/// Whether the lookup may be broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// By a signal that kills the task only.
    Killable,
    /// By any signal.
    Interruptible,
}

/// Looks up the page behind a user address of the current process, and brings it in if need be.
/// Sleeps.
///
/// With `write` the user must be allowed to write to it; a private page that is shared so far is
/// copied. Without it, the page is one that may be read only, unless it is writable as it is.
///
/// # Errors
///
/// See [`FaultError`]. [`FaultError::Interrupted`] comes in spite of [`Wait::Killable`] if the task
/// is being killed. A kernel thread has no user memory: [`FaultError::Fault`].
pub fn fault_in(address: usize, write: bool, wait: Wait) -> Result<FaultedPage, FaultError> {
    let address = address & PAGE_MASK;

    // Where the page is present and writable it serves both reading and writing.
    if let Some(page) = present_writable_page(address) {
        return Ok(page);
    }

    // Pages that NUMA balancing took away to see who uses them are given back, and the use counted.
    let mut flags = linux::FOLL_HWPOISON | linux::FOLL_HONOR_NUMA_FAULT;
    if write {
        flags |= linux::FOLL_WRITE;
    }
    if wait == Wait::Interruptible {
        flags |= linux::FOLL_INTERRUPTIBLE;
    }
    let mut page = core::ptr::null_mut();
    // SAFETY: There is room for one page. Any address may be asked for.
    let result = unsafe { linux::get_user_pages_unlocked(address, 1, &mut page, flags as c_uint) };

    match NonNull::new(page) {
        Some(page) if result == 1 => {
            // SAFETY: The reference was given to us.
            let found = unsafe { FaultedPage::from_raw(page, address, write) };

            // A page brought in for reading is often writable nevertheless: then the guest's first
            // write need not fault.
            Ok(if write {
                found
            } else {
                present_writable_page(address).unwrap_or(found)
            })
        }
        _ => match fault_error(result as c_int) {
            FaultError::Fault => driver_page(address, write),
            error => Err(error),
        },
    }
}

/// The page at an address of the current process if it is there and writable.
fn present_writable_page(address: usize) -> Option<FaultedPage> {
    let mut page = core::ptr::null_mut();

    // SAFETY: There is room for one page. It takes no lock and does not sleep.
    let count =
        unsafe { linux::get_user_pages_fast_only(address, 1, linux::FOLL_WRITE, &mut page) };

    match NonNull::new(page) {
        // SAFETY: The reference was given to us.
        Some(page) if count == 1 => Some(unsafe { FaultedPage::from_raw(page, address, true) }),
        _ => None,
    }
}

fn fault_error(errno: c_int) -> FaultError {
    match -errno {
        e if e == linux::ENOMEM as c_int => FaultError::NoMemory,
        e if e == linux::EHWPOISON as c_int => FaultError::HardwareError,
        e if e == linux::EINTR as c_int || e == linux::ERESTARTSYS as c_int => {
            FaultError::Interrupted
        }
        e if e == linux::EAGAIN as c_int || e == linux::EBUSY as c_int || e == 0 => {
            FaultError::Again
        }
        _ => FaultError::Fault,
    }
}

/// What a driver has mapped at an address: there is no reference to take on it.
fn driver_page(address: usize, write: bool) -> Result<FaultedPage, FaultError> {
    let task = current!();
    let mm = task.mm().ok_or(FaultError::Fault)?;
    let guard = mm.mmap_read_lock();
    let vma = guard.vma_lookup(address).ok_or(FaultError::Fault)?;
    let flags = vma.flags();

    if flags & (linux::VM_PFNMAP | linux::VM_IO) == 0
        || flags & linux::VM_READ == 0
        || (write && flags & linux::VM_WRITE == 0)
    {
        return Err(FaultError::Fault);
    }

    if let Some(page) = present_driver_page(vma, address, write) {
        return Ok(page);
    }

    let mut unlocked = false;
    let fault_flags = if write {
        linux::fault_flag_FAULT_FLAG_WRITE
    } else {
        0
    };
    // SAFETY: The lock is held, and held again on return.
    let result = to_result(unsafe {
        linux::fixup_user_fault(mm.as_raw(), address, fault_flags, &mut unlocked)
    });

    if unlocked {
        // The mapping may be another one by now.
        return Err(FaultError::Again);
    }
    result.map_err(|error| fault_error(error.to_errno()))?;
    present_driver_page(vma, address, write).ok_or(FaultError::Again)
}

/// The page of a driver's mapping if it is there and may be accessed so.
fn present_driver_page(vma: &VmaRef, address: usize, write: bool) -> Option<FaultedPage> {
    let mut args = linux::follow_pfnmap_args {
        vma: vma.as_ptr(),
        address,
        ..Default::default()
    };

    // SAFETY: The mapping is there, as a `VmaRef` means that its lock is held; an address outside of
    // it is refused. On success the entry is locked until `follow_pfnmap_end()`.
    to_result(unsafe { linux::follow_pfnmap_start(&mut args) }).ok()?;
    let (pfn, writable) = (args.pfn, args.writable);
    // SAFETY: This ends what was started above.
    unsafe { linux::follow_pfnmap_end(&mut args) };

    if write && !writable {
        return None;
    }
    // SAFETY: Any number may be asked for.
    let is_memory = unsafe { linux::pfn_is_map_memory(pfn) } != 0;
    // SAFETY: The mapping is there, as the lock is held.
    let may_map_uncached = unsafe { bindings::kvm_vhe_may_map_uncached(vma.as_ptr()) };

    Some(FaultedPage {
        // INVARIANT: There is no page that this would have a reference on.
        page: None,
        physical: (pfn as u64) << PAGE_SHIFT,
        address: address & PAGE_MASK,
        mapped: PAGE_SIZE,
        writable,
        // Memory is in the kernel's linear map, as cacheable: any other type would not be coherent
        // with that. What is no memory is accessed as its driver allows, or as strictly as can be.
        memory_type: if is_memory {
            MemoryType::Normal
        } else if may_map_uncached {
            MemoryType::NormalNonCacheable
        } else {
            MemoryType::Device
        },
    })
}

/// Whether a driver has mapped anything that is no ordinary memory at some of the current process's
/// addresses. Sleeps.
pub fn has_driver_mapping(range: Range<usize>) -> bool {
    let task = current!();
    let Some(mm) = task.mm() else { return false };
    let _guard = mm.mmap_read_lock();
    let mut at = range.start;

    while at < range.end {
        // SAFETY: The lock is held.
        let vma = unsafe { linux::find_vma_intersection(mm.as_raw(), at, range.end) };
        if vma.is_null() {
            break;
        }
        // SAFETY: It is one of the process's mappings, which all are valid while the lock is held.
        let vma = unsafe { VmaRef::from_raw(vma) };
        if vma.flags() & linux::VM_PFNMAP != 0 {
            return true;
        }
        at = vma.end();
    }
    false
}

/// Tells the current process that it, or its guest, used memory with a hardware error: `SIGBUS` with
/// `BUS_MCEERR_AR`, the address, and how many of its low bits do not count, as all of a huge page is
/// lost.
pub fn signal_hardware_error(address: usize) {
    let task = current!();
    let size = task.mm().map_or(0, |mm| {
        mm.mmap_read_lock().vma_lookup(address).map_or(0, |vma| {
            // SAFETY: The mapping is there, as its lock is held.
            unsafe { bindings::kvm_vhe_vma_page_size(vma.as_ptr()) }
        })
    });

    // SAFETY: The current task lives while it runs this; the address is a number to the receiver.
    unsafe {
        linux::send_sig_mceerr(
            linux::BUS_MCEERR_AR as c_int,
            core::ptr::without_provenance_mut(address & PAGE_MASK),
            size.max(PAGE_SIZE).trailing_zeros() as c_short,
            task.as_ptr(),
        )
    };
}
