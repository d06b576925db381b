// SPDX-License-Identifier: GPL-2.0

//! KVM_DEV_TYPE_ARM_VGIC_V2: a GICv2, to user space.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst.

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
    vgic::{
        attr::IrqCount,
        bank::By,
        dist::BadWrite,
        interrupts::Interrupts,
        intid::PRIVATE,
        v2::{
            attr::{
                addr_type,
                Attr,
                RegisterAttr, //
            },
            cpu::{
                self,
                CpuInterface, //
            },
            dist,
            lists::MAX_VCPUS, //
        },
    },
};
use kvm_host::uapi::kvm_device_attr;

/// What an address reads as that is not set.
const NO_ADDRESS: u64 = u64::MAX;

/// A GICv2.
pub(crate) struct VgicV2(Arc<IrqChip>);

impl Device for VgicV2 {
    const NAME: &'static CStr = c"kvm-arm-vgic-v2";

    fn new(vm: &Arc<Vm>) -> Result<Self> {
        if vm.gic().is_some() {
            return Err(EEXIST);
        }
        let mut many = false;
        vm.for_each_vcpu(|vcpu| {
            many |= vcpu.id as usize >= MAX_VCPUS;
            !many
        });
        if many {
            return Err(E2BIG);
        }
        Ok(Self(IrqChip::new(Version::V2, vm.memory.clone())?))
    }

    fn attach(&self, vm: &Vm) -> Result {
        vm.set_gic(self.0.clone())
    }

    fn has(&self, vm: &Vm, attr: &kvm_device_attr) -> Result {
        let exists = match Attr::new(attr.group, attr.attr).ok_or(ENXIO)? {
            Attr::Dist(register) => {
                check_vcpu(vm, register)?;
                let irqs = self.0.setup.irqs().unwrap_or(IrqCount::DEFAULT);
                dist::exists(irqs.spis(), register.offset)
            }
            Attr::Cpu(register) => {
                check_vcpu(vm, register)?;
                cpu::exists(register.offset)
            }
            Attr::Addr(_) | Attr::IrqCount | Attr::Init => true,
        };
        exists.then_some(()).ok_or(ENXIO)
    }

    fn set(&self, vm: &Vm, attr: &kvm_device_attr) -> Result {
        let at = attr.addr as usize;

        match Attr::new(attr.group, attr.attr).ok_or(ENXIO)? {
            Attr::Addr(part) => self.0.v2.place(part, read_user(at)?, vm.ipa),
            Attr::IrqCount => {
                let count = IrqCount::new(read_user(at)?).ok_or(EINVAL)?;
                self.0.setup.set_irqs(count)
            }
            Attr::Init => vm.init_gic(),
            Attr::Dist(register) => {
                let value = read_user(at)?;
                let offset = register.offset;
                self.stopped(vm, register, |gic, _, vcpu| {
                    if !dist::exists(gic.vgic().spis(), offset) {
                        return Err(ENXIO);
                    }
                    dist::write(gic, By::User, vcpu, offset, AccessSize::Word, value).map_err(
                        |error| match error {
                            BadWrite::Invalid => EINVAL,
                            BadWrite::Busy => EBUSY,
                        },
                    )
                })
            }
            Attr::Cpu(register) => {
                let value = read_user(at)?;
                self.interface(vm, register, |interface| {
                    interface.user_write(register.offset, value);
                })
            }
        }
    }

