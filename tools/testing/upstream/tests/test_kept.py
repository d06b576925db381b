# SPDX-License-Identifier: GPL-2.0
"""What C KVM did is kept, and used as long as nothing that it depends on changes."""

import json
import os
from pathlib import Path

import pytest

from parity import boots, suite
from parity.kept import ENTRIES, Kept
from parity.outcome import Outcome

SUITE = """
[machine.small]
cpus = 1
[[test]]
name = "one"
program = "one"
machine = "small"
"""
LAB = """
import sys
from pathlib import Path
out = Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True, exist_ok=True)
(out / "results.json").write_text(Path(__file__).parent.with_name("says").read_text())
(out / "one.tap").write_text("1..1\\nok 1 a\\n")
(out / "initramfs.cpio").touch()
with Path(__file__).parent.with_name("boots").open("a") as count:
    count.write("x")
"""


class Bench:
    """A lab that only says what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("lab", "bin"):
            (folder / name).mkdir()
        (folder / "lab/lab").write_text(LAB)
        (folder / "bin/one").write_text("a program")
        (folder / "kernel").write_text("a kernel")
        (folder / "setup.env").write_text(f"INITRAMFS={folder}/initramfs\n")
        (folder / "initramfs").touch()
        self.kept = Kept(folder / "kept")
        self.text = SUITE
        self.says("pass")

    def says(self, status: str, *splats: str) -> None:
        """What the next boots end with."""
        (self.folder / "says").write_text(json.dumps({
            "tests": [{"name": "one", "exit_code": 0, "status": status, "reason": "",
                       "seconds": 1.0}],
            "splats": [{"kind": "BUG", "head": head} for head in splats], "problems": []}))

    def boots(self) -> int:
        """How many there were."""
        count = self.folder / "boots"
        return len(count.read_text()) if count.exists() else 0

    def run(self, host: str = "ckvm", kept: bool = True) -> dict[str, Outcome]:
        """The outcomes of a run."""
        paths = boots.Paths(self.folder / "out", self.folder / "bin", self.folder / "lab/lab",
                            self.folder / "kernel", self.folder / "setup.env")
        tests = list(suite.parse(self.text).tests)
        return boots.run(paths, host, host, tests, lambda _: None, self.kept if kept else None,
                         lambda results: results["one"].status == "pass")[0]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One of our own."""
    return Bench(tmp_path)


def test_a_second_run_needs_no_boot(bench: Bench) -> None:
    first = bench.run()
    assert bench.run() == first
    assert bench.boots() == 1
    assert first["one"].points["1"].name == "a"
    assert (bench.folder / "out/ckvm-small/one.tap").exists()
    assert not list(bench.folder.glob("kept/*/initramfs.cpio"))
    bench.run(kept=False)
    assert bench.boots() == 2


@pytest.mark.parametrize("name", ["lab/lab", "bin/one", "kernel", "initramfs"])
def test_other_contents_boot_anew(bench: Bench, name: str) -> None:
    bench.run()
    with (bench.folder / name).open("a") as changed:
        changed.write("\n")
    bench.run()
    assert bench.boots() == 2


@pytest.mark.parametrize("old, new", [
    ("cpus = 1", "cpus = 2"), ('"small"\n', '"small"\nargs = ["-x"]\n'),
    ('"small"\n', '"small"\nseconds = 5\n')])
def test_another_suite_boots_anew(bench: Bench, old: str, new: str) -> None:
    bench.run()
    bench.text = SUITE.replace(old, new)
    bench.run()
    assert bench.boots() == 2


def test_what_is_not_good_is_not_kept(bench: Bench) -> None:
    for status, *splats in (("fail",), ("pass", "a splat")):
        bench.says(status, *splats)
        before = bench.boots()
        bench.run()
        bench.run()
        assert bench.boots() == before + 2
    assert not bench.kept.folder.exists()


def test_what_was_not_used_for_long_goes(bench: Bench) -> None:
    for number in range(ENTRIES):
        (bench.kept.folder / f"{number}").mkdir(parents=True)
        os.utime(bench.kept.folder / f"{number}", (number, number))
    bench.run()
    names = {path.name for path in bench.kept.folder.iterdir()}
    assert len(names) == ENTRIES
    assert "0" not in names and "1" in names
