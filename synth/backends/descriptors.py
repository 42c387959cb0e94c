"""How many connections this process may hold open: every one is a file descriptor, and systems give out few."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

SPARE = 64
"""Descriptors for the store, the outputs, look-ups and whatever else opens while a run goes on."""


def usable_in_flight(wanted: int) -> tuple[int, str]:
    """How many of `wanted` connections can be held at once, and a sentence when it is fewer (else empty).

    Raises the soft limit of this process towards its hard one where that is needed.
    """
    needed = wanted + SPARE + _in_use()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted, ""
    aim = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses what is above a ceiling of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(aim, soft), hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return wanted, ""
    usable = max(1, wanted - (needed - soft))
    return usable, (
        f"This process may open {soft} files, so {usable} requests go out at once in place of {wanted}; "
        f"`ulimit -n {needed}` before the run allows them all."
    )


def _in_use() -> int:
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return 16
