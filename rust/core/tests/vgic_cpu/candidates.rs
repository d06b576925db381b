// SPDX-License-Identifier: GPL-2.0

//! The candidates' protocol, in all orders in which two threads' accesses can come.
//!
//! All its accesses but one load are full barriers, and so is the change of the interrupt's state, so
//! the orders in which one access follows another are all there are.

use kvm_core::vgic::{
    candidates::{Candidates, Marks, Word},
    intid::IntId,
};
use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Condvar, Mutex,
    },
    thread,
};

/// Whose turn it is, by a sequence of choices that is tried in all ways.
struct Scheduler {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Which thread makes the next access, if both wait: the choices so far, and those to come.
    choices: Vec<bool>,
    next: usize,
    waiting: [bool; 2],
    done: [bool; 2],
    turn: Option<usize>,
}

impl Scheduler {
    fn new(choices: Vec<bool>) -> Self {
        Self {
            state: Mutex::new(State {
                choices,
                next: 0,
                waiting: [false; 2],
                done: [false; 2],
                turn: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn decide(state: &mut State) {
        if state.turn.is_some() || (0..2).any(|n| !state.waiting[n] && !state.done[n]) {
            return;
        }
        state.turn = match (state.done[0], state.done[1]) {
            (true, true) => return,
            (true, false) => Some(1),
            (false, true) => Some(0),
            (false, false) => {
                if state.next == state.choices.len() {
                    state.choices.push(false);
                }
                let choice = state.choices[state.next];
                state.next += 1;
                Some(usize::from(choice))
            }
        };
    }

    /// Makes one access of thread `n`, when it is its turn.
    fn access<R>(&self, n: usize, access: impl FnOnce() -> R) -> R {
        let mut state = self.state.lock().unwrap();
        state.waiting[n] = true;
        Self::decide(&mut state);
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, |state| state.turn != Some(n))
            .unwrap();
        state.waiting[n] = false;
        state.turn = None;
        access()
    }

    fn done(&self, n: usize) {
        let mut state = self.state.lock().unwrap();
        state.done[n] = true;
        Self::decide(&mut state);
        self.changed.notify_all();
    }
}

thread_local! {
    static THREAD: std::cell::RefCell<Option<(usize, Arc<Scheduler>)>> =
        const { std::cell::RefCell::new(None) };
}

fn scheduled<R>(access: impl FnOnce() -> R) -> R {
    match THREAD.with_borrow(|thread| thread.clone()) {
        Some((n, scheduler)) => scheduler.access(n, access),
        None => access(),
    }
}

#[derive(Default)]
struct Scheduled(AtomicU64);

impl Word for Scheduled {
    fn load(&self) -> u64 {
        scheduled(|| self.0.load(Ordering::SeqCst))
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        scheduled(|| {
            self.0
                .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
                .map(|_| ())
        })
    }

    fn swap(&self, new: u64) -> u64 {
        scheduled(|| self.0.swap(new, Ordering::SeqCst))
    }
}

/// Runs both in all orders; `check` after each.
fn in_all_orders(
    first: impl Fn(&Shared) + Send + Sync + Copy + 'static,
    second: impl Fn(&Shared) + Send + Sync + Copy + 'static,
    check: impl Fn(&Shared),
) -> usize {
    let mut choices = Vec::new();
    let mut orders = 0;

    loop {
        let scheduler = Arc::new(Scheduler::new(choices));
        let shared = Arc::new(Shared::default());
        let spawn = |n: usize, run: Box<dyn Fn(&Shared) + Send>| {
            let (scheduler, shared) = (scheduler.clone(), shared.clone());
            thread::spawn(move || {
                THREAD.set(Some((n, scheduler.clone())));
                run(&shared);
                scheduler.done(n);
            })
        };
        let threads = [spawn(0, Box::new(first)), spawn(1, Box::new(second))];
        for thread in threads {
            thread.join().unwrap();
        }
        check(&shared);
        orders += 1;

        choices = scheduler.state.lock().unwrap().choices.clone();
        // The next of all sequences, depth first.
        while choices.last() == Some(&true) {
            choices.pop();
        }
        match choices.last_mut() {
            Some(last) => *last = true,
            None => return orders,
        }
    }
}

struct Shared {
    candidates: Candidates<Scheduled>,
    /// The interrupts' states, each 1 if it is to be looked at.
    states: [Scheduled; 2],
    /// What the vCPU has seen.
    seen: Mutex<[u64; 2]>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            candidates: Candidates::new(Scheduled::default),
            states: Default::default(),
            seen: Mutex::new([0; 2]),
        }
    }
}

/// Two of one word, or of two.
const NEAR: [u32; 2] = [33, 40];
const FAR: [u32; 2] = [33, 900];

fn raise(shared: &Shared, intids: [u32; 2], n: usize) {
    shared.states[n].swap(1);
    shared.candidates.mark(IntId::new(intids[n]).unwrap());
}

/// The vCPU looks once, if there is something to look at.
fn look(shared: &Shared, intids: [u32; 2]) {
    let mut marks = Marks::NONE;

    if !shared.candidates.any() {
        return;
    }
    shared.candidates.take(&mut marks);
    marks.retain(|intid| {
        let n = intids.iter().position(|n| *n == intid.get()).unwrap();
        let state = shared.states[n].load();
        shared.seen.lock().unwrap()[n] |= state;
        true
    });
}

/// An interrupt that was raised has been seen, or will be at the next look.
fn nothing_is_missed(shared: &Shared, intids: [u32; 2]) {
    look(shared, intids);
    let seen = *shared.seen.lock().unwrap();
    for (seen, state) in seen.iter().zip(&shared.states) {
        assert_eq!(*seen, state.load());
    }
    assert!(!shared.candidates.any());
}

#[test]
fn raised_while_the_vcpu_looks() {
    let orders = in_all_orders(
        |shared| {
            raise(shared, NEAR, 0);
            raise(shared, NEAR, 1);
        },
        |shared| {
            look(shared, NEAR);
            look(shared, NEAR);
        },
        |shared| nothing_is_missed(shared, NEAR),
    );
    assert!(orders > 100, "{orders}");
}

#[test]
fn raised_by_two_at_once() {
    in_all_orders(
        |shared| raise(shared, FAR, 0),
        |shared| raise(shared, FAR, 1),
        |shared| nothing_is_missed(shared, FAR),
    );
    in_all_orders(
        |shared| raise(shared, NEAR, 0),
        |shared| raise(shared, NEAR, 1),
        |shared| nothing_is_missed(shared, NEAR),
    );
}

/// The same one again, by another thread, while the first has not finished.
#[test]
fn raised_again() {
    in_all_orders(
        |shared| {
            shared.states[0].swap(1);
            shared.candidates.mark(IntId::new(FAR[0]).unwrap());
            shared.states[1].swap(1);
            shared.candidates.mark(IntId::new(FAR[1]).unwrap());
        },
        |shared| {
            look(shared, FAR);
        },
        |shared| nothing_is_missed(shared, FAR),
    );
}
