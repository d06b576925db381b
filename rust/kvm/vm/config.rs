// SPDX-License-Identifier: GPL-2.0

//! What of a VM can be configured, and that it cannot be changed any more once a vCPU has run.

use crate::{
    cpus::Cpus,
    vm::{
        controls::new_controls,
        filter::FilterRanges, //
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Mutex,
        SetOnce, //
    },
};
use kvm_core::{
    firmware::{
        Firmware,
        FwRegister,
        WriteError, //
    },
    register::{
        Feature,
        FeatureSet, //
    },
    smccc::{
        Filter,
        FilterError,
        FilterRange, //
    },
    sysreg::SysReg,
    timer::{
        CounterOffsets,
        Ppi,
        Timer,
        TimerIrq,
        TimerPpis, //
    },
    vm_idreg::{
        HostIdRegs,
        Offer,
        SetError,
        VcpuFeatures,
        VmFeature,
        VmFeatures,
        VmGic,
        VmIdRegs, //
    },
};
use kvm_host::{
    lazy::Policies,
    vcpu::Controls, //
};

/// What of a VM can be changed until a vCPU has run.
struct Open {
    ids: VmIdRegs,
    firmware: Option<Firmware>,
    filter: Option<Filter<FilterRanges>>,
    flags: Option<VcpuFeatures>,
    gic: VmGic,
    timer_ppis: TimerPpis,
}

/// What of a VM cannot be changed any more.
pub(crate) struct Frozen {
    pub(crate) ids: VmIdRegs,
    pub(crate) features: VmFeatures,
    pub(crate) registers: FeatureSet,
    pub(crate) firmware: Firmware,
    pub(crate) filter: Filter<FilterRanges>,
    pub(crate) flags: VcpuFeatures,
    pub(crate) timer_ppis: TimerPpis,
    /// When its vCPUs' registers are moved.
    pub(crate) policies: Policies,
    /// What vCPUs are loaded with, less the counters' offsets.
    controls: Controls,
}

/// What the firmware has to know of a VM's vCPUs.
fn firmware_features(
    flags: Option<VcpuFeatures>,
    features: VmFeatures,
) -> kvm_core::firmware::VcpuFeatures {
    kvm_core::firmware::VcpuFeatures {
        psci_0_2: flags.is_some_and(|flags| flags.contains(VcpuFeatures::PSCI_0_2)),
        ssbs: features.contains(VmFeature::Ssbs),
    }
}

impl Frozen {
    /// What the firmware has to know of the VM's vCPUs.
    pub(crate) fn firmware_features(&self) -> kvm_core::firmware::VcpuFeatures {
        firmware_features(Some(self.flags), self.features)
    }

    /// What vCPUs are loaded with, the counters being this much behind the host's.
    pub(crate) fn controls(&self, offsets: CounterOffsets) -> Controls {
        let physical = offsets.get(Timer::Physical) == 0;

        Controls {
            features: self
                .controls
                .features
                .with(Feature::PHYSICAL_TIMER, physical),
            offsets,
            ..self.controls
        }
    }
}

/// A VM's configuration.
#[pin_data]
pub(crate) struct Config {
    #[pin]
    open: Mutex<Open>,
    frozen: SetOnce<KBox<Frozen>>,
}

impl Config {
    /// Returns the configuration of a new VM.
    pub(crate) fn new(cpus: &Cpus) -> impl PinInit<Self, Error> {
        let filter = Filter::new(FilterRanges::new());
        let firmware = Firmware::new(cpus.mitigations());

        try_pin_init!(Self {
            open <- new_mutex!(Open {
                ids: VmIdRegs::new(),
                firmware: Some(firmware),
                filter,
                flags: None,
                gic: VmGic::None,
                timer_ppis: TimerPpis::DEFAULT,
            }, "kvm_vhe::Vm::config"),
            frozen: SetOnce::new(),
        }? Error)
    }

    /// What cannot be changed any more, once a vCPU has run.
    #[inline]
    pub(crate) fn frozen(&self) -> Option<&Frozen> {
        self.frozen.as_ref().map(|frozen| &**frozen)
    }

    /// Makes the configuration final, at the VM's first run. `settle` does so with the interrupt
    /// controller, of which there is none if there was none until now.
    ///
    /// # Errors
    ///
    /// What `settle` returns, `ENOEXEC` if no vCPU is initialised, `EINVAL` if two timers have one
    /// interrupt, `ENOMEM`.
    pub(crate) fn freeze(&self, cpus: &Cpus, settle: impl FnOnce() -> Result) -> Result<&Frozen> {
        if let Some(frozen) = self.frozen() {
            return Ok(frozen);
        }
        let mut config = self.open.lock();
        if self.frozen.as_ref().is_none() {
            settle()?;
            if config.gic != VmGic::None {
                config.timer_ppis.check().map_err(|_| EINVAL)?;
            }
            let mut ids = config.ids.clone();
            let features = ids.freeze(config.gic);
            let frozen = KBox::new_uninit(GFP_KERNEL_ACCOUNT)?;
            let (Some(firmware), Some(filter), Some(flags)) =
                (config.firmware.take(), config.filter.take(), config.flags)
            else {
                return Err(ENOEXEC);
            };
            let registers = features.registers();
            let policies = Policies::current();
            let controls = new_controls(cpus, features, registers, &ids, config.gic, policies);
            self.frozen.populate(frozen.write(Frozen {
                controls,
                ids,
                features,
                registers,
                firmware,
                filter,
                flags,
                timer_ppis: config.timer_ppis,
                policies,
            }));
        }
        drop(config);
        self.frozen().ok_or(EINVAL)
    }

    /// The interrupts of the timers.
    pub(crate) fn timer_ppis(&self) -> TimerPpis {
        self.open.lock().timer_ppis
    }

