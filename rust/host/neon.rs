// SPDX-License-Identifier: GPL-2.0

//! A guest's floating-point and SIMD registers in the CPU.
//!
//! A section gives V0-V31, FPSR and FPCR to the current task's kernel code. The kernel saves what
//! user space had in them when the section begins, all of it: FP/SIMD, SVE and SME state and FPMR, in
//! whichever format it is live; it leaves streaming mode and switches ZA off; and it loads user
//! space's state again only when the task returns there. From then on the section's registers are
//! switched with the task, to and from the section's buffer. A softirq that uses SIMD in between
//! saves and restores them, too. (`kernel_neon_begin()`, `fpsimd_thread_switch()` and
//! `fpsimd_save_user_state()` in `arch/arm64/kernel/fpsimd.c`, Linux 7.3.4.)
//!
//! A guest gets one when it uses the registers, as its [`Bank`] says, and not before: until then its
//! accesses trap, and user space's state stays in the CPU. In streaming mode, too: an access that traps
//! does so before its legality there is looked at.
//!
//! Not switched by it: SVE's upper halves, predicates and FFR, ZA, and FPMR of the guest.
//!
//! C header: `arch/arm64/include/asm/neon.h`

use crate::{
    bindings,
    irqs::IrqsOff,
    pinned::{
        with_preemption_off,
        PinnedCpu, //
    },
    task_work::thread_flags,
    vcpu::VcpuCpu, //
};
use core::{
    cell::Cell,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings as linux,
    types::NotThreadSafe, //
};
use kvm_core::lazy::{
    Access,
    Bank,
    Events,
    Give,
    State,
    Take, //
};

/// V0 to V31, FPSR and FPCR, in memory. The layout is that of `struct user_fpsimd_state`.
#[repr(transparent)]
pub struct FpState(linux::user_fpsimd_state);

impl FpState {
    /// All zeroes.
    pub const fn new() -> Self {
        Self(pin_init::zeroed())
    }

    /// V0 to V31.
    #[inline]
    pub fn v(&mut self) -> &mut [u128; 32] {
        &mut self.0.vregs
    }

    /// FPSR.
    #[inline]
    pub fn fpsr(&mut self) -> &mut u32 {
        &mut self.0.fpsr
    }

    /// FPCR. Bits that are RES0 on this CPU are not kept by it.
    #[inline]
    pub fn fpcr(&mut self) -> &mut u32 {
        &mut self.0.fpcr
    }
}

impl Default for FpState {
    fn default() -> Self {
        Self::new()
    }
}

/// The current task is in a section already, this is an interrupt, or the CPU has no FP/SIMD.
#[derive(Debug)]
pub struct FpUnavailable;

/// A vCPU's FP/SIMD registers while its thread is in KVM_RUN: in the CPU or not.
///
/// While they are in the CPU, the task is in a section. Otherwise they are in the [`FpState`], the CPU
/// has user space's or nobody's, and the guest's accesses trap.
///
/// # Invariants
///
/// `state` is borrowed exclusively for `'a`. If `bank` is not [`State::Away`], the current task is in
/// a kernel-mode FP/SIMD section whose buffer is `state`, begun by this value. `bank` is changed with
/// preemption off.
pub struct FpSection<'a> {
    state: NonNull<FpState>,
    bank: &'a Cell<Bank>,
    cpu: &'a VcpuCpu,
    _borrows: PhantomData<&'a mut FpState>,
    _not_send: NotThreadSafe,
}

