// SPDX-License-Identifier: GPL-2.0

//! Where an irqfd's interrupts go: the table of KVM_SET_GSI_ROUTING.
//!
//! Source: api.rst, "4.52 KVM_SET_GSI_ROUTING" and "4.75 KVM_IRQFD".

use crate::vgic::intid::IntId;
use core::ops::Deref;

/// One more than the highest GSI, and the most entries of a table: KVM_MAX_IRQ_ROUTES, which is what
/// KVM_CAP_IRQ_ROUTING says.
pub const MAX_ROUTES: usize = 4096;

/// KVM_IRQ_ROUTING_IRQCHIP.
const TYPE_IRQCHIP: u32 = 1;
/// KVM_IRQ_ROUTING_MSI.
const TYPE_MSI: u32 = 2;
/// KVM_MSI_VALID_DEVID.
const MSI_VALID_DEVID: u32 = 1 << 0;
/// The SPI that is the interrupt controller's first pin.
const FIRST_PIN: u32 = 32;

/// `struct kvm_irq_routing_entry` as its words: `gsi`, `type`, `flags`, `pad`, and the union.
pub type RawEntry = [u32; 12];

/// A message that a device sends to interrupt.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Msi {
    /// The guest physical address that it is written to.
    pub address: u64,
    /// What is written.
    pub data: u32,
    /// Who writes; [`None`] if user space does not say so.
    pub device: Option<u32>,
}

impl Msi {
    /// Returns the message of KVM_SIGNAL_MSI, or of a route.
    ///
    /// # Errors
    ///
    /// [`BadRoute`], which is EINVAL, for flags that are not known.
    pub const fn new(
        address_lo: u32,
        address_hi: u32,
        data: u32,
        flags: u32,
        device: u32,
    ) -> Result<Self, BadRoute> {
        if flags & !MSI_VALID_DEVID != 0 {
            return Err(BadRoute::Flags(flags));
        }
        Ok(Self {
            address: ((address_hi as u64) << 32) | address_lo as u64,
            data,
            device: if flags & MSI_VALID_DEVID != 0 {
                Some(device)
            } else {
                None
            },
        })
    }
}

/// Where a GSI goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// To a pin of the interrupt controller: an SPI.
    Spi(IntId),
    /// To the ITS.
    Msi(Msi),
}

/// Why a table is refused; EINVAL.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadRoute {
    /// The GSI is too high.
    Gsi(u32),
    /// The GSI has a route already.
    Twice(u32),
    /// There are no routes of this type.
    Type(u32),
    /// There is no such interrupt controller, or it has no such pin.
    Pin(u32, u32),
    /// A flag that the type does not have.
    Flags(u32),
}

/// An entry of a table, sound in itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Below [`MAX_ROUTES`].
    gsi: usize,
    route: Route,
}

impl Entry {
    /// Returns what user space has in these words.
    ///
    /// # Errors
    ///
    /// [`BadRoute`].
    pub fn new(raw: &RawEntry) -> Result<Self, BadRoute> {
        let [gsi, kind, flags, _pad, u0, u1, u2, u3, ..] = *raw;
        if gsi as usize >= MAX_ROUTES {
            return Err(BadRoute::Gsi(gsi));
        }
        let route = match kind {
            TYPE_IRQCHIP if flags != 0 => return Err(BadRoute::Flags(flags)),
            TYPE_IRQCHIP => {
                let (irqchip, pin) = (u0, u1);
                let spi = pin.checked_add(FIRST_PIN).and_then(IntId::spi);
                Route::Spi(
                    spi.filter(|_| irqchip == 0)
                        .ok_or(BadRoute::Pin(irqchip, pin))?,
                )
            }
            TYPE_MSI => Route::Msi(Msi::new(u0, u1, u2, flags, u3)?),
            _ => return Err(BadRoute::Type(kind)),
        };
        Ok(Self {
            gsi: gsi as usize,
            route,
        })
    }

    /// Returns the length that a table has to have for the entry.
    pub const fn table_len(&self) -> usize {
        self.gsi + 1
    }

    /// Puts the entry into a table, which has the length.
    ///
    /// # Errors
    ///
    /// [`BadRoute`] if its GSI has a route.
    pub fn put(&self, table: &mut [Option<Route>]) -> Result<(), BadRoute> {
        match table.get_mut(self.gsi) {
            Some(empty @ None) => {
                *empty = Some(self.route);
                Ok(())
            }
            Some(Some(_)) => Err(BadRoute::Twice(self.gsi as u32)),
            None => Err(BadRoute::Gsi(self.gsi as u32)),
        }
    }
}

/// The routes of a VM.
#[derive(Debug)]
pub enum Routing<S> {
    /// User space has said nothing: each GSI is the pin with its number.
    Identity,
    /// Its table, by GSI.
    Table(S),
}

impl<S: Deref<Target = [Option<Route>]>> Routing<S> {
    /// Returns where a GSI goes; [`None`] if nowhere.
    #[inline]
    pub fn route(&self, gsi: u32) -> Option<Route> {
        match self {
            Self::Identity => gsi
                .checked_add(FIRST_PIN)
                .and_then(IntId::spi)
                .map(Route::Spi),
            Self::Table(table) => *table.get(gsi as usize)?,
        }
    }
}
