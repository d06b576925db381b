// SPDX-License-Identifier: GPL-2.0

//! The attributes of KVM_DEV_TYPE_ARM_VGIC_V3.
//!
//! [`Attr::new`] turns the group and the number of `struct kvm_device_attr` into what they name;
//! whatever is behind that has no numbers that could be out of range.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst; `arch/arm64/include/uapi/asm/kvm.h`.

use super::intid::{
    MAX_SPIS,
    PRIVATE, //
};
use crate::{
    bits::Bits,
    psci::Affinity,
    sysreg::SysReg, //
};

/// KVM_DEV_ARM_VGIC_GRP_*.
mod group {
    pub(super) const ADDR: u32 = 0;
    pub(super) const DIST_REGS: u32 = 1;
    pub(super) const NR_IRQS: u32 = 3;
    pub(super) const CTRL: u32 = 4;
    pub(super) const REDIST_REGS: u32 = 5;
    pub(super) const CPU_SYSREGS: u32 = 6;
    pub(super) const LEVEL_INFO: u32 = 7;
    pub(super) const MAINT_IRQ: u32 = 9;
}

/// KVM_VGIC_V3_ADDR_TYPE_*.
mod addr {
    pub(super) const DIST: u64 = 2;
    pub(super) const REDIST: u64 = 3;
    pub(super) const REDIST_REGION: u64 = 5;
}

/// KVM_DEV_ARM_VGIC_CTRL_INIT.
const CTRL_INIT: u64 = 0;

/// KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES.
const SAVE_PENDING_TABLES: u64 = 3;

/// VGIC_LEVEL_INFO_LINE_LEVEL.
const LINE_LEVEL: u32 = 0;

/// Returns the affinity that the upper half of an attribute names.
const fn affinity(attr: u64) -> Affinity {
    let packed = attr >> 32;
    Affinity::from_mpidr(packed & 0xff_ffff | ((packed >> 24) << 32))
}

/// The number of interrupts of a GIC, SGIs and PPIs included: a multiple of 32 from 64 to 1024.
///
/// The last four of 1024 are no interrupts, since the architecture reserves their numbers.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct IrqCount(u16);

impl IrqCount {
    /// What a GIC has whose user space asks for no number.
    pub const DEFAULT: Self = Self(256);

    /// Returns the value of KVM_DEV_ARM_VGIC_GRP_NR_IRQS as a number of interrupts, or [`None`],
    /// which is EINVAL.
    #[inline]
    pub const fn new(count: u32) -> Option<Self> {
        if count >= 64 && count <= 1024 && count % 32 == 0 {
            Some(Self(count as u16))
        } else {
            None
        }
    }

    /// Returns the number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// Returns the number of SPIs among them, without numbers that are no interrupt's.
    #[inline]
    pub const fn spis(self) -> usize {
        let spis = self.0 as usize - PRIVATE;
        if spis > MAX_SPIS {
            MAX_SPIS
        } else {
            spis
        }
    }
}

/// What of the GIC has an address.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AddrAttr {
    /// KVM_VGIC_V3_ADDR_TYPE_DIST.
    Dist,
    /// KVM_VGIC_V3_ADDR_TYPE_REDIST.
    Redist,
    /// KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION.
    RedistRegion,
}

/// 32 interrupts whose lines are read or set at once: those from 32 times this number on.
pub type LineGroup = Bits<5>;

/// An attribute of the GIC.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Attr {
    /// An address, of 64 bits.
    Addr(AddrAttr),
    /// The number of interrupts, of 32 bits.
    IrqCount,
    /// KVM_DEV_ARM_VGIC_CTRL_INIT; set only.
    Init,
    /// KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES; set only.
    SavePendingTables,
    /// 32 bits of the distributor's registers.
    Dist {
        /// The offset in bytes. There need not be a register.
        offset: u32,
    },
    /// 32 bits of a redistributor's registers.
    Redist {
        /// The vCPU's affinity.
        vcpu: Affinity,
        /// The offset in bytes. There need not be a register.
        offset: u32,
    },
    /// A system register of the CPU interface, of 64 bits.
    Cpu {
        /// The vCPU's affinity.
        vcpu: Affinity,
        /// The register. There need not be one.
        reg: SysReg,
    },
    /// The lines of 32 interrupts.
    LineLevel {
        /// The affinity of the vCPU whose PPIs are meant.
        vcpu: Affinity,
        /// The interrupts, or [`None`] where the first one's number is not a multiple of 32: such an
        /// attribute exists, and access is EINVAL.
        group: Option<LineGroup>,
    },
    /// The PPI of maintenance interrupts of a guest's own hypervisor, of 32 bits.
    MaintenanceIrq,
}

/// There is no such attribute.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadAttr {
    /// The group, or the attribute in it, is unknown; ENXIO.
    Unknown,
    /// What KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO is asked for is unknown; EINVAL, and ENXIO for
    /// KVM_HAS_DEVICE_ATTR.
    LevelInfo,
}

impl Attr {
    /// Returns what `group` and `attr` of `struct kvm_device_attr` name.
    ///
    /// # Errors
    ///
    /// [`BadAttr`].
    pub fn new(group: u32, attr: u64) -> Result<Self, BadAttr> {
        // The lower half of an attribute that names a register, and its upper half.
        let offset = attr as u32;
        let vcpu = affinity(attr);

        Ok(match (group, attr) {
            (group::ADDR, addr::DIST) => Self::Addr(AddrAttr::Dist),
            (group::ADDR, addr::REDIST) => Self::Addr(AddrAttr::Redist),
            (group::ADDR, addr::REDIST_REGION) => Self::Addr(AddrAttr::RedistRegion),
            (group::NR_IRQS, _) => Self::IrqCount,
            (group::CTRL, CTRL_INIT) => Self::Init,
            (group::CTRL, SAVE_PENDING_TABLES) => Self::SavePendingTables,
            (group::DIST_REGS, _) => Self::Dist { offset },
            (group::REDIST_REGS, _) => Self::Redist { vcpu, offset },
            (group::CPU_SYSREGS, _) => Self::Cpu {
                vcpu,
                reg: SysReg::from_raw(attr as u16),
            },
            (group::LEVEL_INFO, _) => {
                let (info, intid) = (offset >> 10, attr & 0x3ff);
                if info != LINE_LEVEL {
                    return Err(BadAttr::LevelInfo);
                }
                Self::LineLevel {
                    vcpu,
                    group: (intid % 32 == 0).then_some(Bits::truncated(intid / 32)),
                }
            }
            (group::MAINT_IRQ, _) => Self::MaintenanceIrq,
            _ => return Err(BadAttr::Unknown),
        })
    }
}
