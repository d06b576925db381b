// SPDX-License-Identifier: GPL-2.0

//! Fault status codes: DFSC and IFSC.

use crate::bits::Bits;

/// The level of a translation table walk, -2 to 3, at which a fault was found.
///
/// -1 comes with FEAT_LPA2, -2 with FEAT_D128.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Level(i8);

impl Level {
    /// Returns `level`, or [`None`] if it is not in -2 to 3.
    #[inline]
    pub const fn new(level: i8) -> Option<Self> {
        if level >= -2 && level <= 3 {
            Some(Self(level))
        } else {
            None
        }
    }

    /// Returns the level.
    #[inline]
    pub const fn get(self) -> i8 {
        self.0
    }

    /// Returns the level in the low two bits of `code`, 0 to 3.
    const fn low_bits(code: u64) -> Self {
        Self((code & 3) as i8)
    }
}

/// A fault status code: why an access was aborted.
///
/// For aborts only: debug exceptions and SError interrupts use the numbers 0x22 and 0x11 with a
/// meaning of their own.
///
/// Source: Arm ARM, ESR_EL2, DFSC and IFSC under the ISS encodings for data and instruction aborts.
/// IFSC has a subset of DFSC's codes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FaultStatus {
    /// An address is larger than the translation's output size, levels -2 to 3.
    AddressSize(Level),
    /// No valid descriptor, levels -2 to 3.
    Translation(Level),
    /// The access flag is clear, levels 0 to 3.
    AccessFlag(Level),
    /// No permission, levels 0 to 3.
    Permission(Level),
    /// Synchronous External abort, not on a table walk.
    External,
    /// Synchronous External abort on a table walk, levels -2 to 3.
    ExternalWalk(Level),
    /// Synchronous tag check fault (FEAT_MTE2).
    TagCheck,
    /// Parity or ECC error, not on a table walk.
    Parity,
    /// Parity or ECC error on a table walk, levels -1 to 3.
    ParityWalk(Level),
    /// Alignment fault.
    Alignment,
    /// Granule protection fault on a table walk, levels -2 to 3 (FEAT_RME).
    GranuleProtectionWalk(Level),
    /// Granule protection fault, not on a table walk (FEAT_RME).
    GranuleProtection,
    /// TLB conflict abort.
    TlbConflict,
    /// Unsupported atomic hardware update of a descriptor (FEAT_HAFDBS).
    AtomicHardwareUpdate,
    /// Implementation defined: lockdown.
    Lockdown,
    /// Implementation defined: exclusive or atomic access that the memory does not support.
    UnsupportedAtomic,
    /// A code that the architecture has not allocated.
    Unallocated(Bits<6>),
}

impl FaultStatus {
    /// Returns what `bits` stands for.
    pub const fn from_bits(bits: Bits<6>) -> Self {
        let code = bits.get();
        let level = Level::low_bits(code);
        match code {
            0x00..=0x03 => Self::AddressSize(level),
            0x04..=0x07 => Self::Translation(level),
            0x08..=0x0b => Self::AccessFlag(level),
            0x0c..=0x0f => Self::Permission(level),
            0x10 => Self::External,
            0x11 => Self::TagCheck,
            0x12 => Self::ExternalWalk(Level(-2)),
            0x13 => Self::ExternalWalk(Level(-1)),
            0x14..=0x17 => Self::ExternalWalk(level),
            0x18 => Self::Parity,
            0x1b => Self::ParityWalk(Level(-1)),
            0x1c..=0x1f => Self::ParityWalk(level),
            0x21 => Self::Alignment,
            0x22 => Self::GranuleProtectionWalk(Level(-2)),
            0x23 => Self::GranuleProtectionWalk(Level(-1)),
            0x24..=0x27 => Self::GranuleProtectionWalk(level),
            0x28 => Self::GranuleProtection,
            0x29 => Self::AddressSize(Level(-1)),
            0x2a => Self::Translation(Level(-2)),
            0x2b => Self::Translation(Level(-1)),
            0x2c => Self::AddressSize(Level(-2)),
            0x30 => Self::TlbConflict,
            0x31 => Self::AtomicHardwareUpdate,
            0x34 => Self::Lockdown,
            0x35 => Self::UnsupportedAtomic,
            _ => Self::Unallocated(bits),
        }
    }

    /// Returns the code, or [`None`] if there is none for this fault at this level.
    pub const fn to_bits(self) -> Option<Bits<6>> {
        let code = match self {
            Self::AddressSize(Level(-2)) => 0x2c,
            Self::AddressSize(Level(-1)) => 0x29,
            Self::AddressSize(level) => level.0 as u64,
            Self::Translation(Level(-2)) => 0x2a,
            Self::Translation(Level(-1)) => 0x2b,
            Self::Translation(level) => 0x04 | level.0 as u64,
            Self::AccessFlag(level) if level.0 >= 0 => 0x08 | level.0 as u64,
            Self::Permission(level) if level.0 >= 0 => 0x0c | level.0 as u64,
            Self::AccessFlag(_) | Self::Permission(_) => return None,
            Self::External => 0x10,
            Self::TagCheck => 0x11,
            Self::ExternalWalk(Level(-2)) => 0x12,
            Self::ExternalWalk(Level(-1)) => 0x13,
            Self::ExternalWalk(level) => 0x14 | level.0 as u64,
            Self::Parity => 0x18,
            Self::ParityWalk(Level(-2)) => return None,
            Self::ParityWalk(Level(-1)) => 0x1b,
            Self::ParityWalk(level) => 0x1c | level.0 as u64,
            Self::Alignment => 0x21,
            Self::GranuleProtectionWalk(Level(-2)) => 0x22,
            Self::GranuleProtectionWalk(Level(-1)) => 0x23,
            Self::GranuleProtectionWalk(level) => 0x24 | level.0 as u64,
            Self::GranuleProtection => 0x28,
            Self::TlbConflict => 0x30,
            Self::AtomicHardwareUpdate => 0x31,
            Self::Lockdown => 0x34,
            Self::UnsupportedAtomic => 0x35,
            Self::Unallocated(bits) => return Some(bits),
        };
        Bits::new(code)
    }

    /// Whether an abort taken to EL2 with this status wrote HPFAR_EL2.
    ///
    /// It does for a stage 2 translation, access flag or address size fault, and for any stage 2
    /// fault on a stage 1 table walk (`s1ptw`). For a permission fault on the access itself
    /// HPFAR_EL2 is UNKNOWN, and the IPA has to be found with an AT instruction.
    ///
    /// With FEAT_RME it also does for a granule protection fault in the second stage of
    /// translation, which is one on fetching a stage 2 descriptor. The code does not tell it from
    /// one on fetching a stage 1 descriptor, but while HCR_EL2.GPF is clear, as this hypervisor
    /// leaves it, the latter is not taken from a guest to EL2. One that is not on a table walk
    /// belongs to no stage.
    ///
    /// Source: Arm ARM, HPFAR_EL2, "Purpose"; pseudocode function IPAValid.
    #[inline]
    pub const fn writes_hpfar(self, s1ptw: bool) -> bool {
        match self {
            Self::AddressSize(_) | Self::Translation(_) | Self::AccessFlag(_) => true,
            Self::GranuleProtectionWalk(_) => true,
            Self::Permission(_) => s1ptw,
            _ => false,
        }
    }
}
