# SPDX-License-Identifier: GPL-2.0
"""From exit code and TAP to a verdict, by kselftest's rules."""

import signal
from dataclasses import dataclass

from .tap import Tap

KSFT_SKIP = 4


@dataclass(frozen=True)
class Verdict:
    """What a finished test amounts to."""

    status: str  # "pass", "fail", "skip" or "timeout"
    reason: str = ""
    signal: str | None = None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def judge(code: int, seconds: float, limit: int, tap: Tap) -> Verdict:
    """The verdict on a test that ended with the shell's exit status `code`.

    A program killed by signal N has status 128 + N; one that returns such a
    value itself cannot be told apart and fails all the same.
    """
    if code == 128 + signal.SIGKILL and seconds >= limit - 0.5:
        return Verdict("timeout", f"killed after its {limit} s", "SIGKILL")
    if 128 < code < 128 + signal.NSIG:
        name = _signal_name(code - 128)
        return Verdict("fail", f"killed by {name}", name)
    problem = tap.problem()
    if problem:
        return Verdict("fail", problem + (f"; exit code {code}" if code else ""))
    if code == KSFT_SKIP:
        return Verdict("skip", tap.plan_skip or "exit code 4")
    if code:
        extra = " though every point passed" if tap.present and tap.points else ""
        if code in (126, 127):
            extra = " (cannot be executed, or a command in it is missing)"
        return Verdict("fail", f"exit code {code}{extra}")
    if tap.plan == 0:
        return Verdict("skip", tap.plan_skip or "no points planned")
    if tap.present and tap.skipped and not tap.passed and not tap.xfail:
        return Verdict("skip", "every point skipped")
    return Verdict("pass")


def judge_reset(tap: Tap) -> Verdict:
    """The verdict on a test that was expected to reset the host, and did.

    It cannot finish its plan, so only points that failed count against it.
    """
    if tap.failed or tap.bail is not None:
        return Verdict("fail", tap.problem() or "")
    return Verdict("pass")
