// SPDX-License-Identifier: GPL-2.0

//! A VM's devices whose writes need no exit: [`ioeventfd`](crate::ioeventfd) and
//! [`coalesced`](crate::coalesced) put them here.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kvm_core::mmio_bus::{
    maximal,
    rung,
    zone_of,
    Doorbell,
    HasDoorbell,
    Write,
    Zone, //
};
use kvm_host::{
    coalesced_ring::CoalescedRing,
    eventfd::EventFd,
    irqs::IrqsOff,
    rcu_cell::{
        Deferred,
        Fresh,
        RcuCell, //
    },
};

/// A doorbell, and the eventfd that it rings.
#[derive(Clone)]
pub(crate) struct Bell {
    pub(crate) doorbell: Doorbell,
    pub(crate) eventfd: Arc<EventFd>,
}

impl HasDoorbell for Bell {
    #[inline(always)]
    fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }
}

/// What is on a bus.
pub(crate) struct Table {
    /// In the order of the doorbells, of which no two are rung by the same write.
    pub(crate) bells: KVVec<Bell>,
    /// In the order of [`Zone::order`].
    pub(crate) zones: KVVec<Zone>,
    /// The [`maximal`] ones of them.
    maximal: KVVec<Zone>,
}

impl Table {
    /// A table of these. The bells and the zones are in order.
    pub(crate) fn new(
        bells: impl Iterator<Item = Bell>,
        zones: impl Iterator<Item = Zone>,
    ) -> Result<Fresh<Self>> {
        let bells = collect(bells)?;
        let zones = collect(zones)?;
        let maximal = collect(maximal(zones.iter()).copied())?;

        Fresh::new(Self {
            bells,
            zones,
            maximal,
        })
    }
}

/// `sorted` with `new` at an index, which is its length at most.
pub(crate) fn inserted<'a, T>(
    sorted: &'a [T],
    at: usize,
    new: &'a T,
) -> impl Iterator<Item = &'a T> {
    let (before, after) = sorted.split_at(at.min(sorted.len()));

    // `pin_init` has a method of this name for everything.
    Iterator::chain(Iterator::chain(before.iter(), [new]), after)
}

fn collect<T>(items: impl Iterator<Item = T>) -> Result<KVVec<T>> {
    let mut all = KVVec::new();

    for item in items {
        all.push(item, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(all)
}

/// The bus of a VM.
#[pin_data]
pub(crate) struct Bus {
    #[pin]
    pub(crate) table: RcuCell<Table>,
    #[pin]
    pub(crate) ring: CoalescedRing,
}

impl Bus {
    /// A bus with nothing on it.
    pub(crate) fn new(deferred: Deferred) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let empty = Table::new(core::iter::empty(), core::iter::empty())?;

            Ok(try_pin_init!(Self {
                table <- RcuCell::new(empty, deferred),
                ring <- CoalescedRing::new(),
            }? Error))
        })
    }

    /// Does what a guest's write is to do, and says whether that is all there is to do. What is on the
    /// bus where memory is does not count: `is_memory` says whether that is so at the address.
    #[inline]
    pub(crate) fn write(
        &self,
        irqs: &IrqsOff,
        write: &Write,
        is_memory: impl FnOnce() -> bool,
    ) -> bool {
        let table = self.table.read(irqs);

        if let Some(bell) = rung(&table.bells, write) {
            if is_memory() {
                return false;
            }
            bell.eventfd.signal();
            return true;
        }
        zone_of(&table.maximal, write).is_some()
            && !is_memory()
            && self.ring.push(irqs, write).is_ok()
    }
}
