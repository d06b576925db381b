// SPDX-License-Identifier: GPL-2.0

//! A vCPU's side of the CPU: its registers, loading them, running the guest.

use crate::{
    bindings,
    debug_regs::{
        DebugRegs,
        DebugResources,
        DEBUG_REGS, //
    },
    el2::*,
    guest_time::run_guest,
    guest_tlb::Stage2Registers,
    irqs::{
        with_irqs_off,
        IrqsOff, //
    },
    machine::VheHost,
    pinned::PinnedCpu,
    registers::Registers,
    switch::SwitchContext,
    sysreg::{
        isb,
        mrs,
        msr, //
    },
};
use core::{
    cell::{
        Cell,
        RefCell, //
    },
    mem::size_of,
};
use kernel::prelude::*;
use kvm_core::{
    bits::Bits,
    context::{
        Context,
        Gpr, //
    },
    cpu::hardening::ExitHardening,
    esr::{
        Esr,
        ExceptionClass, //
    },
    guest_debug::{
        guest_only,
        GuestDebug,
        MdscrEl1, //
    },
    pstate::GuestPstate,
    register::{
        Feature,
        FeatureSet,
        Reg,
        RegFile,
        RegRange,
        Reset, //
    },
    sysreg::SysReg,
};

/// MDSCR_EL1.SS, KDE and MDE: what makes debug exceptions possible.
const MDSCR_ACTIVE: u64 = 1 | 1 << 13 | 1 << 15;

/// HCR_EL2.VSE: a virtual SError is pending.
const HCR_VSE: u64 = 1 << 8;

/// HCR_EL2.TVM: writes of the controls of stage 1 trap.
const HCR_TVM: u64 = 1 << 26;

/// The bits of HCR_EL2 that change while the vCPU runs.
const HCR_DYNAMIC: u64 = HCR_VSE | HCR_TVM;

/// MDCR_EL2.HPMN: how the event counters are divided, which is the host's business.
const MDCR_HPMN: u64 = 0x1f;

/// PSTATE.SS: software step.
const PSTATE_SS: u64 = 1 << 21;

/// OSLSR_EL1.OSLK: the OS lock is locked.
const OSLSR_OSLK: u64 = 1 << 1;

/// PMUSERENR_EL0.EN, SW, CR and ER. The host never sets SW.
const PMUSERENR_ALL: u64 = 0xf;

/// MDCR_EL2.TDE: debug exceptions are taken to EL2.
const MDCR_TDE: u64 = 1 << 8;

/// What is set at load, beside the registers: the controls of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// The features whose deferred registers are loaded.
    pub features: FeatureSet,
    /// HCR_EL2, less what changes while the vCPU runs.
    pub hcr: u64,
    /// HCRX_EL2; zero where the CPU has none.
    pub hcrx: u64,
    /// MDCR_EL2, less HPMN.
    pub mdcr: u64,
    /// CPTR_EL2, with the layout for E2H.
    pub cptr: u64,
    /// HFGRTR_EL2 and HFGWTR_EL2.
    pub hfg: u64,
    /// HFGITR_EL2.
    pub hfgitr: u64,
    /// HDFGRTR_EL2 and HDFGWTR_EL2.
    pub hdfg: u64,
    /// HFGITR2_EL2.
    pub hfgitr2: u64,
    /// CNTVOFF_EL2.
    pub cntvoff: u64,
    /// VPIDR_EL2, the guest's MIDR_EL1, if it is not the CPU's.
    pub vpidr: Option<u64>,
    /// ICH_HCR_EL2: what of the GIC's CPU interface traps.
    pub ich_hcr: u64,
}

/// Which registers of controls the CPUs have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlRegisters {
    /// FEAT_FGT.
    pub fgt: bool,
    /// FEAT_FGT2.
    pub fgt2: bool,
    /// FEAT_HCX.
    pub hcx: bool,
    /// FEAT_RAS: VSESR_EL2.
    pub ras: bool,
    /// FEAT_PMUv3: PMUSERENR_EL0.
    pub pmu: bool,
    /// FEAT_MPAM: MPAM2_EL2.
    pub mpam: bool,
}

