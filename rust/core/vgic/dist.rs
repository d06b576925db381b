// SPDX-License-Identifier: GPL-2.0

//! The distributor's registers.
//!
//! There is one security state (GICD_CTLR.DS is one) and affinity routing is always on
//! (GICD_CTLR.ARE is one). SPIs go to the vCPU that GICD_IROUTER names; one of several (IRM) is not
//! offered, nor are Aff3, message-based SPIs, and SGIs without an active state.
//!
//! Source: IHI 0069, "The GIC Distributor register map" and the pages of the registers;
//! Documentation/virt/kvm/devices/arm-vgic-v3.rst, "KVM_DEV_ARM_VGIC_GRP_DIST_REGS".

use super::{
    bank::{
        Bank,
        By, //
    },
    interrupts::{
        Groups,
        Interrupts, //
    },
    intid::{
        IntId,
        INTID_BITS,
        PRIVATE, //
    },
};
use crate::{
    bit_enum,
    bit_struct,
    bits::Bits,
    esr::AccessSize,
    psci::Affinity, //
};

bit_struct! {
    /// GICD_CTLR with one security state.
    pub struct GicdCtlr("GICD_CTLR") {
        /// Whether interrupts of group 0 are forwarded.
        enable_grp0 / with_enable_grp0: flag 0,
        /// Whether interrupts of group 1 are forwarded.
        enable_grp1 / with_enable_grp1: flag 1,
        /// Affinity routing.
        are / with_are: flag 4,
        /// One security state.
        ds / with_ds: flag 6,
    }
}

bit_struct! {
    /// GICD_TYPER.
    pub struct GicdTyper("GICD_TYPER") {
        /// There are interrupts below 32 times one more than this.
        it_lines_number / with_it_lines_number: bits 0..=4,
        /// LPIs are supported.
        lpis / with_lpis: flag 17,
        /// One less than the number of bits of an INTID.
        id_bits / with_id_bits: bits 19..=23,
        /// SPIs that go to one of several are not supported.
        no_1_n / with_no_1_n: flag 25,
    }
}

bit_struct! {
    /// GICD_IIDR and GICR_IIDR.
    pub struct GicIidr("GICD_IIDR") {
        /// The implementer's JEP106 code.
        implementer / with_implementer: bits 0..=11,
        /// The revision.
        revision / with_revision: option 12..=15 as Revision,
        /// The product.
        product_id / with_product_id: bits 24..=31,
    }
}

bit_enum! {
    /// What a GIC does that guests and user space can tell.
    pub enum Revision: 4 {
        /// Groups are configured by the guest and signalled as they are.
        Two = 2,
        /// GICR_CTLR.EnableLPIs can be cleared, and LPIs be invalidated by GICR_INV*.
        Three = 3,
    }
}

impl GicIidr {
    /// KVM's product, of Arm.
    pub(super) const KVM: Self = Self::from_raw(0)
        .with_implementer(Bits::of::<0x43b>())
        .with_product_id(Bits::of::<0x4b>());
}

/// The bits of GICD_STATUSR and GICR_STATUSR: a read or a write was of a reserved location, a read
/// was of a write-only one, a write was of a read-only one.
pub(super) const STATUS_MASK: u32 = 0xf;

/// The offset of GICD_IIDR.
const IIDR: u32 = 0x8;

/// The offset of GICD_TYPER2.
const TYPER2: u32 = 0xc;

/// The offset of GICD_PIDR2, which is that of GICR_PIDR2, too.
pub(super) const PIDR2: u32 = 0xffe8;

/// GICD_PIDR2 and GICR_PIDR2 of a GICv3: ArchRev is 3, JEDEC is used, the JEP106 code is Arm's.
pub(super) const PIDR2_GICV3: u32 = 0x3b;

/// The offset of the first identification register. They go on to the end of the frame.
pub(super) const ID_REGISTERS: u32 = 0xffd0;

/// A VM's distributor, beside the interrupts.
pub trait Distributor {
    /// Its interrupts.
    type Interrupts: Interrupts;

    /// Returns the interrupts.
    fn interrupts(&self) -> &Self::Interrupts;

    /// Whether there is an ITS, and LPIs with it.
    fn has_lpis(&self) -> bool;

    /// The revision; the latest one unless it was set.
    fn revision(&self) -> Revision;

    /// Sets the revision.
    fn set_revision(&self, revision: Revision);

