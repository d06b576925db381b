// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_ONE_REG, KVM_SET_ONE_REG and KVM_GET_REG_LIST.
//!
//! api.rst, "4.68 KVM_SET_ONE_REG" to "4.84 KVM_GET_REG_LIST".

use crate::{
    ioctl::{
        read_user,
        write_user, //
    },
    vcpu::{
        pstate_features,
        State,
        Vcpu, //
    },
    vm::Vm,
};
use kernel::{
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use kvm_core::{
    bits::Bits,
    firmware::FwRegister,
    one_reg::{
        BadId,
        CoreReg,
        OneReg,
        Size, //
    },
    pstate::GuestPstate,
    register::{
        Reg,
        User, //
    },
    timer::Timer,
    vm_idreg::{
        self,
        CacheLevel,
        SetError, //
    },
};
use kvm_host::time;

fn errno_of_id(error: BadId) -> Error {
    match error {
        BadId::Unknown => ENOENT,
        BadId::Size => EINVAL,
    }
}

fn errno_of_set(error: SetError) -> Error {
    match error {
        SetError::Unknown => ENOENT,
        SetError::Invalid => EINVAL,
        SetError::Busy => EBUSY,
    }
}

/// OSLSR_EL1.OSLK, the one bit of it that can be set.
const OSLSR_OSLK: u64 = 1 << 1;

/// Reads a register to user memory.
///
/// # Errors
///
/// `ENOENT` if there is no such register, `EINVAL` if it has another size, `EFAULT`.
pub(crate) fn get(vm: &Vm, state: &mut State, id: u64, address: usize) -> Result {
    let (value, size): (u128, Size) = match OneReg::from_id(id).map_err(errno_of_id)? {
        OneReg::Core(CoreReg::Vreg(n)) => (
            state.fp.v().get(usize::from(n)).copied().ok_or(ENOENT)?,
            Size::U128,
        ),
        OneReg::Core(CoreReg::Fpsr) => ((*state.fp.fpsr()).into(), Size::U32),
        OneReg::Core(CoreReg::Fpcr) => ((*state.fp.fpcr()).into(), Size::U32),
        OneReg::Core(core) => (get_core(state, core).into(), Size::U64),
        OneReg::Sysreg(reg) => (get_sysreg(vm, state, reg)?.into(), Size::U64),
        OneReg::Other(id) => return get_other(vm, state, id, address),
    };

    let bytes = value.to_le_bytes();
    UserSlice::new(UserPtr::from_addr(address), size.bytes())
        .writer()
        .write_slice(&bytes[..size.bytes()])
}

/// Writes a register from user memory.
///
/// # Errors
///
/// As [`get`], and `EINVAL` for a value that the register cannot have, `EBUSY` for one that cannot
/// be changed any more.
pub(crate) fn set(vm: &Vm, vcpu: &Vcpu, state: &mut State, id: u64, address: usize) -> Result {
    let reg = OneReg::from_id(id).map_err(errno_of_id)?;
    let size = match reg {
        OneReg::Core(core) => core.size(),
        OneReg::Sysreg(_) => Size::U64,
        OneReg::Other(id) => return set_other(vm, state, id, address),
    };
    let mut bytes = [0; 16];
    UserSlice::new(UserPtr::from_addr(address), size.bytes())
        .reader()
        .read_slice(&mut bytes[..size.bytes()])?;
    let value = u128::from_le_bytes(bytes);

    match reg {
        OneReg::Core(CoreReg::Vreg(n)) => {
            *state.fp.v().get_mut(usize::from(n)).ok_or(ENOENT)? = value;
        }
        OneReg::Core(CoreReg::Fpsr) => *state.fp.fpsr() = value as u32,
        OneReg::Core(CoreReg::Fpcr) => *state.fp.fpcr() = value as u32,
        OneReg::Core(core) => set_core(vm, state, core, value as u64)?,
        OneReg::Sysreg(reg) => {
            set_sysreg(vm, vcpu, state, reg, value as u64)?;
            // It may be one of them.
            state.cpu.debug_changed();
        }
        OneReg::Other(_) => return Err(ENOENT),
    }
    Ok(())
}

fn get_core(state: &State, reg: CoreReg) -> u64 {
    match reg {
        CoreReg::Gpr(n) => state.cpu.gpr(Bits::truncated(n.into())),
        CoreReg::Pc => state.cpu.pc(),
        CoreReg::Pstate => state.cpu.raw_pstate(),
        CoreReg::Sysreg(reg) => state.cpu.read_any(reg),
        CoreReg::Vreg(_) | CoreReg::Fpsr | CoreReg::Fpcr => 0,
    }
}

fn set_core(vm: &Vm, state: &mut State, reg: CoreReg, value: u64) -> Result {
    match reg {
        CoreReg::Gpr(n) => state.cpu.set_gpr(Bits::truncated(n.into()), value),
        CoreReg::Pc => state.cpu.set_pc(value),
        CoreReg::Pstate => state.cpu.set_pstate(
            GuestPstate::new(
                value,
                vm.guest_state(),
                pstate_features(vm.config.features()),
            )
            .map_err(|_| EINVAL)?,
        ),
        CoreReg::Sysreg(reg) => state.cpu.write_any(reg, value),
        CoreReg::Vreg(_) | CoreReg::Fpsr | CoreReg::Fpcr => {}
    }
    Ok(())
}

/// The timer that counts with a counter.
fn counter_of(reg: Reg) -> Timer {
    if reg == Reg::CNTVCT_EL0 {
        Timer::Virtual
    } else {
        Timer::Physical
    }
}

fn get_sysreg(vm: &Vm, state: &State, reg: Reg) -> Result<u64> {
    let row = reg.row();

    if !vm.config.register_features().contains(row.gate) {
        return Err(ENOENT);
    }
    match row.user {
        User::Rw | User::OsLock => Ok(state.cpu.read_any(reg)),
        User::Id => vm.config.id_register(reg.encoding()).ok_or(ENOENT),
        User::Clidr => Ok(state.cache()?.clidr()),
        User::Counter => Ok(vm.counter_offsets().count(counter_of(reg), time::counter())),
        User::Core | User::None => Err(ENOENT),
    }
}

fn set_sysreg(vm: &Vm, vcpu: &Vcpu, state: &mut State, reg: Reg, value: u64) -> Result {
    let row = reg.row();

    if !vm.config.register_features().contains(row.gate) {
        return Err(ENOENT);
    }
    match row.user {
        User::Rw => {
            state.cpu.write_any(reg, value);
            if reg == Reg::MPIDR_EL1 {
                vcpu.set_mpidr(value);
                vm.renamed(vcpu);
            }
            Ok(())
        }
        User::OsLock => {
            let old = state.cpu.read_any(reg);
            if (old ^ value) & !OSLSR_OSLK != 0 {
                return Err(EINVAL);
            }
            state.cpu.write_any(reg, value);
            Ok(())
        }
        User::Id => vm
            .config
            .set_id_register(vm.host_id_registers(), reg.encoding(), value)
            .map_err(errno_of_set),
        User::Clidr => {
            let host = vm.host_id_registers();
            state
                .cache_mut()?
                .set_clidr(host, value)
                .map_err(errno_of_set)
        }
        User::Counter => {
            vm.set_counter(counter_of(reg), value);
            Ok(())
        }
        User::Core | User::None => Err(ENOENT),
    }
}

/// Registers of other groups: cache geometry and firmware.
fn get_other(vm: &Vm, state: &State, id: u64, address: usize) -> Result {
    if let Some(level) = CacheLevel::from_one_reg(id) {
        return write_user(address, &state.cache()?.ccsidr(level));
    }
    let register = FwRegister::from_id(id).ok_or(ENOENT)?;
    write_user(address, &vm.config.firmware_register(register))
}

fn set_other(vm: &Vm, state: &mut State, id: u64, address: usize) -> Result {
    if let Some(level) = CacheLevel::from_one_reg(id) {
        let value: u32 = read_user(address)?;
        let host = vm.host_id_registers();
        return state
            .cache_mut()?
            .set_ccsidr(host, level, value)
            .map_err(errno_of_set);
    }
    let register = FwRegister::from_id(id).ok_or(ENOENT)?;
    vm.config
        .set_firmware_register(register, read_user(address)?)
}

/// Calls `f` with the identifier of each register that the vCPU has.
fn for_each(vm: &Vm, mut f: impl FnMut(u64) -> Result) -> Result {
    let features = vm.config.register_features();

    for reg in CoreReg::all() {
        f(reg.id())?;
    }
    for reg in FwRegister::ALL {
        f(reg.id())?;
    }
    for level in CacheLevel::all() {
        f(level.to_one_reg())?;
    }
    for reg in Reg::all() {
        let row = reg.row();
        let listed = match row.user {
            User::Rw | User::OsLock | User::Clidr | User::Counter => true,
            User::Id => vm_idreg::one_reg_list().any(|id| id == reg.encoding()),
            User::Core | User::None => false,
        };
        if listed && features.contains(row.gate) {
            f(reg.encoding().to_one_reg())?;
        }
    }
    Ok(())
}

/// KVM_GET_REG_LIST: writes the identifiers of all registers behind their number.
///
/// # Errors
///
/// `E2BIG` if the list has no room for them; the number is written then. `EFAULT`.
pub(crate) fn list(vm: &Vm, address: usize) -> Result {
    let room: u64 = read_user(address)?;
    let mut count: u64 = 0;

    for_each(vm, |_| {
        count += 1;
        Ok(())
    })?;
    write_user(address, &count)?;
    if room < count {
        return Err(E2BIG);
    }
    let bytes = count as usize * core::mem::size_of::<u64>();
    let ids = address.wrapping_add(core::mem::size_of::<u64>());
    let mut writer = UserSlice::new(UserPtr::from_addr(ids), bytes).writer();
    for_each(vm, |id| writer.write(&id))
}