/// Why the guest was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// A synchronous exception: ESR_EL2 says which.
    Sync,
    /// An interrupt for the host, IRQ or FIQ.
    Interrupt,
    /// An SError.
    SError,
    /// PSTATE is none that this CPU can be in.
    Illegal,
}

/// An exit from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Why.
    pub code: ExitCode,
    /// The syndrome of an SError that became pending on the way out.
    pub pending_serror: Option<u64>,
}

/// The vectors that lead out of the guest, by what they do against speculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// Which set, below `KVM_VHE_VECTORS_COUNT`.
    set: u8,
    /// How many branches the set with the loop takes.
    bhb_loops: u8,
}

impl Vectors {
    /// Returns those for a CPU that is hardened as `against` says.
    pub fn new(against: ExitHardening) -> Self {
        let (set, bhb_loops) = match against {
            ExitHardening::None => (bindings::KVM_VHE_VECTORS_PLAIN, 0),
            ExitHardening::BhbLoop(count) => (bindings::KVM_VHE_VECTORS_LOOP, count.max(1)),
            ExitHardening::ClearBhb => (bindings::KVM_VHE_VECTORS_CLRBHB, 0),
            ExitHardening::FirmwareWa1 => (bindings::KVM_VHE_VECTORS_WA1, 0),
            ExitHardening::FirmwareWa3 => (bindings::KVM_VHE_VECTORS_WA3, 0),
        };

        Self {
            set: set as u8,
            bhb_loops,
        }
    }

    /// Returns them as a number, for an atomic variable; never 0.
    pub const fn into_raw(self) -> u64 {
        1 << 16 | (self.set as u64) << 8 | self.bhb_loops as u64
    }

    /// Returns those that [`Vectors::into_raw`] made `raw` of; [`None`] for other numbers.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        let set = (raw >> 8) as u8;

        if raw >> 16 != 1 || set as u32 >= bindings::KVM_VHE_VECTORS_COUNT {
            return None;
        }
        Some(Self {
            set,
            bhb_loops: raw as u8,
        })
    }

    /// VBAR_EL2.
    fn address(self) -> u64 {
        (&raw const bindings::kvm_vhe_vectors) as u64
            + u64::from(self.set) * u64::from(bindings::KVM_VHE_VECTORS_SIZE)
    }
}

/// What load saves of the host.
#[derive(Default)]
struct HostState {
    mdcr: Cell<u64>,
    hcrx: Cell<u64>,
    icc_sre: Cell<u64>,
    pmuserenr: Cell<u64>,
    mpam2: Cell<u64>,
    mpamhcr: Cell<u64>,
}

/// A vCPU's side of the CPU.
///
/// The architecture's registers of a guest, wherever they are, and what the CPU needs in order to run
/// it. It belongs to one thread at a time, and has no lock of its own.
pub struct VcpuCpu {
    pub(crate) switch: SwitchContext,
    controls: Cell<Controls>,
    pub(crate) available: ControlRegisters,
    resources: DebugResources,
    /// VSESR_EL2: the syndrome of the virtual SError.
    vsesr: Cell<u64>,
    /// What a debugger in user space wants.
    guest_debug: Cell<GuestDebug>,
    debug: RefCell<DebugState>,
    host: HostState,
    _vhe: VheHost,
}

#[derive(Default)]
struct DebugState {
    external: DebugRegs,
    host: DebugRegs,
}

