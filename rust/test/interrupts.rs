// SPDX-License-Identifier: GPL-2.0

//! The virtual CPU interface, its maintenance interrupt, and the interrupt of the virtual timer, on
//! each CPU and on each that has gone down and come up again.

use crate::{
    guest::{
        Guest,
        Regime, //
    },
    report::Report,
};
use kernel::{
    cpu::nr_cpu_ids,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            AtomicFlag,
            Relaxed, //
        },
        Arc, //
    },
};
use kvm_core::{
    bits::Bits,
    register::Reg, //
};
use kvm_host::{
    firmware_irqs::GuestPpis,
    gic::HostGic,
    hotplug::CpuCallbacks,
    ich::{
        Group,
        Ich,
        MAX_LIST_REGISTERS, //
    },
    irqs::with_irqs_off,
    machine::{
        online_cpus,
        Machine, //
    },
    percpu::PerCpu,
    percpu_irq::{
        PercpuIrq,
        PercpuIrqHandler, //
    },
    pinned::{
        with_preemption_off,
        PinnedCpu, //
    },
    testing::{
        bring_up,
        counter_frequency,
        take_down,
        with_loaded_here,
        LoadedHere, //
    },
    time::counter,
    vcpu::ExitCode,
};

/// ICH_HCR_EL2.En and UIE.
const HCR_EN: u64 = 1;
const HCR_UIE: u64 = 1 << 1;

/// ICH_LR<n>_EL2: pending; of a host's interrupt; group 1.
const LR_PENDING: u64 = 1 << 62;
const LR_HW: u64 = 1 << 61;
const LR_GROUP_1: u64 = 1 << 60;

/// ICH_VMCR_EL2: group 1 is enabled, and all priorities are.
const VMCR_ALL: u64 = 1 << 1 | 0xff << 24;

/// Counts interrupts.
struct Count(PerCpu<Atomic<u32>>);

impl PercpuIrqHandler for Count {
    fn handle(&self, cpu: &PinnedCpu) {
        self.0.this(cpu).add(1, Relaxed);
    }
}

impl Count {
    fn get(&self, cpu: &PinnedCpu) -> u32 {
        self.0.this(cpu).load(Relaxed)
    }
}

/// What the points are about.
struct Hardware {
    gic: HostGic,
    timer: PercpuIrq<Count>,
    count: Arc<Count>,
}

/// Does a point on a CPU. The error says what was wrong.
type Point = fn(&Hardware, &Guest, &PinnedCpu) -> Result<(), &'static str>;

const POINTS: [(&str, Point); 5] = [
    ("a reset virtual CPU interface is empty", is_empty),
    ("its registers hold what is written", round_trip),
    (
        "a maintenance interrupt that is provoked arrives",
        maintenance,
    ),
    (
        "the virtual timer's interrupt goes to a guest, which ends it",
        forwarded,
    ),
    ("the same without a vCPU is ended by the host", unclaimed),
];

fn check(what: &'static str, holds: bool) -> Result<(), &'static str> {
    if holds {
        Ok(())
    } else {
        Err(what)
    }
}

/// A number for all of the list registers.
fn all_list_registers(ich: Ich<'_>) -> u64 {
    (1 << ich.interface().list_registers()) - 1
}

fn is_empty(hardware: &Hardware, _: &Guest, cpu: &PinnedCpu) -> Result<(), &'static str> {
    let ich = hardware.gic.interface().on(cpu);

    hardware.gic.reset(cpu);
    check("ICH_HCR_EL2", ich.hcr() == 0)?;
    check("ICH_ELRSR_EL2", ich.elrsr() == all_list_registers(ich))?;
    check("ICH_EISR_EL2", ich.eisr() == 0)?;
    check("ICH_MISR_EL2", ich.misr() == 0)?;
    check(
        "active priorities",
        [Group::Zero, Group::One].map(|group| ich.active_priorities(group)) == [[0; 4]; 2],
    )
}

