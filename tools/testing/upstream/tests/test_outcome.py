# SPDX-License-Identifier: GPL-2.0
"""Exit codes and outputs become statuses and points."""

from typing import Any

import pytest

from parity.outcome import Outcome, read


def entry(code: int | None, status: str = "pass", reason: str = "") -> dict[str, Any]:
    """A test's entry in the lab's results."""
    return {"exit_code": code, "status": status, "reason": reason, "seconds": 1.0}


def seen(outcome: Outcome) -> list[tuple[str, str]]:
    """The names and statuses of the points."""
    return [(point.name, point.status) for point in outcome.points.values()]


@pytest.mark.parametrize("code, lab, status", [
    (0, "pass", "pass"), (4, "skip", "skip"), (254, "fail", "fail"), (134, "fail", "fail"),
    (137, "timeout", "timeout"), (None, "lost", "lost"), (None, "not-run", "not-run")])
def test_exit_codes(code: int | None, lab: str, status: str) -> None:
    assert read("tap", entry(code, lab), b"Random seed: 0x1\n").status == status


def test_exit_0_is_no_pass_if_the_lab_saw_a_fault() -> None:
    outcome = read("tap", entry(0, "fail", "it left a process behind"), b"")
    assert (outcome.status, outcome.reason) == ("fail", "it left a process behind")


def test_tap_points() -> None:
    outcome = read("tap", entry(1, "fail"), b"""Random seed: 0x5f0a48ea
TAP version 13
1..5
ok 1 ID_AA64DFR0_EL1_WRPs
ok 2 # SKIP ID_DFR0_EL1_PerfMon on AARCH64 only system
not ok 3 ID_AA64PFR0_EL1.MPAM=0 was not accepted
ok 4 LDRSB Wt 0xFF
# Totals: pass:2 fail:1 xfail:0 xpass:0 skip:1 error:0
""")
    assert outcome.status == "fail"
    assert seen(outcome) == [
        ("ID_AA64DFR0_EL1_WRPs", "pass"),
        ("ID_DFR0_EL1_PerfMon on AARCH64 only system", "skip"),
        ("ID_AA64PFR0_EL1.MPAM=0 was not accepted", "fail"), ("LDRSB Wt 0xFF", "pass")]
    assert list(outcome.points) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("text, reason", [
    (b"1..3\nok 1 a\nok 2 b\n", "3 points planned, 2 reported"),
    (b"1..2\nok 1 a\nnot ok 2 b\n", "failed: b")])
def test_exit_0_is_no_pass_if_its_tap_says_otherwise(text: bytes, reason: str) -> None:
    outcome = read("tap", entry(0), text)
    assert (outcome.status, outcome.reason) == ("fail", reason)


def test_configurations() -> None:
    text = b"""vregs: Number blessed registers:   249

vregs: There are 1 new registers.
\tARM64_SYS_REG(3, 3, 4, 4, 2),

vregs: PASS
vregs+pauth_address+pauth_generic: PASS
1..0 # SKIP - EL2+EL2 E2H0+sve: EL2 not available, skipping tests
"""
    outcome = read("configs", entry(0, "skip"), text)  # the lab takes it for a skip
    assert outcome.status == "pass"
    assert seen(outcome) == [("vregs", "pass"), ("vregs+pauth_address+pauth_generic", "pass"),
                             ("EL2+EL2 E2H0+sve", "skip")]


def test_lines() -> None:
    outcome = read("lines", entry(0), b"Random seed: 0x9\n\n\tA,\n\tB,\n\tA,\n")
    assert seen(outcome) == [("A,", "printed"), ("B,", "printed"), ("A, (2)", "printed")]


CASES = """Test: read
Testing guest mode: PA-bits:48,  VA-bits:48,  4K pages
Done.
Test: read
Testing guest mode: PA-bits:40,  VA-bits:48,  4K pages
Skipped.
Test: read
Testing guest mode: PA-bits:48,  VA-bits:48,  4K pages
uffd fault: addr=0x4000 write=0
Done.
Test: write
"""


@pytest.mark.parametrize("last, code, write", [
    ("Done.", 0, "pass"), ("Done.\n==== Test Assertion Failure ====", 254, "fail"),
    ("", 137, "fail")])
def test_cases(last: str, code: int, write: str) -> None:
    outcome = read("cases", entry(code), (CASES + last).encode())
    assert seen(outcome) == [
        ("read, PA-bits:48, VA-bits:48, 4K pages", "pass"),
        ("read, PA-bits:40, VA-bits:48, 4K pages", "skip"),
        ("read, PA-bits:48, VA-bits:48, 4K pages (2)", "pass"), ("write", write)]
    assert (outcome.status == "pass") == (write == "pass")


def test_exit_0_is_no_pass_without_a_case() -> None:
    outcome = read("cases", entry(0), b"Random seed: 0x9\n")
    assert (outcome.status, outcome.reason) == ("fail", "it says of no case that it ran")
