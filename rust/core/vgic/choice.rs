// SPDX-License-Identifier: GPL-2.0

//! Which interrupts are put into list registers when there are more.

use super::{
    interrupts::Groups,
    intid::IntId,
    irq::Irq,
    lr::MAX_LIST_REGISTERS, //
};
use crate::bits::Bits;

/// An interrupt that could be put into a list register.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Offer {
    /// Its priority; the highest comes first.
    priority: Bits<8>,
    /// It is to be signalled, not active. Of the same priority, those that are active come first: the
    /// guest is about to end them, and cannot take another before.
    deliverable: bool,
    intid: IntId,
}

/// How many interrupts there are of each sort.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Count {
    /// To be signalled.
    pub(super) deliverable: usize,
    /// Active.
    pub(super) active: usize,
}

impl Count {
    fn add(&mut self, deliverable: bool) {
        if deliverable {
            self.deliverable += 1;
        } else {
            self.active += 1;
        }
    }
}

/// The choice of interrupts for a number of list registers.
pub(super) struct Selection {
    offers: [Option<Offer>; MAX_LIST_REGISTERS],
    capacity: usize,
    groups: Groups,
    /// The first of those that are to be signalled.
    first: Option<Offer>,
    /// All that were offered.
    pub(super) offered: Count,
}

impl Selection {
    /// Returns a choice for `capacity` list registers, of interrupts of these groups.
    #[inline]
    pub(super) fn new(capacity: usize, groups: Groups) -> Self {
        Self {
            offers: [None; MAX_LIST_REGISTERS],
            capacity: capacity.min(MAX_LIST_REGISTERS),
            groups,
            first: None,
            offered: Count::default(),
        }
    }

    /// Offers an interrupt for a list register.
    #[inline]
    pub(super) fn offer(&mut self, intid: IntId, irq: Irq) {
        let offer = Offer {
            priority: irq.priority(),
            deliverable: irq.is_deliverable(self.groups),
            intid,
        };

        if !offer.deliverable && !irq.active() {
            return;
        }
        self.offered.add(offer.deliverable);
        if offer.deliverable && self.first.is_none_or(|first| offer < first) {
            self.first = Some(offer);
        }
        let mut place = offer;
        for slot in &mut self.offers[..self.capacity] {
            match slot {
                Some(taken) if *taken < place => {}
                Some(taken) => core::mem::swap(taken, &mut place),
                None => {
                    *slot = Some(place);
                    return;
                }
            }
        }
    }

    /// Returns those that were chosen, and how many there are of each sort.
    ///
    /// If only active ones were, one of them gives way for the first that is to be signalled: with
    /// EOImode 1 the guest may keep them active for as long as it likes.
    #[inline]
    pub(super) fn chosen(&mut self) -> (impl Iterator<Item = IntId> + '_, Count) {
        let count = |offers: &[Option<Offer>]| {
            let mut count = Count::default();
            offers
                .iter()
                .flatten()
                .for_each(|offer| count.add(offer.deliverable));
            count
        };
        let chosen = &mut self.offers[..self.capacity];

        if count(chosen).deliverable == 0 && self.first.is_some() {
            // None is free, or it had been chosen.
            if let Some(last) = chosen.last_mut() {
                *last = self.first;
            }
        }
        let counted = count(chosen);
        (chosen.iter().flatten().map(|offer| offer.intid), counted)
    }
}
