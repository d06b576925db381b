// SPDX-License-Identifier: GPL-2.0

//! Compares numbers and layouts of the ABI with Linux's headers, as a C compiler sees them.
//!
//! Not part of the usual run, which has no kernel source; the compiler is `$CC` or
//! `aarch64-linux-gnu-gcc`:
//! `SYSREG_FILE=.../arch/arm64/tools/sysreg cargo test --test linux_firmware -- --ignored`

#[path = "common/linux.rs"]
mod linux;

use std::mem::{
    align_of,
    offset_of,
    size_of, //
};

use kvm_core::{
    firmware::{
        arch,
        pv_time,
        trng,
        vendor,
        workaround::{
            Level,
            Workaround, //
        },
        FwRegister,
        StdBmap,
        StdHypBmap,
        VendorHypBmap,
        VendorHypBmap2, //
    },
    psci::{
        Function,
        SystemEvent,
        Version,
        Width, //
    },
    smccc::{
        self,
        filter,
        Action,
        FunctionId,
        Hypercall,
        KvmSmcccFilter, //
    },
};

use linux::{
    check,
    evaluate, //
};

#[test]
#[ignore = "needs the kernel source, see the top of the file"]
fn function_identifiers() {
    let id = |id: FunctionId| u64::from(id.raw());
    check(&[
        ("ARM_SMCCC_VERSION_FUNC_ID", id(arch::VERSION)),
        ("ARM_SMCCC_ARCH_FEATURES_FUNC_ID", id(arch::ARCH_FEATURES)),
        ("ARM_SMCCC_ARCH_WORKAROUND_1", id(arch::ARCH_WORKAROUND_1)),
        ("ARM_SMCCC_ARCH_WORKAROUND_2", id(arch::ARCH_WORKAROUND_2)),
        ("ARM_SMCCC_ARCH_WORKAROUND_3", id(arch::ARCH_WORKAROUND_3)),
        ("ARM_SMCCC_VERSION_1_1", arch::SMCCC_1_1),
        ("ARM_SMCCC_HV_PV_TIME_FEATURES", id(pv_time::FEATURES)),
        ("ARM_SMCCC_HV_PV_TIME_ST", id(pv_time::STOLEN_TIME)),
        (
            "ARM_SMCCC_VENDOR_HYP_CALL_UID_FUNC_ID",
            id(vendor::CALL_UID),
        ),
        (
            "ARM_SMCCC_VENDOR_HYP_KVM_FEATURES_FUNC_ID",
            id(vendor::FEATURES),
        ),
        ("ARM_SMCCC_VENDOR_HYP_KVM_PTP_FUNC_ID", id(vendor::PTP)),
        ("ARM_SMCCC_TRNG_VERSION", id(trng::VERSION)),
        ("ARM_SMCCC_TRNG_FEATURES", id(trng::FEATURES)),
        ("ARM_SMCCC_TRNG_GET_UUID", id(trng::GET_UUID)),
        ("ARM_SMCCC_TRNG_RND32", id(trng::RND32)),
        ("ARM_SMCCC_TRNG_RND64", id(trng::RND64)),
        ("SMCCC_RET_SUCCESS", smccc::SUCCESS as u64),
        ("SMCCC_RET_NOT_SUPPORTED", smccc::NOT_SUPPORTED as u64),
        ("SMCCC_RET_NOT_REQUIRED", smccc::NOT_REQUIRED as u64),
        (
            "SMCCC_ARCH_WORKAROUND_RET_UNAFFECTED",
            Workaround::One.answer(Level::NotRequired) as u64,
        ),
        ("KVM_PSCI_FN_BASE", Function::BASE_0_1.into()),
        ("PSCI_VERSION(0, 2)", Version::V0_2.into_raw().into()),
        ("PSCI_VERSION(1, 3)", Version::V1_3.into_raw().into()),
    ]);
}

