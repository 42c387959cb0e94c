"""What came of a run, for a prompt and for a notebook cell: one line, and one small table."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from synth.datasets.card import is_japanese
from synth.language.text import visible as safe
from synth.manifest import Manifest
from synth.report.texts import visible
from synth.report.words import ENGLISH, JAPANESE, Words

LINE = Markup('<tr><th style="text-align:left;vertical-align:top">{}</th><td style="text-align:left">{}</td></tr>')


def in_words(manifest: Manifest, folder: Path, message: str) -> str:
    """One line: rows, refused, money, where it lies, and what else there is to say."""
    refused = sum(manifest.rejected.values())
    said = [f"{manifest.row_count:,} rows", f"{refused:,} refused", *manifest.standing, str(folder)]
    said += ["practice data"] * manifest.practice + [
        note for note in (*manifest.declared, manifest.notice, message) if note
    ]
    return safe(f"<Result of {manifest.recipe.name}, {manifest.state}: {'; '.join(said)}>")


def in_a_notebook(manifest: Manifest, folder: Path, message: str) -> str:
    """The same and the reasons as HTML, in the recipe's language; every text in it is escaped."""
    words = JAPANESE if is_japanese(manifest.recipe.language) else ENGLISH
    splits = ", ".join(f"{name} {count:,}" for name, count in manifest.rows.items())
    lines = [
        (words.rows, visible(f"{manifest.row_count:,} ({splits})" if splits else "0")),
        (words.rejections, _reasons(manifest, words)),
        (words.cost, visible(", ".join(manifest.standing))),
    ]
    # a preview writes neither
    lines += [(name, visible(str(folder / name))) for name in ("dataset", "report.html") if (folder / name).exists()]
    declared = [f"{judge.name}: {words.own_answers}" for judge in manifest.judges if judge.own_answers]
    notes = [words.practice_title] * manifest.practice + [*declared, manifest.notice, message]
    head = Markup("<b>{}</b> {}").format(visible(manifest.recipe.name), words.states[manifest.state])
    table = Markup("").join(LINE.format(*line) for line in lines)
    told = Markup("").join(Markup("<p>{}</p>").format(visible(note)) for note in notes if note)
    return str(Markup('<div lang="{}"><p>{}</p>{}<table>{}</table></div>').format(words.language, head, told, table))


def _reasons(manifest: Manifest, words: Words) -> Markup:
    if not manifest.rejected:
        return visible(words.no_rejections)
    each = [
        Markup("{} {:,}").format(visible(words.reasons.get(name, name)), count)
        for name, count in manifest.rejected.items()
    ]
    return Markup("<br>").join(each)
