// SPDX-License-Identifier: GPL-2.0

//! What a vCPU counts: its exits, and a few things beside.

use kernel::sync::atomic::Atomic;
use kvm_core::{
    exit_reason::ExitReason,
    stats::{
        log_bucket,
        Unit, //
    },
};
use kvm_host::{
    counters::Counters,
    relaxed, //
};

kvm_host::counters! {
    /// What a vCPU counts beside its exits.
    pub(crate) enum Stat {
        /// Exits that were finished with interrupts off, and the guest entered again.
        InnerLoop = "inner_loop_reentries",
        /// Loads of the vCPU into a CPU.
        Load = "loads",
        /// Puts.
        Put = "puts",
        /// Faults on mapped memory that were finished with interrupts off.
        FastFault = "faults_in_inner_loop",
        /// Writes to devices that the VM's bus took, without an exit to user space.
        BusWrite = "mmio_writes_in_kernel",
        /// Moves of the FP/SIMD registers into a CPU.
        FpRestore = "fp_restores",
        /// Moves of them out of it.
        FpSave = "fp_saves",
        /// Accesses to them that trapped so that they were moved.
        FpTrap = "fp_traps",
        /// Moves of the breakpoint and watchpoint registers into a CPU.
        DebugRestore = "debug_restores",
        /// Moves of them out of it.
        DebugSave = "debug_saves",
        /// Accesses to them that trapped so that they were moved.
        DebugTrap = "debug_traps",
        /// Puts that saved the registers that are saved only if they were written.
        LazySave = "lazy_saves",
        /// Puts that did not, for they were not.
        LazySaveSkipped = "lazy_saves_skipped",
        /// Writes to them that trapped.
        LazySaveTrap = "lazy_save_traps",
        /// Flushes of the VM's memory because of set/way operations.
        SetWayFlush = "set_way_flushes",
        /// Bytes that these cleaned and invalidated.
        SetWayBytes = "set_way_flushed_bytes",
        /// Trapped writes of stage 1's controls.
        TvmTrap = "tvm_traps",
        /// Waits that were over before the thread gave up its CPU, of those that began with polling.
        PollSuccess = "halt_successful_poll",
        /// Waits that began with polling.
        PollAttempt = "halt_attempted_poll",
        /// Those of the former that a signal ended, and no wake-up of the guest.
        PollInvalid = "halt_poll_invalid",
        /// Sleeps that a wake-up of the guest ended.
        WakeUp = "halt_wakeup",
        /// Nanoseconds of polling that was successful.
        PollSuccessTime = "halt_poll_success_ns",
        /// Nanoseconds of polling that was not.
        PollFailTime = "halt_poll_fail_ns",
        /// Nanoseconds of sleep in waits.
        WaitTime = "halt_wait_ns",
    }
}

/// Times of which a vCPU counts how many took how long.
#[derive(Clone, Copy)]
pub(crate) enum Histogram {
    /// Polling that was successful.
    PollSuccess,
    /// Polling that was not.
    PollFail,
    /// Sleeps in waits.
    Wait,
}

impl Histogram {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::PollSuccess, Self::PollFail, Self::Wait];

    /// How many buckets each has; the last is for two seconds, about, and more.
    pub(crate) const BUCKETS: usize = 32;

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PollSuccess => "halt_poll_success_hist",
            Self::PollFail => "halt_poll_fail_hist",
            Self::Wait => "halt_wait_hist",
        }
    }
}

/// A vCPU's histograms. Only its thread counts.
pub(crate) struct Histograms([[Atomic<u64>; Histogram::BUCKETS]; Histogram::ALL.len()]);

impl Histograms {
    /// All zeroes.
    const fn new() -> Self {
        Self([const { [const { Atomic::new(0) }; Histogram::BUCKETS] }; Histogram::ALL.len()])
    }

    /// How many samples there are in a bucket, by its index.
    pub(crate) fn get(&self, histogram: Histogram, bucket: usize) -> u64 {
        self.0[histogram as usize]
            .get(bucket)
            .map_or(0, relaxed::load)
    }

    /// Adds a sample, in nanoseconds.
    pub(crate) fn count(&self, histogram: Histogram, nanoseconds: u64) {
        let bucket = log_bucket(nanoseconds, Histogram::BUCKETS);

        if let Some(count) = self.0[histogram as usize].get(bucket) {
            relaxed::store(count, relaxed::load(count).wrapping_add(1));
        }
    }
}

/// A vCPU's exits by reason. Only its thread counts.
pub(crate) struct ExitCounts([Atomic<u64>; ExitReason::COUNT]);

impl ExitCounts {
    /// All zeroes.
    const fn new() -> Self {
        Self([const { Atomic::new(0) }; ExitReason::COUNT])
    }

    /// How often there was this exit.
    fn get(&self, reason: ExitReason) -> u64 {
        relaxed::load(&self.0[reason.index()])
    }

    #[inline]
    pub(crate) fn count(&self, reason: ExitReason) {
        let count = &self.0[reason.index()];
        relaxed::store(count, relaxed::load(count).wrapping_add(1));
    }
}

/// One of the things that a vCPU counts.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    /// An exit for this reason.
    Exit(ExitReason),
    /// Something else.
    Other(Stat),
}

impl Counter {
    /// How many there are.
    pub(crate) const COUNT: usize = ExitReason::COUNT + Stat::ALL.len();

    /// The one at `index`, if it is below [`COUNT`](Self::COUNT).
    pub(crate) fn at(index: usize) -> Option<Self> {
        match ExitReason::ALL.get(index) {
            Some(reason) => Some(Self::Exit(*reason)),
            None => Some(Self::Other(*Stat::ALL.get(index - ExitReason::COUNT)?)),
        }
    }

    /// All of them, the exits first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).filter_map(Self::at)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exit(reason) => reason.name(),
            Self::Other(stat) => stat.name(),
        }
    }

    /// What it counts.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Other(Stat::SetWayBytes) => Unit::Bytes,
            Self::Other(Stat::PollSuccessTime | Stat::PollFailTime | Stat::WaitTime) => {
                Unit::Nanoseconds
            }
            _ => Unit::Number,
        }
    }
}

/// A vCPU's counters.
pub(crate) struct VcpuCounters {
    pub(crate) exits: ExitCounts,
    pub(crate) stats: Counters<Stat>,
    pub(crate) histograms: Histograms,
}

impl VcpuCounters {
    /// All zeroes.
    pub(crate) const fn new() -> Self {
        Self {
            exits: ExitCounts::new(),
            stats: Counters::new(),
            histograms: Histograms::new(),
        }
    }

    /// The value of one of them.
    pub(crate) fn get(&self, counter: Counter) -> u64 {
        match counter {
            Counter::Exit(reason) => self.exits.get(reason),
            Counter::Other(stat) => self.stats.get(stat),
        }
    }
}
