// SPDX-License-Identifier: GPL-2.0

//! Where a VM's GSIs go, and who is told when the guest has ended their interrupts.

use kernel::{
    new_mutex, new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc,
        Mutex,
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
        Deferred,
        Fresh,
        RcuCell, //
    },
    relaxed, //
};

/// How many resamplers of an interrupt are told in the moment in which the guest has ended it.
const AT_ONCE: usize = 8;

/// The most resamplers of a VM, one for each GSI: one that goes has those behind it moved with
/// interrupts off.
const MAX_RESAMPLERS: usize = MAX_ROUTES;

/// How many are looked at with interrupts off.
const STEP: usize = 64;

/// A level-triggered GSI whose user wants to know when the guest has ended its interrupt, to raise it
/// again if there is a reason to.
#[derive(Clone)]
struct Resampler {
    gsi: u32,
    eventfd: Arc<EventFd>,
    /// The SPI that the GSI goes to.
    spi: Option<IntId>,
    /// No other one has had it.
    id: u64,
}

impl Resampler {
    /// Their order.
    fn key(&self) -> (Option<IntId>, u64) {
        (self.spi, self.id)
    }
}

/// Words with a bit for each SPI, by its number.
const WORDS: usize = 1024 / u64::BITS as usize;

/// The routes of a VM, and its resamplers.
#[pin_data]
pub(crate) struct Routes {
    /// Held while anything of them changes; the number of resamplers that there have been.
    #[pin]
    changes: Mutex<u64>,
    #[pin]
    routing: RcuCell<Routing<KVVec<Option<Route>>>>,
    /// In their order. Eventfds are signalled under this lock.
    #[pin]
    resamplers: SpinLockIrq<KVec<Resampler>>,
    /// How many there are.
    count: Atomic<u32>,
    /// The SPIs that the guest has ended, and of whose resamplers nobody has been told yet.
    ended: [Atomic<u64>; WORDS],
    /// Whether there are any.
    any_ended: Atomic<u32>,
}

impl Routes {
    /// Those of a new VM: each GSI is the pin of its number.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(deferred: Deferred) -> Result<Arc<Self>> {
        let identity = Fresh::new(Routing::Identity)?;

