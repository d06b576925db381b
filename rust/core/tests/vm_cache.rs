// SPDX-License-Identifier: GPL-2.0

//! The cache geometry of vCPUs.

use kvm_core::{
    cpu::ReadIdRegister,
    idreg::CtrEl0,
    sysreg::SysReg,
    vm_idreg::{
        CacheLevel,
        CacheRegs,
        HostFacts,
        HostIdRegs,
        IdView,
        SetError, //
    },
};
use proptest::prelude::*;

/// A host with this CTR_EL0.
struct Ctr(u64);

impl ReadIdRegister for Ctr {
    fn read(&self, reg: SysReg) -> u64 {
        if reg == SysReg::CTR_EL0 {
            self.0
        } else {
            0
        }
    }
}

fn host(ctr: u64) -> HostIdRegs {
    HostIdRegs::read(&Ctr(ctr), HostFacts::default())
}

/// The type of a level's cache, by CLIDR_EL1.
fn kind(clidr: u64, level: u32) -> u64 {
    (clidr >> (3 * (level - 1))) & 7
}

proptest! {
    #[test]
    fn clidr_agrees_with_ctr(ctr: u64, mte: bool) {
        let host = host(ctr);
        let ctr: CtrEl0 = host.reg();
        let mut caches = CacheRegs::new(&host, mte);
        let clidr = caches.clidr();
        let (louis, loc, louu) = ((clidr >> 21) & 7, (clidr >> 24) & 7, (clidr >> 27) & 7);
        // Arm ARM, CTR_EL0.IDC: 0 means that a clean to PoU is needed unless LoC, or both LoUs, are
        // 0. There is always a level that a clean to PoC must reach.
        prop_assert!(loc >= 1);
        prop_assert_eq!(louis == 0 && louu == 0, ctr.idc());
        prop_assert!(louis <= loc && louu <= loc);
        // CTR_EL0.DIC: with instruction caches there is something to invalidate.
        let instruction = (1..=7).any(|level| matches!(kind(clidr, level), 1 | 3));
        prop_assert_eq!(instruction, !ctr.dic());
        let data = (1..=7).filter(|level| matches!(kind(clidr, *level), 2..=4)).collect::<Vec<_>>();
        prop_assert_eq!(&data, &[loc as u32]);
        // No gaps below the last level.
        prop_assert!((1..=loc as u32).all(|level| kind(clidr, level) != 0));
        let tags = (1..=7).map(|level| (clidr >> (33 + 2 * (level - 1))) & 3).collect::<Vec<_>>();
        for (level, tags) in tags.into_iter().enumerate() {
            prop_assert_eq!(tags != 0, mte && level as u64 + 1 == loc);
        }
        prop_assert_eq!(caches.set_clidr(&host, clidr), Ok(()));
    }

    #[test]
    fn clidr_can_be_written(ctr: u64, value: u64, low in 0..1u64 << 47) {
        let host = host(ctr);
        for value in [value, low, low & !(7 << 24), low & !(0x3f << 21) & !(7 << 27)] {
            let mut caches = CacheRegs::new(&host, false);
            let before = caches.clidr();
            let reserved = value >> 47 != 0;
            let no_maintenance = (value >> 24) & 7 == 0
                || ((value >> 21) & 7 == 0 && (value >> 27) & 7 == 0);
            if reserved || (no_maintenance && (ctr >> 28) & 1 == 0) {
                prop_assert_eq!(caches.set_clidr(&host, value), Err(SetError::Invalid));
                prop_assert_eq!(caches.clidr(), before);
            } else {
                prop_assert_eq!(caches.set_clidr(&host, value), Ok(()));
                prop_assert_eq!(caches.clidr(), value);
            }
        }
    }

    #[test]
    fn ccsidr_has_the_line_size(ctr: u64, csselr: u64, value: u32) {
        // Lines of 16 to 2048 bytes, those that CCSIDR_EL1 can say.
        let (instruction, data) = (2 + (ctr & 7), 2 + ((ctr >> 16) & 7));
        let host = host(instruction | (data << 16));
        let mut caches = CacheRegs::new(&host, false);
        let selected = csselr & 0xf;
        let words = if csselr & 1 != 0 { instruction } else { data };
        let Some(level) = CacheLevel::from_csselr(csselr) else {
            prop_assert!(selected >= 14);
            prop_assert_eq!(caches.guest_ccsidr(csselr), 0);
            return Ok(());
        };
        // Arm ARM, CCSIDR_EL1.LineSize: log2 of the bytes, less 4.
        prop_assert_eq!(u64::from(caches.ccsidr(level)), words + 2 - 4);
        prop_assert_eq!(caches.guest_ccsidr(csselr), words + 2 - 4);
        let others = caches;
        let fits = u64::from(value) & 7 >= words - 2;
        let expected = if fits { Ok(()) } else { Err(SetError::Invalid) };
        prop_assert_eq!(caches.set_ccsidr(&host, level, value), expected);
        for other in CacheLevel::all() {
            let expected = if other == level && fits { value } else { others.ccsidr(other) };
            prop_assert_eq!(caches.ccsidr(other), expected);
        }
    }

    #[test]
    fn one_reg_ids(id: u64, low: u8) {
        for id in [id, 0x6020_0000_0011_0000 | u64::from(low), 0x6030_0000_0011_0000] {
            match CacheLevel::from_one_reg(id) {
                Some(level) => prop_assert_eq!(level.to_one_reg(), id),
                None => prop_assert!(CacheLevel::all().all(|level| level.to_one_reg() != id)),
            }
        }
        prop_assert_eq!(CacheLevel::all().count(), 14);
    }
}
