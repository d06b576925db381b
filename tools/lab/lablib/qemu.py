# SPDX-License-Identifier: GPL-2.0
"""QEMU: its version, its command line, and a process that never outlives us."""

import ctypes
import os
import re
import shlex
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .errors import LabError
from .fdt import add_pmem

BINARY = "qemu-system-aarch64"
OLDEST = (10, 0)
PR_SET_PDEATHSIG = 1
# Where the memory of machine "virt" begins.
MEMORY = 1 << 30


@dataclass
class Machine:
    """The machine to boot, as the command line describes it."""

    kernel: Path
    initrd: Path
    host: str = "module"
    append: list[str] = field(default_factory=list)
    cpu: str = "max"
    cpus: int = 2
    memory: str = "1G"
    machine: str = "virtualization=on,gic-version=3"
    icount: str | None = None
    disks: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    expect_reset: bool = False
    uart: bool = False
    pmem: int = 0
    slow: int = 1  # times as long as on a quick kernel

    def size(self) -> int:
        """How many MiB of memory it has."""
        match = re.fullmatch(r"(\d+)([MG]?)", self.memory)
        if not match:
            raise LabError(f"--memory {self.memory} is not understood with --pmem",
                           "write it as 512M or 2G")
        return int(match[1]) * (1024 if match[2] == "G" else 1)

    def words(self) -> str:
        """The kernel's command line."""
        # oops=panic: after an oops the host is not to be trusted; the run ends at once.
        # printk.devkmsg=on: no limit on the lines that init and tests put into the log.
        # printk.time=1, ignore_loglevel: every message, and known as one of the kernel.
        words = ["console=ttyAMA0", "panic=-1", "oops=panic", "printk.devkmsg=on",
                 "printk.time=1", "ignore_loglevel"]
        # Debian's two minutes would be longer than a run.
        words.append(f"sysctl.kernel.hung_task_timeout_secs={20 * self.slow}")
        if self.slow > 1:
            # What such a kernel takes long for is neither a stall nor a lockup.
            words += [f"rcupdate.rcu_cpu_stall_timeout={min(300, 21 * self.slow)}",
                      f"watchdog_thresh={min(60, 10 * self.slow)}"]
        if self.uart:
            words.append("lab.channel=ttyAMA1")
        if self.host == "module":
            words.append("kvm-arm.mode=none")
        if self.pmem:
            # The end of the memory is not the kernel's.
            words.append(f"mem={self.size()}M")
        if self.expect_reset:
            words += ["retain_initrd", "lab.from=none"]
        return " ".join(words + self.append)


def _comma(text: object) -> str:
    """A value inside a QEMU option: commas are doubled."""
    return str(text).replace(",", ",,")


def disk_arguments(number: int, text: str) -> list[str]:
    """The options for one --disk FILE[:ro|:snapshot]."""
    name, _, mode = text.rpartition(":")
    if mode not in ("ro", "snapshot") or not name:
        name, mode = text, ""
    path = Path(name)
    if not path.exists():
        raise LabError(f"disk image {name} is missing",
                       "create it, or correct --disk FILE[:ro|:snapshot]")
    with path.open("rb") as stream:
        image = "qcow2" if stream.read(4) == b"QFI\xfb" else "raw"
    drive = f"if=none,id=disk{number},file={_comma(path)},format={image}"
    if mode:
        drive += {"ro": ",readonly=on", "snapshot": ",snapshot=on"}[mode]
    return ["-drive", drive,
            "-device", f"virtio-blk-pci,drive=disk{number},serial=disk{number}"]


