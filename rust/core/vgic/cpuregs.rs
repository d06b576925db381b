// SPDX-License-Identifier: GPL-2.0

//! The registers of a vCPU's CPU interface, as user space saves and restores them.
//!
//! The guest has them in ICH_VMCR_EL2 and ICH_AP*R<n>_EL2, which [`CpuInterface`] is; user space names
//! them as the guest does, ICC_*_EL1.
//!
//! Source: IHI 0069, the pages of the registers; Documentation/virt/kvm/devices/arm-vgic-v3.rst,
//! "KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS".

use crate::{
    bit_struct,
    bits::Bits,
    idreg::IchVtrEl2,
    sysreg::SysReg, //
};

bit_struct! {
    /// Virtual Machine Control Register: what a guest has set of its CPU interface.
    pub struct IchVmcr("ICH_VMCR_EL2") {
        /// ICC_IGRPEN0_EL1.Enable.
        veng0 / with_veng0: flag 0,
        /// ICC_IGRPEN1_EL1.Enable.
        veng1 / with_veng1: flag 1,
        /// FIQs are signalled for group 0; always one where ICC_SRE_EL1.SRE is.
        vfiqen / with_vfiqen: flag 3,
        /// ICC_CTLR_EL1.CBPR.
        vcbpr / with_vcbpr: flag 4,
        /// ICC_CTLR_EL1.EOImode.
        veoim / with_veoim: flag 9,
        /// ICC_BPR1_EL1.BinaryPoint.
        vbpr1 / with_vbpr1: bits 18..=20,
        /// ICC_BPR0_EL1.BinaryPoint.
        vbpr0 / with_vbpr0: bits 21..=23,
        /// ICC_PMR_EL1.Priority.
        vpmr / with_vpmr: bits 24..=31,
    }
}

bit_struct! {
    /// Interrupt Controller Control Register of EL1.
    pub struct IccCtlr("ICC_CTLR_EL1") {
        /// Group 1 has the binary point of group 0.
        cbpr / with_cbpr: flag 0,
        /// Ending an interrupt does not deactivate it.
        eoimode / with_eoimode: flag 1,
        /// One less than the number of bits of a priority.
        pribits / with_pribits: bits 8..=10,
        /// The size of INTIDs: 16 bits for 0, 24 for 1.
        idbits / with_idbits: bits 11..=13,
        /// SEIs can be generated.
        seis / with_seis: flag 14,
        /// Aff3 can be other than zero in SGIs.
        a3v / with_a3v: flag 15,
    }
}

/// ICC_SRE_EL1: system registers are in use (SRE), and cannot be bypassed (DFB, DIB).
const ICC_SRE: u64 = 0b111;

/// ICC_SRE_EL1.SRE.
const SRE: u64 = 1 << 0;

/// A register of the CPU interface.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CpuReg {
    /// ICC_PMR_EL1.
    Pmr,
    /// ICC_BPR0_EL1.
    Bpr0,
    /// ICC_BPR1_EL1.
    Bpr1,
    /// ICC_AP0R<n>_EL1.
    Ap0r(Bits<2>),
    /// ICC_AP1R<n>_EL1.
    Ap1r(Bits<2>),
    /// ICC_CTLR_EL1.
    Ctlr,
    /// ICC_SRE_EL1.
    Sre,
    /// ICC_IGRPEN0_EL1.
    Igrpen0,
    /// ICC_IGRPEN1_EL1.
    Igrpen1,
}

impl CpuReg {
    /// Returns the register with this encoding, or [`None`], which is ENXIO.
    pub fn new(reg: SysReg) -> Option<Self> {
        const FIRST_AP0R: u16 = SysReg::of::<3, 0, 12, 8, 4>().into_raw();
        const LAST_AP0R: u16 = FIRST_AP0R + 3;
        const FIRST_AP1R: u16 = SysReg::of::<3, 0, 12, 9, 0>().into_raw();
        const LAST_AP1R: u16 = FIRST_AP1R + 3;
        const PMR: u16 = SysReg::of::<3, 0, 4, 6, 0>().into_raw();
        const BPR0: u16 = SysReg::of::<3, 0, 12, 8, 3>().into_raw();
        const BPR1: u16 = SysReg::of::<3, 0, 12, 12, 3>().into_raw();
        const CTLR: u16 = SysReg::of::<3, 0, 12, 12, 4>().into_raw();
        const SRE: u16 = SysReg::of::<3, 0, 12, 12, 5>().into_raw();
        const IGRPEN0: u16 = SysReg::of::<3, 0, 12, 12, 6>().into_raw();
        const IGRPEN1: u16 = SysReg::of::<3, 0, 12, 12, 7>().into_raw();

        Some(match reg.into_raw() {
            PMR => Self::Pmr,
            BPR0 => Self::Bpr0,
            BPR1 => Self::Bpr1,
            CTLR => Self::Ctlr,
            SRE => Self::Sre,
            IGRPEN0 => Self::Igrpen0,
            IGRPEN1 => Self::Igrpen1,
            raw @ FIRST_AP0R..=LAST_AP0R => Self::Ap0r(Bits::truncated((raw - FIRST_AP0R).into())),
            raw @ FIRST_AP1R..=LAST_AP1R => Self::Ap1r(Bits::truncated((raw - FIRST_AP1R).into())),
            _ => return None,
        })
    }
}

/// The value cannot be, or the register is one that priorities of this size have not; EINVAL.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BadValue;

