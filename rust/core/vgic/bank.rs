// SPDX-License-Identifier: GPL-2.0

//! Registers that have a field for each interrupt.
//!
//! They are at the same offsets in the distributor, for SPIs, and in the second frame of a
//! redistributor, for the SGIs and PPIs of its vCPU.
//!
//! A guest and user space find the same in them, except for what is pending: user space reads and
//! writes the latch as such, and not the level of the line, through the registers that set it; those
//! that clear it do nothing.
//!
//! Source: IHI 0069, the pages of the registers; Documentation/virt/kvm/devices/arm-vgic-v3.rst,
//! "KVM_DEV_ARM_VGIC_GRP_DIST_REGS" and "KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO".

use super::{
    attr::LineGroup,
    cell::{
        Change,
        IrqCell, //
    },
    interrupts::Interrupts,
    intid::{
        IntId,
        Kind, //
    },
    irq::Irq, //
};
use crate::esr::AccessSize;

/// Who accesses a register.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum By {
    /// The vCPU with this index, which is not in the guest.
    Guest(usize),
    /// User space, while no vCPU is in the guest.
    User,
}

impl By {
    /// Returns the vCPU that accesses.
    #[inline]
    pub const fn vcpu(self) -> Option<usize> {
        match self {
            Self::Guest(vcpu) => Some(vcpu),
            Self::User => None,
        }
    }
}

/// What the field of an interrupt is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Field {
    /// IGROUPR: whether it is in group 1; 1 bit.
    Group,
    /// ISENABLER: whether it is enabled; 1 bit. Ones are written to enable it.
    SetEnable,
    /// ICENABLER: the same. Ones are written to disable it.
    ClearEnable,
    /// ISPENDR: whether it is pending; 1 bit. Ones are written to make it pending.
    SetPending,
    /// ICPENDR: the same. Ones are written to make it not pending.
    ClearPending,
    /// ISACTIVER: whether it is active; 1 bit. Ones are written to make it active.
    SetActive,
    /// ICACTIVER: the same. Ones are written to make it inactive.
    ClearActive,
    /// IPRIORITYR: the priority; 8 bits.
    Priority,
    /// ICFGR: 2 bits, of which the upper one says whether it is edge-triggered. That of SGIs and PPIs
    /// cannot be changed, which for PPIs is the implementation's choice.
    Config,
}

impl Field {
    /// The number of bits.
    #[inline]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Priority => 8,
            Self::Config => 2,
            _ => 1,
        }
    }
}

/// The fields of some consecutive interrupts, which are accessed at once.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Bank {
    field: Field,
    first: u32,
    count: u32,
}

impl Bank {
    /// Returns what is accessed with `size` at `offset`, or [`None`] if it is no such register: they
    /// are accessed as words, and priorities also as bytes.
    #[inline]
    pub const fn new(offset: u32, size: AccessSize) -> Option<Self> {
        let bytes = size.bytes() as u32;
        // Each field of one bit has 128 bytes.
        let (field, start) = match offset / 0x80 {
            1 => (Field::Group, 0x80),
            2 => (Field::SetEnable, 0x100),
            3 => (Field::ClearEnable, 0x180),
            4 => (Field::SetPending, 0x200),
            5 => (Field::ClearPending, 0x280),
            6 => (Field::SetActive, 0x300),
            7 => (Field::ClearActive, 0x380),
            0x8..=0xf => (Field::Priority, 0x400),
            0x18..=0x19 => (Field::Config, 0xc00),
            _ => return None,
        };
        match size {
            AccessSize::Word => {}
            AccessSize::Byte if matches!(field, Field::Priority) => {}
            _ => return None,
        }
        if offset % bytes != 0 {
            return None;
        }
        Some(Self {
            field,
            first: (offset - start) * 8 / field.bits(),
            count: bytes * 8 / field.bits(),
        })
    }

    /// The number of the first interrupt.
    #[inline]
    pub const fn first(self) -> u32 {
        self.first
    }

    /// The interrupts with their index among them, and how far up their field is. Numbers that are
    /// no interrupt's are left out.
    #[inline]
    fn fields(self) -> impl Iterator<Item = (IntId, u32)> {
        (0..self.count)
            .filter_map(move |n| Some((IntId::new(self.first + n)?, n * self.field.bits())))
    }

    /// Reads the fields: `vcpu` is the one whose SGIs and PPIs are meant. Those of interrupts that
    /// do not exist are zero.
    pub fn read<G: Interrupts + ?Sized>(self, gic: &G, by: By, vcpu: usize) -> u32 {
        let mut value = 0;

        for (intid, shift) in self.fields() {
            let Some(cell) = gic.cell(vcpu, intid) else {
                continue;
            };
            let mut irq = cell.load();
            if matches!(
                self.field,
                Field::SetPending | Field::ClearPending | Field::SetActive | Field::ClearActive
            ) && settle(gic, by, vcpu, intid, irq)
            {
                irq = cell.load();
            }
            value |= self.get(irq, by) << shift;
        }
        value
    }