impl VcpuCpu {
    /// Returns an initialiser for a vCPU with all registers zero.
    pub fn init(
        vhe: VheHost,
        available: ControlRegisters,
        resources: DebugResources,
    ) -> impl Init<Self> {
        // SAFETY: All of the memory is initialised: by zeroes first, which is what the numbers and
        // cells of the switch's context and the host's state are, then the other fields.
        unsafe {
            pin_init::init_from_closure(move |slot: *mut Self| {
                slot.write_bytes(0, 1);
                (&raw mut (*slot).switch.regs)
                    .cast::<u8>()
                    .write_bytes(0, size_of::<Registers>());
                (&raw mut (*slot).controls).write(Cell::new(Controls::default()));
                (&raw mut (*slot).available).write(available);
                (&raw mut (*slot).resources).write(resources);
                (&raw mut (*slot).guest_debug).write(Cell::new(GuestDebug::OFF));
                (&raw mut (*slot).debug).write(RefCell::new(DebugState::default()));
                (&raw mut (*slot)._vhe).write(vhe);
                Ok(())
            })
        }
    }

    /// Gives all registers their values after a reset: `other` those that depend on the vCPU or the
    /// machine, for each [`Reset`] that is neither a number nor unknown. Nothing is pending then.
    pub fn reset(&self, other: impl Fn(Reg, Reset) -> u64) {
        for gpr in &self.switch.gpr {
            gpr.set(0);
        }
        self.set_pc(0);
        self.set_pstate(GuestPstate::RESET);
        self.set_virtual_serror(None);
        for reg in Reg::all() {
            let value = match reg.row().reset {
                Reset::Value(value) => value,
                Reset::Unknown => Reset::UNKNOWN,
                reset => other(reg, reset),
            };
            self.write_any(reg, value);
        }
    }

    /// Reads a system register of the guest; best with a constant.
    #[inline(always)]
    pub fn read(&self, reg: Reg) -> u64 {
        self.switch.regs.read(reg)
    }

    /// Writes a system register of the guest; best with a constant.
    #[inline(always)]
    pub fn write(&self, reg: Reg, value: u64) {
        self.switch.regs.write(reg, value);
    }

    /// Reads a system register of the guest that is known at run time only.
    pub fn read_any(&self, reg: Reg) -> u64 {
        self.switch.regs.read_any(reg)
    }

    /// Writes a system register of the guest that is known at run time only.
    pub fn write_any(&self, reg: Reg, value: u64) {
        self.switch.regs.write_any(reg, value);
    }

    /// The registers in memory, which are the guest's only while none are loaded.
    pub fn file(&self) -> &RegFile {
        self.switch.regs.file()
    }

    /// Whether the vCPU's deferred registers are in the CPU.
    #[inline(always)]
    pub fn is_loaded(&self) -> bool {
        self.switch.regs.loaded().contains(Feature::ALWAYS)
    }

    /// X0 to X30; zero for 31, which is XZR.
    #[inline(always)]
    pub fn gpr(&self, n: Bits<5>) -> u64 {
        self.switch
            .gpr
            .get(n.get() as usize)
            .map_or(0, |gpr| gpr.get())
    }

    /// Sets X0 to X30; nothing for 31, which is XZR.
    #[inline(always)]
    pub fn set_gpr(&self, n: Bits<5>, value: u64) {
        if let Some(gpr) = self.switch.gpr.get(n.get() as usize) {
            gpr.set(value);
        }
    }

    /// The program counter.
    #[inline(always)]
    pub fn pc(&self) -> u64 {
        self.switch.pc.get()
    }

    /// Sets the program counter.
    #[inline(always)]
    pub fn set_pc(&self, value: u64) {
        self.switch.pc.set(value);
    }

    /// PSTATE as the last exit or [`VcpuCpu::set_pstate`] left it.
    #[inline(always)]
    pub fn raw_pstate(&self) -> u64 {
        self.switch.pstate.get()
    }

    /// Sets PSTATE.
    #[inline(always)]
    pub fn set_pstate(&self, value: GuestPstate) {
        self.switch.pstate.set(value.into_raw());
    }

