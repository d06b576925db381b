// SPDX-License-Identifier: GPL-2.0

//! A vCPU's timers, as text.

use crate::{
    vcpu::Vcpu,
    vm::Vm, //
};
use kernel::{
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};
use kvm_core::vgic::intid::IntId;
use kvm_host::{
    debugfs::Show,
    time, //
};

/// The registers of each timer when the vCPU last left a CPU, the counter now, and the interrupt.
///
/// While the vCPU runs its guest may have changed them since.
pub(super) struct TimersState {
    pub(super) vm: Arc<Vm>,
    pub(super) vcpu: Arc<Vcpu>,
}

impl Show for TimersState {
    fn show(&self, m: &SeqFile) {
        let offsets = self.vm.counter_offsets();
        let ppis = self.vm.config.timer_ppis();
        let vgic = self.vm.vgic();

        seq_print!(m, "busy:\t{}\n", u8::from(self.vcpu.is_busy()));
        for (timer, state) in self.vcpu.seen.timers() {
            let count = offsets.count(timer, time::counter());
            let ppi = ppis.get(timer.into()).intid();
            let irq =
                vgic.and_then(|vgic| vgic.irq(vgic.index_of(self.vcpu.id)?, IntId::private(ppi)?));

            seq_print!(
                m,
                "{}:\tCTL 0x{:x}, CVAL 0x{:x}, counter 0x{:x}, ",
                timer.name(),
                state.ctl.into_raw(),
                state.cval,
                count
            );
            match state.remaining(count) {
                None => seq_print!(m, "off"),
                Some(0) => seq_print!(m, "over"),
                Some(ticks) => seq_print!(m, "{} ticks left", ticks),
            }
            seq_print!(m, ", PPI {}", ppi);
            if let Some(irq) = irq {
                seq_print!(
                    m,
                    "{}{}{}",
                    if irq.enabled() { " enabled" } else { "" },
                    if irq.pending() { " pending" } else { "" },
                    if irq.active() { " active" } else { "" }
                );
            }
            seq_print!(m, "\n");
        }
    }
}
