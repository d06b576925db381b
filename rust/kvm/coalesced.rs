// SPDX-License-Identifier: GPL-2.0

//! KVM_REGISTER_COALESCED_MMIO and KVM_UNREGISTER_COALESCED_MMIO: writes that can wait.

use crate::bus::{
    inserted,
    Bus,
    Table, //
};
use kernel::prelude::*;
use kvm_core::mmio_bus::{
    Space,
    Zone, //
};
use kvm_host::uapi::kvm_coalesced_mmio_zone;

/// The zone that user space describes.
///
/// # Errors
///
/// `EINVAL` if it wraps around, or is in neither of two spaces.
fn zone(zone: &kvm_coalesced_mmio_zone) -> Result<Zone> {
    let space = match zone.pio() {
        0 => Space::Memory,
        1 => Space::Ports,
        _ => return Err(EINVAL),
    };

    Zone::new(space, zone.addr, zone.size).ok_or(EINVAL)
}

impl Bus {
    /// KVM_REGISTER_COALESCED_MMIO. api.rst, "4.116 KVM_(UN)REGISTER_COALESCED_MMIO".
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is no zone, `ENOSPC` if there are [`Zone::MAX`], `ENOMEM`.
    pub(crate) fn register_coalesced(&self, args: &kvm_coalesced_mmio_zone) -> Result {
        let new = zone(args)?;

        let table = self.table.update();
        if table.zones.len() >= Zone::MAX {
            return Err(ENOSPC);
        }
        let at = table
            .zones
            .partition_point(|zone| zone.order() <= new.order());

        let fresh = Table::new(
            table.bells.iter().cloned(),
            inserted(&table.zones, at, &new).copied(),
        )?;
        table.replace_and_wait(fresh);
        Ok(())
    }

    /// KVM_UNREGISTER_COALESCED_MMIO: removes all zones that the one which is described is part of.
    /// That there is none is no error.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is no zone, `ENOMEM`.
    pub(crate) fn unregister_coalesced(&self, args: &kvm_coalesced_mmio_zone) -> Result {
        let gone = zone(args)?;

        let table = self.table.update();
        let others = table.zones.iter().filter(|zone| !zone.contains(&gone));
        let fresh = Table::new(table.bells.iter().cloned(), others.copied())?;
        table.replace_and_wait(fresh);
        Ok(())
    }
}
