// SPDX-License-Identifier: GPL-2.0

//! KVM_IRQ_LINE: user space raises and lowers an interrupt line.

use crate::vm::Vm;
use kernel::prelude::*;
use kvm_core::{
    irq_line::{
        controller,
        BadLine,
        Controller,
        Line, //
    },
    timer::Timer,
    vgic::intid::IntId,
};

/// Whether the line of a PPI is a timer's, which user space does not have.
fn is_timers(vm: &Vm, intid: IntId) -> bool {
    vm.config.frozen().is_some_and(|frozen| {
        Timer::ALL
            .into_iter()
            .any(|timer| frozen.timer_ppis.get(timer.into()).intid() == intid.get())
    })
}

/// Raises or lowers a line. api.rst, "4.25 KVM_IRQ_LINE".
///
/// # Errors
///
/// `EINVAL` if there is no such line, or vCPU; `ENXIO` if the line is one of an interrupt controller in
/// the kernel and there is none, or the other way around; `EBUSY` if it is not initialised, which a
/// GICv2 is by this.
pub(crate) fn irq_line(vm: &Vm, irq: u32, level: bool) -> Result {
    let invalid = |BadLine| EINVAL;

    match (controller(irq).map_err(invalid)?, vm.gic()) {
        (Controller::User, Some(_)) | (Controller::Kernel, None) => return Err(ENXIO),
        _ => {}
    }
    let line = Line::new(irq).map_err(invalid)?;
    vm.init_gic_v2()?;
    match (line, vm.gic()) {
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
            if is_timers(vm, intid) {
                return Ok(());
            }
            vgic.set_private(index, intid, level)
        }
        (Line::Spi { intid }, Some(gic)) => gic.vgic().ok_or(EBUSY)?.set_spi(intid, level),
        (_, None) => Err(ENXIO),
    }
}
