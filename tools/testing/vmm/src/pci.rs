// SPDX-License-Identifier: GPL-2.0

//! The configuration space of the one PCI function: a serial port at I/O ports that interrupts
//! by MSI. It says that it is a MosChip 9900, which Linux has a driver for that uses MSI.

/// Its requester ID, which the ITS knows it by: bus 0, device 1, function 0.
pub const DEVICE_ID: u32 = 1 << 3;
/// Where its configuration space begins in that of the bus.
pub const OFFSET: u64 = (DEVICE_ID as u64) << 12;
/// Bytes of a function's configuration space.
pub const BYTES: u64 = 0x1000;
/// I/O ports of the device.
pub const PORTS: u64 = 8;

const COMMAND: usize = 0x04;
const BAR0: usize = 0x10;
const MSI: usize = 0x40;

const COMMAND_IO: u32 = 1;
const MSI_ENABLE: u32 = 1 << 16;

/// What an MSI writes, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The doorbell's address.
    pub address: u64,
    /// What is written.
    pub data: u32,
}

/// The configuration space, in words.
pub struct Config {
    words: [u32; 64],
}

impl Config {
    /// As it is after reset.
    pub fn new() -> Self {
        let mut words = [0; 64];
        words[0] = 0x9900_9710; // device and vendor
        words[COMMAND / 4] = 1 << 20; // there is a list of capabilities
        words[0x08 / 4] = 0x0700_0200; // a 16550
        words[BAR0 / 4] = 1; // I/O ports
        words[0x2c / 4] = 0x1000_a000; // subsystem: one serial port
        words[0x34 / 4] = MSI as u32; // the first capability
        words[MSI / 4] = 0x0080_0005; // MSI with a 64-bit address, the last one
        Self { words }
    }

    /// Which bits of a word can be written.
    fn writable(word: usize) -> u32 {
        const COMMAND_WORD: usize = COMMAND / 4;
        const BAR0_WORD: usize = BAR0 / 4;
        const LINE_WORD: usize = 0x3c / 4;
        const MSI_WORD: usize = MSI / 4;
        const ADDRESS: usize = MSI_WORD + 1;
        const ADDRESS_HIGH: usize = MSI_WORD + 2;
        const DATA: usize = MSI_WORD + 3;
        match word {
            COMMAND_WORD => 0x0547,
            BAR0_WORD => !(PORTS as u32 - 1),
            LINE_WORD => 0xff,
            MSI_WORD => MSI_ENABLE,
            ADDRESS => !3,
            ADDRESS_HIGH => !0,
            DATA => 0xffff,
            _ => 0,
        }
    }

    /// Reads at an offset; what is not there is zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        for (index, byte) in data.iter_mut().enumerate() {
            let at = offset as usize + index;
            let word = self.words.get(at / 4).copied().unwrap_or(0);
            *byte = word.to_le_bytes()[at % 4];
        }
    }

    /// Writes at an offset, where it can be written.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        for (index, byte) in data.iter().enumerate() {
            let at = offset as usize + index;
            if let Some(word) = self.words.get_mut(at / 4) {
                let shift = at % 4 * 8;
                let mask = Self::writable(at / 4) & (0xff << shift);
                *word = *word & !mask | (u32::from(*byte) << shift) & mask;
            }
        }
    }

    /// The first of its ports, if it answers.
    pub fn ports(&self) -> Option<u64> {
        let base = u64::from(self.words[BAR0 / 4] & !3);
        (self.words[COMMAND / 4] & COMMAND_IO != 0).then_some(base)
    }

    /// The message of its interrupt, if that is enabled.
    pub fn message(&self) -> Option<Message> {
        let word = |index| self.words[MSI / 4 + index];
        (word(0) & MSI_ENABLE != 0).then(|| Message {
            address: (u64::from(word(2)) << 32) | u64::from(word(1)),
            data: word(3),
        })
    }
}