    /// ESR_EL2 of the last exit.
    #[inline(always)]
    pub fn esr(&self) -> u64 {
        self.switch.esr.get()
    }

    /// FAR_EL2 of the last exit.
    #[inline(always)]
    pub fn far(&self) -> u64 {
        self.switch.far.get()
    }

    /// HPFAR_EL2 of the last exit.
    #[inline(always)]
    pub fn hpfar(&self) -> u64 {
        self.switch.hpfar.get()
    }

    /// Sets the controls, from the next load on.
    pub fn set_controls(&self, controls: Controls) {
        let dynamic = self.switch.hcr.get() & HCR_DYNAMIC;

        self.controls.set(controls);
        self.switch.hcr.set(controls.hcr & !HCR_DYNAMIC | dynamic);
    }

    /// The controls.
    pub fn controls(&self) -> Controls {
        self.controls.get()
    }

    /// Whether writes of the controls of stage 1 trap (HCR_EL2.TVM).
    #[inline(always)]
    pub fn traps_vm_controls(&self) -> bool {
        self.switch.hcr.get() & HCR_TVM != 0
    }

    /// Makes writes of the controls of stage 1 trap, or not, from the next entry on.
    pub fn trap_vm_controls(&self, trap: bool) {
        let hcr = self.switch.hcr.get() & !HCR_TVM;
        self.switch.hcr.set(if trap { hcr | HCR_TVM } else { hcr });
    }

    /// Makes a virtual SError pending, or none, from the next entry on. `syndrome` is VSESR_EL2's,
    /// which counts with FEAT_RAS only.
    pub fn set_virtual_serror(&self, syndrome: Option<u64>) {
        let hcr = self.switch.hcr.get() & !HCR_VSE;

        self.vsesr.set(syndrome.unwrap_or(0));
        self.switch.hcr.set(if syndrome.is_some() {
            hcr | HCR_VSE
        } else {
            hcr
        });
    }

    /// The virtual SError that is pending. The CPU ends it when the guest takes it.
    pub fn virtual_serror(&self) -> Option<u64> {
        (self.switch.hcr.get() & HCR_VSE != 0).then(|| self.vsesr.get())
    }

    /// Sets what a debugger in user space wants, from the next load on; `regs` are its breakpoints
    /// and watchpoints, if it has any.
    pub fn set_debug(&self, debug: GuestDebug, regs: Option<&DebugRegs>) {
        self.guest_debug.set(debug);
        if let Some(regs) = regs {
            self.debug.borrow_mut().external = *regs;
        }
    }

    /// Returns the guest physical address that the guest's stage 1 gives for a virtual one that EL1
    /// reads, or [`None`] if there is none. The vCPU is loaded.
    pub fn translate(&self, va: u64) -> Option<u64> {
        /// PAR_EL1.F, and PA.
        const FAILED: u64 = 1;
        const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

        with_irqs_off(|_| {
            if !self.is_loaded() {
                return None;
            }
            // SAFETY: The guest's translation is loaded on this CPU; the function leaves everything
            // as it was.
            let par = unsafe { bindings::kvm_vhe_translate(va, self.switch.hcr.get()) };

            (par & FAILED == 0).then_some(par & ADDRESS | va & 0xfff)
        })
    }

    /// Takes a memory copy or set instruction that this CPU cannot go on with back to its prologue
    /// (FEAT_MOPS, EC 0x27).
    pub fn rewind_memory_copy(&self) {
        let gprs = (&raw const self.switch.gpr).cast::<u64>().cast_mut();

        // SAFETY: X0 to X30 are cells, which may be written through a shared reference; the program
        // counter is one, too.
        unsafe {
            bindings::kvm_vhe_rewind_memory_copy(
                gprs,
                self.switch.pc.as_ptr(),
                self.switch.pstate.as_ptr(),
                self.switch.esr.get(),
            )
        };
    }

