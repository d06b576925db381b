// SPDX-License-Identifier: GPL-2.0

//! Where a VM keeps the ranges of its filter of calls.

use kernel::prelude::*;
use kvm_core::smccc::{
    FilterRange,
    RangeStore,
    StoreFull, //
};

/// The most ranges of a filter.
const MAX_RANGES: usize = 1024;

/// A VM's filter of calls.
pub(crate) struct FilterRanges(KVec<FilterRange>);

impl FilterRanges {
    pub(crate) const fn new() -> Self {
        Self(KVec::new())
    }
}

impl RangeStore for FilterRanges {
    #[inline]
    fn ranges(&self) -> &[FilterRange] {
        &self.0
    }

    fn insert(&mut self, index: usize, range: FilterRange) -> Result<(), StoreFull> {
        if self.0.len() >= MAX_RANGES {
            return Err(StoreFull);
        }
        self.0
            .reserve(1, GFP_KERNEL_ACCOUNT)
            .map_err(|_| StoreFull)?;
        self.0
            .insert_within_capacity(index, range)
            .map_err(|_| StoreFull)
    }
}
