// SPDX-License-Identifier: GPL-2.0

//! Private interrupts of the CPUs, and handing them to guests.
//!
//! An interrupt that is **forwarded** is a guest's to end. The host takes it, which makes it active,
//! and only drops its priority; as long as it is active it does not come again. A list register with
//! the interrupt's number (ICH_LR\<n\>_EL2.HW) lets the guest's own EOI deactivate it. Who does not get
//! that far, because no vCPU is there or the vCPU goes elsewhere, does it by [`PercpuIrq::set_active`].
//!
//! C headers: `include/linux/interrupt.h`, `include/linux/irq.h`

use crate::{
    bindings,
    firmware_irqs::{
        Missing,
        Ppi,
        Trigger, //
    },
    pinned::PinnedCpu,
    registers::loaded_here, //
};
use core::{
    fmt,
    mem::{
        align_of,
        size_of,
        ManuallyDrop, //
    },
    ptr,
    ptr::NonNull, //
};
use kernel::{
    bindings as linux,
    error::to_result,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::Arc, //
};

/// What is done when an interrupt comes.
pub trait PercpuIrqHandler: Send + Sync + 'static {
    /// The interrupt has come, on the CPU that it is private to. Runs with interrupts off, and must not
    /// sleep.
    ///
    /// One that is forwarded comes here only while the CPU has a vCPU. It is active then.
    fn handle(&self, cpu: &PinnedCpu);
}

/// Why an interrupt is not to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotRequested {
    /// It is not there.
    Missing(Missing),
    /// Somebody else has it.
    InUse,
    /// The interrupt controller cannot forward it to guests.
    NotForwarded,
    /// Some other error.
    Other(Error),
}

impl fmt::Display for NotRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(f),
            Self::InUse => f.write_str("another driver has it, see /proc/interrupts"),
            Self::NotForwarded => f.write_str(
                "the interrupt controller's driver cannot leave it to guests to end interrupts \
                 (EOI mode 1 of a GICv3 is needed)",
            ),
            Self::Other(error) => write!(f, "the kernel does not hand it out: {error:?}"),
        }
    }
}

/// A private interrupt of each CPU that is ours. It comes on those CPUs on which it is enabled.
///
/// Dropping it may sleep, and disables it where that is not done yet.
///
/// # Invariants
///
/// - `dev` is a per-CPU allocation of one pointer, which holds the address of what `handler` points to
///   on each possible CPU.
/// - The interrupt is requested, with `dev`.
pub struct PercpuIrq<H: PercpuIrqHandler> {
    ppi: Ppi,
    forwarded: bool,
    dev: PercpuPointer,
    handler: ManuallyDrop<Arc<H>>,
}

/// A pointer per CPU, all the same; never freed where that would be too early.
struct PercpuPointer(NonNull<c_void>);

// SAFETY: Per-CPU memory may be freed by any thread; what the pointers lead to is up to the owner.
unsafe impl Send for PercpuPointer {}
// SAFETY: As above; nothing is done with a reference.
unsafe impl Sync for PercpuPointer {}

impl PercpuPointer {
    fn new(value: *mut c_void) -> Result<Self> {
        type Word = *mut c_void;

        // SAFETY: Allocating per-CPU memory is allowed where sleeping is; size and alignment are those
        // of a type.
        let base = unsafe {
            linux::pcpu_alloc_noprof(
                size_of::<Word>(),
                align_of::<Word>(),
                false,
                linux::GFP_KERNEL,
            )
        };
        let base = NonNull::new(base.cast()).ok_or(ENOMEM)?;
        // SAFETY: The allocation has a pointer for each possible CPU, and is nobody else's yet.
        unsafe { bindings::kvm_vhe_set_per_cpu_pointers(base.as_ptr(), value) };
        Ok(Self(base))
    }

    /// # Safety
    ///
    /// Nobody uses the allocation any more.
    unsafe fn free(&self) {
        // SAFETY: It is `new()`'s; the rest is this function's contract.
        unsafe { linux::free_percpu(self.0.as_ptr()) };
    }
}

impl<H: PercpuIrqHandler> PercpuIrq<H> {
    /// Takes an interrupt for the host. It is enabled nowhere yet. May sleep.
    ///
    /// # Errors
    ///
    /// See [`NotRequested`].
    pub fn request(ppi: Ppi, name: &'static CStr, handler: Arc<H>) -> Result<Self, NotRequested> {
        Self::new(ppi, name, handler, Self::handle)
    }

