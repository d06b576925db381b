// SPDX-License-Identifier: GPL-2.0

//! What the guest reaches by MMIO: the console, the PCI device, and the doorbell that KVM answers
//! for and rings through an ioeventfd. All interrupts go through irqfds.

use crate::layout;
use crate::pci;
use crate::routes;
use crate::Result;
use kvm_ioctls::{IoEventAddress, VmFd};
use std::io;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::EventFd;

/// What the console's user types when the doorbell rings.
pub const ANSWER: &str = "the doorbell rang";

/// An interrupt that is an irqfd, and how often it was sent.
struct Interrupt {
    fd: EventFd,
    sent: AtomicU32,
}

impl Interrupt {
    fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            fd: EventFd::new(0)?,
            sent: AtomicU32::new(0),
        }))
    }
}

/// What an 8250 has of its interrupt.
struct Line(Arc<Interrupt>);

impl Trigger for Line {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.sent.fetch_add(1, Ordering::Relaxed);
        self.0.fd.write(1)
    }
}

/// What the guest wrote, in lines, which are printed as comments if they have a word for it.
struct Lines {
    shown_as: &'static str,
    complete: Vec<String>,
    rest: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    let line = String::from_utf8_lossy(&self.rest).trim_end().to_string();
                    println!("# {}: {line}", self.shown_as);
                    self.complete.push(line);
                    self.rest.clear();
                }
                _ => self.rest.push(byte),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines, for whoever writes them and who looks at them afterwards.
#[derive(Clone)]
struct Shared(Arc<Mutex<Lines>>);

impl Shared {
    fn new(shown_as: &'static str) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            shown_as,
            complete: Vec::new(),
            rest: Vec::new(),
        })))
    }

    fn complete(&self) -> Vec<String> {
        locked(&self.0).complete.clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Port = Serial<Line, NoEvents, Shared>;

/// The PCI device, and what KVM was told last of its message.
struct PciDevice {
    config: pci::Config,
    port: Port,
    routed: Option<pci::Message>,
    changes: u32,
}

/// All of them.
pub struct Devices {
    vm: Arc<VmFd>,
    console: Arc<Mutex<Port>>,
    console_lines: Shared,
    pci: Mutex<PciDevice>,
    pci_lines: Shared,
    msi: Arc<Interrupt>,
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Devices {
    /// Makes them, with their irqfds and the ioeventfd.
    ///
    /// # Errors
    ///
    /// What KVM says to these.
    pub fn new(vm: &Arc<VmFd>) -> Result<Self> {
        let interrupt = Interrupt::new()?;
        let msi = Interrupt::new()?;
        routes::set(vm, None)?;
        vm.register_irqfd(&interrupt.fd, layout::CONSOLE_SPI)?;
        vm.register_irqfd(&msi.fd, layout::MSI_GSI)?;

        let console_lines = Shared::new("console");
        let pci_lines = Shared::new("PCI");
        let console = Serial::new(Line(interrupt), console_lines.clone());
        let devices = Self {
            vm: vm.clone(),
            console: Arc::new(Mutex::new(console)),
            console_lines,
            pci: Mutex::new(PciDevice {
                config: pci::Config::new(),
                port: Serial::new(Line(msi.clone()), pci_lines.clone()),
                routed: None,
                changes: 0,
            }),
            pci_lines,
            msi,
        };
        devices.doorbell()?;
        Ok(devices)
    }

    /// Whoever rings gets a line typed.
    fn doorbell(&self) -> Result<()> {
        let bell = EventFd::new(0)?;
        let address = IoEventAddress::Mmio(layout::DOORBELL);
        self.vm
            .register_ioevent(&bell, &address, layout::DOORBELL_VALUE)?;
        let console = self.console.clone();
        thread::spawn(move || {
            while bell.read().is_ok() {
                let typed = format!("{ANSWER}\n");
                if let Err(error) = locked(&console).enqueue_raw_bytes(typed.as_bytes()) {
                    println!("# the answer was not typed: {error:?}");
                }
            }
        });
        Ok(())
    }

    /// A load by the guest.
    pub fn read(&self, address: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(offset) = inside(address, layout::CONSOLE, layout::DEVICE_BYTES) {
            read_port(&mut locked(&self.console), offset, data);
        } else if let Some(offset) = inside(address, layout::ECAM.start + pci::OFFSET, pci::BYTES) {
            locked(&self.pci).config.read(offset, data);
        } else if layout::ECAM.contains(&address) {
            data.fill(0xff); // no function there
        } else {
            let device = &mut *locked(&self.pci);
            if let Some(offset) = device.port_at(address) {
                read_port(&mut device.port, offset, data);
            }
        }
    }

    /// A store by the guest.
    ///
    /// # Errors
    ///
    /// What KVM says to a new route.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<()> {
        if let Some(offset) = inside(address, layout::CONSOLE, layout::DEVICE_BYTES) {
            write_port(&mut locked(&self.console), offset, data);
        } else if let Some(offset) = inside(address, layout::ECAM.start + pci::OFFSET, pci::BYTES) {
            let device = &mut *locked(&self.pci);
            device.config.write(offset, data);
            let message = device.config.message();
            if message != device.routed {
                routes::set(&self.vm, message)?;
                device.routed = message;
                device.changes += 1;
            }
        } else {
            let device = &mut *locked(&self.pci);
            if let Some(offset) = device.port_at(address) {
                write_port(&mut device.port, offset, data);
            }
        }
        Ok(())
    }

    /// What came over the console.
    pub fn console_lines(&self) -> Vec<String> {
        self.console_lines.complete()
    }

    /// What came over the PCI device.
    pub fn pci_lines(&self) -> Vec<String> {
        self.pci_lines.complete()
    }

    /// How many interrupts the PCI device sent, and how often their route changed.
    pub fn pci_interrupts(&self) -> (u32, u32) {
        let changes = locked(&self.pci).changes;
        (self.msi.sent.load(Ordering::Relaxed), changes)
    }
}

impl PciDevice {
    /// Which of the registers is at an address.
    fn port_at(&self, address: u64) -> Option<u64> {
        inside(
            address,
            layout::PCI_IO.start + self.config.ports()?,
            pci::PORTS,
        )
    }
}

fn inside(address: u64, base: u64, bytes: u64) -> Option<u64> {
    address.checked_sub(base).filter(|&offset| offset < bytes)
}

fn read_port(port: &mut Port, offset: u64, data: &mut [u8]) {
    if let ([byte], Ok(offset)) = (data, u8::try_from(offset)) {
        *byte = port.read(offset);
    }
}

fn write_port(port: &mut Port, offset: u64, data: &[u8]) {
    if let (&[byte], Ok(offset)) = (data, u8::try_from(offset)) {
        if let Err(error) = port.write(offset, byte) {
            println!("# a serial port's register {offset} was not written: {error:?}");
        }
    }
}
