# SPDX-License-Identifier: GPL-2.0
"""Runs the machine: follows its channel, keeps the deadlines, fills in the result."""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from . import qemu, qmp, splat
from .errors import LabError
from .frames import FrameParser, Output, Record
from .judge import Verdict, judge, judge_reset
from .plan import Plan
from .result import RunResult, StepResult, TestResult
from .tap import parse

TICK = 0.02
GRACE = 10.0  # the guest's own limit on a test comes first; then it must report within this
POWER_OFF = 20.0  # from "done" to QEMU's end
FLUSH = 2.0


@dataclass
class Options:
    """How a run is to be judged and bounded."""

    out: Path
    timeout: float
    expect_reset: frozenset[str] = frozenset()
    allow_splat: tuple[str, ...] = ()
    echo: bool = False
    slow: int = 1  # times as long as on a quick kernel


class Tail:
    """Reads what is appended to a file that QEMU writes."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(b"")
        self._stream = path.open("rb")

    def read(self) -> bytes:
        """The bytes since the last call."""
        return self._stream.read()

    def close(self) -> None:
        """Stop reading."""
        self._stream.close()


class Stop(Exception):
    """The run ends here; the message is the problem."""


class Follower:
    """Turns the channel's events into results."""

    def __init__(self, plan: Plan, options: Options, result: RunResult, started: float,
                 slow_clock: bool, on_test: Callable[[TestResult], None]) -> None:
        self.plan = plan
        self.options = options
        self.result = result
        self.started = started
        self.slow_clock = slow_clock
        self.on_test = on_test
        self.deadline: float | None = None  # of what runs now
        self.doing = "the boot"
        self.done = False
        self.test: int | None = None
        self.step: StepResult | None = None
        self._begun = 0.0
        self._stream: BinaryIO | None = None
        self._boots = 0

    def tap_path(self, test: TestResult) -> Path:
        """Where a test's output goes."""
        return self.options.out / f"{test.name}.tap"

    def handle(self, event: Record | Output) -> None:
        """Take one event."""
        if isinstance(event, Output):
            if self._stream:
                self._stream.write(event.data)
                if self.options.echo:
                    sys.stdout.buffer.write(event.data)
                    sys.stdout.buffer.flush()
            elif self.step:
                self.step.output += event.data.decode("utf-8", "replace")
            return
        try:
            self._record(event)
        except (IndexError, ValueError) as error:
            raise Stop(f"init sent a record that makes no sense: {event} ({error})") from None

    def _record(self, record: Record) -> None:
        uptime, args = float(record.args[0]), record.args[1:]
        match record.verb:
            case "hello":
                self._hello(int(args[0]), args[1])
            case "step":
                self._mark_boot()
                texts = self.plan.before if args[0] == "before" else self.plan.after
                self.step = StepResult(args[0], texts[int(args[1])])
                self.result.steps.append(self.step)
                self._start(f"the --{args[0]} step: {self.step.text}")
            case "step-end":
                self._step_end(int(args[0]))
            case "begin":
                self._mark_boot()
                self._begin(int(args[0]), uptime)
            case "end":
                self._end(int(args[0]), int(args[1]), float(args[2]), args[3] != "0")
            case "fatal":
                self.done = True
                raise Stop("in the host: " + " ".join(args))
            case "done":
                self.done = True
                self.deadline = time.monotonic() + POWER_OFF * self.options.slow
                self.doing = "power off"

    def _mark_boot(self) -> None:
        if self.result.boot_seconds is None:
            self.result.boot_seconds = round(time.monotonic() - self.started, 2)

    def _start(self, doing: str) -> None:
        # With -icount the guest's clock can be far slower than ours: then only ours counts.
        limit = self.plan.test_timeout + (0 if self.slow_clock else GRACE * self.options.slow)
        self.deadline = time.monotonic() + limit
        self.doing = doing

    def _hello(self, start: int, release: str) -> None:
        self._boots += 1
        self.result.kernel = release
        if self._boots == 1:
            return
        self.step = None
        if self.test is None:
            raise Stop("the host booted again, and no test ran that could have asked for it")
        test = self.result.tests[self.test]
        if test.name not in self.options.expect_reset:
            raise Stop(f"the host booted again while {test.name} ran; "
                       "if it is meant to do that, say --expect-reset NAME")
        test.resets += 1
        if start == self.test + 1:
            self._close(judge_reset(parse(self._output())))
        elif start != self.test:
            raise Stop(f"{test.name} reset the host with lab.from={start}; "
                       f"it must be $LAB_INDEX ({self.test}) or $LAB_NEXT ({self.test + 1})")

    def _step_end(self, code: int) -> None:
        assert self.step is not None
        step, self.step = self.step, None
        step.exit_code = code
        self.deadline = None
        if code:
            raise Stop(f"the --{step.when} step failed with exit code {code}: {step.text}"
                       + "".join(f"\n    {line}" for line in step.output.splitlines()[-20:]))

    def _begin(self, index: int, uptime: float) -> None:
        test = self.result.tests[index]
        if self._stream and index != self.test:
            raise Stop(f"init began test {index} inside test {self.test}")
        if not self._stream:
            self._stream = self.tap_path(test).open("wb")
        self.test = index
        self._begun = uptime
        self._start(test.name)

    def _output(self) -> bytes:
        assert self._stream is not None and self.test is not None
        self._stream.flush()
        return self.tap_path(self.result.tests[self.test]).read_bytes()

    def _end(self, index: int, code: int, uptime: float, held: bool) -> None:
        if index != self.test:
            raise Stop(f"init ended test {index} inside test {self.test}")
        test = self.result.tests[index]
        test.exit_code = code
        test.seconds = round(uptime - self._begun, 2)
        verdict = judge(code, test.seconds, self.plan.limit, parse(self._output()))
        if verdict.status == "pass" and held:
            verdict = Verdict("fail", "it left a process behind that holds its output open")
        if test.name in self.options.expect_reset and not test.resets and verdict.status == "pass":
            verdict = Verdict("fail", "it was expected to reset the host and did not")
        self._close(verdict)

    def _close(self, verdict: Verdict) -> None:
        assert self.test is not None
        test = self.result.tests[self.test]
        test.tap = parse(self._output())
        assert self._stream is not None
        self._stream.close()
        self._stream = None
        test.status, test.reason, test.signal = verdict.status, verdict.reason, verdict.signal
        self.test = self.deadline = None
        self.doing = "the host between two tests"
        self.on_test(test)

    def lose(self, status: str, why: str) -> None:
        """The host is gone; so is the test that ran."""
        if self.test is not None:
            self._close(Verdict(status, why))


