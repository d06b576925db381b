// SPDX-License-Identifier: GPL-2.0

//! Putting a vCPU's registers and controls into the CPU, and taking them out.

use crate::{
    bindings,
    el2::*,
    guest_timer,
    guest_tlb::Stage2Registers,
    irqs::with_irqs_off,
    pinned::PinnedCpu,
    sysreg::{
        isb,
        mrs,
        msr, //
    },
    vcpu::{
        cpu::VcpuCpu,
        vectors::Vectors, //
    },
};
use kvm_core::{
    register::{
        Feature,
        Reg, //
    },
    sysreg::SysReg, //
};

/// MDCR_EL2.HPMN: how the event counters are divided, which is the host's business.
const MDCR_HPMN: u64 = 0x1f;

/// PMUSERENR_EL0.EN, SW, CR and ER. The host never sets SW.
const PMUSERENR_ALL: u64 = 0xf;

/// MDCR_EL2.TDE: debug exceptions are taken to EL2.
const MDCR_TDE: u64 = 1 << 8;

impl VcpuCpu {
    /// Puts the vCPU's deferred registers and its controls into the CPU.
    ///
    /// # Safety
    ///
    /// No vCPU is loaded on this CPU, and [`VcpuCpu::put`] is called before the thread leaves it, and
    /// before what `stage2` borrows goes.
    pub(crate) unsafe fn load(
        &self,
        stage2: Stage2Registers<'_>,
        vectors: Vectors,
        cpu: &PinnedCpu,
    ) {
        let controls = self.controls.get();

        // SAFETY: The host is at EL2 with VHE (`vhe`), where all of these exist; what of them is
        // optional is guarded by what the CPUs have.
        unsafe {
            self.switch.host_hcr.set(mrs!(SysReg::HCR_EL2));
            self.switch.host_vbar.set(mrs!(VBAR_EL2));
            self.host.mdcr.set(mrs!(MDCR_EL2));
            let tde = if self.guest_debug.get().is_enabled() {
                MDCR_TDE
            } else {
                0
            };
            let mdcr = self.host.mdcr.get() & MDCR_HPMN | controls.mdcr & !MDCR_HPMN | tde;
            msr!(MDCR_EL2, mdcr);
            self.set_debug_mdcr(mdcr);
            if self.available.hcx {
                self.host.hcrx.set(mrs!(HCRX_EL2));
                msr!(HCRX_EL2, controls.hcrx);
            }
            if self.available.fgt {
                msr!(HFGRTR_EL2, controls.hfg);
                msr!(HFGWTR_EL2, self.start_tracking(controls.hfg));
                msr!(HFGITR_EL2, controls.hfgitr);
                msr!(HDFGRTR_EL2, controls.hdfg);
                msr!(HDFGWTR_EL2, controls.hdfg);
            }
            if self.available.fgt2 {
                msr!(HFGRTR2_EL2, 0);
                msr!(HFGWTR2_EL2, 0);
                msr!(HFGITR2_EL2, controls.hfgitr2);
                msr!(HDFGRTR2_EL2, 0);
                msr!(HDFGWTR2_EL2, 0);
            }
            if self.available.pmu {
                // What EL0 does to the monitors is to trap to EL2, not to the guest's EL1.
                with_irqs_off(|_| {
                    self.host.pmuserenr.set(mrs!(PMUSERENR_EL0));
                    msr!(PMUSERENR_EL0, PMUSERENR_ALL);
                });
            }
            msr!(HSTR_EL2, kvm_core::traps::HSTR_EL2);
            if self.available.mpam {
                // MPAM0_EL1 is what the host's user space is partitioned by.
                self.host.mpam2.set(mrs!(MPAM2_EL2));
                msr!(
                    MPAM2_EL2,
                    self.host.mpam2.get() & !MPAM2_EN_MPAMSM | MPAM2_TRAPS
                );
                if mrs!(MPAMIDR_EL1) & MPAMIDR_HAS_HCR != 0 {
                    self.host.mpamhcr.set(mrs!(MPAMHCR_EL2));
                    msr!(MPAMHCR_EL2, self.host.mpamhcr.get() | MPAMHCR_TRAP_MPAMIDR);
                }
            }
            guest_timer::load(&controls.offsets, self.available.cntpoff);
            msr!(VPIDR_EL2, controls.vpidr.unwrap_or(mrs!(SysReg::MIDR_EL1)));
            msr!(VMPIDR_EL2, self.switch.regs.file().get(Reg::MPIDR_EL1));
            self.host.icc_sre.set(mrs!(SysReg::ICC_SRE_EL2));
            msr!(
                SysReg::ICC_SRE_EL2,
                self.host.icc_sre.get() & !ICC_SRE_ENABLE
            );
            msr!(ICH_HCR_EL2, controls.ich_hcr);
        }
        self.trap_fp(true);
        self.switch.vbar.set(vectors.address());
        self.switch.bhb_loops.set(vectors.bhb_loops.into());
        self.switch.flags.set(
            u64::from(controls.features.contains(Feature::PAUTH_ADDRESS))
                << bindings::KVM_VHE_FLAG_PAUTH_BIT,
        );

        // SAFETY: The features are the VM's, which are the CPUs' at most; the rest is this
        // function's contract.
        unsafe { self.switch.regs.load(controls.features) };

        // The stage 1 registers are in place before a walk can use them with this stage 2: a CPU
        // with the erratum of speculative AT instructions may walk at any time.
        isb();
        // SAFETY: At EL2, as above; the tables are the VM's and stay while it is loaded.
        unsafe {
            msr!(SysReg::VTCR_EL2, stage2.vtcr);
            msr!(SysReg::VTTBR_EL2, stage2.vttbr);
        }
        isb();
        let _ = cpu;
    }

    /// Takes the vCPU's registers out of the CPU.
    pub(crate) fn put(&self, cpu: &PinnedCpu) {
        self.end_stay(cpu);
        // SAFETY: No more than a barrier, for PAR_EL1.
        unsafe { bindings::kvm_vhe_par_barrier() };
        self.switch.regs.put();
        self.end_tracking();
        // SAFETY: As above.
        unsafe { bindings::kvm_vhe_par_barrier() };
        // SAFETY: As in `load()`; the values are the host's own.
        unsafe {
            guest_timer::put();
            msr!(MDCR_EL2, self.host.mdcr.get());
            if self.available.hcx {
                msr!(HCRX_EL2, self.host.hcrx.get());
            }
            if self.available.pmu {
                with_irqs_off(|_| {
                    // The host lets its user space at the monitors, or not any more, by an
                    // interrupt: what that has written counts.
                    if mrs!(PMUSERENR_EL0) == PMUSERENR_ALL {
                        msr!(PMUSERENR_EL0, self.host.pmuserenr.get());
                    }
                });
            }
            if self.available.mpam {
                // The host may have changed its partition meanwhile.
                let traps = MPAM2_TRAPS | MPAM2_EN_MPAMSM;
                let host = self.host.mpam2.get();

                msr!(MPAM2_EL2, mrs!(MPAM2_EL2) & !traps | host & traps);
                if mrs!(MPAMIDR_EL1) & MPAMIDR_HAS_HCR != 0 {
                    msr!(MPAMHCR_EL2, self.host.mpamhcr.get());
                }
            }
            msr!(SysReg::ICC_SRE_EL2, self.host.icc_sre.get());
            msr!(ICH_HCR_EL2, 0);
            // No stage 2, so nothing walks the VM's tables from here on.
            msr!(SysReg::VTTBR_EL2, 0);
        }
        isb();
    }
}
