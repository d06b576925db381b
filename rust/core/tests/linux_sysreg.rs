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
    guest_debug::MdscrEl1,
    idreg::*,
    inject::Sctlr2El1,
    mmio::SctlrEndian,
    pstate::SctlrEntry,
    register::{
        reg::ROWS,
        row::{
            FgtGroup,
            Row, //
        },
        Reg, //
    },
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

/// The part of a register's name that those of a range have in common, and its last part, as in
/// `("ERXMISC", "_EL1")`.
fn stem(name: &str) -> (&str, &str) {
    let (first, last) = match name.rfind("_EL") {
        Some(at) => name.split_at(at),
        None => (name, ""),
    };
    (first.trim_end_matches(|c: char| c.is_ascii_digit()), last)
}

/// Whether a fine-grained trap with this name, less the `n` for its sense, is of this register: it
/// has the same name, or that of a range, as `DBGBVRn_EL1`, or that of a group, as `APIAKey`.
fn is_of(bit: &str, row: &Row) -> bool {
    if bit == row.name {
        return true;
    }
    match bit.rfind("_EL") {
        Some(at) => {
            let (first, last) = bit.split_at(at);
            first.strip_suffix('n').map(|first| (first, last)) == Some(stem(row.name))
        }
        None => {
            let rest = row.name.strip_prefix(bit);
            rest.is_some_and(|rest| {
                ["Lo", "Hi", "SET", "CLR"].contains(&rest.split('_').next().unwrap_or_default())
            })
        }
    }
}

/// The bits of a fine-grained trap register: number, name and whether 0 traps.
fn fine_grained(registers: &Names, name: &str) -> BTreeMap<u8, (String, bool)> {
    registers[name]
        .iter()
        .map(|(name, bit)| match name.strip_prefix('n') {
            Some(name) => (*bit, (name.to_owned(), true)),
            None => (*bit, (name.clone(), false)),
        })
        .collect()
}

/// By register, its one-bit fields with their names as they are spelt.
type Names = BTreeMap<String, Vec<(String, u8)>>;

fn bit_names() -> Names {
    let path = env::var("SYSREG_FILE").expect("SYSREG_FILE names arch/arm64/tools/sysreg");
    let text = fs::read_to_string(path).unwrap();
    let mut names = Names::new();
    let mut current = String::new();
    for line in text.lines() {
        match *line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["Sysreg", name, ..] => current = name.into(),
            ["Field", bit, name] => {
                if let Ok(bit) = bit.parse() {
                    let fields = names.entry(current.clone()).or_default();
                    fields.push((name.into(), bit));
                }
            }
            _ => {}
        }
    }
    names
}

#[test]
#[ignore = "needs the kernel source, see the top of the file"]
fn fine_grained_traps_are_as_in_linux() {
    let names = bit_names();
    for (group, registers) in [
        (FgtGroup::Hfg, ["HFGRTR_EL2", "HFGWTR_EL2"]),
        (FgtGroup::Hdfg, ["HDFGRTR_EL2", "HDFGWTR_EL2"]),
    ] {
        let both = registers.map(|register| fine_grained(&names, register));
        assert!(both.iter().all(|bits| bits.len() > 40));
        for row in ROWS.iter() {
            let ours = row.fgt.filter(|fgt| fgt.group == group);
            let theirs: Vec<_> = both
                .iter()
                .flatten()
                .filter(|(_, (name, _))| is_of(name, row))
                .map(|(bit, (_, traps_if_clear))| (*bit, *traps_if_clear))
                .collect();
            // Its bit is in the register for writes only, and RES0 in the other: MDCR_EL2.TPMCR
            // does for both.
            if row.name == "PMCR_EL0" {
                assert!(ours.is_none());
                continue;
            }
            match ours {
                Some(fgt) => {
                    assert!(!theirs.is_empty(), "{}: {fgt:?} is not its bit", row.name);
                    for bit in theirs {
                        assert_eq!((fgt.bit, fgt.traps_if_clear), bit, "{}", row.name);
                    }
                }
                None => assert!(theirs.is_empty(), "{} has {theirs:?}", row.name),
            }
        }
    }
}

/// Linux's encodings of registers by name: of its list, and of the header with those that are not
/// there yet.
fn linux_encodings() -> BTreeMap<String, SysReg> {
    let mut encodings: BTreeMap<_, _> = registers()
        .into_iter()
        .map(|(name, register)| (name, register.encoding))
        .collect();
    let list = env::var("SYSREG_FILE").unwrap();
    let header = std::path::Path::new(&list)
        .parent()
        .unwrap()
        .join("../include/asm/sysreg.h");
    for line in fs::read_to_string(header).unwrap().lines() {
        // #define SYS_DBGBVRn_EL1(n)  sys_reg(2, 0, 0, n, 4): the first of a range has 0 there.
        let Some(line) = line.strip_prefix("#define SYS_") else {
            continue;
        };
        let Some((name, operands)) = line.split_once("sys_reg(") else {
            continue;
        };
        let name = name.trim().trim_end_matches("(n)");
        let operands: Option<Vec<u8>> = operands
            .trim_end_matches(')')
            .split(',')
            .map(|word| match word.trim() {
                "n" => Some(0),
                word => word.parse().ok(),
            })
            .collect();
        if let Some([op0, op1, crn, crm, op2]) = operands.as_deref() {
            // Op0 0, which a SysReg is not, is of MSR (immediate).
            if let Some(encoding) = SysReg::new(*op0, *op1, *crn, *crm, *op2) {
                encodings.insert(name.to_uppercase(), encoding);
            }
        }
    }
    encodings
}

#[test]
#[ignore = "needs the kernel source, see the top of the file"]
fn rows_are_at_the_encodings_that_linux_has() {
    let theirs = linux_encodings();
    // What it calls otherwise, or computes.
    let other = [
        ("DBGDTRX_EL0", "DBGDTRRX_EL0"),
        ("ID_EL1", "ID_PFR0_EL1"),
        ("DBGBVR_EL1", "DBGBVRN_EL1"),
        ("DBGBCR_EL1", "DBGBCRN_EL1"),
        ("DBGWVR_EL1", "DBGWVRN_EL1"),
        ("DBGWCR_EL1", "DBGWCRN_EL1"),
    ];
    let none = ["CNTP_CTL_EL0", "SP_EL0", "PMEVCNTR_EL0", "PMEVTYPER_EL0"];
    for row in ROWS.iter() {
        let name = other
            .iter()
            .find(|(ours, _)| *ours == row.name)
            .map_or(row.name, |(_, name)| name)
            .to_uppercase();
        match theirs.get(&name) {
            Some(encoding) => assert_eq!(row.first, *encoding, "{name}"),
            None => assert!(none.contains(&row.name), "Linux has no {}", row.name),
        }
    }
    // And the names of Linux's that the range of ID registers covers.
    let ids = theirs
        .iter()
        .filter(|(_, encoding)| encoding.is_feature_id());
    assert!(ids.clone().count() > 40);
    for (name, encoding) in ids {
        assert_eq!(
            Reg::from_sysreg(*encoding).map(|reg| reg.row().name),
            Some("ID_EL1"),
            "{name}"
        );
    }
}
