// SPDX-License-Identifier: GPL-2.0

//! The distributor and the redistributors against a GICv3 as the specification has it: both get the
//! same accesses, and have the same state after each.

mod machine;
mod model;

use kvm_core::{
    bits::Bits,
    esr::AccessSize,
    vgic::{
        bank::{
            read_lines,
            write_lines,
            By, //
        },
        cell::IrqCell,
        dist::{
            self,
            BadWrite, //
        },
        interrupts::Interrupts,
        intid::IntId,
        irq::Irq,
        redist, //
    },
};
use machine::Machine;
use model::{
    At,
    Gic,
    Who, //
};
use proptest::prelude::*;

/// Numbers and affinities of the vCPUs, in the order of their redistributors.
const VCPUS: [(u16, u64, bool); 4] = [
    (0, 0, false),
    (3, 3, true),
    (1, 0x100, false),
    (511, 0x1_0f0f, true),
];

/// What happens.
#[derive(Copy, Clone, Debug)]
enum Step {
    DistRead(By, At),
    DistWrite(By, At, u64),
    RedistRead(By, usize, At),
    RedistWrite(By, usize, At, u64),
    Line(usize, u32, bool),
    ReadLines(usize, u32),
    WriteLines(usize, u32, u32),
    Wire(usize, u32),
}

fn any_by() -> impl Strategy<Value = By> {
    prop_oneof![
        3 => (0..VCPUS.len()).prop_map(By::Guest),
        1 => Just(By::User),
    ]
}

/// Offsets in a frame that tend to be registers.
fn any_offset(longs: &'static [u32]) -> impl Strategy<Value = u32> {
    prop_oneof![
        // The arrays, and the SPIs that there are.
        12 => (1u32..32, 0u32..0x80).prop_map(|(array, n)| array * 0x80 + n % 12 * 4),
        4 => (0x400u32..0x500, any::<bool>()).prop_map(|(offset, word)| offset & !(u32::from(word) * 3)),
        4 => (30u32..0x80, 0u32..2).prop_map(|(n, half)| 0x6000 + n * 8 + half * 4),
        4 => (0u32..8).prop_map(|n| n * 4),
        4 => (prop::sample::select(longs), 0u32..2).prop_map(|(base, half)| base + half * 4),
        2 => (0xff00u32 / 4..0x1_0000 / 4).prop_map(|n| n * 4),
        2 => 0u32..0x1_0000,
    ]
}

fn any_at(redist: bool) -> impl Strategy<Value = At> {
    let size = prop::sample::select(&[1u32, 2, 4, 4, 4, 4, 8][..]);
    let frame = if redist { 2u32 } else { 1 };
    let longs: &'static [u32] = if redist {
        &[0x8, 0x70, 0x78, 0xa0, 0xb0, 0xc0]
    } else {
        &[0x6100, 0x6108, 0x7fd8, 0x7fe0]
    };
    (any_offset(longs), 0..frame, size).prop_map(|(offset, frame, size)| At {
        offset: frame * 0x1_0000 + offset,
        size,
    })
}

/// The registers that are about LPIs, and their halves.
fn any_lpi_register() -> impl Strategy<Value = At> {
    let base = prop::sample::select(&[0x70u32, 0x78, 0xa0, 0xb0][..]);
    (base, 0u32..3).prop_map(|(base, part)| At {
        offset: base + part % 2 * 4,
        size: if part == 2 { 8 } else { 4 },
    })
}

