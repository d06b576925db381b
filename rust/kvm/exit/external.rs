// SPDX-License-Identifier: GPL-2.0

//! Aborts that are no faults of a translation: memory or a device has refused the access.

use crate::run::{
    Flow,
    Run, //
};
use kernel::sync::atomic::Relaxed;
use kvm_core::{
    esr::{
        AbortKind,
        DataAbort,
        Esr,
        ExternalAbort,
        FaultStatus,
        Misuse, //
    },
    inject::{
        AbortedAccess,
        Exception, //
    },
    register::Feature, //
};
use kvm_host::run_page;

impl Run<'_> {
    /// An abort that came to EL2 and is not a fault of stage 2's translation.
    pub(super) fn other_abort(&mut self, esr: Esr, kind: AbortKind, status: FaultStatus) -> Flow {
        if let Some(abort) = ExternalAbort::new(esr) {
            return self.taken_external_abort(abort, kind);
        }
        let iss = DataAbort::from_raw(esr.payload());
        let far = self.cpu.far();
        let misuse = match (kind, status) {
            (AbortKind::Data, FaultStatus::Alignment) => Some(Misuse::Unaligned),
            (AbortKind::Data, FaultStatus::UnsupportedAtomic) => Some(Misuse::Atomic),
            _ => None,
        };
        match misuse {
            Some(misuse) => self.inject(Exception::Misuse {
                misuse,
                write: iss.wnr(),
                far,
            }),
            None => self.external_abort(kind, (!iss.fnv()).then_some(far)),
        }
        Flow::Guest
    }

    /// The guest's access has hit something that does not answer, or is broken. The guest gets the
    /// abort, unless the VMM wants to hear of it first. Memory with an error the host hears of by
    /// itself, from firmware: how C KVM has it look at once is nothing that modules can do.
    fn taken_external_abort(&mut self, abort: ExternalAbort, kind: AbortKind) -> Flow {
        let far = abort.far_valid().then(|| self.cpu.far());

        if self.vm.sea_to_user.load(Relaxed) && self.vm.cpus.has_ras() && !abort.is_of_stage_2() {
            let ras = self.frozen.registers.contains(Feature::RAS);
            self.vcpu.run.set_exit(&run_page::Exit::ArmSea {
                esr: abort.for_user(ras),
                gva: far,
                gpa: far
                    .filter(|_| abort.can_translate())
                    .and_then(|far| self.cpu.translate(far)),
            });
            return Flow::User;
        }
        match (abort.walk_level(), far) {
            (Some(level), Some(far)) if !abort.is_of_stage_2() => {
                self.inject(Exception::ExternalAbort {
                    kind,
                    access: AbortedAccess::Walk { far, level },
                });
            }
            _ => self.external_abort(kind, far),
        }
        Flow::Guest
    }
}
