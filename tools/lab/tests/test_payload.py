# SPDX-License-Identifier: GPL-2.0
"""The cpio writer against cpio itself, the plan, the checks of test programs."""

import io
import shlex
import struct
import subprocess
from pathlib import Path

import pytest

from lablib.cpio import CpioWriter
from lablib.elf import check_test
from lablib.errors import LabError
from lablib.kmodules import ModuleTree, depends
from lablib.payload import write_initramfs
from lablib.plan import Plan, parse_file, parse_tests
from lablib.rtexec import program


def listing(archive: bytes) -> dict[str, str]:
    """What `cpio -tv` says: name to mode string."""
    text = subprocess.run(["cpio", "-tv", "--quiet"], input=archive, check=True,
                          stdout=subprocess.PIPE).stdout.decode()
    # A device has "MAJOR, MINOR" where others have their size.
    return {line.split(None, 8 + line.startswith("c"))[-1]: line.split()[0]
            for line in text.splitlines()}


def extract(archive: bytes, name: str) -> bytes:
    """A member's content, by cpio."""
    return subprocess.run(["cpio", "-i", "--quiet", "--to-stdout", name], input=archive,
                          check=True, stdout=subprocess.PIPE).stdout


def elf(machine: int = 183, interp: bool = False, bits: int = 2) -> bytes:
    """A small ELF header with one program header."""
    head = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 3 if interp else 1, 0, 0, 0, 0, 0, 0, 0)


def script(path: Path) -> Path:
    """A shell script at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    return path


def test_cpio_is_read_by_cpio(tmp_path: Path) -> None:
    (tmp_path / "src/sub").mkdir(parents=True)
    (tmp_path / "src/sub/odd size").write_bytes(b"x" * 12345)
    (tmp_path / "src/link").symlink_to("sub")
    stream = io.BytesIO()
    with CpioWriter(stream) as cpio:
        cpio.data("/lab/plan", b"abc", 0o600)
        cpio.data("//init", b"#!", 0o755)
        cpio.node("/dev/console", 5, 1)
        cpio.tree("/srv/tree", tmp_path / "src")
        cpio.file("/lib/firmware/x", tmp_path / "src/sub/odd size", 0o640)
    names = listing(stream.getvalue())
    assert names["init"] == "-rwxr-xr-x" and names["lab/plan"] == "-rw-------"
    assert names["lab"].startswith("d") and names["dev/console"].startswith("c")
    assert names["srv/tree/link -> sub"].startswith("l")
    assert names["lib/firmware"].startswith("d") and "lib" not in names and "dev" not in names
    assert extract(stream.getvalue(), "srv/tree/sub/odd size") == b"x" * 12345
    assert len(stream.getvalue()) % 512 == 0


def test_cpio_is_reproducible_and_refuses_dots() -> None:
    def once() -> bytes:
        stream = io.BytesIO()
        with CpioWriter(stream) as cpio:
            cpio.data("a/b", b"1")
        return stream.getvalue()
    assert once() == once()
    with pytest.raises(ValueError):
        CpioWriter(io.BytesIO()).data("a/../../b", b"")


def test_elf(tmp_path: Path) -> None:
    path = tmp_path / "t"
    for good in (elf(), b"#!/bin/sh\n", program()):
        path.write_bytes(good)
        check_test(path)
    for bad, word in ((elf(62), "not for arm64"), (elf(interp=True), "dynamically"),
                      (elf(bits=1), "64-bit"), (b"text", "neither"), (b"\x7fELF", "64-bit")):
        path.write_bytes(bad)
        with pytest.raises(LabError, match=word):
            check_test(path)
    with pytest.raises(LabError, match="missing"):
        check_test(tmp_path / "none")


def test_names_and_places(tmp_path: Path) -> None:
    one, two = script(tmp_path / "a/t"), script(tmp_path / "b/t")
    tests = parse_tests([str(one), f"{one} 1 'two words'", f"fast={one} -q", str(two)])
    assert [t.name for t in tests] == ["t", "t.2", "fast", "t.3"]
    assert tests[1].args == ("1", "two words")
    assert [t.guest_path for t in tests] == ["/lab/bin/t"] * 3 + ["/lab/bin/3/t"]
    with pytest.raises(LabError, match="named x"):
        parse_tests([f"x={one}", f"x={one}"])
    with pytest.raises(LabError, match="cannot be read"):
        parse_tests(["t 'open"])


def test_files(tmp_path: Path) -> None:
    one = script(tmp_path / "f.ko")
    assert parse_file(str(one)).dest == "/lab/files/f.ko"
    assert parse_file(f"{one}:/lib/kvm.ko").dest == "/lib/kvm.ko"
    assert parse_file(f"{one}:/lib/").dest == "/lib/f.ko"
    odd = script(tmp_path / "a:b")
    assert parse_file(str(odd)).source == odd
    for bad in (f"{one}:lib/x", str(tmp_path / "none"), f"{one}:/lib/../x"):
        with pytest.raises(LabError):
            parse_file(bad)


def test_plan_survives_the_shell(tmp_path: Path) -> None:
    one = script(tmp_path / "t")
    nasty = "a'b \"c\" $(reboot) ;\n\\x"
    plan = Plan("ff00", parse_tests([f"{one} {shlex.quote(nasty)}"]),
                before=["insmod x"], environment={"LAB_HOST": nasty}, test_timeout=1.5)
    text = plan.script()
    check = ('lab_disks() { :; }; lab_leaks() { :; }; lab_step() { echo "$@"; }; '
             'lab_test() { [ "$5" = "$LAB_HOST" ] && echo "$3"; }\n')
    got = subprocess.run(["sh", "-c", check + text], check=True, stdout=subprocess.PIPE).stdout
    assert got == b"before 0 2\n2\n"
    assert text.startswith("LAB_TOKEN=ff00\n")


def test_payload_follows_the_base(tmp_path: Path) -> None:
    one = script(tmp_path / "t")
    base = io.BytesIO()
    with CpioWriter(base) as cpio:
        cpio.data("init", b"old")
    (tmp_path / "base").write_bytes(base.getvalue()[:-1])  # an odd length
    out = tmp_path / "out"
    write_initramfs(tmp_path / "base", Plan("ff", parse_tests([str(one)]), before=["true"]), out)
    data = out.read_bytes()
    assert data[:4] == b"0707" and data[len(base.getvalue()):][:6] == b"070701"
    names = listing(data[len(base.getvalue()):])
    assert {"init", "lab/plan", "lab/bin/t", "lab/steps/before.0"} <= set(names)


def test_module_dependencies(tmp_path: Path) -> None:
    def module(name: str, info: bytes) -> None:
        (tmp_path / "kernel").mkdir(exist_ok=True)
        (tmp_path / "kernel" / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0" + info)
    module("ext4", b"depends=jbd2,mbcache\0softdep=pre: crc32c\0name=ext4\0")
    module("jbd2", b"depends=crc-16\0")
    module("mbcache", b"depends=\0")
    module("crc-16", b"depends=core\0")
    (tmp_path / "modules.builtin").write_text("kernel/lib/core.ko\n")
    order = ModuleTree(tmp_path).resolve(["ext4"])
    assert list(order) == ["crc_16", "jbd2", "mbcache", "ext4"]
    assert order["ext4"] == ["crc_16", "jbd2", "mbcache"]
    assert depends(b"\0softdep=pre: a b post: c\0depends=d\0") == ["a", "b", "d"]
    with pytest.raises(LabError, match="no module nope"):
        ModuleTree(tmp_path).resolve(["nope"])
