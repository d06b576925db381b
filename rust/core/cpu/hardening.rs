// SPDX-License-Identifier: GPL-2.0

//! Speculation hardening: what a CPU needs when a guest is left, and what guests are told.
//!
//! Two attacks matter at the exit from a guest. **Spectre-v2** (CVE-2017-5715): the guest trains the
//! branch predictor for the hypervisor's branches. **Spectre-BHB** (CVE-2022-23960): where it cannot
//! do that any more, it fills the branch history, by which the predictor chooses among the
//! hypervisor's own targets. Both are stopped before the hypervisor's first indirect branch.
//!
//! **Spectre-v4** (CVE-2018-3639, speculative store bypass) does not cross the border: here it is a
//! matter of what guests are told about protecting themselves. **Meltdown** (CVE-2017-5754,
//! ID_AA64PFR0_EL1.CSV3) neither: a guest's translation regime has no mapping of the host's memory.
//!
//! What is not known to be safe is taken for affected, and a core without an entry in the tables gets
//! the longest loop.
//!
//! Sources: Arm ARM DDI 0487, the pages of the ID registers; SMC Calling Convention, Arm DEN 0028,
//! SMCCC_ARCH_WORKAROUND_1 to 3; Arm, "Cache Speculation Side-channels" and "Spectre-BHB", for which
//! cores are affected; for the loop counts the numbers that Trusted Firmware-A has for Arm's cores
//! (`*_BHB_LOOP_COUNT` in `include/lib/cpus/aarch64`).

use crate::idreg::{
    IdAa64Isar2El1,
    IdAa64Mmfr1El1,
    IdAa64Pfr0El1, //
};

/// Which core a CPU is: MIDR_EL1.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Midr(pub u64);

impl Midr {
    /// The implementer of Arm's own cores.
    const ARM: u64 = 0x41;

    /// MIDR_EL1.PartNum, if the core is one of Arm's.
    const fn arm_part(self) -> Option<u64> {
        if (self.0 >> 24) & 0xff == Self::ARM {
            Some((self.0 >> 4) & 0xfff)
        } else {
            None
        }
    }

    /// Whether it is one of Arm's small cores, whose speculation these attacks do not reach:
    /// Cortex-A34, A35, A53, A55, A510, A520.
    const fn is_small(self) -> bool {
        matches!(
            self.arm_part(),
            Some(0xd02 | 0xd03 | 0xd04 | 0xd05 | 0xd46 | 0xd80)
        )
    }

    /// How many branches replace the whole branch history, if that is known of this core.
    const fn history_length(self) -> Option<u8> {
        match self.arm_part() {
            // Cortex-A57, A72.
            Some(0xd07 | 0xd08) => Some(8),
            // Cortex-A76, Neoverse N1, Cortex-A77, A76AE.
            Some(0xd0b..=0xd0e) => Some(24),
            // Neoverse V1, Cortex-A78, A78AE, X1, A710, X2, Neoverse N2, Cortex-A78C, X1C.
            Some(0xd40..=0xd42 | 0xd44 | 0xd47..=0xd49 | 0xd4b | 0xd4c) => Some(32),
            // Cortex-A715.
            Some(0xd4d) => Some(38),
            _ => None,
        }
    }
}

/// What firmware answers to SMCCC_ARCH_FEATURES for a workaround.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Firmware {
    /// It does not know the workaround, or there is no firmware.
    NotAvailable,
    /// It has it, and this CPU needs it.
    Available,
    /// It has it, or knows of it, and this CPU does not need it.
    NotRequired,
}

impl Firmware {
    /// Decodes the answer for SMCCC_ARCH_WORKAROUND_1 or _3: 0 if the CPU needs it, 1 if it does not,
    /// negative if there is no such function.
    pub const fn from_answer(answer: i64) -> Self {
        match answer {
            0 => Self::Available,
            1 => Self::NotRequired,
            _ => Self::NotAvailable,
        }
    }

