// SPDX-License-Identifier: GPL-2.0

//! One timer: its registers, and when its line is up.

use crate::{
    bit_struct,
    register::Reg,
    timer::kind::Timer, //
};

bit_struct! {
    /// Counter-timer Timer Control register: CNTV_CTL_EL0 and CNTP_CTL_EL0.
    pub struct CntCtl("CNT*_CTL_EL0") {
        /// The timer is on.
        enable / with_enable: flag 0,
        /// Its line stays low.
        imask / with_imask: flag 1,
        /// The counter has reached CVAL. Read-only; valid with `enable`.
        istatus / with_istatus: flag 2,
    }
}

impl CntCtl {
    /// Whether the line is up, of a value that the CPU's timer was read with.
    #[inline]
    pub const fn output(self) -> bool {
        self.enable() && !self.imask() && self.istatus()
    }

    /// Whether the line goes up when the counter reaches CVAL.
    #[inline]
    pub const fn is_armed(self) -> bool {
        self.enable() && !self.imask()
    }
}

/// A register of a timer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TimerReg {
    /// The control register.
    Ctl,
    /// The counter's value from which on the line is up.
    Cval,
    /// The same as a signed distance from the counter, which counts down.
    Tval,
}

impl TimerReg {
    /// Returns which register of which timer `reg` is, or [`None`] for another register.
    #[inline]
    pub fn of(reg: Reg) -> Option<(Timer, Self)> {
        match reg {
            Reg::CNTV_CTL_EL0 => Some((Timer::Virtual, Self::Ctl)),
            Reg::CNTV_CVAL_EL0 => Some((Timer::Virtual, Self::Cval)),
            Reg::CNTV_TVAL_EL0 => Some((Timer::Virtual, Self::Tval)),
            Reg::CNTP_CTL_EL0 => Some((Timer::Physical, Self::Ctl)),
            Reg::CNTP_CVAL_EL0 => Some((Timer::Physical, Self::Cval)),
            Reg::CNTP_TVAL_EL0 => Some((Timer::Physical, Self::Tval)),
            _ => None,
        }
    }
}

/// A timer as its registers define it. `count` is everywhere the value of the counter that it
/// compares with.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TimerState {
    /// The control register. Its ISTATUS means nothing: [`TimerState::condition`] is what it says.
    pub ctl: CntCtl,
    /// The compare value.
    pub cval: u64,
}

impl TimerState {
    /// Whether the counter has reached CVAL. Numbers do not wrap around: a timer with the largest
    /// CVAL does not fire in practice.
    #[inline]
    pub const fn condition(self, count: u64) -> bool {
        count >= self.cval
    }

    /// Whether the timer's line is up.
    #[inline]
    pub const fn output(self, count: u64) -> bool {
        self.ctl.is_armed() && self.condition(count)
    }

    /// Returns how many ticks of the counter it is until the line is up, 0 if it is, or [`None`] if
    /// it stays low.
    #[inline]
    pub const fn remaining(self, count: u64) -> Option<u64> {
        if self.ctl.is_armed() {
            Some(self.cval.saturating_sub(count))
        } else {
            None
        }
    }

    /// Returns what the guest reads from a register.
    #[inline]
    pub const fn read(self, reg: TimerReg, count: u64) -> u64 {
        match reg {
            // ISTATUS is UNKNOWN while the timer is off; 0 it is then.
            TimerReg::Ctl => self
                .ctl
                .with_istatus(self.ctl.enable() && self.condition(count))
                .into_raw(),
            TimerReg::Cval => self.cval,
            TimerReg::Tval => self.cval.wrapping_sub(count) as u32 as u64,
        }
    }

    /// Returns the timer after the guest's write to a register.
    #[inline]
    #[must_use]
    pub const fn write(self, reg: TimerReg, value: u64, count: u64) -> Self {
        let Self { ctl, cval } = self;

        match reg {
            TimerReg::Ctl => {
                let new = CntCtl::from_raw(value);
                Self {
                    ctl: CntCtl::from_raw(0)
                        .with_enable(new.enable())
                        .with_imask(new.imask()),
                    cval,
                }
            }
            TimerReg::Cval => Self { ctl, cval: value },
            TimerReg::Tval => Self {
                ctl,
                cval: count.wrapping_add(value as i32 as i64 as u64),
            },
        }
    }
}
