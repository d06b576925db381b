# SPDX-License-Identifier: GPL-2.0
"""Boots the hosts in the lab and collects what each test did."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SuiteError
from .judge import Verdict
from .kept import Kept
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
            *(("--before", machine.before) if machine.before else ()),
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


def identity(paths: Paths, line: list[str], out: Path, tests: Iterable[Test]) -> str:
    """The name under which what this boot did is kept: all that it depends on."""
    qemu = shutil.which("qemu-system-aarch64")
    lab = sorted(path for path in paths.lab.parent.rglob("*")
                 if path.is_file() and "tests" not in path.parts and path.suffix != ".pyc")
    return Kept.key(
        [word for word in line if word != str(out)],
        [paths.kernel, paths.initramfs(), *([Path(qemu)] if qemu else []), *lab,
         *(paths.programs / test.program for test in tests)])


def boot(label: str, line: list[str], say: Callable[[str], None]) -> None:
    """Runs the lab."""
    with subprocess.Popen(line, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as lab:
        assert lab.stdout is not None
        for text in lab.stdout:
            say(f"{label}: {text.rstrip()}")
    if lab.returncode not in (0, 1):
        raise SuiteError(f"the lab ended with {lab.returncode} on {label}")


def run(paths: Paths, label: str, host: str, tests: list[Test], say: Callable[[str], None],
        kept: Kept | None = None, good: Callable[[dict[str, Outcome]], bool] = bool,
        ) -> tuple[dict[str, Outcome], list[Verdict]]:
    """Runs the tests on one host, with a boot for each machine that they name. What is
    in `kept` needs no boot; what is `good` is put there."""
    outcomes: dict[str, Outcome] = {}
    verdicts: list[Verdict] = []
    for machine in dict.fromkeys(test.machine for test in tests):
        here = [test for test in tests if test.machine == machine]
        out, where = paths.out / f"{label}-{machine.name}", f"{label}, {machine.name}"
        line = command(paths, host, machine, here, out)
        key = identity(paths, line, out, here) if kept else ""
        made = kept.fetch(key, out) if kept else None
        if made:
            say(f"{where}: as on {made}, when all was the same ({key})")
        else:
            boot(where, line, say)
        data = json.loads((out / "results.json").read_text())
        results, state = collect(data, here, out), health(where, data)
        if kept and not made and all(verdict.good for verdict in state) and good(results):
            kept.keep(key, out)
        outcomes |= results
        verdicts += state
    return outcomes, verdicts
