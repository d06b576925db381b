// SPDX-License-Identifier: GPL-2.0

//! VMIDs, on CPUs that load VMs at random and remember what they translated.

use kvm_core::vmid::{
    is_loaded,
    try_load,
    unload,
    Active,
    Allocator,
    BadStorage,
    CpuState,
    Generation,
    Shared,
    Vmid, //
};
use proptest::prelude::*;
use std::{
    cell::{
        Cell,
        RefCell, //
    },
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    rc::Rc, //
};

/// A CPU on the lock-free way to load a VM, between two accesses.
#[derive(Copy, Clone, Debug)]
enum Attempt {
    /// It has read its own word.
    ReadActive { vm: usize, vmid: Vmid, old: Active },
    /// It has read the generation, too, and found it right.
    ReadGeneration { vm: usize, vmid: Vmid, old: Active },
}

#[derive(Default)]
struct Cpu {
    attempt: Cell<Option<Attempt>>,
    /// The VM that VTTBR_EL2 is for, with the VMID that is in it.
    loaded: Cell<Option<(usize, Vmid)>>,
    /// What the TLB may hold: the VMs whose translations are tagged with a number.
    tlb: RefCell<BTreeSet<(u16, usize)>>,
}

/// The shared variables. Each access by the one who holds the lock lets others get on first.
struct World {
    generation: Cell<u64>,
    active: Vec<Cell<u64>>,
    cpus: Vec<Cpu>,
    /// CPUs that get on at the next accesses.
    schedule: RefCell<Vec<usize>>,
}

impl World {
    fn new(cpus: usize) -> Self {
        Self {
            generation: Cell::new(0),
            active: vec![Cell::new(1); cpus],
            cpus: (0..cpus).map(|_| Cpu::default()).collect(),
            schedule: RefCell::default(),
        }
    }

    /// One step of a CPU on its lock-free way, as [`try_load`] makes it. Returns false if it has to
    /// take the lock.
    fn step(&self, cpu: usize) -> bool {
        let own = &self.cpus[cpu];
        match own.attempt.get() {
            None => {}
            Some(Attempt::ReadActive { vm, vmid, old }) => {
                let generation = Generation::from_raw(self.generation.get()).unwrap();
                if old == Active::Taken || !vmid.is_current(generation) {
                    own.attempt.set(None);
                    return false;
                }
                own.attempt
                    .set(Some(Attempt::ReadGeneration { vm, vmid, old }));
            }
            Some(Attempt::ReadGeneration { vm, vmid, old }) => {
                own.attempt.set(None);
                if self.active[cpu].get() != old.into_raw() {
                    return false;
                }
                self.active[cpu].set(Active::Loaded(vmid).into_raw());
                self.enter(cpu, vm, vmid);
            }
        }
        true
    }

    /// Others get on.
    fn others(&self) {
        let next = self.schedule.borrow_mut().pop();
        if let Some(cpu) = next {
            self.step(cpu);
        }
    }

    /// The CPU runs the VM, which leaves translations in its TLB.
    fn enter(&self, cpu: usize, vm: usize, vmid: Vmid) {
        let own = &self.cpus[cpu];
        own.loaded.set(Some((vm, vmid)));
        own.tlb.borrow_mut().insert((vmid.number(), vm));
        assert_ne!(vmid.number(), 0);
        let number = vmid.number();
        for (_, other) in own.tlb.borrow().range((number, 0)..=(number, usize::MAX)) {
            assert_eq!(*other, vm, "CPU {cpu} hits VM {other}'s translations");
        }
        // TLB maintenance goes by number, to all CPUs: it has to mean one VM, and all of it.
        for other in &self.cpus {
            if let Some((other_vm, other_vmid)) = other.loaded.get() {
                assert_eq!(other_vm == vm, other_vmid.number() == vmid.number());
            }
        }
    }
}

impl Shared for World {
    fn generation(&self) -> Generation {
        Generation::from_raw(self.generation.get()).unwrap()
    }

