// SPDX-License-Identifier: GPL-2.0

//! What is done for a guest's cache maintenance by set and way.

use crate::{
    counters::Stat,
    run::{
        Deferred,
        Fast,
        Run, //
    },
};
use kernel::prelude::*;
use kvm_core::{
    esr::Esr,
    setway::{
        Response,
        SctlrCache, //
    },
};
use kvm_host::trace;

impl Run<'_> {
    /// A write of the controls of stage 1, which decides on the caches.
    #[inline(never)]
    pub(super) fn vm_control(&mut self, before: SctlrCache, after: SctlrCache, esr: Esr) -> Fast {
        self.vcpu.counters.stats.count(Stat::TvmTrap);
        let response = self.set_way.vm_register(before, after);
        if response.flush || response.tvm.is_some() {
            trace::toggle_cache(
                self.vcpu.id,
                self.cpu.pc(),
                before.caches_on(),
                after.caches_on(),
            );
        }
        self.advance(esr);
        self.respond(response)
    }

    /// Does what the set/way policy says.
    pub(super) fn respond(&mut self, response: Response) -> Fast {
        if let Some(tvm) = response.tvm {
            self.cpu.trap_vm_controls(tvm);
        }
        if response.flush {
            self.defer(Deferred::Flush)
        } else {
            Fast::Guest
        }
    }

    /// Goes on cleaning and invalidating the VM's memory.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal is pending; the rest is done before the guest is next entered.
    pub(crate) fn continue_flush(&mut self) -> Result {
        while let Some(from) = *self.flush {
            let (next, bytes) = self.vm.memory.flush_step(from);
            self.vcpu.counters.stats.add(Stat::SetWayBytes, bytes);
            *self.flush = next;
            if next.is_some() && current!().signal_pending() {
                return Err(EINTR);
            }
        }
        Ok(())
    }
}
