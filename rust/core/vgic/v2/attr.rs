// SPDX-License-Identifier: GPL-2.0

//! The attributes of KVM_DEV_TYPE_ARM_VGIC_V2.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst; `arch/arm64/include/uapi/asm/kvm.h`.

use super::frames::Part;

/// KVM_DEV_ARM_VGIC_GRP_*.
mod group {
    pub(super) const ADDR: u32 = 0;
    pub(super) const DIST_REGS: u32 = 1;
    pub(super) const CPU_REGS: u32 = 2;
    pub(super) const NR_IRQS: u32 = 3;
    pub(super) const CTRL: u32 = 4;
}

/// KVM_DEV_ARM_VGIC_CTRL_INIT.
const CTRL_INIT: u64 = 0;

/// A register, and the vCPU as which it is accessed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RegisterAttr {
    /// The vCPU's number in KVM_CREATE_VCPU.
    pub vcpu: u8,
    /// The offset in bytes. There need not be a register.
    pub offset: u32,
}

/// An attribute of the GIC.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Attr {
    /// An address, of 64 bits.
    Addr(Part),
    /// The number of interrupts, of 32 bits.
    IrqCount,
    /// KVM_DEV_ARM_VGIC_CTRL_INIT; set only.
    Init,
    /// 32 bits of the distributor's registers.
    Dist(RegisterAttr),
    /// 32 bits of a CPU interface's registers.
    Cpu(RegisterAttr),
}

/// Returns the part that KVM_VGIC_V2_ADDR_TYPE_* of this number names, if there is one.
pub const fn addr_type(number: u64) -> Option<Part> {
    match number {
        0 => Some(Part::Dist),
        1 => Some(Part::Cpu),
        _ => None,
    }
}

impl Attr {
    /// Returns what `group` and `attr` of `struct kvm_device_attr` name; [`None`], which is ENXIO, if
    /// that is nothing.
    pub fn new(group: u32, attr: u64) -> Option<Self> {
        let register = RegisterAttr {
            vcpu: (attr >> 32) as u8,
            offset: attr as u32,
        };

        match (group, attr) {
            (group::ADDR, _) => addr_type(attr).map(Self::Addr),
            (group::NR_IRQS, _) => Some(Self::IrqCount),
            (group::CTRL, CTRL_INIT) => Some(Self::Init),
            (group::DIST_REGS, _) => Some(Self::Dist(register)),
            (group::CPU_REGS, _) => Some(Self::Cpu(register)),
            _ => None,
        }
    }
}
