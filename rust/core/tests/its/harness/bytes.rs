// SPDX-License-Identifier: GPL-2.0

//! Operations on an ITS made of bytes, so that a fuzzer has them, too.

use super::memory::*;

const VALID: u64 = 1 << 63;
const INDIRECT: u64 = 1 << 62;

/// Bytes to make operations of; behind the end there are zeros.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn u8(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes([(); 8].map(|()| self.u8()))
    }

    pub(super) fn bool(&mut self) -> bool {
        self.u8() & 1 != 0
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        u64::from(self.u8()) % end
    }

    pub(super) fn one_of(&mut self, all: &[u64]) -> u64 {
        all[usize::from(self.u8()) % all.len()]
    }

    /// Mostly one of a few numbers, so that operations meet, or one of `others`.
    pub(super) fn number(&mut self, others: &[u64]) -> u64 {
        match self.u8() {
            n @ 0..=215 => u64::from(n % 3),
            n => others[usize::from(n) % others.len()],
        }
    }

    pub(super) fn device(&mut self) -> u64 {
        self.number(&[3, 512, 513, 8191, 8192, 8193, 0xffff, 0x1_0000])
    }

    pub(super) fn event(&mut self) -> u64 {
        self.number(&[3, 31, 32, 8193, 0xffff, 0x1_0000])
    }

    pub(super) fn intid(&mut self) -> u64 {
        match self.u8() {
            n @ 0..=239 => 8192 + u64::from(n % 12),
            n => [0, 8191, 8193, 0x8000_2000, 32767, 32768, 65535, 65536][usize::from(n) % 8],
        }
    }

    pub(super) fn icid(&mut self) -> u64 {
        self.number(&[3, 511, 512, 8191, 8192, 0xffff])
    }

    pub(super) fn rdbase(&mut self) -> u64 {
        self.one_of(&[
            0,
            1,
            9,
            0,
            1,
            9,
            0,
            1,
            9,
            2,
            0x1_0000,
            0xffff_ffff,
            0x1_0000_0001,
        ])
    }

    pub(super) fn size(&mut self) -> u64 {
        self.one_of(&[4, 4, 4, 4, 4, 4, 0, 1, 15, 16, 31])
    }

    /// An ITT that is a device's own, another's, or one that lies badly.
    pub(super) fn itt(&mut self, device: u64) -> u64 {
        match self.u8() & 31 {
            0 => ITTS + self.below(128) * 256,
            1 => BASE + SIZE - 0x100,
            2 => BASE + SIZE,
            3 => DEVICES,
            4 => COLLECTIONS,
            5 => (1 << 52) - 256,
            _ => itt_of(device),
        }
    }

    /// A command; it carries what its number does not ask for, too.
    pub fn command(&mut self) -> [u64; 4] {
        let number = match self.u8() {
            n @ 0..=9 => [0, 7, 0x20, 0x5, 0xb][usize::from(n % 5)],
            10..=14 => 0xe,
            15..=29 => 0x8,
            30..=99 => 0xa,
            100..=129 => 0x9,
            n => [0x1, 0xf, 0x4, 0x3, 0xc, 0xd, 0x1, 0x3, 0x9][usize::from(n % 9)],
        };
        let (device, event, icid) = (self.device(), self.event(), self.icid());
        let valid = if self.u8() & 15 != 0 { VALID } else { 0 };
        match number {
            0x8 => {
                let itt = self.itt(device);
                [number | device << 32, self.size(), itt | valid, 0]
            }
            0x9 => [number, 0, self.rdbase() << 16 | icid | valid, 0],
            0xe => [number, 0, self.rdbase() << 16, self.rdbase() << 16],
            _ => [
                number | device << 32,
                event | self.intid() << 32,
                icid | valid,
                self.u8().into(),
            ],
        }
    }

    pub(super) fn baser(&mut self) -> u64 {
        let base = self.one_of(&[
            DEVICES,
            COLLECTIONS,
            SECOND,
            BASE + SIZE - 0x1000,
            BASE + SIZE,
        ]);
        let flags = self.u8();
        base | self.below(4) << 8
            | u64::from(flags & 3)
            | if flags & 4 != 0 { INDIRECT } else { 0 }
            | if flags & 0x18 != 0 { VALID } else { 0 }
            | if flags & 0xe0 == 0 { self.u64() } else { 0 }
    }

    pub(super) fn register(&mut self) -> (u64, u64) {
        let queue = QUEUE | self.below(3);
        match self.u8() % 12 {
            0..=2 => (0x00, self.u8().into()),
            3 => (0x04, u64::from(self.u8()) << 8),
            4 => (0x80, queue | VALID),
            5 => (0x80, self.u64()),
            6 => (
                0x88,
                self.below(5) * 0x20 + self.one_of(&[0, 1, 0xfe0, 0x1000, 0x8_0000]),
            ),
            7 => (0x90, self.below(5) * 0x20),
            8 => (0x100, self.baser()),
            9 => (0x108, self.baser()),
            10 => (
                self.one_of(&[0x8, 0x110, 0x138, 0xffe8, 0xfffc]),
                self.u64(),
            ),
            _ => (u64::from(self.u8()) << 3, self.u64()),
        }
    }

    /// An entry of a table, of any kind.
    pub(super) fn entry(&mut self) -> u64 {
        match self.u8() % 6 {
            0 => 0,
            1 => VALID | SECOND + self.below(8) * 0x4000,
            2 => VALID | self.below(4) << 49 | itt_of(self.device() & 3) >> 3 | self.size(),
            3 => self.below(4) << 48 | self.intid() << 16 | self.icid(),
            4 => VALID | (self.rdbase() & 0xffff_ffff) << 16 | self.icid(),
            _ => self.u64(),
        }
    }
}

/// The ITT that belongs to a device; it has room for 32 events.
pub fn itt_of(device: u64) -> u64 {
    ITTS + (device % 61) * 0x100
}
