// SPDX-License-Identifier: GPL-2.0

//! The words of a machine that one thread runs.

use kvm_core::{vgic::irq::Irq, word::Word};
use std::cell::Cell;

/// A word that one thread uses.
#[derive(Default)]
pub struct CellWord(Cell<u64>);

impl From<Irq> for CellWord {
    fn from(irq: Irq) -> Self {
        Self(Cell::new(irq.into_raw()))
    }
}

impl Word for CellWord {
    fn load(&self) -> u64 {
        self.0.get()
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        if self.0.get() == old {
            self.0.set(new);
            Ok(())
        } else {
            Err(self.0.get())
        }
    }

    fn swap(&self, new: u64) -> u64 {
        self.0.replace(new)
    }
}
