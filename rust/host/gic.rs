// SPDX-License-Identifier: GPL-2.0

//! The CPUs' virtual CPU interfaces, from when a CPU comes into use until it goes out of it, and their
//! maintenance interrupt.

use crate::{
    el2::{
        CNTP_CTL_EL02,
        CNTV_CTL_EL02, //
    },
    firmware_irqs::GuestPpis,
    ich::VirtualInterface,
    machine::Machine,
    percpu_irq::{
        NotRequested,
        PercpuIrq,
        PercpuIrqHandler, //
    },
    pinned::PinnedCpu,
    sysreg::{
        isb,
        msr, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// ICH_HCR_EL2.En: there are virtual interrupts, and maintenance interrupts.
const HCR_EN: u64 = 1;

/// The maintenance interrupt: a guest was left because its list registers need a look.
///
/// Its line is up for as long as its cause lasts, and none lasts until here. What ICH_MISR_EL2 has:
///
/// - EOI: a list register's interrupt has ended that was to tell so.
/// - NP, LRENP: as ICH_HCR_EL2 asks for, which it does while there are more interrupts than list
///   registers.
/// - U, VGrp0E, VGrp0D, VGrp1E, VGrp1D: nothing asks for them.
///
/// So there is a list register in use or something asked for, which is what
/// `kvm_core::vgic::queue::Queue::is_in_use` says, and who leaves the guest then empties the list
/// registers and asks for nothing before interrupts are on: the tests of `kvm_core` assert both of
/// this after each step. The guest's own thread has interrupts off from before the guest is entered
/// until that, and fills no list register elsewhere; the exception that brings us here synchronizes
/// what it has written.
///
/// If a CPU has a cause all the same, nothing but taking it away lets the CPU go on. Its vCPU then
/// gets no interrupts until it is loaded the next time, which is at the latest when the host's
/// scheduler has had its turn.
struct Maintenance(VirtualInterface);

impl PercpuIrqHandler for Maintenance {
    fn handle(&self, cpu: &PinnedCpu) {
        let ich = self.0.on(cpu);

        let causes = ich.misr();
        if causes != 0 {
            kernel::pr_warn_once!("a maintenance interrupt has causes: {causes:#x}\n");
            ich.set_hcr(ich.hcr() & !HCR_EN);
            ich.synchronize();
        }
    }
}

/// The virtual CPU interfaces, and the interrupt that they have at the host.
pub struct HostGic {
    interface: VirtualInterface,
    maintenance: Result<PercpuIrq<Maintenance>, NotRequested>,
}

impl HostGic {
    /// Takes the maintenance interrupt, if it is to be had. It is enabled nowhere yet. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(machine: &Machine, ppis: &GuestPpis) -> Result<Self> {
        let interface = VirtualInterface::of(machine);
        let handler = Arc::new(Maintenance(interface), GFP_KERNEL)?;

        Ok(Self {
            interface,
            maintenance: ppis
                .maintenance
                .map_err(NotRequested::Missing)
                .and_then(|ppi| PercpuIrq::request(ppi, c"kvm_vhe vGIC maintenance", handler)),
        })
    }

    /// The registers of the virtual CPU interfaces.
    #[inline]
    pub fn interface(&self) -> VirtualInterface {
        self.interface
    }

    /// Whether there is a maintenance interrupt, without which a guest that has more interrupts than
    /// there are list registers would not get them all: so that VMs can have a vGIC.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn maintenance(&self) -> Result<(), NotRequested> {
        self.maintenance.as_ref().map(|_| ()).map_err(|why| *why)
    }

    /// A CPU comes into use, after a [`reset`](Self::reset).
    pub fn enable(&self, cpu: &PinnedCpu) {
        if let Ok(maintenance) = &self.maintenance {
            maintenance.enable(cpu);
        }
    }

    /// A CPU goes out of use. It may have done so already.
    pub fn disable(&self, cpu: &PinnedCpu) {
        self.reset(cpu);
        if let Ok(maintenance) = &self.maintenance {
            maintenance.disable(cpu);
        }
    }

    /// Leaves a CPU that has no vCPU with nothing that is a guest's interrupt or may become one. Its
    /// registers are UNKNOWN if it has been powered down; and firmware may have left timers running.
    pub fn reset(&self, cpu: &PinnedCpu) {
        self.interface.on(cpu).reset();
        // SAFETY: With VHE, of which an interface is a proof, these are the timers of EL1, which the
        // host does not use: its own are those of EL2.
        unsafe {
            msr!(CNTV_CTL_EL02, 0);
            msr!(CNTP_CTL_EL02, 0);
        }
        isb();
    }
}