#[test]
#[ignore = "needs the kernel source, see the top of the file"]
fn psci_functions() {
    let functions = [
        ("PSCI_0_2_FN_PSCI_VERSION", Function::Version),
        ("PSCI_0_2_FN_CPU_SUSPEND", Function::CpuSuspend),
        ("PSCI_0_2_FN_CPU_OFF", Function::CpuOff),
        ("PSCI_0_2_FN_CPU_ON", Function::CpuOn),
        ("PSCI_0_2_FN_AFFINITY_INFO", Function::AffinityInfo),
        ("PSCI_0_2_FN_MIGRATE_INFO_TYPE", Function::MigrateInfoType),
        ("PSCI_0_2_FN_SYSTEM_OFF", Function::SystemOff),
        ("PSCI_0_2_FN_SYSTEM_RESET", Function::SystemReset),
        ("PSCI_1_0_FN_PSCI_FEATURES", Function::Features),
        ("PSCI_1_0_FN_SYSTEM_SUSPEND", Function::SystemSuspend),
        ("PSCI_1_1_FN_SYSTEM_RESET2", Function::SystemReset2),
        ("PSCI_1_3_FN_SYSTEM_OFF2", Function::SystemOff2),
        ("PSCI_0_2_FN64_CPU_SUSPEND", Function::CpuSuspend),
        ("PSCI_0_2_FN64_CPU_ON", Function::CpuOn),
        ("PSCI_0_2_FN64_AFFINITY_INFO", Function::AffinityInfo),
        ("PSCI_1_0_FN64_SYSTEM_SUSPEND", Function::SystemSuspend),
        ("PSCI_1_1_FN64_SYSTEM_RESET2", Function::SystemReset2),
        ("PSCI_1_3_FN64_SYSTEM_OFF2", Function::SystemOff2),
        ("KVM_PSCI_FN_CPU_OFF", Function::CpuOff),
        ("KVM_PSCI_FN_CPU_ON", Function::CpuOn),
    ];
    let names: Vec<_> = functions.iter().map(|(name, _)| *name).collect();
    for (id, (name, function)) in evaluate(&names).into_iter().zip(functions) {
        let (version, width) = match name {
            _ if name.starts_with("KVM_") => (Version::V0_1, Width::Caller),
            _ if name.contains("FN64") => (Version::LATEST, Width::W64),
            _ => (Version::LATEST, Width::W32),
        };
        assert_eq!(
            Function::decode(FunctionId::new(id as u32), version),
            Some((function, width)),
            "{name}"
        );
    }
}

