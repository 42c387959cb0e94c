"""Times a newcomer's way from `pip install` to the first row on their own endpoint, in an environment of its own.

    python tools/first_minutes.py http://localhost:8000/v1 MODEL

Installs this checkout without a cache, and says what each step took and left on disk.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOUR_LINES = """\
import synth
prompt = "Aiko had 276 notebooks, received 13 more and gave away 25. How many notebooks are left?"
found = synth.ask_all([prompt], teacher={teacher!r})
print(found[0].text or found[0].reason)
"""


def _cpu_s() -> float:
    """Seconds of CPU that all commands so far took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(what: str, command: list[str | Path], folder: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command, say how long it took and how much it printed, and give what it printed."""
    began, used = time.monotonic(), _cpu_s()
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=env)  # noqa: S603 (our own)
    told = ended.stdout + ended.stderr
    spent = f"{time.monotonic() - began:.1f} s ({_cpu_s() - used:.1f} s of CPU)"
    print(f"{what}: {spent}, exit {ended.returncode}, {len(told.splitlines())} lines printed", flush=True)
    if ended.returncode:
        print(told[-2000:])
    return told


def main() -> None:
    """Go the whole way."""
    url, model = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        home = folder / "venv" / "bin"
        began = time.monotonic()
        empty = sum(path.stat().st_size for path in (folder / "venv").rglob("*") if path.is_file())
        timed(
            "pip install",
            [home / "pip", "install", "-q", "--no-cache-dir", "--disable-pip-version-check", str(ROOT)],
            folder,
        )
        size = sum(path.stat().st_size for path in (folder / "venv").rglob("*") if path.is_file()) - empty
        packages = timed("pip list", [home / "pip", "list", "--format", "freeze"], folder).splitlines()
        count = len([one for one in packages if "==" in one and not one.startswith(("pip=", "setuptools="))])
        print(f"{size / 1e6:.0f} MB, {count} packages")
        print(timed("pip check", [home / "pip", "check"], folder).strip())
        timed("synth --help", [home / "synth", "--help"], folder)
        timed("import synth and its API", [home / "python", "-c", "import synth; synth.run"], folder)
        teacher = f"{url},{model}"
        timed("a recipe of one's own", [home / "synth", "new", "mine", "--from", "quickstart-en"], folder)
        asked = ["--teacher", f"main={teacher}"]
        timed("one seed looked at", [home / "synth", "preview", "mine", "-n", "1", *asked], folder)
        timed("the same seed's rows", [home / "synth", "run", "mine", "--limit", "1", *asked], folder)
        rows = (folder / "runs" / "mine" / "rows.jsonl").read_text(encoding="utf-8").splitlines()
        print(f"{len(rows)} rows, {time.monotonic() - began:.0f} s after the first command")
        print(
            timed("four lines of Python", [home / "python", "-c", FOUR_LINES.format(teacher=teacher)], folder).strip()
        )


if __name__ == "__main__":
    main()