        Arc::pin_init(
            pin_init!(Self {
                changes <- new_mutex!(0, "kvm_vhe::Routes::changes"),
                routing <- RcuCell::new(identity, deferred),
                resamplers <- new_spinlock_irq!(KVec::new(), "kvm_vhe::Routes::resamplers"),
                count: Atomic::new(0),
                ended: [const { Atomic::new(0) }; WORDS],
                any_ended: Atomic::new(0),
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

        let _changes = self.changes.lock();
        // All that may fail, first.
        let mut resamplers = self.copy(0)?;

        self.routing.update().replace_and_wait(fresh);
        for resampler in &mut resamplers {
            resampler.spi = self.spi(resampler.gsi);
        }
        self.replace(resamplers);
        Ok(())
    }

    /// Where a GSI goes.
    #[inline]
    pub(crate) fn route(&self, irqs: &IrqsOff, gsi: u32) -> Option<Route> {
        self.routing.read(irqs).route(gsi)
    }

    /// The SPI that a GSI goes to.
    fn spi(&self, gsi: u32) -> Option<IntId> {
        match with_irqs_off(|irqs| self.route(irqs, gsi)) {
            Some(Route::Spi(spi)) => Some(spi),
            _ => None,
        }
    }

    /// The guest has ended a level-triggered SPI: calls `lower`, if anybody wants to know that, and
    /// tells them, or leaves that to [`tell`](Self::tell).
    #[inline]
    pub(crate) fn ended(&self, irqs: &IrqsOff, spi: IntId, lower: impl FnOnce()) {
        if relaxed::load(&self.count) != 0 {
            self.resample(irqs, spi, lower);
        }
    }

    #[inline(never)]
    fn resample(&self, irqs: &IrqsOff, spi: IntId, lower: impl FnOnce()) {
        let resamplers = self.resamplers.lock_with(irqs.local());
        let mut those = Self::behind(&resamplers, spi, 0).peekable();

        if those.peek().is_none() {
            return;
        }
        // Before somebody raises it again.
        lower();
        if those.clone().nth(AT_ONCE).is_some() {
            // Too many to tell with interrupts off.
            self.note(spi);
            return;
        }
        those.for_each(|resampler| resampler.eventfd.signal());
    }

    /// Those of an SPI behind the one with an id, of which 0 is none.
    fn behind(
        resamplers: &[Resampler],
        spi: IntId,
        id: u64,
    ) -> impl Iterator<Item = &Resampler> + Clone {
        let start = resamplers.partition_point(|resampler| resampler.key() <= (Some(spi), id));

        resamplers
            .iter()
            .skip(start)
            .take_while(move |resampler| resampler.spi == Some(spi))
    }

    /// Leaves it to [`tell`](Self::tell) to tell those of an SPI.
    fn note(&self, spi: IntId) {
        if let Some(word) = self.ended.get(spi.index() / u64::BITS as usize) {
            let bit = 1 << (spi.index() % u64::BITS as usize);
            let mut old = relaxed::load(word);

            while let Err(now) = word.cmpxchg(old, old | bit, Full) {
                old = now;
            }
            self.any_ended.xchg(1, Full);
        }
    }

    /// Whether there is something for [`tell`](Self::tell).
    #[inline(always)]
    pub(crate) fn has_ended(&self) -> bool {
        relaxed::load(&self.any_ended) != 0
    }

    /// Tells all that are to be told still. With interrupts on.
    ///
    /// A vCPU's thread does so as soon as it is where interrupts are on, and before it returns to user
    /// space.
    pub(crate) fn tell(&self) {
        if !self.has_ended() {
            return;
        }
        self.any_ended.xchg(0, Full);
        for (n, word) in self.ended.iter().enumerate() {
            let mut bits = word.xchg(0, Full);
            while bits != 0 {
                let number = n as u32 * u64::BITS + bits.trailing_zeros();
                bits &= bits - 1;
                if let Some(spi) = IntId::spi(number) {
                    self.tell_those_of(spi);
                }
            }
        }
    }

    /// Tells all that there are of an SPI, and that do not come later.
    fn tell_those_of(&self, spi: IntId) {
        let mut id = 0;
        loop {
            let resamplers = self.resamplers.lock();
            let before = id;

            for resampler in Self::behind(&resamplers, spi, id).take(AT_ONCE) {
                resampler.eventfd.signal();
                id = resampler.id;
            }
            if id == before {
                return;
            }
        }
    }

    /// A copy of the resamplers, with room for some more. For who holds `changes`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn copy(&self, more: usize) -> Result<KVec<Resampler>> {
        // The room is made before the lock, under which nothing may sleep, is taken.
        let len = self.resamplers.lock().len();
        let mut all = KVec::with_capacity(len + more, GFP_KERNEL_ACCOUNT)?;

        // Nobody changes them between the steps.
        while all.len() < len {
            let resamplers = self.resamplers.lock();
            let some = all.len()..len.min(all.len() + STEP);

            all.extend_from_slice(resamplers.get(some).ok_or(EINVAL)?, GFP_ATOMIC)?;
        }
        Ok(all)
    }

    /// Makes these the resamplers. For who holds `changes`.
    fn replace(&self, mut all: KVec<Resampler>) {
        all.sort_unstable_by_key(Resampler::key);

        let mut resamplers = self.resamplers.lock();
        relaxed::store(&self.count, all.len() as u32);
        core::mem::swap(&mut *resamplers, &mut all);
        drop(resamplers);
    }

    /// Adds a resampler of a GSI.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also if there are too many.
    pub(crate) fn add_resampler(&self, gsi: u32, eventfd: Arc<EventFd>) -> Result {
        let mut last = self.changes.lock();
        if relaxed::load(&self.count) as usize >= MAX_RESAMPLERS {
            return Err(ENOMEM);
        }
        let mut all = self.copy(1)?;

        *last += 1;
        all.push(
            Resampler {
                gsi,
                eventfd,
                spi: self.spi(gsi),
                id: *last,
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        self.replace(all);
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
        let _changes = self.changes.lock();
        let (mut at, mut others) = (None, false);
        self.by_steps(|index, known| {
            if known.gsi == gsi && at.is_none() && Arc::ptr_eq(&known.eventfd, eventfd) {
                at = Some(index);
            } else {
                others |= known.gsi == gsi;
            }
        });
        let Some(at) = at else {
            return;
        };
        let gone = {
            let mut resamplers = self.resamplers.lock();
            // A move of what is behind it, at most 128 KiB.
            let gone = resamplers.remove(at);
            relaxed::store(&self.count, resamplers.len() as u32);
            gone
        };
        if gone.is_ok() && !others {
            with_irqs_off(|irqs| lower(self.route(irqs, gsi)));
        }
    }

    /// Looks at each resampler, by its index, with interrupts off for some of them at a time. For who
    /// holds `changes`.
    fn by_steps(&self, mut look: impl FnMut(usize, &Resampler)) {
        for first in (0..).step_by(STEP) {
            let resamplers = self.resamplers.lock();
            let some = resamplers.iter().enumerate().skip(first).take(STEP);
            some.for_each(|(index, known)| look(index, known));
            if resamplers.len() <= first + STEP {
                return;
            }
        }
    }
}
