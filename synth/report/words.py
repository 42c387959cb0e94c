"""What the pages say: the names of headings and labels here, the words in `words.en.json` and `words.ja.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import orjson

from synth.language.codes import is_japanese


class BrowserWords(NamedTuple):
    """Labels of the row browser in one language; `{}` is where a number, or a name, goes, and `{0:row|rows}` a noun."""

    title: str
    figures: str
    figures_about: str
    or_more: str
    of_which: str
    about: str
    no_script: str
    search: str
    search_example: str
    filters: str
    any: str
    state: str
    rows: str
    refused: str
    decided: str
    reason: str
    stage: str
    teacher: str
    split: str
    script: str
    length: str
    score: str
    least: str
    most: str
    order: str
    in_order: str
    longest: str
    shortest: str
    highest: str
    lowest: str
    clear: str
    found: str
    searching: str
    nothing: str
    left_out: str
    full_texts: str
    full_going: str
    full_done: str
    list: str
    keys: str
    choose: str
    previous: str
    next: str
    back: str
    missing: str
    foreign: str
    characters: str
    detail: str
    twin: str
    repairs: str
    seed: str
    cost: str
    trace: str
    copy: str
    copied: str
    accept: str
    reject: str
    edit: str
    undo: str
    save_edit: str
    cancel: str
    note: str
    before: str
    undecidable: str
    decisions: str
    none_yet: str
    counted: str
    who: str
    save: str
    load: str
    apply: str
    loaded: str
    not_loaded: str
    other_run: str
    not_kept: str
    accepted: str
    rejected: str
    edited: str
    undone: str


class ComparedWords(NamedTuple):
    """Headings and labels of the page of a bake-off in one language."""

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


class Words(NamedTuple):
    """Headings and labels of the report in one language."""

    language: str
    report: str
    rows: str
    seeds: str
    drafts: str
    accepted: str
    cost: str
    by_batch: str
    duration: str
    per_row: str
    tokens: str
    states: dict[str, str]
    practice_title: str
    practice: str
    way: str
    way_note: str
    way_money: str
    rejections: str
    no_rejections: str
    kept_twin: str
    similarity: str
    not_kept: str
    scores: str
    no_scores: str
    mean: str
    judges: str
    judge: str
    graded: str
    verifier: str
    right: str
    if_right: str
    if_wrong: str
    ranked_right: str
    by_position: str
    own_answers: str
    judges_note: str
    diversity: str
    part: str
    parts: dict[str, str]
    measured: str
    distinct: str
    compression: str
    diversity_note: str
    course: str
    requests_a_minute: str
    tokens_a_second: str
    money_so_far: str
    course_note: str
    breaks: str
    at_most: str
    spending: str
    stage: str
    teacher: str
    attempts: str
    failed: str
    prompt_tokens: str
    completion_tokens: str
    total: str
    budget: str
    lost: str
    still_charged: str
    examples: str
    no_rows: str
    more_rows: str
    roles: dict[str, str]
    reasoning: str
    left_out: str
    provenance: str
    recipe: str
    recipe_text: str
    template: str
    source: str
    model: str
    served: str
    host: str
    sampling: str
    terms: str
    verdicts: dict[str, str]
    reported: str
    unknown: str
    price: str
    licence: str
    no_licence: str
    time: str
    versions: str
    parked: str
    repeated: str
    practice_teacher: str
    price_unknown: str
    scoring: str
    by_meaning: str
    gates: str
    gates_saved: str
    pair_distribution: str
    pair_note: str
    no_pairs: str
    unrelated_pairs: str
    unrelated_note: str
    given_threshold: str
    scripts: dict[str, str]
    """What the scripts are called whose texts are compared by meaning."""
    same_meaning: str
    uncompared: str
    unremembered: str
    cluster_sizes: str
    texts: str
    texts_or_more: str
    largest_clusters: str
    kept_earlier: str
    more_twins: str
    shares: str
    answers: str
    of_use: str
    per_use: str
    rows_by_model: str
    ladder: str
    rung: str
    asked: str
    fitted: str
    rungs: dict[str, str]
    """Plain words for the steps of the ladder by which objects are asked for."""
    reasons: dict[str, str]
    """Plain words for the names of reasons; a plug-in's own reason is shown by its name."""
    failures: dict[str, str]
    """Plain words for the classes of replies that could not be used."""
    browser: BrowserWords
    compared: ComparedWords


def _read(language: str) -> Words:
    """The words in a language's file. Raises TypeError when it lacks one, or holds one that nothing says."""
    said: dict[str, Any] = orjson.loads(Path(__file__).with_name(f"words.{language}.json").read_bytes())
    browser, compared = BrowserWords(**said.pop("browser")), ComparedWords(**said.pop("compared"))
    return Words(**said, browser=browser, compared=compared)


ENGLISH, JAPANESE = _read("en"), _read("ja")


def words_of(language: str) -> Words:
    """The words for a recipe in this language: Japanese, or else English."""
    return JAPANESE if is_japanese(language) else ENGLISH


def duration(seconds: float, language: str) -> str:
    """A duration for people: `2 min 5 s`, `2 分 5 秒`."""
    units = (" 時間", " 分", " 秒") if language == "ja" else (" h", " min", " s")
    if seconds < 60:
        return f"{seconds:.1f}{units[2]}"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{units[1]} {rest}{units[2]}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}{units[0]} {minutes}{units[1]}"


def moment(iso: str) -> str:
    """An ISO 8601 time for people: `2026-11-24 12:00:00 UTC`."""
    return iso.replace("T", " ").replace("+00:00", " UTC")
