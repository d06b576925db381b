// SPDX-License-Identifier: GPL-2.0

//! A VM's LPIs: those that are mapped.
//!
//! [`LpiTable`] has the one entry of each number, under one lock: to be there is to be mapped. What
//! else has an LPI has a reference of its own, which keeps it alive and nothing more: the ITS's
//! mapping, the translation cache, a list register. The bits of those that wait own nothing.

use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
};
use kvm_core::vgic::{
    cell::IrqCell,
    intid::{
        IntId,
        FIRST_LPI,
        INTID_BITS, //
    },
    irq::Irq, //
};
use kvm_host::word::AtomicWord;

/// An LPI.
pub(crate) struct Lpi {
    intid: IntId,
    pub(super) irq: AtomicWord,
}

impl Lpi {
    /// Makes one that is in no table.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(intid: IntId, irq: Irq) -> Result<Arc<Self>> {
        let irq = AtomicWord::new(irq.into_raw());
        Ok(Arc::new(Self { intid, irq }, GFP_KERNEL_ACCOUNT)?)
    }

    /// Its number.
    #[inline]
    pub(crate) fn intid(&self) -> IntId {
        self.intid
    }

    /// Its state.
    #[inline]
    pub(crate) fn irq(&self) -> Irq {
        IrqCell::load(&self.irq)
    }
}

/// LPIs in a page of the table.
const PER_PAGE: usize = 512;

/// Pages of the table.
const PAGES: usize = ((1 << INTID_BITS) - FIRST_LPI as usize) / PER_PAGE;

/// A part of the table, once one of its LPIs was mapped.
type Page = KVec<Option<Arc<Lpi>>>;

fn new_page() -> Result<Page> {
    let mut page = KVec::with_capacity(PER_PAGE, GFP_KERNEL_ACCOUNT)?;
    for _ in 0..PER_PAGE {
        page.push(None, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(page)
}

/// Why an LPI cannot be added to the table.
pub(crate) enum NotAdded {
    /// There is one of this number.
    Taken,
    /// There is no memory for it.
    NoMemory,
}

/// The LPIs of a VM that are mapped, by number. Everything may be done with interrupts off, except
/// adding one.
#[pin_data]
pub(crate) struct LpiTable {
    #[pin]
    pages: SpinLockIrq<[Option<Page>; PAGES]>,
}

/// The place of an LPI: its page and the index there.
#[inline]
fn place(intid: IntId) -> (usize, usize) {
    let n = intid.index().wrapping_sub(FIRST_LPI as usize);
    (n / PER_PAGE, n % PER_PAGE)
}

impl LpiTable {
    /// Makes an empty one.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            pages <- new_spinlock_irq!([const { None }; PAGES], "kvm_vhe::LpiTable::pages"),
        })
    }

    /// The LPI of this number.
    #[inline]
    pub(crate) fn get(&self, intid: IntId) -> Option<Arc<Lpi>> {
        let (page, n) = place(intid);
        self.pages.lock().get(page)?.as_ref()?.get(n)?.clone()
    }

    /// Calls `f` with those for which `bits` has a bit, and its number; `first` stands for bit 0.
    /// `f` does not sleep, and takes no lock.
    ///
    /// 64 that begin with a multiple of that are in one page.
    #[inline]
    pub(crate) fn look(&self, first: IntId, bits: u64, mut f: impl FnMut(u32, Option<&Lpi>)) {
        let (page, n) = place(first);
        let pages = self.pages.lock();
        let page = pages.get(page).and_then(Option::as_ref);
        let mut left = bits;

        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            let lpi = page.and_then(|page| page.get(n + bit as usize)?.as_deref());
            f(bit, lpi);
        }
    }

    /// Adds an LPI. May sleep.
    ///
    /// # Errors
    ///
    /// [`NotAdded`].
    pub(crate) fn add(&self, lpi: Arc<Lpi>) -> Result<(), NotAdded> {
        let (page, n) = place(lpi.intid);
        // Made before the lock is taken, and dropped after, if somebody else was faster.
        let mut spare = None;
        loop {
            let mut pages = self.pages.lock();
            let slot = pages.get_mut(page).ok_or(NotAdded::Taken)?;
            match (slot.as_mut(), spare.take()) {
                (Some(page), unused) => {
                    let slot = page.get_mut(n).ok_or(NotAdded::Taken)?;
                    let added = if slot.is_some() {
                        Err(NotAdded::Taken)
                    } else {
                        *slot = Some(lpi);
                        Ok(())
                    };
                    drop(pages);
                    drop(unused);
                    return added;
                }
                (None, Some(page)) => *slot = Some(page),
                (None, None) => {
                    drop(pages);
                    spare = Some(new_page().map_err(|_| NotAdded::NoMemory)?);
                }
            }
        }
    }

    /// Takes an LPI out, if it is the one of its number.
    pub(crate) fn remove(&self, lpi: &Arc<Lpi>) -> Option<Arc<Lpi>> {
        let (page, n) = place(lpi.intid);
        let mut pages = self.pages.lock();
        let slot = pages.get_mut(page)?.as_mut()?.get_mut(n)?;
        slot.take_if(|there| Arc::ptr_eq(there, lpi))
    }

    /// The LPI with the lowest number from `intid` on.
    pub(crate) fn at_or_after(&self, intid: IntId) -> Option<Arc<Lpi>> {
        let (first, mut n) = place(intid);
        let pages = self.pages.lock();
        for page in pages.iter().skip(first) {
            if let Some(page) = page {
                if let Some(lpi) = page.iter().skip(n).flatten().next() {
                    return Some(lpi.clone());
                }
            }
            n = 0;
        }
        None
    }
}
