// SPDX-License-Identifier: GPL-2.0

//! The register table: what has to hold of every row, and what is made from the rows.

use std::{
    cell::RefCell,
    collections::{
        BTreeMap,
        BTreeSet, //
    },
};

use kvm_core::{
    register::{
        fgt::FineGrainedTraps,
        reg::ROWS,
        row::{
            Class,
            FgtGroup,
            Reset,
            Row,
            Trap,
            User, //
        },
        Feature,
        FeatureSet,
        Reg,
        RegFile, //
    },
    sysreg::SysReg,
    vm_idreg::features::{
        VmFeature,
        VmFeatures, //
    },
};
use proptest::prelude::*;

/// Any set of features.
fn features() -> impl Strategy<Value = FeatureSet> {
    any::<u64>().prop_map(FeatureSet::from_raw)
}

/// Each row's registers with their encodings, as the rows' doc says and without what the table
/// makes of it.
fn encodings() -> BTreeMap<u16, (&'static Row, u16)> {
    let mut encodings = BTreeMap::new();
    for row in ROWS.iter() {
        for n in 0..row.count {
            let raw = row.first.into_raw() + n * row.stride;
            let before = encodings.insert(raw, (row, n));
            assert!(before.is_none(), "{}[{n}] is there twice", row.name);
        }
    }
    encodings
}

#[test]
fn every_encoding_finds_its_register_and_no_other() {
    let encodings = encodings();
    assert_eq!(encodings.len(), Reg::COUNT);
    for raw in 0..=u16::MAX {
        let encoding = SysReg::from_raw(raw);
        let found = Reg::from_sysreg(encoding);
        assert_eq!(found.is_some(), encodings.contains_key(&raw), "{encoding}");
        if let Some(reg) = found {
            let (row, n) = encodings[&raw];
            assert_eq!(
                (reg.row(), reg.number(), reg.encoding()),
                (row, n, encoding)
            );
        }
    }
}

#[test]
fn indices_are_dense_and_in_the_order_of_the_table() {
    let expected: Vec<_> = ROWS
        .iter()
        .flat_map(|row| (0..row.count).map(move |n| (row.name, n)))
        .collect();
    let all: Vec<_> = Reg::all()
        .map(|reg| (reg.row().name, reg.number()))
        .collect();
    assert_eq!(all, expected);
    for (index, reg) in Reg::all().enumerate() {
        assert_eq!(reg.index(), index);
        assert_eq!(Reg::from_index(index), Some(reg));
        assert_eq!(reg.class(), reg.row().class);
    }
    assert_eq!(Reg::from_index(Reg::COUNT), None);
    assert_eq!(Reg::from_index(usize::MAX), None);
}

#[test]
fn names_are_unique_and_printed() {
    let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), ROWS.len());
    let printed: BTreeSet<_> = Reg::all().map(|reg| format!("{reg}")).collect();
    assert_eq!(printed.len(), Reg::COUNT);
    assert_eq!(format!("{}", Reg::SCTLR_EL1), "SCTLR_EL1");
    assert_eq!(
        format!("{:?}", Reg::DBGWCR_EL1.get(15).unwrap()),
        "DBGWCR_EL1[15]"
    );
    for row in ROWS.iter() {
        assert!(
            row.doc.trim().len() > 5,
            "{} says nothing of itself",
            row.name
        );
    }
}

#[test]
fn ranges_are_numbered_as_the_architecture_does() {
    // DBGBVR<n>_EL1: op0 2, op1 0, CRn 0, CRm n, op2 4, and so on.
    for n in 0..16 {
        for (range, op2) in [
            (Reg::DBGBVR_EL1, 4),
            (Reg::DBGBCR_EL1, 5),
            (Reg::DBGWVR_EL1, 6),
            (Reg::DBGWCR_EL1, 7),
        ] {
            let reg = range.get(n).unwrap();
            assert_eq!(SysReg::new(2, 0, 0, n as u8, op2), Some(reg.encoding()));
        }
    }
    assert!(Reg::DBGBVR_EL1.get(16).is_none());
    assert!(Reg::DBGBVR_EL1.get(u16::MAX).is_none());
    // PMEVCNTR<n>_EL0: CRm is 0b10 and two bits of n, op2 the other three.
    for n in 0..31u8 {
        let counter = Reg::PMEVCNTR_EL0.get(n.into()).unwrap();
        let kind = Reg::PMEVTYPER_EL0.get(n.into()).unwrap();
        assert_eq!(
            SysReg::new(3, 3, 14, 8 | (n >> 3), n & 7),
            Some(counter.encoding())
        );
        assert_eq!(
            SysReg::new(3, 3, 14, 12 | (n >> 3), n & 7),
            Some(kind.encoding())
        );
    }
    assert!(Reg::PMEVCNTR_EL0.get(31).is_none());
    // The feature ID registers are just those that the encoding calls so.
    let ids: Vec<_> = Reg::ID_EL1.iter().map(Reg::encoding).collect();
    let space: Vec<_> = (0..=u16::MAX)
        .map(SysReg::from_raw)
        .filter(|encoding| encoding.is_feature_id())
        .collect();
    assert_eq!(ids, space);
}

