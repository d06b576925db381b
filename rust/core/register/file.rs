// SPDX-License-Identifier: GPL-2.0

//! The registers in memory.

use core::cell::Cell;

use crate::register::{
    reg::Reg,
    row::Reset, //
};

/// The values of a vCPU's registers while they are not in the CPU.
///
/// A [`Cell`] each: the vCPU's thread may be interrupted by its own load and put, which move values
/// between here and the CPU.
#[repr(transparent)]
pub struct RegFile([Cell<u64>; Reg::COUNT]);

impl RegFile {
    /// Returns a file with all registers zero.
    pub const fn new() -> Self {
        Self([const { Cell::new(0) }; Reg::COUNT])
    }

    /// Returns the value in memory.
    #[inline(always)]
    pub fn get(&self, reg: Reg) -> u64 {
        self.0[reg.index()].get()
    }

    /// Sets the value in memory.
    #[inline(always)]
    pub fn set(&self, reg: Reg, value: u64) {
        self.0[reg.index()].set(value);
    }

    /// Gives all registers their values after a reset. `other` gives those that depend on the vCPU
    /// or the machine, for each [`Reset`] that is neither a number nor unknown.
    pub fn reset(&self, other: impl Fn(Reg, Reset) -> u64) {
        for reg in Reg::all() {
            self.set(
                reg,
                match reg.row().reset {
                    Reset::Value(value) => value,
                    Reset::Unknown => Reset::UNKNOWN,
                    reset => other(reg, reset),
                },
            );
        }
    }
}

impl Default for RegFile {
    fn default() -> Self {
        Self::new()
    }
}
