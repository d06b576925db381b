// SPDX-License-Identifier: GPL-2.0

//! Emulated accesses to system registers, against a literal model.

use kvm_core::{
    bits::Bits,
    esr::SystemAccess,
    register::{
        access::{
            emulate,
            AccessEnv,
            IdRead,
            Outcome,
            SetWay, //
        },
        row::Trap,
        Feature,
        FeatureSet,
        Reg, //
    },
    sysreg::SysReg,
};
use proptest::prelude::*;

/// A vCPU: everything that an access can change, and what it is told.
#[derive(Clone, PartialEq, Debug)]
struct Env {
    features: FeatureSet,
    gprs: [u64; 31],
    registers: [u64; Reg::COUNT],
    id: IdRead,
    seed: u64,
}

impl Env {
    fn new(features: FeatureSet, seed: u64) -> Self {
        Self {
            features,
            gprs: core::array::from_fn(|n| mix(seed, n as u64)),
            registers: core::array::from_fn(|index| mix(seed, 0x1000 + index as u64)),
            id: IdRead::Value(mix(seed, 0x2000)),
            seed,
        }
    }

    /// X0 to X30, and XZR.
    fn x(&self, n: u64) -> u64 {
        self.gprs.get(n as usize).copied().unwrap_or(0)
    }

    fn set_x(&mut self, n: u64, value: u64) {
        if let Some(gpr) = self.gprs.get_mut(n as usize) {
            *gpr = value;
        }
    }
}

