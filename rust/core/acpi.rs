// SPDX-License-Identifier: GPL-2.0

//! Which interrupts ACPI says that a CPU's timers and its virtual CPU interface have.
//!
//! The tables come from firmware: whatever is in them, these functions read no byte beyond them and
//! come to an end.
//!
//! Source: ACPI Specification 6.5, "GIC CPU Interface (GICC) Structure" (5.2.12.14) and "Generic Timer
//! Description Table" (5.2.25).

/// An interrupt as ACPI describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gsi {
    /// Its number, that of the GIC: Global System Interrupt Vector.
    pub number: u32,
    /// Edge triggered, and not level sensitive.
    pub edge: bool,
    /// Active low, and not high.
    pub active_low: bool,
}

/// The interrupts of a CPU's timers that are a guest's on a host with VHE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerGsis {
    /// That of the EL1 virtual timer.
    pub virtual_timer: Gsi,
    /// That of the non-secure EL1 physical timer.
    pub physical_timer: Gsi,
}

/// What is wrong with a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// It ends before what it is said to hold.
    Short,
    /// CPUs have different interrupts, where all are to have the same.
    Differs,
}

/// Reads a little-endian number at `offset`.
fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Malformed> {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map(|word| u32::from_le_bytes(*word))
        .ok_or(Malformed::Short)
}

/// The maintenance interrupt of the CPUs, by the MADT: all of the table, its header included. [`None`]
/// if it tells of none.
///
/// # Errors
///
/// [`Malformed`], if so.
pub fn maintenance(madt: &[u8]) -> Result<Option<Gsi>, Malformed> {
    /// Where the structures begin.
    const STRUCTURES: usize = 44;
    /// The type of a GICC structure.
    const GICC: u8 = 0xb;
    /// Where in it its flags are.
    const FLAGS: usize = 12;
    /// Where in it the maintenance interrupt's number is.
    const MAINTENANCE: usize = 56;
    /// The CPU can be used: Enabled, or Online Capable.
    const USABLE: u32 = 1 | (1 << 3);
    /// The maintenance interrupt is edge triggered.
    const EDGE: u32 = 1 << 2;

    let mut rest = madt.get(STRUCTURES..).ok_or(Malformed::Short)?;
    let mut found = None;

    while let [kind, length, ..] = *rest {
        // At least what was just looked at, so that this ends.
        let length = usize::from(length).max(2);
        let structure = rest.get(..length).ok_or(Malformed::Short)?;
        rest = &rest[length..];
        if kind != GICC {
            continue;
        }
        let flags = u32_at(structure, FLAGS)?;
        if flags & USABLE == 0 {
            continue;
        }
        let gsi = Gsi {
            number: u32_at(structure, MAINTENANCE)?,
            edge: flags & EDGE != 0,
            active_low: false,
        };
        if found.is_some_and(|found| found != gsi) {
            return Err(Malformed::Differs);
        }
        found = Some(gsi);
    }
    Ok(found.filter(|gsi| gsi.number != 0))
}

/// The timers' interrupts, by the GTDT: all of the table, its header included.
///
/// # Errors
///
/// [`Malformed::Short`].
pub fn timers(gtdt: &[u8]) -> Result<TimerGsis, Malformed> {
    /// Where the number of the interrupt of each is; its flags are behind it.
    const PHYSICAL: usize = 56;
    const VIRTUAL: usize = 64;
    const EDGE: u32 = 1;
    const LOW: u32 = 1 << 1;

    let gsi = |offset| {
        let flags = u32_at(gtdt, offset + 4)?;
        Ok(Gsi {
            number: u32_at(gtdt, offset)?,
            edge: flags & EDGE != 0,
            active_low: flags & LOW != 0,
        })
    };
    Ok(TimerGsis {
        virtual_timer: gsi(VIRTUAL)?,
        physical_timer: gsi(PHYSICAL)?,
    })
}
