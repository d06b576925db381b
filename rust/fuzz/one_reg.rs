// SPDX-License-Identifier: GPL-2.0

//! What a VMM does by KVM_GET_ONE_REG and KVM_SET_ONE_REG: any identifiers, any values.

#![no_main]

use std::collections::BTreeMap;

use kvm_core::{
    cpu::ReadIdRegister,
    firmware::FwRegister,
    one_reg::{
        BadId,
        CoreReg,
        OneReg, //
    },
    pstate::{
        GuestPstate,
        GuestState,
        Mode,
        PstateFeatures, //
    },
    sysreg::SysReg,
    vm_idreg::{
        one_reg_list,
        rule::Write,
        table::fields,
        writable_mask,
        CacheLevel,
        CacheRegs,
        GuestRead,
        HostFacts,
        HostIdRegs,
        IdIndex,
        IdView,
        Offer,
        SetError,
        VmConfig,
        VmGic,
        VmIdRegs, //
    },
};
use kvm_fuzz::{
    common::{
        CORTEX_A57,
        MAX,
        NEOVERSE_N1, //
    },
    Input, //
};

kvm_fuzz::target!(run);

fn run(input: &mut Input<'_>) {
    match input.below(4) {
        0 => identifier(any_id(input)),
        1 => pstate(input),
        2 => cache(input),
        _ => id_registers(input),
    }
}

/// Any number, or one that looks like an identifier.
fn any_id(input: &mut Input<'_>) -> u64 {
    let kind = input.u8();
    let number = input.u64();
    match kind & 3 {
        0 => number,
        // Architecture, size and group as they may be; register or offset at will.
        1 => {
            let group = [0x10, 0x11, 0x13, 0x14, 0x15, 0x16][usize::from(kind >> 5) % 6];
            let size = u64::from(2 + (kind >> 2 & 3));
            0x6000 << 48 | size << 52 | group << 16 | (number & 0xffff)
        }
        // One that there is, but for a bit.
        2 => {
            CoreReg::all()
                .nth((number % 80) as usize)
                .map_or(0, CoreReg::id)
                ^ 1 << (kind >> 2)
        }
        _ => FwRegister::ALL[(number % 8) as usize].id() ^ 1 << (kind >> 2),
    }
}

/// An identifier names one thing, and that has no other.
fn identifier(id: u64) {
    let named = OneReg::from_id(id);
    assert_eq!(named, OneReg::from_id(id));
    match named {
        Ok(OneReg::Core(reg)) => {
            assert_eq!(reg.id(), id);
            // KVM_REG_SIZE_MASK.
            assert_eq!(1 << (id >> 52 & 15), reg.size().bytes());
        }
        Ok(OneReg::Sysreg(reg)) => assert_eq!(reg.encoding().to_one_reg(), id),
        Ok(OneReg::Other(it)) => assert_eq!(it, id),
        Err(BadId::Size) => assert_eq!(id >> 56, 0x60),
        Err(BadId::Unknown) => {}
    }
    let firmware = FwRegister::from_id(id);
    assert!(firmware.is_none_or(|register| register.id() == id));
    let level = CacheLevel::from_one_reg(id);
    assert!(level.is_none_or(|level| level.to_one_reg() == id));
    let sysreg = SysReg::from_one_reg(id);
    assert!(sysreg.is_none_or(|reg| reg.to_one_reg() == id));
    if firmware.is_some() || level.is_some() {
        assert_eq!(named, Ok(OneReg::Other(id)));
        assert!(firmware.is_none() || level.is_none());
    }
}

