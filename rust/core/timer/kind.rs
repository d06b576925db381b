// SPDX-License-Identifier: GPL-2.0

//! Which timers there are.

/// A timer that every vCPU has.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Timer {
    /// CNTV_*_EL0: counts with CNTVCT_EL0.
    Virtual,
    /// CNTP_*_EL0: counts with CNTPCT_EL0.
    Physical,
}

impl Timer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Virtual, Self::Physical];

    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Physical => "physical",
        }
    }
}
