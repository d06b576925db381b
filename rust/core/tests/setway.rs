// SPDX-License-Identifier: GPL-2.0

//! Set/way operations against a model of what may be in caches.

use kvm_core::setway::{
    Cacheability,
    Response,
    SctlrCache,
    SetWay, //
};
use proptest::prelude::*;

/// What a vCPU does.
#[derive(Copy, Clone, Debug)]
enum Step {
    SetWay,
    /// Writes SCTLR with these M and C.
    Sctlr(bool, bool),
    /// Writes another register that TVM traps, TTBR0_EL1 for example.
    Ttbr,
    Reset,
}

/// A vCPU that, between any two steps, writes to all of its memory.
#[derive(Copy, Clone, Debug)]
struct Model {
    m: bool,
    c: bool,
    /// HCR_EL2.TVM as the policy asked for it.
    tvm: bool,
    /// It wrote to caches what may not be in memory.
    dirty: bool,
    /// It wrote to memory what caches may have an older value of.
    stale: bool,
    /// The same since the last flush that was its own, not another vCPU's: what one needs a reason
    /// for.
    wrote_cached: bool,
    wrote_uncached: bool,
    /// It has shown since its caches changed that it relies on set/way operations, or was reset:
    /// what it expects of its next change has to come true.
    relies: bool,
}

impl Model {
    const RESET: Self = Self {
        m: false,
        c: false,
        tvm: true,
        dirty: false,
        stale: true,
        wrote_cached: false,
        wrote_uncached: true,
        relies: true,
    };

    fn on(&self) -> bool {
        self.m && self.c
    }

    fn sctlr(&self) -> SctlrCache {
        SctlrCache::from_raw(0).with_m(self.m).with_c(self.c)
    }

    fn writes_memory(&mut self) {
        if self.on() {
            self.dirty = true;
            self.wrote_cached = true;
        } else {
            self.stale = true;
            self.wrote_uncached = true;
        }
    }
}

struct Vm {
    vcpus: [(Model, SetWay); 2],
    flushes: usize,
}

impl Vm {
    fn new() -> Self {
        let vcpu = (Model::RESET, SetWay::new(Cacheability::Guest));
        Self {
            vcpus: [vcpu; 2],
            flushes: 0,
        }
    }

    /// Does what the policy says for vCPU `i`; a flush must be `needed`.
    fn obey(&mut self, i: usize, response: Response, needed: bool) {
        if let Some(tvm) = response.tvm {
            assert_ne!(self.vcpus[i].0.tvm, tvm, "no change");
            self.vcpus[i].0.tvm = tvm;
        }
        assert_eq!(self.vcpus[i].0.tvm, self.vcpus[i].1.tvm());
        if response.flush {
            assert!(needed, "needless: {:?}", self.vcpus[i].0);
            self.flushes += 1;
            self.vcpus[i].0.wrote_cached = false;
            self.vcpus[i].0.wrote_uncached = false;
            for (model, _) in &mut self.vcpus {
                model.dirty = false;
                model.stale = false;
            }
        }
    }

    fn step(&mut self, i: usize, step: Step) {
        for (model, _) in &mut self.vcpus {
            model.writes_memory();
        }
        let before = self.vcpus[i].0;
        match step {
            Step::SetWay => {
                let response = self.vcpus[i].1.set_way();
                self.vcpus[i].0.relies = true;
                self.obey(i, response, before.wrote_cached);
                let after = self.vcpus[i].0;
                assert!(after.tvm);
                // From here on it reads memory, and finds what it wrote when caches were on.
                assert!(after.on() || !after.dirty, "lost: {after:?}");
            }
            Step::Sctlr(m, c) => {
                self.vcpus[i].0.m = m;
                self.vcpus[i].0.c = c;
                self.vm_register(i, before);
            }
            Step::Ttbr => self.vm_register(i, before),
            Step::Reset => {
                self.vcpus[i] = (Model::RESET, SetWay::new(Cacheability::Guest));
            }
        }
    }