    fn set_generation(&self, generation: Generation) {
        self.others();
        self.generation.set(generation.into_raw());
    }

    fn active(&self, cpu: usize) -> Active {
        self.active
            .get(cpu)
            .map_or(Active::Taken, |word| Active::from_raw(word.get()))
    }

    fn swap_active(&self, cpu: usize, new: Active) -> Active {
        self.others();
        let old = self.active(cpu);
        self.active[cpu].set(new.into_raw());
        old
    }

    fn compare_exchange_active(&self, cpu: usize, old: Active, new: Active) -> bool {
        let equal = self.active(cpu) == old;
        if equal {
            self.active[cpu].set(new.into_raw());
        }
        equal
    }
}

type Vmids = Allocator<Vec<u64>, Vec<CpuState>>;

struct Host {
    world: Rc<World>,
    vmids: Vmids,
    /// What each VM has.
    vms: BTreeMap<usize, Vmid>,
}

impl Host {
    fn new(cpus: usize, bits: u32) -> Self {
        let world = Rc::new(World::new(cpus));
        let bitmap = vec![u64::MAX; (1 << bits) / 64];
        let vmids = Allocator::new(bitmap, vec![CpuState::default(); cpus], &*world).unwrap();
        Self {
            world,
            vmids,
            vms: BTreeMap::new(),
        }
    }

    /// The CPU loads the VM under the lock, others getting on at the same time.
    fn load_locked(&mut self, cpu: usize, vm: usize, schedule: Vec<usize>) {
        let own = &self.world.cpus[cpu];
        own.attempt.set(None);
        *self.world.schedule.borrow_mut() =
            schedule.into_iter().filter(|other| *other != cpu).collect();
        // What ran before no longer does, but its word says that it might.
        own.loaded.set(None);
        let had = self.vms.get(&vm).copied();
        let loaded = self.vmids.load(&*self.world, cpu, had).unwrap();
        assert!(loaded.vmid.is_current(self.world.generation()));
        if loaded.invalidate {
            own.tlb.borrow_mut().clear();
        }
        self.vms.insert(vm, loaded.vmid);
        self.world.enter(cpu, vm, loaded.vmid);
        assert!(is_loaded(&*self.world, cpu, loaded.vmid));
        // No two VMs have the same in one generation.
        let generation = self.world.generation();
        let current: Vec<_> = self
            .vms
            .values()
            .filter(|vmid| vmid.is_current(generation))
            .collect();
        let different: BTreeSet<_> = current.iter().map(|vmid| vmid.number()).collect();
        assert_eq!(current.len(), different.len());
    }

    /// The CPU loads the VM by the fast path if that can be.
    fn load(&mut self, cpu: usize, vm: usize, schedule: Vec<usize>) {
        self.world.cpus[cpu].attempt.set(None);
        match self.vms.get(&vm) {
            Some(vmid) if try_load(&*self.world, cpu, *vmid) => self.world.enter(cpu, vm, *vmid),
            _ => self.load_locked(cpu, vm, schedule),
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Load a VM, as one.
    Load(usize, usize, Vec<usize>),
    /// Begin to load a VM by the fast path.
    Begin(usize, usize),
    /// Go on with it.
    Step(usize, Vec<usize>),
    /// Enter what is loaded again.
    Reenter(usize, Vec<usize>),
    Unload(usize),
    /// New VMs come, until VMIDs run out or nearly so, and go.
    Churn(usize, usize),
    Destroy(usize),
}

const CPUS: usize = 5;
const VMS: usize = 12;

fn any_op() -> impl Strategy<Value = Op> {
    let schedule = || prop::collection::vec(0..CPUS, 0..8);
    prop_oneof![
        8 => (0..CPUS, 0..VMS, schedule()).prop_map(|(cpu, vm, s)| Op::Load(cpu, vm, s)),
        8 => (0..CPUS, 0..VMS).prop_map(|(cpu, vm)| Op::Begin(cpu, vm)),
        8 => (0..CPUS, schedule()).prop_map(|(cpu, s)| Op::Step(cpu, s)),
        8 => (0..CPUS, schedule()).prop_map(|(cpu, s)| Op::Reenter(cpu, s)),
        4 => (0..CPUS).prop_map(Op::Unload),
        3 => (0..CPUS, 200..300usize).prop_map(|(cpu, count)| Op::Churn(cpu, count)),
        1 => (0..VMS).prop_map(Op::Destroy),
    ]
}

/// The variables, with something that another CPU does just before one of the accesses.
struct Interposed<'a> {
    world: Rc<World>,
    /// Accesses until then.
    left: Cell<usize>,
    then: RefCell<Box<dyn FnMut() + 'a>>,
}

impl Interposed<'_> {
    fn access(&self) -> &World {
        if self.left.get() == 0 {
            self.then.borrow_mut()();
        }
        self.left.set(self.left.get().wrapping_sub(1));
        &self.world
    }
}

