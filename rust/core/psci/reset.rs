// SPDX-License-Identifier: GPL-2.0

//! The state in which CPU_ON starts a vCPU.

use crate::{
    bit_struct,
    pstate::{
        GuestPstate,
        GuestState,
        Pstate32,
        PstateFeatures, //
    },
};

bit_struct! {
    /// The bit of SCTLR_EL1 that is taken over from the caller.
    pub struct SctlrEndian("SCTLR_EL1") {
        /// Data accesses at EL1 are big-endian.
        ee / with_ee: flag 25,
    }
}

/// What the caller of CPU_ON has to say about the state of the vCPU it powers on.
///
/// The vCPU is reset when it next runs, as by KVM_ARM_VCPU_INIT, and is then given what
/// [`entry`](Self::entry) returns. Until that is done, nobody may run it or read its registers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PowerOnState {
    /// The entry point, an IPA or whatever the guest takes for one. For an AArch32 vCPU bit 0
    /// selects T32.
    pub entry: u64,
    /// The context ID.
    pub context: u64,
    /// Whether data accesses of the caller were big-endian.
    pub big_endian: bool,
}

/// Registers that differ from their reset values when a vCPU that CPU_ON powers on starts.
///
/// Whatever is pending for the vCPU from before (an exception to be injected, an instruction to be
/// stepped over, an I/O exit to be completed) is dropped.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct EntryState {
    /// PC.
    pub pc: u64,
    /// X0 or R0.
    pub x0: u64,
    /// PSTATE.
    pub pstate: GuestPstate,
    /// SCTLR_EL1. The SCTLR of an AArch32 vCPU is not touched.
    pub sctlr: u64,
}

impl PowerOnState {
    /// Returns the registers of a vCPU that starts in this state.
    ///
    /// `aarch32` tells whether its EL1 is AArch32 (KVM_ARM_VCPU_EL1_32BIT). `sctlr` is the reset
    /// value of its SCTLR_EL1.
    ///
    /// AArch64 takes endianness from SCTLR_EL1.EE, AArch32 from PSTATE.E.
    pub const fn entry(&self, aarch32: bool, sctlr: u64) -> EntryState {
        if !aarch32 {
            let reset = SctlrEndian::from_raw(sctlr);
            return EntryState {
                pc: self.entry,
                x0: self.context,
                pstate: GuestPstate::RESET,
                sctlr: reset.with_ee(reset.ee() || self.big_endian).into_raw(),
            };
        }
        let thumb = self.entry & 1 != 0;
        let pstate = Pstate32::from_raw(GuestPstate::RESET_AARCH32.into_raw())
            .with_t(thumb)
            .with_e(self.big_endian);
        let pstate =
            match GuestPstate::new(pstate.into_raw(), GuestState::Aarch32, PstateFeatures::NONE) {
                Ok(pstate) => pstate,
                // Not reached: the mode is that of RESET_AARCH32.
                Err(_) => GuestPstate::RESET_AARCH32,
            };
        EntryState {
            pc: self.entry & !1,
            x0: self.context,
            pstate,
            sctlr,
        }
    }
}
