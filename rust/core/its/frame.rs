// SPDX-License-Identifier: GPL-2.0

//! The registers, in the order of their offsets in an ITS's frame of two times 64 KiB.
//!
//! The second half has GITS_TRANSLATER alone, which reads as zero. A vCPU's write to it is ignored:
//! it carries no DeviceID. Devices' messages come by way of KVM_SIGNAL_MSI and irqfd.
//!
//! Source: IHI 0069, "ITS register map" and "Identification registers"; arm-vgic-its.rst,
//! "KVM_DEV_ARM_VGIC_GRP_ITS_REGS".

use super::{
    env::{
        Environment,
        Forget, //
    },
    id::{
        DEVICE_BITS,
        EVENT_BITS, //
    },
    register::{
        Baser,
        Cbaser,
        TableKind,
        ENTRY_SIZE, //
    },
    state::{
        Its,
        Storage, //
    },
};
use crate::{
    bit_struct,
    bits::Bits, //
};

/// The size of an ITS's frame in bytes.
pub const FRAME_SIZE: u64 = 0x2_0000;

/// What the frame is aligned to.
pub const FRAME_ALIGN: u64 = 0x1_0000;

/// The offset of GITS_TRANSLATER, which messages are written to.
pub const TRANSLATER: u64 = 0x1_0040;

/// Arm's JEP106 code.
const IMPLEMENTER: Bits<12> = Bits::of::<0x43b>();

/// KVM's product number.
const PRODUCT: Bits<8> = Bits::of::<0x4b>();

bit_struct! {
    /// The control register.
    pub struct Ctlr("GITS_CTLR") {
        /// Commands are carried out and messages translated.
        enabled / with_enabled: flag 0,
        /// Nothing is going on.
        quiescent / with_quiescent: flag 31,
    }
}

bit_struct! {
    /// The implementer identification register.
    pub struct Iidr("GITS_IIDR") {
        /// The JEP106 code of who made it.
        implementer / with_implementer: bits 0..=11,
        /// The revision of the tables' ABI.
        revision / with_revision: bits 12..=15,
        /// What it is.
        product / with_product: bits 24..=31,
    }
}

bit_struct! {
    /// The type register.
    pub struct Typer("GITS_TYPER") {
        /// It has physical LPIs.
        physical / with_physical: flag 0,
        /// The number of bytes of an ITT entry less one.
        itt_entry_size / with_itt_entry_size: bits 4..=7,
        /// The number of EventID bits less one.
        id_bits / with_id_bits: bits 8..=12,
        /// The number of DeviceID bits less one.
        dev_bits / with_dev_bits: bits 13..=17,
    }
}

/// GITS_IIDR. The revision is that of the tables' ABI.
const IIDR: u64 = Iidr::from_raw(0)
    .with_implementer(IMPLEMENTER)
    .with_revision(Bits::of::<0>())
    .with_product(PRODUCT)
    .into_raw();

/// GITS_TYPER: physical LPIs, redistributors by number (PTA is 0), collections in memory only (HCC
/// is 0) and of 16 bits (CIL is 0).
const TYPER: u64 = Typer::from_raw(0)
    .with_physical(true)
    .with_itt_entry_size(Bits::truncated(ENTRY_SIZE - 1))
    .with_id_bits(Bits::truncated(EVENT_BITS as u64 - 1))
    .with_dev_bits(Bits::truncated(DEVICE_BITS as u64 - 1))
    .into_raw();

/// A register.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Register {
    Ctlr,
    Iidr,
    Typer,
    Cbaser,
    Cwriter,
    Creadr,
    Devices,
    Collections,
    /// One of GITS_BASER2 to 7, which are not implemented: RES0.
    NoTable,
    /// An identification register with this value.
    Identification(u8),
}

/// The offset of the first identification register, GITS_PIDR4.
const IDENTIFICATION: u64 = 0xffd0;

