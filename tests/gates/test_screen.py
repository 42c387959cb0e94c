"""A recipe that decontaminates and extends: what is refused is refused before anything is bought for it."""

from __future__ import annotations

import asyncio
import json
import random
import weakref

import orjson
import pytest

from synth import opening, pipeline
from synth.errors import RecipeError
from synth.gates import screen
from synth.recipes.loading import load
from synth.results import outputs
from synth.results.manifest import read_manifest
from synth.results.result import Options
from synth.types import Outcome

QUESTIONS = [
    "パン屋さんは午前中に14枚の天板へロールパンを6個ずつ並べ、9個を残してすべて売りました。売れたロールパンは何個ですか？",
    "The old lighthouse keeper counts 48 ships on Monday and half as many on Tuesday. How many ships did he count?",
    "Name three rivers that flow through the city of Kyoto and say where each of them begins.",
]
EDITED = (
    "ﾊﾟﾝ屋さんは 午前中に２０枚の天板へ ロールパンを８個ずつ並べ、７個を残してすべて売りました。売れたのは何個ですか?"
)
ANSWER = """\
name: screened
language: en
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers: {{main: {{model: m, base_url: "replay:replies.jsonl"}}}}
{more}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2, question: q}}
    validators: []
    dedupe: {{by: question}}
{stage}
"""
WRITE = """\
name: screened
language: en
seeds: {{kind: grid, axes: {{topic: [ships]}}}}
teachers: {{main: {{model: m, base_url: "replay:replies.jsonl", structured: prompt}}}}
{more}
stages:
  - name: write
    generator: {{kind: self_instruct, prompt: write.md.j2}}
    validators: []
    dedupe: {{by: instruction}}
{stage}
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2, question: instruction}}
    validators: []
"""


