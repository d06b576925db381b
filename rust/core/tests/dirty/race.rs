// SPDX-License-Identifier: GPL-2.0

//! Marking against taking, in all orders of two threads' accesses.
//!
//! The leaf and the bitmap's word are changed by full barriers, so the orders in which one access
//! follows another are all there are.

use crate::orders::{
    in_all_orders,
    scheduled,
    Scheduled, //
};
use kvm_core::{
    dirty::Bitmap,
    invalidate::InvalidateSeq,
    word::Word, //
};
use std::{
    num::NonZeroU64,
    sync::Mutex, //
};

const PAGES: usize = 2;

struct Shared {
    bitmap: Bitmap<Vec<Scheduled>>,
    /// Whether each page's leaf is writable.
    leaves: [Scheduled; PAGES],
    /// What the pages hold: how often they were written to.
    memory: [Scheduled; PAGES],
    /// What the VMM has read of each page.
    copies: Mutex<[u64; PAGES]>,
}

impl Default for Shared {
    fn default() -> Self {
        let words = vec![Scheduled::default()];
        Self {
            bitmap: Bitmap::new(words, NonZeroU64::new(PAGES as u64).unwrap()).unwrap(),
            leaves: Default::default(),
            memory: Default::default(),
            copies: Mutex::default(),
        }
    }
}

/// A vCPU writes to a page: what it wrote cannot have been before the leaf was writable, and TLBs have
/// nothing else once write-protection has returned.
fn write(shared: &Shared, page: usize, value: u64) {
    loop {
        if shared.leaves[page].load() == 0 {
            shared.leaves[page].swap(1);
            shared.bitmap.mark(page as u64);
        }
        // The guest's store, which faults if the leaf was protected meanwhile. That the two are one
        // access is by the TLB invalidation, which waits for stores under way.
        if scheduled(|| {
            let writable = shared.leaves[page].peek() != 0;
            if writable {
                shared.memory[page].poke(value);
            }
            writable
        }) {
            return;
        }
    }
}

/// The VMM takes what is marked, `pages` of it, and copies that.
fn collect(shared: &Shared, take: impl Fn(&Bitmap<Vec<Scheduled>>) -> u64) {
    let taken = take(&shared.bitmap);

    for page in 0..PAGES {
        if (taken >> page) & 1 != 0 {
            shared.leaves[page].swap(0);
        }
    }
    for page in 0..PAGES {
        if (taken >> page) & 1 != 0 {
            shared.copies.lock().unwrap()[page] = shared.memory[page].load();
        }
    }
}

/// With all vCPUs stopped, a last round gets what is missing.
fn copied(shared: &Shared) {
    collect(shared, |bitmap| bitmap.take(0));
    let copies = *shared.copies.lock().unwrap();
    for (copy, memory) in copies.iter().zip(&shared.memory) {
        assert_eq!(*copy, memory.peek());
    }
    assert!(shared.leaves.iter().all(|leaf| leaf.peek() == 0));
}

#[test]
fn written_while_taken() {
    let orders = in_all_orders(
        |shared: &Shared| {
            write(shared, 0, 1);
            write(shared, 0, 2);
        },
        |shared| {
            collect(shared, |bitmap| bitmap.take(0));
            collect(shared, |bitmap| bitmap.take(0));
        },
        copied,
    );
    assert!(orders > 100, "{orders}");
}

#[test]
fn neighbours_while_one_is_cleared() {
    in_all_orders(
        |shared: &Shared| {
            write(shared, 0, 1);
            write(shared, 1, 1);
        },
        |shared| {
            let seen = shared.bitmap.peek(0);
            collect(shared, |bitmap| bitmap.clear(0, seen & 1));
            collect(shared, |bitmap| bitmap.clear(0, seen));
        },
        copied,
    );
}

#[test]
fn two_write() {
    in_all_orders(
        |shared: &Shared| write(shared, 0, 1),
        |shared| write(shared, 0, 2),
        copied,
    );
}

/// What is taken and cannot be told to user space is given back.
#[test]
fn given_back() {
    in_all_orders(
        |shared: &Shared| {
            write(shared, 0, 1);
            write(shared, 1, 1);
        },
        |shared| {
            let taken = shared.bitmap.take(0);
            for page in (0..PAGES).filter(|page| (taken >> page) & 1 != 0) {
                shared.leaves[page].swap(0);
            }
            shared.bitmap.give_back(0, taken);
        },
        copied,
    );
}

/// A slot that begins to log while a vCPU faults.
#[derive(Default)]
struct Begin {
    logs: Scheduled,
    leaf: Scheduled,
    marked: Scheduled,
    memory: Scheduled,
    copy: Mutex<u64>,
    /// Used in accesses that are scheduled: its users have the lock of the tables.
    seq: Mutex<InvalidateSeq>,
}

impl Begin {
    /// Does something with the lock of the tables.
    fn locked<R>(&self, f: impl FnOnce(&mut InvalidateSeq) -> R) -> R {
        scheduled(|| f(&mut self.seq.lock().unwrap()))
    }

    /// A vCPU writes. Its fault looks the slot up, and later maps by what it found.
    fn write(&self, value: u64) {
        while !self.store(value) {
            let snapshot = self.locked(|seq| seq.snapshot());
            let logs = self.logs.load() != 0;
            self.locked(|seq| {
                if !seq.must_retry(snapshot, 0..1) {
                    self.leaf.poke(1);
                    if logs {
                        self.marked.poke(1);
                    }
                }
            });
        }
    }

    /// The guest's store. Returns whether the leaf allows it.
    fn store(&self, value: u64) -> bool {
        scheduled(|| {
            let writable = self.leaf.peek() != 0;
            if writable {
                self.memory.poke(value);
            }
            writable
        })
    }

    /// The VMM takes what is marked, and copies that.
    fn collect(&self) {
        if self.marked.swap(0) != 0 {
            self.leaf.swap(0);
            *self.copy.lock().unwrap() = self.memory.load();
        }
    }
}

#[test]
fn written_while_logging_begins() {
    let orders = in_all_orders(
        |shared: &Begin| {
            shared.write(1);
            shared.write(2);
        },
        |shared| {
            shared.logs.swap(1);
            shared.locked(|seq| {
                seq.begin(0..1);
                seq.end();
            });
            shared.leaf.swap(0);
            // All of the memory is copied once.
            *shared.copy.lock().unwrap() = shared.memory.load();
            shared.collect();
        },
        |shared| {
            shared.collect();
            assert_eq!(*shared.copy.lock().unwrap(), shared.memory.peek());
        },
    );
    assert!(orders > 100, "{orders}");
}
