"""`synth lint`: what would fail or spoil a training."""

from __future__ import annotations

from dataclasses import asdict

from synth.console.screen import OUT, indented, write_json
from synth.language.text import several, visible
from synth.lint import Linted, quantiles
from synth.lint.table import TRAPS

UNSOUND_EXIT = 1
SHARES = {"median": 0.5, "95 %": 0.95, "99 %": 0.99}


def linted(found: Linted, *, as_json: bool) -> int:
    """Say what was found, errors first; gives the exit code, 1 when there are errors."""
    names = sorted(found.traps, key=lambda name: (TRAPS[name].severity, -found.traps[name].rows, name))
    spread = dict(zip(SHARES, quantiles(found.tokens, [*SHARES.values()]), strict=True)) if found.tokens else {}
    if as_json:
        traps = [{"trap": name, **TRAPS[name]._asdict(), **asdict(found.traps[name])} for name in names]
        counted = {"tokens": sum(found.tokens), "longest": max(found.tokens, default=0), **spread}
        write_json({"rows": found.rows, "formats": found.formats, "traps": traps, "tokens": counted,
                    "passed_over": [str(path) for path in found.passed_over]})  # fmt: skip
        return 0 if found.is_sound else UNSOUND_EXIT
    formats = ", ".join(f"{form} {count:,}" for form, count in found.formats.most_common())
    OUT.print(f"{several(found.rows, 'row')} ({formats or 'none'})", markup=False)
    if found.passed_over:
        passed = several(len(found.passed_over), "file")
        OUT.print(f"passed over, as of other formats: {passed}", style="dim", markup=False)
    if found.tokens:
        told = "  ".join(f"{name} {count:,}" for name, count in spread.items())
        OUT.print(
            f"{several(sum(found.tokens), 'token')}; of a text: {told}  longest {max(found.tokens):,}", markup=False
        )
    for name in names:
        trap, trapped = TRAPS[name], found.traps[name]
        colour = "red" if trap.severity == "error" else "yellow"
        OUT.print(f"\n[{colour}]{trap.severity}[/]  [bold]{name}[/]  {trapped.rows:,}")
        OUT.print(indented(trap.says))
        OUT.print(f"  {visible(', '.join(trapped.places))}", markup=False, style="dim", soft_wrap=True)
    if not names:
        OUT.print("[green]nothing that is known to fail or to spoil a training[/]")
    return 0 if found.is_sound else UNSOUND_EXIT
