// SPDX-License-Identifier: GPL-2.0

//! What is done about an exit from the guest.
//!
//! [`Run::fast`] has interrupts off and does what needs no sleeping, so that the guest is entered
//! again at once; [`Run::slow`] does the rest.

mod abort;
mod call;
mod external;
mod gic;
mod mmio;
mod setway;
mod sysreg;

use crate::{
    counters::Stat,
    run::{
        Deferred,
        Fast,
        Flow,
        Run, //
    },
};
use kernel::prelude::*;
use kvm_core::{
    context::Context,
    esr::{
        AbortKind,
        ErrorType,
        Esr,
        ExceptionClass,
        SError,
        Syndrome,
        SystemAccess,
        Wait,
        WaitKind, //
    },
    events::Events,
    exit_reason::ExitReason,
    guest_debug::{
        DebugAction,
        DebugExit, //
    },
    inject::Exception,
    pstate::GuestPstate,
    smccc::Conduit, //
};
use kvm_host::{
    kick::Running,
    neon::FpUnavailable,
    run_page,
    task_work::yield_cpu,
    trace,
    uapi::kvm_debug_exit_arch,
    vcpu::{
        Exit,
        ExitCode, //
    },
};

/// The hardware's reason in KVM_EXIT_FAIL_ENTRY for a PSTATE that the CPU cannot be in.
const FAIL_ILLEGAL_STATE: u64 = 1;

