# SPDX-License-Identifier: GPL-2.0
"""Real runs of the suite, on its fastest machine: it can pass, and it can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

UPSTREAM = Path(__file__).resolve().parent.parent
TESTS = ("aarch32_id_regs.a64fx", "set_id_regs.a64fx")

pytestmark = [
    pytest.mark.boot,
    pytest.mark.skipif(not Path("build/upstream/bin").exists() or
                       not Path("/kernel/image").exists(),
                       reason="not in the build root, or make upstream is still to be done"),
]

WRONG = """
[[expect]]
test = "aarch32_id_regs.a64fx"
ckvm = "skip"
module = "skip"
reason = "a CPU that has AArch32 at EL0"

[[expect]]
test = "set_id_regs.a64fx"
point = "ID_AA64DFR0_EL1_WRPs"
ckvm = "fail"
module = "fail"
reason = "watchpoints are not writable"
"""


def run(out: Path, *arguments: str) -> tuple[int, list[str]]:
    """Runs the suite; returns its status and its lines that fail."""
    done = subprocess.run(
        [sys.executable, str(UPSTREAM / "run"), "--out", str(out), *arguments, *TESTS],
        stdout=subprocess.PIPE, text=True, timeout=300, check=False)
    lines = done.stdout.splitlines()
    assert f"1..{sum(line.startswith(('ok ', 'not ok ')) for line in lines)}" in lines
    return done.returncode, [line.split(" ", 3)[3] for line in lines if line.startswith("not ok ")]


def test_ckvm_agrees_with_itself(tmp_path: Path) -> None:
    assert run(tmp_path, "--subject", "ckvm") == (0, [])


def test_wrong_expectations_are_found(tmp_path: Path) -> None:
    table = tmp_path / "wrong.toml"
    table.write_text(WRONG)
    assert run(tmp_path, "--subject", "none", "--expectations", str(table)) == (
        1, ["aarch32_id_regs.a64fx", "set_id_regs.a64fx: ID_AA64DFR0_EL1_WRPs"])
