"""Plug-ins in a file of the user's own: they work as synth's do, and what is wrong with one is told with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import synth
import synth.recipes.library
from synth.errors import RecipeError
from synth.files import parts, plugin_texts
from tests.written import lines

RECIPE = """\
name: own
language: ja
seeds: {{kind: grid, axes: {{題: [買い物, 料理, 暦]}}}}
teachers: {{main: {{model: practice-1, base_url: "practice:faultless"}}}}
stages:
  - name: ask
    generator: {{kind: "{generator}", prompt: ask.md.j2{options}}}
    validators: [{{kind: "{validator}"}}]
    scorers: [{{kind: "mine.py:Letters", name: letters}}]
"""
MINE = """\
from __future__ import annotations

from synth.own import Ask, Draft, Message, OwnGenerator, OwnScorer, OwnValidator, Rejected, Sample, Score, Seed, TemplateFile


class Twice(OwnGenerator):
    prompt: TemplateFile
    times: int = 1

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        prompt = Message(role="user", content=ask.render(self.prompt, seed.fields))
        reply = await ask.text([prompt], teacher=self.teacher)
        good = Draft(messages=(prompt, Message(role="assistant", content=reply.text)))
        bad = Draft(messages=(prompt,), refused=("too_dull", "つまらない"))
        return [good] * self.times + [bad]


class NoCooking(OwnValidator):
    def check(self, sample: Sample) -> None:
        if "料理" in sample.question():
            raise Rejected("cooking", "料理の話です")


