# SPDX-License-Identifier: GPL-2.0
"""The base layer of the host's file system, the same for all runs.

It has no /init: that comes with each run's payload, so that the base need not
be built again when init changes. With --init it is whole, and boots by itself.
"""

import argparse
import os
import sys
from pathlib import Path

from .cpio import CpioWriter
from .elf import check_test
from .errors import LabError
from .kmodules import ModuleTree

DISK_MODULES = ["virtio_blk", "ext4", "of_pmem", "nd_pmem"]
DIRECTORIES = ["bin", "dev", "etc", "lib", "lib/modules", "mnt", "proc", "root", "run", "sbin",
               "sys", "tmp", "usr", "usr/bin", "usr/lib", "usr/sbin", "var"]


def applets() -> list[str]:
    """The checked-in list of busybox applets."""
    text = (Path(__file__).resolve().parent.parent / "applets").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return " ".join(lines).split()


def _add_modules(cpio: CpioWriter, directory: Path, release: str, wanted: list[str]) -> None:
    if (directory / release / "kernel").is_dir():
        directory = directory / release
    tree = ModuleTree(directory)
    target = f"lib/modules/{release}"
    order = tree.resolve(wanted)
    lines = []
    for name, below in order.items():
        cpio.data(f"{target}/{name}.ko", tree.content(name))
        # modprobe loads the list from its end.
        lines.append(f"{name}.ko:" + "".join(f" {b}.ko" for b in reversed(below)))
    cpio.data(f"{target}/modules.dep", ("\n".join(lines) + "\n").encode())
    for name in ("modules.builtin", "modules.alias", "modules.symbols"):
        cpio.data(f"{target}/{name}", b"")


def build(busybox: Path, modules: Path | None, release: str, extra: list[str],
          init: Path | None, out: Path) -> None:
    """Write the base layer to `out`; the file appears complete or not at all."""
    check_test(busybox)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream, CpioWriter(stream, frozenset()) as cpio:
            for name in DIRECTORIES:
                cpio.directory(name, 0o1777 if name == "tmp" else 0o755)
            cpio.node("dev/console", 5, 1)
            cpio.file("bin/busybox", busybox, 0o755)
            for name in applets():
                cpio.symlink(f"bin/{name}", "busybox")
            cpio.data("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
            cpio.data("etc/group", b"root:x:0:\n")
            if modules:
                _add_modules(cpio, modules, release, DISK_MODULES + extra)
            if init:
                cpio.file("init", init, 0o755)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def main(argv: list[str]) -> int:
    """The command line of mkinitramfs."""
    parser = argparse.ArgumentParser(prog="mkinitramfs", description=(
        "Build the lab's base layer: static busybox, and the modules for disks."))
    parser.add_argument("--busybox", type=Path, required=True, metavar="FILE",
                        help="static arm64 busybox (Debian's busybox-static:arm64)")
    parser.add_argument("--modules", type=Path, metavar="DIR",
                        help="the kernel's modules: .../lib/modules or the release's directory; "
                             "without it --disk does not work")
    parser.add_argument("--release", metavar="V", help="kernel release, as uname -r says it")
    parser.add_argument("--module", action="append", default=[], metavar="NAME",
                        help="a further module, for modprobe in the guest; repeatable")
    parser.add_argument("--init", type=Path, metavar="FILE",
                        help="what the kernel starts; without it the layer needs one of lab's runs")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    args = parser.parse_args(argv)
    try:
        if args.modules and not args.release:
            raise LabError("--modules needs --release",
                           "add --release V, the name uname -r prints")
        if args.module and not args.modules:
            raise LabError("--module needs --modules", "say where the kernel's modules are")
        build(args.busybox, args.modules, args.release or "", args.module, args.init, args.out)
    except (LabError, OSError) as error:
        print(f"mkinitramfs: {error}", file=sys.stderr)
        return 2
    return 0
