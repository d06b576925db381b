// SPDX-License-Identifier: GPL-2.0

//! Waiting for an interrupt: polling, then sleep.
//!
//! Documentation/virt/kvm/halt-polling.rst.

use crate::{
    counters::{
        Histogram,
        Stat,
        VcpuCounters, //
    },
    run::Run, //
};
use kernel::prelude::*;
use kvm_core::halt_poll::End;
use kvm_host::{
    halt_poll::{
        self,
        Polled, //
    },
    kick::Running,
    time, //
};

impl Run<'_> {
    /// Waits as by WFI: until there is something to do, or the virtual counter reaches `until`.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal is pending.
    pub(crate) fn wait(&mut self, running: &Running<'_>, until: Option<u64>) -> Result {
        let interval = self.halt_poll.begin(self.vm.halt_poll_limit());
        let start = time::counter();
        let woken = interval != 0 && self.poll(start, interval, until);
        let polled = time::counter();
        let (slept, result) = if woken {
            (false, Ok(()))
        } else {
            self.sleep(running, until)
        };
        let end = if slept { time::counter() } else { polled };

        let frequency = self.vm.cpus.counter_frequency();
        let nanoseconds = |from, to: u64| frequency.nanoseconds(to.saturating_sub(from)) as u64;
        let VcpuCounters {
            stats, histograms, ..
        } = &self.vcpu.counters;
        if interval != 0 {
            let time = nanoseconds(start, polled);

            stats.count(Stat::PollAttempt);
            if slept {
                stats.count_many(Stat::PollFailTime, time);
                histograms.count(Histogram::PollFail, time);
            } else {
                stats.count(Stat::PollSuccess);
                stats.count_many(Stat::PollSuccessTime, time);
                histograms.count(Histogram::PollSuccess, time);
                if result.is_err() {
                    stats.count(Stat::PollInvalid);
                }
            }
        }
        if slept {
            let time = nanoseconds(polled, end);

            stats.count_many(Stat::WaitTime, time);
            histograms.count(Histogram::Wait, time);
            if result.is_ok() {
                stats.count(Stat::WakeUp);
            }
        }

        self.halt_poll.end(
            nanoseconds(start, end),
            match result {
                Ok(()) => End::WakeUp,
                Err(_) => End::Other,
            },
            self.vm.halt_poll_limit(),
            &halt_poll::tuning(),
        );
        self.vcpu.seen.note_halt_poll(*self.halt_poll);
        result
    }

    /// Polls for `interval` nanoseconds from when the host's counter was `start`. Returns whether there
    /// is something to do. The vCPU stays loaded, so its timers need no alarm.
    fn poll(&self, start: u64, interval: u32, until: Option<u64>) -> bool {
        let end = start.saturating_add(self.vm.cpus.counter_frequency().ticks(interval));

        loop {
            // Before the look: a timer that is over has no such moment, and is found by that.
            let next = self.timers.next(until).map_or(end, |next| next.min(end));
            // All that it may be. Then only for what says that it may have changed.
            if self.has_wake_up() || self.timers.is_over(until) {
                return true;
            }
            let polled = halt_poll::poll(next, || self.has_news());
            if polled == Polled::Wanted || time::counter() >= end {
                return false;
            }
        }
    }

    /// Whether others have something for the vCPU, which may be a wake-up.
    #[inline]
    fn has_news(&self) -> bool {
        self.vcpu.has_requests() || self.gic.is_some_and(|gic| gic.has_news())
    }

    /// Sleeps. Returns whether it did, which it does not if there is something to do.
    fn sleep(&mut self, running: &Running<'_>, until: Option<u64>) -> (bool, Result) {
        self.timers.set_for_sleep(until);
        let blocked = running.block(|| self.has_wake_up() || self.timers.is_over(until));
        self.timers.rearm();
        (blocked.slept, blocked.result)
    }
}
