// SPDX-License-Identifier: GPL-2.0

//! The numbers of an ITS, none of which can be out of range.

use crate::bits::Bits;

/// The number of bits of a DeviceID; GITS_TYPER.Devbits is one less.
pub const DEVICE_BITS: u32 = 16;

/// The most bits of an EventID; GITS_TYPER.ID_bits is one less.
pub const EVENT_BITS: u32 = 16;

/// The number of bits of an LPI's INTID; GICD_TYPER.IDbits is one less.
pub const LPI_BITS: u32 = 16;

/// The first INTID of an LPI.
pub const FIRST_LPI: u32 = 8192;

/// The number of LPIs there can be in a VM.
pub const MAX_LPIS: u32 = (1 << LPI_BITS) - FIRST_LPI;

/// A DeviceID: [`DEVICE_BITS`] bits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct DeviceId(u16);

/// An EventID: [`EVENT_BITS`] bits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct EventId(u16);

/// An ICID: 16 bits, since GITS_TYPER.CIL is zero.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct CollectionId(u16);

/// A redistributor's number, GICR_TYPER.Processor_Number: 16 bits. An RDbase is one, since
/// GITS_TYPER.PTA is zero.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Processor(u16);

macro_rules! number {
    ($($name:ident)*) => {
        $(
            impl $name {
                /// The largest one.
                pub const MAX: Self = Self(u16::MAX);

                /// Returns the one with this number, or [`None`] if it is out of range.
                #[inline]
                pub const fn new(number: u32) -> Option<Self> {
                    if number <= Self::MAX.get() {
                        Some(Self(number as u16))
                    } else {
                        None
                    }
                }

                /// Returns the number.
                #[inline]
                pub const fn get(self) -> u32 {
                    self.0 as u32
                }
            }

            impl From<u16> for $name {
                #[inline]
                fn from(number: u16) -> Self {
                    Self(number)
                }
            }
        )*
    };
}

number! { DeviceId EventId CollectionId Processor }

/// The INTID of an LPI.
///
/// # Invariants
///
/// From [`FIRST_LPI`] to the largest number of [`LPI_BITS`] bits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct LpiId(u16);

impl LpiId {
    /// The smallest one.
    pub const MIN: Self = Self(FIRST_LPI as u16);

    /// Returns the one with this INTID, or [`None`] if it is not an LPI's.
    #[inline]
    pub const fn new(intid: u32) -> Option<Self> {
        if intid >= FIRST_LPI && intid >> LPI_BITS == 0 {
            Some(Self(intid as u16))
        } else {
            None
        }
    }

    /// Returns the INTID.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// Returns the next one, or [`None`] after the last.
    #[inline]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

/// The number of EventID bits of a device: 1 to [`EVENT_BITS`].
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct EventBits(u8);

impl EventBits {
    /// Returns what a Size field says, which is one less than the number; [`None`] if it is more
    /// than an ITS has.
    #[inline]
    pub const fn from_field(size: Bits<5>) -> Option<Self> {
        if size.get() < EVENT_BITS as u64 {
            Some(Self(size.get() as u8 + 1))
        } else {
            None
        }
    }

    /// Returns the Size field.
    #[inline]
    pub const fn field(self) -> Bits<5> {
        Bits::truncated(self.0 as u64 - 1)
    }

    /// Returns the number of events, 2 to 65536, the first EventID that is not one.
    #[inline]
    pub const fn count(self) -> u32 {
        1 << self.0
    }

    /// Whether the device has this event.
    #[inline]
    pub const fn contain(self, event: EventId) -> bool {
        event.get() < self.count()
    }
}

/// The IPA of an interrupt translation table: a multiple of 256 below 2^52.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct IttAddress(u64);

impl IttAddress {
    /// Returns the address whose bits 51 to 8 are `field`.
    #[inline]
    pub const fn from_field(field: Bits<44>) -> Self {
        Self(field.get() << 8)
    }

    /// Returns bits 51 to 8.
    #[inline]
    pub const fn field(self) -> Bits<44> {
        Bits::truncated(self.0 >> 8)
    }

    /// Returns the IPA.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// An event of a device, in the order of devices first.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Event {
    /// The device.
    pub device: DeviceId,
    /// Which of its events.
    pub event: EventId,
}

impl Event {
    /// The first one.
    pub const FIRST: Self = Self::first_of(DeviceId(0));

    /// Returns the event that a message is about, or [`None`] if there can be no such.
    #[inline]
    pub const fn new(device: u32, event: u32) -> Option<Self> {
        match (DeviceId::new(device), EventId::new(event)) {
            (Some(device), Some(event)) => Some(Self { device, event }),
            _ => None,
        }
    }

    /// Returns a device's first event.
    #[inline]
    pub const fn first_of(device: DeviceId) -> Self {
        Self {
            device,
            event: EventId(0),
        }
    }

    /// Returns the event as one number, of the same order.
    #[inline]
    pub const fn key(self) -> u32 {
        (self.device.get() << EVENT_BITS) | self.event.get()
    }

    /// Returns the next event, of the next device after a device's last one; [`None`] after the
    /// last of all.
    #[inline]
    pub const fn next(self) -> Option<Self> {
        match self.key().checked_add(1) {
            Some(key) => Self::new(key >> EVENT_BITS, key & EventId::MAX.get()),
            None => None,
        }
    }
}