def command(qemu: str, m: Machine, console: Path, channel: Path,
            interactive: bool = False, qmp: Path | None = None) -> list[str]:
    """QEMU's command line."""
    line = [qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", "tcg",
            "-machine", f"virt,{m.machine}" if m.machine else "virt",
            "-cpu", m.cpu, "-smp", str(m.cpus), "-m",
            f"{m.size() + m.pmem}M" if m.pmem else m.memory,
            "-kernel", str(m.kernel), "-initrd", str(m.initrd), "-append", m.words()]
    if interactive:
        line += ["-chardev", f"stdio,id=console,mux=on,signal=off,logfile={_comma(console)}",
                 "-serial", "chardev:console", "-monitor", "chardev:console"]
    else:
        line += ["-chardev", f"file,id=console,path={_comma(console)}",
                 "-serial", "chardev:console"]
    line += ["-chardev", f"file,id=lab,path={_comma(channel)}"]
    if m.uart:
        line += ["-serial", "chardev:lab"]
    else:
        # vectors=0: a plain interrupt line, so that the channel needs neither MSI nor ITS.
        line += ["-device", "virtio-serial-pci,vectors=0",
                 "-device", "virtserialport,chardev=lab,name=lab"]
    if m.icount:
        line += ["-icount", m.icount]
    for number, text in enumerate(m.disks):
        line += disk_arguments(number, text)
    if qmp:
        line += ["-qmp", f"unix:{_comma(qmp)},server=on,wait=off"]
    return line + m.extra


def with_pmem(line: list[str], m: Machine, out: Path) -> list[str]:
    """The command line of a machine that has persistent memory: it is in the device tree."""
    plain, described = out / "plain.dtb", out / "pmem.dtb"
    without = {"-kernel", "-initrd", "-append"}
    dump = [word for before, word in zip(["", *line], line)
            if word not in without and before not in without]
    dump[dump.index("-machine") + 1] += f",dumpdtb={_comma(plain)}"
    try:
        subprocess.run(dump, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, text=True, timeout=60, check=True)
    except subprocess.SubprocessError as error:
        raise LabError(f"QEMU did not give its device tree: {error}",
                       "correct the options of the host") from None
    described.write_bytes(add_pmem(plain.read_bytes(), MEMORY + (m.size() << 20), m.pmem << 20))
    plain.unlink()
    return [*line, "-dtb", str(described)]


def as_script(line: list[str]) -> str:
    """The command line for people: a shell script to run by hand."""
    text = shlex.quote(line[0])
    for word in line[1:]:
        text += (" \\\n\t" if word.startswith("-") else " ") + shlex.quote(word)
    return text + "\n"


def find(binary: str = BINARY) -> str:
    """QEMU's path, after a look at its version."""
    path = shutil.which(binary)
    if not path:
        raise LabError(f"{binary} is not installed",
                       "install qemu-system-arm from trixie-backports (10.0 or newer)")
    try:
        text = subprocess.run([path, "--version"], stdout=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise LabError(f"{path} does not run: {error}", "reinstall qemu-system-arm") from None
    check_version(path, text)
    return path


def check_version(path: str, text: str) -> None:
    """Raise LabError if what --version printed is too old."""
    match = re.search(r"version (\d+)\.(\d+)", text)
    if not match:
        raise LabError(f"{path} --version is not understood: {text.strip()!r}",
                       "put Debian's qemu-system-aarch64 first in PATH")
    if (int(match[1]), int(match[2])) < OLDEST:
        raise LabError(f"{path} is QEMU {match[1]}.{match[2]}; the lab needs 10.0 or newer",
                       "install qemu-system-arm from trixie-backports")


class Process:
    """A running QEMU. It dies with us, whatever becomes of us."""

    def __init__(self, line: list[str], stderr: Path, interactive: bool = False) -> None:
        parent = os.getpid()
        libc = ctypes.CDLL(None, use_errno=True)

        def die_with_parent() -> None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with stderr.open("wb") as errors:
            self._process = subprocess.Popen(
                line,
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=None if interactive else errors,
                stderr=None if interactive else errors,
                start_new_session=not interactive,  # Ctrl-C is ours to handle
                preexec_fn=die_with_parent)

    def poll(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait for its end."""
        return self._process.wait()

    def kill(self) -> None:
        """End it now and wait until it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
