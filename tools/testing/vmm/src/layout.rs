// SPDX-License-Identifier: GPL-2.0

//! Where the guest finds what, and the device tree that tells it. The interrupt controller ends
//! where the devices begin, at 1 GiB, and grows downwards with the number of vCPUs.

use crate::fdt::Fdt;
use std::ops::Range;

/// As many vCPUs as affinity level 0 has numbers for, with one digit in a unit address.
pub const MAX_CPUS: u32 = 8;

const DIST_BYTES: u64 = 0x1_0000;
const REDIST_BYTES: u64 = 0x2_0000;
const ITS_BYTES: u64 = 0x2_0000;
const DEVICES: u64 = 0x4000_0000;

/// The console, an 8250 with registers of a byte.
pub const CONSOLE: u64 = DEVICES + 0x2000;
/// A word: [`DOORBELL_VALUE`] written to it rings.
pub const DOORBELL: u64 = DEVICES + 0x3000;
/// The value that the guest's script writes.
pub const DOORBELL_VALUE: u32 = 0x72;
/// Bytes of a device's registers.
pub const DEVICE_BYTES: u64 = 0x1000;
/// The configuration space of one PCI bus.
pub const ECAM: Range<u64> = 0x5000_0000..0x5010_0000;
/// PCI's I/O ports.
pub const PCI_IO: Range<u64> = 0x5100_0000..0x5101_0000;
/// PCI's memory, which nothing lies in, but a host bridge has to have.
const PCI_MEMORY: Range<u64> = 0x6000_0000..0x7000_0000;
/// Where memory begins.
pub const RAM: u64 = 0x8000_0000;
/// Bytes of memory.
pub const RAM_BYTES: usize = 256 << 20;

/// The console's interrupt: which SPI, and which GSI.
pub const CONSOLE_SPI: u32 = 1;
/// The GSI of the PCI device's MSI.
pub const MSI_GSI: u32 = 64;
/// How many INTIDs the distributor has.
pub const NR_IRQS: u32 = 128;

const GIC_PHANDLE: u32 = 1;
const ITS_PHANDLE: u32 = 2;
const CLOCK_PHANDLE: u32 = 3;
const SPI: u32 = 0;
const PPI: u32 = 1;
const EDGE_RISING: u32 = 1;
const LEVEL_HIGH: u32 = 4;

/// The distributor's base.
pub const fn dist() -> u64 {
    DEVICES - DIST_BYTES
}

/// The base of the redistributors of that many vCPUs, which follow one another.
pub const fn redist(cpus: u32) -> u64 {
    dist() - cpus as u64 * REDIST_BYTES
}

/// The ITS's base.
pub const fn its(cpus: u32) -> u64 {
    redist(cpus) - ITS_BYTES
}

