// SPDX-License-Identifier: GPL-2.0

//! KVM_IRQFD: an eventfd interrupts the guest.
//!
//! An irqfd owns what it needs of its VM, the interrupt controller and the routes, neither of which
//! knows it. The VM owns its irqfds, until its file is closed; one whose eventfd is closed before does
//! nothing any more, and goes with the next call of KVM_IRQFD.

use crate::{
    irq_routes::Routes,
    vgic::IrqChip, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
};
use kvm_core::irq_routing::Route;
use kvm_host::{
    abi::{
        KVM_IRQFD_FLAG_DEASSIGN,
        KVM_IRQFD_FLAG_RESAMPLE, //
    },
    eventfd::EventFd,
    irqfd::{
        Irqfd,
        LaterQueue,
        Signalled, //
    },
    irqs::{
        with_irqs_off,
        IrqsOff, //
    },
    uapi::kvm_irqfd, //
};

/// Where the interrupts of an irqfd go.
struct Target {
    gic: Arc<IrqChip>,
    routes: Arc<Routes>,
    gsi: u32,
}

impl Signalled for Target {
    fn at_once(&self, irqs: &IrqsOff) -> bool {
        let Some(gic) = self.gic.ready() else {
            return true;
        };
        match self.routes.route(irqs, self.gsi) {
            Some(Route::Spi(spi)) => {
                // One that is edge-triggered is pending by that. A level stays until the guest has
                // ended the interrupt, if it is resampled, and otherwise until user space lowers it by
                // KVM_IRQ_LINE. It is the VMM's fault if there is no such SPI.
                let _ = gic.vgic().set_spi(spi, true);
                true
            }
            Some(Route::Msi(msi)) => msi
                .device
                .is_none_or(|device| gic.message_at_once(msi.address, device, msi.data)),
            None => true,
        }
    }

    fn later(&self) {
        let route = with_irqs_off(|irqs| self.routes.route(irqs, self.gsi));

        if let (Some(gic), Some(Route::Msi(msi))) = (self.gic.ready(), route) {
            if let Some(device) = msi.device {
                // There is nobody to hear that there is no such doorbell or event.
                let _ = gic.message(msi.address, device, msi.data);
            }
        }
    }
}

/// A resampler that is there as long as this value.
struct Resampling {
    gic: Arc<IrqChip>,
    routes: Arc<Routes>,
    gsi: u32,
    eventfd: Arc<EventFd>,
}

impl Resampling {
    fn new(gic: &Arc<IrqChip>, routes: &Arc<Routes>, gsi: u32, eventfd: EventFd) -> Result<Self> {
        let eventfd = Arc::new(eventfd, GFP_KERNEL_ACCOUNT)?;

        routes.add_resampler(gsi, eventfd.clone())?;
        Ok(Self {
            gic: gic.clone(),
            routes: routes.clone(),
            gsi,
            eventfd,
        })
    }
}

impl Drop for Resampling {
    fn drop(&mut self) {
        self.routes
            .remove_resampler(self.gsi, &self.eventfd, |route| {
                if let (Some(gic), Some(Route::Spi(spi))) = (self.gic.ready(), route) {
                    // What had raised it is gone.
                    let _ = gic.vgic().set_spi(spi, false);
                }
            });
    }
}

/// An irqfd of a VM. It is dropped in this order: nothing raises the line when the resampler goes.
struct Assigned {
    irqfd: Pin<KBox<Irqfd<Target>>>,
    _resampling: Option<Resampling>,
}

/// The irqfds of a VM.
#[pin_data]
pub(crate) struct Irqfds {
    /// Held while they change, resamplers included.
    #[pin]
    list: Mutex<KVec<Assigned>>,
    /// From when there is one. Made with the list's lock held.
    later: SetOnce<Arc<LaterQueue>>,
}

impl Irqfds {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(KVec::new(), "kvm_vhe::Irqfds::list"),
            later: SetOnce::new(),
        })
    }

    /// KVM_IRQFD. api.rst, "4.75 KVM_IRQFD".
    ///
    /// # Errors
    ///
    /// `EINVAL` for flags that there are not; `EBADF` and `EINVAL` if a descriptor is none of an
    /// eventfd; `EAGAIN` if there is no interrupt controller in the kernel that is initialised; `EBUSY`
    /// if the eventfd is an irqfd already, here or elsewhere; `ENOMEM`.
    pub(crate) fn change(
        &self,
        gic: Option<&Arc<IrqChip>>,
        routes: &Arc<Routes>,
        args: &kvm_irqfd,
    ) -> Result {
        if args.flags & !(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE) != 0 {
            return Err(EINVAL);
        }
        if args.flags & KVM_IRQFD_FLAG_DEASSIGN != 0 {
            let eventfd = EventFd::from_fd(args.fd as i32)?;

            self.remove(|irqfd| *irqfd.eventfd() == eventfd && irqfd.target().gsi == args.gsi);
            return Ok(());
        }
        let gic = gic.filter(|gic| gic.ready().is_some()).ok_or(EAGAIN)?;
        self.assign(gic, routes, args)
    }

    fn assign(&self, gic: &Arc<IrqChip>, routes: &Arc<Routes>, args: &kvm_irqfd) -> Result {
        // Those that are closed first, so that there are never more than descriptors can be.
        self.remove(Irqfd::is_closed);

        let mut list = self.list.lock();
        list.reserve(1, GFP_KERNEL_ACCOUNT)?;
        // Before the guest can end what the eventfd may have raised.
        let resampling = if args.flags & KVM_IRQFD_FLAG_RESAMPLE != 0 {
            // An error of `fd` comes first.
            EventFd::from_fd(args.fd as i32)?;
            let eventfd = EventFd::from_fd(args.resamplefd as i32)?;
            Some(Resampling::new(gic, routes, args.gsi, eventfd)?)
        } else {
            None
        };
        let target = Target {
            gic: gic.clone(),
            routes: routes.clone(),
            gsi: args.gsi,
        };
        if self.later.as_ref().is_none() {
            self.later
                .populate(Arc::new(LaterQueue::new()?, GFP_KERNEL_ACCOUNT)?);
        }
        let later = self.later.as_ref().ok_or(ENOMEM)?.clone();
        let irqfd = KBox::try_pin_init(
            Irqfd::register(args.fd as i32, target, later),
            GFP_KERNEL_ACCOUNT,
        )?;

        list.push_within_capacity(Assigned {
            irqfd,
            _resampling: resampling,
        })
        .map_err(|_| ENOMEM)
    }

    /// Removes all that `f` says it of. When this returns they do nothing any more.
    fn remove(&self, f: impl Fn(&Irqfd<Target>) -> bool) {
        self.list.lock().retain(|assigned| !f(&assigned.irqfd));
    }

    /// Removes all: the VM's file is closed.
    pub(crate) fn clear(&self) {
        self.remove(|_| true);
    }
}
