"""What several tests share: a small recipe in a folder of its own, and the synth command."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pytest
import zstandard

from tests.forked import LIMIT_S, ROOT, Commands, Started, end

CANARY = os.environ.setdefault("SYNTH_CANARY", f"sk-CANARY{secrets.token_hex(16)}")
"""The key that every test of every worker process uses: after the last one, no byte of it may be anywhere."""
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes of the tests import synth: one compiles it
KEY_VARIABLES = ("SYNTH_CANARY", "OPENAI_API_KEY", "SOME_KEY", "MY_KEY")
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:  # as under nohup, or behind & in a script: processes inherit it
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

BEGAN = time.time()
OWN_FOLDERS = {
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}
UNWRITTEN = (".git", ".venv", ".venv-real", ".venv-vllm")
LARGEST = 64_000_000
"""The largest file that is looked through where not only tests write."""
ZSTD_FRAME = b"\x28\xb5\x2f\xfd"

RECIPE = """\
name: small
language: en
license: cc0-1.0
seeds:
  kind: grid
  axes: {{topic: [shopping, travel, cooking], level: [easy, hard]}}
teachers:
  main:
    model: practice-1
    base_url: "{base_url}"
    {endpoint}
    sampling: {{max_tokens: 800, temperature: 0.7, seed: 1}}
    limits: {{max_in_flight: {in_flight}}}
stages:
  - name: write
    generator: {{kind: self_instruct, prompt: write.md.j2, count: 6}}
    dedupe: {{by: instruction}}
  - name: answer
    draws: 2
    generator: {{kind: answer, prompt: answer.md.j2, question: instruction}}
    validators:
      [{{kind: finished}}, {{kind: refusal}}, {{kind: repetition}}, {{kind: language}}, {{kind: answer_format}}]
    scorers: [{{kind: judge, rubric: judge.md.j2}}]
