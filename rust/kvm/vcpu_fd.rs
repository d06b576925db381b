// SPDX-License-Identifier: GPL-2.0

//! A vCPU's file descriptor: its ioctls.

use crate::{
    counters::Counter,
    debugfs::VcpuDir,
    ioctl::*,
    memory::{
        check_range,
        DirtyRing, //
    },
    power::PowerState,
    registers,
    run_loop,
    stats,
    vcpu::{
        entry_features,
        State,
        Vcpu, //
    },
    vm::Vm, //
};
use core::ops::Range;
use kernel::{
    page::BorrowedPage,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        Arc,
        ArcBorrow,
        SetOnce, //
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
    firmware::pv_time::StolenTimeIpa,
    guest_debug::GuestDebug,
    timer::{
        Ppi,
        TimerIrq, //
    },
    vm_idreg::{
        BadVcpuFeatures,
        CacheRegs,
        Offer,
        VcpuFeatures, //
    },
};
use kvm_host::{
    abi::{
        KVM_ARM_VCPU_PVTIME_CTRL,
        KVM_ARM_VCPU_PVTIME_IPA,
        KVM_ARM_VCPU_TIMER_CTRL, //
    },
    coalesced_ring::RING_PAGE,
    debug_regs::DEBUG_REGS,
    dirty_ring::FIRST_PAGE,
    file::AnonFile,
    signal_mask::SignalSet,
    uapi::{
        kvm_device_attr,
        kvm_guest_debug,
        kvm_mp_state,
        kvm_one_reg,
        kvm_pre_fault_memory,
        kvm_vcpu_init, //
    },
};

/// KVM_ARM_TARGET_GENERIC_V8.
pub(crate) const TARGET_GENERIC_V8: u32 = 5;

fn init(vm: &Vm, vcpu: &Vcpu, state: &mut State, arg: usize) -> Result {
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
    vm.config.set_flags(vm.host_id_registers(), wanted)?;
    if state.cache.is_none() {
        state.cache = Some(KBox::new(
            CacheRegs::new(vm.host_id_registers(), false),
            GFP_KERNEL_ACCOUNT,
        )?);
    }
    vcpu.power.take_start();
    if state.has_run {
        vm.memory.restart();
    }
    vcpu.reset(vm, state);
    state.flags = Some(wanted);
    vcpu.power.set(if wanted.contains(VcpuFeatures::POWER_OFF) {
        PowerState::Stopped
    } else {
        PowerState::Runnable
    });
    Ok(())
}

