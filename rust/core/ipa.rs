// SPDX-License-Identifier: GPL-2.0

//! The size of a VM's physical address space.

use core::fmt;

/// The width of a VM's intermediate physical addresses: 32 to 52 bits.
///
/// # Invariants
///
/// The number is in `IpaBits::MIN.get()..=IpaBits::MAX.get()`.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct IpaBits(u8);

impl IpaBits {
    /// The smallest width that KVM offers.
    pub const MIN: Self = Self(32);

    /// The largest width that stage 2 with 64-bit descriptors translates (FEAT_LPA, FEAT_LPA2).
    pub const MAX: Self = Self(52);

    /// The width of a VM that asks for none, by the text of KVM_CREATE_VM in api.rst.
    pub const DEFAULT: Self = Self(40);

    /// Returns `bits` as a width, or [`None`] if it is not in 32 to 52.
    #[inline]
    pub const fn new(bits: u8) -> Option<Self> {
        if bits >= Self::MIN.0 && bits <= Self::MAX.0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// Returns the number of bits.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Returns the number of addresses, the first one that is not an address.
    #[inline]
    pub const fn size(self) -> u64 {
        1 << self.0
    }
}

impl fmt::Display for IpaBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why KVM_CREATE_VM refuses a machine type; EINVAL in each case.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadVmType {
    /// A bit above 7 is set.
    UnknownBits(u64),
    /// The width, asked for or the default of 40, is not in 32 to the host's limit.
    IpaSize {
        /// The width that was asked for, in bits.
        asked: u8,
        /// The host's limit.
        limit: IpaBits,
    },
}

impl fmt::Display for BadVmType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownBits(bits) => write!(f, "machine type has unknown bits {bits:#x}"),
            Self::IpaSize { asked, limit } => {
                write!(f, "IPA size of {asked} bits is not in 32 to {limit}")
            }
        }
    }
}

/// Returns the IPA size of a VM from the machine type that is KVM_CREATE_VM's argument.
///
/// `limit` is what KVM_CAP_ARM_VM_IPA_SIZE reports. Bits 7 to 0 hold the width, 0 meaning the
/// default of 40 bits, which must be within `limit` like any other. All other bits must be clear.
/// Source: api.rst, "4.2 KVM_CREATE_VM", "ARM64".
///
/// # Errors
///
/// [`BadVmType`] for anything else.
pub const fn ipa_size(vm_type: u64, limit: IpaBits) -> Result<IpaBits, BadVmType> {
    let unknown = vm_type & !0xff;
    if unknown != 0 {
        return Err(BadVmType::UnknownBits(unknown));
    }
    let asked = match vm_type as u8 {
        0 => IpaBits::DEFAULT.0,
        bits => bits,
    };
    match IpaBits::new(asked) {
        Some(size) if asked <= limit.0 => Ok(size),
        _ => Err(BadVmType::IpaSize { asked, limit }),
    }
}
