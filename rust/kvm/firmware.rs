// SPDX-License-Identifier: GPL-2.0

//! The services behind HVC and SMC, joined to the VM and the host.

use crate::{
    power::PowerState,
    vcpu::{
        request,
        Vcpu, //
    },
    vm::{
        Frozen,
        Vm, //
    },
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kvm_core::{
    firmware::{
        pv_time::StolenTimeIpa,
        Clock,
        ClockReading,
        Counter,
        Entropy,
        Environment,
        VcpuFeatures, //
    },
    psci::{
        Affinity,
        Platform,
        PowerOn,
        PowerOnError, //
    },
    register::Reg,
    timer::Timer, //
};
use kvm_host::{
    time,
    vcpu::VcpuCpu, //
};

/// A vCPU that makes a call, with interrupts off.
pub(crate) struct Caller<'a> {
    pub(crate) vm: &'a Vm,
    pub(crate) frozen: &'a Frozen,
    pub(crate) cpu: &'a VcpuCpu,
    pub(crate) stolen_time: Option<StolenTimeIpa>,
}

/// SCTLR_EL1.EE.
const SCTLR_EE: u64 = 1 << 25;

impl Platform for Caller<'_> {
    fn caller_is_big_endian(&self) -> bool {
        self.cpu.read(Reg::SCTLR_EL1) & SCTLR_EE != 0
    }

    fn visit_vcpus(&self, mut visit: impl FnMut(Affinity, bool) -> ControlFlow<()>) {
        self.vm.for_each_vcpu(|vcpu| {
            let on = vcpu.power.get() != PowerState::Stopped;
            visit(vcpu.affinity(), on).is_continue()
        });
    }
}

impl Entropy for Caller<'_> {
    fn random(&self) -> Option<u64> {
        Some(time::random())
    }
}

impl Clock for Caller<'_> {
    fn read(&self, counter: Counter) -> Option<ClockReading> {
        let (wall, count) = time::wall_and_counter()?;
        let offsets = self.cpu.controls().offsets;

        Some(ClockReading {
            wall,
            counter: match counter {
                Counter::Virtual => offsets.count(Timer::Virtual, count),
                Counter::Physical => offsets.count(Timer::Physical, count),
            },
        })
    }
}

impl Environment for Caller<'_> {
    #[inline]
    fn features(&self) -> VcpuFeatures {
        self.frozen.firmware_features()
    }

    fn stolen_time(&self) -> Option<StolenTimeIpa> {
        self.stolen_time
    }
}

/// CPU_ON: powers on the vCPU that has the affinity.
pub(crate) fn power_on(vm: &Vm, on: &PowerOn) -> Result<(), PowerOnError> {
    let mut target: Option<Arc<Vcpu>> = None;
    vm.for_each_vcpu(|vcpu| {
        let found = vcpu.affinity() == on.target;
        if found {
            target = Some(vcpu.clone());
        }
        !found
    });
    let target = target.ok_or(PowerOnError::NotPresent)?;

    target.power.power_on(on.state)?;
    target.request(request::POWER);
    Ok(())
}
