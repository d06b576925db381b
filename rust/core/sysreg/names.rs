// SPDX-License-Identifier: GPL-2.0

//! The registers and instructions that this crate names.
//!
//! Source of the encodings: Arm ARM DDI 0487, the page of each register or instruction.

use crate::sysreg::encoding::SysReg;

/// Declares the constants and the list of them.
macro_rules! names {
    ($(
        $(#[$meta:meta])*
        $name:ident =
            ($op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal);
    )*) => {
        impl SysReg {
            $($(#[$meta])* pub const $name: Self = Self::of::<$op0, $op1, $crn, $crm, $op2>();)*

            /// The registers and instructions that have a constant, with their names.
            pub const NAMED: &'static [(&'static str, Self)] = &[
                $((stringify!($name), Self::$name)),*
            ];
        }
    };
}

names! {
    /// Data cache line invalidate by set/way.
    DC_ISW = (1, 0, 7, 6, 2);
    /// Data cache line clean by set/way.
    DC_CSW = (1, 0, 7, 10, 2);
    /// Data cache line clean and invalidate by set/way.
    DC_CISW = (1, 0, 7, 14, 2);

    /// Monitor Debug System Control Register.
    MDSCR_EL1 = (2, 0, 0, 2, 2);

    /// Main ID Register.
    MIDR_EL1 = (3, 0, 0, 0, 0);
    /// Multiprocessor Affinity Register.
    MPIDR_EL1 = (3, 0, 0, 0, 5);
    /// Revision ID Register.
    REVIDR_EL1 = (3, 0, 0, 0, 6);

    /// AArch32 Processor Feature Register 0.
    ID_PFR0_EL1 = (3, 0, 0, 1, 0);
    /// AArch32 Processor Feature Register 1.
    ID_PFR1_EL1 = (3, 0, 0, 1, 1);
    /// AArch32 Debug Feature Register 0.
    ID_DFR0_EL1 = (3, 0, 0, 1, 2);
    /// AArch32 Auxiliary Feature Register 0.
    ID_AFR0_EL1 = (3, 0, 0, 1, 3);
    /// AArch32 Memory Model Feature Register 0.
    ID_MMFR0_EL1 = (3, 0, 0, 1, 4);
    /// AArch32 Memory Model Feature Register 1.
    ID_MMFR1_EL1 = (3, 0, 0, 1, 5);
    /// AArch32 Memory Model Feature Register 2.
    ID_MMFR2_EL1 = (3, 0, 0, 1, 6);
    /// AArch32 Memory Model Feature Register 3.
    ID_MMFR3_EL1 = (3, 0, 0, 1, 7);
    /// AArch32 Instruction Set Attribute Register 0.
    ID_ISAR0_EL1 = (3, 0, 0, 2, 0);
    /// AArch32 Instruction Set Attribute Register 1.
    ID_ISAR1_EL1 = (3, 0, 0, 2, 1);
    /// AArch32 Instruction Set Attribute Register 2.
    ID_ISAR2_EL1 = (3, 0, 0, 2, 2);
    /// AArch32 Instruction Set Attribute Register 3.
    ID_ISAR3_EL1 = (3, 0, 0, 2, 3);
    /// AArch32 Instruction Set Attribute Register 4.
    ID_ISAR4_EL1 = (3, 0, 0, 2, 4);
    /// AArch32 Instruction Set Attribute Register 5.
    ID_ISAR5_EL1 = (3, 0, 0, 2, 5);
    /// AArch32 Memory Model Feature Register 4.
    ID_MMFR4_EL1 = (3, 0, 0, 2, 6);
    /// AArch32 Instruction Set Attribute Register 6.
    ID_ISAR6_EL1 = (3, 0, 0, 2, 7);
    /// AArch32 Media and VFP Feature Register 0.
    MVFR0_EL1 = (3, 0, 0, 3, 0);
    /// AArch32 Media and VFP Feature Register 1.
    MVFR1_EL1 = (3, 0, 0, 3, 1);
    /// AArch32 Media and VFP Feature Register 2.
    MVFR2_EL1 = (3, 0, 0, 3, 2);
    /// AArch32 Processor Feature Register 2.
    ID_PFR2_EL1 = (3, 0, 0, 3, 4);
    /// AArch32 Debug Feature Register 1.
    ID_DFR1_EL1 = (3, 0, 0, 3, 5);
    /// AArch32 Memory Model Feature Register 5.
    ID_MMFR5_EL1 = (3, 0, 0, 3, 6);

    /// AArch64 Processor Feature Register 0.
    ID_AA64PFR0_EL1 = (3, 0, 0, 4, 0);
    /// AArch64 Processor Feature Register 1.
    ID_AA64PFR1_EL1 = (3, 0, 0, 4, 1);
    /// AArch64 Processor Feature Register 2.
    ID_AA64PFR2_EL1 = (3, 0, 0, 4, 2);
    /// SVE Feature ID Register 0.
    ID_AA64ZFR0_EL1 = (3, 0, 0, 4, 4);
    /// SME Feature ID Register 0.
    ID_AA64SMFR0_EL1 = (3, 0, 0, 4, 5);
    /// AArch64 Floating-point Feature Register 0.
    ID_AA64FPFR0_EL1 = (3, 0, 0, 4, 7);
    /// AArch64 Debug Feature Register 0.
    ID_AA64DFR0_EL1 = (3, 0, 0, 5, 0);
    /// AArch64 Debug Feature Register 1.
    ID_AA64DFR1_EL1 = (3, 0, 0, 5, 1);
    /// AArch64 Instruction Set Attribute Register 0.
    ID_AA64ISAR0_EL1 = (3, 0, 0, 6, 0);
    /// AArch64 Instruction Set Attribute Register 1.
    ID_AA64ISAR1_EL1 = (3, 0, 0, 6, 1);
    /// AArch64 Instruction Set Attribute Register 2.
    ID_AA64ISAR2_EL1 = (3, 0, 0, 6, 2);
    /// AArch64 Instruction Set Attribute Register 3.
    ID_AA64ISAR3_EL1 = (3, 0, 0, 6, 3);
    /// AArch64 Memory Model Feature Register 0.
    ID_AA64MMFR0_EL1 = (3, 0, 0, 7, 0);
    /// AArch64 Memory Model Feature Register 1.
    ID_AA64MMFR1_EL1 = (3, 0, 0, 7, 1);
    /// AArch64 Memory Model Feature Register 2.
    ID_AA64MMFR2_EL1 = (3, 0, 0, 7, 2);
    /// AArch64 Memory Model Feature Register 3.
    ID_AA64MMFR3_EL1 = (3, 0, 0, 7, 3);
    /// AArch64 Memory Model Feature Register 4.
    ID_AA64MMFR4_EL1 = (3, 0, 0, 7, 4);

    /// Current Cache Size ID Register.
    CCSIDR_EL1 = (3, 1, 0, 0, 0);
    /// System Control Register, EL1.
    SCTLR_EL1 = (3, 0, 1, 0, 0);
    /// Extended System Control Register, EL1.
    SCTLR2_EL1 = (3, 0, 1, 0, 3);
    /// Translation Table Base Register 0, EL1.
    TTBR0_EL1 = (3, 0, 2, 0, 0);
    /// Translation Table Base Register 1, EL1.
    TTBR1_EL1 = (3, 0, 2, 0, 1);
    /// Translation Control Register, EL1.
    TCR_EL1 = (3, 0, 2, 0, 2);
    /// Saved Program Status Register, EL1.
    SPSR_EL1 = (3, 0, 4, 0, 0);
    /// Exception Link Register, EL1.
    ELR_EL1 = (3, 0, 4, 0, 1);
    /// Exception Syndrome Register, EL1.
    ESR_EL1 = (3, 0, 5, 2, 0);
    /// Fault Address Register, EL1.
    FAR_EL1 = (3, 0, 6, 0, 0);
    /// Vector Base Address Register, EL1.
    VBAR_EL1 = (3, 0, 12, 0, 0);

    /// Cache Level ID Register.
    CLIDR_EL1 = (3, 1, 0, 0, 1);
    /// Current Cache Size ID Register 2.
    CCSIDR2_EL1 = (3, 1, 0, 0, 2);
    /// Multiple tag transfer ID register.
    GMID_EL1 = (3, 1, 0, 0, 4);
    /// Streaming Mode Identification Register.
    SMIDR_EL1 = (3, 1, 0, 0, 6);
    /// Auxiliary ID Register.
    AIDR_EL1 = (3, 1, 0, 0, 7);
    /// Cache Size Selection Register.
    CSSELR_EL1 = (3, 2, 0, 0, 0);
    /// Cache Type Register.
    CTR_EL0 = (3, 3, 0, 0, 1);
    /// Data Cache Zero ID Register.
    DCZID_EL0 = (3, 3, 0, 0, 7);

    /// Hypervisor Configuration Register.
    HCR_EL2 = (3, 4, 1, 1, 0);
    /// Virtualization Translation Table Base Register.
    VTTBR_EL2 = (3, 4, 2, 1, 0);
    /// Virtualization Translation Control Register.
    VTCR_EL2 = (3, 4, 2, 1, 2);
    /// Interrupt Controller System Register Enable register, EL2.
    ICC_SRE_EL2 = (3, 4, 12, 9, 5);
    /// Interrupt Controller VGIC Type Register.
    ICH_VTR_EL2 = (3, 4, 12, 11, 1);
}

impl SysReg {
    /// Returns the architecture's name, or [`None`] if this crate has no constant for it.
    pub fn name(self) -> Option<&'static str> {
        let (name, _) = Self::NAMED.iter().find(|(_, reg)| *reg == self)?;
        Some(name)
    }
}
