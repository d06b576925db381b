// SPDX-License-Identifier: GPL-2.0

//! A VM and its file descriptor.

use crate::{
    capability::{
        check_vm_extension,
        enable_cap, //
    },
    cpus::Cpus,
    firmware::FilterRanges,
    ioctl::*,
    memory::Memory,
    vcpu::{
        Stat,
        Vcpu,
        VcpuFile, //
    },
};
use kernel::{
    fs::file::{
        flags::O_CLOEXEC,
        FileDescriptorReservation, //
    },
    mm::Mm,
    new_mutex, new_spinlock,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            AtomicFlag,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        Mutex,
        SetOnce,
        SpinLock, //
    },
};
use kvm_core::{
    exit_reason::ExitReason,
    firmware::{
        Firmware,
        FwRegister,
        WriteError, //
    },
    ipa::{
        ipa_size,
        IpaBits, //
    },
    pstate::GuestState,
    register::{
        fgt::FineGrainedTraps,
        Feature,
        FeatureSet,
        Reg, //
    },
    smccc::{
        Filter,
        FilterError,
        FilterRange,
        KvmSmcccFilter,
        KVM_ARM_VM_SMCCC_CTRL,
        KVM_ARM_VM_SMCCC_FILTER, //
    },
    sysreg::SysReg,
    traps::{
        mdcr,
        HostTraps,
        MdcrInputs,
        VmTraps, //
    },
    vm_idreg::{
        writable_mask,
        HostIdRegs,
        IdIndex,
        Offer,
        SetError,
        VcpuFeatures,
        VmFeature,
        VmFeatures,
        VmGic,
        VmIdRegs, //
    },
};
use kvm_host::{
    file::{
        new_anon_file,
        AnonFile, //
    },
    mmu_notifier::MmuNotifier,
    preempt_notifier::NotifierUser,
    time::counter,
    uapi::{
        kvm_device_attr,
        kvm_enable_cap,
        kvm_userspace_memory_region,
        kvm_userspace_memory_region2,
        kvm_vcpu_init,
        reg_mask_range,
        zeroed, //
    },
    vcpu::Controls, //
};

/// The most vCPUs of a VM, and one more than the highest number of one.
pub(crate) const MAX_VCPUS: usize = 512;

/// KVM_ARM_TARGET_GENERIC_V8.
pub(crate) const TARGET_GENERIC_V8: u32 = 5;

/// CPTR_EL2.E0POE: EL0 may use POR_EL0.
const CPTR_E0POE: u64 = 1 << 29;

/// ICH_HCR_EL2.TC, TALL0, TALL1 and TDIR.
const ICH_HCR_TRAP_ALL: u64 = 1 << 10 | 1 << 11 | 1 << 12 | 1 << 14;

/// What of a VM can be changed until a vCPU has run.
struct Config {
    ids: VmIdRegs,
    firmware: Option<Firmware>,
    filter: Option<Filter<FilterRanges>>,
    flags: Option<VcpuFeatures>,
}

/// What of a VM cannot be changed any more.
pub(crate) struct Frozen {
    pub(crate) ids: VmIdRegs,
    pub(crate) features: VmFeatures,
    pub(crate) registers: FeatureSet,
    pub(crate) firmware: Firmware,
    pub(crate) filter: Filter<FilterRanges>,
    pub(crate) flags: VcpuFeatures,
    /// What vCPUs are loaded with, less the counter's offset.
    controls: Controls,
}

/// What the firmware has to know of a VM's vCPUs.
fn firmware_features(
    flags: Option<VcpuFeatures>,
    features: VmFeatures,
) -> kvm_core::firmware::VcpuFeatures {
    kvm_core::firmware::VcpuFeatures {
        psci_0_2: flags.is_some_and(|flags| flags.contains(VcpuFeatures::PSCI_0_2)),
        ssbs: features.contains(VmFeature::Ssbs),
    }
}

impl Frozen {
    /// What the firmware has to know of the VM's vCPUs.
    pub(crate) fn firmware_features(&self) -> kvm_core::firmware::VcpuFeatures {
        firmware_features(Some(self.flags), self.features)
    }
}

