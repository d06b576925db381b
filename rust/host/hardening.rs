// SPDX-License-Identifier: GPL-2.0

//! What hardens a CPU against a guest's speculation: its own registers and its firmware.
//!
//! The kernel knows, too, and tells it if it has the patch for that
//! (`Documentation/patches.rst`). The stock one exports none of it, so it is asked anew, of each CPU.
//!
//! C header: `include/linux/arm-smccc.h`, `arch/arm64/include/asm/spectre.h`

use crate::{
    bindings,
    pinned::PinnedCpu,
    sysreg::mrs, //
};
use kvm_core::{
    cpu::hardening::{
        Exposure,
        Exposures,
        Firmware,
        HardeningInputs,
        Midr, //
    },
    idreg::{
        IdAa64Isar2El1,
        IdAa64Mmfr1El1,
        IdAa64Pfr0El1, //
    },
    sysreg::SysReg,
};

/// SMCCC_ARCH_WORKAROUND_1 to _3. Arm DEN 0028.
const WORKAROUND_1: u32 = 0x8000_8000;
const WORKAROUND_2: u32 = 0x8000_7fff;
const WORKAROUND_3: u32 = 0x8000_3fff;

/// Asks the CPU and its firmware.
pub fn hardening_inputs(cpu: &PinnedCpu) -> HardeningInputs {
    // SAFETY: These registers can be read at EL1 and EL2, and have no side effects.
    let (midr, pfr0, isar2, mmfr1) = unsafe {
        (
            mrs!(SysReg::MIDR_EL1),
            mrs!(SysReg::ID_AA64PFR0_EL1),
            mrs!(SysReg::ID_AA64ISAR2_EL1),
            mrs!(SysReg::ID_AA64MMFR1_EL1),
        )
    };

    HardeningInputs {
        midr: Midr(midr),
        pfr0: IdAa64Pfr0El1::from_raw(pfr0),
        isar2: IdAa64Isar2El1::from_raw(isar2),
        mmfr1: IdAa64Mmfr1El1::from_raw(mmfr1),
        workaround_1: Firmware::from_answer(ask_firmware(cpu, WORKAROUND_1)),
        workaround_2: Firmware::from_answer_2(ask_firmware(cpu, WORKAROUND_2)),
        workaround_3: Firmware::from_answer(ask_firmware(cpu, WORKAROUND_3)),
    }
}

/// What the firmware of this CPU says of a function: SMCCC_ARCH_FEATURES. Negative if it knows none,
/// or if there is no firmware that speaks SMCCC 1.1.
fn ask_firmware(_cpu: &PinnedCpu, function: u32) -> i64 {
    // SAFETY: A query, through the conduit that the kernel found; it changes nothing.
    unsafe { bindings::kvm_vhe_smccc_arch_feature(function) as i64 }
}

/// What the kernel says of all CPUs that are or were online; [`None`] if it does not tell modules.
pub fn kernel_exposures() -> Option<Exposures> {
    let mut states = bindings::kvm_vhe_spectre_states {
        v2: 2,
        v4: 2,
        bhb: 2,
    };
    // SAFETY: It reads the kernel's state and writes to `states`, which is ours.
    let told = unsafe { bindings::kvm_vhe_kernel_spectre_states(&raw mut states) };
    let exposure = |state| match state {
        0 => Exposure::Unaffected,
        1 => Exposure::Mitigated,
        _ => Exposure::Vulnerable,
    };

    told.then(|| Exposures {
        v2: exposure(states.v2),
        v4: exposure(states.v4),
        bhb: exposure(states.bhb),
    })
}
