"""API keys: from the environment, and where a variable is not set there, from a `.env` file.

Only variables that a recipe or an option names as those of keys are taken from such a file, nothing of it enters the
environment, where programs that a run starts would inherit it, and nothing but names is ever told.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from synth.patterns import lazy

FILE = ".env"
LARGEST_BYTES = 1_000_000
LINE = lazy(
    r"""^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*
    (?:(?:"([^"\n]*)"|'([^'\n]*)')[ \t]*(?:\#[^\n]*)?|([^\s\#"'][^\n]*?)?(?:[ \t]+\#[^\n]*)?|\#[^\n]*)[ \t]*$""",
    re.MULTILINE | re.VERBOSE,
)
"""NAME=value, with or without quotes and `export`; a `#` after a blank, a quote or the `=` begins a
comment. Nothing is expanded."""

_read: dict[str, str] = {}


def key_of(name: str) -> str:
    """The key in a variable: of the environment, else of a `.env` file that was looked at; empty when there is none."""
    return os.environ.get(name, "").strip() or _read.get(name, "")


def look(named: Mapping[str, str], folders: Iterable[Path]) -> list[str]:
    """Look for keys that the environment lacks in the `.env` files of some folders, the first that has it counts.

    `named` are the variables with the addresses that their keys go to. Gives what the user should know: sentences that
    hold names and no values.
    """
    missing = {name for name in named if not os.environ.get(name, "").strip()}
    for name in missing:
        _read.pop(name, None)
    said: list[str] = []
    for path in dict.fromkeys((folder / FILE).absolute() for folder in folders):
        wanted = missing - _read.keys()
        if not wanted or not path.exists():
            continue
        found, problem = _found(path, wanted)
        _read.update(found)
        said += [f"The key in {name} for {named[name]} is read from {path}." for name in sorted(found)]
        said += [problem] if problem else []
    return said


def _found(path: Path, wanted: set[str]) -> tuple[dict[str, str], str]:
    """What a file says of some variables, and what is wrong with the file, in a sentence or empty."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST_BYTES:
            return {}, f"{path} is not read: it is no small text file."
        if hasattr(os, "getuid") and about.st_uid not in (os.getuid(), 0):
            return {}, f"{path} is not read: it belongs to another user."
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return {}, f"{path} cannot be read ({reason}); the keys in it are not known."
    every = {match[1]: (match[2] or match[3] or match[4] or "").strip() for match in LINE.finditer(text)}
    found = {name: every[name] for name in wanted if every.get(name)}
    is_open = found and about.st_mode & stat.S_IROTH
    return found, f"Everybody on this machine can read {path}; write: chmod 600 {path}" if is_open else ""
