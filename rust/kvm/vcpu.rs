// SPDX-License-Identifier: GPL-2.0

//! A vCPU: what its thread has to itself, and what others see of it.

use crate::{
    counters::VcpuCounters,
    cpus::Cpus,
    memory::{
        DirtyRing,
        Reserve, //
    },
    power::Power,
    vgic::{
        Vgic,
        VgicCpu, //
    }, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};
use kvm_core::{
    firmware::pv_time::StolenTimeIpa,
    guest_debug::{
        GuestDebug,
        SoftwareStep, //
    },
    halt_poll::HaltPoll,
    inject::Sctlr2El1,
    irq_line::CpuLine,
    lazy::Bank,
    mmio::PendingMmio,
    psci::Affinity,
    pstate::{
        EntryFeatures,
        PstateFeatures, //
    },
    register::{
        Feature,
        FeatureSet,
        Reg, //
    },
    setway::{
        Cacheability,
        SetWay, //
    },
    timer::{
        CntCtl,
        Lines,
        Timer,
        TimerState, //
    },
    vm_idreg::{
        CacheRegs,
        VcpuFeatures,
        VmFeature,
        VmFeatures, //
    },
};
use kvm_host::{
    alarm::Alarm,
    debug_regs::DebugRegs,
    ich::VirtualInterface,
    kick::Kick,
    lock::{
        KillableGuard,
        KillableMutex, //
    },
    neon::FpState,
    relaxed,
    run_page::RunPage,
    signal_mask::SignalSet,
    vcpu::VcpuCpu, //
};

/// Something that a vCPU has to look at before it enters the guest.
pub(crate) mod request {
    /// The vCPU was powered on, or its VM is going down: the power state has changed.
    pub(crate) const POWER: u32 = 1 << 0;
    /// The stolen time is to be reported.
    pub(crate) const STOLEN_TIME: u32 = 1 << 1;
    /// The controls of the CPU have changed: put and load.
    pub(crate) const RELOAD: u32 = 1 << 2;
    /// The line of a timer that traps may have changed.
    pub(crate) const TIMER: u32 = 1 << 3;
    /// User space has raised or lowered a line of the vCPU's.
    pub(crate) const LINES: u32 = 1 << 4;
    /// The dirty ring is full.
    pub(crate) const RING: u32 = 1 << 5;
}

/// The part of a vCPU that its thread, or who has its lock, has to itself.
pub(crate) struct State {
    pub(crate) cpu: KBox<VcpuCpu>,
    pub(crate) fp: KBox<FpState>,
    /// Whether it knows when its registers are moved: the VM's policies, which do not change.
    pub(crate) has_policies: bool,
    /// Where its FP/SIMD registers are, and when they are moved.
    pub(crate) fp_bank: Bank,
    /// What it was initialised with.
    pub(crate) flags: Option<VcpuFeatures>,
    /// Whether there was a KVM_RUN since it was made.
    pub(crate) has_run: bool,
    pub(crate) cache: Option<KBox<CacheRegs>>,
    /// Where a flush of the VM's memory goes on that a signal has interrupted.
    pub(crate) flush: Option<u64>,
    /// Pages for the tables that faults fill in.
    pub(crate) reserve: Reserve,
    pub(crate) signal_mask: Option<SignalSet>,
    pub(crate) mmio: PendingMmio,
    /// FAR_EL2 of the last abort that the VMM may have something to say to.
    pub(crate) abort_far: Option<u64>,
    pub(crate) set_way: SetWay,
    pub(crate) debug: GuestDebug,
    pub(crate) step: SoftwareStep,
    pub(crate) debug_regs: KBox<DebugRegs>,
    pub(crate) stolen_time: Option<StolenTimeIpa>,
    /// The vCPU's stolen time when the guest asked for it to be counted.
    pub(crate) stolen_start: u64,
    pub(crate) alarm: Arc<Alarm>,
    /// Its part of the VM's interrupt controller, once that was needed.
    pub(crate) vgic: Option<KBox<VgicCpu>>,
    /// The levels of the timers' lines that user space was last told.
    pub(crate) lines_told: Lines,
    /// How long it polls in a WFI.
    pub(crate) halt_poll: HaltPoll,
}

impl State {
    /// The cache registers; there are some once the vCPU is initialised.
    pub(crate) fn cache(&self) -> Result<&CacheRegs> {
        self.cache.as_deref().ok_or(ENOEXEC)
    }

    /// The cache registers.
    pub(crate) fn cache_mut(&mut self) -> Result<&mut CacheRegs> {
        self.cache.as_deref_mut().ok_or(ENOEXEC)
    }

    /// SCTLR2_EL1 as far as it has an effect.
    pub(crate) fn sctlr2(&self, features: FeatureSet) -> Sctlr2El1 {
        Sctlr2El1::from_raw(if features.contains(Feature::SCTLR2) {
            self.cpu.read(Reg::SCTLR2_EL1)
        } else {
            0
        })
    }

