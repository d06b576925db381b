// SPDX-License-Identifier: GPL-2.0

//! Those who use a thing, and one who replaces it, in all orders.

#[path = "common/orders.rs"]
mod orders;

use kvm_core::{
    users::Users,
    word::Word, //
};
use orders::{
    in_all_orders,
    Scheduled, //
};

struct Shared {
    users: Users<Scheduled>,
    /// The number of the thing that is the current one.
    thing: Scheduled,
    /// Bit `n`: thing `n` must not be used any more.
    gone: Scheduled,
    /// How often one was used that must not be.
    wrong: Scheduled,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            users: Users::new(Scheduled::default()),
            thing: Scheduled::new(0),
            gone: Scheduled::new(0),
            wrong: Scheduled::new(0),
        }
    }
}

impl Shared {
    /// Uses the thing, in one access long after it was looked up. Returns whether one may wait for it.
    fn use_it(&self) -> bool {
        let side = self.users.enter();
        let thing = self.thing.load();
        if (self.gone.load() >> thing) & 1 != 0 {
            self.wrong.poke(self.wrong.peek() + 1);
        }
        self.users.leave(side)
    }

    /// Replaces the thing; waits, but not for ever.
    fn replace(&self, new: u64) {
        self.thing.swap(new);
        let side = self.users.turn();
        let left = (0..2).any(|_| !self.users.are_on(side));
        if left {
            self.gone.set((1 << new) - 1);
        }
    }
}

#[test]
fn nobody_uses_the_old_one_after_the_wait() {
    let orders = in_all_orders::<Shared>(
        |shared| {
            shared.use_it();
        },
        |shared| {
            shared.replace(1);
        },
        |shared| assert_eq!(shared.wrong.peek(), 0),
    );
    assert!(orders > 1000, "{orders}");
}

/// One who replaces it without a wait is found out: the test can fail.
#[test]
fn somebody_uses_the_old_one_without_a_wait() {
    let found = std::cell::Cell::new(0);
    in_all_orders::<Shared>(
        |shared| {
            shared.use_it();
        },
        |shared| {
            shared.thing.swap(1);
            shared.gone.set(1);
        },
        |shared| found.set(found.get() + shared.wrong.peek()),
    );
    assert_ne!(found.get(), 0);
}

/// The last one who leaves wakes up who waits, if it does: nobody sleeps for ever.
#[test]
fn the_last_one_says_so() {
    struct Waking {
        shared: Shared,
        woken: Scheduled,
        waits: Scheduled,
    }
    impl Default for Waking {
        fn default() -> Self {
            Self {
                shared: Shared::default(),
                woken: Scheduled::new(0),
                waits: Scheduled::new(0),
            }
        }
    }
    in_all_orders::<Waking>(
        |waking| {
            if waking.shared.use_it() {
                waking.woken.swap(1);
            }
        },
        |waking| {
            let users = &waking.shared.users;
            let side = users.turn();
            if users.are_on(side) {
                waking.waits.swap(1);
            }
        },
        |waking| assert!(waking.waits.peek() <= waking.woken.peek()),
    );
}

/// Sides alternate, and each is waited for by itself.
#[test]
fn sides() {
    let users = Users::new(Scheduled::default());
    let first = users.enter();
    let second = users.enter();
    assert_eq!(first, second);
    assert!(!users.leave(second));
    assert_eq!(users.turn(), first);
    let third = users.enter();
    assert_ne!(third, first);
    assert!(users.are_on(first));
    assert!(users.leave(first));
    assert!(!users.are_on(first));
    assert_eq!(users.turn(), third);
    assert!(users.are_on(third));
    assert!(users.leave(third));
    assert!(!users.are_on(third));
}
