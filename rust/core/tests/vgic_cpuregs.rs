// SPDX-License-Identifier: GPL-2.0

//! The registers of the CPU interface, to user space.

use kvm_core::{
    bits::Bits,
    idreg::IchVtrEl2,
    sysreg::SysReg,
    vgic::cpuregs::{
        BadValue,
        CpuInterface,
        CpuReg,
        IccCtlr,
        IchVmcr, //
    },
};
use proptest::prelude::*;

/// All registers that there are, with their numbers in the guest's instructions.
fn registers() -> Vec<(SysReg, CpuReg)> {
    let n = |n| Bits::truncated(n);
    let mut all = vec![
        (SysReg::of::<3, 0, 4, 6, 0>(), CpuReg::Pmr),
        (SysReg::of::<3, 0, 12, 8, 3>(), CpuReg::Bpr0),
        (SysReg::of::<3, 0, 12, 12, 3>(), CpuReg::Bpr1),
        (SysReg::of::<3, 0, 12, 12, 4>(), CpuReg::Ctlr),
        (SysReg::of::<3, 0, 12, 12, 5>(), CpuReg::Sre),
        (SysReg::of::<3, 0, 12, 12, 6>(), CpuReg::Igrpen0),
        (SysReg::of::<3, 0, 12, 12, 7>(), CpuReg::Igrpen1),
    ];
    for i in 0..4u8 {
        all.push((
            SysReg::new(3, 0, 12, 8, 4 + i).unwrap(),
            CpuReg::Ap0r(n(i.into())),
        ));
        all.push((
            SysReg::new(3, 0, 12, 9, i).unwrap(),
            CpuReg::Ap1r(n(i.into())),
        ));
    }
    all
}

fn any_register() -> impl Strategy<Value = CpuReg> {
    prop::sample::select(registers()).prop_map(|(_, reg)| reg)
}

/// A host with 5 to 7 bits of priority.
fn any_host() -> impl Strategy<Value = IchVtrEl2> {
    (4u64..7, 0u64..2, any::<bool>(), any::<bool>()).prop_map(|(pri, id, seis, a3v)| {
        IchVtrEl2::from_raw(0)
            .with_pribits(Bits::truncated(pri))
            .with_idbits(Bits::truncated(id))
            .with_seis(seis)
            .with_a3v(a3v)
    })
}

/// A value, or one of ICC_CTLR_EL1 that the host may have.
fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0u64..4, 0u64..8, 0u64..4, 0u64..4)
            .prop_map(|(low, pri, id, flags)| { low | (pri << 8) | (id << 11) | (flags << 14) }),
    ]
}

#[test]
fn the_registers_are_those_of_the_list() {
    let all = registers();
    for raw in 0..=u16::MAX {
        let reg = SysReg::from_raw(raw);
        let listed = all.iter().find(|(listed, _)| *listed == reg);
        assert_eq!(CpuReg::new(reg), listed.map(|(_, named)| *named));
    }
}

proptest! {
    #[test]
    fn a_value_is_read_back(
        host in any_host(),
        earlier in prop::collection::vec((any_register(), any_value()), 0..12),
        reg in any_register(),
        value in any_value(),
    ) {
        let mut cpu = CpuInterface::reset(host);
        for (reg, value) in earlier {
            let _ = cpu.set(reg, value, host);
        }
        let before = cpu;
        // As the architecture has the fields.
        let ctlr = IccCtlr::from_raw(before.get(CpuReg::Ctlr, host).unwrap());
        let aprs = match ctlr.pribits().get() + 1 {
            7.. => 4,
            6 => 2,
            _ => 1,
        };
        let expected = match reg {
            CpuReg::Pmr => Some(value & 0xff),
            CpuReg::Bpr0 => Some(value & 7),
            CpuReg::Bpr1 if ctlr.cbpr() => Some((before.vmcr.vbpr0().get() + 1).min(7)),
            CpuReg::Bpr1 => Some(value & 7),
            CpuReg::Ap0r(n) | CpuReg::Ap1r(n) => (n < aprs).then_some(value & 0xffff_ffff),
            CpuReg::Sre => (value & 1 == 1).then_some(7),
            CpuReg::Igrpen0 | CpuReg::Igrpen1 => Some(value & 1),
            CpuReg::Ctlr => {
                let wanted = IccCtlr::from_raw(value & IccCtlr::MASK);
                let possible = wanted.seis() == host.seis()
                    && wanted.a3v() == host.a3v()
                    && wanted.pribits() <= ctlr.pribits()
                    && wanted.idbits() <= ctlr.idbits();
                possible.then_some(wanted.into_raw())
            }
        };
        let result = cpu.set(reg, value, host);
        match expected {
            Some(expected) => {
                prop_assert_eq!(result, Ok(()));
                prop_assert_eq!(cpu.get(reg, host), Ok(expected));
            }
            None => {
                prop_assert_eq!(result, Err(BadValue));
                prop_assert_eq!(cpu, before);
            }
        }
        // The guest's registers have nothing that it could not have written.
        prop_assert_eq!(cpu.vmcr.into_raw() & !IchVmcr::MASK, 0);
        prop_assert!(cpu.vmcr.vfiqen());
    }

    #[test]
    fn what_is_saved_is_restored(
        host in any_host(),
        earlier in prop::collection::vec((any_register(), any_value()), 0..20),
    ) {
        let mut cpu = CpuInterface::reset(host);
        for (reg, value) in earlier {
            let _ = cpu.set(reg, value, host);
        }
        let mut copy = CpuInterface::reset(host);
        // ICC_BPR1_EL1 cannot be written, nor read as it is, while ICC_CTLR_EL1.CBPR is set.
        for (_, reg) in registers() {
            if let Ok(value) = cpu.get(reg, host) {
                prop_assert_eq!(copy.set(reg, value, host), Ok(()));
            }
        }
        for (_, reg) in registers() {
            prop_assert_eq!(copy.get(reg, host), cpu.get(reg, host));
        }
    }
}
