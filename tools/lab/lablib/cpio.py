# SPDX-License-Identifier: GPL-2.0
"""A writer for the newc cpio format, the one the kernel unpacks.

Output is reproducible: owner root, time zero, entries in the order of the
calls. No root rights are needed, for device nodes neither.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

# Directories that every base layer has. They are never written into a layer
# on top: in a usr-merged base /lib is a link, and the kernel would replace the
# link by our directory.
BASE_DIRECTORIES = frozenset(
    "bin dev etc lib lib64 mnt opt proc root run sbin sys tmp usr usr/bin usr/lib "
    "usr/sbin var".split()
)


def _clean(path: str) -> str:
    """The archive's form of a path in the guest: relative, without dots."""
    parts = [p for p in path.split("/") if p not in ("", ".")]
    if ".." in parts or not parts:
        raise ValueError(f"not a usable path in an archive: {path!r}")
    return "/".join(parts)


class CpioWriter:
    """Writes one archive to a binary stream; use it as a context manager."""

    def __init__(self, stream: BinaryIO, implied: frozenset[str] = BASE_DIRECTORIES) -> None:
        self._stream = stream
        self._known = set(implied)
        self._inode = 0
        self._offset = 0

    def __enter__(self) -> "CpioWriter":
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is None:
            self._header("TRAILER!!!", 0, 0, 0)
            self._write(bytes(-self._offset % 512))

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._offset += len(data)

    def _pad(self) -> None:
        self._write(bytes(-self._offset % 4))

    def _header(self, name: str, mode: int, size: int, rdev: int) -> None:
        self._inode += 1
        if size > 0xFFFFFFFF:
            raise ValueError(f"{name}: too large for a cpio archive (4 GiB)")
        links = 2 if stat.S_ISDIR(mode) else 1
        raw = os.fsencode(name) + b"\0"
        fields = (self._inode, mode, 0, 0, links, 0, size, 0, 0,
                  os.major(rdev), os.minor(rdev), len(raw), 0)
        self._write(b"070701" + b"".join(b"%08X" % f for f in fields) + raw)
        self._pad()

    def _entry(self, path: str, mode: int, data: bytes = b"", rdev: int = 0) -> None:
        name = _clean(path)
        self._parents(name)
        self._header(name, mode, len(data), rdev)
        self._write(data)
        self._pad()

    def _parents(self, name: str) -> None:
        parent = os.path.dirname(name)
        if parent and parent not in self._known:
            self.directory(parent)

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Add a directory (once), and the directories above it."""
        name = _clean(path)
        if name not in self._known:
            self._known.add(name)
            self._entry(name, stat.S_IFDIR | mode)

    def data(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a regular file with the given content."""
        self._entry(path, stat.S_IFREG | mode, data)

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._entry(path, stat.S_IFLNK | 0o777, os.fsencode(target))

    def node(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        """Add a character device node."""
        self._entry(path, stat.S_IFCHR | mode, rdev=os.makedev(major, minor))

    def file(self, path: str, source: Path, mode: int | None = None) -> None:
        """Add a file of the build machine; `mode` overrides its permissions."""
        name = _clean(path)
        self._parents(name)
        with source.open("rb") as stream:
            info = os.fstat(stream.fileno())
            bits = stat.S_IMODE(info.st_mode) if mode is None else mode
            self._header(name, stat.S_IFREG | bits, info.st_size, 0)
            left = info.st_size
            while left:
                block = stream.read(min(left, 1 << 20))
                if not block:
                    raise OSError(f"{source} became shorter while it was read")
                self._write(block)
                left -= len(block)
        self._pad()

    def tree(self, path: str, source: Path) -> None:
        """Add a file, a link or a whole directory of the build machine."""
        if source.is_symlink():
            self.symlink(path, os.readlink(source))
        elif source.is_dir():
            if path.strip("/"):
                self.directory(path, stat.S_IMODE(source.stat().st_mode))
            for child in sorted(source.iterdir()):
                self.tree(f"{path}/{child.name}", child)
        elif source.is_file():
            self.file(path, source)
        # Sockets, devices and fifos of the build machine mean nothing in the guest.