/// A virtual machine. Its file descriptor owns it, and so does whatever is made of it; it goes when
/// the last of them is closed.
///
/// The lock order is: a vCPU's state, `config`, the memory's locks, `vcpus`.
#[pin_data]
pub(crate) struct Vm {
    /// The address space that the VM's memory is part of, the creator's. No other process may use
    /// the descriptor. This is the `struct mm_struct`, not what it maps: a VM does not keep its
    /// creator's memory alive.
    mm: ARef<Mm>,
    pub(crate) cpus: Arc<Cpus>,
    ipa: IpaBits,
    pub(crate) notifiers: NotifierUser,
    pub(crate) memory: Arc<Memory>,
    #[pin]
    _notifier: MmuNotifier<Memory>,
    #[pin]
    config: Mutex<Config>,
    frozen: SetOnce<KBox<Frozen>>,
    #[pin]
    vcpus: SpinLock<KVec<Arc<Vcpu>>>,
    /// KVM_CAP_ARM_NISV_TO_USER.
    pub(crate) nisv_to_user: AtomicFlag,
    /// What the virtual counter is behind the host's.
    cntvoff: Atomic<u64>,
}

impl Vm {
    /// Creates a VM of a machine type, which is its IPA size. api.rst, "4.2 KVM_CREATE_VM".
    fn new(cpus: &Arc<Cpus>, machine_type: usize) -> Result<Arc<Self>> {
        let limit = cpus.capabilities().ipa_limit;
        let ipa = ipa_size(machine_type as u64, limit).map_err(|_| EINVAL)?;
        if !cpus.current_in_use() {
            return Err(EBUSY);
        }
        let task = current!();
        // An ioctl comes from user space, so there is one.
        let mm = task.mm().ok_or(EINVAL)?;
        let users = mm.mmget_not_zero().ok_or(EINVAL)?;
        let memory = Arc::pin_init(Memory::new(cpus.clone(), ipa)?, GFP_KERNEL_ACCOUNT)?;
        let notified = memory.clone();
        let filter = Filter::new(FilterRanges::new());
        let firmware = Firmware::new(cpus.mitigations());

        Arc::pin_init(
            try_pin_init!(Self {
                mm: ARef::<Mm>::from(&**users),
                cpus: cpus.clone(),
                ipa,
                notifiers: NotifierUser::register(),
                memory,
                _notifier <- MmuNotifier::register(&users, notified),
                config <- new_mutex!(Config {
                    ids: VmIdRegs::new(),
                    firmware: Some(firmware),
                    filter,
                    flags: None,
                }, "kvm_vhe::Vm::config"),
                frozen: SetOnce::new(),
                vcpus <- new_spinlock!(KVec::new(), "kvm_vhe::Vm::vcpus"),
                nisv_to_user: AtomicFlag::new(false),
                cntvoff: Atomic::new(counter()),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Creates a VM and its file descriptor in the current process.
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` if there are too many files, `EINVAL` if there is no such machine type,
    /// `EBUSY` if the system is going down, `ENOMEM`.
    pub(crate) fn create(cpus: &Arc<Cpus>, machine_type: usize) -> Result<u32> {
        let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
        let file = new_anon_file(VmFile::new(Self::new(cpus, machine_type)?)?)?;
        let number = fd.reserved_fd();

        fd.fd_install(file);
        Ok(number)
    }

    /// Whether the current process is the one that the VM belongs to.
    pub(crate) fn is_ours(&self) -> bool {
        current!()
            .mm()
            .is_some_and(|mm| core::ptr::eq::<Mm>(&**mm, &*self.mm))
    }

    /// What cannot be changed any more, once a vCPU has run.
    #[inline]
    pub(crate) fn frozen(&self) -> Option<&Frozen> {
        self.frozen.as_ref().map(|frozen| &**frozen)
    }

    /// Makes the configuration final, at the VM's first run.
    pub(crate) fn freeze(&self) -> Result<&Frozen> {
        if let Some(frozen) = self.frozen() {
            return Ok(frozen);
        }
        let mut config = self.config.lock();
        if self.frozen.as_ref().is_none() {
            let mut ids = config.ids.clone();
            let features = ids.freeze(VmGic::None);
            let frozen = KBox::new_uninit(GFP_KERNEL_ACCOUNT)?;
            let (Some(firmware), Some(filter), Some(flags)) =
                (config.firmware.take(), config.filter.take(), config.flags)
            else {
                return Err(ENOEXEC);
            };
            let registers = features.registers();
            let controls = self.new_controls(features, registers, &ids);
            self.frozen.populate(frozen.write(Frozen {
                controls,
                ids,
                features,
                registers,
                firmware,
                filter,
                flags,
            }));
        }
        drop(config);
        self.frozen().ok_or(EINVAL)
    }

    /// The features that the VM's registers come with, as its ID registers are now.
    pub(crate) fn register_features(&self) -> FeatureSet {
        match self.frozen() {
            Some(frozen) => frozen.registers,
            None => self.features().registers(),
        }
    }

    /// Takes what a vCPU is initialised with for the VM.
    ///
    /// # Errors
    ///
    /// `EINVAL` if another vCPU has something else.
    pub(crate) fn set_flags(&self, flags: VcpuFeatures) -> Result {
        let config = &mut *self.config.lock();

        match config.flags {
            Some(others) if !others.is_same_vm(flags) => return Err(EINVAL),
            Some(_) => {}
            None => {
                config.flags = Some(flags);
                config.ids.init(
                    self.cpus.id_registers(),
                    &flags.config(Offer::CURRENT, false),
                );
            }
        }
        Ok(())
    }

    /// What the VM's ID registers promise, as they are now.
    pub(crate) fn features(&self) -> VmFeatures {
        match self.frozen() {
            Some(frozen) => frozen.features,
            None => VmFeatures::of(&self.config.lock().ids),
        }
    }

    /// The host's ID registers.
    pub(crate) fn host_id_registers(&self) -> &HostIdRegs {
        self.cpus.id_registers()
    }

    /// An ID register of the VM.
    pub(crate) fn id_register(&self, reg: SysReg) -> Option<u64> {
        match self.frozen() {
            Some(frozen) => frozen.ids.get(reg),
            None => self.config.lock().ids.get(reg),
        }
    }

    /// Sets an ID register of the VM.
    pub(crate) fn set_id_register(&self, reg: SysReg, value: u64) -> Result<(), SetError> {
        let host = self.cpus.id_registers();

        match self.frozen() {
            // What is written is what is there, or refused.
            Some(frozen) => match frozen.ids.clone().set(host, reg, value) {
                Err(error) => Err(error),
                Ok(()) => Ok(()),
            },
            None => self.config.lock().ids.set(host, reg, value),
        }
    }

    /// A pseudo-register of the firmware.
    pub(crate) fn firmware_register(&self, reg: FwRegister) -> u64 {
        if let Some(frozen) = self.frozen() {
            return frozen.firmware.read(reg, frozen.firmware_features());
        }
        let config = self.config.lock();
        let vcpu = firmware_features(config.flags, VmFeatures::of(&config.ids));
        config
            .firmware
            .as_ref()
            .map_or(0, |firmware| firmware.read(reg, vcpu))
    }

    /// Sets a pseudo-register of the firmware.
    pub(crate) fn set_firmware_register(&self, reg: FwRegister, value: u64) -> Result {
        let result = if let Some(frozen) = self.frozen() {
            let vcpu = frozen.firmware_features();
            frozen.firmware.write_running(reg, value, vcpu)
        } else {
            let config = &mut *self.config.lock();
            let vcpu = firmware_features(config.flags, VmFeatures::of(&config.ids));
            let firmware = config.firmware.as_mut().ok_or(EBUSY)?;
            firmware.write(reg, value, vcpu)
        };
        result.map_err(|error| match error {
            WriteError::Invalid => EINVAL,
            WriteError::Busy => EBUSY,
        })
    }

    /// Has PSCI's SYSTEM_SUSPEND carried out by user space.
    pub(crate) fn enable_system_suspend(&self) {
        match self.frozen() {
            Some(frozen) => frozen.firmware.enable_system_suspend(),
            None => {
                if let Some(firmware) = &self.config.lock().firmware {
                    firmware.enable_system_suspend();
                }
            }
        }
    }

    /// KVM_CAP_ARM_WRITABLE_IMP_ID_REGS. api.rst, "7.42 KVM_CAP_ARM_WRITABLE_IMP_ID_REGS".
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is a vCPU.
    pub(crate) fn enable_writable_implementation(&self) -> Result {
        let mut config = self.config.lock();
        if !self.vcpus.lock().is_empty() {
            return Err(EINVAL);
        }
        config
            .ids
            .enable_writable_implementation()
            .map_err(|_| EINVAL)
    }

    /// The states that the VM's vCPUs can be in.
    pub(crate) fn guest_state(&self) -> GuestState {
        GuestState::Aarch64 {
            el0_aarch32: self.cpus.id_registers().has_aarch32_el0(),
        }
    }

    /// What the virtual counter is behind the host's.
    pub(crate) fn counter_offset(&self) -> u64 {
        self.cntvoff.load(Relaxed)
    }

    /// The value of a counter.
    pub(crate) fn counter(&self, reg: Reg) -> u64 {
        match reg {
            Reg::CNTVCT_EL0 => counter().wrapping_sub(self.counter_offset()),
            _ => counter(),
        }
    }

    /// Sets a counter: that of the whole VM.
    pub(crate) fn set_counter(&self, reg: Reg, value: u64) {
        if reg == Reg::CNTVCT_EL0 {
            self.cntvoff.store(counter().wrapping_sub(value), Relaxed);
        }
    }

    /// What a vCPU is loaded with.
    pub(crate) fn controls(&self, frozen: &Frozen) -> Controls {
        Controls {
            cntvoff: self.counter_offset(),
            ..frozen.controls
        }
    }

    /// What vCPUs of a VM with these features are loaded with.
    fn new_controls(
        &self,
        features: VmFeatures,
        registers: FeatureSet,
        ids: &VmIdRegs,
    ) -> Controls {
        let host = VmFeatures::of(self.cpus.id_registers());
        let traps = VmTraps::of(
            features,
            HostTraps {
                features: host,
                ctr_is_hosts: false,
            },
        );
        let fine = FineGrainedTraps::new(registers);
        let mdcr = mdcr(MdcrInputs {
            // The host's; load keeps it.
            event_counters: kvm_core::bits::Bits::of::<0>(),
            guest_debug: false,
            guest_owns_debug_registers: false,
        });

        Controls {
            features: registers.with(Feature::HOST_RAS, self.cpus.has_ras()),
            hcr: traps.hcr.into_raw(),
            hcrx: traps.hcrx.map_or(0, |hcrx| hcrx.into_raw()),
            mdcr: mdcr.into_raw(),
            cptr: traps.cptr_with_fp().into_raw()
                | if registers.contains(Feature::S1POE) {
                    CPTR_E0POE
                } else {
                    0
                },
            hfg: fine.hfg,
            hfgitr: traps.hfgitr.map_or(0, |hfgitr| hfgitr.into_raw()),
            hdfg: fine.hdfg,
            hfgitr2: traps.hfgitr2.map_or(0, |hfgitr2| hfgitr2.into_raw()),
            cntvoff: 0,
            vpidr: ids.virtual_midr(),
            // There is no interrupt controller: all of its registers trap.
            ich_hcr: ICH_HCR_TRAP_ALL,
        }
    }

    /// Adds a vCPU.
    fn add_vcpu(&self, vcpu: Arc<Vcpu>) -> Result {
        // The room is made before the lock, under which nothing may sleep, is taken.
        let mut room = KVec::new();
        loop {
            let mut vcpus = self.vcpus.lock();
            if vcpus.iter().any(|other| other.id == vcpu.id) {
                return Err(EEXIST);
            }
            if vcpus.len() < vcpus.capacity() {
                vcpus.push(vcpu, GFP_ATOMIC)?;
                return Ok(());
            }
            if room.capacity() > vcpus.len() {
                for other in vcpus.drain_all() {
                    room.push(other, GFP_ATOMIC)?;
                }
                core::mem::swap(&mut *vcpus, &mut room);
                continue;
            }
            let wanted = (vcpus.len() * 2).max(8);
            drop(vcpus);
            room = KVec::with_capacity(wanted, GFP_KERNEL_ACCOUNT)?;
        }
    }

    /// Calls `f` with each vCPU until it returns `false`. `f` must not sleep.
    pub(crate) fn for_each_vcpu(&self, mut f: impl FnMut(&Arc<Vcpu>) -> bool) {
        for vcpu in self.vcpus.lock().iter() {
            if !f(vcpu) {
                break;
            }
        }
    }

    fn create_vcpu(self: &Arc<Self>, id: usize) -> Result<u32> {
        let id = u32::try_from(id).map_err(|_| EINVAL)?;
        if id as usize >= MAX_VCPUS {
            return Err(EINVAL);
        }
        let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
        let vcpu = Vcpu::new(self, id)?;
        let file = new_anon_file(VcpuFile::new(self.clone(), vcpu.clone())?)?;
        self.add_vcpu(vcpu)?;
        let number = fd.reserved_fd();

        fd.fd_install(file);
        Ok(number)
    }

    fn writable_masks(&self, arg: usize) -> Result {
        /// KVM_ARM_FEATURE_ID_RANGE.
        const FEATURE_ID_RANGE: u32 = 0;

        let range: reg_mask_range = read_user(arg)?;
        if range.range != FEATURE_ID_RANGE || range.reserved != [0; 13] {
            return Err(EINVAL);
        }
        let aarch32 = self.cpus.id_registers().has_aarch32_el0();
        for index in IdIndex::all() {
            let at = (range.addr as usize).wrapping_add(index.get() * 8);
            write_user(at, &writable_mask(index, aarch32))?;
        }
        Ok(())
    }

    fn set_smccc_filter(&self, address: u64) -> Result {
        let bytes: [u8; 24] = read_user(address as usize)?;
        let range = FilterRange::new(&KvmSmcccFilter::from_ne_bytes(&bytes)).map_err(|_| EINVAL)?;
        let mut config = self.config.lock();
        let filter = config.filter.as_mut().ok_or(EBUSY)?;

        filter.insert(range).map_err(|error| match error {
            FilterError::Exists => EEXIST,
            FilterError::NoMemory => ENOMEM,
        })
    }

    fn device_attr(&self, cmd: u32, arg: usize) -> Result {
        let attr: kvm_device_attr = read_user(arg)?;

        if attr.group != KVM_ARM_VM_SMCCC_CTRL || attr.attr != KVM_ARM_VM_SMCCC_FILTER {
            return Err(ENXIO);
        }
        match cmd {
            KVM_HAS_DEVICE_ATTR => Ok(()),
            KVM_SET_DEVICE_ATTR => self.set_smccc_filter(attr.addr),
            _ => Err(ENXIO),
        }
    }

    fn preferred_target(&self, arg: usize) -> Result {
        write_user(
            arg,
            &kvm_vcpu_init {
                target: TARGET_GENERIC_V8,
                features: [0; 7],
            },
        )
    }
}

/// KVM_SET_USER_MEMORY_REGION as KVM_SET_USER_MEMORY_REGION2.
fn with_memfd(region: &kvm_userspace_memory_region) -> kvm_userspace_memory_region2 {
    kvm_userspace_memory_region2 {
        slot: region.slot,
        flags: region.flags,
        guest_phys_addr: region.guest_phys_addr,
        memory_size: region.memory_size,
        userspace_addr: region.userspace_addr,
        ..zeroed()
    }
}

/// A VM's file.
pub(crate) struct VmFile(Arc<Vm>);

impl VmFile {
    fn new(vm: Arc<Vm>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(vm), GFP_KERNEL_ACCOUNT)?)
    }
}

impl AnonFile for VmFile {
    const NAME: &'static CStr = c"kvm-vm";

    fn ioctl(file: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<u32> {
        let vm = &file.0;

        if !vm.is_ours() {
            return Err(EIO);
        }
        match cmd {
            KVM_CHECK_EXTENSION => return Ok(check_vm_extension(&vm.cpus, arg)),
            KVM_CREATE_VCPU => return vm.create_vcpu(arg),
            KVM_SET_USER_MEMORY_REGION => {
                let region: kvm_userspace_memory_region = read_user(arg)?;
                vm.memory.set_region(&with_memfd(&region))?;
            }
            KVM_SET_USER_MEMORY_REGION2 => {
                let region: kvm_userspace_memory_region2 = read_user(arg)?;
                vm.memory.set_region(&region)?;
            }
            KVM_ENABLE_CAP => {
                let cap: kvm_enable_cap = read_user(arg)?;
                enable_cap(vm, &cap)?;
            }
            KVM_ARM_PREFERRED_TARGET => vm.preferred_target(arg)?,
            KVM_ARM_GET_REG_WRITABLE_MASKS => vm.writable_masks(arg)?,
            KVM_SET_DEVICE_ATTR | KVM_GET_DEVICE_ATTR | KVM_HAS_DEVICE_ATTR => {
                vm.device_attr(cmd, arg)?
            }
            _ => return Err(EINVAL),
        }
        Ok(0)
    }

    fn show_fdinfo(file: ArcBorrow<'_, Self>, m: &SeqFile) {
        let vm = &file.0;

        seq_print!(m, "kvm-ipa-bits:\t{}\n", vm.ipa.get());
        seq_print!(m, "table_pages:\t{}\n", vm.memory.table_pages());
        // What the vCPUs count, added up.
        for reason in ExitReason::ALL {
            let mut sum: u64 = 0;
            vm.for_each_vcpu(|vcpu| {
                sum = sum.wrapping_add(vcpu.exits.get(*reason));
                true
            });
            seq_print!(m, "{}:\t{}\n", reason.name(), sum);
        }
        for stat in Stat::ALL {
            let mut sum: u64 = 0;
            vm.for_each_vcpu(|vcpu| {
                sum = sum.wrapping_add(vcpu.stats.get(*stat));
                true
            });
            seq_print!(m, "{}:\t{}\n", stat.name(), sum);
        }
    }
}
