// SPDX-License-Identifier: GPL-2.0

//! Where a VM's GSIs go, and who is told when the guest has ended their interrupts.

use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc,
        SpinLockIrq, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use kvm_core::{
    irq_routing::{
        Entry,
        RawEntry,
        Route,
        Routing,
        MAX_ROUTES, //
    },
    vgic::intid::IntId, //
};
use kvm_host::{
    eventfd::EventFd,
    irqs::{
        with_irqs_off,
        IrqsOff, //
    },
    rcu_cell::{
        Fresh,
        RcuCell, //
    },
    relaxed, //
};

/// A level-triggered GSI whose user wants to know when the guest has ended its interrupt, to raise it
/// again if there is a reason to.
#[derive(Clone)]
pub(crate) struct Resampler {
    pub(crate) gsi: u32,
    pub(crate) eventfd: Arc<EventFd>,
}

/// The routes of a VM, and its resamplers.
#[pin_data]
pub(crate) struct Routes {
    #[pin]
    routing: RcuCell<Routing<KVVec<Option<Route>>>>,
    /// Eventfds are signalled under this lock.
    #[pin]
    resamplers: SpinLockIrq<KVec<Resampler>>,
    /// How many there are.
    count: Atomic<u32>,
}

impl Routes {
    /// Those of a new VM: each GSI is the pin of its number.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let identity = Fresh::new(Routing::Identity)?;

        Arc::pin_init(
            pin_init!(Self {
                routing <- RcuCell::new(identity),
                resamplers <- new_spinlock_irq!(KVec::new(), "kvm_vhe::Routes::resamplers"),
                count: Atomic::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// KVM_SET_GSI_ROUTING, with the entries at `address`. api.rst, "4.52 KVM_SET_GSI_ROUTING".
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are too many, flags, or an entry that is none or whose GSI has one already;
    /// `EFAULT`, `ENOMEM`. The routes stay as they are.
    pub(crate) fn set(&self, nr: u32, flags: u32, address: usize) -> Result {
        let nr = nr as usize;
        if nr > MAX_ROUTES || flags != 0 {
            return Err(EINVAL);
        }
        let mut user = UserSlice::new(
            UserPtr::from_addr(address),
            nr * core::mem::size_of::<RawEntry>(),
        )
        .reader();
        let mut table: KVVec<Option<Route>> = KVVec::new();

        for _ in 0..nr {
            let entry = Entry::new(&user.read::<RawEntry>()?).map_err(|_| EINVAL)?;
            if table.len() < entry.table_len() {
                table.resize(entry.table_len(), None, GFP_KERNEL_ACCOUNT)?;
            }
            entry.put(&mut table).map_err(|_| EINVAL)?;
        }
        let fresh = Fresh::new(Routing::Table(table))?;
        self.routing.update().replace_and_wait(fresh);
        Ok(())
    }

    /// Where a GSI goes.
    #[inline]
    pub(crate) fn route(&self, irqs: &IrqsOff, gsi: u32) -> Option<Route> {
        self.routing.read(irqs).route(gsi)
    }

    /// The guest has ended a level-triggered SPI: calls `lower`, if anybody wants to know that, and
    /// tells them.
    #[inline]
    pub(crate) fn ended(&self, irqs: &IrqsOff, spi: IntId, lower: impl FnOnce()) {
        if relaxed::load(&self.count) != 0 {
            self.resample(irqs, spi, lower);
        }
    }

    #[inline(never)]
    fn resample(&self, irqs: &IrqsOff, spi: IntId, lower: impl FnOnce()) {
        let routing = self.routing.read(irqs);
        let resamplers = self.resamplers.lock_with(irqs.local());
        let mut lower = Some(lower);

        for resampler in resamplers.iter() {
            if routing.route(resampler.gsi) != Some(Route::Spi(spi)) {
                continue;
            }
            // Once, and before somebody raises it again.
            if let Some(lower) = lower.take() {
                lower();
            }
            resampler.eventfd.signal();
        }
    }

    /// Adds a resampler. The caller sees to it that there is only one such call, or one of
    /// [`remove_resampler`](Self::remove_resampler), at a time.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add_resampler(&self, resampler: Resampler) -> Result {
        // The room is made before the lock, under which nothing may sleep, is taken.
        let len = self.resamplers.lock().len();
        let mut all = KVec::with_capacity(len + 1, GFP_KERNEL_ACCOUNT)?;

        let mut resamplers = self.resamplers.lock();
        all.extend_from_slice(&resamplers, GFP_ATOMIC)?;
        all.push(resampler, GFP_ATOMIC)?;
        relaxed::store(&self.count, all.len() as u32);
        core::mem::swap(&mut *resamplers, &mut all);
        drop(resamplers);
        Ok(())
    }

    /// Removes a resampler: its eventfd is not signalled any more when this returns. Calls `lower` with
    /// its route if the GSI has no other one.
    pub(crate) fn remove_resampler(
        &self,
        gsi: u32,
        eventfd: &Arc<EventFd>,
        lower: impl FnOnce(Option<Route>),
    ) {
        let mut resamplers = self.resamplers.lock();
        let at = resamplers
            .iter()
            .position(|known| known.gsi == gsi && Arc::ptr_eq(&known.eventfd, eventfd));
        let gone = at.and_then(|at| resamplers.remove(at).ok());
        relaxed::store(&self.count, resamplers.len() as u32);
        let is_last = resamplers.iter().all(|known| known.gsi != gsi);
        drop(resamplers);
        if gone.is_some() && is_last {
            with_irqs_off(|irqs| lower(self.route(irqs, gsi)));
        }
    }
}
