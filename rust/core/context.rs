// SPDX-License-Identifier: GPL-2.0

//! A vCPU's registers as the emulation of an instruction sees them.

use crate::{
    bits::Bits,
    esr::{
        Conditional,
        Esr,
        ExceptionClass,
        Immediate, //
    },
    pstate::{
        GuestPstate,
        Pstate32, //
    },
    register::Reg, //
};

/// A general register as an AArch64 instruction names it where 31 means the zero register, XZR.
///
/// # Invariants
///
/// The number is 0 to 31.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Gpr(u8);

impl Gpr {
    /// XZR: reads as zero, writes are ignored.
    pub const ZERO: Self = Self(31);

    /// Returns register `index`, or [`None`] if it is above 31.
    #[inline]
    pub const fn new(index: u8) -> Option<Self> {
        if index <= 31 {
            Some(Self(index))
        } else {
            None
        }
    }

    /// Returns the register that a field of a syndrome names.
    #[inline]
    pub const fn from_bits(bits: Bits<5>) -> Self {
        Self(bits.get() as u8)
    }

    /// Returns the register's field in a syndrome.
    #[inline]
    pub const fn into_bits(self) -> Bits<5> {
        Bits::truncated(self.0 as u64)
    }
}

impl From<Bits<5>> for Gpr {
    #[inline]
    fn from(bits: Bits<5>) -> Self {
        Self::from_bits(bits)
    }
}

/// X0 to X30.
///
/// For who implements [`Context`]: the zero register is right here, once.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Gprs(pub [u64; 31]);

impl Gprs {
    /// Returns the register's value, 0 for XZR.
    #[inline]
    pub fn get(&self, index: Gpr) -> u64 {
        self.0.get(usize::from(index.0)).copied().unwrap_or(0)
    }

    /// Sets the register; nothing is done for XZR.
    #[inline]
    pub fn set(&mut self, index: Gpr, value: u64) {
        if let Some(register) = self.0.get_mut(usize::from(index.0)) {
            *register = value;
        }
    }
}

/// A vCPU's registers, wherever they are at the moment.
///
/// In AArch32 state a general register is the AArch64 register that holds it, which is also how the
/// syndrome of a trap names it.
pub trait Context {
    /// Returns a system register.
    fn sysreg(&self, reg: Reg) -> u64;

    /// Sets a system register.
    fn set_sysreg(&mut self, reg: Reg, value: u64);

    /// Returns a general register; XZR reads as zero. See [`Gprs`].
    fn gpr(&self, index: Gpr) -> u64;

    /// Sets a general register; writes to XZR are ignored. See [`Gprs`].
    fn set_gpr(&mut self, index: Gpr, value: u64);

    /// Returns the program counter, the address of the trapped instruction.
    fn pc(&self) -> u64;

    /// Sets the program counter.
    fn set_pc(&mut self, pc: u64);

    /// Returns PSTATE.
    fn pstate(&self) -> GuestPstate;

    /// Sets PSTATE.
    fn set_pstate(&mut self, pstate: GuestPstate);

    /// Skips the trapped instruction, which has been emulated or does nothing.
    ///
    /// `esr` is the trap's ESR_EL2: its IL tells a T32 instruction of 2 bytes from one of 4. All
    /// others have 4 bytes, whatever IL says: it is also set where length has no meaning, and no
    /// value of it may take an A64 program counter off its alignment. PSTATE changes as
    /// [`GuestPstate::after_instruction`] says. In AArch32 state the program counter wraps at 32
    /// bits.
    #[inline]
    fn advance(&mut self, esr: Esr) {
        let pstate = self.pstate();
        let pc = match pstate.aarch32() {
            None => self.pc().wrapping_add(4),
            Some(aarch32) => {
                let length = if aarch32.t() && !esr.il() { 2 } else { 4 };
                u64::from((self.pc() as u32).wrapping_add(length))
            }
        };
        self.set_pc(pc);
        self.set_pstate(pstate.after_instruction());
    }

    /// Whether the trapped instruction passes its condition; one that does not is only skipped.
    ///
    /// A CPU may trap a conditional AArch32 instruction before it has looked at the condition. What
    /// cannot be conditional passes.
    ///
    /// Source: Arm ARM, ESR_EL2, CV and COND under the ISS encodings that have them, and
    /// "EL2 configurable instruction enables, disables, and traps", conditional instructions.
    #[inline]
    fn condition_passed(&self, esr: Esr) -> bool {
        match self.pstate().aarch32() {
            Some(pstate) => trapped_condition_holds(esr, pstate),
            None => true,
        }
    }
}

/// Whether an instruction that trapped with `esr` in AArch32 state `pstate` passes its condition.
fn trapped_condition_holds(esr: Esr, pstate: Pstate32) -> bool {
    use ExceptionClass as Ec;

    match esr.ec() {
        Ec::Wfx
        | Ec::Cp15Mcr
        | Ec::Cp15Mcrr
        | Ec::Cp14Mcr
        | Ec::Cp14Ldc
        | Ec::SimdFp
        | Ec::Vmrs
        | Ec::Cp14Mrrc => {}
        // The fields are RES0 if the condition is known to have passed.
        Ec::Smc32 if Immediate::from_raw(esr.payload()).ccknownpass() => {}
        _ => return true,
    }
    // These classes have CV and COND in the same places.
    let conditional = Conditional::from_raw(esr.payload());
    let cond = if conditional.cv() {
        conditional.cond()
    } else {
        // A T32 instruction: the condition is that of its place in an IT block, if it is in one.
        // ITSTATE[7:4] are bits 5 to 2 of the high part.
        if pstate.it_hi() == 0 && pstate.it_lo() == 0 {
            return true;
        }
        Bits::truncated(pstate.it_hi().get() >> 2)
    };
    condition_holds(cond, pstate)
}

/// Whether the flags of `pstate` fulfil condition `cond`.
///
/// Source: Arm ARM, the pseudocode function ConditionHolds. 0b1111 is "always", like 0b1110.
pub const fn condition_holds(cond: Bits<4>, pstate: Pstate32) -> bool {
    let base = match cond.get() >> 1 {
        0 => pstate.z(),
        1 => pstate.c(),
        2 => pstate.n(),
        3 => pstate.v(),
        4 => pstate.c() && !pstate.z(),
        5 => pstate.n() == pstate.v(),
        6 => pstate.n() == pstate.v() && !pstate.z(),
        _ => return true,
    };
    base != (cond.get() & 1 != 0)
}
