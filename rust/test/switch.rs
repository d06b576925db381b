// SPDX-License-Identifier: GPL-2.0

//! The world switch.

use crate::{
    guest::{
        Guest,
        END,
        HVC,
        START, //
    },
    report::Report,
};
use kernel::prelude::*;
use kvm_core::{
    bits::Bits,
    cpu::hardening::ExitHardening,
    register::Reg, //
};
use kvm_host::{
    irqs::with_irqs_off,
    testing::{
        counter_frequency,
        with_loaded_here,
        HostRegisters,
        IllegalPstate,
        UnmappedContext,
        HOST_REGISTERS, //
    },
    time::counter,
    vcpu::{
        Exit,
        ExitCode,
        Vectors, //
    },
};

/// ESR_EL2.EC of an HVC from AArch64.
const EC_HVC: u64 = 0x16;

/// MDSCR_EL1.KDE and MDE.
const MDSCR_DEBUG: u64 = 1 << 13 | 1 << 15;

/// A number of its own for each general register.
fn number(n: u64) -> u64 {
    0x0101_0101_0101_0101 * (n + 1) ^ 0xdead_0000_beef_0000
}

fn set_gprs(guest: &Guest) {
    for n in 0..31 {
        if let Some(index) = Bits::new(n) {
            guest.cpu.set_gpr(index, number(n));
        }
    }
}

fn gprs_are(guest: &Guest, add: u64) -> bool {
    (0..31).all(|n| {
        Bits::new(n).is_some_and(|index| guest.cpu.gpr(index) == number(n).wrapping_add(add))
    })
}

/// Whether the guest has done its program and was left by its HVC.
fn is_done(guest: &Guest, exit: Exit) -> bool {
    exit.code == ExitCode::Sync
        && exit.pending_serror.is_none()
        && guest.cpu.esr() >> 26 == EC_HVC
        && guest.cpu.esr() as u16 == HVC
        && guest.cpu.pc() == END
        && gprs_are(guest, 1)
}

/// Each set of vectors leads out of the guest, with its general registers as it left them. Those that
/// call the firmware need one that knows the calls, and are left out.
pub(crate) fn vectors(guest: &Guest, report: &mut Report) {
    for (against, name) in [
        (ExitHardening::None, "plain"),
        (ExitHardening::BhbLoop(1), "a loop of 1"),
        (ExitHardening::BhbLoop(u8::MAX), "a loop of 255"),
        (ExitHardening::ClearBhb, "CLRBHB"),
    ] {
        guest.rewind();
        set_gprs(guest);
        let exit = guest.run(Vectors::new(against));
        report.point(
            exit.is_some_and(|exit| is_done(guest, exit)),
            format_args!("out of a guest by vectors with {name}"),
        );
    }
}

/// Prints what differs.
fn same(before: &HostRegisters, after: &HostRegisters, when: &str) -> bool {
    for (name, (before, after)) in HOST_REGISTERS
        .iter()
        .zip(before.values().iter().zip(after.values()))
    {
        if before != after {
            pr_info!(
                "# {}: {} was {:#x}, is {:#x}\n",
                when,
                *name,
                *before,
                *after
            );
        }
    }
    before == after
}