/// No value takes a vCPU out of the guest.
fn pstate(input: &mut Input<'_>) {
    let raw = input.u64();
    let state = match input.below(3) {
        0 => GuestState::Aarch64 { el0_aarch32: false },
        1 => GuestState::Aarch64 { el0_aarch32: true },
        _ => GuestState::Aarch32,
    };
    let bits = input.u16();
    let bit = |n: u16| bits >> n & 1 != 0;
    let features = PstateFeatures {
        pan: bit(0),
        uao: bit(1),
        dit: bit(2),
        ssbs: bit(3),
        bti: bit(4),
        mte2: bit(5),
        nmi: bit(6),
        ebep: bit(7),
        sebep: bit(8),
        gcs: bit(9),
        pauth_lr: bit(10),
        uinj: bit(11),
    };
    check_pstate(GuestPstate::from_exit(raw), u64::MAX);
    let m = raw & 0x1f;
    let Ok(pstate) = GuestPstate::new(raw, state, features) else {
        let allowed = match state {
            GuestState::Aarch64 { el0_aarch32 } => {
                matches!(m, 0 | 4 | 5) || (el0_aarch32 && m == 0x10)
            }
            GuestState::Aarch32 => matches!(m, 0x10..=0x13 | 0x17 | 0x1b | 0x1f),
        };
        assert!(!allowed, "{raw:#x}");
        return;
    };
    assert_eq!(pstate.into_raw() & 0x1f, m);
    check_pstate(pstate, raw);
    check_pstate(pstate.after_instruction().with_ss(input.bool()), u64::MAX);
    // What a VMM reads it can write.
    assert_eq!(
        GuestPstate::new(pstate.into_raw(), state, features),
        Ok(pstate)
    );
    if !pstate.is_aarch32() {
        for (n, (has, mask)) in [
            (features.pan, 1 << 22),
            (features.uao, 1 << 23),
            (features.dit, 1 << 24),
            (features.ssbs, 1 << 12),
            (features.bti, 3 << 10),
            (features.mte2, 1 << 25),
        ]
        .into_iter()
        .enumerate()
        {
            let expected = if has { raw & mask } else { 0 };
            assert_eq!(pstate.into_raw() & mask, expected, "feature {n}");
        }
    }
}

/// PSTATE is of no Exception level above EL1, and has no bit that is not in `from`.
fn check_pstate(pstate: GuestPstate, from: u64) {
    assert_eq!(pstate.into_raw() & !from, 0);
    assert!(!matches!(
        pstate.mode(),
        Mode::El2t | Mode::El2h | Mode::El3t | Mode::El3h | Mode::Mon | Mode::Hyp
    ));
}

/// A host of other values than any CPU has.
struct Host(BTreeMap<SysReg, u64>);

impl ReadIdRegister for Host {
    fn read(&self, reg: SysReg) -> u64 {
        self.0.get(&reg).copied().unwrap_or(0)
    }
}

fn any_host(input: &mut Input<'_>) -> HostIdRegs {
    let known = input.one_of(&[MAX.0, NEOVERSE_N1.0, CORTEX_A57.0]);
    let mut host = Host(known.iter().copied().collect());
    for _ in 0..input.below(6) {
        let reg = any_reg(input);
        host.0.insert(reg, input.u64());
    }
    // No CPU has more of it.
    if let Some(midr) = host.0.get_mut(&SysReg::MIDR_EL1) {
        *midr &= u64::from(u32::MAX);
    }
    let bits = input.u8();
    HostIdRegs::read(
        &host,
        HostFacts {
            spectre_v2_unaffected: bits & 1 != 0,
            meltdown_unaffected: bits & 2 != 0,
            broken_cntvoff: bits & 4 != 0,
        },
    )
}

/// A register that a VM keeps, and now and then any other.
fn any_reg(input: &mut Input<'_>) -> SysReg {
    let n = usize::from(input.u8());
    match one_reg_list().nth(n) {
        Some(reg) => reg,
        None => SysReg::from_raw(input.u16()),
    }
}

/// CLIDR_EL1 and CCSIDR_EL1.
fn cache(input: &mut Input<'_>) {
    let host = any_host(input);
    let mut regs = CacheRegs::new(&host, input.bool());
    // What it was made with can be written.
    let clidr = regs.clidr();
    assert_eq!(regs.set_clidr(&host, clidr), Ok(()));
    while !input.is_empty() {
        let before = regs;
        if input.bool() {
            let value = input.u64();
            match regs.set_clidr(&host, value) {
                Ok(()) => assert!(regs.clidr() == value && value >> 47 == 0),
                Err(_) => assert_eq!(regs, before),
            }
        } else {
            let Some(level) = CacheLevel::from_csselr(input.u64()) else {
                continue;
            };
            let line = |regs: &CacheRegs| regs.ccsidr(level) & 7;
            let least = line(&CacheRegs::new(&host, false));
            let value = input.u32();
            match regs.set_ccsidr(&host, level, value) {
                Ok(()) => assert!(regs.ccsidr(level) == value && line(&regs) >= least),
                Err(_) => assert!(regs == before && value & 7 < least),
            }
        }
        assert!(regs.guest_ccsidr(input.u64()) >> 32 == 0);
    }
}