    /// Decodes the answer for SMCCC_ARCH_WORKAROUND_2: 0 if it can be switched on this CPU, 1 if this
    /// CPU does not need it, -2 if no CPU does.
    pub const fn from_answer_2(answer: i64) -> Self {
        match answer {
            0 => Self::Available,
            1 | -2 => Self::NotRequired,
            _ => Self::NotAvailable,
        }
    }
}

/// What decides a CPU's hardening.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HardeningInputs {
    /// MIDR_EL1.
    pub midr: Midr,
    /// ID_AA64PFR0_EL1, for CSV2.
    pub pfr0: IdAa64Pfr0El1,
    /// ID_AA64ISAR2_EL1, for CLRBHB.
    pub isar2: IdAa64Isar2El1,
    /// ID_AA64MMFR1_EL1, for ECBHB.
    pub mmfr1: IdAa64Mmfr1El1,
    /// The firmware's SMCCC_ARCH_WORKAROUND_1, for Spectre-v2.
    pub workaround_1: Firmware,
    /// The firmware's SMCCC_ARCH_WORKAROUND_2, for Spectre-v4.
    pub workaround_2: Firmware,
    /// The firmware's SMCCC_ARCH_WORKAROUND_3, for Spectre-v2 and Spectre-BHB.
    pub workaround_3: Firmware,
}

/// What is done at the exit from a guest, before the first indirect branch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ExitHardening {
    /// Nothing is needed.
    None,
    /// So many taken branches, 1 or more, which replace the branch history, and a barrier.
    BhbLoop(u8),
    /// CLRBHB and a barrier.
    ClearBhb,
    /// The firmware call SMCCC_ARCH_WORKAROUND_1.
    FirmwareWa1,
    /// The firmware call SMCCC_ARCH_WORKAROUND_3.
    FirmwareWa3,
}

/// How a CPU, or all of them, stand to an attack; the worst last.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Exposure {
    /// It does not work here.
    Unaffected,
    /// It would, were nothing done.
    Mitigated,
    /// It does.
    Vulnerable,
}

/// How a CPU, or all of them, stand to the attacks, and what is done.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Exposures {
    /// Spectre-v2.
    pub v2: Exposure,
    /// Spectre-BHB.
    pub bhb: Exposure,
    /// Spectre-v4, for a guest that does nothing itself. [`harden`] never says
    /// [`Exposure::Mitigated`], since the firmware's switch for it is left to the host's tasks; a
    /// kernel that says so has PSTATE.SSBS, which is the guest's as well, or keeps the switch on
    /// outside user space.
    pub v4: Exposure,
}

/// The longest branch history of the known cores, for those that are not known.
pub const LONGEST_HISTORY: u8 = 132;

/// Decides for one CPU: what is done at each exit, and how it stands then.
pub fn harden(cpu: &HardeningInputs) -> (ExitHardening, Exposures) {
    let csv2 = cpu.pfr0.csv2().get();
    let small = cpu.midr.is_small();
    // An answer of "not required" speaks of the firmware's part only: in Spectre-BHB a core may need
    // the loop all the same. For Spectre-v2 there is no other way.
    let v2 = csv2 == 0 && !small && !matches!(cpu.workaround_1, Firmware::NotRequired);
    let bhb = csv2 < 3 && cpu.mmfr1.ecbhb().get() == 0 && !small;

    let exit = if v2 {
        // Either call throws the predictors' whole content away; the third is made for both.
        match (cpu.workaround_3, cpu.workaround_1) {
            (Firmware::Available, _) => ExitHardening::FirmwareWa3,
            (_, Firmware::Available) => ExitHardening::FirmwareWa1,
            _ if bhb => history_hardening(cpu),
            _ => ExitHardening::None,
        }
    } else if bhb {
        history_hardening(cpu)
    } else {
        ExitHardening::None
    };

    let by_firmware = matches!(
        exit,
        ExitHardening::FirmwareWa1 | ExitHardening::FirmwareWa3
    );
    let exposures = Exposures {
        v2: match (v2, by_firmware) {
            (false, _) => Exposure::Unaffected,
            (true, true) => Exposure::Mitigated,
            (true, false) => Exposure::Vulnerable,
        },
        bhb: if bhb {
            // Each way out of `exit` but the first covers it, and that one is not taken then.
            Exposure::Mitigated
        } else {
            Exposure::Unaffected
        },
        v4: match cpu.workaround_2 {
            Firmware::NotRequired => Exposure::Unaffected,
            _ if small => Exposure::Unaffected,
            _ => Exposure::Vulnerable,
        },
    };

    (exit, exposures)
}

