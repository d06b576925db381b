// SPDX-License-Identifier: GPL-2.0

//! Events that concern the whole VM, which its user space carries out.

/// KVM_EXIT_SYSTEM_EVENT of a PSCI call.
///
/// Source: api.rst, "KVM_EXIT_SYSTEM_EVENT".
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SystemEvent {
    /// SYSTEM_OFF.
    Off,
    /// SYSTEM_OFF2, of type HIBERNATE_OFF.
    Hibernate,
    /// SYSTEM_RESET.
    Reset,
    /// SYSTEM_RESET2. User space finds the kind of reset and the cookie in the caller's X1 and X2.
    Reset2,
    /// SYSTEM_SUSPEND. User space finds entry point and context ID in the caller's X1 and X2.
    Suspend,
}

impl SystemEvent {
    /// KVM_SYSTEM_EVENT_SHUTDOWN.
    pub const SHUTDOWN: u32 = 1;

    /// KVM_SYSTEM_EVENT_RESET.
    pub const RESET: u32 = 2;

    /// KVM_SYSTEM_EVENT_WAKEUP: a vCPU that user space has suspended has an interrupt.
    pub const WAKEUP: u32 = 4;

    /// KVM_SYSTEM_EVENT_SUSPEND.
    pub const SUSPEND: u32 = 5;

    /// KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2.
    pub const RESET_FLAG_PSCI_RESET2: u64 = 1 << 0;

    /// KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2.
    pub const SHUTDOWN_FLAG_PSCI_OFF2: u64 = 1 << 0;

    /// Returns `kvm_run::system_event.type`.
    #[inline]
    pub const fn event_type(self) -> u32 {
        match self {
            Self::Off | Self::Hibernate => Self::SHUTDOWN,
            Self::Reset | Self::Reset2 => Self::RESET,
            Self::Suspend => Self::SUSPEND,
        }
    }

    /// Returns `kvm_run::system_event.data[0]`, `ndata` being 1; [`None`] if `ndata` is 0.
    #[inline]
    pub const fn data(self) -> Option<u64> {
        match self {
            Self::Off | Self::Reset => Some(0),
            Self::Hibernate => Some(Self::SHUTDOWN_FLAG_PSCI_OFF2),
            Self::Reset2 => Some(Self::RESET_FLAG_PSCI_RESET2),
            Self::Suspend => None,
        }
    }

    /// Whether all vCPUs of the VM, the caller's too, are powered off before the exit.
    ///
    /// A guest does not expect to go on after SYSTEM_OFF or SYSTEM_RESET, yet user space may enter
    /// KVM_RUN again before it gets round to it.
    #[inline]
    pub const fn stops_vcpus(self) -> bool {
        !matches!(self, Self::Suspend)
    }
}
