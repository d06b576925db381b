// SPDX-License-Identifier: GPL-2.0

//! What is done about an exit from the guest.
//!
//! [`Run::fast`] has interrupts off and does what needs no sleeping, so that the guest is entered
//! again at once; [`Run::slow`] does the rest.

use crate::{
    firmware::{
        power_on,
        Caller, //
    },
    memory::Faulted,
    power::PowerState,
    run::Run,
    vcpu::{
        request,
        Stat, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};
use kvm_core::{
    bits::Bits,
    context::{
        Context,
        Gpr, //
    },
    esr::{
        AbortKind,
        DataAbort,
        ErrorType,
        Esr,
        ExceptionClass,
        FaultStatus,
        SError,
        Syndrome,
        SystemAccess,
        WaitKind, //
    },
    events::Events,
    exit_reason::ExitReason,
    far::{
        fault_ipa,
        HpfarEl2, //
    },
    firmware::{
        self,
        Outcome as Call, //
    },
    guest_debug::{
        DebugAction,
        DebugExit, //
    },
    inject::{
        AbortedAccess,
        Exception, //
    },
    mmio::{
        self,
        Direction, //
    },
    pstate::GuestPstate,
    register::{
        access::{
            emulate,
            AccessEnv,
            IdRead,
            Outcome, //
        },
        FeatureSet,
        Reg, //
    },
    setway::{
        Response,
        SctlrCache, //
    },
    smccc::{
        self,
        Conduit,
        Registers, //
    },
    stage1::descriptor_level,
    sysreg::SysReg,
    vm_idreg::{
        GuestRead,
        IdView, //
    },
};
use kvm_host::{
    kick::Running,
    run_page, time, trace,
    uapi::kvm_debug_exit_arch,
    vcpu::{
        Exit,
        ExitCode, //
    },
};

/// What follows an exit with interrupts off.
pub(crate) enum Fast {
    /// It is done with: enter the guest.
    Guest,
    /// It was an interrupt for the host.
    Interrupt,
    /// [`Run::slow`] goes on.
    Slow,
}

/// What follows an exit.
pub(crate) enum Flow {
    /// Enter the guest.
    Guest,
    /// Return to user space, which finds the reason in `struct kvm_run`.
    User,
}

/// What [`Run::fast`] leaves to [`Run::slow`].
#[derive(Default)]
pub(crate) enum Deferred {
    /// Nothing.
    #[default]
    Nothing,
    /// A synchronous exception.
    Sync(Esr),
    /// A call whose outcome needs more than registers.
    Call(Call),
    /// All of the VM's memory is to be cleaned and invalidated.
    Flush,
    /// An SError that the guest has caused.
    SError(SError),
    /// PSTATE was none that the CPU can be in.
    Illegal,
}

/// The hardware's reason in KVM_EXIT_FAIL_ENTRY for a PSTATE that the CPU cannot be in.
const FAIL_ILLEGAL_STATE: u64 = 1;

/// A vCPU that accesses a system register.
struct Accessing<'a, 'b>(&'a Run<'b>);

impl AccessEnv for Accessing<'_, '_> {
    #[inline]
    fn features(&self) -> FeatureSet {
        self.0.frozen.registers
    }

    #[inline]
    fn gpr(&self, n: Bits<5>) -> u64 {
        self.0.cpu.gpr(n)
    }

    #[inline]
    fn set_gpr(&mut self, n: Bits<5>, value: u64) {
        self.0.cpu.set_gpr(n, value);
    }

    #[inline]
    fn read(&self, reg: Reg) -> u64 {
        self.0.cpu.read_any(reg)
    }

    #[inline]
    fn write(&mut self, reg: Reg, value: u64) {
        self.0.cpu.write_any(reg, value);
    }

    fn id_register(&self, encoding: SysReg) -> IdRead {
        let frozen = self.0.frozen;

        match frozen.ids.guest_read(encoding, frozen.features) {
            Some(GuestRead::Value(value)) => IdRead::Value(value),
            Some(GuestRead::ThisCpu) => IdRead::Value(self.0.vm.host_id_registers().raw(encoding)),
            Some(GuestRead::IdTrap) => IdRead::Trap,
            Some(GuestRead::Undefined) | None => IdRead::Undefined,
        }
    }

    fn clidr(&self) -> u64 {
        self.0.cache.clidr()
    }

    fn ccsidr(&self, csselr: u64) -> u64 {
        self.0.cache.guest_ccsidr(csselr)
    }

    fn counter(&self, reg: Reg) -> u64 {
        self.0.vm.counter(reg)
    }
}

impl Run<'_> {
    /// Leaves an exit to [`Run::slow`].
    fn defer(&mut self, deferred: Deferred) -> Fast {
        self.deferred = deferred;
        Fast::Slow
    }

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
                self.vcpu.exits.count(ExitReason::Irq);
                Fast::Interrupt
            }
            ExitCode::SError => {
                self.trace_exit(trace::ExitReason::SError, 0);
                self.vcpu.exits.count(ExitReason::SError);
                let syndrome = Esr::from_raw(self.cpu.esr()).payload();
                self.defer(Deferred::SError(SError::from_raw(syndrome)))
            }
            ExitCode::Illegal => {
                self.trace_exit(trace::ExitReason::Illegal, 0);
                self.vcpu.exits.count(ExitReason::Illegal);
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
        self.vcpu.exits.count(ExitReason::SError);
        self.defer(Deferred::SError(syndrome))
    }

    #[inline(always)]
    fn sync(&mut self) -> Fast {
        let esr = Esr::from_raw(self.cpu.esr());

        self.trace_exit(trace::ExitReason::Trap, esr.into_raw());
        match esr.ec() {
            ExceptionClass::Hvc64 => {
                self.vcpu.exits.count(ExitReason::Hvc);
                self.call(Conduit::Hvc, false, esr)
            }
            ExceptionClass::System => {
                self.vcpu.exits.count(ExitReason::System);
                self.system(SystemAccess::from_raw(esr.payload()), esr)
            }
            _ => self.other(esr),
        }
    }

    /// A synchronous exception that is less frequent.
    #[inline(never)]
    fn other(&mut self, esr: Esr) -> Fast {
        self.vcpu.exits.count(ExitReason::of(esr));
        if !self.cpu_context().condition_passed(esr) {
            self.advance(esr);
            return Fast::Guest;
        }
        match esr.ec() {
            ExceptionClass::Smc64 => self.call(Conduit::Smc, false, esr),
            ExceptionClass::Hvc32 => self.call(Conduit::Hvc, true, esr),
            ExceptionClass::Smc32 => self.call(Conduit::Smc, true, esr),
            ExceptionClass::MemoryCopy => {
                self.cpu.rewind_memory_copy();
                Fast::Guest
            }
            ExceptionClass::Wfx
            | ExceptionClass::DataAbortLower
            | ExceptionClass::InstructionAbortLower
            | ExceptionClass::BreakpointLower
            | ExceptionClass::StepLower
            | ExceptionClass::WatchpointLower
            | ExceptionClass::Bkpt32
            | ExceptionClass::Brk64 => self.defer(Deferred::Sync(esr)),
            // What the VM does not have: FP that is not there, SVE, SME, pointer authentication,
            // AArch32's system registers, and whatever comes.
            _ => {
                self.inject(Exception::Undefined);
                Fast::Guest
            }
        }
    }

    /// The vCPU's registers for emulation.
    #[inline(always)]
    fn cpu_context(&self) -> impl Context + '_ {
        self.cpu
    }

    /// Steps over the trapped instruction.
    #[inline(always)]
    fn advance(&self, esr: Esr) {
        self.cpu_context().advance(esr);
    }

    fn set_registers(&self, registers: Registers) {
        for (n, value) in registers.0.into_iter().enumerate() {
            self.cpu.set_gpr(Bits::truncated(n as u64), value);
        }
    }

    #[inline]
    fn call(&mut self, conduit: Conduit, aarch32: bool, esr: Esr) -> Fast {
        if conduit.needs_skip() {
            self.advance(esr);
        }
        let gpr = |n| self.cpu.gpr(Bits::truncated(n));
        let call = smccc::Call::new(
            conduit,
            aarch32,
            esr.payload() as u16,
            esr.il(),
            Registers([gpr(0), gpr(1), gpr(2), gpr(3)]),
        );
        let caller = Caller {
            vm: self.vm,
            frozen: self.frozen,
            cpu: self.cpu,
            stolen_time: self.stolen_time,
        };
        match firmware::handle(&call, &self.frozen.firmware, &self.frozen.filter, &caller) {
            Call::Return(registers) => {
                self.set_registers(registers);
                Fast::Guest
            }
            Call::PowerOn(on) => {
                let result = power_on(self.vm, &on);
                self.set_registers(on.answer(result));
                Fast::Guest
            }
            outcome => self.defer(Deferred::Call(outcome)),
        }
    }

    /// A system register, or a system instruction.
    #[inline]
    fn system(&mut self, access: SystemAccess, esr: Esr) -> Fast {
        match emulate(access, &mut Accessing(self)) {
            Outcome::Done => {
                self.advance(esr);
                Fast::Guest
            }
            Outcome::Undefined => {
                self.inject(Exception::Undefined);
                Fast::Guest
            }
            Outcome::Unknown => self.unknown(access),
            Outcome::IdTrap => {
                self.inject(Exception::SystemAccess {
                    reg: access.reg(),
                    rt: Gpr::from_bits(access.rt()),
                    read: access.read(),
                });
                Fast::Guest
            }
            Outcome::VmControl { before, after } => self.vm_control(
                SctlrCache::from_raw(before),
                SctlrCache::from_raw(after),
                esr,
            ),
            Outcome::SetWay(_) => {
                let response = self.set_way.set_way();
                if response.tvm.is_some() {
                    let sctlr = SctlrCache::from_raw(self.cpu.read(Reg::SCTLR_EL1));
                    trace::set_way_flush(self.vcpu.id, self.cpu.pc(), sctlr.caches_on());
                }
                self.advance(esr);
                self.respond(response)
            }
        }
    }

    /// An access to what no row of the register table has: UNDEFINED. It may be a register that
    /// nothing promises to the guest, or a row that is missing, so the first one is said.
    #[cold]
    fn unknown(&mut self, access: SystemAccess) -> Fast {
        kernel::pr_warn_once!(
            "a guest's {} of {:?} at {:#x} is UNDEFINED: the register table has no row for it\n",
            if access.read() { "read" } else { "write" },
            access.reg(),
            self.cpu.pc(),
        );
        self.inject(Exception::Undefined);
        Fast::Guest
    }

    #[inline(never)]
    fn vm_control(&mut self, before: SctlrCache, after: SctlrCache, esr: Esr) -> Fast {
        self.vcpu.stats.count(Stat::TvmTrap);
        let response = self.set_way.vm_register(before, after);
        if response.flush || response.tvm.is_some() {
            trace::toggle_cache(
                self.vcpu.id,
                self.cpu.pc(),
                before.caches_on(),
                after.caches_on(),
            );
        }
        self.advance(esr);
        self.respond(response)
    }

    /// Does what the set/way policy says.
    fn respond(&mut self, response: Response) -> Fast {
        if let Some(tvm) = response.tvm {
            self.cpu.trap_vm_controls(tvm);
        }
        if response.flush {
            self.defer(Deferred::Flush)
        } else {
            Fast::Guest
        }
    }

    /// Goes on cleaning and invalidating the VM's memory.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal is pending; the rest is done before the guest is next entered.
    pub(crate) fn continue_flush(&mut self) -> Result {
        while let Some(from) = *self.flush {
            let (next, bytes) = self.vm.memory.flush_step(from);
            self.vcpu.stats.add(Stat::SetWayBytes, bytes);
            *self.flush = next;
            if next.is_some() && current!().signal_pending() {
                return Err(EINTR);
            }
        }
        Ok(())
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
                self.vcpu.stats.count(Stat::SetWayFlush);
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

    /// Waits as by WFI: until there is something to do.
    fn wait(&self, running: &Running<'_>) -> Result {
        running.block(|| self.vcpu.has_requests() || self.cpu.virtual_serror().is_some())
    }

    fn slow_call(&mut self, call: Call, running: &Running<'_>) -> Result<Flow> {
        match call {
            Call::Return(registers) => self.set_registers(registers),
            Call::PowerOn(on) => {
                let result = power_on(self.vm, &on);
                self.set_registers(on.answer(result));
            }
            Call::StartStolenTime(start) => {
                self.set_registers(start.registers);
                *self.stolen_start = time::run_delay();
                // If there is no memory, that is the VMM's doing.
                let _ = self.vm.memory.write(start.ipa.get(), &[0; 16]);
                self.vcpu.note(request::STOLEN_TIME);
            }
            Call::ForwardToUser(hypercall) => {
                self.vcpu.run.set_exit(&run_page::Exit::Hypercall {
                    function: hypercall.nr,
                    flags: hypercall.flags,
                });
                return Ok(Flow::User);
            }
            Call::Standby(registers) => {
                self.set_registers(registers);
                self.wait(running)?;
            }
            Call::PowerOff(registers) => {
                self.set_registers(registers);
                self.vcpu.power.set(PowerState::Stopped);
            }
            Call::SystemEvent(event, registers) => {
                self.set_registers(registers);
                if event.stops_vcpus() {
                    self.vm.for_each_vcpu(|vcpu| {
                        vcpu.power.set(PowerState::Stopped);
                        vcpu.request(request::POWER);
                        true
                    });
                }
                self.vcpu.run.set_exit(&run_page::Exit::SystemEvent {
                    event: event.event_type(),
                    data: event.data().as_slice(),
                });
                return Ok(Flow::User);
            }
        }
        Ok(Flow::Guest)
    }

    fn slow_sync(&mut self, esr: Esr, running: &Running<'_>) -> Result<Flow> {
        match esr.decode() {
            Syndrome::Wait(wait) => {
                self.advance(esr);
                // A WFI may end at any time. One with a timeout ends at once, as does a WFE, after
                // which the guest looks again at what it waits for.
                if wait.ti() == WaitKind::Wfi {
                    self.wait(running)?;
                }
                Ok(Flow::Guest)
            }
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

    /// An abort that was taken to EL2: stage 2's, or one that memory itself reported.
    fn abort(&mut self, esr: Esr, kind: AbortKind, status: FaultStatus) -> Result<Flow> {
        let iss = DataAbort::from_raw(esr.payload());
        let far = self.cpu.far();
        let translation = matches!(
            status,
            FaultStatus::Translation(_) | FaultStatus::AccessFlag(_) | FaultStatus::Permission(_)
        );
        if !translation {
            // The guest's own access has hit something that does not answer, or is broken.
            self.external_abort(kind, (!iss.fnv()).then_some(far));
            return Ok(Flow::Guest);
        }
        let s1ptw = iss.s1ptw();
        let hpfar = HpfarEl2::from_raw(self.cpu.hpfar());
        let ipa = if status.writes_hpfar(s1ptw) {
            hpfar.page() | if s1ptw { 0 } else { far & 0xfff }
        } else {
            // HPFAR_EL2 is UNKNOWN by the architecture; where AT fails, too, what it says is all
            // there is, and a page of the guest too much is mapped at worst.
            self.cpu
                .translate(far)
                .unwrap_or_else(|| fault_ipa(hpfar, far))
        };
        let permission = matches!(status, FaultStatus::Permission(_));
        let data = kind == AbortKind::Data;
        let write = if s1ptw {
            // The walker updates a descriptor.
            permission
        } else {
            data && iss.wnr() && !iss.cm()
        };
        let execute = !data && !s1ptw;

        match self.vm.memory.fault(ipa, write, execute, self.reserve)? {
            Faulted::Mapped => Ok(Flow::Guest),
            Faulted::Interrupted => Err(EINTR),
            Faulted::NoMemory | Faulted::ReadOnly if !data && !s1ptw => {
                self.external_abort(kind, Some(far));
                Ok(Flow::Guest)
            }
            Faulted::NoMemory | Faulted::ReadOnly => self.no_memory(esr, kind, far, ipa),
        }
    }

    fn external_abort(&self, kind: AbortKind, far: Option<u64>) {
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
                *self.mmio_far = far;
                self.vcpu.exits.count(ExitReason::Mmio);
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
                *self.mmio_far = far;
                self.vcpu.run.set_exit(&run_page::Exit::ArmNisv {
                    esr_iss: undecoded.esr_iss,
                    fault_ipa: undecoded.fault_ipa,
                });
                Ok(Flow::User)
            }
            mmio::Outcome::LoadStore64B(undecoded) => {
                *self.mmio_far = far;
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
