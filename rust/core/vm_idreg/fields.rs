// SPDX-License-Identifier: GPL-2.0

//! The fields of the AArch64 ID registers and of CTR_EL0.
//!
//! A field that is not here is zero in every VM and cannot be written. Which fields can be written,
//! and how, is ABI: the masks of KVM_ARM_GET_REG_WRITABLE_MASKS are those of C KVM.

use crate::{
    bit_struct::FieldInfo,
    idreg::{
        CtrEl0,
        IdAa64Dfr0El1,
        IdAa64Fpfr0El1,
        IdAa64Isar0El1,
        IdAa64Isar1El1,
        IdAa64Isar2El1,
        IdAa64Isar3El1,
        IdAa64Mmfr0El1,
        IdAa64Mmfr1El1,
        IdAa64Mmfr2El1,
        IdAa64Mmfr3El1,
        IdAa64Mmfr4El1,
        IdAa64Pfr0El1,
        IdAa64Pfr1El1,
        IdAa64Pfr2El1,
        IdAa64Zfr0El1, //
    },
    vm_idreg::{
        config::{
            has_mte,
            has_pauth,
            has_pmu,
            has_sve,
            Source, //
        },
        rule::{
            Field,
            Limit::{
                self,
                AtMost,
                By,
                Hidden,
                Host,
                If, //
            },
            Write::{
                self,
                DownTo,
                Fixed,
                FixedOrHost,
                FixedOrZero,
                Higher,
                Or, //
            },
        },
        view::IdView, //
    },
};

const LOWER: Write = Write::LOWER;
const LOWER_SIGNED: Write = Write::LOWER_SIGNED;

/// The PMU that is emulated has the events and registers of this version at most: FEAT_PMUv3p5.
const PMU_V3P5: u64 = 6;

/// The debug registers are given to the guest as they are up to this version: FEAT_Debugv8p8.
/// FEAT_Debugv8p9 adds MDSELR_EL1, which would have to be switched.
pub(crate) const DEBUG_V8P8: u64 = 10;

/// Declares the fields of a register. A field that the register does not have fails to compile.
macro_rules! fields {
    ($register:ident: $($field:ident: $write:expr, $limit:expr;)*) => {
        &[$(Field::named(
            $register::FIELDS,
            stringify!($field),
            $write,
            $limit,
        )),*]
    };
}

pub(crate) const PFR0: &[Field] = fields! { IdAa64Pfr0El1:
    // No VM can be without AArch64.
    el0: DownTo(1), Host;
    el1: DownTo(1), By(|source, host| {
        if source.config.offer.aarch32_el1 { host } else { host.min(1) }
    });
    el2: LOWER, Host;
    el3: LOWER, Host;
    // There is no architecture without floating-point in Linux's eyes.
    fp: Fixed, Host;
    advsimd: Fixed, Host;
    // A VM may get a vGIC later; what it has in the end is told to `VmIdRegs`.
    // Of GICv4.1 a guest sees nothing.
    gic: LOWER, By(|source, host| {
        if source.config.offer.gicv3 { host.min(1) } else { 0 }
    });
    ras: LOWER, Host;
    sve: Fixed, If(has_sve);
    sel2: LOWER, Host;
    mpam: FixedOrHost, Hidden;
    amu: Fixed, Hidden;
    dit: LOWER, Host;
    rme: LOWER, Hidden;
    // More than 1 would promise SCXTNUM_EL1, which is not virtualized.
    csv2: LOWER, By(|source, host| {
        if source.host.facts().spectre_v2_unaffected { 1 } else { host.min(1) }
    });
    csv3: LOWER, By(|source, host| {
        if source.host.facts().meltdown_unaffected { 1 } else { host.min(1) }
    });
};

pub(crate) const PFR1: &[Field] = fields! { IdAa64Pfr1El1:
    bt: LOWER, Host;
    ssbs: LOWER, Host;
    mte: Fixed, If(has_mte);
    // RAS v1.1 can be spelled "RAS 1, RAS_frac 1"; with any other RAS the field means nothing.
    ras_frac: LOWER, If(|source| source.host.reg::<IdAa64Pfr0El1>().ras() == 1);
    mpam_frac: FixedOrHost, Hidden;
    sme: Fixed, Hidden;
    rndr_trap: Fixed, Hidden;
    csv2_frac: LOWER, Hidden;
    nmi: Fixed, Hidden;
    mte_frac: FixedOrZero, If(has_mte);
    gcs: Fixed, Hidden;
    the: Fixed, Hidden;
    mtex: Fixed, Hidden;
    df2: LOWER, Host;
    pfar: Fixed, Hidden;
};

