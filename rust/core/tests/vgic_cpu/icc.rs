// SPDX-License-Identifier: GPL-2.0

//! What traps of a guest's CPU interface.

use kvm_core::{
    bits::Bits,
    idreg::IchVtrEl2,
    sysreg::SysReg,
    vgic::{
        cpuregs::{CpuInterface, CpuReg},
        icc::Trapped,
        sgi::SgiRegister,
    },
};
use proptest::prelude::*;

fn vtr(preemption_bits: u64) -> IchVtrEl2 {
    IchVtrEl2::from_raw(0)
        .with_prebits(Bits::new(preemption_bits - 1).unwrap())
        .with_pribits(Bits::new(preemption_bits - 1).unwrap())
        .with_a3v(true)
}

#[test]
fn registers_by_their_encodings() {
    let all = (0..=u16::MAX)
        .map(SysReg::from_raw)
        .filter_map(|reg| Some((reg, Trapped::new(reg)?)));
    let expected = [
        (SysReg::of::<3, 0, 4, 6, 0>(), Trapped::Shared(CpuReg::Pmr)),
        (SysReg::of::<3, 0, 12, 11, 1>(), Trapped::Dir),
        (SysReg::of::<3, 0, 12, 11, 3>(), Trapped::Rpr),
        (
            SysReg::of::<3, 0, 12, 11, 5>(),
            Trapped::Sgi(SgiRegister::Group1),
        ),
        (
            SysReg::of::<3, 0, 12, 11, 6>(),
            Trapped::Sgi(SgiRegister::Group0),
        ),
        (
            SysReg::of::<3, 0, 12, 11, 7>(),
            Trapped::Sgi(SgiRegister::Group0),
        ),
        (
            SysReg::of::<3, 0, 12, 12, 4>(),
            Trapped::Shared(CpuReg::Ctlr),
        ),
        (
            SysReg::of::<3, 0, 12, 12, 5>(),
            Trapped::Shared(CpuReg::Sre),
        ),
    ];

    assert_eq!(all.collect::<Vec<_>>(), expected);
    assert!(!Trapped::Dir.allows(true) && Trapped::Dir.allows(false));
    assert!(Trapped::Rpr.allows(true) && !Trapped::Rpr.allows(false));
    assert!(Trapped::Shared(CpuReg::Sre).allows(true));
}

proptest! {
    /// The running priority is that of the first level that is active in one of the groups.
    #[test]
    fn running_priority(
        preemption_bits in 5..=7u64,
        levels in prop::collection::vec((0..128u32, any::<bool>()), 0..4),
    ) {
        let vtr = vtr(preemption_bits);
        let mut interface = CpuInterface::reset(vtr);
        let mut first = 0xff;
        for (level, group1) in levels {
            let level = level % (1 << preemption_bits);
            let words = if group1 { &mut interface.ap1r } else { &mut interface.ap0r };
            words[(level / 32) as usize] |= 1 << (level % 32);
            first = first.min(level << (8 - preemption_bits));
        }
        prop_assert_eq!(u32::from(interface.running_priority(vtr)), first);
    }

    /// A guest changes what it can of ICC_CTLR_EL1, and nothing of ICC_SRE_EL1.
    #[test]
    fn what_a_guest_writes(ctlr: u64, sre: u64, mask: u64) {
        let vtr = vtr(5);
        let mut interface = CpuInterface::reset(vtr);
        let before = interface.get(CpuReg::Ctlr, vtr).unwrap();

        interface.guest_write(CpuReg::Ctlr, ctlr, vtr);
        prop_assert_eq!(interface.get(CpuReg::Ctlr, vtr), Ok((before & !3) | (ctlr & 3)));
        interface.guest_write(CpuReg::Sre, sre, vtr);
        prop_assert_eq!(interface.get(CpuReg::Sre, vtr), Ok(7));
        interface.guest_write(CpuReg::Pmr, mask, vtr);
        prop_assert_eq!(interface.get(CpuReg::Pmr, vtr), Ok(mask & 0xff));
    }
}
