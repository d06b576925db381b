# SPDX-License-Identifier: GPL-2.0
"""Boots the hosts in the lab and collects what each test did."""

import json
import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SuiteError
from .judge import Verdict
from .outcome import Outcome, read
from .suite import Machine, Test

BOOT_SECONDS = 120  # a boot's share of a run's limit

# What the lab needs to be the module's host.
MODULE = "build/module/kvm_vhe.ko"
LOADED = ("--file", f"{MODULE}:/lib/kvm_vhe.ko", "--before", "insmod /lib/kvm_vhe.ko",
          "--after", "rmmod kvm_vhe")


@dataclass(frozen=True)
class Paths:
    """Where things are; by default as in the build root."""

    out: Path
    programs: Path = Path("build/upstream/bin")
    lab: Path = Path("tools/lab/lab")
    kernel: Path = Path("/kernel/image")
    setup: Path = Path("build/setup.env")

    def initramfs(self) -> Path:
        """The lab's base layer, which set-up made."""
        if match := re.search(r"^INITRAMFS=(.+)$", self.setup.read_text(), re.MULTILINE):
            return Path("/cache") / match[1]
        raise SuiteError(f"{self.setup} names no INITRAMFS: run make setup")


def command(paths: Paths, host: str, machine: Machine, tests: Iterable[Test],
            out: Path) -> list[str]:
    """The lab's command line for these tests on one host."""
    tests = list(tests)
    limit = max(test.seconds for test in tests)
    words = []
    for test in tests:
        program = paths.programs / test.program
        if not program.exists():
            raise SuiteError(f"{program} is missing: run make upstream")
        words.append(" ".join([f"{test.name}={program}", *test.args]))
    return ["python3", str(paths.lab), "--kernel", str(paths.kernel),
            "--initramfs", str(paths.initramfs()), "--host", host, "--cpu", machine.cpu,
            "--cpus", str(machine.cpus), "--memory", machine.memory, "--out", str(out),
            "--test-timeout", str(limit),
            "--timeout", str(BOOT_SECONDS + sum(test.seconds for test in tests)),
            *(("--append", machine.append) if machine.append else ()),
            *(LOADED if host == "module" else ()), *words]


def collect(data: dict[str, Any], tests: Iterable[Test], out: Path) -> dict[str, Outcome]:
    """Each test's outcome, from the lab's results.json and the outputs."""
    entries = {entry["name"]: entry for entry in data["tests"]}
    outcomes = {}
    for test in tests:
        output = out / f"{test.name}.tap"
        outcomes[test.name] = read(test.points, entries[test.name],
                                   output.read_bytes() if output.exists() else b"")
    return outcomes


def health(label: str, data: dict[str, Any]) -> list[Verdict]:
    """Whether the host itself kept well: no splat, no early end."""
    splats = [f"{splat['kind']}: {splat['head']}" for splat in data["splats"]]
    wrong = [*splats, *data["problems"]]
    return [Verdict(f"{label}: the host keeps well", not wrong, why="; ".join(wrong))]


def run(paths: Paths, label: str, host: str, tests: list[Test],
        say: Callable[[str], None]) -> tuple[dict[str, Outcome], list[Verdict]]:
    """Runs the tests on one host, with a boot for each machine that they name."""
    outcomes: dict[str, Outcome] = {}
    verdicts: list[Verdict] = []
    for machine in dict.fromkeys(test.machine for test in tests):
        here = [test for test in tests if test.machine == machine]
        out = paths.out / f"{label}-{machine.name}"
        with subprocess.Popen(command(paths, host, machine, here, out), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as lab:
            assert lab.stdout is not None
            for line in lab.stdout:
                say(f"{label}, {machine.name}: {line.rstrip()}")
        if lab.returncode not in (0, 1):
            raise SuiteError(f"the lab ended with {lab.returncode} on {label}, {machine.name}")
        data = json.loads((out / "results.json").read_text())
        outcomes |= collect(data, here, out)
        verdicts += health(f"{label}, {machine.name}", data)
    return outcomes, verdicts
