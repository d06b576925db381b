// SPDX-License-Identifier: GPL-2.0

//! Accesses of a guest to addresses that have no memory, which a device emulation serves.
//!
//! [`decode`] turns the stage 2 data abort into an [`Outcome`]. An access goes to a device in the
//! kernel or, as KVM_EXIT_MMIO, in userspace; [`PendingMmio`] keeps what is needed to finish it.
//!
//! Source: Arm ARM, ESR_EL2, "ISS encoding for an exception from a Data Abort"; api.rst,
//! "KVM_EXIT_MMIO" and "KVM_EXIT_ARM_NISV / KVM_EXIT_ARM_LDST64B".

use crate::{
    bit_struct,
    bits::Bits,
    context::{
        Context,
        Gpr, //
    },
    esr::{
        AccessSize,
        DataAbort,
        Esr,
        FaultStatus, //
    },
    far::{
        fault_ipa,
        HpfarEl2, //
    },
    pstate::Mode,
    register::Reg, //
};

bit_struct! {
    /// The bits of SCTLR_EL1 that say in which order data is.
    pub struct SctlrEndian("SCTLR_EL1") {
        /// Whether data of EL0 is big-endian.
        e0e / with_e0e: flag 24,
        /// Whether data of EL1, and translation tables, are big-endian.
        ee / with_ee: flag 25,
    }
}

/// The order of bytes in memory.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Endian {
    /// The least significant byte first.
    Little,
    /// The most significant byte first.
    Big,
}

impl Endian {
    /// Returns the order in which the vCPU accesses data now.
    pub fn of<C: Context + ?Sized>(vcpu: &C) -> Self {
        let pstate = vcpu.pstate();
        let big = match pstate.aarch32() {
            Some(aarch32) => aarch32.e(),
            None => {
                let sctlr = SctlrEndian::from_raw(vcpu.sysreg(Reg::SCTLR_EL1));
                match pstate.mode() {
                    Mode::El0t => sctlr.e0e(),
                    _ => sctlr.ee(),
                }
            }
        };
        if big {
            Self::Big
        } else {
            Self::Little
        }
    }
}

/// A load that waits for its data.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Load {
    size: AccessSize,
    register: Gpr,
    register_64: bool,
    sign_extend: bool,
    endian: Endian,
}

impl Load {
    /// Returns the register's new value from `data`, of which the first bytes, as many as the
    /// access has, are as they would be in memory.
    #[inline]
    pub fn value(self, data: [u8; 8]) -> u64 {
        let unused = 64 - 8 * u32::from(self.size.bytes());
        // The bytes that count at the top, the last one in reading order uppermost for little.
        let top = match self.endian {
            Endian::Little => u64::from_le_bytes(data) << unused,
            Endian::Big => u64::from_be_bytes(data) >> unused << unused,
        };
        let value = if self.sign_extend {
            ((top as i64) >> unused) as u64
        } else {
            top >> unused
        };
        if self.register_64 {
            value
        } else {
            value & u64::from(u32::MAX)
        }
    }
}

/// Which way the data goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Direction {
    /// A store. The first bytes, as many as the access has, are as they would be in memory; the
    /// others are zero.
    Write([u8; 8]),
    /// A load.
    Read(Load),
}

/// A load or store of one general register.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MmioAccess {
    /// The guest physical address of its first byte.
    pub ipa: u64,
    /// Its size: `len` of KVM_EXIT_MMIO.
    pub size: AccessSize,
    /// Its data.
    pub direction: Direction,
}

/// What KVM_EXIT_ARM_NISV and KVM_EXIT_ARM_LDST64B tell userspace.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Undecoded {
    /// What is valid of ESR_EL2.
    pub esr_iss: u64,
    /// The guest physical address.
    pub fault_ipa: u64,
}

/// What has to be done about a data abort at an address without memory, or a write to memory that
/// is read-only for the guest.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// An access of a device. See [`PendingMmio::start`].
    Access(MmioAccess),
    /// The CPU does not say what the access was. KVM_EXIT_ARM_NISV if the VM has
    /// KVM_CAP_ARM_NISV_TO_USER; KVM_RUN fails with ENOSYS otherwise (api.rst, 4.10).
    ///
    /// The instruction is not skipped.
    NoSyndrome(Undecoded),
    /// LD64B, ST64B, ST64BV or ST64BV0: KVM_EXIT_ARM_LDST64B.
    LoadStore64B(Undecoded),
    /// Cache maintenance: of what has no memory nothing is cached, and in memory that is read-only
    /// for the guest there is nothing of its own to lose or to write back. The instruction is
    /// skipped.
    Skip,
    /// A stage 1 table is where no memory is, or the table walker updates one in read-only memory.
    /// Nobody can serve that: the guest gets an External abort on the walk.
    Walk {
        /// The virtual address of the access that needed the table, for FAR_EL1.
        far: u64,
        /// The guest physical address of the 4 KiB page that the descriptor is in. A walk of the
        /// guest's tables tells at which level that is.
        table: u64,
    },
}

