# SPDX-License-Identifier: GPL-2.0
"""The comparison fails for whatever is not as the table says, and only then."""

import pytest

from parity.errors import SuiteError
from parity.judge import Verdict, alone, compare
from parity.outcome import Outcome, Point
from parity.table import Entry, Table, parse

NAME = "psci_test"


def outcome(status: str, **points: str) -> Outcome:
    """An outcome with points of these names."""
    return Outcome(status, points={name: Point(name, name, result)
                                   for name, result in points.items()})


def expect(ckvm: str, module: str, point: str | None = None) -> Entry:
    """An entry of the table."""
    return Entry(NAME, point, ckvm, module, "because")


def bad(verdicts: list[Verdict]) -> list[str]:
    """The names of what is not as expected."""
    return [verdict.name for verdict in verdicts if not verdict.good]


def judged(ckvm: Outcome, module: Outcome, *entries: Entry) -> list[str]:
    """What is not as expected, with a table of these entries."""
    return bad(compare(NAME, ckvm, module, Table(entries)))


def test_the_default_is_parity() -> None:
    both = outcome("pass", a="pass", b="skip")
    verdicts = compare(NAME, both, both, Table([]))
    assert [(v.name, v.good, v.skipped) for v in verdicts] == [
        (NAME, True, False), (f"{NAME}: a", True, False), (f"{NAME}: b", True, True)]


@pytest.mark.parametrize("ckvm, module", [
    ("pass", "fail"), ("pass", "skip"), ("fail", "pass"), ("pass", "timeout"), ("pass", "lost"),
    ("pass", "not-run"),
    ("skip", "skip"), ("fail", "fail"), ("timeout", "timeout"), ("not-run", "not-run")])
def test_what_needs_an_entry(ckvm: str, module: str) -> None:
    assert judged(outcome(ckvm), outcome(module)) == [NAME]
    if "lost" not in (ckvm, module) and "not-run" not in (ckvm, module):
        assert judged(outcome(ckvm), outcome(module), expect(ckvm, module)) == []


@pytest.mark.parametrize("ckvm, module", [("pass", "pass"), ("fail", "skip"), ("skip", "fail")])
def test_an_entry_that_no_longer_holds(ckvm: str, module: str) -> None:
    assert judged(outcome(ckvm), outcome(module), expect("pass", "skip")) == [NAME]


def test_points() -> None:
    ckvm = outcome("pass", a="pass", b="pass", c="skip")
    assert judged(ckvm, outcome("pass", a="pass", b="skip", c="skip")) == [f"{NAME}: b"]
    assert judged(ckvm, outcome("pass", a="pass", c="skip")) == [f"{NAME}: b"]
    assert judged(ckvm, outcome("pass", a="pass", b="pass", c="skip", d="pass")) == [f"{NAME}: d"]
    assert judged(ckvm, outcome("pass", a="pass", b="skip", c="skip"),
                  expect("pass", "skip", "b")) == []
    assert judged(ckvm, outcome("pass", a="pass", c="skip"), expect("pass", "absent", "b")) == []
    assert judged(ckvm, ckvm, expect("pass", "skip", "b")) == [f"{NAME}: b"]


def test_a_point_that_fails_on_both() -> None:
    both = outcome("fail", a="fail")
    assert judged(both, both, expect("fail", "fail")) == [f"{NAME}: a"]
    assert judged(both, both, expect("fail", "fail"), expect("fail", "fail", "a")) == []


def test_lines() -> None:
    ckvm = outcome("pass", a="printed", b="printed")
    assert [v.name for v in compare(NAME, ckvm, ckvm, Table([]))] == [NAME]
    assert judged(ckvm, outcome("pass", a="printed")) == [f"{NAME}: b"]
    assert judged(outcome("pass", a="printed"), ckvm) == [f"{NAME}: b"]
    assert judged(ckvm, outcome("pass", a="printed"), expect("printed", "absent", "b")) == []
    assert judged(ckvm, ckvm, expect("printed", "absent", "b")) == [f"{NAME}: b"]


def test_an_entry_for_a_point_that_is_no_more() -> None:
    both = outcome("pass", a="pass")
    assert judged(both, both, expect("pass", "skip", "z")) == [f"{NAME}: z"]


def test_points_behind_a_failure_are_not_counted_again() -> None:
    ckvm = outcome("pass", a="pass", b="pass", c="pass")
    module = outcome("fail", a="pass")
    assert judged(ckvm, module) == [NAME]
    assert judged(ckvm, module, expect("pass", "fail")) == []
    assert judged(ckvm, outcome("fail", a="skip"), expect("pass", "fail")) == [f"{NAME}: a"]


def test_a_point_has_the_name_of_either_host() -> None:
    ckvm = Outcome("pass", points={"7": Point("7", "MPAM=1 was writable", "pass")})
    module = Outcome("pass", points={"7": Point("7", "MPAM is not writable", "skip")})
    assert judged(ckvm, module) == [f"{NAME}: MPAM=1 was writable"]
    for name in ("MPAM=1 was writable", "MPAM is not writable"):
        assert judged(ckvm, module, expect("pass", "skip", name)) == []


def test_what_it_says() -> None:
    table = Table([expect("pass", "skip")])
    assert compare(NAME, outcome("pass"), outcome("fail"), table)[0].why == (
        "C KVM pass, module fail; the table expects C KVM pass, module skip")
    assert alone(NAME, outcome("fail"), table)[0].why == (
        "C KVM fail; the table has no entry for it")


def test_ckvm_alone() -> None:
    table = Table([expect("pass", "fail")])
    assert bad(alone(NAME, outcome("pass", a="skip"), table)) == []
    assert bad(alone(NAME, outcome("skip"), table)) == [NAME]
    assert bad(alone(NAME, outcome("skip"), Table([expect("skip", "skip")]))) == []
    assert bad(alone(NAME, outcome("pass"), Table([expect("skip", "skip")]))) == [NAME]
    assert bad(alone(NAME, outcome("pass"), Table([expect("absent", "pass", "a")]))) == []


GOOD = f'[[expect]]\ntest = "{NAME}"\nckvm = "pass"\nmodule = "skip"\nreason = "r"\n'


@pytest.mark.parametrize("text", [
    GOOD.replace(NAME, "no_such_test"), GOOD.replace('"r"', '" "'), GOOD.replace("reason", "why"),
    GOOD.replace('"skip"', '"pass"'), GOOD.replace('"skip"', '"absent"'),
    GOOD.replace('"skip"', '"broken"'), GOOD.replace('module = "skip"\n', ""), GOOD + GOOD,
    GOOD.replace('"pass"', '"skip"') + 'point = "a"\n', "[[expected]]\n", "expect =\n"])
def test_a_table_that_is_refused(text: str) -> None:
    parse(GOOD, {NAME})
    with pytest.raises(SuiteError, match="expectations.toml"):
        parse(text, {NAME})
