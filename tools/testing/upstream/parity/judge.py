# SPDX-License-Identifier: GPL-2.0
"""Compares what two hosts made of a test with what the table expects."""

from dataclasses import dataclass

from .outcome import PRINTED, Outcome
from .table import ABSENT, Entry, Table, good_point

SHOWN_LINES = 25  # of the output of a program that did not do what was expected


@dataclass(frozen=True)
class Verdict:
    """One line of the result: the program, or one of its points."""

    name: str
    good: bool
    skipped: bool = False
    why: str = ""
    output: tuple[str, ...] = ()


def _check(name: str, seen: tuple[str, str], entry: Entry | None, by_default: bool,
           subject: str | None) -> Verdict:
    """Compares one pair with the table's entry, or with the default if it has none."""
    def said(pair: tuple[str, str]) -> str:
        return f"C KVM {pair[0]}" + (f", {subject} {pair[1]}" if subject else "")

    if entry is None:
        why = "" if by_default else f"{said(seen)}; the table has no entry for it"
        return Verdict(name, by_default, "skip" in seen, why)
    wanted = entry.ckvm, entry.module
    if wanted == seen:
        return Verdict(name, True, "skip" in seen)
    return Verdict(name, False, why=f"{said(seen)}; the table expects {said(wanted)}")


def compare(name: str, ckvm: Outcome, module: Outcome, table: Table,
            subject: str | None = "module") -> list[Verdict]:
    """The program and each of its points, on both hosts. `subject` is what the second
    is called; None if there is none, and `module` is C KVM's outcome again."""
    seen = ckvm.status, module.status
    verdict = _check(name, seen, table.find(name), seen == ("pass", "pass"), subject)
    if not verdict.good:
        hosts = {"C KVM": ckvm} | ({subject: module} if subject else {})
        reasons = [f"{host}: {outcome.reason}" for host, outcome in hosts.items()
                   if outcome.reason]
        worse = module if module.status != "pass" else ckvm
        verdict = Verdict(name, False, why="; ".join([verdict.why, *reasons]),
                          output=tuple(worse.output[-SHOWN_LINES:]))
    return [verdict, *_compare_points(name, ckvm, module, table, subject)]


def _compare_points(name: str, ckvm: Outcome, module: Outcome, table: Table,
                    subject: str | None) -> list[Verdict]:
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
        verdicts.append(_check(f"{name}: {names[0]}", seen, entry, good_point(*seen), subject))
    for entry in table.points(name):
        if entry not in met:
            verdicts.append(Verdict(str(entry), False,
                                    why="the table has an entry, but no host reports this point"))
    return verdicts


def alone(name: str, ckvm: Outcome, table: Table) -> list[Verdict]:
    """What C KVM did, for a test that the module does not get yet."""
    return compare(name, ckvm, ckvm, table.of_ckvm_alone(), None)
