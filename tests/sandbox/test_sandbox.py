"""Model-written code runs inside bubblewrap or not at all, and does no harm there."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from synth import sandbox
from synth.errors import Transient
from synth.live.loop import run_loop
from synth.sandbox import Work, failure, seccomp

needs_sandbox = pytest.mark.skipif(bool(sandbox.problem()), reason=sandbox.problem() or "-")
SECRET = "環境の秘密"
HOME, ROOT = Path.home(), Path(__file__).parents[2]


def ran(code: str, *tests: str, timeout_s: float = 5.0) -> str:
    return run_loop(failure(Work(code, tests), timeout_s))


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "test", "failed"),
    [
        ("def f(x):\n    return x + 1", "assert f(1) == 2", ""),
        ("def f(x):\n    return x", "assert f(1) == 2", "test 1 of 1: AssertionError at `assert f(1) == 2`"),
        ("def 挨拶(名前):\n    return f'こんにちは、{名前}さん'", "assert 挨拶('花子') == 'こんにちは、花子さん'", ""),
        ("def f(s):\n    return s", "assert f('ｶﾞ') == 'ガ'", "test 1 of 1: AssertionError at `assert f('ｶﾞ') == 'ガ'`"),
        ("def f(:", "f()", "the code: SyntaxError: invalid syntax (<code>, line 1)"),
        ("import sys; sys.exit(0)", "assert False", "the code: SystemExit: 0"),
        ("import os; os._exit(0)", "assert False", "the code ended the process"),
        ("import ctypes; ctypes.string_at(0)", "", "the code ended the process"),
        ("def f(): return f()", "f()", "test 1 of 1: RecursionError: maximum recursion depth exceeded at `f()`"),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int", "assert P(1) == P(1)", ""),
        ("import threading\nt = threading.Thread(target=threading.Event().wait)\nt.start()", "assert t.is_alive()", ""),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 3", "assert asyncio.run(f()) == 3", ""),
        ("import tempfile\nt = tempfile.TemporaryFile()\nt.write(b'x')", "t.seek(0); assert t.read() == b'x'", ""),
        ("if __name__ == '__main__':\n    raise ValueError('run as a program')", "", ""),
        ("print('x' * 10**7)", "assert True", ""),
        ("x = '\\ud800'", "assert len(x) == 1", ""),
    ],
)  # fmt: skip
def test_code_runs_as_it_would_outside_and_the_failed_test_is_named(code, test, failed):
    assert ran(code, test) == failed


ESCAPES = {
    "network": "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
    "network by address family": "import socket; socket.socket(40, socket.SOCK_STREAM)",
    "name look-up": "import socket; socket.getaddrinfo('localhost.example', 80)",
    "passwd": "open('/etc/passwd')",
    "home": f"import os, sys; assert all(sys.prefix.startswith(f'{HOME}/{{n}}') for n in os.listdir('{HOME}')); raise OSError",
    "working directory": f"import os; os.listdir({str(ROOT)!r})",
    "project": f"open({sandbox.__file__!r})",
    "process list": "open('/proc/self/environ')",
    "parent's memory": "import os; open(f'/proc/{os.getppid()}/mem')",
    "mounting proc": "import ctypes; l = ctypes.CDLL(None, use_errno=True)\nif l.mount(b'p', b'/tmp', b'proc', 0, None): raise OSError",
    "a new namespace": "import ctypes; l = ctypes.CDLL(None, use_errno=True)\nif l.unshare(0x10000000): raise OSError",
    "root again": "import os; os.setuid(0)",
    "writing at the root": "open('/x', 'w')",
    "writing the python": "open(__import__('sys').prefix + '/x', 'w')",
    "making a directory outside": "import os; os.mkdir('/usr/x')",
    "a link out": "import os; os.symlink('/etc/shadow', '/tmp/x'); open('/tmp/x')",
    "a link up": "import os; os.symlink('/', '/tmp/r'); open('/tmp/r/etc/hostname')",
    "a hard link": "import os; os.link('/usr/bin/env', '/tmp/env')",
    "going up": "open('../../../etc/hostname')",
    "fork": "import os; os.fork()",
    "fork bomb": "import os\nwhile True: os.fork()",
    "vfork and exec": "import subprocess; subprocess.run(['/usr/bin/env'])",
    "multiprocessing": "import multiprocessing as m; p = m.Process(target=print); p.start()",
    "threads without end": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "memory": "x = bytearray(1 << 31)",
    "memory in small pieces": "x = []\nwhile True: x.append('あ' * 100_000)",
    "memory off the books": "import os; os.memfd_create('x')",
    "shared memory": "import ctypes; l = ctypes.CDLL(None)\nif l.shmget(0, 1 << 28, 0o1600) < 0: raise OSError",
    "a full disk": "for n in range(999): open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))",
    "a long file": "open('/tmp/x', 'wb').truncate(1 << 30)",
    "open files": "import os\nwhile True: os.open('/dev/null', 0)",
    "the terminal": "open('/dev/tty')",
    "devices": "open('/dev/kmsg')",
    "the limits": "import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))",
    "tracing": "import ctypes; l = ctypes.CDLL(None)\nif l.ptrace(0, 0, 0, 0) < 0: raise OSError",
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("code", ESCAPES.values(), ids=ESCAPES)
def test_what_reaches_out_fails_inside(code):
    contained = f"try:\n{textwrap.indent(code, '    ')}\nexcept (OSError, MemoryError, RuntimeError, ValueError): contained = True\n"
    assert ran(contained, "assert contained") == ""


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "failed"),
    [
        ("while True: pass", "more than 1 s of processor time"),
        ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", "more than 1 s of processor time"),
        ("import os\nfor n in range(3, 60):\n  try:\n    while True: os.write(n, b'x' * 65536)\n  except OSError: pass", "the code ended the process"),
    ],
)  # fmt: skip
def test_code_without_end_is_ended(code, failed):
    assert ran(code, timeout_s=1.0) == failed


@needs_sandbox
def test_code_that_sleeps_is_ended_by_the_clock():
    assert ran("import time\ntime.sleep(99)", timeout_s=0.2) == "no end within 2 s"


@needs_sandbox
def test_the_environment_is_not_inherited(monkeypatch):
    monkeypatch.setenv("SYNTH_SECRET", SECRET)
    assert ran("import os", f"assert {SECRET!r} not in str(os.environ)", "assert os.environ['HOME'] == '/tmp'") == ""


@needs_sandbox
def test_signals_do_not_reach_those_outside():
    me, group = os.getpid(), os.getpgid(0)
    code = f"import os, signal\nfor pid in ({me}, -{group}, os.getppid()):\n  try: os.kill(pid, signal.SIGTERM)\n  except OSError: pass"
    assert ran(code, "assert True") == ""
    assert ran("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)") == "the code ended the process"


@needs_sandbox
def test_nothing_is_left_of_one_run_for_the_next():
    assert ran("open('/tmp/left', 'w').write('x')") == ""
    assert ran("import os", "assert os.listdir('/tmp') == []") == ""


@needs_sandbox
def test_many_run_at_once_while_the_loop_goes_on():
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    async def main() -> list[str]:
        heart = asyncio.create_task(beat())
        work = [
            failure(Work(f"def f(): return {number}", [f"assert f() == {number // 2 * 2}"]), 5.0)
            for number in range(20)
        ]
        failed = await asyncio.gather(*work)
        heart.cancel()
        return failed

    failed = run_loop(main())
    assert [not one for one in failed] == [number % 2 == 0 for number in range(20)]
    assert beats > 5


def processes(word: str) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if word in line and "ps -eo" not in line]


@needs_sandbox
def test_a_cancelled_run_leaves_nothing_behind(tmp_path):
    async def main() -> None:
        task = asyncio.create_task(failure(Work("import time; time.sleep(99)", []), 60.0))
        while not processes("--unshare-pid") and not processes("--unshare-all"):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while processes("bwrap"):
            await asyncio.sleep(0.01)

    run_loop(main())


@needs_sandbox
def test_what_runs_ends_with_the_process_that_started_it():
    program = (
        "import asyncio; from synth.sandbox import Work, failure\n"
        "asyncio.run(failure(Work('import time; time.sleep(99)', []), 60.0))"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        while not processes("bwrap"):
            pass
        process.kill()
    while processes("bwrap"):
        pass


@pytest.fixture
def path(monkeypatch, tmp_path):
    """A PATH of this test's own; what is known of the machine is forgotten before and after."""
    forget = (sandbox.problem.cache_clear, sandbox.bubblewrap.cache_clear)
    for clear in forget:
        clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    yield tmp_path
    for clear in forget:
        clear()


