// SPDX-License-Identifier: GPL-2.0

//! What the tests of this crate on a CPU need to see of it; in kvm_vhe_test.ko only.

use crate::{
    el2::*,
    guest_time::run_guest,
    guest_tlb::Stage2Registers,
    irqs::{
        with_irqs_off,
        IrqsOff, //
    },
    registers::{
        loaded_here,
        Registers, //
    },
    switch::SwitchContext,
    sysreg::mrs,
    vcpu::{
        Exit,
        VcpuCpu,
        Vectors, //
    },
};
use core::{
    hint::black_box,
    mem::{
        offset_of,
        size_of, //
    },
};
use kernel::{
    bindings as linux,
    error::to_result,
    prelude::*, //
};
use kvm_core::{
    register::{
        Feature,
        FeatureSet,
        Reg, //
    },
    sysreg::SysReg,
    with_registers, //
};

/// The general registers are what the fault is about: the first byte behind them.
const BEHIND_GPRS: usize = offset_of!(SwitchContext, pc);

/// A dispatch to a register that is known at run time only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// The generated match.
    Match,
    /// The generated table of functions.
    Table,
}

/// Which registers a measurement goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// All that are in a row of their own.
    All,
    /// Those that a hypervisor uses most.
    Hot,
}

/// How a measurement reaches registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all: the loop that the dispatches are in.
    Loop,
    /// As constants, one after the other.
    Constant,
    /// By the match.
    Match,
    /// By the table of functions.
    Table,
    /// By what [`VcpuCpu::read_any`] and [`VcpuCpu::write_any`] do.
    Any,
}

/// A PSTATE that no CPU gives a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IllegalPstate {
    /// A mode whose reserved bit, `M[1]`, is set.
    Reserved,
    /// EL0 with a stack pointer of its own, which there is not.
    El0h,
    /// EL3, which is above.
    El3h,
    /// AArch32 at EL1, under an HCR_EL2.RW of 1.
    Aarch32Svc,
}

impl IllegalPstate {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Reserved,
        Self::El0h,
        Self::El3h,
        Self::Aarch32Svc, //
    ];

    /// SPSR_EL2, with D, A, I and F as `masked` says. Arm ARM DDI 0487, "Illegal exception returns".
    pub const fn raw(self, masked: bool) -> u64 {
        let mode = match self {
            Self::Reserved => 0x6,
            Self::El0h => 0x1,
            Self::El3h => 0xd,
            Self::Aarch32Svc => 0x13,
        };
        mode | if masked { 0x3c0 } else { 0 }
    }
}

/// A vCPU that is in the current CPU, with interrupts off.
pub struct LoadedHere<'a> {
    vcpu: &'a VcpuCpu,
    irqs: &'a mut IrqsOff,
}

/// Loads a vCPU into the current CPU, runs `f` and puts it, all with interrupts off. [`None`] if the
/// CPU has one already.
pub fn with_loaded_here<R>(
    vcpu: &VcpuCpu,
    stage2: Stage2Registers<'_>,
    vectors: Vectors,
    f: impl FnOnce(&mut LoadedHere<'_>) -> R,
) -> Option<R> {
    with_irqs_off(|irqs| {
        if !loaded_here().is_null() {
            return None;
        }
        // SAFETY: None is loaded, and it is put below, before interrupts are on.
        unsafe { vcpu.load(stage2, vectors, irqs.cpu()) };
        let result = f(&mut LoadedHere { vcpu, irqs });
        vcpu.put(irqs.cpu());
        Some(result)
    })
}

impl LoadedHere<'_> {
    /// Proof that interrupts are off.
    pub fn irqs(&self) -> &IrqsOff {
        self.irqs
    }

    /// Lets the CPU take the interrupts that are pending.
    pub fn window(&mut self) {
        self.irqs.window();
    }

    /// Runs the guest until its next exit, as a stay of its own.
    pub fn enter(&mut self) -> Exit {
        // SAFETY: This value stands for its being loaded.
        let exit = unsafe { self.vcpu.enter(self.irqs) };

        self.vcpu.end_stay(self.irqs.cpu());
        exit
    }

    /// Sets a PSTATE that [`VcpuCpu::set_pstate`] does not take.
    pub fn set_illegal_pstate(&self, pstate: IllegalPstate, masked: bool) {
        self.vcpu.switch.pstate.set(pstate.raw(masked));
    }

    /// Enters the guest with general registers that are not mapped: a fault in the world switch, which
    /// the kernel does not survive. Returns if there was none.
    pub fn enter_unmapped(&mut self, context: &mut UnmappedContext) {
        let from = (&raw const self.vcpu.switch).cast::<u8>();
        let to = context.0.as_mut_ptr();

        // SAFETY: The context is of that size, and so is the allocation less what is before it. The
        // assembly takes plain memory; that which is before the allocation is what faults.
        unsafe {
            core::ptr::copy_nonoverlapping(
                from.add(BEHIND_GPRS),
                to,
                size_of::<SwitchContext>() - BEHIND_GPRS,
            );
            run_guest(self.irqs, to.wrapping_sub(BEHIND_GPRS).cast());
        }
    }
}

