"""What came of a run, for a prompt and for a notebook cell: one line, and one small table."""

from __future__ import annotations

import itertools
from pathlib import Path

from markupsafe import Markup

from synth.language.text import several
from synth.language.text import visible as safe
from synth.report import cards
from synth.report.table import Table
from synth.report.texts import visible
from synth.report.words import Words, words_of
from synth.results.manifest import Manifest

LIST = {"en": ", ", "ja": "、"}


def in_words(manifest: Manifest, folder: Path, message: str) -> str:
    """One line: rows, refused, money, where it lies, and what else there is to say."""
    refused = sum(manifest.rejected.values())
    said = [several(manifest.row_count, "row"), f"{refused:,} refused", *manifest.standing, str(folder)]
    said += ["practice data"] * manifest.practice + [
        note for note in (*manifest.declared, manifest.notice, message) if note
    ]
    return safe(f"<Result of {manifest.recipe.name}, {manifest.state}: {'; '.join(said)}>")


def in_lines(manifest: Manifest, folder: Path, message: str) -> str:
    """The same for `print`: a line for each thing, in the recipe's language."""
    words = words_of(manifest.recipe.language)
    comma = LIST[words.language]
    splits = ", ".join(f"{name} {count:,}" for name, count in manifest.rows.items())
    reasons = [f"{words.reasons.get(name, name)} {count:,}" for name, count in manifest.rejected.items()]
    said = [
        f"{manifest.recipe.name}  {words.states[manifest.state]}",
        f"{words.rows}: {manifest.row_count:,}{f' ({splits})' if splits else ''}",
        f"{words.rejections}: {comma.join(reasons) or words.no_rejections}",
        f"{words.cost}: {comma.join(manifest.standing_in(words.language))}",
        str(folder),
    ]
    return "\n".join(safe(line) for line in (*said, *_notes(manifest, message, words)) if line)


def _notes(manifest: Manifest, message: str, words: Words) -> list[str]:
    """Sentences that have to be said beside the figures."""
    declared = [f"{judge.name}: {words.own_answers}" for judge in manifest.judges if judge.own_answers]
    notice = (manifest.notice_ja if words.language == "ja" else "") or manifest.notice
    if words.language == "ja" and message == manifest.message:
        message = manifest.message_ja or message
    return [words.practice_title] * manifest.practice + [*declared, notice, message]


def in_a_notebook(manifest: Manifest, folder: Path, message: str, looked_at: tuple[Table, Table] | None) -> str:
    """The same and the reasons as HTML, in the recipe's language; every text in it is escaped.

    `looked_at` are the rows and refusals of a preview, which are all that there is of it.
    """
    words = words_of(manifest.recipe.language)
    splits = ", ".join(f"{name} {count:,}" for name, count in manifest.rows.items())
    lines = [
        (words.rows, visible(f"{manifest.row_count:,} ({splits})" if splits else "0")),
        (words.rejections, _reasons(manifest, words)),
        (words.cost, visible(LIST[words.language].join(manifest.standing_in(words.language)))),
    ]
    # a preview writes neither
    lines += [(name, visible(str(folder / name))) for name in ("dataset", "report.html") if (folder / name).exists()]
    head = cards.title(manifest.recipe.name, words.states[manifest.state])
    below = Markup("").join(
        cards.rows(itertools.islice(table, cards.SHOWN), len(table), words) for table in looked_at or () if len(table)
    )
    body = [(Markup("<b>{}</b>").format(name), told) for name, told in lines]
    return cards.framed(words, head + cards.notes(_notes(manifest, message, words)) + cards.table((), body) + below)


def _reasons(manifest: Manifest, words: Words) -> Markup:
    if not manifest.rejected:
        return visible(words.no_rejections)
    each = [
        Markup("{} {:,}").format(visible(words.reasons.get(name, name)), count)
        for name, count in manifest.rejected.items()
    ]
    return Markup("<br>").join(each)
