// SPDX-License-Identifier: GPL-2.0

//! Writing the tables: KVM_DEV_ARM_ITS_SAVE_TABLES.
//!
//! What a guest did to its tables since cannot make this fail, as long as they are in its memory:
//! what has no place in them is left out.
//!
//! Source: arm-vgic-its.rst, "ITS Table ABI REV0".

use super::{
    entry::{
        CollectionEntry,
        Device,
        DeviceEntry,
        EventEntry, //
    },
    env::{
        Environment,
        Lpis,
        Map, //
    },
    id::{
        CollectionId,
        DeviceId,
        Event, //
    },
    register::{
        Baser,
        ENTRY_SIZE, //
    },
    state::{
        Its,
        Storage,
        TableError, //
    },
    table, //
};

/// Returns the number of collections that a collection table has places for.
fn places(baser: Baser) -> u64 {
    if baser.valid() {
        baser.bytes() / ENTRY_SIZE
    } else {
        0
    }
}

fn go_on<E: Environment + ?Sized>(env: &E) -> Result<(), TableError> {
    env.go_on().then_some(()).ok_or(TableError::Killed)
}

impl<S: Storage> Its<S> {
    /// Writes all tables. Without a table there is nothing to write.
    ///
    /// # Errors
    ///
    /// [`TableError::Fault`] and [`TableError::Killed`]; part of the tables is written then.
    pub fn save<E: Environment<Lpi = S::Lpi> + ?Sized>(&self, env: &E) -> Result<(), TableError> {
        self.save_devices(env)?;
        self.save_collections(env)
    }

    /// An entry says how far the next one is, so each is written when that one is known.
    fn save_devices<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &self,
        env: &E,
    ) -> Result<(), TableError> {
        let mut last: Option<(u64, DeviceId, Device)> = None;
        let mut from = Some(Event::FIRST.device);
        while let Some((id, device)) = from.and_then(|id| self.devices.at_or_after(id)) {
            go_on(env)?;
            from = DeviceId::new(id.get() + 1);
            let Some(entry) = table::entry(env, self.registers.devices, id.get()) else {
                continue;
            };
            self.save_events(env, id, device)?;
            if let Some((entry, last, device)) = last {
                let next = id.get() - last.get();
                env.write_u64(entry, DeviceEntry { device, next }.encode())?;
            }
            last = Some((entry, id, *device));
        }
        if let Some((entry, _, device)) = last {
            env.write_u64(entry, DeviceEntry { device, next: 0 }.encode())?;
        }
        Ok(())
    }

    fn save_events<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &self,
        env: &E,
        id: DeviceId,
        device: &Device,
    ) -> Result<(), TableError> {
        let places = places(self.registers.collections);
        let mut last: Option<(Event, EventEntry)> = None;
        let mut from = Some(Event::first_of(id));
        while let Some((event, mapping)) = from.and_then(|event| self.events.at_or_after(event)) {
            if event.device != id {
                break;
            }
            go_on(env)?;
            from = event.next();
            let entry = device.entry(event.event);
            if u64::from(mapping.collection.get()) >= places {
                // A restore knows no such collection.
                env.write_u64(entry, 0)?;
                continue;
            }
            if let Some((last, saved)) = last {
                let next = event.event.get() - last.event.get();
                env.write_u64(
                    device.entry(last.event),
                    EventEntry { next, ..saved }.encode(),
                )?;
            }
            let saved = EventEntry {
                lpi: Lpis::id(env, &mapping.lpi),
                collection: mapping.collection,
                next: 0,
            };
            last = Some((event, saved));
        }
        if let Some((last, saved)) = last {
            env.write_u64(device.entry(last.event), saved.encode())?;
        }
        Ok(())
    }

    /// Collections are written one after the other, with an invalid entry behind the last one.
    fn save_collections<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &self,
        env: &E,
    ) -> Result<(), TableError> {
        let baser = self.registers.collections;
        let places = places(baser);
        let mut place = 0;
        let mut write = |raw| {
            let entry = baser.base().wrapping_add(place * ENTRY_SIZE);
            place += 1;
            env.write_u64(entry, raw).map(|()| place)
        };
        let mut filled = 0;
        let mut from = Some(CollectionId::from(0));
        while let Some((id, collection)) = from.and_then(|id| self.collections.at_or_after(id)) {
            go_on(env)?;
            from = CollectionId::new(id.get() + 1);
            // The collections before it have lower numbers, so there are fewer than places.
            if u64::from(id.get()) >= places {
                break;
            }
            let processor = collection.target.map(|target| target.processor);
            filled = write(CollectionEntry { id, processor }.encode())?;
        }
        if filled < places {
            write(0)?;
        }
        Ok(())
    }
}
