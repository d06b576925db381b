// SPDX-License-Identifier: GPL-2.0

//! Which CPUs are in use for VMs, and what they have in common.

use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            AtomicFlag,
            Full,
            Relaxed,
            Release, //
        },
        SpinLock, //
    },
};
use kvm_core::{
    cpu::{
        hardening::{
            as_kernel_says,
            harden,
            ExitHardening,
            Exposure,
            Exposures, //
        },
        CpuFeatures,
        Feature,
        HostCapabilities, //
    },
    firmware::{
        Mitigation,
        Mitigations, //
    },
    setway::Cacheability,
    timer::Frequency,
    vm_idreg::{
        HostFacts,
        HostIdRegs,
        Offer,
        VcpuFeatures,
        VmFeature,
        VmFeatures, //
    },
    vmid::{
        self,
        Active,
        Allocator,
        CpuState,
        Generation,
        Vmid, //
    },
};
use kvm_host::{
    cpu_pm::CpuPmCallbacks,
    debug_regs::DebugResources,
    gic::HostGic,
    hardening::{
        hardening_inputs,
        kernel_exposures, //
    },
    hotplug::CpuCallbacks,
    machine::{
        Machine,
        VheHost, //
    },
    percpu::PerCpu,
    pinned::{
        with_preemption_off,
        PinnedCpu, //
    },
    profiling,
    rcu_cell::Deferred,
    relaxed,
    syscore::SyscoreCallbacks,
    table_page::publish,
    timer_irqs::TimerIrqs,
    translation::reset_guest_translation,
    vcpu::{
        ControlRegisters,
        VcpuCpu,
        Vectors, //
    },
};

/// What CPUs look at of the VMIDs without a lock.
struct VmidShared {
    generation: Atomic<u64>,
    active: KVec<Atomic<u64>>,
}

impl vmid::Shared for VmidShared {
    fn generation(&self) -> Generation {
        Generation::from_raw(self.generation.load(Acquire)).unwrap_or(Generation::FIRST)
    }

    fn set_generation(&self, generation: Generation) {
        self.generation.store(generation.into_raw(), Release);
    }

    fn active(&self, cpu: usize) -> Active {
        Active::from_raw(self.active.get(cpu).map_or(0, |word| word.load(Relaxed)))
    }

    fn swap_active(&self, cpu: usize, new: Active) -> Active {
        Active::from_raw(
            self.active
                .get(cpu)
                .map_or(0, |word| word.xchg(new.into_raw(), Full)),
        )
    }

    fn compare_exchange_active(&self, cpu: usize, old: Active, new: Active) -> bool {
        self.active
            .get(cpu)
            .is_some_and(|word| word.cmpxchg(old.into_raw(), new.into_raw(), Full).is_ok())
    }
}

/// Takes CPUs into use as they come up and out of use as they go down, or the whole system does.
#[pin_data]
pub(crate) struct Cpus {
    machine: Machine,
    /// The GIC's part of the CPUs.
    pub(crate) gic: HostGic,
    pub(crate) timer_irqs: TimerIrqs,
    counter_frequency: Frequency,
    id_registers: KBox<HostIdRegs>,
    /// Whether a CPU is in use for VMs. Only that CPU looks at its flag, so no ordering is needed.
    in_use: PerCpu<AtomicFlag>,
    vmid_shared: VmidShared,
    #[pin]
    vmids: SpinLock<Allocator<KVec<u64>, KVec<CpuState>>>,
    /// How the CPUs that were ever in use stand towards attacks by speculation, the worst of them.
    #[pin]
    exposures: SpinLock<Option<Exposures>>,
    /// The vectors that lead out of a guest on each CPU, a [`Vectors`] as a number.
    vectors: KVec<Atomic<u64>>,
    available: ControlRegisters,
    /// Whether the system goes down, so that no guest is entered any more.
    going_down: Atomic<u32>,
    /// Of which each VM's is made.
    deferred: Deferred,
}

