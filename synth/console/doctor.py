"""`synth doctor`: what synth finds around it, and a damaged store made whole."""

from __future__ import annotations

import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.text import Text

from synth.console.screen import OUT, plain_table, write_json
from synth.errors import FolderError
from synth.language.text import several
from synth.storage import disk, salvage
from synth.storage.database import examine
from synth.storage.lock import holder

SQLITE_MENDED = (3, 51, 3)
SQLITE_NOTE = (
    " (before 3.51.3 two connections that write at once can lose commits, https://www.sqlite.org/wal.html#walresetbug; "
    "synth writes with one, so write nothing to run.db while a run goes on)"
)
OPTIONAL = {
    "pyarrow": "parquet",
    "model2vec": "embed",
    "genai-prices": "prices",
    "datasets": "hub",
    "huggingface_hub": "hub",
    "jsonschema": "schema",
    "opentelemetry-sdk": "otel",
}


def doctor(folder: Path | None, *, repair: bool, as_json: bool) -> int:
    """Versions and optional packages; with a folder, the state of its store, which `repair` mends first."""
    report: dict[str, Any] = {"synth": version("synth"), "python": platform.python_version()}
    report["platform"] = platform.platform()
    report["sqlite"] = f"{sqlite3.sqlite_version}{SQLITE_NOTE if sqlite3.sqlite_version_info < SQLITE_MENDED else ''}"
    for package, extra in OPTIONAL.items():
        try:
            report[package] = version(package)
        except PackageNotFoundError:
            report[package] = f"not installed (pip install 'synth[{extra}]')"
    sound = True
    if folder is not None:
        if repair:
            report["repair"] = _repaired(salvage.repair(folder))
        findings = examine(folder / "run.db")
        sound = findings.problem == ""
        report["store"] = findings.problem or "sound"
        report["attempts"], report["lost"] = findings.attempts, findings.lost
        report["in use by"] = holder(folder) or "nobody"
        report["filesystem"] = disk.filesystem(folder) or "unknown"
        report["free"] = disk.megabytes(disk.free_bytes(folder))
    if as_json:
        write_json(report)
    else:
        table = plain_table("", "")
        for name, value in report.items():
            table.add_row(name, Text(f"{value:,}" if isinstance(value, int) else str(value)))
        OUT.print(table)
    return 0 if sound else FolderError.exit_code


def _repaired(found: salvage.Salvage) -> str:
    if found.kept is None:
        return "nothing is wrong, nothing was changed"
    saved = f"{several(found.attempts, 'attempt')}, {several(found.replies, 'reply')}"
    lost = f"{several(found.missing_attempts, 'attempt')} and {several(found.missing_replies, 'reply')}"
    return (
        f"saved {saved} and {several(found.settled, 'charge')}; {lost} could not be read; what was there is kept as "
        f"{found.kept}"
    )
