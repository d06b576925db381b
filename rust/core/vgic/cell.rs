// SPDX-License-Identifier: GPL-2.0

//! Where an interrupt's state is kept.

use super::irq::Irq;
use crate::word::Word;

/// A word that holds an [`Irq`] and that several threads change.
pub trait IrqCell {
    /// Returns the state.
    fn load(&self) -> Irq;

    /// Replaces `old` by `new`, with a full barrier if it succeeds.
    ///
    /// # Errors
    ///
    /// The state, if it is not `old`.
    fn compare_exchange(&self, old: Irq, new: Irq) -> Result<(), Irq>;

    /// Applies `f`, as one step to all others. `f` may be called more than once.
    #[inline]
    fn update(&self, mut f: impl FnMut(Irq) -> Irq) -> Change {
        let mut old = self.load();

        loop {
            let new = f(old);
            if new == old {
                return Change { old, new };
            }
            match self.compare_exchange(old, new) {
                Ok(()) => return Change { old, new },
                Err(now) => old = now,
            }
        }
    }
}

impl<W: Word> IrqCell for W {
    #[inline]
    fn load(&self) -> Irq {
        Irq::from_raw(Word::load(self))
    }

    #[inline]
    fn compare_exchange(&self, old: Irq, new: Irq) -> Result<(), Irq> {
        Word::compare_exchange(self, old.into_raw(), new.into_raw()).map_err(Irq::from_raw)
    }
}

/// An interrupt before and after something happened to it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Before.
    pub old: Irq,
    /// After.
    pub new: Irq,
}

impl Change {
    /// Returns the index of the vCPU that is to look at the interrupt because of the change.
    ///
    /// If it is in a list register, it is the vCPU that has it there, whatever the change; it
    /// passes it on if it goes to another. Otherwise it is the one that it goes to, provided that
    /// there is something to do.
    #[inline]
    pub fn concerns(self) -> Option<usize> {
        if self.old == self.new || !(self.new.listed() || self.new.is_candidate()) {
            return None;
        }
        self.new.owner()
    }
    /// Returns whether the host's interrupt that it stands for is to be active now, if the change is
    /// one: it is while the guest has the interrupt to take or to end. One in a list register is
    /// seen to when it is folded.
    #[inline]
    pub fn host_active(self) -> Option<bool> {
        let Self { old, new } = self;
        let active = new.is_with_guest();

        (new.wired() && old.wired() && !new.listed() && active != old.is_with_guest())
            .then_some(active)
    }
}
