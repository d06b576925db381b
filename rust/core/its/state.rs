// SPDX-License-Identifier: GPL-2.0

//! What an ITS knows.

use super::{
    command::CommandError,
    entry::Device,
    env::{
        CannotMap,
        Environment,
        Fault,
        Forget,
        Map, //
    },
    id::{
        CollectionId,
        DeviceId,
        Event,
        LpiId,
        Processor, //
    },
    lpi::{
        self,
        NoLpi, //
    },
    register::{
        Baser,
        Cbaser,
        TableKind, //
    },
    table, //
};

/// What an event is mapped to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping<L> {
    /// The LPI: the one reference that [`Lpis::map`](super::Lpis::map) returned.
    pub lpi: L,
    /// The collection it is in.
    pub collection: CollectionId,
}

/// Where a collection goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The number of the redistributor.
    pub processor: Processor,
    /// The index of its vCPU.
    pub vcpu: usize,
}

/// A collection that goes somewhere, or that has events.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Collection {
    /// Where it goes; [`None`] if it is not mapped.
    pub target: Option<Target>,
    /// The number of events that are in it.
    pub events: u32,
}

/// Where the state of an ITS is kept.
pub trait Storage {
    /// A reference to an LPI.
    type Lpi: Clone;
    /// The devices.
    type Devices: Map<DeviceId, Device>;
    /// The events.
    type Events: Map<Event, Mapping<Self::Lpi>>;
    /// The collections.
    type Collections: Map<CollectionId, Collection>;
}

/// The registers that can be written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Registers {
    /// GITS_CTLR.Enabled.
    pub(super) enabled: bool,
    /// GITS_BASER0.
    pub(super) devices: Baser,
    /// GITS_BASER1.
    pub(super) collections: Baser,
    /// GITS_CBASER.
    pub(super) queue: Cbaser,
    /// GITS_CREADR; in the queue.
    pub(super) creadr: u64,
    /// GITS_CWRITER; in the queue.
    pub(super) cwriter: u64,
}

/// The state of an ITS.
///
/// # Invariants
///
/// - The device of each event is mapped, and has that event.
/// - The collection of each event is known; its `events` is their number.
/// - A known collection has a target or events.
#[derive(Debug)]
pub struct Its<S: Storage> {
    pub(super) registers: Registers,
    pub(super) devices: S::Devices,
    pub(super) events: S::Events,
    pub(super) collections: S::Collections,
}

/// Why tables are not saved or restored.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TableError {
    /// They are not all in guest memory; EFAULT.
    Fault,
    /// They say what cannot be; EINVAL.
    Inconsistent,
    /// They say again what there is already; EEXIST.
    Exists,
    /// There is no memory for what they say; ENOMEM.
    NoMemory,
    /// The thread is being killed; EINTR.
    Killed,
}

impl From<Fault> for TableError {
    fn from(_: Fault) -> Self {
        Self::Fault
    }
}

impl<S: Storage> Its<S> {
    /// Returns an ITS as it is created, over maps that are empty.
    pub fn new(devices: S::Devices, events: S::Events, collections: S::Collections) -> Self {
        Self {
            registers: Registers {
                enabled: false,
                devices: Baser::reset(TableKind::Devices),
                collections: Baser::reset(TableKind::Collections),
                queue: Cbaser::from_raw(0),
                creadr: 0,
                cwriter: 0,
            },
            devices,
            events,
            collections,
        }
    }

    /// The devices that are mapped.
    pub fn devices(&self) -> &S::Devices {
        &self.devices
    }

    /// The events that are mapped.
    pub fn events(&self) -> &S::Events {
        &self.events
    }

    /// The collections that are known.
    pub fn collections(&self) -> &S::Collections {
        &self.collections
    }

    /// Resets it: KVM_DEV_ARM_ITS_CTRL_RESET, "ITS Reset State" in arm-vgic-its.rst.
    pub fn reset<E: Environment<Lpi = S::Lpi> + ?Sized>(&mut self, env: &E) {
        let registers = &mut self.registers;
        registers.enabled = false;
        registers.devices = registers.devices.with_valid(false);
        registers.collections = registers.collections.with_valid(false);
        registers.queue = Cbaser::from_raw(0);
        registers.creadr = 0;
        registers.cwriter = 0;
        self.clear(env);
    }

    /// Unmaps everything. What its owner does before it goes: each LPI that is mapped goes back.
    pub fn clear<E: Environment<Lpi = S::Lpi> + ?Sized>(&mut self, env: &E) {
        self.unmap_devices(env);
        self.unmap_collections(env);
        env.forget(Forget::All);
    }

    /// Returns where a collection goes.
    pub(super) fn target(&self, id: CollectionId) -> Result<Target, CommandError> {
        self.collections
            .get(id)
            .and_then(|collection| collection.target)
            .ok_or(CommandError::UnmappedCollection)
    }