selection: {{require: {{judge: 4}}, best_of: judge}}
split: {{fractions: {{train: 0.7, test: 0.3}}}}
{more}
"""
TEMPLATES = {
    "write.md.j2": 'Write {{ count }} new exercises about "{{ topic }}" ({{ level }}).\n',
    "answer.md.j2": "{{ instruction }}\n\nLast line: `A: result`.\n",
    "judge.md.j2": (
        "<question>\n{{ question }}\n</question>\n<answer>\n{{ answer }}\n</answer>\n"
        'Give "reason" and "score" (1 to 5) as JSON.\n'
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--crash-results", type=Path, help="Where tests/crash writes what its kills came to, as JSON.")
    parser.addoption("--batch-kills", type=int, default=60, help="The same of runs that wait for batches.")
    parser.addoption("--kills", type=int, default=200, help="How often tests/crash kills a run (2000: the long way).")


WriteRecipe = Callable[..., Path]
Synth = Callable[..., subprocess.CompletedProcess[str]]
Begin = Callable[..., "Started | subprocess.Popen[str]"]


@pytest.fixture
def write_recipe(tmp_path: Path) -> WriteRecipe:
    """Write the small recipe with its templates; gives its folder."""

    def write(base_url: str = "practice:", *, in_flight: int = 32, endpoint: str = "", more: str = "") -> Path:
        folder = tmp_path / "recipe"
        folder.mkdir(exist_ok=True)
        text = RECIPE.format(base_url=base_url, in_flight=in_flight, endpoint=endpoint, more=more)
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        for name, template in TEMPLATES.items():
            (folder / name).write_text(template, encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands | None]:
    if sys.platform != "linux":
        yield None
        return
    commands = Commands()
    yield commands
    commands.close()


@pytest.fixture
def synth(tmp_path: Path, commands: Commands | None) -> Synth:
    """Run the synth command as a user would, in a folder of its own."""

    def call(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        words = list(map(str, arguments))
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT), **(env or {})}
        if commands and commands.can(environment):
            return commands.call(words, tmp_path, environment)
        return subprocess.run(
            [sys.executable, "-c", "from synth.cli import main; main()", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    return call


@pytest.fixture
def begin(tmp_path: Path, commands: Commands | None) -> Iterator[Begin]:
    """Start the synth command as a user would, in a process that goes on beside the test and is killed at its end.

    `stdout` and `stderr` are as `subprocess.Popen` takes them, and nothing is kept of what is not asked for.
    """
    begun: list[Started | subprocess.Popen[str]] = []

    def start(
        *arguments: str | Path,
        env: dict[str, str] | None = None,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
    ) -> Started | subprocess.Popen[str]:
        words = list(map(str, arguments))
        environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **(env or {})}
        process: Started | subprocess.Popen[str]
        if commands and commands.can(environment):
            process = commands.start(words, tmp_path, environment, stdout, stderr)
        else:
            process = subprocess.Popen(
                [sys.executable, "-c", "from synth.cli import main; main()", *words],
                cwd=tmp_path,
                env=environment,
                text=True,
                stdout=stdout,
                stderr=stderr,
            )
        begun.append(process)
        return process

    yield start
    end(*begun)


@pytest.fixture(autouse=True)
def _canary(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEY_VARIABLES:
        monkeypatch.setenv(name, CANARY)


def traces_of_the_canary(folder: Path) -> list[Path]:
    """The files in a folder, or a file, that hold the key: as it is, in Base64, or in zstd frames as the store keeps replies."""
    secret = CANARY.encode()
    encoded = base64.b64encode(secret)[:-4]
    return sorted(
        path
        for path in (folder, *folder.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and any(secret in text or encoded in text for text in _readings(path))
    )


def _readings(path: Path) -> Iterator[bytes]:
    raw, unpack = path.read_bytes(), zstandard.ZstdDecompressor()
    yield raw
    if path.name == "run.db":
        yield from _blobs(path)
    for frame in raw.split(ZSTD_FRAME)[1:]:
        try:
            yield unpack.decompressobj().decompress(ZSTD_FRAME + frame)
        except zstandard.ZstdError:
            continue  # a page boundary cut it


def _blobs(path: Path) -> Iterator[bytes]:
    """What the replies in a store say, which its pages may hold in pieces."""
    unpack = zstandard.ZstdDecompressor().decompress
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            for (blob,) in connection.execute("SELECT raw FROM reply"):
                yield unpack(blob)
        except (sqlite3.DatabaseError, zstandard.ZstdError):
            return  # a test damaged it


def changed_since(moment: float, folder: Path, *, deep: bool = True) -> Iterator[Path]:
    """The files of a folder, and by default of those in it, that changed since a moment of the wall clock, but for what
    tests do not write."""
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if deep and name not in UNWRITTEN]
        for path in (Path(where, name) for name in names):
            with contextlib.suppress(OSError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and found.st_mtime >= moment - 1 and found.st_size <= LARGEST:
                    yield path


def written_elsewhere(moment: float) -> Iterator[Path]:
    """What changed since then where tests, and what they start, may write beside their own folders: the tree of this
    project, compiled modules, temporary files and those in the user's own folders."""
    home, temporary = Path.home(), Path(tempfile.gettempdir())
    own = [Path(os.environ.get(name) or home / usual) for name, usual in OWN_FOLDERS.items()]
    compiled = [Path(sys.pycache_prefix)] if sys.pycache_prefix else []
    for folder in (ROOT, *own, *compiled, *temporary.glob("tmp*")):
        yield from changed_since(moment, folder)
    for folder in (home, temporary):
        yield from changed_since(moment, folder, deep=False)


LOOKED_THROUGH: dict[str, list[str]] = {}
"""The folder of each worker process, and the files with the key that it found there."""


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    LOOKED_THROUGH.update(getattr(node, "workeroutput", {}).get("looked_through", {}))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for the key in everything that the tests left: each worker process where its tests wrote, and the first one,
    once they are done, in all that none of them looked through, reports and logs of pytest's own among it."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is None:
        return
    folder: Path = factory.getbasetemp()
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["looked_through"] = {folder.name: list(map(str, _found(folder)))}
        return
    left = [path for path in folder.iterdir() if path.name not in LOOKED_THROUGH and not path.is_symlink()]
    given = (getattr(session.config.option, name, None) for name in ("xmlpath", "log_file", "crash_results"))
    elsewhere = [path for path in written_elsewhere(BEGAN) if folder not in path.parents] + [
        Path(path) for path in given if path
    ]
    found = [
        *chain.from_iterable(LOOKED_THROUGH.values()),
        *(one for path in (*left, *elsewhere) for one in _found(path)),
    ]
    if found:
        session.exitstatus = 1
        print(f"\nThe key of the tests was written to {', '.join(map(str, found[:5]))}.")


def _found(folder: Path) -> list[Path]:
    return [path for path in traces_of_the_canary(folder) if "test_the_search_finds" not in str(path)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A key in what a test printed fails it; the report of its teardown has all that was printed."""
    report = yield
    if report.when == "teardown" and CANARY in report.caplog + report.capstdout + report.capstderr:
        report.outcome = "failed"
        report.longrepr = "The key of the tests was printed."
    return report
