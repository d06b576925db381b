// SPDX-License-Identifier: GPL-2.0

//! The instructions that access system registers.

/// Reads the system register that a constant [`SysReg`](kvm_core::sysreg::SysReg) encodes.
///
/// With `nomem` the compiler may move accesses to memory across it, and knows what they gave before.
///
/// # Safety
///
/// To be used in an `unsafe` block: the register exists on this CPU, can be read at the current
/// Exception level, and reading it has no side effect that the compiler would have to know of. The
/// value is that of whichever CPU runs the instruction.
macro_rules! mrs {
    ($reg:expr $(, $option:ident)?) => {{
        const REG: ::kvm_core::sysreg::SysReg = $reg;
        let value: u64;

        ::kernel::asm!(
            "mrs {value}, S{op0}_{op1}_C{crn}_C{crm}_{op2}";
            value = out(reg) value,
            op0 = const REG.op0(),
            op1 = const REG.op1(),
            crn = const REG.crn(),
            crm = const REG.crm(),
            op2 = const REG.op2(),
            options(nostack, preserves_flags $(, $option)?),
        );

        value
    }};
}

/// Writes the system register that a constant [`SysReg`](kvm_core::sysreg::SysReg) encodes.
///
/// With `nomem` the compiler may move accesses to memory across it, and knows what they gave before.
///
/// # Safety
///
/// To be used in an `unsafe` block: the register exists on this CPU and can be written at the current
/// Exception level, and the value is one that the host can live with. It takes effect with the next
/// context synchronization event.
macro_rules! msr {
    ($reg:expr, $value:expr $(, $option:ident)?) => {{
        const REG: ::kvm_core::sysreg::SysReg = $reg;
        let value: u64 = $value;

        ::kernel::asm!(
            "msr S{op0}_{op1}_C{crn}_C{crm}_{op2}, {value}";
            value = in(reg) value,
            op0 = const REG.op0(),
            op1 = const REG.op1(),
            crn = const REG.crn(),
            crm = const REG.crm(),
            op2 = const REG.op2(),
            options(nostack, preserves_flags $(, $option)?),
        );
    }};
}

/// Makes earlier writes of system registers take effect before what follows.
#[inline(always)]
pub(crate) fn isb() {
    // SAFETY: A barrier. It is no `nomem`, so the compiler orders memory accesses by it, too.
    unsafe { ::kernel::asm!("isb"; options(nostack, preserves_flags)) };
}

pub(crate) use {
    mrs,
    msr, //
};