def program(path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_without_bubblewrap_it_says_which_package_is_missing(path):
    assert "install it (apt install bubblewrap" in sandbox.problem()


def test_a_bubblewrap_that_cannot_make_namespaces_is_no_sandbox(path):
    program(path / "bwrap", "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    assert "setting up uid map: Permission denied; allow it to make user namespaces" in sandbox.problem()


def test_a_sandbox_that_contains_nothing_is_refused(path):
    program(path / "bwrap", f'while [ "$1" != -s ]; do shift; done; exec {sys.executable} "$@"')
    assert "does not work on this machine: test 1 of 1: " in sandbox.problem()


def test_a_sandbox_that_fails_later_leaves_the_sample_for_another_time(path):
    program(path / "bwrap", "exit 1")
    with pytest.raises(Transient, match="sandbox: bubblewrap ended with 1 before the code began"):
        ran("x = 1")


def test_a_sandbox_that_has_ended_before_it_is_spoken_to_does_the_same(path, monkeypatch):
    program(path / "bwrap", "exit 1")
    started = asyncio.create_subprocess_exec

    async def slowly(*arguments, **named):
        process = await started(*arguments, **named)
        await process.wait()
        await asyncio.sleep(0.1)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    with pytest.raises(Transient, match="sandbox: bubblewrap ended with 1 before the code began"):
        ran("x = 1")


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_filter_is_a_whole_number_of_instructions_whose_jumps_stay_inside(machine):
    import struct

    steps = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    for place, (operation, yes, no, _) in enumerate(steps):
        assert place + 1 + max(yes, no) < len(steps) or operation == seccomp.RETURN
    assert steps[-1] == (seccomp.RETURN, 0, 0, seccomp.ALLOW)