fn round_trip(hardware: &Hardware, guest: &Guest, cpu: &PinnedCpu) -> Result<(), &'static str> {
    let interface = hardware.gic.interface();
    let ich = interface.on(cpu);
    // Pending ones, each of a number and a priority of its own. Five bits of priority are there
    // always.
    let values: [u64; MAX_LIST_REGISTERS] =
        core::array::from_fn(|n| LR_PENDING | LR_GROUP_1 | (n as u64) << 51 | (32 + n as u64));
    let count = interface.list_registers();
    let mut read = [0; MAX_LIST_REGISTERS];

    ich.set_list_registers(&values);
    ich.list_registers(&mut read);
    ich.synchronize();
    check("list registers, together", read[..count] == values[..count])?;
    check(
        "what the CPU has not",
        read[count..].iter().all(|value| *value == 0),
    )?;
    check(
        "ICH_ELRSR_EL2 of full ones",
        ich.elrsr() & all_list_registers(ich) == 0,
    )?;
    for (n, value) in values.iter().enumerate() {
        let Some(lr) = interface.list_register(n) else {
            check("the number of list registers", n == count)?;
            break;
        };
        check("a list register, read", ich.list_register(lr) == *value)?;
        ich.set_list_register(lr, 0);
        ich.synchronize();
        check("a list register, written", ich.elrsr() & 1 << n != 0)?;
    }
    // No priority is active in both groups.
    let (zero, one) = ([1, 0, 0, 0], [2, 0, 0, 0]);
    ich.set_active_priorities(Group::Zero, zero);
    ich.set_active_priorities(Group::One, one);
    check(
        "active priorities of group 0",
        ich.active_priorities(Group::Zero) == zero,
    )?;
    check(
        "active priorities of group 1",
        ich.active_priorities(Group::One) == one,
    )?;
    ich.set_vmcr(0xf8 << 24 | 1 << 1);
    check(
        "ICH_VMCR_EL2",
        ich.vmcr() >> 24 == 0xf8 && ich.vmcr() & 3 == 2,
    )?;
    // So that there is something to reset.
    ich.set_list_registers(&values);
    ich.synchronize();
    check(
        "list registers, once more",
        ich.elrsr() & all_list_registers(ich) == 0,
    )?;
    is_empty(hardware, guest, cpu)
}

/// Waits for something that an interrupt does, longer than one can take.
fn wait_for(mut what: impl FnMut() -> bool) -> bool {
    const MS: u64 = 100;
    let end = counter() + MS * counter_frequency() / 1000;

    while !what() {
        if counter() > end {
            return false;
        }
    }
    true
}

fn maintenance(hardware: &Hardware, _: &Guest, cpu: &PinnedCpu) -> Result<(), &'static str> {
    let ich = hardware.gic.interface().on(cpu);

    check(
        "there is no such interrupt",
        hardware.gic.maintenance().is_ok(),
    )?;
    for _ in 0..3 {
        // With interrupts off it is pending only. Empty list registers are an underflow.
        let pending = with_irqs_off(|_| {
            ich.set_hcr(HCR_EN | HCR_UIE);
            ich.synchronize();
            ich.misr() == HCR_UIE && ich.hcr() & HCR_EN != 0
        });
        check("there is no cause", pending)?;
        // The handler takes the cause away.
        check("it did not arrive", wait_for(|| ich.hcr() & HCR_EN == 0))?;
    }
    ich.set_hcr(0);
    Ok(())
}

/// Lets the guest acknowledge and end an interrupt. Its number, or [`None`] if the program was not
/// done.
fn end_interrupt(guest: &Guest, here: &mut LoadedHere<'_>) -> Option<u64> {
    guest.rewind_to_end_interrupt();
    for _ in 0..1000 {
        match here.enter().code {
            ExitCode::Interrupt => here.window(),
            ExitCode::Sync => return Some(guest.cpu.gpr(Bits::of::<0>())),
            _ => return None,
        }
    }
    None
}

