// SPDX-License-Identifier: GPL-2.0

//! A vCPU's virtual CPU interface: in memory, and in the CPU that it is loaded on.

use crate::{
    irq_routes::Routes,
    vgic::{
        cpu_lpis::{
            CpuLpis,
            Slots, //
        },
        vm::{
            Member,
            Version,
            Vgic, //
        },
    },
};
use core::cell::{
    Cell,
    RefCell, //
};
use kvm_core::mmio::{
    Direction,
    MmioAccess, //
};
use kvm_core::vgic::{
    cpuregs::{
        CpuInterface,
        IchVmcr, //
    },
    icc::Trapped,
    interrupts::{
        Groups,
        Interrupts, //
    },
    intid::IntId,
    lr::ListRegister,
    queue::{
        self,
        IchHcrEl2,
        Queue,
        MAX_LIST_REGISTERS, //
    },
    sgi::Sgi,
    v2,
};
use kvm_host::{
    ich::{
        Group,
        Ich,
        VirtualInterface, //
    },
    irqs::{
        with_irqs_off,
        IrqsOff, //
    },
    pinned::PinnedCpu, //
};

/// The list registers of the current CPU.
struct Hardware<'a>(VirtualInterface, Ich<'a>);

impl queue::VirtualInterface for Hardware<'_> {
    #[inline]
    fn list_registers(&self) -> usize {
        self.0.list_registers()
    }

    #[inline]
    fn list_register(&self, n: usize) -> ListRegister {
        ListRegister::from_raw(
            self.0
                .list_register(n)
                .map_or(0, |n| self.1.list_register(n)),
        )
    }

    #[inline]
    fn set_list_register(&self, n: usize, value: ListRegister) {
        if let Some(n) = self.0.list_register(n) {
            self.1.set_list_register(n, value.into_raw());
        }
    }

    #[inline]
    fn hcr(&self) -> IchHcrEl2 {
        IchHcrEl2::from_raw(self.1.hcr())
    }

    #[inline]
    fn set_hcr(&self, value: IchHcrEl2) {
        self.1.set_hcr(value.into_raw());
    }

    fn eoi_mode(&self) -> bool {
        IchVmcr::from_raw(self.1.vmcr()).veoim()
    }
}

/// ICH_HCR_EL2 of a VM that has a GIC, while there is nothing to wait for.
///
/// Writes of ICC_DIR_EL1 trap: the interrupt may be in no list register, or another vCPU's. Guests that
/// use it are few, for EOImode 0 is what those without a hypervisor of their own do with.
pub(crate) fn base_hcr(host: VirtualInterface) -> u64 {
    IchHcrEl2::from_raw(host.dir_trap())
        .with_en(true)
        .into_raw()
}

/// What a vCPU's thread has of its interrupts.
pub(crate) struct VgicCpu {
    /// The registers, while the vCPU is not loaded.
    pub(crate) interface: Cell<CpuInterface>,
    queue: RefCell<Queue>,
    /// The LPIs in list registers.
    lpis: RefCell<Slots>,
    /// The CPU interface of a GICv2, which has all of the above unused.
    pub(crate) v2: Option<RefCell<v2::cpu::CpuInterface>>,
}

impl VgicCpu {
    /// That of the vCPU with this index, after a reset.
    pub(crate) fn new(version: Version, index: usize, host: VirtualInterface) -> Self {
        Self {
            interface: Cell::new(CpuInterface::reset(host.vtr())),
            queue: RefCell::new(match version {
                Version::V2 => Queue::unused(index),
                Version::V3 => Queue::new(index, IchHcrEl2::from_raw(base_hcr(host))),
            }),
            lpis: RefCell::new([const { None }; MAX_LIST_REGISTERS]),
            v2: match version {
                Version::V2 => Some(RefCell::new(v2::cpu::CpuInterface::new(index))),
                Version::V3 => None,
            },
        }
    }
}

/// A vCPU's interrupts while it is in KVM_RUN. By its own thread only.
pub(crate) struct Gic<'a> {
    pub(crate) vgic: &'a Vgic,
    pub(crate) member: &'a Member,
    cpu: &'a VgicCpu,
    host: VirtualInterface,
    routes: &'a Routes,
}

impl<'a> Gic<'a> {
    /// That of a vCPU; [`None`] if it is not one of the GIC's.
    pub(crate) fn new(
        vgic: &'a Vgic,
        cpu: &'a VgicCpu,
        host: VirtualInterface,
        routes: &'a Routes,
    ) -> Option<Self> {
        let member = vgic.member(cpu.queue.borrow().vcpu())?;

        Some(Self {
            vgic,
            member,
            cpu,
            host,
            routes,
        })
    }