/// The host's state is after load, entry and put what it was before, and around an entry as well.
pub(crate) fn host_state(guest: &Guest, report: &mut Report) {
    /// Registers of the guest's that have a host's beside them.
    const SHARED: [Reg; 15] = [
        Reg::TPIDR_EL0,
        Reg::TPIDRRO_EL0,
        Reg::SP_EL0,
        Reg::APIAKeyLo_EL1,
        Reg::APIAKeyHi_EL1,
        Reg::APIBKeyLo_EL1,
        Reg::APIBKeyHi_EL1,
        Reg::APDAKeyLo_EL1,
        Reg::APDAKeyHi_EL1,
        Reg::APDBKeyLo_EL1,
        Reg::APDBKeyHi_EL1,
        Reg::APGAKeyLo_EL1,
        Reg::APGAKeyHi_EL1,
        Reg::POR_EL0,
        Reg::FPMR,
    ];
    let cpu = &guest.cpu;

    for reg in SHARED {
        cpu.write_any(reg, number(reg.index() as u64));
    }
    for (mdscr, name) in [(0, "without debugging"), (MDSCR_DEBUG, "with debugging")] {
        cpu.write(Reg::MDSCR_EL1, mdscr);
        guest.rewind();
        set_gprs(guest);
        let (mut load, mut enter, mut put, mut done) = (false, true, true, false);
        for _ in 0..1000 {
            let code = with_irqs_off(|irqs| {
                let before = HostRegisters::now(cpu, irqs);
                let code = with_loaded_here(cpu, guest.stage2(), Guest::plain(), |here| {
                    let loaded = HostRegisters::now(cpu, here.irqs());
                    let exit = here.enter();
                    done = is_done(guest, exit);
                    // Else there would be nothing to restore.
                    load = loaded != before;
                    enter &= same(&loaded, &HostRegisters::now(cpu, here.irqs()), "entry");
                    exit.code
                });
                put &= same(&before, &HostRegisters::now(cpu, irqs), "put");
                code
            });
            if code != Some(ExitCode::Interrupt) {
                break;
            }
        }
        report.point(done && load, format_args!("a guest runs, {name}"));
        report.point(enter, format_args!("host state around an entry, {name}"));
        report.point(put, format_args!("host state around load and put, {name}"));
    }
    cpu.write(Reg::MDSCR_EL1, 0);
    // The guest has changed nothing. FPMR has reserved bits.
    report.point(
        SHARED
            .iter()
            .all(|reg| *reg == Reg::FPMR || cpu.read_any(*reg) == number(reg.index() as u64)),
        format_args!("guest state around load, entry and put"),
    );
}

/// A PSTATE that no CPU takes is reported, with the guest as it was; and then it goes on. Also with
/// an interrupt that is pending and that PSTATE does not mask.
pub(crate) fn illegal(guest: &Guest, report: &mut Report) {
    /// Longer than the host's tick.
    const WAIT_MS: u64 = 20;

    let ticks = WAIT_MS * counter_frequency() / 1000;
    for (pstate, masked) in IllegalPstate::ALL
        .into_iter()
        .flat_map(|pstate| [(pstate, true), (pstate, false)])
    {
        guest.rewind();
        set_gprs(guest);
        let exit = with_loaded_here(&guest.cpu, guest.stage2(), Guest::plain(), |here| {
            let start = counter();
            while !masked && counter() - start < ticks {}
            here.set_illegal_pstate(pstate, masked);
            here.enter()
        });
        let with = if masked { "without" } else { "with" };
        report.point(
            exit.is_some_and(|exit| exit.code == ExitCode::Illegal)
                && gprs_are(guest, 0)
                && guest.cpu.pc() == START
                && guest.cpu.raw_pstate() == pstate.raw(masked),
            format_args!("illegal PSTATE is reported, {with} an interrupt: {pstate:?}"),
        );
        guest.rewind();
        let exit = guest.run(Guest::plain());
        report.point(
            exit.is_some_and(|exit| is_done(guest, exit)),
            format_args!("the guest runs after it, {with} an interrupt: {pstate:?}"),
        );
    }
}

/// A fault in the world switch. The kernel does not come back from it.
pub(crate) fn fault(guest: &Guest) -> Result {
    let mut context = UnmappedContext::new()?;

    guest.rewind();
    pr_info!("a fault in the world switch, on purpose\n");
    with_loaded_here(&guest.cpu, guest.stage2(), Guest::plain(), |here| {
        here.enter_unmapped(&mut context);
    });
    pr_err!("there was no fault\n");
    Err(EIO)
}
