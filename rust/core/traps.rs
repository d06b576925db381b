// SPDX-License-Identifier: GPL-2.0

//! Which instructions and registers of a VM trap to EL2.
//!
//! A guest must not see what its ID registers deny: where hardware lets the hypervisor trap a feature
//! that a VM lacks, it is trapped, and the guest gets UNDEFINED. `fine` is the vocabulary of
//! fine-grained traps, whose bits have two polarities; `instructions` has those of instructions;
//! `registers` the other trap registers; `decide` makes their values for a VM. The fine-grained
//! traps of registers belong to the table of registers, not here.

pub mod fine;

pub mod instructions;

pub mod registers;

pub mod decide;

pub use self::{
    decide::{
        cnthctl,
        mdcr,
        HostTraps,
        MdcrInputs,
        VmTraps,
        HSTR_EL2, //
    },
    fine::FineTrap,
    instructions::{
        Hfgitr2El2,
        HfgitrEl2, //
    },
    registers::{
        CnthctlEl2,
        CptrEl2,
        HcrEl2,
        HcrxEl2,
        MdcrEl2, //
    },
};
