// SPDX-License-Identifier: GPL-2.0

//! Accesses to the frames of the interrupt controller.

use crate::{
    run::Run,
    vgic::{
        mmio::{
            access,
            access_dist, //
        },
        ReadyGic,
        Version, //
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
        interrupts::Interrupts,
        v2::frames::{
            Frames,
            Part, //
        },
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
        if let (Version::V2, Some(ready)) = (chip.version, chip.ready()) {
            return self.gic_v2_access(ready, chip.v2.settled_frames(), esr);
        }
        let (Some(ready), Some(frames)) = (chip.ready(), chip.setup.settled_frames()) else {
            return false;
        };
        let ready = ready.for_vcpu(self.vcpu.ring.as_ref());
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

    /// As [`gic_access`](Self::gic_access), to a GICv2.
    fn gic_v2_access(&mut self, ready: ReadyGic<'_>, frames: Option<Frames>, esr: Esr) -> bool {
        let (far, hpfar) = (self.cpu.far(), HpfarEl2::from_raw(self.cpu.hpfar()));
        let found = frames.and_then(|frames| frames.find(fault_ipa(hpfar, far)));
        let (Some(gic), Some((part, offset))) = (self.gic, found) else {
            return false;
        };
        let cpu = self.cpu;
        let Outcome::Access(wanted) = decode(&cpu, esr, far, hpfar) else {
            return false;
        };
        self.timers.sync_now();
        let data = match part {
            Part::Dist => Some(access_dist(&ready, offset, gic.index(), &wanted)),
            Part::Cpu => gic.access_v2(offset, &wanted),
        };
        let Some(data) = data else { return false };

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
