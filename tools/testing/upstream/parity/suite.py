# SPDX-License-Identifier: GPL-2.0
"""Reads suite.toml: the machines, the tests, and which tests the module gets."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SuiteError

TIERS = ("check", "all")
POINTS = ("tap", "configs", "lines", "cases")


@dataclass(frozen=True)
class Machine:
    """A host to boot: the lab's options of the same names."""

    name: str
    cpu: str = "max"
    cpus: int = 2
    memory: str = "1G"
    append: str = ""
    before: str = ""


@dataclass(frozen=True)
class Test:
    """One program with its arguments."""

    __test__ = False  # pytest: not a test class

    name: str
    program: str  # below the folder of the built tests
    machine: Machine
    tier: str = "check"
    args: tuple[str, ...] = ()
    seconds: int = 60  # its limit in the host
    points: str = "tap"  # what its output holds, see outcome.py


@dataclass(frozen=True)
class Suite:
    """All of suite.toml."""

    tests: tuple[Test, ...]
    on_module: frozenset[str]

    def choose(self, names: list[str], tier: str | None) -> list[Test]:
        """The tests of these names, or of a tier (None: of all tiers)."""
        known = {test.name for test in self.tests}
        for name in names:
            if name not in known:
                raise SuiteError(f"no test is named {name}; there are: {', '.join(sorted(known))}")
        if names:
            return [test for test in self.tests if test.name in names]
        return [test for test in self.tests if tier in (None, test.tier)]


def _take(what: str, entry: dict[str, Any], kinds: dict[str, type]) -> dict[str, Any]:
    """The entry, if its keys are known and its values of the right kind."""
    for key, value in entry.items():
        if key not in kinds:
            raise SuiteError(f"{what}: unknown key {key!r}")
        if not isinstance(value, kinds[key]):
            raise SuiteError(f"{what}: {key} must be a {kinds[key].__name__}")
    return entry


def parse(text: str) -> Suite:
    """The suite that suite.toml's text describes."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"suite.toml: {error}") from None
    _take("suite.toml", data, {"on_module": list, "machine": dict, "test": list})
    machines = {
        name: Machine(name, **_take(f"machine {name}", entry,
                                    {"cpu": str, "cpus": int, "memory": str,
                                     "append": str, "before": str}))
        for name, entry in data.get("machine", {}).items()}
    tests: dict[str, Test] = {}
    for entry in data.get("test", []):
        test = _test(entry, machines)
        if test.name in tests:
            raise SuiteError(f"two tests are named {test.name}")
        tests[test.name] = test
    on_module = frozenset(data.get("on_module", []))
    if unknown := on_module - tests.keys():
        raise SuiteError(f"on_module names {', '.join(sorted(unknown))}, which is no test")
    return Suite(tuple(tests.values()), on_module)


def _test(entry: dict[str, Any], machines: dict[str, Machine]) -> Test:
    name = entry.get("name", "without a name")
    what = f"test {name}"
    fields = dict(_take(what, entry, {
        "name": str, "program": str, "machine": str, "tier": str, "args": list, "seconds": int,
        "points": str}))
    for key in ("name", "program", "machine"):
        if key not in fields:
            raise SuiteError(f"{what}: {key} is missing")
    if fields["machine"] not in machines:
        raise SuiteError(f"{what}: no machine is named {fields['machine']}")
    for key, allowed in (("tier", TIERS), ("points", POINTS)):
        if fields.get(key, allowed[0]) not in allowed:
            raise SuiteError(f"{what}: {key} must be one of {', '.join(allowed)}")
    fields["machine"] = machines[fields["machine"]]
    fields["args"] = tuple(fields.get("args", ()))
    return Test(**fields)


def load(path: Path) -> Suite:
    """Reads the file."""
    return parse(path.read_text())