impl Run<'_> {
    /// Handles an exit with interrupts off, as far as that goes.
    #[inline(always)]
    pub(crate) fn fast(&mut self, exit: Exit) -> Fast {
        if let Some(syndrome) = exit.pending_serror {
            return self.pending_serror(exit.code, SError::from_raw(syndrome));
        }
        match exit.code {
            ExitCode::Sync => self.sync(),
            ExitCode::Interrupt => {
                self.trace_exit(trace::ExitReason::Irq, 0);
                self.vcpu.counters.exits.count(ExitReason::Irq);
                Fast::Interrupt
            }
            ExitCode::SError => {
                self.trace_exit(trace::ExitReason::SError, 0);
                self.vcpu.counters.exits.count(ExitReason::SError);
                let syndrome = Esr::from_raw(self.cpu.esr()).payload();
                self.defer(Deferred::SError(SError::from_raw(syndrome)))
            }
            ExitCode::Illegal => {
                self.trace_exit(trace::ExitReason::Illegal, 0);
                self.vcpu.counters.exits.count(ExitReason::Illegal);
                self.defer(Deferred::Illegal)
            }
        }
    }

    #[inline(always)]
    fn trace_exit(&self, reason: trace::ExitReason, esr: u64) {
        trace::vcpu_exit(self.vcpu.id, reason, esr, self.cpu.pc());
    }

    /// An SError came while the guest was being left. The exit itself is not lost where the guest
    /// would do the same again: its instruction has not been executed.
    #[cold]
    fn pending_serror(&mut self, code: ExitCode, syndrome: SError) -> Fast {
        if code == ExitCode::Sync {
            let esr = Esr::from_raw(self.cpu.esr());
            // The preferred return address of HVC is behind it.
            if matches!(esr.ec(), ExceptionClass::Hvc64 | ExceptionClass::Hvc32) {
                self.cpu.set_pc(self.cpu.pc().wrapping_sub(4));
            }
        }
        self.trace_exit(trace::ExitReason::SError, 0);
        self.vcpu.counters.exits.count(ExitReason::SError);
        self.defer(Deferred::SError(syndrome))
    }

    #[inline(always)]
    fn sync(&mut self) -> Fast {
        let esr = Esr::from_raw(self.cpu.esr());

        self.trace_exit(trace::ExitReason::Trap, esr.into_raw());
        match esr.ec() {
            ExceptionClass::Hvc64 => {
                self.vcpu.counters.exits.count(ExitReason::Hvc);
                self.call(Conduit::Hvc, false, esr)
            }
            ExceptionClass::System => {
                self.vcpu.counters.exits.count(ExitReason::System);
                self.system(SystemAccess::from_raw(esr.payload()), esr)
            }
            _ => self.other(esr),
        }
    }

    /// A synchronous exception that is less frequent.
    #[inline(never)]
    fn other(&mut self, esr: Esr) -> Fast {
        self.vcpu.counters.exits.count(ExitReason::of(esr));
        if !self.cpu_context().condition_passed(esr) {
            self.advance(esr);
            return Fast::Guest;
        }
        match esr.ec() {
            ExceptionClass::Smc64 => self.call(Conduit::Smc, false, esr),
            ExceptionClass::Hvc32 => self.call(Conduit::Hvc, true, esr),
            ExceptionClass::Smc32 => self.call(Conduit::Smc, true, esr),
            ExceptionClass::SimdFp => match self.fp.trapped() {
                Ok(()) => Fast::Guest,
                Err(FpUnavailable) => self.defer(Deferred::NoFp),
            },
            ExceptionClass::MemoryCopy => {
                self.cpu.rewind_memory_copy();
                Fast::Guest
            }
            // There is no sleep: what would end it is there.
            ExceptionClass::Wfx if self.has_wake_up() => {
                self.advance(esr);
                Fast::Guest
            }
            ExceptionClass::DataAbortLower | ExceptionClass::InstructionAbortLower
                if self.fast_abort(esr) =>
            {
                Fast::Guest
            }
            ExceptionClass::DataAbortLower if self.gic_access(esr, false) => Fast::Guest,
            ExceptionClass::DataAbortLower if self.bus_write(esr) => Fast::Guest,
            ExceptionClass::Wfx
            | ExceptionClass::DataAbortLower
            | ExceptionClass::InstructionAbortLower
            | ExceptionClass::BreakpointLower
            | ExceptionClass::StepLower
            | ExceptionClass::WatchpointLower
            | ExceptionClass::Bkpt32
            | ExceptionClass::Brk64 => self.defer(Deferred::Sync(esr)),
            // What the VM does not have: SVE, SME, pointer authentication,
            // AArch32's system registers, and whatever comes.
            _ => {
                self.inject(Exception::Undefined);
                Fast::Guest
            }
        }
    }

    /// Handles what [`Run::fast`] has left. May sleep.
    ///
    /// # Errors
    ///
    /// What KVM_RUN returns.
    pub(crate) fn slow(&mut self, running: &Running<'_>) -> Result<Flow> {
        match core::mem::take(&mut self.deferred) {
            Deferred::Nothing => Ok(Flow::Guest),
            Deferred::Sync(esr) => self.slow_sync(esr, running),
            Deferred::Call(call) => self.slow_call(call, running),
            Deferred::Flush => {
                self.vcpu.counters.stats.count(Stat::SetWayFlush);
                *self.flush = Some(0);
                self.continue_flush()?;
                Ok(Flow::Guest)
            }
            Deferred::SError(syndrome) => {
                self.serror(syndrome);
                Ok(Flow::Guest)
            }
            Deferred::Illegal => {
                self.vcpu.run.set_exit(&run_page::Exit::FailEntry {
                    reason: FAIL_ILLEGAL_STATE,
                    cpu: kernel::cpu::CpuId::current().as_u32(),
                });
                Ok(Flow::User)
            }
            Deferred::NoFp => Err(EBUSY),
        }
    }

    /// The guest has caused an SError. It gets one itself, unless hardware has mended the error.
    fn serror(&self, syndrome: SError) {
        /// Fault status: an asynchronous SError, which has a severity.
        const ASYNCHRONOUS: u64 = 0x11;

        let categorized =
            self.vm.cpus.has_ras() && !syndrome.ids() && syndrome.dfsc() == ASYNCHRONOUS;
        let severity = syndrome.aet().filter(|_| categorized);

        if severity == Some(ErrorType::Uncontainable) {
            // Nobody knows what it has reached.
            kvm_host::machine::uncontained_error(syndrome.into_raw());
        }
        let mended = matches!(
            severity,
            Some(ErrorType::Corrected | ErrorType::Restartable)
        );
        if !mended {
            self.cpu
                .set_virtual_serror(Some(Events::IMPLEMENTATION_DEFINED.get()));
        }
    }

    fn slow_sync(&mut self, esr: Esr, running: &Running<'_>) -> Result<Flow> {
        match esr.decode() {
            Syndrome::Wait(wait) => self.slow_wait(wait, esr, running),
            Syndrome::DataAbort(_, abort) => self.abort(esr, AbortKind::Data, abort.status()),
            Syndrome::InstructionAbort(_, abort) => {
                self.abort(esr, AbortKind::Instruction, abort.status())
            }
            _ => match self.debug.exception(esr, self.cpu.far()) {
                Some(DebugAction::Exit(exit)) => Ok(self.debug_exit(&exit)),
                Some(DebugAction::Guest(exception)) => {
                    self.inject(Exception::Debug(exception));
                    Ok(Flow::Guest)
                }
                None => {
                    self.inject(Exception::Undefined);
                    Ok(Flow::Guest)
                }
            },
        }
    }

    /// A WFI that is to sleep, or a WFE, which traps only if another thread wants the CPU.
    fn slow_wait(&mut self, wait: Wait, esr: Esr, running: &Running<'_>) -> Result<Flow> {
        let until = wait.timeout_register().map(|rn| self.cpu.gpr(rn));

        self.advance(esr);
        match wait.ti() {
            WaitKind::Wfi | WaitKind::Wfit => self.wait(running, until)?,
            // The guest looks again at what it waits for.
            WaitKind::Wfe | WaitKind::Wfet => yield_cpu(),
        }
        Ok(Flow::Guest)
    }

    fn debug_exit(&self, exit: &DebugExit) -> Flow {
        let pstate = GuestPstate::from_exit(self.cpu.raw_pstate());

        self.cpu.set_pstate(self.step.after_exit(exit, pstate));
        self.vcpu
            .run
            .set_exit(&run_page::Exit::Debug(kvm_debug_exit_arch {
                hsr: exit.hsr,
                hsr_high: exit.hsr_high,
                far: exit.far.unwrap_or(0),
            }));
        self.vcpu.run.set_flags(DebugExit::FLAGS);
        Flow::User
    }
}
