// SPDX-License-Identifier: GPL-2.0

//! What a row of the table says.

use crate::{
    register::feature::Feature,
    sysreg::SysReg, //
};

/// Where a register is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Class {
    /// In the CPU between load and put, in memory otherwise.
    Deferred {
        /// The encoding by which EL2 with VHE reaches the guest's register; of a range, the first's.
        cpu: SysReg,
        /// The VM's feature without which it stays in memory.
        when: Feature,
        /// Whether the host's user space uses it, too, so that put gives it back.
        shared: bool,
    },
    /// In memory whenever the host runs; the world switch moves it.
    Immediate {
        /// Why it cannot wait for load and put.
        reason: &'static str,
    },
    /// Never in a CPU register.
    Emulated,
}

/// The value after KVM_ARM_VCPU_INIT.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Reset {
    /// A number.
    Value(u64),
    /// The architecture leaves it open: [`Reset::UNKNOWN`].
    Unknown,
    /// What the VM's ID registers say.
    Id,
    /// From the vCPU's number.
    Mpidr,
    /// The host's ACTLR_EL1.
    Actlr,
    /// The host's AMAIR_EL1.
    Amair,
}

impl Reset {
    /// What stands for an UNKNOWN value: easy to recognise in a dump, and no address of a guest.
    pub const UNKNOWN: u64 = 0x0bad_0bad_0bad_0bad;
}

/// What an access of the guest that traps does.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Trap {
    /// Reads and writes the register.
    Storage,
    /// Reads the register; a write is UNDEFINED.
    ReadOnly,
    /// Reads the register; a write is ignored.
    WriteIgnored,
    /// Reads as zero; a write is UNDEFINED.
    Raz,
    /// Reads as zero; a write is ignored.
    RazWi,
    /// UNDEFINED.
    Undef,
    /// An ID register of the VM; a write is UNDEFINED.
    Id,
    /// An ID register that the VM does not have: UNDEFINED, by EC 0x18 with FEAT_IDST.
    IdUndef,
    /// A control of the stage 1 translation: as `Storage`, and the set/way policy looks at it.
    VmControl,
    /// A debug register that the world switch moves.
    Debug,
    /// The OS lock.
    OsLock,
    /// The levels of cache.
    Clidr,
    /// The geometry of the cache that CSSELR_EL1 selects.
    Ccsidr,
    /// A counter.
    Counter,
    /// A register of a timer.
    Timer,
}

/// How KVM_GET_ONE_REG and KVM_SET_ONE_REG reach a register.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum User {
    /// They read and write it, and KVM_GET_REG_LIST lists it.
    Rw,
    /// As an ID register: the value is the VM's, and what may be written is limited.
    Id,
    /// As CLIDR_EL1: what may be written is limited by the cache type register.
    Clidr,
    /// As OSLSR_EL1: OSLM cannot be changed.
    OsLock,
    /// As a counter: writing sets the offset.
    Counter,
    /// As a core register, by an id that is not that of a system register.
    Core,
    /// Not at all.
    None,
}

/// A pair of fine-grained trap registers, one for reads and one for writes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FgtGroup {
    /// HFGRTR_EL2 and HFGWTR_EL2.
    Hfg,
    /// HDFGRTR_EL2 and HDFGWTR_EL2.
    Hdfg,
}

/// A register's bit in a pair of fine-grained trap registers.
///
/// It has the same place in both; that of a register that one of them has no bit for is RES0 there.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FgtBit {
    /// The registers.
    pub group: FgtGroup,
    /// The bit's number, 0 to 63.
    pub bit: u8,
    /// Whether 0 traps (the architecture's name begins with `n`), or 1.
    pub traps_if_clear: bool,
    /// Whether the trap of writes may tell that the register is to be saved; see
    /// [`lazy`](crate::lazy).
    pub tracks_writes: bool,
}

/// A register, or a range of them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The architecture's name; of a range, the common part and the first number.
    pub name: &'static str,
    /// The encoding, of a range the first one's.
    pub first: SysReg,
    /// The number of registers.
    pub count: u16,
    /// By how much the packed encoding grows from one register of a range to the next.
    pub stride: u16,
    /// Where it is.
    pub class: Class,
    /// The feature it comes with.
    pub gate: Feature,
    /// Its value after a reset.
    pub reset: Reset,
    /// What a trapped access does.
    pub trap: Trap,
    /// How userspace reaches it.
    pub user: User,
    /// Its fine-grained trap.
    pub fgt: Option<FgtBit>,
    /// What it is.
    pub doc: &'static str,
}

impl Row {
    /// Returns the encoding of register `n` of the range; `n` is below `count`.
    #[inline]
    pub const fn encoding(&self, n: u16) -> SysReg {
        SysReg::from_raw(self.first.into_raw() + n * self.stride)
    }
}
