// SPDX-License-Identifier: GPL-2.0

//! Arm architecture calls.
//!
//! Source: DEN0028, "Arm Architecture Calls".

use crate::{
    firmware::{
        pv_time,
        state::{
            Firmware,
            VcpuFeatures, //
        },
        workaround::Workaround, //
    },
    smccc::{
        Call,
        FunctionId,
        Owner,
        Registers,
        NOT_SUPPORTED,
        SUCCESS, //
    },
};

/// SMCCC_VERSION.
pub const VERSION: FunctionId = FunctionId::fast32(Owner::Arch, 0);

/// SMCCC_ARCH_FEATURES.
pub const ARCH_FEATURES: FunctionId = FunctionId::fast32(Owner::Arch, 1);

/// SMCCC_ARCH_WORKAROUND_1.
pub const ARCH_WORKAROUND_1: FunctionId = FunctionId::fast32(Owner::Arch, 0x8000);

/// SMCCC_ARCH_WORKAROUND_2.
pub const ARCH_WORKAROUND_2: FunctionId = FunctionId::fast32(Owner::Arch, 0x7fff);

/// SMCCC_ARCH_WORKAROUND_3.
pub const ARCH_WORKAROUND_3: FunctionId = FunctionId::fast32(Owner::Arch, 0x3fff);

/// What SMCCC_VERSION returns: 1.1, with the major version in bits 30 to 16.
pub const SMCCC_1_1: u64 = 0x1_0001;

/// Returns the registers after an architecture call.
#[inline]
pub(in crate::firmware) fn call(call: &Call, firmware: &Firmware, vcpu: VcpuFeatures) -> Registers {
    match call.function() {
        VERSION => Registers::value(SMCCC_1_1),
        ARCH_FEATURES => Registers::code(features(FunctionId::new(call.w1()), firmware, vcpu)),
        // The exit from the guest was the mitigation, where one is needed. A guest on an affected
        // CPU calls at each of its own exceptions, and is owed nothing but X0.
        ARCH_WORKAROUND_1 | ARCH_WORKAROUND_2 | ARCH_WORKAROUND_3 => {
            call.registers().with_code(SUCCESS)
        }
        _ => Registers::code(NOT_SUPPORTED),
    }
}

/// SMCCC_ARCH_FEATURES: whether `function` is there, and how it does.
///
/// Of functions that are not the architecture's, a guest can ask only for stolen time: DEN0057 has
/// it discovered so.
fn features(function: FunctionId, firmware: &Firmware, vcpu: VcpuFeatures) -> i64 {
    let workaround = match function {
        VERSION | ARCH_FEATURES => return SUCCESS,
        pv_time::FEATURES if firmware.std_hyp().pv_time() => return SUCCESS,
        ARCH_WORKAROUND_1 => Workaround::One,
        ARCH_WORKAROUND_2 => Workaround::Two,
        ARCH_WORKAROUND_3 => Workaround::Three,
        _ => return NOT_SUPPORTED,
    };
    workaround.answer(workaround.level(firmware.mitigations(), vcpu.ssbs))
}
