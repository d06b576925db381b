// SPDX-License-Identifier: GPL-2.0

//! A guest's memory, and what is where in it.

/// The IPA of the first byte.
pub const BASE: u64 = 0x4000_0000;

/// The device table, or its first level: 64 KiB.
pub const DEVICES: u64 = BASE;

/// The collection table: 64 KiB.
pub const COLLECTIONS: u64 = BASE + 0x1_0000;

/// The command queue: 64 KiB.
pub const QUEUE: u64 = BASE + 0x2_0000;

/// The configuration table of LPIs: 64 KiB.
pub const CONFIG: u64 = BASE + 0x3_0000;

/// The pending tables of the vCPUs, 8 KiB each.
pub const PENDING: u64 = BASE + 0x4_0000;

/// The size of a pending table.
pub const PENDING_SIZE: u64 = 0x2000;

/// Interrupt translation tables, 256 bytes each.
pub const ITTS: u64 = BASE + 0x4_8000;

/// Second levels of the device table, 128 KiB.
pub const SECOND: u64 = BASE + 0x5_0000;

/// The size of it all in bytes.
pub const SIZE: u64 = 0x7_0000;

/// The bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Memory(Vec<u8>);

impl Default for Memory {
    fn default() -> Self {
        Self(vec![0; SIZE as usize])
    }
}

impl Memory {
    fn range(ipa: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let start = ipa.checked_sub(BASE)?;
        (start < SIZE && SIZE - start >= len as u64).then(|| start as usize..start as usize + len)
    }

    pub fn contains(ipa: u64) -> bool {
        Self::range(ipa, 1).is_some()
    }

    pub fn read(&self, ipa: u64, bytes: &mut [u8]) -> Option<()> {
        bytes.copy_from_slice(&self.0[Self::range(ipa, bytes.len())?]);
        Some(())
    }

    pub fn write(&mut self, ipa: u64, bytes: &[u8]) -> Option<()> {
        self.0[Self::range(ipa, bytes.len())?].copy_from_slice(bytes);
        Some(())
    }

    pub fn u8(&self, ipa: u64) -> Option<u8> {
        let mut byte = [0];
        self.read(ipa, &mut byte)?;
        Some(byte[0])
    }

    pub fn u64(&self, ipa: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(ipa, &mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }

    pub fn set_u64(&mut self, ipa: u64, value: u64) -> Option<()> {
        self.write(ipa, &value.to_le_bytes())
    }

    /// Returns the first address at which `other` has something else.
    pub fn differs(&self, other: &Self) -> Option<u64> {
        if self == other {
            return None;
        }
        let at = self.0.iter().zip(&other.0).position(|(a, b)| a != b)?;
        Some(BASE + at as u64)
    }
}
