// SPDX-License-Identifier: GPL-2.0

//! Which interrupts the timers' lines are.

use crate::timer::kind::Timer;

/// A private peripheral interrupt's number (INTID), 16 to 31.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Ppi(u8);

impl Ppi {
    /// Returns the interrupt with this number, as user space has it, or [`None`] if it is not a PPI.
    #[inline]
    pub const fn new(intid: i32) -> Option<Self> {
        if intid >= 16 && intid < 32 {
            Some(Self(intid as u8))
        } else {
            None
        }
    }

    /// Returns the number, 16 to 31.
    #[inline]
    pub const fn intid(self) -> u32 {
        self.0 as u32
    }
}

/// A timer that has an attribute in KVM_ARM_VCPU_TIMER_CTRL. The attributes of EL2's are there in
/// each VM, their timers only with nested virtualization.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TimerIrq {
    /// KVM_ARM_VCPU_TIMER_IRQ_VTIMER.
    Virtual,
    /// KVM_ARM_VCPU_TIMER_IRQ_PTIMER.
    Physical,
    /// KVM_ARM_VCPU_TIMER_IRQ_HVTIMER.
    HypVirtual,
    /// KVM_ARM_VCPU_TIMER_IRQ_HPTIMER.
    HypPhysical,
}

impl TimerIrq {
    /// All of them, in the order of their attributes' numbers, from 0.
    pub const ALL: [Self; 4] = [
        Self::Virtual,
        Self::Physical,
        Self::HypVirtual,
        Self::HypPhysical,
    ];

    /// Returns the one with this number of an attribute.
    #[inline]
    pub const fn from_attr(attr: u64) -> Option<Self> {
        match attr {
            0 => Some(Self::Virtual),
            1 => Some(Self::Physical),
            2 => Some(Self::HypVirtual),
            3 => Some(Self::HypPhysical),
            _ => None,
        }
    }
}

impl From<Timer> for TimerIrq {
    #[inline]
    fn from(timer: Timer) -> Self {
        match timer {
            Timer::Virtual => Self::Virtual,
            Timer::Physical => Self::Physical,
        }
    }
}

/// Two timers of a vCPU have one interrupt: EINVAL from KVM_RUN.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PpiClash;

/// The interrupts of a VM's timers: those of all of its vCPUs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TimerPpis([Ppi; TimerIrq::ALL.len()]);

impl TimerPpis {
    /// What they are unless user space says otherwise: those of the Base System Architecture.
    pub const DEFAULT: Self = Self([Ppi(27), Ppi(30), Ppi(28), Ppi(26)]);

    /// Returns a timer's interrupt.
    #[inline]
    pub const fn get(&self, timer: TimerIrq) -> Ppi {
        self.0[timer as usize]
    }

    /// Sets a timer's interrupt. That it is another's, too, is seen by [`check`](Self::check) only,
    /// so that two can be exchanged.
    #[inline]
    pub fn set(&mut self, timer: TimerIrq, ppi: Ppi) {
        self.0[timer as usize] = ppi;
    }

    /// Checks that the timers that a vCPU has do not share an interrupt.
    ///
    /// # Errors
    ///
    /// [`PpiClash`].
    pub fn check(&self) -> Result<(), PpiClash> {
        let [virtual_, physical] = Timer::ALL.map(|timer| self.get(timer.into()));

        if virtual_ == physical {
            Err(PpiClash)
        } else {
            Ok(())
        }
    }
}

impl Default for TimerPpis {
    fn default() -> Self {
        Self::DEFAULT
    }
}
