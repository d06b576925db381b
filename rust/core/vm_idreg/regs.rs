// SPDX-License-Identifier: GPL-2.0

//! The ID registers of a VM: their values, and how a VMM changes them.

use core::fmt;

use crate::{
    bits::Bits,
    idreg::{
        IdAa64Mmfr3El1,
        IdAa64Pfr0El1,
        IdAa64Pfr2El1, //
    },
    sysreg::SysReg,
    vm_idreg::{
        config::{
            Source,
            VmConfig, //
        },
        features::{
            VmFeature,
            VmFeatures, //
        },
        host::HostIdRegs,
        space::{
            is_aarch32,
            Slot,
            SlotArray, //
        },
        table,
        view::{
            IdRegister,
            IdView, //
        },
    },
};

/// Why KVM_SET_ONE_REG refuses a value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SetError {
    /// The VM does not keep such a register. ENOENT, if nobody else knows it.
    Unknown,
    /// The value promises what the VM cannot have, or differs in what cannot be written. EINVAL.
    Invalid,
    /// The VM has run; only the value that it has is still accepted. EBUSY.
    Busy,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "not an ID register of a VM",
            Self::Invalid => "value exceeds what the VM can have",
            Self::Busy => "the VM has run",
        })
    }
}

/// The GIC that a VM has, made by KVM_CREATE_DEVICE.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum VmGic {
    /// None, or one that the VMM emulates.
    None,
    /// KVM_DEV_TYPE_ARM_VGIC_V2, which has no system registers.
    V2,
    /// KVM_DEV_TYPE_ARM_VGIC_V3.
    V3,
}

/// How far a VM is in its life.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// No vCPU has been initialised; there are no values.
    New,
    /// The VMM may change values.
    Open,
    /// The VM has run: the values stay.
    Frozen,
}

/// The ID registers that the vCPUs of a VM share.
///
/// See [`IdIndex`](crate::vm_idreg::IdIndex) for the range; kept here are those of Op1 0 and CRm 1
/// to 7, MIDR_EL1, REVIDR_EL1, AIDR_EL1 and CTR_EL0. To be protected by the VM's lock of its
/// configuration.
#[derive(Clone, Debug)]
pub struct VmIdRegs {
    values: SlotArray,
    limits: SlotArray,
    stage: Stage,
    aarch32_el0: bool,
    writable_implementation: bool,
}

impl VmIdRegs {
    /// Returns the registers of a VM that has no vCPU yet: all zero.
    pub const fn new() -> Self {
        Self {
            values: SlotArray::ZERO,
            limits: SlotArray::ZERO,
            stage: Stage::New,
            aarch32_el0: false,
            writable_implementation: false,
        }
    }

    /// Gives the registers their reset values, which are also the limits of what a VMM may write.
    ///
    /// To be called by each KVM_ARM_VCPU_INIT, once the vCPU features are known. Only the first call
    /// of a VM has an effect, so that a vCPU that is reset, or added, does not undo what the VMM
    /// wrote.
    pub fn init(&mut self, host: &HostIdRegs, config: &VmConfig) {
        if self.stage != Stage::New {
            return;
        }
        let source = Source { host, config };
        self.aarch32_el0 = host.has_aarch32_el0();
        for slot in Slot::all() {
            let reg = slot.reg();
            let theirs = host.raw(reg);
            let limit = if table::implementation_mask(reg).is_some() {
                theirs
            } else if is_aarch32(reg) && !self.aarch32_el0 {
                0
            } else {
                table::fields_of(slot)
                    .iter()
                    .fold(0, |limit, field| limit | field.limit(&source, theirs))
            };
            self.limits.set(slot, limit);
            self.values.set(slot, limit);
        }
        self.stage = Stage::Open;
    }

    /// Whether [`VmIdRegs::init`] has been called.
    #[inline]
    pub fn is_initialised(&self) -> bool {
        self.stage != Stage::New
    }

    /// Returns a register's value for KVM_GET_ONE_REG, or [`None`] if it is none of those that a VM
    /// keeps.
    #[inline]
    pub fn get(&self, reg: SysReg) -> Option<u64> {
        Slot::new(reg).map(|slot| self.values.get(slot))
    }

    /// Sets a register by KVM_SET_ONE_REG. `host` is what [`VmIdRegs::init`] got.
    ///
    /// The value that the register has is always accepted. AArch32 ID registers of a host that has
    /// no AArch32 ignore writes. Some values that earlier kernels showed are accepted and taken for
    /// what is shown now; see [`Write`](crate::vm_idreg::rule::Write).
    ///
    /// # Errors
    ///
    /// [`SetError`]; nothing is changed then.
    pub fn set(&mut self, host: &HostIdRegs, reg: SysReg, value: u64) -> Result<(), SetError> {
        let slot = Slot::new(reg).ok_or(SetError::Unknown)?;
        if value == self.values.get(slot) {
            return Ok(());
        }
        if let Some(mask) = table::implementation_mask(reg) {
            return self.set_implementation(slot, mask, value);
        }
        let fields = table::fields_of(slot);
        if is_aarch32(reg) && !self.aarch32_el0 && !fields.is_empty() {
            return Ok(());
        }
        let limit = self.limits.get(slot);
        let theirs = host.raw(reg);
        let value = fields
            .iter()
            .fold(value, |value, field| field.normalise(value, limit, theirs));
        match self.stage {
            _ if value == self.values.get(slot) => return Ok(()),
            Stage::New => return Err(SetError::Invalid),
            Stage::Frozen => return Err(SetError::Busy),
            Stage::Open => {}
        }
        let known = fields
            .iter()
            .fold(0, |mask, field| mask | field.info.mask());
        if value & !known != 0 || !fields.iter().all(|field| field.accepts(value, limit)) {
            return Err(SetError::Invalid);
        }
        self.values.set(slot, value);
        Ok(())
    }

