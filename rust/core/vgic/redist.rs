// SPDX-License-Identifier: GPL-2.0

//! A redistributor's registers: the frame RD_base, and SGI_base behind it.
//!
//! LPIs come from an ITS only (GICR_TYPER.DirectLPI is zero), all redistributors have their
//! configuration in one table (CommonLPIAff is zero), and vCPUs do not go to sleep through
//! GICR_WAKER.
//!
//! Source: IHI 0069, "The GIC Redistributor register map" and the pages of the registers;
//! Documentation/virt/kvm/devices/arm-vgic-v3.rst, "KVM_DEV_ARM_VGIC_GRP_REDIST_REGS".

use super::{
    bank::{
        Bank,
        By, //
    },
    dist::{
        Distributor,
        GicIidr,
        Revision,
        ID_REGISTERS,
        PIDR2,
        PIDR2_GICV3,
        STATUS_MASK, //
    },
    interrupts::Interrupts,
    intid::{
        IntId,
        PRIVATE, //
    },
};
use crate::{
    bit_enum,
    bit_struct,
    bits::Bits,
    esr::AccessSize, //
};

/// Where the frame SGI_base begins in a redistributor, in bytes.
const SGI_BASE: u32 = 0x1_0000;

bit_struct! {
    /// GICR_CTLR.
    pub struct GicrCtlr("GICR_CTLR") {
        /// LPIs are enabled.
        enable_lpis / with_enable_lpis: flag 0,
        /// EnableLPIs can be cleared.
        ces / with_ces: flag 1,
        /// There are GICR_INVLPIR, GICR_INVALLR and GICR_SYNCR.
        ir / with_ir: flag 2,
        /// EnableLPIs was cleared, which does not have its effect yet.
        rwp / with_rwp: flag 3,
    }
}

bit_struct! {
    /// GICR_TYPER.
    pub struct GicrTyper("GICR_TYPER") {
        /// LPIs are supported.
        plpis / with_plpis: flag 0,
        /// There is no redistributor right behind.
        last / with_last: flag 4,
        /// The vCPU's number, by which an ITS names it.
        processor_number / with_processor_number: bits 8..=23,
        /// Aff2 to Aff0.
        affinity / with_affinity: bits 32..=55,
    }
}

bit_enum! {
    /// The shareability of a table.
    pub enum Shareability: 2 {
        /// Non-shareable.
        Non = 0,
        /// Inner shareable.
        Inner = 1,
        /// Outer shareable.
        Outer = 2,
    }
}

bit_struct! {
    /// GICR_PROPBASER: the table of all LPIs' priorities and enables.
    pub struct GicrPropbaser("GICR_PROPBASER") {
        /// One less than the number of bits of an INTID that the table is for.
        id_bits / with_id_bits: bits 0..=4,
        /// Inner cacheability.
        inner_cache / with_inner_cache: bits 7..=9,
        /// Shareability.
        shareability / with_shareability: option 10..=11 as Shareability,
        /// Bits 51 to 12 of the table's address.
        address / with_address: bits 12..=51,
        /// Outer cacheability.
        outer_cache / with_outer_cache: bits 56..=58,
    }
}

bit_struct! {
    /// GICR_PENDBASER: the table of the vCPU's pending LPIs.
    pub struct GicrPendbaser("GICR_PENDBASER") {
        /// Inner cacheability.
        inner_cache / with_inner_cache: bits 7..=9,
        /// Shareability.
        shareability / with_shareability: option 10..=11 as Shareability,
        /// Bits 51 to 16 of the table's address.
        address / with_address: bits 16..=51,
        /// Outer cacheability.
        outer_cache / with_outer_cache: bits 56..=58,
        /// The table is zero. It reads as zero.
        ptz / with_ptz: flag 62,
    }
}

/// What the emulation, which accesses tables as the host does all memory, has instead of a
/// shareability.
const fn shareability(asked: Option<Shareability>) -> Shareability {
    match asked {
        Some(Shareability::Non) => Shareability::Non,
        _ => Shareability::Inner,
    }
}

