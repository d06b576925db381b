// SPDX-License-Identifier: GPL-2.0

//! KVM_DEV_TYPE_ARM_VGIC_ITS: an ITS, to user space.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst.

use crate::{
    device::{
        file::Device,
        stopped::stopped, //
    },
    ioctl::{
        read_user,
        write_user, //
    },
    vgic::{
        IrqChip,
        Its,
        ReadyGic,
        Version, //
    },
    vm::Vm, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kvm_core::its::frame::check_attribute;
use kvm_host::{
    abi::*,
    uapi::kvm_device_attr, //
};

/// What the address reads as if it is not set.
const NO_ADDRESS: u64 = u64::MAX;

/// An ITS.
pub(crate) struct VgicIts(Arc<Its>);

/// What an attribute is.
enum Attr {
    Address,
    Init,
    Reset,
    Save,
    Restore,
    Register(u64),
}

impl Attr {
    /// The attribute, if it exists.
    ///
    /// # Errors
    ///
    /// `ENXIO`, for an address other than the ITS's `ENODEV`.
    fn new(attr: &kvm_device_attr) -> Result<Self> {
        match (attr.group, u32::try_from(attr.attr)) {
            (KVM_DEV_ARM_VGIC_GRP_ADDR, Ok(KVM_VGIC_ITS_ADDR_TYPE)) => Ok(Self::Address),
            (KVM_DEV_ARM_VGIC_GRP_ADDR, _) => Err(ENODEV),
            (KVM_DEV_ARM_VGIC_GRP_CTRL, Ok(KVM_DEV_ARM_VGIC_CTRL_INIT)) => Ok(Self::Init),
            (KVM_DEV_ARM_VGIC_GRP_CTRL, Ok(KVM_DEV_ARM_ITS_CTRL_RESET)) => Ok(Self::Reset),
            (KVM_DEV_ARM_VGIC_GRP_CTRL, Ok(KVM_DEV_ARM_ITS_SAVE_TABLES)) => Ok(Self::Save),
            (KVM_DEV_ARM_VGIC_GRP_CTRL, Ok(KVM_DEV_ARM_ITS_RESTORE_TABLES)) => Ok(Self::Restore),
            (KVM_DEV_ARM_VGIC_GRP_ITS_REGS, _) => Ok(Self::Register(attr.attr)),
            _ => Err(ENXIO),
        }
    }
}

/// The VM's GICv3; a GICv2 has no LPIs.
fn gicv3(vm: &Vm) -> Result<&IrqChip> {
    vm.gic()
        .map(|gic| &**gic)
        .filter(|gic| gic.version == Version::V3)
        .ok_or(ENODEV)
}

impl Device for VgicIts {
    const NAME: &'static CStr = c"kvm-arm-vgic-its";

    fn new(vm: &Arc<Vm>) -> Result<Self> {
        gicv3(vm)?;
        Ok(Self(Its::new()?))
    }

    fn attach(&self, vm: &Vm) -> Result {
        gicv3(vm)?.add_its(self.0.clone())
    }

    fn has(&self, _vm: &Vm, attr: &kvm_device_attr) -> Result {
        match Attr::new(attr) {
            Ok(Attr::Register(offset)) => check_attribute(offset).map_err(Its::refused),
            Ok(_) => Ok(()),
            Err(_) => Err(ENXIO),
        }
    }

    fn set(&self, vm: &Vm, attr: &kvm_device_attr) -> Result {
        let at = attr.addr as usize;

        match Attr::new(attr)? {
            Attr::Address => self.0.set_base(read_user(at)?, vm.ipa),
            Attr::Init => Ok(()),
            Attr::Reset => with_gic(vm, |gic| {
                self.0.reset(gic.around());
                Ok(())
            }),
            Attr::Save => with_gic(vm, |gic| self.0.save(gic.around())),
            Attr::Restore => with_gic(vm, |gic| self.0.restore(gic.around())),
            Attr::Register(offset) => {
                let value = read_user(at)?;
                check_attribute(offset).map_err(Its::refused)?;
                self.0.base().ok_or(ENXIO)?;
                with_gic(vm, |gic| self.0.user_write(gic.around(), offset, value))
            }
        }
    }

    fn get(&self, vm: &Vm, attr: &kvm_device_attr) -> Result {
        let at = attr.addr as usize;

        match Attr::new(attr)? {
            Attr::Address => write_user(at, &self.0.base().unwrap_or(NO_ADDRESS)),
            Attr::Register(offset) => {
                check_attribute(offset).map_err(Its::refused)?;
                self.0.base().ok_or(ENXIO)?;
                let value = with_gic(vm, |_| self.0.user_read(offset))?;
                write_user(at, &value)
            }
            Attr::Init | Attr::Reset | Attr::Save | Attr::Restore => Err(ENXIO),
        }
    }
}

/// Calls `f` while no vCPU runs.
///
/// # Errors
///
/// As [`stopped()`], `ENXIO` if the interrupt controller is not initialised, and what `f`
/// returns.
fn with_gic<R>(vm: &Vm, f: impl FnOnce(ReadyGic<'_>) -> Result<R>) -> Result<R> {
    stopped(vm, |_| {
        f(vm.gic().and_then(|gic| gic.ready()).ok_or(ENXIO)?)
    })
}
