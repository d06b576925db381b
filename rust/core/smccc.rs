// SPDX-License-Identifier: GPL-2.0

//! The SMC Calling Convention: how a guest asks its firmware for something, and KVM's filter of
//! such calls.
//!
//! Source: Arm DEN0028, "SMC Calling Convention".

pub mod function;

pub mod call;
pub mod filter;

pub use self::{
    call::{
        Call,
        Conduit,
        Hypercall,
        Registers,
        INVALID_PARAMETER,
        NOT_REQUIRED,
        NOT_SUPPORTED,
        SUCCESS, //
    },
    filter::{
        Action,
        BadFilter,
        Filter,
        FilterError,
        FilterRange,
        KvmSmcccFilter,
        RangeStore,
        StoreFull,
        KVM_ARM_VM_SMCCC_CTRL,
        KVM_ARM_VM_SMCCC_FILTER, //
    },
    function::{
        FunctionId,
        Owner, //
    },
};