impl Shared for Interposed<'_> {
    fn generation(&self) -> Generation {
        self.access().generation()
    }

    fn set_generation(&self, generation: Generation) {
        self.access().set_generation(generation);
    }

    fn active(&self, cpu: usize) -> Active {
        self.access().active(cpu)
    }

    fn swap_active(&self, cpu: usize, new: Active) -> Active {
        self.access().swap_active(cpu, new)
    }

    fn compare_exchange_active(&self, cpu: usize, old: Active, new: Active) -> bool {
        self.access().compare_exchange_active(cpu, old, new)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn no_cpu_hits_another_vms_translations(ops in prop::collection::vec(any_op(), 1..120)) {
        let mut host = Host::new(CPUS, 8);
        let mut fresh = VMS;
        for op in ops {
            match op {
                Op::Load(cpu, vm, schedule) => host.load(cpu, vm, schedule),
                Op::Begin(cpu, vm) => {
                    let own = &host.world.cpus[cpu];
                    if let Some(vmid) = host.vms.get(&vm) {
                        let old = host.world.active(cpu);
                        own.attempt.set(Some(Attempt::ReadActive { vm, vmid: *vmid, old }));
                        own.loaded.set(None);
                    }
                }
                Op::Step(cpu, schedule) => {
                    let vm = match host.world.cpus[cpu].attempt.get() {
                        Some(
                            Attempt::ReadActive { vm, .. } | Attempt::ReadGeneration { vm, .. },
                        ) => vm,
                        None => continue,
                    };
                    if !host.world.step(cpu) {
                        host.load_locked(cpu, vm, schedule);
                    }
                }
                Op::Reenter(cpu, schedule) => {
                    let Some((vm, vmid)) = host.world.cpus[cpu].loaded.get() else {
                        continue;
                    };
                    if is_loaded(&*host.world, cpu, vmid) {
                        host.world.enter(cpu, vm, vmid);
                    } else {
                        host.load_locked(cpu, vm, schedule);
                    }
                }
                Op::Unload(cpu) => {
                    if let Some((_, vmid)) = host.world.cpus[cpu].loaded.take() {
                        unload(&*host.world, cpu, vmid);
                        prop_assert!(!is_loaded(&*host.world, cpu, vmid));
                    }
                }
                Op::Churn(cpu, count) => {
                    for _ in 0..count {
                        host.load(cpu, fresh, Vec::new());
                        host.vms.remove(&fresh);
                        fresh += 1;
                    }
                }
                Op::Destroy(vm) => {
                    let runs = |cpu: &Cpu| matches!(cpu.loaded.get(), Some((v, _)) if v == vm);
                    let tries = host.world.cpus.iter().any(|cpu| cpu.attempt.get().is_some());
                    if !tries && !host.world.cpus.iter().any(runs) {
                        // Its translations stay in TLBs; a new VM starts without a VMID.
                        host.vms.remove(&vm);
                        for cpu in &host.world.cpus {
                            let old: Vec<_> = cpu.tlb.take().into_iter().collect();
                            *cpu.tlb.borrow_mut() = old
                                .into_iter()
                                .map(|(number, v)| (number, if v == vm { usize::MAX } else { v }))
                                .collect();
                        }
                    }
                }
            }
        }
    }

    /// Another CPU uses up VMIDs, once or several times over, anywhere on the way without a lock.
    #[test]
    fn a_generation_starts_in_the_middle(
        first in 0..3usize,
        second in 0..3usize,
        put: bool,
        access in 0..4usize,
        others in 0..600usize,
    ) {
        let host = RefCell::new(Host::new(2, 8));
        host.borrow_mut().load(0, second, Vec::new());
        host.borrow_mut().load(0, first, Vec::new());
        let world = host.borrow().world.clone();
        let vms = host.borrow().vms.clone();
        if put {
            world.cpus[0].loaded.set(None);
            unload(&*world, 0, vms[&first]);
        }
        let interposed = Interposed {
            world: world.clone(),
            left: Cell::new(access),
            then: RefCell::new(Box::new(|| {
                for other in 0..others {
                    host.borrow_mut().load(1, 10 + other, Vec::new());
                }
            })),
        };
        let loaded = try_load(&interposed, 0, vms[&second]);
        let more = interposed.left.get() < 4;
        if loaded {
            world.enter(0, second, vms[&second]);
            if more {
                // Then all of it comes after the load, which it has to respect.
                for other in 0..others {
                    host.borrow_mut().load(1, 10 + other, Vec::new());
                }
            }
        } else {
            prop_assert!(others > 250);
            host.borrow_mut().load_locked(0, second, Vec::new());
        }
        world.enter(0, second, host.borrow().vms[&second]);
    }

    #[test]
    fn words_read_as_written(raw: u64) {
        let active = Active::from_raw(raw);
        prop_assert_eq!(Active::from_raw(active.into_raw()), active);
        if let Some(vmid) = Vmid::from_raw(raw) {
            prop_assert_eq!(vmid.into_raw(), raw);
            prop_assert_eq!(active, Active::Loaded(vmid));
            prop_assert_eq!(u64::from(vmid.number()) | vmid.generation().into_raw(), raw);
        }
        prop_assert_eq!(Vmid::from_raw(raw & !0xffff), None);
        prop_assert_eq!(Vmid::from_raw(raw & 0xffff), None);
        let generation = Generation::from_raw(raw & !0xffff);
        prop_assert_eq!(generation.is_some(), raw >> 16 != 0);
    }
}

