# SPDX-License-Identifier: GPL-2.0
"""QEMU's command line, and the messages of wrong usage."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lablib import cli, qemu
from lablib.errors import LabError
from lablib.fdt import add_pmem

LAB = Path(__file__).resolve().parent.parent / "lab"


def line(**options: object) -> list[str]:
    """The command line of a machine."""
    machine = qemu.Machine(kernel=Path("/k"), initrd=Path("/i"), **options)  # type: ignore[arg-type]
    return qemu.command("qemu", machine, Path("/o/console.log"), Path("/o/channel"))


def after(words: list[str], option: str) -> str:
    """The value of the first `option`."""
    return words[words.index(option) + 1]


def test_defaults() -> None:
    words = line()
    assert after(words, "-machine") == "virt,virtualization=on,gic-version=3"
    assert (after(words, "-cpu"), after(words, "-smp"), after(words, "-m")) == ("max", "2", "1G")
    append = after(words, "-append").split()
    assert {"panic=-1", "kvm-arm.mode=none", "console=ttyAMA0"} <= set(append)
    assert "-no-reboot" in words and "lab.from=none" not in append


def test_options(tmp_path: Path) -> None:
    disk = tmp_path / "a,b"
    disk.write_bytes(b"QFI\xfb")
    words = line(host="ckvm", cpu="max,sve=off", cpus=4, icount="shift=0", append=["a b"],
                 machine="gic-version=2", disks=[f"{disk}:ro"], extra=["-s"], expect_reset=True)
    append = after(words, "-append").split()
    assert "kvm-arm.mode=none" not in append and append[-2:] == ["a", "b"]
    assert "retain_initrd" in append
    assert after(words, "-machine") == "virt,gic-version=2" and after(words, "-icount") == "shift=0"
    drive = after(words, "-drive")
    assert "a,,b" in drive and "format=qcow2" in drive and drive.endswith("readonly=on")
    assert words[-1] == "-s"


def test_slow_kernels_get_more_time() -> None:
    words = after(line(), "-append")
    assert "hung_task_timeout_secs=20" in words and "watchdog_thresh" not in words
    words = after(line(slow=4), "-append")
    assert {"sysctl.kernel.hung_task_timeout_secs=80", "watchdog_thresh=40",
            "rcupdate.rcu_cpu_stall_timeout=84"} <= set(words.split())


def test_script_can_be_run_by_hand() -> None:
    text = qemu.as_script(line(append=["it's", "$HOME"]))
    got = subprocess.run(["sh", "-c", "qemu() { printf '%s\\n' \"$@\"; }\n" + text], check=True,
                         stdout=subprocess.PIPE, text=True).stdout.splitlines()
    assert got == line(append=["it's", "$HOME"])[1:]


def test_persistent_memory() -> None:
    words = line(memory="1G", pmem=128)
    assert after(words, "-m") == "1152M" and "mem=1024M" in after(words, "-append").split()
    with pytest.raises(LabError, match="--memory 2G,slots=1"):
        line(memory="2G,slots=1", pmem=128)


def test_a_node_more() -> None:
    names = b"reg\0compatible\0"
    tree = struct.pack(">I4xII", 1, 2, 9)
    reserved = struct.pack(">4Q", 1, 2, 0, 0)
    header = struct.pack(">10I", 0xd00dfeed, 0, 80, 80 + len(tree), 48, 17, 16, 0, len(names),
                         len(tree))
    got = add_pmem(header + bytes(8) + reserved + tree + names + bytes(50), 1 << 32, 4096)
    fields = struct.unpack_from(">10I", got)
    at_tree, at_names, at_reserved = fields[2:5]
    assert fields[1] == len(got) and got[at_names:] == names
    assert got[at_reserved:at_reserved + 32] == reserved
    assert got[at_tree:at_tree + fields[9]] == (
        struct.pack(">I4x", 1) + struct.pack(">I16s", 1, b"pmem@100000000")
        + struct.pack(">III12s", 3, 12, 4, b"pmem-region") + struct.pack(">IIIQQ", 3, 16, 0, 1 << 32, 4096)
        + struct.pack(">III", 2, 2, 9))
    with pytest.raises(LabError):
        add_pmem(b"\0" + header[1:] + bytes(99), 0, 0)


def test_version() -> None:
    qemu.check_version("q", "QEMU emulator version 10.0.2 (Debian)")
    for text in ("QEMU emulator version 9.2.0", "something"):
        with pytest.raises(LabError):
            qemu.check_version("q", text)
    with pytest.raises(LabError, match="not installed"):
        qemu.find("qemu-system-none")


def test_how_slow_stands_beside_the_kernel(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"")
    options = ["--kernel", str(image), "--initramfs", "/i"]
    assert cli._slow(cli.parser().parse_args(options)) == 1
    (tmp_path / "slow").write_text("6\n")
    assert cli._slow(cli.parser().parse_args(options)) == 6
    assert cli._slow(cli.parser().parse_args([*options, "--slow", "2"])) == 2


def test_usage_errors_exit_2_and_say_what_to_do(tmp_path: Path) -> None:
    image = tmp_path / "Image"
    image.write_bytes(bytes(0x38) + b"ARM\x64" + bytes(8))
    base = tmp_path / "base"
    base.write_bytes(b"")
    script = tmp_path / "t"
    script.write_text("#!/bin/sh\n")
    good = ["--kernel", str(image), "--initramfs", str(base), "--out", str(tmp_path / "out")]
    for arguments, word in (
            (["--kernel", "/none", *good[2:], str(script)], "kernel /none is missing"),
            (["--kernel", str(base), *good[2:], str(script)], "not an arm64 Image"),
            ([*good[:2], "--initramfs", "/none", str(script)], "mkinitramfs"),
            (good, "no test was given"),
            ([*good, str(tmp_path / "none")], "missing"),
            ([*good, str(image)], "neither"),
            ([*good, "--file", "/none:/x", str(script)], "--file /none"),
            ([*good, "--allow-splat", "(", str(script)], "regular expression"),
            ([*good, "--expect-reset", "x", str(script)], "no test has that name"),
            ([*good, "--slow", "0", str(script)], "--slow 0"),
            ([*good, "--env", "1=2", str(script)], "NAME=VALUE")):
        done = subprocess.run([sys.executable, str(LAB), *arguments], stderr=subprocess.PIPE,
                              text=True, timeout=30, check=False)
        assert done.returncode == 2 and word in done.stderr and "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) >= 2
