// SPDX-License-Identifier: GPL-2.0

//! Ticks of the counter as time.

use core::num::NonZeroU32;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// The frequency of the counter, CNTFRQ_EL0, in Hz.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Frequency(NonZeroU32);

impl Frequency {
    /// Returns the frequency that CNTFRQ_EL0 says, or [`None`] if firmware has left it zero.
    #[inline]
    pub const fn new(cntfrq: u64) -> Option<Self> {
        // Bits 63 to 32 are RES0.
        match NonZeroU32::new(cntfrq as u32) {
            Some(hz) => Some(Self(hz)),
            None => None,
        }
    }

    /// Returns how many nanoseconds so many ticks take: rounded up, so that the counter is not short
    /// of them afterwards, and `i64::MAX`, three centuries, if it is longer than that.
    #[inline]
    pub const fn nanoseconds(self, ticks: u64) -> i64 {
        let hz = self.0.get() as u64;
        // Below 2^32 times 2^30.
        let fraction = (ticks % hz * SECOND).div_ceil(hz);
        let whole = (ticks / hz).saturating_mul(SECOND);
        let sum = whole.saturating_add(fraction);

        if sum > i64::MAX as u64 {
            i64::MAX
        } else {
            sum as i64
        }
    }

    /// Returns how many whole ticks there are in so many nanoseconds.
    #[inline]
    pub const fn ticks(self, nanoseconds: u32) -> u64 {
        // Below 2^64.
        self.0.get() as u64 * nanoseconds as u64 / SECOND
    }
}