/// A context of the world switch whose general registers are not mapped: it begins at a page of the
/// vmalloc area, before which there is a guard page.
pub struct UnmappedContext(VVec<u8>);

impl UnmappedContext {
    /// Allocates one. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        Ok(Self(VVec::with_capacity(
            size_of::<SwitchContext>() - BEHIND_GPRS,
            GFP_KERNEL,
        )?))
    }
}

/// Whether there is a CPU of that number, up or not.
fn is_cpu(cpu: u32) -> Result {
    // SAFETY: Looks into a table; any number may be asked for.
    if unsafe { linux::get_cpu_device(cpu) }.is_null() {
        return Err(EINVAL);
    }
    Ok(())
}

/// Takes a CPU down, as writing to its `online` in sysfs does. May sleep.
///
/// # Errors
///
/// Those of CPU hotplug; `EINVAL` if there is no such CPU.
pub fn take_down(cpu: u32) -> Result {
    is_cpu(cpu)?;
    // SAFETY: It is a CPU.
    to_result(unsafe { linux::remove_cpu(cpu) })
}

/// Brings a CPU up again. May sleep.
///
/// # Errors
///
/// As [`take_down`].
pub fn bring_up(cpu: u32) -> Result {
    is_cpu(cpu)?;
    // SAFETY: It is a CPU.
    to_result(unsafe { linux::add_cpu(cpu) })
}

/// Ticks of the counter in a second.
pub fn counter_frequency() -> u64 {
    // SAFETY: CNTFRQ_EL0 can be read everywhere.
    unsafe { mrs!(SysReg::of::<3, 3, 14, 0, 0>()) }
}

/// Reads a register by one of the two dispatches.
pub fn read_by(vcpu: &VcpuCpu, dispatch: Dispatch, reg: Reg) -> u64 {
    match dispatch {
        Dispatch::Match => vcpu.switch.regs.read_by_match(reg),
        Dispatch::Table => vcpu.switch.regs.read_by_table(reg),
    }
}

/// Writes a register by one of the two dispatches.
pub fn write_by(vcpu: &VcpuCpu, dispatch: Dispatch, reg: Reg, value: u64) {
    match dispatch {
        Dispatch::Match => vcpu.switch.regs.write_by_match(reg, value),
        Dispatch::Table => vcpu.switch.regs.write_by_table(reg, value),
    }
}

/// Writes a register by the dispatch of run time, and reads it, while the vCPU counts as loaded with
/// `features` but is not in the CPU: a bug, which warns. [`None`] if it is loaded.
pub fn access_misplaced(vcpu: &VcpuCpu, features: FeatureSet, reg: Reg, value: u64) -> Option<u64> {
    with_irqs_off(|_| {
        (!vcpu.is_loaded()).then(|| {
            vcpu.switch.regs.with_misplaced(features, || {
                vcpu.write_any(reg, value);
                vcpu.read_any(reg)
            })
        })
    })
}

