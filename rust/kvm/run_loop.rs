// SPDX-License-Identifier: GPL-2.0

//! KVM_RUN: the loops around the guest.

use crate::{
    counters::Stat,
    memory::DirtyRing,
    power::PowerState,
    run::{
        Deferred,
        Fast,
        Flow,
        Run, //
    },
    timer::{
        Pins,
        Timers,
        Wires, //
    },
    vcpu::{
        entry_features,
        request,
        State,
        Vcpu, //
    },
    vgic::Gic,
    vm::Vm, //
};
use kernel::prelude::*;
use kvm_core::{
    irq_line::CpuLine,
    lazy::Events,
    psci::SystemEvent,
    pstate::GuestPstate, //
};
use kvm_host::{
    guest_time::with_guest_time,
    guest_tlb::Stage2Registers,
    irqs::with_irqs_off,
    kick::Running,
    load::{
        with_loaded,
        Load,
        Loaded,
        Stay, //
    },
    neon::{
        with_fp_section,
        FpSection, //
    },
    pinned::PinnedCpu,
    run_page,
    signal_mask::with_signal_mask,
    task_work::{
        handle_work,
        prepare_guest_entry,
        userspace_exit,
        work_pending,
        work_was_pending, //
    },
    time, trace,
    vcpu::{
        VcpuCpu,
        Vectors, //
    },
};

/// A vCPU for load and put.
pub(crate) struct Loadable<'a> {
    vm: &'a Vm,
    vcpu: &'a Vcpu,
    cpu: &'a VcpuCpu,
    counts_stolen_time: bool,
    timers: Pins<'a>,
    gic: Option<&'a Gic<'a>>,
    fp: &'a FpSection<'a>,
}

impl Load for Loadable<'_> {
    #[inline(always)]
    fn cpu(&self) -> &VcpuCpu {
        self.cpu
    }

    fn load(&self, cpu: &PinnedCpu) -> Option<(Stage2Registers<'_>, Vectors)> {
        let registers = self.vm.memory.load(cpu, self.vcpu.id)?;

        self.timers.load(cpu);
        if let Some(gic) = self.gic {
            gic.load(cpu);
        }
        self.vcpu.counters.stats.count(Stat::Load);
        if self.counts_stolen_time {
            self.vcpu.note(request::STOLEN_TIME);
        }
        Some((registers, self.vm.cpus.vectors(cpu)))
    }

    fn put(&self, cpu: &PinnedCpu) {
        let stats = &self.vcpu.counters.stats;

        self.fp.end();
        let fp = self.fp.take_events(cpu);
        if fp != Events::NONE {
            stats.count_many(Stat::FpRestore, fp.restores.into());
            stats.count_many(Stat::FpSave, fp.saves.into());
            stats.count_many(Stat::FpTrap, fp.traps.into());
        }
        let debug = self.cpu.take_debug_events(cpu);
        if debug != Events::NONE {
            stats.count_many(Stat::DebugRestore, debug.restores.into());
            stats.count_many(Stat::DebugSave, debug.saves.into());
            stats.count_many(Stat::DebugTrap, debug.traps.into());
        }
        let tracked = self.cpu.take_tracking_events(cpu);
        if tracked != Events::NONE {
            stats.count_many(Stat::LazySave, tracked.saves.into());
            stats.count_many(Stat::LazySaveSkipped, tracked.skipped.into());
            stats.count_many(Stat::LazySaveTrap, tracked.traps.into());
        }
        stats.count(Stat::Put);
        self.vcpu.seen.note_timers(self.cpu);
        if let Some(gic) = self.gic {
            gic.put(cpu);
        }
        self.vm.memory.put(cpu);
    }
}

/// Why the inner loop was left.
enum Leave {
    /// Something is to be looked at first: a signal, a request, an interrupt.
    Work,
    /// An exit that may sleep.
    Exit,
}