    fn vm_register(&mut self, i: usize, before: Model) {
        let after = self.vcpus[i].0;
        if before.tvm {
            let response = self.vcpus[i].1.vm_register(before.sctlr(), after.sctlr());
            let needed = match (before.on(), after.on()) {
                (true, false) => before.wrote_cached,
                (false, true) => before.wrote_uncached,
                _ => false,
            };
            self.obey(i, response, needed);
        }
        let flushed = self.vcpus[i].0;
        if before.on() != after.on() {
            if before.relies {
                // Nothing that it wrote in one way is missing in the other.
                assert!(!flushed.dirty && !flushed.stale, "missing: {flushed:?}");
            }
            // Going off untrapped: the set/way operation that follows is where it shows.
            self.vcpus[i].0.relies = before.relies && !after.on();
        }
        if after.on() {
            assert!(!flushed.tvm, "TVM stays: {flushed:?}");
            self.vcpus[i].0.relies = false;
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::SetWay),
        5 => any::<(bool, bool)>().prop_map(|(m, c)| Step::Sctlr(m, c)),
        1 => Just(Step::Ttbr),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn memory_and_caches_agree(steps in prop::collection::vec((0usize..2, any_step()), 0..40)) {
        let mut vm = Vm::new();
        for (i, step) in steps {
            vm.step(i, step);
        }
    }

    #[test]
    fn a_loop_over_sets_and_ways_flushes_once(count in 1usize..100, m: bool, c: bool) {
        let mut vm = Vm::new();
        vm.step(0, Step::Sctlr(true, true));
        vm.step(0, Step::Sctlr(m, c));
        let before = vm.flushes;
        for _ in 0..count {
            vm.step(0, Step::SetWay);
        }
        prop_assert_eq!(vm.flushes, before + 1);
    }

    #[test]
    fn forced_cacheability_needs_nothing(steps in prop::collection::vec(any::<(bool, u64, u64)>(), 0..20)) {
        let mut vcpu = SetWay::new(Cacheability::Forced);
        for (set_way, before, after) in steps {
            let response = if set_way {
                vcpu.set_way()
            } else {
                vcpu.vm_register(SctlrCache::from_raw(before), SctlrCache::from_raw(after))
            };
            prop_assert_eq!(response, Response::NOTHING);
            prop_assert!(!vcpu.tvm());
        }
    }
}

/// Every sequence of up to five steps on two vCPUs.
#[test]
fn all_short_orders() {
    let steps: Vec<_> = [
        Step::SetWay,
        Step::Sctlr(false, false),
        Step::Sctlr(true, false),
        Step::Sctlr(false, true),
        Step::Sctlr(true, true),
        Step::Ttbr,
    ]
    .into_iter()
    .flat_map(|step| [(0, step), (1, step)])
    .collect();
    let base = steps.len();
    for number in 0..base.pow(5) {
        let mut vm = Vm::new();
        let mut rest = number;
        for _ in 0..5 {
            let (i, step) = steps[rest % base];
            vm.step(i, step);
            rest /= base;
        }
    }
}

/// What a decompressor of a 32-bit kernel does.
#[test]
fn a_loader_of_a_kernel() {
    let mut vm = Vm::new();
    // Caches on: the first time after reset.
    vm.step(0, Step::Sctlr(true, true));
    assert_eq!((vm.flushes, vm.vcpus[0].0.tvm), (1, false));
    // Caches off again, unseen, then all sets and ways.
    vm.step(0, Step::Sctlr(false, false));
    assert_eq!(vm.flushes, 1);
    for _ in 0..1000 {
        vm.step(0, Step::SetWay);
    }
    assert_eq!((vm.flushes, vm.vcpus[0].0.tvm), (2, true));
    // C alone does not cache data; with M it does.
    vm.step(0, Step::Sctlr(false, true));
    assert_eq!(vm.flushes, 2);
    vm.step(0, Step::Sctlr(true, true));
    assert_eq!((vm.flushes, vm.vcpus[0].0.tvm), (3, false));
    // A task switch on the way is no reason for anything.
    vm.step(0, Step::Ttbr);
    assert_eq!(vm.flushes, 3);
    // Set/way first, then off.
    vm.step(0, Step::SetWay);
    vm.step(0, Step::Sctlr(false, false));
    assert_eq!((vm.flushes, vm.vcpus[0].0.tvm), (5, true));
}
