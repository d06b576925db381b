# SPDX-License-Identifier: GPL-2.0
"""The initramfs of one run: the base layer and, appended, init, plan and tests."""

import shutil
from pathlib import Path

from .cpio import CpioWriter
from .plan import Plan
from .rtexec import program

INIT = Path(__file__).resolve().parent.parent / "init"


def write_initramfs(base: Path, plan: Plan, out: Path) -> None:
    """Write base layer and payload to `out`, which QEMU gets as its initrd."""
    with out.open("wb") as stream:
        with base.open("rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)
        stream.write(bytes(-stream.tell() % 512))
        with CpioWriter(stream) as cpio:
            for extra in plan.files:
                cpio.tree(extra.dest, extra.source.resolve())
            cpio.file("/init", INIT, 0o755)
            cpio.data("/lab/rtexec", program(), 0o755)
            placed: set[str] = set()
            for test in plan.tests:
                if test.guest_path not in placed:
                    placed.add(test.guest_path)
                    cpio.file(test.guest_path, test.program, 0o755)
            for when, steps in (("before", plan.before), ("after", plan.after)):
                for i, text in enumerate(steps):
                    cpio.data(f"/lab/steps/{when}.{i}", text.encode() + b"\n")
            cpio.data("/lab/plan", plan.script().encode(), 0o600)
