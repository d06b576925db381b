// SPDX-License-Identifier: GPL-2.0

//! A vCPU's timers in KVM_RUN.
//!
//! A timer that the guest has in the CPU fires by the CPU's interrupt, which makes the guest exit. One
//! that traps, and any while the vCPU sleeps, fires by an alarm of the host, which kicks the vCPU. In
//! either case the vCPU's thread then looks at the lines, with interrupts off and before it enters the
//! guest, so no change is missed.
//!
//! Without an interrupt controller in the kernel the lines are user space's: KVM_RUN returns when they
//! are not what it was last told. api.rst, "8.9 KVM_CAP_ARM_USER_IRQ".

mod pins;

pub(crate) use self::pins::{
    Pins,
    Wires, //
};
use kernel::sync::Arc;
use kvm_core::{
    register::Reg,
    timer::{
        Lines,
        Timer,
        TimerReg, //
    },
};
use kvm_host::{
    alarm::{
        Alarm,
        AlarmSetter, //
    },
    irqs::{
        with_irqs_off,
        IrqsOff, //
    },
    run_page::RunPage,
    time, //
};

/// The timers of a vCPU in KVM_RUN.
pub(crate) struct Timers<'a> {
    pins: Pins<'a>,
    alarm: AlarmSetter,
    /// The levels that user space was last told.
    told: &'a mut Lines,
}

impl<'a> Timers<'a> {
    /// Returns the timers of the vCPU with these lines, which is kicked by `alarm`.
    pub(crate) fn new(pins: Pins<'a>, alarm: &Arc<Alarm>, told: &'a mut Lines) -> Self {
        Self {
            pins,
            alarm: AlarmSetter::new(alarm.clone()),
            told,
        }
    }

    /// Whether these levels are for user space to be told.
    #[inline]
    fn is_news(&self, lines: Lines) -> bool {
        self.pins.wires.is_none() && lines != *self.told
    }

    /// Whether user space is to be told of the lines' levels.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.pins.wires.is_none() && self.is_news(self.pins.cpu.lines())
    }

    /// As [`sync`](Self::sync), for a vCPU that is about to sleep. Returns whether it is not to: user
    /// space is to be told first, or a timer is over by the counter, which
    /// [`set_for_sleep`](Self::set_for_sleep) goes by, so that no alarm comes, but not for the CPU.
    pub(crate) fn sync_asleep(&self) -> bool {
        with_irqs_off(|irqs| self.sync(irqs)) || self.pins.lags()
    }

    /// Whether a line that user space was told to be up may have gone down. The guest does that
    /// without an exit; that a line goes up is an interrupt or a kick.
    #[inline(always)]
    pub(crate) fn may_fall(&self) -> bool {
        self.told.any()
    }

    /// Tells user space the lines' levels, if they are its.
    pub(crate) fn tell(&mut self, page: &RunPage) {
        if self.pins.wires.is_none() {
            *self.told = self.pins.cpu.lines();
            page.set_device_irq_level(self.told.into_raw());
        }
    }

    /// Looks at the lines before the guest is entered, when none of its interrupts is in a list
    /// register: a GIC knows them then, and the CPU's interrupts come or do not. Returns whether user
    /// space is to be told first.
    #[inline]
    pub(crate) fn sync(&self, irqs: &IrqsOff) -> bool {
        self.is_news(self.pins.sync(irqs.cpu()))
    }

    /// As [`sync`](Self::sync), if a line that a GIC which is told of levels only has as up may have
    /// gone down.
    #[inline]
    pub(crate) fn sync_now(&self) {
        if self.pins.may_fall() {
            // In the kernel's GIC, so not for user space.
            let _ = with_irqs_off(|irqs| self.sync(irqs));
        }
    }

    /// The value of a counter, CNTPCT_EL0 or CNTVCT_EL0 or their self-synchronizing twins.
    pub(crate) fn counter(&self, reg: Reg) -> u64 {
        self.pins.cpu.count(match reg {
            Reg::CNTVCT_EL0 | Reg::CNTVCTSS_EL0 => Timer::Virtual,
            _ => Timer::Physical,
        })
    }

    /// What the guest reads from a register of a timer, which traps.
    pub(crate) fn read(&self, reg: Reg) -> u64 {
        match TimerReg::of(reg) {
            Some((timer, which)) => self
                .pins
                .cpu
                .timer(timer)
                .read(which, self.pins.cpu.count(timer)),
            None => 0,
        }
    }

    /// The guest writes a register of a timer, which traps.
    pub(crate) fn write(&mut self, reg: Reg, value: u64) {
        if let Some((timer, which)) = TimerReg::of(reg) {
            let count = self.pins.cpu.count(timer);
            let state = self.pins.cpu.timer(timer).write(which, value, count);

            self.pins.cpu.set_timer(timer, state);
            self.rearm();
        }
    }

    /// Returns the host's counter at the moment when the line of `timer` goes up.
    fn deadline(&self, timer: Timer) -> Option<u64> {
        match self
            .pins
            .cpu
            .timer(timer)
            .remaining(self.pins.cpu.count(timer))
        {
            // It is up already, and does not go up again by itself.
            None | Some(0) => None,
            Some(ticks) => Some(time::counter().saturating_add(ticks)),
        }
    }

    /// The counters' offsets may have changed: each timer is the CPU's, or not any more.
    pub(crate) fn configure(&mut self) {
        self.pins.wire();
        self.rearm();
    }

    /// Sets the alarm for the timers that are not the CPU's. To be called whenever one of them may
    /// have changed.
    pub(crate) fn rearm(&mut self) {
        let deadline = Timer::ALL
            .into_iter()
            .filter(|timer| !self.pins.cpu.has_timer(*timer))
            .find_map(|timer| self.deadline(timer));

        self.alarm.set(deadline);
    }

    /// The host's counter when the line of a timer goes up next, or the virtual counter reaches
    /// `until`, at which the vCPU wants to wake up in any case.
    pub(crate) fn next(&self, until: Option<u64>) -> Option<u64> {
        let [virtual_, physical] = Timer::ALL.map(|timer| self.deadline(timer));
        let wanted = until.map(|until| {
            let ticks = until.saturating_sub(self.pins.cpu.count(Timer::Virtual));
            time::counter().saturating_add(ticks)
        });

        [virtual_, physical, wanted].into_iter().flatten().min()
    }

    /// Sets the alarm for a vCPU that is about to sleep: its timers are not the CPU's then. `until` is
    /// as for [`next`](Self::next).
    ///
    /// [`rearm`](Self::rearm) is to be called after the sleep.
    pub(crate) fn set_for_sleep(&mut self, until: Option<u64>) {
        self.alarm.set(self.next(until));
    }

    /// Whether the virtual counter has reached `until`, if there is such.
    pub(crate) fn is_over(&self, until: Option<u64>) -> bool {
        until.is_some_and(|until| self.pins.cpu.count(Timer::Virtual) >= until)
    }
}
