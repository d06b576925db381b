// SPDX-License-Identifier: GPL-2.0

//! A machine with references that are counted.

use super::memory::{
    Memory,
    PENDING,
    PENDING_SIZE, //
};
use kvm_core::its::{
    env::{
        CannotMap,
        Fault, //
    },
    Cache,
    Collection,
    CollectionId,
    ConfigTable,
    Device,
    DeviceId,
    Environment,
    Event,
    Forget,
    GuestMemory,
    Its,
    LpiConfig,
    LpiId,
    Lpis,
    Map,
    Mapping,
    Processor,
    Storage, //
};
use std::{
    cell::{
        Cell,
        RefCell, //
    },
    collections::BTreeMap,
    rc::Rc, //
};

/// The processor numbers of the vCPUs, by index: neither zero-based nor in order.
pub const PROCESSORS: [u32; 3] = [1, 0, 9];

/// An LPI. While it is mapped there is one reference in the VM's map and one in an event's mapping.
#[derive(Debug)]
pub struct Lpi {
    pub id: LpiId,
    pub target: Cell<Option<usize>>,
    pub pending: Cell<bool>,
    pub config: Cell<LpiConfig>,
    alive: Rc<Cell<usize>>,
}

impl Drop for Lpi {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

/// A map with room for a number of entries that it may share with others.
#[derive(Debug)]
pub struct Bounded<K, V> {
    pub map: BTreeMap<K, V>,
    room: Rc<Cell<usize>>,
}

impl<K: Copy + Ord, V> Map<K, V> for Bounded<K, V> {
    fn get(&self, key: K) -> Option<&V> {
        self.map.get(&key)
    }

    fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.map.get_mut(&key)
    }

    fn insert(&mut self, key: K, value: V) -> Result<(), V> {
        assert!(!self.map.contains_key(&key));
        if self.room.get() == 0 {
            return Err(value);
        }
        self.room.set(self.room.get() - 1);
        self.map.insert(key, value);
        Ok(())
    }

    fn remove(&mut self, key: K) -> Option<V> {
        let value = self.map.remove(&key)?;
        self.room.set(self.room.get() + 1);
        Some(value)
    }

    fn at_or_after(&self, key: K) -> Option<(K, &V)> {
        self.map
            .range(key..)
            .next()
            .map(|(key, value)| (*key, value))
    }
}

/// The tests' [`Storage`].
#[derive(Debug)]
pub struct Std;

impl Storage for Std {
    type Lpi = Rc<Lpi>;
    type Devices = Bounded<DeviceId, Device>;
    type Events = Bounded<Event, Mapping<Rc<Lpi>>>;
    type Collections = Bounded<CollectionId, Collection>;
}

/// What is around an ITS.
pub struct World {
    pub memory: RefCell<Memory>,
    pub lpis: RefCell<BTreeMap<LpiId, Rc<Lpi>>>,
    pub cache: RefCell<Cache<Rc<Lpi>, 4>>,
    pub config: Cell<ConfigTable>,
    pub enabled: Cell<[bool; 3]>,
    /// How many more entries all maps together take.
    pub room: Rc<Cell<usize>>,
    /// How many more steps there are until the thread is killed.
    pub patience: Cell<u64>,
    /// How many more writes can be noted.
    pub notes: Cell<u64>,
    /// When this address is read, all LPIs become pending before that.
    pub message_at: Cell<Option<u64>>,
    alive: Rc<Cell<usize>>,
}

impl World {
    pub fn new(config: ConfigTable) -> Self {
        Self {
            memory: RefCell::default(),
            lpis: RefCell::default(),
            cache: RefCell::default(),
            config: Cell::new(config),
            enabled: Cell::new([true; 3]),
            room: Rc::new(Cell::new(usize::MAX / 2)),
            patience: Cell::new(u64::MAX),
            notes: Cell::new(u64::MAX),
            message_at: Cell::new(None),
            alive: Rc::default(),
        }
    }

    pub fn its(&self) -> Its<Std> {
        fn map<K, V>(room: &Rc<Cell<usize>>) -> Bounded<K, V> {
            Bounded {
                map: BTreeMap::new(),
                room: room.clone(),
            }
        }
        Its::new(map(&self.room), map(&self.room), map(&self.room))
    }

    /// Checks that no reference is lost and none is too many: each LPI is in the VM's map, in one
    /// event's mapping, and in the cache or not, and no other LPI exists.
    pub fn check_references(&self, its: &Its<Std>) {
        let lpis = self.lpis.borrow();
        let cache = self.cache.borrow();
        assert_eq!(self.alive.get(), lpis.len());
        assert_eq!(its.events().map.len(), lpis.len());
        for (event, mapping) in &its.events().map {
            let cached = cache.get(*event).map_or(0, |lpi| {
                assert!(Rc::ptr_eq(lpi, &mapping.lpi));
                1
            });
            assert!(Rc::ptr_eq(&lpis[&mapping.lpi.id], &mapping.lpi));
            assert_eq!(Rc::strong_count(&mapping.lpi), 2 + cached, "{event:?}");
        }
    }
}

