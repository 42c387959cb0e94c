"""`synth convert`: what was written, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from synth.console.screen import ERR, OUT, indented, write_json
from synth.formats import REFUSALS
from synth.formats.convert import Converted
from synth.language.text import several, visible
from synth.lint import Trapped
from synth.lint.table import TRAPS

LEFT_OUT_EXIT = 3


def converted(found: Converted, *, as_json: bool) -> int:
    """Say what was written and what was not; gives the exit code, 3 when rows were left out."""
    exit_code = LEFT_OUT_EXIT if found.left_out else 0
    if as_json:
        files = {str(path): rows for path, rows in found.files.items()}
        told = {name: {reason: asdict(one) for reason, one in notes.items()}
                for name, notes in (("left_out", found.left_out), ("warnings", found.warnings))}  # fmt: skip
        write_json({"rows": found.rows(), "files": files, **told, "reasoning_dropped": found.thoughtless})
        return exit_code
    for path, rows in found.files.items():
        OUT.print(f"{visible(str(path))}  {several(rows, 'row')}", markup=False, soft_wrap=True)
    if found.thoughtless:
        ERR.print(f"The reasoning of {several(found.thoughtless, 'row')} was dropped; see --reasoning.", style="yellow")
    _told("left out", found.left_out, "red")
    _told("warning", found.warnings, "yellow")
    return exit_code


def _told(what: str, notes: Mapping[str, Trapped], colour: str) -> None:
    for name, trapped in sorted(notes.items(), key=lambda item: (-item[1].rows, item[0])):
        ERR.print(f"\n[{colour}]{what}[/]  [bold]{name}[/]  {trapped.rows:,}")
        ERR.print(indented(REFUSALS.get(name) or TRAPS[name].says, ERR))
        ERR.print(f"  {visible(', '.join(trapped.places))}", markup=False, style="dim", soft_wrap=True)
