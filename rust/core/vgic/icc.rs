// SPDX-License-Identifier: GPL-2.0

//! A guest's accesses to its CPU interface that trap.
//!
//! With HCR_EL2.IMO and FMO set the CPU carries out most of them itself, on ICH_VMCR_EL2,
//! ICH_AP*R\<n\>_EL2 and the list registers. What generates SGIs always traps; ICC_SRE_EL1 does by
//! ICC_SRE_EL2.Enable, and ICC_DIR_EL1 by ICH_HCR_EL2.TDIR. A CPU without that has ICH_HCR_EL2.TC
//! only, which takes ICC_CTLR_EL1, ICC_PMR_EL1 and ICC_RPR_EL1 with it.
//!
//! Source: IHI 0069, the pages of the registers and of ICH_HCR_EL2.

use super::{
    cpuregs::{
        CpuInterface,
        CpuReg, //
    },
    sgi::SgiRegister, //
};
use crate::{
    idreg::IchVtrEl2,
    sysreg::SysReg, //
};

/// A register of the CPU interface that traps.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Trapped {
    /// ICC_SGI0R_EL1, ICC_SGI1R_EL1 or ICC_ASGI1R_EL1; write-only.
    Sgi(SgiRegister),
    /// ICC_DIR_EL1; write-only.
    Dir,
    /// ICC_RPR_EL1; read-only.
    Rpr,
    /// ICC_PMR_EL1, ICC_CTLR_EL1 or ICC_SRE_EL1.
    Shared(CpuReg),
}

impl Trapped {
    /// Returns the register with this encoding.
    #[inline]
    pub const fn new(reg: SysReg) -> Option<Self> {
        const SGI1R: u16 = SysReg::of::<3, 0, 12, 11, 5>().into_raw();
        const ASGI1R: u16 = SysReg::of::<3, 0, 12, 11, 6>().into_raw();
        const SGI0R: u16 = SysReg::of::<3, 0, 12, 11, 7>().into_raw();
        const DIR: u16 = SysReg::of::<3, 0, 12, 11, 1>().into_raw();
        const RPR: u16 = SysReg::of::<3, 0, 12, 11, 3>().into_raw();
        const PMR: u16 = SysReg::of::<3, 0, 4, 6, 0>().into_raw();
        const CTLR: u16 = SysReg::of::<3, 0, 12, 12, 4>().into_raw();
        const SRE: u16 = SysReg::of::<3, 0, 12, 12, 5>().into_raw();

        Some(match reg.into_raw() {
            SGI1R => Self::Sgi(SgiRegister::Group1),
            ASGI1R | SGI0R => Self::Sgi(SgiRegister::Group0),
            DIR => Self::Dir,
            RPR => Self::Rpr,
            PMR => Self::Shared(CpuReg::Pmr),
            CTLR => Self::Shared(CpuReg::Ctlr),
            SRE => Self::Shared(CpuReg::Sre),
            _ => return None,
        })
    }

    /// Whether the guest can access it so.
    #[inline]
    pub const fn allows(self, read: bool) -> bool {
        match self {
            Self::Sgi(_) | Self::Dir => !read,
            Self::Rpr => read,
            Self::Shared(_) => true,
        }
    }
}

impl CpuInterface {
    /// Returns ICC_RPR_EL1: the highest of the active priorities, or 0xff if none is, on a host with
    /// this ICH_VTR_EL2.
    pub fn running_priority(&self, vtr: IchVtrEl2) -> u8 {
        let words = self.ap0r.iter().zip(&self.ap1r);

        // Bit n of them all is the level n of preemption, of which the priority has the upper bits.
        for (n, (group0, group1)) in words.enumerate() {
            let active = group0 | group1;
            if active != 0 {
                let level = n as u32 * u32::BITS + active.trailing_zeros();
                return (level << (u8::BITS - u32::from(vtr.preemption_bits()))) as u8;
            }
        }
        u8::MAX
    }

    /// The guest writes a register. What it only reads of ICC_CTLR_EL1 stays as it is.
    pub fn guest_write(&mut self, reg: CpuReg, value: u64, vtr: IchVtrEl2) {
        /// ICC_CTLR_EL1.CBPR and EOImode.
        const WRITABLE: u64 = 0b11;

        let value = match (reg, self.get(reg, vtr)) {
            (CpuReg::Ctlr, Ok(old)) => (old & !WRITABLE) | (value & WRITABLE),
            (CpuReg::Sre, Ok(old)) => old,
            _ => value,
        };
        // What a guest has no register for changes nothing.
        let _ = self.set(reg, value, vtr);
    }
}
