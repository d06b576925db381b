// SPDX-License-Identifier: GPL-2.0

//! What machine this is.

use crate::{
    pinned::{
        with_preemption_off,
        PinnedCpu, //
    },
    sysreg::mrs,
};
use core::marker::PhantomData;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_core::{
    cpu::{
        check_host,
        CpuFeatures,
        HostCapabilities,
        HostState,
        Mismatch,
        ReadIdRegister,
        Refusal, //
    },
    sysreg::SysReg,
};

/// Proof that this kernel runs at EL2 with VHE, on all CPUs: a kernel runs all of them alike.
///
/// What executes instructions that exist at EL2 only takes one of these.
#[derive(Clone, Copy)]
pub struct VheHost(());

/// The machine, as the CPU that loaded the module sees it.
pub struct Machine {
    /// Proof that the kernel is where the module needs it.
    pub host: VheHost,
    /// What the hypervisor can do here.
    pub capabilities: HostCapabilities,
    reference: CpuFeatures,
}

impl Machine {
    /// Looks at the current CPU.
    ///
    /// # Errors
    ///
    /// Why the module cannot work on this machine.
    pub fn probe() -> Result<Self, Refusal> {
        let (reference, state) = with_preemption_off(|cpu| {
            let state = host_state(cpu);
            (
                CpuFeatures::read(&ThisCpu::new(cpu), state.current_el),
                state,
            )
        });

        Ok(Self {
            capabilities: check_host(&reference, &state)?,
            host: VheHost(()),
            reference,
        })
    }

    /// Compares a CPU with the one that was probed, in what the hypervisor relies on.
    ///
    /// # Errors
    ///
    /// The first difference.
    pub fn check_cpu(&self, cpu: &PinnedCpu) -> Result<(), Mismatch> {
        let features = CpuFeatures::read(&ThisCpu::new(cpu), host_state(cpu).current_el);

        self.reference.compatible(&features)
    }
}

/// How the kernel runs on this CPU.
fn host_state(_cpu: &PinnedCpu) -> HostState {
    /// CurrentEL.EL and HCR_EL2.E2H. Arm ARM DDI 0487, "CurrentEL", "HCR_EL2".
    const CURRENT_EL_SHIFT: u32 = 2;
    const E2H: u64 = 1 << 34;

    // SAFETY: CurrentEL can be read at EL1 and EL2.
    let current_el = unsafe { mrs!(SysReg::of::<3, 0, 4, 2, 2>()) } >> CURRENT_EL_SHIFT & 3;

    HostState {
        current_el: current_el as u8,
        // SAFETY: At EL2 HCR_EL2 can be read.
        e2h: current_el == 2 && unsafe { mrs!(SysReg::HCR_EL2) } & E2H != 0,
        page_size: PAGE_SIZE,
    }
}

/// The ID registers of the CPU that the code is bound to.
struct ThisCpu<'a>(PhantomData<&'a PinnedCpu>);

impl<'a> ThisCpu<'a> {
    fn new(_cpu: &'a PinnedCpu) -> Self {
        Self(PhantomData)
    }
}

/// The match of [`ThisCpu::read`]: the registers named are read, any other is a bug of the caller.
macro_rules! read_one_of {
    ($wanted:expr; $($reg:ident)*) => {
        match $wanted {
            $(
                // SAFETY: As at the place of use.
                SysReg::$reg => unsafe { mrs!(SysReg::$reg) },
            )*
            other => {
                kernel::pr_warn_once!("{:?} is not read when a machine is probed\n", other);
                0
            }
        }
    };
}

impl ReadIdRegister for ThisCpu<'_> {
    fn read(&self, reg: SysReg) -> u64 {
        // SAFETY: The feature ID registers, including those that an implementation does not define,
        // and CTR_EL0 can be read at EL1 and EL2. The two of the GIC are asked for only where they
        // exist and at EL2; see `ReadIdRegister`.
        read_one_of!(reg;
            ID_AA64PFR0_EL1 ID_AA64PFR1_EL1 ID_AA64PFR2_EL1 ID_AA64ZFR0_EL1 ID_AA64SMFR0_EL1
            ID_AA64DFR0_EL1 ID_AA64DFR1_EL1
            ID_AA64ISAR0_EL1 ID_AA64ISAR1_EL1 ID_AA64ISAR2_EL1 ID_AA64ISAR3_EL1
            ID_AA64MMFR0_EL1 ID_AA64MMFR1_EL1 ID_AA64MMFR2_EL1 ID_AA64MMFR3_EL1 ID_AA64MMFR4_EL1
            CTR_EL0 ICC_SRE_EL2 ICH_VTR_EL2
        )
    }
}
