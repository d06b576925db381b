// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS.

mod common;

use common::vcpu::{
    pstate,
    Vcpu,
    ALL, //
};
use kvm_core::{
    bits::Bits,
    esr::Esr,
    events::{
        BadEvents,
        Events,
        VirtualSError, //
    },
    far::HpfarEl2,
    inject::{
        NotAarch64,
        Sctlr2El1, //
    },
    mmio::{
        decode,
        Outcome,
        PendingMmio, //
    },
    pstate::{
        EntryFeatures,
        GuestPstate,
        GuestState, //
    },
    register::Reg, //
};
use proptest::prelude::*;

/// `struct kvm_vcpu_events` with these fields.
fn raw(pending: u8, has_esr: u8, ext_dabt: u8, esr: u64) -> [u8; 64] {
    let mut raw = [0; 64];
    raw[..3].copy_from_slice(&[pending, has_esr, ext_dabt]);
    raw[8..16].copy_from_slice(&esr.to_le_bytes());
    raw
}

/// A vCPU in this state with a load of a device waiting.
fn at_mmio(state: GuestPstate) -> (Vcpu, PendingMmio) {
    let vcpu = Vcpu::new(state, 0x4000);
    let esr = Esr::from_raw(0x93c0_8007);
    let mut mmio = PendingMmio::NONE;
    match decode(&vcpu, esr, 0, HpfarEl2::from_raw(0x80000)) {
        Outcome::Access(access) => mmio.start(&access, esr),
        other => panic!("{other:?}"),
    }
    (vcpu, mmio)
}

proptest! {
    #[test]
    fn what_is_refused(pending: u8, has_esr: u8, ext_dabt: u8, esr in prop_oneof![0u64..1 << 26, any::<u64>()], ras: bool) {
        let result = Events::new(&raw(pending, has_esr, ext_dabt, esr), ras);
        let expected = match (pending != 0, has_esr != 0) {
            (true, true) if !ras => Err(BadEvents::NoRas),
            (true, true) if esr >> 25 != 0 => Err(BadEvents::Esr(esr)),
            (true, true) => Ok(Some(esr)),
            (true, false) => Ok(Some(1 << 24)),
            (false, _) => Ok(None),
        };
        prop_assert_eq!(
            result.map(|events| events.serror.map(Bits::get)),
            expected
        );
        if let Ok(events) = result {
            prop_assert_eq!(events.external_abort, ext_dabt != 0);
        }
    }

    #[test]
    fn reserved_bytes_are_zero(place in prop_oneof![3usize..8, 16usize..64], value in 1u8..) {
        let mut raw = raw(1, 0, 1, 0);
        raw[place] = value;
        prop_assert_eq!(Events::new(&raw, true), Err(BadEvents::Reserved));
    }

    #[test]
    fn what_was_read_can_be_written(iss in 0u64..1 << 25, pending: bool, ras: bool) {
        let mut serror = VirtualSError::default();
        if pending {
            serror.pend(Bits::new(iss).unwrap());
        }
        let read = serror.get(ras);
        prop_assert_eq!(
            read,
            raw(pending.into(), ras.into(), 0, if pending && ras { iss } else { 0 })
        );
        let events = Events::new(&read, ras).unwrap();
        let (mut vcpu, mut mmio) = at_mmio(pstate(0x3c5));
        let before = vcpu.clone();
        let mut restored = VirtualSError::default();
        events
            .apply(&mut vcpu, &mut restored, &mut mmio, None, Sctlr2El1::from_raw(0), EntryFeatures::of(ALL, false))
            .unwrap();
        prop_assert_eq!(restored.hcr_vse(), pending);
        if ras {
            prop_assert_eq!(restored, serror);
        }
        // An SError does nothing to the registers or to an access.
        prop_assert_eq!(vcpu, before);
        prop_assert!(mmio.is_pending());
    }

    #[test]
    fn an_serror_stays_until_it_is_taken(isses in prop::collection::vec(0u64..1 << 25, 1..4), exits in 0usize..4) {
        let mut serror = VirtualSError::default();
        prop_assert_eq!((serror.hcr_vse(), serror.vsesr()), (false, None));
        for iss in &isses {
            serror.pend(Bits::new(*iss).unwrap());
        }
        for _ in 0..exits {
            serror.after_exit(true);
        }
        prop_assert!(serror.hcr_vse());
        prop_assert_eq!(serror.vsesr(), isses.last().copied());
        prop_assert_eq!(serror.syndrome().map(|s| s.into_raw()), isses.last().copied());
        serror.after_exit(false);
        prop_assert_eq!(serror, VirtualSError::default());
        // VSE that is set for no reason of ours is not ours.
        serror.after_exit(true);
        prop_assert!(!serror.hcr_vse());
    }
}

#[test]
fn an_abort_ends_the_access() {
    let (mut vcpu, mut mmio) = at_mmio(pstate(0x3c5));
    let mut serror = VirtualSError::default();
    Events::new(&raw(1, 1, 1, 0x101_d1ed), true)
        .unwrap()
        .apply(
            &mut vcpu,
            &mut serror,
            &mut mmio,
            Some(0xffff_0000_1234),
            Sctlr2El1::from_raw(0),
            EntryFeatures::of(ALL, false),
        )
        .unwrap();
    assert!(!mmio.is_pending());
    assert_eq!(vcpu.sysregs[&Reg::ELR_EL1], 0x4000);
    assert_eq!(vcpu.sysregs[&Reg::ESR_EL1], 0x9600_0010);
    assert_eq!(vcpu.sysregs[&Reg::FAR_EL1], 0xffff_0000_1234);
    assert_eq!(vcpu.pc, 0x200);
    assert_eq!(serror.vsesr(), Some(0x101_d1ed));
    // It is not pending, it was taken.
    assert_eq!(serror.get(true)[2], 0);
}

#[test]
fn an_address_that_is_not_valid_is_not_told() {
    let (mut vcpu, mut mmio) = at_mmio(pstate(0x3c5));
    let features = EntryFeatures::of(ALL, false);
    Events::new(&raw(0, 0, 1, 0), true)
        .unwrap()
        .apply(
            &mut vcpu,
            &mut VirtualSError::default(),
            &mut mmio,
            None,
            Sctlr2El1::from_raw(0),
            features,
        )
        .unwrap();
    // With FnV.
    assert_eq!(vcpu.sysregs[&Reg::ESR_EL1], 0x9600_0410);
    assert!(vcpu.sysregs.get(&Reg::FAR_EL1).is_none_or(|far| *far == 0));
}

#[test]
fn nothing_happens_to_an_aarch32_el1() {
    let state = GuestPstate::new(0x1d3, GuestState::Aarch32, ALL).unwrap();
    let (mut vcpu, mut mmio) = at_mmio(state);
    let before = vcpu.clone();
    let mut serror = VirtualSError::default();
    let result = Events::new(&raw(1, 0, 1, 0), true).unwrap().apply(
        &mut vcpu,
        &mut serror,
        &mut mmio,
        None,
        Sctlr2El1::from_raw(0),
        EntryFeatures::of(ALL, false),
    );
    assert_eq!(result, Err(NotAarch64));
    assert_eq!(vcpu, before);
    assert!(mmio.is_pending() && !serror.hcr_vse());
}
