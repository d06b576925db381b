# SPDX-License-Identifier: GPL-2.0
"""A node more in a flattened device tree. Devicetree Specification, chapter 5."""

import struct

from .errors import LabError

MAGIC, BEGIN_NODE, END_NODE, PROP, END = 0xD00DFEED, 1, 2, 3, 9
HEADER = struct.Struct(">10I")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def add_pmem(blob: bytes, address: int, size: int) -> bytes:
    """The tree with persistent memory, for a root with two cells of address and size."""
    (magic, _, at_tree, at_names, at_reserved, version, compatible, cpu, names_size,
     tree_size) = HEADER.unpack_from(blob)
    tree = blob[at_tree:at_tree + tree_size]
    names = blob[at_names:at_names + names_size]
    end = struct.pack(">II", END_NODE, END)
    if magic != MAGIC or not tree.endswith(end):
        raise LabError("QEMU's device tree is not understood", "do without --pmem")

    def prop(name: bytes, value: bytes) -> bytes:
        # Each of the machine's devices has both properties.
        at = (b"\0" + names).index(b"\0" + name + b"\0")
        return struct.pack(">III", PROP, len(value), at) + _padded(value)

    node = (struct.pack(">I", BEGIN_NODE) + _padded(b"pmem@%x\0" % address)
            + prop(b"compatible", b"pmem-region\0") + prop(b"reg", struct.pack(">QQ", address, size))
            + struct.pack(">I", END_NODE))
    tree = tree[:-len(end)] + node + end
    # The reservations end with one of nothing.
    reserved = blob[at_reserved:]
    while struct.unpack_from(">QQ", reserved) != (0, 0):
        reserved = reserved[16:]
    reserved = blob[at_reserved:len(blob) - len(reserved) + 16]
    at_reserved = HEADER.size
    at_tree = at_reserved + len(reserved)
    at_names = at_tree + len(tree)
    header = HEADER.pack(MAGIC, at_names + len(names), at_tree, at_names, at_reserved, version,
                         compatible, cpu, len(names), len(tree))
    return header + reserved + tree + names
