// SPDX-License-Identifier: GPL-2.0

//! A small VMM for arm64 on the crates of rust-vmm, which boots a Linux guest the way that
//! Firecracker does: vCPUs first, then the GICv3 and its ITS, irqfds and ioeventfds, MSIs by routes
//! with device IDs.
//!
//! `test-vmm KERNEL INITRAMFS [CPUS [WORDS]...]` prints TAP. What the guest writes to its console
//! are the comments in it; what the guest has to write is in `POINTS`, and the guest's side in
//! the script `guest` beside this crate.
//!
//! - [`fdt`], the device tree's format;
//! - [`layout`], the guest's addresses, and the tree that says so;
//! - [`boot`], what has to be in memory;
//! - [`pci`], the configuration space of a serial port with MSI;
//! - [`routes`], which interrupt a GSI is;
//! - [`devices`], what the guest reaches by MMIO;
//! - [`machine`], the VM, its vCPUs and its interrupt controller.

mod boot;
mod devices;
mod fdt;
mod layout;
mod machine;
mod pci;
mod routes;

use crate::devices::Devices;
use crate::machine::{Ended, Machine};
use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::sync::mpsc;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the guest shows, by the line that it writes and where.
struct Point {
    name: &'static str,
    line: String,
    over_pci: bool,
}

fn points(cpus: u32) -> Vec<Point> {
    let console = |name, line: String| Point {
        name,
        line,
        over_pci: false,
    };
    let mut points = vec![
        console("all vCPUs are online", format!("guest: cpus {cpus}")),
        console(
            "an ioeventfd with datamatch, answered through an irqfd",
            format!("guest: answer {}", devices::ANSWER),
        ),
        console(
            "a line over PCI was sent",
            "guest: sent over PCI".to_string(),
        ),
        console(
            "the guest counts the interrupts that the ITS translated",
            "guest: MSIs taken".to_string(),
        ),
        Point {
            name: "the line over PCI, which takes an MSI for each piece",
            line: "over PCI and the ITS, ".repeat(8).trim_end().to_string(),
            over_pci: true,
        },
    ];
    points.extend((0..cpus).map(|cpu| {
        console(
            "a process ran on a vCPU of its choice",
            format!("guest: worked on {cpu}"),
        )
    }));
    points
}

fn run(kernel: &str, initramfs: &str, cpus: u32, words: &[String]) -> Result<Vec<(String, bool)>> {
    let machine = Machine::new(cpus)?;
    let devices = Arc::new(Devices::new(machine.vm())?);
    let words = words.join(" ");
    let entry = boot::load(
        machine.memory(),
        &fs::read(kernel)?,
        &fs::read(initramfs)?,
        &machine.mpidrs()?,
        &words,
    )?;

    let (sender, receiver) = mpsc::channel();
    machine.start(&entry, &devices, &sender)?;
    let ended = receiver.recv()?;
    let console = devices.console_lines();
    let over_pci = devices.pci_lines();

    let mut results: Vec<(String, bool)> = points(cpus)
        .into_iter()
        .map(|point| {
            let lines = if point.over_pci { &over_pci } else { &console };
            let seen = lines.iter().any(|line| line.trim_end() == point.line);
            (point.name.to_string(), seen)
        })
        .collect();
    results.push((
        format!("the guest switched itself off ({ended:?})"),
        matches!(ended, Ended::Shutdown),
    ));
    let (sent, routed) = devices.pci_interrupts();
    println!("# {sent} interrupts of the PCI device, {routed} changes of its route");
    results.push((
        "the PCI device sent MSIs".to_string(),
        sent > 0 && routed > 0,
    ));
    Ok(results)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let (kernel, initramfs) = match (args.get(1), args.get(2)) {
        (Some(kernel), Some(initramfs)) => (kernel, initramfs),
        _ => {
            eprintln!("use: test-vmm KERNEL INITRAMFS [CPUS [WORDS]...]");
            return ExitCode::FAILURE;
        }
    };
    let cpus = match args.get(3).map_or(Ok(2), |cpus| cpus.parse::<u32>()) {
        Ok(cpus @ 1..=layout::MAX_CPUS) => cpus,
        _ => {
            eprintln!("test-vmm: CPUS is a number from 1 to {}", layout::MAX_CPUS);
            return ExitCode::FAILURE;
        }
    };
    match run(kernel, initramfs, cpus, args.get(4..).unwrap_or(&[])) {
        Ok(results) => {
            println!("1..{}", results.len());
            for (index, (name, good)) in results.iter().enumerate() {
                let word = if *good { "ok" } else { "not ok" };
                println!("{word} {} {name}", index + 1);
            }
            if results.iter().all(|(_, good)| *good) {
                return ExitCode::SUCCESS;
            }
        }
        Err(error) => println!("1..1\nnot ok 1 the VM was made: {error}"),
    }
    ExitCode::FAILURE
}