fn set_signal_mask(state: &mut State, arg: usize) -> Result {
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

fn set_guest_debug(state: &mut State, arg: usize) -> Result {
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

/// api.rst, "4.143 KVM_PRE_FAULT_MEMORY".
fn pre_fault(vm: &Vm, state: &mut State, arg: usize) -> Result {
    let mut request: kvm_pre_fault_memory = read_user(arg)?;

    if request.flags != 0 {
        return Err(EINVAL);
    }
    let range = check_range(request.gpa, request.size)?;
    let (at, result) = vm.memory.pre_fault(range.clone(), &mut state.reserve);
    request.gpa = at;
    request.size = range.end - at;
    write_user(arg, &request)?;
    if at == range.start {
        return result;
    }
    Ok(())
}

fn get_events(vm: &Vm, state: &State, arg: usize) -> Result {
    let mut serror = VirtualSError::default();
    if let Some(iss) = state.cpu.virtual_serror() {
        serror.pend(Bits::truncated(iss));
    }
    let events = serror.get(vm.cpus.has_ras());

    UserSlice::new(UserPtr::from_addr(arg), EVENTS_SIZE)
        .writer()
        .write_slice(&events)
}

fn set_events(vm: &Vm, state: &mut State, arg: usize) -> Result {
    let mut raw = [0; EVENTS_SIZE];
    UserSlice::new(UserPtr::from_addr(arg), EVENTS_SIZE)
        .reader()
        .read_slice(&mut raw)?;
    let events = Events::new(&raw, vm.cpus.has_ras()).map_err(|_| EINVAL)?;
    let features = vm.config.features();
    let sctlr2 = state.sctlr2(features.registers());
    let far = state.abort_far;
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

fn device_attr(vm: &Vm, state: &mut State, cmd: u32, arg: usize) -> Result {
    let attr: kvm_device_attr = read_user(arg)?;

    match attr.group {
        KVM_ARM_VCPU_PVTIME_CTRL => stolen_time_attr(vm, state, cmd, &attr),
        KVM_ARM_VCPU_TIMER_CTRL => timer_attr(vm, cmd, &attr),
        _ => Err(ENXIO),
    }
}

/// devices/vcpu.rst, "2. GROUP: KVM_ARM_VCPU_TIMER_CTRL".
fn timer_attr(vm: &Vm, cmd: u32, attr: &kvm_device_attr) -> Result {
    let timer = TimerIrq::from_attr(attr.attr).ok_or(ENXIO)?;

    match cmd {
        KVM_HAS_DEVICE_ATTR => Ok(()),
        KVM_GET_DEVICE_ATTR => {
            let intid = vm.config.timer_ppis().get(timer).intid();
            write_user(attr.addr as usize, &(intid as i32))
        }
        // The number is that of a line into an interrupt controller, of which there is none.
        _ if vm.gic().is_none() => Err(EINVAL),
        _ => {
            let intid: i32 = read_user(attr.addr as usize)?;
            vm.config
                .set_timer_ppi(timer, Ppi::new(intid).ok_or(EINVAL)?)
        }
    }
}

/// devices/vcpu.rst, "3. GROUP: KVM_ARM_VCPU_PVTIME_CTRL".
fn stolen_time_attr(vm: &Vm, state: &mut State, cmd: u32, attr: &kvm_device_attr) -> Result {
    if attr.attr != KVM_ARM_VCPU_PVTIME_IPA.into() {
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

/// A vCPU's file.
pub(crate) struct VcpuFile {
    vm: Arc<Vm>,
    vcpu: Arc<Vcpu>,
    debugfs: SetOnce<VcpuDir>,
}

impl VcpuFile {
    pub(crate) fn new(vm: Arc<Vm>, vcpu: Arc<Vcpu>) -> Result<Arc<Self>> {
        let file = Self {
            vm,
            vcpu,
            debugfs: SetOnce::new(),
        };
        Ok(Arc::new(file, GFP_KERNEL_ACCOUNT)?)
    }

    /// The file owns the vCPU's directory in debugfs from now on.
    pub(crate) fn show_in(&self, dir: VcpuDir) {
        // There is only one.
        self.debugfs.populate(dir);
    }
}

impl AnonFile for VcpuFile {
    const NAME: &'static CStr = c"kvm-vcpu";

    fn number(&self) -> Option<u32> {
        Some(self.vcpu.id)
    }

    const MAPPABLE: bool = true;

    fn page(&self, index: usize) -> Option<BorrowedPage<'_>> {
        const RING: usize = RING_PAGE as usize;

        match index {
            0 => self.vcpu.run.page(),
            RING => self.vm.bus.ring.page(),
            _ => self
                .vcpu
                .ring
                .as_ref()?
                .page(index.checked_sub(FIRST_PAGE)?),
        }
    }

    fn may_map(&self, pages: Range<usize>, shared: bool, executable: bool) -> bool {
        // What user space writes to a ring is for the kernel to see.
        let ring = self.vcpu.ring.as_ref().map_or(0, DirtyRing::pages);
        let touched = pages.start < FIRST_PAGE + ring && FIRST_PAGE < pages.end;
        ring == 0 || !touched || (shared && !executable)
    }

    fn ioctl(file: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<u32> {
        let (vm, vcpu) = (&*file.vm, &*file.vcpu);

        if !vm.is_ours() {
            return Err(EIO);
        }
        if cmd == KVM_GET_STATS_FD {
            // Also while the vCPU runs.
            return stats::open(file.vm.clone(), Some(file.vcpu.clone()));
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
                state.has_run = true;
                vcpu.seen.note_thread();
                return run_loop::run(vm, vcpu, state);
            }
            KVM_ARM_VCPU_INIT => init(vm, vcpu, state, arg)?,
            KVM_SET_SIGNAL_MASK => set_signal_mask(state, arg)?,
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
            KVM_SET_GUEST_DEBUG => set_guest_debug(state, arg)?,
            KVM_GET_VCPU_EVENTS
            | KVM_SET_VCPU_EVENTS
            | KVM_GET_ONE_REG
            | KVM_SET_ONE_REG
            | KVM_GET_REG_LIST
            | KVM_ARM_VCPU_FINALIZE
            | KVM_PRE_FAULT_MEMORY
                if state.flags.is_none() =>
            {
                return Err(ENOEXEC)
            }
            KVM_GET_VCPU_EVENTS => get_events(vm, state, arg)?,
            KVM_SET_VCPU_EVENTS => set_events(vm, state, arg)?,
            KVM_GET_ONE_REG => {
                let reg: kvm_one_reg = read_user(arg)?;
                vcpu.apply_power_on(vm, state);
                registers::get(vm, state, reg.id, reg.addr as usize)?;
            }
            KVM_SET_ONE_REG => {
                let reg: kvm_one_reg = read_user(arg)?;
                vcpu.apply_power_on(vm, state);
                registers::set(vm, vcpu, state, reg.id, reg.addr as usize)?;
            }
            KVM_GET_REG_LIST => registers::list(vm, arg)?,
            KVM_PRE_FAULT_MEMORY => pre_fault(vm, state, arg)?,
            KVM_SET_DEVICE_ATTR | KVM_GET_DEVICE_ATTR | KVM_HAS_DEVICE_ATTR => {
                device_attr(vm, state, cmd, arg)?
            }
            _ => return Err(EINVAL),
        }
        Ok(0)
    }

    fn show_fdinfo(file: ArcBorrow<'_, Self>, m: &SeqFile) {
        use kernel::seq_print;

        for counter in Counter::all() {
            let value = file.vcpu.counters.get(counter);
            seq_print!(m, "{}:\t{}\n", counter.name(), value);
        }
    }
}
