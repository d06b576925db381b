// SPDX-License-Identifier: GPL-2.0

//! The kernel's accesses to guest memory, for which a slot that goes waits.

use kernel::{
    new_condvar, new_mutex,
    prelude::*,
    sync::{
        CondVar,
        Mutex, //
    },
};
use kvm_core::users::Users;
use kvm_host::word::AtomicWord;

/// The accesses that are under way.
#[pin_data]
pub(super) struct Accesses {
    users: Users<AtomicWord>,
    #[pin]
    lock: Mutex<()>,
    #[pin]
    left: CondVar,
}

impl Accesses {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            users: Users::new(AtomicWord::new(0)),
            lock <- new_mutex!((), "kvm_vhe::Accesses::lock"),
            left <- new_condvar!("kvm_vhe::Accesses::left"),
        })
    }

    /// Makes an access, which looks up where it goes. It may sleep.
    #[inline]
    pub(super) fn during<R>(&self, access: impl FnOnce() -> R) -> R {
        let side = self.users.enter();
        let result = access();

        if self.users.leave(side) {
            // Whoever waits has either not looked yet, or sleeps.
            drop(self.lock.lock());
            self.left.notify_all();
        }
        result
    }

    /// Waits for the accesses that may have looked up what has been replaced before this is called.
    /// Callers see to it that there is one of these calls at a time.
    pub(super) fn wait_for_earlier(&self) {
        let side = self.users.turn();
        if !self.users.are_on(side) {
            return;
        }
        let mut guard = self.lock.lock();
        while self.users.are_on(side) {
            self.left.wait(&mut guard);
        }
    }
}
