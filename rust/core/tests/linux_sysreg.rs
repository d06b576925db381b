// SPDX-License-Identifier: GPL-2.0

//! Compares encodings and bit positions with Linux's arch/arm64/tools/sysreg.
//!
//! Not part of the usual run, which has no kernel source:
//! `SYSREG_FILE=.../arch/arm64/tools/sysreg cargo test --test linux_sysreg -- --ignored`

use std::{
    collections::BTreeMap,
    env,
    fs, //
};

use kvm_core::{
    bit_struct::{
        BitStruct,
        FieldInfo, //
    },
    far::HpfarEl2,
    guest_debug::{
        MdcrDebug,
        MdscrEl1, //
    },
    idreg::*,
    inject::Sctlr2El1,
    mmio::SctlrEndian,
    pstate::SctlrEntry,
    setway::SctlrCache,
    stage1::{
        SctlrWalk,
        TcrEl1, //
    },
    sysreg::SysReg, //
};

/// A register of the file: its encoding and, by name in lower case, the bits and the sign of each
/// field.
struct Register {
    encoding: SysReg,
    fields: BTreeMap<String, (u32, u32, bool)>,
}

fn registers() -> BTreeMap<String, Register> {
    let path = env::var("SYSREG_FILE").expect("SYSREG_FILE names arch/arm64/tools/sysreg");
    let text = fs::read_to_string(path).unwrap();
    let mut registers = BTreeMap::new();
    let mut current: Option<(String, Register)> = None;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match *words.as_slice() {
            ["Sysreg", name, op0, op1, crn, crm, op2] => {
                let n = |word: &str| word.parse().unwrap();
                let encoding = SysReg::new(n(op0), n(op1), n(crn), n(crm), n(op2)).unwrap();
                let fields = BTreeMap::new();
                current = Some((name.into(), Register { encoding, fields }));
            }
            ["EndSysreg"] => registers.extend(current.take()),
            [kind @ ("Field" | "Enum" | "UnsignedEnum" | "SignedEnum"), bits, name, ..] => {
                if let Some((_, register)) = &mut current {
                    let (hi, lo) = bits.split_once(':').unwrap_or((bits, bits));
                    register.fields.insert(
                        name.to_lowercase(),
                        (
                            lo.parse().unwrap(),
                            hi.parse().unwrap(),
                            kind == "SignedEnum",
                        ),
                    );
                }
            }
            _ => {}
        }
    }
    registers
}

fn check<R: BitStruct>(registers: &BTreeMap<String, Register>) {
    let theirs = &registers[R::NAME].fields;
    for FieldInfo {
        name,
        lo,
        hi,
        signed,
    } in R::FIELDS
    {
        assert_eq!(
            theirs.get(*name),
            Some(&(*lo, *hi, *signed)),
            "{}.{name}",
            R::NAME
        );
    }
    // Fields that only Linux has are no mistake of ours: its list grows with each release.
}

#[test]
#[ignore = "needs the kernel source, see the top of the file"]
fn registers_are_as_in_linux() {
    let registers = registers();
    check::<IdAa64Pfr0El1>(&registers);
    check::<IdAa64Pfr1El1>(&registers);
    check::<IdAa64Pfr2El1>(&registers);
    check::<IdAa64Zfr0El1>(&registers);
    check::<IdAa64Smfr0El1>(&registers);
    check::<IdAa64Dfr0El1>(&registers);
    check::<IdAa64Dfr1El1>(&registers);
    check::<IdAa64Isar0El1>(&registers);
    check::<IdAa64Isar1El1>(&registers);
    check::<IdAa64Isar2El1>(&registers);
    check::<IdAa64Isar3El1>(&registers);
    check::<IdAa64Mmfr0El1>(&registers);
    check::<IdAa64Mmfr1El1>(&registers);
    check::<IdAa64Mmfr2El1>(&registers);
    check::<IdAa64Mmfr3El1>(&registers);
    check::<IdAa64Mmfr4El1>(&registers);
    check::<CtrEl0>(&registers);
    check::<IchVtrEl2>(&registers);
    check::<HpfarEl2>(&registers);
    check::<MdcrDebug>(&registers);
    check::<MdscrEl1>(&registers);
    check::<Sctlr2El1>(&registers);
    check::<SctlrCache>(&registers);
    check::<SctlrEndian>(&registers);
    check::<SctlrEntry>(&registers);
    check::<SctlrWalk>(&registers);
    check::<TcrEl1>(&registers);

    let known: Vec<_> = SysReg::NAMED
        .iter()
        .filter_map(|(name, reg)| Some((name, reg, registers.get(*name)?)))
        .collect();
    assert!(known.len() > 15, "only {} names found", known.len());
    for (name, reg, theirs) in known {
        assert_eq!(*reg, theirs.encoding, "{name}");
    }
}
