// SPDX-License-Identifier: GPL-2.0

//! The interrupts that ACPI's tables tell of.

use kvm_core::acpi::{
    maintenance,
    timers,
    Gsi,
    Malformed, //
};
use proptest::{
    collection::vec,
    prelude::*, //
};

/// A structure of the MADT for a CPU.
fn gicc(length: u8, flags: u32, vgic: u32) -> Vec<u8> {
    let mut bytes = vec![0xff; usize::from(length)];
    bytes[0] = 0xb;
    bytes[1] = length;
    bytes[12..16].copy_from_slice(&flags.to_le_bytes());
    bytes[56..60].copy_from_slice(&vgic.to_le_bytes());
    bytes
}

/// A MADT with these structures.
fn madt(structures: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0xff; 44];
    bytes.extend(structures.concat());
    bytes
}

const LEVEL_25: Gsi = Gsi {
    number: 25,
    edge: false,
    active_low: false,
};

#[test]
fn of_all_cpus_that_can_be_used() {
    // The lengths of ACPI 5.1, 6.0, 6.3 and 6.5; a GICD and an ITS between.
    let tables = madt(&[
        [&[0xc, 24][..], &[0; 22]].concat(),
        gicc(76, 0b1, 25),
        gicc(80, 0b1000, 25),
        [&[0xf, 20][..], &[0; 18]].concat(),
        // One that is not there.
        gicc(80, 0b0, 3),
        gicc(82, 0b1001, 25),
    ]);

    assert_eq!(maintenance(&tables), Ok(Some(LEVEL_25)));
}

#[test]
fn none_is_described() {
    assert_eq!(maintenance(&madt(&[])), Ok(None));
    assert_eq!(maintenance(&madt(&[gicc(80, 1, 0)])), Ok(None));
    assert_eq!(maintenance(&madt(&[gicc(80, 0, 25)])), Ok(None));
}

#[test]
fn cpus_that_differ() {
    let differs = |flags, number| maintenance(&madt(&[gicc(80, 1, 25), gicc(80, flags, number)]));

    assert_eq!(differs(1, 25), Ok(Some(LEVEL_25)));
    assert_eq!(differs(1, 24), Err(Malformed::Differs));
    assert_eq!(differs(0b101, 25), Err(Malformed::Differs));
}

#[test]
fn too_short() {
    let whole = madt(&[gicc(80, 1, 25)]);

    assert_eq!(maintenance(&whole[..43]), Err(Malformed::Short));
    assert_eq!(maintenance(&whole[..123]), Err(Malformed::Short));
    // A structure that ends before its interrupt.
    let mut short = gicc(80, 1, 25);
    short.truncate(56);
    short[1] = 56;
    assert_eq!(maintenance(&madt(&[short])), Err(Malformed::Short));
}

#[test]
fn a_structure_without_length() {
    // It is passed over, and what follows is looked at from there.
    assert_eq!(maintenance(&madt(&[vec![0; 256]])), Ok(None));
}

#[test]
fn the_timers() {
    let mut gtdt = vec![0xff; 96];
    for (offset, number, flags) in [(48, 29u32, 0u32), (56, 30, 0), (64, 27, 3), (72, 26, 4)] {
        gtdt[offset..offset + 4].copy_from_slice(&number.to_le_bytes());
        gtdt[offset + 4..offset + 8].copy_from_slice(&flags.to_le_bytes());
    }
    let found = timers(&gtdt).unwrap();

    assert_eq!(
        (found.physical_timer.number, found.virtual_timer.number),
        (30, 27)
    );
    assert!(!found.physical_timer.edge && !found.physical_timer.active_low);
    assert!(found.virtual_timer.edge && found.virtual_timer.active_low);
    assert!(timers(&gtdt[..72]).is_ok());
    assert_eq!(timers(&gtdt[..71]), Err(Malformed::Short));
}

proptest! {
    /// Whatever firmware writes, it is an answer; one that is found is in the table.
    #[test]
    fn any_table(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(Some(gsi)) = maintenance(&bytes) {
            let number = gsi.number.to_le_bytes();
            prop_assert!(bytes.windows(4).any(|window| window == number));
        }
        prop_assert_eq!(timers(&bytes).is_ok(), bytes.len() >= 72);
    }

    /// Structures of other kinds change nothing, wherever they are.
    #[test]
    fn other_structures(
        cpus in vec(any::<bool>(), 0..6),
        others in vec((vec(any::<u8>(), 0..40), 0..7usize), 0..8),
        number in 1..32u32,
    ) {
        let mut structures: Vec<_> =
            cpus.iter().map(|usable| gicc(80, (*usable).into(), number)).collect();
        let expected = cpus.contains(&true).then_some(Gsi { number, ..LEVEL_25 });
        for (bytes, at) in others {
            let other = [vec![0xc, bytes.len() as u8 + 2], bytes].concat();
            structures.insert(at.min(structures.len()), other);
        }
        prop_assert_eq!(maintenance(&madt(&structures)), Ok(expected));
    }
}
