# SPDX-License-Identifier: GPL-2.0
"""The command line of the lab."""

import argparse
import fcntl
import os
import re
import secrets
import signal
import sys
import termios
from pathlib import Path
from typing import TextIO

from . import qemu, runner
from .errors import LabError
from .payload import write_initramfs
from .plan import Plan, parse_file, parse_tests
from .report import Reporter
from .result import RunResult, TestResult

DEFAULT_TIMEOUT = 120.0
SHELL_TIMEOUT = 8 * 3600.0

EPILOG = """\
Each TEST is "[NAME=]PATH [ARGUMENT]...": a static arm64 executable or a script
of the build machine. NAME (default: the file's name) names its result. In the
host it runs in /tmp with LAB_TEST, LAB_HOST, LAB_CPUS, LAB_MEMORY, LAB_CPU,
LAB_MACHINE, LAB_ICOUNT, LAB_DISKS, LAB_PMEM, LAB_SLOW, LAB_TEST_TIMEOUT,
LAB_INDEX, LAB_NEXT and LAB_RESUMED in its environment.

A test passes by kselftest's rules: exit code 0, or 4 for a skip; no "not ok"
but with TODO or XFAIL; as many points as planned. A splat anywhere fails the
run. Results in --out: results.json, NAME.tap, console.log, qemu.cmd, and
hang.txt (the CPUs' registers) after a hang.

--expect-reset NAME: the test may kexec into a second kernel, which must get
lab.from=$LAB_NEXT on its command line (the test is then done) or
lab.from=$LAB_INDEX (it is run again, with LAB_RESUMED=1). For that the command
line has lab.from=none, to be edited in place in /sys/firmware/fdt, and
retain_initrd keeps the initramfs at its address and in /sys/firmware/initrd.
The --before steps run in the second kernel too.

Exit status: 0 everything passed; 1 a test failed, a splat, the host died;
2 usage or environment; 128 + N if signal N ended the run.
"""