/// What it has instead of an inner cacheability: no uncached one.
const fn inner_cache(asked: Bits<3>) -> Bits<3> {
    /// Normal, read-allocate, write-back.
    const RA_WB: Bits<3> = Bits::of::<3>();

    match asked.get() {
        0 | 1 => RA_WB,
        _ => asked,
    }
}

/// What it has instead of an outer cacheability: as the inner one, unless there is to be none.
const fn outer_cache(asked: Bits<3>) -> Bits<3> {
    match asked.get() {
        1 => asked,
        _ => Bits::of::<0>(),
    }
}

impl GicrPropbaser {
    /// Returns what the register holds after `raw` is written.
    pub const fn new(raw: u64) -> Self {
        let value = Self::from_raw(raw & Self::MASK);
        value
            .with_shareability(shareability(value.shareability()))
            .with_inner_cache(inner_cache(value.inner_cache()))
            .with_outer_cache(outer_cache(value.outer_cache()))
    }

    /// The address of the table.
    pub const fn table(self) -> u64 {
        self.address().get() << 12
    }
}

impl GicrPendbaser {
    /// Returns what the register holds after `raw` is written.
    pub const fn new(raw: u64) -> Self {
        let value = Self::from_raw(raw & Self::MASK);
        value
            .with_shareability(shareability(value.shareability()))
            .with_inner_cache(inner_cache(value.inner_cache()))
            .with_outer_cache(outer_cache(value.outer_cache()))
    }

    /// The address of the table.
    pub const fn table(self) -> u64 {
        self.address().get() << 16
    }
}

/// Whether LPIs come to a vCPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Lpis {
    /// They do not.
    Disabled,
    /// They do.
    Enabled,
    /// They will not any more: those that there are, are being taken back.
    Disabling,
}

/// A VM's redistributors, beside the interrupts. vCPUs are named by their indices.
pub trait Redistributors: Distributor {
    /// GICR_TYPER.Processor_Number of a vCPU: its number in KVM_CREATE_VCPU.
    fn number(&self, vcpu: usize) -> u16;

    /// Whether there is no redistributor right behind the vCPU's, as far as regions have addresses.
    fn is_last(&self, vcpu: usize) -> bool;

    /// What is stored in a GICR_STATUSR, initially zero.
    fn redist_status(&self, vcpu: usize) -> u32;

    /// Replaces what is stored in a GICR_STATUSR.
    fn set_redist_status(&self, vcpu: usize, value: u32);

    /// Whether LPIs come to the vCPU.
    fn lpis(&self, vcpu: usize) -> Lpis;

    /// Lets LPIs come to the vCPU, if they did not: those that its pending table has, and new ones.
    /// May sleep.
    fn enable_lpis(&self, vcpu: usize);

    /// Lets no LPIs come to the vCPU, if they did, and takes back what it has. May sleep.
    fn disable_lpis(&self, vcpu: usize);

    /// GICR_PROPBASER, initially zero. It is one register for all vCPUs: they have one table.
    fn propbaser(&self) -> GicrPropbaser;

    /// Sets GICR_PROPBASER.
    fn set_propbaser(&self, value: GicrPropbaser);

    /// GICR_PENDBASER, initially zero.
    fn pendbaser(&self, vcpu: usize) -> GicrPendbaser;

    /// Sets GICR_PENDBASER.
    fn set_pendbaser(&self, vcpu: usize, value: GicrPendbaser);

    /// Reads the configuration of an LPI of the vCPU again. May sleep.
    fn invalidate(&self, vcpu: usize, intid: IntId);

    /// Reads the configuration of all LPIs of the vCPU again. May sleep.
    fn invalidate_all(&self, vcpu: usize);

    /// Whether one of these is under way for the vCPU: GICR_SYNCR.Busy.
    fn is_invalidating(&self, vcpu: usize) -> bool;
}

/// The part of a register of 64 bits that is accessed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Part {
    Whole,
    Low,
    High,
}

