// SPDX-License-Identifier: GPL-2.0

//! Encodings of system registers.

use std::collections::BTreeSet;

use kvm_core::sysreg::{
    ParseSysRegError,
    SysReg, //
};
use proptest::prelude::*;

fn any_reg() -> impl Strategy<Value = SysReg> {
    any::<u16>().prop_map(SysReg::from_raw)
}

proptest! {
    #[test]
    fn operands_round_trip(op0 in 0u8..5, op1 in 0u8..10, crn in 0u8..20, crm in 0u8..20, op2 in 0u8..10) {
        let fits = op0 < 4 && op1 < 8 && crn < 16 && crm < 16 && op2 < 8;
        let reg = SysReg::new(op0, op1, crn, crm, op2);
        prop_assert_eq!(reg.is_some(), fits);
        if let Some(reg) = reg {
            prop_assert_eq!(
                (reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2()),
                (op0, op1, crn, crm, op2)
            );
            prop_assert_eq!(SysReg::from_raw(reg.into_raw()), reg);
        }
    }

    #[test]
    fn order_is_that_of_the_operands(a in any_reg(), b in any_reg()) {
        let operands = |r: SysReg| (r.op0(), r.op1(), r.crn(), r.crm(), r.op2());
        prop_assert_eq!(a.cmp(&b), operands(a).cmp(&operands(b)));
    }

    #[test]
    fn a_stray_bit_spoils_a_one_reg_id(reg in any_reg(), bit in 16u32..64) {
        prop_assert_eq!(SysReg::from_one_reg(reg.to_one_reg() ^ (1 << bit)), None);
    }

    #[test]
    fn any_number_is_a_one_reg_id_or_not(id: u64) {
        if let Some(reg) = SysReg::from_one_reg(id) {
            prop_assert_eq!(reg.to_one_reg(), id);
        }
    }

    #[test]
    fn syndromes_round_trip(reg in any_reg(), other: u64) {
        prop_assert_eq!(SysReg::from_iss(reg.to_iss()), reg);
        // Rt is bits 9 to 5, the direction bit 0; 22 and up are not the encoding's either.
        let noise = other & !0x3f_fc1e;
        prop_assert_eq!(reg.to_iss() & noise, 0);
        prop_assert_eq!(SysReg::from_iss(reg.to_iss() | noise), reg);
    }

    #[test]
    fn parsing_takes_nothing_but_names(text in "[SsCc0-9_+ -]{0,16}") {
        if let Ok(reg) = text.parse::<SysReg>() {
            prop_assert_eq!(text.to_uppercase(), reg.to_string());
        }
    }
}

// There are few enough encodings to try each.

fn every_reg() -> impl Iterator<Item = SysReg> {
    (0..=u16::MAX).map(SysReg::from_raw)
}

#[test]
fn one_reg_ids_round_trip() {
    for reg in every_reg() {
        assert_eq!(SysReg::from_one_reg(reg.to_one_reg()), Some(reg));
        assert_eq!(reg.to_one_reg() & !0xffff, 0x6030_0000_0013_0000);
    }
}

#[test]
fn names_round_trip() {
    for reg in every_reg() {
        let name = reg.to_string();
        assert_eq!(name.parse(), Ok(reg));
        assert_eq!(name.to_lowercase().parse(), Ok(reg));
        assert_eq!(format!("{reg:?}"), name);
    }
}

#[test]
fn feature_id_space() {
    for reg in every_reg() {
        // Op0 3, Op1 0, CRn 0 is 0xc000 to 0xc07f, of which CRm 0 is the first eight.
        let inside = (0xc008..=0xc03f).contains(&reg.into_raw());
        assert_eq!(reg.is_feature_id(), inside, "{reg}");
    }
}

