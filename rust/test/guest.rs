// SPDX-License-Identifier: GPL-2.0

//! A vCPU with one page of memory, and in it a program that does a hypercall.

use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_core::{
    bits::Bits,
    cpu::{
        hardening::ExitHardening,
        Feature as CpuFeature, //
    },
    ipa::IpaBits,
    pstate::GuestPstate,
    register::{
        fgt::FineGrainedTraps,
        Feature,
        Reset, //
    },
    stage2::{
        Config,
        Format, //
    },
    timer::CounterOffsets,
    traps::{
        mdcr,
        HostTraps,
        MdcrInputs,
        VmTraps, //
    },
    vm_idreg::{
        HostFacts,
        VmFeature,
        VmFeatures, //
    },
};
use kvm_host::{
    guest_tlb::{
        invalidate_vmid,
        Stage2Registers, //
    },
    hotplug::CpuCallbacks,
    machine::{
        Machine,
        VheHost,
        PHYSICAL_BITS, //
    },
    pinned::{
        PinnedCpu, //
    },
    testing::with_loaded_here,
    testing_tables::TestTables,
    translation::reset_guest_translation,
    vcpu::{
        ControlRegisters,
        Controls,
        Exit,
        ExitCode,
        VcpuCpu,
        Vectors, //
    },
};

/// ICH_HCR_EL2.TC, TALL0, TALL1 and TDIR.
const ICH_HCR_TRAP_ALL: u64 = 1 << 10 | 1 << 11 | 1 << 12 | 1 << 14;

/// The one VMID.
const VMID: u16 = 1;

/// The immediate of the program's HVC.
pub(crate) const HVC: u16 = 0x4b56;

/// Where the program is, and its page.
pub(crate) const START: u64 = PAGE_SIZE as u64;

/// Behind its HVC: one instruction for each of X0 to X30 comes first.
pub(crate) const END: u64 = START + 32 * 4;

/// Where in the page the program is that acknowledges and ends an interrupt of group 1.
const END_INTERRUPT: u64 = 0x800;

/// The same in pairs of instructions.
const END_INTERRUPT_PAIR: usize = END_INTERRUPT as usize / 8;

/// The CPUs' translation regime for guests: nothing is left in it, before and after.
pub(crate) struct Regime(VheHost);

impl Regime {
    pub(crate) fn new(host: VheHost) -> Self {
        Self(host)
    }
}

impl CpuCallbacks for Regime {
    fn online(&self, cpu: &PinnedCpu) -> Result {
        reset_guest_translation(self.0, cpu);
        Ok(())
    }

    fn offline(&self, cpu: &PinnedCpu) {
        reset_guest_translation(self.0, cpu);
    }
}

/// The vCPU and its memory.
pub(crate) struct Guest {
    /// The vCPU's side of the CPU.
    pub(crate) cpu: KBox<VcpuCpu>,
    host: VheHost,
    tables: TestTables,
}

/// Makes a vCPU that has all that the machine can give one.
pub(crate) fn new_vcpu(machine: &Machine) -> Result<KBox<VcpuCpu>> {
    let ids = KBox::new(machine.id_registers(HostFacts::default()), GFP_KERNEL)?;
    let host = VmFeatures::of(&*ids);
    let has = |feature| machine.capabilities.features.contains(feature);
    let available = ControlRegisters {
        fgt: has(CpuFeature::Fgt),
        fgt2: has(CpuFeature::Fgt2),
        hcx: has(CpuFeature::Hcx),
        ras: has(CpuFeature::Ras),
        pmu: has(CpuFeature::PmuV3),
        mpam: host.contains(VmFeature::Mpam),
        cntpoff: host.contains(VmFeature::EcvPoff),
    };
    let cpu = KBox::init(VcpuCpu::init(machine.host, available), GFP_KERNEL)?;
    // Its registers where there are such, but no such guest: EL1 is AArch64.
    let registers = host.registers();
    let traps = VmTraps::of(
        host.iter()
            .filter(|feature| *feature != VmFeature::Aarch32El1)
            .fold(VmFeatures::default(), |set, feature| {
                set.with(feature, true)
            }),
        HostTraps {
            features: host,
            ctr_is_hosts: false,
        },
    );
    let fine = FineGrainedTraps::new(registers);

    cpu.set_controls(Controls {
        features: registers.with(Feature::PHYSICAL_TIMER, true),
        hcr: traps.hcr.into_raw(),
        hcrx: traps.hcrx.map_or(0, |hcrx| hcrx.into_raw()),
        mdcr: mdcr(MdcrInputs {
            event_counters: Bits::of::<0>(),
            guest_debug: false,
        })
        .into_raw(),
        cptr: traps.cptr.into_raw(),
        hfg: fine.hfg,
        tracking: None,
        hfgitr: traps.hfgitr.map_or(0, |hfgitr| hfgitr.into_raw()),
        hdfg: fine.hdfg,
        hfgitr2: traps.hfgitr2.map_or(0, |hfgitr2| hfgitr2.into_raw()),
        offsets: CounterOffsets::default(),
        vpidr: None,
        ich_hcr: ICH_HCR_TRAP_ALL,
    });
    cpu.reset(|_, reset| match reset {
        Reset::Mpidr => 1 << 31,
        _ => 0,
    });
    Ok(cpu)
}

