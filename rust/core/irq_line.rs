// SPDX-License-Identifier: GPL-2.0

//! What KVM_IRQ_LINE names: an interrupt line of a vCPU, or one of the interrupt controller's.
//!
//! Source: api.rst, "4.25 KVM_IRQ_LINE".

use crate::{
    bit_struct,
    vgic::intid::{
        IntId,
        Kind, //
    },
};

bit_struct! {
    /// `irq` of `struct kvm_irq_level`.
    pub struct IrqField("kvm_irq_level.irq") {
        /// The interrupt's number.
        number / with_number: bits 0..=15,
        /// The vCPU's number, modulo 256.
        vcpu / with_vcpu: bits 16..=23,
        /// KVM_ARM_IRQ_TYPE_*.
        kind / with_kind: bits 24..=27,
        /// The vCPU's number, divided by 256.
        vcpu2 / with_vcpu2: bits 28..=31,
    }
}

/// KVM_ARM_IRQ_TYPE_CPU.
const TYPE_CPU: u64 = 0;
/// KVM_ARM_IRQ_TYPE_SPI.
const TYPE_SPI: u64 = 1;
/// KVM_ARM_IRQ_TYPE_PPI.
const TYPE_PPI: u64 = 2;

/// One of the two lines that a CPU has for interrupts.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CpuLine {
    /// KVM_ARM_IRQ_CPU_IRQ.
    Irq,
    /// KVM_ARM_IRQ_CPU_FIQ.
    Fiq,
}

/// A line that is raised or lowered. A vCPU is named by its number in KVM_CREATE_VCPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// A vCPU's own, for an interrupt controller in user space.
    Cpu {
        /// The vCPU.
        vcpu: u32,
        /// Which of its lines.
        line: CpuLine,
    },
    /// That of a PPI, of the interrupt controller in the kernel.
    Ppi {
        /// The vCPU.
        vcpu: u32,
        /// 16 to 31.
        intid: IntId,
    },
    /// That of an SPI, of the interrupt controller in the kernel.
    Spi {
        /// 32 to 1019.
        intid: IntId,
    },
}

/// The number is none that there is: EINVAL. It may be that of a line of a vCPU that does not exist,
/// too.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BadLine;

/// What kind of interrupt controller a line is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Controller {
    /// One in user space.
    User,
    /// The one in the kernel.
    Kernel,
}

/// Returns whose lines are of the type in `irq`; the VM's has to be that one, or it is ENXIO.
///
/// # Errors
///
/// [`BadLine`] if there is no such type.
pub fn controller(irq: u32) -> Result<Controller, BadLine> {
    match IrqField::from_raw(irq.into()).kind().get() {
        TYPE_CPU => Ok(Controller::User),
        TYPE_SPI | TYPE_PPI => Ok(Controller::Kernel),
        _ => Err(BadLine),
    }
}

impl Line {
    /// Returns the line with the number `irq`.
    ///
    /// # Errors
    ///
    /// [`BadLine`] if there is none.
    pub fn new(irq: u32) -> Result<Self, BadLine> {
        let field = IrqField::from_raw(irq.into());
        let vcpu = ((field.vcpu2().get() << 8) | field.vcpu().get()) as u32;
        let number = field.number().get();
        let intid = IntId::new(number as u32).ok_or(BadLine);

        match field.kind().get() {
            TYPE_CPU => {
                let line = match number {
                    0 => CpuLine::Irq,
                    1 => CpuLine::Fiq,
                    _ => return Err(BadLine),
                };
                Ok(Self::Cpu { vcpu, line })
            }
            TYPE_PPI => intid
                .and_then(|intid| of_kind(intid, Kind::Ppi))
                .map(|intid| Self::Ppi { vcpu, intid }),
            TYPE_SPI => intid
                .and_then(|intid| of_kind(intid, Kind::Spi))
                .map(|intid| Self::Spi { intid }),
            _ => Err(BadLine),
        }
    }
}

fn of_kind(intid: IntId, kind: Kind) -> Result<IntId, BadLine> {
    if intid.kind() == kind {
        Ok(intid)
    } else {
        Err(BadLine)
    }
}
