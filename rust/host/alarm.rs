// SPDX-License-Identifier: GPL-2.0

//! A kick at a value of the host's counter: for a vCPU that sleeps, or that has a timer which is not
//! the CPU's.
//!
//! C header: `include/linux/hrtimer.h`

use crate::kick::Kick;
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeHardMode, //
        },
        Delta,
        Monotonic, //
    },
};
use kvm_core::timer::Frequency;

/// What kicks a vCPU when the time has come; [`AlarmSetter`] says when that is.
#[pin_data]
pub struct Alarm {
    #[pin]
    timer: HrTimer<Self>,
    /// The counter's value. Changes while the timer is stopped only.
    deadline: Atomic<u64>,
    frequency: Frequency,
    kick: Arc<Kick>,
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Alarm {
        mode: RelativeHardMode<Monotonic>, field: self.timer
    }
}

impl Alarm {
    /// Makes one for the vCPU that `kick` reaches; `frequency` is the counter's.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(kick: Arc<Kick>, frequency: Frequency) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                timer <- HrTimer::new(),
                deadline: Atomic::new(0),
                frequency,
                kick,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// How long it is until the deadline; [`None`] if it has come.
    fn remaining(&self) -> Option<Delta> {
        match self
            .deadline
            .load(Relaxed)
            .saturating_sub(crate::time::counter())
        {
            0 => None,
            ticks => Some(Delta::from_nanos(self.frequency.nanoseconds(ticks))),
        }
    }
}

impl HrTimerCallback for Alarm {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, mut ctx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        // The host's clock is disciplined, so it may be ahead of the counter.
        if let Some(remaining) = this.remaining() {
            ctx.forward_now(remaining);
            return HrTimerRestart::Restart;
        }
        this.kick.kick();
        HrTimerRestart::NoRestart
    }
}

/// An alarm that is set. Dropping it stops the alarm, which may be in an interrupt on another CPU
/// until then.
struct Armed(#[expect(dead_code, reason = "for its Drop")] ArcHrTimerHandle<Alarm>);

/// Who sets an alarm: one at a time.
pub struct AlarmSetter {
    alarm: Arc<Alarm>,
    armed: Option<Armed>,
}

impl AlarmSetter {
    /// Returns the one who sets `alarm`, which is not set.
    pub fn new(alarm: Arc<Alarm>) -> Self {
        Self { alarm, armed: None }
    }

    /// Sets the alarm to when the host's counter is `deadline`, or stops it if that is [`None`]. What
    /// was set before is forgotten. The kick comes at once if the deadline is over.
    ///
    /// May be called with interrupts off, but not under a runqueue's lock.
    pub fn set(&mut self, deadline: Option<u64>) {
        self.armed = None;
        let Some(deadline) = deadline else { return };
        self.alarm.deadline.store(deadline, Relaxed);
        let remaining = self.alarm.remaining().unwrap_or(Delta::ZERO);
        self.armed = Some(Armed(self.alarm.clone().start(remaining)));
    }
}
