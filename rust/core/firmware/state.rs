// SPDX-License-Identifier: GPL-2.0

//! The firmware that one VM has, and how its user space reads and changes it.

use core::{
    fmt,
    sync::atomic::{
        AtomicBool,
        AtomicU32,
        Ordering, //
    },
};

use crate::{
    firmware::{
        register::{
            FwRegister,
            StdBmap,
            StdHypBmap,
            VendorHypBmap,
            VendorHypBmap2, //
        },
        workaround::Mitigations, //
    },
    psci,
};

/// What the firmware has to know of the VM's vCPUs. It is the same of all of them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct VcpuFeatures {
    /// KVM_ARM_VCPU_PSCI_0_2. Without it PSCI is 0.1 and nothing else.
    pub psci_0_2: bool,
    /// FEAT_SSBS: ID_AA64PFR1_EL1.SSBS of the VM is not zero.
    pub ssbs: bool,
}

/// Why a pseudo-register is not written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// The value is not one that the register takes on this host; EINVAL.
    Invalid,
    /// A vCPU of the VM has run; EBUSY.
    Busy,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "the firmware register does not take this value",
            Self::Busy => "the VM's firmware is fixed once a vCPU has run",
        })
    }
}

/// A VM's firmware.
///
/// What user space can choose before a vCPU has run is changed through `&mut`. From then on the
/// firmware must only be shared, and running vCPUs read it without a lock. What user space can
/// change at any time is atomic.
#[derive(Debug)]
pub struct Firmware {
    host: Mitigations,
    std: StdBmap,
    std_hyp: StdHypBmap,
    vendor_hyp: VendorHypBmap,
    vendor_hyp_2: VendorHypBmap2,
    /// A [`psci::Version`], or zero as long as user space has asked for none.
    psci_version: AtomicU32,
    system_suspend: AtomicBool,
}

impl Firmware {
    /// Returns the firmware of a new VM: all that there is, but for the services that user space
    /// has to do something for.
    pub const fn new(host: Mitigations) -> Self {
        Self {
            host,
            std: StdBmap::from_raw(StdBmap::MASK),
            std_hyp: StdHypBmap::from_raw(StdHypBmap::MASK),
            vendor_hyp: VendorHypBmap::from_raw(VendorHypBmap::MASK),
            vendor_hyp_2: VendorHypBmap2::from_raw(0),
            psci_version: AtomicU32::new(0),
            system_suspend: AtomicBool::new(false),
        }
    }

    /// Has SYSTEM_SUSPEND carried out by user space: KVM_ENABLE_CAP of KVM_CAP_ARM_SYSTEM_SUSPEND.
    pub fn enable_system_suspend(&self) {
        self.system_suspend.store(true, Ordering::Relaxed);
    }

    /// Returns how the host stands towards attacks by speculation.
    #[inline]
    pub const fn mitigations(&self) -> &Mitigations {
        &self.host
    }

    /// Returns the standard secure services.
    #[inline]
    pub const fn std(&self) -> StdBmap {
        self.std
    }

    /// Returns the standard hypervisor services.
    #[inline]
    pub const fn std_hyp(&self) -> StdHypBmap {
        self.std_hyp
    }

    /// Returns the vendor-specific hypervisor services.
    #[inline]
    pub const fn vendor_hyp(&self) -> (VendorHypBmap, VendorHypBmap2) {
        (self.vendor_hyp, self.vendor_hyp_2)
    }

    /// Returns what PSCI is like.
    #[inline]
    pub fn psci(&self, vcpu: VcpuFeatures) -> psci::Config {
        let version = if vcpu.psci_0_2 {
            let chosen = self.psci_version.load(Ordering::Relaxed);
            psci::Version::from_raw(chosen.into()).unwrap_or(psci::Version::LATEST)
        } else {
            psci::Version::V0_1
        };
        psci::Config {
            version,
            system_suspend: self.system_suspend.load(Ordering::Relaxed),
        }
    }

