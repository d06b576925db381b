// SPDX-License-Identifier: GPL-2.0

//! Trap registers of EL2 other than the fine-grained ones.
//!
//! Source: Arm ARM, the page of each register; CPTR_EL2 and CNTHCTL_EL2 as they are with
//! HCR_EL2.E2H 1.

use crate::bit_struct;

bit_struct! {
    /// Hypervisor Configuration Register.
    pub struct HcrEl2("HCR_EL2") {
        /// Stage 2 translation.
        vm / with_vm: flag 0,
        /// Set/way invalidates also clean.
        swio / with_swio: flag 1,
        /// A stage 1 walk through Device memory faults.
        ptw / with_ptw: flag 2,
        /// FIQs go to EL2, virtual ones are enabled.
        fmo / with_fmo: flag 3,
        /// IRQs go to EL2, virtual ones are enabled.
        imo / with_imo: flag 4,
        /// SErrors go to EL2, virtual ones are enabled.
        amo / with_amo: flag 5,
        /// A virtual FIQ is pending.
        vf / with_vf: flag 6,
        /// A virtual IRQ is pending.
        vi / with_vi: flag 7,
        /// A virtual SError is pending.
        vse / with_vse: flag 8,
        /// Maintenance of TLBs and instruction caches is broadcast.
        fb / with_fb: flag 9,
        /// The least domain of barriers: 0 as they say, 1 Inner Shareable.
        bsu / with_bsu: bits 10..=11,
        /// Default Cacheable.
        dc / with_dc: flag 12,
        /// Trap WFI and WFIT.
        twi / with_twi: flag 13,
        /// Trap WFE and WFET.
        twe / with_twe: flag 14,
        /// Trap ID group 0.
        tid0 / with_tid0: flag 15,
        /// Trap ID group 1: REVIDR_EL1, AIDR_EL1, SMIDR_EL1.
        tid1 / with_tid1: flag 16,
        /// Trap ID group 2: CTR_EL0 and the cache geometry.
        tid2 / with_tid2: flag 17,
        /// Trap ID group 3: feature ID registers.
        tid3 / with_tid3: flag 18,
        /// Trap SMC.
        tsc / with_tsc: flag 19,
        /// Trap implementation defined registers.
        tidcp / with_tidcp: flag 20,
        /// Trap ACTLR_EL1.
        tacr / with_tacr: flag 21,
        /// Trap set/way maintenance.
        tsw / with_tsw: flag 22,
        /// Trap cache maintenance to the point of coherence.
        tpcp / with_tpcp: flag 23,
        /// Trap cache maintenance to the point of unification.
        tpu / with_tpu: flag 24,
        /// Trap TLB maintenance.
        ttlb / with_ttlb: flag 25,
        /// Trap writes of virtual memory controls.
        tvm / with_tvm: flag 26,
        /// EL0 is the host's.
        tge / with_tge: flag 27,
        /// Trap DC ZVA.
        tdz / with_tdz: flag 28,
        /// HVC is UNDEFINED.
        hcd / with_hcd: flag 29,
        /// Trap reads of virtual memory controls.
        trvm / with_trvm: flag 30,
        /// EL1 is AArch64.
        rw / with_rw: flag 31,
        /// Stage 2 data accesses are Non-cacheable.
        cd / with_cd: flag 32,
        /// Stage 2 instruction accesses are Non-cacheable.
        id / with_id: flag 33,
        /// The host is at EL2.
        e2h / with_e2h: flag 34,
        /// Trap limited ordering regions.
        tlor / with_tlor: flag 35,
        /// Trap error records.
        terr / with_terr: flag 36,
        /// External aborts go to EL2.
        tea / with_tea: flag 37,
        /// Authentication keys do *not* trap.
        apk / with_apk: flag 40,
        /// Authentication instructions do *not* trap.
        api / with_api: flag 41,
        /// Nested virtualization.
        nv / with_nv: flag 42,
        /// Nested virtualization with E2H 0.
        nv1 / with_nv1: flag 43,
        /// Trap AT.
        at / with_at: flag 44,
        /// Nested virtualization by memory.
        nv2 / with_nv2: flag 45,
        /// Stage 2 decides cacheability alone.
        fwb / with_fwb: flag 46,
        /// Fault injection registers do *not* trap.
        fien / with_fien: flag 47,
        /// Granule protection faults go to EL2.
        gpf / with_gpf: flag 48,
        /// Trap ID group 4: the cache geometry.
        tid4 / with_tid4: flag 49,
        /// Trap IC IALLUIS.
        ticab / with_ticab: flag 50,
        /// Activity monitors have virtual offsets.
        amvoffen / with_amvoffen: flag 51,
        /// Trap cache maintenance to the point of unification.
        tocu / with_tocu: flag 52,
        /// SCXTNUM_ELx do *not* trap.
        enscxt / with_enscxt: flag 53,
        /// Trap TLB maintenance in the Inner Shareable domain.
        ttlbis / with_ttlbis: flag 54,
        /// Trap TLB maintenance in the Outer Shareable domain.
        ttlbos / with_ttlbos: flag 55,
        /// Allocation tags can be accessed.
        ata / with_ata: flag 56,
        /// Default Cacheable memory is Tagged.
        dct / with_dct: flag 57,
        /// Trap ID group 5: GMID_EL1.
        tid5 / with_tid5: flag 58,
        /// WFE traps after a delay.
        tweden / with_tweden: flag 59,
        /// The delay, log2 of cycles less 8.
        twedel / with_twedel: bits 60..=63,
    }
}

