// SPDX-License-Identifier: GPL-2.0

//! The system sleeps, wakes up, and goes down.
//!
//! C header: `include/linux/syscore_ops.h`

use crate::{
    bindings,
    pinned::PinnedCpu, //
};
use kernel::{
    bindings as linux,
    ffi::c_int,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// What is done when the system as a whole changes its state.
pub trait SyscoreCallbacks: Send + Sync + 'static {
    /// The system goes to sleep: runs on the last CPU that is online, with interrupts off.
    fn suspend(&self, cpu: &PinnedCpu);

    /// The system has woken up: runs on the one CPU that is online, with interrupts off.
    fn resume(&self, cpu: &PinnedCpu);

    /// The system reboots, powers off or starts another kernel: runs on each CPU that is online,
    /// with interrupts off.
    fn shutdown(&self, cpu: &PinnedCpu);
}

/// A registration of [`SyscoreCallbacks`].
///
/// # Invariants
///
/// `raw` is registered, and its `data` is the pointer of `callbacks`.
#[pin_data(PinnedDrop)]
pub struct Syscore<T: SyscoreCallbacks> {
    #[pin]
    raw: Opaque<bindings::syscore>,
    callbacks: Arc<T>,
}

// SAFETY: Registering and unregistering may happen on different threads, and what is shared is an
// `Arc` of a `Send + Sync` type.
unsafe impl<T: SyscoreCallbacks> Send for Syscore<T> {}
// SAFETY: As above; there are no methods on `&self`.
unsafe impl<T: SyscoreCallbacks> Sync for Syscore<T> {}

impl<T: SyscoreCallbacks> Syscore<T> {
    const OPS: bindings::syscore_ops = bindings::syscore_ops {
        suspend: Some(Self::suspend),
        resume: Some(Self::resume),
        shutdown: Some(Self::shutdown),
    };

    /// Registers the callbacks until the registration is dropped.
    pub fn register(callbacks: Arc<T>) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init({
                let data = core::ptr::from_ref::<T>(&callbacks).cast_mut().cast::<c_void>();
                move |raw: *mut bindings::syscore| {
                    // SAFETY: `raw` is memory for a `struct syscore`; zeroes are a valid one.
                    unsafe { raw.write_bytes(0, 1) };
                    // SAFETY: As above.
                    unsafe {
                        (*raw).ops = &Self::OPS;
                        (*raw).data = data;
                    }
                    // SAFETY: `raw` is filled in and pinned until `PinnedDrop` unregisters it; so
                    // long `callbacks` keeps what `data` points to.
                    unsafe { bindings::register_syscore(raw) };
                }
            }),
            callbacks,
        })
    }

    /// # Safety
    ///
    /// To be called by the syscore core only: on the one CPU online, with interrupts off.
    unsafe extern "C" fn suspend(data: *mut c_void) -> c_int {
        // SAFETY: `data` is the pointer that `register()` stored, alive while registered.
        let callbacks = unsafe { &*data.cast::<T>() };
        // SAFETY: Interrupts are off.
        let cpu = unsafe { PinnedCpu::current() };

        callbacks.suspend(&cpu);
        0
    }

    /// # Safety
    ///
    /// To be called by the syscore core only: on the one CPU online, with interrupts off.
    unsafe extern "C" fn resume(data: *mut c_void) {
        // SAFETY: `data` is the pointer that `register()` stored, alive while registered.
        let callbacks = unsafe { &*data.cast::<T>() };
        // SAFETY: Interrupts are off.
        let cpu = unsafe { PinnedCpu::current() };

        callbacks.resume(&cpu);
    }

    /// # Safety
    ///
    /// To be called by the syscore core only, where interrupts are on.
    unsafe extern "C" fn shutdown(data: *mut c_void) {
        // SAFETY: The function is sound to call on any CPU in interrupt context with `data`, which
        // outlives the call as it waits for all CPUs. The mask is the kernel's own.
        unsafe {
            linux::on_each_cpu_cond_mask(
                None,
                Some(Self::shutdown_this_cpu),
                data,
                true,
                &raw const linux::__cpu_online_mask,
            )
        };
    }

    /// # Safety
    ///
    /// To be called with the `data` of a live registration, and with interrupts off.
    unsafe extern "C" fn shutdown_this_cpu(data: *mut c_void) {
        // SAFETY: By this function's contract.
        let callbacks = unsafe { &*data.cast::<T>() };
        // SAFETY: Interrupts are off.
        let cpu = unsafe { PinnedCpu::current() };

        callbacks.shutdown(&cpu);
    }
}

#[pinned_drop]
impl<T: SyscoreCallbacks> PinnedDrop for Syscore<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant `raw` is registered.
        unsafe { bindings::unregister_syscore(self.raw.get()) };
    }
}
