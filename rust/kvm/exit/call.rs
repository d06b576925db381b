// SPDX-License-Identifier: GPL-2.0

//! HVC and SMC.

use crate::{
    firmware::{
        power_on,
        Caller, //
    },
    power::PowerState,
    run::{
        Deferred,
        Fast,
        Flow,
        Run, //
    },
    vcpu::request, //
};
use kernel::prelude::*;
use kvm_core::{
    bits::Bits,
    esr::Esr,
    firmware::{
        self,
        Outcome as Call, //
    },
    smccc::{
        self,
        Conduit,
        Registers, //
    },
};
use kvm_host::{
    kick::Running,
    run_page,
    time, //
};

impl Run<'_> {
    fn set_registers(&self, registers: Registers) {
        for (n, value) in registers.0.into_iter().enumerate() {
            self.cpu.set_gpr(Bits::truncated(n as u64), value);
        }
    }

    /// A call, with interrupts off.
    #[inline]
    pub(super) fn call(&mut self, conduit: Conduit, aarch32: bool, esr: Esr) -> Fast {
        if conduit.needs_skip() {
            self.advance(esr);
        }
        let gpr = |n| self.cpu.gpr(Bits::truncated(n));
        let call = smccc::Call::new(
            conduit,
            aarch32,
            esr.payload() as u16,
            esr.il(),
            Registers([gpr(0), gpr(1), gpr(2), gpr(3)]),
        );
        let caller = Caller {
            vm: self.vm,
            frozen: self.frozen,
            cpu: self.cpu,
            stolen_time: self.stolen_time,
        };
        match firmware::handle(&call, &self.frozen.firmware, &self.frozen.filter, &caller) {
            Call::Return(registers) => {
                self.set_registers(registers);
                Fast::Guest
            }
            Call::PowerOn(on) => {
                let result = power_on(self.vm, &on);
                self.set_registers(on.answer(result));
                Fast::Guest
            }
            outcome => self.defer(Deferred::Call(outcome)),
        }
    }

    /// What a call needs more than registers for. May sleep.
    pub(super) fn slow_call(&mut self, call: Call, running: &Running<'_>) -> Result<Flow> {
        match call {
            Call::Return(registers) => self.set_registers(registers),
            Call::PowerOn(on) => {
                let result = power_on(self.vm, &on);
                self.set_registers(on.answer(result));
            }
            Call::StartStolenTime(start) => {
                self.set_registers(start.registers);
                *self.stolen_start = time::run_delay();
                // If there is no memory, that is the VMM's doing.
                let _ = self
                    .vm
                    .memory
                    .write(start.ipa.get(), &[0; 16], self.vcpu.ring.as_ref());
                self.vcpu.note(request::STOLEN_TIME);
            }
            Call::ForwardToUser(hypercall) => {
                self.vcpu.run.set_exit(&run_page::Exit::Hypercall {
                    function: hypercall.nr,
                    flags: hypercall.flags,
                });
                return Ok(Flow::User);
            }
            Call::Standby(registers) => {
                self.set_registers(registers);
                self.wait(running, None)?;
            }
            Call::PowerOff(registers) => {
                self.set_registers(registers);
                self.vcpu.power.set(PowerState::Stopped);
            }
            Call::SystemEvent(event, registers) => {
                self.set_registers(registers);
                if event.stops_vcpus() {
                    self.vm.for_each_vcpu(|vcpu| {
                        vcpu.power.set(PowerState::Stopped);
                        vcpu.request(request::POWER);
                        true
                    });
                }
                self.vcpu.run.set_exit(&run_page::Exit::SystemEvent {
                    event: event.event_type(),
                    data: event.data().as_slice(),
                });
                return Ok(Flow::User);
            }
        }
        Ok(Flow::Guest)
    }
}