    /// Calls `f` with its queue and its LPIs.
    fn with_queue<R>(&self, f: impl FnOnce(&mut Queue, &mut CpuLpis<'_>) -> R) -> R {
        let mut queue = self.cpu.queue.borrow_mut();
        let mut lpis = CpuLpis {
            vgic: self.vgic,
            vcpu: queue.vcpu(),
            slots: &mut self.cpu.lpis.borrow_mut(),
        };

        f(&mut queue, &mut lpis)
    }

    /// Whether it is one of a GICv2, without system registers.
    #[inline]
    pub(crate) fn is_v2(&self) -> bool {
        self.cpu.v2.is_some()
    }

    /// The vCPU's index.
    pub(crate) fn index(&self) -> usize {
        self.cpu.queue.borrow().vcpu()
    }

    /// The vCPU comes to this CPU.
    pub(crate) fn load(&self, cpu: &PinnedCpu) {
        if self.cpu.v2.is_some() {
            return;
        }
        let ich = self.host.on(cpu);
        let interface = self.cpu.interface.get();

        ich.set_active_priorities(Group::Zero, interface.ap0r);
        ich.set_active_priorities(Group::One, interface.ap1r);
        ich.set_vmcr(interface.vmcr.into_raw());
    }

    /// The vCPU leaves this CPU. Nothing is in list registers.
    pub(crate) fn put(&self, cpu: &PinnedCpu) {
        if self.cpu.v2.is_none() {
            self.cpu.interface.set(self.current(cpu));
        }
    }

    /// Whether the list registers are to be filled before the guest is entered. Of a GICv2, always:
    /// it is to be asked for its [`signals`](Self::signals).
    #[inline(always)]
    pub(crate) fn is_stale(&self) -> bool {
        self.cpu.queue.borrow().is_stale(&self.member.candidates)
    }

    /// Whether others have told of interrupts that the vCPU has not looked at.
    #[inline(always)]
    pub(crate) fn has_news(&self) -> bool {
        self.member.candidates.any()
    }

    /// Fills the list registers of this CPU, which the vCPU is loaded on. `host_changed` makes the
    /// host's interrupts that some stand for active or not, as their states say. Returns whether
    /// the guest may be entered; if not, it is to be done anew.
    #[inline(never)]
    pub(crate) fn refill(&self, irqs: &IrqsOff, host_changed: impl FnOnce()) -> bool {
        self.fold(irqs);
        if self.member.take_host_changes() != 0 {
            host_changed();
        }
        self.with_queue(|queue, lpis| {
            queue.fill(
                self.vgic,
                &self.member.candidates,
                lpis,
                &Hardware(self.host, self.host.on(irqs.cpu())),
            )
        })
    }

    /// Returns what the CPU interface of a GICv2 signals; [`None`] if it is none, or if that is what it
    /// was.
    pub(crate) fn signals(&self) -> Option<v2::cpu::Signals> {
        let mut v2 = self.cpu.v2.as_ref()?.borrow_mut();
        let candidates = &self.member.candidates;

        v2.is_stale(candidates)
            .then(|| v2.signals(self.vgic, candidates))
    }

    /// Does what the guest accesses in the frames of a GICv2's CPU interface. Returns a load's data;
    /// [`None`] if it is not one. In the inner loop.
    pub(crate) fn access_v2(&self, offset: u32, access: &MmioAccess) -> Option<[u8; 8]> {
        let mut v2 = self.cpu.v2.as_ref()?.borrow_mut();

        Some(match access.direction {
            Direction::Read(_) => {
                let candidates = &self.member.candidates;
                let value = v2.read(self.vgic, candidates, offset, access.size);
                u64::from(value).to_le_bytes()
            }
            Direction::Write(data) => {
                let value = u64::from_le_bytes(data) as u32;
                let ended = v2.write(self.vgic, offset, access.size, value);
                drop(v2);
                if let Some(intid) = ended {
                    with_irqs_off(|irqs| self.ended(irqs, intid));
                }
                data
            }
        })
    }

    /// Empties the list registers of this CPU, which the vCPU is loaded on, into the interrupts. To be
    /// done before the vCPU's thread looks at its own, and before it has interrupts on: that also takes
    /// back the causes of a maintenance interrupt.
    #[inline(always)]
    pub(crate) fn fold(&self, irqs: &IrqsOff) {
        if self.cpu.queue.borrow().is_in_use() {
            self.fold_used(irqs);
        }
    }

    #[inline(never)]
    fn fold_used(&self, irqs: &IrqsOff) {
        self.with_queue(|queue, lpis| {
            queue.fold(
                self.vgic,
                lpis,
                &Hardware(self.host, self.host.on(irqs.cpu())),
                |intid| self.ended(irqs, intid),
            );
        });
        self.member.folded();
    }

    /// A level-sensitive interrupt has been deactivated by the guest.
    fn ended(&self, irqs: &IrqsOff, intid: IntId) {
        self.routes.ended(irqs, intid, || {
            // It is one that there is.
            let _ = self.vgic.set_spi(intid, false);
        });
    }

    /// Whether there is an interrupt that the guest would take if it did not mask interrupts by
    /// PSTATE, which ends a WFI. `is_loaded` says whether the vCPU is loaded on the current CPU.
    pub(crate) fn has_deliverable(&self, is_loaded: impl FnOnce() -> bool) -> bool {
        if let Some(v2) = &self.cpu.v2 {
            let candidates = &self.member.candidates;
            return v2.borrow_mut().has_signal(self.vgic, candidates);
        }
        let vmcr = with_irqs_off(|irqs| {
            if is_loaded() {
                self.fold(irqs);
                IchVmcr::from_raw(self.host.on(irqs.cpu()).vmcr())
            } else {
                self.cpu.interface.get().vmcr
            }
        });

        self.with_queue(|queue, lpis| {
            queue.has_deliverable(
                self.vgic,
                &self.member.candidates,
                lpis,
                vmcr.vpmr().get() as u8,
                Groups {
                    group0: vmcr.veng0(),
                    group1: vmcr.veng1(),
                },
            )
        })
    }

    /// Empties the list registers, for the vCPU's thread to look at its interrupts in the inner loop.
    pub(crate) fn fold_here(&self) {
        with_irqs_off(|irqs| self.fold(irqs));
    }

    /// The guest reads a register that traps; [`None`] if it cannot be read. In the inner loop.
    pub(crate) fn read(&self, register: Trapped) -> Option<u64> {
        let vtr = self.host.vtr();

        if !register.allows(true) {
            return None;
        }
        let interface = with_irqs_off(|irqs| self.current(irqs.cpu()));
        match register {
            Trapped::Rpr => Some(interface.running_priority(vtr).into()),
            Trapped::Shared(register) => interface.get(register, vtr).ok(),
            Trapped::Sgi(_) | Trapped::Dir => None,
        }
    }

    /// The guest writes a register that traps; [`None`] if it cannot be written. In the inner loop.
    #[inline]
    pub(crate) fn write(&self, register: Trapped, value: u64) -> Option<()> {
        match register {
            Trapped::Sgi(register) => Sgi::from_raw(value).send(register, self.index(), self.vgic),
            Trapped::Dir => with_irqs_off(|irqs| self.deactivate(irqs, value)),
            Trapped::Shared(register) => with_irqs_off(|irqs| {
                let mut interface = self.current(irqs.cpu());
                interface.guest_write(register, value, self.host.vtr());
                self.host.on(irqs.cpu()).set_vmcr(interface.vmcr.into_raw());
            }),
            Trapped::Rpr => return None,
        }
        Some(())
    }

    /// The registers, as the CPU that the vCPU is loaded on has them.
    fn current(&self, cpu: &PinnedCpu) -> CpuInterface {
        let ich = self.host.on(cpu);

        CpuInterface {
            vmcr: IchVmcr::from_raw(ich.vmcr()),
            ap0r: ich.active_priorities(Group::Zero),
            ap1r: ich.active_priorities(Group::One),
            ..self.cpu.interface.get()
        }
    }

    /// The guest writes ICC_DIR_EL1.
    fn deactivate(&self, irqs: &IrqsOff, value: u64) {
        let vmcr = IchVmcr::from_raw(self.host.on(irqs.cpu()).vmcr());
        // Writes with EOImode 0 are UNPREDICTABLE, and an LPI has no active state.
        let Some(intid) = IntId::new(value as u32).filter(|_| vmcr.veoim()) else {
            return;
        };

        let vcpu = self.index();

        self.fold(irqs);
        // Another vCPU may have taken it, and have it in a list register still.
        self.vgic.settle(Some(vcpu), vcpu, intid);
        let change = self.vgic.update(vcpu, intid, |irq| irq.set_active(false));
        if change.is_some_and(|change| change.old.active() && !change.new.edge()) {
            self.ended(irqs, intid);
        }
    }
}
