// SPDX-License-Identifier: GPL-2.0

//! Which interrupt a GSI is (KVM_SET_GSI_ROUTING).

use crate::layout;
use crate::pci;
use crate::pci::Message;
use crate::Result;
use kvm_bindings as kvm;
use kvm_ioctls::VmFd;

/// The routes: the console's SPI, and the PCI device's message if it has one.
#[repr(C)]
struct Routes {
    header: kvm::kvm_irq_routing,
    entries: [kvm::kvm_irq_routing_entry; 2],
}

/// Sets all of the VM's routes.
///
/// # Errors
///
/// What KVM says to them.
pub fn set(vm: &VmFd, message: Option<Message>) -> Result<()> {
    let mut spi = kvm::kvm_irq_routing_entry {
        gsi: layout::CONSOLE_SPI,
        type_: kvm::KVM_IRQ_ROUTING_IRQCHIP,
        ..Default::default()
    };
    spi.u.irqchip.irqchip = 0;
    spi.u.irqchip.pin = layout::CONSOLE_SPI;
    let mut msi = kvm::kvm_irq_routing_entry {
        gsi: layout::MSI_GSI,
        type_: kvm::KVM_IRQ_ROUTING_MSI,
        flags: kvm::KVM_MSI_VALID_DEVID,
        ..Default::default()
    };
    let Message { address, data } = message.unwrap_or_default();
    msi.u.msi.address_lo = address as u32;
    msi.u.msi.address_hi = (address >> 32) as u32;
    msi.u.msi.data = data;
    msi.u.msi.__bindgen_anon_1.devid = pci::DEVICE_ID;

    let mut routes = Routes {
        header: kvm::kvm_irq_routing::default(),
        entries: [spi, msi],
    };
    routes.header.nr = 1 + u32::from(message.is_some());
    // SAFETY: `header` is the first field of `routes`, so the pointer is aligned and valid for it;
    // and the entries that `nr` says follow, for the kernel to read, since it stems from all.
    let header = unsafe { &*std::ptr::from_ref(&routes).cast::<kvm::kvm_irq_routing>() };
    Ok(vm.set_gsi_routing(header)?)
}
