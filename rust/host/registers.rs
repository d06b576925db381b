// SPDX-License-Identifier: GPL-2.0

//! A vCPU's system registers, in the CPU or in memory.
//!
//! Generated from the register table: the accessors for a register that is known at compile time,
//! which fold to one test of [`Registers::loaded`] and one MRS, MSR, load or store; two dispatches
//! for one that is known at run time only; and load and put. `Documentation/registers-access.rst` has
//! what each costs.

use crate::{
    bindings,
    el2::TPIDR_EL2,
    irqs::with_irqs_off,
    sysreg::{
        mrs,
        msr, //
    }, //
};
use core::cell::Cell;
use kernel::prelude::*;
use kvm_core::{
    register::{
        Class,
        Feature,
        FeatureSet,
        Reg,
        RegFile, //
    },
    sysreg::SysReg,
    with_registers, //
};

/// The registers of one vCPU.
///
/// # Invariants
///
/// `loaded` is empty, or: the current thread is bound to this CPU but for the preempt notifier, which
/// empties and refills it; the CPU has the registers of these features; and they are this vCPU's.
#[repr(C)]
pub(crate) struct Registers {
    /// What is in memory. The first field: the world switch's assembly knows where it is.
    file: RegFile,
    /// The host's values of the registers that it shares.
    host: RegFile,
    /// The bits of HFGWTR_EL2 of those registers in the CPU whose value memory has, too: their writes
    /// trap.
    clean: Cell<u64>,
    /// `sysregs_loaded_on_cpu`: the features whose deferred registers are in the CPU.
    loaded: Cell<FeatureSet>,
}

/// Where a deferred register is in the CPU, or [`None`] for one that is never there.
const fn place(reg: Reg) -> Option<(SysReg, Feature, bool)> {
    match reg.class() {
        Class::Deferred { cpu, when, shared } => Some((cpu, when, shared)),
        _ => None,
    }
}

/// The encoding of a deferred register; of another, one that nothing is generated with.
const fn encoding(reg: Reg) -> SysReg {
    match place(reg) {
        Some((cpu, _, _)) => cpu,
        None => SysReg::MIDR_EL1,
    }
}

/// Whether put has to give the host's value back.
const fn is_shared(reg: Reg) -> bool {
    matches!(place(reg), Some((_, _, true)))
}

/// The accesses to one register in the CPU.
#[derive(Clone, Copy)]
struct Access {
    when: Feature,
    /// Whether memory is to have what is written as well.
    copied: bool,
    read: fn() -> u64,
    write: fn(u64),
}

/// Runs `$body` for a row that is one register, with `$reg` as its constant.
macro_rules! if_single {
    ($name:ident => $body:block) => {
        $body
    };
    ($name:ident $count:literal => $body:block) => {};
}

