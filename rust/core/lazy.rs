// SPDX-License-Identifier: GPL-2.0

//! Registers that are moved only when it matters: whose state is in the CPU, and is it dirty?
//!
//! A *bank* is a group of registers of a guest that is moved as one. [`Bank`] answers for one of them
//! what is to be moved and what is to trap; it moves nothing itself. What happens to a bank:
//!
//! ```text
//!   begin      a stay begins: the guest may get the CPU's registers from here on, and is the only one
//!   trapped    an access of the guest has trapped
//!   peek, poke the registers are read or written on the guest's behalf: by its VMM, by emulation
//!   give_back  the stay ends: the CPU's registers are another's from here on
//! ```
//!
//! How long a stay is depends on the bank: from load to put, or from an entry of the guest to the
//! next moment when the host may use the registers. Where the registers are shared with the host, a
//! restore saves the host's before, and what gives them back restores them.

pub mod bank;

pub mod trap;

pub use self::{
    bank::{
        Access,
        Bank,
        Events,
        Give,
        Policy,
        State,
        Take,
        Traps, //
    },
    trap::TrapField,
};
