# SPDX-License-Identifier: GPL-2.0
"""Asks a hung machine, over QMP, where its CPUs are."""

import json
import socket
from pathlib import Path


def registers(path: Path, seconds: float = 5) -> str:
    """`info registers -a`, or "" if QEMU does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(seconds)
            link.connect(str(path))
            with link.makefile("rw", encoding="utf-8") as stream:
                def ask(command: str, **arguments: str) -> object:
                    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                    stream.flush()
                    while True:
                        reply = json.loads(stream.readline())
                        if "return" in reply:
                            return reply["return"]
                        if "error" in reply:
                            raise OSError(str(reply["error"]))

                stream.readline()  # the greeting
                ask("qmp_capabilities")
                text = ask("human-monitor-command", **{"command-line": "info registers -a"})
                return str(text).replace("\r", "")
    except (OSError, ValueError):
        return ""