bit_struct! {
    /// Extended Hypervisor Configuration Register.
    ///
    /// Exists with FEAT_HCX. Its reset value of 0 denies a guest all that it covers.
    pub struct HcrxEl2("HCRX_EL2") {
        /// ST64BV0 does *not* trap.
        enas0 / with_enas0: flag 0,
        /// LD64B and ST64B do *not* trap.
        enals / with_enals: flag 1,
        /// ST64BV does *not* trap.
        enasr / with_enasr: flag 2,
        /// TLB maintenance behaves as nXS.
        fnxs / with_fnxs: flag 3,
        /// Fine-grained traps spare nXS maintenance.
        fgtnxs / with_fgtnxs: flag 4,
        /// Streaming mode priorities are mapped.
        smpme / with_smpme: flag 5,
        /// Trap writes of ALLINT.
        tallint / with_tallint: flag 6,
        /// Virtual IRQs have superpriority.
        vinmi / with_vinmi: flag 7,
        /// Virtual FIQs have superpriority.
        vfnmi / with_vfnmi: flag 8,
        /// Cache maintenance needs write permission at stage 2.
        cmow / with_cmow: flag 9,
        /// Memory copy and set exceptions go to EL2.
        mce2 / with_mce2: flag 10,
        /// Memory copy and set is *not* UNDEFINED.
        mscen / with_mscen: flag 11,
        /// TCR2_EL1 does *not* trap.
        tcr2en / with_tcr2en: flag 14,
        /// SCTLR2_EL1 does *not* trap.
        sctlr2en / with_sctlr2en: flag 15,
        /// Translation table walks are permission checked.
        pttwi / with_pttwi: flag 16,
        /// 128-bit registers do *not* trap.
        d128en / with_d128en: flag 17,
        /// Errors on reads of Normal memory are synchronous.
        ensnerr / with_ensnerr: flag 18,
        /// Masked external aborts go to EL2.
        tmea / with_tmea: flag 19,
        /// Errors on reads of Device memory are synchronous.
        ensderr / with_ensderr: flag 20,
        /// 128-bit implementation defined registers do *not* trap.
        enidcp128 / with_enidcp128: flag 21,
        /// Guarded control stacks are enabled.
        gcsen / with_gcsen: flag 22,
        /// FPMR does *not* trap.
        enfpm / with_enfpm: flag 23,
        /// PACM has an effect.
        pacmen / with_pacmen: flag 24,
        /// Write mask registers do *not* trap.
        srmasken / with_srmasken: flag 26,
    }
}

