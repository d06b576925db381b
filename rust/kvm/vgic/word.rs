// SPDX-License-Identifier: GPL-2.0

//! The words that a vGIC's state is kept in.

use kernel::sync::atomic::{
    Atomic,
    Full, //
};
use kvm_core::vgic::{
    candidates::Word,
    cell::IrqCell,
    irq::Irq, //
};
use kvm_host::relaxed;

/// An interrupt, or 64 bits of a vCPU's candidates.
pub(crate) struct AtomicWord(Atomic<u64>);

impl AtomicWord {
    /// A word of which all bits are clear.
    pub(super) const fn zero() -> Self {
        Self(Atomic::new(0))
    }

    /// An interrupt.
    pub(super) fn of(irq: Irq) -> Self {
        Self(Atomic::new(irq.into_raw()))
    }
}

impl Word for AtomicWord {
    #[inline(always)]
    fn load(&self) -> u64 {
        relaxed::load(&self.0)
    }

    #[inline]
    fn compare_exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        self.0.cmpxchg(old, new, Full).map(|_| ())
    }

    #[inline]
    fn swap(&self, new: u64) -> u64 {
        self.0.xchg(new, Full)
    }
}

impl IrqCell for AtomicWord {
    #[inline]
    fn load(&self) -> Irq {
        Irq::from_raw(relaxed::load(&self.0))
    }

    #[inline]
    fn compare_exchange(&self, old: Irq, new: Irq) -> Result<(), Irq> {
        Word::compare_exchange(self, old.into_raw(), new.into_raw()).map_err(Irq::from_raw)
    }
}