/// Returns a vector of `len` values.
fn filled<T>(len: usize, mut value: impl FnMut() -> T) -> Result<KVec<T>> {
    let mut vec = KVec::with_capacity(len, GFP_KERNEL)?;
    for _ in 0..len {
        vec.push(value(), GFP_KERNEL)?;
    }
    Ok(vec)
}

impl Cpus {
    pub(crate) fn new(
        machine: Machine,
        gic: HostGic,
        timer_irqs: TimerIrqs,
        counter_frequency: Frequency,
    ) -> Result<impl PinInit<Self, Error>> {
        let count = kernel::cpu::nr_cpu_ids() as usize;
        let vmid_words = (1usize << machine.capabilities.vmid_bits) / 64;
        let id_registers = KBox::new(machine.id_registers(HostFacts::default()), GFP_KERNEL)?;
        let vmid_shared = VmidShared {
            generation: Atomic::new(0),
            active: filled(count, || Atomic::new(0))?,
        };
        let vmids = Allocator::new(
            filled(vmid_words, || 0)?,
            filled(count, CpuState::default)?,
            &vmid_shared,
        )
        .map_err(|_| EINVAL)?;
        let features = machine.capabilities.features;
        let has = |feature| features.contains(feature);
        let available = ControlRegisters {
            fgt: has(Feature::Fgt),
            fgt2: has(Feature::Fgt2),
            hcx: has(Feature::Hcx),
            ras: has(Feature::Ras),
            pmu: has(Feature::PmuV3),
            mpam: VmFeatures::of(&*id_registers).contains(VmFeature::Mpam),
            cntpoff: VmFeatures::of(&*id_registers).contains(VmFeature::EcvPoff),
        };

        Ok(try_pin_init!(Self {
            machine,
            gic,
            timer_irqs,
            counter_frequency,
            id_registers,
            in_use: PerCpu::new()?,
            vmid_shared,
            vmids <- new_spinlock!(vmids, "kvm_vhe::Cpus::vmids"),
            exposures <- new_spinlock!(None, "kvm_vhe::Cpus::exposures"),
            vectors: filled(count, || Atomic::new(0))?,
            available,
            going_down: Atomic::new(0),
            deferred: Deferred::new()?,
        }? Error))
    }

    /// What is left to RCU is to go before the module does.
    pub(crate) fn deferred(&self) -> &Deferred {
        &self.deferred
    }

    /// What the hypervisor can do on these CPUs.
    pub(crate) fn capabilities(&self) -> &HostCapabilities {
        &self.machine.capabilities
    }

    /// The features of all of them.
    pub(crate) fn cpu_features(&self) -> &CpuFeatures {
        self.machine.system()
    }

    /// Whether VMs can have a vGIC: not without its interrupt at the host, nor on CPUs where all that a
    /// guest does with its CPU interface has to trap, which is not emulated.
    pub(crate) fn has_vgic(&self) -> bool {
        self.gic.maintenance().is_ok() && self.gic.interface().required_traps() == 0
    }

    /// The ID registers that VMs are made from.
    pub(crate) fn id_registers(&self) -> &HostIdRegs {
        &self.id_registers
    }

    /// ACTLR_EL1 and AMAIR_EL1, which implementations define.
    pub(crate) fn implementation_registers(&self) -> (u64, u64) {
        self.machine.implementation
    }

    /// The first address that is not user space's.
    pub(crate) fn user_address_limit(&self) -> u64 {
        self.machine.user_address_limit()
    }

    /// The width of physical addresses that the kernel uses.
    pub(crate) fn physical_bits(&self) -> u8 {
        kvm_host::machine::PHYSICAL_BITS
    }

    /// The frequency of the host's counter, and of all guests'.
    pub(crate) fn counter_frequency(&self) -> Frequency {
        self.counter_frequency
    }

    /// Proof that the kernel is at EL2 with VHE.
    pub(crate) fn host(&self) -> VheHost {
        self.machine.host
    }