pub(crate) const PFR2: &[Field] = fields! { IdAa64Pfr2El1:
    mtestoreonly: LOWER, If(has_mte);
    mtefar: LOWER, If(has_mte);
    gcie: LOWER, Hidden;
    fpmr: LOWER, If(|source| source.config.offer.fpmr);
};

pub(crate) const ZFR0: &[Field] = fields! { IdAa64Zfr0El1:
    svever: LOWER, If(has_sve);
    aes: LOWER, If(has_sve);
    eltperm: LOWER, If(has_sve);
    bitperm: LOWER, If(has_sve);
    bf16: LOWER, If(has_sve);
    b16b16: LOWER, If(has_sve);
    sha3: LOWER, If(has_sve);
    sm4: LOWER, If(has_sve);
    i8mm: LOWER, If(has_sve);
    f16mm: LOWER, If(has_sve);
    f32mm: LOWER, If(has_sve);
    f64mm: LOWER, If(has_sve);
};

/// All 8-bit formats go with FPMR.
pub(crate) const FPFR0: &[Field] = fields! { IdAa64Fpfr0El1:
    f8e5m2: LOWER, If(|source| source.config.offer.fpmr);
    f8e4m3: LOWER, If(|source| source.config.offer.fpmr);
    f16mm2: LOWER, If(|source| source.config.offer.fpmr);
    f8mm4: LOWER, If(|source| source.config.offer.fpmr);
    f8mm8: LOWER, If(|source| source.config.offer.fpmr);
    f8dp2: LOWER, If(|source| source.config.offer.fpmr);
    f8dp4: LOWER, If(|source| source.config.offer.fpmr);
    f8fma: LOWER, If(|source| source.config.offer.fpmr);
    f8cvt: LOWER, If(|source| source.config.offer.fpmr);
};

pub(crate) const DFR0: &[Field] = fields! { IdAa64Dfr0El1:
    debugver: DownTo(6), AtMost(DEBUG_V8P8);
    pmuver: Write::Pmu(1), By(pmuver);
    // Breakpoints that match contexts are the last ones, and the guest has the CPU's own registers:
    // with fewer breakpoints it would take others for those.
    brps: Fixed, Host;
    wrps: LOWER, Host;
    ctx_cmps: Fixed, Host;
    doublelock: LOWER_SIGNED, Host;
};

/// The version of a VM's PMU, as ID_AA64DFR0_EL1.PMUVer has it.
pub(crate) fn pmuver(source: &Source<'_>, host: u64) -> u64 {
    if has_pmu(source) && source.host.reg::<IdAa64Dfr0El1>().has_pmuv3() {
        host.min(PMU_V3P5)
    } else {
        0
    }
}

pub(crate) const ISAR0: &[Field] = fields! { IdAa64Isar0El1:
    aes: LOWER, Host;
    sha1: LOWER, Host;
    sha2: LOWER, Host;
    crc32: LOWER, Host;
    atomic: LOWER, Host;
    rdm: LOWER, Host;
    sha3: LOWER, Host;
    sm3: LOWER, Host;
    sm4: LOWER, Host;
    dp: LOWER, Host;
    fhm: LOWER, Host;
    ts: LOWER, Host;
    tlb: LOWER, Host;
    rndr: LOWER, Host;
};

pub(crate) const ISAR1: &[Field] = fields! { IdAa64Isar1El1:
    dpb: LOWER, Host;
    apa: Fixed, If(has_pauth);
    api: Fixed, If(has_pauth);
    jscvt: LOWER, Host;
    fcma: LOWER, Host;
    lrcpc: LOWER, Host;
    gpa: Fixed, If(has_pauth);
    gpi: Fixed, If(has_pauth);
    frintts: LOWER, Host;
    sb: LOWER, Host;
    specres: LOWER, Host;
    bf16: LOWER, Host;
    dgh: LOWER, Host;
    i8mm: LOWER, Host;
    xs: LOWER, Host;
    ls64: LOWER, If(|source| source.config.offer.ls64);
};

