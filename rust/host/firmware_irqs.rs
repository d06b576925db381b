// SPDX-License-Identifier: GPL-2.0

//! The private interrupts that the host's CPUs have for guests, by what firmware says.
//!
//! The drivers that know them, of the GIC and of the timers, tell C KVM only. So they are looked up
//! once more, in the device tree or in ACPI's tables; as the drivers have been there before, no
//! interrupt gets a number here that it did not have.
//!
//! C headers: `include/linux/of_irq.h`, `include/linux/acpi.h`. Source: the kernel's
//! `Documentation/devicetree/bindings/interrupt-controller/arm,gic-v3.yaml` and
//! `timer/arm,arch_timer.yaml`.

use crate::bindings;
use core::{
    fmt,
    ptr, //
};
use kernel::{
    bindings as linux,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
};
use kvm_core::acpi::{
    maintenance,
    timers,
    Gsi,
    Malformed, //
};

/// The trigger of an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trigger {
    /// Level sensitive, active high.
    High,
    /// Level sensitive, active low.
    Low,
}

/// A private interrupt that each CPU has, for a guest's sake.
///
/// # Invariants
///
/// `irq` is the kernel's number of an interrupt that has been mapped, and `intid` that of the GIC: a
/// PPI's, 16 to 31, or that of the extended range, 1056 to 1119.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ppi {
    irq: c_uint,
    intid: u32,
    trigger: Trigger,
}

impl Ppi {
    /// The kernel's number, as in `/proc/interrupts`.
    pub(crate) fn irq(self) -> c_uint {
        self.irq
    }

    /// The GIC's number, as a list register wants it: 16 to 31 or 1056 to 1119.
    pub fn intid(self) -> u32 {
        self.intid
    }

    /// How it is triggered.
    pub(crate) fn trigger(self) -> Trigger {
        self.trigger
    }

    /// The interrupt that has a number of the kernel's.
    fn new(irq: c_uint) -> Result<Self, Missing> {
        let (mut intid, mut trigger) = (0, 0);

        // SAFETY: Both are written, or the function says that there is no such interrupt.
        if irq == 0 || !unsafe { bindings::kvm_vhe_irq_describe(irq, &mut intid, &mut trigger) } {
            return Err(Missing::NotMapped);
        }
        let intid = match intid {
            16..=31 | 1056..=1119 => intid as u32,
            other => return Err(Missing::NotPrivate(other)),
        };
        // INVARIANT: Just checked.
        Ok(Self {
            irq,
            intid,
            // A timer's and the virtual CPU interface's are levels by the architecture: whoever says
            // edge is wrong, and low is what most device trees say.
            trigger: match trigger {
                linux::IRQ_TYPE_LEVEL_HIGH => Trigger::High,
                _ => Trigger::Low,
            },
        })
    }
}

/// Why an interrupt is not to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// There is no device tree node or ACPI table for it.
    NoDescription,
    /// The node or the table tells of none.
    NotDescribed,
    /// The table is not as it should be.
    Malformed(Malformed),
    /// The kernel has no number for it.
    NotMapped,
    /// It is not private to a CPU, or not the GIC's, by its number there.
    NotPrivate(u64),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDescription => {
                f.write_str("the device tree has no node, or ACPI no table, that it would be in")
            }
            Self::NotDescribed => f.write_str("firmware tells of none"),
            Self::Malformed(Malformed::Short) => f.write_str("ACPI's table is cut off"),
            Self::Malformed(Malformed::Differs) => {
                f.write_str("ACPI tells of different ones for different CPUs")
            }
            Self::NotMapped => f.write_str("the kernel could not map it"),
            Self::NotPrivate(intid) => {
                write!(f, "number {intid} at the GIC is no private interrupt's")
            }
        }
    }
}

/// The interrupts that the CPUs have for guests.
#[derive(Clone, Copy, Debug)]
pub struct GuestPpis {
    /// That of the virtual CPU interface: a guest's list registers need a look.
    pub maintenance: Result<Ppi, Missing>,
    /// That of the EL1 virtual timer. A host with VHE has the EL2 timers for itself.
    pub virtual_timer: Result<Ppi, Missing>,
    /// That of the non-secure EL1 physical timer.
    pub physical_timer: Result<Ppi, Missing>,
}

impl GuestPpis {
    /// Looks them up. May sleep.
    pub fn find() -> Self {
        // SAFETY: Reads a variable that does not change after boot.
        if unsafe { bindings::kvm_vhe_has_acpi() } {
            by_acpi()
        } else {
            by_device_tree()
        }
    }
}

/// A node of the device tree.
///
/// # Invariants
///
/// The pointer is valid, and a reference to the node is ours.
struct Node(ptr::NonNull<linux::device_node>);

