// SPDX-License-Identifier: GPL-2.0

//! Entries of the tables in guest memory.
//!
//! An ITS keeps its state to itself; to guest memory it writes the tables when user space saves
//! them, and reads them when it restores them.
//!
//! Source: arm-vgic-its.rst, "ITS Table ABI REV0".

use super::{
    id::{
        CollectionId,
        EventBits,
        EventId,
        IttAddress,
        LpiId,
        Processor, //
    },
    register::ENTRY_SIZE,
};
use crate::{
    bit_struct,
    bits::Bits, //
};

/// What an entry of the tables says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Parsed<T> {
    /// There is nothing here.
    Invalid,
    /// It is not one that an ITS can have.
    Bad,
    /// There is something.
    Valid(T),
}

/// A device that is mapped.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Where its interrupt translation table is.
    pub itt: IttAddress,
    /// How many events it has.
    pub bits: EventBits,
}

impl Device {
    /// Returns the IPA of an event's entry in its interrupt translation table.
    #[inline]
    pub const fn entry(&self, event: EventId) -> u64 {
        self.itt.get() + event.get() as u64 * ENTRY_SIZE
    }
}

bit_struct! {
    /// A device table entry in memory.
    pub struct Dte("DTE") {
        /// The number of EventID bits less one.
        size / with_size: bits 0..=4,
        /// Bits 51 to 8 of the address of the ITT.
        itt_addr / with_itt_addr: bits 5..=48,
        /// The distance to the next entry that is valid.
        next / with_next: bits 49..=62,
        /// There is a device.
        valid / with_valid: flag 63,
    }
}

/// A device table entry.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeviceEntry {
    /// The device.
    pub device: Device,
    /// The distance to the next device, zero if there is none.
    pub next: u32,
}

impl DeviceEntry {
    /// The largest distance that an entry can say; from there on the next one is searched for.
    pub const MAX_NEXT: u32 = Bits::<14>::MAX as u32;

    /// Parses an entry.
    pub fn parse(raw: u64) -> Parsed<Self> {
        let dte = Dte::from_raw(raw);
        if !dte.valid() {
            return Parsed::Invalid;
        }
        let Some(bits) = EventBits::from_field(dte.size()) else {
            return Parsed::Bad;
        };
        Parsed::Valid(Self {
            device: Device {
                itt: IttAddress::from_field(dte.itt_addr()),
                bits,
            },
            next: dte.next().get() as u32,
        })
    }

    /// Returns the entry's 64 bits. A distance that is too large is cut to the largest.
    pub fn encode(self) -> u64 {
        Dte::from_raw(0)
            .with_valid(true)
            .with_next(Bits::truncated(self.next.min(Self::MAX_NEXT).into()))
            .with_itt_addr(self.device.itt.field())
            .with_size(self.device.bits.field())
            .into_raw()
    }
}

bit_struct! {
    /// An interrupt translation table entry in memory.
    pub struct Ite("ITE") {
        /// The collection.
        icid / with_icid: bits 0..=15,
        /// The LPI, or zero.
        pintid / with_pintid: bits 16..=47,
        /// The distance to the next entry that is valid.
        next / with_next: bits 48..=63,
    }
}

/// An interrupt translation table entry.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct EventEntry {
    /// The LPI.
    pub lpi: LpiId,
    /// Its collection.
    pub collection: CollectionId,
    /// The distance to the next event, zero if there is none.
    pub next: u32,
}

impl EventEntry {
    /// Parses an entry.
    pub fn parse(raw: u64) -> Parsed<Self> {
        let ite = Ite::from_raw(raw);
        let pintid = ite.pintid().get() as u32;
        if pintid == 0 {
            return Parsed::Invalid;
        }
        let Some(lpi) = LpiId::new(pintid) else {
            return Parsed::Bad;
        };
        Parsed::Valid(Self {
            lpi,
            collection: CollectionId::from(u16::from(ite.icid())),
            next: ite.next().get() as u32,
        })
    }

    /// Returns the entry's 64 bits. The distance is below 65536, as that of any two events.
    pub fn encode(self) -> u64 {
        Ite::from_raw(0)
            .with_next(Bits::truncated(self.next.into()))
            .with_pintid(Bits::truncated(self.lpi.get().into()))
            .with_icid(Bits::truncated(self.collection.get().into()))
            .into_raw()
    }
}

bit_struct! {
    /// A collection table entry in memory.
    pub struct Cte("CTE") {
        /// The collection.
        icid / with_icid: bits 0..=15,
        /// The redistributor, or 32 ones.
        rdbase / with_rdbase: bits 16..=51,
        /// There is a collection.
        valid / with_valid: flag 63,
    }
}

/// The RDBase of a collection that events are in and that goes to no vCPU.
const UNMAPPED: u32 = u32::MAX;

/// A collection table entry.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CollectionEntry {
    /// The collection.
    pub id: CollectionId,
    /// Where it goes.
    pub processor: Option<Processor>,
}

impl CollectionEntry {
    /// Parses an entry. Bits 51 to 48 of RDBase are ignored, as those that are reserved.
    pub fn parse(raw: u64) -> Parsed<Self> {
        let cte = Cte::from_raw(raw);
        if !cte.valid() {
            return Parsed::Invalid;
        }
        let processor = match cte.rdbase().get() as u32 {
            UNMAPPED => None,
            number => match Processor::new(number) {
                Some(processor) => Some(processor),
                None => return Parsed::Bad,
            },
        };
        Parsed::Valid(Self {
            id: CollectionId::from(u16::from(cte.icid())),
            processor,
        })
    }

    /// Returns the entry's 64 bits.
    pub fn encode(self) -> u64 {
        let rdbase = self.processor.map_or(UNMAPPED, Processor::get);
        Cte::from_raw(0)
            .with_valid(true)
            .with_rdbase(Bits::truncated(rdbase.into()))
            .with_icid(Bits::truncated(self.id.get().into()))
            .into_raw()
    }
}

bit_struct! {
    /// An entry of a first-level table.
    pub struct Level1("L1E") {
        /// Bits 51 to 12 of the second-level table.
        address / with_address: bits 12..=51,
        /// There is one.
        valid / with_valid: flag 63,
    }
}

/// Returns the IPA of the table that an entry of a first-level table points to, a page of
/// `page_bytes`; [`None`] if it points to none.
pub fn second_level(raw: u64, page_bytes: u64) -> Option<u64> {
    let entry = Level1::from_raw(raw);
    let address = entry.address().get() << 12;
    entry.valid().then_some(address & !(page_bytes - 1))
}
