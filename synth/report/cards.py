"""Pieces of HTML for a notebook cell: small, escaped, and in whatever colours the notebook has.

Notebooks have dark themes that no media query tells of, so nothing here has a colour of its own: lines and tints are
made of the colour of the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from synth.language.text import Count
from synth.money.budget import usd
from synth.report.texts import shown, visible
from synth.report.words import Words
from synth.storage.database import Ledger

SHOWN = 5
"""Rows in a notebook cell."""
MOST_CHARACTERS = 4000
"""Of one turn."""
CELL_CHARACTERS = 120
"""Of a text in a table."""
HEAD_CHARACTERS, TAIL_CHARACTERS = 60, 40
"""Of a question on its one line: many begin with the same passage or instruction and differ at the end."""

PROSE, CODE = Markup('<div class="text">{}</div>'), Markup("<pre>{}</pre>")
CELL, NUMBER = Markup("<{0}>{1}</{0}>"), Markup('<{0} class="number">{1}</{0}>')
RUNNING = {"en": "Running", "ja": "実行中"}

STYLE = Markup("""<style>
.synth{font-size:13px;line-height:1.5;max-width:62em}
.synth details{border-top:1px solid color-mix(in srgb,currentColor 18%,transparent);padding:.35em 0}
.synth summary{cursor:pointer;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.synth .badge,.synth .unseen{border:1px solid color-mix(in srgb,currentColor 35%,transparent);border-radius:3px;
padding:0 .4em;margin-right:.5em;font-size:11px}
.synth .turn{margin:.5em 0 .5em .2em;padding-left:.8em;
border-left:3px solid color-mix(in srgb,currentColor 22%,transparent)}
.synth .role,.synth .quiet{opacity:.7;font-size:11px}
.synth .text{white-space:pre-wrap;overflow-wrap:anywhere}
.synth pre{background:color-mix(in srgb,currentColor 8%,transparent);padding:.5em;overflow-x:auto;margin:.4em 0}
.synth.synth table{border-collapse:collapse;margin:.4em 0;font-size:inherit}
.synth.synth.synth tr{background:transparent}
.synth.synth th,.synth.synth td{text-align:left;vertical-align:top;padding:.1em 1.2em .1em 0;overflow-wrap:anywhere}
.synth.synth td.number,.synth.synth th.number{text-align:right;font-variant-numeric:tabular-nums}
.synth p{margin:.3em 0}
.synth .bar{display:inline-block;width:12em;height:.6em;margin-right:.8em;border-radius:3px;
background:color-mix(in srgb,currentColor 15%,transparent)}
.synth .bar i{display:block;height:100%;border-radius:3px;background:color-mix(in srgb,currentColor 55%,transparent)}
</style>""")


def framed(words: Words, inside: Markup) -> str:
    """The pieces of one cell, with their style, in the language of the words."""
    return str(Markup('<div class="synth" lang="{}">{}{}</div>').format(words.language, STYLE, inside))


def frame(page: str) -> str:
    """A whole page in a frame: scripts of its own run there and reach nothing outside it but for downloads."""
    wrapped = Markup(
        '<iframe srcdoc="{}" sandbox="allow-scripts allow-downloads" '
        'style="width:100%;height:36em;border:1px solid color-mix(in srgb,currentColor 18%,transparent)"></iframe>'
    )
    return str(wrapped.format(escape(page)))


def rows(some: Iterable[Mapping[str, Any]], count: int, words: Words) -> Markup:
    """The first of so many rows or refusals, each folded to a line."""
    each = [row(one, words) for one in some]
    if not each:
        return Markup('<p class="quiet">{}</p>').format(f"{words.rows}: 0")
    told = Markup('<p class="quiet">{} 1–{} / {:,}</p>').format(words.rows, len(each), count)
    return told + Markup("").join(each)


def columns(some: Sequence[Mapping[str, Any]], count: int, words: Words) -> Markup:
    """The first of so many flat rows as a table, long texts cut."""
    names = list(dict.fromkeys(name for one in some for name in one))
    body = [["" if one.get(name) is None else _short(one[name]) for name in names] for one in some]
    told = Markup('<p class="quiet">{} 1–{} / {:,}</p>').format(words.rows, len(some), count)
    return told + table(names, body)


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= CELL_CHARACTERS else f"{text[:CELL_CHARACTERS]}…"


def row(one: Mapping[str, Any], words: Words) -> Markup:
    """A row or refusal: its question on a line with scores and reason, and all turns below it."""
    messages: Sequence[Mapping[str, Any]] = one["messages"]
    question = next((turn["content"] for turn in messages if turn["role"] == "user"), "")
    badges = [badge(f"{score['name']} {score['value']:g}") for score in one["scores"]]
    if reason := str(one.get("reason") or ""):
        badges.insert(0, badge(words.reasons.get(reason, reason)))
    below = [turn_of(turn, words) for turn in messages] or [Markup('<p class="quiet">{}</p>').format(words.not_kept)]
    if detail := one.get("detail"):
        below.insert(0, Markup('<p class="quiet">{}</p>').format(visible(detail[:400])))
    cost = [usd(one["cost_microusd"])] if one.get("cost_microusd") else []
    foot = "  ".join(str(part) for part in (one["id"], one.get("teacher", ""), *cost) if part)
    line = " ".join(question.split()) or one["id"]
    if len(line) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        line = f"{line[:HEAD_CHARACTERS]} … {line[-TAIL_CHARACTERS:]}"
    return Markup('<details><summary>{}{}</summary>{}<p class="quiet">{}</p></details>').format(
        Markup("").join(badges), visible(line), Markup("").join(below), visible(foot)
    )


def title(name: str, state: str) -> Markup:
    """What it is, and what has become of it."""
    return Markup("<p><b>{}</b> {}</p>").format(visible(name), visible(state))


def notes(texts: Iterable[str]) -> Markup:
    """Sentences, a paragraph each."""
    return Markup("").join(Markup("<p>{}</p>").format(visible(one)) for one in texts if one)


def bar(share: float, label: str) -> Markup:
    """How much of something is done."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}"
    return Markup('<span class="bar"><i style="width:{}%"></i></span>{}').format(width, visible(label))


def badge(text: str) -> Markup:
    """A small label."""
    return Markup('<span class="badge">{}</span>').format(visible(text))


def turn_of(turn: Mapping[str, Any], words: Words) -> Markup:
    """One turn of a conversation; its reasoning stays folded."""
    thought = Markup("")
    if reasoning := turn.get("reasoning_content"):
        thought = Markup("<details><summary>{}</summary>{}</details>").format(words.reasoning, text(reasoning, words))
    role = words.roles.get(turn["role"], turn["role"])
    return Markup('<div class="turn"><div class="role">{}</div>{}{}</div>').format(
        role, thought, text(turn["content"], words)
    )


def text(whole: str, words: Words) -> Markup:
    """A text with its code set apart, cut where it is long."""
    cut = shown(whole, MOST_CHARACTERS)
    parts = [(CODE if part.is_code else PROSE).format(part.text) for part in cut.segments]
    if cut.left_out:
        parts.append(Markup('<p class="quiet">… {}</p>').format(words.left_out.format(Count(cut.left_out))))
    return Markup("").join(parts)


def costs(lines: Sequence[Ledger], unpriced: Sequence[str], words: Words) -> Markup:
    """Attempts, tokens and money by stage and teacher, and their sums."""
    by: dict[tuple[str, str], list[int]] = {}
    for line in lines:
        sums = by.setdefault((line.stage, line.teacher), [0, 0, 0, 0])
        given = (line.attempts, line.prompt_tokens, line.completion_tokens, line.cost_microusd)
        sums[:] = [one + other for one, other in zip(sums, given, strict=True)]
    total = [sum(column) for column in zip(*by.values(), strict=True)] if by else [0, 0, 0, 0]
    head = (words.stage, words.teacher, words.attempts, words.prompt_tokens, words.completion_tokens, words.cost)
    body = [(*key, *_numbers(sums)) for key, sums in by.items()]
    notes = [Markup("<p>{} {}</p>").format(words.price_unknown, visible(name)) for name in unpriced]
    return table(head, [*body, (words.total, "", *_numbers(total))], numbers_from=2) + Markup("").join(notes)


def _numbers(sums: Sequence[int]) -> list[str]:
    return [*(f"{number:,}" for number in sums[:3]), usd(sums[3])]


def table(head: Sequence[str], body: Iterable[Sequence[str | Markup]], numbers_from: int = 99) -> Markup:
    """A table without lines; columns from `numbers_from` on are numbers."""

    def cells(kind: str, each: Sequence[str | Markup]) -> Markup:
        shown_as = [one if isinstance(one, Markup) else visible(one) for one in each]
        made = [(NUMBER if place >= numbers_from else CELL).format(kind, one) for place, one in enumerate(shown_as)]
        return Markup("<tr>{}</tr>").format(Markup("").join(made))

    top = cells("th", head) if head else Markup("")
    return Markup("<table>{}{}</table>").format(top, Markup("").join(cells("td", each) for each in body))