/// What user space said of the CPU interface by ICC_CTLR_EL1, which a guest only reads: not more than
/// the host's has.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// ICC_CTLR_EL1.PRIbits.
    pribits: Bits<3>,
    /// ICC_CTLR_EL1.IDbits.
    idbits: Bits<3>,
}

impl Sizes {
    /// Those of a host.
    pub const fn of(vtr: IchVtrEl2) -> Self {
        Self {
            pribits: vtr.pribits(),
            idbits: vtr.idbits(),
        }
    }

    /// Returns the number of registers ICC_AP0R<n>_EL1, each of which has 32 levels of priority.
    pub const fn active_priorities(self) -> usize {
        match self.pribits.get() {
            6.. => 4,
            5 => 2,
            _ => 1,
        }
    }
}

/// A vCPU's CPU interface, while the vCPU is not loaded.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CpuInterface {
    /// ICH_VMCR_EL2.
    pub vmcr: IchVmcr,
    /// ICH_AP0R<n>_EL2.
    pub ap0r: [u32; 4],
    /// ICH_AP1R<n>_EL2.
    pub ap1r: [u32; 4],
    /// What user space said.
    pub sizes: Sizes,
}

impl CpuInterface {
    /// Returns that of a vCPU that was reset, on a host with this ICH_VTR_EL2.
    pub const fn reset(vtr: IchVtrEl2) -> Self {
        Self {
            vmcr: IchVmcr::from_raw(0).with_vfiqen(true),
            ap0r: [0; 4],
            ap1r: [0; 4],
            sizes: Sizes::of(vtr),
        }
    }

    /// Returns the index of a register of active priorities, if there is one of this number.
    fn index(&self, n: Bits<2>) -> Result<usize, BadValue> {
        let n = usize::from(u8::from(n));
        if n < self.sizes.active_priorities() {
            Ok(n)
        } else {
            Err(BadValue)
        }
    }

    /// Returns a register, on a host with this ICH_VTR_EL2.
    ///
    /// # Errors
    ///
    /// [`BadValue`] if there is no register of active priorities of this number.
    pub fn get(&self, reg: CpuReg, vtr: IchVtrEl2) -> Result<u64, BadValue> {
        let vmcr = self.vmcr;

        Ok(match reg {
            CpuReg::Pmr => vmcr.vpmr().get(),
            CpuReg::Bpr0 => vmcr.vbpr0().get(),
            CpuReg::Bpr1 if vmcr.vcbpr() => (vmcr.vbpr0().get() + 1).min(7),
            CpuReg::Bpr1 => vmcr.vbpr1().get(),
            CpuReg::Ap0r(n) => self.ap0r[self.index(n)?].into(),
            CpuReg::Ap1r(n) => self.ap1r[self.index(n)?].into(),
            CpuReg::Ctlr => IccCtlr::from_raw(0)
                .with_cbpr(vmcr.vcbpr())
                .with_eoimode(vmcr.veoim())
                .with_pribits(self.sizes.pribits)
                .with_idbits(self.sizes.idbits)
                .with_seis(vtr.seis())
                .with_a3v(vtr.a3v())
                .into_raw(),
            CpuReg::Sre => ICC_SRE,
            CpuReg::Igrpen0 => vmcr.veng0().into(),
            CpuReg::Igrpen1 => vmcr.veng1().into(),
        })
    }

    /// Sets a register, on a host with this ICH_VTR_EL2. Bits that do not exist are dropped.
    ///
    /// # Errors
    ///
    /// [`BadValue`], and nothing changes: there is no register of active priorities of this number,
    /// ICC_CTLR_EL1 says what the host has not, or ICC_SRE_EL1.SRE is zero.
    pub fn set(&mut self, reg: CpuReg, value: u64, vtr: IchVtrEl2) -> Result<(), BadValue> {
        let vmcr = self.vmcr;

        self.vmcr = match reg {
            CpuReg::Pmr => vmcr.with_vpmr(Bits::truncated(value)),
            CpuReg::Bpr0 => vmcr.with_vbpr0(Bits::truncated(value)),
            CpuReg::Bpr1 if vmcr.vcbpr() => vmcr,
            CpuReg::Bpr1 => vmcr.with_vbpr1(Bits::truncated(value)),
            CpuReg::Ap0r(n) => {
                self.ap0r[self.index(n)?] = value as u32;
                vmcr
            }
            CpuReg::Ap1r(n) => {
                self.ap1r[self.index(n)?] = value as u32;
                vmcr
            }
            CpuReg::Ctlr => {
                let ctlr = IccCtlr::from_raw(value);
                if ctlr.pribits() > self.sizes.pribits
                    || ctlr.idbits() > self.sizes.idbits
                    || ctlr.seis() != vtr.seis()
                    || ctlr.a3v() != vtr.a3v()
                {
                    return Err(BadValue);
                }
                self.sizes = Sizes {
                    pribits: ctlr.pribits(),
                    idbits: ctlr.idbits(),
                };
                vmcr.with_vcbpr(ctlr.cbpr()).with_veoim(ctlr.eoimode())
            }
            CpuReg::Sre if value & SRE == 0 => return Err(BadValue),
            CpuReg::Sre => vmcr,
            CpuReg::Igrpen0 => vmcr.with_veng0(value & 1 != 0),
            CpuReg::Igrpen1 => vmcr.with_veng1(value & 1 != 0),
        };
        Ok(())
    }
}
