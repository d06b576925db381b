# SPDX-License-Identifier: GPL-2.0
"""The splat scanner on logs that look real."""

import pytest

from lablib.splat import apply_allowances, classify, scan

HARMLESS = """\
[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x000f0510]
[    0.000000] CPU features: detected: Spectre-v4
[    0.000000] Speculative Store Bypass mitigation
[    0.000000] kfence: initialized - using 2097152 bytes for 255 objects at 0x(____ptrval____)
[    0.000000] Warning: unable to open an initial console.
[    1.149405] kvm [1]: KVM disabled from command line
[    1.2] WARNING: no stamp of the kernel
WARNING: CPU: 0 PID: 1 at somewhere, printed by a program
[    3.100000] workqueue: drain_vmap_area_work hogged CPU for >10000us 4 times
[    3.200000] clocksource: Long readout interval, skipping watchdog check: cs_nsec: 4 wd_nsec: 5
[    3.300000] EXT4-fs error count: 0, no BUG: here
[    3.400000] pci 0000:00:01.0: WARNING: in the middle
[    3.500000] rcu: Hierarchical RCU implementation.
[    3.600000] watchdog: Delayed init of the lockup detector failed: -19
[    3.700000] Lockdown: see man kernel_lockdown.7
"""

WARN = """\
[    5.000000] lab: begin memslots
[    5.100000] fine
[    5.200000] ------------[ cut here ]------------
[    5.200100] WARNING: /k/kvm/vm.rs:12 at kvm_vhe_ioctl+0x10/0x40 [kvm_vhe], CPU#0: memslots/77
[    5.200200] Modules linked in: kvm_vhe(OE)
[    5.200300] CPU: 0 UID: 0 PID: 77 Comm: memslots Tainted: G           OE       7.2.12 #1
[    5.200400] pstate: 60400009 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)
[    5.200500] pc : kvm_vhe_ioctl+0x10/0x40 [kvm_vhe]
[    5.200600] Call trace:
[    5.200700]  kvm_vhe_ioctl+0x10/0x40 [kvm_vhe] (P)
[    5.200800]  el0t_64_sync+0x1b0/0x1b8
[    5.200900] ---[ end trace 0000000000000000 ]---
[    5.300000] lab: end memslots 0
[    5.400000] after
"""

OOPS = """\
[    7.000000] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010
[    7.000100] Mem abort info:
[    7.000200]   ESR = 0x0000000096000004
[    7.000300] Internal error: Oops: 0000000096000004 [#1]  SMP
[    7.000400] Call trace:
[    7.000500]  foo+0x1/0x2
[    7.000600] Code: d2800000 f9400800 (f9400801) d65f03c0
[    7.000700] ---[ end trace 0000000000000000 ]---
[    7.000800] Kernel panic - not syncing: Oops: Fatal exception
[    7.000900] SMP: stopping secondary CPUs
[    7.001000] ---[ end Kernel panic - not syncing: Oops: Fatal exception ]---
"""


def test_harmless() -> None:
    assert scan(HARMLESS) == []


def test_warn_is_one_splat_with_its_test_and_context() -> None:
    splat, = scan(WARN)
    assert (splat.kind, splat.test, splat.line) == ("warn", "memslots", 4)
    assert "cut here" in splat.text[0] and "end trace" in splat.text[-1]
    assert len(splat.text) == 10
    assert splat.before[-1].endswith("fine")


def test_oops_then_panic() -> None:
    assert [s.kind for s in scan(OOPS)] == ["oops", "panic"]
    assert scan(OOPS)[0].test is None


def test_two_in_one_test_and_crlf() -> None:
    found = scan((WARN + WARN.replace("memslots", "run")).replace("\n", "\r\n"))
    assert [s.test for s in found] == ["memslots", "run"]
    assert not found[0].text[0].endswith("\r")


