// SPDX-License-Identifier: GPL-2.0

//! What the counters of a VM are behind the host's.

use crate::timer::kind::Timer;

/// The offsets of a VM's counters: the guest's is the host's less the offset, modulo 2^64.
///
/// There are two ways to set them. User space may write a counter by KVM_SET_ONE_REG, which gives it
/// this value at this moment. Or it may give the offset itself to KVM_ARM_SET_COUNTER_OFFSET, for
/// both at once; writes of counters are then ignored.
///
/// By default, the counters are the host's.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct CounterOffsets {
    virtual_: u64,
    physical: u64,
    /// KVM_ARM_SET_COUNTER_OFFSET was used.
    given: bool,
}

impl CounterOffsets {
    /// Returns those of a new VM when the host's counter is `now`: its virtual counter begins at
    /// zero, and the physical one is the host's.
    #[inline]
    pub const fn new(now: u64) -> Self {
        Self {
            virtual_: now,
            physical: 0,
            given: false,
        }
    }

    /// Returns the offset of the counter of `timer`.
    #[inline]
    pub const fn get(&self, timer: Timer) -> u64 {
        match timer {
            Timer::Virtual => self.virtual_,
            Timer::Physical => self.physical,
        }
    }

    /// Returns the counter of `timer` when the host's is `now`.
    #[inline]
    pub const fn count(&self, timer: Timer, now: u64) -> u64 {
        now.wrapping_sub(self.get(timer))
    }

    /// Makes the counter of `timer` be `value` when the host's is `now`. Nothing changes once there
    /// was a [`give`](Self::give).
    pub fn set_count(&mut self, timer: Timer, value: u64, now: u64) {
        if self.given {
            return;
        }
        let offset = now.wrapping_sub(value);
        match timer {
            Timer::Virtual => self.virtual_ = offset,
            Timer::Physical => self.physical = offset,
        }
    }

    /// KVM_ARM_SET_COUNTER_OFFSET: makes `offset` that of both counters.
    pub fn give(&mut self, offset: u64) {
        *self = Self {
            virtual_: offset,
            physical: offset,
            given: true,
        };
    }
}
