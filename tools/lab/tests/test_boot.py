# SPDX-License-Identifier: GPL-2.0
"""Real boots, as few as possible: each costs about 5 s."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
KERNEL = os.environ.get("LAB_KERNEL")
INITRAMFS = os.environ.get("LAB_INITRAMFS")
CROSS = "aarch64-linux-gnu-gcc"

pytestmark = [
    pytest.mark.boot,
    pytest.mark.skipif(not (KERNEL and INITRAMFS),
                       reason="LAB_KERNEL and LAB_INITRAMFS do not name a kernel and a base layer"),
]

WARNING = ("echo '------------[ cut here ]------------'; "
           "echo 'WARNING: CPU: 0 PID: 1 at drivers/lab/provoked.c:7 lab+0x0/0x4'; "
           "echo '---[ end trace 0000000000000000 ]---'")
BIG = 5_000_000

SCRIPTS = {
    "pass": "printf 'TAP version 13\\n1..2\\nok 1 a\\nok 2 b # SKIP no b\\n'",
    "failpoint": "printf '1..2\\nok 1 a\\nnot ok 2 b\\n'",
    "exit3": "echo plain; exit 3",
    "skip": "echo '1..0 # SKIP not here'; exit 4",
    "short": "printf '1..3\\nok 1\\n'",
    "segv": "kill -SEGV $$",
    "hang": "echo started; sleep 1000",
    "big": f"yes 0123456789abcde | head -c {BIG}",
    "bytes": "printf 'no newline\\r\\0\\036LAB 0123 end 0 0 0\\n\\036LAB '",
    "reopen": "echo one >/dev/stdout; echo two >/dev/stderr; echo three >/proc/self/fd/1",
    "daemon": "setsid sleep 500 & sleep 0.3; echo left one behind",
    "disk": "head -c 20 /dev/vda; ! dd if=/dev/zero of=/dev/vda bs=512 count=1 2>/dev/null && "
            "mke2fs /dev/vdb >/dev/null && mount -t ext4 /dev/vdb /mnt && "
            "echo kept >/mnt/a && umount /mnt && mount -t ext4 /dev/vdb /mnt && cat /mnt/a",
    "cpu": "[ -c /dev/ttyAMA0 ] && [ $LAB_HOST = module ] && [ ! -e /dev/kvm ] && "
           "[ $(nproc) = $LAB_CPUS ] && ! grep -qw sve /proc/cpuinfo && "
           "grep -qw asimd /proc/cpuinfo",
    "args": "printf '%s|' \"$@\"; cat /data/file; echo $EXTRA; cat /run/before",
    "warn": f"( {WARNING} ) | while read -r l; do echo \"<4>$l\" >/dev/kmsg; done",
    "panic": "echo 'about to panic'; echo c >/proc/sysrq-trigger; sleep 100",
    "off": "echo going; poweroff -f; sleep 100",
    "icount": "[ -n \"$LAB_ICOUNT\" ] && [ -c /dev/kvm ] && grep -qw sve /proc/cpuinfo",
}


@dataclass
class Ran:
    """A finished lab: exit status, terminal output, results.json, directory."""

    status: int
    text: str
    data: dict[str, Any]
    out: Path

    def test(self, name: str) -> dict[str, Any]:
        """One test's entry."""
        return next(t for t in self.data["tests"] if t["name"] == name)

    def tap(self, name: str) -> bytes:
        """One test's output."""
        return (self.out / f"{name}.tap").read_bytes()


def command(out: Path, *arguments: str) -> list[str]:
    """The lab's command line."""
    assert KERNEL and INITRAMFS
    return [sys.executable, str(HERE.parent / "lab"), "--kernel", KERNEL,
            "--initramfs", INITRAMFS, "--out", str(out), *arguments]


