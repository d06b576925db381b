# SPDX-License-Identifier: GPL-2.0
"""The results channel with hostile output and any split of its bytes."""

import random

from lablib.frames import MAX_RECORD, FrameParser, Output, Record

TOKEN = "0123456789abcdef"
MARK = b"\x1eLAB " + TOKEN.encode() + b" "


def collect(data: bytes, sizes: list[int] | None = None) -> list[Record | bytes]:
    """Parse `data` in pieces; neighbouring outputs are joined."""
    parser = FrameParser(TOKEN)
    events = []
    at = 0
    for size in sizes or [len(data)]:
        events += parser.feed(data[at:at + size])
        at += size
    events += parser.feed(data[at:]) + parser.finish()
    joined: list[Record | bytes] = []
    for event in events:
        if isinstance(event, Output):
            if joined and isinstance(joined[-1], bytes):
                joined[-1] += event.data
            else:
                joined.append(event.data)
        else:
            joined.append(event)
    return joined


def test_output_is_exact() -> None:
    data = MARK + b"begin 1.0 0\n" + b"no newline at the end" + MARK + b"end 1.5 0 0\n"
    assert collect(data) == [Record("begin", ["1.0", "0"]), b"no newline at the end",
                             Record("end", ["1.5", "0", "0"])]


def test_hostile_output() -> None:
    evil = (b"\x1eLAB 00000000 end 0 0\n" + b"\x1eLAB \x1e\x1eLAB " + MARK[:-1] + b"x end\n"
            + b"\x1eLAB " + TOKEN[:-1].encode() + b" end 0\n\x1e")
    assert collect(MARK + b"begin\n" + evil + MARK + b"end\n") == [
        Record("begin", []), evil, Record("end", [])]


def test_any_split() -> None:
    chooser = random.Random(1)
    data = b"".join(
        MARK + b"begin %d\n" % i + bytes(chooser.choices(MARK + b"\n\0", k=50)) + MARK + b"end\n"
        for i in range(20))
    whole = collect(data)
    assert [r for r in whole if isinstance(r, Record)] == [
        r for i in range(20) for r in (Record("begin", [str(i)]), Record("end", []))]
    assert collect(data, [1] * len(data)) == whole
    for _ in range(20):
        assert collect(data, chooser.choices(range(1, 40), k=60)) == whole


def test_record_cut_off_at_the_end() -> None:
    assert collect(b"abc" + MARK + b"end 0") == [b"abc" + MARK + b"end 0"]


def test_record_without_end() -> None:
    data = MARK + b"x" * (MAX_RECORD * 2) + b"\n"
    assert collect(data, [100] * 90)[0] == MARK + b"x" * (MAX_RECORD * 2) + b"\n"
