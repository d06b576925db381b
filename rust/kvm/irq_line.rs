// SPDX-License-Identifier: GPL-2.0

//! KVM_IRQ_LINE: user space raises and lowers an interrupt line.

use crate::vm::Vm;
use kernel::prelude::*;
use kvm_core::irq_line::{
    controller,
    BadLine,
    Controller,
    Line, //
};

/// Raises or lowers a line. api.rst, "4.25 KVM_IRQ_LINE".
///
/// # Errors
///
/// `EINVAL` if there is no such line, or vCPU; `ENXIO` if the line is one of an interrupt controller in
/// the kernel and there is none, or the other way around; `EBUSY` if it is not initialised.
pub(crate) fn irq_line(vm: &Vm, irq: u32, level: bool) -> Result {
    let invalid = |BadLine| EINVAL;

    match (controller(irq).map_err(invalid)?, vm.gic()) {
        (Controller::User, Some(_)) | (Controller::Kernel, None) => return Err(ENXIO),
        _ => {}
    }
    match (Line::new(irq).map_err(invalid)?, vm.gic()) {
        (Line::Cpu { vcpu, line }, _) => {
            let mut found = false;
            vm.for_each_vcpu(|other| {
                found = other.id == vcpu;
                if found {
                    other.set_line(line, level);
                }
                !found
            });
            if found {
                Ok(())
            } else {
                Err(EINVAL)
            }
        }
        (Line::Ppi { vcpu, intid }, Some(gic)) => {
            let vgic = gic.vgic().ok_or(EBUSY)?;
            let index = vgic.index_of(vcpu).ok_or(EINVAL)?;
            if vgic
                .irq(index, intid)
                .is_some_and(|irq| irq.wire().is_some())
            {
                // The line is a timer's.
                return Ok(());
            }
            vgic.set_private(index, intid, level)
        }
        (Line::Spi { intid }, Some(gic)) => gic.vgic().ok_or(EBUSY)?.set_spi(intid, level),
        (_, None) => Err(ENXIO),
    }
}