/// KVM_RUN. api.rst, "4.10 KVM_RUN".
///
/// # Errors
///
/// `EINTR` if a signal is pending or `immediate_exit` is set, `EBUSY` if the system is going down,
/// `ENOSYS` for an access that says nothing of itself, what a fault on guest memory returns.
pub(crate) fn run(vm: &Vm, vcpu: &Vcpu, state: &mut State) -> Result<u32> {
    let frozen = vm.freeze()?;
    let vgic = vm.vgic();
    let interface = vm.cpus.gic.interface();

    vcpu.apply_power_on(vm, state);
    if let Some(vgic) = vgic {
        vcpu.join(state, vgic, interface)?;
    }
    state.cpu.set_controls(vm.controls(frozen));
    let signal_mask = state.signal_mask;
    if !state.has_policies {
        state.has_policies = true;
        state.fp_bank.set_policy(frozen.policies.fp);
        state.cpu.set_debug_policy(frozen.policies.debug);
        state.cpu.set_tracking_policy(frozen.policies.save);
    }
    let State {
        cpu,
        fp,
        fp_bank,
        mmio,
        abort_far,
        set_way,
        flush,
        debug,
        step,
        stolen_time,
        stolen_start,
        cache,
        reserve,
        alarm,
        lines_told,
        halt_poll,
        vgic: vgic_cpu,
        ..
    } = state;
    let cpu: &VcpuCpu = cpu;
    let gic = match (vgic, vgic_cpu.as_deref()) {
        (Some(vgic), Some(cpu)) => Gic::new(vgic, cpu, interface, &vm.routes),
        _ => None,
    };
    let timers = Pins {
        cpu,
        irqs: &vm.cpus.timer_irqs,
        wires: gic.as_ref().map(|gic| Wires {
            vgic: gic.vgic,
            index: gic.index(),
            ppis: &frozen.timer_ppis,
            to_host: !gic.is_v2(),
        }),
    };
    let counts_stolen_time = stolen_time.is_some();
    let result = with_fp_section(cpu, fp, fp_bank, |fp| {
        let loadable = Loadable {
            vm,
            vcpu,
            cpu,
            counts_stolen_time,
            timers,
            gic: gic.as_ref(),
            fp,
        };
        let mut run = Run {
            vm,
            frozen,
            vcpu,
            cpu,
            fp,
            mmio,
            abort_far,
            set_way,
            flush,
            debug: *debug,
            step,
            stolen_time: *stolen_time,
            stolen_start,
            cache: cache.as_deref().ok_or(ENOEXEC)?,
            entry: entry_features(frozen.features),
            deferred: Deferred::Nothing,
            reserve,
            halt_poll,
            timers: Timers::new(timers, alarm, lines_told),
            gic: gic.as_ref(),
        };

        with_signal_mask(signal_mask, || {
            vcpu.kick.run(|running| {
                with_loaded(&loadable, &vm.notifiers, |loaded| run.run(loaded, running))
            })?
        })
    });
    userspace_exit();
    result
}

