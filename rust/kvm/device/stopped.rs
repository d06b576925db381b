// SPDX-License-Identifier: GPL-2.0

//! The vCPUs of a VM, stopped for what must not change under them.

use crate::{
    vcpu::{
        State,
        Vcpu, //
    },
    vm::Vm, //
};
use kernel::prelude::*;
use kvm_host::lock::KillableGuard;

/// All vCPUs of a VM with their states. While these are locked none runs.
pub(super) type Stopped<'a> = KVec<(&'a Vcpu, KillableGuard<'a, State>)>;

/// Locks the vCPUs, so that none runs, and calls `f`. Who does so at the same time waits.
///
/// # Errors
///
/// `EBUSY` if a vCPU runs or an ioctl on one is under way, `EINTR` if the thread is being killed,
/// `ENOMEM`, and what `f` returns.
pub(super) fn stopped<R>(vm: &Vm, f: impl FnOnce(&mut Stopped<'_>) -> Result<R>) -> Result<R> {
    let vcpus = vm.vcpus()?;
    // It ends after the vCPUs' locks have.
    let _turn = vm.stops_vcpus()?;
    let mut stopped = KVec::with_capacity(vcpus.len(), GFP_KERNEL)?;

    for vcpu in &vcpus {
        stopped.push((&**vcpu, vcpu.try_state().ok_or(EBUSY)?), GFP_KERNEL)?;
    }
    f(&mut stopped)
}
