// SPDX-License-Identifier: GPL-2.0

//! Trapped accesses to system registers: any instruction of a guest, in a VM of any features.

#![no_main]

use kvm_core::{
    bits::Bits,
    context::{
        Gpr,
        Gprs, //
    },
    esr::SystemAccess,
    register::{
        access::{
            emulate,
            AccessEnv,
            IdRead,
            Outcome, //
        },
        feature::FeatureSet,
        Reg, //
    },
    sysreg::SysReg,
    timer::{
        CntCtl,
        Timer,
        TimerReg,
        TimerState, //
    },
};
use kvm_fuzz::Input;

kvm_fuzz::target!(run);

/// The vCPU, and what was done to it.
#[derive(Clone, PartialEq, Debug)]
struct Vcpu {
    features: FeatureSet,
    gprs: Gprs,
    regs: Vec<u64>,
    id: IdRead,
    ccsidr: u64,
    counter: u64,
}

impl AccessEnv for Vcpu {
    fn features(&self) -> FeatureSet {
        self.features
    }

    fn gpr(&self, n: Bits<5>) -> u64 {
        self.gprs.get(Gpr::from_bits(n))
    }

    fn set_gpr(&mut self, n: Bits<5>, value: u64) {
        self.gprs.set(Gpr::from_bits(n), value);
    }

    fn read(&self, reg: Reg) -> u64 {
        self.regs[reg.index()]
    }

    fn write(&mut self, reg: Reg, value: u64) {
        self.regs[reg.index()] = value;
    }

    fn id_register(&self, _encoding: SysReg) -> IdRead {
        self.id
    }

    fn clidr(&self) -> u64 {
        0x0a20_0023
    }

    fn ccsidr(&self, csselr: u64) -> u64 {
        self.ccsidr ^ csselr
    }

    fn counter(&self, _reg: Reg) -> u64 {
        self.counter
    }

    fn timer(&self, reg: Reg) -> u64 {
        TimerReg::of(reg).map_or(0, |(timer, which)| {
            self.state(timer).read(which, self.counter)
        })
    }

    fn set_timer(&mut self, reg: Reg, value: u64) {
        if let Some((timer, which)) = TimerReg::of(reg) {
            let state = self.state(timer).write(which, value, self.counter);
            let (ctl, cval) = registers(timer);
            self.regs[ctl.index()] = state.ctl.into_raw();
            self.regs[cval.index()] = state.cval;
        }
    }
}

/// The control and compare registers of a timer.
fn registers(timer: Timer) -> (Reg, Reg) {
    match timer {
        Timer::Virtual => (Reg::CNTV_CTL_EL0, Reg::CNTV_CVAL_EL0),
        Timer::Physical => (Reg::CNTP_CTL_EL0, Reg::CNTP_CVAL_EL0),
    }
}

impl Vcpu {
    fn state(&self, timer: Timer) -> TimerState {
        let (ctl, cval) = registers(timer);

        TimerState {
            ctl: CntCtl::from_raw(self.regs[ctl.index()]),
            cval: self.regs[cval.index()],
        }
    }
}

fn run(input: &mut Input<'_>) {
    let seed = input.u64();
    let mut vcpu = Vcpu {
        features: FeatureSet::from_raw(input.u64()),
        gprs: Gprs(std::array::from_fn(|n| {
            seed.rotate_left(n as u32) ^ n as u64
        })),
        regs: (0..Reg::COUNT as u64)
            .map(|n| seed.wrapping_mul(2 * n + 1))
            .collect(),
        id: match input.below(3) {
            0 => IdRead::Value(input.u64()),
            1 => IdRead::Undefined,
            _ => IdRead::Trap,
        },
        ccsidr: input.u64(),
        counter: input.u64(),
    };
    while !input.is_empty() {
        // Any encoding, or one that is in the table.
        let access = if input.bool() {
            SystemAccess::from_raw(u64::from(input.u32()))
        } else {
            let reg = Reg::from_index(usize::from(input.u16()) % Reg::COUNT).unwrap();
            let (rt, read) = (Bits::truncated(input.u8().into()), input.bool());
            SystemAccess::new(reg.encoding(), rt, read)
        };
        let before = vcpu.clone();
        let outcome = emulate(access, &mut vcpu);
        let mut again = before.clone();
        assert_eq!(emulate(access, &mut again), outcome);
        assert_eq!(again, vcpu);
        check(access, &before, &vcpu, outcome);
    }
}

fn check(access: SystemAccess, before: &Vcpu, after: &Vcpu, outcome: Outcome) {
    let reg = Reg::from_sysreg(access.reg());
    match reg {
        None => assert!(matches!(outcome, Outcome::Unknown | Outcome::SetWay(_))),
        Some(reg) => {
            assert!(!matches!(outcome, Outcome::Unknown | Outcome::SetWay(_)));
            if !before.features.contains(reg.row().gate) {
                assert_eq!(outcome, Outcome::Undefined);
            }
        }
    }
    let changed = |n: &usize| before.regs[*n] != after.regs[*n];
    let changes: Vec<_> = (0..Reg::COUNT).filter(changed).collect();
    match outcome {
        Outcome::Done | Outcome::VmControl { .. } if access.read() => {
            assert!(changes.is_empty());
            assert_eq!(outcome, Outcome::Done);
            // Only Rt changes, and only if it is a register.
            let mut expected = before.gprs;
            let rt = Gpr::from_bits(access.rt());
            expected.set(rt, after.gprs.get(rt));
            assert_eq!(after.gprs, expected);
            assert_eq!(after.gprs.get(Gpr::ZERO), 0);
        }
        Outcome::Done | Outcome::VmControl { .. } => {
            assert_eq!(after.gprs, before.gprs);
            let own = reg.unwrap();
            // These write others: OSLAR_EL1, and a timer's, which are one state.
            let others = match TimerReg::of(own) {
                Some((timer, _)) => {
                    let (ctl, cval) = registers(timer);
                    [ctl, cval]
                }
                None if own == Reg::OSLAR_EL1 => [own, Reg::OSLSR_EL1],
                None => [own, own],
            };
            for n in changes {
                let written = n == own.index() || others.iter().any(|reg| n == reg.index());
                assert!(written, "{own:?} changes register {n}");
            }
            if let Outcome::VmControl {
                before: old,
                after: new,
            } = outcome
            {
                assert_eq!(old, before.read(Reg::SCTLR_EL1));
                assert_eq!(new, after.read(Reg::SCTLR_EL1));
            }
        }
        _ => assert_eq!(before, after),
    }
}
