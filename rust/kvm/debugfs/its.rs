// SPDX-License-Identifier: GPL-2.0

//! The maps of a VM's ITSs, as text.

use crate::{
    vgic::Its,
    vm::Vm, //
};
use kernel::{
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};
use kvm_core::its::{
    CollectionId,
    DeviceId,
    Event,
    Map as _, //
};
use kvm_host::debugfs::Show;

/// How many entries are shown before others get the ITS.
const BATCH: usize = 64;

/// The ITSs' registers, devices, collections and events.
///
/// It is not one moment's: the guest may change the maps while they are shown.
pub(super) struct ItsMaps(pub(super) Arc<Vm>);

impl Show for ItsMaps {
    fn show(&self, m: &SeqFile) {
        let Some(gic) = self.0.gic() else {
            return;
        };
        let mut n = 0;
        while let Some(its) = gic.its(n) {
            show(m, n, &its);
            n += 1;
        }
    }
}

/// GITS_CTLR and what places tables and the queue. Source: IHI 0069, "The ITS register map".
const REGISTERS: [(&str, u64); 6] = [
    ("GITS_CTLR", 0x0),
    ("GITS_CBASER", 0x80),
    ("GITS_CWRITER", 0x88),
    ("GITS_CREADR", 0x90),
    ("GITS_BASER0", 0x100),
    ("GITS_BASER1", 0x108),
];

fn show(m: &SeqFile, n: usize, its: &Its) {
    match its.base() {
        Some(base) => seq_print!(m, "its{}:\tat 0x{:x}\n", n, base),
        None => seq_print!(m, "its{}:\tno address\n", n),
    }
    for (name, offset) in REGISTERS {
        if let Ok(value) = its.user_read(offset) {
            seq_print!(m, "{}:\t0x{:x}\n", name, value);
        }
    }

    let mut from = Some(CollectionId::from(0));
    while let Some(start) = from {
        from = its.look(|its| {
            let mut next = Some(start);
            for _ in 0..BATCH {
                let (id, collection) = its.collections().at_or_after(next?)?;
                seq_print!(m, "collection {}:\t", id.get());
                match collection.target {
                    Some(target) => seq_print!(m, "vcpu{}", target.processor.get()),
                    None => seq_print!(m, "nowhere"),
                }
                seq_print!(m, ", {} events\n", collection.events);
                next = CollectionId::new(id.get() + 1);
            }
            next
        });
    }

    let mut from = Some(DeviceId::from(0));
    while let Some(start) = from {
        from = its.look(|its| {
            let mut next = Some(start);
            for _ in 0..BATCH {
                let (id, device) = its.devices().at_or_after(next?)?;
                seq_print!(
                    m,
                    "device 0x{:x}:\tITT at 0x{:x}, {} events\n",
                    id.get(),
                    device.itt.get(),
                    device.bits.count()
                );
                next = DeviceId::new(id.get() + 1);
            }
            next
        });
    }

    let mut from = Some(Event::FIRST);
    while let Some(start) = from {
        from = its.look(|its| {
            let mut next = Some(start);
            for _ in 0..BATCH {
                let (event, mapping) = its.events().at_or_after(next?)?;
                seq_print!(
                    m,
                    "event 0x{:x}/{}:\tLPI {}, collection {}\n",
                    event.device.get(),
                    event.event.get(),
                    mapping.lpi.intid().get(),
                    mapping.collection.get()
                );
                next = event.next();
            }
            next
        });
    }
}
