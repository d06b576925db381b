// SPDX-License-Identifier: GPL-2.0

//! Processor modes.

use crate::bit_enum;

bit_enum! {
    /// SPSR_ELx.M\[4:0\]: the Exception level and stack pointer, or the AArch32 mode.
    ///
    /// Source: Arm ARM, SPSR_EL2, M\[4\] and M\[3:0\].
    pub enum Mode: 5 {
        /// EL0.
        El0t = 0x00,
        /// EL1 with SP_EL0.
        El1t = 0x04,
        /// EL1 with SP_EL1.
        El1h = 0x05,
        /// EL2 with SP_EL0.
        El2t = 0x08,
        /// EL2 with SP_EL2.
        El2h = 0x09,
        /// EL3 with SP_EL0. Never valid in SPSR_EL1 and SPSR_EL2.
        El3t = 0x0c,
        /// EL3 with SP_EL3. Never valid in SPSR_EL1 and SPSR_EL2.
        El3h = 0x0d,
        /// AArch32 User, at EL0.
        Usr = 0x10,
        /// AArch32 FIQ.
        Fiq = 0x11,
        /// AArch32 IRQ.
        Irq = 0x12,
        /// AArch32 Supervisor.
        Svc = 0x13,
        /// AArch32 Monitor, at EL3.
        Mon = 0x16,
        /// AArch32 Abort.
        Abt = 0x17,
        /// AArch32 Hyp, at EL2.
        Hyp = 0x1a,
        /// AArch32 Undefined.
        Und = 0x1b,
        /// AArch32 System.
        Sys = 0x1f,
    }
}

impl Mode {
    /// Whether this is an AArch32 mode: M\[4\] is set.
    #[inline]
    pub const fn is_aarch32(self) -> bool {
        self.into_bits().get() & 0x10 != 0
    }
}
