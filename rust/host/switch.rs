// SPDX-License-Identifier: GPL-2.0

//! What the world switch's assembly works on.

use crate::{
    bindings,
    registers::Registers, //
};
use core::{
    cell::Cell,
    mem::offset_of, //
};
use kvm_core::register::Reg;

/// The state that the world switch moves, in the layout of `include/kvm_vhe_switch.h`.
#[repr(C)]
pub(crate) struct SwitchContext {
    /// X0 to X30.
    pub(crate) gpr: [Cell<u64>; 31],
    /// ELR_EL2.
    pub(crate) pc: Cell<u64>,
    /// SPSR_EL2: a [`GuestPstate`](kvm_core::pstate::GuestPstate).
    pub(crate) pstate: Cell<u64>,
    /// ESR_EL2 of the last exit.
    pub(crate) esr: Cell<u64>,
    /// FAR_EL2 of the last exit.
    pub(crate) far: Cell<u64>,
    /// HPFAR_EL2 of the last exit.
    pub(crate) hpfar: Cell<u64>,
    /// The syndrome of an SError that became pending on the way out.
    pub(crate) disr: Cell<u64>,
    /// HCR_EL2 while the guest runs.
    pub(crate) hcr: Cell<u64>,
    /// CPTR_EL2 while the guest runs.
    pub(crate) cptr: Cell<u64>,
    /// VBAR_EL2 while the guest runs.
    pub(crate) vbar: Cell<u64>,
    /// HCR_EL2 of the host on this CPU.
    pub(crate) host_hcr: Cell<u64>,
    /// VBAR_EL2 of the host on this CPU.
    pub(crate) host_vbar: Cell<u64>,
    /// `KVM_VHE_FLAG_*`.
    pub(crate) flags: Cell<u64>,
    /// How many branches clear this CPU's branch history.
    pub(crate) bhb_loops: Cell<u64>,
    /// The system registers.
    pub(crate) regs: Registers,
}

const _: () = {
    assert!(offset_of!(SwitchContext, pc) == bindings::KVM_VHE_CTX_PC as usize);
    assert!(offset_of!(SwitchContext, pstate) == bindings::KVM_VHE_CTX_PSTATE as usize);
    assert!(offset_of!(SwitchContext, esr) == bindings::KVM_VHE_CTX_ESR as usize);
    assert!(offset_of!(SwitchContext, far) == bindings::KVM_VHE_CTX_FAR as usize);
    assert!(offset_of!(SwitchContext, hpfar) == bindings::KVM_VHE_CTX_HPFAR as usize);
    assert!(offset_of!(SwitchContext, disr) == bindings::KVM_VHE_CTX_DISR as usize);
    assert!(offset_of!(SwitchContext, hcr) == bindings::KVM_VHE_CTX_HCR as usize);
    assert!(offset_of!(SwitchContext, cptr) == bindings::KVM_VHE_CTX_CPTR as usize);
    assert!(offset_of!(SwitchContext, vbar) == bindings::KVM_VHE_CTX_VBAR as usize);
    assert!(offset_of!(SwitchContext, host_hcr) == bindings::KVM_VHE_CTX_HOST_HCR as usize);
    assert!(offset_of!(SwitchContext, host_vbar) == bindings::KVM_VHE_CTX_HOST_VBAR as usize);
    assert!(offset_of!(SwitchContext, flags) == bindings::KVM_VHE_CTX_FLAGS as usize);
    assert!(offset_of!(SwitchContext, bhb_loops) == bindings::KVM_VHE_CTX_BHB_LOOPS as usize);
    assert!(offset_of!(SwitchContext, regs) == bindings::KVM_VHE_CTX_REGS as usize);
    assert!(Reg::SP_EL0.index() == bindings::KVM_VHE_REG_SP_EL0 as usize);
    assert!(Reg::APIAKeyLo_EL1.index() == bindings::KVM_VHE_REG_APIAKEYLO as usize);
    assert!(Reg::APIAKeyHi_EL1.index() == bindings::KVM_VHE_REG_APIAKEYLO as usize + 1);
};
