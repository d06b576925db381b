// SPDX-License-Identifier: GPL-2.0

//! An exit from the guest.

/// Why the guest was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// A synchronous exception: ESR_EL2 says which.
    Sync,
    /// An interrupt for the host, IRQ or FIQ.
    Interrupt,
    /// An SError.
    SError,
    /// PSTATE is none that this CPU can be in.
    Illegal,
}

/// An exit from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Why.
    pub code: ExitCode,
    /// The syndrome of an SError that became pending on the way out.
    pub pending_serror: Option<u64>,
}
