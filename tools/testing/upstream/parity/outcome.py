# SPDX-License-Identifier: GPL-2.0
"""From what a program did to its status and its points.

A program's status is that of its exit code, by kselftest's rules: 0 pass, 4 skip,
everything else fail. Its points are read from its output, in one of three ways:

tap      the points of its TAP. A point is known by its number, since its text may
         differ with its result. Many of these tests print no TAP: no points.
configs  get-reg-list: a line for each configuration of a vCPU that passed or was
         skipped.
lines    each line of the output, as a point that is "printed": both hosts must print
         the same.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SKIP = 4
STATUSES = ("pass", "skip", "fail", "timeout")
PRINTED = "printed"  # the status of a point that is a line of output

_POINT = re.compile(r"(?P<bad>not )?ok (?P<number>\d+)\b(?: -)? ?(?P<text>.*)$")
_DIRECTIVE = re.compile(r"(?:^|\s)# (?P<word>SKIP|XFAIL)\b ?(?P<text>.*)$")
_PLAN = re.compile(r"1\.\.(?P<points>\d+)\s*(?:#.*)?$")
_CONFIG_PASSED = re.compile(r"(?P<name>[\w+ ]+): PASS$")
_CONFIG_SKIPPED = re.compile(r"1\.\.0 # SKIP - (?P<name>[\w+ ]+): ")
_SEED = re.compile(r"Random seed: ")
_CASE = re.compile(r"Test: (?P<name>.+)$")
_MODE = re.compile(r"Testing guest mode: (?P<mode>.+)$")
_CASE_ENDS = {"Done.": "pass", "Skipped.": "skip", "==== Test Assertion Failure ====": "fail"}


@dataclass(frozen=True)
class Point:
    """One thing that a program says it tested."""

    key: str  # what it is known by on both hosts
    name: str
    status: str


@dataclass
class Outcome:
    """What one program did on one host."""

    status: str  # pass, skip, fail, timeout; lost or not-run if the host died
    reason: str = ""
    seconds: float | None = None
    points: dict[str, Point] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the program came to an end of its own."""
        return self.status in ("pass", "skip", "fail")


def _lines(output: bytes) -> list[str]:
    lines = output.decode("utf-8", "replace").splitlines()
    return [line.rstrip() for line in lines if line.strip() and not _SEED.match(line)]


def _tap(lines: list[str]) -> list[Point]:
    points = []
    for line in lines:
        if match := _POINT.match(line):
            status, name = "fail" if match["bad"] else "pass", match["text"]
            if directive := _DIRECTIVE.search(name):
                if directive["word"] == "SKIP" and not match["bad"]:
                    status = "skip"
                name = name[:directive.start()].strip() or directive["text"]
            points.append(Point(match["number"], name.strip() or match["number"], status))
    return points


def _configs(lines: list[str]) -> list[Point]:
    points = []
    for line in lines:
        for pattern, status in ((_CONFIG_PASSED, "pass"), (_CONFIG_SKIPPED, "skip")):
            if match := pattern.match(line):
                points.append(Point(match["name"], match["name"], status))
    return points


def _numbered(texts: Iterable[tuple[str, str]]) -> list[Point]:
    """Points of these names and statuses; the second of a name gets " (2)"."""
    seen: Counter[str] = Counter()
    points = []
    for text, status in texts:
        seen[text] += 1
        key = text if seen[text] == 1 else f"{text} ({seen[text]})"
        points.append(Point(key, key, status))
    return points


def _each_line(lines: list[str]) -> list[Point]:
    return _numbered((line.strip(), PRINTED) for line in lines)


def _cases(lines: list[str]) -> list[Point]:
    cases: list[tuple[str, str]] = []
    for line in lines:
        if match := _CASE.match(line):
            cases.append((match["name"], "fail"))  # until it says that it is done
        elif cases:
            name, status = cases[-1]
            if match := _MODE.match(line):
                name = f"{name}, {' '.join(match['mode'].split())}"
            cases[-1] = name, _CASE_ENDS.get(line, status)
    return _numbered(cases)


READERS = {"tap": _tap, "configs": _configs, "lines": _each_line, "cases": _cases}


def read(kind: str, entry: dict[str, Any], output: bytes) -> Outcome:
    """The outcome of a test, from its entry in the lab's results and its output."""
    lines = _lines(output)
    points = {point.key: point for point in READERS[kind](lines)}
    outcome = Outcome("fail", entry["reason"], entry["seconds"], points, lines)
    code = entry["exit_code"]
    if entry["status"] in ("timeout", "lost", "not-run"):
        outcome.status = entry["status"]
    elif code == SKIP:
        outcome.status = "skip"
    elif code == 0:
        outcome.status, outcome.reason = _passed(kind, entry, outcome)
    return outcome


def _passed(kind: str, entry: dict[str, Any], outcome: Outcome) -> tuple[str, str]:
    """Whether a program that ended with 0 did all that it planned."""
    bad = [point.name for point in outcome.points.values() if point.status == "fail"]
    if bad:
        return "fail", f"failed: {', '.join(bad)}"
    if kind == "tap":
        plans = [int(match["points"]) for line in outcome.output if (match := _PLAN.match(line))]
        if plans and plans[-1] != len(outcome.points):
            return "fail", f"{plans[-1]} points planned, {len(outcome.points)} reported"
    if kind == "cases" and not outcome.points:
        return "fail", "it says of no case that it ran"
    if entry["status"] == "fail":  # the lab saw something else
        return "fail", entry["reason"]
    return "pass", ""