/// A VM that runs keeps its number over any number of generations, and the CPU that it runs on
/// cleans its TLB when it next looks.
#[test]
fn what_runs_keeps_its_number() {
    for generations in 1..6 {
        let mut host = Host::new(3, 8);
        host.load(0, 0, Vec::new());
        host.load(2, 0, Vec::new());
        let before = host.vms[&0];
        for vm in 1..=generations * 255 {
            host.load(1, vm, Vec::new());
            host.vms.remove(&vm);
        }
        assert!(!is_loaded(&*host.world, 0, before));
        host.load(0, 0, Vec::new());
        let now = host.vms[&0];
        assert_eq!(now.number(), before.number());
        assert!(!now.is_current(before.generation()));
        assert!(is_loaded(&*host.world, 0, now));
        // The other CPU that runs it finds it, too, and cleans its own TLB once.
        let loaded = host.vmids.load(&*host.world, 2, Some(now)).unwrap();
        assert_eq!((loaded.vmid, loaded.invalidate), (now, true));
        let loaded = host.vmids.load(&*host.world, 2, Some(now)).unwrap();
        assert_eq!((loaded.vmid, loaded.invalidate), (now, false));
    }
}

/// A CPU that stays in a guest over generations keeps the VM's number for the others that load it
/// in between, and leave it.
#[test]
fn what_runs_has_one_number() {
    let mut host = Host::new(3, 8);
    host.load(0, 0, Vec::new());
    let number = host.vms[&0].number();
    for generation in 1..5 {
        for vm in 1..=255 {
            host.load(1, generation * 1000 + vm, Vec::new());
        }
        // That CPU 0 is there with another number is what `enter` complains about.
        host.load(2, 0, Vec::new());
        assert_eq!(host.vms[&0].number(), number);
        host.world.cpus[2].loaded.set(None);
        unload(&*host.world, 2, host.vms[&0]);
    }
}