/// Returns what to do about a stage 2 data abort that is no matter of mapping memory.
///
/// `esr`, `far` and `hpfar` are ESR_EL2, FAR_EL2 and HPFAR_EL2, the last one valid or found
/// otherwise. The fault is one of translation, access flag or permission: External aborts, whose
/// FAR_EL2 may not be valid, do not come here.
pub fn decode<C: Context + ?Sized>(vcpu: &C, esr: Esr, far: u64, hpfar: HpfarEl2) -> Outcome {
    let iss = DataAbort::from_raw(esr.payload());
    if iss.s1ptw() {
        return Outcome::Walk {
            far,
            table: hpfar.page(),
        };
    }
    if iss.cm() {
        return Outcome::Skip;
    }
    let ipa = fault_ipa(hpfar, far);
    let Some(access) = iss.access() else {
        let valid = DataAbort::from_raw(0)
            .with_dfsc(iss.dfsc())
            .with_wnr(iss.wnr())
            .with_cm(iss.cm());
        return Outcome::NoSyndrome(Undecoded {
            esr_iss: valid.into_raw(),
            fault_ipa: ipa,
        });
    };
    if is_64_bytes(iss) {
        let esr_iss = esr.into_raw() & !Bits::<6>::MAX;
        return Outcome::LoadStore64B(Undecoded {
            esr_iss,
            fault_ipa: ipa,
        });
    }
    let register = Gpr::from_bits(access.register);
    let endian = Endian::of(vcpu);
    let direction = if access.write {
        Direction::Write(bytes(vcpu.gpr(register), access.size, endian))
    } else {
        Direction::Read(Load {
            size: access.size,
            register,
            register_64: access.register_64,
            sign_extend: access.sign_extend,
            endian,
        })
    };
    Outcome::Access(MmioAccess {
        ipa,
        size: access.size,
        direction,
    })
}

/// Whether the access is one of the 64-byte instructions of FEAT_LS64: bits 12 and 11 are LST for
/// these faults, and zero for any other instruction.
const fn is_64_bytes(iss: DataAbort) -> bool {
    let has_lst = matches!(
        iss.status(),
        FaultStatus::Translation(_) | FaultStatus::AccessFlag(_) | FaultStatus::Permission(_)
    );
    has_lst && iss.set().get() != 0
}

/// Returns the low bytes of `value`, as many as `size` has, in the order of memory.
#[inline]
fn bytes(value: u64, size: AccessSize, endian: Endian) -> [u8; 8] {
    let unused = 64 - 8 * u32::from(size.bytes());
    match endian {
        Endian::Little => (value << unused >> unused).to_le_bytes(),
        Endian::Big => (value << unused).to_be_bytes(),
    }
}

/// What is left to do of an access when its device has answered.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Unfinished {
    /// ESR_EL2 of the abort.
    esr: Esr,
    /// [`None`] for a store.
    load: Option<Load>,
}

/// The access that a vCPU has waiting for its device: none or one.
///
/// `struct kvm_run` is memory that userspace may change at any time. So all that decides how the
/// access ends is kept here, from the moment of the abort on, and only the data of a load is taken
/// from there. It is not part of the state that userspace can save (api.rst, the note at
/// KVM_EXIT_MMIO); a vCPU that is thrown away or reset takes it along.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct PendingMmio(Option<Unfinished>);

impl PendingMmio {
    /// No access is waiting.
    pub const NONE: Self = Self(None);

    /// Makes `access`, whose abort had `esr` as ESR_EL2, the one that waits.
    #[inline]
    pub fn start(&mut self, access: &MmioAccess, esr: Esr) {
        let load = match access.direction {
            Direction::Write(_) => None,
            Direction::Read(load) => Some(load),
        };
        self.0 = Some(Unfinished { esr, load });
    }

    /// Whether an access is waiting.
    #[inline]
    pub const fn is_pending(&self) -> bool {
        self.0.is_some()
    }

    /// Finishes the access: a load's register gets its value, and the instruction is skipped.
    ///
    /// `data` is `mmio.data` of `struct kvm_run`, or what a device in the kernel answered; a store
    /// does not look at it. To be called with the vCPU loaded at the begin of KVM_RUN, so that a
    /// vCPU which is stepped stops after the instruction. Does nothing, and returns false, if no
    /// access is waiting.
    #[inline]
    pub fn finish<C: Context + ?Sized>(&mut self, vcpu: &mut C, data: [u8; 8]) -> bool {
        let Some(Unfinished { esr, load }) = self.0.take() else {
            return false;
        };
        if let Some(load) = load {
            vcpu.set_gpr(load.register, load.value(data));
        }
        vcpu.advance(esr);
        true
    }

    /// Forgets the access, which is neither finished nor skipped: the vCPU is reset, or takes an
    /// External abort instead (`ext_dabt_pending` of KVM_SET_VCPU_EVENTS).
    #[inline]
    pub fn cancel(&mut self) {
        self.0 = None;
    }
}
