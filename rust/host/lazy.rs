// SPDX-License-Identifier: GPL-2.0

//! When a guest's registers are moved: the module's parameters.
//!
//! Root may change them while VMs run, in `/sys/module/kvm_vhe/parameters`; a VM has what they are when
//! it first runs.

use crate::bindings;
use kvm_core::lazy::Policy;

/// The policies of a VM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policies {
    /// FP/SIMD registers, a stay being one in the inner loop or several of them.
    pub fp: Policy,
    /// Breakpoint and watchpoint registers, a stay being one in the inner loop.
    pub debug: Policy,
    /// Registers of which the table says that their writes may be tracked, a stay being one from load
    /// to put.
    pub save: Policy,
}

impl Policies {
    /// What the parameters say.
    pub fn current() -> Self {
        // SAFETY: Static variables, aligned words that may be written at the same time: a volatile read
        // is READ_ONCE().
        let [fp, debug, save] = unsafe {
            [
                (&raw const bindings::kvm_vhe_lazy_fp).read_volatile(),
                (&raw const bindings::kvm_vhe_lazy_debug).read_volatile(),
                (&raw const bindings::kvm_vhe_lazy_save).read_volatile(),
            ]
        };

        Self {
            fp: match fp {
                0 => Policy::Eager,
                1 => Policy::OnUse { adaptive: false },
                _ => Policy::OnUse { adaptive: true },
            },
            debug: match debug {
                0 => Policy::Eager,
                _ => Policy::WhileEnabled { copies: false },
            },
            save: match save {
                0 => Policy::Eager,
                1 => Policy::OnWrite { adaptive: false },
                _ => Policy::OnWrite { adaptive: true },
            },
        }
    }
}
