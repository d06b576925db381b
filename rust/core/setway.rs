// SPDX-License-Identifier: GPL-2.0

//! Cache maintenance by set/way, and what replaces it.
//!
//! DC ISW, CSW and CISW cannot be virtualized: they act on one CPU's caches, while a guest's lines
//! are in those of every CPU that its vCPUs ran on, and caches of the system do not hear of them. A
//! guest has one use for them: to write back or drop all it has cached, around the moment when it
//! turns its caches off or on. So the hypervisor cleans and invalidates all memory of the VM by
//! address, to the Point of Coherency, at the moments that matter ("flush" below):
//!
//! - A set/way operation while nothing is watched: the guest has turned its caches off, or is about
//!   to. Flush, and watch the registers of the translation regime (HCR_EL2.TVM), to see when.
//! - A watched vCPU turns its caches off: what it has cached since the flush must be in memory,
//!   which it reads from now on. Flush.
//! - A watched vCPU turns its caches on: what is in caches of memory that it wrote past them, fetched
//!   by a speculative access or through the host's mapping, must go. Flush, and stop watching.
//! - Further set/way operations while watched: nothing, a flush comes with the next change.
//!
//! "On" means SCTLR_EL1.M and C both: with stage 1 translation off, data accesses are to Device
//! memory, which is not cached, whatever C says.
//!
//! Each vCPU has a state of its own, since each has caches to turn on and off; a flush is for the
//! whole VM, as its memory is. Other vCPUs may run meanwhile and dirty lines again, as the other
//! CPUs of a machine may on which one uses set/way operations. A vCPU that was reset is watched from
//! the start: its caches are off, and turning them on for the first time is the same case.
//!
//! A CPU with FEAT_S2FWB needs none of this. The hypervisor maps memory there with stage 2's MemAttr
//! 0b110, Normal Write-Back, which wins over the attributes of stage 1 and of a stage 1 that is off:
//! no access of a guest goes past the caches, so caches and memory never differ for it. Set/way
//! operations still trap, HCR_EL2.TSW, so that a guest cannot empty the host's caches, and do
//! nothing.

use crate::bit_struct;

bit_struct! {
    /// The bits of SCTLR_EL1, or of AArch32's SCTLR, that turn caches on.
    pub struct SctlrCache("SCTLR_EL1") {
        /// Stage 1 translation is on.
        m / with_m: flag 0,
        /// Data accesses may be cacheable.
        c / with_c: flag 2,
    }
}

impl SctlrCache {
    /// Whether data is cached.
    #[inline]
    pub const fn caches_on(self) -> bool {
        self.m() && self.c()
    }
}

/// Who decides whether the guest's accesses are cacheable.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Cacheability {
    /// Stage 1: the guest, which may access memory past the caches.
    Guest,
    /// Stage 2: all accesses to memory are cacheable (FEAT_S2FWB).
    Forced,
}

/// What the hypervisor has to do.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Clean and invalidate all memory that is mapped in the VM's stage 2, by address, to the Point
    /// of Coherency. For a write of SCTLR, before the write takes effect if it turns caches on, and
    /// after if it turns them off; between exit and entry both is so.
    pub flush: bool,
    /// The vCPU's new HCR_EL2.TVM, if it changes.
    pub tvm: Option<bool>,
}

impl Response {
    /// Nothing is to be done.
    pub const NOTHING: Self = Self {
        flush: false,
        tvm: None,
    };
}

/// What is known of a vCPU's caches.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SetWay {
    cacheability: Cacheability,
    watching: bool,
}

impl SetWay {
    /// Returns the state of a vCPU that was reset.
    #[inline]
    pub const fn new(cacheability: Cacheability) -> Self {
        Self {
            cacheability,
            watching: matches!(cacheability, Cacheability::Guest),
        }
    }

    /// Whether the vCPU's HCR_EL2.TVM is set on behalf of this.
    #[inline]
    pub const fn tvm(&self) -> bool {
        self.watching
    }

    /// The vCPU executes a set/way operation.
    #[inline]
    pub fn set_way(&mut self) -> Response {
        if self.watching || matches!(self.cacheability, Cacheability::Forced) {
            return Response::NOTHING;
        }
        self.watching = true;
        Response {
            flush: true,
            tvm: Some(true),
        }
    }

    /// The vCPU has written a register that TVM traps; `before` and `after` are SCTLR_EL1 before and
    /// after, the same value if it is another register.
    ///
    /// TVM may be set for someone else, too: while this state does not watch, nothing happens.
    #[inline]
    pub fn vm_register(&mut self, before: SctlrCache, after: SctlrCache) -> Response {
        if !self.watching {
            return Response::NOTHING;
        }
        let on = after.caches_on();
        self.watching = !on;
        Response {
            flush: on != before.caches_on(),
            tvm: if on { Some(false) } else { None },
        }
    }
}
