// SPDX-License-Identifier: GPL-2.0

//! What an ITS needs around it.

use super::{
    config::{
        ConfigTable,
        LpiConfig, //
    },
    id::{
        DeviceId,
        Event,
        LpiId,
        Processor, //
    },
};

/// A guest's memory cannot be accessed: there is none at the address, or user space gave it none.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Fault;

/// A guest's memory. Addresses are IPAs.
///
/// All accesses are of 1 byte, of 8 bytes or of a block of up to 256 bytes that is aligned to its
/// size, so none crosses a page.
pub trait GuestMemory {
    /// Reads `bytes` from `ipa`.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    fn read(&self, ipa: u64, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Writes `bytes` to `ipa`, and notes the page as dirty.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    fn write(&self, ipa: u64, bytes: &[u8]) -> Result<(), Fault>;

    /// Whether a few more writes can be noted; the VM's user space has to look at what was noted first
    /// if not.
    fn takes_writes(&self) -> bool;

    /// Whether there is memory at `ipa`, in a memslot; no access is made.
    fn is_memory(&self, ipa: u64) -> bool;

    /// Reads a number of 64 bits, which the tables have in little-endian order.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    fn read_u64(&self, ipa: u64) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        self.read(ipa, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes a number of 64 bits.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    fn write_u64(&self, ipa: u64, value: u64) -> Result<(), Fault> {
        self.write(ipa, &value.to_le_bytes())
    }

    /// Reads a byte.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    fn read_u8(&self, ipa: u64) -> Result<u8, Fault> {
        let mut byte = [0];
        self.read(ipa, &mut byte)?;
        Ok(byte[0])
    }
}

/// Why an LPI cannot be mapped.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CannotMap {
    /// Another event maps it, of this ITS or of another one of the VM.
    Taken,
    /// There is no memory for it.
    NoMemory,
}

/// The LPIs of a VM, those that are mapped, and what the redistributors know of LPIs.
///
/// vCPUs are named by their index in the VM. None is pending at a vCPU that has no LPIs enabled
/// ([`pending_table`](Lpis::pending_table)): the architecture has it ignore them.
pub trait Lpis {
    /// A reference to an LPI, which keeps it alive.
    type Lpi: Clone;

    /// Returns the configuration table, GICR_PROPBASER of all redistributors.
    fn config_table(&self) -> ConfigTable;

    /// Returns the index of the vCPU with this processor number.
    fn find(&self, processor: Processor) -> Option<usize>;

    /// Returns the address of a vCPU's pending table (GICR_PENDBASER), or [`None`] if it has no LPIs
    /// enabled (GICR_CTLR.EnableLPIs).
    fn pending_table(&self, vcpu: usize) -> Option<u64>;

    /// Makes the LPI `id`: not pending, with this target and configuration. It is the VM's only one
    /// of that number until it is unmapped, in one step to all others who map.
    ///
    /// # Errors
    ///
    /// [`CannotMap`].
    fn map(
        &self,
        id: LpiId,
        target: Option<usize>,
        config: LpiConfig,
    ) -> Result<Self::Lpi, CannotMap>;

    /// Takes an LPI back that [`map`](Self::map) made. From here on it is not pending, whoever still
    /// holds it, and its number can be mapped again.
    fn unmap(&self, lpi: Self::Lpi);

    /// Returns the mapped LPI with the lowest number from `id` on.
    fn at_or_after(&self, id: LpiId) -> Option<Self::Lpi>;

    /// Returns an LPI's number.
    fn id(&self, lpi: &Self::Lpi) -> LpiId;

    /// Returns the vCPU that an LPI goes to.
    fn target(&self, lpi: &Self::Lpi) -> Option<usize>;

    /// Sends an LPI to another vCPU or to none; its pending state goes with it, and is lost at a vCPU
    /// that has no LPIs enabled.
    fn set_target(&self, lpi: &Self::Lpi, target: Option<usize>);

    /// Whether an LPI is pending.
    fn is_pending(&self, lpi: &Self::Lpi) -> bool;

    /// Makes an LPI pending, unless its vCPU has no LPIs enabled, or makes it not pending.
    fn set_pending(&self, lpi: &Self::Lpi, pending: bool);

    /// Sets an LPI's configuration.
    fn configure(&self, lpi: &Self::Lpi, config: LpiConfig);
}

/// Which translations are not to be used any more.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Forget {
    /// That of one event.
    Event(Event),
    /// Those of one device.
    Device(DeviceId),
    /// All of the ITS.
    All,
}

impl Forget {
    /// Whether `event` is one of them.
    #[inline]
    pub fn covers(self, event: Event) -> bool {
        match self {
            Self::Event(one) => one == event,
            Self::Device(device) => device == event.device,
            Self::All => true,
        }
    }
}

/// All that is around an ITS.
pub trait Environment: GuestMemory + Lpis {
    /// Notes the translation of `event` where the next message looks for it; it may be lost.
    fn remember(&self, event: Event, lpi: &Self::Lpi);

    /// Drops translations. When it returns, no message that begins now uses them.
    fn forget(&self, which: Forget);

    /// Called once per step of what has many: lets others run. Whether to go on: `false` if the
    /// thread is being killed, which is a reason to give up where giving up is possible.
    fn go_on(&self) -> bool;
}

/// An ordered map.
pub trait Map<K, V> {
    /// Returns the value of `key`.
    fn get(&self, key: K) -> Option<&V>;

    /// Returns the value of `key`.
    fn get_mut(&mut self, key: K) -> Option<&mut V>;

    /// Adds a value; `key` has none.
    ///
    /// # Errors
    ///
    /// The value, if there is no memory for it.
    fn insert(&mut self, key: K, value: V) -> Result<(), V>;

    /// Takes the value of `key` out.
    fn remove(&mut self, key: K) -> Option<V>;

    /// Returns the lowest key from `key` on and its value.
    fn at_or_after(&self, key: K) -> Option<(K, &V)>;
}
