// SPDX-License-Identifier: GPL-2.0

//! The ring of coalesced MMIO, which a VM shares with its VMM: a page of each vCPU's mapping.
//!
//! Guests' writes to some devices can wait until user space looks: they are put into this ring, and
//! no vCPU stops for them. api.rst, "4.116 KVM_(UN)REGISTER_COALESCED_MMIO". The VMM may write to the
//! page at any time: nothing in it is trusted.

use crate::{
    abi::KVM_COALESCED_MMIO_PAGE_OFFSET,
    bindings::{
        kvm_coalesced_mmio,
        kvm_coalesced_mmio__bindgen_ty_1,
        kvm_coalesced_mmio_ring, //
    },
    irqs::IrqsOff,
    shared_page::{
        Field,
        SharedPages, //
    },
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    new_spinlock,
    page::{
        BorrowedPage,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::SpinLock,
    transmute::AsBytes, //
};
use kvm_core::mmio_bus::Write;

/// The index of the page in a vCPU's mapping: what `KVM_CAP_COALESCED_MMIO` says.
pub const RING_PAGE: u32 = KVM_COALESCED_MMIO_PAGE_OFFSET;

/// The number of entries, `KVM_COALESCED_MMIO_MAX`; one is always empty.
const ENTRIES: u32 =
    ((PAGE_SIZE - size_of::<kvm_coalesced_mmio_ring>()) / size_of::<kvm_coalesced_mmio>()) as u32;

const FIRST: Field<1, u32> = Field::at(offset_of!(kvm_coalesced_mmio_ring, first));
const LAST: Field<1, u32> = Field::at(offset_of!(kvm_coalesced_mmio_ring, last));

/// The ring, of which the VMM is the one who takes out.
#[pin_data]
pub struct CoalescedRing {
    page: SharedPages<1>,
    /// Only ever held with interrupts off.
    #[pin]
    push: SpinLock<()>,
}

impl CoalescedRing {
    /// Allocates it, empty. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            page: SharedPages::new()?,
            push <- new_spinlock!((), "kvm_host::CoalescedRing::push"),
        }? Error)
    }

    /// The page for the VMM's mappings: [`AnonFile::page`](crate::file::AnonFile::page).
    pub fn page(&self) -> Option<BorrowedPage<'_>> {
        self.page.page(0)
    }

    /// Puts a write into the ring.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the ring is full, or the VMM has left nonsense in it: the write is then an exit.
    pub fn push(&self, _irqs: &IrqsOff, write: &Write) -> Result {
        let _push = self.push.lock();
        let last = self.page.read(LAST);
        // Pairs with the VMM's release of entries that it has taken out.
        let first = self.page.read_acquire(FIRST);
        if last >= ENTRIES {
            return Err(ENOSPC);
        }
        let next = (last + 1) % ENTRIES;
        if next == first {
            return Err(ENOSPC);
        }
        let entry = kvm_coalesced_mmio {
            phys_addr: write.ipa,
            len: write.bytes().into(),
            __bindgen_anon_1: kvm_coalesced_mmio__bindgen_ty_1 { pio: 0 },
            data: write.data,
        };

        self.page.write_at(
            size_of::<kvm_coalesced_mmio_ring>() + last as usize * size_of::<kvm_coalesced_mmio>(),
            entry.as_bytes(),
        )?;
        // The VMM takes the entry out once it sees the new index.
        self.page.write_release(LAST, next);
        Ok(())
    }
}