fn forwarded(hardware: &Hardware, guest: &Guest, cpu: &PinnedCpu) -> Result<(), &'static str> {
    with_loaded_here(&guest.cpu, guest.stage2(), Guest::plain(), |here| {
        let result = forwarded_here(hardware, guest, here, cpu);
        guest.cpu.write(Reg::CNTV_CTL_EL0, 0);
        hardware.gic.reset(cpu);
        result
    })
    .unwrap_or(Err("no vCPU could be loaded"))
}

fn forwarded_here(
    hardware: &Hardware,
    guest: &Guest,
    here: &mut LoadedHere<'_>,
    cpu: &PinnedCpu,
) -> Result<(), &'static str> {
    let (timer, ich) = (&hardware.timer, hardware.gic.interface().on(cpu));
    let lr = hardware
        .gic
        .interface()
        .list_register(0)
        .ok_or("there is no list register")?;
    let start = hardware.count.get(cpu);
    let came = || hardware.count.get(cpu).wrapping_sub(start);
    let is_active = || timer.is_active(cpu) == Ok(true);
    let intid = timer.ppi().intid();

    check("it is active at the start", !is_active())?;
    // It has expired long ago.
    guest.cpu.write(Reg::CNTV_CVAL_EL0, 0);
    guest.cpu.write(Reg::CNTV_CTL_EL0, 1);
    ich.synchronize();
    // Other interrupts may make the guest be left, too, but not before this one is pending.
    guest.rewind();
    check(
        "the guest was not left",
        here.enter().code == ExitCode::Interrupt,
    )?;
    // That warns.
    with_irqs_off(|_| here.window());
    check("it came in an inner section", came() == 0)?;
    here.window();
    check("the host has not got it", came() == 1)?;
    check("it is not active", is_active())?;
    check("its line is not up", timer.is_pending(cpu) == Ok(true))?;
    here.window();
    check("it came again although it is active", came() == 1)?;

    guest.cpu.write(Reg::CNTV_CTL_EL0, 0);
    ich.set_vmcr(VMCR_ALL);
    let intid_64 = u64::from(intid);
    ich.set_list_register(
        lr,
        LR_PENDING | LR_HW | LR_GROUP_1 | intid_64 << 32 | intid_64,
    );
    ich.set_hcr(HCR_EN);
    check(
        "the guest does not get it",
        end_interrupt(guest, here) == Some(intid_64),
    )?;
    check("the guest has not ended it", !is_active())?;
    check("the list register is not empty", ich.elrsr() & 1 != 0)?;
    check("it came again", came() == 1)?;

    guest.cpu.write(Reg::CNTV_CTL_EL0, 1);
    ich.synchronize();
    here.window();
    check("it does not come any more", came() == 2 && is_active())?;
    // As a vCPU does that goes elsewhere.
    guest.cpu.write(Reg::CNTV_CTL_EL0, 0);
    ich.synchronize();
    check(
        "the host cannot end it",
        timer.set_active(cpu, false).is_ok() && !is_active(),
    )?;
    // As one does that comes with an interrupt that its guest has not ended.
    check(
        "it cannot be made active",
        timer.set_active(cpu, true).is_ok() && is_active(),
    )?;
    guest.cpu.write(Reg::CNTV_CTL_EL0, 1);
    ich.synchronize();
    here.window();
    check("it came although it was made active", came() == 2)?;
    check(
        "the host cannot end it again",
        timer.set_active(cpu, false).is_ok(),
    )?;
    here.window();
    check("it does not come after that", came() == 3)?;
    guest.cpu.write(Reg::CNTV_CTL_EL0, 0);
    ich.synchronize();
    check(
        "the host cannot end it at last",
        timer.set_active(cpu, false).is_ok(),
    )
}

fn unclaimed(hardware: &Hardware, _: &Guest, cpu: &PinnedCpu) -> Result<(), &'static str> {
    let timer = &hardware.timer;
    let before = hardware.count.get(cpu);

    for _ in 0..3 {
        check("it cannot be made pending", timer.set_pending(cpu).is_ok())?;
        check(
            "it is not taken",
            wait_for(|| timer.is_pending(cpu) == Ok(false)),
        )?;
        check(
            "it is active still",
            wait_for(|| timer.is_active(cpu) == Ok(false)),
        )?;
    }
    check("it was given to a guest", hardware.count.get(cpu) == before)
}

