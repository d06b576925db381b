// SPDX-License-Identifier: GPL-2.0

//! Translations of events that had a message lately.
//!
//! A message that comes from an eventfd is delivered where nobody can wait for the ITS. So the
//! translation is also here, under a lock of its own that is held for a few instructions.

use super::{
    env::Forget,
    id::Event, //
};

/// Translations of up to `N` events, a power of two. An event has one place, which it may lose to
/// another one.
///
/// A place owns a reference to its LPI; whoever takes it out gets it.
#[derive(Debug)]
pub struct Cache<L, const N: usize> {
    places: [Option<(Event, L)>; N],
}

impl<L, const N: usize> Cache<L, N> {
    /// Returns an empty one.
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two()) };
        Self {
            places: [const { None }; N],
        }
    }

    /// The index of an event's place: devices have few events, mostly the lowest ones.
    #[inline]
    fn index(event: Event) -> usize {
        (event.event.get() ^ event.device.get().wrapping_mul(0x9e37)) as usize % N
    }

    /// Returns the LPI of an event.
    #[inline]
    pub fn get(&self, event: Event) -> Option<&L> {
        match self.places.get(Self::index(event))? {
            Some((owner, lpi)) if *owner == event => Some(lpi),
            _ => None,
        }
    }

    /// Notes the LPI of an event. Returns what had the place: the caller drops it, not under the
    /// lock.
    #[must_use]
    pub fn insert(&mut self, event: Event, lpi: L) -> Option<L> {
        let place = self.places.get_mut(Self::index(event))?;
        Some(place.replace((event, lpi))?.1)
    }

    /// Takes out the first of those translations from place `from` on, and makes `from` the place
    /// behind it. [`None`] if there are no more.
    ///
    /// Starting with zero, a caller gets all of them, one by one, and can drop each one while it
    /// does not hold the lock.
    pub fn take(&mut self, which: Forget, from: &mut usize) -> Option<L> {
        if let Forget::Event(event) = which {
            *from = (*from).max(Self::index(event));
        }
        while let Some(place) = self.places.get_mut(*from) {
            *from += 1;
            if let Some((_, lpi)) = place.take_if(|(event, _)| which.covers(*event)) {
                return Some(lpi);
            }
            if matches!(which, Forget::Event(_)) {
                *from = N;
            }
        }
        None
    }
}

impl<L, const N: usize> Default for Cache<L, N> {
    fn default() -> Self {
        Self::new()
    }
}
