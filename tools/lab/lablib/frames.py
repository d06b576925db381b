# SPDX-License-Identifier: GPL-2.0
"""The results channel: records of init, and between them the tests' bytes.

Init writes records of the form

    RS "LAB " TOKEN " " WORDS LF          (RS is the byte 0x1e)

into the same stream that carries the output of the tests. TOKEN is random and
new in each run, so that no output can look like a record by chance or because
it quotes an older log. Nothing is added to or taken from the bytes in between.
"""

from dataclasses import dataclass

MAX_RECORD = 4096


@dataclass(frozen=True)
class Record:
    """One record of init."""

    verb: str
    args: list[str]


@dataclass(frozen=True)
class Output:
    """Bytes that a test or a step wrote."""

    data: bytes


class FrameParser:
    """Splits the channel's bytes, as they come, into records and output."""

    def __init__(self, token: str) -> None:
        self._marker = b"\x1eLAB " + token.encode("ascii") + b" "
        self._buffer = b""

    def feed(self, data: bytes) -> list[Record | Output]:
        """Take further bytes; return what is complete."""
        events: list[Record | Output] = []
        buffer = self._buffer + data
        at = 0
        while True:
            start = buffer.find(self._marker, at)
            if start < 0:
                keep = len(buffer) - self._partial(buffer, at)
                if keep > at:
                    events.append(Output(buffer[at:keep]))
                self._buffer = buffer[keep:]
                return events
            if start > at:
                events.append(Output(buffer[at:start]))
            body = start + len(self._marker)
            end = buffer.find(b"\n", body)
            if end < 0:
                if len(buffer) - body > MAX_RECORD:  # not written by init
                    events.append(Output(buffer[start:body]))
                    at = body
                    continue
                self._buffer = buffer[start:]
                return events
            words = buffer[body:end].decode("utf-8", "replace").split(" ")
            events.append(Record(words[0], words[1:]))
            at = end + 1

    def finish(self) -> list[Record | Output]:
        """The stream has ended: what is left can only be output."""
        rest, self._buffer = self._buffer, b""
        return [Output(rest)] if rest else []

    def _partial(self, buffer: bytes, at: int) -> int:
        """Length of a beginning of the marker that `buffer` ends with."""
        for size in range(min(len(self._marker) - 1, len(buffer) - at), 0, -1):
            if buffer.endswith(self._marker[:size]):
                return size
        return 0
