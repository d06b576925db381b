// SPDX-License-Identifier: GPL-2.0

//! Loading and putting a vCPU: once around each KVM_RUN, and whenever its thread is scheduled.

use crate::{
    bindings,
    guest_tlb::Stage2Registers,
    irqs::{
        with_irqs_off,
        IrqsOff, //
    },
    pinned::PinnedCpu,
    preempt_notifier::{
        with_notifier,
        NotifierUser,
        SchedCallbacks, //
    },
    vcpu::{
        Exit,
        VcpuCpu,
        Vectors, //
    },
};
use kernel::types::NotThreadSafe;

/// What load needs to know of a vCPU.
pub trait Load {
    /// The vCPU's side of the CPU.
    fn cpu(&self) -> &VcpuCpu;

    /// The vCPU comes to this CPU: its stage 2 translation, which stays as long as this is lent, and the
    /// vectors that the CPU needs.
    /// [`None`] if the CPU is not in use for VMs any more. Runs with interrupts off; must not sleep.
    fn load(&self, cpu: &PinnedCpu) -> Option<(Stage2Registers<'_>, Vectors)>;

    /// The vCPU has left this CPU. Runs with interrupts off and perhaps the runqueue's lock held:
    /// see [`SchedCallbacks::sched_out`].
    fn put(&self, cpu: &PinnedCpu);
}

/// A vCPU that is loaded whenever its thread, this one, runs.
pub struct Loaded<'a, T: Load> {
    vcpu: &'a T,
    _not_send: NotThreadSafe,
}

impl<T: Load> Loaded<'_, T> {
    /// The vCPU.
    #[inline(always)]
    pub fn vcpu(&self) -> &T {
        self.vcpu
    }

    /// Whether the vCPU is in the CPU. It is not where the CPU is not in use for VMs any more.
    #[inline(always)]
    pub fn is_loaded(&self) -> bool {
        self.vcpu.cpu().is_loaded()
    }

    /// Runs `f`, which may enter the guest again and again. What the host needs only when interrupts
    /// are on may be the guest's meanwhile.
    #[inline(always)]
    pub fn stay<R>(&self, irqs: &mut IrqsOff, f: impl FnOnce(&mut Stay<'_, T>) -> R) -> R {
        let result = f(&mut Stay {
            vcpu: self.vcpu,
            irqs,
        });

        self.vcpu.cpu().end_stay(irqs.cpu());
        result
    }

    /// Puts the vCPU and loads it again, so that new controls take effect.
    pub fn reload(&self) {
        with_irqs_off(|irqs| {
            put(self.vcpu, irqs.cpu());
            load(self.vcpu, irqs.cpu());
        });
    }
}

/// A stay of a vCPU's thread in its inner loop, with interrupts off all the time.
pub struct Stay<'a, T: Load> {
    vcpu: &'a T,
    irqs: &'a mut IrqsOff,
}

impl<T: Load> Stay<'_, T> {
    /// Proof that interrupts are off.
    #[inline(always)]
    pub fn irqs(&self) -> &IrqsOff {
        self.irqs
    }

    /// Whether the vCPU is in the CPU. It is not where the CPU is not in use for VMs any more.
    #[inline(always)]
    pub fn is_loaded(&self) -> bool {
        self.vcpu.cpu().is_loaded()
    }

    /// Runs the guest until its next exit. [`None`] if the vCPU could not be loaded.
    ///
    /// RCU does not wait for the CPU meanwhile: nothing that is borrowed from
    /// [`irqs`](Self::irqs) lasts longer.
    #[inline(always)]
    pub fn enter(&mut self) -> Option<Exit> {
        let cpu = self.vcpu.cpu();

        // SAFETY: It is loaded, by the notifier that `Loaded` stands for, on this thread.
        cpu.is_loaded().then(|| unsafe { cpu.enter(self.irqs) })
    }
}

/// The scheduler's callbacks for a vCPU.
struct Scheduled<'a, T>(&'a T);

impl<T: Load> SchedCallbacks for Scheduled<'_, T> {
    fn sched_in(&self, _cpu: &PinnedCpu) {
        with_irqs_off(|irqs| load(self.0, irqs.cpu()));
    }

    fn sched_out(&self, cpu: &PinnedCpu) {
        put(self.0, cpu);
    }
}

/// Loads a vCPU that stays until it is put.
fn load<T: Load>(vcpu: &T, cpu: &PinnedCpu) {
    if let Some((stage2, vectors)) = vcpu.load(cpu) {
        // SAFETY: Looks at this CPU's runqueue.
        let alone = unsafe { bindings::single_task_running() };

        // A WFE waits for another CPU, and this one has nothing better to do: no exit. Otherwise
        // another thread can have the time.
        vcpu.cpu().trap_wfe(!alone);
        // SAFETY: Called by the notifier of this task, which puts the vCPU before the task leaves
        // the CPU, or by `reload()` after a put; and `with_loaded()` is not nested in a task. That
        // lends `vcpu`, and with it the tables, until after the last put.
        unsafe { vcpu.cpu().load(stage2, vectors, cpu) };
    }
}

fn put<T: Load>(vcpu: &T, cpu: &PinnedCpu) {
    if vcpu.cpu().is_loaded() {
        vcpu.cpu().put(cpu);
        vcpu.put(cpu);
    }
}

/// Runs `f` with the vCPU loaded, on whichever CPU that may be at a time.
///
/// `f` may sleep: the vCPU is put whenever the thread leaves its CPU and loaded when it comes back.
/// It must not call this for another vCPU.
pub fn with_loaded<T: Load, R>(
    vcpu: &T,
    user: &NotifierUser,
    f: impl FnOnce(&Loaded<'_, T>) -> R,
) -> R {
    with_notifier(user, &Scheduled(vcpu), || {
        f(&Loaded {
            vcpu,
            _not_send: NotThreadSafe,
        })
    })
}
