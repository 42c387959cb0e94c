"""What the outputs say of judges: their agreement with verifiers, their lean to a place, and whose model they are."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter

import pytest

from synth import opening, pipeline
from synth.comparing.judges import ranked_right
from synth.language.diversity import MOST_CHARACTERS, MOST_ROWS, measured
from synth.recipes.loading import load
from synth.results.manifest import read_manifest
from synth.results.result import Options
from synth.types import Outcome

RECIPE = """\
name: judged
language: {language}
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: writer, base_url: "replay:none", sampling: {{max_tokens: 99}}, limits: {{max_in_flight: 4}}}}
  judge: {{model: {judge}, base_url: "replay:none", sampling: {{max_tokens: 99}}, limits: {{max_in_flight: 4}}}}
stages:
  - name: answer
    draws: 2
    generator: {{kind: answer, prompt: ask.md.j2, question: q}}
    validators: []
    scorers:
      - {{kind: exact_answer, reference: right}}
      - {{kind: judge, teacher: judge}}
      - {{kind: compare, teacher: judge, reference: old}}
selection: {{require: {{exact_answer: 1}}, best_of: judge}}
"""


def says(text: str, model: str) -> Outcome:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    return Outcome(200, json.dumps({"choices": [choice], "usage": usage, "model": model}).encode())


class Playing:
    """The writer is right in its first draw and wrong in its second; the judge grades and prefers as told."""

    def __init__(self, served="other"):
        self.served = served

    async def send(self, request):
        body = json.loads(request.body)
        prompt = body["messages"][-1]["content"]
        if body["model"] == "writer" and "<question>" not in prompt:
            return says(f"答え: {18 if request.draw == 0 else 7}", self.served)
        if "<first>" in prompt:
            return says(json.dumps({"reason": "前", "better": "first"}), self.served)
        right = "答え: 18" in prompt
        score = 5 if right and "甲" not in prompt else 3 if right else 2 if "乙" not in prompt else 5
        return says(json.dumps({"reason": "点", "score": score}), self.served)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    seeds = [json.dumps({"q": question, "right": "18", "old": "古い答え: 3"}) + "\n" for question in "甲乙丙"]
    (folder / "seeds.jsonl").write_text("".join(seeds), encoding="utf-8")

    def run(language="ja", judge="large", served="", offline=False):
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: Playing(served))
        (folder / "recipe.yaml").write_text(RECIPE.format(language=language, judge=judge), encoding="utf-8")
        return asyncio.run(pipeline.run(load(folder), Options(tmp_path / "run", offline=offline)))

    return run


def test_the_manifest_says_how_far_the_judge_agrees_with_the_verifier(judged):
    result = judged()
    assert result.manifest.row_count == 3
    judge, compare = read_manifest(result.folder / "manifest.json").judges
    (agreement,) = judge.agreement
    assert (agreement.verifier, agreement.rows, agreement.right) == ("exact_answer", 6, 3)
    assert (agreement.mean_right, agreement.mean_wrong) == (pytest.approx(13 / 3, abs=1e-3), 3.0)
    assert agreement.auc == pytest.approx((3 * 2 + 2 * 0.5) / 9, abs=1e-3)  # 5, 5, 3 against 2, 5, 2
    assert (judge.rows, judge.position_bias) == (6, None)
    assert (compare.rows, compare.position_bias, compare.agreement[0].auc) == (6, 6, 0.5)
    assert judged(offline=True).manifest.judges == result.manifest.judges


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Pairs ranked right", "Followed the position", "3 / 6")),
        ("ja", ("順序の正しい組", "並び順に従った判定", "3 / 6")),
    ],
)
def test_report_and_card_show_it_in_the_recipes_language(judged, language, words):
    result = judged(language)
    page = result.report().path.read_text(encoding="utf-8")
    card = (result.dataset / "README.md").read_text(encoding="utf-8")
    for text in (page, card):
        assert words[0] in text
        assert words[1] in text
        assert "0.778" in text
    assert words[2] in page


@pytest.mark.parametrize(
    ("judge", "served", "own"),
    [("large", "", False), ("writer", "", True), ("some-router/Writer", "", True), ("large", "served-1", True)],
)
def test_a_judge_of_its_own_answers_is_declared(judged, judge, served, own):
    result = judged("en", judge, served)
    assert [one.own_answers for one in result.manifest.judges] == [own, own]
    said = f"The judge 'judge' asks {judge}, which wrote the answers itself; models favour their own."
    assert (said in result.manifest.declared) is own
    assert (said in repr(result)) is own
    card = (result.dataset / "README.md").read_text(encoding="utf-8")
    assert ("also wrote the answers that it graded" in card) is own
    assert ("also wrote the answers that it graded" in result.report().path.read_text(encoding="utf-8")) is own


def test_a_recipe_without_judges_says_nothing_of_them(judged, tmp_path):
    recipe = tmp_path / "recipe" / "recipe.yaml"
    judged()
    lines = [line for line in recipe.read_text().splitlines() if "teacher: judge" not in line]
    recipe.write_text("\n".join(lines).replace(", best_of: judge", ""), encoding="utf-8")
    result = asyncio.run(pipeline.run(load(recipe), Options(tmp_path / "other")))
    assert result.manifest.judges == ()
    assert "順序の正しい組" not in result.report().path.read_text(encoding="utf-8")


def test_the_area_is_the_share_of_pairs_ranked_right():
    rng = random.Random(5)
    for _ in range(200):
        right, wrong = ([rng.randint(1, 5) for _ in range(rng.randint(1, 9))] for _ in range(2))
        won = sum((one > other) + (one == other) / 2 for one, other in itertools.product(right, wrong))
        area = ranked_right(Counter(right), Counter(wrong))
        assert area == pytest.approx(won / len(right) / len(wrong), abs=1e-4)
    assert ranked_right(Counter({1.0: 3}), Counter()) is None
    assert ranked_right(Counter(), Counter({1.0: 3})) is None


def test_the_diversity_of_a_dataset_falls_when_it_repeats_itself(judged):
    rng = random.Random(7)
    words = [chr(code) for code in range(0x4E00, 0x4E00 + 800)]
    varied = ["".join(rng.choices(words, k=60)) for _ in range(200)]
    (many, _) = measured([(text, "答え") for text in varied])
    (same, _) = measured([(varied[number % 5], "答え") for number in range(200)])
    assert many.distinct_2 > 0.9 > 0.1 > same.distinct_2
    assert same.compression_ratio > 3 * many.compression_ratio
    assert [one.part for one in judged().manifest.diversity] == ["question", "answer"]


def test_diversity_is_measured_on_a_bounded_part_and_not_on_empty_texts():
    (questions,) = measured([(f"Question {number}", "") for number in range(3 * MOST_ROWS)])
    assert (questions.part, questions.rows) == ("question", MOST_ROWS)
    assert measured([]) == ()
    long = "あ" * MOST_CHARACTERS
    assert measured([(long, "")]) == measured([(long + "それ以上は測られない", "")])


def test_width_and_case_make_no_diversity():
    narrow, wide = measured([("Python list", ""), ("Ｐｙｔｈｏｎ ＬＩＳＴ", "")]), measured([("python list", "")] * 2)
    assert narrow[0].distinct_1 == wide[0].distinct_1 == 0.5


EARLIER = """\
  - name: ask
    generator: {{kind: answer, prompt: ask.md.j2, question: q}}
    validators: []
    scorers: [{{kind: judge, name: depth, teacher: judge}}]
"""


@pytest.mark.parametrize(("language", "beside"), [("en", "Samples graded"), ("ja", "採点数")])
def test_a_judge_of_an_earlier_stage_is_not_said_to_have_graded_nothing(judged, monkeypatch, language, beside):
    monkeypatch.setattr(f"{__name__}.RECIPE", RECIPE.replace("stages:\n", f"stages:\n{EARLIER}"))
    result = judged(language)
    assert [(one.name, one.rows) for one in result.manifest.judges] == [("depth", None), ("judge", 6), ("compare", 6)]
    assert "| depth | large | – |" in (result.dataset / "README.md").read_text(encoding="utf-8")
    assert f'data-label="{beside}">–<' in result.report().path.read_text(encoding="utf-8")
