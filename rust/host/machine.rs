// SPDX-License-Identifier: GPL-2.0

//! What machine this is.

use crate::{
    bindings as bindings_own,
    debug_regs::DebugResources,
    pinned::{
        with_preemption_off,
        PinnedCpu, //
    },
    sysreg::mrs,
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_core::{
    cpu::{
        check_host,
        hardening::Midr,
        CpuFeatures,
        HostCapabilities,
        HostState,
        Mismatch,
        ReadIdRegister,
        Refusal, //
    },
    idreg::{
        IccSreEl2,
        IdAa64Pfr0El1, //
    },
    sysreg::SysReg,
    vm_idreg::{
        HostFacts,
        HostIdRegs, //
    },
};

/// Proof that this kernel runs at EL2 with VHE, on all CPUs: a kernel runs all of them alike.
///
/// What executes instructions that exist at EL2 only takes one of these.
#[derive(Clone, Copy)]
pub struct VheHost(());

/// The machine, as the kernel sees it and the module may use it.
pub struct Machine {
    /// Proof that the kernel is where the module needs it.
    pub host: VheHost,
    /// What the hypervisor can do here.
    pub capabilities: HostCapabilities,
    system: CpuFeatures,
    midr: Midr,
    /// ACTLR_EL1 and AMAIR_EL1: what implementations define, for guests to see.
    pub implementation: (u64, u64),
}

impl Machine {
    /// Looks at the machine.
    ///
    /// # Errors
    ///
    /// Why the module cannot work on it.
    pub fn probe() -> Result<Self, Refusal> {
        let (system, midr, state, implementation) = with_preemption_off(|cpu| {
            let state = host_state(cpu);
            let source = SystemWide(ThisCpu::new(cpu));
            // SAFETY: ACTLR_EL1 and AMAIR_EL1 can be read at EL1 and EL2.
            let implementation = unsafe {
                (
                    mrs!(SysReg::of::<3, 0, 1, 0, 1>()),
                    mrs!(SysReg::of::<3, 0, 10, 3, 0>()),
                )
            };

            (
                CpuFeatures::read(&source, state.current_el),
                Midr(source.read(SysReg::MIDR_EL1)),
                state,
                implementation,
            )
        });

        Ok(Self {
            capabilities: check_host(&system, &state)?,
            host: VheHost(()),
            system,
            midr,
            implementation,
        })
    }

    /// What all CPUs have.
    pub fn system(&self) -> &CpuFeatures {
        &self.system
    }

    /// Which core the CPU is that looked at the machine.
    pub fn midr(&self) -> Midr {
        self.midr
    }

    /// The breakpoints and watchpoints that all CPUs have.
    pub fn debug_resources(&self) -> DebugResources {
        DebugResources::of_system(self.system.dfr0)
    }

    /// Reads the ID registers that VMs are made from.
    pub fn id_registers(&self, facts: HostFacts) -> HostIdRegs {
        with_preemption_off(|cpu| HostIdRegs::read(&SystemWide(ThisCpu::new(cpu)), facts))
    }

    /// The first address that is not user space's, TASK_SIZE_MAX.
    pub fn user_address_limit(&self) -> u64 {
        // SAFETY: A constant of the kernel.
        unsafe { bindings_own::kvm_vhe_task_size_max() }
    }

    /// Checks that a CPU has what the hypervisor relies on.
    ///
    /// # Errors
    ///
    /// The first thing that it lacks.
    pub fn check_cpu(&self, cpu: &PinnedCpu) -> Result<(), Mismatch> {
        let source = ThisCpu::new(cpu);

        self.system
            .compatible(&CpuFeatures::read(&source, source.current_el))
    }
}

/// How the kernel runs on this CPU.
fn host_state(cpu: &PinnedCpu) -> HostState {
    /// HCR_EL2.E2H. Arm ARM DDI 0487, "HCR_EL2".
    const E2H: u64 = 1 << 34;

    let current_el = current_el(cpu);

    HostState {
        current_el,
        // SAFETY: At EL2 HCR_EL2 can be read.
        e2h: current_el == 2 && unsafe { mrs!(SysReg::HCR_EL2) } & E2H != 0,
        page_size: PAGE_SIZE,
    }
}

/// The Exception level of this CPU: CurrentEL.EL. Arm ARM DDI 0487, "CurrentEL".
fn current_el(_cpu: &PinnedCpu) -> u8 {
    // SAFETY: CurrentEL can be read at EL1 and EL2.
    let value = unsafe { mrs!(SysReg::of::<3, 0, 4, 2, 2>()) };

    (value >> 2 & 3) as u8
}

/// The registers of the CPU that the code is bound to, as they are.
struct ThisCpu<'a> {
    current_el: u8,
    _cpu: PhantomData<&'a PinnedCpu>,
}

