// SPDX-License-Identifier: GPL-2.0

//! The encoding of a system register or system instruction, and the forms it takes.

use core::{
    fmt,
    str::FromStr, //
};

/// The encoding Op0, Op1, CRn, CRm, Op2 of a system register or system instruction.
///
/// Packed in 16 bits, in the order in which KVM_GET_ONE_REG's ids have them, so that the order of
/// values is the order of the architecture's tables: by Op0 first and Op2 last. Every 16-bit number
/// is an encoding; whether a register lives there is another question.
///
/// # Examples
///
/// ```
/// use kvm_core::sysreg::SysReg;
///
/// let sctlr: SysReg = "S3_0_C1_C0_0".parse().unwrap();
/// assert_eq!(sctlr, SysReg::of::<3, 0, 1, 0, 0>());
/// assert_eq!(sctlr.to_one_reg(), 0x6030_0000_0013_c080);
/// ```
///
/// An operand that does not fit does not compile:
///
/// ```compile_fail,E0080
/// use kvm_core::sysreg::SysReg;
///
/// const BAD: SysReg = SysReg::of::<3, 8, 0, 0, 0>();
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct SysReg(u16);

/// KVM_REG_ARM64, KVM_REG_SIZE_U64 and KVM_REG_ARM64_SYSREG: all of an id but the encoding.
const ONE_REG_SYSREG: u64 = 0x6030_0000_0013_0000;

impl SysReg {
    /// Returns the encoding with these operands, or [`None`] if one is out of range: `op0` 0 to 3,
    /// `op1` and `op2` 0 to 7, `crn` and `crm` 0 to 15.
    #[inline]
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Option<Self> {
        if op0 > 3 || op1 > 7 || crn > 15 || crm > 15 || op2 > 7 {
            return None;
        }
        Some(Self(
            ((op0 as u16) << 14)
                | ((op1 as u16) << 11)
                | ((crn as u16) << 7)
                | ((crm as u16) << 3)
                | op2 as u16,
        ))
    }

    /// Returns the encoding with constant operands; one out of range fails to compile.
    #[inline]
    pub const fn of<const OP0: u8, const OP1: u8, const CRN: u8, const CRM: u8, const OP2: u8>(
    ) -> Self {
        const {
            match Self::new(OP0, OP1, CRN, CRM, OP2) {
                Some(reg) => reg,
                None => panic!("an operand is out of range"),
            }
        }
    }

    /// Returns the encoding packed as `raw`; see [`SysReg`] for the order.
    #[inline]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    /// Returns the packed encoding.
    #[inline]
    pub const fn into_raw(self) -> u16 {
        self.0
    }

    /// Returns Op0: 1 for system instructions, 2 for debug registers, 3 for the other registers.
    #[inline]
    pub const fn op0(self) -> u8 {
        (self.0 >> 14) as u8
    }

    /// Returns Op1, 0 to 7.
    #[inline]
    pub const fn op1(self) -> u8 {
        ((self.0 >> 11) & 7) as u8
    }

    /// Returns CRn, 0 to 15.
    #[inline]
    pub const fn crn(self) -> u8 {
        ((self.0 >> 7) & 15) as u8
    }

    /// Returns CRm, 0 to 15.
    #[inline]
    pub const fn crm(self) -> u8 {
        ((self.0 >> 3) & 15) as u8
    }

