// SPDX-License-Identifier: GPL-2.0

//! Operations on the ITS and on its specification, made from bytes so that a fuzzer has them, too.

pub use super::bytes::{
    itt_of,
    Bytes, //
};
use super::{
    memory::{
        COLLECTIONS,
        CONFIG,
        DEVICES,
        ITTS,
        PENDING,
        PENDING_SIZE,
        QUEUE,
        SECOND, //
    },
    model::Model,
    world::{
        Std,
        World, //
    },
};
use kvm_core::its::{
    command::Command,
    lpi,
    ConfigTable,
    Event,
    Its,
    Lpis as _,
    Progress,
    Refused,
    TableError,
    Undelivered, //
};
use std::{
    fmt::Write,
    rc::Rc, //
};

const VALID: u64 = 1 << 63;

/// An ITS and its specification.
pub struct Pair {
    pub world: World,
    pub its: Its<Std>,
    pub model: Model,
}

impl Pair {
    /// Returns both as they are created.
    pub fn new(id_bits: u32) -> Self {
        let world = World::new(ConfigTable {
            base: CONFIG,
            id_bits,
        });
        Self {
            its: world.its(),
            world,
            model: Model::new((CONFIG, id_bits)),
        }
    }

    /// Returns both with flat tables of 64 KiB, a queue of 4 KiB, and enabled.
    pub fn enabled() -> Self {
        let mut pair = Self::new(16);
        pair.enable();
        pair
    }

    pub fn enable(&mut self) {
        self.write(0x100, DEVICES | VALID | 2 << 8);
        self.write(0x108, COLLECTIONS | VALID | 2 << 8);
        self.write(0x80, QUEUE | VALID);
        self.write(0x00, 1);
    }

    /// Enables it, and maps three devices with an event each and three collections.
    pub fn set_up(&mut self) {
        self.enable();
        for (n, rdbase) in [1, 0, 9].into_iter().enumerate() {
            let n = n as u64;
            self.command([0x9, 0, n | rdbase << 16 | VALID, 0]);
            self.command([0x8 | n << 32, 4, itt_of(n) | VALID, 0]);
            self.command([0xa | n << 32, n | (8192 + n) << 32, n, 0]);
        }
    }

    /// A vCPU writes a whole register.
    pub fn write(&mut self, offset: u64, value: u64) {
        let len = if (8..0xffd0).contains(&offset) { 8 } else { 4 };
        self.its.write(&self.world, offset, len, value);
        self.model.set(offset, value);
        self.process();
    }

    fn process(&mut self) {
        while self.its.process(&self.world, 2) == Progress::More {
            let ctlr = self.its.read(0, 4);
            assert_eq!(ctlr, 1, "not quiescent");
        }
        self.model.queue();
    }

    /// Carries out a command and returns whether it had an effect.
    pub fn command(&mut self, words: [u64; 4]) -> bool {
        let mut steps = 0;
        let events = self.its.events().map.len();
        let done = Command::parse(words)
            .and_then(|command| self.its.execute(&self.world, command, &mut steps));
        assert!(
            steps as usize <= events,
            "{steps} steps for {events} events"
        );
        let specified = self.model.command(words);
        assert_eq!(done.is_ok(), specified.is_ok(), "{words:x?}: {done:?}");
        done.is_ok()
    }

    /// Puts a command into the queue, as a driver does.
    pub fn queue(&mut self, words: [u64; 4]) {
        let cwriter = self.model.cwriter;
        let at = (self.model.cbaser >> 12 & 0xff_ffff_ffff) << 12;
        for (n, word) in words.iter().enumerate() {
            self.poke(at + cwriter + n as u64 * 8, *word);
        }
        let size = ((self.model.cbaser & 0xff) + 1) << 12;
        self.write(0x88, (cwriter + 32) % size);
    }

    /// Writes guest memory.
    pub fn poke(&mut self, ipa: u64, value: u64) {
        let _ = self.world.memory.borrow_mut().set_u64(ipa & !7, value);
        let _ = self.model.memory.set_u64(ipa & !7, value);
    }

    /// Writes a byte of guest memory.
    pub fn poke_u8(&mut self, ipa: u64, value: u8) {
        let _ = self.world.memory.borrow_mut().write(ipa, &[value]);
        let _ = self.model.memory.write(ipa, &[value]);
    }

    /// A message; returns the LPI.
    pub fn message(&mut self, device: u64, event: u64) -> Option<u32> {
        let (Ok(d), Ok(e)) = (u32::try_from(device), u32::try_from(event)) else {
            return None;
        };
        let event_of = Event::new(d, e)?;
        let cached = self.world.cache.borrow().get(event_of).cloned();
        let found = self.its.translate(&self.world, event_of);
        match (&found, self.model.translate(device, event)) {
            (Ok(lpi), Ok(intid)) => {
                assert_eq!(u64::from(lpi.id.get()), intid);
                assert!(cached.is_none_or(|cached| Rc::ptr_eq(&cached, lpi)));
                assert!(self.world.cache.borrow().get(event_of).is_some());
                self.world.set_pending(lpi, true);
                self.model.lpis.get_mut(&intid).unwrap().pending = true;
                self.model.drop_disabled();
                Some(lpi.id.get())
            }
            (Err(Undelivered::Disabled), Err("EBUSY")) | (Err(Undelivered::Unmapped), Err("0")) => {
                // A vCPU that disables its LPIs makes all ITSs forget; `Op` does it.
                assert!(
                    cached.is_none(),
                    "a message finds what is not mapped any more"
                );
                None
            }
            (found, specified) => panic!("{found:?}, not {specified:?}"),
        }
    }

