// SPDX-License-Identifier: GPL-2.0

//! A VM: its configuration, its memory and its vCPUs.

mod controls;
mod filter;

mod config;

pub(crate) use self::config::{
    Config,
    Frozen, //
};
use crate::{
    bus::Bus,
    counters::Counter,
    cpus::Cpus,
    irq_routes::Routes,
    irqfd::Irqfds,
    memory::{
        DirtyRing,
        Memory, //
    },
    vcpu::{
        request,
        Vcpu, //
    },
    vgic::{
        IrqChip,
        Member,
        Version,
        Vgic, //
    },
};
use kernel::{
    mm::Mm,
    new_mutex, new_spinlock,
    prelude::*,
    static_lock_class,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            AtomicFlag, //
        },
        Arc,
        Mutex,
        SetOnce,
        SpinLock, //
    },
};
use kvm_core::{
    ipa::{
        ipa_size,
        IpaBits, //
    },
    pstate::GuestState,
    timer::{
        CounterOffsets,
        Timer, //
    },
    vgic::v2,
    vm_idreg::{
        HostIdRegs,
        VmGic, //
    },
};
use kvm_host::{
    halt_poll,
    lock::{
        KillableGuard,
        KillableMutex, //
    },
    mmu_notifier::MmuNotifier,
    preempt_notifier::NotifierUser,
    relaxed,
    time::counter,
    vcpu::Controls, //
};

/// The most vCPUs of a VM, and one more than the highest number of one.
pub(crate) const MAX_VCPUS: usize = 512;

/// A VM's vCPUs.
struct Vcpus {
    /// In the order in which they were made.
    list: KVec<Arc<Vcpu>>,
    /// No more are made: the interrupt controller has as many as there are.
    closed: bool,
}

/// A virtual machine. Its file descriptor owns it, and so does whatever is made of it; it goes when
/// the last of them is closed.
///
/// The lock order is: `stops_vcpus`, a vCPU's state, the configuration's, the interrupt
/// controller's, the memory's locks, `gic_init`, `vcpus`; that of the counters' offsets is alone.
#[pin_data]
pub(crate) struct Vm {
    /// The address space that the VM's memory is part of, the creator's. No other process may use
    /// the descriptor. This is the `struct mm_struct`, not what it maps: a VM does not keep its
    /// creator's memory alive.
    mm: ARef<Mm>,
    /// The creator's number as a process, for names.
    pub(crate) creator: i32,
    pub(crate) cpus: Arc<Cpus>,
    pub(crate) ipa: IpaBits,
    pub(crate) notifiers: NotifierUser,
    pub(crate) memory: Arc<Memory>,
    #[pin]
    _notifier: MmuNotifier<Memory>,
    #[pin]
    pub(crate) config: Config,
    /// Devices whose writes need no exit.
    #[pin]
    pub(crate) bus: Bus,
    pub(crate) routes: Arc<Routes>,
    #[pin]
    pub(crate) irqfds: Irqfds,
    #[pin]
    vcpus: SpinLock<Vcpus>,
    /// Held by who keeps all vCPUs from running, and does not wait for them.
    #[pin]
    stops_vcpus: KillableMutex<()>,
    /// Its interrupt controller, from when it has one.
    gic: SetOnce<Arc<IrqChip>>,
    /// Held while that is initialised.
    #[pin]
    gic_init: Mutex<()>,
    /// KVM_CAP_ARM_NISV_TO_USER.
    pub(crate) nisv_to_user: AtomicFlag,
    /// KVM_CAP_ARM_SEA_TO_USER.
    pub(crate) sea_to_user: AtomicFlag,
    /// KVM_CAP_HALT_POLL: the most nanoseconds; more than `u32` has for what the module's parameter
    /// says.
    halt_poll_limit: Atomic<u64>,
    /// What the counters are behind the host's.
    #[pin]
    offsets: SpinLock<CounterOffsets>,
}