    /// Gives the CPU's side what guest debugging says.
    pub(crate) fn update_debug(&mut self) {
        let regs = self.debug.uses_hardware().then_some(&*self.debug_regs);
        self.cpu.set_debug(self.debug, regs);
    }
}

/// What entry of an exception depends on in a VM.
pub(crate) fn entry_features(features: VmFeatures) -> EntryFeatures {
    EntryFeatures::of(pstate_features(features), false)
}

/// The bits of PSTATE that a VM has.
pub(crate) fn pstate_features(features: VmFeatures) -> PstateFeatures {
    let has = |feature| features.contains(feature);

    PstateFeatures {
        pan: has(VmFeature::Pan),
        uao: has(VmFeature::Uao),
        dit: has(VmFeature::Dit),
        ssbs: has(VmFeature::Ssbs),
        bti: has(VmFeature::Bti),
        mte2: has(VmFeature::Mte2),
        nmi: has(VmFeature::Nmi),
        gcs: has(VmFeature::Gcs),
        pauth_lr: has(VmFeature::PAuthLr),
        ..PstateFeatures::NONE
    }
}

/// What others see of a vCPU that is in KVM_RUN: its thread writes it, and takes no lock for that.
pub(crate) struct Seen {
    /// The thread that was last in KVM_RUN.
    thread: Atomic<u32>,
    /// How long it polls in a WFI, in nanoseconds.
    halt_poll: Atomic<u32>,
    /// CTL and CVAL of each timer, when the vCPU last left a CPU.
    timers: [[Atomic<u64>; 2]; Timer::ALL.len()],
}

impl Seen {
    /// It has not run.
    const fn new() -> Self {
        Self {
            thread: Atomic::new(0),
            halt_poll: Atomic::new(0),
            timers: [const { [const { Atomic::new(0) }; 2] }; Timer::ALL.len()],
        }
    }

    /// The current thread is in KVM_RUN.
    pub(crate) fn note_thread(&self) {
        relaxed::store(&self.thread, current!().pid() as u32);
    }

    /// The thread that was last in KVM_RUN, 0 for none.
    pub(crate) fn thread(&self) -> u32 {
        relaxed::load(&self.thread)
    }

    /// This is how long the vCPU polls next.
    pub(crate) fn note_halt_poll(&self, poll: HaltPoll) {
        relaxed::store(&self.halt_poll, poll.interval());
    }

    /// How long it polls next, in nanoseconds.
    pub(crate) fn halt_poll(&self) -> u32 {
        relaxed::load(&self.halt_poll)
    }

    /// The vCPU is about to leave its CPU.
    pub(crate) fn note_timers(&self, cpu: &VcpuCpu) {
        for (timer, [ctl, cval]) in Timer::ALL.into_iter().zip(&self.timers) {
            let state = cpu.timer(timer);

            relaxed::store(ctl, state.ctl.into_raw());
            relaxed::store(cval, state.cval);
        }
    }

    /// The timers when the vCPU last left a CPU.
    pub(crate) fn timers(&self) -> impl Iterator<Item = (Timer, TimerState)> + '_ {
        Timer::ALL
            .into_iter()
            .zip(&self.timers)
            .map(|(timer, [ctl, cval])| {
                let state = TimerState {
                    ctl: CntCtl::from_raw(relaxed::load(ctl)),
                    cval: relaxed::load(cval),
                };
                (timer, state)
            })
    }
}

/// A virtual CPU. Its VM owns it, and so does its file.
#[pin_data]
pub(crate) struct Vcpu {
    pub(crate) id: u32,
    pub(crate) run: RunPage,
    /// The pages that it has written to, if the VM has rings.
    pub(crate) ring: Option<DirtyRing>,
    pub(crate) kick: Arc<Kick>,
    #[pin]
    pub(crate) power: Power,
    /// MPIDR_EL1, for those that look for a vCPU by it.
    mpidr: Atomic<u64>,
    requests: Atomic<u32>,
    pub(crate) counters: VcpuCounters,
    /// For those who look at it from outside.
    pub(crate) seen: Seen,
    /// The lines that are up, a bit for each [`CpuLine`].
    lines: Atomic<u32>,
    #[pin]
    state: KillableMutex<State>,
}

/// MPIDR_EL1 of the vCPU with this number: 16 in a cluster, which is what a GIC's SGI reaches at
/// once; bit 31 is RES1.
fn mpidr_of(id: u32) -> u64 {
    let id = u64::from(id);

    1 << 31 | (id >> 12 & 0xff) << 16 | (id >> 4 & 0xff) << 8 | (id & 0xf)
}