    fn get(&self, vm: &Vm, attr: &kvm_device_attr) -> Result {
        let at = attr.addr as usize;

        match Attr::new(attr.group, attr.attr).ok_or(ENXIO)? {
            Attr::Addr(part) => write_user(at, &self.0.v2.frames().get(part).unwrap_or(NO_ADDRESS)),
            Attr::IrqCount => {
                let count = self.0.setup.irqs().map_or(PRIVATE as u32, IrqCount::get);
                write_user(at, &count)
            }
            Attr::Init => Err(ENXIO),
            Attr::Dist(register) => {
                let offset = register.offset;
                let value = self.stopped(vm, register, |gic, _, vcpu| {
                    if !dist::exists(gic.vgic().spis(), offset) {
                        return Err(ENXIO);
                    }
                    Ok(dist::read(gic, By::User, vcpu, offset, AccessSize::Word))
                })?;
                write_user(at, &value)
            }
            Attr::Cpu(register) => {
                let value = self.interface(vm, register, |interface| {
                    interface.user_read(register.offset)
                })?;
                write_user(at, &value)
            }
        }
    }
}

/// KVM_CREATE_IRQCHIP: makes a GICv2 without a descriptor. api.rst, "4.24 KVM_CREATE_IRQCHIP".
///
/// # Errors
///
/// `ENODEV` if there are no such devices, and as [`Device::new`] and [`Device::attach`].
pub(crate) fn create(vm: &Arc<Vm>) -> Result {
    if !vm.cpus.has_vgic() {
        return Err(ENODEV);
    }
    VgicV2::new(vm)?.attach(vm)
}

/// KVM_ARM_SET_DEVICE_ADDR. api.rst, "4.85 KVM_ARM_SET_DEVICE_ADDR".
///
/// # Errors
///
/// `ENODEV` if `id` is no device, or the VM has none of it, and those of the attribute.
pub(crate) fn set_address(vm: &Vm, id: u64, address: u64) -> Result {
    // KVM_ARM_DEVICE_VGIC_V2 is zero in the upper half of 32 bits.
    let part = addr_type(id).ok_or(ENODEV)?;
    let gic = vm
        .gic()
        .filter(|gic| gic.version == Version::V2)
        .ok_or(ENODEV)?;

    gic.v2.place(part, address, vm.ipa)
}

/// Checks that there is the vCPU as which a register is accessed.
fn check_vcpu(vm: &Vm, register: RegisterAttr) -> Result {
    let mut found = false;

    vm.for_each_vcpu(|vcpu| {
        found = vcpu.id == u32::from(register.vcpu);
        !found
    });
    found.then_some(()).ok_or(EINVAL)
}

impl VgicV2 {
    /// Initialises the GIC, if it is not, locks its vCPUs, so that none runs, and calls `f` with the
    /// index of the one as which the register is accessed.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such vCPU, `EBUSY` if one runs, `ENOMEM`, and what `f` returns.
    fn stopped<R>(
        &self,
        vm: &Vm,
        register: RegisterAttr,
        f: impl FnOnce(&ReadyGic<'_>, &mut Stopped<'_>, usize) -> Result<R>,
    ) -> Result<R> {
        check_vcpu(vm, register)?;
        vm.init_gic()?;
        stopped(vm, |stopped| {
            let gic = self.0.ready().ok_or(EBUSY)?;
            let index = gic.vgic().index_of(register.vcpu.into()).ok_or(EINVAL)?;
            f(&gic, stopped, index)
        })
    }

    /// Calls `f` with the CPU interface that has the register.
    ///
    /// # Errors
    ///
    /// As [`stopped`](Self::stopped), and `ENXIO` if there is no such register.
    fn interface<R>(
        &self,
        vm: &Vm,
        register: RegisterAttr,
        f: impl FnOnce(&mut CpuInterface) -> R,
    ) -> Result<R> {
        let host = vm.cpus.gic.interface();

        self.stopped(vm, register, |gic, stopped, _| {
            if !cpu::exists(register.offset) {
                return Err(ENXIO);
            }
            let (vcpu, state) = stopped
                .iter_mut()
                .find(|(vcpu, _)| vcpu.id == u32::from(register.vcpu))
                .ok_or(EINVAL)?;
            let interface = &vcpu.join(state, gic.vgic(), host)?.v2;
            Ok(f(&mut interface.as_ref().ok_or(ENXIO)?.borrow_mut()))
        })
    }
}
