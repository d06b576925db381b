// SPDX-License-Identifier: GPL-2.0

//! A vCPU's registers, and what it keeps for running.

use crate::{
    bindings,
    debug_regs::DebugRegs,
    irqs::with_irqs_off,
    machine::VheHost,
    registers::Registers,
    switch::SwitchContext,
    vcpu::{
        controls::{
            ControlRegisters,
            Controls, //
        },
        debug_state::DebugState, //
    },
};
use core::{
    cell::Cell,
    mem::size_of, //
};
use kernel::prelude::*;
use kvm_core::{
    bits::Bits,
    guest_debug::GuestDebug,
    lazy::{
        Bank,
        TrapField, //
    },
    pstate::GuestPstate,
    register::{
        Feature,
        Reg,
        RegFile,
        Reset, //
    },
};

/// CPTR_EL2.FPEN: FP/SIMD, SVE with it.
const CPTR_FPEN: TrapField = TrapField::if_clear(3 << 20);

/// HCR_EL2.VSE: a virtual SError is pending.
const HCR_VSE: u64 = 1 << 8;

/// HCR_EL2.VI: an IRQ is pending.
const HCR_VI: u64 = 1 << 7;

/// HCR_EL2.VF: an FIQ is pending.
const HCR_VF: u64 = 1 << 6;

/// HCR_EL2.TWE: WFE traps.
const HCR_TWE: u64 = 1 << 14;

/// HCR_EL2.TVM: writes of the controls of stage 1 trap.
const HCR_TVM: u64 = 1 << 26;

/// The bits of HCR_EL2 that change while the vCPU runs.
const HCR_DYNAMIC: u64 = HCR_VSE | HCR_VI | HCR_VF | HCR_TWE | HCR_TVM;

/// What load saves of the host.
#[derive(Default)]
pub(super) struct HostState {
    pub(super) mdcr: Cell<u64>,
    pub(super) hcrx: Cell<u64>,
    pub(super) icc_sre: Cell<u64>,
    pub(super) pmuserenr: Cell<u64>,
    pub(super) mpam2: Cell<u64>,
    pub(super) mpamhcr: Cell<u64>,
}

/// A vCPU's side of the CPU.
///
/// The architecture's registers of a guest, wherever they are, and what the CPU needs in order to run
/// it. It belongs to one thread at a time, and has no lock of its own.
pub struct VcpuCpu {
    pub(crate) switch: SwitchContext,
    pub(super) controls: Cell<Controls>,
    pub(crate) available: ControlRegisters,
    /// VSESR_EL2: the syndrome of the virtual SError.
    pub(super) vsesr: Cell<u64>,
    /// What a debugger in user space wants.
    pub(super) guest_debug: Cell<GuestDebug>,
    pub(super) debug: DebugState,
    /// The registers that are saved only if they were written.
    pub(super) tracked: Cell<Bank>,
    pub(super) host: HostState,
    _vhe: VheHost,
}

impl VcpuCpu {
    /// Returns an initialiser for a vCPU with all registers zero.
    pub fn init(vhe: VheHost, available: ControlRegisters) -> impl Init<Self> {
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
                (&raw mut (*slot).guest_debug).write(Cell::new(GuestDebug::OFF));
                (&raw mut (*slot).debug).write(DebugState::default());
                (&raw mut (*slot).tracked).write(Cell::new(Bank::default()));
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
        self.debug_changed();
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

    /// Makes WFE trap, or not, from the next entry on.
    pub(crate) fn trap_wfe(&self, trap: bool) {
        let hcr = self.switch.hcr.get() & !HCR_TWE;
        self.switch.hcr.set(if trap { hcr | HCR_TWE } else { hcr });
    }

    /// Makes accesses to FP/SIMD registers trap, or not, from the next entry on.
    #[inline]
    pub(crate) fn trap_fp(&self, trap: bool) {
        self.switch
            .cptr
            .set(CPTR_FPEN.apply(self.controls.get().cptr, trap));
    }

    /// Raises and lowers the lines of the vCPU's own interrupts, IRQ and FIQ, from the next entry on.
    pub fn set_interrupt_lines(&self, irq: bool, fiq: bool) {
        let hcr = self.switch.hcr.get() & !(HCR_VI | HCR_VF);

        self.switch
            .hcr
            .set(hcr | if irq { HCR_VI } else { 0 } | if fiq { HCR_VF } else { 0 });
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
            self.set_external_debug_regs(regs);
        }
        self.debug_changed();
    }

    /// Returns the guest physical address that the guest's stage 1 gives for a virtual one, or
    /// [`None`] if there is none, or the vCPU is not loaded. On CPUs without FEAT_ATS1A also if the
    /// guest may not read there.
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
}
