// SPDX-License-Identifier: GPL-2.0

//! A CPU is powered down while it idles, and comes back with its registers lost.
//!
//! C header: `include/linux/cpu_pm.h`

use crate::{
    bindings,
    pinned::PinnedCpu, //
};
use kernel::{
    bindings as linux,
    container_of,
    error::to_result,
    ffi::{
        c_int,
        c_ulong, //
    },
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// What is done when a CPU goes into a state in which it may lose its registers.
pub trait CpuPmCallbacks: Send + Sync + 'static {
    /// The CPU is about to lose its registers. Runs on it, with interrupts off; it must not use RCU
    /// in a way that needs more than a reader.
    fn power_down(&self, cpu: &PinnedCpu);

    /// The CPU is back, or did not go down after all. Runs on it, with interrupts off.
    fn power_up(&self, cpu: &PinnedCpu);
}

/// A registration of [`CpuPmCallbacks`].
///
/// # Invariants
///
/// `block` is registered, and was after `callbacks` was initialised.
#[pin_data(PinnedDrop)]
pub struct CpuPm<T: CpuPmCallbacks> {
    #[pin]
    block: Opaque<linux::notifier_block>,
    callbacks: Arc<T>,
}

// SAFETY: Registering and unregistering may happen on different threads, and what is shared is an
// `Arc` of a `Send + Sync` type.
unsafe impl<T: CpuPmCallbacks> Send for CpuPm<T> {}
// SAFETY: As above; there are no methods on `&self`.
unsafe impl<T: CpuPmCallbacks> Sync for CpuPm<T> {}

impl<T: CpuPmCallbacks> CpuPm<T> {
    /// Registers the callbacks until the registration is dropped.
    ///
    /// # Errors
    ///
    /// What the notifier chain returns.
    pub fn register(callbacks: Arc<T>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            callbacks,
            block <- Opaque::try_ffi_init(|block: *mut linux::notifier_block| {
                let mut value: linux::notifier_block = pin_init::zeroed();
                value.notifier_call = Some(Self::notify);
                // SAFETY: `block` is memory for a `struct notifier_block`.
                unsafe { block.write(value) };

                // SAFETY: It is filled in and pinned until `PinnedDrop` unregisters it, and
                // `callbacks`, which `notify()` uses, is initialised by now.
                to_result(unsafe { bindings::cpu_pm_register_notifier(block) }).inspect_err(
                    |error| {
                        pr_err!("not loaded: no notice of CPUs that power down: {:?}\n", error)
                    },
                )
            }),
        })
    }

    /// # Safety
    ///
    /// To be called by the CPU PM core only, for the block of a live `Self`.
    unsafe extern "C" fn notify(
        block: *mut linux::notifier_block,
        event: c_ulong,
        _data: *mut c_void,
    ) -> c_int {
        // SAFETY: By this function's contract it is the field of a `Self`.
        let this = unsafe { container_of!(block.cast::<Opaque<_>>(), Self, block) };
        // SAFETY: As above; by the type invariant `callbacks` is initialised. Only that field is
        // borrowed: `block` is the C side's.
        let callbacks = unsafe { &(*this).callbacks };
        // SAFETY: The CPU PM core runs this with interrupts off, on the CPU in question.
        let cpu = unsafe { PinnedCpu::current() };

        match event as u32 {
            bindings::cpu_pm_event_CPU_PM_ENTER => callbacks.power_down(&cpu),
            bindings::cpu_pm_event_CPU_PM_ENTER_FAILED | bindings::cpu_pm_event_CPU_PM_EXIT => {
                callbacks.power_up(&cpu)
            }
            // Of a whole cluster: its CPUs have been told one by one.
            _ => {}
        }
        linux::NOTIFY_OK as c_int
    }
}

#[pinned_drop]
impl<T: CpuPmCallbacks> PinnedDrop for CpuPm<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is registered. It is no more, and nobody is in `notify()`
        // any more, when this returns.
        unsafe { bindings::cpu_pm_unregister_notifier(self.block.get()) };
    }
}
