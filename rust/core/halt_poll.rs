// SPDX-License-Identifier: GPL-2.0

//! How long a vCPU that waits for an interrupt polls before its thread gives the CPU up.
//!
//! To sleep and to be woken up takes longer than many waits do. So a vCPU's thread looks for a while
//! whether there is something already. [`HaltPoll`] is how long: nothing at first, more while waits
//! are short enough for it to have helped, less when they are not.
//!
//! Source: Documentation/virt/kvm/halt-polling.rst; api.rst, "7.20 KVM_CAP_HALT_POLL".

/// How the interval changes: the module's parameters. Any numbers will do.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// What it is multiplied by: `halt_poll_ns_grow`. With zero it never grows.
    pub grow: u32,
    /// What it is at least if it is not zero, in nanoseconds: `halt_poll_ns_grow_start`.
    pub grow_start: u32,
    /// What it is divided by: `halt_poll_ns_shrink`. With zero it becomes zero.
    pub shrink: u32,
}

impl Tuning {
    /// The defaults of halt-polling.rst.
    pub const DEFAULT: Self = Self {
        grow: 2,
        grow_start: 10_000,
        shrink: 2,
    };
}

/// What ended a wait.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// What the guest waits for.
    WakeUp,
    /// Something else, a signal: it says nothing of how long the guest's waits are.
    Other,
}

/// How long a vCPU polls, in nanoseconds.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct HaltPoll {
    interval: u32,
}

impl HaltPoll {
    /// It does not poll yet.
    pub const NONE: Self = Self { interval: 0 };

    /// The interval of the next wait if nothing changes.
    #[inline]
    pub const fn interval(&self) -> u32 {
        self.interval
    }

    /// Returns how long to poll in a wait that begins, never more than `max`.
    #[inline]
    pub fn begin(&mut self, max: u32) -> u32 {
        self.interval = self.interval.min(max);
        self.interval
    }

    /// Takes note of a wait that took `waited` nanoseconds in all, and of what ended it. `max` is what
    /// [`begin`](Self::begin) would be given now.
    #[inline]
    pub fn end(&mut self, waited: u64, end: End, max: u32, tuning: &Tuning) {
        if end == End::Other {
            self.shrink(tuning);
        } else if waited <= self.interval.into() {
            // It was long enough.
        } else if waited > max.into() {
            // No interval that may be would have been.
            self.shrink(tuning);
        } else if waited < max.into() {
            self.grow(tuning);
        }
        self.interval = self.interval.min(max);
    }

    fn grow(&mut self, tuning: &Tuning) {
        if tuning.grow != 0 {
            self.interval = self
                .interval
                .saturating_mul(tuning.grow)
                .max(tuning.grow_start);
        }
    }

    fn shrink(&mut self, tuning: &Tuning) {
        let interval = self.interval.checked_div(tuning.shrink).unwrap_or(0);

        self.interval = if interval < tuning.grow_start {
            0
        } else {
            interval
        };
    }
}
