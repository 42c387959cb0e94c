"""The distributions of a dataset as SVG files beside its card: no script, no style sheet, nothing that is fetched."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from synth.datasets.files import write_whole
from synth.language.text import visible
from synth.report.figures import Bar, bars, funnel, histograms
from synth.report.words import Words, words_of
from synth.results.manifest import Manifest

FOLDER = "figures"
MOST_REASONS = 15
LABEL, WIDTH, LINE = 210, 640, 22
MOST_LABEL = 30
"""Columns of a label, of which a Japanese letter takes two."""
BAR_COLOUR, TEXT_COLOUR = "#4c78a8", "#777777"  # both can be read on white and on black


class Plot(NamedTuple):
    """One figure."""

    path: str
    """Relative to the dataset folder."""
    title: str
    svg: str


def plots(manifest: Manifest) -> list[Plot]:
    """What the manifest has distributions of."""
    words = words_of(manifest.recipe.language)
    return [
        Plot(f"{FOLDER}/{name}.svg", title, drawn(title, shown)) for name, title, shown in _figures(manifest, words)
    ]


def write_plots(folder: Path, figures: Sequence[Plot]) -> None:
    """Write them below a dataset folder, and remove those of an earlier export. Raises FolderError."""
    for figure in figures:
        write_whole(folder / figure.path, figure.svg.encode())
    known = {figure.path for figure in figures}
    for path in (folder / FOLDER).glob("*.svg"):
        if f"{FOLDER}/{path.name}" not in known:
            path.unlink()


def _figures(manifest: Manifest, words: Words) -> Iterator[tuple[str, str, Sequence[Bar]]]:
    yield "way", words.way, funnel(manifest, words)
    if manifest.rejected:
        told = [(words.reasons.get(reason, reason), count) for reason, count in manifest.rejected.items()]
        yield "rejected", words.rejections, bars(told[:MOST_REASONS])
    for number, histogram in enumerate(histograms(manifest), 1):
        yield f"score-{number}", f"{words.scores}: {histogram.name}", histogram.bars


def drawn(title: str, shown: Sequence[Bar]) -> str:
    """Horizontal bars with their labels and counts."""
    height = LINE * (len(shown) + 1) + 12
    room = WIDTH - LABEL - 90
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="13" fill="{TEXT_COLOUR}">',
        f"<title>{_text(title)}</title>",
        f'<text x="0" y="16" font-weight="bold">{_text(title)}</text>',
    ]
    for place, bar in enumerate(shown, 1):
        top, length = LINE * place + 6, max(1, round(room * bar.percent / 100)) if bar.count else 0
        lines += [
            f'<text x="{LABEL - 8}" y="{top + 14}" text-anchor="end">{_text(_shortened(bar.label))}</text>',
            f'<rect x="{LABEL}" y="{top + 2}" width="{length}" height="{LINE - 6}" fill="{BAR_COLOUR}"/>',
            f'<text x="{LABEL + length + 6}" y="{top + 14}">{bar.count:,}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _shortened(label: str) -> str:
    """As much of a label as there is room for."""
    taken, kept = 0, ""
    for sign in label:
        taken += 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if taken > MOST_LABEL:
            return kept + "…"
        kept += sign
    return kept


def _text(text: str) -> str:
    return escape(visible(" ".join(text.split())))