    /// Unmaps all devices and their events.
    pub(super) fn unmap_devices<E: Environment<Lpi = S::Lpi> + ?Sized>(&mut self, env: &E) {
        while let Some((device, _)) = self.devices.at_or_after(Event::FIRST.device) {
            env.go_on();
            self.unmap_device(env, device);
        }
        env.forget(Forget::All);
    }

    /// Unmaps all collections. Those that have events stay known.
    pub(super) fn unmap_collections<E: Environment<Lpi = S::Lpi> + ?Sized>(&mut self, env: &E) {
        let mut from = Some(CollectionId::from(0));
        while let Some((id, collection)) = from.and_then(|id| self.collections.at_or_after(id)) {
            env.go_on();
            from = CollectionId::new(id.get() + 1);
            if collection.events == 0 {
                self.collections.remove(id);
            } else if let Some(collection) = self.collections.get_mut(id) {
                collection.target = None;
            }
        }
        self.each_event(|_, mapping| {
            env.go_on();
            env.set_target(&mapping.lpi, None);
            true
        });
        env.forget(Forget::All);
    }

    /// Unmaps a device and its events, if it is mapped. Returns the number of events.
    pub(super) fn unmap_device<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        device: DeviceId,
    ) -> u32 {
        let mut count = 0;
        if self.devices.remove(device).is_none() {
            return count;
        }
        let first = Event::first_of(device);
        while let Some((event, _)) = self.events.at_or_after(first) {
            if event.device != device {
                break;
            }
            env.go_on();
            self.unmap_event(env, event);
            count += 1;
        }
        env.forget(Forget::Device(device));
        count
    }

    /// Unmaps an event, if it is mapped.
    pub(super) fn unmap_event<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        event: Event,
    ) {
        if let Some(mapping) = self.events.remove(event) {
            self.leave(mapping.collection);
            env.unmap(mapping.lpi);
        }
    }

    /// An event that was in a collection is so no more.
    pub(super) fn leave(&mut self, id: CollectionId) {
        if let Some(collection) = self.collections.get_mut(id) {
            collection.events = collection.events.saturating_sub(1);
        }
        self.prune(id);
    }

    /// Forgets a collection that goes nowhere and has no events.
    pub(super) fn prune(&mut self, id: CollectionId) {
        if self
            .collections
            .get(id)
            .is_some_and(|collection| collection.target.is_none() && collection.events == 0)
        {
            self.collections.remove(id);
        }
    }

    /// Returns a collection that has a place in the collection table, in guest memory. It is added
    /// if it is not known.
    ///
    /// If nothing comes of it, the caller has to [`prune`](Self::prune) it.
    pub(super) fn know<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        id: CollectionId,
    ) -> Result<&mut Collection, CommandError> {
        table::entry(env, self.registers.collections, id.get())
            .ok_or(CommandError::CollectionOor)?;
        if self.collections.get(id).is_none() {
            let unmapped = Collection {
                target: None,
                events: 0,
            };
            self.collections
                .insert(id, unmapped)
                .map_err(|_| CommandError::NoMemory)?;
        }
        self.collections
            .get_mut(id)
            .ok_or(CommandError::UnmappedCollection)
    }

    /// Maps an event that is not mapped, of a device that is and that has it. If that fails, the
    /// caller has to [`prune`](Self::prune) the collection.
    pub(super) fn map_event<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        event: Event,
        id: LpiId,
        collection: CollectionId,
    ) -> Result<(), CommandError> {
        let target = self.know(env, collection)?.target;
        let lpi = lpi::map(env, id, target.map(|target| target.vcpu)).map_err(|why| match why {
            NoLpi::OutOfRange => CommandError::PhysicalIdOor,
            NoLpi::Fault => CommandError::Memory,
            NoLpi::CannotMap(CannotMap::Taken) => CommandError::Taken,
            NoLpi::CannotMap(CannotMap::NoMemory) => CommandError::NoMemory,
        })?;
        if let Err(mapping) = self.events.insert(event, Mapping { lpi, collection }) {
            env.unmap(mapping.lpi);
            return Err(CommandError::NoMemory);
        }
        if let Some(collection) = self.collections.get_mut(collection) {
            collection.events += 1;
        }
        Ok(())
    }

    /// Calls `f` with each event, in order, until it returns `false`.
    pub(super) fn each_event(&self, mut f: impl FnMut(Event, &Mapping<S::Lpi>) -> bool) {
        let mut from = Some(Event::FIRST);
        while let Some((event, mapping)) = from.and_then(|event| self.events.at_or_after(event)) {
            if !f(event, mapping) {
                break;
            }
            from = event.next();
        }
    }
}