bit_struct! {
    /// Monitor Debug Configuration Register.
    pub struct MdcrEl2("MDCR_EL2") {
        /// The number of event counters that are the guest's.
        hpmn / with_hpmn: bits 0..=4,
        /// Trap PMCR_EL0.
        tpmcr / with_tpmcr: flag 5,
        /// Trap performance monitors.
        tpm / with_tpm: flag 6,
        /// The host's event counters count.
        hpme / with_hpme: flag 7,
        /// Debug exceptions go to EL2.
        tde / with_tde: flag 8,
        /// Trap debug registers.
        tda / with_tda: flag 9,
        /// Trap OS lock registers.
        tdosa / with_tdosa: flag 10,
        /// Trap debug ROM registers.
        tdra / with_tdra: flag 11,
        /// The profiling buffer: 0 is EL2's, and its registers trap.
        e2pb / with_e2pb: bits 12..=13,
        /// Trap profiling registers.
        tpms / with_tpms: flag 14,
        /// The system PMU does *not* trap.
        enspm / with_enspm: flag 15,
        /// The guest's counters do not count at EL2.
        hpmd / with_hpmd: flag 17,
        /// Trap trace filter registers.
        ttrf / with_ttrf: flag 19,
        /// The cycle counter does not count at EL2.
        hccd / with_hccd: flag 23,
        /// The trace buffer: 0 is EL2's, and its registers trap.
        e2tb / with_e2tb: bits 24..=25,
        /// The host's counters have 64 bits.
        hlp / with_hlp: flag 26,
        /// Trap the debug communications channel.
        tdcc / with_tdcc: flag 27,
        /// Multi-threaded counting.
        mtpme / with_mtpme: flag 28,
        /// The host's counters stop on overflow.
        hpmfzo / with_hpmfzo: flag 29,
        /// PMU snapshots.
        pmsse / with_pmsse: bits 30..=31,
        /// The host's counters stop on profiling events.
        hpmfzs / with_hpmfzs: flag 36,
        /// PMU exceptions.
        pmee / with_pmee: bits 40..=41,
        /// Breakpoints and watchpoints beyond 16.
        ebwe / with_ebwe: flag 43,
        /// MDSTEPOP_EL1 does *not* trap.
        enstepop / with_enstepop: flag 50,
    }
}

bit_struct! {
    /// Architectural Feature Trap Register.
    pub struct CptrEl2("CPTR_EL2") {
        /// SVE: 3 does not trap, 0 and 2 trap.
        zen / with_zen: bits 16..=17,
        /// Floating-point: 3 does not trap, 0 and 2 trap.
        fpen / with_fpen: bits 20..=21,
        /// SME: 3 does not trap, 0 and 2 trap.
        smen / with_smen: bits 24..=25,
        /// Trap trace registers.
        tta / with_tta: flag 28,
        /// POR_EL0 does *not* trap at the host's EL0.
        e0poe / with_e0poe: flag 29,
        /// Trap activity monitors.
        tam / with_tam: flag 30,
        /// Trap CPACR_EL1.
        tcpac / with_tcpac: flag 31,
    }
}

bit_struct! {
    /// Counter-timer Hypervisor Control register.
    pub struct CnthctlEl2("CNTHCTL_EL2") {
        /// The host's EL0 can read CNTPCT_EL0.
        el0pcten / with_el0pcten: flag 0,
        /// The host's EL0 can read CNTVCT_EL0.
        el0vcten / with_el0vcten: flag 1,
        /// The event stream is on.
        evnten / with_evnten: flag 2,
        /// Events come on a 1 to 0 transition.
        evntdir / with_evntdir: flag 3,
        /// The counter bit of the event stream.
        evnti / with_evnti: bits 4..=7,
        /// The host's EL0 can use the virtual timer.
        el0vten / with_el0vten: flag 8,
        /// The host's EL0 can use the physical timer.
        el0pten / with_el0pten: flag 9,
        /// CNTPCT_EL0 does *not* trap.
        el1pcten / with_el1pcten: flag 10,
        /// The physical timer does *not* trap.
        el1pten / with_el1pten: flag 11,
        /// CNTPOFF_EL2 is in use.
        ecv / with_ecv: flag 12,
        /// Trap the virtual timer.
        el1tvt / with_el1tvt: flag 13,
        /// Trap CNTVCT_EL0.
        el1tvct / with_el1tvct: flag 14,
        /// Trap CNTP*_EL02 of nested hypervisors.
        el1nvpct / with_el1nvpct: flag 15,
        /// Trap CNTV*_EL02 of nested hypervisors.
        el1nvvct / with_el1nvvct: flag 16,
        /// The counter bit is 8 higher.
        evntis / with_evntis: flag 17,
        /// The virtual timer's interrupt is masked.
        cntvmask / with_cntvmask: flag 18,
        /// The physical timer's interrupt is masked.
        cntpmask / with_cntpmask: flag 19,
    }
}
