"""Items of benchmarks in other words are found by their vectors; a judge decides where they may be other questions."""

from __future__ import annotations

import asyncio
import json
import random
import re

import numpy as np
import pytest

from synth import opening, pipeline
from synth.backends.practice.embedding import embedded
from synth.errors import RecipeError
from synth.recipes.loading import load
from synth.results.result import Options
from synth.types import Outcome

WORDS = ["パン屋", "船長", "図書館", "りんご", "切手", "駅", "庭", "三輪車", "鳥", "箱", "川", "帽子", "絵", "石", "橋"]
DOES = ["数える", "並べる", "運ぶ", "分ける", "売る", "買う", "描く", "拾う", "渡る", "集める", "直す", "磨く"]
WHERE = ["朝の", "古い", "遠くの", "小さな", "青い", "静かな", "雨の日の", "山の上の", "港の", "隣の"]
RECIPE = """\
name: neighbours
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: m, base_url: "replay:none", structured: prompt}}
  embedder: {{model: e, base_url: "replay:none"}}
decontaminate: {{against: [bench.tsv], field: 1, semantic: {{embedder: embedder{more}}}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2, question: q}}
    validators: []
{dedupe}
"""


def items(count: int = 80) -> list[str]:
    """So many questions that ask alike and are not the same."""
    dice = random.Random(3)
    made: dict[str, None] = {}
    while len(made) < count:
        parts = [dice.choice(WHERE), dice.choice(WORDS), "で", dice.choice(WHERE), dice.choice(WORDS), "を"]
        made["".join([*parts, dice.choice(DOES), "のは", dice.choice(WORDS), "が何個のときですか"])] = None
    return list(made)


TRANSLATED = {f"Translation {place}": text for place, text in enumerate(items())}
"""What stands for a translation: it shares no letter with its item, and a multilingual embedder puts both together."""
OFF_TOPIC = ["Name three rivers of Kyoto.", "詩を一つ書いてください", "What does a lighthouse keeper do at night?"]


class Everything:
    """Embeds, judges and answers; `answers` are what it writes for a question."""

    def __init__(self, answers=None, same=()):
        self.answers, self.same = answers or {}, same
        self.asked, self.judged, self.embedded = [], [], []

    async def send(self, request):
        await asyncio.sleep(0)
        body = json.loads(request.body)
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if request.path == "/embeddings":
            self.embedded.append(body["input"])
            data = [{"index": place, "embedding": vector(text)} for place, text in enumerate(body["input"])]
            return Outcome(200, json.dumps({"data": data, "usage": usage}).encode())
        prompt = body["messages"][-1]["content"]
        if found := re.search(r"<text>\n(.*)\n</text>", prompt):
            self.judged.append(found[1])
            verdict = "same" if found[1] in self.same else "different"
            text = json.dumps({"reason": "言い換え", "verdict": verdict}, ensure_ascii=False)
        else:
            self.asked.append(prompt)
            text = self.answers.get(prompt, "はい。")
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        return Outcome(200, json.dumps({"choices": [choice], "usage": usage}).encode())