impl<'a> ThisCpu<'a> {
    fn new(cpu: &'a PinnedCpu) -> Self {
        Self {
            current_el: current_el(cpu),
            _cpu: PhantomData,
        }
    }

    /// Whether ICC_SRE_EL2 exists and can be read here.
    fn has_gic_registers(&self) -> bool {
        self.current_el == 2
            && IdAa64Pfr0El1::from_raw(self.read(SysReg::ID_AA64PFR0_EL1)).has_gic_sysregs()
    }

    /// Whether ICH_VTR_EL2 can be read here: with ICC_SRE_EL2.SRE clear it is UNDEFINED.
    fn has_gic_registers_in_use(&self) -> bool {
        self.has_gic_registers() && IccSreEl2::from_raw(self.read(SysReg::ICC_SRE_EL2)).sre()
    }
}

/// The match of [`ThisCpu::read`]: each register that is named with no condition or with one that
/// holds is read. Any other reads as zero; asking for it is a bug of the caller.
macro_rules! read_one_of {
    ($wanted:expr; $($reg:ident $(if $condition:expr)?;)*) => {
        match $wanted {
            $(
                // SAFETY: As at the place of use.
                SysReg::$reg $(if $condition)? => unsafe { mrs!(SysReg::$reg) },
            )*
            other => {
                kernel::pr_warn_once!("{:?} is not to be read when a machine is probed\n", other);
                0
            }
        }
    };
}

impl ReadIdRegister for ThisCpu<'_> {
    fn read(&self, reg: SysReg) -> u64 {
        // SAFETY: The feature ID registers, including those that an implementation does not define,
        // and CTR_EL0 can be read at EL1 and EL2; the two of the GIC under the conditions given.
        read_one_of!(reg;
            ID_AA64PFR0_EL1; ID_AA64PFR1_EL1; ID_AA64PFR2_EL1; ID_AA64ZFR0_EL1; ID_AA64SMFR0_EL1;
            ID_AA64DFR0_EL1; ID_AA64DFR1_EL1;
            ID_AA64ISAR0_EL1; ID_AA64ISAR1_EL1; ID_AA64ISAR2_EL1; ID_AA64ISAR3_EL1;
            ID_AA64MMFR0_EL1; ID_AA64MMFR1_EL1; ID_AA64MMFR2_EL1; ID_AA64MMFR3_EL1;
            ID_AA64MMFR4_EL1; CTR_EL0; MIDR_EL1; REVIDR_EL1; AIDR_EL1;
            ICC_SRE_EL2 if self.has_gic_registers();
            ICH_VTR_EL2 if self.has_gic_registers_in_use();
        )
    }
}

/// The registers of the system: what the kernel found all CPUs to have, less what it does without
/// because of an erratum, its configuration or its command line. The kernel keeps no such value of
/// the GIC's; they are this CPU's.
struct SystemWide<'a>(ThisCpu<'a>);

impl ReadIdRegister for SystemWide<'_> {
    fn read(&self, reg: SysReg) -> u64 {
        if reg.is_feature_id() || reg == SysReg::CTR_EL0 {
            // SAFETY: Reads the kernel's table of registers; it warns of one that is not in there.
            unsafe { bindings::read_sanitised_ftr_reg(linux_encoding(reg)) }
        } else {
            self.0.read(reg)
        }
    }
}

/// An encoding in the order of `sys_reg()` in `arch/arm64/include/asm/sysreg.h`, that of an MRS.
const fn linux_encoding(reg: SysReg) -> u32 {
    (reg.op0() as u32) << 19
        | (reg.op1() as u32) << 16
        | (reg.crn() as u32) << 12
        | (reg.crm() as u32) << 8
        | (reg.op2() as u32) << 5
}

/// The number of CPUs that are online.
pub fn online_cpus() -> u32 {
    // SAFETY: Reads a counter.
    unsafe { bindings_own::kvm_vhe_online_cpus() }
}

/// The width of physical addresses that the kernel is built for.
pub const PHYSICAL_BITS: u8 = bindings_own::KVM_VHE_PHYSICAL_BITS as u8;

/// Stops the system because of an SError that is uncontainable, with its syndrome.
pub fn uncontained_error(syndrome: u64) -> ! {
    // SAFETY: Does not return.
    unsafe { bindings_own::kvm_vhe_uncontained_error(syndrome) }
}
