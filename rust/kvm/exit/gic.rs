// SPDX-License-Identifier: GPL-2.0

//! Accesses to the frames of the interrupt controller.

use crate::{
    run::Run,
    vgic::{
        mmio::access,
        ReadyGic, //
    },
};
use kvm_core::{
    esr::{
        DataAbort,
        Esr,
        FaultStatus, //
    },
    far::{
        fault_ipa,
        HpfarEl2, //
    },
    mmio::{
        decode,
        Direction,
        Outcome, //
    },
    vgic::{
        dist::Distributor,
        interrupts::Interrupts, //
    },
};

impl Run<'_> {
    /// Does the access that a data abort is of, if it is one to the interrupt controller. Returns
    /// whether it is done; if it was not because of `may_sleep`, it is to be tried again where that
    /// is allowed.
    pub(super) fn gic_access(&mut self, esr: Esr, may_sleep: bool) -> bool {
        let iss = DataAbort::from_raw(esr.payload());
        if iss.s1ptw() || !matches!(iss.status(), FaultStatus::Translation(_)) {
            return false;
        }
        let (Some(gic), Some(chip)) = (self.gic, self.vm.gic()) else {
            return false;
        };
        let (Some(ready), Some(frames)) = (chip.ready(), chip.setup.settled_frames()) else {
            return false;
        };
        let far = self.cpu.far();
        let hpfar = HpfarEl2::from_raw(self.cpu.hpfar());
        let vcpus = ready.interrupts().vcpus();
        let ipa = fault_ipa(hpfar, far);
        let Some(frame) = frames.find(ipa, vcpus) else {
            return may_sleep && ready.is_its(ipa) && self.its_access(ready, esr);
        };
        let cpu = self.cpu;
        let Outcome::Access(wanted) = decode(&cpu, esr, far, hpfar) else {
            return false;
        };

        gic.fold_here();
        let Some(data) = access(&ready, frame, gic.index(), &wanted, may_sleep) else {
            return false;
        };
        self.mmio.start(&wanted, esr);
        self.mmio.finish(&mut &*cpu, data);
        true
    }

    /// Does the access, which is one to an ITS. Commands that come of it are carried out before the
    /// guest is entered again.
    fn its_access(&mut self, gic: ReadyGic<'_>, esr: Esr) -> bool {
        let (far, hpfar) = (self.cpu.far(), HpfarEl2::from_raw(self.cpu.hpfar()));
        let cpu = self.cpu;
        let Outcome::Access(wanted) = decode(&cpu, esr, far, hpfar) else {
            return false;
        };
        let value = match wanted.direction {
            Direction::Read(_) => None,
            Direction::Write(data) => Some(u64::from_le_bytes(data)),
        };
        let Some(data) = gic.access_its(wanted.ipa, wanted.size.bytes() as usize, value) else {
            return false;
        };

        self.mmio.start(&wanted, esr);
        self.mmio.finish(&mut &*cpu, data.to_le_bytes());
        true
    }
}
