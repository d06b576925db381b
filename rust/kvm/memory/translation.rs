// SPDX-License-Identifier: GPL-2.0

//! A VM's stage 2 translation in the CPUs: its VMID, its tables, what TLBs hold of it.

use crate::{
    cpus::Cpus,
    memory::owned::OwnedTables, //
};
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
        tlbi::{
            Operands,
            TlbiFeatures, //
        },
        Format,
        Geometry,
        SharedStage2,
        Stale,
        VtcrEl2,
        VttbrEl2, //
    },
    vmid::Vmid, //
};
use kvm_host::{
    guest_tlb::{
        invalidate_ipa_here,
        invalidate_ipas,
        invalidate_local,
        invalidate_vmid,
        Stage2Registers, //
    },
    percpu::PerCpu,
    pinned::PinnedCpu,
    table_page::TableArena, //
};

/// A VM's stage 2 to the CPUs.
pub(super) struct Translation {
    cpus: Arc<Cpus>,
    tables: OwnedTables,
    geometry: Geometry,
    features: TlbiFeatures,
    vtcr: u64,
    /// The VM's [`Vmid`], 0 if it never had one.
    vmid: Atomic<u64>,
    /// One more than the number of the vCPU that was last on each CPU. TLBs may hold what is private
    /// to a vCPU, by its ASIDs and without (FEAT_CnP).
    last_vcpu: PerCpu<Atomic<u32>>,
}

impl Translation {
    pub(super) fn new(cpus: Arc<Cpus>, format: &Format, tables: OwnedTables) -> Result<Self> {
        let has = |feature| cpus.capabilities().features.contains(feature);
        let features = TlbiFeatures {
            ttl: has(Feature::Ttl),
            range: has(Feature::TlbiRange),
        };

        Ok(Self {
            cpus,
            tables,
            geometry: *format.geometry(),
            features,
            vtcr: VtcrEl2::new(format).into_raw(),
            vmid: Atomic::new(0),
            last_vcpu: PerCpu::new()?,
        })
    }

    /// The memory of the tables.
    #[inline]
    pub(super) fn arena(&self) -> &TableArena {
        self.tables.arena()
    }

    /// The tables for who does not have their lock.
    #[inline]
    pub(super) fn shared(&self) -> &SharedStage2 {
        self.tables.shared()
    }

    /// The VM's translation for TLB maintenance; [`None`] if it never ran.
    fn registers(&self) -> Option<Stage2Registers> {
        Vmid::from_raw(self.vmid.load(Relaxed)).map(|vmid| self.registers_for(vmid))
    }

    fn registers_for(&self, vmid: Vmid) -> Stage2Registers {
        Stage2Registers {
            vttbr: VttbrEl2::new(self.tables.root(), vmid.number()).into_raw(),
            vtcr: self.vtcr,
        }
    }

    /// A vCPU comes to the current CPU: what it is loaded with. Interrupts are off.
    pub(super) fn load(&self, cpu: &PinnedCpu, vcpu: u32) -> Option<Stage2Registers> {
        let vmid = self.cpus.load_vmid(cpu, &self.vmid)?;
        let registers = self.registers_for(vmid);
        let last = self.last_vcpu.this(cpu);

        if last.load(Relaxed) != vcpu + 1 {
            invalidate_local(self.cpus.host(), registers, cpu);
            last.store(vcpu + 1, Relaxed);
        }
        Some(registers)
    }

    /// A vCPU has left the current CPU.
    pub(super) fn put(&self, cpu: &PinnedCpu) {
        self.cpus.unload_vmid(cpu, &self.vmid);
    }

    /// Takes the translation of a guest address out of this CPU's TLB.
    #[inline]
    pub(super) fn invalidate_here(&self, cpu: &PinnedCpu, ipa: u64) {
        if let Some(registers) = self.registers() {
            invalidate_ipa_here(self.cpus.host(), registers, ipa, cpu);
        }
    }

    /// Takes the translations of guest addresses out of the TLBs, which are stale in this way. A VM
    /// that never ran has nothing in any.
    pub(super) fn invalidate(&self, ipa: u64, size: u64, stale: Stale) {
        if let Some(registers) = self.registers() {
            let host = self.cpus.host();
            match Operands::new(&self.geometry, self.features, ipa, size, stale) {
                Some(operands) => invalidate_ipas(host, registers, &operands),
                None => invalidate_vmid(host, registers),
            }
        }
    }
}
