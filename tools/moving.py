"""Runs the blocks of docs/moving.md, each in an environment of its own, against a practice teacher.

    synth practice --port 8000 --faults faultless &
    python tools/moving.py synth=.venv/bin/python distilabel=PYTHON curator=PYTHON data-designer=PYTHON [--port 8000]

Says for each how long it took, how much it printed, and whether the answers of all three stories stand there.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "moving.md"
PORT = "--port"
LONGEST_S = 240


def blocks(page: str) -> dict[str, str]:
    """The Python blocks by the name in their first line, and the stories."""
    python = re.findall(r"```python\n# ([\w-]+)\n(.*?)```", page, re.DOTALL)
    return dict(python) | {"stories": page.split("```json\n", 1)[1].split("```", 1)[0]}


def main() -> None:
    """Run what the command line names."""
    words = sys.argv[1:]
    port = words[words.index(PORT) + 1] if PORT in words else "8000"
    found = blocks(PAGE.read_text(encoding="utf-8"))
    for name, python in (word.split("=", 1) for word in words if "=" in word):
        code = found[name].replace("localhost:8000", f"localhost:{port}")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "stories.jsonl").write_text(found["stories"], encoding="utf-8")
            Path(folder, "job.py").write_text(code, encoding="utf-8")
            began = time.monotonic()
            ended = subprocess.run(  # noqa: S603 (what the user named)
                [Path(python).absolute(), "job.py"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=LONGEST_S,
                check=False,
            )
        told = ended.stdout + ended.stderr
        answered = sum(f"{who} ->" in told for who in ("Aiko", "Oliver", "恵"))
        lines = len([line for line in code.splitlines() if line.strip()])
        print(
            f"{name}: exit {ended.returncode}, {answered} of 3 answered, {time.monotonic() - began:.1f} s, "
            f"{lines} lines of code, {len(told.splitlines())} lines printed"
        )
        if answered < 3:
            print(told[-3000:])


if __name__ == "__main__":
    main()