/// A VM that does not run keeps its number if nobody else got it in the meantime.
#[test]
fn what_does_not_run_keeps_its_number_if_it_can() {
    let mut host = Host::new(2, 8);
    for vm in 0..255 {
        host.load(0, vm, Vec::new());
    }
    let before = host.vms.clone();
    // A generation starts, and one VM's number goes to a new one.
    host.load(0, 255, Vec::new());
    let taken = host.vms[&255].number();
    for vm in (0..254).rev() {
        host.load(1, vm, Vec::new());
        let same = host.vms[&vm].number() == before[&vm].number();
        assert_eq!(same, before[&vm].number() != taken);
    }
}

/// A VM that was unloaded has its number no longer kept, even if it was over one generation.
#[test]
fn what_is_unloaded_gives_way() {
    let mut host = Host::new(2, 8);
    let mut fresh = 1;
    let mut churn = |host: &mut Host| {
        let mut numbers = BTreeSet::new();
        let first = host.world.generation();
        while host.world.generation() == first {
            host.load(1, fresh, Vec::new());
            let vmid = host.vms.remove(&fresh).unwrap();
            if vmid.is_current(first) {
                numbers.insert(vmid.number());
            }
            fresh += 1;
        }
        numbers
    };
    host.load(0, 0, Vec::new());
    let number = host.vms[&0].number();
    churn(&mut host);
    assert!(!churn(&mut host).contains(&number));
    host.load(0, 0, Vec::new());
    assert_eq!(host.vms[&0].number(), number);
    host.world.cpus[0].loaded.set(None);
    unload(&*host.world, 0, host.vms[&0]);
    churn(&mut host);
    assert!(churn(&mut host).contains(&number));
}

/// All numbers but 0 are given out before a generation ends.
#[test]
fn a_generation_is_used_up() {
    for bits in [8, 16] {
        let mut host = Host::new(1, bits);
        let first = host.world.generation();
        let count = (1 << bits) - 1;
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let loaded = host.vmids.load(&*host.world, 0, None).unwrap();
            assert!(loaded.vmid.is_current(first));
            assert_eq!(loaded.invalidate, seen.is_empty());
            seen.insert(loaded.vmid.number());
        }
        assert_eq!(seen.len(), count);
        let loaded = host.vmids.load(&*host.world, 0, None).unwrap();
        assert!(!loaded.vmid.is_current(first));
        assert!(loaded.invalidate);
    }
}

#[test]
fn nobody_is_left_out() {
    let world = World::new(300);
    let new = |words, cpus| {
        Allocator::new(vec![0u64; words], vec![CpuState::default(); cpus], &world).map(|_| ())
    };
    assert_eq!(new(4, 254), Ok(()));
    assert_eq!(new(4, 255), Err(BadStorage::Cpus));
    assert_eq!(new(1024, 300), Ok(()));
    assert_eq!(new(4, 0), Err(BadStorage::Cpus));
    assert_eq!(new(5, 1), Err(BadStorage::Bitmap));

    // As many CPUs as there can be, each with a VM that runs and never stops: the last one still
    // gets a number.
    let mut host = Host::new(254, 8);
    for cpu in 0..253 {
        host.load(cpu, cpu, Vec::new());
    }
    for vm in 0..1000 {
        host.load(253, 1000 + vm, Vec::new());
    }
    for cpu in 0..253 {
        let (vm, vmid) = host.world.cpus[cpu].loaded.get().unwrap();
        assert_eq!(vm, cpu);
        assert!(!is_loaded(&*host.world, cpu, vmid));
        host.load(cpu, cpu, Vec::new());
        assert_eq!(host.vms[&cpu].number(), vmid.number());
    }
    assert!(host.vmids.load(&*host.world, 254, None).is_none());
}