impl Register {
    /// Returns the register that `offset` lies in.
    fn at(offset: u64) -> Option<Self> {
        Some(match offset {
            0x0000..=0x0003 => Self::Ctlr,
            0x0004..=0x0007 => Self::Iidr,
            0x0008..=0x000f => Self::Typer,
            0x0080..=0x0087 => Self::Cbaser,
            0x0088..=0x008f => Self::Cwriter,
            0x0090..=0x0097 => Self::Creadr,
            0x0100..=0x0107 => Self::Devices,
            0x0108..=0x010f => Self::Collections,
            0x0110..=0x013f => Self::NoTable,
            // GITS_PIDR0 to 4: part 0x492 of Arm, GICv3, a frame of 64 KiB. GITS_CIDR0 to 3.
            IDENTIFICATION..=0xffff => Self::Identification(match offset & !3 {
                0xffd0 => 0x40,
                0xffe0 => 0x92,
                0xffe4 => 0xb4,
                0xffe8 => 0x3b,
                0xfff0 => 0x0d,
                0xfff4 => 0xf0,
                0xfff8 => 0x05,
                0xfffc => 0xb1,
                _ => 0,
            }),
            _ => return None,
        })
    }

    /// Whether it has 64 bits, not 32.
    fn is_wide(self) -> bool {
        !matches!(self, Self::Ctlr | Self::Iidr | Self::Identification(_))
    }
}

/// The part of a register that an access is to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Part {
    register: Register,
    shift: u32,
    mask: u64,
}

impl Part {
    /// Returns what an access of `len` bytes at `offset` is to: a register or one half of a wide one.
    fn of(offset: u64, len: usize) -> Option<Self> {
        let register = Register::at(offset)?;
        let (shift, mask) = match (len, register.is_wide(), offset % 8) {
            (8, true, 0) => (0, u64::MAX),
            (4, true, 0) => (0, u32::MAX.into()),
            (4, true, 4) => (32, u32::MAX.into()),
            (4, false, 0 | 4) => (0, u32::MAX.into()),
            _ => return None,
        };
        Some(Self {
            register,
            shift,
            mask,
        })
    }

    fn read(self, value: u64) -> u64 {
        (value >> self.shift) & self.mask
    }

    fn write(self, old: u64, value: u64) -> u64 {
        (old & !(self.mask << self.shift)) | ((value & self.mask) << self.shift)
    }
}

/// Why an access of user space is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The offset is not aligned to the register's size; EINVAL.
    Unaligned,
    /// There is no such register; ENXIO.
    Unknown,
    /// The ITS is enabled; EBUSY.
    Enabled,
    /// The value is not one that the register can have; EINVAL.
    Value,
}

/// Returns the register of a KVM_DEV_ARM_VGIC_GRP_ITS_REGS attribute.
///
/// # Errors
///
/// [`Refused::Unaligned`] or [`Refused::Unknown`].
fn attribute(offset: u64) -> Result<Register, Refused> {
    let align = if (8..IDENTIFICATION).contains(&offset) {
        8
    } else {
        4
    };
    if offset % align != 0 {
        return Err(Refused::Unaligned);
    }
    Register::at(offset).ok_or(Refused::Unknown)
}

/// Checks that user space has a register of this offset: KVM_HAS_DEVICE_ATTR.
///
/// # Errors
///
/// [`Refused::Unaligned`] or [`Refused::Unknown`].
pub fn check_attribute(offset: u64) -> Result<(), Refused> {
    attribute(offset).map(|_| ())
}

impl<S: Storage> Its<S> {
    /// Returns what a vCPU reads with `len` bytes at `offset`: zero where there is no register, and
    /// for an access that the register does not have.
    pub fn read(&self, offset: u64, len: usize) -> u64 {
        Part::of(offset, len).map_or(0, |part| part.read(self.get(part.register)))
    }

