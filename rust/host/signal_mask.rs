// SPDX-License-Identifier: GPL-2.0

//! Which signals interrupt a vCPU: `KVM_SET_SIGNAL_MASK`.
//!
//! C header: `include/linux/signal.h`

use kernel::{
    bindings,
    ffi::c_int,
    task::Task, //
};

/// A set of signals, bit `n - 1` for signal `n`, without SIGKILL and SIGSTOP: nobody blocks those.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignalSet(u64);

impl SignalSet {
    /// The set that user space passes as `sigset_t`, in 8 bytes; SIGKILL and SIGSTOP are left out
    /// silently, as `sigprocmask(2)` does.
    pub const fn new(bits: u64) -> Self {
        Self(bits & !(1 << (bindings::SIGKILL - 1) | 1 << (bindings::SIGSTOP - 1)))
    }

    const fn to_raw(self) -> bindings::sigset_t {
        bindings::sigset_t {
            sig: [self.0 as usize],
        }
    }
}

/// Runs `f` with `mask` as the current task's blocked signals, or with its own if there is none.
///
/// This is not what `ppoll(2)` does. There a signal that only the temporary mask lets through is
/// delivered before the old mask is back (TIF_RESTORE_SIGMASK). KVM's users want the opposite:
/// `KVM_RUN` returns `EINTR`, the old mask is in force again, and the signal, which it blocks, is
/// still pending for `sigtimedwait(2)` to fetch. So the mask is put back here, and no flag is left
/// for the return to user space. api.rst, "4.21 KVM_SET_SIGNAL_MASK".
///
/// While the mask is replaced, the old one is the task's `real_blocked`: signals in it count as
/// blocked where the kernel decides whether one is discarded as ignored, or kills the task early.
///
/// To be called in a system call of a user task.
pub fn with_signal_mask<R>(mask: Option<SignalSet>, f: impl FnOnce() -> R) -> R {
    let Some(mask) = mask else { return f() };
    let task = Task::current_raw();
    // SAFETY: The task is the current one, and only it writes the two masks. Others read
    // `real_blocked` without a lock and cope with either value.
    let (blocked, real_blocked) = unsafe {
        let masks = ((*task).blocked, (*task).real_blocked);

        (&raw mut (*task).real_blocked).write_volatile(masks.0);
        masks
    };

    set_blocked(mask.to_raw());
    let result = f();
    set_blocked(blocked);

    // SAFETY: As above; `f` returns in the same task.
    unsafe { (&raw mut (*task).real_blocked).write_volatile(real_blocked) };

    result
}

/// Replaces the current task's blocked signals; one that is pending and no longer blocked shows as
/// pending at once.
fn set_blocked(mut set: bindings::sigset_t) {
    // SAFETY: Changes the current task only. It cannot fail with this constant.
    unsafe {
        bindings::sigprocmask(
            bindings::SIG_SETMASK as c_int,
            &mut set,
            core::ptr::null_mut(),
        )
    };
}