#[test]
fn a_register_is_where_its_class_says() {
    for row in ROWS.iter() {
        match row.class {
            Class::Deferred { cpu, when, .. } => {
                // kvm_host makes its accessors for single registers.
                assert_eq!(row.count, 1, "{} is a deferred range", row.name);
                assert!(matches!(cpu.op0(), 2 | 3), "{}", row.name);
                // Whoever has the register in the CPU has it at all.
                assert!(
                    row.gate == Feature::ALWAYS || row.gate == when,
                    "{} is in the CPU of VMs that do not have it",
                    row.name
                );
            }
            Class::Immediate { reason } => {
                assert!(
                    reason.split_whitespace().count() > 2,
                    "{} has no reason",
                    row.name
                );
            }
            Class::Emulated => {}
        }
    }
    // No two are in one place, or load of one would undo that of the other.
    let places: Vec<_> = ROWS
        .iter()
        .filter_map(|row| match row.class {
            Class::Deferred { cpu, .. } => Some(cpu.into_raw()),
            _ => None,
        })
        .collect();
    assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), places.len());
}

#[test]
fn a_host_with_vhe_reaches_its_guests_registers() {
    let place = |reg: Reg| match reg.class() {
        Class::Deferred { cpu, shared, .. } => (cpu, shared),
        class => panic!("{reg} is {class:?}"),
    };
    // SCTLR_EL12, CNTV_CTL_EL02, VDISR_EL2; TPIDR_EL1 is itself, TPIDR_EL0 is so, too, and the
    // host's user space has one.
    assert_eq!(
        place(Reg::SCTLR_EL1),
        (SysReg::new(3, 5, 1, 0, 0).unwrap(), false)
    );
    assert_eq!(
        place(Reg::CNTV_CTL_EL0),
        (SysReg::new(3, 5, 14, 3, 1).unwrap(), false)
    );
    assert_eq!(
        place(Reg::DISR_EL1),
        (SysReg::new(3, 4, 12, 1, 1).unwrap(), false)
    );
    assert_eq!(
        place(Reg::TPIDR_EL1),
        (SysReg::new(3, 0, 13, 0, 4).unwrap(), false)
    );
    assert_eq!(
        place(Reg::TPIDR_EL0),
        (SysReg::new(3, 3, 13, 0, 2).unwrap(), true)
    );

    for row in ROWS.iter() {
        if let Class::Deferred { cpu, shared, .. } = row.class {
            let (own, other) = (row.first, row.name == "DISR_EL1");
            let el12 = SysReg::new(own.op0(), 5, own.crn(), own.crm(), own.op2());
            assert!(cpu == own || Some(cpu) == el12 || other, "{}", row.name);
            // What another name reaches is the guest's alone.
            assert!(!shared || cpu == own, "{}", row.name);
        }
    }
}

#[test]
fn userspace_can_move_all_that_a_guest_can_change() {
    for row in ROWS.iter() {
        let changes = match row.trap {
            Trap::Storage | Trap::VmControl | Trap::Debug => true,
            // The timer's value is another view of its compare value.
            Trap::Timer => !row.name.ends_with("_TVAL_EL0"),
            // It does not trap while the VM has it.
            Trap::Undef => !matches!(row.class, Class::Emulated),
            _ => false,
        };
        if changes {
            assert!(
                matches!(row.user, User::Rw | User::Core),
                "{} would be lost in a migration",
                row.name
            );
        }
    }
}