pub(crate) const ISAR2: &[Field] = fields! { IdAa64Isar2El1:
    // The time is compared with the virtual counter.
    wfxt: LOWER, If(|source| !source.host.facts().broken_cntvoff);
    rpres: LOWER, Host;
    gpa3: Fixed, If(has_pauth);
    apa3: Fixed, If(has_pauth);
    mops: LOWER, Host;
    bc: LOWER, Host;
    pac_frac: LOWER, Hidden;
    clrbhb: LOWER, Host;
    sysreg_128: LOWER, Hidden;
    sysinstr_128: LOWER, Hidden;
    prfmslc: LOWER, Hidden;
    pcdphint: LOWER, Hidden;
    rprfm: LOWER, Host;
    cssc: LOWER, Host;
    lut: LOWER, Host;
    ats1a: LOWER, Host;
};

pub(crate) const ISAR3: &[Field] = fields! { IdAa64Isar3El1:
    faminmax: LOWER, Host;
    lsfe: LOWER, Host;
    lsui: LOWER, Host;
    fprcvt: LOWER, Host;
};

pub(crate) const MMFR0: &[Field] = fields! { IdAa64Mmfr0El1:
    // 56 bits need 128-bit descriptors.
    parange: LOWER, AtMost(6);
    asidbits: Fixed, Host;
    bigend: LOWER, Host;
    snsmem: LOWER, Host;
    bigendel0: LOWER, Host;
    tgran16: LOWER, Host;
    tgran64: LOWER_SIGNED, Host;
    tgran4: LOWER_SIGNED, Host;
    // 1 is "none": what stage 2 has is no scale.
    tgran16_2: Or(1), Host;
    tgran64_2: Or(1), Host;
    tgran4_2: Or(1), Host;
    exs: LOWER, Host;
    fgt: LOWER, Host;
    ecv: LOWER, Host;
};

pub(crate) const MMFR1: &[Field] = fields! { IdAa64Mmfr1El1:
    hafdbs: LOWER, Host;
    vmidbits: Fixed, Host;
    vh: Fixed, Host;
    hpds: LOWER, Host;
    lo: LOWER, Host;
    pan: LOWER, Host;
    // "An SError may come" is safe to believe where none does.
    specsei: Higher, Host;
    xnx: Fixed, Host;
    twed: LOWER, Host;
    ets: LOWER, Host;
    hcx: LOWER, Host;
    afp: LOWER, Host;
    ntlbpa: LOWER, Hidden;
    tidcp1: LOWER, Host;
    cmow: LOWER, Hidden;
    ecbhb: LOWER, Host;
};

pub(crate) const MMFR2: &[Field] = fields! { IdAa64Mmfr2El1:
    cnp: LOWER, Host;
    uao: LOWER, Host;
    lsm: LOWER, Host;
    iesb: LOWER, Host;
    varange: LOWER, Host;
    // CCSIDR_EL1 is made up in the 32-bit format.
    ccidx: Fixed, Hidden;
    nv: FixedOrHost, Hidden;
    st: LOWER, Host;
    at: LOWER, Host;
    ids: Fixed, Host;
    fwb: Fixed, Host;
    ttl: LOWER, Host;
    bbm: LOWER, Host;
    evt: Fixed, Host;
    e0pd: LOWER, Host;
};

pub(crate) const MMFR3: &[Field] = fields! { IdAa64Mmfr3El1:
    tcrx: LOWER, Host;
    sctlrx: LOWER, Host;
    s1pie: LOWER, Host;
    s1poe: LOWER, If(|source| source.config.offer.s1poe);
};

pub(crate) const MMFR4: &[Field] = fields! { IdAa64Mmfr4El1:
    nv_frac: LOWER, Host;
    e2h0: Fixed, Host;
};

/// CTR_EL0: what the guest is told may ask for more maintenance than is needed, never for less.
pub(crate) const CTR: &[Field] = &[
    Field::named(CtrEl0::FIELDS, "iminline", LOWER, Limit::Host),
    // A physically indexed cache may be taken for a virtually indexed one (2).
    Field::named(CtrEl0::FIELDS, "l1ip", Or(2), Limit::Host),
    Field::named(CtrEl0::FIELDS, "dminline", LOWER, Limit::Host),
    Field::named(CtrEl0::FIELDS, "erg", Fixed, Limit::Host),
    Field::named(CtrEl0::FIELDS, "cwg", Fixed, Limit::Host),
    Field::named(CtrEl0::FIELDS, "idc", LOWER, Limit::Host),
    Field::named(CtrEl0::FIELDS, "dic", LOWER, Limit::Host),
    Field::unnamed(
        FieldInfo {
            name: "res1",
            lo: 31,
            hi: 31,
            signed: false,
        },
        Fixed,
        Limit::Host,
    ),
    Field::named(CtrEl0::FIELDS, "tminline", Fixed, Limit::If(has_mte)),
];