    /// Returns the field of an interrupt.
    #[inline]
    fn get(self, irq: Irq, by: By) -> u32 {
        match (self.field, by) {
            (Field::Group, _) => irq.group1().into(),
            (Field::SetEnable | Field::ClearEnable, _) => irq.enabled().into(),
            (Field::SetPending | Field::ClearPending, By::Guest(_)) => irq.pending().into(),
            (Field::SetPending, By::User) => irq.latched().into(),
            (Field::ClearPending, By::User) => 0,
            (Field::SetActive | Field::ClearActive, _) => irq.active().into(),
            (Field::Priority, _) => u8::from(irq.priority()).into(),
            (Field::Config, _) => u32::from(irq.edge()) << 1,
        }
    }

    /// Writes the fields: `vcpu` is the one whose SGIs and PPIs are meant. What interrupts that do
    /// not exist would get is ignored.
    pub fn write<G: Interrupts + ?Sized>(self, gic: &G, by: By, vcpu: usize, value: u32) {
        for (intid, shift) in self.fields() {
            self.set(gic, by, vcpu, intid, value >> shift);
        }
    }

    /// Writes the field of an interrupt, which is in the low bits of `value`.
    #[inline]
    fn set<G: Interrupts + ?Sized>(self, gic: &G, by: By, vcpu: usize, intid: IntId, value: u32) {
        let one = value & 1 != 0;

        match (self.field, by) {
            (Field::Group, _) => {
                change(gic, by, vcpu, intid, |irq| irq.set_group1(one));
            }
            (Field::SetEnable, _) if one => {
                change(gic, by, vcpu, intid, |irq| irq.set_enabled(true));
            }
            (Field::ClearEnable, _) if one => {
                let done = change(gic, by, vcpu, intid, |irq| irq.set_enabled(false));
                // GICD_CTLR.RWP is always zero: it is not taken any more once the write is done.
                if let Some(done) = done {
                    settle(gic, by, vcpu, intid, done.new);
                }
            }
            (Field::SetPending, By::Guest(_)) if one => {
                change(gic, by, vcpu, intid, Irq::set_pending);
            }
            (Field::SetPending, By::User) => {
                change(gic, by, vcpu, intid, |irq| {
                    if one {
                        irq.set_pending()
                    } else {
                        irq.clear_pending()
                    }
                });
            }
            (Field::ClearPending, By::Guest(_)) if one => {
                change(gic, by, vcpu, intid, Irq::clear_pending);
            }
            (Field::SetActive, _) if one => {
                change(gic, by, vcpu, intid, |irq| irq.set_active(true));
            }
            (Field::ClearActive, _) if one => {
                change(gic, by, vcpu, intid, |irq| irq.set_active(false));
            }
            (Field::Priority, _) => {
                change(gic, by, vcpu, intid, |irq| irq.set_priority(value as u8));
            }
            (Field::Config, _) if matches!(intid.kind(), Kind::Spi) => {
                change(gic, by, vcpu, intid, |irq| irq.set_edge(value & 2 != 0));
            }
            _ => {}
        }
    }
}

/// Applies `f` to an interrupt. If it stands for one of the host, that goes with what a guest does, and
/// not with what user space restores: the host's is looked at when the vCPU runs again.
#[inline]
fn change<G: Interrupts + ?Sized>(
    gic: &G,
    by: By,
    vcpu: usize,
    intid: IntId,
    f: impl FnMut(Irq) -> Irq,
) -> Option<Change> {
    match by {
        By::Guest(_) => gic.update(vcpu, intid, f),
        By::User => gic.signal(vcpu, intid, f),
    }
}

/// Waits for the vCPU that has the interrupt in a list register, if it is not the one that asks.
/// Returns whether it had to.
#[inline]
fn settle<G: Interrupts + ?Sized>(gic: &G, by: By, vcpu: usize, intid: IntId, irq: Irq) -> bool {
    let elsewhere = irq.listed() && irq.owner() != by.vcpu();

    if elsewhere {
        gic.settle(by.vcpu(), vcpu, intid);
    }
    elsewhere
}

/// The interrupts of a group of lines, with their bits. SGIs have no line.
fn lines(group: LineGroup) -> impl Iterator<Item = (IntId, u32)> {
    let first = u32::from(u8::from(group)) * 32;

    (0..32)
        .filter_map(move |n| Some((IntId::new(first + n)?, n)))
        .filter(|(intid, _)| !matches!(intid.kind(), Kind::Sgi))
}

/// Returns the lines of 32 interrupts: those that are level-sensitive and high.
///
/// Source: arm-vgic-v3.rst, "KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO".
pub fn read_lines<G: Interrupts + ?Sized>(gic: &G, vcpu: usize, group: LineGroup) -> u32 {
    lines(group).fold(0, |value, (intid, bit)| {
        let high = gic.cell(vcpu, intid).is_some_and(|cell| {
            let irq = cell.load();
            irq.line() && !irq.edge()
        });
        value | (u32::from(high) << bit)
    })
}

/// Sets the lines of 32 interrupts. Edge-triggered ones keep it, too, without effect: user space may
/// say later that they are level-sensitive.
pub fn write_lines<G: Interrupts + ?Sized>(gic: &G, vcpu: usize, group: LineGroup, value: u32) {
    for (intid, bit) in lines(group) {
        gic.signal(vcpu, intid, |irq| irq.with_line((value >> bit) & 1 != 0));
    }
}