#[test]
fn reset_asks_only_for_what_is_not_in_the_table() {
    let file = RegFile::new();
    let asked = RefCell::new(Vec::new());
    for reg in Reg::all() {
        assert_eq!(file.get(reg), 0);
        file.set(reg, 0x5555 + reg.index() as u64);
    }
    for reg in Reg::all() {
        assert_eq!(file.get(reg), 0x5555 + reg.index() as u64);
    }
    file.reset(|reg, reset| {
        asked.borrow_mut().push((reg, reset));
        0x1234_0000 + reg.index() as u64
    });
    let asked = asked.into_inner();
    for reg in Reg::all() {
        let (expected, asks) = match reg.row().reset {
            Reset::Value(value) => (value, 0),
            Reset::Unknown => (0x0bad_0bad_0bad_0bad, 0),
            Reset::Id | Reset::Mpidr | Reset::Actlr | Reset::Amair => {
                (0x1234_0000 + reg.index() as u64, 1)
            }
        };
        assert_eq!(file.get(reg), expected, "{reg}");
        assert_eq!(
            asked.iter().filter(|(asked, _)| *asked == reg).count(),
            asks,
            "{reg}"
        );
    }
    assert!(asked.contains(&(Reg::MPIDR_EL1, Reset::Mpidr)));
    assert!(asked.contains(&(Reg::ACTLR_EL1, Reset::Actlr)));
    assert!(asked.contains(&(Reg::AMAIR_EL1, Reset::Amair)));
    assert!(asked.contains(&(Reg::REVIDR_EL1, Reset::Id)));
    // SCTLR_EL1: the MMU and the caches are off, data are little-endian.
    assert_eq!(
        file.get(Reg::SCTLR_EL1) & (1 | (1 << 2) | (1 << 12) | (1 << 25)),
        0
    );
    assert_eq!(file.get(Reg::OSLSR_EL1), 0x8);
}

#[test]
fn rows_that_share_a_fine_grained_trap_agree_on_it() {
    let mut bits: BTreeMap<(FgtGroup2, u8), Vec<&Row>> = BTreeMap::new();
    for row in ROWS.iter() {
        if let Some(fgt) = row.fgt {
            assert!(fgt.bit < 64, "{}", row.name);
            bits.entry((fgt.group.into(), fgt.bit))
                .or_default()
                .push(row);
        }
    }
    for (bit, rows) in bits {
        let first = rows[0];
        for row in &rows {
            assert_eq!(
                row.fgt, first.fgt,
                "{bit:?}: {} and {}",
                first.name, row.name
            );
            // FineGrainedTraps sets a bit for any, which for such a one would let all through.
            assert!(
                rows.len() == 1 || !row.fgt.unwrap().traps_if_clear,
                "{bit:?} of {} is shared",
                row.name
            );
        }
    }
}

/// [`FgtGroup`] with an order.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum FgtGroup2 {
    Hfg,
    Hdfg,
}

impl From<FgtGroup> for FgtGroup2 {
    fn from(group: FgtGroup) -> Self {
        match group {
            FgtGroup::Hfg => Self::Hfg,
            FgtGroup::Hdfg => Self::Hdfg,
        }
    }
}

fn bits(set: &[u8]) -> u64 {
    set.iter().map(|bit| 1u64 << bit).sum()
}

#[test]
fn fine_grained_traps_of_the_least_and_the_greatest_vm() {
    // PAuth's five keys and the two SCXTNUMs trap by a set bit, PIR, PIRE0, POR_EL0, POR_EL1,
    // ACCDATA and TPIDR2 by a clear one; all of the PMU's trap. So do, in any VM, the debug registers
    // that are nobody's: claim tags, DBGAUTHSTATUS, DBGPRCR, OSECCR and OSDLR.
    let debug = [5, 6, 7, 10, 11];
    let least = FineGrainedTraps::new(FeatureSet::BASE);
    assert_eq!(least.hfg, bits(&[4, 5, 6, 7, 8, 30, 31]));
    assert_eq!(
        least.hdfg,
        bits(&[12, 13, 14, 15, 16, 17, 18, 19, 57]) | bits(&debug)
    );

    let all = FineGrainedTraps::new(FeatureSet::from_raw(u64::MAX));
    assert_eq!(all.hfg, bits(&[50, 55, 57, 58, 59, 60]));
    assert_eq!(all.hdfg, bits(&debug));
}

#[test]
fn writes_of_permission_indirection_may_be_tracked() {
    let vm = FeatureSet::BASE.with(Feature::S1PIE, true);
    let field = FineGrainedTraps::write_tracking(vm).unwrap();
    let hfg = FineGrainedTraps::new(vm).hfg;

    assert_eq!(FineGrainedTraps::write_tracking(FeatureSet::BASE), None);
    assert_eq!(field.mask(), bits(&[57, 58]));
    assert!(!field.traps(hfg));
    assert_eq!(field.apply(hfg, true), hfg & !bits(&[57, 58]));
    assert_eq!(Reg::PIR_EL1.write_trap(), bits(&[58]));
    assert_eq!(Reg::PIRE0_EL1.write_trap(), bits(&[57]));
    assert_eq!(Reg::POR_EL1.write_trap(), 0);
}

