// SPDX-License-Identifier: GPL-2.0

//! Reading the tables: KVM_DEV_ARM_ITS_RESTORE_TABLES.
//!
//! Source: arm-vgic-its.rst, "ITS Restore Sequence" and "ITS Table ABI REV0".

use super::{
    command::CommandError,
    entry::{
        CollectionEntry,
        Device,
        DeviceEntry,
        EventEntry,
        Parsed, //
    },
    env::{
        Environment,
        Map, //
    },
    id::{
        CollectionId,
        DeviceId,
        Event, //
    },
    register::ENTRY_SIZE,
    state::{
        Its,
        Storage,
        TableError,
        Target, //
    },
    table::{
        self,
        Reader, //
    },
};

impl From<CommandError> for TableError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Memory => Self::Fault,
            CommandError::NoMemory => Self::NoMemory,
            _ => Self::Inconsistent,
        }
    }
}

impl<S: Storage> Its<S> {
    /// Maps what the tables say. The registers have been restored before, GITS_CTLR excepted, and
    /// the redistributors, too.
    ///
    /// # Errors
    ///
    /// [`TableError`]; everything is unmapped then, as after a reset.
    pub fn restore<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
    ) -> Result<(), TableError> {
        let restored = self
            .restore_collections(env)
            .and_then(|()| self.restore_devices(env));
        match restored {
            Ok(()) => self.prune_collections(),
            Err(_) => self.clear(env),
        }
        restored
    }

    fn restore_collections<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
    ) -> Result<(), TableError> {
        let baser = self.registers.collections;
        if !baser.valid() {
            return Ok(());
        }
        let mut reader = Reader::new();
        for place in 0..baser.bytes() / ENTRY_SIZE {
            if !env.go_on() {
                return Err(TableError::Killed);
            }
            let ipa = baser.base().wrapping_add(place * ENTRY_SIZE);
            let entry = match CollectionEntry::parse(reader.read(env, ipa)?) {
                Parsed::Invalid => break,
                Parsed::Bad => return Err(TableError::Inconsistent),
                Parsed::Valid(entry) => entry,
            };
            let target = match entry.processor {
                None => None,
                Some(processor) => Some(Target {
                    processor,
                    vcpu: env.find(processor).ok_or(TableError::Inconsistent)?,
                }),
            };
            if self.collections.get(entry.id).is_some() {
                return Err(TableError::Exists);
            }
            self.know(env, entry.id)?.target = target;
        }
        Ok(())
    }

    fn restore_devices<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
    ) -> Result<(), TableError> {
        let mut reader = Reader::new();
        let mut id = 0;
        while let Some(run) = table::run(env, self.registers.devices, id)? {
            while id < run.end {
                let Some(device) = u32::try_from(id).ok().and_then(DeviceId::new) else {
                    return Ok(());
                };
                let Some(ipa) = run.entry(id) else {
                    break;
                };
                if !env.go_on() {
                    return Err(TableError::Killed);
                }
                id += match DeviceEntry::parse(reader.read(env, ipa)?) {
                    Parsed::Invalid => 1,
                    Parsed::Bad => return Err(TableError::Inconsistent),
                    Parsed::Valid(entry) => {
                        self.restore_device(env, device, entry.device)?;
                        if entry.next == 0 {
                            return Ok(());
                        }
                        u64::from(entry.next)
                    }
                };
            }
            id = id.max(run.end);
        }
        Ok(())
    }

    fn restore_device<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        id: DeviceId,
        device: Device,
    ) -> Result<(), TableError> {
        if self.devices.get(id).is_some() {
            return Err(TableError::Exists);
        }
        self.devices
            .insert(id, device)
            .map_err(|_| TableError::NoMemory)?;
        let mut reader = Reader::new();
        let mut number = 0;
        while number < device.bits.count() {
            let Some(event) = Event::new(id.get(), number) else {
                break;
            };
            if !env.go_on() {
                return Err(TableError::Killed);
            }
            let entry = match EventEntry::parse(reader.read(env, device.entry(event.event))?) {
                Parsed::Invalid => {
                    number += 1;
                    continue;
                }
                Parsed::Bad => return Err(TableError::Inconsistent),
                Parsed::Valid(entry) => entry,
            };
            number += entry.next;
            if number >= device.bits.count() || self.collections.get(entry.collection).is_none() {
                return Err(TableError::Inconsistent);
            }
            match self.map_event(env, event, entry.lpi, entry.collection) {
                // The first one keeps it, as with commands.
                Ok(()) | Err(CommandError::Taken) => {}
                Err(error) => return Err(error.into()),
            }
            if entry.next == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Forgets collections that were saved as known and that nothing is in.
    fn prune_collections(&mut self) {
        let mut from = Some(CollectionId::from(0));
        while let Some((id, _)) = from.and_then(|id| self.collections.at_or_after(id)) {
            from = CollectionId::new(id.get() + 1);
            self.prune(id);
        }
    }
}
