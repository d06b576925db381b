// SPDX-License-Identifier: GPL-2.0

//! The trap registers' values for a VM.
//!
//! Two rules: what *enables* a feature is set only if the VM has the feature. What *traps* is set
//! whether the host shows the feature or not, because a kernel may hide what its CPU has; a CPU that
//! does not have it ignores the bit.

use crate::{
    bits::Bits,
    traps::{
        instructions::{
            Hfgitr2El2,
            HfgitrEl2, //
        },
        registers::{
            CnthctlEl2,
            CptrEl2,
            HcrEl2,
            HcrxEl2,
            MdcrEl2, //
        },
    },
    vm_idreg::{
        VmFeature,
        VmFeatures, //
    },
};

/// What the decisions need to know of the host.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HostTraps {
    /// The features of the host.
    pub features: VmFeatures,
    /// All CPUs have the CTR_EL0 that the VM shows, so that the guest can read it itself.
    pub ctr_is_hosts: bool,
}

/// The trap registers that depend on nothing but the VM's features and the host: computed once.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct VmTraps {
    /// HCR_EL2, without what is pending or belongs to a vCPU's state: VSE, VI and VF are 0, TVM and
    /// TRVM are off, WFI and WFE trap.
    pub hcr: HcrEl2,
    /// HCRX_EL2; [`None`] on a host without.
    pub hcrx: Option<HcrxEl2>,
    /// CPTR_EL2 while the guest's floating-point registers are not loaded; see
    /// [`VmTraps::cptr_with_fp`].
    pub cptr: CptrEl2,
    /// HFGITR_EL2; [`None`] on a host without.
    pub hfgitr: Option<HfgitrEl2>,
    /// HFGITR2_EL2; [`None`] on a host without.
    pub hfgitr2: Option<Hfgitr2El2>,
    /// Whether the VM has SVE.
    sve: bool,
}

impl VmTraps {
    /// Decides for a VM whose final ID registers promise `vm`.
    ///
    /// What no trap can hide stays visible to a guest that tries it: instructions of ID_AA64ISARx_EL1
    /// that no trap covers, the nXS variants of TLB maintenance that the VM has and, without FEAT_FGT,
    /// TLB maintenance by range.
    pub fn of(vm: VmFeatures, host: HostTraps) -> Self {
        let has = |feature| host.features.contains(feature);
        Self {
            hcr: hcr(vm, host),
            hcrx: has(VmFeature::Hcx).then(|| hcrx(vm)),
            cptr: CptrEl2::from_raw(0).with_tam(true).with_tta(true),
            hfgitr: has(VmFeature::Fgt).then(|| hfgitr(vm)),
            hfgitr2: has(VmFeature::Fgt2).then(|| {
                let pops = vm.contains(VmFeature::Pops);
                // TSB CSYNC is a hint: without a trace buffer it is to do nothing, not to trap.
                Hfgitr2El2::NO_TRAPS.with_trap(Hfgitr2El2::nDCCIVAPS, !pops)
            }),
            sve: vm.contains(VmFeature::Sve),
        }
    }

    /// Returns CPTR_EL2 while the guest's floating-point registers are loaded.
    #[inline]
    pub fn cptr_with_fp(&self) -> CptrEl2 {
        let cptr = self.cptr.with_fpen(Bits::of::<3>());
        if self.sve {
            cptr.with_zen(Bits::of::<3>())
        } else {
            cptr
        }
    }
}

/// HCR_EL2.
fn hcr(vm: VmFeatures, host: HostTraps) -> HcrEl2 {
    let has = |feature| vm.contains(feature);
    let pauth = has(VmFeature::PAuthAddress) || has(VmFeature::PAuthGeneric);
    let mte = has(VmFeature::Mte2);
    // With FEAT_EVT the cache geometry, which is made up, traps without CTR_EL0, which guests read
    // often.
    let tid4 = host.ctr_is_hosts && host.features.contains(VmFeature::Evt);
    HcrEl2::from_raw(0)
        .with_vm(true)
        .with_e2h(true)
        .with_rw(!has(VmFeature::Aarch32El1))
        // Interrupts and aborts are the host's; the guest gets virtual ones.
        .with_fmo(true)
        .with_imo(true)
        .with_amo(true)
        .with_tea(host.features.contains(VmFeature::Ras))
        // A vCPU may move to another CPU in the middle of a guest's sequence of maintenance.
        .with_fb(true)
        .with_bsu(Bits::of::<1>())
        .with_swio(true)
        .with_tsw(true)
        .with_ptw(true)
        .with_fwb(host.features.contains(VmFeature::Fwb))
        .with_twi(true)
        .with_twe(true)
        .with_tsc(true)
        .with_tid1(true)
        .with_tid2(!tid4)
        .with_tid3(true)
        .with_tid4(tid4)
        .with_tid5(!mte)
        .with_ata(mte)
        .with_tidcp(true)
        .with_tacr(true)
        .with_tlor(true)
        .with_terr(true)
        .with_api(pauth)
        .with_apk(pauth)
        .with_ttlbos(!has(VmFeature::TlbiOs))
}