    /// A vCPU writes `len` bytes at `offset`. What it cannot write is ignored. The caller goes on
    /// with [`process`](Self::process).
    pub fn write<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        offset: u64,
        len: usize,
        value: u64,
    ) {
        if let Some(part) = Part::of(offset, len) {
            self.set(
                env,
                part.register,
                part.write(self.get(part.register), value),
            );
        }
    }

    /// Returns the register that user space reads, whole.
    ///
    /// # Errors
    ///
    /// [`Refused::Unaligned`] or [`Refused::Unknown`].
    pub fn user_read(&self, offset: u64) -> Result<u64, Refused> {
        Ok(self.get(attribute(offset)?))
    }

    /// User space writes a register, whole. Registers that a vCPU cannot write are not changed,
    /// GITS_CREADR excepted. The caller goes on with [`process`](Self::process).
    ///
    /// # Errors
    ///
    /// [`Refused`]; for GITS_IIDR [`Refused::Value`] if it names a revision of the tables' ABI other
    /// than 0.
    pub fn user_write<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        offset: u64,
        value: u64,
    ) -> Result<(), Refused> {
        match attribute(offset)? {
            Register::Iidr if Iidr::from_raw(value).revision() != 0 => Err(Refused::Value),
            Register::Creadr if self.registers.enabled => Err(Refused::Enabled),
            Register::Creadr => {
                self.registers.creadr = self.registers.queue.offset(value).ok_or(Refused::Value)?;
                Ok(())
            }
            register => {
                self.set(env, register, value);
                Ok(())
            }
        }
    }

    fn get(&self, register: Register) -> u64 {
        let registers = &self.registers;
        match register {
            // A command is complete when the register is read; those behind it do not begin in an
            // ITS that is disabled.
            Register::Ctlr => Ctlr::from_raw(0)
                .with_enabled(registers.enabled)
                .with_quiescent(!registers.enabled || registers.creadr == registers.cwriter)
                .into_raw(),
            Register::Iidr => IIDR,
            Register::Typer => TYPER,
            Register::Cbaser => registers.queue.into_raw(),
            Register::Cwriter => registers.cwriter,
            Register::Creadr => registers.creadr,
            Register::Devices => registers.devices.into_raw(),
            Register::Collections => registers.collections.into_raw(),
            Register::NoTable => 0,
            Register::Identification(value) => value.into(),
        }
    }

    fn set<E: Environment<Lpi = S::Lpi> + ?Sized>(
        &mut self,
        env: &E,
        register: Register,
        value: u64,
    ) {
        let enabled = self.registers.enabled;
        match register {
            Register::Ctlr => self.set_enabled(env, Ctlr::from_raw(value).enabled()),
            Register::Cwriter => {
                if let Some(offset) = self.registers.queue.offset(value) {
                    self.registers.cwriter = offset;
                }
            }
            // While it is enabled what follows is read-only (or UNPREDICTABLE).
            _ if enabled => {}
            Register::Cbaser => {
                self.registers.queue = Cbaser::from_raw(value).written();
                // With GITS_CWRITER, or there would be commands in it that nobody wrote.
                self.registers.creadr = 0;
                self.registers.cwriter = 0;
            }
            // Guests write what a register has already when they resume: that changes nothing.
            Register::Devices => {
                let new = Baser::from_raw(value).written(TableKind::Devices);
                if new != self.registers.devices {
                    self.registers.devices = new;
                    self.unmap_devices(env);
                }
            }
            Register::Collections => {
                let new = Baser::from_raw(value).written(TableKind::Collections);
                if new != self.registers.collections {
                    self.registers.collections = new;
                    self.unmap_collections(env);
                }
            }
            Register::Iidr
            | Register::Typer
            | Register::Creadr
            | Register::NoTable
            | Register::Identification(_) => {}
        }
    }

    /// Enabling it without tables and queue is UNPREDICTABLE: it stays disabled.
    fn set_enabled<E: Environment<Lpi = S::Lpi> + ?Sized>(&mut self, env: &E, enabled: bool) {
        let registers = &mut self.registers;
        if enabled {
            registers.enabled |= registers.devices.valid()
                && registers.collections.valid()
                && registers.queue.valid();
        } else {
            registers.enabled = false;
            env.forget(Forget::All);
        }
    }
}
