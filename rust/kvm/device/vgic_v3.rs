// SPDX-License-Identifier: GPL-2.0

//! KVM_DEV_TYPE_ARM_VGIC_V3: a GICv3, to user space.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst.

use crate::{
    device::{
        file::Device,
        stopped::{
            stopped,
            Stopped, //
        },
    },
    ioctl::{
        read_user,
        write_user, //
    },
    vgic::{
        IrqChip,
        ReadyGic,
        Version, //
    },
    vm::Vm, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kvm_core::{
    esr::AccessSize,
    psci::Affinity,
    vgic::{
        attr::{
            AddrAttr,
            Attr,
            BadAttr,
            IrqCount, //
        },
        bank::{
            read_lines,
            write_lines,
            By, //
        },
        cpuregs::{
            BadValue,
            CpuReg, //
        },
        dist::{
            self,
            BadWrite,
            Distributor, //
        },
        intid::PRIVATE,
        redist,
        regions::RedistRegionAttr, //
    },
};
use kvm_host::uapi::kvm_device_attr;

/// What an address reads as that is not set.
const NO_ADDRESS: u64 = u64::MAX;

/// A GICv3.
pub(crate) struct VgicV3(Arc<IrqChip>);

impl Device for VgicV3 {
    const NAME: &'static CStr = c"kvm-arm-vgic-v3";

    fn new(vm: &Arc<Vm>) -> Result<Self> {
        if vm.gic().is_some() {
            return Err(EEXIST);
        }
        Ok(Self(IrqChip::new(Version::V3, vm.memory.clone())?))
    }

    fn attach(&self, vm: &Vm) -> Result {
        vm.set_gic(self.0.clone())
    }

    fn has(&self, vm: &Vm, attr: &kvm_device_attr) -> Result {
        let named = Attr::new(attr.group, attr.attr).map_err(|_| ENXIO)?;
        let exists = match named {
            Attr::Dist { offset } => {
                let irqs = self.0.setup.irqs().unwrap_or(IrqCount::DEFAULT);
                dist::exists(irqs.spis(), offset)
            }
            Attr::Redist { vcpu, offset } => {
                find(vm, vcpu)?;
                redist::exists(offset)
            }
            Attr::Cpu { vcpu, reg } => {
                find(vm, vcpu)?;
                CpuReg::new(reg).is_some()
            }
            Attr::Addr(_)
            | Attr::IrqCount
            | Attr::Init
            | Attr::SavePendingTables
            | Attr::LineLevel { .. }
            | Attr::MaintenanceIrq => true,
        };
        exists.then_some(()).ok_or(ENXIO)
    }

    fn set(&self, vm: &Vm, attr: &kvm_device_attr) -> Result {
        let at = attr.addr as usize;

        match named(attr)? {
            Attr::Addr(which) => self.set_address(vm, which, read_user(at)?),
            Attr::IrqCount => {
                let count = IrqCount::new(read_user(at)?).ok_or(EINVAL)?;
                self.0.setup.set_irqs(count)
            }
            Attr::Init => vm.init_gic(),
            Attr::SavePendingTables => {
                self.0.ready().ok_or(ENXIO)?;
                self.stopped(vm, |gic, _| gic.save_pending())
            }
            Attr::Dist { offset } => {
                let value = read_user(at)?;
                self.set_dist(vm, offset, value)
            }
            Attr::Redist { vcpu, offset } => {
                let vcpu = find(vm, vcpu)?;
                let value = read_user(at)?;
                self.stopped(vm, |gic, _| {
                    redist::user_write(gic, vcpu, offset, value);
                    Ok(())
                })
            }
            Attr::Cpu { vcpu, reg } => {
                let vcpu = find(vm, vcpu)?;
                let host = vm.cpus.gic.interface();
                self.stopped(vm, |gic, stopped| {
                    let reg = CpuReg::new(reg).ok_or(ENXIO)?;
                    let value = read_user(at)?;
                    let (vcpu, state) = stopped.get_mut(vcpu).ok_or(EINVAL)?;
                    let interface = &vcpu.join(state, gic.interrupts(), host)?.interface;
                    let mut registers = interface.get();

                    registers
                        .set(reg, value, host.vtr())
                        .map_err(|BadValue| EINVAL)?;
                    interface.set(registers);
                    Ok(())
                })
            }
            Attr::LineLevel { vcpu, group } => {
                let vcpu = find(vm, vcpu)?;
                let value = read_user(at)?;
                self.stopped(vm, |gic, _| {
                    write_lines(gic.interrupts(), vcpu, group.ok_or(EINVAL)?, value);
                    Ok(())
                })
            }
            Attr::MaintenanceIrq => {
                let intid = read_user(at)?;
                if self.0.ready().is_some() {
                    return Err(EBUSY);
                }
                self.0.setup.set_maintenance(intid)
            }
        }
    }

    fn get(&self, vm: &Vm, attr: &kvm_device_attr) -> Result {
        let at = attr.addr as usize;

        match named(attr)? {
            Attr::Addr(which) => self.get_address(which, at),
            Attr::IrqCount => {
                let count = self.0.setup.irqs().map_or(PRIVATE as u32, IrqCount::get);
                write_user(at, &count)
            }
            Attr::Dist { offset } => {
                let value = self.get_dist(vm, offset)?;
                write_user(at, &value)
            }
            Attr::Redist { vcpu, offset } => {
                let vcpu = find(vm, vcpu)?;
                let value = self.stopped(vm, |gic, _| {
                    Ok(redist::read(gic, By::User, vcpu, offset, AccessSize::Word) as u32)
                })?;
                write_user(at, &value)
            }
            Attr::Cpu { vcpu, reg } => {
                let vcpu = find(vm, vcpu)?;
                let host = vm.cpus.gic.interface();
                let value = self.stopped(vm, |gic, stopped| {
                    let reg = CpuReg::new(reg).ok_or(ENXIO)?;
                    let (vcpu, state) = stopped.get_mut(vcpu).ok_or(EINVAL)?;
                    let interface = &vcpu.join(state, gic.interrupts(), host)?.interface;

                    interface
                        .get()
                        .get(reg, host.vtr())
                        .map_err(|BadValue| EINVAL)
                })?;
                write_user(at, &value)
            }
            Attr::LineLevel { vcpu, group } => {
                let vcpu = find(vm, vcpu)?;
                let value = self.stopped(vm, |gic, _| {
                    Ok(read_lines(gic.interrupts(), vcpu, group.ok_or(EINVAL)?))
                })?;
                write_user(at, &value)
            }
            Attr::MaintenanceIrq => write_user(at, &self.0.setup.maintenance()),
            Attr::Init | Attr::SavePendingTables => Err(ENXIO),
        }
    }
}

/// The attribute that is set or got.
fn named(attr: &kvm_device_attr) -> Result<Attr> {
    Attr::new(attr.group, attr.attr).map_err(|error| match error {
        BadAttr::Unknown => ENXIO,
        BadAttr::LevelInfo => EINVAL,
    })
}

/// The index of the vCPU with this affinity.
fn find(vm: &Vm, affinity: Affinity) -> Result<usize> {
    let (mut index, mut found) = (0, false);

    vm.for_each_vcpu(|vcpu| {
        found = vcpu.affinity() == affinity;
        index += usize::from(!found);
        !found
    });
    found.then_some(index).ok_or(EINVAL)
}

impl VgicV3 {
    fn set_address(&self, vm: &Vm, which: AddrAttr, value: u64) -> Result {
        let ipa = vm.ipa;

        self.0.setup.place(|frames| match which {
            AddrAttr::Dist => frames.set_dist(value, ipa),
            AddrAttr::Redist => frames.set_redist(value, vm.vcpu_count(), ipa),
            AddrAttr::RedistRegion => frames.add_region(RedistRegionAttr::from_raw(value), ipa),
        })
    }

    fn get_address(&self, which: AddrAttr, at: usize) -> Result {
        let value = match which {
            AddrAttr::Dist => self.0.setup.with_frames(|frames| frames.dist()),
            AddrAttr::Redist => self.0.setup.with_frames(|frames| frames.redist()),
            AddrAttr::RedistRegion => {
                let index = RedistRegionAttr::from_raw(read_user(at)?).index();
                let region = self.0.setup.with_frames(|frames| frames.region(index));
                Some(Some(region.flatten().ok_or(ENOENT)?.into_raw()))
            }
        };
        write_user(at, &value.flatten().unwrap_or(NO_ADDRESS))
    }

    /// Calls `f` while no vCPU runs.
    ///
    /// # Errors
    ///
    /// As [`stopped()`], `EBUSY` if the GIC is not initialised, and what `f` returns.
    fn stopped<R>(
        &self,
        vm: &Vm,
        f: impl FnOnce(&ReadyGic<'_>, &mut Stopped<'_>) -> Result<R>,
    ) -> Result<R> {
        stopped(vm, |stopped| f(&self.0.ready().ok_or(EBUSY)?, stopped))
    }

    fn set_dist(&self, vm: &Vm, offset: u32, value: u32) -> Result {
        let errno = |error| match error {
            BadWrite::Invalid => EINVAL,
            BadWrite::Busy => EBUSY,
        };

        if self.0.ready().is_none() && dist::is_early(offset) {
            let setup = &self.0.setup;
            let revision = dist::write_early(setup.revision(), false, offset, value);
            setup.set_revision(revision.map_err(errno)?);
            return Ok(());
        }
        self.stopped(vm, |gic, _| {
            dist::user_write(gic, offset, value).map_err(errno)
        })
    }

    fn get_dist(&self, vm: &Vm, offset: u32) -> Result<u32> {
        if dist::is_early(offset) {
            return Ok(dist::read_early(self.0.setup.revision(), offset));
        }
        self.stopped(vm, |gic, _| {
            Ok(dist::read(gic, By::User, offset, AccessSize::Word) as u32)
        })
    }
}
