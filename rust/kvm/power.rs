// SPDX-License-Identifier: GPL-2.0

//! Whether a vCPU is powered on, and what it starts with.
//!
//! api.rst, "4.38 KVM_GET_MP_STATE"; [`kvm_core::psci`].

use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        SpinLock, //
    },
};
use kvm_core::psci::{
    PowerOnError,
    PowerOnState, //
};
use kvm_host::abi::{
    KVM_MP_STATE_RUNNABLE,
    KVM_MP_STATE_STOPPED,
    KVM_MP_STATE_SUSPENDED, //
};

/// A vCPU's power state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum PowerState {
    /// KVM_MP_STATE_RUNNABLE.
    Runnable,
    /// KVM_MP_STATE_STOPPED: off.
    Stopped,
    /// KVM_MP_STATE_SUSPENDED: waits for what would wake it up.
    Suspended,
}

impl PowerState {
    pub(crate) fn from_mp_state(raw: u32) -> Option<Self> {
        match raw {
            KVM_MP_STATE_RUNNABLE => Some(Self::Runnable),
            KVM_MP_STATE_STOPPED => Some(Self::Stopped),
            KVM_MP_STATE_SUSPENDED => Some(Self::Suspended),
            _ => None,
        }
    }

    pub(crate) fn into_mp_state(self) -> u32 {
        match self {
            Self::Runnable => KVM_MP_STATE_RUNNABLE,
            Self::Stopped => KVM_MP_STATE_STOPPED,
            Self::Suspended => KVM_MP_STATE_SUSPENDED,
        }
    }
}

/// The power of a vCPU. Other vCPUs switch it on.
#[pin_data]
pub(crate) struct Power {
    /// A [`PowerState`]; changed under `start`'s lock.
    state: Atomic<u32>,
    /// What the vCPU starts with when it next runs, if CPU_ON has said so.
    #[pin]
    start: SpinLock<Option<PowerOnState>>,
}

impl Power {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state: Atomic::new(PowerState::Runnable as u32),
            start <- new_spinlock!(None, "kvm_vhe::Power::start"),
        })
    }

    /// The state.
    #[inline]
    pub(crate) fn get(&self) -> PowerState {
        match self.state.load(Relaxed) {
            raw if raw == PowerState::Stopped as u32 => PowerState::Stopped,
            raw if raw == PowerState::Suspended as u32 => PowerState::Suspended,
            _ => PowerState::Runnable,
        }
    }

    /// Sets the state. One that is switched off forgets what it was to start with.
    pub(crate) fn set(&self, state: PowerState) {
        let mut start = self.start.lock();
        if state == PowerState::Stopped {
            *start = None;
        }
        self.state.store(state as u32, Relaxed);
    }

    /// CPU_ON.
    ///
    /// # Errors
    ///
    /// [`PowerOnError::AlreadyOn`].
    pub(crate) fn power_on(&self, on: PowerOnState) -> Result<(), PowerOnError> {
        let mut start = self.start.lock();
        if self.get() != PowerState::Stopped {
            return Err(PowerOnError::AlreadyOn);
        }
        *start = Some(on);
        self.state.store(PowerState::Runnable as u32, Relaxed);
        Ok(())
    }

    /// Takes what the vCPU is to start with.
    pub(crate) fn take_start(&self) -> Option<PowerOnState> {
        self.start.lock().take()
    }
}