#[test]
#[ignore = "needs the kernel source, see the top of the file"]
fn registers_and_exits() {
    let workaround = |which: Workaround, level| which.register(level);
    check(&[
        ("KVM_REG_ARM_PSCI_VERSION", FwRegister::PsciVersion.id()),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1",
            FwRegister::Workaround(Workaround::One).id(),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2",
            FwRegister::Workaround(Workaround::Two).id(),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3",
            FwRegister::Workaround(Workaround::Three).id(),
        ),
        ("KVM_REG_ARM_STD_BMAP", FwRegister::StdBmap.id()),
        ("KVM_REG_ARM_STD_HYP_BMAP", FwRegister::StdHypBmap.id()),
        (
            "KVM_REG_ARM_VENDOR_HYP_BMAP",
            FwRegister::VendorHypBmap.id(),
        ),
        (
            "KVM_REG_ARM_VENDOR_HYP_BMAP_2",
            FwRegister::VendorHypBmap2.id(),
        ),
        (
            "KVM_REG_ARM_FW >> KVM_REG_ARM_COPROC_SHIFT",
            FwRegister::GROUP,
        ),
        (
            "KVM_REG_ARM_FW_FEAT_BMAP >> KVM_REG_ARM_COPROC_SHIFT",
            FwRegister::BITMAP_GROUP,
        ),
        (
            "1UL << KVM_REG_ARM_STD_BIT_TRNG_V1_0",
            StdBmap::from_raw(0).with_trng_v1_0(true).into_raw(),
        ),
        (
            "1UL << KVM_REG_ARM_STD_HYP_BIT_PV_TIME",
            StdHypBmap::from_raw(0).with_pv_time(true).into_raw(),
        ),
        (
            "1UL << KVM_REG_ARM_VENDOR_HYP_BIT_FUNC_FEAT",
            VendorHypBmap::from_raw(0).with_func_feat(true).into_raw(),
        ),
        (
            "1UL << KVM_REG_ARM_VENDOR_HYP_BIT_PTP",
            VendorHypBmap::from_raw(0).with_ptp(true).into_raw(),
        ),
        (
            "1UL << KVM_REG_ARM_VENDOR_HYP_BIT_DISCOVER_IMPL_VER",
            VendorHypBmap2::from_raw(0)
                .with_discover_impl_ver(true)
                .into_raw(),
        ),
        (
            "1UL << KVM_REG_ARM_VENDOR_HYP_BIT_DISCOVER_IMPL_CPUS",
            VendorHypBmap2::from_raw(0)
                .with_discover_impl_cpus(true)
                .into_raw(),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1_NOT_AVAIL",
            workaround(Workaround::One, Level::NotAvailable),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1_AVAIL",
            workaround(Workaround::One, Level::Available),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1_NOT_REQUIRED",
            workaround(Workaround::One, Level::NotRequired),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_NOT_AVAIL",
            workaround(Workaround::Two, Level::NotAvailable),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_AVAIL",
            workaround(Workaround::Two, Level::Available),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_NOT_REQUIRED",
            workaround(Workaround::Two, Level::NotRequired),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3_AVAIL",
            workaround(Workaround::Three, Level::Available),
        ),
        (
            "KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3_NOT_REQUIRED",
            workaround(Workaround::Three, Level::NotRequired),
        ),
        (
            "KVM_ARM_VM_SMCCC_CTRL",
            filter::KVM_ARM_VM_SMCCC_CTRL.into(),
        ),
        ("KVM_ARM_VM_SMCCC_FILTER", filter::KVM_ARM_VM_SMCCC_FILTER),
        ("KVM_SMCCC_FILTER_HANDLE", Action::Handle as u64),
        ("KVM_SMCCC_FILTER_DENY", Action::Deny as u64),
        ("KVM_SMCCC_FILTER_FWD_TO_USER", Action::ForwardToUser as u64),
        ("KVM_HYPERCALL_EXIT_SMC", Hypercall::SMC),
        ("KVM_HYPERCALL_EXIT_16BIT", Hypercall::SHORT),
        ("KVM_SYSTEM_EVENT_SHUTDOWN", SystemEvent::SHUTDOWN.into()),
        ("KVM_SYSTEM_EVENT_RESET", SystemEvent::RESET.into()),
        ("KVM_SYSTEM_EVENT_SUSPEND", SystemEvent::SUSPEND.into()),
        (
            "KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2",
            SystemEvent::RESET_FLAG_PSCI_RESET2,
        ),
        (
            "KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2",
            SystemEvent::SHUTDOWN_FLAG_PSCI_OFF2,
        ),
    ]);
}

#[test]
#[ignore = "needs the kernel source, see the top of the file"]
fn the_filters_structure() {
    check(&[
        (
            "sizeof(struct kvm_smccc_filter)",
            size_of::<KvmSmcccFilter>() as u64,
        ),
        (
            "_Alignof(struct kvm_smccc_filter)",
            align_of::<KvmSmcccFilter>() as u64,
        ),
        (
            "offsetof(struct kvm_smccc_filter, base)",
            offset_of!(KvmSmcccFilter, base) as u64,
        ),
        (
            "offsetof(struct kvm_smccc_filter, nr_functions)",
            offset_of!(KvmSmcccFilter, nr_functions) as u64,
        ),
        (
            "offsetof(struct kvm_smccc_filter, action)",
            offset_of!(KvmSmcccFilter, action) as u64,
        ),
        (
            "offsetof(struct kvm_smccc_filter, pad)",
            offset_of!(KvmSmcccFilter, pad) as u64,
        ),
    ]);
}