/// Values that are sparse, dense, ids of LPIs, affinities or anything.
fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => any::<u64>(),
        4 => (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(a, b, c)| a & b & c),
        2 => prop::sample::select(&[0u64, 1, 2, 3, u64::MAX, u32::MAX as u64][..]),
        2 => prop::sample::select(&[0u64, 3, 0x100, 0x1_0f0f, 0x8000_0003][..]),
        1 => prop::sample::select(&[0x4b00_043bu64, 0x4b00_143b, 0x4b00_243b, 0x4b00_343b][..]),
        1 => 8190u64..8200,
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let vcpu = 0..VCPUS.len();
    let intid = prop_oneof![0u32..32, 32u32..160, 0u32..1020];
    prop_oneof![
        6 => (any_by(), any_at(false)).prop_map(|(by, at)| Step::DistRead(by, at)),
        10 => (any_by(), any_at(false), any_value())
            .prop_map(|(by, at, value)| Step::DistWrite(by, at, value)),
        6 => (any_by(), vcpu.clone(), any_at(true))
            .prop_map(|(by, vcpu, at)| Step::RedistRead(by, vcpu, at)),
        10 => (any_by(), vcpu.clone(), any_at(true), any_value())
            .prop_map(|(by, vcpu, at, value)| Step::RedistWrite(by, vcpu, at, value)),
        3 => (any_by(), vcpu.clone(), any::<bool>()).prop_map(|(by, vcpu, on)| {
            let ctlr = At { offset: 0, size: 4 };
            Step::RedistWrite(by, vcpu, ctlr, on.into())
        }),
        6 => (vcpu.clone(), any_lpi_register(), any_value()).prop_map(|(vcpu, at, value)| {
            Step::RedistWrite(By::Guest(vcpu), vcpu, at, value)
        }),
        6 => (vcpu.clone(), intid, any::<bool>())
            .prop_map(|(vcpu, intid, level)| Step::Line(vcpu, intid, level)),
        2 => (vcpu.clone(), 0u32..32).prop_map(|(vcpu, group)| Step::ReadLines(vcpu, group)),
        2 => (vcpu.clone(), 0u32..32, any::<u32>())
            .prop_map(|(vcpu, group, value)| Step::WriteLines(vcpu, group, value)),
        1 => (vcpu, 16u32..32).prop_map(|(vcpu, ppi)| Step::Wire(vcpu, ppi)),
    ]
}

fn size(at: At) -> AccessSize {
    match at.size {
        1 => AccessSize::Byte,
        2 => AccessSize::Halfword,
        4 => AccessSize::Word,
        _ => AccessSize::Doubleword,
    }
}

/// User space accesses words.
fn adapt(by: By, at: At) -> (Who, At) {
    match by {
        By::Guest(_) => (Who::Guest, at),
        By::User => (Who::User, At { size: 4, ..at }),
    }
}

/// The GIC of a machine that was just made.
fn reset(machine: &Machine) -> Gic {
    let irq = |m: usize, router| model::Irq {
        enabled: m < 16,
        // SPIs are what C KVM makes them: GICD_ICFGR is UNKNOWN after a reset.
        edge: !(16..32).contains(&m),
        group1: true,
        router,
        ..model::Irq::default()
    };
    Gic {
        its: machine.its,
        initialized: true,
        revision: 3,
        group0: false,
        group1: false,
        status: 0,
        propbaser: 0,
        spis: (0..machine.spis.len()).map(|n| irq(n + 32, 0)).collect(),
        cpus: machine
            .cpus
            .iter()
            .map(|cpu| model::Cpu {
                id: cpu.id,
                affinity: cpu.affinity,
                last: cpu.last,
                private: (0..32).map(|m| irq(m, 0)).collect(),
                status: 0,
                pendbaser: 0,
                lpis: false,
                invalidated: Vec::new(),
            })
            .collect(),
    }
}

fn errno(error: BadWrite) -> &'static str {
    match error {
        BadWrite::Invalid => "EINVAL",
        BadWrite::Busy => "EBUSY",
    }
}

