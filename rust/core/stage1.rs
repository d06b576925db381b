// SPDX-License-Identifier: GPL-2.0

//! Where in a guest's stage 1 tables a descriptor is.
//!
//! When the CPU cannot read a descriptor, since the guest put its tables where no memory is, the
//! stage 2 abort names the address and the descriptor's page, but not the level of the descriptor,
//! which the External abort for the guest has to say.
//!
//! Source: Arm ARM, "The AArch64 Virtual Memory System Architecture", the VMSAv8-64 translation
//! process and its descriptor formats. 128-bit descriptors (FEAT_D128) are not covered: no VM has
//! them.

use crate::{
    bit_struct,
    bits::Bits,
    context::Context,
    esr::Level,
    granule::Granule,
    register::Reg, //
};

bit_struct! {
    /// Translation Control Register, EL1: the bits that shape the tables.
    pub struct TcrEl1("TCR_EL1") {
        /// 64 less the size of the lower half's addresses in bits.
        t0sz / with_t0sz: bits 0..=5,
        /// Whether the lower half has no table walks.
        epd0 / with_epd0: flag 7,
        /// The granule of the lower half.
        tg0 / with_tg0: bits 14..=15,
        /// 64 less the size of the upper half's addresses in bits.
        t1sz / with_t1sz: bits 16..=21,
        /// Whether the upper half has no table walks.
        epd1 / with_epd1: flag 23,
        /// The granule of the upper half; in numbers other than those of `tg0`.
        tg1 / with_tg1: bits 30..=31,
        /// The size of physical addresses; 6 means 52 bits.
        ips / with_ips: bits 32..=34,
        /// Whether granules of 4 and 16 KiB have 52-bit addresses (FEAT_LPA2).
        ds / with_ds: flag 59,
    }
}

bit_struct! {
    /// The bits of SCTLR_EL1 that a table walk depends on.
    pub struct SctlrWalk("SCTLR_EL1") {
        /// Stage 1 translation is on.
        m / with_m: flag 0,
        /// Tables are big-endian.
        ee / with_ee: flag 25,
    }
}

/// What one half of the address space is translated by.
#[derive(Copy, Clone, Debug)]
struct Walk {
    /// The address of the first table.
    table: u64,
    /// log2 of the granule.
    shift: u32,
    /// The size of input addresses in bits.
    input: u32,
    /// Whether addresses of tables have bits 51 to 48 in other places.
    wide: bool,
}

impl Walk {
    /// Returns the walk for address `va`, or [`None`] if there is none.
    fn of<C: Context + ?Sized>(vcpu: &C, va: u64) -> Option<Self> {
        let tcr = TcrEl1::from_raw(vcpu.sysreg(Reg::TCR_EL1));
        let upper = va & (1 << 55) != 0;
        let (disabled, size, granule, ttbr) = if upper {
            let granule = match tcr.tg1().get() {
                1 => Granule::K16,
                2 => Granule::K4,
                3 => Granule::K64,
                _ => return None,
            };
            (tcr.epd1(), tcr.t1sz(), granule, Reg::TTBR1_EL1)
        } else {
            let granule = match tcr.tg0().get() {
                0 => Granule::K4,
                1 => Granule::K64,
                2 => Granule::K16,
                _ => return None,
            };
            (tcr.epd0(), tcr.t0sz(), granule, Reg::TTBR0_EL1)
        };
        // The smallest TxSZ is 12, with 52-bit addresses, the largest 48 (FEAT_TTST).
        let size = size.get() as u32;
        if disabled || !(12..=48).contains(&size) {
            return None;
        }
        let shift = granule.shift();
        let input = 64 - size;
        let wide = match granule {
            Granule::K64 => tcr.ips() == 6,
            Granule::K4 | Granule::K16 => tcr.ds(),
        };
        // ASID is in bits 63 to 48, CnP in bit 0; with wide addresses bits 5 to 2 are 51 to 48.
        let base = vcpu.sysreg(ttbr);
        let table = if wide {
            (base & 0xffff_ffff_ffc0) | ((base & 0x3c) << 46)
        } else {
            base & 0xffff_ffff_fffe
        };
        Some(Self {
            table,
            shift,
            input,
            wide,
        })
    }

    /// The bits of an address that one level translates.
    fn stride(&self) -> u32 {
        self.shift - 3
    }

    /// The level of the first table, -1 to 3.
    fn first_level(&self) -> i8 {
        3 - ((self.input - 1).saturating_sub(self.shift) / self.stride()) as i8
    }

    /// The size of the first table in bytes, which it is aligned to. Bits of the base below that
    /// count as zero (Arm ARM, TTBR0_EL1, BADDR; a CPU may also do something worse to its guest).
    fn first_size(&self) -> u64 {
        let low = self.shift + self.stride() * (3 - self.first_level()) as u32;
        8 << self.input.saturating_sub(low)
    }

    /// Returns the address of the table that `descriptor` points to, or [`None`] if it is no table.
    fn next(&self, descriptor: u64, level: i8) -> Option<u64> {
        if descriptor & 3 != 3 || level == 3 {
            return None;
        }
        let low = descriptor & 0xffff_ffff_ffff & !((1 << self.shift) - 1);
        Some(match (self.wide, self.shift) {
            (false, _) => low,
            (true, 16) => low | ((descriptor & 0xf000) << 36),
            (true, _) => low | (descriptor & (3 << 48)) | ((descriptor & 0x300) << 42),
        })
    }
}

/// Returns the level of the descriptor for address `va` that is in the 4 KiB page at the guest
/// physical address `page`: that of HPFAR_EL2 in an abort with S1PTW set.
///
/// `read` returns the 8 bytes at a guest physical address, or [`None`] if there is no memory. It is
/// called at most five times, for addresses that the guest chooses.
///
/// [`None`] if no descriptor for `va` is there: another vCPU has changed the tables meanwhile. The
/// instruction is to be executed again then.
pub fn descriptor_level<C: Context + ?Sized>(
    vcpu: &C,
    va: u64,
    page: u64,
    mut read: impl FnMut(u64) -> Option<[u8; 8]>,
) -> Option<Level> {
    let sctlr = SctlrWalk::from_raw(vcpu.sysreg(Reg::SCTLR_EL1));
    if !sctlr.m() {
        return None;
    }
    let walk = Walk::of(vcpu, va)?;
    let va = va & (Bits::<52>::MAX >> (52 - walk.input));
    let first = walk.first_level();
    let mut table = walk.table & !(walk.first_size() - 1);
    for level in first..=3 {
        let low = walk.shift + walk.stride() * (3 - level) as u32;
        // The first level has what is left of the address, the others a full table.
        let index = (va >> low)
            & if level == first {
                u64::MAX
            } else {
                (1 << walk.stride()) - 1
            };
        let address = table.wrapping_add(index << 3);
        if address & !0xfff == page {
            return Level::new(level);
        }
        let bytes = read(address)?;
        let descriptor = if sctlr.ee() {
            u64::from_be_bytes(bytes)
        } else {
            u64::from_le_bytes(bytes)
        };
        table = walk.next(descriptor, level)?;
    }
    None
}
