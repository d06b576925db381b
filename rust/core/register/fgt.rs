// SPDX-License-Identifier: GPL-2.0

//! Fine-grained traps of registers: those whose feature a VM lacks.

use crate::{
    lazy::TrapField,
    register::{
        feature::FeatureSet,
        reg::ROWS,
        row::{
            FgtGroup,
            Trap, //
        },
    },
};

/// Values of the fine-grained trap registers.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct FineGrainedTraps {
    /// HFGRTR_EL2 and HFGWTR_EL2.
    pub hfg: u64,
    /// HDFGRTR_EL2 and HDFGWTR_EL2.
    pub hdfg: u64,
}

impl FineGrainedTraps {
    /// Returns the values that trap the registers of the features that are not in `features`, and
    /// those registers that no row allows: a bit that traps if clear stays clear.
    ///
    /// A bit that several registers share traps if one of them has to: the trap handler then does
    /// for the others what the register itself would.
    pub fn new(features: FeatureSet) -> Self {
        let mut traps = Self::default();
        for row in ROWS.iter() {
            let Some(fgt) = row.fgt else { continue };
            let value = match fgt.group {
                FgtGroup::Hfg => &mut traps.hfg,
                FgtGroup::Hdfg => &mut traps.hdfg,
            };
            // What traps anyway, by a coarser control, needs no bit. That control is off for debug
            // registers while breakpoints and watchpoints are the guest's (MDCR_EL2.TDA).
            let is_debug =
                fgt.group == FgtGroup::Hdfg && matches!(row.trap, Trap::Raz | Trap::RazWi);
            let by_itself = !matches!(row.trap, Trap::Storage | Trap::VmControl | Trap::Undef);
            let trap = !features.contains(row.gate) || is_debug;
            if (!by_itself || is_debug) && trap != fgt.traps_if_clear {
                *value |= 1 << fgt.bit;
            }
        }
        traps
    }

    /// Returns the bits of HFGWTR_EL2 that tell of writes to the registers, of these features, that may
    /// be tracked; [`None`] if there are none.
    pub fn write_tracking(features: FeatureSet) -> Option<TrapField> {
        ROWS.iter()
            .filter(|row| features.contains(row.gate))
            .filter_map(|row| row.fgt.filter(|fgt| fgt.tracks_writes))
            .map(|fgt| {
                if fgt.traps_if_clear {
                    TrapField::if_clear(1 << fgt.bit)
                } else {
                    TrapField::if_set(1 << fgt.bit)
                }
            })
            .reduce(TrapField::and)
    }
}
