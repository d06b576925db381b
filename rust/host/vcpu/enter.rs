// SPDX-License-Identifier: GPL-2.0

//! Running the guest until its next exit.

use crate::{
    bindings,
    el2::*,
    guest_time::run_guest,
    irqs::IrqsOff,
    sysreg::{
        mrs,
        msr, //
    },
    vcpu::{
        cpu::VcpuCpu,
        exit::{
            Exit,
            ExitCode, //
        },
    },
};
use kvm_core::register::{
    Feature,
    Reg, //
};

impl VcpuCpu {
    /// Runs the guest until its next exit.
    ///
    /// # Safety
    ///
    /// The vCPU is loaded on this CPU.
    #[inline]
    pub(crate) unsafe fn enter(&self, irqs: &mut IrqsOff) -> Exit {
        let regs = &self.switch.regs;
        let poe = regs.loaded().contains(Feature::S1POE);
        let mut host_por = 0;

        if poe {
            // SAFETY: A VM with the feature runs on CPUs with it only. No access to user memory
            // happens before the host's value is back.
            unsafe {
                host_por = mrs!(POR_EL0);
                msr!(POR_EL0, regs.file().get(Reg::POR_EL0));
            }
        }
        let fpmr = regs.loaded().contains(Feature::FPMR);
        let mut host_fpmr = 0;
        if fpmr {
            // SAFETY: As above; the kernel does not use it.
            unsafe {
                host_fpmr = mrs!(FPMR);
                msr!(FPMR, regs.file().get(Reg::FPMR));
            }
        }
        if self.virtual_serror().is_some() && self.available.ras {
            // SAFETY: With FEAT_RAS the register exists.
            unsafe { msr!(VSESR_EL2, self.vsesr.get()) };
        }
        let debug = self.enter_debug(irqs.cpu());
        let pstate = self.switch.pstate.get();

        // SAFETY: The context is in the layout that the assembly expects, the vCPU is loaded, and
        // interrupts are off.
        let code = unsafe { run_guest(irqs, (&raw const self.switch).cast_mut().cast()) };

        if let Some(entered) = debug {
            self.leave_debug(&entered, irqs.cpu());
            if (code & 0xff) as u32 == bindings::KVM_VHE_CODE_SYNC {
                self.keep_step_state(pstate);
            }
        }
        if poe {
            // SAFETY: As above.
            unsafe {
                regs.file().set(Reg::POR_EL0, mrs!(POR_EL0));
                msr!(POR_EL0, host_por);
            }
        }
        if fpmr {
            // SAFETY: As above.
            unsafe {
                regs.file().set(Reg::FPMR, mrs!(FPMR));
                msr!(FPMR, host_fpmr);
            }
        }

        Exit {
            code: match (code & 0xff) as u32 {
                bindings::KVM_VHE_CODE_SYNC => ExitCode::Sync,
                bindings::KVM_VHE_CODE_SERROR => ExitCode::SError,
                bindings::KVM_VHE_CODE_ILLEGAL => ExitCode::Illegal,
                _ => ExitCode::Interrupt,
            },
            pending_serror: (code >> bindings::KVM_VHE_CODE_PENDING_SERROR_BIT & 1 != 0)
                .then(|| self.switch.disr.get()),
        }
    }
}
