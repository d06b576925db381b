// SPDX-License-Identifier: GPL-2.0

//! Loading and putting a vCPU: once around each KVM_RUN, and whenever its thread is scheduled.
//!
//! C header: `include/linux/preempt.h`

use crate::{
    bindings,
    irqs::{
        with_irqs_off,
        IrqsOff, //
    },
    pinned::PinnedCpu,
    vcpu::{
        Exit,
        Stage2Regs,
        VcpuCpu,
        Vectors, //
    },
};
use core::{ffi::c_int, marker::PhantomPinned, pin::pin};
use kernel::{
    bindings as linux, container_of,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// What load needs to know of a vCPU.
pub trait Load {
    /// The vCPU's side of the CPU.
    fn cpu(&self) -> &VcpuCpu;

    /// The vCPU comes to this CPU: its stage 2 translation, and what of speculation hardening the
    /// CPU needs. [`None`] if the CPU is not in use for VMs any more. Runs with interrupts off.
    fn load(&self, cpu: &PinnedCpu) -> Option<(Stage2Regs, Vectors)>;

    /// The vCPU has left this CPU. Runs with interrupts off.
    fn put(&self, cpu: &PinnedCpu);
}

/// Preempt notifiers are possible; each VM has one, since switching that costs.
pub struct PreemptNotifiers(());

impl PreemptNotifiers {
    /// Makes preempt notifiers possible. May sleep.
    pub fn enable() -> Self {
        // SAFETY: Counts, and may sleep.
        unsafe { bindings::preempt_notifier_inc() };
        Self(())
    }
}

impl Drop for PreemptNotifiers {
    fn drop(&mut self) {
        // SAFETY: The counterpart of `enable()`.
        unsafe { bindings::preempt_notifier_dec() };
    }
}

/// A vCPU that is loaded whenever its thread, this one, runs.
pub struct Loaded<'a, T: Load> {
    vcpu: &'a T,
    _not_send: NotThreadSafe,
}

impl<T: Load> Loaded<'_, T> {
    /// The vCPU.
    #[inline(always)]
    pub fn vcpu(&self) -> &T {
        self.vcpu
    }

    /// Runs the guest until its next exit.
    ///
    /// [`None`] without having entered it if the task has other work to do, or the vCPU could not be
    /// loaded.
    #[inline(always)]
    pub fn enter(&self, irqs: &IrqsOff) -> Option<Exit> {
        let cpu = self.vcpu.cpu();

        if !cpu.is_loaded() {
            return None;
        }
        // SAFETY: It is loaded, by the notifier that this value stands for on this thread; and
        // interrupts are off.
        unsafe { cpu.enter(irqs.cpu()) }
    }
}

/// A preempt notifier of the current task.
#[repr(C)]
struct Notifier<'a, T: Load> {
    raw: Opaque<bindings::preempt_notifier>,
    vcpu: &'a T,
    _pin: PhantomPinned,
}

impl<T: Load> Notifier<'_, T> {
    const OPS: bindings::preempt_ops = bindings::preempt_ops {
        sched_in: Some(Self::sched_in),
        sched_out: Some(Self::sched_out),
    };

    /// # Safety
    ///
    /// To be called by the scheduler only, for a registered notifier, on its task.
    unsafe extern "C" fn sched_in(raw: *mut bindings::preempt_notifier, _cpu: c_int) {
        // SAFETY: The notifier is the field of a `Self`, which stays while it is registered.
        let this = unsafe { &*container_of!(Opaque::cast_from(raw), Self, raw) };

        with_irqs_off(|irqs| load(this.vcpu, irqs));
    }

    /// # Safety
    ///
    /// As for `sched_in()`. Interrupts are off.
    unsafe extern "C" fn sched_out(
        raw: *mut bindings::preempt_notifier,
        _next: *mut linux::task_struct,
    ) {
        // SAFETY: As above.
        let this = unsafe { &*container_of!(Opaque::cast_from(raw), Self, raw) };
        // SAFETY: Interrupts are off.
        let cpu = unsafe { PinnedCpu::current() };

        put(this.vcpu, &cpu);
    }
}

fn load<T: Load>(vcpu: &T, irqs: &IrqsOff) {
    if let Some((stage2, vectors)) = vcpu.load(irqs.cpu()) {
        // SAFETY: A notifier of this task is registered, so that the vCPU is put before the task
        // leaves the CPU; and a task runs no two vCPUs at once.
        unsafe { vcpu.cpu().load(stage2, vectors, irqs.cpu()) };
    }
}

fn put<T: Load>(vcpu: &T, cpu: &PinnedCpu) {
    if vcpu.cpu().is_loaded() {
        vcpu.cpu().put(cpu);
        vcpu.put(cpu);
    }
}

/// Runs `f` with the vCPU loaded, on whichever CPU that may be at a time.
///
/// `f` may sleep: the vCPU is put whenever the thread leaves its CPU and loaded when it comes back.
pub fn with_loaded<T: Load, R>(
    vcpu: &T,
    _notifiers: &PreemptNotifiers,
    f: impl FnOnce(&Loaded<'_, T>) -> R,
) -> R {
    let notifier = pin!(Notifier {
        raw: Opaque::zeroed(),
        vcpu,
        _pin: PhantomPinned,
    });
    let raw = notifier.raw.get();

    // SAFETY: The notifier is not registered yet; zeroes are what `preempt_notifier_init()` makes.
    unsafe { (*raw).ops = core::ptr::from_ref(const { &Notifier::<T>::OPS }).cast_mut() };
    with_irqs_off(|irqs| {
        // SAFETY: It is pinned, filled in, and unregistered below before it goes; notifiers are
        // possible as long as `_notifiers` lives.
        unsafe { bindings::preempt_notifier_register(raw) };
        load(vcpu, irqs);
    });

    let result = f(&Loaded {
        vcpu,
        _not_send: NotThreadSafe,
    });

    with_irqs_off(|irqs| {
        put(vcpu, irqs.cpu());
        // SAFETY: It was registered above, by this task.
        unsafe { bindings::preempt_notifier_unregister(raw) };
    });

    result
}
