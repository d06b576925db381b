// SPDX-License-Identifier: GPL-2.0

//! What the timers' lines are at.

use crate::timer::kind::Timer;

/// The levels of a vCPU's timer lines. As a number it is that part of `device_irq_level` in `struct
/// kvm_run` that is the timers'.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Lines(u64);

impl Lines {
    /// Both low.
    pub const LOW: Self = Self(0);

    /// The bit of a line: KVM_ARM_DEV_EL1_VTIMER and KVM_ARM_DEV_EL1_PTIMER.
    const fn bit(timer: Timer) -> u64 {
        match timer {
            Timer::Virtual => 1 << 0,
            Timer::Physical => 1 << 1,
        }
    }

    /// Returns the lines with that of `timer` at `level`.
    #[inline]
    #[must_use]
    pub const fn with(self, timer: Timer, level: bool) -> Self {
        if level {
            Self(self.0 | Self::bit(timer))
        } else {
            Self(self.0 & !Self::bit(timer))
        }
    }

    /// Whether the line of `timer` is up.
    #[inline]
    pub const fn get(self, timer: Timer) -> bool {
        self.0 & Self::bit(timer) != 0
    }

    /// Whether any line is up.
    #[inline]
    pub const fn any(self) -> bool {
        self.0 != 0
    }

    /// Returns the bits of `device_irq_level`.
    #[inline]
    pub const fn into_raw(self) -> u64 {
        self.0
    }
}
