# SPDX-License-Identifier: GPL-2.0
"""Shows a run on the terminal and writes results.json."""

import json
import sys
from pathlib import Path
from typing import TextIO

from .result import RunResult, TestResult

SHOWN_LINES = 60  # of a failing test's output


def _points(test: TestResult) -> str:
    tap = test.tap
    if not tap.present:
        return "1 point" if test.status != "skip" else ""
    total = max(tap.points, tap.plan or 0)
    noun = "point" if total == 1 else "points"
    text = f"{total} {noun}" if test.good else f"{tap.passed}/{total} {noun}"
    extra = [f"{n} {word}" for n, word in ((tap.skipped, "skipped"), (tap.xfail, "xfail")) if n]
    return text + (f" ({', '.join(extra)})" if extra else "")


def test_line(test: TestResult) -> str:
    """The one line about a test."""
    word = {"pass": "ok", "skip": "skip"}.get(test.status, "FAIL")
    parts = [word, _points(test)]
    if test.seconds is not None:
        parts.append(f"{test.seconds:.1f} s")
    parts.append(test.name + (f": {test.reason}" if test.reason else ""))
    return " ".join(p for p in parts if p)


class Reporter:
    """Writes to the terminal as the run goes on, and the files at its end."""

    def __init__(self, out: Path, stream: TextIO | None = None) -> None:
        self._out = out
        self._stream = stream or sys.stdout

    def _say(self, text: str = "") -> None:
        print(text, file=self._stream, flush=True)

    def _indented(self, lines: list[str]) -> None:
        for line in lines:
            self._say("  | " + line.rstrip("\r"))

    def test(self, test: TestResult) -> None:
        """A test has ended."""
        self._say(test_line(test))
        if test.good:
            return
        path = self._out / f"{test.name}.tap"
        lines = path.read_bytes().decode("utf-8", "replace").splitlines() if path.exists() else []
        if len(lines) > SHOWN_LINES:
            self._say(f"  | ... the last {SHOWN_LINES} of {len(lines)} lines of {path}")
        self._indented(lines[-SHOWN_LINES:])

    def end(self, result: RunResult) -> None:
        """The run is over: write results.json, show what is wrong and the summary."""
        (self._out / "results.json").write_text(json.dumps(result.as_dict(), indent=1) + "\n")
        for test in result.tests:
            if test.status == "not-run":
                self._say(test_line(test))
        for splat in result.splats:
            if splat.allowed:
                self._say(f"allowed splat ({splat.kind}): {splat.head}")
                continue
            where = f" during {splat.test}" if splat.test else ""
            self._say(f"SPLAT ({splat.kind}: {splat.why}){where}, console.log line {splat.line}")
            self._indented(splat.excerpt())
        for problem in result.problems:
            self._say(f"PROBLEM: {problem}")
        explained = (any(s.kind == "panic" and not s.allowed for s in result.splats)
                     or any(s.exit_code for s in result.steps))
        if result.console_tail and not explained:
            self._say("the console's last lines:")
            self._indented(result.console_tail)
        self._say(self._summary(result))

    def _summary(self, result: RunResult) -> str:
        good = sum(t.status == "pass" for t in result.tests)
        skip = sum(t.status == "skip" for t in result.tests)
        bad = len(result.tests) - good - skip
        splats = sum(not s.allowed for s in result.splats)
        boot = f"{result.boot_seconds:.1f} s" if result.boot_seconds is not None else "not reached"
        parts = [f"{good} passed", f"{bad} failed", f"{skip} skipped"]
        if splats:
            parts.append(f"{splats} splat{'s' if splats > 1 else ''}")
        return (f"lab: {'PASS' if result.passed else 'FAIL'}: {', '.join(parts)}; boot {boot}, "
                f"{result.wall_seconds:.1f} s in all; results in {self._out}")
