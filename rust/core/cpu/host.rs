// SPDX-License-Identifier: GPL-2.0

//! Whether the module can work on this machine.

use core::fmt;

use crate::{
    cpu::{
        features::FeatureSet,
        registers::CpuFeatures, //
    },
    granule::Granule,
    idreg::{
        GranuleSupport,
        IchVtrEl2, //
    },
    ipa::IpaBits, //
};

/// How the host kernel runs on a CPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HostState {
    /// The Exception level, 0 to 3: CurrentEL bits 3 and 2.
    pub current_el: u8,
    /// HCR_EL2.E2H, and `false` where that cannot be read, below EL2.
    pub e2h: bool,
    /// The host's page size in bytes; stage 2 uses the same granule.
    pub page_size: usize,
}

/// What the hypervisor can do on this machine.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HostCapabilities {
    /// The granule of stage 2.
    pub granule: Granule,
    /// The size of VMIDs in bits, 8 or 16.
    pub vmid_bits: u8,
    /// The largest IPA size of a VM, what KVM_CAP_ARM_VM_IPA_SIZE reports.
    pub ipa_limit: IpaBits,
    /// ICH_VTR_EL2: what the virtual CPU interface of the GIC has.
    pub vtr: IchVtrEl2,
    /// The features that change what the hypervisor does.
    pub features: FeatureSet,
}

/// Prints one line for the log.
impl fmt::Display for HostCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} pages, IPA {} bits, VMID {} bits, {} list registers, {} priority bits, {}",
            self.granule,
            self.ipa_limit,
            self.vmid_bits,
            self.vtr.list_registers(),
            self.vtr.priority_bits(),
            self.features
        )
    }
}

/// Why the module cannot work on this machine; ENODEV for insmod.
///
/// `Display` gives one sentence that says why and what to do.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The CPU has no EL2, or what runs below hides it.
    NoEl2,
    /// The CPU lacks FEAT_VHE, or the kernel was told to do without.
    NoVhe,
    /// The kernel does not run at EL2, although the CPU could.
    NotAtEl2 {
        /// The Exception level it runs at.
        current_el: u8,
    },
    /// The kernel runs at EL2 without VHE.
    E2hClear,
    /// There are no system registers of a GICv3.
    NoGicSystemRegisters,
    /// The system registers of the GICv3 are not in use.
    GicSystemRegistersOff,
    /// The host's page size is not a granule.
    PageSize(usize),
    /// The CPU's stage 2 does not support the host's page size.
    NoStage2Granule(Granule),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEl2 => f.write_str(
                "the CPU shows no EL2 (ID_AA64PFR0_EL1.EL2 is 0): use a machine with the \
                 virtualization extensions or, in a VM, enable nested virtualization \
                 (QEMU: -M virt,virtualization=on)",
            ),
            Self::NoVhe => f.write_str(
                "there is no VHE (ID_AA64MMFR1_EL1.VH is 0): an Armv8.1 or later CPU with FEAT_VHE \
                 is needed, and a kernel booted without kvm-arm.mode=nvhe, \
                 kvm-arm.mode=protected or id_aa64mmfr1.vh=0",
            ),
            Self::NotAtEl2 { current_el } => write!(
                f,
                "the kernel runs at EL{current_el} although the CPU has EL2 and VHE: boot it at \
                 EL2 (firmware or hypervisor must hand over at EL2; QEMU: \
                 -M virt,virtualization=on) and without kvm-arm.mode=nvhe, \
                 kvm-arm.mode=protected or id_aa64mmfr1.vh=0"
            ),
            Self::E2hClear => f.write_str(
                "the kernel runs at EL2 with VHE off (HCR_EL2.E2H is 0): boot a kernel that uses \
                 VHE, without kvm-arm.mode=nvhe, kvm-arm.mode=protected or id_aa64mmfr1.vh=0",
            ),
            Self::NoGicSystemRegisters => f.write_str(
                "the CPU has no GICv3 system registers (ID_AA64PFR0_EL1.GIC is 0): a machine with \
                 GICv3 or GICv4 is needed, not GICv2 or GICv5 (QEMU: -M virt,gic-version=3)",
            ),
            Self::GicSystemRegistersOff => f.write_str(
                "the GICv3 system registers are not in use (ICC_SRE_EL2.SRE is 0): firmware must \
                 enable them (ICC_SRE_EL3.SRE and Enable) and describe the interrupt controller \
                 as GICv3 to the kernel",
            ),
            Self::PageSize(bytes) => write!(
                f,
                "the kernel's page size of {bytes} bytes is not one of Arm's: boot a kernel with \
                 4K, 16K or 64K pages"
            ),
            Self::NoStage2Granule(granule) => write!(
                f,
                "the CPU's stage 2 translation has no {granule} granule \
                 (ID_AA64MMFR0_EL1.TGRAN{}_2): boot a kernel with another page size",
                match granule {
                    Granule::K4 => 4,
                    Granule::K16 => 16,
                    Granule::K64 => 64,
                }
            ),
        }
    }
}

/// Decides whether the module can work on a CPU, and with what.
///
/// # Errors
///
/// The first [`Refusal`] that applies, the most fundamental first.
pub fn check_host(cpu: &CpuFeatures, host: &HostState) -> Result<HostCapabilities, Refusal> {
    if !cpu.pfr0.has_el2() {
        return Err(Refusal::NoEl2);
    }
    if !cpu.mmfr1.has_vhe() {
        return Err(Refusal::NoVhe);
    }
    if host.current_el != 2 {
        return Err(Refusal::NotAtEl2 {
            current_el: host.current_el,
        });
    }
    if !host.e2h {
        return Err(Refusal::E2hClear);
    }
    if !cpu.pfr0.has_gic_sysregs() {
        return Err(Refusal::NoGicSystemRegisters);
    }
    let vtr = match cpu.vtr {
        Some(vtr) if cpu.sre.sre() => vtr,
        _ => return Err(Refusal::GicSystemRegistersOff),
    };
    let granule =
        Granule::from_page_size(host.page_size).ok_or(Refusal::PageSize(host.page_size))?;
    if cpu.mmfr0.stage2_granule(granule) == GranuleSupport::None {
        return Err(Refusal::NoStage2Granule(granule));
    }
    Ok(HostCapabilities {
        granule,
        vmid_bits: cpu.mmfr1.vmid_bits(),
        ipa_limit: cpu.ipa_limit(granule),
        vtr,
        features: cpu.features(granule),
    })
}
