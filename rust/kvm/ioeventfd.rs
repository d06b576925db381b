// SPDX-License-Identifier: GPL-2.0

//! KVM_IOEVENTFD: a guest's write signals an eventfd.

use crate::bus::{
    inserted,
    Bell,
    Bus,
    Table, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kvm_core::mmio_bus::{
    index_of,
    place_of,
    Doorbell,
    IOEVENTFD_DEASSIGN, //
};
use kvm_host::{
    eventfd::EventFd,
    uapi::kvm_ioeventfd, //
};

impl Bus {
    /// KVM_IOEVENTFD. api.rst, "4.59 KVM_IOEVENTFD".
    ///
    /// When an eventfd is detached no write signals it any more.
    ///
    /// # Errors
    ///
    /// `EBADF` and `EINVAL` if the descriptor is none of an eventfd; `EINVAL` for a length or flags
    /// that there are not, or a range that wraps around; `EEXIST` if a write could signal another one
    /// as well; `ENOENT` if there is none like that to be detached; `ENOMEM`.
    pub(crate) fn ioeventfd(&self, args: &kvm_ioeventfd) -> Result {
        let doorbell =
            Doorbell::new(args.addr, args.len, args.flags, args.datamatch).map_err(|_| EINVAL)?;
        let eventfd = EventFd::from_fd(args.fd)?;

        if args.flags & IOEVENTFD_DEASSIGN != 0 {
            self.detach(&doorbell, &eventfd)
        } else {
            let eventfd = Arc::new(eventfd, GFP_KERNEL_ACCOUNT)?;
            self.attach(Bell { doorbell, eventfd })
        }
    }

    fn attach(&self, bell: Bell) -> Result {
        let table = self.table.update();
        let at = place_of(&table.bells, &bell.doorbell).ok_or(EEXIST)?;
        let fresh = Table::new(
            inserted(&table.bells, at, &bell).cloned(),
            table.zones.iter().copied(),
        )?;
        table.replace_and_wait(fresh);
        Ok(())
    }

    fn detach(&self, doorbell: &Doorbell, eventfd: &EventFd) -> Result {
        let table = self.table.update();
        let at = index_of(&table.bells, doorbell)
            .filter(|at| {
                table
                    .bells
                    .get(*at)
                    .is_some_and(|bell| *bell.eventfd == *eventfd)
            })
            .ok_or(ENOENT)?;
        let others = table.bells.iter().enumerate().filter(|(i, _)| *i != at);
        let fresh = Table::new(
            others.map(|(_, bell)| bell.clone()),
            table.zones.iter().copied(),
        )?;
        table.replace_and_wait(fresh);
        Ok(())
    }
}
