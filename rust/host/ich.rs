// SPDX-License-Identifier: GPL-2.0

//! The virtual CPU interface of the GIC: the registers `ICH_*_EL2` of the current CPU.
//!
//! A CPU has one set of them, which is the vCPU's that is loaded there. So they are reached through
//! [`Ich`] only, which cannot leave the CPU: it borrows from whoever proves that the thread stays
//! there, and loading and putting a vCPU happens under the same proof.
//!
//! Nothing here is a barrier, as the world switch and taking an exception are; who wants to see in
//! one of these registers what a write of another has done without either says so with
//! [`Ich::synchronize`].
//!
//! Source: Arm GIC Architecture Specification IHI 0069, "The GIC virtual CPU interface" and the pages
//! of the registers.

use crate::{
    el2::ICH_HCR_EL2,
    machine::{
        Machine,
        VheHost, //
    },
    pinned::PinnedCpu,
    sysreg::{
        isb,
        mrs,
        msr, //
    },
};
use core::marker::PhantomData;
use kvm_core::{
    cpu::hardening::Midr,
    idreg::IchVtrEl2,
    sysreg::SysReg, //
};

/// Maintenance Interrupt State Register.
const ICH_MISR_EL2: SysReg = SysReg::of::<3, 4, 12, 11, 2>();
/// End of Interrupt Status Register.
const ICH_EISR_EL2: SysReg = SysReg::of::<3, 4, 12, 11, 3>();
/// Empty List Register Status Register.
const ICH_ELRSR_EL2: SysReg = SysReg::of::<3, 4, 12, 11, 5>();
/// Virtual Machine Control Register.
const ICH_VMCR_EL2: SysReg = SysReg::of::<3, 4, 12, 11, 7>();

/// ICH_HCR_EL2.TC: accesses to what is common to both groups trap, ICV_DIR_EL1 among them.
const HCR_TC: u64 = 1 << 10;
/// ICH_HCR_EL2.TALL0: accesses to the registers of group 0 trap.
const HCR_TALL0: u64 = 1 << 11;
/// ICH_HCR_EL2.TALL1: accesses to the registers of group 1 trap.
const HCR_TALL1: u64 = 1 << 12;
/// ICH_HCR_EL2.TDIR: writes to ICV_DIR_EL1 trap.
const HCR_TDIR: u64 = 1 << 14;

/// The most list registers that there can be.
pub const MAX_LIST_REGISTERS: usize = 16;

/// The most registers of active priorities that a group can have.
pub const MAX_ACTIVE_PRIORITIES: usize = 4;

/// A list register that all CPUs have.
///
/// # Invariants
///
/// The number is below that of the list registers of the system's [`VirtualInterface`], and so below
/// [`MAX_LIST_REGISTERS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ListRegister(u8);

impl ListRegister {
    /// Its number.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One of the two groups of interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Group 0, which a CPU takes as FIQ.
    Zero,
    /// Group 1, which a CPU takes as IRQ.
    One,
}

/// What the virtual CPU interfaces of all CPUs have, and the proof that they are there.
///
/// # Invariants
///
/// The CPUs that are in use have the registers `ICH_*_EL2` and have them in use, with at least as many
/// list registers and bits of preemption as `vtr` says.
#[derive(Clone, Copy)]
pub struct VirtualInterface {
    vtr: IchVtrEl2,
    midr: Midr,
    _vhe: VheHost,
}

impl VirtualInterface {
    /// That of a machine.
    pub fn of(machine: &Machine) -> Self {
        // INVARIANT: `Machine::probe()` refuses a machine without, and `Machine::check_cpu()` looks at
        // each CPU before it is in use, for the same ICH_VTR_EL2.
        Self {
            vtr: machine.capabilities.vtr,
            midr: machine.midr(),
            _vhe: machine.host,
        }
    }

    /// ICH_VTR_EL2.
    #[inline]
    pub const fn vtr(self) -> IchVtrEl2 {
        self.vtr
    }

    /// The number of list registers, 1 to 16.
    #[inline]
    pub const fn list_registers(self) -> usize {
        self.vtr.list_registers() as usize
    }

