// SPDX-License-Identifier: GPL-2.0

//! The CPUs' interrupts of the guest's timers.
//!
//! When a timer fires while its vCPU is loaded, the CPU takes the timer's interrupt. It is forwarded:
//! the host does not end it, so it stays active, and although the line is still raised it does not
//! come again. Whoever drives the vCPU makes it inactive when the line is low again, or has the guest
//! do so. What is active belongs to the CPU and not to the vCPU, so load says what it is to be.

use crate::{
    firmware_irqs::{
        GuestPpis,
        Missing, //
    },
    percpu::PerCpu,
    percpu_irq::{
        NotRequested,
        PercpuIrq,
        PercpuIrqHandler, //
    },
    pinned::PinnedCpu, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc, //
    },
};
use kvm_core::timer::Timer;

/// On which CPUs the interrupt may be active. Only the CPU itself looks at its flag.
struct MayBeActive(PerCpu<AtomicFlag>);

impl PercpuIrqHandler for MayBeActive {
    /// The guest has been left for this; its thread looks at the line before it enters again.
    fn handle(&self, cpu: &PinnedCpu) {
        self.0.this(cpu).store(true, Relaxed);
    }
}

struct TimerIrq {
    irq: PercpuIrq<MayBeActive>,
    active: Arc<MayBeActive>,
}

impl TimerIrq {
    fn request(
        ppi: Result<crate::firmware_irqs::Ppi, Missing>,
        name: &'static CStr,
    ) -> Result<Self, NotRequested> {
        let ppi = ppi.map_err(NotRequested::Missing)?;
        let flags = PerCpu::new().map_err(NotRequested::Other)?;
        let active = Arc::new(MayBeActive(flags), GFP_KERNEL)
            .map_err(|error| NotRequested::Other(error.into()))?;
        let irq = PercpuIrq::request_forwarded(ppi, name, active.clone())?;

        Ok(Self { irq, active })
    }
}

/// The interrupts of both timers, on all CPUs where they are enabled.
pub struct TimerIrqs {
    virtual_: TimerIrq,
    physical: TimerIrq,
}

impl TimerIrqs {
    /// Takes the interrupts. They are enabled nowhere yet. May sleep.
    ///
    /// # Errors
    ///
    /// The timer whose interrupt is not to be had, and why.
    pub fn request(ppis: &GuestPpis) -> Result<Self, (Timer, NotRequested)> {
        Ok(Self {
            virtual_: TimerIrq::request(ppis.virtual_timer, c"kvm_vhe virtual timer")
                .map_err(|error| (Timer::Virtual, error))?,
            physical: TimerIrq::request(ppis.physical_timer, c"kvm_vhe physical timer")
                .map_err(|error| (Timer::Physical, error))?,
        })
    }

    fn get(&self, timer: Timer) -> &TimerIrq {
        match timer {
            Timer::Virtual => &self.virtual_,
            Timer::Physical => &self.physical,
        }
    }

    /// Lets the interrupts come on this CPU, if they do not yet.
    pub fn enable(&self, cpu: &PinnedCpu) {
        for timer in Timer::ALL {
            let irq = &self.get(timer).irq;
            if !irq.is_enabled(cpu) {
                irq.enable(cpu);
            }
        }
    }

    /// Keeps the interrupts from coming on this CPU.
    pub fn disable(&self, cpu: &PinnedCpu) {
        for timer in Timer::ALL {
            let irq = &self.get(timer).irq;
            if irq.is_enabled(cpu) {
                irq.disable(cpu);
            }
        }
    }

    /// The number that the GIC knows the interrupt of `timer` by, 16 to 31.
    pub fn intid(&self, timer: Timer) -> u32 {
        self.get(timer).irq.ppi().intid()
    }

    /// Makes the interrupt of `timer` active on this CPU: it does not come, although the line is
    /// raised.
    pub fn hold(&self, cpu: &PinnedCpu, timer: Timer) {
        let this = self.get(timer);

        this.active.0.this(cpu).store(true, Relaxed);
        this.set(cpu, true);
    }

    /// As [`hold`](Self::hold), unless it may be active already.
    #[inline]
    pub fn hold_if_free(&self, cpu: &PinnedCpu, timer: Timer) {
        if !self.get(timer).active.0.this(cpu).load(Relaxed) {
            self.hold(cpu, timer);
        }
    }

    /// Makes the interrupt of `timer` inactive on this CPU, if it may be active: it comes when the
    /// line is raised.
    #[inline]
    pub fn release(&self, cpu: &PinnedCpu, timer: Timer) {
        let this = self.get(timer);
        let active = this.active.0.this(cpu);

        if active.load(Relaxed) {
            active.store(false, Relaxed);
            this.set(cpu, false);
        }
    }
}

impl TimerIrq {
    fn set(&self, cpu: &PinnedCpu, active: bool) {
        if let Err(error) = self.irq.set_active(cpu, active) {
            kernel::pr_warn_once!(
                "a timer's interrupt cannot be made active or inactive: {:?}\n",
                error
            );
        }
    }
}
