# SPDX-License-Identifier: GPL-2.0
"""Compares what two hosts made of a test with what the table expects."""

from dataclasses import dataclass

from .outcome import PRINTED, Outcome
from .table import ABSENT, Table, good_point

SHOWN_LINES = 25  # of the output of a program that did not do what was expected


@dataclass(frozen=True)
class Verdict:
    """One line of the result: the program, or one of its points."""

    name: str
    good: bool
    skipped: bool = False
    why: str = ""
    output: tuple[str, ...] = ()


def _said(seen: tuple[str, str]) -> str:
    return f"C KVM {seen[0]}, module {seen[1]}"


def _check(name: str, seen: tuple[str, str], wanted: tuple[str, str] | None,
           by_default: bool) -> Verdict:
    """Compares one pair with the table's entry, or with the default if it has none."""
    if wanted is None:
        why = "" if by_default else f"{_said(seen)}; the table has no entry for it"
        return Verdict(name, by_default, "skip" in seen, why)
    if wanted == seen:
        return Verdict(name, True, "skip" in seen)
    return Verdict(name, False, why=f"{_said(seen)}; the table expects {_said(wanted)}")


def compare(name: str, ckvm: Outcome, module: Outcome, table: Table) -> list[Verdict]:
    """The program and each of its points, on both hosts."""
    seen = ckvm.status, module.status
    entry = table.find(name)
    verdict = _check(name, seen, (entry.ckvm, entry.module) if entry else None,
                     seen == ("pass", "pass"))
    if not verdict.good:
        reasons = [f"on {host}: {outcome.reason}"
                   for host, outcome in (("C KVM", ckvm), ("the module", module))
                   if outcome.reason]
        worse = module if module.status != "pass" else ckvm
        verdict = Verdict(name, False, why="; ".join([verdict.why, *reasons]),
                          output=tuple(worse.output[-SHOWN_LINES:]))
    return [verdict, *_compare_points(name, ckvm, module, table)]


def _compare_points(name: str, ckvm: Outcome, module: Outcome, table: Table) -> list[Verdict]:
    # After the point where a program stopped nothing is known: only points that both
    # reported are compared then.
    both_whole = ckvm.status == module.status and ckvm.ended
    verdicts, met = [], set()
    for key in {**ckvm.points, **module.points}:
        here, there = ckvm.points.get(key), module.points.get(key)
        names = [point.name for point in (here, there) if point]
        entry = table.find(name, *names)
        if entry:
            met.add(entry)
        if not (here and there) and not both_whole and not entry:
            continue
        seen = (here.status if here else ABSENT, there.status if there else ABSENT)
        if seen == (PRINTED, PRINTED) and not entry:
            continue  # a line that both print says nothing by itself
        verdicts.append(_check(f"{name}: {names[0]}", seen,
                               (entry.ckvm, entry.module) if entry else None,
                               good_point(*seen)))
    for entry in table.points(name):
        if entry not in met:
            verdicts.append(Verdict(str(entry), False,
                                    why="the table has an entry, but no host reports this point"))
    return verdicts


def alone(name: str, ckvm: Outcome, table: Table) -> list[Verdict]:
    """What C KVM did, for a test that the module does not get yet."""
    return compare(name, ckvm, ckvm, table.of_ckvm_alone())
