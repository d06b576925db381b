// SPDX-License-Identifier: GPL-2.0

//! The identifiers of KVM_GET_ONE_REG and KVM_SET_ONE_REG.
//!
//! Source: api.rst, "4.68 KVM_SET_ONE_REG"; `struct kvm_regs` in arch/arm64's `uapi/asm/kvm.h`.

use crate::{
    register::{
        Reg,
        User, //
    },
    sysreg::SysReg,
};

/// The size of a register's value in memory.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Size {
    /// 4 bytes.
    U32,
    /// 8 bytes.
    U64,
    /// 16 bytes.
    U128,
}

impl Size {
    /// Returns the size in bytes.
    #[inline]
    pub const fn bytes(self) -> usize {
        match self {
            Self::U32 => 4,
            Self::U64 => 8,
            Self::U128 => 16,
        }
    }

    /// Returns the size field of an identifier, in place.
    const fn field(self) -> u64 {
        match self {
            Self::U32 => 2 << SIZE_SHIFT,
            Self::U64 => 3 << SIZE_SHIFT,
            Self::U128 => 4 << SIZE_SHIFT,
        }
    }
}

/// KVM_REG_ARM64.
const ARM64: u64 = 0x6000_0000_0000_0000;
/// KVM_REG_SIZE_SHIFT.
const SIZE_SHIFT: u32 = 52;
/// KVM_REG_ARM_CORE.
const CORE: u64 = 0x10 << 16;
/// KVM_REG_ARM_COPROC_MASK: the group.
const GROUP_MASK: u64 = 0x0fff_0000;

/// The offsets of `struct kvm_regs` in units of 4 bytes, as the identifiers have them.
mod offset {
    pub(super) const SP: u64 = 62;
    pub(super) const PC: u64 = 64;
    pub(super) const PSTATE: u64 = 66;
    pub(super) const SP_EL1: u64 = 68;
    pub(super) const ELR_EL1: u64 = 70;
    pub(super) const SPSR: u64 = 72;
    pub(super) const VREGS: u64 = 84;
    pub(super) const FPSR: u64 = 212;
    pub(super) const FPCR: u64 = 213;
}

/// A register of the core group.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CoreReg {
    /// X0 to X30, by their number.
    Gpr(u8),
    /// PC.
    Pc,
    /// PSTATE.
    Pstate,
    /// SP_EL0, SP_EL1, ELR_EL1, SPSR_EL1 and AArch32's four SPSRs: registers of the table.
    Sysreg(Reg),
    /// V0 to V31, by their number.
    Vreg(u8),
    /// FPSR.
    Fpsr,
    /// FPCR.
    Fpcr,
}

/// KVM_SPSR_EL1 to KVM_SPSR_FIQ.
const SPSR: [Reg; 5] = [
    Reg::SPSR_EL1,
    Reg::SPSR_abt,
    Reg::SPSR_und,
    Reg::SPSR_irq,
    Reg::SPSR_fiq,
];

impl CoreReg {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let first = (0..31).map(Self::Gpr);
        let middle = [
            Self::Sysreg(Reg::SP_EL0),
            Self::Pc,
            Self::Pstate,
            Self::Sysreg(Reg::SP_EL1),
            Self::Sysreg(Reg::ELR_EL1),
        ];
        first
            .chain(middle)
            .chain(SPSR.into_iter().map(Self::Sysreg))
            .chain((0..32).map(Self::Vreg))
            .chain([Self::Fpsr, Self::Fpcr])
    }

    /// Returns the size of the value.
    pub const fn size(self) -> Size {
        match self {
            Self::Vreg(_) => Size::U128,
            Self::Fpsr | Self::Fpcr => Size::U32,
            _ => Size::U64,
        }
    }

    /// Returns the identifier.
    pub fn id(self) -> u64 {
        let offset = match self {
            Self::Gpr(n) => 2 * u64::from(n),
            Self::Pc => offset::PC,
            Self::Pstate => offset::PSTATE,
            Self::Sysreg(Reg::SP_EL0) => offset::SP,
            Self::Sysreg(Reg::SP_EL1) => offset::SP_EL1,
            Self::Sysreg(Reg::ELR_EL1) => offset::ELR_EL1,
            Self::Sysreg(reg) => {
                let n = SPSR.iter().position(|spsr| *spsr == reg).unwrap_or(0);
                offset::SPSR + 2 * n as u64
            }
            Self::Vreg(n) => offset::VREGS + 4 * u64::from(n),
            Self::Fpsr => offset::FPSR,
            Self::Fpcr => offset::FPCR,
        };
        ARM64 | self.size().field() | CORE | offset
    }

    /// Returns the register of an identifier of the group.
    ///
    /// # Errors
    ///
    /// [`BadId::Unknown`] if no register begins at the offset, [`BadId::Size`] if one does that has
    /// another size.
    fn from_id(id: u64) -> Result<Self, BadId> {
        use self::offset::*;

        let at = id & 0xffff;
        let reg = match at {
            0..SP if at % 2 == 0 => Self::Gpr((at / 2) as u8),
            SP => Self::Sysreg(Reg::SP_EL0),
            PC => Self::Pc,
            PSTATE => Self::Pstate,
            SP_EL1 => Self::Sysreg(Reg::SP_EL1),
            ELR_EL1 => Self::Sysreg(Reg::ELR_EL1),
            SPSR..82 if at % 2 == 0 => {
                let n = ((at - SPSR) / 2) as usize;
                Self::Sysreg(self::SPSR[n])
            }
            VREGS..FPSR if (at - VREGS) % 4 == 0 => Self::Vreg(((at - VREGS) / 4) as u8),
            FPSR => Self::Fpsr,
            FPCR => Self::Fpcr,
            _ => return Err(BadId::Unknown),
        };
        if id == reg.id() {
            Ok(reg)
        } else {
            Err(BadId::Size)
        }
    }
}

/// What an identifier names.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum OneReg {
    /// A register of the core group.
    Core(CoreReg),
    /// A system register of the table.
    Sysreg(Reg),
    /// Another group's: cache geometry, firmware, SVE.
    Other(u64),
}

/// Why an identifier names nothing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadId {
    /// There is no such register; ENOENT.
    Unknown,
    /// There is one with another size; EINVAL.
    Size,
}

impl OneReg {
    /// Returns what `id` names.
    ///
    /// # Errors
    ///
    /// See [`BadId`].
    pub fn from_id(id: u64) -> Result<Self, BadId> {
        if id >> 56 << 56 != ARM64 {
            return Err(BadId::Unknown);
        }
        if id & GROUP_MASK == CORE {
            return CoreReg::from_id(id).map(Self::Core);
        }
        match SysReg::from_one_reg(id) {
            Some(encoding) => match Reg::from_sysreg(encoding) {
                Some(reg) if !matches!(reg.row().user, User::None | User::Core) => {
                    Ok(Self::Sysreg(reg))
                }
                _ => Err(BadId::Unknown),
            },
            None => Ok(Self::Other(id)),
        }
    }
}
