// SPDX-License-Identifier: GPL-2.0

//! How long accesses to registers take.

use crate::{
    guest::Guest,
    report::Report, //
};
use kernel::prelude::*;
use kvm_host::{
    irqs::with_irqs_off,
    testing::{
        with_loaded_here,
        Method,
        Passes,
        Span, //
    },
    time::counter,
    vcpu::VcpuCpu,
};

/// How often each pass is repeated.
const REPEAT: u64 = 64;

const METHODS: [(Method, &str); 4] = [
    (Method::Constant, "constant"),
    (Method::Match, "match"),
    (Method::Table, "function table"),
    (Method::Any, "read_any, write_any"),
];

/// Ticks of the counter for all repetitions of reading and of writing.
type Ticks = (u64, u64);

fn ticks(passes: &Passes, cpu: &VcpuCpu, method: Method) -> Ticks {
    let mut sum = 0;
    let start = counter();
    for _ in 0..REPEAT {
        sum ^= core::hint::black_box(passes.read(cpu, method));
    }
    core::hint::black_box(sum);
    let middle = counter();
    for _ in 0..REPEAT {
        passes.write(cpu, method);
    }
    (middle - start, counter() - middle)
}

/// The loop, and then each of [`METHODS`].
fn series(passes: &Passes, cpu: &VcpuCpu) -> [Ticks; METHODS.len() + 1] {
    let mut result = [(0, 0); METHODS.len() + 1];
    result[0] = ticks(passes, cpu, Method::Loop);
    for (result, (method, _)) in result[1..].iter_mut().zip(METHODS) {
        *result = ticks(passes, cpu, method);
    }
    result
}

/// Prints ticks for each access, in tenths, and less those of the loop that dispatches are in.
fn print(what: &str, passes: &Passes, result: &[Ticks]) {
    for ((method, name), (read, write)) in METHODS.iter().zip(&result[1..]) {
        let base = match method {
            Method::Constant => (0, 0),
            _ => result[0],
        };
        let each = |ticks: u64, base: u64| {
            10 * ticks.saturating_sub(base) / (REPEAT * passes.len() as u64)
        };
        let (read, write) = (each(*read, base.0), each(*write, base.1));
        pr_info!(
            "# {}, {}: read {}.{} write {}.{}\n",
            what,
            *name,
            read / 10,
            read % 10,
            write / 10,
            write % 10
        );
    }
}

/// Measures, and prints: the figures are instructions with the lab's `--icount shift=0,sleep=off`.
/// What must hold is that no dispatch is faster than the constant, which would mean that nothing was
/// measured.
pub(crate) fn measure(guest: &Guest, report: &mut Report) -> Result {
    for (span, what) in [
        (Span::All, ["all, loaded", "all, not loaded"]),
        (Span::Hot, ["hottest, loaded", "hottest, not loaded"]),
    ] {
        let passes = Passes::new(span, &guest.cpu)?;
        let loaded = with_loaded_here(&guest.cpu, guest.stage2(), Guest::plain(), |_| {
            series(&passes, &guest.cpu)
        })
        .ok_or(EBUSY)?;
        let unloaded = with_irqs_off(|_| series(&passes, &guest.cpu));

        for (what, result) in what.iter().zip([loaded, unloaded]) {
            print(what, &passes, &result);
            report.point(
                result[2..].iter().all(|(read, _)| *read > result[1].0),
                format_args!("speed of {} registers: {what}", passes.len()),
            );
        }
    }
    Ok(())
}
