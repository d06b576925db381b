// SPDX-License-Identifier: GPL-2.0

//! Whether a CPU can run vCPUs that were set up for the system.
//!
//! The hypervisor offers what the whole system has. Each CPU must have that; what one has beyond it
//! is not used and is trapped. Only what the hypervisor relies on is compared: features that it
//! decides by, and what stage 2 and the GIC can do. Who made the core (MIDR_EL1) and which
//! instructions it adds are not its business, so clusters of different cores pass.

use core::fmt::{
    self,
    Write, //
};

use crate::{
    bit_struct::FieldInfo,
    cpu::registers::CpuFeatures,
    idreg::{
        CtrEl0,
        IccSreEl2,
        IchVtrEl2,
        IdAa64Dfr0El1,
        IdAa64Isar0El1,
        IdAa64Isar1El1,
        IdAa64Isar2El1,
        IdAa64Mmfr0El1,
        IdAa64Mmfr1El1,
        IdAa64Mmfr2El1,
        IdAa64Mmfr3El1,
        IdAa64Pfr0El1,
        IdAa64Pfr1El1,
        IdAa64Pfr2El1, //
    },
};

/// How a field of a CPU must compare to that of the system.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Rule {
    /// It must be the same: the kernel knows no value of it that holds for all CPUs.
    Same,
    /// It may be larger as a number: what is beyond the system's value is not used.
    AtLeast,
}

/// A field that the hypervisor relies on.
#[derive(Copy, Clone, Debug)]
pub struct ReliedOn {
    /// The register's name.
    pub register: &'static str,
    /// The field.
    pub field: FieldInfo,
    /// How it must compare.
    pub rule: Rule,
    /// Returns the register's value; zero if the CPU has none.
    register_of: fn(&CpuFeatures) -> u64,
}

impl ReliedOn {
    /// Returns the field's bits on `cpu`, moved down to bit 0.
    pub fn value(&self, cpu: &CpuFeatures) -> u64 {
        self.field.extract((self.register_of)(cpu))
    }
}

/// Declares the table. A field that the register does not have fails to compile.
macro_rules! relied_on {
    ($($register:ident($register_of:expr): $($rule:ident $field:ident),*;)*) => {
        &[$($(
            ReliedOn {
                register: $register::NAME,
                field: const {
                    match FieldInfo::find($register::FIELDS, stringify!($field)) {
                        Some(field) => field,
                        None => panic!("the register has no such field"),
                    }
                },
                rule: Rule::$rule,
                register_of: $register_of,
            },
        )*)*]
    };
}

/// A CPU lacks what the hypervisor relies on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The register's name.
    pub register: &'static str,
    /// The field's name, in lower case.
    pub field: &'static str,
    /// The field of the system.
    pub system: u64,
    /// The field of the CPU.
    pub cpu: u64,
    /// The rule that does not hold.
    pub rule: Rule,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.register)?;
        for letter in self.field.chars() {
            f.write_char(letter.to_ascii_uppercase())?;
        }
        write!(
            f,
            " is {:#x} system-wide and {:#x} on this CPU, where it must be {}",
            self.system,
            self.cpu,
            match self.rule {
                Rule::Same => "the same",
                Rule::AtLeast => "no less",
            }
        )
    }
}

impl CpuFeatures {
    /// The fields that [`CpuFeatures::compatible`] compares, in its order.
    pub const RELIED_ON: &'static [ReliedOn] = relied_on! {
        IdAa64Pfr0El1(|cpu| cpu.pfr0.into_raw()):
            AtLeast el0, AtLeast el1, AtLeast el2, AtLeast gic, AtLeast ras, AtLeast sve;
        IdAa64Pfr1El1(|cpu| cpu.pfr1.into_raw()):
            AtLeast mte, AtLeast sme;
        IdAa64Pfr2El1(|cpu| cpu.pfr2.into_raw()):
            AtLeast fpmr;
        IdAa64Dfr0El1(|cpu| cpu.dfr0.into_raw()):
            AtLeast pmuver, AtLeast brps, AtLeast wrps;
        IdAa64Isar0El1(|cpu| cpu.isar0.into_raw()):
            AtLeast tlb;
        IdAa64Isar1El1(|cpu| cpu.isar1.into_raw()):
            AtLeast apa, AtLeast api, AtLeast gpa, AtLeast gpi;
        IdAa64Isar2El1(|cpu| cpu.isar2.into_raw()):
            AtLeast wfxt, AtLeast apa3, AtLeast gpa3;
        IdAa64Mmfr0El1(|cpu| cpu.mmfr0.into_raw()):
            AtLeast parange, AtLeast tgran4_2, AtLeast tgran16_2, AtLeast tgran64_2, AtLeast fgt,
            AtLeast ecv;
        IdAa64Mmfr1El1(|cpu| cpu.mmfr1.into_raw()):
            AtLeast hafdbs, AtLeast vmidbits, AtLeast vh, AtLeast xnx, AtLeast hcx;
        IdAa64Mmfr2El1(|cpu| cpu.mmfr2.into_raw()):
            AtLeast ids, AtLeast fwb, AtLeast ttl, AtLeast bbm, AtLeast evt;
        IdAa64Mmfr3El1(|cpu| cpu.mmfr3.into_raw()):
            AtLeast tcrx, AtLeast sctlrx, AtLeast s1pie, AtLeast s1poe;
        CtrEl0(|cpu| cpu.ctr.into_raw()):
            AtLeast dminline, AtLeast iminline;
        IccSreEl2(|cpu| cpu.sre.into_raw()):
            Same sre;
        IchVtrEl2(|cpu| cpu.vtr.map_or(0, IchVtrEl2::into_raw)):
            Same listregs, Same pribits, Same prebits, Same idbits, Same a3v, Same nv4, Same tds,
            Same seis;
    };

    /// Compares `cpu` with `self`, the system, in what the hypervisor relies on; see
    /// [`CpuFeatures::RELIED_ON`].
    ///
    /// # Errors
    ///
    /// The first [`Mismatch`].
    pub fn compatible(&self, cpu: &Self) -> Result<(), Mismatch> {
        for relied in Self::RELIED_ON {
            let (system, theirs) = (relied.value(self), relied.value(cpu));
            let holds = match relied.rule {
                Rule::Same => theirs == system,
                Rule::AtLeast => theirs >= system,
            };
            if !holds {
                return Err(Mismatch {
                    register: relied.register,
                    field: relied.field.name,
                    system,
                    cpu: theirs,
                    rule: relied.rule,
                });
            }
        }
        Ok(())
    }
}
