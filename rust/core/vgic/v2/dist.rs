// SPDX-License-Identifier: GPL-2.0

//! A GICv2's distributor.
//!
//! It has one frame, in which each vCPU finds its own SGIs and PPIs. SGIs and PPIs are as
//! [`Irq::reset`] has them in group 0, and SPIs as [`spi`] has them. With one vCPU, GICD_ITARGETSR is
//! zero and cannot be written: all goes there.
//!
//! Source: IHI 0048, "Distributor register descriptions";
//! Documentation/virt/kvm/devices/arm-vgic.rst, "KVM_DEV_ARM_VGIC_GRP_DIST_REGS".

use super::{
    super::{
        bank::{
            Bank,
            By, //
        },
        cell::IrqCell,
        dist::{
            BadWrite,
            GicIidr,
            Revision, //
        },
        interrupts::{
            Groups,
            Interrupts, //
        },
        intid::{
            IntId,
            Kind, //
        },
        irq::Irq,
    },
    lists::{
        all,
        MAX_VCPUS, //
    },
    sgi::{
        self,
        GicdSgir, //
    },
};
use crate::{
    bit_struct,
    bits::Bits,
    esr::AccessSize, //
};

/// The bits of SGIs in a register that has one for each interrupt.
const SGIS: u32 = 0xffff;

/// The size of the frame, in bytes.
pub const FRAME_SIZE: u32 = 0x1000;

bit_struct! {
    /// GICD_CTLR.
    pub struct GicdCtlr("GICD_CTLR") {
        /// Whether interrupts of group 0 are forwarded.
        enable_grp0 / with_enable_grp0: flag 0,
        /// Whether interrupts of group 1 are forwarded.
        enable_grp1 / with_enable_grp1: flag 1,
    }
}

bit_struct! {
    /// GICD_TYPER.
    pub struct GicdTyper("GICD_TYPER") {
        /// There are interrupts below 32 times one more than this.
        it_lines_number / with_it_lines_number: bits 0..=4,
        /// One less than the number of CPU interfaces.
        cpu_number / with_cpu_number: bits 5..=7,
    }
}

/// The offset of GICD_IIDR.
const IIDR: u32 = 0x8;

/// GICD_ICPIDR2, as IHI 0048 suggests it: ArchRev is 2, JEDEC is used, the JEP106 code is Arm's.
const PIDR2_GICV2: u32 = 0x2b;

/// Returns the SPI `intid` after a reset, there being this many vCPUs. If it is one, all SPIs go to it,
/// and else nowhere.
pub const fn spi(intid: IntId, vcpus: usize) -> Irq {
    let target = if vcpus == 1 { Some(0) } else { None };

    Irq::reset(intid, target, false)
}

/// A VM's distributor, beside the interrupts.
pub trait Distributor {
    /// Its interrupts, of at most [`MAX_VCPUS`] vCPUs.
    type Interrupts: Interrupts;

    /// Returns the interrupts.
    fn interrupts(&self) -> &Self::Interrupts;

    /// The revision that user space has said, if it has.
    fn said_revision(&self) -> Option<Revision>;

    /// User space says the revision.
    fn say_revision(&self, revision: Revision);
}

/// A register, or a part of one that can be accessed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Register {
    Ctlr,
    Typer,
    Iidr,
    /// GICD_IGROUPR.
    Group(Bank),
    /// GICD_ISPENDR0, which does not change SGIs.
    SetPrivatePending(Bank),
    /// GICD_ICPENDR0, as above.
    ClearPrivatePending(Bank),
    Bank(Bank),
    Targets(Bytes),
    Sgir,
    /// GICD_CPENDSGIR.
    ClearSenders(Bytes),
    /// GICD_SPENDSGIR.
    SetSenders(Bytes),
    Pidr2,
    /// It reads as zero and ignores writes.
    Zero,
}

/// Consecutive interrupts of which each has a byte.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Bytes {
    first: u32,
    count: u32,
}

impl Bytes {
    /// The interrupts, and how far up their byte is.
    fn fields(self) -> impl Iterator<Item = (IntId, u32)> {
        (0..self.count).filter_map(move |n| Some((IntId::new(self.first + n)?, n * u8::BITS)))
    }

    fn read(self, mut get: impl FnMut(IntId) -> u8) -> u32 {
        self.fields().fold(0, |value, (intid, shift)| {
            value | (u32::from(get(intid)) << shift)
        })
    }