class Ended(BaseException):
    """A signal asks us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _raise_ended(number: int, _frame: object) -> None:
    raise Ended(number)


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(
        prog="lab", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Boot an arm64 kernel in QEMU TCG and run a list of test programs in it.")
    g = p.add_argument_group("the host")
    g.add_argument("--kernel", type=Path, required=True, metavar="IMAGE", help="arm64 Image")
    g.add_argument("--initramfs", type=Path, required=True, metavar="CPIO",
                   help="base layer, from mkinitramfs")
    g.add_argument("--host", choices=("module", "ckvm"), default="module",
                   help="module: kvm-arm.mode=none, /dev/kvm is free for a module (default); "
                        "ckvm: the kernel's own KVM")
    g.add_argument("--append", action="append", default=[], metavar="WORDS",
                   help="further words for the kernel's command line; repeatable")
    g.add_argument("--cpu", default="max", metavar="MODEL[,FEATURE=off...]")
    g.add_argument("--cpus", type=int, default=2, metavar="N")
    g.add_argument("--memory", default="1G", metavar="SIZE")
    g.add_argument("--machine", default="virtualization=on,gic-version=3", metavar="OPTIONS",
                   help="options of -M virt (default: %(default)s)")
    g.add_argument("--icount", metavar="shift=0,sleep=off", help="count instructions as time")
    g.add_argument("--disk", action="append", default=[], metavar="FILE[:ro|:snapshot]",
                   help="a virtio disk, /dev/vda and so on; repeatable")
    g.add_argument("--pmem", type=int, default=0, metavar="MIB",
                   help="persistent memory, /dev/pmem0; a multiple of 128")
    g.add_argument("--uart", action="store_true",
                   help="results over a second UART: slower, but it survives the suspension of "
                        "devices, which the virtio port does not from Linux 7.3 on")
    g.add_argument("--qemu-arg", action="append", default=[], metavar="ARG",
                   help="one further argument of QEMU (--qemu-arg=-device); repeatable")
    g = p.add_argument_group("the run")
    g.add_argument("--file", action="append", default=[], metavar="SRC[:DEST]",
                   help="a further file or directory (default place: /lab/files/NAME); repeatable")
    g.add_argument("--env", action="append", default=[], metavar="NAME=VALUE",
                   help="environment for tests and steps; repeatable")
    g.add_argument("--before", action="append", default=[], metavar="SHELL",
                   help="run this in the host before the tests; its failure ends the run; "
                        "repeatable")
    g.add_argument("--after", action="append", default=[], metavar="SHELL",
                   help="the same after the tests")
    g.add_argument("--timeout", type=float, metavar="SECONDS",
                   help="for the whole run (default 120; 8 hours with --shell)")
    g.add_argument("--test-timeout", type=float, default=60, metavar="SECONDS",
                   help="for each test and step (default 60)")
    g.add_argument("--slow", type=int, metavar="N",
                   help="this kernel is slow: all limits are N times as long, and tests find N in "
                        "LAB_SLOW (default: what the file \"slow\" beside --kernel says, or 1)")
    g.add_argument("--allow-splat", action="append", default=[], metavar="REGEX",
                   help="a splat that is provoked on purpose, and must then be seen; repeatable")
    g.add_argument("--expect-reset", action="append", default=[], metavar="NAME",
                   help="this test resets the host by kexec, see below; repeatable")
    g.add_argument("--out", type=Path, default=Path("lab-out"), metavar="DIR",
                   help="where results go (default: ./lab-out)")
    g.add_argument("--echo", action="store_true",
                   help="show what the tests write as it comes, too")
    g.add_argument("--shell", action="store_true",
                   help="no tests: a shell in the booted host on this terminal (Ctrl-A X: end "
                        "QEMU, Ctrl-A C: QEMU's monitor, Ctrl-A H: help)")
    p.add_argument("tests", nargs="*", metavar="TEST", help="\"[NAME=]PATH [ARGUMENT]...\"")
    return p


def _check(args: argparse.Namespace) -> None:
    """What argparse does not check."""
    if not args.kernel.is_file():
        raise LabError(f"the kernel {args.kernel} is missing",
                       "--kernel is an arm64 Image (Debian: usr/lib/modules/V/vmlinuz of "
                       "linux-binary-V)")
    with args.kernel.open("rb") as stream:
        head = stream.read(0x40)
    if head[0x38:0x3c] != b"ARM\x64":
        raise LabError(f"{args.kernel} is not an arm64 Image",
                       "give the plain or EFI Image, not a compressed kernel or an ELF vmlinux")
    if not args.initramfs.is_file():
        raise LabError(f"the initramfs {args.initramfs} is missing",
                       "build it with tools/lab/mkinitramfs")
    if not args.tests and not args.shell:
        raise LabError("no test was given", "name at least one TEST, or use --shell")
    if args.pmem < 0 or args.pmem % 128:
        raise LabError(f"--pmem {args.pmem} is not what the kernel can take",
                       "give a multiple of 128, in MiB")
    if args.cpus < 1:
        raise LabError(f"--cpus {args.cpus} is no machine", "give 1 or more")
    if args.test_timeout <= 0 or (args.timeout is not None and args.timeout <= 0):
        raise LabError("a timeout must be more than 0 s", "correct --timeout or --test-timeout")
    for text in args.allow_splat:
        try:
            re.compile(text)
        except re.error as error:
            raise LabError(f"--allow-splat {text!r} is no regular expression: {error}",
                           "Python's re syntax is meant; put \\ before brackets") from None


def _environment(args: argparse.Namespace, slow: int) -> dict[str, str]:
    """What tests can know about the lab."""
    env = {"LAB_HOST": args.host, "LAB_CPUS": str(args.cpus), "LAB_MEMORY": args.memory,
           "LAB_CPU": args.cpu, "LAB_MACHINE": args.machine, "LAB_ICOUNT": args.icount or "",
           "LAB_DISKS": str(len(args.disk)), "LAB_PMEM": str(args.pmem),
           "LAB_SLOW": str(slow)}
    for text in args.env:
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name) or name == "LAB_TOKEN":
            raise LabError(f"--env {text!r} is not NAME=VALUE", "write it as in a shell")
        env[name] = value
    return env


def _slow(args: argparse.Namespace) -> int:
    """How many times as long everything may take."""
    beside = args.kernel.resolve().parent / "slow"
    slow: int | None = args.slow
    if slow is None:
        slow = int(beside.read_text()) if beside.is_file() else 1
    if slow < 1:
        raise LabError(f"--slow {slow} leaves no time", "give 1 or more")
    return slow


def _claim(out: Path) -> TextIO:
    """Make the results directory ours, and remove an older run's results."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise LabError(f"results cannot be written to {out}: {error}",
                       "give another directory with --out") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise LabError(f"another lab is writing to {out}", "give each its own --out") from None
    for name in ("results.json", "console.log", "qemu.cmd", "qemu.err", "hang.txt", "channel"):
        (out / name).unlink(missing_ok=True)
    for old in out.glob("*.tap"):
        old.unlink()
    return lock


