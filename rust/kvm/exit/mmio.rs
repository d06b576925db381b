// SPDX-License-Identifier: GPL-2.0

//! Accesses to devices that need not leave the inner loop.

use crate::{
    run::Run,
    vcpu::Stat, //
};
use kvm_core::{
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
        let status = iss.status();

        // Where memory is read-only, a permission fault is what comes of a write.
        if !iss.wnr()
            || iss.s1ptw()
            || !matches!(
                status,
                FaultStatus::Translation(_) | FaultStatus::Permission(_)
            )
            || !status.writes_hpfar(false)
        {
            return false;
        }
        let hpfar = HpfarEl2::from_raw(self.cpu.hpfar());
        let mmio::Outcome::Access(MmioAccess {
            ipa,
            size,
            direction: Direction::Write(data),
        }) = mmio::decode(&self.cpu, esr, self.cpu.far(), hpfar)
        else {
            return false;
        };
        let memory = &self.vm.memory;
        if ipa >= memory.limit() {
            return false;
        }
        let done = with_irqs_off(|irqs| {
            let write = Write { ipa, size, data };
            self.vm.bus.write(irqs, &write, || memory.is_writable(ipa))
        });
        if done {
            self.vcpu.stats.count(Stat::BusWrite);
            self.advance(esr);
        }
        done
    }
}
