// SPDX-License-Identifier: GPL-2.0

//! Function identifiers.

use core::fmt;

use crate::bits::Bits;

/// Who answers for a function: bits 29 to 24 of its identifier.
///
/// Source: DEN0028, "Allocated ranges".
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Arm architecture calls.
    Arch,
    /// CPU service calls.
    Cpu,
    /// SiP service calls.
    Sip,
    /// OEM service calls.
    Oem,
    /// Standard secure service calls, PSCI and TRNG among them.
    Standard,
    /// Standard hypervisor service calls.
    StandardHyp,
    /// Vendor-specific hypervisor service calls.
    VendorHyp,
    /// Trusted applications.
    TrustedApp(Bits<6>),
    /// Trusted operating systems.
    TrustedOs(Bits<6>),
    /// A number that is not allocated.
    Reserved(Bits<6>),
}

impl Owner {
    /// Returns the owner with this number.
    #[inline]
    pub const fn from_bits(bits: Bits<6>) -> Self {
        match bits.get() {
            0 => Self::Arch,
            1 => Self::Cpu,
            2 => Self::Sip,
            3 => Self::Oem,
            4 => Self::Standard,
            5 => Self::StandardHyp,
            6 => Self::VendorHyp,
            48 | 49 => Self::TrustedApp(bits),
            50..=63 => Self::TrustedOs(bits),
            _ => Self::Reserved(bits),
        }
    }

    /// Returns the owner's number.
    #[inline]
    pub const fn into_bits(self) -> Bits<6> {
        match self {
            Self::Arch => Bits::of::<0>(),
            Self::Cpu => Bits::of::<1>(),
            Self::Sip => Bits::of::<2>(),
            Self::Oem => Bits::of::<3>(),
            Self::Standard => Bits::of::<4>(),
            Self::StandardHyp => Bits::of::<5>(),
            Self::VendorHyp => Bits::of::<6>(),
            Self::TrustedApp(bits) | Self::TrustedOs(bits) | Self::Reserved(bits) => bits,
        }
    }
}

/// A function identifier: what the caller puts into W0.
///
/// Every 32-bit number is one. Two are the same function only if all 32 bits are equal, so a call
/// with a reserved bit set is one that nobody implements.
///
/// # Examples
///
/// ```
/// use kvm_core::smccc::{FunctionId, Owner};
///
/// const CPU_ON: FunctionId = FunctionId::fast64(Owner::Standard, 3);
/// assert_eq!(CPU_ON.raw(), 0xc400_0003);
/// assert!(CPU_ON.is_fast() && CPU_ON.is_64());
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct FunctionId(u32);

impl FunctionId {
    const FAST: u32 = 1 << 31;
    const SMC64: u32 = 1 << 30;
    const OWNER_SHIFT: u32 = 24;

    /// Returns the identifier `raw`.
    #[inline]
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the identifier in X0, of which only W0 counts.
    #[inline]
    pub const fn from_x0(x0: u64) -> Self {
        Self(x0 as u32)
    }

    /// Returns the fast call `number` of `owner` with 32-bit arguments.
    #[inline]
    pub const fn fast32(owner: Owner, number: u16) -> Self {
        let owner = (owner.into_bits().get() as u32) << Self::OWNER_SHIFT;
        Self(Self::FAST | owner | number as u32)
    }

    /// Returns the fast call `number` of `owner` with 64-bit arguments.
    #[inline]
    pub const fn fast64(owner: Owner, number: u16) -> Self {
        Self(Self::fast32(owner, number).0 | Self::SMC64)
    }

    /// Returns the 32 bits.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Whether it is a fast call, which is not interrupted, rather than a yielding one.
    #[inline]
    pub const fn is_fast(self) -> bool {
        self.0 & Self::FAST != 0
    }

    /// Whether the arguments are 64 bits wide (SMC64, HVC64). An AArch32 caller cannot use these.
    #[inline]
    pub const fn is_64(self) -> bool {
        self.0 & Self::SMC64 != 0
    }

    /// Returns who answers for it.
    #[inline]
    pub const fn owner(self) -> Owner {
        Owner::from_bits(Bits::truncated((self.0 >> Self::OWNER_SHIFT) as u64))
    }

    /// Returns its number among those of its owner.
    #[inline]
    pub const fn number(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Debug for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionId({:#010x})", self.0)
    }
}
