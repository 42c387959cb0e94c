"""Code that a model wrote, run where it can do no harm: inside bubblewrap, or not at all.

Sandboxed code sees a read-only Python with its standard library, 16 MiB of its own at /tmp, and nothing else: no other
file, no network, no environment, no process but itself. Time, memory, threads, open files and file size are limited,
and it ends when synth does. bubblewrap: https://github.com/containers/bubblewrap
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

from synth.errors import Transient
from synth.sandbox import seccomp

MEMORY_BYTES = 1 << 30
DISK_BYTES = 16 << 20
LIMITS = {
    "RLIMIT_AS": MEMORY_BYTES,
    "RLIMIT_NPROC": 128,
    "RLIMIT_FSIZE": DISK_BYTES,
    "RLIMIT_NOFILE": 64,
    "RLIMIT_CORE": 0,
    "RLIMIT_MEMLOCK": 0,
}
MOST_REPORT_BYTES = 1 << 16
SCRATCH = "/tmp"  # noqa: S108 (inside the sandbox)
VARIABLES = (("HOME", SCRATCH), ("LC_ALL", "C.UTF-8"), ("PYTHONHASHSEED", "0"), ("MALLOC_ARENA_MAX", "1"))
"""All that the environment holds. The order of sets is fixed, so that a verdict is; threads share one heap, as each of
its own would take 128 MiB of the address space."""
INSIDE = Path(__file__).with_name("inside.py")
CPU_SIGNALS = (signal.SIGXCPU, signal.SIGKILL)
PROBE_S = 10.0
PATIENCE = 10
"""How many times the allowed processor time may pass on the clock: on a crowded machine code waits for its turn."""

MISSING = (
    "model-written code is only run inside bubblewrap, which is not installed here; install it "
    "(apt install bubblewrap, dnf install bubblewrap)"
)
UNUSABLE = "model-written code is only run inside bubblewrap, which does not work on this machine: {}"
NAMESPACES = "; allow it to make user namespaces, run as an ordinary user, or use a machine outside of containers"
PROBE = """
import os, socket, threading
def refused(action, *arguments):
    try:
        action(*arguments)
    except (OSError, MemoryError, RuntimeError):
        return True
def crowd():
    for _ in range(200):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
assert set(os.environ) <= {"HOME", "LC_ALL", "PWD", "PYTHONHASHSEED", "MALLOC_ARENA_MAX"}, "it sees the environment"
assert refused(open, "/etc/passwd"), "it reads files"
assert refused(open, "/outside", "w"), "it writes files"
assert refused(os.fork), "it starts processes"
assert refused(socket.socket), "it opens sockets"
assert refused(bytearray, 1 << 31), "it takes memory without limit"
threading.stack_size(65536)
assert refused(crowd), "it starts threads without limit"
"""


@dataclass(frozen=True, slots=True)
class Work:
    """Python source, the tests it has to pass, in order, and the name that a `check` function among them is given."""

    code: str
    tests: Sequence[str]
    entry_point: str = ""


@cache
def problem() -> str:
    """Why no code can be run here, in words that say what to do; empty when it can.

    Tries it: everything that code must not do is tried inside once, and all of it has to fail.
    """
    if not sys.platform.startswith("linux") or platform.machine() not in seccomp.MACHINES:
        return "model-written code is only run inside bubblewrap, which needs Linux on x86-64 or AArch64"
    if bubblewrap() is None:
        return MISSING
    token = secrets.token_hex(8)
    with _filter() as filter_fd:
        try:
            done = subprocess.run(  # noqa: S603 (our own words)
                _command(filter_fd),
                input=_input(Work("", [PROBE]), PROBE_S, token),
                capture_output=True,
                env={},
                pass_fds=(filter_fd,),
                timeout=PATIENCE * PROBE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return UNUSABLE.format("the trial did not end")
    failed = _verdict(done.stdout, token)
    if failed is None:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return UNUSABLE.format(said[-1] if said else f"the trial ended with {done.returncode}") + NAMESPACES
    return UNUSABLE.format(failed) if failed else ""


async def failure(work: Work, timeout_s: float) -> str:
    """Run code and its tests in the sandbox; says which test failed and how, or an empty text when none did.

    `timeout_s` counts the processor's time, so that a busy machine changes no verdict; sleeping code is ended after
    ten times as long. As many run at once as there are processors. Raises Transient(`sandbox`) when the sandbox
    could not be entered.
    """
    async with _turn():
        token = secrets.token_hex(8)
        with _filter() as filter_fd:
            process = await asyncio.create_subprocess_exec(
                *_command(filter_fd),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                pass_fds=(filter_fd,),
            )
        assert process.stdin is not None
        assert process.stdout is not None
        report, late = b"", False
        try:
            async with asyncio.timeout(PATIENCE * timeout_s):
                with suppress(RuntimeError, ConnectionError):  # uvloop's word for a process that has ended already
                    process.stdin.write(_input(work, timeout_s, token))
                    process.stdin.close()
                while len(report) < MOST_REPORT_BYTES and (piece := await process.stdout.read(MOST_REPORT_BYTES)):
                    report += piece
        except TimeoutError:
            late = True
        finally:
            await asyncio.shield(_end(process))
    failed = _verdict(report, token)
    if failed is not None:
        return failed
    if f"{token} began" not in report.decode("utf-8", "replace"):
        raise Transient("sandbox", f"bubblewrap ended with {process.returncode} before the code began")
    if late:
        return f"no end within {PATIENCE * timeout_s:g} s"
    # killed from inside: bubblewrap gives 128 and the signal
    ended_by = (process.returncode or 0) - 128
    return f"more than {timeout_s:g} s of processor time" if ended_by in CPU_SIGNALS else "the code ended the process"


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill bubblewrap, and what runs inside dies with it; waits until all of it is gone."""
    with suppress(ProcessLookupError):
        process.kill()
    assert process.stdout is not None
    while await process.stdout.read(MOST_REPORT_BYTES):
        pass  # the other end closes with the last process that holds it
    await process.wait()


