// SPDX-License-Identifier: GPL-2.0

//! Commands, as a guest writes them to the queue.
//!
//! Source: IHI 0069, "ITS commands" and "Command errors".

use super::{
    entry::Device,
    id::{
        CollectionId,
        DeviceId,
        Event,
        EventBits,
        EventId,
        IttAddress,
        LpiId,
        Processor, //
    },
};
use crate::{
    bit_enum,
    bit_struct, //
};

/// A command that can be carried out as far as its own fields say.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Maps a device to its translation table, or unmaps it.
    Mapd {
        /// The device.
        device: DeviceId,
        /// What it is mapped to.
        to: Option<Device>,
    },
    /// Maps a collection to a redistributor, or unmaps it.
    Mapc {
        /// The collection.
        collection: CollectionId,
        /// Where it goes.
        to: Option<Processor>,
    },
    /// Maps an event to an LPI and a collection. MAPI is the one whose LPI has the EventID's number.
    Mapti {
        /// The event.
        event: Event,
        /// The LPI.
        lpi: LpiId,
        /// The collection.
        collection: CollectionId,
    },
    /// Moves an event to another collection.
    Movi {
        /// The event.
        event: Event,
        /// The collection.
        collection: CollectionId,
    },
    /// Moves all LPIs of a redistributor to another.
    Movall {
        /// The one they go to.
        from: Processor,
        /// The one they are to go to.
        to: Processor,
    },
    /// Unmaps an event.
    Discard(Event),
    /// Makes an event's LPI not pending.
    Clear(Event),
    /// Makes an event's LPI pending, as a message does.
    Int(Event),
    /// Reads the configuration of an event's LPI again.
    Inv(Event),
    /// Reads the configuration of a collection's LPIs again.
    Invall(CollectionId),
    /// Waits for the commands before it.
    Sync,
}

/// Why a command has no effect. The names are the architecture's, in which the command's name comes
/// first.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum CommandError {
    /// There is no such command in a GICv3.
    Unknown,
    /// The DeviceID has more bits than GITS_TYPER says, or no place in the device table.
    DeviceOor,
    /// The Size of an ITT is more than GITS_TYPER says.
    IttSizeOor,
    /// The EventID is not one of the device's.
    IdOor,
    /// The INTID is not an LPI's, or not one that GICR_PROPBASER has.
    PhysicalIdOor,
    /// The ICID has no place in the collection table.
    CollectionOor,
    /// There is no such redistributor.
    ProcnumOor,
    /// The device is not mapped.
    UnmappedDevice,
    /// The event is not mapped.
    UnmappedInterrupt,
    /// The collection goes to no redistributor.
    UnmappedCollection,
    /// The LPI's entry in the configuration or the pending table, or the event's in the ITT, is not
    /// in the guest's memory.
    Memory,
    /// Another event has the LPI.
    Taken,
    /// The host has no memory.
    NoMemory,
}

bit_enum! {
    /// Command numbers.
    pub enum Number: 8 {
        /// MOVI.
        Movi = 0x1,
        /// INT.
        Int = 0x3,
        /// CLEAR.
        Clear = 0x4,
        /// SYNC.
        Sync = 0x5,
        /// MAPD.
        Mapd = 0x8,
        /// MAPC.
        Mapc = 0x9,
        /// MAPTI.
        Mapti = 0xa,
        /// MAPI.
        Mapi = 0xb,
        /// INV.
        Inv = 0xc,
        /// INVALL.
        Invall = 0xd,
        /// MOVALL.
        Movall = 0xe,
        /// DISCARD.
        Discard = 0xf,
    }
}

bit_struct! {
    /// The first word of a command.
    pub struct Word0("DW0") {
        /// Which command it is.
        number / with_number: option 0..=7 as Number,
        /// The DeviceID.
        device / with_device: bits 32..=63,
    }
}

bit_struct! {
    /// The second word.
    pub struct Word1("DW1") {
        /// The EventID.
        event / with_event: bits 0..=31,
        /// The INTID of the LPI (MAPTI).
        intid / with_intid: bits 32..=63,
    }
}