def replay(channel: Path, plan: Plan, result: RunResult) -> str:
    """Read a finished channel in which no test ran; return the problem, or ""."""
    follower = Follower(plan, Options(channel.parent, 0), result, 0, True, lambda test: None)
    try:
        for event in FrameParser(plan.token).feed(channel.read_bytes()):
            follower.handle(event)
    except Stop as stop:
        return str(stop)
    return ""


def _death(console: str, status: int) -> str:
    """What happened, if QEMU ended before init was done."""
    if "Kernel panic - not syncing" in console:
        return "the host panicked"
    if "reboot: Power down" in console:
        return "the host was powered off early"
    if "reboot: Restarting system" in console:
        return "the host rebooted"
    if "lab: fatal: " in console:
        return console.rsplit("lab: fatal: ", 1)[1].splitlines()[0]
    return f"QEMU ended early, with exit status {status}"


def run(line: list[str], plan: Plan, options: Options, result: RunResult, slow_clock: bool,
        on_test: Callable[[TestResult], None]) -> None:
    """Run QEMU to its end and fill in `result`."""
    out = options.out
    console_path, channel_path, errors = out / "console.log", out / "channel", out / "qemu.err"
    console_path.write_bytes(b"")
    channel = Tail(channel_path)
    parser = FrameParser(plan.token)
    with tempfile.TemporaryDirectory(prefix="lab-") as private:
        socket = Path(private) / "qmp"
        started = time.monotonic()
        follower = Follower(plan, options, result, started, slow_clock, on_test)
        process = qemu.Process([*line, "-qmp", f"unix:{socket},server=on,wait=off"], errors)
        why = ""  # the machine's end, if it was a bad one
        lost = "lost"
        stop_at: float | None = None  # init powers off by itself; it gets a moment for that
        try:
            while True:
                ended = process.poll()
                for event in parser.feed(channel.read()):
                    try:
                        follower.handle(event)
                    except Stop as stop:
                        why = why or str(stop)
                        stop_at = stop_at or time.monotonic() + FLUSH * options.slow
                if ended is not None:
                    break
                now = time.monotonic()
                if stop_at is not None:
                    if now > stop_at:
                        break
                elif now > started + options.timeout:
                    why, lost = (f"the run's {options.timeout:g} s (--timeout) were over "
                                 f"during {follower.doing}"), "timeout"
                elif follower.deadline is not None and now > follower.deadline:
                    why, lost = f"no end of {follower.doing} within its time", "timeout"
                if lost == "timeout":
                    (out / "hang.txt").write_text(qmp.registers(socket))
                    why += "; the CPUs' registers are in hang.txt"
                    break
                time.sleep(TICK)
        finally:
            process.kill()
            result.wall_seconds = round(time.monotonic() - started, 2)
            channel.close()
    for event in parser.finish():
        follower.handle(event)
    console = console_path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    if ended and not console:
        raise LabError("QEMU did not start the machine: "
                       + errors.read_text(errors="replace").strip(),
                       f"correct the options; the command line is in {out / 'qemu.cmd'}")
    if not why and not follower.done:
        why = _death(console, ended or 0)
    if why:
        follower.lose(lost, why)
        result.problems.append(why)
        result.console_tail = console.rstrip("\n").split("\n")[-20:]
        for test in result.tests:
            if test.status == "not-run":
                test.reason = "not reached: " + why.split("\n", 1)[0]
    result.splats = splat.scan(console)
    for pattern in splat.apply_allowances(result.splats, list(options.allow_splat)):
        result.problems.append(f"no splat matched --allow-splat {pattern!r}, "
                               "and one was expected")
    channel_path.unlink(missing_ok=True)
    if not errors.stat().st_size:
        errors.unlink()