/// Defines [`HostRegisters::now`] and the names of what it reads.
macro_rules! host_registers {
    ($vcpu:ident; $($name:literal = $reg:expr $(, if $condition:expr)?;)*) => {
        /// The names of [`HostRegisters`].
        pub const HOST_REGISTERS: &[&str] = &[$($name),*];

        impl HostRegisters {
            /// Reads them; zero for one that the CPUs, or the VM, do not have.
            pub fn now($vcpu: &VcpuCpu, _irqs: &IrqsOff) -> Self {
                // SAFETY: The host is at EL2 with VHE, as whoever has a vCPU proved; what is optional
                // is read under its condition.
                Self(unsafe { [$(if true $(&& $condition)? { mrs!($reg) } else { 0 }),*] })
            }
        }
    };
}

/// What of the CPU is the host's and has to be as it was after a vCPU was there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HostRegisters([u64; HOST_REGISTERS.len()]);

impl HostRegisters {
    /// The values, in the order of [`HOST_REGISTERS`].
    pub fn values(&self) -> &[u64] {
        &self.0
    }
}

/// Whether the vCPU is loaded with a feature.
fn has(vcpu: &VcpuCpu, feature: Feature) -> bool {
    vcpu.controls().features.contains(feature)
}

host_registers! { vcpu;
    "TPIDR_EL0" = SysReg::of::<3, 3, 13, 0, 2>();
    "TPIDRRO_EL0" = SysReg::of::<3, 3, 13, 0, 3>();
    "TPIDR_EL2" = TPIDR_EL2;
    "SP_EL0" = SysReg::of::<3, 0, 4, 1, 0>();
    "APIAKeyLo_EL1" = SysReg::of::<3, 0, 2, 1, 0>(), if has(vcpu, Feature::PAUTH_ADDRESS);
    "APIAKeyHi_EL1" = SysReg::of::<3, 0, 2, 1, 1>(), if has(vcpu, Feature::PAUTH_ADDRESS);
    "APIBKeyLo_EL1" = SysReg::of::<3, 0, 2, 1, 2>(), if has(vcpu, Feature::PAUTH_ADDRESS);
    "APIBKeyHi_EL1" = SysReg::of::<3, 0, 2, 1, 3>(), if has(vcpu, Feature::PAUTH_ADDRESS);
    "APDAKeyLo_EL1" = SysReg::of::<3, 0, 2, 2, 0>(), if has(vcpu, Feature::PAUTH_ADDRESS);
    "APDAKeyHi_EL1" = SysReg::of::<3, 0, 2, 2, 1>(), if has(vcpu, Feature::PAUTH_ADDRESS);
    "APDBKeyLo_EL1" = SysReg::of::<3, 0, 2, 2, 2>(), if has(vcpu, Feature::PAUTH_ADDRESS);
    "APDBKeyHi_EL1" = SysReg::of::<3, 0, 2, 2, 3>(), if has(vcpu, Feature::PAUTH_ADDRESS);
    "APGAKeyLo_EL1" = SysReg::of::<3, 0, 2, 3, 0>(), if has(vcpu, Feature::PAUTH_GENERIC);
    "APGAKeyHi_EL1" = SysReg::of::<3, 0, 2, 3, 1>(), if has(vcpu, Feature::PAUTH_GENERIC);
    "MDSCR_EL1" = MDSCR_EL1;
    "SCTLR_EL2" = SysReg::of::<3, 4, 1, 0, 0>();
    "HCR_EL2" = SysReg::HCR_EL2;
    "HCRX_EL2" = HCRX_EL2, if vcpu.available.hcx;
    "MDCR_EL2" = MDCR_EL2;
    "CPTR_EL2" = SysReg::of::<3, 4, 1, 1, 2>();
    "VBAR_EL2" = VBAR_EL2;
    "PMUSERENR_EL0" = PMUSERENR_EL0, if vcpu.available.pmu;
    "ICC_SRE_EL2" = SysReg::ICC_SRE_EL2;
    "ICH_HCR_EL2" = ICH_HCR_EL2;
    "VTTBR_EL2" = SysReg::VTTBR_EL2;
    "POR_EL0" = POR_EL0, if has(vcpu, Feature::S1POE);
    "FPMR" = FPMR, if has(vcpu, Feature::FPMR);
}

/// Applies `$do` to the first part if a row is one register, and to nothing otherwise.
macro_rules! single {
    ($name:ident => $($body:tt)*) => {
        $($body)*
    };
    ($name:ident $count:literal => $($body:tt)*) => {};
}