    /// Returns Op2, 0 to 7.
    #[inline]
    pub const fn op2(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// Returns the register's KVM_GET_ONE_REG id, its size being 64 bits.
    ///
    /// The ids of CNTV_CVAL_EL0 and CNTVCT_EL0 are each other's encoding: an old mistake that is
    /// ABI, see the warning under "4.68 KVM_SET_ONE_REG" in api.rst.
    #[inline]
    pub const fn to_one_reg(self) -> u64 {
        ONE_REG_SYSREG | self.swap_timer_ids().0 as u64
    }

    /// Returns the register that a KVM_GET_ONE_REG id names, or [`None`] if the id is not that of
    /// a 64-bit arm64 system register (another architecture, size or group, or a stray bit).
    ///
    /// The inverse of [`SysReg::to_one_reg`], its exception included.
    #[inline]
    pub const fn from_one_reg(id: u64) -> Option<Self> {
        if id & !0xffff == ONE_REG_SYSREG {
            Some(Self(id as u16).swap_timer_ids())
        } else {
            None
        }
    }

    /// Exchanges CNTV_CVAL_EL0 and CNTVCT_EL0.
    const fn swap_timer_ids(self) -> Self {
        const CNTV_CVAL_EL0: SysReg = SysReg::of::<3, 3, 14, 3, 2>();
        const CNTVCT_EL0: SysReg = SysReg::of::<3, 3, 14, 0, 2>();

        if self.0 == CNTV_CVAL_EL0.0 {
            CNTVCT_EL0
        } else if self.0 == CNTVCT_EL0.0 {
            CNTV_CVAL_EL0
        } else {
            self
        }
    }

    /// Returns the encoding's part of ESR_ELx.ISS for EC 0x18; Rt and the direction are clear.
    ///
    /// Source: Arm ARM, ESR_EL2, "ISS encoding for an exception from MSR, MRS, or System
    /// instruction execution in AArch64 state".
    #[inline]
    pub const fn to_iss(self) -> u64 {
        ((self.op0() as u64) << 20)
            | ((self.op2() as u64) << 17)
            | ((self.op1() as u64) << 14)
            | ((self.crn() as u64) << 10)
            | ((self.crm() as u64) << 1)
    }

    /// Returns the encoding in an ESR_ELx.ISS for EC 0x18; bits of other fields are ignored.
    #[inline]
    pub const fn from_iss(iss: u64) -> Self {
        Self(
            ((((iss >> 20) & 3) << 14)
                | (((iss >> 14) & 7) << 11)
                | (((iss >> 10) & 15) << 7)
                | (((iss >> 1) & 15) << 3)
                | ((iss >> 17) & 7)) as u16,
        )
    }

    /// Whether this is in the feature ID space: Op0 3, Op1 0, CRn 0, CRm 1 to 7, with any Op2.
    ///
    /// The architecture keeps these encodings for feature ID registers: one that is not allocated
    /// reads as zero. It is the part of KVM_ARM_GET_REG_WRITABLE_MASKS's range (api.rst) that
    /// leaves out MIDR_EL1, MPIDR_EL1 and REVIDR_EL1 at CRm 0 and the registers of Op1 1 and 3.
    #[inline]
    pub const fn is_feature_id(self) -> bool {
        self.op0() == 3 && self.op1() == 0 && self.crn() == 0 && self.crm() >= 1 && self.crm() <= 7
    }
}

/// Prints the architecture's generic name, as in `S3_0_C1_C0_0`.
impl fmt::Display for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "S{}_{}_C{}_C{}_{}",
            self.op0(),
            self.op1(),
            self.crn(),
            self.crm(),
            self.op2()
        )
    }
}

impl fmt::Debug for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a generic register name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ParseSysRegError;

impl fmt::Display for ParseSysRegError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a register name has the form S<op0>_<op1>_C<n>_C<m>_<op2>")
    }
}

/// Parses the form that `Display` prints; letters may be of either case, as in the architecture's
/// assembler syntax, and numbers have no superfluous zeros.
impl FromStr for SysReg {
    type Err = ParseSysRegError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut parts = name.split('_');
        let mut operand = |letter: Option<char>| {
            let part = parts.next()?;
            let digits = match letter {
                Some(letter) => part.strip_prefix([letter, letter.to_ascii_lowercase()])?,
                None => part,
            };
            decimal(digits)
        };
        let reg = (|| {
            let op0 = operand(Some('S'))?;
            let op1 = operand(None)?;
            let crn = operand(Some('C'))?;
            let crm = operand(Some('C'))?;
            let op2 = operand(None)?;
            Self::new(op0, op1, crn, crm, op2)
        })();
        match reg {
            Some(reg) if parts.next().is_none() => Ok(reg),
            _ => Err(ParseSysRegError),
        }
    }
}

/// Returns the number that `digits` writes without sign and superfluous zeros.
fn decimal(digits: &str) -> Option<u8> {
    let canonical = digits == "0" || !digits.starts_with(['0', '+']);
    if canonical {
        digits.parse().ok()
    } else {
        None
    }
}