    /// Puts the vCPU's deferred registers and its controls into the CPU.
    ///
    /// # Safety
    ///
    /// No vCPU is loaded on this CPU, and [`VcpuCpu::put`] is called before the thread leaves it.
    pub(crate) unsafe fn load(&self, stage2: Stage2Registers, vectors: Vectors, cpu: &PinnedCpu) {
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
            msr!(
                MDCR_EL2,
                self.host.mdcr.get() & MDCR_HPMN | controls.mdcr & !MDCR_HPMN | tde
            );
            if self.available.hcx {
                self.host.hcrx.set(mrs!(HCRX_EL2));
                msr!(HCRX_EL2, controls.hcrx);
            }
            if self.available.fgt {
                msr!(HFGRTR_EL2, controls.hfg);
                msr!(HFGWTR_EL2, controls.hfg);
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
            msr!(CNTVOFF_EL2, controls.cntvoff);
            // The guest has both timers and both counters to itself.
            msr!(CNTHCTL_EL2, mrs!(CNTHCTL_EL2) | CNTHCTL_EL1PCEN_EL1PCTEN);
            msr!(VPIDR_EL2, controls.vpidr.unwrap_or(mrs!(SysReg::MIDR_EL1)));
            msr!(VMPIDR_EL2, self.switch.regs.file().get(Reg::MPIDR_EL1));
            self.host.icc_sre.set(mrs!(SysReg::ICC_SRE_EL2));
            msr!(
                SysReg::ICC_SRE_EL2,
                self.host.icc_sre.get() & !ICC_SRE_ENABLE
            );
            msr!(ICH_HCR_EL2, controls.ich_hcr);
        }
        self.switch.cptr.set(controls.cptr);
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
    pub(crate) fn put(&self, _cpu: &PinnedCpu) {
        // SAFETY: No more than a barrier, for PAR_EL1.
        unsafe { bindings::kvm_vhe_par_barrier() };
        self.switch.regs.put();
        // SAFETY: As above.
        unsafe { bindings::kvm_vhe_par_barrier() };
        // SAFETY: As in `load()`; the values are the host's own.
        unsafe {
            // A timer of the guest must not go on in the host.
            msr!(CNTV_CTL_EL02, 0);
            msr!(CNTP_CTL_EL02, 0);
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

    /// Runs the guest until its next exit.
    ///
    /// # Safety
    ///
    /// The vCPU is loaded on this CPU.
    #[inline]
    pub(crate) unsafe fn enter(&self, irqs: &IrqsOff) -> Exit {
        let cpu = irqs.cpu();
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
        // SAFETY: MDSCR_EL1 exists on all CPUs.
        let host_mdscr = unsafe { mrs!(MDSCR_EL1) };
        let mdscr = self.mdscr();
        let debug = (host_mdscr | mdscr) & MDSCR_ACTIVE != 0;
        let pstate = self.switch.pstate.get();
        if debug {
            self.load_debug(mdscr, cpu);
        }

        // SAFETY: The context is in the layout that the assembly expects, the vCPU is loaded, and
        // interrupts are off.
        let code = unsafe { run_guest(irqs, (&raw const self.switch).cast_mut().cast()) };

        if debug {
            self.put_debug(host_mdscr, cpu);
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

    /// MDSCR_EL1 to run with.
    #[inline(always)]
    fn mdscr(&self) -> u64 {
        let file = self.switch.regs.file();
        let guest = file.get(Reg::MDSCR_EL1);
        let debug = self.guest_debug.get();

        if debug.is_enabled() || file.get(Reg::OSLSR_EL1) & OSLSR_OSLK != 0 {
            debug.mdscr(MdscrEl1::from_raw(guest)).into_raw()
        } else {
            guest
        }
    }

    /// Moves the debug registers of the guest, or of its debugger, into the CPU.
    #[cold]
    fn load_debug(&self, mdscr: u64, cpu: &PinnedCpu) {
        let state = &mut *self.debug.borrow_mut();

        // SAFETY: Masks debug exceptions; `put_debug()` ends that.
        unsafe { kernel::asm!("msr daifset, #8"; options(nostack, preserves_flags)) };
        state.host.save(self.resources, cpu);
        let mut regs = if self.guest_debug.get().uses_hardware() {
            state.external
        } else {
            self.guest_debug_regs()
        };
        // Nothing of them may match at EL2.
        regs.bcr = regs.bcr.map(guest_only);
        regs.wcr = regs.wcr.map(guest_only);
        // SAFETY: MDSCR_EL1 exists on all CPUs. Debug exceptions are masked until the registers are
        // the host's again: `kvm_vhe_run_guest()` leaves PSTATE.D set.
        unsafe {
            regs.load(self.resources, cpu);
            msr!(MDSCR_EL1, mdscr);
        }
    }

    /// Gives the host its debug registers back. The guest's have not changed: its writes trap.
    #[cold]
    fn put_debug(&self, host_mdscr: u64, cpu: &PinnedCpu) {
        // SAFETY: The host's own values.
        unsafe {
            self.debug.borrow().host.load(self.resources, cpu);
            msr!(MDSCR_EL1, host_mdscr);
        }
        isb();
        // SAFETY: The counterpart of the one in `load_debug()`.
        unsafe { kernel::asm!("msr daifclr, #8"; options(nostack, preserves_flags)) };
    }

    /// Takes PSTATE as it was at entry, if a synchronous exit is that of the first instruction of a step and
    /// was for pointer authentication: Cortex-A510's erratum 2077057 corrupts SPSR_EL2 then. The
    /// instruction has not been executed, so on other CPUs it is the same anyhow.
    #[cold]
    fn keep_step_state(&self, pstate: u64) {
        if pstate & PSTATE_SS != 0
            && Esr::from_raw(self.switch.esr.get()).ec() == ExceptionClass::PointerAuth
        {
            self.switch.pstate.set(pstate);
        }
    }

    /// The guest's debug registers, as its writes left them in memory.
    fn guest_debug_regs(&self) -> DebugRegs {
        let file = self.switch.regs.file();
        let mut regs = DebugRegs::default();

        for n in 0..DEBUG_REGS {
            let get = |range: RegRange<16>| range.get(n as u16).map_or(0, |reg| file.get(reg));
            regs.bvr[n] = get(Reg::DBGBVR_EL1);
            regs.bcr[n] = get(Reg::DBGBCR_EL1);
            regs.wvr[n] = get(Reg::DBGWVR_EL1);
            regs.wcr[n] = get(Reg::DBGWCR_EL1);
        }
        regs
    }
}

/// Whatever thread has the vCPU emulates instructions on it; the registers are cells.
impl Context for &VcpuCpu {
    #[inline(always)]
    fn sysreg(&self, reg: Reg) -> u64 {
        self.read(reg)
    }

    #[inline(always)]
    fn set_sysreg(&mut self, reg: Reg, value: u64) {
        self.write(reg, value);
    }

    #[inline(always)]
    fn gpr(&self, index: Gpr) -> u64 {
        VcpuCpu::gpr(self, index.into_bits())
    }

    #[inline(always)]
    fn set_gpr(&mut self, index: Gpr, value: u64) {
        VcpuCpu::set_gpr(self, index.into_bits(), value);
    }

    #[inline(always)]
    fn pc(&self) -> u64 {
        VcpuCpu::pc(self)
    }

    #[inline(always)]
    fn set_pc(&mut self, pc: u64) {
        VcpuCpu::set_pc(self, pc);
    }

    #[inline(always)]
    fn pstate(&self) -> GuestPstate {
        GuestPstate::from_exit(self.raw_pstate())
    }

    #[inline(always)]
    fn set_pstate(&mut self, pstate: GuestPstate) {
        VcpuCpu::set_pstate(self, pstate);
    }
}
