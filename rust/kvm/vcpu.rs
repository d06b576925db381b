// SPDX-License-Identifier: GPL-2.0

//! A vCPU and its file descriptor.

use crate::{
    ioctl::*,
    memory::Reserve,
    power::{
        Power,
        PowerState, //
    },
    registers, run,
    vm::{
        Vm,
        TARGET_GENERIC_V8, //
    },
};
use kernel::{
    page::BorrowedPage,
    prelude::*,
    seq_file::SeqFile,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use kvm_core::{
    bits::Bits,
    events::{
        Events,
        VirtualSError,
        EVENTS_SIZE, //
    },
    exit_reason::ExitReason,
    firmware::pv_time::StolenTimeIpa,
    guest_debug::{
        GuestDebug,
        SoftwareStep, //
    },
    inject::Sctlr2El1,
    mmio::PendingMmio,
    psci::Affinity,
    pstate::{
        EntryFeatures,
        PstateFeatures, //
    },
    register::{
        Feature,
        FeatureSet,
        Reg,
        Reset, //
    },
    setway::{
        Cacheability,
        SetWay, //
    },
    vm_idreg::{
        BadVcpuFeatures,
        CacheRegs,
        Offer,
        VcpuFeatures,
        VmFeature,
        VmFeatures, //
    },
};
use kvm_host::{
    abi::{
        KVM_ARM_VCPU_PVTIME_CTRL,
        KVM_ARM_VCPU_PVTIME_IPA, //
    },
    counters::Counters,
    debug_regs::{
        DebugRegs,
        DEBUG_REGS, //
    },
    file::AnonFile,
    kick::Kick,
    lock::{
        KillableGuard,
        KillableMutex, //
    },
    neon::FpState,
    relaxed,
    run_page::RunPages,
    signal_mask::SignalSet,
    uapi::{
        kvm_device_attr,
        kvm_guest_debug,
        kvm_mp_state,
        kvm_one_reg,
        kvm_vcpu_init, //
    },
    vcpu::VcpuCpu, //
};

kvm_host::counters! {
    /// What a vCPU counts beside its exits.
    pub(crate) enum Stat {
        /// Exits that were finished with interrupts off, and the guest entered again.
        InnerLoop = "inner_loop_reentries",
        /// Loads of the vCPU into a CPU.
        Load = "loads",
        /// Puts.
        Put = "puts",
        /// Flushes of the VM's memory because of set/way operations.
        SetWayFlush = "set_way_flushes",
        /// Bytes that these cleaned and invalidated.
        SetWayBytes = "set_way_flushed_bytes",
        /// Trapped writes of stage 1's controls.
        TvmTrap = "tvm_traps",
    }
}

/// Something that a vCPU has to look at before it enters the guest.
pub(crate) mod request {
    /// The vCPU was powered on, or its VM is going down: the power state has changed.
    pub(crate) const POWER: u32 = 1 << 0;
    /// The stolen time is to be reported.
    pub(crate) const STOLEN_TIME: u32 = 1 << 1;
    /// The controls of the CPU have changed: put and load.
    pub(crate) const RELOAD: u32 = 1 << 2;
}

/// The part of a vCPU that its thread, or who has its lock, has to itself.
pub(crate) struct State {
    pub(crate) cpu: KBox<VcpuCpu>,
    pub(crate) fp: KBox<FpState>,
    /// What it was initialised with.
    flags: Option<VcpuFeatures>,
    pub(crate) cache: Option<KBox<CacheRegs>>,
    /// Where a flush of the VM's memory goes on that a signal has interrupted.
    pub(crate) flush: Option<u64>,
    /// Pages for the tables that faults fill in.
    pub(crate) reserve: Reserve,
    pub(crate) signal_mask: Option<SignalSet>,
    pub(crate) mmio: PendingMmio,
    /// FAR_EL2 of the access that waits for its device.
    pub(crate) mmio_far: u64,
    pub(crate) set_way: SetWay,
    pub(crate) debug: GuestDebug,
    pub(crate) step: SoftwareStep,
    debug_regs: KBox<DebugRegs>,
    pub(crate) stolen_time: Option<StolenTimeIpa>,
    /// The vCPU's stolen time when the guest asked for it to be counted.
    pub(crate) stolen_start: u64,
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

/// A virtual CPU. Its VM owns it, and so does its file.
#[pin_data]
pub(crate) struct Vcpu {
    pub(crate) id: u32,
    pub(crate) run: RunPages,
    pub(crate) kick: Kick,
    #[pin]
    pub(crate) power: Power,
    /// MPIDR_EL1, for those that look for a vCPU by it.
    mpidr: Atomic<u64>,
    requests: Atomic<u32>,
    pub(crate) stats: Counters<Stat>,
    pub(crate) exits: ExitCounts,
    #[pin]
    state: KillableMutex<State>,
}

/// A vCPU's exits by reason. Only its thread counts.
pub(crate) struct ExitCounts([Atomic<u64>; ExitReason::COUNT]);

impl ExitCounts {
    /// How often there was this exit.
    pub(crate) fn get(&self, reason: ExitReason) -> u64 {
        relaxed::load(&self.0[reason.index()])
    }

    #[inline]
    pub(crate) fn count(&self, reason: ExitReason) {
        let count = &self.0[reason.index()];
        relaxed::store(count, relaxed::load(count).wrapping_add(1));
    }
}

/// MPIDR_EL1 of the vCPU with this number: 16 in a cluster, which is what a GIC's SGI reaches at
/// once; bit 31 is RES1.
fn mpidr_of(id: u32) -> u64 {
    let id = u64::from(id);

    1 << 31 | (id >> 12 & 0xff) << 16 | (id >> 4 & 0xff) << 8 | (id & 0xf)
}

impl Vcpu {
    /// Makes a vCPU, which belongs to no VM's list yet.
    pub(crate) fn new(vm: &Vm, id: u32) -> Result<Arc<Self>> {
        let state = State {
            cpu: vm.cpus.new_vcpu()?,
            fp: KBox::new(FpState::new(), GFP_KERNEL_ACCOUNT)?,
            flags: None,
            cache: None,
            flush: None,
            reserve: Reserve::new(),
            signal_mask: None,
            mmio: PendingMmio::NONE,
            mmio_far: 0,
            set_way: SetWay::new(Cacheability::Forced),
            debug: GuestDebug::OFF,
            step: SoftwareStep::IDLE,
            debug_regs: KBox::new(DebugRegs::default(), GFP_KERNEL_ACCOUNT)?,
            stolen_time: None,
            stolen_start: 0,
        };

        let mpidr = mpidr_of(id);

        Arc::pin_init(
            try_pin_init!(Self {
                id,
                run: RunPages::new()?,
                kick: Kick::new(),
                power <- Power::new(),
                mpidr: Atomic::new(mpidr),
                requests: Atomic::new(0),
                stats: Counters::new(),
                exits: ExitCounts([const { Atomic::new(0) }; ExitReason::COUNT]),
                state <- KillableMutex::new(state, c"kvm_vhe::Vcpu::state", static_lock_class!()),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The vCPU's affinity.
    pub(crate) fn affinity(&self) -> Affinity {
        Affinity::from_mpidr(self.mpidr.load(Relaxed))
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

    /// Whether there is something to look at.
    #[inline(always)]
    pub(crate) fn has_requests(&self) -> bool {
        relaxed::load(&self.requests) != 0
    }

    /// Takes what there is to look at.
    pub(crate) fn take_requests(&self) -> u32 {
        self.requests.xchg(0, Full)
    }

    /// Brings the registers to their values after a reset, wherever they are.
    pub(crate) fn reset_registers(&self, vm: &Vm, cpu: &VcpuCpu) {
        let (actlr, amair) = vm.cpus.implementation_registers();

        cpu.reset(|reg, reset| match reset {
            Reset::Id => vm.id_register(reg.encoding()).unwrap_or(0),
            Reset::Mpidr => self.mpidr.load(Relaxed),
            Reset::Actlr => actlr,
            Reset::Amair => amair,
            Reset::Value(_) | Reset::Unknown => 0,
        });
    }

    /// Resets the vCPU, which is not loaded.
    fn reset(&self, vm: &Vm, state: &mut State) {
        self.reset_registers(vm, &state.cpu);
        *state.fp = FpState::new();
        state.mmio.cancel();
        state.set_way = SetWay::new(vm.cpus.cacheability());
        state.cpu.trap_vm_controls(state.set_way.tvm());
        state.update_debug();
    }

    /// Resets the vCPU and starts it as CPU_ON says, if that is what it waits for.
    pub(crate) fn apply_power_on(&self, vm: &Vm, state: &mut State) {
        let Some(on) = self.power.take_start() else {
            return;
        };
        self.reset(vm, state);
        let entry = on.entry(false, state.cpu.read_any(Reg::SCTLR_EL1));
        state.cpu.set_pc(entry.pc);
        state.cpu.set_gpr(Bits::of::<0>(), entry.x0);
        state.cpu.set_pstate(entry.pstate);
        state.cpu.write_any(Reg::SCTLR_EL1, entry.sctlr);
    }

    fn init(&self, vm: &Vm, state: &mut State, arg: usize) -> Result {
        let init: kvm_vcpu_init = read_user(arg)?;

        if init.target != TARGET_GENERIC_V8 {
            return Err(EINVAL);
        }
        let wanted = VcpuFeatures::check(
            &init.features,
            &Offer::CURRENT,
            vm.host_id_registers(),
            false,
        )
        .map_err(|error| match error {
            BadVcpuFeatures::Unknown => ENOENT,
            BadVcpuFeatures::Unsupported => EINVAL,
        })?;
        if state.flags.is_some_and(|flags| !flags.is_same_vm(wanted)) {
            return Err(EINVAL);
        }
        vm.set_flags(wanted)?;
        if state.cache.is_none() {
            state.cache = Some(KBox::new(
                CacheRegs::new(vm.host_id_registers(), false),
                GFP_KERNEL_ACCOUNT,
            )?);
        }
        self.power.take_start();
        self.reset(vm, state);
        state.flags = Some(wanted);
        self.power.set(if wanted.contains(VcpuFeatures::POWER_OFF) {
            PowerState::Stopped
        } else {
            PowerState::Runnable
        });
        Ok(())
    }

    fn set_signal_mask(&self, state: &mut State, arg: usize) -> Result {
        if arg == 0 {
            state.signal_mask = None;
            return Ok(());
        }
        let len: u32 = read_user(arg)?;
        if len as usize != core::mem::size_of::<u64>() {
            return Err(EINVAL);
        }
        let bits: u64 = read_user(arg.wrapping_add(core::mem::size_of::<u32>()))?;
        state.signal_mask = Some(SignalSet::new(bits));
        Ok(())
    }

    fn set_guest_debug(&self, state: &mut State, arg: usize) -> Result {
        // Larger than a stack frame should be.
        let mut words = KVec::<u64>::with_capacity(65, GFP_KERNEL)?;
        let bytes = core::mem::size_of::<kvm_guest_debug>();
        let mut reader = UserSlice::new(UserPtr::from_addr(arg), bytes).reader();
        for _ in 0..65 {
            words.push(reader.read::<u64>()?, GFP_KERNEL)?;
        }
        let [control, regs @ ..] = &words[..] else {
            return Err(EINVAL);
        };
        let debug = GuestDebug::new(*control as u32).map_err(|_| EINVAL)?;

        if debug.uses_hardware() {
            // In the order of `struct kvm_guest_debug_arch`.
            let all = &mut *state.debug_regs;
            let sets = [&mut all.bcr, &mut all.bvr, &mut all.wcr, &mut all.wvr];
            for (set, values) in sets.into_iter().zip(regs.chunks_exact(DEBUG_REGS)) {
                set.copy_from_slice(values);
            }
        }
        state.debug = debug;
        state.step.configure(debug);
        state.update_debug();
        Ok(())
    }

    fn get_events(&self, vm: &Vm, state: &State, arg: usize) -> Result {
        let mut serror = VirtualSError::default();
        if let Some(iss) = state.cpu.virtual_serror() {
            serror.pend(Bits::truncated(iss));
        }
        let events = serror.get(vm.cpus.has_ras());

        UserSlice::new(UserPtr::from_addr(arg), EVENTS_SIZE)
            .writer()
            .write_slice(&events)
    }

    fn set_events(&self, vm: &Vm, state: &mut State, arg: usize) -> Result {
        let mut raw = [0; EVENTS_SIZE];
        UserSlice::new(UserPtr::from_addr(arg), EVENTS_SIZE)
            .reader()
            .read_slice(&mut raw)?;
        let events = Events::new(&raw, vm.cpus.has_ras()).map_err(|_| EINVAL)?;
        let features = vm.features();
        let sctlr2 = state.sctlr2(features.registers());
        let far = state.mmio_far;
        let mut serror = VirtualSError::default();

        events
            .apply(
                &mut &*state.cpu,
                &mut serror,
                &mut state.mmio,
                far,
                sctlr2,
                entry_features(features),
            )
            .map_err(|_| EINVAL)?;
        if let Some(iss) = serror.vsesr() {
            state.cpu.set_virtual_serror(Some(iss));
        }
        Ok(())
    }

    fn device_attr(&self, vm: &Vm, state: &mut State, cmd: u32, arg: usize) -> Result {
        let attr: kvm_device_attr = read_user(arg)?;

        if attr.group != KVM_ARM_VCPU_PVTIME_CTRL || attr.attr != KVM_ARM_VCPU_PVTIME_IPA.into() {
            return Err(ENXIO);
        }
        match cmd {
            KVM_HAS_DEVICE_ATTR => Ok(()),
            KVM_GET_DEVICE_ATTR => {
                let ipa = state.stolen_time.map_or(u64::MAX, StolenTimeIpa::get);
                write_user(attr.addr as usize, &ipa)
            }
            _ => {
                let ipa: u64 = read_user(attr.addr as usize)?;
                let ipa = StolenTimeIpa::new(ipa).ok_or(EINVAL)?;
                if state.stolen_time.is_some() {
                    return Err(EEXIST);
                }
                if !vm.memory.is_memory(ipa.get()) {
                    return Err(EINVAL);
                }
                state.stolen_time = Some(ipa);
                Ok(())
            }
        }
    }

    fn state(&self) -> Result<KillableGuard<'_, State>> {
        self.state.lock()
    }
}

/// A vCPU's file.
pub(crate) struct VcpuFile {
    vm: Arc<Vm>,
    vcpu: Arc<Vcpu>,
}

impl VcpuFile {
    pub(crate) fn new(vm: Arc<Vm>, vcpu: Arc<Vcpu>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { vm, vcpu }, GFP_KERNEL_ACCOUNT)?)
    }
}

impl AnonFile for VcpuFile {
    const NAME: &'static CStr = c"kvm-vcpu";

    fn number(&self) -> Option<u32> {
        Some(self.vcpu.id)
    }

    const MAPPABLE: bool = true;

    fn page(&self, index: usize) -> Option<BorrowedPage<'_>> {
        self.vcpu.run.page(index)
    }

    fn ioctl(file: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<u32> {
        let (vm, vcpu) = (&*file.vm, &*file.vcpu);

        if !vm.is_ours() {
            return Err(EIO);
        }
        let state = &mut *vcpu.state()?;
        match cmd {
            KVM_RUN => {
                if arg != 0 {
                    return Err(EINVAL);
                }
                if state.flags.is_none() {
                    return Err(ENOEXEC);
                }
                return run::run(vm, vcpu, state);
            }
            KVM_ARM_VCPU_INIT => vcpu.init(vm, state, arg)?,
            KVM_SET_SIGNAL_MASK => vcpu.set_signal_mask(state, arg)?,
            KVM_GET_MP_STATE => write_user(
                arg,
                &kvm_mp_state {
                    mp_state: vcpu.power.get().into_mp_state(),
                },
            )?,
            KVM_SET_MP_STATE => {
                let mp: kvm_mp_state = read_user(arg)?;
                vcpu.power
                    .set(PowerState::from_mp_state(mp.mp_state).ok_or(EINVAL)?);
            }
            KVM_SET_GUEST_DEBUG => vcpu.set_guest_debug(state, arg)?,
            KVM_GET_VCPU_EVENTS
            | KVM_SET_VCPU_EVENTS
            | KVM_GET_ONE_REG
            | KVM_SET_ONE_REG
            | KVM_GET_REG_LIST
            | KVM_ARM_VCPU_FINALIZE
                if state.flags.is_none() =>
            {
                return Err(ENOEXEC)
            }
            KVM_GET_VCPU_EVENTS => vcpu.get_events(vm, state, arg)?,
            KVM_SET_VCPU_EVENTS => vcpu.set_events(vm, state, arg)?,
            KVM_GET_ONE_REG => {
                let reg: kvm_one_reg = read_user(arg)?;
                vcpu.apply_power_on(vm, state);
                registers::get(vm, vcpu, state, reg.id, reg.addr as usize)?;
            }
            KVM_SET_ONE_REG => {
                let reg: kvm_one_reg = read_user(arg)?;
                vcpu.apply_power_on(vm, state);
                registers::set(vm, vcpu, state, reg.id, reg.addr as usize)?;
            }
            KVM_GET_REG_LIST => registers::list(vm, arg)?,
            KVM_SET_DEVICE_ATTR | KVM_GET_DEVICE_ATTR | KVM_HAS_DEVICE_ATTR => {
                vcpu.device_attr(vm, state, cmd, arg)?
            }
            _ => return Err(EINVAL),
        }
        Ok(0)
    }

    fn show_fdinfo(file: ArcBorrow<'_, Self>, m: &SeqFile) {
        use kernel::seq_print;

        for reason in ExitReason::ALL {
            seq_print!(m, "{}:\t{}\n", reason.name(), file.vcpu.exits.get(*reason));
        }
        file.vcpu.stats.show(m);
    }
}
