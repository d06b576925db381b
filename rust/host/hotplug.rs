// SPDX-License-Identifier: GPL-2.0

//! CPUs come and go.
//!
//! C header: `include/linux/cpuhotplug.h`

use crate::pinned::PinnedCpu;
use core::{
    marker::PhantomData,
    mem::transmute, //
};
use kernel::{
    bindings,
    container_of,
    error::{
        from_result,
        to_result, //
    },
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// What is done on each CPU that goes into use or out of it.
pub trait CpuCallbacks: Send + Sync + 'static {
    /// Runs on a CPU that is coming up, or that is up when the callbacks are registered. May sleep.
    ///
    /// # Errors
    ///
    /// Any error keeps the CPU offline, or fails the registration. `offline()` is not called then on
    /// this CPU: `online()` leaves nothing behind where it fails.
    fn online(&self, cpu: &PinnedCpu) -> Result;

    /// Runs on a CPU that is going down, or that is up when the callbacks are unregistered. May
    /// sleep.
    fn offline(&self, cpu: &PinnedCpu);
}

/// The slot in the order of hotplug steps that belongs to KVM.
const STATE: bindings::cpuhp_state = bindings::cpuhp_state_CPUHP_AP_KVM_ONLINE;

/// KVM's slot in CPU hotplug. Who holds it is the one user of the CPUs' virtualization extensions:
/// C KVM holds the same slot while it uses the CPUs, which by default is from boot on.
pub struct HotplugSlot<T>(PhantomData<T>);

impl<T: CpuCallbacks> HotplugSlot<T> {
    /// Takes the slot; [`CpuHotplug::register`] makes use of it.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody else has it.
    pub fn claim() -> Result<Self> {
        // SAFETY: For a multi-instance state the C side calls the callbacks with the node as second
        // argument and declares them as taking one argument only; `cpuhp_setup_state_multi()` casts
        // in the same way.
        let (startup, teardown) = unsafe {
            (
                transmute::<
                    unsafe extern "C" fn(c_uint, *mut bindings::hlist_node) -> c_int,
                    unsafe extern "C" fn(c_uint) -> c_int,
                >(CpuHotplug::<T>::startup),
                transmute::<
                    unsafe extern "C" fn(c_uint, *mut bindings::hlist_node) -> c_int,
                    unsafe extern "C" fn(c_uint) -> c_int,
                >(CpuHotplug::<T>::teardown),
            )
        };

        // SAFETY: The name is static, the callbacks stay until `Drop` takes them back, and nothing
        // is called before an instance is added.
        to_result(unsafe {
            bindings::__cpuhp_setup_state(
                STATE,
                c"kvm/vhe:online".as_char_ptr(),
                false,
                Some(startup),
                Some(teardown),
                true,
            )
        })?;
        Ok(Self(PhantomData))
    }
}

impl<T> Drop for HotplugSlot<T> {
    fn drop(&mut self) {
        // SAFETY: The state was set up by `claim()`, and the instance, if one was added, is gone:
        // `CpuHotplug` drops it first.
        unsafe { bindings::__cpuhp_remove_state(STATE, false) }
    }
}

/// A registration of [`CpuCallbacks`]: while it exists, they have run on each CPU that is online.
///
/// # Invariants
///
/// `node` is an instance of [`STATE`] that was added after `callbacks` was initialised.
#[pin_data(PinnedDrop)]
pub struct CpuHotplug<T: CpuCallbacks> {
    #[pin]
    node: Opaque<bindings::hlist_node>,
    callbacks: Arc<T>,
    _slot: HotplugSlot<T>,
}

// SAFETY: Adding and removing an instance may happen on different threads, and what is shared is an
// `Arc` of a `Send + Sync` type.
unsafe impl<T: CpuCallbacks> Send for CpuHotplug<T> {}
// SAFETY: As above; there are no methods on `&self`.
unsafe impl<T: CpuCallbacks> Sync for CpuHotplug<T> {}

impl<T: CpuCallbacks> CpuHotplug<T> {
    /// Runs `online()` on each CPU that is up and on each that comes up later; `offline()` on each
    /// that goes down, and on all when the registration is dropped.
    ///
    /// # Errors
    ///
    /// That of the `online()` that failed, after `offline()` has run wherever it had succeeded.
    pub fn register(slot: HotplugSlot<T>, callbacks: Arc<T>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _slot: slot,
            callbacks,
            node <- Opaque::try_ffi_init(|node: *mut bindings::hlist_node| {
                // SAFETY: `node` is memory for a node, which needs no more than zeroes.
                unsafe { node.write_bytes(0, 1) };

                // SAFETY: The slot is claimed; `node` is pinned until `PinnedDrop` removes it, and
                // `callbacks`, which the callbacks reach through it, is initialised by now.
                to_result(unsafe { bindings::__cpuhp_state_add_instance(STATE, node, true) })
            }),
        })
    }

    /// # Safety
    ///
    /// `node` is the `node` of a live `CpuHotplug<T>` whose `callbacks` is initialised, and the
    /// caller is bound to the current CPU.
    unsafe fn with(
        node: *mut bindings::hlist_node,
        f: impl FnOnce(&T, &PinnedCpu) -> Result,
    ) -> Result {
        // SAFETY: By this function's contract the node is a field of a `Self`.
        let this =
            unsafe { container_of!(node.cast::<Opaque<bindings::hlist_node>>(), Self, node) };
        // SAFETY: By this function's contract `callbacks` is initialised and lives long enough; only
        // that field is borrowed, since others may not be initialised yet.
        let callbacks = unsafe { &(*this).callbacks };
        // SAFETY: By this function's contract.
        let cpu = unsafe { PinnedCpu::current() };

        f(callbacks, &cpu)
    }

    /// # Safety
    ///
    /// To be called by the hotplug core only.
    unsafe extern "C" fn startup(_cpu: c_uint, node: *mut bindings::hlist_node) -> c_int {
        from_result(|| {
            // SAFETY: The hotplug core runs this on the CPU's own hotplug thread, with a node that
            // `register()` added.
            unsafe { Self::with(node, |callbacks, cpu| callbacks.online(cpu)) }?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// To be called by the hotplug core only.
    unsafe extern "C" fn teardown(_cpu: c_uint, node: *mut bindings::hlist_node) -> c_int {
        from_result(|| {
            // SAFETY: As in `startup()`.
            unsafe {
                Self::with(node, |callbacks, cpu| {
                    callbacks.offline(cpu);
                    Ok(())
                })
            }?;
            Ok(0)
        })
    }
}

#[pinned_drop]
impl<T: CpuCallbacks> PinnedDrop for CpuHotplug<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the node is an instance of the state.
        unsafe { bindings::__cpuhp_state_remove_instance(STATE, self.node.get(), true) };
    }
}