impl FpSection<'_> {
    /// The guest may use the registers from here on: loads them into the CPU if its policy says so. Does
    /// nothing if they are there. To be called before the guest is entered and after whatever may have
    /// called [`end`](Self::end).
    ///
    /// The CPU must not trap FP/SIMD at EL2: CPTR_EL2 is as the host has it.
    ///
    /// # Errors
    ///
    /// If the task is in another section already, and where FP/SIMD cannot be used.
    #[inline]
    pub fn begin(&self, _irqs: &IrqsOff) -> Result<(), FpUnavailable> {
        let mut bank = self.bank.get();
        if bank.state() != State::Away {
            // The vCPU may have been loaded since, and then it traps.
            self.cpu.trap_fp(false);
            return Ok(());
        }
        let take = bank.begin(false);
        self.take(bank, take)
    }

    /// The guest has used the registers, which has trapped (EC 0x07): loads them into the CPU, unless
    /// they are there. It may try again.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn trapped(&self) -> Result<(), FpUnavailable> {
        with_preemption_off(|_| {
            let mut bank = self.bank.get();
            let take = bank.trapped(Access::Write);
            self.take(bank, take)
        })
    }

    /// Goes over to `bank`, for which `take` is to be done. Preemption is off.
    fn take(&self, bank: Bank, take: Take) -> Result<(), FpUnavailable> {
        if take == Take::Restore {
            // SAFETY: Looks at the kernel's capabilities and the current context only.
            let may_use = unsafe { bindings::kvm_vhe_may_use_fp() };
            if !may_use || in_section() {
                return Err(FpUnavailable);
            }
            let state = self.state.as_ptr();

            // From the section's beginning on the scheduler saves the registers to the buffer, so
            // nothing may come between that and loading them from it: the guest's would be
            // overwritten with user space's. Preemption is off.
            //
            // SAFETY: The CPU has FP/SIMD, this is process context, and the task is in no section.
            // `state` is exclusively ours, and stays in place until `end()` takes it back, at the
            // latest when the scope ends, which is in the same task: the value cannot leave it.
            unsafe { bindings::kernel_neon_begin(state.cast()) };
            // SAFETY: `state` is a `struct user_fpsimd_state`, and the registers are ours.
            unsafe { bindings::kvm_vhe_fp_load(state.cast()) };
        }
        // INVARIANT: It is not away any more only if the section has begun.
        self.bank.set(bank);
        self.cpu.trap_fp(bank.traps().reads());
        Ok(())
    }

    /// Saves the guest's registers from the CPU to the [`FpState`] and gives them back to user space.
    /// Does nothing if they are not there. What [`begin`](Self::begin) says of the CPU holds here.
    ///
    /// To be called before anything that may sleep in another subsystem: page faults, GUP and file
    /// systems may use sections of their own, and the kernel dies of a second one in a task. And when
    /// the scheduler takes the CPU away: the kernel would switch the section, but the task may be away
    /// for long, and its guest may not need them when it is back.
    pub fn end(&self) {
        if self.bank.get().state() == State::Away {
            return;
        }
        // The scheduler's callback may have been here before preemption is off.
        with_preemption_off(|_| {
            let mut bank = self.bank.get();
            let state = self.state.as_ptr();
            let give = bank.give_back();

            if give == Give::Save {
                // SAFETY: By the type invariant the section is live, so that the registers are the
                // guest's and `state` is where they may go.
                unsafe { bindings::kvm_vhe_fp_save(state.cast()) };
            }
            if give != Give::Nothing {
                // SAFETY: By the type invariant the section was begun with this buffer, in this task.
                unsafe { bindings::kernel_neon_end(state.cast()) };
            }
            self.bank.set(bank);
            self.cpu.trap_fp(true);
        });
    }

    /// Returns what has happened to the registers since this was called last. With preemption off, which
    /// `_cpu` stands for.
    pub fn take_events(&self, _cpu: &PinnedCpu) -> Events {
        let mut bank = self.bank.get();
        let events = bank.take_events();

        self.bank.set(bank);
        events
    }
}

/// Whether the current task is in a kernel-mode FP/SIMD section.
#[inline]
fn in_section() -> bool {
    thread_flags() & bindings::kvm_vhe_thread_flags_KVM_VHE_TIF_KERNEL_FPSTATE as usize != 0
}

/// Runs `f` with what moves the guest state `state` of the vCPU `cpu`, by the policy of `bank`; the
/// section is ended after `f` at the latest. To be called in a task, not in an interrupt.
#[inline]
pub fn with_fp_section<R>(
    cpu: &VcpuCpu,
    state: &mut FpState,
    bank: &mut Bank,
    f: impl FnOnce(&FpSection<'_>) -> R,
) -> R {
    // One that says otherwise is not of this file, and there is no section.
    let _ = bank.give_back();
    // INVARIANT: `state` is borrowed exclusively until this returns; no section is live.
    let section = FpSection {
        state: NonNull::from(state),
        bank: Cell::from_mut(bank),
        cpu,
        _borrows: PhantomData,
        _not_send: NotThreadSafe,
    };
    let result = f(&section);

    section.end();
    result
}