    /// Takes an interrupt that is forwarded to guests. It is enabled nowhere yet. May sleep.
    ///
    /// # Errors
    ///
    /// See [`NotRequested`].
    pub fn request_forwarded(
        ppi: Ppi,
        name: &'static CStr,
        handler: Arc<H>,
    ) -> Result<Self, NotRequested> {
        let mut this = Self::new(ppi, name, handler, Self::handle_forwarded)?;

        // SAFETY: The interrupt is ours. The driver of the GIC, which by the invariant of `Ppi` it
        // belongs to, only looks whether the pointer is null.
        let error = unsafe { linux::irq_set_vcpu_affinity(ppi.irq(), this.dev.0.as_ptr()) };
        to_result(error).map_err(|_| NotRequested::NotForwarded)?;
        this.forwarded = true;
        Ok(this)
    }

    fn new(
        ppi: Ppi,
        name: &'static CStr,
        handler: Arc<H>,
        entry: unsafe extern "C" fn(c_int, *mut c_void) -> linux::irqreturn_t,
    ) -> Result<Self, NotRequested> {
        // SAFETY: Only looks. Who takes it from now on makes the request fail as well.
        if unsafe { linux::irq_has_action(ppi.irq()) } {
            return Err(NotRequested::InUse);
        }
        let address = ptr::from_ref::<H>(&handler).cast_mut().cast();
        let dev = PercpuPointer::new(address).map_err(NotRequested::Other)?;

        // SAFETY: `entry` wants the address of an `H` in the CPU's copy of `dev`, which is there. Both
        // it and the `H` stay until `Drop` has given the interrupt back. The name is static. No mask
        // stands for all CPUs.
        let error = unsafe {
            linux::request_percpu_irq_affinity(
                ppi.irq(),
                Some(entry),
                name.as_char_ptr(),
                ptr::null(),
                dev.0.as_ptr(),
            )
        };
        if let Err(error) = to_result(error) {
            // SAFETY: The request failed, so nobody has it.
            unsafe { dev.free() };
            return Err(if error == EBUSY {
                NotRequested::InUse
            } else {
                NotRequested::Other(error)
            });
        }
        // INVARIANT: Just requested, with `dev`, which has the handler's address.
        Ok(Self {
            ppi,
            forwarded: false,
            dev,
            handler: ManuallyDrop::new(handler),
        })
    }

    /// # Safety
    ///
    /// To be called as the handler of an interrupt only, with the CPU's copy of `dev`.
    unsafe extern "C" fn handle(_irq: c_int, dev: *mut c_void) -> linux::irqreturn_t {
        // SAFETY: By this function's contract and the type's invariants it holds the address of the
        // handler, which lives until after the interrupt is given back.
        let handler = unsafe { &**dev.cast::<*const H>() };
        // SAFETY: Interrupts are off.
        let cpu = unsafe { PinnedCpu::current() };

        handler.handle(&cpu);
        linux::irqreturn::IRQ_HANDLED
    }

    /// # Safety
    ///
    /// As [`Self::handle`].
    unsafe extern "C" fn handle_forwarded(irq: c_int, dev: *mut c_void) -> linux::irqreturn_t {
        if loaded_here().is_null() {
            // Whose it was has lowered the line and gone. Nobody would ever end it.
            // SAFETY: The interrupt is ours and active on this CPU.
            let error = unsafe { set_state(irq as c_uint, ACTIVE, false) };
            if let Err(error) = error {
                kernel::pr_warn_once!("interrupt {} cannot be deactivated: {:?}\n", irq, error);
            }
            return linux::irqreturn::IRQ_HANDLED;
        }
        // SAFETY: By this function's contract.
        unsafe { Self::handle(irq, dev) }
    }

    /// What firmware says of it.
    pub fn ppi(&self) -> Ppi {
        self.ppi
    }

    /// Lets the interrupt come on this CPU.
    pub fn enable(&self, _cpu: &PinnedCpu) {
        let trigger = match self.ppi.trigger() {
            Trigger::High => linux::IRQ_TYPE_LEVEL_HIGH,
            Trigger::Low => linux::IRQ_TYPE_LEVEL_LOW,
        };

        // SAFETY: The interrupt is ours, and the caller stays on the CPU.
        unsafe { linux::enable_percpu_irq(self.ppi.irq(), trigger) };
    }

    /// Keeps the interrupt from coming on this CPU. One that is forwarded is deactivated as well.
    pub fn disable(&self, _cpu: &PinnedCpu) {
        // SAFETY: The interrupt is ours, and the caller stays on the CPU.
        unsafe { linux::disable_percpu_irq(self.ppi.irq()) };
    }

