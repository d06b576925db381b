// SPDX-License-Identifier: GPL-2.0

//! Compares the identifiers of registers with Linux's headers, as a C compiler sees them.
//!
//! Not part of the usual run, which has no kernel source; the compiler is `$CC` or
//! `aarch64-linux-gnu-gcc`:
//! `SYSREG_FILE=.../arch/arm64/tools/sysreg cargo test --test linux_one_reg -- --ignored`

#[path = "common/linux.rs"]
mod linux;

use kvm_core::{
    one_reg::CoreReg,
    register::Reg, //
};

/// The field of `struct kvm_regs` that holds a register.
fn field(reg: CoreReg) -> String {
    match reg {
        CoreReg::Gpr(n) => format!("regs.regs[{n}]"),
        CoreReg::Pc => "regs.pc".into(),
        CoreReg::Pstate => "regs.pstate".into(),
        CoreReg::Sysreg(Reg::SP_EL0) => "regs.sp".into(),
        CoreReg::Sysreg(Reg::SP_EL1) => "sp_el1".into(),
        CoreReg::Sysreg(Reg::ELR_EL1) => "elr_el1".into(),
        CoreReg::Sysreg(Reg::SPSR_EL1) => "spsr[KVM_SPSR_EL1]".into(),
        CoreReg::Sysreg(Reg::SPSR_abt) => "spsr[KVM_SPSR_ABT]".into(),
        CoreReg::Sysreg(Reg::SPSR_und) => "spsr[KVM_SPSR_UND]".into(),
        CoreReg::Sysreg(Reg::SPSR_irq) => "spsr[KVM_SPSR_IRQ]".into(),
        CoreReg::Sysreg(Reg::SPSR_fiq) => "spsr[KVM_SPSR_FIQ]".into(),
        CoreReg::Sysreg(reg) => panic!("{reg} is no core register"),
        CoreReg::Vreg(n) => format!("fp_regs.vregs[{n}]"),
        CoreReg::Fpsr => "fp_regs.fpsr".into(),
        CoreReg::Fpcr => "fp_regs.fpcr".into(),
    }
}

#[test]
#[ignore = "needs the kernel source, see the top of the file"]
fn core_registers() {
    let expected: Vec<_> = CoreReg::all()
        .map(|reg| {
            let field = field(reg);
            let size = reg.size().bytes().trailing_zeros();
            let id = format!(
                "KVM_REG_ARM64 | KVM_REG_ARM_CORE | {size}UL << KVM_REG_SIZE_SHIFT \
                 | KVM_REG_ARM_CORE_REG({field})"
            );
            let bytes = format!("sizeof(((struct kvm_regs *)0)->{field})");
            [(id, reg.id()), (bytes, reg.size().bytes() as u64)]
        })
        .collect();
    let pairs: Vec<_> = expected
        .iter()
        .flatten()
        .map(|(c, ours)| (c.as_str(), *ours))
        .collect();
    assert_eq!(pairs.len(), 2 * (31 + 3 + 7 + 32 + 2));
    linux::check(&pairs);
}

#[test]
#[ignore = "needs the kernel source, see the top of the file"]
fn system_registers() {
    let expected: Vec<_> = Reg::all()
        .filter(|reg| !matches!(*reg, Reg::CNTV_CVAL_EL0 | Reg::CNTVCT_EL0))
        .map(|reg| {
            let at = reg.encoding();
            let id = format!(
                "ARM64_SYS_REG({}, {}, {}, {}, {})",
                at.op0(),
                at.op1(),
                at.crn(),
                at.crm(),
                at.op2()
            );
            (id, at.to_one_reg())
        })
        .collect();
    let mut pairs: Vec<_> = expected
        .iter()
        .map(|(c, ours)| (c.as_str(), *ours))
        .collect();
    pairs.extend([
        (
            "KVM_REG_ARM_TIMER_CVAL",
            Reg::CNTV_CVAL_EL0.encoding().to_one_reg(),
        ),
        (
            "KVM_REG_ARM_TIMER_CNT",
            Reg::CNTVCT_EL0.encoding().to_one_reg(),
        ),
        (
            "KVM_REG_ARM_PTIMER_CVAL",
            Reg::CNTP_CVAL_EL0.encoding().to_one_reg(),
        ),
        (
            "KVM_REG_ARM_PTIMER_CTL",
            Reg::CNTP_CTL_EL0.encoding().to_one_reg(),
        ),
        (
            "KVM_REG_ARM_PTIMER_CNT",
            Reg::CNTPCT_EL0.encoding().to_one_reg(),
        ),
    ]);
    linux::check(&pairs);
}
