# SPDX-License-Identifier: GPL-2.0
"""What a run came to: the data that results.json and the terminal show."""

from dataclasses import asdict, dataclass, field

from .plan import TestSpec
from .splat import Splat
from .tap import Tap


@dataclass
class TestResult:
    """One test's result. A test that never ran has failed."""

    __test__ = False  # pytest: not a test class

    name: str
    command: list[str]
    status: str = "not-run"  # pass, fail, skip, timeout, lost (the host died), not-run
    reason: str = "not reached"
    exit_code: int | None = None
    signal: str | None = None
    seconds: float | None = None  # on the guest's clock
    resets: int = 0  # how often it reset the host
    tap: Tap = field(default_factory=Tap)

    @classmethod
    def of(cls, spec: TestSpec) -> "TestResult":
        """The result of a test that has not run yet."""
        return cls(spec.name, [str(spec.program), *spec.args])

    @property
    def good(self) -> bool:
        """Whether it lets the run pass."""
        return self.status in ("pass", "skip")


@dataclass
class StepResult:
    """A --before or --after snippet."""

    when: str
    text: str
    exit_code: int | None = None
    output: str = ""


@dataclass
class RunResult:
    """The whole run."""

    host: str
    command: list[str]
    tests: list[TestResult]
    kernel: str | None = None
    boot_seconds: float | None = None  # wall, from QEMU's start to the first test or step
    wall_seconds: float = 0.0
    steps: list[StepResult] = field(default_factory=list)
    splats: list[Splat] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    console_tail: list[str] = field(default_factory=list)  # if the host ended badly

    @property
    def passed(self) -> bool:
        """Whether everything passed."""
        return (not self.problems and all(t.good for t in self.tests)
                and all(s.allowed for s in self.splats))

    def as_dict(self) -> dict[str, object]:
        """For results.json."""
        data = {"status": "pass" if self.passed else "fail", **asdict(self)}
        for test, entry in zip(self.tests, data["tests"], strict=True):
            entry["tap"]["points"] = test.tap.points
        return data