/// Decides for one CPU as [`harden`] did, and for a system that `kernel` knows.
///
/// The kernel knows more: cores that are in no table here, and what its command line asks for. Where
/// its CPUs are unaffected nothing is done, and neither where they stay vulnerable, be it that there
/// is no help or that its administrator wants none. How it is done where the kernel mitigates is the
/// hypervisor's own business, and depends on the CPU.
pub fn as_kernel_says(exit: ExitHardening, kernel: &Exposures) -> ExitHardening {
    let v2 = kernel.v2 == Exposure::Mitigated;
    let bhb = kernel.bhb == Exposure::Mitigated;
    let wanted = match exit {
        ExitHardening::None => true,
        ExitHardening::BhbLoop(_) | ExitHardening::ClearBhb => bhb,
        ExitHardening::FirmwareWa1 => v2,
        ExitHardening::FirmwareWa3 => v2 || bhb,
    };

    if wanted {
        exit
    } else {
        ExitHardening::None
    }
}

/// What replaces the branch history on a CPU that needs it.
fn history_hardening(cpu: &HardeningInputs) -> ExitHardening {
    if cpu.isar2.clrbhb().get() != 0 {
        ExitHardening::ClearBhb
    } else if let Some(length) = cpu.midr.history_length() {
        ExitHardening::BhbLoop(length)
    } else if matches!(cpu.workaround_3, Firmware::Available) {
        // Cores on which a loop does not do it, as Cortex-A73 and A75.
        ExitHardening::FirmwareWa3
    } else {
        ExitHardening::BhbLoop(LONGEST_HISTORY)
    }
}

/// What a guest that asks SMCCC_ARCH_FEATURES for a workaround is told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Workaround {
    /// There is no such function, and the guest is not protected by calling it.
    NotAvailable,
    /// The guest is to call it. The call is a trap to the hypervisor, at whose exit the hardening is.
    Available,
    /// The guest need not call it.
    NotRequired,
}

/// The answers to a guest, for all CPUs that it may run on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct GuestWorkarounds {
    /// SMCCC_ARCH_WORKAROUND_1.
    pub workaround_1: Workaround,
    /// SMCCC_ARCH_WORKAROUND_2.
    pub workaround_2: Workaround,
    /// SMCCC_ARCH_WORKAROUND_3.
    pub workaround_3: Workaround,
}

impl Exposures {
    /// What holds for two CPUs of a system: the worse of each.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            v2: self.v2.max(other.v2),
            bhb: self.bhb.max(other.bhb),
            v4: self.v4.max(other.v4),
        }
    }

    /// What guests are told.
    ///
    /// To one that is open to Spectre-v4 no firmware call is offered; where the CPU has PSTATE.SSBS,
    /// it protects itself with that.
    pub fn guest_workarounds(&self) -> GuestWorkarounds {
        fn answer(exposure: Exposure) -> Workaround {
            match exposure {
                Exposure::Unaffected => Workaround::NotRequired,
                Exposure::Mitigated => Workaround::Available,
                Exposure::Vulnerable => Workaround::NotAvailable,
            }
        }

        GuestWorkarounds {
            workaround_1: answer(self.v2),
            workaround_2: answer(self.v4),
            workaround_3: answer(self.bhb),
        }
    }
}
