# SPDX-License-Identifier: GPL-2.0
"""Reads expectations.toml: where results are not what they are by default.

By default a program passes on both hosts, and each of its points has the same
result on both, which is not a failure. An entry says what is seen instead, and why:

    [[expect]]
    test = "host_sve"
    point = "..."        # a point of the test; without it the program itself
    ckvm = "pass"
    module = "skip"
    reason = "..."

An entry that says what holds by default, or gives no reason, is refused.
"""

import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import SuiteError
from .outcome import PRINTED, STATUSES

ABSENT = "absent"  # a point that one of the hosts does not report


def good_point(ckvm: str, module: str) -> bool:
    """Whether a point with these results needs no entry."""
    return ckvm == module and ckvm in ("pass", "skip", PRINTED)


@dataclass(frozen=True)
class Entry:
    """One expectation that is not the default."""

    test: str
    point: str | None
    ckvm: str
    module: str
    reason: str

    @property
    def by_default(self) -> bool:
        """Whether it says what holds without it."""
        if self.point is None:
            return self.ckvm == self.module == "pass"
        return good_point(self.ckvm, self.module)

    def __str__(self) -> str:
        return self.test + (f": {self.point}" if self.point else "")


class Table:
    """All entries, to be looked up."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: dict[tuple[str, str | None], Entry] = {}
        for entry in entries:
            if (entry.test, entry.point) in self.entries:
                raise SuiteError(f"expectations.toml: two entries for {entry}")
            self.entries[entry.test, entry.point] = entry

    def find(self, test: str, *points: str) -> Entry | None:
        """The entry for a point by any of its names; for the program without names."""
        for point in points or (None,):
            if entry := self.entries.get((test, point)):
                return entry
        return None

    def points(self, test: str) -> list[Entry]:
        """The entries for points of this test."""
        return [entry for entry in self.entries.values()
                if entry.test == test and entry.point is not None]

    def of_ckvm_alone(self) -> "Table":
        """The table for C KVM in both places: what it says of the module falls away."""
        both = (replace(entry, module=entry.ckvm) for entry in self.entries.values())
        return Table(entry for entry in both
                     if not entry.by_default and entry.ckvm != ABSENT)


def parse(text: str, tests: Collection[str]) -> Table:
    """The table of this text, for tests of these names."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"expectations.toml: {error}") from None
    if unknown := data.keys() - {"expect"}:
        raise SuiteError(f"expectations.toml: unknown {', '.join(sorted(unknown))}")
    return Table(_entry(raw, tests) for raw in data.get("expect", []))


def _entry(raw: dict[str, object], tests: Collection[str]) -> Entry:
    what = f"expectations.toml: the entry for {raw.get('test', 'no test')}"
    if unknown := raw.keys() - {"test", "point", "ckvm", "module", "reason"}:
        raise SuiteError(f"{what}: unknown {', '.join(sorted(unknown))}")
    for key in ("test", "ckvm", "module", "reason"):
        value = raw.get(key)
        if not isinstance(value, str) or not value.strip():
            raise SuiteError(f"{what}: {key} is missing")
    point = raw.get("point")
    entry = Entry(str(raw["test"]), None if point is None else str(point), str(raw["ckvm"]),
                  str(raw["module"]), str(raw["reason"]))
    if entry.test not in tests:
        raise SuiteError(f"{what}: suite.toml has no such test")
    allowed = (*STATUSES, PRINTED, ABSENT) if entry.point else STATUSES
    for status in (entry.ckvm, entry.module):
        if status not in allowed:
            raise SuiteError(f"{what}: {status!r} is none of {', '.join(allowed)}")
    if entry.by_default:
        raise SuiteError(f"{what}: this holds without an entry")
    return entry


def load(path: Path, tests: Collection[str]) -> Table:
    """Reads the file."""
    return parse(path.read_text(), tests)