/// Does a step on both and compares what it returns.
fn step(machine: &Machine, gic: &mut Gic, step: Step) {
    match step {
        Step::DistRead(by, at) => {
            let (who, at) = adapt(by, at);
            assert_eq!(
                dist::read(machine, by, at.offset, size(at)),
                gic.dist_read(who, at)
            );
            assert_eq!(
                dist::exists(machine.spis.len(), at.offset),
                gic.dist_has(at.offset)
            );
        }
        Step::DistWrite(by, at, value) => {
            let (who, at) = adapt(by, at);
            let result = match by {
                By::Guest(_) => {
                    dist::write(machine, by, at.offset, size(at), value);
                    Ok(())
                }
                By::User => dist::user_write(machine, at.offset, value as u32),
            };
            let value = if by == By::User {
                value as u32 as u64
            } else {
                value
            };
            let result = result.map_err(errno);
            assert_eq!(result, gic.dist_write(who, at, value));
        }
        Step::RedistRead(by, vcpu, at) => {
            let (who, at) = adapt(by, at);
            assert_eq!(
                redist::read(machine, by, vcpu, at.offset, size(at)),
                gic.redist_read(who, vcpu, at)
            );
            assert_eq!(redist::exists(at.offset), gic.redist_has(at.offset));
        }
        Step::RedistWrite(by, vcpu, at, value) => {
            let (who, at) = adapt(by, at);
            match by {
                By::Guest(_) => redist::write(machine, by, vcpu, at.offset, size(at), value),
                By::User => redist::user_write(machine, vcpu, at.offset, value as u32),
            }
            let value = if by == By::User {
                value as u32 as u64
            } else {
                value
            };
            gic.redist_write(who, vcpu, at, value);
        }
        Step::Line(vcpu, intid, level) => {
            if (16..32 + machine.spis.len() as u32).contains(&intid) {
                machine.signal(vcpu, IntId::new(intid).unwrap(), |irq| irq.set_line(level));
                gic.line(vcpu, intid, level);
            }
        }
        Step::ReadLines(vcpu, group) => assert_eq!(
            read_lines(machine, vcpu, Bits::truncated(group.into())),
            gic.read_lines(vcpu, group * 32)
        ),
        Step::WriteLines(vcpu, group, value) => {
            write_lines(machine, vcpu, Bits::truncated(group.into()), value);
            gic.write_lines(vcpu, group * 32, value);
        }
        Step::Wire(vcpu, ppi) => {
            let host = Bits::truncated(u64::from(ppi));
            machine.signal(vcpu, IntId::new(ppi).unwrap(), |irq| {
                irq.set_wire(Some(host))
            });
            gic.cpus[vcpu].private[ppi as usize].wired = true;
        }
    }
}

/// The state of an interrupt as the model has it.
fn seen(irq: Irq) -> model::Irq {
    model::Irq {
        enabled: irq.enabled(),
        latch: irq.latched(),
        line: irq.line(),
        active: irq.active(),
        edge: irq.edge(),
        group1: irq.group1(),
        priority: irq.priority().into(),
        router: 0,
        wired: irq.wired(),
        host_active: false,
    }
}

/// Compares all of the state, and that who has something to look at was told.
fn compare(machine: &Machine, gic: &Gic) {
    assert_eq!(machine.groups.get().group0, gic.group0);
    assert_eq!(machine.groups.get().group1, gic.group1);
    assert_eq!(machine.status.get(), gic.status.into());
    assert_eq!(machine.propbaser.get().into_raw(), gic.propbaser);
    for (n, (cell, irq)) in machine.spis.iter().zip(&gic.spis).enumerate() {
        let is = cell.load();
        let router = machine.routers[n].get();
        assert_eq!(model::Irq { router, ..seen(is) }, *irq, "SPI {n}");
        assert_eq!(is.target(), gic.target(n), "SPI {n}");
        if let (true, Some(vcpu)) = (is.is_candidate(), is.owner()) {
            let notified = machine.cpus[vcpu].notified.borrow();
            assert!(notified.contains(&(n as u32 + 32)), "SPI {n} of {vcpu}");
        }
    }
    for (vcpu, (cpu, expected)) in machine.cpus.iter().zip(&gic.cpus).enumerate() {
        assert_eq!(cpu.status.get(), expected.status.into());
        assert_eq!(cpu.pendbaser.get().into_raw(), expected.pendbaser);
        assert_eq!(cpu.lpis.get(), expected.lpis);
        assert_eq!(*cpu.invalidated.borrow(), expected.invalidated);
        for (m, (cell, irq)) in cpu.private.iter().zip(&expected.private).enumerate() {
            let is = cell.load();
            let host_active = cpu.host_active.borrow().contains(&(m as u32));
            assert_eq!(
                model::Irq {
                    host_active,
                    ..seen(is)
                },
                *irq,
                "{m} of {vcpu}"
            );
            assert_eq!(is.target(), Some(vcpu));
            if is.is_candidate() {
                assert!(cpu.notified.borrow().contains(&(m as u32)), "{m} of {vcpu}");
            }
        }
    }
}