    /// What is stored in GICD_STATUSR, initially zero.
    fn dist_status(&self) -> u32;

    /// Replaces what is stored in GICD_STATUSR.
    fn set_dist_status(&self, value: u32);
}

/// User space wrote what cannot be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadWrite {
    /// The value is not possible; EINVAL.
    Invalid,
    /// It cannot be changed any more; EBUSY.
    Busy,
}

/// A register, or a part of one that can be accessed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Register {
    Ctlr,
    Typer,
    /// GICD_IIDR and GICD_TYPER2.
    Early,
    Status,
    Bank(Bank),
    /// GICD_IROUTER, or its lower half; there is nothing in the upper half.
    Router(IntId),
    Pidr2,
    /// It reads as zero and ignores writes.
    Zero,
}

/// Returns what is accessed, or [`None`] if nothing is there that can be accessed so.
#[inline]
fn decode(offset: u32, size: AccessSize) -> Option<Register> {
    if offset % u32::from(size.bytes()) != 0 {
        return None;
    }
    if let Some(bank) = Bank::new(offset, size) {
        return Some(match bank.first() < PRIVATE as u32 {
            true => Register::Zero,
            false => Register::Bank(bank),
        });
    }
    let word = matches!(size, AccessSize::Word);

    match offset {
        0x0 if word => Some(Register::Ctlr),
        0x4 if word => Some(Register::Typer),
        IIDR | TYPER2 if word => Some(Register::Early),
        0x10 if word => Some(Register::Status),
        // GICD_ITARGETSR, which affinity routing leaves without effect.
        0x800..0xc00 if word || matches!(size, AccessSize::Byte) => Some(Register::Zero),
        // GICD_IGRPMODR and GICD_NSACR, for a second security state.
        0xd00..0xd80 | 0xe00..0xf00 if word => Some(Register::Zero),
        0x6000..0x8000 if word || matches!(size, AccessSize::Doubleword) => {
            Some(match IntId::spi((offset - 0x6000) / 8) {
                Some(intid) if offset % 8 == 0 => Register::Router(intid),
                _ => Register::Zero,
            })
        }
        PIDR2 if word => Some(Register::Pidr2),
        ID_REGISTERS..0x1_0000 if word => Some(Register::Zero),
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
        (None, 0xd00..0xd80) => (offset - 0xd00) * 8 >= limit,
        (None, 0xe00..0xf00) => (offset - 0xe00) * 4 >= limit,
        (None, 0x6000..0x8000) => (offset - 0x6000) / 8 >= limit,
        _ => false,
    };

    decode(offset, AccessSize::Word).is_some() && !beyond
}

/// The number of groups of 32 interrupts, SGIs and PPIs included.
fn lines(spis: usize) -> u32 {
    (spis.div_ceil(32) + 1) as u32
}

fn ctlr(groups: Groups) -> GicdCtlr {
    GicdCtlr::from_raw(0)
        .with_enable_grp0(groups.group0)
        .with_enable_grp1(groups.group1)
        .with_are(true)
        .with_ds(true)
}

fn typer<G: Distributor + ?Sized>(gic: &G) -> GicdTyper {
    /// Without LPIs there are INTIDs of 10 bits.
    const SPI_BITS: u32 = 10;

    let lpis = gic.has_lpis();
    let bits = if lpis { INTID_BITS } else { SPI_BITS };
    GicdTyper::from_raw(0)
        .with_it_lines_number(Bits::truncated((lines(gic.interrupts().spis()) - 1).into()))
        .with_lpis(lpis)
        .with_id_bits(Bits::truncated((bits - 1).into()))
        .with_no_1_n(true)
}

/// Reads `size` at `offset` of the distributor's frame. Zero where nothing is.
#[inline]
pub fn read<G: Distributor + ?Sized>(gic: &G, by: By, offset: u32, size: AccessSize) -> u64 {
    match decode(offset, size) {
        Some(Register::Ctlr) => ctlr(gic.interrupts().groups()).into_raw(),
        Some(Register::Typer) => typer(gic).into_raw(),
        Some(Register::Early) => read_early(gic.revision(), offset).into(),
        Some(Register::Status) => gic.dist_status().into(),
        // SPIs, so it does not matter whose.
        Some(Register::Bank(bank)) => bank.read(gic.interrupts(), by, 0).into(),
        Some(Register::Router(intid)) => gic.interrupts().router(intid),
        Some(Register::Pidr2) => PIDR2_GICV3.into(),
        Some(Register::Zero) | None => 0,
    }
}

