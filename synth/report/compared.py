"""The page of a bake-off: the teachers' figures, what of it may be chance, and their answers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synth.comparing.bakeoff import ACCEPTED, LANGUAGE, Comparison, Contender, Given, Measured
from synth.datasets.card import is_japanese
from synth.datasets.files import write_whole
from synth.money.budget import usd
from synth.report.figures import short
from synth.report.page import load_template
from synth.report.texts import shown
from synth.report.words import ENGLISH, JAPANESE
from synth.report.words import Words as ReportWords

MOST_PROMPTS = 50
MOST_CHARACTERS = 4000
"""Of one answer."""
SHARES = (ACCEPTED, LANGUAGE)
"""Measures whose values are shares of drafts; the others are scores."""


@dataclass(frozen=True, slots=True)
class Words:
    """Headings and labels of the page in one language."""

    title: str
    note: str
    teachers: str
    prompts: str
    accepted: str
    per_accepted: str
    tokens_per_accepted: str
    characters: str
    in_language: str
    refused: str
    of: str
    differences: str
    measure: str
    difference: str
    interval: str
    verdict: str
    chance: str
    beyond: str
    chance_note: str
    answers: str
    not_given: str
    more: str


WORDS = {
    False: Words(
        title="Teachers compared",
        note="The same prompts, asked of each teacher alone in the stage {stage}.",
        teachers="Teachers",
        prompts="Prompts",
        accepted="Accepted",
        per_accepted="Cost per accepted row",
        tokens_per_accepted="Tokens per accepted row",
        characters="Characters (median)",
        in_language="In the language",
        refused="Refused",
        of="{} of {}",
        differences="Differences",
        measure="What",
        difference="Difference",
        interval="95 % interval",
        verdict="So",
        chance="within chance (p {:.2f})",
        beyond="more than chance (p {:.3f})",
        chance_note="Pairs of the same prompt; a permutation test (for accepted or not, McNemar’s), corrected for the "
        "number of teachers. What lies within chance is no reason to choose.",
        answers="Side by side",
        not_given="no answer",
        more="{} more prompts are in compare.json.",
    ),
    True: Words(
        title="教師モデルの比較",
        note="ステージ「{stage}」で、同じプロンプトをそれぞれの教師モデルに単独で尋ねた結果です。",
        teachers="教師モデル",
        prompts="プロンプト",
        accepted="採用",
        per_accepted="採用1件あたりの費用",
        tokens_per_accepted="採用1件あたりのトークン",
        characters="文字数（中央値）",
        in_language="指定言語の割合",
        refused="不採用",
        of="{1} 件中 {0} 件",
        differences="差",
        measure="項目",
        difference="差",
        interval="95 % 区間",
        verdict="判定",
        chance="偶然の範囲内（p {:.2f}）",
        beyond="偶然を超える差（p {:.3f}）",
        chance_note="同じプロンプトどうしの対で比べた並べ替え検定（採否についてはマクネマー検定）で、教師モデルの数に応じて"
        "補正しています。偶然の範囲内の差は、選ぶ理由になりません。",
        answers="回答の比較",
        not_given="回答なし",
        more="ほかの {} 件は compare.json にあります。",
    ),
}


def write_comparison(path: Path, found: Comparison) -> None:
    """Write the page, in Japanese for a Japanese recipe, else in English. Raises FolderError when the disk refuses."""
    write_whole(path, page(found).encode("utf-8", "replace"))


def page(found: Comparison) -> str:
    """The page as HTML."""
    ja = is_japanese(found.language)
    return load_template("compare.html.j2").render(
        found=found,
        words=JAPANESE if ja else ENGLISH,
        said=WORDS[ja],
        figures=list(figures(found.contenders, WORDS[ja], JAPANESE if ja else ENGLISH)),
        prompts=list(found.answers.items())[:MOST_PROMPTS],
        left=max(0, len(found.answers) - MOST_PROMPTS),
        question=question,
        amount=amount,
        interval=interval,
        shown=shown,
        most=MOST_CHARACTERS,
        labels={ACCEPTED: WORDS[ja].accepted, LANGUAGE: WORDS[ja].in_language},
    )


def figures(of: Sequence[Contender], said: Words, words: ReportWords) -> Iterator[tuple[str, list[str]]]:
    """The lines of a table with a column for each teacher: what they tell, and a value for each."""
    yield words.model, [one.model for one in of]
    yield said.prompts, [f"{one.prompts:,}" for one in of]
    yield said.accepted, [said.of.format(f"{one.accepted:,}", f"{one.drafts:,}") for one in of]
    yield said.per_accepted, [_cost(one, words.unknown) for one in of]
    yield said.tokens_per_accepted, [_or_dash(one.tokens_per_accepted, "{:,.0f}") for one in of]
    for score in sorted({score for one in of for score in one.scores}):
        means = [one.scores.get(score) for one in of]
        yield score, ["–" if mean is None else f"{short(mean[0])} ({mean[1]:,})" for mean in means]
    yield said.characters, [_or_dash(one.characters, "{:,.0f}") for one in of]
    yield said.in_language, [_or_dash(one.in_language, "{:.0%}") for one in of]


def _cost(one: Contender, unknown: str) -> str:
    cost = one.cost_per_accepted_microusd
    return usd(cost) if cost is not None else unknown if one.cost_microusd is None else "–"


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def question(answers: dict[str, tuple[Given, ...]]) -> str:
    """What a prompt's rows ask, from the first answer that tells."""
    return next((one.question for given in answers.values() for one in given if one.question), "")


def amount(measured: Measured, value: float) -> str:
    """A difference as people read it: of shares in points of a hundred, of scores as it is."""
    return f"{_points(value)} %" if measured.measure in SHARES else _signed(value)


def interval(measured: Measured) -> str:
    """From where to where the difference may lie."""
    if measured.interval is None:
        return "–"
    if measured.measure in SHARES:
        return f"{' … '.join(map(_points, measured.interval))} %"
    return " … ".join(map(_signed, measured.interval))


def _points(share: float) -> str:
    points = round(100 * share)
    return f"{points:+d}" if points else "0"


def _signed(value: float) -> str:
    """With three decimals at most: a difference smaller than that is none."""
    seen = round(value, 3)
    return f"{'+' if seen > 0 else '-'}{short(abs(seen))}" if seen else "0"
