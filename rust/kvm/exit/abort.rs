// SPDX-License-Identifier: GPL-2.0

//! Aborts: faults on guest memory, and accesses to devices in user space.

use crate::{
    counters::Stat,
    memory::{
        Access,
        DirtyRing,
        Faulted, //
    },
    run::{
        Flow,
        Run, //
    },
    vcpu::request,
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::atomic::Relaxed, //
};
use kvm_core::{
    bits::Bits,
    esr::{
        AbortKind,
        DataAbort,
        Esr,
        FaultStatus,
        Syndrome, //
    },
    exit_reason::ExitReason,
    far::HpfarEl2,
    inject::{
        AbortedAccess,
        Exception, //
    },
    mmio::{
        self,
        Direction, //
    },
    stage1::descriptor_level, //
};
use kvm_host::{
    irqs::with_irqs_off,
    run_page, //
};

/// An access of the guest that stage 2 has refused.
struct Refused {
    ipa: u64,
    access: Access,
    /// By a walk of stage 1's tables.
    walk: bool,
}

impl Run<'_> {
    /// Where and what it was. HPFAR_EL2 is UNKNOWN for some, by the architecture; [`None`] if address
    /// translation does not say it, either.
    fn refused(&self, iss: DataAbort, kind: AbortKind, status: FaultStatus) -> Option<Refused> {
        let far = self.cpu.far();
        let walk = iss.s1ptw();
        let data = kind == AbortKind::Data;

        Some(Refused {
            ipa: if status.writes_hpfar(walk) {
                let hpfar = HpfarEl2::from_raw(self.cpu.hpfar());
                hpfar.page() | if walk { 0 } else { far & 0xfff }
            } else {
                self.cpu.translate(far)?
            },
            access: Access {
                write: (data || walk) && iss.needs_write(),
                execute: !data && !walk,
            },
            walk,
        })
    }

    /// Finishes a fault on what is mapped with interrupts off, if nothing but the tables is needed for
    /// that.
    pub(super) fn fast_abort(&mut self, esr: Esr) -> bool {
        let (kind, status) = match esr.decode() {
            Syndrome::DataAbort(_, abort) => (AbortKind::Data, abort.status()),
            Syndrome::InstructionAbort(_, abort) => (AbortKind::Instruction, abort.status()),
            _ => return false,
        };
        if !matches!(
            status,
            FaultStatus::AccessFlag(_) | FaultStatus::Permission(_)
        ) {
            return false;
        }
        let iss = DataAbort::from_raw(esr.payload());
        let Some(Refused { ipa, access, .. }) = self.refused(iss, kind, status) else {
            return false;
        };
        let memory = &self.vm.memory;
        let ring = self.vcpu.ring.as_ref();
        let done = with_irqs_off(|irqs| match status {
            FaultStatus::AccessFlag(_) => memory.set_accessed(irqs, ipa),
            _ => memory.allow(irqs, ipa, access, ring),
        });
        if done {
            self.vcpu.counters.stats.count(Stat::FastFault);
        }
        if ring.is_some_and(DirtyRing::is_full) {
            // The VMM is to look at it before the guest goes on.
            self.vcpu.note(request::RING);
        }
        done
    }

    /// An abort that was taken to EL2: stage 2's, or one that memory itself reported.
    pub(super) fn abort(&mut self, esr: Esr, kind: AbortKind, status: FaultStatus) -> Result<Flow> {
        let iss = DataAbort::from_raw(esr.payload());
        let far = self.cpu.far();

        // For whoever has the access aborted.
        *self.abort_far = (!iss.fnv()).then_some(far);
        match status {
            FaultStatus::Translation(_)
            | FaultStatus::AccessFlag(_)
            | FaultStatus::Permission(_) => {}
            _ => return Ok(self.other_abort(esr, kind, status)),
        }
        if kind == AbortKind::Data && self.gic_access(esr, true) {
            return Ok(Flow::Guest);
        }
        let Some(Refused { ipa, access, walk }) = self.refused(iss, kind, status) else {
            // Another vCPU has changed stage 1 meanwhile: the guest has to try again.
            return Ok(Flow::Guest);
        };
        let ring = self.vcpu.ring.as_ref();

        let faulted = self
            .vm
            .memory
            .fault(ipa, access, self.reserve, ring)
            .inspect_err(|error| {
                if *error == EFAULT {
                    self.memory_fault(ipa);
                }
            })?;
        match faulted {
            Faulted::Mapped => Ok(Flow::Guest),
            Faulted::Interrupted => Err(EINTR),
            Faulted::NoMemory | Faulted::ReadOnly if kind != AbortKind::Data && !walk => {
                self.external_abort(kind, Some(far));
                Ok(Flow::Guest)
            }
            Faulted::NoMemory | Faulted::ReadOnly => self.no_memory(esr, kind, far, ipa),
        }
    }

    /// Says to the VMM where it has no memory, though there is a slot.
    fn memory_fault(&self, ipa: u64) {
        let page = PAGE_SIZE as u64;

        self.vcpu.run.set_exit(&run_page::Exit::MemoryFault {
            flags: 0,
            address: ipa & !(page - 1),
            size: page,
        });
    }

    /// Makes the guest take an External abort on an access of its own.
    pub(super) fn external_abort(&self, kind: AbortKind, far: Option<u64>) {
        self.inject(Exception::ExternalAbort {
            kind,
            access: AbortedAccess::Final { far },
        });
    }

    /// An access to where there is no memory, or none for writing: a device, for user space.
    fn no_memory(&mut self, esr: Esr, kind: AbortKind, far: u64, ipa: u64) -> Result<Flow> {
        if ipa >= self.vm.memory.limit() {
            self.external_abort(kind, Some(far));
            return Ok(Flow::Guest);
        }
        let hpfar = HpfarEl2::from_raw(0).with_fipa(Bits::truncated(ipa >> 12));

        let cpu = self.cpu;

        match mmio::decode(&cpu, esr, far, hpfar) {
            mmio::Outcome::Access(access) => {
                let len = access.size.bytes().into();
                self.mmio.start(&access, esr);
                self.vcpu.counters.exits.count(ExitReason::Mmio);
                self.vcpu.run.set_exit(&match access.direction {
                    Direction::Write(data) => run_page::Exit::MmioWrite {
                        address: access.ipa,
                        len,
                        data,
                    },
                    Direction::Read(_) => run_page::Exit::MmioRead {
                        address: access.ipa,
                        len,
                    },
                });
                Ok(Flow::User)
            }
            mmio::Outcome::NoSyndrome(undecoded) => {
                if !self.vm.nisv_to_user.load(Relaxed) {
                    return Err(ENOSYS);
                }
                self.vcpu.run.set_exit(&run_page::Exit::ArmNisv {
                    esr_iss: undecoded.esr_iss,
                    fault_ipa: undecoded.fault_ipa,
                });
                Ok(Flow::User)
            }
            mmio::Outcome::LoadStore64B(undecoded) => {
                self.vcpu.run.set_exit(&run_page::Exit::ArmLdst64b {
                    esr_iss: undecoded.esr_iss,
                    fault_ipa: undecoded.fault_ipa,
                });
                Ok(Flow::User)
            }
            mmio::Outcome::Skip => {
                self.advance(esr);
                Ok(Flow::Guest)
            }
            mmio::Outcome::Walk { far, table } => {
                let memory = &self.vm.memory;
                let level = descriptor_level(&self.cpu_context(), far, table, |ipa| {
                    let mut data = [0; 8];
                    memory.read(ipa, &mut data).is_ok().then_some(data)
                });
                if let Some(level) = level {
                    self.inject(Exception::ExternalAbort {
                        kind,
                        access: AbortedAccess::Walk { far, level },
                    });
                }
                Ok(Flow::Guest)
            }
        }
    }
}