    /// The list register with a number; [`None`] if there is no such.
    #[inline]
    pub const fn list_register(self, index: usize) -> Option<ListRegister> {
        if index < self.list_registers() {
            // INVARIANT: Just checked.
            Some(ListRegister(index as u8))
        } else {
            None
        }
    }

    /// The number of bits that a virtual interrupt's priority has, 5 to 8.
    #[inline]
    pub const fn priority_bits(self) -> u8 {
        self.vtr.priority_bits()
    }

    /// The number of those that count for preemption, 5 to 7.
    #[inline]
    pub const fn preemption_bits(self) -> u8 {
        self.vtr.preemption_bits()
    }

    /// The number of registers that hold a group's active priorities: 1, 2 or 4, a bit for each level
    /// of preemption. IHI 0069, ICH_AP0R\<n\>_EL2.
    #[inline]
    pub const fn active_priorities(self) -> usize {
        match self.preemption_bits() {
            ..=5 => 1,
            6 => 2,
            _ => 4,
        }
    }

    /// The number of bits of a virtual interrupt's identifier: 24, or else 16.
    #[inline]
    pub const fn intid_bits(self) -> u8 {
        match self.vtr.intid_bits() {
            Some(bits) => bits,
            None => 16,
        }
    }

    /// Whether affinity level 3 may be other than 0 (ICV_CTLR_EL1.A3V).
    #[inline]
    pub const fn has_affinity_3(self) -> bool {
        self.vtr.a3v()
    }

    /// Whether the guest is to be told of SErrors by its CPU interface (ICV_CTLR_EL1.SEIS).
    #[inline]
    pub const fn has_seis(self) -> bool {
        self.vtr.seis() && !self.has_broken_seis()
    }

    /// Whether the GIC can inject virtual interrupts by itself, GICv4.
    #[inline]
    pub const fn has_direct_injection(self) -> bool {
        !self.vtr.nv4()
    }

    /// The bits of ICH_HCR_EL2 that make writes to ICV_DIR_EL1 trap. Where there is no trap of their
    /// own (ICH_VTR_EL2.TDS is 0), all that is common to both groups traps with them.
    #[inline]
    pub const fn dir_trap(self) -> u64 {
        if self.vtr.tds() {
            HCR_TDIR
        } else {
            HCR_TC
        }
    }

    /// The bits of ICH_HCR_EL2 that have to be set whatever the VM, for a guest that does with its CPU
    /// interface what it should not does harm to the host otherwise.
    #[inline]
    pub const fn required_traps(self) -> u64 {
        if self.has_broken_seis() {
            HCR_TALL0 | HCR_TALL1 | self.dir_trap()
        } else {
            0
        }
    }

    /// Whether a guest can cause SErrors by its CPU interface that the host takes: Apple's cores, as a
    /// hypervisor may show them to a kernel of which it emulates the GIC.
    const fn has_broken_seis(self) -> bool {
        /// MIDR_EL1.Implementer of Apple.
        const APPLE: u64 = 0x61;

        self.vtr.seis() && self.midr.0 >> 24 & 0xff == APPLE
    }

    /// The registers of the CPU that the caller stays on.
    #[inline]
    pub fn on(self, _cpu: &PinnedCpu) -> Ich<'_> {
        // INVARIANT: The caller stays on this CPU while it lends `_cpu`.
        Ich {
            interface: self,
            _cpu: PhantomData,
        }
    }
}

/// The registers `ICH_*_EL2` of the current CPU.
///
/// # Invariants
///
/// The thread stays on this CPU as long as the value exists.
#[derive(Clone, Copy)]
pub struct Ich<'a> {
    interface: VirtualInterface,
    _cpu: PhantomData<&'a PinnedCpu>,
}

