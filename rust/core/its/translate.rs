// SPDX-License-Identifier: GPL-2.0

//! Messages.

use super::{
    env::{
        Environment,
        Map, //
    },
    id::Event,
    state::{
        Its,
        Storage, //
    },
};

/// Why a message makes no LPI pending.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Undelivered {
    /// The ITS is disabled, or the vCPU has its LPIs disabled. KVM_SIGNAL_MSI fails with EBUSY.
    Disabled,
    /// The guest has not mapped the event or its collection: it does not want the message.
    /// KVM_SIGNAL_MSI returns 0.
    Unmapped,
}

impl<S: Storage> Its<S> {
    /// Returns the LPI that a message of `event` makes pending, and notes it for the next one.
    ///
    /// # Errors
    ///
    /// [`Undelivered`].
    pub fn translate<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &self,
        env: &E,
        event: Event,
    ) -> Result<S::Lpi, Undelivered> {
        if !self.registers.enabled {
            return Err(Undelivered::Disabled);
        }
        let mapping = self.events.get(event).ok_or(Undelivered::Unmapped)?;
        let target = self
            .target(mapping.collection)
            .map_err(|_| Undelivered::Unmapped)?;
        if env.pending_table(target.vcpu).is_none() {
            return Err(Undelivered::Disabled);
        }
        env.remember(event, &mapping.lpi);
        Ok(mapping.lpi.clone())
    }
}
