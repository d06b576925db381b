// SPDX-License-Identifier: GPL-2.0

//! The words that a vGIC's state is kept in.

use crate::word::AtomicWord;
use kvm_core::{
    vgic::{
        cell::IrqCell,
        irq::Irq, //
    },
    word::Word, //
};

impl AtomicWord {
    /// A word of which all bits are clear.
    pub(super) const fn zero() -> Self {
        Self::new(0)
    }

    /// An interrupt.
    pub(super) fn of(irq: Irq) -> Self {
        Self::new(irq.into_raw())
    }
}

impl IrqCell for AtomicWord {
    #[inline]
    fn load(&self) -> Irq {
        Irq::from_raw(Word::load(self))
    }

    #[inline]
    fn compare_exchange(&self, old: Irq, new: Irq) -> Result<(), Irq> {
        Word::compare_exchange(self, old.into_raw(), new.into_raw()).map_err(Irq::from_raw)
    }
}
