// SPDX-License-Identifier: GPL-2.0

//! An access to a system register, or a system instruction.

use crate::{
    run::{
        Fast,
        Run, //
    },
    vcpu::request, //
};
use kvm_core::{
    bits::Bits,
    context::Gpr,
    esr::{
        Esr,
        SystemAccess, //
    },
    inject::Exception,
    register::{
        access::{
            emulate,
            AccessEnv,
            IdRead,
            Outcome, //
        },
        FeatureSet,
        Reg,
        Trap, //
    },
    setway::SctlrCache,
    sysreg::SysReg,
    vgic::icc::Trapped,
    vm_idreg::{
        GuestRead,
        IdView, //
    },
};
use kvm_host::trace;

/// Op0 of debug registers.
const DEBUG_OP0: u8 = 2;

/// A vCPU that accesses a system register.
struct Accessing<'a, 'b>(&'a mut Run<'b>);

impl AccessEnv for Accessing<'_, '_> {
    #[inline]
    fn features(&self) -> FeatureSet {
        self.0.frozen.registers
    }

    #[inline]
    fn gpr(&self, n: Bits<5>) -> u64 {
        self.0.cpu.gpr(n)
    }

    #[inline]
    fn set_gpr(&mut self, n: Bits<5>, value: u64) {
        self.0.cpu.set_gpr(n, value);
    }

    #[inline]
    fn read(&self, reg: Reg) -> u64 {
        self.0.cpu.read_any(reg)
    }

    #[inline]
    fn write(&mut self, reg: Reg, value: u64) {
        self.0.cpu.write_any(reg, value);
    }

    fn id_register(&self, encoding: SysReg) -> IdRead {
        let frozen = self.0.frozen;

        match frozen.ids.guest_read(encoding, frozen.features) {
            Some(GuestRead::Value(value)) => IdRead::Value(value),
            Some(GuestRead::ThisCpu) => IdRead::Value(self.0.vm.host_id_registers().raw(encoding)),
            Some(GuestRead::IdTrap) => IdRead::Trap,
            Some(GuestRead::Undefined) | None => IdRead::Undefined,
        }
    }

    fn clidr(&self) -> u64 {
        self.0.cache.clidr()
    }

    fn ccsidr(&self, csselr: u64) -> u64 {
        self.0.cache.guest_ccsidr(csselr)
    }

    fn counter(&self, reg: Reg) -> u64 {
        self.0.timers.counter(reg)
    }

    fn timer(&self, reg: Reg) -> u64 {
        self.0.timers.read(reg)
    }

    fn set_timer(&mut self, reg: Reg, value: u64) {
        self.0.timers.write(reg, value);
        if self.0.timers.has_news() {
            self.0.vcpu.note(request::TIMER);
        }
    }
}

impl Run<'_> {
    /// A system register, or a system instruction.
    #[inline]
    pub(super) fn system(&mut self, access: SystemAccess, esr: Esr) -> Fast {
        if let Some(fast) = self.gic_register(access, esr) {
            return fast;
        }
        if access.reg().op0() == DEBUG_OP0 {
            if let Some(fast) = self.debug_register(access) {
                return fast;
            }
        }
        match emulate(access, &mut Accessing(self)) {
            Outcome::Done => {
                self.advance(esr);
                Fast::Guest
            }
            Outcome::Undefined => {
                self.inject(Exception::Undefined);
                Fast::Guest
            }
            Outcome::Unknown => self.unknown(access),
            Outcome::IdTrap => {
                self.inject(Exception::SystemAccess {
                    reg: access.reg(),
                    rt: Gpr::from_bits(access.rt()),
                    read: access.read(),
                });
                Fast::Guest
            }
            Outcome::VmControl { before, after } => {
                self.cpu.wrote(access.reg());
                self.vm_control(
                    SctlrCache::from_raw(before),
                    SctlrCache::from_raw(after),
                    esr,
                )
            }
            Outcome::SetWay(_) => {
                let response = self.set_way.set_way();
                if response.tvm.is_some() {
                    let sctlr = SctlrCache::from_raw(self.cpu.read(Reg::SCTLR_EL1));
                    trace::set_way_flush(self.vcpu.id, self.cpu.pc(), sctlr.caches_on());
                }
                self.advance(esr);
                self.respond(response)
            }
        }
    }

    /// A register of the CPU interface that traps; [`None`] if it is not one, or if there is no
    /// interrupt controller.
    #[inline]
    fn gic_register(&mut self, access: SystemAccess, esr: Esr) -> Option<Fast> {
        let gic = self.gic.filter(|gic| !gic.is_v2())?;
        let register = Trapped::new(access.reg())?;
        let done = if access.read() {
            gic.read(register)
                .map(|value| self.cpu.set_gpr(access.rt(), value))
        } else {
            gic.write(register, self.cpu.gpr(access.rt()))
        };

        match done {
            Some(()) => self.advance(esr),
            None => self.inject(Exception::Undefined),
        }
        Some(Fast::Guest)
    }

    /// A debug register; [`None`] if the access is to be emulated.
    #[inline(never)]
    fn debug_register(&self, access: SystemAccess) -> Option<Fast> {
        match Reg::from_sysreg(access.reg())?.row().trap {
            Trap::Debug if self.cpu.wants_debug_regs() => Some(Fast::Guest),
            Trap::Debug | Trap::OsLock => {
                self.cpu.debug_changed();
                None
            }
            _ => None,
        }
    }

    /// An access to what no row of the register table has: UNDEFINED. It may be a register that
    /// nothing promises to the guest, or a row that is missing, so the first one is said.
    #[cold]
    fn unknown(&mut self, access: SystemAccess) -> Fast {
        kernel::pr_warn_once!(
            "a guest's {} of {:?} at {:#x} is UNDEFINED: the register table has no row for it\n",
            if access.read() { "read" } else { "write" },
            access.reg(),
            self.cpu.pc(),
        );
        self.inject(Exception::Undefined);
        Fast::Guest
    }
}
