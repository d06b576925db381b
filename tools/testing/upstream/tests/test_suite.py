# SPDX-License-Identifier: GPL-2.0
"""The checked-in suite and table are sound, and a broken one is refused."""

import json
from pathlib import Path

import pytest

from parity import boots, suite, table
from parity.errors import SuiteError

UPSTREAM = Path(__file__).resolve().parent.parent
TEXT = """
on_module = ["one"]
[machine.small]
cpus = 1
[[test]]
name = "one"
program = "arm64/one"
args = ["-i", "10"]
machine = "small"
[[test]]
name = "two"
program = "two"
machine = "small"
tier = "all"
seconds = 100
"""


def test_the_checked_in_files() -> None:
    everything = suite.load(UPSTREAM / "suite.toml")
    table.load(UPSTREAM / "expectations.toml", {test.name for test in everything.tests})
    assert {test.tier for test in everything.tests} == set(suite.TIERS)


def test_choice() -> None:
    found = suite.parse(TEXT)
    assert found.on_module == {"one"}
    assert [test.name for test in found.choose([], None)] == ["one", "two"]
    assert [test.name for test in found.choose([], "all")] == ["two"]
    assert [test.name for test in found.choose(["one"], "all")] == ["one"]
    with pytest.raises(SuiteError, match="no test is named three"):
        found.choose(["three"], None)


@pytest.mark.parametrize("old, new", [
    ('on_module = ["one"]', 'on_module = ["three"]'), ('name = "two"', 'name = "one"'),
    ('machine = "small"', 'machine = "big"'), ('tier = "all"', 'tier = "some"'),
    ("seconds = 100", 'seconds = "100"'), ("seconds", "second"), ("cpus", "cores"),
    ('program = "two"\n', ""), ("[[test]]", "[[tests]]"), ("seconds = 100", "seconds =")])
def test_a_suite_that_is_refused(old: str, new: str) -> None:
    with pytest.raises(SuiteError):
        suite.parse(TEXT.replace(old, new))


def test_the_labs_command(tmp_path: Path) -> None:
    (tmp_path / "arm64").mkdir()
    (tmp_path / "setup.env").write_text("RELEASE=1\nINITRAMFS=base.cpio\n")
    for program in ("arm64/one", "two"):
        (tmp_path / program).touch()
    paths = boots.Paths(tmp_path / "out", programs=tmp_path, setup=tmp_path / "setup.env")
    tests = suite.parse(TEXT).choose([], None)
    line = boots.command(paths, "module", tests[0].machine, tests, tmp_path / "here")
    assert line[-2:] == [f"one={tmp_path}/arm64/one -i 10", f"two={tmp_path}/two"]
    assert line[line.index("--test-timeout") + 1] == "100"
    assert line[line.index("--timeout") + 1] == str(boots.BOOT_SECONDS + 160)
    assert "insmod /lib/kvm_vhe.ko" in line and "/cache/base.cpio" in line
    line = boots.command(paths, "ckvm", tests[0].machine, tests, tmp_path / "here")
    assert "insmod /lib/kvm_vhe.ko" not in line
    (tmp_path / "two").unlink()
    with pytest.raises(SuiteError, match="make upstream"):
        boots.command(paths, "ckvm", tests[0].machine, tests, tmp_path / "here")


def test_a_host_that_does_not_keep_well() -> None:
    data = json.loads('{"splats": [{"kind": "warn", "head": "WARNING: x"}], "problems": ["died"]}')
    assert not boots.health("module", data)[0].good
    assert boots.health("module", {"splats": [], "problems": []})[0].good
