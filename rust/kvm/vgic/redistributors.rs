// SPDX-License-Identifier: GPL-2.0

//! What the redistributors of a GIC store.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Release, //
    },
};
use kvm_core::vgic::redist::{
    GicrPendbaser,
    GicrPropbaser, //
};
use kvm_host::relaxed;

/// What a vCPU's redistributor stores.
struct Redistributor {
    status: Atomic<u32>,
    pendbaser: Atomic<u64>,
    /// Whether LPIs are enabled.
    lpis: Atomic<u32>,
}

/// What all redistributors store. vCPUs are named by their indices.
pub(super) struct RedistRegisters {
    propbaser: Atomic<u64>,
    each: KVec<Redistributor>,
}

impl RedistRegisters {
    /// Those of this number of vCPUs, after a reset.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(vcpus: usize) -> Result<Self> {
        let mut each = KVec::with_capacity(vcpus, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..vcpus {
            let redistributor = Redistributor {
                status: Atomic::new(0),
                pendbaser: Atomic::new(0),
                lpis: Atomic::new(0),
            };
            each.push(redistributor, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self {
            propbaser: Atomic::new(0),
            each,
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.each.len()
    }

    /// GICR_STATUSR.
    pub(super) fn status(&self, vcpu: usize) -> u32 {
        self.each
            .get(vcpu)
            .map_or(0, |redist| relaxed::load(&redist.status))
    }

    /// Sets GICR_STATUSR.
    pub(super) fn set_status(&self, vcpu: usize, value: u32) {
        if let Some(redist) = self.each.get(vcpu) {
            relaxed::store(&redist.status, value);
        }
    }

    /// GICR_PROPBASER.
    pub(super) fn propbaser(&self) -> GicrPropbaser {
        GicrPropbaser::from_raw(relaxed::load(&self.propbaser))
    }

    /// Sets GICR_PROPBASER.
    pub(super) fn set_propbaser(&self, value: GicrPropbaser) {
        relaxed::store(&self.propbaser, value.into_raw());
    }

    /// GICR_PENDBASER.
    pub(super) fn pendbaser(&self, vcpu: usize) -> GicrPendbaser {
        let redist = self.each.get(vcpu);
        GicrPendbaser::from_raw(redist.map_or(0, |redist| relaxed::load(&redist.pendbaser)))
    }

    /// Sets GICR_PENDBASER.
    pub(super) fn set_pendbaser(&self, vcpu: usize, value: GicrPendbaser) {
        if let Some(redist) = self.each.get(vcpu) {
            relaxed::store(&redist.pendbaser, value.into_raw());
        }
    }

    /// GICR_CTLR.EnableLPIs.
    pub(super) fn lpis(&self, vcpu: usize) -> bool {
        self.each
            .get(vcpu)
            .is_some_and(|redist| relaxed::load(&redist.lpis) != 0)
    }

    /// Sets GICR_CTLR.EnableLPIs.
    pub(super) fn set_lpis(&self, vcpu: usize, enabled: bool) {
        if let Some(redist) = self.each.get(vcpu) {
            redist.lpis.store(enabled.into(), Release);
        }
    }
}
