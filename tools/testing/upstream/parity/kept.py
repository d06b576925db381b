# SPDX-License-Identifier: GPL-2.0
"""Keeps what C KVM did in a boot for the next time that all is the same.

C KVM does not change with the module, so its half of the comparison can be that of
another run. What is kept is what the lab left, in a folder whose name is a digest of all
that the boot depends on: the lab's command line (machine, tests, arguments, limits), the
contents of the kernel, the initramfs, the programs, the lab itself, and QEMU. It is kept
only if the host kept well and every result was as expected.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

FILES = ("results.json", "console.log", "qemu.cmd", "*.tap")
ENTRIES = 30  # so many are kept, those that were used last


class Kept:
    """A folder with the results of boots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def key(words: Iterable[str], files: Iterable[Path]) -> str:
        """What a boot depends on, as a name."""
        digest = hashlib.sha256()
        for word in words:
            digest.update(f"{len(word.encode())} {word}".encode())
        for path in files:
            digest.update(hashlib.file_digest(path.open("rb"), "sha256").digest())
        return digest.hexdigest()[:24]

    def fetch(self, key: str, out: Path) -> str | None:
        """Puts what is kept under this name into `out`. Returns when it was made; None
        if there is nothing."""
        entry = self.folder / key
        if not (entry / "results.json").exists():
            return None
        made = time.localtime((entry / "results.json").stat().st_mtime)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(entry, out)
        os.utime(entry)
        return time.strftime("%Y-%m-%d %H:%M", made)

    def keep(self, key: str, out: Path) -> None:
        """Keeps what the lab left in `out`, in place of what was used longest ago."""
        entry = self.folder / key
        part = self.folder / f"{key}.{os.getpid()}"
        part.mkdir(parents=True)
        for pattern in FILES:
            for path in out.glob(pattern):
                shutil.copy2(path, part)
        shutil.rmtree(entry, ignore_errors=True)
        try:
            part.rename(entry)
        except OSError:  # another run was faster
            shutil.rmtree(part)
        entries = sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for old in entries[:-ENTRIES]:
            shutil.rmtree(old, ignore_errors=True)
