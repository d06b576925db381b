// SPDX-License-Identifier: GPL-2.0

//! Signalling eventfds.
//!
//! C header: `include/linux/eventfd.h`

use core::ptr::NonNull;
use kernel::{
    bindings as linux,
    error::from_err_ptr,
    ffi::c_int,
    fs::LocalFile,
    prelude::*, //
};

/// What an eventfd's file descriptors stand for, which outlives them.
///
/// Two are equal if they are of the same eventfd.
///
/// # Invariants
///
/// The pointer is that of a live `struct eventfd_ctx`, and a reference to it is owned.
#[derive(PartialEq, Eq)]
pub struct EventFd(NonNull<linux::eventfd_ctx>);

// SAFETY: References are counted atomically, and may be dropped by any thread.
unsafe impl Send for EventFd {}
// SAFETY: It is signalled under its own lock.
unsafe impl Sync for EventFd {}

impl EventFd {
    /// That of an open file.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not an eventfd's.
    pub fn from_file(file: &LocalFile) -> Result<Self> {
        // SAFETY: The file is open as long as it is borrowed.
        let ctx = from_err_ptr(unsafe { linux::eventfd_ctx_fileget(file.as_ptr()) })?;

        // INVARIANT: It is not an error, and the reference is ours.
        NonNull::new(ctx).map(Self).ok_or(EINVAL)
    }

    /// That of one of the current process's descriptors.
    ///
    /// # Errors
    ///
    /// `EBADF` if there is no such descriptor, `EINVAL` if it is not an eventfd's.
    pub fn from_fd(fd: i32) -> Result<Self> {
        // SAFETY: It may be called with any number, in process context.
        let ctx = from_err_ptr(unsafe { linux::eventfd_ctx_fdget(fd as c_int) })?;

        // INVARIANT: It is not an error, and the reference is ours.
        NonNull::new(ctx).map(Self).ok_or(EINVAL)
    }

    /// Adds one to the eventfd's counter and wakes those who wait for it.
    ///
    /// Allowed wherever a task may be woken: also with interrupts off or in an interrupt, not under a
    /// runqueue's lock. Not allowed where an eventfd is being signalled already: in what it wakes.
    #[inline]
    pub fn signal(&self) {
        // SAFETY: By the type invariant it lives. The lock that this takes is only ever taken with
        // interrupts off.
        unsafe { linux::eventfd_signal_mask(self.0.as_ptr(), 0) };
    }

    /// The `struct eventfd_ctx`, which lives as long as `self`.
    pub(crate) fn as_ptr(&self) -> *mut linux::eventfd_ctx {
        self.0.as_ptr()
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.
        unsafe { linux::eventfd_ctx_put(self.0.as_ptr()) };
    }
}