def _command(filter_fd: int) -> list[str]:
    """bubblewrap around this Python, as bwrap(1) describes it."""
    program, python = bubblewrap(), os.path.realpath(sys.executable)
    assert program is not None
    views: list[str] = []
    for path in dict.fromkeys((Path("/usr"), Path(sys.base_prefix), Path(python).parent.parent)):
        for parent in reversed(path.parents[:-1]):  # left to bubblewrap, nobody could not pass through them
            views += ["--perms", "0755", "--dir", str(parent)]
        views += ["--ro-bind", str(path), str(path)]
    for name in ("lib", "lib64"):
        path = Path("/", name)
        views += ["--symlink", str(path.readlink()), str(path)] if path.is_symlink() else _try(path)
    if os.geteuid() == 0:  # to become nobody inside, for root is above some limits
        alone = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        alone += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        alone = ["--unshare-all", "--unshare-user", "--disable-userns"]
    return [
        *(program, *alone, "--die-with-parent", "--new-session", "--seccomp", str(filter_fd), *views),
        *(*_try(Path("/etc/ld.so.cache")), "--dev-bind", "/dev/null", "/dev/null", "--ro-bind", "/dev/urandom"),
        *("/dev/urandom", "--perms", "1777", "--size", str(DISK_BYTES), "--tmpfs", SCRATCH, "--remount-ro", "/"),
        *("--chdir", SCRATCH, "--clearenv", *(word for pair in VARIABLES for word in ("--setenv", *pair))),
        *(python, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", INSIDE.read_text(encoding="utf-8")),
    ]


def _try(path: Path) -> list[str]:
    return ["--ro-bind-try", str(path), str(path)]


@cache
def bubblewrap() -> str | None:
    """The path of bubblewrap; None when it is not installed."""
    return shutil.which("bwrap")


@contextmanager
def _filter() -> Generator[int]:
    """A descriptor that bubblewrap reads the forbidden calls from."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(seccomp.program(platform.machine()))
        yield reading
    finally:
        os.close(reading)


def _input(work: Work, timeout_s: float, token: str) -> bytes:
    seconds = math.ceil(timeout_s)
    limits = {**{name: (value, value) for name, value in LIMITS.items()}, "RLIMIT_CPU": (seconds, seconds + 1)}
    return json.dumps({**asdict(work), "limits": limits, "token": token}).encode("utf-8", "surrogatepass")


def _verdict(report: bytes, token: str) -> str | None:
    """What the report says failed; None when it does not come to an end."""
    for line in report.decode("utf-8", "replace").split("\n"):
        mark, _, said = line.partition(" ")
        if mark == token and said.startswith('"'):
            with suppress(json.JSONDecodeError):
                return json.loads(said)
    return None


@asynccontextmanager
async def _turn() -> AsyncGenerator[None]:
    """One of as many places as there are processors, on this event loop."""
    loop = asyncio.get_running_loop()
    places = _places.setdefault(loop, asyncio.Semaphore(os.cpu_count() or 1))
    async with places:
        yield


_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
