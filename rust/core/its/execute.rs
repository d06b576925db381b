// SPDX-License-Identifier: GPL-2.0

//! Carrying out commands.
//!
//! A command that is wrong is skipped, which the architecture allows ("Command errors"): GITS_CREADR
//! never says Stalled. One that cannot be read is skipped as well.
//!
//! Source: IHI 0069, "ITS commands".

use super::{
    command::{
        Command,
        CommandError, //
    },
    entry::Device,
    env::{
        Environment,
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
    lpi,
    register::COMMAND_SIZE,
    state::{
        Its,
        Mapping,
        Storage,
        Target, //
    },
    table, //
};

/// Whether the queue is empty.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Progress {
    /// Nothing is to be done.
    Idle,
    /// There are more commands.
    More,
}

impl<S: Storage> Its<S> {
    /// Carries out commands from the queue while the ITS is enabled, until about `budget` steps are
    /// done: a step is a command or an event or LPI that it touches, and no command has more than
    /// [`MAX_LPIS`](super::id::MAX_LPIS) and one of them. Or until no writes to guest memory can be
    /// noted, of which a command has one at most.
    ///
    /// After each write to a register the caller calls it until nothing is left, and lets others
    /// run and have the ITS in between. GITS_CREADR says how far it is, so it can also be left
    /// there, for as long as one likes.
    pub fn process<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        budget: u32,
    ) -> Progress {
        let mut steps = 0;
        while self.registers.enabled && self.registers.creadr != self.registers.cwriter {
            if steps >= budget || !env.takes_writes() {
                return Progress::More;
            }
            steps += 1;
            let queue = self.registers.queue;
            let ipa = queue.base().wrapping_add(self.registers.creadr);
            if let Some(command) = fetch(env, ipa) {
                // There is nobody to be told of an error.
                let _ = self.execute(env, command, &mut steps);
            }
            self.registers.creadr = queue.next(self.registers.creadr);
        }
        Progress::Idle
    }

    /// Carries out a command and adds what it touched to `steps`.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; it then has had no effect, except that after [`CommandError::Memory`] a
    /// DISCARD or MAPD has had all but that on guest memory.
    pub fn execute<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        command: Command,
        steps: &mut u32,
    ) -> Result<(), CommandError> {
        match command {
            Command::Mapd { device, to } => self.mapd(env, device, to, steps),
            Command::Mapc { collection, to } => self.mapc(env, collection, to, steps),
            Command::Mapti {
                event,
                lpi,
                collection,
            } => self.mapti(env, event, lpi, collection),
            Command::Movi { event, collection } => self.movi(env, event, collection),
            Command::Movall { from, to } => movall(env, from, to, steps),
            Command::Discard(event) => self.discard(env, event),
            Command::Clear(event) => {
                env.set_pending(&self.mapping(event)?.lpi, false);
                Ok(())
            }
            Command::Int(event) => {
                let lpi = self
                    .translate(env, event)
                    .map_err(|_| CommandError::UnmappedInterrupt)?;
                env.set_pending(&lpi, true);
                Ok(())
            }
            Command::Inv(event) => {
                lpi::reload(env, &self.mapping(event)?.lpi).map_err(|_| CommandError::Memory)
            }
            Command::Invall(collection) => self.invall(env, collection, steps),
            // Each command is complete when the next one begins.
            Command::Sync => Ok(()),
        }
    }

    fn mapping(&self, event: Event) -> Result<&Mapping<S::Lpi>, CommandError> {
        self.events
            .get(event)
            .ok_or(CommandError::UnmappedInterrupt)
    }

    /// Mapping a device that is mapped unmaps its events, which the architecture allows.
    fn mapd<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        device: DeviceId,
        to: Option<Device>,
        steps: &mut u32,
    ) -> Result<(), CommandError> {
        let entry = table::entry(env, self.registers.devices, device.get())
            .ok_or(CommandError::DeviceOor)?;
        *steps += self.unmap_device(env, device);
        match to {
            Some(to) => self
                .devices
                .insert(device, to)
                .map_err(|_| CommandError::NoMemory),
            // A restore would find what a save has left there.
            None => env.write_u64(entry, 0).map_err(|_| CommandError::Memory),
        }
    }

    /// Mapping a collection that is mapped, or has events, moves its LPIs.
    fn mapc<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        id: CollectionId,
        to: Option<Processor>,
        steps: &mut u32,
    ) -> Result<(), CommandError> {
        let target = match to {
            None => None,
            Some(processor) => Some(Target {
                processor,
                vcpu: env.find(processor).ok_or(CommandError::ProcnumOor)?,
            }),
        };
        let collection = match (target, self.collections.get_mut(id)) {
            (Some(_), _) => self.know(env, id)?,
            (None, Some(collection)) => collection,
            (None, None) => return Ok(()),
        };
        collection.target = target;
        let mut left = collection.events;
        self.prune(id);
        let vcpu = target.map(|target| target.vcpu);
        if left != 0 {
            self.each_event(|_, mapping| {
                *steps += 1;
                env.go_on();
                if mapping.collection == id {
                    env.set_target(&mapping.lpi, vcpu);
                    left -= 1;
                }
                left != 0
            });
        }
        env.forget(Forget::All);
        Ok(())
    }

    /// Mapping an event that is mapped is UNPREDICTABLE: it stays as it is.
    fn mapti<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        event: Event,
        lpi: LpiId,
        collection: CollectionId,
    ) -> Result<(), CommandError> {
        let device = self
            .devices
            .get(event.device)
            .ok_or(CommandError::UnmappedDevice)?;
        if !device.bits.contain(event.event) {
            return Err(CommandError::IdOor);
        }
        if !env.is_memory(device.entry(event.event)) {
            return Err(CommandError::Memory);
        }
        if self.events.get(event).is_some() {
            return Ok(());
        }
        let mapped = self.map_event(env, event, lpi, collection);
        self.prune(collection);
        mapped
    }

    fn movi<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        event: Event,
        to: CollectionId,
    ) -> Result<(), CommandError> {
        let from = self.mapping(event)?.collection;
        self.target(from)?;
        let target = self.target(to)?;
        let Some(mapping) = self.events.get_mut(event) else {
            return Err(CommandError::UnmappedInterrupt);
        };
        mapping.collection = to;
        env.set_target(&mapping.lpi, Some(target.vcpu));
        if let Some(collection) = self.collections.get_mut(to) {
            collection.events += 1;
        }
        self.leave(from);
        env.forget(Forget::Event(event));
        Ok(())
    }

    fn discard<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        event: Event,
    ) -> Result<(), CommandError> {
        let collection = self.mapping(event)?.collection;
        self.target(collection)?;
        let device = self
            .devices
            .get(event.device)
            .ok_or(CommandError::UnmappedDevice)?;
        let entry = device.entry(event.event);
        env.forget(Forget::Event(event));
        self.unmap_event(env, event);
        // A restore would find what a save has left there.
        env.write_u64(entry, 0).map_err(|_| CommandError::Memory)
    }

    fn invall<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        id: CollectionId,
        steps: &mut u32,
    ) -> Result<(), CommandError> {
        self.target(id)?;
        let mut left = self
            .collections
            .get(id)
            .map_or(0, |collection| collection.events);
        if left == 0 {
            return Ok(());
        }
        self.each_event(|_, mapping| {
            *steps += 1;
            env.go_on();
            if mapping.collection == id {
                // The others' bytes may be readable.
                let _ = lpi::reload(env, &mapping.lpi);
                left -= 1;
            }
            left != 0
        });
        Ok(())
    }
}

/// Reads and parses the command at `ipa`. [`None`] if that fails.
fn fetch<E: Environment + ?Sized>(env: &E, ipa: u64) -> Option<Command> {
    let mut bytes = [0; COMMAND_SIZE as usize];
    env.read(ipa, &mut bytes).ok()?;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    Command::parse(words).ok()
}

/// Moves the LPIs of all ITSs of the VM. Their collections stay where they are; software maps them
/// to `to` before.
fn movall<E: Environment + ?Sized>(
    env: &E,
    from: Processor,
    to: Processor,
    steps: &mut u32,
) -> Result<(), CommandError> {
    let from = env.find(from).ok_or(CommandError::ProcnumOor)?;
    let to = env.find(to).ok_or(CommandError::ProcnumOor)?;
    if from == to {
        return Ok(());
    }
    let Ok(()) = lpi::each(env, |lpi| {
        *steps += 1;
        env.go_on();
        if env.target(&lpi) == Some(from) {
            env.set_target(&lpi, Some(to));
        }
        Ok::<_, core::convert::Infallible>(())
    });
    env.forget(Forget::All);
    Ok(())
}
