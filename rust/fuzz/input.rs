// SPDX-License-Identifier: GPL-2.0

//! The fuzzer's bytes as values.

/// The bytes of an input that are left. Beyond its end there are zeros, so every input is a whole
/// one, and a short one a simple case.
#[derive(Clone, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Returns the input that `bytes` are.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let (now, rest) = self.0.split_at(N.min(self.0.len()));
        taken[..now.len()].copy_from_slice(now);
        self.0 = rest;
        taken
    }

    /// Takes a byte.
    pub fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// Takes 16 bits.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// Takes 32 bits.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// Takes 64 bits.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// Takes a byte for a choice.
    pub fn bool(&mut self) -> bool {
        self.u8() & 1 != 0
    }

    /// Takes a byte for a number below `end`, which is not 0.
    pub fn below(&mut self, end: u8) -> u8 {
        self.u8() % end
    }

    /// Takes a byte for one of `all`, which are not empty and at most 256.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.u8()) % all.len()]
    }
}