/// Writes `size` at `offset` of the distributor's frame. What cannot be written is ignored.
#[inline]
pub fn write<G: Distributor + ?Sized>(gic: &G, by: By, offset: u32, size: AccessSize, value: u64) {
    match decode(offset, size) {
        Some(Register::Ctlr) => {
            let value = GicdCtlr::from_raw(value);
            let groups = Groups {
                group0: value.enable_grp0(),
                group1: value.enable_grp1(),
            };
            if groups != gic.interrupts().groups() {
                gic.interrupts().set_groups(groups);
            }
        }
        // Ones are written to clear.
        Some(Register::Status) => {
            gic.set_dist_status(gic.dist_status() & !(value as u32));
        }
        Some(Register::Bank(bank)) => bank.write(gic.interrupts(), by, 0, value as u32),
        Some(Register::Router(intid)) => route(gic.interrupts(), intid, value),
        _ => {}
    }
}

/// Sends an SPI to the vCPU with this affinity, or to none if there is no such vCPU.
fn route<G: Interrupts + ?Sized>(gic: &G, intid: IntId, value: u64) {
    // Aff2 to Aff0: there is no Aff3, and no Interrupt_Routing_Mode.
    let value = value & 0xff_ffff;

    if gic.cell(0, intid).is_none() {
        return;
    }
    gic.set_router(intid, value);
    retarget(gic, intid);
}

/// Sends an SPI where its GICD_IROUTER says.
fn retarget<G: Interrupts + ?Sized>(gic: &G, intid: IntId) {
    let target = gic.find(Affinity::from_mpidr(gic.router(intid)));
    gic.signal(0, intid, |irq| irq.set_target(target));
}

/// A vCPU has got the affinity `new` instead of `old`: the SPIs that are for one of these go where
/// they are to now.
pub fn renamed<G: Interrupts + ?Sized>(gic: &G, old: Affinity, new: Affinity) {
    for spi in 0..gic.spis() {
        let Some(intid) = IntId::spi((PRIVATE + spi) as u32) else {
            break;
        };
        let wanted = Affinity::from_mpidr(gic.router(intid));

        if wanted == old || wanted == new {
            retarget(gic, intid);
        }
    }
}

/// Writes the 32 bits at `offset` as user space does.
///
/// # Errors
///
/// As [`write_early`].
pub fn user_write<G: Distributor + ?Sized>(
    gic: &G,
    offset: u32,
    value: u32,
) -> Result<(), BadWrite> {
    if is_early(offset) {
        gic.set_revision(write_early(gic.revision(), true, offset, value)?);
        return Ok(());
    }
    match decode(offset, AccessSize::Word) {
        Some(Register::Status) => gic.set_dist_status(value & STATUS_MASK),
        _ => write(gic, By::User, offset, AccessSize::Word, value.into()),
    }
    Ok(())
}

/// Whether user space may access the register at `offset` before the GIC is initialised: GICD_IIDR
/// and GICD_TYPER2 say what there is to be.
pub const fn is_early(offset: u32) -> bool {
    matches!(offset, IIDR | TYPER2)
}

/// Reads one of these registers of a GIC of this revision. Zero for others.
pub fn read_early(revision: Revision, offset: u32) -> u32 {
    match offset {
        IIDR => GicIidr::KVM.with_revision(revision).into_raw() as u32,
        _ => 0,
    }
}

/// Writes one of these registers of a GIC of this revision, as user space does, before or after it is
/// initialised, and returns its revision now. They have to be written as they are read, except for the
/// revision.
///
/// # Errors
///
/// [`BadWrite`].
pub fn write_early(
    revision: Revision,
    initialized: bool,
    offset: u32,
    value: u32,
) -> Result<Revision, BadWrite> {
    match offset {
        IIDR => GicIidr::from_raw(value.into())
            .revision()
            .filter(|wanted| read_early(*wanted, IIDR) == value)
            .ok_or(BadWrite::Invalid),
        // GICD_TYPER2.nASSGIcap is not offered.
        TYPER2 if value != 0 && initialized => Err(BadWrite::Busy),
        TYPER2 if value != 0 => Err(BadWrite::Invalid),
        _ => Ok(revision),
    }
}
