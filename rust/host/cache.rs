// SPDX-License-Identifier: GPL-2.0

//! Cache maintenance on memory by its physical address.
//!
//! Arm ARM DDI 0487, "Cache support", "CTR_EL0".

use crate::{
    bindings,
    guest_page::FaultedPage, //
};
use core::ptr::NonNull;
use kernel::{
    bindings as linux,
    page::PAGE_SIZE,
    prelude::*, //
};

/// How the caches of this system are maintained, from its CTR_EL0.
#[derive(Clone, Copy, Debug)]
pub struct Caches {
    /// The size in bytes of the smallest line that any data cache has; a power of two of at most
    /// 64 KiB, the most that the register can say.
    line: usize,
    /// Whether an instruction cache may find a line under addresses other than those that it was
    /// invalidated by.
    aliasing: bool,
    /// Instruction fetches see what data caches have (IDC).
    unified: bool,
    /// Instruction caches need no invalidation (DIC).
    follows: bool,
}

impl Caches {
    /// The most that one call cleans, in bytes: the data cache takes its time, and whoever has more
    /// to clean looks for a signal or a reschedule in between.
    pub const MAX_BYTES: usize = 16 * PAGE_SIZE;

    /// Reads the system's CTR_EL0, which has the smallest line of all CPUs and what instruction caches
    /// all of them have.
    pub fn of_system() -> Self {
        // SAFETY: Reads the kernel's table of registers, which has this one. The encoding is that of
        // `sys_reg(3, 3, 0, 0, 1)` in `arch/arm64/include/asm/sysreg.h`.
        Self::new(unsafe { linux::read_sanitised_ftr_reg(3 << 19 | 3 << 16 | 1 << 5) })
    }

    fn new(ctr: u64) -> Self {
        /// CTR_EL0.L1Ip: virtually indexed, physically tagged.
        const VIPT: u64 = 0b10;

        Self {
            // DminLine is the logarithm of the number of words.
            line: 4 << (ctr >> 16 & 0xf),
            aliasing: ctr >> 14 & 0b11 == VIPT,
            unified: ctr >> 28 & 1 != 0,
            follows: ctr >> 29 & 1 != 0,
        }
    }

    /// Whether all CPUs have the system's CTR_EL0, so that a guest may read it from the CPU.
    pub fn are_alike() -> bool {
        // SAFETY: Reads what the kernel has found out of its CPUs, at any time.
        !unsafe { bindings::kvm_vhe_mismatched_caches() }
    }

    /// Whether instruction fetches see what data caches have, without its being cleaned.
    pub fn is_unified(&self) -> bool {
        self.unified
    }

    /// Invalidates the instruction caches of all CPUs, unless they follow what is written to memory by
    /// themselves (CTR_EL0.DIC).
    pub fn invalidate_instructions(&self) {
        if !self.follows {
            // SAFETY: Nothing but speed depends on what an instruction cache holds.
            unsafe { bindings::kvm_vhe_icache_inval_all() };
        }
    }

    /// Cleans and invalidates memory to the point of coherency: afterwards what accesses it without
    /// caches sees it as it is, and nothing old is in a cache. It is complete when this returns.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are more bytes than [`MAX_BYTES`](Self::MAX_BYTES), or not all of them are
    /// memory in the kernel's linear map; what comes before may have been cleaned.
    pub fn clean_invalidate(&self, physical: u64, bytes: usize) -> Result {
        if bytes > Self::MAX_BYTES {
            return Err(EINVAL);
        }
        let mut physical = physical;
        let mut bytes = bytes;

        // Page by page, since the pages may belong to different allocations.
        while bytes > 0 {
            let address = linear_address(physical).ok_or(EINVAL)?;
            let in_page = bytes.min(PAGE_SIZE - (address.as_ptr() as usize & (PAGE_SIZE - 1)));
            let start = address.as_ptr() as usize;

            // SAFETY: It writes back and drops cached copies, which changes no memory, whoever owns
            // it. An address that is not mapped any more ends it without harm.
            let not_mapped = unsafe {
                bindings::kvm_vhe_dcache_clean_inval(
                    start & !(self.line - 1),
                    start + in_page,
                    self.line,
                )
            };
            if not_mapped != 0 {
                return Err(EINVAL);
            }
            physical += in_page as u64;
            bytes -= in_page;
        }
        Ok(())
    }

    /// Whether what was written to memory has to be made visible to instruction fetches at all.
    pub fn needs_sync(&self) -> bool {
        !(self.unified && self.follows)
    }

    /// Makes instructions that were written to memory visible to the instruction fetches of all CPUs,
    /// whatever address they use. What CTR_EL0.IDC and DIC say is not needed is left out. The memory
    /// is the page's, or that of the huge page that it is part of.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are more bytes than [`MAX_BYTES`](Self::MAX_BYTES), or not all of them are in
    /// the page or huge page, in the kernel's linear map. Unlike the data cache's, this maintenance
    /// may not be done on memory that is being taken out of it: the caller has a reference on the page
    /// ([`FaultedPage`](crate::guest_page::FaultedPage)), which is why that is what this takes.
    pub fn sync_instructions(&self, page: &FaultedPage, physical: u64, bytes: usize) -> Result {
        let kept = page.kept();
        let end = physical.checked_add(bytes as u64).ok_or(EINVAL)?;

        if bytes > Self::MAX_BYTES || physical < kept.start || end > kept.end {
            return Err(EINVAL);
        }
        let address = linear_address(physical).ok_or(EINVAL)?.as_ptr() as usize;

        // SAFETY: The page, or the huge page, is in the linear map as a whole, where what is
        // contiguous in physical memory is contiguous, and stays there by the reference.
        unsafe { linux::caches_clean_inval_pou(address, address + bytes) };
        if self.aliasing {
            // SAFETY: Nothing but speed depends on what an instruction cache holds.
            unsafe { bindings::kvm_vhe_icache_inval_all() };
        }
        Ok(())
    }
}

/// The address in the kernel's linear map of a physical address that is memory.
fn linear_address(physical: u64) -> Option<NonNull<u8>> {
    // SAFETY: Any address may be asked for.
    let address = unsafe { bindings::kvm_vhe_memory_to_virt(physical) };

    NonNull::new(address.cast())
}