/// The CPUs, for the tests.
pub(crate) struct Interrupts {
    machine: Arc<Machine>,
    regime: Regime,
    hardware: Hardware,
    /// Whether a CPU that comes up does the points.
    armed: AtomicFlag,
    /// Which of the points a CPU has passed, the last time that it did them, and a bit above them that
    /// says that it did.
    passed: KVec<Atomic<u32>>,
}

const DONE: u32 = 1 << POINTS.len();

impl Interrupts {
    pub(crate) fn new(machine: Arc<Machine>) -> Result<Self> {
        let ppis = GuestPpis::find();
        let count = Arc::new(Count(PerCpu::new()?), GFP_KERNEL)?;
        let timer = ppis.virtual_timer.map_err(|_| ENODEV)?;
        let mut passed = KVec::new();
        for _ in 0..nr_cpu_ids() {
            passed.push(Atomic::new(0), GFP_KERNEL)?;
        }

        Ok(Self {
            regime: Regime::new(machine.host),
            hardware: Hardware {
                gic: HostGic::new(&machine, &ppis)?,
                timer: PercpuIrq::request_forwarded(timer, c"kvm_vhe_test timer", count.clone())
                    .map_err(|why| {
                        pr_err!("no timer: {}\n", core::format_args!("{why}"));
                        ENODEV
                    })?,
                count,
            },
            machine,
            armed: AtomicFlag::new(false),
            passed,
        })
    }

    /// Does all points on this CPU.
    fn run(&self, guest: &Guest, cpu: &PinnedCpu) {
        let mut passed = DONE;

        for (n, (name, point)) in POINTS.iter().enumerate() {
            match point(&self.hardware, guest, cpu) {
                Ok(()) => passed |= 1 << n,
                Err(what) => pr_info!("# CPU {}: {}: {}\n", cpu.id().as_u32(), *name, what),
            }
        }
        if let Some(word) = self.passed.get(cpu.id().as_u32() as usize) {
            word.store(passed, Relaxed);
        }
    }

    /// Does the points here, and then on each CPU after it was down.
    pub(crate) fn test(&self, guest: &Guest, report: &mut Report) {
        let here = with_preemption_off(|cpu| {
            self.run(guest, cpu);
            cpu.id().as_u32()
        });
        self.report(here, "", report);
        if online_cpus() < 2 {
            return;
        }
        self.armed.store(true, Relaxed);
        for (cpu, passed) in (0..).zip(&self.passed) {
            passed.store(0, Relaxed);
            if take_down(cpu).is_err() {
                // Not one that is there.
                continue;
            }
            let up = bring_up(cpu);
            report.point(up.is_ok(), format_args!("CPU {cpu} comes up again"));
            self.report(cpu, "after hotplug, ", report);
        }
        self.armed.store(false, Relaxed);
    }

    fn report(&self, cpu: u32, when: &str, report: &mut Report) {
        let passed = self
            .passed
            .get(cpu as usize)
            .map_or(0, |word| word.load(Relaxed));

        for (n, (name, _)) in POINTS.iter().enumerate() {
            let wanted = DONE | 1 << n;
            report.point(
                passed & wanted == wanted,
                format_args!("{when}on CPU {cpu}: {name}"),
            );
        }
    }
}

impl CpuCallbacks for Interrupts {
    fn online(&self, cpu: &PinnedCpu) -> Result {
        self.regime.online(cpu)?;
        self.hardware.gic.reset(cpu);
        self.hardware.gic.enable(cpu);
        self.hardware.timer.enable(cpu);
        if self.armed.load(Relaxed) {
            self.run(&Guest::new(&self.machine)?, cpu);
        }
        Ok(())
    }

    fn offline(&self, cpu: &PinnedCpu) {
        self.hardware.timer.disable(cpu);
        self.hardware.gic.disable(cpu);
        self.regime.offline(cpu);
    }
}