/// An accessor of each of a bank's registers: the encoding is part of the instruction, so there is one
/// for each.
macro_rules! with_list_registers {
    ($do:ident) => {
        $do! {
            0 = (12, 0), 1 = (12, 1), 2 = (12, 2), 3 = (12, 3),
            4 = (12, 4), 5 = (12, 5), 6 = (12, 6), 7 = (12, 7),
            8 = (13, 0), 9 = (13, 1), 10 = (13, 2), 11 = (13, 3),
            12 = (13, 4), 13 = (13, 5), 14 = (13, 6), 15 = (13, 7),
        }
    };
}

macro_rules! list_registers {
    ($($n:literal = ($crm:literal, $op2:literal),)*) => {
        impl Ich<'_> {
            /// Reads a list register, ICH_LR\<n\>_EL2.
            #[inline]
            pub fn list_register(self, n: ListRegister) -> u64 {
                match n.0 {
                    // SAFETY: By the invariants of `VirtualInterface` and `ListRegister` the CPU has
                    // the register. Reading it has no side effects.
                    $($n => unsafe { mrs!(SysReg::of::<3, 4, 12, $crm, $op2>(), nomem) },)*
                    _ => 0,
                }
            }

            /// Writes a list register.
            #[inline]
            pub fn set_list_register(self, n: ListRegister, value: u64) {
                match n.0 {
                    // SAFETY: By the invariants of `VirtualInterface` and `ListRegister` the CPU has
                    // the register. It is of no account to the host.
                    $($n => unsafe { msr!(SysReg::of::<3, 4, 12, $crm, $op2>(), value, nomem) },)*
                    _ => {}
                }
            }

            /// Writes the first list registers, as many as there are `values`; what is more than the
            /// CPU has list registers for is left out. Without a jump, unlike one after the other.
            #[inline]
            pub fn set_list_registers(self, values: &[u64]) {
                let count = values.len().min(self.interface.list_registers());
                $(
                    let Some(value) = values[..count].get($n) else { return };
                    // SAFETY: As above.
                    unsafe { msr!(SysReg::of::<3, 4, 12, $crm, $op2>(), *value, nomem) };
                )*
            }

            /// Reads the first list registers, as many as there are `values`; where the CPU has not as
            /// many the rest is left as it was.
            #[inline]
            pub fn list_registers(self, values: &mut [u64]) {
                let count = values.len().min(self.interface.list_registers());
                $(
                    let Some(value) = values[..count].get_mut($n) else { return };
                    // SAFETY: As above.
                    *value = unsafe { mrs!(SysReg::of::<3, 4, 12, $crm, $op2>(), nomem) };
                )*
            }
        }
    };
}

with_list_registers!(list_registers);

