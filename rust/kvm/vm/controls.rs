// SPDX-License-Identifier: GPL-2.0

//! What the vCPUs of a VM are loaded with: its traps.

use crate::{
    cpus::Cpus,
    vgic::base_hcr, //
};
use kvm_core::{
    lazy::Policy,
    register::{
        fgt::FineGrainedTraps,
        Feature,
        FeatureSet, //
    },
    sysreg::SysReg,
    timer::CounterOffsets,
    traps::{
        mdcr,
        HostTraps,
        MdcrInputs,
        VmTraps, //
    },
    vm_idreg::{
        IdView,
        VmFeature,
        VmFeatures,
        VmGic,
        VmIdRegs, //
    },
};
use kvm_host::{
    cache::Caches,
    lazy::Policies,
    vcpu::Controls, //
};

/// CPTR_EL2.E0POE: EL0 may use POR_EL0.
const CPTR_E0POE: u64 = 1 << 29;

/// ICH_HCR_EL2.TC, TALL0, TALL1 and TDIR.
const ICH_HCR_TRAP_ALL: u64 = 1 << 10 | 1 << 11 | 1 << 12 | 1 << 14;

/// What vCPUs of a VM with these features are loaded with.
pub(crate) fn new_controls(
    cpus: &Cpus,
    features: VmFeatures,
    registers: FeatureSet,
    ids: &VmIdRegs,
    gic: VmGic,
    policies: Policies,
) -> Controls {
    let host = VmFeatures::of(cpus.id_registers());
    let traps = VmTraps::of(
        features,
        HostTraps {
            features: host,
            ctr_is_hosts: Caches::are_alike()
                && ids.get(SysReg::CTR_EL0) == Some(cpus.id_registers().raw(SysReg::CTR_EL0)),
        },
    );
    let fine = FineGrainedTraps::new(registers);
    let mdcr = mdcr(MdcrInputs {
        // The host's; load keeps it.
        event_counters: kvm_core::bits::Bits::of::<0>(),
        guest_debug: false,
    });

    Controls {
        features: registers.with(Feature::HOST_RAS, cpus.has_ras()),
        hcr: traps.hcr.into_raw(),
        hcrx: traps.hcrx.map_or(0, |hcrx| hcrx.into_raw()),
        mdcr: mdcr.into_raw(),
        cptr: traps.cptr_with_fp().into_raw()
            | if registers.contains(Feature::S1POE) {
                CPTR_E0POE
            } else {
                0
            },
        hfg: fine.hfg,
        tracking: (host.contains(VmFeature::Fgt) && policies.save != Policy::Eager)
            .then(|| FineGrainedTraps::write_tracking(registers))
            .flatten(),
        hfgitr: traps.hfgitr.map_or(0, |hfgitr| hfgitr.into_raw()),
        hdfg: fine.hdfg,
        hfgitr2: traps.hfgitr2.map_or(0, |hfgitr2| hfgitr2.into_raw()),
        offsets: CounterOffsets::default(),
        vpidr: ids.virtual_midr(),
        ich_hcr: match gic {
            VmGic::V3 => base_hcr(cpus.gic.interface()),
            // All of its registers trap.
            VmGic::None | VmGic::V2 => ICH_HCR_TRAP_ALL,
        },
    }
}
