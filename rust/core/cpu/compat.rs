// SPDX-License-Identifier: GPL-2.0

//! Whether another CPU can run vCPUs that were set up for the probed CPU.
//!
//! Only what the hypervisor relies on is compared: which registers exist and have to be switched or
//! trapped, what stage 2 and the GIC can do. Who made the core (MIDR_EL1) and which instructions it
//! adds are not its business, so clusters of different cores with one architecture pass.

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
        IdAa64Dfr1El1,
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

/// How a field of another CPU must compare to that of the probed CPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Rule {
    /// It must be the same: registers that only one CPU has would be left unswitched or untrapped.
    Same,
    /// It may be larger as a number: a capacity of which only the probed CPU's part is used.
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

/// Two CPUs differ in what the hypervisor relies on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The register's name.
    pub register: &'static str,
    /// The field's name, in lower case.
    pub field: &'static str,
    /// The field on the probed CPU.
    pub boot: u64,
    /// The field on the other CPU.
    pub other: u64,
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
            " is {:#x} on the probed CPU and {:#x} on this one, where it must be {}",
            self.boot,
            self.other,
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
            Same el0, Same el1, Same el2, Same fp, Same advsimd, Same gic, Same ras, Same sve,
            Same mpam, Same amu, AtLeast csv2, AtLeast csv3;
        IdAa64Pfr1El1(|cpu| cpu.pfr1.into_raw()):
            Same ssbs, Same mte, Same sme, Same nmi, Same gcs, Same the, Same df2, Same pfar;
        IdAa64Pfr2El1(|cpu| cpu.pfr2.into_raw()):
            Same fpmr, Same uinj;
        IdAa64Dfr0El1(|cpu| cpu.dfr0.into_raw()):
            Same debugver, Same tracever, Same pmuver, Same brps, Same wrps, Same ctx_cmps,
            Same pmsver, Same doublelock, Same tracefilt, Same tracebuffer, Same brbe, Same hpmn0;
        IdAa64Dfr1El1(|cpu| cpu.dfr1.into_raw()):
            Same brps, Same wrps, Same spmu, Same pmicntr, Same ebep;
        IdAa64Isar0El1(|cpu| cpu.isar0.into_raw()):
            AtLeast tlb;
        IdAa64Isar1El1(|cpu| cpu.isar1.into_raw()):
            Same apa, Same api, Same gpa, Same gpi, Same xs, Same ls64;
        IdAa64Isar2El1(|cpu| cpu.isar2.into_raw()):
            Same wfxt, Same apa3, Same gpa3, Same mops, Same sysreg_128, Same sysinstr_128;
        IdAa64Mmfr0El1(|cpu| cpu.mmfr0.into_raw()):
            AtLeast parange, Same tgran4, Same tgran16, Same tgran64, Same tgran4_2,
            Same tgran16_2, Same tgran64_2, Same fgt, Same ecv;
        IdAa64Mmfr1El1(|cpu| cpu.mmfr1.into_raw()):
            Same hafdbs, AtLeast vmidbits, Same vh, Same hpds, Same pan, Same lo, Same xnx,
            Same hcx, Same twed, Same tidcp1;
        IdAa64Mmfr2El1(|cpu| cpu.mmfr2.into_raw()):
            Same cnp, Same iesb, Same nv, Same ccidx, Same st, Same ids, Same fwb, AtLeast ttl,
            AtLeast bbm, Same evt;
        IdAa64Mmfr3El1(|cpu| cpu.mmfr3.into_raw()):
            Same tcrx, Same sctlrx, Same s1pie, Same s2pie, Same s1poe, Same s2poe, Same aie,
            Same d128, Same d128_2;
        CtrEl0(|cpu| cpu.ctr.into_raw()):
            AtLeast dminline, AtLeast iminline;
        IccSreEl2(|cpu| cpu.sre.into_raw()):
            Same sre;
        IchVtrEl2(|cpu| cpu.vtr.map_or(0, IchVtrEl2::into_raw)):
            AtLeast listregs, Same pribits, Same prebits, AtLeast idbits, Same a3v, Same nv4,
            Same tds, Same seis;
    };

    /// Compares `other`, any CPU of the machine, with `self`, the probed CPU, in what the hypervisor
    /// relies on; see [`CpuFeatures::RELIED_ON`].
    ///
    /// # Errors
    ///
    /// The first [`Mismatch`].
    pub fn compatible(&self, other: &Self) -> Result<(), Mismatch> {
        for relied in Self::RELIED_ON {
            let (boot, theirs) = (relied.value(self), relied.value(other));
            let holds = match relied.rule {
                Rule::Same => theirs == boot,
                Rule::AtLeast => theirs >= boot,
            };
            if !holds {
                return Err(Mismatch {
                    register: relied.register,
                    field: relied.field.name,
                    boot,
                    other: theirs,
                    rule: relied.rule,
                });
            }
        }
        Ok(())
    }
}
