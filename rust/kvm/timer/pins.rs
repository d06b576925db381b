// SPDX-License-Identifier: GPL-2.0

//! Where a vCPU's timers end: the lines, the CPU's interrupts that they raise, and a GIC's.

use crate::vgic::Vgic;
use kvm_core::{
    timer::{
        Lines,
        Timer,
        TimerPpis, //
    },
    vgic::{
        interrupts::Interrupts,
        intid::IntId,
        irq::Irq, //
    },
};
use kvm_host::{
    pinned::PinnedCpu,
    timer_irqs::TimerIrqs,
    vcpu::VcpuCpu, //
};

/// The interrupts that a vCPU's timers have at its GIC.
#[derive(Clone, Copy)]
pub(crate) struct Wires<'a> {
    pub(crate) vgic: &'a Vgic,
    /// The vCPU's index there.
    pub(crate) index: usize,
    pub(crate) ppis: &'a TimerPpis,
    /// Whether the guest ends the CPU's interrupts. If not, the lines go to the GIC as any other
    /// device's, and the CPU's interrupt is kept from coming while its line is up.
    pub(crate) to_host: bool,
}

impl Wires<'_> {
    fn intid(&self, timer: Timer) -> Option<IntId> {
        IntId::private(self.ppis.get(timer.into()).intid())
    }

    fn irq(&self, timer: Timer) -> Option<Irq> {
        self.vgic.irq(self.index, self.intid(timer)?)
    }

    fn update(&self, timer: Timer, f: impl FnMut(Irq) -> Irq) {
        if let Some(intid) = self.intid(timer) {
            // There is such an interrupt: all PPIs are.
            let _ = self.vgic.signal(self.index, intid, f);
        }
    }

    /// Tells the interrupt that stands for the CPU's whether the line is up. It comes once for each
    /// time that the CPU's is taken, which comes again when the guest has ended it; so nothing is
    /// said while the guest has it. Returns whether it has: the CPU's is to be active then.
    fn tell_wired(&self, timer: Timer, line: bool) -> bool {
        let Some(irq) = self.irq(timer) else {
            return false;
        };
        if line != irq.is_with_guest() && !irq.active() {
            self.update(timer, |irq| irq.set_line(line));
            return self.irq(timer).is_some_and(Irq::is_with_guest);
        }
        irq.is_with_guest()
    }
}

/// The ends of a vCPU's timers.
#[derive(Clone, Copy)]
pub(crate) struct Pins<'a> {
    pub(crate) cpu: &'a VcpuCpu,
    pub(crate) irqs: &'a TimerIrqs,
    /// [`None`] if the lines are user space's.
    pub(crate) wires: Option<Wires<'a>>,
}

impl Pins<'_> {
    /// The vCPU is about to be loaded on this CPU: makes the CPU's interrupts what it needs. Those of
    /// lines that are up already do not come.
    pub(crate) fn load(&self, cpu: &PinnedCpu) {
        for timer in Timer::ALL {
            if self.tell(timer, self.cpu.line(timer)) && self.cpu.has_timer(timer) {
                self.irqs.hold(cpu, timer);
            } else {
                self.irqs.release(cpu, timer);
            }
        }
    }

    /// Looks at the lines, and passes them on. Nothing of the vCPU's is in list registers. Returns
    /// their levels.
    pub(crate) fn sync(&self, cpu: &PinnedCpu) -> Lines {
        let lines = self.cpu.lines();

        for timer in Timer::ALL {
            if !self.tell(timer, lines.get(timer)) {
                self.irqs.release(cpu, timer);
            } else if self.wires.is_some() && self.cpu.has_timer(timer) {
                self.irqs.hold_if_free(cpu, timer);
            }
        }
        lines
    }

    /// Tells the GIC, if there is one, of a line. Returns whether the CPU's interrupt is not to come
    /// meanwhile.
    fn tell(&self, timer: Timer, line: bool) -> bool {
        match &self.wires {
            None => line,
            Some(wires) if wires.to_host && self.cpu.has_timer(timer) => {
                wires.tell_wired(timer, line)
            }
            Some(wires) => {
                wires.update(timer, |irq| irq.set_line(line));
                line && self.cpu.has_timer(timer)
            }
        }
    }

    /// Whether the counter has reached a timer that the CPU has not seen to be over yet: what it
    /// compares may lag behind, as QEMU's does.
    pub(crate) fn lags(&self) -> bool {
        Timer::ALL.into_iter().any(|timer| {
            let due = self.cpu.timer(timer).output(self.cpu.count(timer));

            due && !self.cpu.line(timer)
        })
    }

    /// Whether a line that the GIC has as up may have gone down without an exit.
    #[inline]
    pub(crate) fn may_fall(&self) -> bool {
        self.wires.as_ref().is_some_and(|wires| {
            !wires.to_host
                && Timer::ALL
                    .into_iter()
                    .any(|timer| wires.irq(timer).is_some_and(Irq::line))
        })
    }

    /// Connects each line to the CPU's interrupt, if the guest has the CPU's timer, or to the GIC as
    /// any other device's. To be called when that may have changed.
    pub(crate) fn wire(&self) {
        let Some(wires) = &self.wires else { return };

        for timer in Timer::ALL {
            let host = (wires.to_host && self.cpu.has_timer(timer)).then(|| self.irqs.intid(timer));
            let now = wires.irq(timer).and_then(Irq::wire);
            if let Some(intid) = wires.intid(timer) {
                if now.map(|host| host.get() as u32) != host {
                    // A PPI's number fits into any list register.
                    let _ = wires.vgic.wire_private(wires.index, intid, host);
                }
            }
        }
    }
}