impl Vm {
    /// Creates a VM of a machine type, which is its IPA size. api.rst, "4.2 KVM_CREATE_VM".
    pub(crate) fn new(cpus: &Arc<Cpus>, machine_type: usize) -> Result<Arc<Self>> {
        let limit = cpus.capabilities().ipa_limit;
        let ipa = ipa_size(machine_type as u64, limit).map_err(|_| EINVAL)?;
        if !cpus.current_in_use() {
            return Err(EBUSY);
        }
        let task = current!();
        // An ioctl comes from user space, so there is one.
        let mm = task.mm().ok_or(EINVAL)?;
        let users = mm.mmget_not_zero().ok_or(EINVAL)?;
        let deferred = cpus.deferred().apart()?;
        let memory = Arc::pin_init(
            Memory::new(cpus.clone(), ipa, deferred.clone())?,
            GFP_KERNEL_ACCOUNT,
        )?;
        let notified = memory.clone();

        Arc::pin_init(
            try_pin_init!(Self {
                mm: ARef::<Mm>::from(&**users),
                creator: task.pid(),
                cpus: cpus.clone(),
                ipa,
                notifiers: NotifierUser::register(),
                memory,
                _notifier <- MmuNotifier::register(&users, notified),
                config <- Config::new(cpus),
                bus <- Bus::new(deferred.clone()),
                routes: Routes::new(deferred)?,
                irqfds <- Irqfds::new(),
                vcpus <- new_spinlock!(Vcpus {
                    list: KVec::new(),
                    closed: false,
                }, "kvm_vhe::Vm::vcpus"),
                stops_vcpus <- KillableMutex::new(
                    (),
                    c"kvm_vhe::Vm::stops_vcpus",
                    static_lock_class!(),
                ),
                gic: SetOnce::new(),
                gic_init <- new_mutex!((), "kvm_vhe::Vm::gic_init"),
                nisv_to_user: AtomicFlag::new(false),
                sea_to_user: AtomicFlag::new(false),
                halt_poll_limit: Atomic::new(u64::MAX),
                offsets <- new_spinlock!(CounterOffsets::new(counter()), "kvm_vhe::Vm::offsets"),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Whether the current process is the one that the VM belongs to.
    pub(crate) fn is_ours(&self) -> bool {
        current!()
            .mm()
            .is_some_and(|mm| core::ptr::eq::<Mm>(&**mm, &*self.mm))
    }

    /// The host's ID registers.
    pub(crate) fn host_id_registers(&self) -> &HostIdRegs {
        self.cpus.id_registers()
    }

    /// The configuration, which becomes final at the VM's first run.
    ///
    /// # Errors
    ///
    /// If there is an interrupt controller: `ENXIO` if a frame of it has no address, `EINVAL` if
    /// frames overlap, `EBUSY` if it is not initialised. `ENOMEM`.
    pub(crate) fn freeze(&self) -> Result<&Frozen> {
        // One without its frames is refused below.
        if self.config.frozen().is_none()
            && self
                .gic()
                .is_some_and(|gic| gic.v2.frames().check().is_ok())
        {
            self.init_gic_v2()?;
        }
        self.config.freeze(&self.cpus, || match self.gic() {
            Some(gic) => {
                let ready = gic.ready().is_some();
                match gic.version {
                    Version::V2 => gic.v2.settle_frames(ready),
                    Version::V3 => gic.setup.settle_frames(self.vcpu_count(), self.ipa, ready),
                }
            }
            None => Ok(()),
        })
    }

    /// KVM_CAP_ARM_WRITABLE_IMP_ID_REGS.
    ///
    /// # Errors
    ///
    /// As [`Config::enable_writable_implementation`].
    pub(crate) fn enable_writable_implementation(&self) -> Result {
        self.config
            .enable_writable_implementation(|| !self.vcpus.lock().list.is_empty())
    }

    /// The longest time that its vCPUs poll in a WFI, in nanoseconds.
    pub(crate) fn halt_poll_limit(&self) -> u32 {
        u32::try_from(relaxed::load(&self.halt_poll_limit)).unwrap_or_else(|_| halt_poll::limit())
    }

    /// KVM_CAP_HALT_POLL: sets that time, which is the module's parameter else.
    pub(crate) fn limit_halt_poll(&self, nanoseconds: u32) {
        relaxed::store(&self.halt_poll_limit, nanoseconds.into());
    }

    /// The states that the VM's vCPUs can be in.
    pub(crate) fn guest_state(&self) -> GuestState {
        GuestState::Aarch64 {
            el0_aarch32: self.cpus.id_registers().has_aarch32_el0(),
        }
    }

    /// What the counters are behind the host's.
    pub(crate) fn counter_offsets(&self) -> CounterOffsets {
        *self.offsets.lock()
    }

    /// Sets a counter of all vCPUs.
    pub(crate) fn set_counter(&self, timer: Timer, value: u64) {
        self.offsets.lock().set_count(timer, value, counter());
        self.reload_vcpus();
    }

    /// KVM_ARM_SET_COUNTER_OFFSET. api.rst, "4.138 KVM_ARM_SET_COUNTER_OFFSET".
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is an ioctl on a vCPU at the moment, `EINTR` if the thread is being killed.
    pub(crate) fn give_counter_offset(&self, offset: u64) -> Result {
        let _turn = self.stops_vcpus()?;
        let mut busy = false;

        self.for_each_vcpu(|vcpu| {
            busy |= vcpu.is_busy();
            !busy
        });
        if busy {
            return Err(EBUSY);
        }
        self.offsets.lock().give(offset);
        // One may have begun to run since it was asked.
        self.reload_vcpus();
        Ok(())
    }

    /// Waits for its turn to keep the vCPUs from running, or to look whether they run: another that
    /// does would be taken for a vCPU's ioctl.
    ///
    /// # Errors
    ///
    /// `EINTR` if the thread is being killed.
    pub(crate) fn stops_vcpus(&self) -> Result<KillableGuard<'_, ()>> {
        self.stops_vcpus.lock()
    }

    /// Makes all vCPUs look for new controls.
    fn reload_vcpus(&self) {
        self.for_each_vcpu(|vcpu| {
            vcpu.request(request::RELOAD);
            true
        });
    }

    /// What a vCPU is loaded with.
    pub(crate) fn controls(&self, frozen: &Frozen) -> Controls {
        frozen.controls(self.counter_offsets())
    }

    /// The interrupts of the interrupt controller, if it is initialised.
    #[inline]
    pub(crate) fn vgic(&self) -> Option<&Arc<Vgic>> {
        self.gic()?.vgic()
    }

    /// MPIDR_EL1 of a vCPU has changed.
    pub(crate) fn renamed(&self, vcpu: &Vcpu) {
        // An interrupt controller that is being initialised has its affinity already, perhaps the old
        // one.
        let _init = self.gic_init.lock();

        if let Some(vgic) = self.vgic() {
            if let Some(index) = vgic.index_of(vcpu.id) {
                vgic.set_affinity(index, vcpu.affinity());
            }
        }
    }

    /// How many vCPUs the VM can have, and what their numbers are below.
    pub(crate) fn max_vcpus(&self) -> usize {
        match self.gic() {
            Some(gic) if gic.version == Version::V2 => v2::lists::MAX_VCPUS,
            _ => MAX_VCPUS,
        }
    }

    /// Adds a vCPU.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one of this number, `EBUSY` if there can be no more, or the VM has got
    /// rings since the vCPU was made, `EINVAL` if the number is not below
    /// [`max_vcpus`](Self::max_vcpus), `ENOMEM`.
    pub(crate) fn add_vcpu(&self, vcpu: Arc<Vcpu>) -> Result {
        // The room is made before the lock, under which nothing may sleep, is taken.
        let mut room = KVec::new();
        loop {
            let mut vcpus = self.vcpus.lock();
            let ring = vcpu.ring.as_ref().map(DirtyRing::size);
            if vcpus.closed || ring != self.memory.ring_size() {
                return Err(EBUSY);
            }
            if vcpu.id as usize >= self.max_vcpus() {
                return Err(EINVAL);
            }
            let list = &mut vcpus.list;
            if list.iter().any(|other| other.id == vcpu.id) {
                return Err(EEXIST);
            }
            if list.len() < list.capacity() {
                list.push(vcpu, GFP_ATOMIC)?;
                return Ok(());
            }
            if room.capacity() > list.len() {
                for other in list.drain_all() {
                    room.push(other, GFP_ATOMIC)?;
                }
                core::mem::swap(list, &mut room);
                continue;
            }
            let wanted = (list.len() * 2).max(8);
            drop(vcpus);
            room = KVec::with_capacity(wanted, GFP_KERNEL_ACCOUNT)?;
        }
    }

    /// Calls `f` with each vCPU until it returns `false`. `f` must not sleep.
    pub(crate) fn for_each_vcpu(&self, mut f: impl FnMut(&Arc<Vcpu>) -> bool) {
        for vcpu in self.vcpus.lock().list.iter() {
            if !f(vcpu) {
                break;
            }
        }
    }

    /// The number of vCPUs.
    pub(crate) fn vcpu_count(&self) -> usize {
        self.vcpus.lock().list.len()
    }

    /// The vCPUs, in the order in which they were made.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn vcpus(&self) -> Result<KVec<Arc<Vcpu>>> {
        let mut all = KVec::new();
        loop {
            let vcpus = self.vcpus.lock();
            let count = vcpus.list.len();
            if all.capacity() >= count {
                for vcpu in &vcpus.list {
                    all.push(vcpu.clone(), GFP_ATOMIC)?;
                }
                return Ok(all);
            }
            drop(vcpus);
            all = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        }
    }

    /// The interrupt controller.
    #[inline]
    pub(crate) fn gic(&self) -> Option<&Arc<IrqChip>> {
        self.gic.as_ref()
    }

    /// Gives the VM an interrupt controller.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it has one, `EBUSY` if a vCPU has run.
    pub(crate) fn set_gic(&self, gic: Arc<IrqChip>) -> Result {
        if self.gic().is_some() {
            return Err(EEXIST);
        }
        let shown = match gic.version {
            Version::V2 => VmGic::V2,
            Version::V3 => VmGic::V3,
        };
        self.config
            .add_gic(shown, || self.gic.populate(gic).then_some(()).ok_or(EEXIST))
    }

    /// Initialises the interrupt controller. There can be no more vCPUs after this.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is none, or no vCPU, `ENOMEM`.
    pub(crate) fn init_gic(&self) -> Result {
        let gic = self.gic().ok_or(ENODEV)?;
        let init = self.gic_init.lock();

        if gic.ready().is_some() {
            return Ok(());
        }
        self.vcpus.lock().closed = true;
        let result = self
            .members(gic.version)
            .and_then(|members| gic.init(members));
        if result.is_err() {
            self.vcpus.lock().closed = false;
        }
        drop(init);
        result
    }

    /// Initialises a GICv2 that is not: user space need not say so.
    ///
    /// # Errors
    ///
    /// As [`init_gic`](Self::init_gic).
    pub(crate) fn init_gic_v2(&self) -> Result {
        match self.gic() {
            Some(gic) if gic.version == Version::V2 && gic.ready().is_none() => self.init_gic(),
            _ => Ok(()),
        }
    }

    /// The vCPUs as the interrupt controller has them. CPU interface n of a GICv2 is vCPU n's.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is none, `E2BIG` if there are more than it can have, `ENOMEM`.
    fn members(&self, version: Version) -> Result<KVec<KBox<Member>>> {
        let mut vcpus = self.vcpus()?;
        if version == Version::V2 {
            vcpus.sort_unstable_by_key(|vcpu| vcpu.id);
            if vcpus
                .iter()
                .any(|vcpu| vcpu.id as usize >= v2::lists::MAX_VCPUS)
            {
                return Err(E2BIG);
            }
        }
        let mut members = KVec::with_capacity(vcpus.len(), GFP_KERNEL_ACCOUNT)?;

        if vcpus.is_empty() {
            return Err(ENODEV);
        }
        for (index, vcpu) in vcpus.iter().enumerate() {
            let member = Member::new(version, index, vcpu.id, vcpu.affinity(), vcpu.kick.clone());
            members.push(KBox::new(member, GFP_KERNEL_ACCOUNT)?, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(members)
    }

    /// KVM_CAP_DIRTY_LOG_RING_ACQ_REL.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not a size, there are rings already, or vCPUs; `E2BIG` if it is too large.
    pub(crate) fn enable_dirty_rings(&self, bytes: u64) -> Result {
        let vcpus = self.vcpus.lock();
        // A wrong size first.
        self.memory.check_ring_size(bytes)?;
        if !vcpus.list.is_empty() {
            return Err(EINVAL);
        }
        self.memory.set_ring_size(bytes)
    }

    /// KVM_RESET_DIRTY_RINGS. Returns how many entries were reset.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are no rings, `ENOMEM`.
    pub(crate) fn reset_dirty_rings(&self) -> Result<u32> {
        let vcpus = self.vcpus()?;
        self.memory
            .reset_dirty_rings(vcpus.iter().filter_map(|vcpu| vcpu.ring.as_ref()))
    }

    /// What the vCPUs count, added up.
    pub(crate) fn sum(&self, counter: Counter) -> u64 {
        let mut sum: u64 = 0;
        self.for_each_vcpu(|vcpu| {
            sum = sum.wrapping_add(vcpu.counters.get(counter));
            true
        });
        sum
    }
}