    /// Whether stage 2 alone decides about caches.
    pub(crate) fn has_fwb(&self) -> bool {
        self.capabilities().features.contains(Feature::Fwb)
    }

    /// Who decides whether a guest's accesses are cached.
    pub(crate) fn cacheability(&self) -> Cacheability {
        if self.has_fwb() {
            Cacheability::Forced
        } else {
            Cacheability::Guest
        }
    }

    /// Whether SErrors have syndromes.
    pub(crate) fn has_ras(&self) -> bool {
        self.capabilities().features.contains(Feature::Ras)
    }

    /// Whether a VM can have pointer authentication.
    pub(crate) fn has_pauth(&self) -> bool {
        let supported = VcpuFeatures::supported(&Offer::CURRENT, &self.id_registers);

        supported & VcpuFeatures::PTRAUTH_ADDRESS != 0
    }

    /// The breakpoints and watchpoints of the CPUs.
    pub(crate) fn debug_resources(&self) -> DebugResources {
        self.machine.debug_resources()
    }

    /// How the host stands towards the attacks by speculation that guests ask about.
    pub(crate) fn mitigations(&self) -> Mitigations {
        let of = |exposure| match exposure {
            Exposure::Unaffected => Mitigation::Unaffected,
            Exposure::Mitigated => Mitigation::Mitigated,
            Exposure::Vulnerable => Mitigation::Vulnerable,
        };
        match *self.exposures.lock() {
            Some(worst) => Mitigations {
                spectre_v2: of(worst.v2),
                spectre_v4: of(worst.v4),
                spectre_bhb: of(worst.bhb),
            },
            None => Mitigations {
                spectre_v2: Mitigation::Vulnerable,
                spectre_v4: Mitigation::Vulnerable,
                spectre_bhb: Mitigation::Vulnerable,
            },
        }
    }