impl Run<'_> {
    /// KVM_RUN with the vCPU loaded.
    fn run(&mut self, loaded: &Loaded<'_, Loadable<'_>>, running: &Running<'_>) -> Result<u32> {
        let (cpu, vcpu) = (self.cpu, self.vcpu);

        cpu.set_pstate(
            self.step
                .load(self.debug, GuestPstate::from_exit(cpu.raw_pstate())),
        );
        self.mmio.finish(&mut &*cpu, vcpu.run.mmio_data());
        self.timers.configure();
        // The exit that the VMM has just dealt with stays what it was.
        let result = if vcpu.run.immediate_exit() {
            Err(EINTR)
        } else {
            self.outer(loaded, running)
        };
        cpu.set_pstate(self.step.put(GuestPstate::from_exit(cpu.raw_pstate())));
        self.timers.tell(&vcpu.run);
        // What has ended since the guest was left, in an exit's handler.
        self.vm.routes.tell();
        result
    }

    /// The loop that may sleep.
    fn outer(&mut self, loaded: &Loaded<'_, Loadable<'_>>, running: &Running<'_>) -> Result<u32> {
        let mut is_prepared = false;

        loop {
            if !is_prepared || self.has_to_prepare() {
                // Nothing of what follows may find the FP registers to be the guest's.
                self.fp.end();
                if let Flow::User = self
                    .prepare(loaded, running)
                    .inspect_err(|error| self.interrupted(*error))?
                {
                    return Ok(0);
                }
                is_prepared = true;
            }
            let leave = with_irqs_off(|irqs| {
                prepare_guest_entry(irqs);
                with_guest_time(irqs, |irqs| {
                    let leave = loaded.stay(irqs, |stay| self.inner(stay, running));
                    if let Some(gic) = self.gic.filter(|_| loaded.is_loaded()) {
                        gic.fold(irqs);
                    }
                    running.left_guest();
                    irqs.window();
                    leave
                })
            });
            if self.vm.routes.has_ended() {
                self.fp.end();
                self.vm.routes.tell();
            }
            if let Leave::Exit = leave {
                self.fp.end();
                match self
                    .slow(running)
                    .inspect_err(|error| self.interrupted(*error))?
                {
                    Flow::Guest => {}
                    Flow::User => return Ok(0),
                }
            }
        }
    }

    /// Whether there is something that [`prepare`](Self::prepare) does. What comes after this look makes
    /// the inner loop leave, so that there is another.
    #[inline]
    fn has_to_prepare(&self) -> bool {
        work_was_pending()
            || self.vcpu.has_requests()
            || self.flush.is_some()
            || self.vm.cpus.going_down()
            || self.vcpu.power.get() != PowerState::Runnable
            || self.vcpu.ring.as_ref().is_some_and(DirtyRing::is_full)
            || self.vm.gic().is_some_and(|gic| gic.has_commands())
            || self.timers.has_news()
    }

    fn interrupted(&self, error: Error) {
        if error == EINTR {
            self.vcpu.run.set_exit(&run_page::Exit::Interrupted);
        }
    }

    /// Does what is to be done before the guest is entered.
    fn prepare(
        &mut self,
        loaded: &Loaded<'_, Loadable<'_>>,
        running: &Running<'_>,
    ) -> Result<Flow> {
        handle_work()?;
        if self.vm.cpus.going_down() {
            return Err(EBUSY);
        }
        if self.flush.is_some() {
            self.continue_flush()?;
        }
        let ring = self.vcpu.ring.as_ref();
        let is_full = || ring.is_some_and(DirtyRing::is_full);
        while !is_full()
            && self
                .vm
                .gic()
                .and_then(|gic| gic.ready())
                .is_some_and(|gic| gic.for_vcpu(ring).carry_on())
        {
            handle_work()?;
        }
        // What is written to memory from here on is less than a ring's reserve, so none of it is missed
        // where there is nothing but rings. What was asked for waits until the VMM has looked at it.
        if is_full() {
            return Ok(self.ring_full());
        }
        let requests = self.vcpu.take_requests();
        if requests & request::RELOAD != 0 {
            self.cpu.set_controls(self.vm.controls(self.frozen));
            loaded.reload();
            self.timers.configure();
        }
        if requests & request::LINES != 0 {
            self.cpu
                .set_interrupt_lines(self.vcpu.line(CpuLine::Irq), self.vcpu.line(CpuLine::Fiq));
        }
        if requests & request::STOLEN_TIME != 0 {
            self.report_stolen_time();
        }
        if is_full() {
            return Ok(self.ring_full());
        }
        if let Flow::User = self.wait_for_power(running)? {
            return Ok(Flow::User);
        }
        if let Some(on) = self.vcpu.power.take_start() {
            self.start(&on);
        }
        if self.timers.has_news() {
            return Err(EINTR);
        }
        Ok(Flow::Guest)
    }

    /// The VMM is to look at the pages that were written to before there are more.
    fn ring_full(&self) -> Flow {
        self.vcpu.run.set_exit(&run_page::Exit::DirtyRingFull);
        Flow::User
    }

    /// Waits until the vCPU may run. For one that user space has suspended, an interrupt is a reason to
    /// ask it; api.rst, "4.39 KVM_SET_MP_STATE".
    fn wait_for_power(&mut self, running: &Running<'_>) -> Result<Flow> {
        while self.vcpu.power.get() != PowerState::Runnable {
            self.timers.set_for_sleep(None);
            let blocked = running.block(|| {
                self.vcpu.power.get() == PowerState::Runnable || self.wakes_from_suspend()
            });
            self.timers.rearm();
            blocked.result?;
            if self.wakes_from_suspend() {
                self.vcpu.run.set_exit(&run_page::Exit::SystemEvent {
                    event: SystemEvent::WAKEUP,
                    data: &[],
                });
                return Ok(Flow::User);
            }
        }
        Ok(Flow::Guest)
    }

    /// Whether user space has suspended the vCPU and there is an interrupt, a timer's perhaps.
    fn wakes_from_suspend(&self) -> bool {
        if self.vcpu.power.get() != PowerState::Suspended {
            return false;
        }
        // What is for user space to be told waits until it has.
        let _ = self.timers.sync_asleep();
        self.has_interrupt()
    }

    /// Starts the vCPU, which was powered off, as CPU_ON says.
    fn start(&mut self, on: &kvm_core::psci::PowerOnState) {
        let pstate = self
            .vcpu
            .power_on(self.vm, self.cpu, self.mmio, self.set_way, on);
        self.cpu.set_pstate(self.step.load(self.debug, pstate));
        self.timers.rearm();
    }

    /// The inner loop: enters the guest again and again, with interrupts off.
    #[inline(never)]
    fn inner(&mut self, stay: &mut Stay<'_, Loadable<'_>>, running: &Running<'_>) -> Leave {
        running.entering_guest(stay.irqs());
        if self.fp.begin(stay.irqs()).is_err() {
            self.deferred = Deferred::NoFp;
            return Leave::Exit;
        }
        if self.timers.sync(stay.irqs()) {
            return Leave::Work;
        }
        loop {
            if self.vcpu.has_requests()
                || work_pending(stay.irqs())
                || self.vm.cpus.going_down()
                || self.vm.routes.has_ended()
            {
                return Leave::Work;
            }
            if self.timers.may_fall() && self.timers.sync(stay.irqs()) {
                return Leave::Work;
            }
            if let Some(gic) = self.gic.filter(|gic| gic.is_stale() && stay.is_loaded()) {
                if gic.is_v2() {
                    self.signal(gic);
                } else {
                    let is_done = gic.refill(stay.irqs(), || {
                        // In the kernel's GIC, so not for user space.
                        let _ = self.timers.sync(stay.irqs());
                    });
                    if !is_done {
                        // Others may want the CPU meanwhile.
                        return Leave::Work;
                    }
                }
            }
            trace::vcpu_entry(self.vcpu.id, self.cpu.pc());
            let Some(exit) = stay.enter() else {
                self.vcpu.request(request::RELOAD);
                return Leave::Work;
            };
            match self.fast(exit) {
                Fast::Guest => self.vcpu.counters.stats.count(Stat::InnerLoop),
                Fast::Interrupt => return Leave::Work,
                Fast::Slow => return Leave::Exit,
            }
        }
    }

    /// Has a GICv2 signal what it has for the vCPU.
    #[inline(never)]
    fn signal(&self, gic: &Gic<'_>) {
        self.timers.sync_now();
        if let Some(signals) = gic.signals() {
            self.cpu.set_interrupt_lines(signals.irq, signals.fiq);
        }
    }

    /// Writes the vCPU's stolen time to where the guest looks for it.
    fn report_stolen_time(&self) {
        let Some(ipa) = self.stolen_time else { return };
        let stolen = time::run_delay().wrapping_sub(*self.stolen_start);
        // DEN0057: revision and attributes, then the time. It is the VMM's fault if there is no
        // memory.
        let _ = self.vm.memory.write(
            ipa.stolen_time(),
            &stolen.to_le_bytes(),
            self.vcpu.ring.as_ref(),
        );
    }
}