impl Part {
    /// Returns the part of the register at a multiple of 8 that is accessed at `offset`.
    const fn new(offset: u32, size: AccessSize) -> Option<Self> {
        match (size, offset % 8) {
            (AccessSize::Doubleword, _) => Some(Self::Whole),
            (AccessSize::Word, 0) => Some(Self::Low),
            (AccessSize::Word, _) => Some(Self::High),
            _ => None,
        }
    }

    /// Returns this part of a register.
    const fn of(self, register: u64) -> u64 {
        match self {
            Self::Whole => register,
            Self::Low => register & u32::MAX as u64,
            Self::High => register >> 32,
        }
    }

    /// Returns a register with this part replaced.
    const fn replace(self, register: u64, value: u64) -> u64 {
        match self {
            Self::Whole => value,
            Self::Low => register & !(u32::MAX as u64) | value & u32::MAX as u64,
            Self::High => register & u32::MAX as u64 | (value << 32),
        }
    }
}

/// A register, or a part of one that can be accessed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Register {
    Ctlr,
    Iidr,
    Typer(Part),
    Status,
    Propbaser(Part),
    Pendbaser(Part),
    Invlpir(Part),
    Invallr(Part),
    Syncr,
    Bank(Bank),
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
    if offset >= SGI_BASE {
        return decode_sgi(offset - SGI_BASE, size);
    }
    let word = matches!(size, AccessSize::Word);

    match offset {
        0x0 if word => Some(Register::Ctlr),
        0x4 if word => Some(Register::Iidr),
        0x8..0x10 => Part::new(offset, size).map(Register::Typer),
        0x10 if word => Some(Register::Status),
        // GICR_WAKER.
        0x14 if word => Some(Register::Zero),
        0x70..0x78 => Part::new(offset, size).map(Register::Propbaser),
        0x78..0x80 => Part::new(offset, size).map(Register::Pendbaser),
        0xa0..0xa8 => Part::new(offset, size).map(Register::Invlpir),
        0xb0..0xb8 => Part::new(offset, size).map(Register::Invallr),
        0xc0 if word => Some(Register::Syncr),
        PIDR2 if word => Some(Register::Pidr2),
        ID_REGISTERS..SGI_BASE if word => Some(Register::Zero),
        _ => None,
    }
}

/// As [`decode`], of the frame SGI_base.
#[inline]
fn decode_sgi(offset: u32, size: AccessSize) -> Option<Register> {
    match Bank::new(offset, size) {
        Some(bank) if bank.first() < PRIVATE as u32 => Some(Register::Bank(bank)),
        Some(_) => None,
        // GICR_IGRPMODR0 and GICR_NSACR, for a second security state.
        None => (matches!(size, AccessSize::Word) && matches!(offset, 0xd00 | 0xe00))
            .then_some(Register::Zero),
    }
}

/// Whether user space finds a register in the 32 bits at `offset`: KVM_HAS_DEVICE_ATTR.
pub fn exists(offset: u32) -> bool {
    decode(offset, AccessSize::Word).is_some()
}

/// Whether a write of a guest at `offset` may sleep.
#[inline]
pub fn write_may_sleep(offset: u32, size: AccessSize) -> bool {
    matches!(
        decode(offset, size),
        Some(Register::Ctlr | Register::Invlpir(_) | Register::Invallr(_))
    )
}

fn ctlr<G: Redistributors + ?Sized>(gic: &G, vcpu: usize) -> GicrCtlr {
    let lpis = gic.lpis(vcpu);
    let can_invalidate = gic.revision() >= Revision::Three;
    GicrCtlr::from_raw(0)
        .with_enable_lpis(lpis == Lpis::Enabled)
        .with_rwp(lpis == Lpis::Disabling)
        .with_ces(can_invalidate)
        .with_ir(can_invalidate)
}

fn typer<G: Redistributors + ?Sized>(gic: &G, vcpu: usize) -> GicrTyper {
    let affinity = gic
        .interrupts()
        .affinity(vcpu)
        .map_or(0, |affinity| affinity.into_raw());
    GicrTyper::from_raw(0)
        .with_plpis(gic.has_lpis())
        .with_last(gic.is_last(vcpu))
        .with_processor_number(gic.number(vcpu).into())
        .with_affinity(Bits::truncated(affinity))
}