/// HCRX_EL2.
fn hcrx(vm: VmFeatures) -> HcrxEl2 {
    let has = |feature| vm.contains(feature);
    HcrxEl2::from_raw(0)
        .with_mscen(has(VmFeature::Mops))
        // A sequence begun on a CPU may end on one that does it differently. The guest did not move,
        // so that is for EL2 to mend (EC 0x27): back to the prologue.
        .with_mce2(has(VmFeature::Mops))
        .with_tcr2en(has(VmFeature::Tcr2))
        .with_sctlr2en(has(VmFeature::Sctlr2))
        .with_enfpm(has(VmFeature::Fpmr))
        .with_enals(has(VmFeature::Ls64))
        .with_enasr(has(VmFeature::Ls64V))
        .with_enas0(has(VmFeature::Ls64AccData))
        .with_gcsen(has(VmFeature::Gcs))
        .with_d128en(has(VmFeature::D128))
        .with_srmasken(has(VmFeature::Srmask))
}

/// HFGITR_EL2. PSB CSYNC is a hint and does nothing where there is no profiling: it does not trap.
fn hfgitr(vm: VmFeatures) -> HfgitrEl2 {
    let lacking = |traps: HfgitrEl2, feature, covered: &[_]| {
        let on = !vm.contains(feature);
        covered
            .iter()
            .fold(traps, |traps, trap| traps.with_trap(*trap, on))
    };
    type H = HfgitrEl2;
    [
        (VmFeature::Ats1a, &[H::ATS1E1A][..]),
        (VmFeature::Brbe, &[H::nBRBIALL, H::nBRBINJ]),
        (VmFeature::Dpb2, &[H::DCCVADP]),
        (
            VmFeature::Gcs,
            &[H::nGCSEPP, H::nGCSSTR_EL1, H::nGCSPUSHM_EL1],
        ),
        (VmFeature::Pan2, &[H::ATS1E1RP, H::ATS1E1WP]),
        (VmFeature::Specres, &[H::CFPRCTX, H::CPPRCTX, H::DVPRCTX]),
        (VmFeature::Specres2, &[H::COSPRCTX]),
        (
            VmFeature::TlbiOs,
            &[
                H::TLBIASIDE1OS,
                H::TLBIVAAE1OS,
                H::TLBIVAALE1OS,
                H::TLBIVAE1OS,
                H::TLBIVALE1OS,
                H::TLBIVMALLE1OS,
            ],
        ),
        (
            VmFeature::TlbiRange,
            &[
                H::TLBIRVAAE1,
                H::TLBIRVAALE1,
                H::TLBIRVAE1,
                H::TLBIRVALE1,
                H::TLBIRVAAE1IS,
                H::TLBIRVAALE1IS,
                H::TLBIRVAE1IS,
                H::TLBIRVALE1IS,
                H::TLBIRVAAE1OS,
                H::TLBIRVAALE1OS,
                H::TLBIRVAE1OS,
                H::TLBIRVALE1OS,
            ],
        ),
    ]
    .into_iter()
    .fold(H::NO_TRAPS, |traps, (feature, covered)| {
        lacking(traps, feature, covered)
    })
}

/// HSTR_EL2 while a vCPU is loaded: T15 traps AArch32 EL0's accesses to implementation defined
/// registers (coproc 15, CRn 15), as HCR_EL2.TIDCP does others.
pub const HSTR_EL2: u64 = 1 << 15;

/// What MDCR_EL2 depends on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MdcrInputs {
    /// The CPU's number of event counters, PMCR_EL0.N of the host; all stay enabled for it.
    pub event_counters: Bits<5>,
    /// The VMM debugs the guest: KVM_SET_GUEST_DEBUG.
    pub guest_debug: bool,
}

/// Returns MDCR_EL2 while a vCPU is loaded and the debug registers are not the guest's; TDA is clear
/// while they are.
///
/// The PMU is emulated or absent, OS lock and debug ROM are emulated, and profiling and tracing are
/// the host's: E2PB and E2TB are 0. The debug communications channel is nobody's; with FEAT_FGT it
/// traps without TDA.
#[inline]
pub const fn mdcr(inputs: MdcrInputs) -> MdcrEl2 {
    MdcrEl2::from_raw(0)
        .with_hpmn(inputs.event_counters)
        .with_tpm(true)
        .with_tpmcr(true)
        .with_tpms(true)
        .with_ttrf(true)
        .with_tdra(true)
        .with_tdosa(true)
        .with_tde(inputs.guest_debug)
        .with_tda(true)
        .with_tdcc(true)
}

/// Returns CNTHCTL_EL2 while a vCPU is loaded, from the value that the host has.
///
/// The virtual counter and timer are the guest's. So is the physical counter if nothing, or only
/// CNTPOFF_EL2, has to be subtracted: `cntpoff` says that the host has FEAT_ECV_POFF, and
/// `offset_is_zero` that the VM's physical counter is the CPU's. Otherwise it traps. The physical
/// timer traps if there is an offset: CNTPOFF_EL2 counts for its comparison, too, but only while
/// HCR_EL2.TGE is clear, so the CPU's timer would fire in the host whenever the guest was left.
#[inline]
pub const fn cnthctl(host: CnthctlEl2, cntpoff: bool, offset_is_zero: bool) -> CnthctlEl2 {
    host.with_el1pcten(cntpoff || offset_is_zero)
        .with_el1pten(offset_is_zero)
        .with_ecv(cntpoff)
        .with_el1tvt(false)
        .with_el1tvct(false)
        .with_el1nvpct(false)
        .with_el1nvvct(false)
}
