// SPDX-License-Identifier: GPL-2.0

//! Two threads in all orders in which their accesses to shared words can come.
//!
//! What is tried are the orders of sequential consistency: enough for protocols whose accesses are full
//! barriers where it matters.

#![allow(dead_code)]

use kvm_core::word::Word;
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

/// Makes an access when it is the thread's turn.
pub fn scheduled<R>(access: impl FnOnce() -> R) -> R {
    match THREAD.with_borrow(|thread| thread.clone()) {
        Some((n, scheduler)) => scheduler.access(n, access),
        None => access(),
    }
}

/// A word that both threads access.
#[derive(Default)]
pub struct Scheduled(AtomicU64);

impl Scheduled {
    pub fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// The value, to a check or as a part of another access.
    pub fn peek(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Changes the value as a part of another access.
    pub fn poke(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }
}

impl Word for Scheduled {
    fn load(&self) -> u64 {
        scheduled(|| self.peek())
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

/// Runs both in all orders, each time on what `S::default()` is; `check` after each. Returns how many
/// orders there are.
pub fn in_all_orders<S: Default + Send + Sync + 'static>(
    first: impl Fn(&S) + Send + Sync + Copy + 'static,
    second: impl Fn(&S) + Send + Sync + Copy + 'static,
    check: impl Fn(&S),
) -> usize {
    let mut choices = Vec::new();
    let mut orders = 0;

    loop {
        let scheduler = Arc::new(Scheduler::new(choices));
        let shared = Arc::new(S::default());
        let spawn = |n: usize, run: Box<dyn Fn(&S) + Send>| {
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
