// SPDX-License-Identifier: GPL-2.0

//! The identifiers of KVM_GET_ONE_REG.

use std::collections::BTreeSet;

use kvm_core::{
    one_reg::{
        BadId,
        CoreReg,
        OneReg,
        Size, //
    },
    register::{
        row::User,
        Reg, //
    },
    sysreg::SysReg,
};
use proptest::prelude::*;

/// KVM_REG_ARM64 | KVM_REG_ARM_CORE without a size.
const CORE: u64 = 0x6000_0000_0010_0000;

/// The registers of the core group and their sizes in bytes, by the offset in `struct kvm_regs`,
/// also in bytes.
fn layout() -> Vec<(u64, u64, CoreReg)> {
    let mut layout = Vec::new();
    let mut at: u64 = 0;
    let mut put = |size, reg| {
        layout.push((at, size, reg));
        at += size;
    };
    // struct user_pt_regs.
    for n in 0..31 {
        put(8, CoreReg::Gpr(n));
    }
    put(8, CoreReg::Sysreg(Reg::SP_EL0));
    put(8, CoreReg::Pc);
    put(8, CoreReg::Pstate);
    put(8, CoreReg::Sysreg(Reg::SP_EL1));
    put(8, CoreReg::Sysreg(Reg::ELR_EL1));
    for spsr in [
        Reg::SPSR_EL1,
        Reg::SPSR_abt,
        Reg::SPSR_und,
        Reg::SPSR_irq,
        Reg::SPSR_fiq,
    ] {
        put(8, CoreReg::Sysreg(spsr));
    }
    // struct user_fpsimd_state, aligned to 16 bytes.
    at = at.next_multiple_of(16);
    let mut put = |size, reg| {
        layout.push((at, size, reg));
        at += size;
    };
    for n in 0..32 {
        put(16, CoreReg::Vreg(n));
    }
    put(4, CoreReg::Fpsr);
    put(4, CoreReg::Fpcr);
    layout
}

/// The size field of an identifier.
fn size_field(bytes: u64) -> u64 {
    u64::from(bytes.trailing_zeros()) << 52
}

#[test]
fn core_registers_are_where_the_structure_has_them() {
    let layout = layout();
    for (at, size, reg) in &layout {
        assert_eq!(reg.size().bytes() as u64, *size);
        assert_eq!(reg.id(), CORE | size_field(*size) | (at / 4), "{reg:?}");
    }
    let listed: Vec<_> = CoreReg::all().map(CoreReg::id).collect();
    let expected: Vec<_> = layout.iter().map(|(_, _, reg)| reg.id()).collect();
    assert_eq!(listed, expected);
}

/// Each offset with each size: just one names a register, where one begins.
#[test]
fn each_offset_and_size_of_the_core_group() {
    let layout = layout();
    for offset in 0..=0xffff_u64 {
        let register = layout.iter().find(|(at, ..)| *at == 4 * offset);
        for size in 0..16_u64 {
            let expected = match register {
                Some((_, bytes, reg)) if size << 52 == size_field(*bytes) => Ok(OneReg::Core(*reg)),
                Some(_) => Err(BadId::Size),
                None => Err(BadId::Unknown),
            };
            let id = CORE | (size << 52) | offset;
            assert_eq!(OneReg::from_id(id), expected, "{id:#x}");
        }
    }
}

#[test]
fn each_system_register_has_one_identifier() {
    let mut ids = BTreeSet::new();
    for reg in Reg::all() {
        let id = reg.encoding().to_one_reg();
        assert!(ids.insert(id), "{reg}");
        let expected = match reg.row().user {
            User::Rw | User::Id | User::Clidr | User::OsLock | User::Counter => {
                Ok(OneReg::Sysreg(reg))
            }
            User::Core | User::None => Err(BadId::Unknown),
        };
        assert_eq!(OneReg::from_id(id), expected, "{reg}");
    }
    // Each `core` register is in the other group, and nothing else is.
    let core: BTreeSet<_> = Reg::all()
        .filter(|reg| reg.row().user == User::Core)
        .collect();
    let listed: BTreeSet<_> = CoreReg::all()
        .filter_map(|reg| match reg {
            CoreReg::Sysreg(reg) => Some(reg),
            _ => None,
        })
        .collect();
    assert_eq!(core, listed);
}

/// api.rst's warning: the identifiers of CNTV_CVAL_EL0 and CNTVCT_EL0 are exchanged.
#[test]
fn the_exchanged_timer_registers() {
    const CVAL: u64 = 0x6030_0000_0013_df02;
    const CNT: u64 = 0x6030_0000_0013_df1a;
    assert_eq!(
        OneReg::from_id(CVAL),
        Ok(OneReg::Sysreg(Reg::CNTV_CVAL_EL0))
    );
    assert_eq!(OneReg::from_id(CNT), Ok(OneReg::Sysreg(Reg::CNTVCT_EL0)));
}

#[test]
fn sizes() {
    assert_eq!(
        [Size::U32, Size::U64, Size::U128].map(Size::bytes),
        [4, 8, 16]
    );
}

/// What an identifier is, by the layout that api.rst gives: `0x60 | size | group | ...`.
fn expected(id: u64) -> Result<OneReg, BadId> {
    if id >> 56 != 0x60 {
        return Err(BadId::Unknown);
    }
    match ((id >> 16) & 0xfff, (id >> 28) & 0xff_ffff, (id >> 52) & 0xf) {
        // The core group, where a bit between group and size fits no register.
        (0x010, ..) => {
            let Some((_, _, reg)) = layout().into_iter().find(|(at, ..)| at / 4 == id & 0xffff)
            else {
                return Err(BadId::Unknown);
            };
            if id == reg.id() {
                Ok(OneReg::Core(reg))
            } else {
                Err(BadId::Size)
            }
        }
        (0x013, 0, 3) => Reg::all()
            .filter(|reg| !matches!(reg.row().user, User::Core | User::None))
            .find(|reg| reg.encoding().to_one_reg() == id)
            .map(OneReg::Sysreg)
            .ok_or(BadId::Unknown),
        _ => Ok(OneReg::Other(id)),
    }
}

/// Identifiers that are nearly right, and some that are not at all.
fn any_id() -> impl Strategy<Value = u64> {
    let valid: Vec<_> = CoreReg::all()
        .map(CoreReg::id)
        .chain(Reg::all().map(|reg| reg.encoding().to_one_reg()))
        .collect();
    let near = (
        prop::sample::select(valid),
        prop::collection::vec(0..64u32, 0..3),
    )
        .prop_map(|(id, flips)| flips.into_iter().fold(id, |id, bit| id ^ (1 << bit)));
    let sysreg = any::<u16>().prop_map(|raw| SysReg::from_raw(raw).to_one_reg());
    prop_oneof![6 => near, 3 => sysreg, 1 => any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_identifier(id in any_id()) {
        prop_assert_eq!(OneReg::from_id(id), expected(id));
    }

    /// What an identifier names has that identifier.
    #[test]
    fn there_and_back(id in any_id()) {
        match OneReg::from_id(id) {
            Ok(OneReg::Core(reg)) => prop_assert_eq!(reg.id(), id),
            Ok(OneReg::Sysreg(reg)) => prop_assert_eq!(reg.encoding().to_one_reg(), id),
            Ok(OneReg::Other(other)) => prop_assert_eq!(other, id),
            Err(_) => {}
        }
    }
}
