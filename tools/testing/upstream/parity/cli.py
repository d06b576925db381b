# SPDX-License-Identifier: GPL-2.0
"""The command line."""

import argparse
import sys
from pathlib import Path

from . import boots, judge, suite, table
from .errors import SuiteError
from .judge import Verdict
from .kept import Kept
from .outcome import Outcome
from .suite import Suite, Test

HERE = Path(__file__).resolve().parent.parent

EPILOG = """\
Runs inside the build root (tools/setup/enter), after make module and make upstream.
Prints TAP: a point for each program and for each point that a program reports.
Each host's outputs, consoles and QEMU command lines are in OUT/HOST-MACHINE.

Exit status: 0 all as expected; 1 something is not; 2 usage or environment.
"""


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(
        prog="run", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the kernel's own KVM selftests on C KVM and on the module, and compare.")
    p.add_argument("--tier", choices=suite.TIERS,
                   help="only the tests of make check, or only those that make check-all adds")
    p.add_argument("--subject", choices=("listed", "module", "ckvm", "none"), default="listed",
                   help="what is compared with C KVM: the module for the tests in on_module of "
                        "suite.toml (default); the module for all; C KVM itself; nothing")
    p.add_argument("--out", type=Path, default=Path("build/lab/upstream"), metavar="DIR")
    p.add_argument("--kept", type=Path, metavar="DIR",
                   help="keep what C KVM did in DIR, and boot it only if something that this "
                        "depends on is not as it was")
    p.add_argument("--suite", type=Path, default=HERE / "suite.toml", metavar="TOML")
    p.add_argument("--expectations", type=Path, default=HERE / "expectations.toml",
                   metavar="TOML")
    p.add_argument("--list", action="store_true", help="only list the tests")
    p.add_argument("tests", nargs="*", metavar="TEST", help="only these (default: all)")
    return p


def _on_subject(subject: str, chosen: Suite, tests: list[Test]) -> list[Test]:
    if subject == "none":
        return []
    return [test for test in tests if subject != "listed" or test.name in chosen.on_module]


def _note(line: str) -> None:
    print(f"# {line}", flush=True)


def show(verdicts: list[Verdict]) -> bool:
    """Prints the verdicts as TAP; returns whether all are good."""
    for number, verdict in enumerate(verdicts, 1):
        word = "ok" if verdict.good else "not ok"
        print(f"{word} {number} {verdict.name}" + (" # SKIP" if verdict.skipped else ""))
        if verdict.why:
            print(f"#   {verdict.why}")
        for line in verdict.output:
            print(f"#   | {line}")
    print(f"1..{len(verdicts)}", flush=True)
    return all(verdict.good for verdict in verdicts)


def _run(args: argparse.Namespace) -> bool:
    everything = suite.load(args.suite)
    expected = table.load(args.expectations, {test.name for test in everything.tests})
    tests = everything.choose(args.tests, args.tier)
    with_subject = _on_subject(args.subject, everything, tests)
    if args.list:
        for test in tests:
            _note(f"{test.name}: {' '.join([test.program, *test.args])}; tier {test.tier}, "
                  f"machine {test.machine.name}" + ("; on the module" if test in with_subject
                                                    else ""))
        return True
    def good(results: dict[str, Outcome]) -> bool:
        return all(verdict.good for name, outcome in results.items()
                   for verdict in judge.alone(name, outcome, expected))

    paths = boots.Paths(args.out)
    ckvm, verdicts = boots.run(paths, "ckvm", "ckvm", tests, _note,
                               Kept(args.kept) if args.kept else None, good)
    subject, host = "module", "module"
    if args.subject == "ckvm":
        expected, subject, host = expected.of_ckvm_alone(), "ckvm-again", "ckvm"
    other, more = boots.run(paths, subject, host, with_subject, _note)
    verdicts += more
    for test in tests:
        if test.name in other:
            verdicts += judge.compare(test.name, ckvm[test.name], other[test.name], expected,
                                      subject)
        else:
            verdicts += judge.alone(test.name, ckvm[test.name], expected)
    return show(verdicts)


def main(argv: list[str]) -> int:
    """Run; returns the exit status."""
    try:
        return 0 if _run(parser().parse_args(argv)) else 1
    except (SuiteError, OSError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 2
