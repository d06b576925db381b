// SPDX-License-Identifier: GPL-2.0

//! A vCPU in KVM_RUN, as the handlers of its exits have it.

use crate::{
    memory::Reserve,
    timer::Timers,
    vcpu::Vcpu,
    vgic::Gic,
    vm::{
        Frozen,
        Vm, //
    },
};
use kvm_core::{
    context::Context,
    esr::{
        Esr,
        SError, //
    },
    firmware::{
        pv_time::StolenTimeIpa,
        Outcome as Call, //
    },
    guest_debug::{
        GuestDebug,
        SoftwareStep, //
    },
    halt_poll::HaltPoll,
    inject::{
        Exception,
        Sctlr2El1, //
    },
    mmio::PendingMmio,
    pstate::EntryFeatures,
    register::{
        Feature,
        Reg, //
    },
    setway::SetWay,
    vm_idreg::CacheRegs, //
};
use kvm_host::{
    neon::FpSection,
    vcpu::VcpuCpu, //
};

/// What follows an exit with interrupts off.
pub(crate) enum Fast {
    /// It is done with: enter the guest.
    Guest,
    /// It was an interrupt for the host.
    Interrupt,
    /// `Run::slow()` goes on.
    Slow,
}

/// What follows an exit.
pub(crate) enum Flow {
    /// Enter the guest.
    Guest,
    /// Return to user space, which finds the reason in `struct kvm_run`.
    User,
}

/// What `Run::fast()` leaves to `Run::slow()`.
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
    /// The guest uses FP/SIMD, which this thread cannot now.
    NoFp,
}

/// A vCPU in KVM_RUN.
pub(crate) struct Run<'a> {
    pub(crate) vm: &'a Vm,
    pub(crate) frozen: &'a Frozen,
    pub(crate) vcpu: &'a Vcpu,
    pub(crate) cpu: &'a VcpuCpu,
    pub(crate) fp: &'a FpSection<'a>,
    pub(crate) mmio: &'a mut PendingMmio,
    pub(crate) abort_far: &'a mut Option<u64>,
    pub(crate) set_way: &'a mut SetWay,
    /// Where a flush that a signal interrupted goes on.
    pub(crate) flush: &'a mut Option<u64>,
    pub(crate) debug: GuestDebug,
    pub(crate) step: &'a mut SoftwareStep,
    pub(crate) stolen_time: Option<StolenTimeIpa>,
    pub(crate) stolen_start: &'a mut u64,
    pub(crate) cache: &'a CacheRegs,
    pub(crate) entry: EntryFeatures,
    pub(crate) deferred: Deferred,
    pub(crate) reserve: &'a mut Reserve,
    pub(crate) halt_poll: &'a mut HaltPoll,
    pub(crate) timers: Timers<'a>,
    /// Its interrupts; [`None`] if the VM has no interrupt controller in the kernel.
    pub(crate) gic: Option<&'a Gic<'a>>,
}

impl Run<'_> {
    /// Leaves an exit to `Run::slow()`.
    pub(crate) fn defer(&mut self, deferred: Deferred) -> Fast {
        self.deferred = deferred;
        Fast::Slow
    }

    /// The vCPU's registers for emulation.
    #[inline(always)]
    pub(crate) fn cpu_context(&self) -> impl Context + '_ {
        self.cpu
    }

    /// Steps over the trapped instruction.
    #[inline(always)]
    pub(crate) fn advance(&self, esr: Esr) {
        self.cpu_context().advance(esr);
    }

    /// SCTLR2_EL1 as far as it has an effect.
    fn sctlr2(&self) -> Sctlr2El1 {
        Sctlr2El1::from_raw(if self.frozen.registers.contains(Feature::SCTLR2) {
            self.cpu.read(Reg::SCTLR2_EL1)
        } else {
            0
        })
    }

    /// Makes the guest take an exception at its current instruction.
    pub(crate) fn inject(&self, exception: Exception) {
        // EL1 is AArch64 in all VMs, so there is no error.
        let _ = exception.take(&mut &*self.cpu, self.sctlr2(), self.entry);
    }

    /// Whether there is an interrupt for the guest, though it may mask it.
    pub(crate) fn has_interrupt(&self) -> bool {
        self.vcpu.has_line()
            || self
                .gic
                .is_some_and(|gic| gic.has_deliverable(|| self.cpu.is_loaded()))
    }

    /// Whether a WFI does not wait.
    pub(crate) fn has_wake_up(&self) -> bool {
        if self.vcpu.has_requests() || self.cpu.virtual_serror().is_some() {
            return true;
        }
        if let Some(gic) = self.gic {
            // In the inner loop some may be in list registers.
            gic.fold_here();
        }
        self.timers.sync_asleep() || self.has_interrupt()
    }
}
