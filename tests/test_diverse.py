"""Rows that are unlike each other, the best first."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from synth.dedupe.diverse import too_similar
from synth.dedupe.normalise import normalise
from synth.errors import RecipeError
from synth.recipes.loading import load
from synth.results.selection import Diverse, Selection, select
from synth.types import Message, Rejection, Sample, Score


def sample(number: int, question: str, *scores: float, name: str = "ab") -> Sample:
    turns = (Message(role="user", content=question), Message(role="assistant", content=f"答え{number}"))
    given = tuple(Score(name=name[place], value=value) for place, value in enumerate(scores))
    id_ = f"{number:03d}"
    return Sample(id=id_, seed_id=id_, parent_id=id_, stage="a", draw=0, messages=turns, fields={}, scores=given)


def told(samples: list[Sample], **diverse) -> list[str]:
    chosen = select(samples, Selection(diverse=Diverse(**{"order": ["a"], "below": 0.5, **diverse})))
    return [one.reason if isinstance(one, Rejection) else one.id for one in chosen]


def grams(text: str) -> set[str]:
    """Of Latin text, by definition."""
    plain = normalise(text)
    return {plain[start : start + 5] for start in range(len(plain) - 4)}


def test_the_filter_finds_what_comparing_all_pairs_finds():
    rng = random.Random(11)
    base = [[rng.choice("abcdefghij") for _ in range(40)] for _ in range(12)]
    texts = []
    for letters in base:
        for changes in (0, 1, 2, 4, 8, 16):
            changed = list(letters)
            for place in rng.sample(range(40), changes):
                changed[place] = rng.choice("abcdefghij")
            texts.append("".join(changed))
    rng.shuffle(texts)
    for below in (0.2, 0.35, 0.5, 0.8, 1.0):
        taken: list[int] = []
        for place, found in enumerate(too_similar(texts, below)):
            own = grams(texts[place])
            similar = [len(own & grams(texts[one])) / len(own | grams(texts[one])) for one in taken]
            best = max(similar, default=0.0)
            assert (found is None) == (best < below)
            if found is None:
                taken.append(place)
            else:
                assert found == (taken[similar.index(best)], pytest.approx(best))


def test_a_better_row_takes_the_place_of_those_like_it():
    cat, dog = "猫の飼い方を三つ教えてください。", "猫の飼い方を五つ教えてください。"
    other = "首都圏の鉄道の歴史を説明してください。"
    assert told([sample(0, cat, 3), sample(1, dog, 5), sample(2, other, 1)]) == ["not_diverse", "001", "002"]
    assert told([sample(0, cat, 5), sample(1, dog, 5), sample(2, other, 1)]) == ["000", "not_diverse", "002"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Python のリストを逆順にする方法を教えて。", "Ｐｙｔｈｏｎのリストを逆順にする方法を教えて"),
        ("ｶﾚｰの作り方を教えてください", "カレーの作り方を教えてください。"),
        ("3個のりんごを2人で分けると何個ずつですか。", "8個のりんごを4人で分けると何個ずつですか。"),
        ("Write a function that sorts a list.", "write a function that sorts a list!"),
    ],
)
def test_writing_and_numbers_make_no_difference(one, other):
    assert told([sample(0, one, 2), sample(1, other, 1)]) == ["000", "not_diverse"]


def test_the_order_is_the_product_of_scores_and_only_the_best_are_taken():
    texts = ["全く別の話題について", "completely something else", "料理の献立を考える", "write some code for me"]
    rows = [sample(number, text, number, 4 - number) for number, text in enumerate(texts)]  # 0, 3, 4, 3
    assert told(rows, order=["a", "b"], most=2) == ["beyond_target", "001", "002", "beyond_target"]


def test_a_refused_row_names_the_better_one():
    rows = [sample(0, "同じ質問です", 1), sample(1, "同じ質問です", 2)]
    refused = next(iter(select(rows, Selection(diverse=Diverse(order=["a"], below=0.9)))))
    assert isinstance(refused, Rejection)
    assert (refused.twin_id, refused.similarity) == ("001", 1.0)


def test_what_other_rules_refuse_neither_counts_nor_takes_a_place():
    rows = [sample(0, "同じ質問です", 9), sample(1, "同じ質問です", 2)]
    chosen = select(rows, Selection(at_most={"a": 5}, diverse=Diverse(order=["a"], below=0.9)))
    assert [one.reason if isinstance(one, Rejection) else one.id for one in chosen] == ["below_threshold", "001"]


def test_there_are_rows_without_any_text_and_none_at_all():
    assert told([]) == []
    assert told([sample(0, "", 1), sample(1, "", 2), sample(2, "。", 3)])[2] == "002"


def test_a_target_is_either_the_first_or_the_best():
    with pytest.raises(ValidationError, match="most"):
        Selection(rows=3, diverse=Diverse(order=["a"], below=0.5))


RECIPE = """\
name: deita
language: {language}
seeds: {{kind: grid, axes: {{q: ["首都は？"]}}}}
teachers: {{main: {{model: m, base_url: "http://localhost:8000/v1"}}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2}}
    scorers:
      - {{kind: judge, name: complexity, rubric: complexity.{language}.md.j2}}
      - {{kind: judge, name: quality, rubric: quality.{language}.md.j2}}
selection: {{diverse: {{order: [complexity, {other}], below: 0.4}}}}
"""


@pytest.mark.parametrize(
    ("language", "words"), [("en", ("how demanding", "to learn from")), ("ja", ("難しさ", "回答の質"))]
)
def test_the_rubrics_come_with_synth_and_the_complexity_of_a_question_does_not_look_at_its_answer(
    tmp_path, language, words
):
    (tmp_path / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(language=language, other="quality"), encoding="utf-8")
    loaded = load(tmp_path)
    for scorer, said in zip(loaded.recipe.stages[0].scorers, words, strict=True):
        text = loaded.templates.render(scorer.template_files()[0], {"question": "q", "answer": "the-answer"})
        assert said in text
        assert ("the-answer" in text) is (scorer.name == "quality")


def test_an_unknown_score_in_the_order_is_named(tmp_path):
    (tmp_path / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(language="ja", other="qualty"), encoding="utf-8")
    with pytest.raises(RecipeError, match="there is no score 'qualty'; the scorers are complexity, quality"):
        load(tmp_path)
