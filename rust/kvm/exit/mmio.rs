// SPDX-License-Identifier: GPL-2.0

//! Accesses to devices that need not leave the inner loop.

use crate::{
    counters::Stat, //
    run::Run,
};
use kvm_core::{
    bits::Bits,
    esr::{
        DataAbort,
        Esr,
        FaultStatus, //
    },
    far::HpfarEl2,
    mmio::{
        self,
        Direction,
        MmioAccess, //
    },
    mmio_bus::Write, //
};
use kvm_host::irqs::with_irqs_off;

impl Run<'_> {
    /// A data abort with interrupts off: whether it was a write that the VM's bus has taken.
    #[inline(never)]
    pub(super) fn bus_write(&mut self, esr: Esr) -> bool {
        let iss = DataAbort::from_raw(esr.payload());
        let far = self.cpu.far();

        if !iss.wnr() || iss.s1ptw() {
            return false;
        }
        let hpfar = match iss.status() {
            FaultStatus::Translation(_) => HpfarEl2::from_raw(self.cpu.hpfar()),
            // What a write to read-only memory is. HPFAR_EL2 is UNKNOWN.
            FaultStatus::Permission(_) => match self.cpu.translate(far) {
                Some(ipa) => HpfarEl2::from_raw(0).with_fipa(Bits::truncated(ipa >> 12)),
                None => return false,
            },
            _ => return false,
        };
        let mmio::Outcome::Access(MmioAccess {
            ipa,
            size,
            direction: Direction::Write(data),
        }) = mmio::decode(&self.cpu, esr, far, hpfar)
        else {
            return false;
        };
        let memory = &self.vm.memory;
        if ipa >= memory.limit() {
            return false;
        }
        let done = with_irqs_off(|irqs| {
            let write = Write { ipa, size, data };
            self.vm
                .bus
                .write(irqs, &write, || memory.is_writable(irqs, ipa))
        });
        if done {
            self.vcpu.counters.stats.count(Stat::BusWrite);
            self.advance(esr);
        }
        done
    }
}