/// Reads `size` at `offset` of a redistributor, the one of `vcpu`. Zero where nothing is.
#[inline]
pub fn read<G: Redistributors + ?Sized>(
    gic: &G,
    by: By,
    vcpu: usize,
    offset: u32,
    size: AccessSize,
) -> u64 {
    match decode(offset, size) {
        Some(Register::Ctlr) => ctlr(gic, vcpu).into_raw(),
        Some(Register::Iidr) => GicIidr::KVM.into_raw(),
        Some(Register::Typer(part)) => part.of(typer(gic, vcpu).into_raw()),
        Some(Register::Status) => gic.redist_status(vcpu).into(),
        Some(Register::Propbaser(part)) => part.of(gic.propbaser().into_raw()),
        Some(Register::Pendbaser(part)) => part.of(gic.pendbaser(vcpu).with_ptz(false).into_raw()),
        Some(Register::Syncr) => gic.is_invalidating(vcpu).into(),
        Some(Register::Bank(bank)) => bank.read(gic.interrupts(), by, vcpu).into(),
        Some(Register::Pidr2) => PIDR2_GICV3.into(),
        Some(Register::Invlpir(_) | Register::Invallr(_) | Register::Zero) | None => 0,
    }
}

/// Writes `size` at `offset` of a redistributor, the one of `vcpu`. What cannot be written is
/// ignored. See [`write_may_sleep`].
#[inline]
pub fn write<G: Redistributors + ?Sized>(
    gic: &G,
    by: By,
    vcpu: usize,
    offset: u32,
    size: AccessSize,
    value: u64,
) {
    match decode(offset, size) {
        Some(Register::Bank(bank)) => bank.write(gic.interrupts(), by, vcpu, value as u32),
        // Ones are written to clear.
        Some(Register::Status) => {
            gic.set_redist_status(vcpu, gic.redist_status(vcpu) & !(value as u32));
        }
        Some(register) => write_lpis(gic, vcpu, register, value),
        None => {}
    }
}

/// Writes one of the registers that are about LPIs.
fn write_lpis<G: Redistributors + ?Sized>(gic: &G, vcpu: usize, register: Register, value: u64) {
    let lpis = gic.lpis(vcpu);

    match (register, lpis) {
        (Register::Ctlr, _) if gic.has_lpis() => {
            match (GicrCtlr::from_raw(value).enable_lpis(), lpis) {
                (true, Lpis::Disabled) => gic.enable_lpis(vcpu),
                (false, Lpis::Enabled) => gic.disable_lpis(vcpu),
                _ => {}
            }
        }
        // While LPIs are enabled, it is UNPREDICTABLE.
        (Register::Propbaser(part), Lpis::Disabled) => {
            let raw = part.replace(gic.propbaser().into_raw(), value);
            gic.set_propbaser(GicrPropbaser::new(raw));
        }
        (Register::Pendbaser(part), Lpis::Disabled) => {
            let raw = part.replace(gic.pendbaser(vcpu).into_raw(), value);
            gic.set_pendbaser(vcpu, GicrPendbaser::new(raw));
        }
        // The upper half of these names a vPE, and there are none.
        (Register::Invlpir(Part::Whole | Part::Low), Lpis::Enabled) => {
            if let Some(intid) = IntId::lpi(value as u32) {
                gic.invalidate(vcpu, intid);
            }
        }
        (Register::Invallr(Part::Whole | Part::Low), Lpis::Enabled) => gic.invalidate_all(vcpu),
        _ => {}
    }
}

/// Writes the 32 bits at `offset` as user space does. May sleep.
pub fn user_write<G: Redistributors + ?Sized>(gic: &G, vcpu: usize, offset: u32, value: u32) {
    match decode(offset, AccessSize::Word) {
        Some(Register::Status) => gic.set_redist_status(vcpu, value & STATUS_MASK),
        _ => write(gic, By::User, vcpu, offset, AccessSize::Word, value.into()),
    }
}