/// Defines a register that each CPU with a virtual CPU interface has.
macro_rules! registers {
    ($($(#[$meta:meta])* $get:ident $(/ $set:ident)? = $reg:expr;)*) => {
        impl Ich<'_> {
            $(
                $(#[$meta])*
                #[inline]
                pub fn $get(self) -> u64 {
                    // SAFETY: By the invariant of `VirtualInterface` the CPU has the register.
                    // Reading it has no side effects.
                    unsafe { mrs!($reg, nomem) }
                }

                $(
                    /// Writes it.
                    #[inline]
                    pub fn $set(self, value: u64) {
                        // SAFETY: As above; it controls what guests get and may do, and the
                        // maintenance interrupt, and all of it ends by writing it anew.
                        unsafe { msr!($reg, value, nomem) };
                    }
                )?
            )*
        }
    };
}

registers! {
    /// ICH_HCR_EL2: whether there are virtual interrupts, what traps, and when there are maintenance
    /// interrupts.
    hcr / set_hcr = ICH_HCR_EL2;
    /// ICH_VMCR_EL2: the guest's view of the controls of its CPU interface.
    vmcr / set_vmcr = ICH_VMCR_EL2;
    /// ICH_MISR_EL2: why there is a maintenance interrupt.
    misr = ICH_MISR_EL2;
    /// ICH_EISR_EL2: the list registers, a bit for each, whose interrupt has ended and wants that to
    /// be known.
    eisr = ICH_EISR_EL2;
    /// ICH_ELRSR_EL2: the list registers, a bit for each, that hold nothing.
    elrsr = ICH_ELRSR_EL2;
}

impl Ich<'_> {
    /// What the CPU has.
    #[inline]
    pub fn interface(self) -> VirtualInterface {
        self.interface
    }

    /// Reads a group's active priorities, ICH_AP0R\<n\>_EL2 or ICH_AP1R\<n\>_EL2; zero in what the
    /// CPU does not have.
    #[inline]
    pub fn active_priorities(self, group: Group) -> [u32; MAX_ACTIVE_PRIORITIES] {
        let mut values = [0; MAX_ACTIVE_PRIORITIES];
        let count = self.interface.active_priorities();

        // SAFETY: By the invariant of `VirtualInterface` the CPU has as many. Reading them has no side
        // effects.
        unsafe {
            match group {
                Group::Zero => {
                    values[0] = mrs!(SysReg::of::<3, 4, 12, 8, 0>(), nomem) as u32;
                    if count > 1 {
                        values[1] = mrs!(SysReg::of::<3, 4, 12, 8, 1>(), nomem) as u32;
                    }
                    if count > 2 {
                        values[2] = mrs!(SysReg::of::<3, 4, 12, 8, 2>(), nomem) as u32;
                        values[3] = mrs!(SysReg::of::<3, 4, 12, 8, 3>(), nomem) as u32;
                    }
                }
                Group::One => {
                    values[0] = mrs!(SysReg::of::<3, 4, 12, 9, 0>(), nomem) as u32;
                    if count > 1 {
                        values[1] = mrs!(SysReg::of::<3, 4, 12, 9, 1>(), nomem) as u32;
                    }
                    if count > 2 {
                        values[2] = mrs!(SysReg::of::<3, 4, 12, 9, 2>(), nomem) as u32;
                        values[3] = mrs!(SysReg::of::<3, 4, 12, 9, 3>(), nomem) as u32;
                    }
                }
            }
        }
        values
    }

    /// Writes a group's active priorities; what the CPU does not have is left out.
    ///
    /// A priority that is active in both groups is UNPREDICTABLE, so values of a user's are to be made
    /// such that none is.
    #[inline]
    pub fn set_active_priorities(self, group: Group, values: [u32; MAX_ACTIVE_PRIORITIES]) {
        let [v0, v1, v2, v3] = values.map(u64::from);
        let count = self.interface.active_priorities();

        // SAFETY: By the invariant of `VirtualInterface` the CPU has as many. They are of no account to
        // the host.
        unsafe {
            match group {
                Group::Zero => {
                    msr!(SysReg::of::<3, 4, 12, 8, 0>(), v0, nomem);
                    if count > 1 {
                        msr!(SysReg::of::<3, 4, 12, 8, 1>(), v1, nomem);
                    }
                    if count > 2 {
                        msr!(SysReg::of::<3, 4, 12, 8, 2>(), v2, nomem);
                        msr!(SysReg::of::<3, 4, 12, 8, 3>(), v3, nomem);
                    }
                }
                Group::One => {
                    msr!(SysReg::of::<3, 4, 12, 9, 0>(), v0, nomem);
                    if count > 1 {
                        msr!(SysReg::of::<3, 4, 12, 9, 1>(), v1, nomem);
                    }
                    if count > 2 {
                        msr!(SysReg::of::<3, 4, 12, 9, 2>(), v2, nomem);
                        msr!(SysReg::of::<3, 4, 12, 9, 3>(), v3, nomem);
                    }
                }
            }
        }
    }

    /// Leaves nothing of a guest: no virtual interrupts, no traps, no maintenance interrupts.
    ///
    /// After a reset the registers are UNKNOWN, so a CPU that comes into use needs it as well.
    pub fn reset(self) {
        self.set_hcr(0);
        self.set_list_registers(&[0; MAX_LIST_REGISTERS]);
        for group in [Group::Zero, Group::One] {
            self.set_active_priorities(group, [0; MAX_ACTIVE_PRIORITIES]);
        }
        self.set_vmcr(0);
        self.synchronize();
    }

    /// Makes what was written count for what is read after it.
    #[inline]
    pub fn synchronize(self) {
        isb();
    }
}