/// The device tree of a VM whose vCPUs have these affinities.
pub fn device_tree(mpidrs: &[u64], initramfs: &Range<u64>, words: &str) -> Vec<u8> {
    let cpus = mpidrs.len() as u32;
    let mut fdt = Fdt::new();
    fdt.node("", |fdt| {
        fdt.strings("compatible", &["linux,dummy-virt"]);
        fdt.cells("#address-cells", &[2]);
        fdt.cells("#size-cells", &[2]);
        fdt.cells("interrupt-parent", &[GIC_PHANDLE]);
        fdt.node("chosen", |fdt| {
            // The 8250 of vm-superio forgets an interrupt that falls into the moments when the
            // kernel itself prints and has switched it off, so it prints little.
            let bootargs = format!("console=ttyS0 panic=-1 loglevel=1 {words}");
            fdt.strings("bootargs", &[bootargs.trim_end()]);
            fdt.strings("stdout-path", &[&format!("/uart@{CONSOLE:x}")]);
            fdt.pairs("linux,initrd-start", &[initramfs.start]);
            fdt.pairs("linux,initrd-end", &[initramfs.end]);
        });
        fdt.node(&format!("memory@{RAM:x}"), |fdt| {
            fdt.strings("device_type", &["memory"]);
            fdt.pairs("reg", &[RAM, RAM_BYTES as u64]);
        });
        fdt.node("cpus", |fdt| {
            fdt.cells("#address-cells", &[2]);
            fdt.cells("#size-cells", &[0]);
            for (index, mpidr) in mpidrs.iter().enumerate() {
                fdt.node(&format!("cpu@{index:x}"), |fdt| {
                    fdt.strings("device_type", &["cpu"]);
                    fdt.strings("compatible", &["arm,arm-v8"]);
                    fdt.strings("enable-method", &["psci"]);
                    // The affinity alone, without MPIDR_EL1's flags.
                    fdt.pairs("reg", &[mpidr & 0xff_00ff_ffff]);
                });
            }
        });
        fdt.node("psci", |fdt| {
            fdt.strings("compatible", &["arm,psci-1.0", "arm,psci-0.2"]);
            fdt.strings("method", &["hvc"]);
        });
        fdt.node("timer", |fdt| {
            fdt.strings("compatible", &["arm,armv8-timer"]);
            fdt.flag("always-on");
            let ppis = [13, 14, 11, 10].map(|ppi| [PPI, ppi, LEVEL_HIGH]);
            fdt.cells("interrupts", ppis.as_flattened());
        });
        fdt.node("clock", |fdt| {
            fdt.strings("compatible", &["fixed-clock"]);
            fdt.cells("#clock-cells", &[0]);
            fdt.cells("clock-frequency", &[24_000_000]);
            fdt.cells("phandle", &[CLOCK_PHANDLE]);
        });
        interrupt_controller(fdt, cpus);
        fdt.node(&format!("uart@{CONSOLE:x}"), |fdt| {
            fdt.strings("compatible", &["ns16550a"]);
            fdt.pairs("reg", &[CONSOLE, DEVICE_BYTES]);
            fdt.cells("clocks", &[CLOCK_PHANDLE]);
            fdt.cells("interrupts", &[SPI, CONSOLE_SPI, EDGE_RISING]);
        });
        pci(fdt);
    });
    fdt.finish()
}

fn interrupt_controller(fdt: &mut Fdt, cpus: u32) {
    fdt.node(&format!("intc@{:x}", dist()), |fdt| {
        fdt.strings("compatible", &["arm,gic-v3"]);
        fdt.flag("interrupt-controller");
        fdt.cells("#interrupt-cells", &[3]);
        fdt.cells("#address-cells", &[2]);
        fdt.cells("#size-cells", &[2]);
        fdt.flag("ranges");
        fdt.cells("phandle", &[GIC_PHANDLE]);
        let redists = u64::from(cpus) * REDIST_BYTES;
        fdt.pairs("reg", &[dist(), DIST_BYTES, redist(cpus), redists]);
        fdt.cells("interrupts", &[PPI, 9, LEVEL_HIGH]);
        fdt.node(&format!("its@{:x}", its(cpus)), |fdt| {
            fdt.strings("compatible", &["arm,gic-v3-its"]);
            fdt.flag("msi-controller");
            fdt.cells("#msi-cells", &[1]);
            fdt.cells("phandle", &[ITS_PHANDLE]);
            fdt.pairs("reg", &[its(cpus), ITS_BYTES]);
        });
    });
}

fn pci(fdt: &mut Fdt) {
    fdt.node(&format!("pci@{:x}", ECAM.start), |fdt| {
        fdt.strings("compatible", &["pci-host-ecam-generic"]);
        fdt.strings("device_type", &["pci"]);
        fdt.cells("#address-cells", &[3]);
        fdt.cells("#size-cells", &[2]);
        fdt.cells("bus-range", &[0, 0]);
        fdt.pairs("reg", &[ECAM.start, ECAM.end - ECAM.start]);
        // Space, PCI address, CPU address and length: I/O ports from 0, memory as it is.
        let window = |space: u32, pci: u64, cpu: &Range<u64>| {
            let pairs = [pci, cpu.start, cpu.end - cpu.start];
            let halves = pairs.iter().flat_map(|&p| [(p >> 32) as u32, p as u32]);
            std::iter::once(space).chain(halves).collect::<Vec<u32>>()
        };
        let io = window(0x0100_0000, 0, &PCI_IO);
        let memory = window(0x0200_0000, PCI_MEMORY.start, &PCI_MEMORY);
        fdt.cells("ranges", &[io, memory].concat());
        fdt.cells("msi-map", &[0, ITS_PHANDLE, 0, 0x1_0000]);
    });
}
