// SPDX-License-Identifier: GPL-2.0

//! A value that is read without a lock, and replaced as a whole.
//!
//! The `kernel` crate has RCU's read side and nothing that it protects.
//!
//! C header: `include/linux/rcupdate.h`

use crate::{
    irqs::IrqsOff,
    relaxed, //
};
use core::marker::PhantomData;
use kernel::{
    bindings as linux, new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Release, //
        },
        rcu,
        Mutex, //
    },
};

/// A boxed value that readers look at under RCU.
///
/// # Invariants
///
/// `value` is what [`KBox::into_raw`] returned for a box that nobody else has. It is changed with
/// `update` held only, and what was in it is made a box again only after a grace period, or if there
/// are no readers.
#[pin_data(PinnedDrop)]
pub struct RcuCell<T> {
    value: Atomic<*mut T>,
    #[pin]
    update: Mutex<()>,
    _owns: PhantomData<KBox<T>>,
}

// SAFETY: The value is owned as by a `KBox`, and others see it by shared references.
unsafe impl<T: Send + Sync> Send for RcuCell<T> {}
// SAFETY: As above: what is shared are references, and the boxes that `update()` moves.
unsafe impl<T: Send + Sync> Sync for RcuCell<T> {}

impl<T> RcuCell<T> {
    /// Returns an initialiser of a cell with this value.
    pub fn new(value: KBox<T>) -> impl PinInit<Self> {
        // INVARIANT: It comes from a box.
        pin_init!(Self {
            value: Atomic::new(KBox::into_raw(value)),
            update <- new_mutex!((), "kvm_host::RcuCell::update"),
            _owns: PhantomData,
        })
    }

    /// The value, for who has interrupts off.
    #[inline(always)]
    pub fn read<'a>(&'a self, _irqs: &'a IrqsOff) -> &'a T {
        // SAFETY: Interrupts are off as long as `_irqs` is borrowed, in code that RCU watches (it does
        // not while a guest runs, and that is inside of one function, `kvm_vhe_run_guest()`). So this
        // is a read-side critical section (`Documentation/RCU/whatisRCU.rst`, section 7).
        unsafe { self.get() }
    }

    /// The value, for who is in a read-side critical section.
    #[inline]
    pub fn read_rcu<'a>(&'a self, _guard: &'a rcu::Guard) -> &'a T {
        // SAFETY: The guard stands for one.
        unsafe { self.get() }
    }

    /// # Safety
    ///
    /// All uses of the result are in the RCU read-side critical section that this is called in, or
    /// with `update` held since before the call.
    #[inline(always)]
    unsafe fn get<'a>(&'a self) -> &'a T {
        // What is read through the pointer depends on it, so it is not older.
        let value = relaxed::load(&self.value);

        // SAFETY: By the type invariant it is a box's, which is kept until a grace period has passed
        // since it was last in `value`, and stays in `value` while `update` is held.
        unsafe { &*value }
    }

    /// Replaces the value by what `make` makes of it. When this returns nobody sees the old one any
    /// more. Calls wait for each other. Sleeps.
    ///
    /// The grace period is an expedited one: somebody's ioctl waits for it, and a VMM makes many of
    /// these when its guest sets up its devices. Guests do not feel it, as RCU does not wait for a CPU
    /// that is in a guest.
    ///
    /// # Errors
    ///
    /// What `make` returns; the value stays then.
    pub fn update(&self, make: impl FnOnce(&T) -> Result<KBox<T>>) -> Result {
        let guard = self.update.lock();
        // SAFETY: `update` is held.
        let old = unsafe { self.get() };
        let new = make(old)?;
        let old = core::ptr::from_ref(old).cast_mut();

        // INVARIANT: It comes from a box, `update` is held, and the old one is left to this function.
        self.value.store(KBox::into_raw(new), Release);
        drop(guard);
        // SAFETY: Process context, where sleeping is allowed.
        unsafe { linux::synchronize_rcu_expedited() };
        // SAFETY: By the type invariant it was a box's. It is in the cell no more, and all who have
        // read it there under RCU have ended their sections; so has who read it with `update` held.
        drop(unsafe { KBox::from_raw(old) });
        Ok(())
    }
}

#[pinned_drop]
impl<T> PinnedDrop for RcuCell<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is a box's. Who reads the cell borrows it, so nobody does.
        drop(unsafe { KBox::from_raw(relaxed::load(&self.value)) });
    }
}