    /// Reads a pseudo-register: KVM_GET_ONE_REG.
    pub fn read(&self, register: FwRegister, vcpu: VcpuFeatures) -> u64 {
        match register {
            FwRegister::PsciVersion => self.psci(vcpu).version.into_raw().into(),
            FwRegister::Workaround(workaround) => {
                workaround.register(workaround.level(&self.host, vcpu.ssbs))
            }
            FwRegister::StdBmap => self.std.into_raw(),
            FwRegister::StdHypBmap => self.std_hyp.into_raw(),
            FwRegister::VendorHypBmap => self.vendor_hyp.into_raw(),
            FwRegister::VendorHypBmap2 => self.vendor_hyp_2.into_raw(),
        }
    }

    /// Writes a pseudo-register of a VM that has not run: KVM_SET_ONE_REG.
    ///
    /// # Errors
    ///
    /// [`WriteError::Invalid`]; nothing is changed then.
    pub fn write(
        &mut self,
        register: FwRegister,
        value: u64,
        vcpu: VcpuFeatures,
    ) -> Result<(), WriteError> {
        self.check(register, value, vcpu)?;
        match register {
            FwRegister::PsciVersion => self.set_psci_version(value),
            FwRegister::Workaround(_) => {}
            FwRegister::StdBmap => self.std = StdBmap::from_raw(value),
            FwRegister::StdHypBmap => self.std_hyp = StdHypBmap::from_raw(value),
            FwRegister::VendorHypBmap => self.vendor_hyp = VendorHypBmap::from_raw(value),
            FwRegister::VendorHypBmap2 => self.vendor_hyp_2 = VendorHypBmap2::from_raw(value),
        }
        Ok(())
    }

    /// Writes a pseudo-register of a VM that has run: KVM_SET_ONE_REG.
    ///
    /// The bitmaps are fixed then, but a VMM that writes back what it has read succeeds. PSCI's
    /// version can still be changed.
    ///
    /// # Errors
    ///
    /// [`WriteError::Invalid`] as before the VM has run, [`WriteError::Busy`] for another value of
    /// a register that is fixed; nothing is changed then.
    pub fn write_running(
        &self,
        register: FwRegister,
        value: u64,
        vcpu: VcpuFeatures,
    ) -> Result<(), WriteError> {
        self.check(register, value, vcpu)?;
        match register {
            FwRegister::PsciVersion => self.set_psci_version(value),
            FwRegister::Workaround(_) => {}
            FwRegister::StdBmap
            | FwRegister::StdHypBmap
            | FwRegister::VendorHypBmap
            | FwRegister::VendorHypBmap2 => {
                if value != self.read(register, vcpu) {
                    return Err(WriteError::Busy);
                }
            }
        }
        Ok(())
    }

    /// Checks that a pseudo-register takes `value`.
    fn check(
        &self,
        register: FwRegister,
        value: u64,
        vcpu: VcpuFeatures,
    ) -> Result<(), WriteError> {
        let valid = match register {
            FwRegister::PsciVersion => match psci::Version::from_raw(value) {
                Some(psci::Version::V0_1) => !vcpu.psci_0_2,
                Some(_) => vcpu.psci_0_2,
                None => false,
            },
            FwRegister::Workaround(workaround) => {
                workaround.accepts(workaround.level(&self.host, vcpu.ssbs), value)
            }
            FwRegister::StdBmap => value & !StdBmap::MASK == 0,
            FwRegister::StdHypBmap => value & !StdHypBmap::MASK == 0,
            FwRegister::VendorHypBmap => value & !VendorHypBmap::MASK == 0,
            FwRegister::VendorHypBmap2 => value & !VendorHypBmap2::MASK == 0,
        };
        if valid {
            Ok(())
        } else {
            Err(WriteError::Invalid)
        }
    }

    /// Stores a value that [`check`](Self::check) has found to be a version.
    fn set_psci_version(&self, value: u64) {
        if let Some(version) = psci::Version::from_raw(value) {
            self.psci_version
                .store(version.into_raw(), Ordering::Relaxed);
        }
    }
}