    /// A vCPU enables or disables its LPIs.
    pub fn enable_lpis(&mut self, vcpu: usize, enabled: bool) {
        use kvm_core::its::{
            Environment,
            Forget, //
        };
        let mut all = self.world.enabled.get();
        all[vcpu] = enabled;
        self.world.enabled.set(all);
        self.model.lpis_enabled[vcpu] = enabled;
        self.world.forget(Forget::All);
        self.model.drop_disabled();
        if !enabled {
            lpi::drop_pending(&self.world, vcpu);
        }
        if enabled {
            lpi::load_pending(&self.world, vcpu).unwrap();
            self.model.load_pending(vcpu);
        }
    }

    /// Saves the tables, and returns whether that succeeded.
    pub fn save(&mut self) -> bool {
        let saved = self.its.save(&self.world);
        assert_eq!(saved.map_err(errno), self.model.save());
        saved.is_ok()
    }

    /// Restores the tables, and returns what is wrong with them.
    pub fn restore(&mut self) -> Result<(), TableError> {
        let restored = self.its.restore(&self.world);
        assert_eq!(restored.map_err(errno), self.model.restore());
        restored
    }

    /// Resets it and restores it from what is in guest memory, in the order of
    /// arm-vgic-its.rst. Returns what is wrong with the tables.
    pub fn move_house(&mut self) -> Result<(), TableError> {
        let order = [0x80, 0x4, 0x90, 0x88, 0x100, 0x108];
        let saved = order.map(|offset| (offset, self.its.user_read(offset).unwrap()));
        let ctlr = self.its.user_read(0).unwrap();
        self.reset();
        for (offset, value) in saved {
            self.user_write(offset, value).unwrap();
        }
        let restored = self.restore();
        self.user_write(0, ctlr).unwrap();
        restored
    }

    pub fn reset(&mut self) {
        self.its.reset(&self.world);
        self.model.reset();
    }

    pub fn save_pending(&mut self) {
        lpi::save_pending(&self.world).unwrap();
        self.model.save_pending();
    }

    /// Makes an operation of bytes and does it on both. Returns what it was.
    pub fn step(&mut self, bytes: &mut Bytes<'_>) -> String {
        let mut what = String::new();
        match bytes.u8() {
            n if n >= 96 => {
                let words = bytes.command();
                let done = self.command(words);
                let _ = write!(what, "command {words:x?}: {done}");
            }
            0..=31 => {
                let words = bytes.command();
                self.queue(words);
                let _ = write!(what, "queue {words:x?}");
            }
            32..=43 => {
                let (device, event) = (bytes.device(), bytes.event());
                let lpi = self.message(device, event);
                let _ = write!(what, "message {device:x} {event:x}: {lpi:?}");
            }
            44..=46 => {
                let (offset, value) = bytes.register();
                self.write(offset, value);
                let _ = write!(what, "write {offset:x} {value:x}");
            }
            47 => {
                let (offset, value) = bytes.register();
                self.half_write(offset & !7, bytes.bool(), value);
                let _ = write!(what, "write a half of {offset:x} {value:x}");
            }
            48 => {
                let (offset, value) = bytes.register();
                let done = self.user_write(offset, value);
                let _ = write!(what, "user space writes {offset:x} {value:x}: {done:?}");
            }
            49..=59 => {
                let (lpi, value) = (bytes.below(24), bytes.u8());
                self.poke_u8(CONFIG + lpi, value);
                let _ = write!(what, "configuration of {lpi}: {value:x}");
            }
            60..=63 => {
                let (vcpu, byte, value) = (bytes.below(3), bytes.below(3), bytes.u8());
                self.poke_u8(PENDING + vcpu * PENDING_SIZE + 8192 / 8 + byte, value);
                let _ = write!(what, "pending bits of {vcpu}: {value:x}");
            }
            64..=69 => {
                let at = match bytes.u8() & 3 {
                    0 => DEVICES + bytes.below(6) * 8,
                    1 => COLLECTIONS + bytes.below(6) * 8,
                    2 => ITTS + bytes.below(4) * 0x100 + bytes.below(6) * 8,
                    _ => SECOND + bytes.below(8) * 0x4000 + bytes.below(6) * 8,
                };
                let entry = bytes.entry();
                self.poke(at, entry);
                let _ = write!(what, "poke {at:x} {entry:x}");
            }
            70..=73 => {
                let (vcpu, enabled) = (bytes.below(3) as usize, bytes.u8() & 3 != 0);
                self.enable_lpis(vcpu, enabled);
                let _ = write!(what, "LPIs of {vcpu}: {enabled}");
            }
            74..=77 => {
                let saved = self.save();
                let _ = write!(what, "save: {saved}");
            }
            78 => {
                let restored = self.restore();
                let _ = write!(what, "restore: {restored:?}");
            }
            79 | 82..=85 => {
                let restored = self.move_house();
                let _ = write!(what, "reset, registers, restore: {restored:?}");
            }
            80 | 81 => {
                self.save_pending();
                what.push_str("save pending");
            }
            _ => {
                if bytes.u8() & 7 == 0 {
                    self.reset();
                    what.push_str("reset, ");
                }
                self.set_up();
                what.push_str("set up");
            }
        }
        what
    }

