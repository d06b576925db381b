// SPDX-License-Identifier: GPL-2.0

//! A vCPU's timers, wherever their registers are.

use crate::{
    time::counter,
    vcpu::cpu::VcpuCpu, //
};
use kvm_core::{
    register::{
        Feature,
        Reg, //
    },
    timer::{
        CntCtl,
        Lines,
        Timer,
        TimerState, //
    },
};

impl VcpuCpu {
    /// The guest's counter that a timer compares with.
    #[inline]
    pub fn count(&self, timer: Timer) -> u64 {
        self.controls.get().offsets.count(timer, counter())
    }

    /// Whether the guest has the CPU's timer while it is loaded; otherwise the timer traps.
    #[inline]
    pub fn has_timer(&self, timer: Timer) -> bool {
        let feature = match timer {
            Timer::Virtual => Feature::ALWAYS,
            Timer::Physical => Feature::PHYSICAL_TIMER,
        };

        self.controls.get().features.contains(feature)
    }

    /// A timer.
    #[inline]
    pub fn timer(&self, timer: Timer) -> TimerState {
        let (ctl, cval) = match timer {
            Timer::Virtual => (self.read(Reg::CNTV_CTL_EL0), self.read(Reg::CNTV_CVAL_EL0)),
            Timer::Physical => (self.read(Reg::CNTP_CTL_EL0), self.read(Reg::CNTP_CVAL_EL0)),
        };

        TimerState {
            ctl: CntCtl::from_raw(ctl),
            cval,
        }
    }

    /// Changes a timer.
    pub fn set_timer(&self, timer: Timer, state: TimerState) {
        let ctl = state.ctl.into_raw();

        match timer {
            Timer::Virtual => {
                self.write(Reg::CNTV_CVAL_EL0, state.cval);
                self.write(Reg::CNTV_CTL_EL0, ctl);
            }
            Timer::Physical => {
                self.write(Reg::CNTP_CVAL_EL0, state.cval);
                self.write(Reg::CNTP_CTL_EL0, ctl);
            }
        }
    }

    /// Whether a timer's line is up.
    #[inline]
    pub fn line(&self, timer: Timer) -> bool {
        if self.is_loaded() && self.has_timer(timer) {
            // The CPU has compared already.
            CntCtl::from_raw(match timer {
                Timer::Virtual => self.read(Reg::CNTV_CTL_EL0),
                Timer::Physical => self.read(Reg::CNTP_CTL_EL0),
            })
            .output()
        } else {
            let state = self.timer(timer);
            state.ctl.is_armed() && state.output(self.count(timer))
        }
    }

    /// The levels of both lines.
    #[inline]
    pub fn lines(&self) -> Lines {
        Lines::LOW
            .with(Timer::Virtual, self.line(Timer::Virtual))
            .with(Timer::Physical, self.line(Timer::Physical))
    }
}