    fn write(self, value: u32, mut set: impl FnMut(IntId, u8)) {
        for (intid, shift) in self.fields() {
            set(intid, (value >> shift) as u8);
        }
    }
}

/// Returns what is accessed, or [`None`] if nothing is there that can be accessed so.
#[inline]
fn decode(offset: u32, size: AccessSize) -> Option<Register> {
    let count = u32::from(size.bytes());
    if offset % count != 0 {
        return None;
    }
    if let Some(bank) = Bank::new(offset, size) {
        return Some(match offset {
            0x80..0x100 => Register::Group(bank),
            0x200 => Register::SetPrivatePending(bank),
            0x280 => Register::ClearPrivatePending(bank),
            _ => Register::Bank(bank),
        });
    }
    let word = matches!(size, AccessSize::Word);
    let bytes = |start: u32| {
        (word || matches!(size, AccessSize::Byte)).then_some(Bytes {
            first: offset - start,
            count,
        })
    };

    match offset {
        0x0 if word => Some(Register::Ctlr),
        0x4 if word => Some(Register::Typer),
        IIDR if word => Some(Register::Iidr),
        0x800..0xc00 => bytes(0x800).map(Register::Targets),
        // GICD_NSACR, of the Security Extensions.
        0xe00..0xf00 if word => Some(Register::Zero),
        0xf00 if word => Some(Register::Sgir),
        0xf10..0xf20 => bytes(0xf10).map(Register::ClearSenders),
        0xf20..0xf30 => bytes(0xf20).map(Register::SetSenders),
        0xfe8 if word => Some(Register::Pidr2),
        0xfd0..0x1000 if word => Some(Register::Zero),
        _ => None,
    }
}

/// Whether user space finds a register in the 32 bits at `offset`, there being this many SPIs:
/// KVM_HAS_DEVICE_ATTR.
pub fn exists(spis: usize, offset: u32) -> bool {
    let limit = lines(spis) * 32;
    let beyond = match (Bank::new(offset, AccessSize::Word), offset) {
        (Some(bank), _) => bank.first() >= limit,
        (None, 0x800..0xc00) => offset - 0x800 >= limit,
        (None, 0xe00..0xf00) => (offset - 0xe00) * 4 >= limit,
        _ => false,
    };

    decode(offset, AccessSize::Word).is_some() && !beyond
}

/// The number of groups of 32 interrupts, SGIs and PPIs included.
fn lines(spis: usize) -> u32 {
    (spis.div_ceil(32) + 1) as u32
}

fn typer<G: Interrupts + ?Sized>(gic: &G) -> GicdTyper {
    let cpus = gic.vcpus().clamp(1, MAX_VCPUS) - 1;

    GicdTyper::from_raw(0)
        .with_it_lines_number(Bits::truncated((lines(gic.spis()) - 1).into()))
        .with_cpu_number(Bits::truncated(cpus as u64))
}

/// GICD_IIDR of a GIC of this revision.
pub fn iidr(revision: Option<Revision>) -> u32 {
    let revision = revision.unwrap_or(Revision::Three);
    GicIidr::KVM.with_revision(revision).into_raw() as u32
}

/// User space writes GICD_IIDR, and says the revision by that: the one that is returned.
///
/// # Errors
///
/// [`BadWrite::Invalid`] if it is not what some revision has.
pub fn write_iidr(value: u32) -> Result<Revision, BadWrite> {
    GicIidr::from_raw(value.into())
        .revision()
        .filter(|revision| iidr(Some(*revision)) == value)
        .ok_or(BadWrite::Invalid)
}