def test_an_unfinished_splat_hides_no_other() -> None:
    log = "\n".join(f"[    1.00000{i}] {text}" for i, text in enumerate((
        "BUG: scheduling while atomic: a/1/0x2", "Call trace:", " foo+0x1/0x2",
        "WARNING: a.c:1 at foo+0x1/0x2, CPU#0: a/1", "refcount_t: underflow; use-after-free.",
        "WARNING: b.c:1 at bar+0x1/0x2, CPU#0: a/1", "Kernel panic - not syncing: x")))
    assert [s.kind for s in scan(log)] == ["atomic", "warn", "refcount", "panic"]


def test_a_splat_ends_when_other_messages_follow() -> None:
    log = "[    1.000000] BUG: Bad page state\n" + "[    1.100000] usb: fine\n" * 40
    splat, = scan(log)
    assert len(splat.text) < 20


def test_splat_at_the_very_end() -> None:
    splat, = scan("[    1.000000] BUG: soft lockup - CPU#0 stuck for 22s!")
    assert splat.kind == "lockup" and splat.text


@pytest.mark.parametrize("message, kind", [
    ("BUG: KASAN: slab-use-after-free in foo+0x1/0x2", "kasan"),
    ("BUG: KFENCE: out-of-bounds read in foo", "kfence"),
    ("BUG: scheduling while atomic: vcpu/12/0x00000002", "atomic"),
    ("BUG: sleeping function called from invalid context at mm/util.c:1", "atomic"),
    ("BUG: using smp_processor_id() in preemptible [00000000] code: a/1", "atomic"),
    ("WARNING: possible circular locking dependency detected", "lockdep"),
    ("WARNING: suspicious RCU usage", "lockdep"),
    ("WARNING: lock held when returning to user space!", "lockdep"),
    ("INFO: trying to register non-static key.", "lockdep"),
    ("INFO: possible recursive locking detected", "lockdep"),
    ("WARNING: CPU: 0 PID: 1 at kernel/foo.c:1 bar+0x0/0x4", "warn"),
    ("watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [a:1]", "lockup"),
    ("watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 0", "lockup"),
    ("rcu: INFO: rcu_preempt self-detected stall on CPU", "rcu"),
    ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "rcu"),
    ("rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... }", "rcu"),
    ("rcu: rcu_preempt kthread starved for 5250 jiffies!", "rcu"),
    ("INFO: task qemu:1 blocked for more than 120 seconds.", "hung"),
    ("kernel BUG at mm/slub.c:1!", "bug"),
    ("BUG: Bad page state in process a  pfn:1", "bug"),
    ("rust_kernel: panicked at /k/kvm/vm.rs:1:2:", "bug"),
    ("Internal error: Oops - BUG: 00000000f2000800 [#1]  SMP", "oops"),
    ("Unable to handle kernel paging request at virtual address ffff", "oops"),
    ("SError Interrupt on CPU0, code 0x00000000be000000 -- SError", "serror"),
    ("Kernel panic - not syncing: sysrq triggered crash", "panic"),
    ("UBSAN: array-index-out-of-bounds in a.c:1:2", "ubsan"),
    ("refcount_t: underflow; use-after-free.", "refcount"),
    ("list_del corruption. next->prev should be", "list"),
    ("vcpu: page allocation failure: order:9", "memory"),
    ("kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", "leak"),
    ("kvm_vhe: 2 pages of stage-2 tables were not freed", "leak"),
    ("irq 12: nobody cared (try booting with the \"irqpoll\" option)", "irq"),
    ("Call trace:", "trace"),
])
def test_kinds(message: str, kind: str) -> None:
    found = classify(message)
    assert found is not None and found[0] == kind
    assert scan(f"[    1.000000][ T12] {message}\n")[0].kind == kind


def test_allowances() -> None:
    splats = scan(WARN + OOPS)
    assert apply_allowances(splats, [r"vm\.rs:12"]) == []
    assert [s.allowed for s in splats] == [True, False, False]
    assert apply_allowances(splats, ["never seen"]) == ["never seen"]
