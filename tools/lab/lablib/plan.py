# SPDX-License-Identifier: GPL-2.0
"""What a run is to do: the tests, the steps around them, and init's plan."""

import math
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from .elf import check_test
from .errors import LabError

_NAMED = re.compile(r"([A-Za-z0-9][\w.+-]*)=(.+)$", re.DOTALL)


@dataclass(frozen=True)
class TestSpec:
    """One test: a name, the program on the build machine, its arguments."""

    __test__ = False  # pytest: not a test class

    name: str
    program: Path
    args: tuple[str, ...]
    guest_path: str


@dataclass(frozen=True)
class ExtraFile:
    """A further file or directory, and where it goes in the guest."""

    source: Path
    dest: str


@dataclass
class Plan:
    """All that init is told."""

    token: str
    tests: list[TestSpec]
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    files: list[ExtraFile] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    test_timeout: float = 60
    shell: bool = False

    @property
    def limit(self) -> int:
        """A test's time in the guest: busybox's timeout takes whole seconds."""
        return max(1, math.ceil(self.test_timeout))

    def script(self) -> str:
        """The shell text that init evaluates."""
        lines = [f"LAB_TOKEN={self.token}"]
        lines += [f"export {k}={shlex.quote(v)}" for k, v in self.environment.items()]
        lines.append("lab_disks")
        lines += [f"lab_step before {i} {self.limit}" for i in range(len(self.before))]
        if self.shell:
            lines.append("lab_shell")
        else:
            for i, test in enumerate(self.tests):
                words = [test.name, str(self.limit), test.guest_path, *test.args]
                lines.append(f"lab_test {i} " + " ".join(shlex.quote(w) for w in words))
            lines += [f"lab_step after {i} {self.limit}" for i in range(len(self.after))]
            lines.append("lab_leaks")
        return "\n".join(lines) + "\n"


def parse_tests(texts: list[str]) -> list[TestSpec]:
    """Read the TESTs of the command line: "[NAME=]PATH [ARGUMENT]..."."""
    tests: list[TestSpec] = []
    names: set[str] = set()
    places: dict[str, Path] = {}
    for text in texts:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise LabError(f"test {text!r} cannot be read: {error}",
                           "quote it as in a shell: 'NAME=path arg \"one more\"'") from None
        if not words:
            raise LabError("an empty test was given", "give \"[NAME=]PATH [ARGUMENT]...\"")
        named = _NAMED.match(words[0])
        program = Path(named[2] if named else words[0])
        check_test(program)
        base = re.sub(r"[^\w.+-]", "_", program.name)
        if named:
            name = named[1]
            if name in names:
                raise LabError(f"two tests are named {name}", "give each its own NAME=")
        else:
            name, count = base, 1
            while name in names:
                count += 1
                name = f"{base}.{count}"
        names.add(name)
        real = program.resolve()
        place = f"/lab/bin/{program.name}"
        if places.setdefault(place, real) != real:
            place = f"/lab/bin/{len(tests)}/{program.name}"
            places[place] = real
        tests.append(TestSpec(name, program, tuple(words[1:]), place))
    return tests


def parse_file(text: str) -> ExtraFile:
    """Read a --file: "SRC[:DEST]"; without DEST it goes to /lab/files/NAME."""
    source, colon, dest = text.rpartition(":")
    if not colon or not dest.startswith("/"):
        source, dest = text, ""
    path = Path(source)
    if not path.exists():
        raise LabError(f"--file {source} does not exist",
                       "write SRC or SRC:/DEST, with an existing SRC and an absolute DEST")
    if not dest:
        dest = f"/lab/files/{path.resolve().name}"
    elif dest.endswith("/") and not path.is_dir():
        dest += path.name
    if ".." in Path(dest).parts:
        raise LabError(f"--file {text}: the destination contains ..", "write it without")
    return ExtraFile(path, dest)
