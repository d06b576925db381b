// SPDX-License-Identifier: GPL-2.0

//! KVM_PRE_FAULT_MEMORY: mapping what a vCPU is going to use.

use crate::memory::{
    fault::{
        Access,
        Faulted, //
    },
    guest::Memory,
    mmu::Reserve, //
};
use core::ops::Range;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_host::{
    irqs::with_irqs_off,
    task_work::handle_work, //
};

impl Memory {
    /// Maps what is at guest addresses, as if a vCPU had read all of it. Returns where it stopped, and
    /// why if that is not the end. Sleeps, and lets others have the CPU in between.
    pub(crate) fn pre_fault(&self, range: Range<u64>, reserve: &mut Reserve) -> (u64, Result) {
        let mut at = range.start;
        while at < range.end {
            match self.pre_fault_one(at, reserve) {
                Ok(end) => at = end.min(range.end),
                Err(error) => return (at, Err(error)),
            }
        }
        (at, Ok(()))
    }

    /// Maps what is at a guest address, and returns where that ends.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no memory, `EINTR`, what [`fault`](Self::fault) returns.
    fn pre_fault_one(&self, ipa: u64, reserve: &mut Reserve) -> Result<u64> {
        let read = Access {
            write: false,
            execute: false,
        };
        loop {
            handle_work()?;
            if !self.is_memory(ipa) {
                return Err(ENOENT);
            }
            if let Some(end) = with_irqs_off(|irqs| self.mapped_end(irqs, ipa)) {
                return Ok(end);
            }
            match self.fault(ipa, read, reserve, None)? {
                Faulted::Mapped => {}
                Faulted::Interrupted => return Err(EINTR),
                Faulted::NoMemory | Faulted::ReadOnly => return Err(ENOENT),
            }
        }
    }
}

/// Checks the range of the ioctl.
///
/// # Errors
///
/// `EINVAL` if it is empty, wraps around, or is not of whole pages.
pub(crate) fn check_range(gpa: u64, size: u64) -> Result<Range<u64>> {
    let whole = (gpa | size) % PAGE_SIZE as u64 == 0;

    match gpa.checked_add(size) {
        Some(end) if whole && size != 0 => Ok(gpa..end),
        _ => Err(EINVAL),
    }
}
