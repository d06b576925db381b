// SPDX-License-Identifier: GPL-2.0

//! Faults on what is mapped, which need neither the lock of the tables nor sleep.

use crate::memory::{
    fault::Access,
    guest::Memory,
    log::DirtyRing, //
};
use kernel::sync::barrier::{
    smp_mb,
    Full, //
};
use kvm_core::stage2::Permissions;
use kvm_host::irqs::IrqsOff;

impl Memory {
    /// Where what is mapped at a guest address ends, if anything is.
    pub(super) fn mapped_end(&self, irqs: &IrqsOff, ipa: u64) -> Option<u64> {
        let mapping = self.translation.tables().lookup(irqs, ipa)?;
        Some(mapping.ipa + mapping.size)
    }

    /// Sets the access flag of what is mapped at a guest address, after an access flag fault. Returns
    /// whether it is still mapped.
    #[inline]
    pub(crate) fn set_accessed(&self, irqs: &IrqsOff, ipa: u64) -> bool {
        self.translation.tables().set_accessed(irqs, ipa)
    }

    /// Allows an access to what is mapped at a guest address, after a permission fault, if the host
    /// need not be asked. Returns whether the guest can go on.
    ///
    /// Instruction caches are not maintained here: without the lock, what is behind the address may be
    /// another page by the time its instructions are allowed.
    #[inline]
    pub(crate) fn allow(
        &self,
        irqs: &IrqsOff,
        ipa: u64,
        access: Access,
        ring: Option<&DirtyRing>,
    ) -> bool {
        if access.execute && self.caches.needs_sync() {
            return false;
        }
        if access.write && ring.is_some_and(DirtyRing::is_full) {
            return false;
        }
        let tables = self.translation.tables();
        let more = Permissions::new(true, access.write, access.execute);

        let Ok(relaxed) = tables.relax(irqs, ipa, more) else {
            return false;
        };
        if access.write && !relaxed.before.write {
            // Whoever has made it writable notes that it is written to.
            smp_mb(Full);
            self.slots.read(irqs).mark(ipa, ring);
        }
        // It faulted by what the TLB has, which may be older than the tables.
        tables.invalidate_here(irqs.cpu(), ipa);
        true
    }
}
