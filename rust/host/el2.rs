// SPDX-License-Identifier: GPL-2.0

//! The system registers that the host writes for a guest, which no guest has.
//!
//! Source of the encodings: Arm ARM DDI 0487, the page of each register.

use kvm_core::sysreg::SysReg;

/// Monitor Debug System Control Register.
pub(crate) const MDSCR_EL1: SysReg = SysReg::of::<2, 0, 0, 2, 2>();
/// Virtualization Processor ID Register.
pub(crate) const VPIDR_EL2: SysReg = SysReg::of::<3, 4, 0, 0, 0>();
/// Virtualization Multiprocessor ID Register.
pub(crate) const VMPIDR_EL2: SysReg = SysReg::of::<3, 4, 0, 0, 5>();
/// Performance Monitors User Enable Register.
pub(crate) const PMUSERENR_EL0: SysReg = SysReg::of::<3, 3, 9, 14, 0>();
/// Hypervisor System Trap Register.
pub(crate) const HSTR_EL2: SysReg = SysReg::of::<3, 4, 1, 1, 3>();
/// Monitor Debug Configuration Register.
pub(crate) const MDCR_EL2: SysReg = SysReg::of::<3, 4, 1, 1, 1>();
/// Hypervisor Fine-Grained Read Trap Register.
pub(crate) const HFGRTR_EL2: SysReg = SysReg::of::<3, 4, 1, 1, 4>();
/// Hypervisor Fine-Grained Write Trap Register.
pub(crate) const HFGWTR_EL2: SysReg = SysReg::of::<3, 4, 1, 1, 5>();
/// Hypervisor Fine-Grained Instruction Trap Register.
pub(crate) const HFGITR_EL2: SysReg = SysReg::of::<3, 4, 1, 1, 6>();
/// Extended Hypervisor Configuration Register.
pub(crate) const HCRX_EL2: SysReg = SysReg::of::<3, 4, 1, 2, 2>();
/// Hypervisor Debug Fine-Grained Read Trap Register 2.
pub(crate) const HDFGRTR2_EL2: SysReg = SysReg::of::<3, 4, 3, 1, 0>();
/// Hypervisor Debug Fine-Grained Write Trap Register 2.
pub(crate) const HDFGWTR2_EL2: SysReg = SysReg::of::<3, 4, 3, 1, 1>();
/// Hypervisor Fine-Grained Read Trap Register 2.
pub(crate) const HFGRTR2_EL2: SysReg = SysReg::of::<3, 4, 3, 1, 2>();
/// Hypervisor Fine-Grained Write Trap Register 2.
pub(crate) const HFGWTR2_EL2: SysReg = SysReg::of::<3, 4, 3, 1, 3>();
/// Hypervisor Debug Fine-Grained Read Trap Register.
pub(crate) const HDFGRTR_EL2: SysReg = SysReg::of::<3, 4, 3, 1, 4>();
/// Hypervisor Debug Fine-Grained Write Trap Register.
pub(crate) const HDFGWTR_EL2: SysReg = SysReg::of::<3, 4, 3, 1, 5>();
/// Hypervisor Fine-Grained Instruction Trap Register 2.
pub(crate) const HFGITR2_EL2: SysReg = SysReg::of::<3, 4, 3, 1, 7>();
/// MPAM Hypervisor Control Register.
pub(crate) const MPAMHCR_EL2: SysReg = SysReg::of::<3, 4, 10, 4, 0>();
/// MPAM2 Register; what a VHE host writes as MPAM1_EL1.
pub(crate) const MPAM2_EL2: SysReg = SysReg::of::<3, 4, 10, 5, 0>();
/// MPAM ID Register.
pub(crate) const MPAMIDR_EL1: SysReg = SysReg::of::<3, 0, 10, 4, 4>();
/// Statistical Profiling Control Register of EL1.
pub(crate) const PMSCR_EL12: SysReg = SysReg::of::<3, 5, 9, 9, 0>();
/// Profiling Buffer ID Register.
pub(crate) const PMBIDR_EL1: SysReg = SysReg::of::<3, 0, 9, 10, 7>();
/// Virtual SError Exception Syndrome Register.
pub(crate) const VSESR_EL2: SysReg = SysReg::of::<3, 4, 5, 2, 3>();
/// Floating-point Mode Register.
pub(crate) const FPMR: SysReg = SysReg::of::<3, 3, 4, 4, 2>();
/// Permission Overlay Register 0.
pub(crate) const POR_EL0: SysReg = SysReg::of::<3, 3, 10, 2, 4>();
/// Vector Base Address Register, EL2, by its own name.
pub(crate) const VBAR_EL2: SysReg = SysReg::of::<3, 4, 12, 0, 0>();
/// Software Thread ID Register of EL2.
pub(crate) const TPIDR_EL2: SysReg = SysReg::of::<3, 4, 13, 0, 2>();
/// Interrupt Controller Hyp Control Register.
pub(crate) const ICH_HCR_EL2: SysReg = SysReg::of::<3, 4, 12, 11, 0>();
/// Counter-timer Virtual Offset register.
pub(crate) const CNTVOFF_EL2: SysReg = SysReg::of::<3, 4, 14, 0, 3>();
/// Counter-timer Hypervisor Control register.
pub(crate) const CNTHCTL_EL2: SysReg = SysReg::of::<3, 4, 14, 1, 0>();
/// The guest's CNTP_CTL_EL0.
pub(crate) const CNTP_CTL_EL02: SysReg = SysReg::of::<3, 5, 14, 2, 1>();
/// The guest's CNTV_CTL_EL0.
pub(crate) const CNTV_CTL_EL02: SysReg = SysReg::of::<3, 5, 14, 3, 1>();

/// Counter-timer Physical Offset register; FEAT_ECV_POFF.
pub(crate) const CNTPOFF_EL2: SysReg = SysReg::of::<3, 4, 14, 0, 6>();
/// Counter-timer Frequency register.
pub(crate) const CNTFRQ_EL0: SysReg = SysReg::of::<3, 3, 14, 0, 0>();

/// PMBIDR_EL1.P: a higher Exception level has the profiling buffer to itself.
pub(crate) const PMBIDR_P: u64 = 1 << 4;

/// ICC_SRE_EL2.Enable: EL1 may access ICC_SRE_EL1.
pub(crate) const ICC_SRE_ENABLE: u64 = 1 << 3;

/// MPAMIDR_EL1.HAS_HCR: MPAMHCR_EL2 exists.
pub(crate) const MPAMIDR_HAS_HCR: u64 = 1 << 17;

/// MPAMHCR_EL2.TRAP_MPAMIDR_EL1.
pub(crate) const MPAMHCR_TRAP_MPAMIDR: u64 = 1 << 31;

/// MPAM2_EL2.TIDR, TRAPMPAM0EL1 and TRAPMPAM1EL1: EL1's accesses to MPAMIDR_EL1 (from MPAM v1.1 on),
/// MPAM0_EL1 and MPAM1_EL1 trap.
pub(crate) const MPAM2_TRAPS: u64 = 1 << 58 | 1 << 49 | 1 << 48;

/// MPAM2_EL2.EnMPAMSM: EL1's accesses to MPAMSM_EL1 do *not* trap.
pub(crate) const MPAM2_EN_MPAMSM: u64 = 1 << 50;