/// The ID registers of one VM, from its creation on.
fn id_registers(input: &mut Input<'_>) {
    let host = any_host(input);
    let bits = input.u16();
    let bit = |n: u16| bits >> n & 1 != 0;
    let config = VmConfig {
        offer: Offer {
            aarch32_el1: bit(0),
            fpmr: bit(1),
            gicv3: bit(2),
            ls64: bit(3),
            mte: bit(4),
            pauth: bit(5),
            pmuv3: bit(6),
            s1poe: bit(7),
            sve: bit(8),
        },
        mte: bit(9),
        pauth: bit(10),
        pmuv3: bit(11),
        sve: bit(12),
    };
    let mut vm = VmIdRegs::new();
    if bit(13) {
        assert_eq!(vm.enable_writable_implementation(), Ok(()));
    }
    vm.init(&host, &config);
    let limits = vm.clone();
    let mut frozen = None;
    while !input.is_empty() {
        let before = vm.clone();
        match input.u8() {
            0..=7 => vm.init(&host, &config),
            8..=15 => vm.set_gic(any_gic(input)),
            16..=23 => {
                assert_eq!(vm.enable_writable_implementation(), Err(SetError::Invalid));
                unchanged(&before, &vm);
            }
            24..=31 => frozen = Some(vm.freeze(any_gic(input))),
            kind => set(&mut vm, &host, &limits, kind, input),
        }
        if frozen.is_some_and(|features| vm.freeze(VmGic::None) != features) {
            panic!("features change after the first run");
        }
        within(&vm, &limits);
        let reg = any_reg(input);
        let Some(features) = frozen else { continue };
        match vm.guest_read(reg, features) {
            Some(GuestRead::Value(value)) => assert_eq!(vm.get(reg), Some(value)),
            Some(GuestRead::ThisCpu) => assert!(vm.virtual_midr().is_none()),
            Some(GuestRead::IdTrap | GuestRead::Undefined) => assert_eq!(vm.get(reg), None),
            None => {}
        }
    }
}

fn any_gic(input: &mut Input<'_>) -> VmGic {
    input.one_of(&[VmGic::None, VmGic::V2, VmGic::V3])
}

fn unchanged(before: &VmIdRegs, vm: &VmIdRegs) {
    for reg in one_reg_list() {
        assert_eq!(vm.get(reg), before.get(reg), "{reg}");
    }
}

/// KVM_SET_ONE_REG of one register, which `kind` has some say in.
fn set(vm: &mut VmIdRegs, host: &HostIdRegs, limits: &VmIdRegs, kind: u8, input: &mut Input<'_>) {
    let reg = any_reg(input);
    let before = vm.clone();
    let now = vm.get(reg).unwrap_or(0);
    let value = match kind & 3 {
        0 => input.u64(),
        1 => now ^ 1 << (input.u8() & 63),
        // Another value of one field.
        2 => {
            let lo = input.u8() & 60;
            now & !(15 << lo) | u64::from(input.u8() & 15) << lo
        }
        _ => limits.raw(reg),
    };
    let done = vm.set(host, reg, value);
    if done.is_err() {
        return unchanged(&before, vm);
    }
    for other in one_reg_list() {
        if other != reg {
            assert_eq!(vm.get(other), before.get(other), "{other}");
        }
    }
    let index = IdIndex::new(reg).unwrap();
    let mask = writable_mask(index, host.has_aarch32_el0());
    let new = vm.get(reg).unwrap();
    assert_eq!((new ^ now) & !mask, 0, "{reg}: {now:#x} becomes {new:#x}");
    // What it has it can be given.
    assert_eq!(vm.set(host, reg, new), Ok(()));
}

/// No VM has what its limits say it has not.
fn within(vm: &VmIdRegs, limits: &VmIdRegs) {
    for reg in one_reg_list() {
        let (value, limit) = (vm.raw(reg), limits.raw(reg));
        for field in fields(reg) {
            // The GIC is the VM's own, once it has one.
            if matches!(field.info.name, "gic" | "gcie" | "bits31_28") {
                continue;
            }
            let number = |raw: u64| {
                let bits = field.info.hi - field.info.lo + 1;
                let unused = 64 - bits;
                let raw = field.info.extract(raw);
                if field.info.signed {
                    ((raw << unused) as i64) >> unused
                } else {
                    raw as i64
                }
            };
            let (value, limit) = (number(value), number(limit));
            let fine = match field.write {
                Write::Fixed | Write::FixedOrHost | Write::FixedOrZero => value == limit,
                Write::DownTo(least) => value == limit || (least..=limit).contains(&value),
                Write::Pmu(_) => value <= limit,
                Write::Higher => value >= limit,
                Write::Or(_) => true,
            };
            // What freeze() takes back goes to zero.
            let name = field.info.name;
            assert!(
                fine || value == 0,
                "{reg}.{name}: {value} with a limit of {limit}"
            );
        }
    }
}