proptest! {
    #[test]
    fn a_fine_grained_trap_for_each_register_that_a_vm_lacks(features in features()) {
        let traps = FineGrainedTraps::new(features);
        for row in ROWS.iter() {
            let Some(fgt) = row.fgt else { continue };
            if !matches!(row.trap, Trap::Storage | Trap::VmControl | Trap::Undef) {
                continue;
            }
            let value = match fgt.group {
                FgtGroup::Hfg => traps.hfg,
                FgtGroup::Hdfg => traps.hdfg,
            };
            let set = (value >> fgt.bit) & 1 != 0;
            let shares = ROWS
                .iter()
                .filter(|other| other.fgt == row.fgt)
                .any(|other| !features.contains(other.gate));
            prop_assert_eq!(set != fgt.traps_if_clear, shares, "{}", row.name);
        }
    }

    #[test]
    fn no_fine_grained_trap_without_a_row(features in features()) {
        let known = |group| {
            ROWS.iter()
                .filter_map(|row| row.fgt.filter(|fgt| fgt.group == group))
                .fold(0u64, |bits, fgt| bits | (1 << fgt.bit))
        };
        let traps = FineGrainedTraps::new(features);
        prop_assert_eq!(traps.hfg & !known(FgtGroup::Hfg), 0);
        prop_assert_eq!(traps.hdfg & !known(FgtGroup::Hdfg), 0);
    }

    /// A feature set is a set.
    #[test]
    fn feature_sets(steps in prop::collection::vec((0..Feature::ALL.len(), any::<bool>()), 0..40)) {
        let mut set = FeatureSet::EMPTY;
        let mut model = BTreeSet::new();
        for (index, present) in steps {
            set = set.with(Feature::ALL[index], present);
            if present {
                model.insert(index);
            }
            for (index, feature) in Feature::ALL.iter().enumerate() {
                prop_assert_eq!(set.contains(*feature), model.contains(&index));
            }
            prop_assert_eq!(FeatureSet::from_raw(set.into_raw()), set);
        }
    }

    #[test]
    fn a_feature_set_has_no_bits_without_a_feature(raw: u64) {
        let set = FeatureSet::from_raw(raw);
        let known = (1u64 << Feature::ALL.len()) - 1;
        prop_assert_eq!(set.into_raw(), raw & known);
    }
}

#[test]
fn features_have_the_names_of_the_table() {
    let names: BTreeSet<_> = Feature::ALL.iter().map(|feature| feature.name()).collect();
    assert_eq!(names.len(), Feature::ALL.len());
    assert_eq!(Feature::PAUTH_ADDRESS.name(), "PAUTH_ADDRESS");
    assert!(FeatureSet::BASE.contains(Feature::ALWAYS));
    assert_eq!(FeatureSet::default(), FeatureSet::EMPTY);
}

/// Which feature of a VM each feature of the table is.
const GATES: [(Feature, VmFeature); 18] = [
    (Feature::AARCH32_EL1, VmFeature::Aarch32El1),
    (Feature::SCTLR2, VmFeature::Sctlr2),
    (Feature::ECV, VmFeature::Ecv),
    (Feature::TCR2, VmFeature::Tcr2),
    (Feature::S1PIE, VmFeature::S1pie),
    (Feature::S1POE, VmFeature::S1poe),
    (Feature::PAUTH_ADDRESS, VmFeature::PAuthAddress),
    (Feature::PAUTH_GENERIC, VmFeature::PAuthGeneric),
    (Feature::RAS, VmFeature::Ras),
    (Feature::RAS1P1, VmFeature::RasV1p1),
    (Feature::LOR, VmFeature::Lor),
    (Feature::SCXTNUM, VmFeature::Scxtnum),
    (Feature::LS64_ACCDATA, VmFeature::Ls64AccData),
    (Feature::FPMR, VmFeature::Fpmr),
    (Feature::SVE, VmFeature::Sve),
    (Feature::SME, VmFeature::Sme),
    (Feature::MTE, VmFeature::Mte2),
    (Feature::PMU, VmFeature::PmuV3),
];

#[test]
fn each_feature_of_the_table_is_one_of_the_vms() {
    // Every VM has ALWAYS; HOST_RAS and PHYSICAL_TIMER are no features that ID registers show.
    assert_eq!(GATES.len() + 3, Feature::ALL.len());
    assert_eq!(VmFeatures::EMPTY.registers(), FeatureSet::BASE);
    for vm in VmFeature::ALL {
        let expected = GATES
            .iter()
            .filter(|(_, gate)| gate == vm)
            .fold(FeatureSet::BASE, |set, (feature, _)| {
                set.with(*feature, true)
            });
        assert_eq!(
            VmFeatures::EMPTY.with(*vm, true).registers(),
            expected,
            "{vm:?}"
        );
    }
    // And each is some row's, or nobody needs it.
    for feature in Feature::ALL {
        assert!(
            ROWS.iter().any(|row| row.gate == *feature
                || matches!(row.class, Class::Deferred { when, .. } if when == *feature)),
            "{feature:?} gates nothing"
        );
    }
}