impl Guest {
    pub(crate) fn new(machine: &Machine) -> Result<Self> {
        let granule = machine.capabilities.granule;
        let ipa = IpaBits::MIN;
        let config = Config::for_cpu(machine.system(), granule, ipa, PHYSICAL_BITS);
        let format = Format::new(config).map_err(|_| EINVAL)?;
        let cpu = new_vcpu(machine)?;
        let tables = TestTables::new(format, START, &program())?;

        Ok(Self {
            cpu,
            host: machine.host,
            tables,
        })
    }

    /// The stage 2 translation.
    pub(crate) fn stage2(&self) -> Stage2Registers<'_> {
        self.tables.registers(VMID)
    }

    /// Lets the program begin anew.
    pub(crate) fn rewind(&self) {
        self.cpu.set_pc(START);
        self.cpu.set_pstate(GuestPstate::RESET);
    }

    /// Lets the program that ends an interrupt begin.
    pub(crate) fn rewind_to_end_interrupt(&self) {
        self.cpu.set_pc(START + END_INTERRUPT);
        self.cpu.set_pstate(GuestPstate::RESET);
    }

    /// Runs the program to an exit that is not the host's interrupt.
    pub(crate) fn run(&self, vectors: Vectors) -> Option<Exit> {
        // Each time interrupts are on for a moment.
        (0..1000)
            .filter_map(|_| {
                with_loaded_here(&self.cpu, self.stage2(), vectors, |here| here.enter())
            })
            .find(|exit| exit.code != ExitCode::Interrupt)
    }

    /// The vectors without anything against speculation.
    pub(crate) fn plain() -> Vectors {
        Vectors::new(ExitHardening::None)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        invalidate_vmid(self.host, self.stage2());
    }
}

/// Adds 1 to each of X0 to X30, and then HVC; behind it, what acknowledges an interrupt, with its
/// number in X0, and ends it, and then HVC. Two instructions each.
fn program() -> [u64; END_INTERRUPT_PAIR + 2] {
    /// ADD X0, X0, #1. The registers' numbers are in bits 4:0 and 9:5.
    const ADD: u64 = 0x9100_0400;
    const HVC_0: u64 = 0xd400_0002 | (HVC as u64) << 5;
    /// MRS X0, ICC_IAR1_EL1.
    const ACKNOWLEDGE: u64 = 0xd538_cc00;
    /// MSR ICC_EOIR1_EL1, X0.
    const END: u64 = 0xd518_cc20;

    let instruction = |n: u64| match n {
        0..31 => ADD | n << 5 | n,
        _ => HVC_0,
    };
    core::array::from_fn(|pair| match pair {
        0..16 => {
            let low = 2 * pair as u64;
            instruction(low) | instruction(low + 1) << 32
        }
        END_INTERRUPT_PAIR => ACKNOWLEDGE | END << 32,
        pair if pair > END_INTERRUPT_PAIR => HVC_0 | HVC_0 << 32,
        _ => 0,
    })
}