    /// Whether the interrupt may come on this CPU.
    pub fn is_enabled(&self, _cpu: &PinnedCpu) -> bool {
        // SAFETY: The interrupt is ours, and the caller stays on the CPU.
        unsafe { linux::irq_percpu_is_enabled(self.ppi.irq()) }
    }

    /// Makes the interrupt active on this CPU, so that it does not come although its line is raised, or
    /// inactive, so that it comes when it is.
    ///
    /// # Errors
    ///
    /// Those of the interrupt controller's driver; a GICv3's has none.
    pub fn set_active(&self, _cpu: &PinnedCpu, active: bool) -> Result {
        // SAFETY: The interrupt is ours, and the caller stays on the CPU.
        unsafe { set_state(self.ppi.irq(), ACTIVE, active) }
    }

    /// Whether the interrupt is active on this CPU.
    ///
    /// # Errors
    ///
    /// As [`Self::set_active`].
    pub fn is_active(&self, cpu: &PinnedCpu) -> Result<bool> {
        self.state(cpu, ACTIVE)
    }

    /// Whether the interrupt is pending on this CPU: for one of a level, whether its line is raised.
    ///
    /// # Errors
    ///
    /// As [`Self::set_active`].
    pub fn is_pending(&self, cpu: &PinnedCpu) -> Result<bool> {
        self.state(cpu, PENDING)
    }

    /// Makes the interrupt pending on this CPU, although its line may be down.
    ///
    /// # Errors
    ///
    /// As [`Self::set_active`].
    #[cfg(KVM_VHE_TEST)]
    pub fn set_pending(&self, _cpu: &PinnedCpu) -> Result {
        // SAFETY: The interrupt is ours, and the caller stays on the CPU.
        unsafe { set_state(self.ppi.irq(), PENDING, true) }
    }

    fn state(&self, _cpu: &PinnedCpu, which: linux::irqchip_irq_state) -> Result<bool> {
        let mut value = false;

        // SAFETY: The interrupt is ours, and the caller stays on the CPU; `value` is written.
        to_result(unsafe { linux::irq_get_irqchip_state(self.ppi.irq(), which, &mut value) })?;
        Ok(value)
    }

    /// # Safety
    ///
    /// `this` is a `Self`, and interrupts are off.
    unsafe extern "C" fn disable_here(this: *mut c_void) {
        // SAFETY: By this function's contract.
        let this = unsafe { &*this.cast::<Self>() };
        // SAFETY: Interrupts are off.
        let cpu = unsafe { PinnedCpu::current() };

        if this.is_enabled(&cpu) {
            this.disable(&cpu);
        }
    }
}

const ACTIVE: linux::irqchip_irq_state = linux::irqchip_irq_state_IRQCHIP_STATE_ACTIVE;
const PENDING: linux::irqchip_irq_state = linux::irqchip_irq_state_IRQCHIP_STATE_PENDING;

/// Sets a state of an interrupt on this CPU.
///
/// # Safety
///
/// The interrupt is the caller's, who stays on the CPU.
unsafe fn set_state(irq: c_uint, which: linux::irqchip_irq_state, value: bool) -> Result {
    // SAFETY: By this function's contract nobody else relies on the state.
    to_result(unsafe { linux::irq_set_irqchip_state(irq, which, value) })
}

impl<H: PercpuIrqHandler> Drop for PercpuIrq<H> {
    fn drop(&mut self) {
        let irq = self.ppi.irq();

        // SAFETY: The function may be called on any CPU in interrupt context, and `self` outlives the
        // call as it waits for all CPUs. The mask is the kernel's own.
        unsafe {
            linux::on_each_cpu_cond_mask(
                None,
                Some(Self::disable_here),
                ptr::from_mut(self).cast(),
                true,
                &raw const linux::__cpu_online_mask,
            )
        };
        if self.forwarded {
            // SAFETY: The interrupt is ours, and enabled nowhere.
            unsafe { linux::irq_set_vcpu_affinity(irq, ptr::null_mut()) };
        }
        // SAFETY: It was requested with `dev`.
        unsafe { linux::free_percpu_irq(irq, self.dev.0.as_ptr()) };
        // SAFETY: Only looks.
        if unsafe { linux::irq_has_action(irq) } {
            // A CPU that is offline has it enabled, so it is still ours, and may come when that CPU
            // does: the handler has to stay. The kernel has warned.
            return;
        }
        // SAFETY: The interrupt is given back. The CPUs that are online have disabled it with
        // interrupts off, so none of them is in the handler, nor will one be.
        unsafe { self.dev.free() };
        // SAFETY: Not used again, and nobody else has its address, as above.
        unsafe { ManuallyDrop::drop(&mut self.handler) };
    }
}
