"""The system calls that sandboxed code may not make, as a classic BPF program (seccomp(2), filter mode)."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`."""
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000
CLONE_THREAD = 0x00010000
OTHER_ABI = 0x40000000
"""On x86-64, numbers from here on are the calls of the x32 ABI under other names."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The numbers of the calls on one kind of processor (`asm/unistd.h`)."""

    architecture: int
    clone: int
    clone3: int
    forbidden: tuple[int, ...]


MACHINES = {
    "x86_64": Calls(
        0xC000003E, 56, 435, (
            57, 58,  # fork, vfork: one process, so that the limits of one are the limits of all
            41,  # socket: what has no name in a network namespace (vsock) is closed too
            319, 447, 29, 64, 68, 240,  # memfd_*, shmget, semget, msgget, mq_open: memory that RLIMIT_AS does not count
            272, 308, 165, 166, 155,  # unshare, setns, mount, umount2, pivot_root
            101, 310, 311, 250, 248, 249, 321, 298, 323, 425, 304,
        ),  # ptrace, process_vm_*, keys, bpf, perf, userfaultfd, io_uring, open_by_handle_at: doors of kernel faults
    ),
    "aarch64": Calls(
        0xC00000B7, 220, 435,
        (198, 279, 447, 194, 190, 186, 180, 97, 268, 40, 39, 41, 117, 270, 271, 219, 217, 218, 280, 241, 282, 425, 265),
    ),
}  # fmt: skip


def program(machine: str) -> bytes:
    """The filter for a machine as `platform.machine()` names it. Raises KeyError for one that is not in the table."""
    calls = MACHINES[machine]
    steps = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, calls.architecture), (RETURN, 0, 0, KILL)]
    steps += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, OTHER_ABI), (RETURN, 0, 0, FAIL | errno.ENOSYS)]
    # its flags are out of the filter's sight; C libraries then fall back on clone
    steps += [(EQUAL, 0, 1, calls.clone3), (RETURN, 0, 0, FAIL | errno.ENOSYS)]
    for number in calls.forbidden:
        steps += [(EQUAL, 0, 1, number), (RETURN, 0, 0, FAIL | errno.EPERM)]
    steps += [(EQUAL, 0, 4, calls.clone), (LOAD, 0, 0, FIRST_ARGUMENT), (AND, 0, 0, CLONE_THREAD)]
    steps += [(EQUAL, 0, 1, 0), (RETURN, 0, 0, FAIL | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
