// SPDX-License-Identifier: GPL-2.0

//! A mutex whose waiters can be killed.
//!
//! The `kernel` crate's `Mutex` waits uninterruptibly. A thread that waits for a vCPU which another
//! thread runs may wait for as long as the guest lives.
//!
//! C header: `include/linux/mutex.h`

use crate::bindings;
use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        DerefMut, //
    },
};
use kernel::{
    bindings as linux,
    error::to_result,
    prelude::*,
    sync::LockClassKey,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// A mutex that is waited for killably.
#[pin_data]
pub struct KillableMutex<T> {
    #[pin]
    raw: Opaque<linux::mutex>,
    data: UnsafeCell<T>,
}

// SAFETY: The data goes with the mutex, and whoever holds it has exclusive access.
unsafe impl<T: Send> Send for KillableMutex<T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for KillableMutex<T> {}

impl<T> KillableMutex<T> {
    /// Returns an initialiser; `key` is lockdep's.
    pub fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            data: UnsafeCell::new(data),
            raw <- Opaque::ffi_init(|raw| {
                // SAFETY: `raw` is memory for a mutex, pinned; name and key are static.
                unsafe { linux::__mutex_init(raw, name.as_char_ptr(), key.as_ptr()) }
            }),
        })
    }

    /// Waits for the mutex. May sleep.
    ///
    /// # Errors
    ///
    /// `EINTR` if the task is being killed.
    pub fn lock(&self) -> Result<KillableGuard<'_, T>> {
        // SAFETY: The mutex is initialised.
        to_result(unsafe { bindings::kvm_vhe_mutex_lock_killable(self.raw.get()) })?;
        Ok(KillableGuard {
            mutex: self,
            _not_send: NotThreadSafe,
        })
    }

    /// Whether somebody has it at this moment.
    pub fn is_locked(&self) -> bool {
        // SAFETY: The mutex is initialised.
        unsafe { linux::mutex_is_locked(self.raw.get()) }
    }

    /// Takes the mutex if nobody has it; does not sleep.
    pub fn try_lock(&self) -> Option<KillableGuard<'_, T>> {
        // SAFETY: The mutex is initialised.
        (unsafe { linux::mutex_trylock(self.raw.get()) } != 0).then(|| KillableGuard {
            mutex: self,
            _not_send: NotThreadSafe,
        })
    }
}

/// Exclusive access to what a [`KillableMutex`] protects.
pub struct KillableGuard<'a, T> {
    mutex: &'a KillableMutex<T>,
    _not_send: NotThreadSafe,
}

impl<T> Deref for KillableGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard holds the mutex.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T> DerefMut for KillableGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The guard holds the mutex, and is borrowed exclusively.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T> Drop for KillableGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard holds the mutex, and cannot have left the task that locked it.
        unsafe { linux::mutex_unlock(self.mutex.raw.get()) }
    }
}