def lab(out: Path, *arguments: str) -> Ran:
    """Run the lab to its end."""
    done = subprocess.run(command(out, *arguments), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=150, check=False)
    path = out / "results.json"
    return Ran(done.returncode, done.stdout, json.loads(path.read_text()) if path.exists() else {},
               out)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the test scripts."""
    where = tmp_path_factory.mktemp("scripts")
    for name, text in SCRIPTS.items():
        (where / name).write_text(f"#!/bin/sh\n{text}\n")
    return where


@pytest.fixture(scope="module")
def main_run(scripts: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One boot for all that the host survives."""
    where = tmp_path_factory.mktemp("main")
    (where / "data").write_text("[data]")
    disk, scratch = where / "disk.img", where / "scratch,img"
    disk.write_bytes(b"hello from the disk\n".ljust(1 << 20, b"\0"))
    with scratch.open("wb") as stream:
        stream.truncate(4 << 20)
    names = ["pass", "failpoint", "exit3", "skip", "short", "segv", "hang", "big", "bytes",
             "reopen", "daemon", "disk", "cpu", "warn"]
    return lab(where / "out", "--cpu", "max,sve=off", "--disk", f"{disk}:ro",
               "--disk", f"{scratch}:snapshot",
               "--test-timeout", "10", "--file", f"{where / 'data'}:/data/file",
               "--env", "EXTRA=[extra]", "--before", "echo '[before]' >/run/before",
               "--after", "[ -e /run/before ]", "--allow-splat", r"provoked\.c:7",
               *[str(scripts / n) for n in names], f"args={scripts / 'args'} 'a b' \"c'd\"")


@pytest.mark.parametrize("name, status, reason", [
    ("pass", "pass", ""), ("failpoint", "fail", "1 of 2 points failed"),
    ("exit3", "fail", "exit code 3"), ("skip", "skip", "SKIP not here"),
    ("short", "fail", "3 points planned, 1 reported"), ("segv", "fail", "killed by SIGSEGV"),
    ("hang", "timeout", "killed after its 10 s"), ("big", "pass", ""), ("bytes", "pass", ""),
    ("reopen", "pass", ""), ("disk", "pass", ""), ("cpu", "pass", ""), ("warn", "pass", ""),
    ("args", "pass", "")])
def test_status(main_run: Ran, name: str, status: str, reason: str) -> None:
    entry = main_run.test(name)
    assert (entry["status"], entry["reason"]) == (status, reason), main_run.text


def test_daemon_does_not_block(main_run: Ran) -> None:
    assert "holds its output" in main_run.test("daemon")["reason"]
    assert main_run.tap("daemon") == b"left one behind\n"


