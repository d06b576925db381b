// SPDX-License-Identifier: GPL-2.0

//! Registers by the dispatches of run time.

use crate::{
    guest::{
        new_vcpu,
        Guest, //
    },
    report::Report,
};
use kernel::prelude::*;
use kvm_core::register::{
    Class,
    FeatureSet,
    Reg, //
};
use kvm_host::{
    machine::Machine,
    testing::{
        access_misplaced,
        read_by,
        with_loaded_here,
        write_by,
        Dispatch, //
    },
    vcpu::VcpuCpu,
};

const PATTERNS: [u64; 3] = [0, 0x5a5a_1234_a5a5_8764, 0x0000_0000_0000_0001];

/// Whether a register is in the CPU while a vCPU with these features is loaded.
fn is_in_cpu(reg: Reg, loaded: FeatureSet) -> bool {
    matches!(reg.class(), Class::Deferred { when, .. } if loaded.contains(when))
}

/// What is wrong with the accesses to a register. `loaded` are the features of those in the CPU. The
/// register is left as it was.
fn check(cpu: &VcpuCpu, reg: Reg, loaded: FeatureSet) -> Result<(), &'static str> {
    use Dispatch::{Match, Table};

    let old = read_by(cpu, Match, reg);
    if read_by(cpu, Table, reg) != old {
        return Err("the dispatches read different values");
    }
    // Which of the two places is read shows when they differ.
    let in_cpu = is_in_cpu(reg, loaded);
    let in_memory = cpu.file().get(reg);
    cpu.file().set(reg, !old);
    let expected = if in_cpu { old } else { !old };
    let read = [Match, Table].map(|dispatch| read_by(cpu, dispatch, reg));
    cpu.file().set(reg, in_memory);
    if read != [expected; 2] {
        return Err("it is read from the wrong place");
    }
    for value in PATTERNS {
        let mut seen = [0; 2];
        for (seen, (by, other)) in seen.iter_mut().zip([(Match, Table), (Table, Match)]) {
            write_by(cpu, by, reg, !value);
            write_by(cpu, by, reg, value);
            *seen = read_by(cpu, other, reg);
            let same = read_by(cpu, by, reg) == *seen;
            let memory = cpu.file().get(reg);
            write_by(cpu, by, reg, old);
            if !same {
                return Err("one dispatch does not read what the other wrote");
            }
            // One that may be saved only if the guest has written it goes to both.
            let only_cpu = in_cpu && reg.write_trap() == 0;
            if memory != if only_cpu { in_memory } else { value } {
                return Err("it is written to the wrong place");
            }
        }
        if seen[0] != seen[1] {
            return Err("the dispatches write different values");
        }
    }
    match read_by(cpu, Match, reg) == old {
        true => Ok(()),
        false => Err("it is not as it was before"),
    }
}

/// Checks all registers, and prints what is wrong.
fn check_all(cpu: &VcpuCpu, loaded: FeatureSet) -> bool {
    let mut good = true;
    for reg in Reg::all() {
        if let Err(what) = check(cpu, reg, loaded) {
            pr_info!("# {}: {}\n", core::format_args!("{reg}"), what);
            good = false;
        }
    }
    good
}

/// The two dispatches do the same to every register, in memory and in the CPU.
pub(crate) fn dispatches_agree(guest: &Guest, report: &mut Report) {
    let cpu = &guest.cpu;
    let features = cpu.controls().features;
    let of = |features| Reg::all().filter(|reg| is_in_cpu(*reg, features)).count();

    report.point(
        check_all(cpu, FeatureSet::EMPTY),
        format_args!("dispatches agree on {} registers in memory", Reg::COUNT),
    );
    let good = with_loaded_here(cpu, guest.stage2(), Guest::plain(), |_| {
        check_all(cpu, features)
    });
    report.point(
        good == Some(true),
        format_args!("dispatches agree on them with {} in the CPU", of(features)),
    );
}

/// A vCPU that counts as loaded and is not in the CPU: its memory is read, nothing is written, and
/// whoever is in the CPU does not notice. The kernel warns, once.
pub(crate) fn misplaced(machine: &Machine, guest: &Guest, report: &mut Report) -> Result {
    const REG: Reg = Reg::CONTEXTIDR_EL1;
    const LOADED: u64 = 0x1111;
    const OTHER: u64 = 0x2222;
    const LOST: u64 = 0x3333;

    let other = new_vcpu(machine)?;
    let access = || access_misplaced(&other, FeatureSet::BASE, REG, LOST);
    let before = guest.cpu.read_any(REG);

    other.write_any(REG, OTHER);
    guest.cpu.write_any(REG, LOADED);
    let seen = with_loaded_here(&guest.cpu, guest.stage2(), Guest::plain(), |_| {
        guest.cpu.file().set(REG, 0);
        (access(), guest.cpu.read_any(REG))
    });
    report.point(
        seen == Some((Some(OTHER), LOADED)) && guest.cpu.read_any(REG) == LOADED,
        format_args!("another vCPU is in the CPU: memory is read, nothing written"),
    );
    report.point(
        access() == Some(OTHER),
        format_args!("no vCPU is in the CPU: memory is read, nothing written"),
    );
    report.point(
        other.read_any(REG) == OTHER,
        format_args!("the misplaced vCPU's register is as it was"),
    );
    guest.cpu.write_any(REG, before);
    Ok(())
}