impl GuestMemory for World {
    fn read(&self, ipa: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        if self.message_at.get() == Some(ipa) {
            self.message_at.set(None);
            let all: Vec<_> = self.lpis.borrow().values().cloned().collect();
            all.iter().for_each(|lpi| self.set_pending(lpi, true));
        }
        assert!(bytes.len().is_power_of_two() && ipa % bytes.len() as u64 == 0);
        assert!(bytes.len() <= 256);
        self.memory.borrow().read(ipa, bytes).ok_or(Fault)
    }

    fn write(&self, ipa: u64, bytes: &[u8]) -> Result<(), Fault> {
        assert!(bytes.len().is_power_of_two() && ipa % bytes.len() as u64 == 0);
        self.notes.set(self.notes.get().saturating_sub(1));
        self.memory.borrow_mut().write(ipa, bytes).ok_or(Fault)
    }

    fn takes_writes(&self) -> bool {
        self.notes.get() != 0
    }

    fn is_memory(&self, ipa: u64) -> bool {
        Memory::contains(ipa)
    }
}

impl Lpis for World {
    type Lpi = Rc<Lpi>;

    fn config_table(&self) -> ConfigTable {
        self.config.get()
    }

    fn find(&self, processor: Processor) -> Option<usize> {
        PROCESSORS
            .iter()
            .position(|number| *number == processor.get())
    }

    fn pending_table(&self, vcpu: usize) -> Option<u64> {
        self.enabled.get()[vcpu].then_some(PENDING + vcpu as u64 * PENDING_SIZE)
    }

    fn map(
        &self,
        id: LpiId,
        target: Option<usize>,
        config: LpiConfig,
    ) -> Result<Rc<Lpi>, CannotMap> {
        let mut lpis = self.lpis.borrow_mut();
        if lpis.contains_key(&id) {
            return Err(CannotMap::Taken);
        }
        if self.room.get() == 0 {
            return Err(CannotMap::NoMemory);
        }
        self.alive.set(self.alive.get() + 1);
        let lpi = Rc::new(Lpi {
            id,
            target: Cell::new(target),
            pending: Cell::new(false),
            config: Cell::new(config),
            alive: self.alive.clone(),
        });
        lpis.insert(id, lpi.clone());
        Ok(lpi)
    }

    fn unmap(&self, lpi: Rc<Lpi>) {
        let ours = self.lpis.borrow_mut().remove(&lpi.id).expect("mapped");
        assert!(Rc::ptr_eq(&ours, &lpi));
        lpi.pending.set(false);
    }

    fn at_or_after(&self, id: LpiId) -> Option<Rc<Lpi>> {
        self.lpis
            .borrow()
            .range(id..)
            .next()
            .map(|(_, lpi)| lpi.clone())
    }

    fn id(&self, lpi: &Rc<Lpi>) -> LpiId {
        lpi.id
    }

    fn target(&self, lpi: &Rc<Lpi>) -> Option<usize> {
        lpi.target.get()
    }

    fn set_target(&self, lpi: &Rc<Lpi>, target: Option<usize>) {
        lpi.target.set(target);
        self.set_pending(lpi, lpi.pending.get());
    }

    fn is_pending(&self, lpi: &Rc<Lpi>) -> bool {
        lpi.pending.get()
    }

    fn set_pending(&self, lpi: &Rc<Lpi>, pending: bool) {
        assert!(Rc::ptr_eq(&self.lpis.borrow()[&lpi.id], lpi));
        let wanted = lpi.target.get().is_none_or(|vcpu| self.enabled.get()[vcpu]);
        lpi.pending.set(pending && wanted);
    }

    fn configure(&self, lpi: &Rc<Lpi>, config: LpiConfig) {
        lpi.config.set(config);
    }
}

impl Environment for World {
    fn remember(&self, event: Event, lpi: &Rc<Lpi>) {
        drop(self.cache.borrow_mut().insert(event, lpi.clone()));
    }

    fn forget(&self, which: Forget) {
        let mut from = 0;
        while let Some(lpi) = self.cache.borrow_mut().take(which, &mut from) {
            drop(lpi);
        }
    }

    fn go_on(&self) -> bool {
        let left = self.patience.get();
        self.patience.set(left.saturating_sub(1));
        left != 0
    }
}