def _shell(line: list[str], plan: Plan, timeout: float, result: RunResult, out: Path) -> int:
    """The host with its console on the terminal."""
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    signal.signal(signal.SIGALRM, _raise_ended)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    process = qemu.Process(line, out / "qemu.err", interactive=True)
    try:
        status = process.wait()
    finally:
        process.kill()
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
    if status:
        return 2
    problem = runner.replay(out / "channel", plan, result)
    (out / "channel").unlink(missing_ok=True)
    (out / "qemu.err").unlink(missing_ok=True)
    if problem:
        print(f"lab: {problem}", file=sys.stderr)
    return 1 if problem else 0


def _run(args: argparse.Namespace) -> int:
    _check(args)
    slow = _slow(args)
    plan = Plan(token=secrets.token_hex(16), tests=parse_tests(args.tests), before=args.before,
                after=args.after, files=[parse_file(f) for f in args.file],
                environment=_environment(args, slow), test_timeout=args.test_timeout * slow,
                shell=args.shell)
    unknown = set(args.expect_reset) - {t.name for t in plan.tests}
    if unknown:
        raise LabError(f"--expect-reset {unknown.pop()}: no test has that name",
                       "use the NAME of NAME=PATH, or the file's name")
    binary = qemu.find()
    out: Path = args.out.resolve()
    with _claim(out):
        initrd = out / "initramfs.cpio"
        machine = qemu.Machine(
            kernel=args.kernel.resolve(), initrd=initrd, host=args.host, append=args.append,
            cpu=args.cpu, cpus=args.cpus, memory=args.memory, machine=args.machine,
            icount=args.icount, disks=args.disk, extra=args.qemu_arg,
            expect_reset=bool(args.expect_reset), uart=args.uart,
            pmem=args.pmem, slow=slow)
        line = qemu.command(binary, machine, out / "console.log", out / "channel",
                            interactive=args.shell)
        if args.pmem:
            line = qemu.with_pmem(line, machine, out)
        write_initramfs(args.initramfs, plan, initrd)
        (out / "qemu.cmd").write_text(qemu.as_script(line))
        timeout = args.timeout or (SHELL_TIMEOUT if args.shell else DEFAULT_TIMEOUT)
        timeout *= 1 if args.shell else slow
        result = RunResult(args.host, line, [TestResult.of(t) for t in plan.tests])
        if args.shell:
            return _shell(line, plan, timeout, result, out)
        reporter = Reporter(args.out)
        options = runner.Options(out, timeout, frozenset(args.expect_reset),
                                 tuple(args.allow_splat), args.echo, slow)
        try:
            runner.run(line, plan, options, result, bool(args.icount), reporter.test)
        except Ended as ended:
            result.problems.append(f"ended by {signal.Signals(ended.number).name}")
            reporter.end(result)
            raise
        reporter.end(result)
        return 0 if result.passed else 1


def main(argv: list[str]) -> int:
    """Run the lab; returns the exit status."""
    args = parser().parse_intermixed_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise_ended)
    try:
        return _run(args)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"lab: {error}\n  check the path and its permissions", file=sys.stderr)
        return 2
    except Ended as ended:
        print(f"lab: ended by {signal.Signals(ended.number).name}; QEMU is gone", file=sys.stderr)
        return 128 + ended.number