/// A number that depends on all of both.
fn mix(seed: u64, n: u64) -> u64 {
    (seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

impl AccessEnv for Env {
    fn features(&self) -> FeatureSet {
        self.features
    }

    fn gpr(&self, n: Bits<5>) -> u64 {
        self.x(n.get())
    }

    fn set_gpr(&mut self, n: Bits<5>, value: u64) {
        self.set_x(n.get(), value);
    }

    fn read(&self, reg: Reg) -> u64 {
        self.registers[reg.index()]
    }

    fn write(&mut self, reg: Reg, value: u64) {
        self.registers[reg.index()] = value;
    }

    fn id_register(&self, _: SysReg) -> IdRead {
        self.id
    }

    fn clidr(&self) -> u64 {
        mix(self.seed, 0x5000)
    }

    fn ccsidr(&self, csselr: u64) -> u64 {
        mix(self.seed, csselr ^ 0x3000)
    }

    fn counter(&self, reg: Reg) -> u64 {
        mix(self.seed, 0x4000 + reg.index() as u64)
    }

    fn timer(&self, reg: Reg) -> u64 {
        !self.registers[reg.index()]
    }

    fn set_timer(&mut self, reg: Reg, value: u64) {
        self.registers[reg.index()] = !value;
    }
}

/// What an access does, spelled out.
enum Does {
    /// X<t> gets this value.
    Gives(u64),
    /// The register gets the value of X<t>.
    Stores,
    /// Nothing.
    Nothing,
    /// The register gets what the timer makes of the value of X<t>.
    Times,
    /// The OS lock is taken or let go.
    Locks,
    /// An exception.
    Refuses(Outcome),
}

/// What the documentation of [`Trap`] says of each kind.
fn spec(env: &Env, reg: Reg, read: bool) -> Does {
    use Does::*;

    const UNDEFINED: Does = Refuses(Outcome::Undefined);

    if !env.features.contains(reg.row().gate) {
        return UNDEFINED;
    }
    let value = env.registers[reg.index()];
    if read {
        match reg.row().trap {
            Trap::Storage | Trap::VmControl | Trap::Debug => Gives(value),
            Trap::ReadOnly | Trap::WriteIgnored => Gives(value),
            Trap::Raz | Trap::RazWi => Gives(0),
            Trap::Undef | Trap::OsLock => UNDEFINED,
            Trap::Id => match env.id {
                IdRead::Value(value) => Gives(value),
                IdRead::Undefined => UNDEFINED,
                IdRead::Trap => Refuses(Outcome::IdTrap),
            },
            Trap::IdUndef => match env.id {
                IdRead::Trap => Refuses(Outcome::IdTrap),
                _ => UNDEFINED,
            },
            Trap::Clidr => Gives(env.clidr()),
            Trap::Ccsidr => Gives(env.ccsidr(env.registers[Reg::CSSELR_EL1.index()])),
            Trap::Counter => Gives(env.counter(reg)),
            Trap::Timer => Gives(!value),
        }
    } else {
        match reg.row().trap {
            Trap::Storage | Trap::VmControl | Trap::Debug => Stores,
            Trap::WriteIgnored | Trap::RazWi => Nothing,
            Trap::Timer => Times,
            Trap::OsLock => Locks,
            Trap::ReadOnly | Trap::Raz | Trap::Undef => UNDEFINED,
            Trap::Id | Trap::Clidr | Trap::Ccsidr | Trap::Counter => UNDEFINED,
            Trap::IdUndef => match env.id {
                IdRead::Trap => Refuses(Outcome::IdTrap),
                _ => UNDEFINED,
            },
        }
    }
}

/// Makes an access and compares all that came of it with the model.
fn check(env: &Env, reg: Reg, rt: u64, read: bool) {
    let before = env.registers[Reg::SCTLR_EL1.index()];
    let mut expected = env.clone();
    let mut outcome = Outcome::Done;
    match spec(env, reg, read) {
        Does::Gives(value) => expected.set_x(rt, value),
        Does::Stores => {
            expected.registers[reg.index()] = env.x(rt);
            if reg.row().trap == Trap::VmControl {
                let after = expected.registers[Reg::SCTLR_EL1.index()];
                outcome = Outcome::VmControl { before, after };
            }
        }
        Does::Times => expected.registers[reg.index()] = !env.x(rt),
        Does::Nothing => {}
        Does::Locks => {
            let status = env.registers[Reg::OSLSR_EL1.index()];
            let lock = (env.x(rt) & 1) << 1;
            expected.registers[Reg::OSLSR_EL1.index()] = (status & !2) | lock;
        }
        Does::Refuses(exception) => outcome = exception,
    }

    let mut env = env.clone();
    let access = SystemAccess::new(reg.encoding(), Bits::truncated(rt), read);
    let got = emulate(access, &mut env);
    let what = if read { "read of" } else { "write of" };
    assert_eq!(got, outcome, "{what} {reg}");
    assert!(
        env == expected,
        "{what} {reg} with X{rt} changed something else"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each register, read and written, with its feature and without it.
    #[test]
    fn each_register(
        seed: u64,
        others: u64,
        rt in 0..32u64,
        id in prop_oneof![
            any::<u64>().prop_map(IdRead::Value),
            Just(IdRead::Undefined),
            Just(IdRead::Trap),
        ],
    ) {
        for reg in Reg::all() {
            for present in [false, true] {
                let features = FeatureSet::from_raw(others)
                    .with(Feature::ALWAYS, true)
                    .with(reg.row().gate, present);
                let env = Env { id, ..Env::new(features, seed) };
                check(&env, reg, rt, true);
                check(&env, reg, rt, false);
            }
        }
    }

    /// An encoding that no row has is UNDEFINED, or an operation by set and way, whatever the VM
    /// has, and changes nothing.
    #[test]
    fn no_row(raw: u16, features: u64, rt in 0..32u64, read: bool, seed: u64) {
        let encoding = SysReg::from_raw(raw);
        if Reg::from_sysreg(encoding).is_none() {
            let mut env = Env::new(FeatureSet::from_raw(features), seed);
            let before = env.clone();
            let access = SystemAccess::new(encoding, Bits::truncated(rt), read);
            let expected = match (encoding.op0(), encoding.op1(), encoding.crn()) {
                (1, 0, 7) => match (encoding.crm(), encoding.op2()) {
                    (6, 2) => Outcome::SetWay(SetWay::Invalidate),
                    (10, 2) => Outcome::SetWay(SetWay::Clean),
                    (14, 2) => Outcome::SetWay(SetWay::CleanInvalidate),
                    _ => Outcome::Unknown,
                },
                _ => Outcome::Unknown,
            };
            prop_assert_eq!(emulate(access, &mut env), expected);
            prop_assert!(env == before);
        }
    }
}

#[test]
fn set_way_operations() {
    for (encoding, operation) in [
        (SysReg::DC_ISW, SetWay::Invalidate),
        (SysReg::DC_CSW, SetWay::Clean),
        (SysReg::DC_CISW, SetWay::CleanInvalidate),
    ] {
        for rt in [0, 30, 31] {
            let mut env = Env::new(FeatureSet::BASE, 7);
            let before = env.clone();
            let access = SystemAccess::new(encoding, Bits::truncated(rt), false);
            assert_eq!(emulate(access, &mut env), Outcome::SetWay(operation));
            assert!(env == before);
        }
    }
}

/// What a read and a write of these do, from the architecture's pages and not from the table:
/// `value`: gives and takes the register's value, `zero`: reads as zero, `ignored`, `undefined`.
#[test]
fn registers_by_name() {
    let range = |range: Option<Reg>| range.unwrap();
    let table = [
        (Reg::SCTLR_EL1, "value", "value"),
        (Reg::TTBR0_EL1, "value", "value"),
        (Reg::VBAR_EL1, "value", "value"),
        (Reg::MDSCR_EL1, "value", "value"),
        (range(Reg::DBGWVR_EL1.get(3)), "value", "value"),
        (Reg::CSSELR_EL1, "value", "value"),
        (Reg::MPIDR_EL1, "value", "undefined"),
        (Reg::OSLSR_EL1, "value", "undefined"),
        (Reg::ACTLR_EL1, "value", "ignored"),
        (Reg::OSDLR_EL1, "zero", "ignored"),
        (Reg::DBGPRCR_EL1, "zero", "ignored"),
        (Reg::DBGCLAIMSET_EL1, "zero", "ignored"),
        (Reg::MDRAR_EL1, "zero", "undefined"),
        (Reg::DBGAUTHSTATUS_EL1, "zero", "undefined"),
        (Reg::MDCCSR_EL0, "zero", "undefined"),
        (Reg::ERRIDR_EL1, "zero", "undefined"),
        (Reg::ERRSELR_EL1, "zero", "ignored"),
        (range(Reg::ERXMISC2_EL1.get(1)), "zero", "ignored"),
        (Reg::LORC_EL1, "zero", "ignored"),
        (Reg::LORID_EL1, "zero", "undefined"),
        (Reg::SP_EL1, "undefined", "undefined"),
        (Reg::DACR32_EL2, "undefined", "undefined"),
        (Reg::DBGVCR32_EL2, "undefined", "undefined"),
        (Reg::SPSR_fiq, "undefined", "undefined"),
        (Reg::CCSIDR2_EL1, "undefined", "undefined"),
        (Reg::GMID_EL1, "undefined", "undefined"),
    ];
    for (reg, on_read, on_write) in table {
        for (read, expected) in [(true, on_read), (false, on_write)] {
            let mut env = Env::new(FeatureSet::from_raw(u64::MAX), 1);
            let before = env.clone();
            let access = SystemAccess::new(reg.encoding(), Bits::of::<5>(), read);
            let undefined = emulate(access, &mut env) == Outcome::Undefined;
            let (x, value) = (env.x(5), env.registers[reg.index()]);
            let got = match read {
                _ if undefined => "undefined",
                true if x == before.registers[reg.index()] => "value",
                true if x == 0 => "zero",
                false if value == before.x(5) => "value",
                false if value == before.registers[reg.index()] => "ignored",
                _ => "something else",
            };
            assert_eq!(got, expected, "{reg}, read {read}");
        }
    }
}

#[test]
fn the_os_lock() {
    let mut env = Env::new(FeatureSet::BASE, 3);
    env.registers[Reg::OSLSR_EL1.index()] = 0x8;
    for (written, status) in [(1, 0xa), (1, 0xa), (0, 0x8), (!1, 0x8), (u64::MAX, 0xa)] {
        env.gprs[2] = written;
        let access = SystemAccess::new(Reg::OSLAR_EL1.encoding(), Bits::of::<2>(), false);
        assert_eq!(emulate(access, &mut env), Outcome::Done);
        assert_eq!(env.registers[Reg::OSLSR_EL1.index()], status);
    }
}
