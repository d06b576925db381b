// SPDX-License-Identifier: GPL-2.0

//! KVM's own calls.
//!
//! Source: Documentation/virt/kvm/arm/hypercalls.rst and ptp_kvm.rst.

use crate::{
    firmware::state::Firmware,
    smccc::{
        Call,
        FunctionId,
        Owner,
        Registers,
        NOT_SUPPORTED, //
    },
};

/// ARM_SMCCC_VENDOR_HYP_CALL_UID_FUNC_ID: who the hypervisor is.
pub const CALL_UID: FunctionId = FunctionId::fast32(Owner::VendorHyp, 0xff01);

/// ARM_SMCCC_VENDOR_HYP_KVM_FEATURES_FUNC_ID: which of KVM's calls there are.
pub const FEATURES: FunctionId = FunctionId::fast32(Owner::VendorHyp, 0);

/// ARM_SMCCC_VENDOR_HYP_KVM_PTP_FUNC_ID: the host's wall clock.
pub const PTP: FunctionId = FunctionId::fast32(Owner::VendorHyp, 1);

/// By this UUID, 28b46fb6-2ec5-11e9-a9ca-4b564d003a74, guests know KVM.
pub const KVM_UID: [u8; 16] = 0x28b4_6fb6_2ec5_11e9_a9ca_4b56_4d00_3a74_u128.to_be_bytes();

/// The counters that the guest can have read together with the wall clock.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Counter {
    /// KVM_PTP_VIRT_COUNTER: CNTVCT_EL0.
    Virtual,
    /// KVM_PTP_PHYS_COUNTER: CNTPCT_EL0.
    Physical,
}

/// The wall clock and a counter at one moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ClockReading {
    /// CLOCK_REALTIME in nanoseconds.
    pub wall: u64,
    /// The counter as the guest would have read it: less the VM's offset.
    pub counter: u64,
}

/// The host's clock.
pub trait Clock {
    /// Returns wall clock and counter, read together.
    ///
    /// [`None`] if the host's clocksource is not the architected counter: then no two such numbers
    /// belong together.
    fn read(&self, counter: Counter) -> Option<ClockReading>;
}

/// Returns the registers after one of KVM's calls.
pub(in crate::firmware) fn call(call: &Call, firmware: &Firmware, clock: &impl Clock) -> Registers {
    let (low, high) = firmware.vendor_hyp();
    match call.function() {
        CALL_UID if low.func_feat() => Registers::uuid(&KVM_UID),
        // One bit for each function number, 32 of them in a register.
        FEATURES if low.func_feat() => {
            let (low, high) = (low.into_raw(), high.into_raw());
            Registers([lower(low), upper(low), lower(high), upper(high)])
        }
        PTP if low.ptp() => ptp(call.w1(), clock),
        _ => Registers::code(NOT_SUPPORTED),
    }
}

/// Returns wall clock and counter.
fn ptp(counter: u32, clock: &impl Clock) -> Registers {
    let counter = match counter {
        0 => Counter::Virtual,
        1 => Counter::Physical,
        _ => return Registers::code(NOT_SUPPORTED),
    };
    match clock.read(counter) {
        // What is negative in W0 is an error to the guest; time gets there in 2262.
        Some(ClockReading { wall, counter }) if wall >> 63 == 0 => {
            Registers([upper(wall), lower(wall), upper(counter), lower(counter)])
        }
        _ => Registers::code(NOT_SUPPORTED),
    }
}

/// Returns bits 31 to 0.
const fn lower(value: u64) -> u64 {
    value as u32 as u64
}

/// Returns bits 63 to 32.
const fn upper(value: u64) -> u64 {
    value >> 32
}