def vector(text: str) -> list[float]:
    """As the practice teacher, but for what stands for a translation: its item's with some noise."""
    made = np.array(embedded(TRANSLATED.get(text, text)))
    noise = np.random.default_rng(len(text)).normal(size=made.size)
    return (made + (0.25 if text in TRANSLATED else 0.0) * noise / np.linalg.norm(noise)).tolist()


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Run the recipe over questions; gives its result and what stands in the review file."""

    def run(teacher, questions, *, more="", dedupe="", bench=None, folder="run"):
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(more=more, dedupe=dedupe), encoding="utf-8")
        (tmp_path / "bench.tsv").write_text("".join(f"{one}\t1\n" for one in bench or items()), encoding="utf-8")
        (tmp_path / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
        seeds = "".join(json.dumps({"q": one}, ensure_ascii=False) + "\n" for one in questions)
        (tmp_path / "seeds.jsonl").write_text(seeds, encoding="utf-8")
        result = asyncio.run(pipeline.run(load(tmp_path), Options(tmp_path / folder)))
        review = (tmp_path / folder / "contamination.jsonl").read_text(encoding="utf-8")
        return result, [json.loads(line) for line in review.splitlines()]

    return run


@pytest.mark.parametrize(
    ("language", "looked_for", "not_looked_for"),
    [
        ("ja", "意味からも調べました", "調べていません"),
        ("en", "looked for by\nmeaning too", "rephrasings are not looked for"),
    ],
)
def test_the_card_says_whether_other_words_were_looked_for(make, monkeypatch, language, looked_for, not_looked_for):
    monkeypatch.setattr(f"{__name__}.RECIPE", RECIPE.replace("language: ja", f"language: {language}"))
    card = (make(Everything(), OFF_TOPIC)[0].dataset / "README.md").read_text(encoding="utf-8")
    assert looked_for in card
    assert not_looked_for not in card


def test_a_translated_seed_buys_no_answer_and_is_kept_beside_its_item(make, tmp_path):
    teacher = Everything()
    result, review = make(teacher, [*OFF_TOPIC, "Translation 7"])
    assert sorted(teacher.asked) == sorted(OFF_TOPIC)
    (hit,) = review
    assert (hit["item"], hit["text"], hit["found_in"]) == ("bench.tsv#8", items()[7], ["Translation 7"])
    assert (hit["how"], hit["verdict"]) == ("semantic", "near")
    assert result.manifest.stages[0].rejected == {"contaminated": 1}
    record = result.manifest.neighbours
    assert record is not None
    assert (record.items, record.refused, record.cleared, record.uncompared) == (80, 1, 0, 0)
    assert record.grey_from < record.near_from <= hit["similarity"] < 1
    assert result.manifest.decontamination[0].hits == 1
    before = (tmp_path / "run" / "rows.jsonl").read_bytes(), review
    _, again = make(teacher, [*OFF_TOPIC, "Translation 7"], folder="other")
    assert ((tmp_path / "other" / "rows.jsonl").read_bytes(), again) == before


def test_the_judge_is_asked_about_the_grey_zone_alone_and_what_it_clears_goes_on_and_is_reviewed(make):
    like = items(400)[-40:]  # other questions that ask alike
    teacher = Everything(same=["Translation 7"])
    result, review = make(teacher, [*OFF_TOPIC, "Translation 7", *like], more=", judge: main")
    assert "Translation 7" in teacher.judged
    assert not set(OFF_TOPIC) & set(teacher.judged)
    assert 0 < len(set(teacher.judged) & set(like)) < 40
    assert "Translation 7" not in teacher.asked
    verdicts = {one["found_in"][0]: (one["verdict"], one["reason"]) for one in review if one["how"] == "semantic"}
    assert verdicts.pop("Translation 7") == ("same", "言い換え")
    assert verdicts
    assert set(verdicts.values()) == {("different", "言い換え")}
    record = result.manifest.neighbours
    assert record is not None
    assert (record.refused, record.cleared) == (1, len(verdicts))


def test_a_text_is_judged_once_however_many_draws_and_samples_hold_it(make):
    teacher = Everything()
    make(teacher, ["Translation 3", "Translation 7"], more=", judge: main", dedupe="    draws: 3")
    assert len(teacher.asked) == 6
    assert sorted(teacher.judged) == ["Translation 3", "Translation 7"]


def test_an_item_that_only_the_answer_holds_is_found_too(make):
    teacher = Everything({OFF_TOPIC[0]: "Translation 3"})
    result, (hit,) = make(teacher, OFF_TOPIC)
    assert hit["item"] == "bench.tsv#4"
    assert result.manifest.stages[0].rejected == {"contaminated": 1}
    assert result.manifest.row_count == 2


def test_a_twin_buys_no_vector(make):
    teacher = Everything(dict.fromkeys(OFF_TOPIC, "どちらも同じ答えです。"))
    result, _ = make(teacher, OFF_TOPIC, dedupe="    dedupe: {by: answer}")
    assert sum("どちらも同じ答えです。" in some for some in teacher.embedded) == 1
    assert result.manifest.stages[0].rejected == {"duplicate": 2}


def test_a_twin_of_what_a_benchmark_holds_is_called_back_and_held_against_the_benchmarks_too(make):
    teacher = Everything(dict.fromkeys(OFF_TOPIC, "Translation 3"))
    result, review = make(teacher, OFF_TOPIC, dedupe="    dedupe: {by: answer}")
    assert result.manifest.row_count == 0
    assert result.manifest.stages[0].rejected == {"contaminated": 3}
    assert [hit["item"] for hit in review] == ["bench.tsv#4"] * 3


def test_a_verbatim_item_needs_no_vector(make):
    teacher = Everything()
    _, (hit,) = make(teacher, [items()[5], OFF_TOPIC[0]])
    assert hit["how"] in ("whole", "ngram")
    assert teacher.asked == [OFF_TOPIC[0]]


def test_too_few_items_are_told_before_anything_is_asked(make):
    with pytest.raises(RecipeError, match="10 benchmark items are too few to tell how near is near"):
        make(Everything(), OFF_TOPIC, bench=items()[:10])


def test_an_unknown_judge_is_told_when_the_recipe_is_loaded(make):
    with pytest.raises(RecipeError, match="there is no teacher 'nobody'"):
        make(Everything(), OFF_TOPIC, more=", judge: nobody")
