# SPDX-License-Identifier: GPL-2.0
"""Finds splats in a console log: what the kernel says when it is broken.

Only messages of the kernel are looked at (a time stamp in front), and most
patterns are bound to the start of the message, so that a driver which merely
mentions a word is no splat. Not splats: "hogged CPU for >10000us" of the
workqueues and clocksource or sched_clock remarks; under TCG they measure the
build machine.
"""

import re
from dataclasses import asdict, dataclass

# (kind, pattern at the start of the message, why it is a defect)
_START: tuple[tuple[str, str, str], ...] = (
    ("lockdep", r"WARNING: (?:possible|inconsistent|bad unlock|suspicious RCU|"
                r"Nested lock|held lock|lock held|.* lock held)", "lock order or context broken"),
    ("kasan", r"BUG: KASAN", "memory used out of bounds or after free"),
    ("kcsan", r"BUG: KCSAN", "data race"),
    ("kfence", r"BUG: KFENCE", "memory used out of bounds or after free (sampled)"),
    ("atomic", r"BUG: (?:scheduling while atomic|sleeping function called|using .* in preemptible)|"
               r"bad: scheduling from", "slept or moved where that is forbidden"),
    ("lockup", r"(?:watchdog: )?(?:CPU\d+: )?(?:BUG: soft lockup|Watchdog detected hard LOCKUP)|"
               r"BUG: workqueue lockup", "a CPU made no progress"),
    ("rcu", r"rcu: INFO: .*stall|rcu: .*(?:kthread starved|detected .*stall)|"
            r"INFO: rcu_\S+ .*stall", "a CPU or task held up RCU"),
    ("hung", r"INFO: task .* blocked (?:for|in)|INFO: task .* is blocked on",
     "a task waits for what never comes"),
    ("lockdep", r"INFO: (?:trying to register non-static key|possible)|DEBUG_LOCKS_WARN_ON",
     "a lock used without being set up"),
    ("bug", r"kernel BUG at|BUG: |Kernel BUG|rust_kernel: panicked", "an assertion failed"),
    ("warn", r"WARNING: ", "a WARN was hit"),
    ("oops", r"Internal error: |Oops\b|Unable to handle kernel|Bad mode in |"
             r"Unexpected kernel |Unhandled .* exception in kernel", "the kernel faulted"),
    ("serror", r"SError Interrupt on CPU", "an asynchronous abort"),
    ("panic", r"Kernel panic - not syncing", "the kernel gave up"),
    ("ubsan", r"UBSAN: ", "undefined behaviour"),
    ("refcount", r"refcount_t: ", "a reference count broken"),
    ("list", r"(?:list_(?:add|del)|slab|SLUB).*corruption|=+\s*BUG ", "a data structure broken"),
    ("memory", r".*: page allocation failure|.* invoked oom-killer", "out of memory"),
    ("leak", r"kmemleak: \d+ new suspected", "memory leaked"),
    ("leak", r"BUG \S+.*: Objects remaining", "objects left in a slab cache"),
    ("leak", r"kvm_vhe: \d+ pages of stage-2 tables were not freed", "a VM has left memory behind"),
    ("irq", r"irq \d+: nobody cared|Spurious LPI|unexpected IRQ trap",
     "an interrupt without owner"),
    ("trace", r"Call trace:", "a stack dump without a known head line"),
)

_STAMP = re.compile(r"\[\s*(\d+\.\d{6})\](?:\[\s*[TC]\d+\])?\s")
_CUT = re.compile(r"-+\[ cut here \]-+")
_END = re.compile(r"-+\[ end (?:trace|Kernel panic)")
_LAB = re.compile(r"lab: (begin|end|step|boot|done)\b ?(\S*)")
_PATTERNS = tuple((kind, re.compile(text), why) for kind, text, why in _START)