/// What user space may write early on, or tries to.
fn any_early() -> impl Strategy<Value = (u32, u32)> {
    let values = [
        0u32,
        0x100,
        0x4b00_043b,
        0x4b00_143b,
        0x4b00_243b,
        0x4b00_343b,
        0x4b00_343a,
    ];
    let value = prop_oneof![prop::sample::select(values.to_vec()), any::<u32>()];
    (prop::sample::select(vec![0x8u32, 0xc]), value)
}

proptest! {
    #[test]
    fn what_is_written_early_is_written_as_later(
        writes in prop::collection::vec(any_early(), 1..20),
    ) {
        let mut revision = dist::Revision::Three;
        let mut gic = Gic { initialized: false, ..reset(&Machine::new(32, false, &VCPUS)) };
        for (offset, value) in writes {
            let at = At { offset, size: 4 };
            let result = dist::write_early(revision, false, offset, value);
            let result = result.map(|now| revision = now).map_err(errno);
            prop_assert_eq!(result, gic.dist_write(Who::User, at, value.into()));
            prop_assert!(dist::is_early(offset));
            for offset in [0x8, 0xc] {
                let at = At { offset, size: 4 };
                prop_assert_eq!(
                    u64::from(dist::read_early(revision, offset)),
                    gic.dist_read(Who::User, at)
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_registers_are_those_of_the_specification(
        spis in prop::sample::select(&[32usize, 96, 224, 988][..]),
        its: bool,
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let machine = Machine::new(spis, its, &VCPUS);
        let mut gic = reset(&machine);

        compare(&machine, &gic);
        for next in steps {
            step(&machine, &mut gic, next);
            compare(&machine, &gic);
        }
    }

    #[test]
    fn what_user_space_reads_is_what_it_writes_back(
        spis in prop::sample::select(&[32usize, 224][..]),
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let (machine, copy) = (
            Machine::new(spis, true, &VCPUS),
            Machine::new(spis, true, &VCPUS),
        );
        let mut gic = reset(&machine);
        for next in steps {
            step(&machine, &mut gic, next);
        }
        let vcpus = 0..VCPUS.len();

        // In an order as good as any, but for the sources of what others depend on: the enables that
        // are cleared and set, and LPIs, whose tables cannot be written while they are enabled.
        let word = AccessSize::Word;
        for offset in (0..0x1_0000).step_by(4).filter(|offset| dist::exists(spis, *offset)) {
            let value = dist::read(&machine, By::User, offset, word) as u32;
            let value = if (0x180..0x200).contains(&offset) || (0x380..0x400).contains(&offset) {
                !value
            } else {
                value
            };
            prop_assert_eq!(dist::user_write(&copy, offset, value), Ok(()));
        }
        for vcpu in vcpus.clone() {
            for offset in (4..0x2_0000).step_by(4).chain([0]).filter(|offset| redist::exists(*offset)) {
                let value = redist::read(&machine, By::User, vcpu, offset, word) as u32;
                let value = match offset {
                    0x1_0180 | 0x1_0380 => !value,
                    _ => value,
                };
                redist::user_write(&copy, vcpu, offset, value);
            }
            for group in 0..32 {
                let group = Bits::truncated(group);
                write_lines(&copy, vcpu, group, read_lines(&machine, vcpu, group));
            }
        }
        // Lines of edge-triggered ones are no state, and PTZ is not read.
        for irq in gic.spis.iter_mut().chain(gic.cpus.iter_mut().flat_map(|cpu| &mut cpu.private)) {
            irq.line &= !irq.edge;
            irq.wired = false;
            irq.host_active = false;
        }
        for cpu in &mut gic.cpus {
            cpu.pendbaser &= !(1 << 62);
            cpu.invalidated.clear();
        }
        for cpu in &copy.cpus {
            cpu.invalidated.borrow_mut().clear();
        }
        // What was never written is zero, and written it is what the emulation has instead.
        let never = |register: &mut u64, copied: u64| {
            if *register == 0 {
                *register = copied;
            }
        };
        never(&mut gic.propbaser, copy.propbaser.get().into_raw());
        for (cpu, copied) in gic.cpus.iter_mut().zip(&copy.cpus) {
            never(&mut cpu.pendbaser, copied.pendbaser.get().into_raw());
        }
        compare(&copy, &gic);
    }
}
