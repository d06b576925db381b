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
//! Not switched by it: SVE's upper halves, predicates and FFR, ZA, and FPMR of the guest.
//!
//! C header: `arch/arm64/include/asm/neon.h`

use crate::{
    bindings,
    pinned::with_preemption_off,
    task_work::thread_flags, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings as linux,
    types::NotThreadSafe, //
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

/// A section that is live or not, for one guest state.
///
/// While it is live, the guest's registers are in the CPU; otherwise they are in the [`FpState`].
///
/// # Invariants
///
/// `state` is borrowed exclusively for `'a`. If `live`, the current task is in a kernel-mode FP/SIMD
/// section whose buffer is `state`, begun by this value.
pub struct FpSection<'a> {
    state: NonNull<FpState>,
    live: bool,
    _borrows: PhantomData<&'a mut FpState>,
    _not_send: NotThreadSafe,
}

impl FpSection<'_> {
    /// Whether the guest's registers are in the CPU.
    #[inline]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Loads the guest's registers into the CPU. Does nothing if they are there.
    ///
    /// The CPU must not trap FP/SIMD at EL2 (CPACR_EL1.FPEN, CPTR_EL2.FPEN with E2H, is as the host
    /// has it), nor be in a guest's streaming mode. Interrupts may be off.
    ///
    /// # Errors
    ///
    /// If the task is in another section already, and where FP/SIMD cannot be used.
    pub fn begin(&mut self) -> Result<(), FpUnavailable> {
        if self.live {
            return Ok(());
        }
        // SAFETY: Looks at the kernel's capabilities and the current context only.
        let may_use = unsafe { bindings::kvm_vhe_may_use_fp() };
        if !may_use || in_section() {
            return Err(FpUnavailable);
        }

        let state = self.state.as_ptr();

        // From the section's beginning on the scheduler saves the registers to the buffer, so nothing
        // may come between that and loading them from it: the guest's would be overwritten with
        // user space's.
        with_preemption_off(|_| {
            // SAFETY: The CPU has FP/SIMD, this is process context, and the task is in no section.
            // `state` is exclusively ours, and stays in place until `end()` takes it back, at the
            // latest when the scope ends, which is in the same task: the value cannot leave it.
            unsafe { bindings::kernel_neon_begin(state.cast()) };
            // SAFETY: `state` is a `struct user_fpsimd_state`, and the registers are ours.
            unsafe { bindings::kvm_vhe_fp_load(state.cast()) };
        });
        // INVARIANT: The section has begun.
        self.live = true;

        Ok(())
    }

    /// Saves the guest's registers from the CPU to the [`FpState`] and gives them back to user space.
    /// Does nothing if they are not there. What [`begin`](Self::begin) says of the CPU holds here.
    ///
    /// To be called before anything that may sleep in another subsystem: page faults, GUP and file
    /// systems may use sections of their own, and the kernel dies of a second one in a task.
    pub fn end(&mut self) {
        if !self.live {
            return;
        }
        let state = self.state.as_ptr();

        // SAFETY: By the type invariant the section is live, so that the registers are the guest's
        // and `state` is where they may go. If the scheduler saves them as well, it is to the same
        // place, and it loads them again.
        unsafe { bindings::kvm_vhe_fp_save(state.cast()) };
        // SAFETY: By the type invariant the section was begun with this buffer, in this task.
        unsafe { bindings::kernel_neon_end(state.cast()) };
        self.live = false;
    }

    /// The state in memory: ends the section if it is live.
    pub fn state(&mut self) -> &mut FpState {
        self.end();
        // SAFETY: By the type invariant `state` is borrowed exclusively, and the kernel does not use
        // it as no section is live.
        unsafe { self.state.as_mut() }
    }
}

/// Whether the current task is in a kernel-mode FP/SIMD section.
#[inline]
fn in_section() -> bool {
    thread_flags() & bindings::kvm_vhe_thread_flags_KVM_VHE_TIF_KERNEL_FPSTATE as usize != 0
}

/// Runs `f` with a section for the guest state `state`, which `f` begins and ends as it needs; it is
/// ended after `f` at the latest. To be called in a task, not in an interrupt.
#[inline]
pub fn with_fp_section<R>(state: &mut FpState, f: impl FnOnce(&mut FpSection<'_>) -> R) -> R {
    // INVARIANT: `state` is borrowed exclusively until this returns; no section is live.
    let mut section = FpSection {
        state: NonNull::from(state),
        live: false,
        _borrows: PhantomData,
        _not_send: NotThreadSafe,
    };
    let result = f(&mut section);

    section.end();
    result
}