BLOCK_LINES = 100  # a splat without an end line ends here at the latest
QUIET_LINES = 12  # ... or when so many lines have followed the last sign of it
_BODY = re.compile(r"Call trace:|^ \S+\+0x|^(?:pc|lr|sp|x\d+|pstate|CPU|Hardware name|Code|Modules|"
                   r"Workqueue|Tainted|Mem abort|Data abort)\b|^  +\S|^---\[")

# What belongs to a splat that is still being told. Anything else is a new one, lest a
# splat that is allowed should hide one that is not.
_FOLLOWS = frozenset({
    ("oops", "oops"), ("bug", "oops"), ("bug", "bug"), ("serror", "oops"), ("list", "bug"),
    ("list", "oops"), ("list", "warn"), ("refcount", "warn"), ("lockdep", "warn"), ("rcu", "rcu"),
})


@dataclass
class Splat:
    """One splat with its whole text."""

    kind: str
    why: str
    line: int  # in the console log, from 1
    head: str  # the message that made it one
    test: str | None  # the test that ran, if any
    text: list[str]  # from its first line to its last
    before: list[str]  # some lines before it
    allowed: bool = False

    def as_dict(self) -> dict[str, object]:
        """For results.json."""
        return asdict(self)

    def excerpt(self, limit: int = 20) -> list[str]:
        """Lines to show: a few before, then the splat itself."""
        shown = self.text[:limit]
        left = len(self.text) - len(shown)
        return self.before[-4:] + shown + ([f"... {left} more lines"] if left > 0 else [])


def classify(message: str) -> tuple[str, str] | None:
    """Kind and reason if a kernel message (without time stamp) starts a splat."""
    for kind, pattern, why in _PATTERNS:
        if pattern.match(message):
            return kind, why
    return None


def _message(line: str) -> str | None:
    """The kernel's message in a console line; None for any other line."""
    stamp = _STAMP.search(line)
    return line[stamp.end():] if stamp else None


def scan(log: str) -> list[Splat]:
    """All splats of a console log, in order. Follow-up lines belong to the first."""
    lines = [line.rstrip("\r") for line in log.split("\n")]
    splats: list[Splat] = []
    test: str | None = None
    open_from: int | None = None  # first line of the splat being collected
    cut: int | None = None  # a "cut here" line whose splat is still to come
    last_sign = 0
    current: Splat | None = None

    def close(end: int) -> None:
        nonlocal current, open_from
        if current is not None and open_from is not None:
            current.text = lines[open_from:end]
        current = open_from = None

    for number, line in enumerate(lines):
        message = _message(line)
        if message is None:
            continue
        if mark := _LAB.match(message):
            close(number)
            cut = None
            test = mark[2] if mark[1] == "begin" else None
            continue
        if _CUT.match(message):
            # A panic often cuts in while an oops is still being told; a WARN never nests.
            close(number)
            cut = number
            continue
        found = classify(message)
        if current is not None and open_from is not None:
            before_this = last_sign
            if found or _BODY.search(message):
                last_sign = number
            if number - open_from >= BLOCK_LINES or number - before_this > QUIET_LINES:
                close(before_this + 1)
            elif found and found[0] != "trace" and (current.kind, found[0]) not in _FOLLOWS:
                close(number)
        if current is None and found:
            open_from = cut if cut is not None and number - cut < 5 else number
            cut = None
            last_sign = number
            current = Splat(found[0], found[1], number + 1, message, test, [],
                            lines[max(0, open_from - 4):open_from])
            splats.append(current)
        if current is not None and _END.match(message):
            close(number + 1)
    if current is not None and last_sign + 1 < len(lines):
        close(min(len(lines), last_sign + 1 + QUIET_LINES))
    close(len(lines))
    return splats


def apply_allowances(splats: list[Splat], allowed: list[str]) -> list[str]:
    """Mark the splats that match an allowance; return allowances never met."""
    unmet = []
    for text in allowed:
        pattern = re.compile(text)
        hits = [s for s in splats if pattern.search("\n".join([s.head, *s.text]))]
        for splat in hits:
            splat.allowed = True
        if not hits:
            unmet.append(text)
    return unmet