macro_rules! accessors {
    ($(
        $(#[$meta:meta])*
        $name:ident $([$count:literal, $step:ident])? = $enc:tt
            class($($class:tt)*) gate($gate:ident) reset($reset:tt) trap($trap:ident)
            user($user:ident) fgt($($fgt:tt)*);
    )*) => {
        impl Registers {
            /// Reads a register that is a constant.
            #[inline(always)]
            pub(crate) fn read(&self, reg: Reg) -> u64 {
                $(if_single!($name $($count)? => {
                    if let Some((_, when, _)) = const { place(Reg::$name) } {
                        if reg == Reg::$name && self.loaded.get().contains(when) {
                            // SAFETY: By the type's invariants the CPU has the register. It is
                            // the guest's, so no access of the host to memory depends on it.
                            return unsafe { mrs!(encoding(Reg::$name), nomem) };
                        }
                    }
                });)*
                self.file.get(reg)
            }

            /// Writes a register that is a constant.
            #[inline(always)]
            pub(crate) fn write(&self, reg: Reg, value: u64) {
                $(if_single!($name $($count)? => {
                    if let Some((_, when, _)) = const { place(Reg::$name) } {
                        if reg == Reg::$name && self.loaded.get().contains(when) {
                            // SAFETY: By the type's invariants the CPU has the register, and its
                            // value is the guest's, which the host does without. No access of the
                            // host to memory depends on it.
                            unsafe { msr!(encoding(Reg::$name), value, nomem) };
                            if const { Reg::$name.write_trap() != 0 } {
                                // It may be one that is not saved.
                                self.file.set(Reg::$name, value);
                            }
                            return;
                        }
                    }
                });)*
                self.file.set(reg, value);
            }

            /// Moves the registers of `features` from memory into the CPU.
            ///
            /// # Safety
            ///
            /// The CPU has them all, the caller is bound to it, and no vCPU's are there.
            pub(crate) unsafe fn load(&self, features: FeatureSet) {
                $(if_single!($name $($count)? => {
                    if let Some((_, when, _)) = const { place(Reg::$name) } {
                        if features.contains(when) {
                            if const { is_shared(Reg::$name) } {
                                // SAFETY: By this function's contract.
                                self.host.set(Reg::$name, unsafe { mrs!(encoding(Reg::$name)) });
                            }
                            // SAFETY: As above.
                            unsafe { msr!(encoding(Reg::$name), self.file.get(Reg::$name)) };
                        }
                    }
                });)*
                // SAFETY: The caller is bound to the CPU.
                unsafe { bindings::kvm_vhe_set_loaded_here(self.address()) };
                // INVARIANT: Just loaded, and the caller stays on this CPU.
                self.loaded.set(features);
            }

            /// Moves the registers that are in the CPU back to memory.
            pub(crate) fn put(&self) {
                let features = self.loaded.replace(FeatureSet::EMPTY);
                if features != FeatureSet::EMPTY {
                    // SAFETY: By the type's invariants the thread is bound to the CPU, or this is
                    // the preempt notifier.
                    unsafe { bindings::kvm_vhe_set_loaded_here(core::ptr::null()) };
                }

                $(if_single!($name $($count)? => {
                    if let Some((_, when, _)) = const { place(Reg::$name) } {
                        if features.contains(when)
                            && self.clean.get() & const { Reg::$name.write_trap() } == 0
                        {
                            // SAFETY: By the type's invariants the CPU has the register.
                            self.file.set(Reg::$name, unsafe { mrs!(encoding(Reg::$name)) });
                            if const { is_shared(Reg::$name) } {
                                // SAFETY: As above, and the value is the host's own.
                                unsafe { msr!(encoding(Reg::$name), self.host.get(Reg::$name)) };
                            }
                        }
                    }
                });)*
            }
        }

        /// The accesses by register.
        static ACCESSES: [Option<Access>; Reg::COUNT] = {
            let mut accesses = [None; Reg::COUNT];
            $(if_single!($name $($count)? => {
                if let Some((_, when, _)) = place(Reg::$name) {
                    accesses[Reg::$name.index()] = Some(Access {
                        when,
                        copied: Reg::$name.write_trap() != 0,
                        read: || {
                            // SAFETY: Called from `read_by_table()` only, which checks as `read()`.
                            unsafe { mrs!(encoding(Reg::$name)) }
                        },
                        write: |value| {
                            // SAFETY: Called from `write_by_table()` only, which checks as `write()`.
                            unsafe { msr!(encoding(Reg::$name), value) }
                        },
                    });
                }
            });)*
            accesses
        };
    };
}

with_registers!(accessors);

/// Whose registers this CPU has, null if no vCPU's; a guess if the caller may be preempted.
#[inline(always)]
pub(crate) fn loaded_here() -> *const c_void {
    // SAFETY: There are vCPUs at EL2 with VHE only (`VheHost`), where the register exists and is what
    // the kernel has the offset of the CPU's copy of per-CPU data in: `asm/percpu.h`.
    let offset = unsafe { mrs!(TPIDR_EL2) } as usize;
    let variable = &raw const bindings::kvm_vhe_loaded_registers;

    // SAFETY: Per-CPU variables of a module have a copy for each CPU, at that offset, for as long as
    // the module is there. Only the CPU itself writes it, with one store, and a caller that leaves
    // the CPU between the two instructions reads another CPU's, whole.
    unsafe { variable.wrapping_byte_add(offset).read_volatile() }
}

impl Registers {
    /// The registers in memory.
    pub(crate) fn file(&self) -> &RegFile {
        &self.file
    }

    /// What [`put`](Self::put) leaves out: the bits of HFGWTR_EL2 of registers.
    #[inline(always)]
    pub(crate) fn clean(&self) -> u64 {
        self.clean.get()
    }

    /// Sets that. Writes of the guest to those registers trap from the moment when they were loaded;
    /// those of the host go to memory as well.
    #[inline(always)]
    pub(crate) fn set_clean(&self, clean: u64) {
        self.clean.set(clean);
    }

    /// The features whose deferred registers are in the CPU; none if the vCPU is not loaded.
    #[inline(always)]
    pub(crate) fn loaded(&self) -> FeatureSet {
        self.loaded.get()
    }

    /// What the CPU that the registers are in knows them by.
    fn address(&self) -> *const c_void {
        core::ptr::from_ref(self).cast()
    }

    /// Whether the registers count as being in the CPU, but this CPU has another vCPU's or none: what
    /// the type's invariants rule out. Where they do not hold all the same, a warning is better than
    /// another vCPU's registers. The accessors of constants do not ask: they are to be one flag test.
    ///
    /// A thread that moves to another CPU between the instructions of this may be told so wrongly.
    #[inline(always)]
    fn seems_misplaced(&self) -> bool {
        self.loaded.get() != FeatureSet::EMPTY && loaded_here() != self.address()
    }

    /// Whether it is so, and warns.
    fn warn_if_misplaced(&self) -> bool {
        with_irqs_off(|_| {
            // The notifier may have put the vCPU in between and not loaded it again.
            self.loaded.get() != FeatureSet::EMPTY
                // SAFETY: Only compares the address.
                && unsafe { bindings::kvm_vhe_warn_unless_loaded_here(self.address()) }
        })
    }

    #[cold]
    #[inline(never)]
    fn read_misplaced(&self, reg: Reg) -> u64 {
        if self.warn_if_misplaced() {
            self.file.get(reg)
        } else {
            self.read_by_table(reg)
        }
    }

    #[cold]
    #[inline(never)]
    fn write_misplaced(&self, reg: Reg, value: u64) {
        if !self.warn_if_misplaced() {
            self.write_by_table(reg, value);
        }
    }

    /// Reads a register that is known at run time only: by the match, the faster one. If the vCPU
    /// counts as loaded but this CPU has not got it, which is a bug of the caller, it is a warning
    /// and the value in memory.
    #[inline(never)]
    pub(crate) fn read_any(&self, reg: Reg) -> u64 {
        if self.seems_misplaced() {
            return self.read_misplaced(reg);
        }
        self.read(reg)
    }

    /// Writes a register that is known at run time only; as [`read_any`](Self::read_any), but for
    /// nothing being written.
    #[inline(never)]
    pub(crate) fn write_any(&self, reg: Reg, value: u64) {
        if self.seems_misplaced() {
            return self.write_misplaced(reg, value);
        }
        self.write(reg, value);
    }

    /// Runs `f` with the registers counting as loaded, whatever the CPU has: the bug that
    /// [`read_any`](Self::read_any) looks for. They are in memory. `f` must not use the accessors of
    /// constants.
    #[cfg(KVM_VHE_TEST)]
    pub(crate) fn with_misplaced<R>(&self, features: FeatureSet, f: impl FnOnce() -> R) -> R {
        let before = self.loaded.replace(features);
        let result = f();
        self.loaded.set(before);
        result
    }

    /// Reads a register by the generated match.
    #[cfg(KVM_VHE_TEST)]
    #[inline(never)]
    pub(crate) fn read_by_match(&self, reg: Reg) -> u64 {
        self.read(reg)
    }

    /// Writes a register by the generated match.
    #[cfg(KVM_VHE_TEST)]
    #[inline(never)]
    pub(crate) fn write_by_match(&self, reg: Reg, value: u64) {
        self.write(reg, value);
    }

    /// Reads a register by the generated table of functions.
    #[inline(never)]
    pub(crate) fn read_by_table(&self, reg: Reg) -> u64 {
        match &ACCESSES[reg.index()] {
            Some(access) if self.loaded.get().contains(access.when) => (access.read)(),
            _ => self.file.get(reg),
        }
    }

    /// Writes a register by the generated table of functions.
    #[inline(never)]
    pub(crate) fn write_by_table(&self, reg: Reg, value: u64) {
        match &ACCESSES[reg.index()] {
            Some(access) if self.loaded.get().contains(access.when) => {
                (access.write)(value);
                if access.copied {
                    self.file.set(reg, value);
                }
            }
            _ => self.file.set(reg, value),
        }
    }
}
