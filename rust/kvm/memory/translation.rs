// SPDX-License-Identifier: GPL-2.0

//! A VM's stage 2 translation in the CPUs: its tables, its VMID, what TLBs hold of it.

use crate::cpus::Cpus;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};
use kvm_core::{
    cpu::Feature,
    stage2::{
        tlbi::TlbiFeatures,
        Format,
        Stale, //
    },
};
use kvm_host::{
    guest_tables::{
        GuestTables,
        LockedTables, //
    },
    guest_tlb::{
        invalidate_local,
        Stage2Registers, //
    },
    percpu::PerCpu,
    pinned::PinnedCpu,
    rcu_cell::Deferred, //
};

/// A VM's stage 2 to the CPUs.
pub(super) struct Translation {
    cpus: Arc<Cpus>,
    tables: GuestTables,
    /// One more than the number of the vCPU that was last on each CPU. TLBs may hold what is private
    /// to a vCPU, by its ASIDs and without (FEAT_CnP).
    last_vcpu: PerCpu<Atomic<u32>>,
}

impl Translation {
    /// One with nothing mapped, and what is to be kept under the lock of the tables.
    pub(super) fn new(
        cpus: Arc<Cpus>,
        format: Format,
        deferred: Deferred,
    ) -> Result<(Self, LockedTables)> {
        let has = |feature| cpus.capabilities().features.contains(feature);
        let features = TlbiFeatures {
            ttl: has(Feature::Ttl),
            range: has(Feature::TlbiRange),
        };
        let (tables, locked) = GuestTables::new(format, cpus.host(), features, deferred)?;

        Ok((
            Self {
                cpus,
                tables,
                last_vcpu: PerCpu::new()?,
            },
            locked,
        ))
    }

    /// The tables.
    #[inline]
    pub(super) fn tables(&self) -> &GuestTables {
        &self.tables
    }

    /// A vCPU comes to the current CPU: what it is loaded with. Interrupts are off.
    pub(super) fn load(&self, cpu: &PinnedCpu, vcpu: u32) -> Option<Stage2Registers<'_>> {
        let vmid = self.cpus.load_vmid(cpu, self.tables.vmid())?;
        let registers = self.tables.registers(vmid);
        let last = self.last_vcpu.this(cpu);

        if last.load(Relaxed) != vcpu + 1 {
            invalidate_local(self.cpus.host(), registers, cpu);
            last.store(vcpu + 1, Relaxed);
        }
        Some(registers)
    }

    /// A vCPU has left the current CPU.
    pub(super) fn put(&self, cpu: &PinnedCpu) {
        self.cpus.unload_vmid(cpu, self.tables.vmid());
    }

    /// Takes the translation of a guest address out of this CPU's TLB.
    #[inline]
    pub(super) fn invalidate_here(&self, cpu: &PinnedCpu, ipa: u64) {
        self.tables.invalidate_here(cpu, ipa);
    }

    /// Takes the translations of guest addresses out of the TLBs, which are stale in this way.
    pub(super) fn invalidate(&self, ipa: u64, size: u64, stale: Stale) {
        self.tables.invalidate(ipa, size, stale);
    }
}
