// SPDX-License-Identifier: GPL-2.0

//! Two guests and a host that share a bank's registers on two CPUs, with the values told apart by who
//! wrote them and whether they have been written to since.

use kvm_core::lazy::{
    Access,
    Bank,
    Events,
    Give,
    Policy,
    Take, //
};

pub const GUESTS: usize = 2;
pub const CPUS: usize = 2;

/// What the world asks of a guest's bank; [`Bank`], or one that is wrong.
pub trait Machine: Clone {
    fn new(policy: Policy) -> Self;
    fn bank(&mut self) -> &mut Bank;

    fn begin(&mut self, enabled: bool) -> Take {
        Bank::begin(self.bank(), enabled)
    }
    fn trapped(&mut self, access: Access) -> Take {
        Bank::trapped(self.bank(), access)
    }
    fn give_back(&mut self) -> Give {
        Bank::give_back(self.bank())
    }
    fn traps(&mut self) -> (bool, bool) {
        let traps = Bank::traps(self.bank());
        (traps.reads(), traps.writes())
    }
    fn peek(&mut self) -> bool {
        Bank::peek(self.bank())
    }
    /// To memory, and to the CPU.
    fn poke(&mut self) -> (bool, bool) {
        let poke = Bank::poke(self.bank());
        (poke.memory, poke.cpu)
    }
}

impl Machine for Bank {
    fn new(policy: Policy) -> Self {
        Bank::new(policy)
    }
    fn bank(&mut self) -> &mut Bank {
        self
    }
}

/// Who has written a value that nobody has replaced since.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Value {
    Guest(usize),
    /// The host, on this CPU.
    Host(usize),
    Old,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A stay of the guest begins on the CPU.
    Begin(usize, usize),
    Read(usize),
    /// The guest writes what has an effect, or has none.
    Write(usize, bool),
    End(usize),
    Peek(usize),
    Poke(usize, bool),
    HostRead(usize),
    HostWrite(usize),
}

impl Event {
    pub fn all() -> impl Iterator<Item = Self> {
        let guests = (0..GUESTS).flat_map(|g| {
            (0..CPUS).map(move |c| Self::Begin(g, c)).chain([
                Self::Read(g),
                Self::Write(g, false),
                Self::Write(g, true),
                Self::End(g),
                Self::Peek(g),
                Self::Poke(g, false),
                Self::Poke(g, true),
            ])
        });
        guests.chain((0..CPUS).flat_map(|c| [Self::HostRead(c), Self::HostWrite(c)]))
    }
}

#[derive(Clone)]
pub struct Guest<M> {
    pub machine: M,
    memory: Value,
    enabled: bool,
    on: Option<usize>,
    /// What the world has done for it.
    pub done: Events,
    /// What the bank says of that.
    pub told: Events,
    /// Accesses in this stay, and the writes and the traps among them.
    pub stay: (u32, u32, u32),
}

#[derive(Clone)]
pub struct World<M> {
    cpus: [(Value, Value); CPUS],
    pub guests: [Guest<M>; GUESTS],
}

fn add(sum: &mut Events, more: Events) {
    sum.restores += more.restores;
    sum.saves += more.saves;
    sum.skipped += more.skipped;
    sum.traps += more.traps;
}

impl<M: Machine> World<M> {
    pub fn new(policies: [Policy; GUESTS]) -> Self {
        let guest = |g: usize| Guest {
            machine: M::new(policies[g]),
            memory: Value::Guest(g),
            enabled: false,
            on: None,
            done: Events::default(),
            told: Events::default(),
            stay: (0, 0, 0),
        };
        Self {
            cpus: core::array::from_fn(|c| (Value::Host(c), Value::Old)),
            guests: [guest(0), guest(1)],
        }
    }

    /// What tells this state from others, all numbers that only grow left out.
    pub fn key(&self) -> String {
        let guests = self.guests.each_ref().map(|guest| {
            let mut machine = guest.machine.clone();
            let bank = format!("{:?}", machine.bank());
            (bank, guest.memory, guest.enabled, guest.on)
        });
        format!("{:?} {guests:?}", self.cpus)
    }

    /// Whether it can happen now.
    pub fn may(&self, event: Event) -> bool {
        let free = |c: usize| self.guests.iter().all(|guest| guest.on != Some(c));
        match event {
            Event::Begin(g, c) => self.guests[g].on.is_none() && free(c),
            Event::Read(g) | Event::Write(g, _) | Event::End(g) => self.guests[g].on.is_some(),
            Event::Peek(_) | Event::Poke(..) => true,
            Event::HostRead(c) | Event::HostWrite(c) => free(c),
        }
    }