    /// Makes a vCPU's side of the CPU.
    pub(crate) fn new_vcpu(&self) -> Result<KBox<VcpuCpu>> {
        KBox::init(
            VcpuCpu::init(self.host(), self.available),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Whether the current CPU is in use. It is not once the system is on its way down.
    pub(crate) fn current_in_use(&self) -> bool {
        with_preemption_off(|cpu| self.in_use.this(cpu).load(Relaxed))
    }

    /// Whether the system goes down.
    #[inline(always)]
    pub(crate) fn going_down(&self) -> bool {
        relaxed::load(&self.going_down) != 0
    }

    /// The vectors that lead out of a guest on this CPU.
    pub(crate) fn vectors(&self, cpu: &PinnedCpu) -> Vectors {
        let raw = self
            .vectors
            .get(cpu.id().as_u32() as usize)
            .map_or(0, relaxed::load);

        Vectors::from_raw(raw).unwrap_or_else(|| Vectors::new(ExitHardening::BhbLoop(u8::MAX)))
    }

    /// Loads a VM's VMID on the current CPU. [`None`] if the CPU is not in use.
    pub(crate) fn load_vmid(&self, cpu: &PinnedCpu, vmid: &Atomic<u64>) -> Option<Vmid> {
        if !self.in_use.this(cpu).load(Relaxed) {
            return None;
        }
        let number = cpu.id().as_u32() as usize;
        if let Some(vmid) = Vmid::from_raw(vmid.load(Relaxed)) {
            if vmid::try_load(&self.vmid_shared, number, vmid) {
                return Some(vmid);
            }
        }
        let mut vmids = self.vmids.lock();
        let old = Vmid::from_raw(vmid.load(Relaxed));
        let loaded = vmids.load(&self.vmid_shared, number, old)?;
        vmid.store(loaded.vmid.into_raw(), Relaxed);
        // Before a walk under a VMID that is new: who changes the VM's tables and has not seen it
        // yet invalidates another, so the walk is to find what they wrote. Neither a lock nor an ISB
        // orders walks.
        publish();
        if loaded.invalidate {
            reset_guest_translation(self.machine.host, cpu);
        }
        Some(loaded.vmid)
    }

    /// The VM is not loaded on the current CPU any more.
    pub(crate) fn unload_vmid(&self, cpu: &PinnedCpu, vmid: &Atomic<u64>) {
        if let Some(vmid) = Vmid::from_raw(vmid.load(Relaxed)) {
            vmid::unload(&self.vmid_shared, cpu.id().as_u32() as usize, vmid);
        }
    }

    /// Leaves nothing in the CPU of what it had before it was in use, or while it was powered down.
    fn reset(&self, cpu: &PinnedCpu) {
        reset_guest_translation(self.machine.host, cpu);
        profiling::exclude_guests(self.machine.host, cpu);
        self.gic.reset(cpu);
    }

    fn take(&self, cpu: &PinnedCpu) {
        self.reset(cpu);
        self.gic.enable(cpu);
        self.timer_irqs.enable(cpu);
        self.in_use.this(cpu).store(true, Relaxed);
    }

    /// Leaves nothing of a VM in the CPU. A CPU may be told to go down twice, by the system's
    /// shutdown and then by hotplug; it is done twice, since a task may have run in between.
    fn leave(&self, cpu: &PinnedCpu) {
        self.in_use.this(cpu).store(false, Relaxed);
        self.gic.disable(cpu);
        self.timer_irqs.disable(cpu);
        reset_guest_translation(self.machine.host, cpu);
    }

    /// Finds out what the CPU needs against speculation.
    fn look_at(&self, cpu: &PinnedCpu) {
        let (mut exit, mut exposures) = harden(&hardening_inputs(cpu));
        // The kernel has looked at this CPU before: that is how it came online.
        if let Some(kernel) = kernel_exposures() {
            exit = as_kernel_says(exit, &kernel);
            exposures = kernel;
        }
        let mut worst = self.exposures.lock();

        *worst = Some(match *worst {
            Some(worst) => worst.merge(exposures),
            None => exposures,
        });
        if let Some(vectors) = self.vectors.get(cpu.id().as_u32() as usize) {
            relaxed::store(vectors, Vectors::new(exit).into_raw());
        }
    }
}

impl CpuCallbacks for Cpus {
    fn online(&self, cpu: &PinnedCpu) -> Result {
        self.machine.check_cpu(cpu).map_err(|mismatch| {
            pr_err!(
                "CPU {} cannot be used for VMs, which may run on any: {}. Take it offline to load \
                 the module, or unload the module to use it\n",
                cpu.id().as_u32(),
                core::format_args!("{mismatch}")
            );
            ENODEV
        })?;
        self.look_at(cpu);
        self.take(cpu);
        Ok(())
    }

    fn offline(&self, cpu: &PinnedCpu) {
        self.leave(cpu);
    }
}

impl SyscoreCallbacks for Cpus {
    fn suspend(&self, cpu: &PinnedCpu) {
        self.leave(cpu);
    }

    fn resume(&self, cpu: &PinnedCpu) {
        self.take(cpu);
    }

    fn shutdown(&self, cpu: &PinnedCpu) {
        // A vCPU that this interrupts, loaded as it is, finds this before it enters its guest.
        relaxed::store(&self.going_down, 1);
        self.leave(cpu);
    }
}

/// A CPU that idles so deeply that it is powered down comes back with VTTBR_EL2 and the rest of the
/// EL1&0 regime UNKNOWN, and so are the list registers. The interrupts that are enabled are those of
/// before.
impl CpuPmCallbacks for Cpus {
    /// Nothing of a VM is in an idle CPU: its idle task got it from the one that ran the VM, through
    /// the scheduler. And it stays in use.
    fn power_down(&self, _cpu: &PinnedCpu) {}

    /// Suspend and CPU hotplug power CPUs down, too, after they were taken out of use.
    fn power_up(&self, cpu: &PinnedCpu) {
        if self.in_use.this(cpu).load(Relaxed) {
            self.reset(cpu);
        }
    }
}