#[test]
fn bad_names() {
    for bad in [
        "",
        "S",
        "SCTLR_EL1",
        "S3_0_C1_C0",
        "S3_0_C1_C0_0_0",
        "S3_0_C1_C0_",
        "3_0_C1_C0_0",
        "S3_0_1_C0_0",
        "S4_0_C1_C0_0",
        "S3_8_C1_C0_0",
        "S3_0_C16_C0_0",
        "S3_0_C1_C16_0",
        "S3_0_C1_C0_8",
        "S3_0_C01_C0_0",
        "S3_0_C+1_C0_0",
        "S3_0_C-1_C0_0",
        "S3_0_C1_C0_256",
        " S3_0_C1_C0_0",
        "S3_0_C1_C0_0 ",
    ] {
        assert_eq!(bad.parse::<SysReg>(), Err(ParseSysRegError), "{bad:?}");
    }
}

#[test]
fn known_ids() {
    // From the UAPI header: ARM64_SYS_REG() of each.
    assert_eq!(SysReg::MIDR_EL1.to_one_reg(), 0x6030_0000_0013_c000);
    assert_eq!(SysReg::MPIDR_EL1.to_one_reg(), 0x6030_0000_0013_c005);
    assert_eq!(SysReg::ID_AA64PFR0_EL1.to_one_reg(), 0x6030_0000_0013_c020);
    assert_eq!(SysReg::ID_AA64MMFR2_EL1.to_one_reg(), 0x6030_0000_0013_c03a);
    assert_eq!(SysReg::CTR_EL0.to_one_reg(), 0x6030_0000_0013_d801);
}

#[test]
fn timer_ids_are_swapped() {
    let cval = SysReg::of::<3, 3, 14, 3, 2>();
    let cnt = SysReg::of::<3, 3, 14, 0, 2>();
    let ctl = SysReg::of::<3, 3, 14, 3, 1>();
    // KVM_REG_ARM_TIMER_CVAL, KVM_REG_ARM_TIMER_CNT, KVM_REG_ARM_TIMER_CTL.
    assert_eq!(cval.to_one_reg(), 0x6030_0000_0013_df02);
    assert_eq!(cnt.to_one_reg(), 0x6030_0000_0013_df1a);
    assert_eq!(ctl.to_one_reg(), 0x6030_0000_0013_df19);
}

#[test]
fn other_register_groups_are_not_system_registers() {
    for id in [
        0x6030_0000_0010_0000, // Core registers.
        0x6020_0000_0011_0000, // CCSIDR.
        0x6030_0000_0014_0000, // Firmware.
        0x6080_0000_0015_0000, // SVE.
        0x6020_0000_0013_c000, // A 32-bit size.
        0x4030_0000_0013_c000, // 32-bit Arm.
        0x6030_0000_0013_c000 | (1 << 32),
    ] {
        assert_eq!(SysReg::from_one_reg(id), None, "{id:#x}");
    }
}

#[test]
fn named_encodings_are_unique() {
    let regs: BTreeSet<_> = SysReg::NAMED.iter().map(|(_, reg)| *reg).collect();
    let names: BTreeSet<_> = SysReg::NAMED.iter().map(|(name, _)| *name).collect();
    assert_eq!(regs.len(), SysReg::NAMED.len());
    assert_eq!(names.len(), SysReg::NAMED.len());
    assert_eq!(SysReg::CTR_EL0.name(), Some("CTR_EL0"));
    assert_eq!(SysReg::of::<3, 7, 15, 15, 7>().name(), None);
}

#[test]
fn set_way_instructions() {
    // The words of DC ISW, CSW and CISW with x0: SYS #op1, Cn, Cm, #op2 is 0xd508_0000 and the
    // operands at 16, 12, 8 and 5.
    for (reg, word) in [
        (SysReg::DC_ISW, 0xd508_7640u32),
        (SysReg::DC_CSW, 0xd508_7a40),
        (SysReg::DC_CISW, 0xd508_7e40),
    ] {
        let fields = [
            ((word >> 19) & 3) as u8,
            ((word >> 16) & 7) as u8,
            ((word >> 12) & 15) as u8,
            ((word >> 8) & 15) as u8,
            ((word >> 5) & 7) as u8,
        ];
        assert_eq!(
            [reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2()],
            fields
        );
    }
}