class Letters(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        return Score(name=self.name, value=len(sample.answer()))
"""


@pytest.fixture
def write(tmp_path):
    def written(
        mine: str = MINE,
        *,
        generator: str = "mine.py:Twice",
        validator: str = "mine.py:NoCooking",
        options: str = ", times: 2",
    ) -> Path:
        folder = tmp_path / "recipe"
        folder.mkdir(exist_ok=True)
        text = RECIPE.format(generator=generator, validator=validator, options=options)
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        (folder / "ask.md.j2").write_text('「{{ 題 }}」の練習問題を1個、"instructions"を持つJSONで。', encoding="utf-8")
        (folder / "mine.py").write_text(mine, encoding="utf-8")
        return folder

    return written


@pytest.mark.parametrize(("said", "asked"), [(False, 6), (True, 2)])
def test_what_a_generator_says_that_it_usually_brings_is_what_a_run_counts_on(write, tmp_path, said, asked):
    told = "    @property\n    def usual_drafts(self) -> int:\n        return self.times\n\n    async def generate"
    mine = MINE.replace("    async def generate", told) if said else MINE
    recipe = write(mine.replace(" + [bad]", ""), validator="finished", options=", times: 3")
    text = (recipe / "recipe.yaml").read_text(encoding="utf-8")
    text = text.replace("[買い物, 料理, 暦]", f"[{', '.join(f'題{n}' for n in range(20))}]")
    (recipe / "recipe.yaml").write_text(text, encoding="utf-8")
    result = synth.run(recipe, folder=tmp_path / "run", rows=6, quiet=True)
    assert len(result.rows) == 6
    assert result.cost.requests == asked


def test_a_file_of_ones_own_makes_checks_and_scores_rows(write, tmp_path):
    result = synth.run(write(), folder=tmp_path / "run")
    assert result.exit_code == 0, result.message
    rows, rejected = lines(tmp_path / "run" / "rows.jsonl"), lines(tmp_path / "run" / "rejected.jsonl")
    assert (len(rows), sum(one["reason"] == "cooking" for one in rejected)) == (4, 2)
    assert [row["scores"][0]["value"] for row in rows] == [len(row["messages"][1]["content"]) for row in rows]
    dull = [one for one in rejected if one["reason"] == "too_dull"]
    assert [(one["detail"], one["messages"][0]["role"]) for one in dull] == [("つまらない", "user")] * 3
    assert "mine.py" in (tmp_path / "run" / "manifest.json").read_text(encoding="utf-8")


def test_what_a_plug_in_changes_for_its_next_sample_is_not_changed_in_those_it_has_given(write, tmp_path):
    mine = MINE.replace("class Twice", 'SAID = Message(role="assistant", content="")\n\n\nclass Twice')
    mine = mine.replace('Message(role="assistant", content=reply.text)', "SAID")
    mine = mine.replace("        good = ", "        SAID.content = prompt.content + reply.text\n        good = ")
    result = synth.run(write(mine), folder=tmp_path / "run", quiet=True)
    assert result.exit_code == 0, result.message
    rows = lines(tmp_path / "run" / "rows.jsonl")
    assert len({row["messages"][0]["content"] for row in rows}) > 1
    for asked, said in (row["messages"] for row in rows):
        assert said["content"].startswith(asked["content"])


def test_a_change_of_the_file_is_a_change_of_the_recipe(write, tmp_path):
    assert synth.run(write(), folder=tmp_path / "run").exit_code == 0
    changed = MINE.replace("つまらない", "変えた")
    with pytest.raises(RecipeError, match=r"file mine\.py, line 14: .*つまらない.*変えた"):
        synth.run(write(changed), folder=tmp_path / "run")
    assert synth.run(write(changed), folder=tmp_path / "run", accept_change=True).exit_code == 0


def test_what_it_raises_refuses_the_sample_with_the_traceback_and_no_other(write, tmp_path):
    broken = MINE.replace('raise Rejected("cooking", "料理の話です")', 'raise KeyError("料理")')
    whole = synth.run(write(), folder=tmp_path / "whole")
    result = synth.run(write(broken), folder=tmp_path / "run")
    assert result.manifest.row_count == whole.manifest.row_count
    (found, *_) = [one for one in lines(tmp_path / "run" / "rejected.jsonl") if one["reason"] == "plugin_error"]
    assert found["detail"].startswith("KeyError: '料理' (mine.py, line 21)\n")
    assert re.search(
        r'mine\.py", line 21, in check\n.*raise KeyError\("料理"\).*KeyError: .料理', found["detail"], re.DOTALL
    )


CHECK = """\
from synth.own import OwnValidator, Rejected, Sample


class Short(OwnValidator):
    def check(self, sample: Sample) -> None:
        if len(sample.answer()) > {most}:
            raise Rejected("long", "長すぎます")
"""


def test_a_check_in_a_file_of_its_own_may_change_like_any_check_and_asks_nothing_again(write, tmp_path):
    recipe = write(validator="check.py:Short")
    (recipe / "check.py").write_text(CHECK.format(most=9_999), encoding="utf-8")
    first = synth.run(recipe, folder=tmp_path / "run", quiet=True)
    (recipe / "check.py").write_text(CHECK.format(most=0), encoding="utf-8")
    second = synth.run(recipe, folder=tmp_path / "run", quiet=True)
    assert (first.manifest.row_count, second.manifest.row_count) == (6, 0)
    assert second.manifest.rejected["long"] == 6
    assert second.cost.requests == first.cost.requests


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        (
            "return [good] * self.times + [bad]",
            "good, bad",
            "Twice.generate in mine.py returned None; .* list of Draft",
        ),
        (
            "return [good] * self.times + [bad]",
            "return ['答え']",
            r"returned \['答え'\]; it must return a list of Draft",
        ),
        (
            'raise Rejected("cooking", "料理の話です")',
            "return False",
            "NoCooking.check in mine.py returned False; .* Rejected",
        ),
        ("return Score(name=self.name, value=len(sample.answer()))", "return 3.0", "returned 3.0; .* a Score"),
    ],
)
def test_what_returns_something_else_refuses_the_sample_and_says_what_is_wanted(write, tmp_path, right, wrong, says):
    run = synth.run(write(MINE.replace(right, wrong)), folder=tmp_path / "run", quiet=True)
    details = [row["detail"] for row in run.rejected if row["reason"] == "plugin_error"]
    assert details
    assert all(re.search(says, one) for one in details)


def test_a_validator_of_ones_own_is_used_on_files_too(write, tmp_path, synth):
    write()
    row = {"messages": [{"role": "user", "content": "料理は？"}, {"role": "assistant", "content": "うどんです。"}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    said = synth("validate", "rows.jsonl", "--check", '{kind: "recipe/mine.py:NoCooking"}', "--json")
    assert json.loads(said.stdout)["removed"] == {"cooking": 1}
    assert "cannot be read" in synth("validate", "rows.jsonl", "--check", '{kind: "no.py:NoCooking"}').stderr


ODD = """
import time
from synth.own import OwnValidator, Sample

class Odd(OwnValidator):
    def check(self, sample: Sample) -> None:
        if "遅い" in sample.answer():
            time.sleep(600)
        if "割る" in sample.answer():
            1 / 0
"""


def test_a_validator_of_ones_own_that_hangs_or_raises_removes_its_row_alone_from_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("synth.apart.FIRST_S", 3.0)
    monkeypatch.setattr("synth.apart.CHECK_S", 1.0)
    (tmp_path / "odd.py").write_text(ODD, encoding="utf-8")
    answers = ["早い", "遅い", "早い", "割る", "早い"]
    rows = [json.dumps({"prompt": "問", "completion": answer}, ensure_ascii=False) for answer in answers]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with parts.validating(plugin_texts.validators_of(['{kind: "odd.py:Odd"}'])) as judge:
        report = parts.sift([tmp_path / "rows.jsonl"], tmp_path / "out", judge)
    assert (report.kept.total(), report.removed) == (3, {"plugin_error": 2})
    slow, raising = map(json.loads, (tmp_path / "out" / "removed.jsonl").read_text("utf-8").splitlines())
    assert slow["detail"] == "odd.py:Odd, given a sample, took longer than 1 s and was ended"
    assert raising["detail"].startswith("ZeroDivisionError: division by zero (odd.py, line 10)")


def test_a_validator_of_ones_own_that_keeps_raising_ends_the_looking_at_a_file_in_a_sentence(tmp_path, synth):
    (tmp_path / "odd.py").write_text(ODD, encoding="utf-8")
    rows = [json.dumps({"prompt": "問", "completion": "割る"}, ensure_ascii=False)] * 9
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    said = synth("validate", "rows.jsonl", "--check", '{kind: "odd.py:Odd"}', "--out", "out")
    raised = "ZeroDivisionError: division by zero (odd.py, line 10)"
    assert said.stderr.splitlines() == [f"'odd.py:Odd' brought 5 unexpected errors, the last {raised}."]
    assert said.returncode == 4
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("mine", "more", "says"),
    [
        (MINE, {"generator": "none.py:Twice"}, r"stages\[0\]\.generator: .*none\.py cannot be read \(No such file"),
        (MINE, {"generator": "mine.py:Thrice"}, r"mine\.py has no class 'Thrice'; did you mean 'Twice'\?"),
        (
            MINE,
            {"generator": "mine.py:NoCooking"},
            r"NoCooking in mine\.py is no OwnGenerator; name it in the stage's `validators`",
        ),
        (MINE, {"validator": "mine.py:Twice"}, r"stages\[0\]\.validators\[0\]: Twice in mine\.py is no OwnValidator"),
        (MINE, {"generator": "mine.py"}, r"'mine\.py' names no class; write file\.py:Class"),
        (MINE, {"generator": "../recipe/mine.py:Twice"}, r"must lie in the recipe's folder"),
        (
            MINE,
            {"options": ", tims: 2"},
            r"recipe\.yaml:7:\d+: stages\[0\]\.generator\.tims: there is no field 'tims' here",
        ),
        (MINE, {"options": ", times: 二"}, r"stages\[0\]\.generator\.times: .*valid integer"),
        (
            MINE.replace("async def score", "def score"),
            {},
            r"Letters\.score in mine\.py must be written as `async def score`",
        ),
        (MINE.replace("def check", "def chek"), {}, r"NoCooking in mine\.py has no method 'check'"),
        (MINE.replace("class NoCooking(OwnValidator):", "class NoCooking(OwnValidator:"), {}, r"mine\.py, line 18: "),
        (MINE + "\n値 = 1 / 0\n", {}, r"mine\.py, line 28: ZeroDivisionError: division by zero"),
        (MINE + "\nimport sys\nsys.exit(3)\n", {}, r"mine\.py, line 29: SystemExit: 3"),
        (MINE.replace("times: int = 1", "times = 1"), {}, r"mine\.py, line 6: PydanticUserError: "),
        (
            "import nothing_of_this_name\n" + MINE.replace("from __future__ import annotations\n", ""),
            {},
            r"line 1: ModuleNotFoundError",
        ),
    ],
)
def test_what_is_wrong_with_it_is_told_before_anything_is_asked(write, mine, more, says):
    with pytest.raises(RecipeError, match=says) as caught:
        synth.load(write(mine, **more))
    assert "Traceback" not in str(caught.value)


def test_a_template_that_its_fields_name_is_rendered_by_check(write):
    folder = write()
    (folder / "ask.md.j2").write_text("{{ 問い }}", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"ask\.md\.j2:1: '問い' is not defined; the fields here are 題"):
        synth.load(folder)


def test_the_example_of_the_page_is_a_plug_in(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "plug-ins.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(from synth\.own.*?)```", page, re.DOTALL)
    entry = re.search(r"```yaml\n    validators:\n      - (.*?)\n```", page, re.DOTALL)
    assert code is not None
    assert entry is not None
    folder = tmp_path / "mine"
    path = synth.recipes.library.copy("quickstart-ja", folder)
    (folder / "checks.py").write_text(code[1], encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    changed = re.sub(r"(?m)^(\s+)- \{kind: finished\}", rf"\1- {entry[1]}\n\g<0>", text, count=1)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    result = synth.run(folder, folder=tmp_path / "run", limit=4)
    assert result.exit_code == 0, result.message
    assert any(one["reason"] == "yen" for one in lines(tmp_path / "run" / "rejected.jsonl"))