impl Node {
    /// The first that is compatible with something and in use.
    fn compatible(with: &CStr) -> Option<Self> {
        let mut from = ptr::null_mut();

        loop {
            // SAFETY: `from` is null or a node whose reference this takes over.
            from = unsafe { linux::of_find_compatible_node(from, ptr::null(), with.as_char_ptr()) };
            // INVARIANT: The function returned it with a reference.
            let node = ptr::NonNull::new(from)?;
            // SAFETY: It is a node.
            if unsafe { linux::of_device_is_available(node.as_ptr()) } {
                return Some(Self(node));
            }
        }
    }

    /// The kernel's number of one of the node's interrupts.
    fn irq(&self, index: c_int) -> Result<Ppi, Missing> {
        // SAFETY: It is a node.
        if index >= unsafe { bindings::of_irq_count(self.0.as_ptr()) } {
            return Err(Missing::NotDescribed);
        }
        // SAFETY: As above.
        Ppi::new(unsafe { bindings::irq_of_parse_and_map(self.0.as_ptr(), index) })
    }

    /// The place of an interrupt among the node's: by its name if the node gives names, and else by
    /// the order that the binding lays down.
    fn index_of(&self, name: &CStr, or: c_int) -> Result<c_int, Missing> {
        const NAMES: &CStr = c"interrupt-names";

        // SAFETY: It is a node; the length is not asked for.
        let property = unsafe {
            linux::of_find_property(self.0.as_ptr(), NAMES.as_char_ptr(), ptr::null_mut())
        };
        if property.is_null() {
            return Ok(or);
        }
        // SAFETY: It is a node, and these are strings.
        let index = unsafe {
            linux::of_property_match_string(
                self.0.as_ptr(),
                NAMES.as_char_ptr(),
                name.as_char_ptr(),
            )
        };
        if index < 0 {
            Err(Missing::NotDescribed)
        } else {
            Ok(index)
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // SAFETY: By the type's invariant the reference is ours to give back.
        unsafe { bindings::kvm_vhe_of_node_put(self.0.as_ptr()) }
    }
}

fn by_device_tree() -> GuestPpis {
    let gic = Node::compatible(c"arm,gic-v3").ok_or(Missing::NoDescription);
    let timer = Node::compatible(c"arm,armv8-timer").ok_or(Missing::NoDescription);
    let of_timer = |name, or| {
        let node = timer.as_ref().map_err(|missing| *missing)?;
        node.irq(node.index_of(name, or)?)
    };

    GuestPpis {
        maintenance: gic.and_then(|node| node.irq(0)),
        virtual_timer: of_timer(c"virt", 2),
        physical_timer: of_timer(c"phys", 1),
    }
}

/// Calls `f` with the bytes of the first of ACPI's tables with a signature.
fn with_table<R>(
    signature: &CStr,
    f: impl FnOnce(&[u8]) -> Result<R, Malformed>,
) -> Result<R, Missing> {
    let mut length = 0;

    // SAFETY: The signature is a string of four characters, and `length` is written if there is a
    // table.
    let table = unsafe { bindings::kvm_vhe_acpi_table(signature.as_char_ptr(), &mut length) };
    if table.is_null() {
        return Err(Missing::NoDescription);
    }
    // SAFETY: A table is mapped as a whole, which is what its length says, and nobody writes it.
    let bytes = unsafe { core::slice::from_raw_parts(table.cast(), length) };
    let result = f(bytes).map_err(Missing::Malformed);
    // SAFETY: The counterpart of the above; nothing borrows from the table any more, since it is lent
    // to `f` for no longer than that runs.
    unsafe { bindings::kvm_vhe_put_acpi_table(table) };
    result
}

/// The interrupt that ACPI tells of.
fn map(gsi: Gsi) -> Result<Ppi, Missing> {
    if gsi.number == 0 {
        return Err(Missing::NotDescribed);
    }
    // SAFETY: Maps an interrupt, or finds that it is.
    let irq = unsafe { bindings::kvm_vhe_map_gsi(gsi.number, gsi.edge, gsi.active_low) };

    Ppi::new(c_uint::try_from(irq).map_err(|_| Missing::NotMapped)?)
}

fn by_acpi() -> GuestPpis {
    let timers = with_table(c"GTDT", timers);

    GuestPpis {
        maintenance: with_table(c"APIC", maintenance)
            .and_then(|gsi| map(gsi.ok_or(Missing::NotDescribed)?)),
        virtual_timer: timers.and_then(|timers| map(timers.virtual_timer)),
        physical_timer: timers.and_then(|timers| map(timers.physical_timer)),
    }
}
