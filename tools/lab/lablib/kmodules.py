# SPDX-License-Identifier: GPL-2.0
"""Finds kernel modules and what they depend on in a modules directory.

Debian's module packages come without modules.dep, and depmod would have to
write into their directory. The modules say themselves what they need, in their
.modinfo section; that is read here.
"""

import gzip
import lzma
import re
from pathlib import Path

from .errors import LabError

_SUFFIX = re.compile(r"\.ko(?:\.xz|\.gz|\.zst)?$")


def _key(name: str) -> str:
    return name.replace("-", "_")


def load(path: Path) -> bytes:
    """The module's ELF file, unpacked."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        raise LabError(f"{path} is compressed with zstd, which Python 3.13 cannot unpack",
                       "unpack the modules with unzstd first")
    return data


def depends(module: bytes) -> list[str]:
    """The modules that a module names in its .modinfo."""
    names: list[str] = []
    for match in re.finditer(rb"(?<=\0)(?:depends|softdep)=([^\0]*)(?=\0)", module):
        text = match[1].decode("ascii", "replace")
        if ":" in text:  # softdep=pre: a b post: c
            text = " ".join(re.findall(r"pre:((?:\s+[^\s:]+(?!\S*:))*)", text))
        names += [n for n in re.split(r"[,\s]+", text) if n]
    return names


class ModuleTree:
    """The modules of one kernel release."""

    def __init__(self, directory: Path) -> None:
        if not (directory / "kernel").is_dir():
            raise LabError(f"{directory} holds no kernel modules",
                           "give --modules the directory with the releases (.../lib/modules) "
                           "or the release's own, and --release")
        self._paths = {_key(_SUFFIX.sub("", p.name)): p
                       for p in directory.rglob("*.ko*") if _SUFFIX.search(p.name)}
        self._builtin = self._read_builtin(directory / "modules.builtin")
        self._cache: dict[str, bytes] = {}

    @staticmethod
    def _read_builtin(path: Path) -> set[str]:
        if not path.is_file():
            return set()
        return {_key(_SUFFIX.sub("", Path(line.strip()).name))
                for line in path.read_text().splitlines()}

    def content(self, name: str) -> bytes:
        """A module's unpacked file."""
        name = _key(name)
        if name not in self._cache:
            self._cache[name] = load(self._paths[name])
        return self._cache[name]

    def resolve(self, wanted: list[str]) -> dict[str, list[str]]:
        """Each needed module with all it depends on, in the order to load them."""
        order: dict[str, list[str]] = {}

        def visit(name: str, path: tuple[str, ...], required: bool) -> list[str]:
            if name in order:
                return order[name]
            if name in path or name in self._builtin:
                return []
            if name not in self._paths:
                if not required:
                    return []
                raise LabError(f"there is no module {name}", "look at the release's kernel/ for "
                               "its name, or leave it out if the kernel has it built in")
            below: list[str] = []
            for other in depends(self.content(name)):
                key = _key(other)
                for item in [*visit(key, (*path, name), False), key]:
                    if item not in below and item in order:
                        below.append(item)
            order[name] = below
            return below

        for name in wanted:
            visit(_key(name), (), True)
        return order