/// Reads `size` at `offset` of the frame. Zero where nothing is. `vcpu` is the one that reads, or as
/// which user space does.
#[inline]
pub fn read<G: Distributor + ?Sized>(
    gic: &G,
    by: By,
    vcpu: usize,
    offset: u32,
    size: AccessSize,
) -> u32 {
    let irqs = gic.interrupts();

    match decode(offset, size) {
        Some(Register::Ctlr) => {
            let groups = irqs.groups();
            GicdCtlr::from_raw(0)
                .with_enable_grp0(groups.group0)
                .with_enable_grp1(groups.group1)
                .into_raw() as u32
        }
        Some(Register::Typer) => typer(irqs).into_raw() as u32,
        Some(Register::Iidr) => iidr(gic.said_revision()),
        Some(
            Register::Bank(bank)
            | Register::Group(bank)
            | Register::SetPrivatePending(bank)
            | Register::ClearPrivatePending(bank),
        ) => bank.read(irqs, by, vcpu),
        Some(Register::Targets(_)) if irqs.vcpus() == 1 => 0,
        Some(Register::Targets(bytes)) => bytes.read(|intid| match intid.is_private() {
            true => (1u8 << (vcpu % MAX_VCPUS)) & all(irqs.vcpus()),
            false => irqs
                .cell(vcpu, intid)
                .map_or(0, |cell| cell.load().targets()),
        }),
        Some(Register::ClearSenders(bytes) | Register::SetSenders(bytes)) => {
            bytes.read(|intid| senders(irqs, vcpu, intid))
        }
        Some(Register::Pidr2) => PIDR2_GICV2,
        Some(Register::Sgir | Register::Zero) | None => 0,
    }
}

fn senders<G: Interrupts + ?Sized>(gic: &G, vcpu: usize, intid: IntId) -> u8 {
    gic.cell(vcpu, intid)
        .map_or(0, |cell| cell.load().senders())
}

/// Writes `size` at `offset` of the frame. What cannot be written is ignored. `vcpu` is the one that
/// writes, or as which user space does.
///
/// # Errors
///
/// [`BadWrite::Invalid`] if user space writes GICD_IIDR as no revision has it.
#[inline]
pub fn write<G: Distributor + ?Sized>(
    gic: &G,
    by: By,
    vcpu: usize,
    offset: u32,
    size: AccessSize,
    value: u32,
) -> Result<(), BadWrite> {
    let irqs = gic.interrupts();
    let cpus = all(irqs.vcpus());

    match (decode(offset, size), by) {
        (Some(Register::Ctlr), _) => {
            let value = GicdCtlr::from_raw(value.into());
            let groups = Groups {
                group0: value.enable_grp0(),
                group1: value.enable_grp1(),
            };
            if groups != irqs.groups() {
                irqs.set_groups(groups);
            }
        }
        (Some(Register::Iidr), By::User) => gic.say_revision(write_iidr(value)?),
        // Who does not know of revisions restores zeroes, from when there were no groups.
        (Some(Register::Group(_)), By::User) if gic.said_revision().is_none() => {}
        (Some(Register::Bank(bank) | Register::Group(bank)), _) => {
            bank.write(irqs, by, vcpu, value);
        }
        (
            Some(Register::SetPrivatePending(bank) | Register::ClearPrivatePending(bank)),
            By::Guest(_),
        ) => {
            bank.write(irqs, by, vcpu, value & !SGIS);
        }
        (Some(Register::SetPrivatePending(bank)), By::User) => {
            bank.write(irqs, by, vcpu, value);
            restore_sgis(irqs, vcpu, value as u16);
        }
        (Some(Register::Targets(bytes)), _) if irqs.vcpus() != 1 => {
            bytes.write(value, |intid, targets| {
                set_targets(irqs, intid, targets & cpus)
            });
        }
        (Some(Register::Sgir), _) => GicdSgir::from_raw(value.into()).send(vcpu, irqs),
        (Some(Register::ClearSenders(bytes)), _) => {
            bytes.write(value, |intid, from| sgi::remove(irqs, vcpu, intid, from));
        }
        (Some(Register::SetSenders(bytes)), _) => {
            bytes.write(value, |intid, from| {
                sgi::add(irqs, vcpu, intid, from & cpus)
            });
        }
        _ => {}
    }
    Ok(())
}

/// Sends an SPI to these vCPUs.
fn set_targets<G: Interrupts + ?Sized>(gic: &G, intid: IntId, targets: u8) {
    if matches!(intid.kind(), Kind::Spi) {
        gic.signal(0, intid, |irq| irq.set_targets(targets));
    }
}

/// User space says which SGIs of a vCPU are pending, and not by whom: those that were not are from
/// the vCPU itself now.
fn restore_sgis<G: Interrupts + ?Sized>(gic: &G, vcpu: usize, pending: u16) {
    for intid in (0..16).filter_map(IntId::private) {
        let one = (pending >> intid.get()) & 1 != 0;

        gic.signal(vcpu, intid, |irq| {
            irq.set_senders(match (one, irq.senders()) {
                (false, _) => 0,
                (true, 0) => 1 << (vcpu % MAX_VCPUS),
                (true, senders) => senders,
            })
        });
    }
}
