# SPDX-License-Identifier: GPL-2.0
"""Reads TAP as kselftests write it (version 13, KTAP's nesting and directives).

Indented lines belong to subtests or are diagnostics; the point that sums a
subtest up stands at the left margin and is the one that counts.
"""

import re
from dataclasses import asdict, dataclass, field

_VERSION = re.compile(r"K?TAP version \d+\s*$")
_PLAN = re.compile(r"1\.\.(\d+)\s*(?:#\s*(skip\b.*))?$", re.IGNORECASE)
_POINT = re.compile(r"(not )?ok\b(?:\s+(\d+)\b)?\s*(?:-\s*)?(.*)$")
_DIRECTIVE = re.compile(r"(?:^|\s)#\s*(SKIP\w*|TODO|XFAIL|XPASS)\b:?\s*(.*)$", re.IGNORECASE)
_BAIL = re.compile(r"Bail out!\s*(.*)$")


@dataclass
class Tap:
    """What a program's TAP says."""

    present: bool = False
    plan: int | None = None
    plan_skip: str | None = None
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    xfail: int = 0
    bail: str | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def points(self) -> int:
        """How many points were reported."""
        return self.passed + self.failed + self.skipped + self.xfail

    def problem(self) -> str | None:
        """Why this TAP fails, if it does."""
        if self.bail is not None:
            return f"bailed out: {self.bail}" if self.bail else "bailed out"
        if self.failed:
            return f"{self.failed} of {max(self.points, self.plan or 0)} points failed"
        if self.plan is not None and self.points != self.plan:
            return f"{self.plan} points planned, {self.points} reported"
        return None

    def as_dict(self) -> dict[str, object]:
        """For results.json."""
        return asdict(self)


def _point(tap: Tap, line: str, match: re.Match[str]) -> None:
    directive = _DIRECTIVE.search(match[3])
    word = directive[1].upper() if directive else ""
    if not match[1]:
        if word.startswith("SKIP"):
            tap.skipped += 1
        elif word == "XFAIL":
            tap.xfail += 1
        else:
            tap.passed += 1
    elif word in ("TODO", "XFAIL"):
        tap.xfail += 1
    else:
        tap.failed += 1
        tap.failures.append(line)


def parse(output: bytes) -> Tap:
    """Read the whole output of a program."""
    tap = Tap()
    loose = Tap()  # points without a number: TAP only if a version or a plan says so
    for raw in output.decode("utf-8", "replace").split("\n"):
        line = raw.rstrip()
        if _VERSION.match(line):
            tap.present = True
        elif match := _PLAN.match(line):
            tap.present = True
            tap.plan = int(match[1])
            tap.plan_skip = match[2]
        elif match := _POINT.match(line):
            if match[2]:
                tap.present = True
            _point(tap if match[2] else loose, line, match)
        elif match := _BAIL.match(line):
            tap.bail = match[1]
    if not tap.present:
        return Tap()
    for name in ("passed", "failed", "skipped", "xfail"):
        setattr(tap, name, getattr(tap, name) + getattr(loose, name))
    tap.failures += loose.failures
    return tap