    /// Sets MIDR_EL1, REVIDR_EL1 or AIDR_EL1, whose bits in `mask` exist, to another value.
    fn set_implementation(&mut self, slot: Slot, mask: u64, value: u64) -> Result<(), SetError> {
        if !self.writable_implementation {
            return Err(SetError::Invalid);
        }
        if self.stage == Stage::Frozen {
            return Err(SetError::Busy);
        }
        if self.stage == Stage::New || value & !mask != 0 {
            return Err(SetError::Invalid);
        }
        self.values.set(slot, value);
        Ok(())
    }

    /// Lets the VMM write MIDR_EL1, REVIDR_EL1 and AIDR_EL1: KVM_CAP_ARM_WRITABLE_IMP_ID_REGS.
    ///
    /// # Errors
    ///
    /// [`SetError::Invalid`] once a vCPU has been initialised. The capability is to be enabled before
    /// the first vCPU is created, which the caller checks.
    pub fn enable_writable_implementation(&mut self) -> Result<(), SetError> {
        if self.stage != Stage::New {
            return Err(SetError::Invalid);
        }
        self.writable_implementation = true;
        Ok(())
    }

    /// Returns the MIDR_EL1 that the guest is to read, for VPIDR_EL2; [`None`] if that is the
    /// physical CPU's.
    #[inline]
    pub fn virtual_midr(&self) -> Option<u64> {
        if self.writable_implementation {
            self.get(SysReg::MIDR_EL1)
        } else {
            None
        }
    }

    /// Whether MIDR_EL1, REVIDR_EL1 and AIDR_EL1 are the VM's own.
    #[inline]
    pub fn has_writable_implementation(&self) -> bool {
        self.writable_implementation
    }

    /// Shows the GIC that the VM has, when one is created.
    ///
    /// Before that ID_AA64PFR0_EL1 shows the system registers of a GIC if there could be one: VMMs
    /// read it from a VM without GIC and write it back into one that gets one.
    pub fn set_gic(&mut self, gic: VmGic) {
        if self.stage != Stage::Open {
            return;
        }
        let v3 = gic == VmGic::V3;
        self.change(|pfr0: IdAa64Pfr0El1| {
            pfr0.with_gic(if v3 { Bits::of::<1>() } else { Bits::of::<0>() })
        });
        self.change(|pfr2: IdAa64Pfr2El1| pfr2.with_gcie(Bits::of::<0>()));
        let slot = const { Slot::of(SysReg::ID_PFR1_EL1) };
        let others = self.values.get(slot) & !(0xf << 28);
        let v3 = u64::from(v3 && self.aarch32_el0);
        self.values.set(slot, others | (v3 << 28));
    }

    /// Makes the registers final when the VM first runs, and returns what they say.
    ///
    /// Shows the GIC that the VM has, and takes back what a VMM has left without something that it
    /// needs: FEAT_S1PIE and FEAT_S1POE without FEAT_TCR2 or FEAT_ATS1A, FEAT_S1POE without
    /// FEAT_HPDS. Further calls change nothing.
    pub fn freeze(&mut self, gic: VmGic) -> VmFeatures {
        if self.stage == Stage::Open {
            self.set_gic(gic);
            let features = VmFeatures::of(self);
            let pie = features.contains(VmFeature::Tcr2) && features.contains(VmFeature::Ats1a);
            let poe = pie && features.contains(VmFeature::Hpds);
            self.change(|mmfr3: IdAa64Mmfr3El1| {
                let mmfr3 = if pie {
                    mmfr3
                } else {
                    mmfr3.with_s1pie(Bits::of::<0>())
                };
                if poe {
                    mmfr3
                } else {
                    mmfr3.with_s1poe(Bits::of::<0>())
                }
            });
            self.stage = Stage::Frozen;
        }
        VmFeatures::of(self)
    }

    /// Replaces a register's value.
    fn change<R: IdRegister>(&mut self, change: impl FnOnce(R) -> R) {
        if let Some(slot) = Slot::new(R::REG) {
            let old = R::from_raw(self.values.get(slot));
            self.values.set(slot, change(old).into_raw());
        }
    }
}

impl Default for VmIdRegs {
    fn default() -> Self {
        Self::new()
    }
}

impl IdView for VmIdRegs {
    #[inline]
    fn raw(&self, reg: SysReg) -> u64 {
        self.values.raw(reg)
    }
}

/// Returns the registers of a VM that KVM_GET_REG_LIST has, those that are zero included.
pub fn one_reg_list() -> impl Iterator<Item = SysReg> {
    Slot::all().map(Slot::reg)
}
