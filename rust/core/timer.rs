// SPDX-License-Identifier: GPL-2.0

//! The generic timers of a vCPU: its virtual timer and the physical timer of EL1.
//!
//! A timer compares a counter, which is the host's less an offset, with its CVAL, and raises its
//! line, a PPI, from then on. [`TimerState`] is one timer, [`CounterOffsets`] what a VM's counters
//! are behind the host's, [`TimerPpis`] the interrupts' numbers, [`Lines`] what the lines are at,
//! and [`Frequency`] how long it takes until a line changes.
//!
//! Source: Arm ARM DDI 0487, "The Generic Timer in AArch64 state"; api.rst, "4.138
//! KVM_ARM_SET_COUNTER_OFFSET" and "8.9 KVM_CAP_ARM_USER_IRQ"; devices/vcpu.rst, "2. GROUP:
//! KVM_ARM_VCPU_TIMER_CTRL".

pub mod kind;

pub mod frequency;
pub mod lines;
pub mod offset;
pub mod ppi;
pub mod state;

pub use self::{
    frequency::Frequency,
    kind::Timer,
    lines::Lines,
    offset::CounterOffsets,
    ppi::{
        Ppi,
        PpiClash,
        TimerIrq,
        TimerPpis, //
    },
    state::{
        CntCtl,
        TimerReg,
        TimerState, //
    },
};