    /// Lets it happen. An error says what is wrong.
    pub fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Begin(g, c) => {
                let guest = &mut self.guests[g];
                guest.on = Some(c);
                guest.stay = (0, 0, 0);
                let take = guest.machine.begin(guest.enabled);
                self.take(g, c, take);
                if take == Take::Restore && self.guests[g].machine.begin(true) != Take::Nothing {
                    return Err("a stay that has begun begins".into());
                }
            }
            Event::Read(g) => {
                let c = self.access(g, Access::Read)?;
                self.expect(self.cpus[c].0, Value::Guest(g), "the guest reads")?;
            }
            Event::Write(g, enabled) => {
                let c = self.access(g, Access::Write)?;
                self.forget(Value::Guest(g));
                self.cpus[c].0 = Value::Guest(g);
                self.guests[g].enabled = enabled;
            }
            Event::End(g) => {
                let guest = &mut self.guests[g];
                let c = guest.on.take().ok_or("not in the model")?;
                match guest.machine.give_back() {
                    Give::Nothing => {}
                    Give::Drop => {
                        guest.done.skipped += 1;
                        self.cpus[c].0 = self.cpus[c].1;
                    }
                    Give::Save => {
                        guest.done.saves += 1;
                        guest.memory = self.cpus[c].0;
                        self.cpus[c].0 = self.cpus[c].1;
                    }
                }
                self.expect(self.guests[g].memory, Value::Guest(g), "memory has")?;
            }
            Event::Peek(g) => {
                let guest = &mut self.guests[g];
                let value = match (guest.machine.peek(), guest.on) {
                    (false, _) => guest.memory,
                    (true, Some(c)) => self.cpus[c].0,
                    (true, None) => return Err("a CPU is asked for what none has".into()),
                };
                self.expect(value, Value::Guest(g), "the VMM reads")?;
            }
            Event::Poke(g, enabled) => {
                self.forget(Value::Guest(g));
                let guest = &mut self.guests[g];
                let (memory, cpu) = guest.machine.poke();
                guest.enabled = enabled;
                if memory {
                    guest.memory = Value::Guest(g);
                }
                match (cpu, guest.on) {
                    (false, _) => {}
                    (true, Some(c)) => self.cpus[c].0 = Value::Guest(g),
                    (true, None) => return Err("a CPU is given what none has".into()),
                }
            }
            Event::HostRead(c) => self.expect(self.cpus[c].0, Value::Host(c), "the host reads")?,
            Event::HostWrite(c) => {
                self.forget(Value::Host(c));
                self.cpus[c].0 = Value::Host(c);
            }
        }
        for guest in &mut self.guests {
            add(&mut guest.told, guest.machine.bank().take_events());
            if guest.told != guest.done {
                return Err(format!("{:?} was {:?}", guest.done, guest.told));
            }
        }
        Ok(())
    }

    /// An access of the guest, which may trap and be made again; the CPU that it is made on.
    fn access(&mut self, g: usize, access: Access) -> Result<usize, String> {
        let guest = &mut self.guests[g];
        let c = guest.on.ok_or("not in the model")?;
        let does = |(read, write): (bool, bool)| match access {
            Access::Read => read,
            Access::Write => write,
        };
        guest.stay.0 += 1;
        guest.stay.1 += u32::from(access == Access::Write);
        if does(guest.machine.traps()) {
            guest.stay.2 += 1;
            guest.done.traps += 1;
            let take = guest.machine.trapped(access);
            self.take(g, c, take);
            if does(self.guests[g].machine.traps()) {
                return Err("it traps again".into());
            }
        }
        Ok(c)
    }

    fn take(&mut self, g: usize, c: usize, take: Take) {
        if take == Take::Restore {
            self.guests[g].done.restores += 1;
            self.cpus[c].1 = self.cpus[c].0;
            self.cpus[c].0 = self.guests[g].memory;
        }
    }

    /// There is a newer one.
    fn forget(&mut self, value: Value) {
        let cpus = self.cpus.iter_mut().flat_map(|(now, saved)| [now, saved]);
        let memory = self.guests.iter_mut().map(|guest| &mut guest.memory);
        for place in cpus.chain(memory) {
            if *place == value {
                *place = Value::Old;
            }
        }
    }

    fn expect(&self, there: Value, wanted: Value, what: &str) -> Result<(), String> {
        if there == wanted {
            Ok(())
        } else {
            Err(format!("{what} {there:?}, not {wanted:?}"))
        }
    }
}
