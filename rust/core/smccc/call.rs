// SPDX-License-Identifier: GPL-2.0

//! A call, and what it leaves in the caller's registers.

use crate::smccc::function::FunctionId;

/// The call was carried out. DEN0028, "Return codes", as the other three.
pub const SUCCESS: i64 = 0;

/// There is no such function, or the caller may not use it.
pub const NOT_SUPPORTED: i64 = -1;

/// The call exists but has nothing to do here.
pub const NOT_REQUIRED: i64 = -2;

/// An argument is out of range.
pub const INVALID_PARAMETER: i64 = -3;

/// The instruction that a call is made with.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// HVC. The preferred return address is the next instruction already.
    Hvc,
    /// SMC that HCR_EL2.TSC traps. It is a trapped instruction like any other: the preferred return
    /// address is the SMC itself.
    Smc,
}

impl Conduit {
    /// Whether the instruction has still to be stepped over.
    ///
    /// That is to be done before the call is handled and whatever its outcome is: at an exit to
    /// user space PC is behind the instruction with either conduit (api.rst, "KVM_EXIT_HYPERCALL"),
    /// and a vCPU that is powered off and on again must not find a skip left over.
    #[inline]
    pub const fn needs_skip(self) -> bool {
        matches!(self, Self::Smc)
    }
}

/// X0 to X3, or R0 to R3 in AArch32 state.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Registers(pub [u64; 4]);

impl Registers {
    /// Returns the registers with `x0` in the first and zero in the others.
    #[inline]
    pub const fn value(x0: u64) -> Self {
        Self([x0, 0, 0, 0])
    }

    /// Returns the registers with a return code, sign-extended, in X0 and zero in the others.
    #[inline]
    pub const fn code(code: i64) -> Self {
        Self::value(code as u64)
    }

    /// Returns the registers with a return code in the first and the others as they are.
    #[inline]
    pub const fn with_code(self, code: i64) -> Self {
        let Self([_, x1, x2, x3]) = self;
        Self([code as u64, x1, x2, x3])
    }

    /// Returns the registers with the upper halves of X1 to X3 cleared: the arguments of an SMC32
    /// call are the lower halves.
    #[inline]
    pub const fn with_narrow_arguments(self) -> Self {
        let Self([x0, x1, x2, x3]) = self;
        Self([x0, x1 as u32 as u64, x2 as u32 as u64, x3 as u32 as u64])
    }

    /// Returns the registers that a UUID is returned in, by DEN0028, "General service queries".
    ///
    /// `uuid` is in the order in which it is written; the first byte goes to the lowest bits.
    #[inline]
    pub const fn uuid(uuid: &[u8; 16]) -> Self {
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15] = *uuid;
        Self([
            u32::from_le_bytes([b0, b1, b2, b3]) as u64,
            u32::from_le_bytes([b4, b5, b6, b7]) as u64,
            u32::from_le_bytes([b8, b9, b10, b11]) as u64,
            u32::from_le_bytes([b12, b13, b14, b15]) as u64,
        ])
    }
}

/// A call as the guest makes it.
///
/// # Invariants
///
/// The upper halves of the registers are clear if the caller is in AArch32 state. They are not its
/// own, and what the CPU has there after the exception is not defined.
#[derive(Copy, Clone, Debug)]
pub struct Call {
    conduit: Conduit,
    aarch32: bool,
    short: bool,
    immediate: u16,
    registers: Registers,
}

impl Call {
    /// Returns the call that an exception reports.
    ///
    /// `aarch32` is the caller's state. `immediate` and `il` are ISS.imm16 and IL of ESR_EL2; an
    /// SMC from AArch32 has no immediate and zero stands there. The condition of an AArch32
    /// instruction has been found to pass.
    #[inline]
    pub const fn new(
        conduit: Conduit,
        aarch32: bool,
        immediate: u16,
        il: bool,
        registers: Registers,
    ) -> Self {
        let registers = if aarch32 {
            let Registers([x0, ..]) = registers;
            let Registers([_, x1, x2, x3]) = registers.with_narrow_arguments();
            Registers([x0 as u32 as u64, x1, x2, x3])
        } else {
            registers
        };
        Self {
            conduit,
            aarch32,
            short: !il,
            immediate,
            registers,
        }
    }

    /// Returns which instruction it is made with.
    #[inline]
    pub const fn conduit(&self) -> Conduit {
        self.conduit
    }

    /// Whether the caller is in AArch32 state.
    #[inline]
    pub const fn is_aarch32(&self) -> bool {
        self.aarch32
    }

    /// Returns the immediate of the instruction.
    #[inline]
    pub const fn immediate(&self) -> u16 {
        self.immediate
    }

    /// Returns the caller's registers.
    #[inline]
    pub const fn registers(&self) -> Registers {
        self.registers
    }

    /// Returns which function is called.
    #[inline]
    pub const fn function(&self) -> FunctionId {
        FunctionId::from_x0(self.registers.0[0])
    }

    /// Returns the first argument where that is a 32-bit number in either convention.
    #[inline]
    pub const fn w1(&self) -> u32 {
        self.registers.0[1] as u32
    }

    /// Returns the exit by which user space is given the call.
    #[inline]
    pub const fn forward(&self) -> Hypercall {
        let smc = match self.conduit {
            Conduit::Hvc => 0,
            Conduit::Smc => Hypercall::SMC,
        };
        let short = if self.short { Hypercall::SHORT } else { 0 };
        Hypercall {
            nr: self.function().raw() as u64,
            flags: smc | short,
        }
    }
}

/// KVM_EXIT_HYPERCALL: what `struct kvm_run::hypercall` says. The other members are zero.
///
/// No register of the guest is changed by it: user space reads the arguments and writes the results
/// by KVM_GET_ONE_REG and KVM_SET_ONE_REG.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Hypercall {
    /// The function, zero-extended.
    pub nr: u64,
    /// [`Hypercall::SMC`] and [`Hypercall::SHORT`].
    pub flags: u64,
}

impl Hypercall {
    /// KVM_HYPERCALL_EXIT_SMC: the conduit is SMC.
    pub const SMC: u64 = 1 << 0;

    /// KVM_HYPERCALL_EXIT_16BIT: the instruction is 16 bits long.
    pub const SHORT: u64 = 1 << 1;
}
