# SPDX-License-Identifier: GPL-2.0
"""A tiny arm64 program: become SCHED_FIFO, then execute argv[1].

Init starts the process that carries the tests' output with it. The kernel then
runs that process as soon as a test has written, so that what a test said just
before it brings the host down is already outside. busybox as Debian builds it
has no chrt, and a file of machine code keeps the lab free of a compiler.
"""

import struct

BASE = 0x400000

_CODE = (
    0xF94003E9,  # ldr  x9, [sp]             argc
    0xD2800023,  # mov  x3, #1               priority 1
    0xF81F0FE3,  # str  x3, [sp, #-16]!
    0xD2800000,  # mov  x0, #0               this process
    0xD2800021,  # mov  x1, #1               SCHED_FIFO
    0x910003E2,  # mov  x2, sp
    0xD2800EE8,  # mov  x8, #119             sched_setscheduler
    0xD4000001,  # svc  #0                   (if refused, go on as we are)
    0x910083E1,  # add  x1, sp, #32          &argv[1]
    0xF9400020,  # ldr  x0, [x1]
    0x910083E2,  # add  x2, sp, #32
    0x8B090C42,  # add  x2, x2, x9, lsl #3   envp
    0xD2801BA8,  # mov  x8, #221             execve
    0xD4000001,  # svc  #0
    0xD2800FE0,  # mov  x0, #127
    0xD2800BA8,  # mov  x8, #93              exit
    0xD4000001,  # svc  #0
)


def program() -> bytes:
    """The ELF file."""
    code = struct.pack(f"<{len(_CODE)}I", *_CODE)
    headers = 64 + 56
    size = headers + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, BASE + headers, 64, 0, 0,
                                 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
    return header + segment + code
