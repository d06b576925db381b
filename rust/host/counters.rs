// SPDX-License-Identifier: GPL-2.0

//! Counters of events, for a vCPU or a VM.

use crate::relaxed;
use core::marker::PhantomData;
use kernel::{
    seq_file::SeqFile,
    seq_print,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A set of counters; [`counters!`](crate::counters!) makes one.
pub trait CounterSet: Copy + 'static {
    /// An array with an element for each.
    type Values: AsRef<[Atomic<u64>]> + Send + Sync;

    /// The array, all zeroes.
    const ZERO: Self::Values;

    /// Their names, in the order of the array.
    const NAMES: &'static [&'static str];

    /// This one's place in the array. Below its length.
    fn index(self) -> usize;
}

/// The values of a set of counters. They wrap around, and never go down otherwise.
pub struct Counters<S: CounterSet> {
    values: S::Values,
    _set: PhantomData<fn(S)>,
}

impl<S: CounterSet> Counters<S> {
    /// All zeroes.
    pub const fn new() -> Self {
        Self {
            values: S::ZERO,
            _set: PhantomData,
        }
    }

    /// Adds `n` to a counter that other threads may add to at the same time.
    #[inline]
    pub fn add(&self, counter: S, n: u64) {
        if let Some(value) = self.values.as_ref().get(counter.index()) {
            value.add(n, Relaxed);
        }
    }

    /// Adds one to a counter that only the current thread adds to, as a vCPU's own does to most of
    /// its. Cheaper than [`add`](Self::add); where two threads do it, counts get lost.
    #[inline]
    pub fn count(&self, counter: S) {
        self.count_many(counter, 1);
    }

    /// As [`count`](Self::count), adds `n`.
    #[inline]
    pub fn count_many(&self, counter: S, n: u64) {
        if let Some(value) = self.values.as_ref().get(counter.index()) {
            relaxed::store(value, relaxed::load(value).wrapping_add(n));
        }
    }

    /// A counter's value.
    pub fn get(&self, counter: S) -> u64 {
        self.values
            .as_ref()
            .get(counter.index())
            .map_or(0, relaxed::load)
    }

    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        S::NAMES
            .iter()
            .zip(self.values.as_ref())
            .map(|(name, value)| (*name, relaxed::load(value)))
    }

    /// Writes a line `name:<tab>value` for each.
    pub fn show(&self, m: &SeqFile) {
        for (name, value) in self.iter() {
            seq_print!(m, "{}:\t{}\n", name, value);
        }
    }
}

impl<S: CounterSet> Default for Counters<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Defines an enum whose variants are counters, with their names.
///
/// ```ignore
/// counters! {
///     /// What a vCPU counts.
///     pub enum VcpuCounter {
///         /// Times that the guest was left.
///         Exits = "exits",
///     }
/// }
/// ```
#[macro_export]
macro_rules! counters {
    (
        $(#[$attr:meta])*
        $vis:vis enum $set:ident {
            $($(#[$counter_attr:meta])* $counter:ident = $name:literal,)+
        }
    ) => {
        $(#[$attr])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        $vis enum $set {
            $($(#[$counter_attr])* $counter,)+
        }

        impl $set {
            /// All of them.
            $vis const ALL: &'static [Self] = &[$(Self::$counter),+];

            /// The name.
            $vis const fn name(self) -> &'static str {
                match self {
                    $(Self::$counter => $name,)+
                }
            }
        }

        impl $crate::counters::CounterSet for $set {
            type Values = [::kernel::sync::atomic::Atomic<u64>; [$($name),+].len()];

            // Copied into each new set, and into nothing else.
            #[expect(clippy::declare_interior_mutable_const)]
            const ZERO: Self::Values =
                [const { ::kernel::sync::atomic::Atomic::new(0) }; [$($name),+].len()];
            const NAMES: &'static [&'static str] = &[$($name),+];

            #[inline]
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