    /// Sets the interrupt of a timer of all vCPUs.
    ///
    /// # Errors
    ///
    /// `EBUSY` if a vCPU has run.
    pub(crate) fn set_timer_ppi(&self, timer: TimerIrq, ppi: Ppi) -> Result {
        let mut open = self.open.lock();

        if self.frozen().is_some() {
            return Err(EBUSY);
        }
        open.timer_ppis.set(timer, ppi);
        Ok(())
    }

    /// The features that the VM's registers come with, as its ID registers are now.
    pub(crate) fn register_features(&self) -> FeatureSet {
        match self.frozen() {
            Some(frozen) => frozen.registers,
            None => self.features().registers(),
        }
    }

    /// Takes what a vCPU is initialised with for the VM.
    ///
    /// # Errors
    ///
    /// `EINVAL` if another vCPU has something else.
    pub(crate) fn set_flags(&self, host: &HostIdRegs, flags: VcpuFeatures) -> Result {
        let config = &mut *self.open.lock();

        match config.flags {
            Some(others) if !others.is_same_vm(flags) => return Err(EINVAL),
            Some(_) => {}
            None => {
                config.flags = Some(flags);
                config.ids.init(host, &flags.config(Offer::CURRENT, false));
                // Until a vCPU runs without one, the VM may still get one.
                if config.gic != VmGic::None {
                    config.ids.set_gic(config.gic);
                }
            }
        }
        Ok(())
    }

    /// Gives the VM an interrupt controller, which `add` adds.
    ///
    /// # Errors
    ///
    /// `EBUSY` if a vCPU has run, and what `add` returns.
    pub(crate) fn add_gic(&self, gic: VmGic, add: impl FnOnce() -> Result) -> Result {
        let config = &mut *self.open.lock();

        if self.frozen().is_some() {
            return Err(EBUSY);
        }
        add()?;
        config.gic = gic;
        config.ids.set_gic(gic);
        Ok(())
    }

    /// What the VM's ID registers promise, as they are now.
    pub(crate) fn features(&self) -> VmFeatures {
        match self.frozen() {
            Some(frozen) => frozen.features,
            None => VmFeatures::of(&self.open.lock().ids),
        }
    }

    /// An ID register of the VM.
    pub(crate) fn id_register(&self, reg: SysReg) -> Option<u64> {
        match self.frozen() {
            Some(frozen) => frozen.ids.get(reg),
            None => self.open.lock().ids.get(reg),
        }
    }

    /// Sets an ID register of the VM.
    pub(crate) fn set_id_register(
        &self,
        host: &HostIdRegs,
        reg: SysReg,
        value: u64,
    ) -> Result<(), SetError> {
        match self.frozen() {
            // What is written is what is there, or refused.
            Some(frozen) => match frozen.ids.clone().set(host, reg, value) {
                Err(error) => Err(error),
                Ok(()) => Ok(()),
            },
            None => self.open.lock().ids.set(host, reg, value),
        }
    }

    /// A pseudo-register of the firmware.
    pub(crate) fn firmware_register(&self, reg: FwRegister) -> u64 {
        if let Some(frozen) = self.frozen() {
            return frozen.firmware.read(reg, frozen.firmware_features());
        }
        let config = self.open.lock();
        let vcpu = firmware_features(config.flags, VmFeatures::of(&config.ids));
        config
            .firmware
            .as_ref()
            .map_or(0, |firmware| firmware.read(reg, vcpu))
    }

    /// Sets a pseudo-register of the firmware.
    pub(crate) fn set_firmware_register(&self, reg: FwRegister, value: u64) -> Result {
        let result = if let Some(frozen) = self.frozen() {
            let vcpu = frozen.firmware_features();
            frozen.firmware.write_running(reg, value, vcpu)
        } else {
            let config = &mut *self.open.lock();
            let vcpu = firmware_features(config.flags, VmFeatures::of(&config.ids));
            let firmware = config.firmware.as_mut().ok_or(EBUSY)?;
            firmware.write(reg, value, vcpu)
        };
        result.map_err(|error| match error {
            WriteError::Invalid => EINVAL,
            WriteError::Busy => EBUSY,
        })
    }

    /// Has PSCI's SYSTEM_SUSPEND carried out by user space.
    pub(crate) fn enable_system_suspend(&self) {
        match self.frozen() {
            Some(frozen) => frozen.firmware.enable_system_suspend(),
            None => {
                if let Some(firmware) = &self.open.lock().firmware {
                    firmware.enable_system_suspend();
                }
            }
        }
    }

    /// KVM_CAP_ARM_WRITABLE_IMP_ID_REGS. api.rst, "7.42 KVM_CAP_ARM_WRITABLE_IMP_ID_REGS".
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is a vCPU: `has_vcpus` says so, under the configuration's lock.
    pub(crate) fn enable_writable_implementation(
        &self,
        has_vcpus: impl FnOnce() -> bool,
    ) -> Result {
        let mut config = self.open.lock();
        if has_vcpus() {
            return Err(EINVAL);
        }
        config
            .ids
            .enable_writable_implementation()
            .map_err(|_| EINVAL)
    }

    /// Adds a range of calls to the filter.
    ///
    /// # Errors
    ///
    /// `EBUSY` if a vCPU has run, `EEXIST` if the range overlaps another, `ENOMEM`.
    pub(crate) fn filter_calls(&self, range: FilterRange) -> Result {
        let mut config = self.open.lock();
        let filter = config.filter.as_mut().ok_or(EBUSY)?;

        filter.insert(range).map_err(|error| match error {
            FilterError::Exists => EEXIST,
            FilterError::NoMemory => ENOMEM,
        })
    }
}