class Teacher:
    """Writes the instructions it was given, and answers everything."""

    def __init__(self, instructions=()):
        self.instructions = list(instructions)
        self.asked = []

    async def send(self, request):
        prompt = orjson.loads(request.body)["messages"][-1]["content"]
        self.asked.append(prompt)
        text = f"An answer to {len(prompt)} characters."
        if "write instructions" in prompt:
            text = json.dumps({"instructions": self.instructions})
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 9, "completion_tokens": 9}
        return Outcome(200, orjson.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}))


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Run a recipe; gives its result, its rejections, and what the teacher was asked."""

    def make(recipe, teacher, seeds=(), more="", stage="", folder="run"):
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        (tmp_path / "recipe.yaml").write_text(recipe.format(more=more, stage=stage))
        (tmp_path / "ask.md.j2").write_text("{{ q }}" if recipe is ANSWER else "{{ instruction }}")
        (tmp_path / "write.md.j2").write_text("write instructions about {{ topic }}")
        (tmp_path / "seeds.jsonl").write_text("".join(json.dumps({"q": text}) + "\n" for text in seeds))
        result = asyncio.run(pipeline.run(load(tmp_path), Options(tmp_path / folder)))
        rejected = [json.loads(line) for line in (tmp_path / folder / "rejected.jsonl").read_text().splitlines()]
        return result, rejected, teacher.asked

    return make


def write_benchmark(tmp_path):
    (tmp_path / "bench.tsv").write_text(f"{QUESTIONS[0]}\t75\n{QUESTIONS[1]}\t72\n！\t0\n", encoding="utf-8")
    return "decontaminate: {against: [bench.tsv], field: 1}"


def test_contaminated_seeds_are_dropped_before_anything_is_bought_and_kept_for_review(made, tmp_path):
    more = write_benchmark(tmp_path)
    result, rejected, asked = made(ANSWER, Teacher(), [EDITED, QUESTIONS[2], QUESTIONS[1]], more)
    assert asked == [QUESTIONS[2]]
    assert [(one["id"], one["stage"], one["reason"]) for one in rejected] == [
        ("00000000", "seeds", "contaminated"),
        ("00000002", "seeds", "contaminated"),
    ]
    assert "bench.tsv#1" in rejected[0]["detail"]
    assert rejected[0]["messages"][0]["content"] == EDITED
    review = [json.loads(line) for line in (tmp_path / "run" / "contamination.jsonl").read_text().splitlines()]
    assert [(one["id"], one["item"], one["text"], one["found_in"]) for one in review] == [
        ("00000000", "bench.tsv#1", QUESTIONS[0], [EDITED]),
        ("00000002", "bench.tsv#2", QUESTIONS[1], [QUESTIONS[1]]),
    ]
    manifest = read_manifest(tmp_path / "run" / "manifest.json")
    assert (manifest.seeds.count, manifest.seeds.refused) == (1, {"contaminated": 2})
    (record,) = manifest.decontamination
    assert (record.name, record.items, record.ngrams, record.unindexed, record.hits) == ("bench.tsv", 3, 2, 1, 2)
    assert "bench.tsv" in (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert result.manifest.state == "complete"


def test_contaminated_instructions_buy_no_answer(made, tmp_path):
    more = write_benchmark(tmp_path)
    _, rejected, asked = made(WRITE, Teacher([QUESTIONS[1].upper(), QUESTIONS[2], EDITED]), more=more)
    assert asked[1:] == [QUESTIONS[2]]
    assert [(one["stage"], one["reason"]) for one in rejected] == [("write", "contaminated")] * 2
    assert (tmp_path / "run" / "contamination.jsonl").read_text().count("\n") == 2


def test_the_same_run_again_has_nothing_to_do_until_the_benchmark_changes(made, tmp_path):
    more = write_benchmark(tmp_path)
    made(ANSWER, Teacher(), QUESTIONS, more)
    assert "Nothing to do" in made(ANSWER, Teacher(), QUESTIONS, more)[0].message
    (tmp_path / "bench.tsv").write_text(f"{QUESTIONS[0]}\t75\n", encoding="utf-8")
    result, rejected, asked = made(ANSWER, Teacher(), QUESTIONS, more)
    assert result.manifest.row_count == 2
    assert [one["id"] for one in rejected] == ["00000000"]
    assert asked == [QUESTIONS[1]]


def test_what_an_earlier_run_holds_buys_nothing(made, tmp_path):
    made(ANSWER, Teacher(), QUESTIONS[:2], folder="first")
    new = QUESTIONS[1].replace("48", "50")  # with other numbers it is another question
    seeds = [QUESTIONS[0].replace("？", "?"), new, QUESTIONS[2]]
    _, rejected, asked = made(ANSWER, Teacher(), seeds, stage="    novel_against: [first]", folder="second")
    assert asked == [new, QUESTIONS[2]]
    assert [(one["stage"], one["reason"], one["detail"]) for one in rejected] == [("seeds", "not_novel", "of first#1")]


def test_instructions_that_an_earlier_file_holds_buy_no_answer(made, tmp_path):
    rows = [{"instruction": QUESTIONS[1], "output": "72"}, {"instruction": "別の問題です。", "output": ""}]
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    instructions = [QUESTIONS[1].lower(), QUESTIONS[2], QUESTIONS[2]]
    _, rejected, asked = made(WRITE, Teacher(instructions), stage="    novel_against: [old.jsonl]")
    assert asked[1:] == [QUESTIONS[2]]
    assert [(one["reason"], one["detail"]) for one in rejected] == [
        ("not_novel", "of old.jsonl#1"),
        ("duplicate", "of 00000000/00/001"),
    ]


@pytest.mark.parametrize(
    ("more", "stage", "words"),
    [
        ("decontaminate: {against: [nowhere.tsv]}", "", "nowhere.tsv"),
        ("decontaminate: {against: []}", "", "against"),
        ("decontaminate: {against: [seeds.jsonl], field: question}", "", "no column"),
        ("decontaminate: {against: [hub:nobody]}", "", "hub:OWNER/NAME"),
        ("", "    novel_against: [nowhere]", "nowhere"),
    ],
)
def test_what_cannot_be_read_is_said_before_the_first_request(made, more, stage, words):
    teacher = Teacher()
    with pytest.raises(RecipeError, match=words):
        made(ANSWER, teacher, QUESTIONS, more, stage)
    assert teacher.asked == []


def test_novelty_without_dedupe_is_a_mistake_with_its_place(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        ANSWER.format(more="", stage="    novel_against: [x]").replace("    dedupe: {by: question}\n", "")
    )
    (tmp_path / "ask.md.j2").write_text("{{ q }}")
    (tmp_path / "seeds.jsonl").write_text('{"q": "?"}\n')
    with pytest.raises(RecipeError, match=r"recipe.yaml:10:.*novel_against.*dedupe"):
        load(tmp_path)


def test_the_splits_of_a_run_share_no_template(made, tmp_path):
    dice = random.Random(1)
    texts = ["".join(dice.choices("海山川駅橋森庭島港畑あいうえおかきくけこさしす", k=20)) for _ in range(20)]
    questions = [f"{text}を{n}個、{text[::-1]}を{n + 3}個買うと？" for text in texts for n in (2, 3, 5)]
    dice.shuffle(questions)
    result, _, _ = made(ANSWER, Teacher(), questions, "split: {fractions: {train: 0.6, test: 0.4}}")
    where: dict[str, set[str]] = {}
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        template = "".join(c for c in row["messages"][0]["content"] if not c.isdigit())
        where.setdefault(template, set()).add(row["split"])
    assert len(rows) == len(questions)
    assert len(where) == 20
    assert all(len(splits) == 1 for splits in where.values())
    assert set(result.manifest.rows) == {"train", "test"}


def test_the_manifest_tells_what_the_gate_compared(made, tmp_path):
    near = QUESTIONS[2].replace("where each", "how each")
    made(WRITE, Teacher([QUESTIONS[2], QUESTIONS[0], near, QUESTIONS[2].upper()]))
    twins = read_manifest(tmp_path / "run" / "manifest.json").stages[0].twins
    assert twins is not None
    assert twins.sizes == {3: 1}
    assert twins.largest == (("00000000/00/000", 3),)
    assert sum(twins.pairs[13:]) == 1


def test_what_the_gate_compared_with_is_gone_when_the_outputs_are_written(made, monkeypatch):
    known, left = weakref.WeakSet(), []
    begin, write = screen.Twins.__init__, outputs.write

    def noted(twins, dedupe):
        known.add(twins)
        begin(twins, dedupe)

    def written(*arguments):
        left.append(len(known))
        return write(*arguments)

    monkeypatch.setattr(screen.Twins, "__init__", noted)
    monkeypatch.setattr(outputs, "write", written)
    made(ANSWER, Teacher(), QUESTIONS)
    assert left == [0]
