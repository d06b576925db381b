// SPDX-License-Identifier: GPL-2.0

//! The state of a VM's interrupt controller, as text.

use crate::{
    vgic::{
        ReadyGic,
        Version,
        Vgic, //
    },
    vm::Vm, //
};
use kernel::{
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};
use kvm_core::vgic::{
    dist::{
        Distributor as _,
        Revision, //
    },
    interrupts::Interrupts as _,
    intid::{
        IntId,
        Kind,
        FIRST_LPI,
        PRIVATE, //
    },
    irq::Irq,
    redist::{
        Lpis,
        Redistributors as _, //
    },
    v2,
};
use kvm_host::debugfs::Show;

/// The distributor and the redistributors, and each interrupt that is enabled, pending or active.
///
/// What is in a list register of a vCPU in its guest is the guest's: `L` says so, and pending and
/// active are what they were then.
pub(super) struct VgicState(pub(super) Arc<Vm>);

impl Show for VgicState {
    fn show(&self, m: &SeqFile) {
        match self.0.gic().map(|gic| gic.ready()) {
            None => seq_print!(m, "none\n"),
            Some(None) => seq_print!(m, "not initialised\n"),
            Some(Some(gic)) => show(m, gic),
        }
    }
}

fn show(m: &SeqFile, gic: ReadyGic<'_>) {
    let vgic = gic.vgic();
    let groups = vgic.groups();

    let (model, revision) = match vgic.version {
        Version::V2 => (
            2,
            v2::dist::Distributor::said_revision(&gic).unwrap_or(Revision::Three),
        ),
        Version::V3 => (3, gic.revision()),
    };

    seq_print!(m, "model:\tGICv{}, revision {}\n", model, revision as u8);
    seq_print!(m, "spis:\t{}\n", vgic.spis());
    seq_print!(
        m,
        "groups:\t0 {}, 1 {}\n",
        on(groups.group0),
        on(groups.group1)
    );
    for vcpu in 0..vgic.vcpus() {
        let Some(member) = vgic.member(vcpu) else {
            continue;
        };
        let affinity = vgic
            .affinity(vcpu)
            .map_or(0, |affinity| affinity.into_raw());

        seq_print!(
            m,
            "vcpu{}:\taffinity {}.{}.{}.{}, LPIs {}\n",
            member.id,
            affinity >> 32 & 0xff,
            affinity >> 16 & 0xff,
            affinity >> 8 & 0xff,
            affinity & 0xff,
            on(matches!(gic.lpis(vcpu), Lpis::Enabled))
        );
    }

    seq_print!(
        m,
        "\nE enabled, P pending, A active, L in a list register, l line high\n"
    );
    seq_print!(m, "  intid kind state trigger group prio  vcpu      host\n");
    for vcpu in 0..vgic.vcpus() {
        for n in 0..PRIVATE as u32 {
            if let Some(intid) = IntId::private(n) {
                show_irq(m, vgic, intid, vgic.irq(vcpu, intid));
            }
        }
    }
    for n in 0..vgic.spis() {
        if let Some(intid) = IntId::spi((PRIVATE + n) as u32) {
            show_irq(m, vgic, intid, vgic.irq(0, intid));
        }
    }
    let mut from = IntId::lpi(FIRST_LPI);
    while let Some(lpi) = from.and_then(|intid| vgic.lpis().at_or_after(intid)) {
        show_irq(m, vgic, lpi.intid(), Some(lpi.irq()));
        from = IntId::lpi(lpi.intid().get() + 1);
    }
}

fn on(enabled: bool) -> &'static str {
    if enabled {
        "on"
    } else {
        "off"
    }
}

/// A vCPU by its index, as user space numbers it.
fn number(vgic: &Vgic, vcpu: Option<usize>) -> Option<u32> {
    Some(vgic.member(vcpu?)?.id)
}

fn show_irq(m: &SeqFile, vgic: &Vgic, intid: IntId, irq: Option<Irq>) {
    let Some(irq) = irq.filter(|irq| irq.enabled() || irq.pending() || irq.active()) else {
        return;
    };
    let kind = match intid.kind() {
        Kind::Sgi => "SGI",
        Kind::Ppi => "PPI",
        Kind::Spi => "SPI",
        Kind::Lpi => "LPI",
    };
    let mark = |set, mark| if set { mark } else { '-' };

    seq_print!(
        m,
        "{:7} {:4} {}{}{}{}{} {:7} {:5} 0x{:02x}",
        intid.get(),
        kind,
        mark(irq.enabled(), 'E'),
        mark(irq.pending(), 'P'),
        mark(irq.active(), 'A'),
        mark(irq.listed(), 'L'),
        mark(irq.line(), 'l'),
        if irq.edge() { "edge" } else { "level" },
        u8::from(irq.group1()),
        irq.priority().get()
    );
    match number(vgic, irq.owner()) {
        Some(id) => seq_print!(m, "  vcpu{:<4}", id),
        None => seq_print!(m, "  nowhere "),
    }
    match irq.wire() {
        Some(host) => seq_print!(m, "  {}\n", host.get()),
        None => seq_print!(m, "  -\n"),
    }
}