impl Vcpu {
    /// Makes a vCPU, which belongs to no VM's list yet, with a ring if there are any.
    pub(crate) fn new(cpus: &Cpus, id: u32, ring: Option<DirtyRing>) -> Result<Arc<Self>> {
        let kick = Arc::new(Kick::new(), GFP_KERNEL_ACCOUNT)?;
        let state = State {
            cpu: cpus.new_vcpu()?,
            fp: KBox::new(FpState::new(), GFP_KERNEL_ACCOUNT)?,
            has_policies: false,
            fp_bank: Bank::default(),
            flags: None,
            has_run: false,
            cache: None,
            flush: None,
            reserve: Reserve::new(),
            signal_mask: None,
            mmio: PendingMmio::NONE,
            abort_far: Some(0),
            set_way: SetWay::new(Cacheability::Forced),
            debug: GuestDebug::OFF,
            step: SoftwareStep::IDLE,
            debug_regs: KBox::new(DebugRegs::default(), GFP_KERNEL_ACCOUNT)?,
            stolen_time: None,
            stolen_start: 0,
            alarm: Alarm::new(kick.clone(), cpus.counter_frequency())?,
            lines_told: Lines::LOW,
            halt_poll: HaltPoll::NONE,
            vgic: None,
        };

        let mpidr = mpidr_of(id);

        Arc::pin_init(
            try_pin_init!(Self {
                id,
                run: RunPage::new()?,
                ring,
                kick,
                power <- Power::new(),
                mpidr: Atomic::new(mpidr),
                requests: Atomic::new(0),
                counters: VcpuCounters::new(),
                seen: Seen::new(),
                lines: Atomic::new(0),
                state <- KillableMutex::new(state, c"kvm_vhe::Vcpu::state", static_lock_class!()),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The part that needs the lock.
    ///
    /// # Errors
    ///
    /// `EINTR` if the thread is killed while it waits.
    pub(crate) fn state(&self) -> Result<KillableGuard<'_, State>> {
        self.state.lock()
    }

    /// The part that needs the lock, if nobody has it: the vCPU is not in KVM_RUN.
    pub(crate) fn try_state(&self) -> Option<KillableGuard<'_, State>> {
        self.state.try_lock()
    }

    /// Whether somebody has the lock at this moment: an ioctl, KVM_RUN included.
    pub(crate) fn is_busy(&self) -> bool {
        self.state.is_locked()
    }

    /// Gives the vCPU its part of the VM's interrupt controller, if it has none yet.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not one of the controller's vCPUs, `ENOMEM`.
    pub(crate) fn join<'a>(
        &self,
        state: &'a mut State,
        vgic: &Vgic,
        host: VirtualInterface,
    ) -> Result<&'a VgicCpu> {
        let index = vgic.index_of(self.id).ok_or(EINVAL)?;
        let slot = &mut state.vgic;

        Ok(match slot {
            Some(vgic) => vgic,
            None => slot.insert(KBox::new(
                VgicCpu::new(vgic.version, index, host),
                GFP_KERNEL_ACCOUNT,
            )?),
        })
    }

    /// MPIDR_EL1.
    pub(crate) fn mpidr(&self) -> u64 {
        self.mpidr.load(Relaxed)
    }

    /// The vCPU's affinity.
    pub(crate) fn affinity(&self) -> Affinity {
        Affinity::from_mpidr(self.mpidr())
    }

    /// Takes note of a new MPIDR_EL1.
    pub(crate) fn set_mpidr(&self, value: u64) {
        self.mpidr.store(value, Relaxed);
    }

    /// Makes the vCPU look at something before it enters the guest again.
    pub(crate) fn request(&self, what: u32) {
        self.note(what);
        self.kick.kick();
    }

    /// As [`request`](Self::request), by the vCPU's own thread, which is not in the guest.
    pub(crate) fn note(&self, what: u32) {
        let mut old = self.requests.load(Relaxed);
        while let Err(now) = self.requests.cmpxchg(old, old | what, Full) {
            old = now;
        }
    }

    /// Raises or lowers a line, which an interrupt controller in user space has.
    pub(crate) fn set_line(&self, line: CpuLine, level: bool) {
        let bit = 1 << line as u32;
        let mut old = self.lines.load(Relaxed);

        loop {
            let new = if level { old | bit } else { old & !bit };
            match self.lines.cmpxchg(old, new, Full) {
                Ok(_) if new == old => return,
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        self.request(request::LINES);
    }

    /// Whether a line is up.
    pub(crate) fn line(&self, line: CpuLine) -> bool {
        relaxed::load(&self.lines) & 1 << line as u32 != 0
    }

    /// Whether one of the lines is up.
    pub(crate) fn has_line(&self) -> bool {
        relaxed::load(&self.lines) != 0
    }

    /// Whether there is something to look at.
    #[inline(always)]
    pub(crate) fn has_requests(&self) -> bool {
        relaxed::load(&self.requests) != 0
    }

    /// Takes what there is to look at.
    pub(crate) fn take_requests(&self) -> u32 {
        self.requests.xchg(0, Full)
    }
}
