# SPDX-License-Identifier: GPL-2.0
"""Checks that a test program can run in the lab, before a boot is spent on it."""

import struct
from pathlib import Path

from .errors import LabError

EM_AARCH64 = 183
PT_INTERP = 3


def check_test(path: Path) -> None:
    """Raise LabError unless `path` is a static arm64 executable or a script."""
    if not path.is_file():
        raise LabError(f"test program {path} is missing", "build it first, or correct the path")
    with path.open("rb") as stream:
        head = stream.read(64)
        if head.startswith(b"#!"):
            return
        if not head.startswith(b"\x7fELF"):
            raise LabError(f"{path} is neither an ELF executable nor a script",
                           "a script must start with #!/bin/sh")
        if len(head) < 64 or head[4] != 2 or head[5] != 1:
            raise LabError(f"{path} is not a 64-bit little-endian ELF file",
                           "build it with aarch64-linux-gnu-gcc -static")
        machine, = struct.unpack_from("<H", head, 18)
        if machine != EM_AARCH64:
            raise LabError(f"{path} is for ELF machine {machine}, not for arm64 ({EM_AARCH64})",
                           "build it with aarch64-linux-gnu-gcc -static")
        offset, = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        for i in range(count):
            stream.seek(offset + i * size)
            kind = stream.read(4)
            if len(kind) == 4 and struct.unpack("<I", kind)[0] == PT_INTERP:
                raise LabError(f"{path} is dynamically linked; the lab has no shared libraries",
                               "link it with -static, or bring its libraries with --file and "
                               "start it from a script")