    /// A vCPU writes half of a register.
    fn half_write(&mut self, offset: u64, upper: bool, value: u64) {
        let wide = (8..0xffd0).contains(&offset);
        let at = offset + if upper { 4 } else { 0 };
        self.its.write(&self.world, at, 4, value);
        if wide {
            let old = self.model.get(offset);
            let new = if upper {
                old & 0xffff_ffff | value << 32
            } else {
                old >> 32 << 32 | value & 0xffff_ffff
            };
            self.model.set(offset, new);
        } else {
            self.model.set(at, value & 0xffff_ffff);
        }
        self.process();
    }

    fn user_write(&mut self, offset: u64, value: u64) -> Result<(), Refused> {
        let done = self.its.user_write(&self.world, offset, value);
        match done {
            Err(Refused::Unknown | Refused::Unaligned) => {
                assert!(self.its.user_read(offset).is_err());
            }
            _ => {
                let errno = done.map_err(|refused| match refused {
                    Refused::Enabled => "EBUSY",
                    _ => "EINVAL",
                });
                assert_eq!(errno, self.model.user_set(offset, value));
            }
        }
        self.process();
        done
    }

    /// Compares both, all of them.
    pub fn check(&self) {
        for offset in [0x0, 0x4, 0x8, 0x80, 0x88, 0x90, 0x100, 0x108, 0x110, 0xffe8] {
            let value = self.its.user_read(offset).unwrap();
            assert_eq!(value, self.model.get(offset), "register {offset:x}");
        }
        let devices = self.its.devices().map.iter().map(|(id, device)| {
            let bits = device.bits.count().trailing_zeros();
            (u64::from(id.get()), (device.itt.get(), bits))
        });
        assert!(devices.eq(self.model.devices.clone()));
        let events = self.its.events().map.iter().map(|(event, mapping)| {
            let key = (event.device.get().into(), event.event.get().into());
            let icid = mapping.collection.get();
            (key, (mapping.lpi.id.get().into(), icid.into()))
        });
        assert!(events.eq(self.model.events.clone()));
        let collections = self.its.collections().map.iter().map(|(id, collection)| {
            let processor = collection
                .target
                .map(|target| target.processor.get().into());
            (u64::from(id.get()), processor, collection.events as usize)
        });
        let known = self.model.known().into_iter().map(|icid| {
            let members = self.model.events.values().filter(|(_, of)| *of == icid);
            let rdbase = self.model.collections.get(&icid).copied();
            (icid, rdbase, members.count())
        });
        assert!(collections.eq(known));
        for (id, lpi) in self.world.lpis.borrow().iter() {
            let known = &self.model.lpis[&u64::from(id.get())];
            let config = lpi.config.get();
            let byte = config.priority | u8::from(config.enabled);
            assert_eq!(
                (lpi.target.get(), lpi.pending.get(), byte),
                (known.target, known.pending, known.config),
                "{id:?}"
            );
        }
        assert_eq!(self.world.lpis.borrow().len(), self.model.lpis.len());
        let differs = self.world.memory.borrow().differs(&self.model.memory);
        assert_eq!(differs, None::<u64>, "memory");
        self.world.check_references(&self.its);
    }

    /// Unmaps everything; no LPI is left.
    pub fn finish(mut self) {
        self.its.clear(&self.world);
        self.world.check_references(&self.its);
        assert_eq!(self.world.lpis.borrow().len(), 0);
        assert_eq!(self.its.collections().map.len(), 0);
        assert_eq!(self.its.devices().map.len(), 0);
    }
}

/// The name of an error.
fn errno(error: TableError) -> &'static str {
    match error {
        TableError::Fault => "EFAULT",
        TableError::Inconsistent => "EINVAL",
        TableError::Exists => "EEXIST",
        TableError::NoMemory => "ENOMEM",
        TableError::Killed => "EINTR",
    }
}

/// Runs operations until the bytes are used up, and compares after each one.
pub fn run(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let first = bytes.u8();
    let mut pair = Pair::new(if first & 0xf0 == 0 { 15 } else { 16 });
    if first & 15 != 0 {
        pair.set_up();
    }
    let mut done = Done::default();
    while !bytes.is_empty() {
        done.0.push(pair.step(&mut bytes));
        pair.check();
    }
    done.0.clear();
    pair.finish();
}

/// What was done so far, which is told if it was wrong.
#[derive(Default)]
struct Done(Vec<String>);

impl Drop for Done {
    fn drop(&mut self) {
        for step in &self.0 {
            eprintln!("{step}");
        }
    }
}
