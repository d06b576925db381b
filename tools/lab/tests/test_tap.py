# SPDX-License-Identifier: GPL-2.0
"""TAP and the verdicts by kselftest's rules."""

import pytest

from lablib.judge import judge, judge_reset
from lablib.tap import Tap, parse

KSELFTEST = b"""TAP version 13
1..5
# starting
ok 1 create vm
ok 2 create vcpu # SKIP no SVE
not ok 3 known gap # TODO later
ok 4 # XFAIL expected
ok 5 - run # not a directive
# Totals: pass:2 fail:0 xfail:2 xpass:0 skip:1 error:0
"""


def verdict(code: int, text: bytes, seconds: float = 0.1) -> tuple[str, str]:
    """Status and reason for an exit code and an output."""
    found = judge(code, seconds, 60, parse(text))
    return found.status, found.reason


def test_counts() -> None:
    tap = parse(KSELFTEST)
    assert (tap.plan, tap.passed, tap.skipped, tap.xfail, tap.failed) == (5, 2, 1, 2, 0)
    assert tap.points == 5 and tap.problem() is None
    assert verdict(0, KSELFTEST)[0] == "pass"


def test_failed_points_are_kept() -> None:
    tap = parse(b"1..2\nok 1 a\nnot ok 2 - b: errno 22\n")
    assert tap.failures == ["not ok 2 - b: errno 22"]
    assert verdict(0, b"1..2\nok 1\nnot ok 2\n") == ("fail", "1 of 2 points failed")


@pytest.mark.parametrize("text, reason", [
    (b"1..3\nok 1\nok 2\n", "3 points planned, 2 reported"),
    (b"1..1\nok 1\nok 2\n", "1 points planned, 2 reported"),
    (b"TAP version 13\nok 1\nok 2\n1..4\n", "4 points planned, 2 reported"),
    (b"1..2\nok 1\nBail out! no /dev/kvm\n", "bailed out: no /dev/kvm"),
    (b"1..2\nok 1\nnot ok 2 a # SKIP\n", "1 of 2 points failed"),
])
def test_tap_that_fails_with_exit_0(text: bytes, reason: str) -> None:
    assert verdict(0, text) == ("fail", reason)


def test_subtests_count_once() -> None:
    text = b"KTAP version 1\n1..1\n  1..2\n  ok 1 a\n  not ok 2 b\n\tnot ok 3\nok 1 suite\n"
    assert parse(text).points == 1
    assert verdict(0, text)[0] == "pass"


@pytest.mark.parametrize("text", [
    b"", b"ok so far\nall good\n", b"okay\nnot okay\n", b"not ok, but who cares\n",
    b"\xff\xfe\0binary\n", b"1..many\n", b"  ok 1 indented\n"])
def test_no_tap(text: bytes) -> None:
    tap = parse(text)
    assert tap == Tap()
    assert verdict(0, text)[0] == "pass"
    assert verdict(1, text) == ("fail", "exit code 1")


def test_points_without_numbers_count_under_a_plan() -> None:
    assert parse(b"1..2\nok\nnot ok - b\n").points == 2
    assert verdict(0, b"TAP version 14\r\nok a\r\nok b\r\n1..2\r\n")[0] == "pass"


def test_exit_codes() -> None:
    assert verdict(4, b"") == ("skip", "exit code 4")
    assert verdict(4, b"1..0 # SKIP no KVM\n") == ("skip", "SKIP no KVM")
    assert verdict(0, b"1..0 # SKIP no KVM\n") == ("skip", "SKIP no KVM")
    assert verdict(4, b"1..1\nnot ok 1\n")[0] == "fail"
    assert verdict(4, b"1..2\nok 1\n")[0] == "fail"
    assert verdict(1, b"1..1\nok 1\n") == ("fail", "exit code 1 though every point passed")
    assert verdict(0, b"1..1\nok 1 # SKIP a\n")[0] == "skip"
    assert verdict(127, b"")[0] == "fail"


def test_signals_and_time() -> None:
    found = judge(139, 0.1, 60, parse(b""))
    assert (found.status, found.signal) == ("fail", "SIGSEGV")
    assert judge(137, 0.1, 60, parse(b"")).signal == "SIGKILL"
    assert judge(137, 60.01, 60, parse(b"1..1\nok 1\n")).status == "timeout"


def test_reset() -> None:
    assert judge_reset(parse(b"1..2\nok 1\n")).status == "pass"
    assert judge_reset(parse(b"1..2\nnot ok 1\n")).status == "fail"