bit_struct! {
    /// The second word of MAPD.
    pub struct MapdWord1("MAPD DW1") {
        /// The number of EventID bits less one.
        size / with_size: bits 0..=4,
    }
}

bit_struct! {
    /// The third word, and the fourth of MOVALL.
    pub struct Word2("DW2") {
        /// The ICID.
        icid / with_icid: bits 0..=15,
        /// The redistributor.
        rdbase / with_rdbase: bits 16..=50,
        /// It is mapped, not unmapped.
        valid / with_valid: flag 63,
    }
}

bit_struct! {
    /// The third word of MAPD.
    pub struct MapdWord2("MAPD DW2") {
        /// Bits 51 to 8 of the address of the ITT.
        itt / with_itt: bits 8..=51,
        /// It is mapped, not unmapped.
        valid / with_valid: flag 63,
    }
}

/// The words of a command, in its order in memory; the last one is as the one before.
struct Words(Word0, Word1, Word2, Word2);

impl Words {
    fn device(&self) -> Result<DeviceId, CommandError> {
        DeviceId::new(self.0.device().get() as u32).ok_or(CommandError::DeviceOor)
    }

    fn event(&self) -> Result<Event, CommandError> {
        Ok(Event {
            device: self.device()?,
            event: EventId::new(self.1.event().get() as u32).ok_or(CommandError::IdOor)?,
        })
    }

    fn collection(&self) -> CollectionId {
        CollectionId::from(u16::from(self.2.icid()))
    }

    /// What MAPD maps a device to.
    fn mapped_device(&self) -> Result<Option<Device>, CommandError> {
        let word2 = MapdWord2::from_raw(self.2.into_raw());
        if !word2.valid() {
            return Ok(None);
        }
        let size = MapdWord1::from_raw(self.1.into_raw()).size();
        Ok(Some(Device {
            itt: IttAddress::from_field(word2.itt()),
            bits: EventBits::from_field(size).ok_or(CommandError::IttSizeOor)?,
        }))
    }

    /// Where MAPC maps a collection to.
    fn mapped_collection(&self) -> Result<Option<Processor>, CommandError> {
        self.2.valid().then(|| processor(self.2)).transpose()
    }
}

fn lpi(intid: u64) -> Result<LpiId, CommandError> {
    LpiId::new(intid as u32).ok_or(CommandError::PhysicalIdOor)
}

fn processor(word: Word2) -> Result<Processor, CommandError> {
    u32::try_from(word.rdbase().get())
        .ok()
        .and_then(Processor::new)
        .ok_or(CommandError::ProcnumOor)
}

impl Command {
    /// Parses the four words of a command.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub fn parse(words: [u64; 4]) -> Result<Self, CommandError> {
        let [w0, w1, w2, w3] = words;
        let words = Words(
            Word0::from_raw(w0),
            Word1::from_raw(w1),
            Word2::from_raw(w2),
            Word2::from_raw(w3),
        );
        Ok(match words.0.number().ok_or(CommandError::Unknown)? {
            Number::Mapd => Self::Mapd {
                device: words.device()?,
                to: words.mapped_device()?,
            },
            Number::Mapc => Self::Mapc {
                collection: words.collection(),
                to: words.mapped_collection()?,
            },
            Number::Mapti => Self::Mapti {
                event: words.event()?,
                lpi: lpi(words.1.intid().get())?,
                collection: words.collection(),
            },
            Number::Mapi => Self::Mapti {
                event: words.event()?,
                lpi: lpi(words.1.event().get())?,
                collection: words.collection(),
            },
            Number::Movi => Self::Movi {
                event: words.event()?,
                collection: words.collection(),
            },
            Number::Movall => Self::Movall {
                from: processor(words.2)?,
                to: processor(words.3)?,
            },
            Number::Discard => Self::Discard(words.event()?),
            Number::Clear => Self::Clear(words.event()?),
            Number::Int => Self::Int(words.event()?),
            Number::Inv => Self::Inv(words.event()?),
            Number::Invall => Self::Invall(words.collection()),
            Number::Sync => Self::Sync,
        })
    }
}