/// Defines one pass over constants, `$all` by the register table.
macro_rules! passes {
    ($(
        $(#[$meta:meta])*
        $name:ident $([$count:literal, $step:ident])? = $enc:tt
            class($($class:tt)*) gate($gate:ident) reset($reset:tt) trap($trap:ident)
            user($user:ident) fgt($($fgt:tt)*);
    )*) => {
        /// The rows that are one register.
        fn is_single(reg: Reg) -> bool {
            $(single!($name $($count)? => if reg == Reg::$name { return true; });)*
            false
        }

        #[inline(never)]
        fn read_all(regs: &Registers) -> u64 {
            let mut sum = 0;
            $(single!($name $($count)? => sum ^= regs.read(Reg::$name););)*
            sum
        }

        #[inline(never)]
        fn write_all(regs: &Registers, values: &RegisterValues) {
            $(single!($name $($count)? => regs.write(Reg::$name, values.0[Reg::$name.index()]););)*
        }
    };
}

with_registers!(passes);

macro_rules! hot {
    ($($name:ident)*) => {
        const HOT: &[Reg] = &[$(Reg::$name),*];

        #[inline(never)]
        fn read_hot(regs: &Registers) -> u64 {
            let mut sum = 0;
            $(sum ^= regs.read(Reg::$name);)*
            sum
        }

        #[inline(never)]
        fn write_hot(regs: &Registers, values: &RegisterValues) {
            $(regs.write(Reg::$name, values.0[Reg::$name.index()]);)*
        }
    };
}

hot! {
    SCTLR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1 MAIR_EL1 ESR_EL1 FAR_EL1 VBAR_EL1 CONTEXTIDR_EL1 ELR_EL1
}

/// Values for all registers.
pub struct RegisterValues([u64; Reg::COUNT]);

/// Registers to measure accesses to.
pub struct Passes {
    span: Span,
    regs: KVec<Reg>,
    values: KBox<RegisterValues>,
}

impl Passes {
    /// Takes the registers of `span`, and the values that the vCPU has for them in memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(span: Span, vcpu: &VcpuCpu) -> Result<Self> {
        let mut values = KBox::new(RegisterValues([0; Reg::COUNT]), GFP_KERNEL)?;
        let mut regs = KVec::new();

        for reg in Reg::all() {
            values.0[reg.index()] = vcpu.file().get(reg);
            if match span {
                Span::All => is_single(reg),
                Span::Hot => HOT.contains(&reg),
            } {
                regs.push(reg, GFP_KERNEL)?;
            }
        }
        Ok(Self { span, regs, values })
    }

    /// The number of registers.
    pub fn len(&self) -> usize {
        self.regs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.regs.is_empty()
    }

    /// Reads all of them once.
    #[inline(never)]
    pub fn read(&self, vcpu: &VcpuCpu, method: Method) -> u64 {
        let regs = &vcpu.switch.regs;
        let each = |read: fn(&Registers, Reg) -> u64| {
            self.regs.iter().fold(0, |sum, reg| sum ^ read(regs, *reg))
        };
        match method {
            Method::Loop => self
                .regs
                .iter()
                .fold(0, |sum, reg| sum ^ black_box(reg.index()) as u64),
            Method::Constant if self.span == Span::All => read_all(regs),
            Method::Constant => read_hot(regs),
            Method::Match => each(Registers::read_by_match),
            Method::Table => each(Registers::read_by_table),
            Method::Any => each(Registers::read_any),
        }
    }

    /// Writes all of them once, with the values of [`Passes::new`].
    #[inline(never)]
    pub fn write(&self, vcpu: &VcpuCpu, method: Method) {
        let regs = &vcpu.switch.regs;
        let each = |write: fn(&Registers, Reg, u64)| {
            for reg in &self.regs {
                write(regs, *reg, self.values.0[reg.index()]);
            }
        };
        match method {
            Method::Loop => {
                for reg in &self.regs {
                    black_box(self.values.0[reg.index()]);
                }
            }
            Method::Constant if self.span == Span::All => write_all(regs, &self.values),
            Method::Constant => write_hot(regs, &self.values),
            Method::Match => each(Registers::write_by_match),
            Method::Table => each(Registers::write_by_table),
            Method::Any => each(Registers::write_any),
        }
    }
}