def test_outputs_are_exact(main_run: Ran) -> None:
    line = b"0123456789abcde\n"
    want = (line * (BIG // len(line) + 1))[:BIG]
    assert hashlib.sha256(main_run.tap("big")).digest() == hashlib.sha256(want).digest()
    assert main_run.tap("bytes") == b"no newline\r\0\x1eLAB 0123 end 0 0 0\n\x1eLAB "
    assert main_run.tap("reopen") == b"one\ntwo\nthree\n"
    assert main_run.tap("disk") == b"hello from the disk\nkept\n"
    assert main_run.tap("args") == b"a b|c'd|[data][extra]\n[before]\n"


def test_run_result(main_run: Ran) -> None:
    assert main_run.status == 1 and main_run.data["status"] == "fail"
    assert main_run.data["problems"] == []
    assert main_run.data["boot_seconds"] < 30
    splat, = main_run.data["splats"]
    assert splat["allowed"] and splat["test"] == "warn" and splat["kind"] == "warn"
    assert main_run.test("failpoint")["tap"]["failures"] == ["not ok 2 b"]
    assert 9.5 <= main_run.test("hang")["seconds"] < 20
    assert "ok 2 points (1 skipped)" in main_run.text and "  | not ok 2 b" in main_run.text
    assert (main_run.out / "qemu.cmd").exists() and (main_run.out / "console.log").exists()


@pytest.fixture(scope="module")
def one_cpu_runs(scripts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """The runs that end the host, two at a time: with one CPU each needs one core."""
    where = tmp_path_factory.mktemp("one")

    def several(*names: str) -> list[str]:
        return [str(scripts / n) for n in names]

    jobs = {
        "panic": ["--host", "ckvm", *several("warn", "panic", "pass")],
        "icount": ["--host", "ckvm", "--icount", "shift=0,sleep=off",
                   *several("icount", "off", "pass")],
    }
    if shutil.which(CROSS):
        program = where / "kexec"
        subprocess.run([CROSS, "-static", "-O1", "-o", str(program), str(HERE / "kexec.c")],
                       check=True)
        jobs = {"kexec": ["--expect-reset", "kexec", "--file", f"{KERNEL}:/boot/Image",
                          "--after", "echo sorry; false", str(scripts / "pass"),
                          f"{program} /boot/Image 2", f"again={scripts / 'pass'}"], **jobs}
    with ThreadPoolExecutor(2) as pool:
        started = {name: pool.submit(lab, where / f"{name}.out", "--cpus", "1", *arguments)
                   for name, arguments in jobs.items()}
        return {name: run.result() for name, run in started.items()}


def test_panic_ends_the_run(one_cpu_runs: dict[str, Ran]) -> None:
    ran = one_cpu_runs["panic"]
    assert ran.status == 1
    assert ran.test("warn")["status"] == "pass"
    assert (ran.test("panic")["status"], ran.test("panic")["reason"]) == (
        "lost", "the host panicked")
    assert ran.tap("panic") == b"about to panic\n"
    assert ran.test("pass")["status"] == "not-run"
    assert [(s["kind"], s["test"]) for s in ran.data["splats"]] == [
        ("warn", "warn"), ("panic", "panic")]
    assert ran.data["wall_seconds"] < 30
    assert "SPLAT (panic" in ran.text and "sysrq triggered crash" in ran.text


def test_icount_and_early_power_off(one_cpu_runs: dict[str, Ran]) -> None:
    ran = one_cpu_runs["icount"]
    assert ran.status == 1
    assert ran.test("icount")["status"] == "pass", ran.text
    assert ran.test("off")["reason"] == "the host was powered off early"
    assert ran.tap("off") == b"going\n"
    assert ran.test("pass")["status"] == "not-run"


@pytest.mark.skipif(not shutil.which(CROSS), reason=f"{CROSS} is missing")
def test_kexec_continues_then_a_step_fails(one_cpu_runs: dict[str, Ran]) -> None:
    ran = one_cpu_runs["kexec"]
    assert [t["status"] for t in ran.data["tests"]] == ["pass"] * 3, ran.text
    assert ran.test("kexec")["resets"] == 1 and ran.tap("kexec") == b"before kexec\n"
    assert ran.status == 1 and ran.data["splats"] == []
    assert "the --after step failed with exit code 1" in ran.text and "    sorry" in ran.text


def test_ends_with_its_time_and_its_parent(scripts: Path, tmp_path: Path) -> None:
    ran = lab(tmp_path / "out", "--timeout", "1.5", str(scripts / "pass"))
    assert ran.status == 1 and ran.test("pass")["status"] == "not-run"
    assert "--timeout" in ran.data["problems"][0]
    assert "X00=" in (ran.out / "hang.txt").read_text()
    for number in (signal.SIGTERM, signal.SIGKILL):
        out = tmp_path / number.name
        with subprocess.Popen(command(out, str(scripts / "pass")), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            while not (out / "console.log").exists() or not (out / "console.log").stat().st_size:
                time.sleep(0.05)
            process.send_signal(number)
            code = process.wait(10)
        assert code == (128 + number if number == signal.SIGTERM else -number)
        time.sleep(0.2)
        assert not [p for p in Path("/proc").glob("[0-9]*/cmdline")
                    if str(out).encode() in p.read_bytes()]
