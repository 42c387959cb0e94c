"""The recipes in prompts/: each is a sound recipe that says what it makes, and runs on the practice teacher."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest

import synth
from synth import sandbox, seeds
from synth.errors import Rejected
from synth.lint.traps import traps_of
from synth.types import Message, Sample

PROMPTS = Path(__file__).parents[2] / "prompts"
LIBRARY = sorted(path.name for path in PROMPTS.glob("*-*") if (path / "README.md").is_file())
SEEDS = {
    "self-instruct": 12,
    "conversation": 90,
    "evol-instruct": 15,
    "magpie": 40,
    "persona": 15,
    "back-translation": 50,
    "preference": 12,
}
"""How many of a recipe's seeds bring 20 rows; all where it is not said."""


def test_every_recipe_of_the_library_is_there_in_both_languages():
    names = {
        "back-translation",
        "classify",
        "code",
        "conversation",
        "evol-instruct",
        "extract",
        "grounded-qa",
        "localise",
        "magpie",
        "math",
        "medical",
        "persona",
        "preference",
        "python-data",
        "reasoning",
        "reasoning-short",
        "rewrite",
        "self-instruct",
        "style",
        "technical-translation",
        "tool-calling",
        "translate",
    }
    in_japan = {"consumption-tax-ja", "labour-law-ja"}
    assert {f"{name}-{language}" for name in names for language in ("en", "ja")} | in_japan == {*LIBRARY}


@pytest.mark.parametrize("name", LIBRARY)
def test_its_readme_names_its_source_its_cost_and_its_limits(name):
    readme = (PROMPTS / name / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {name}\n")
    assert re.search(r"arXiv:\d{4}\.\d{5}", readme)
    assert "1,000" in readme
    assert re.search("Known limits:|限界：", readme)


@pytest.mark.parametrize("name", LIBRARY)
def test_its_templates_are_written_in_its_language(name):
    loaded = synth.load(PROMPTS / name)
    assert loaded.recipe.language == name[-2:]
    for template in (PROMPTS / name).glob("*.j2"):
        assert bool(re.search("[ぁ-ん]{4}", template.read_text(encoding="utf-8"))) == name.endswith("-ja"), template


@pytest.mark.parametrize("name", LIBRARY)
def test_its_sample_is_of_rows_with_a_question_and_an_answer_and_its_readme_says_whose(name):
    rows = [json.loads(line) for line in (PROMPTS / name / "sample.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 10
    assert all(row["messages"][-1]["role"] == "assistant" and row["messages"][-1]["content"] for row in rows)
    readme = (PROMPTS / name / "README.md").read_text(encoding="utf-8")
    assert re.search("`sample.jsonl`.*(?:practice teacher|練習用教師)", readme, re.DOTALL)


@pytest.mark.parametrize("name", LIBRARY)
def test_it_runs_to_twenty_rows_on_the_practice_teacher(name, tmp_path):
    limit = SEEDS.get(name.rpartition("-")[0])
    if name.startswith("code-") and (problem := sandbox.problem()):
        pytest.skip(problem)
    result = synth.run(PROMPTS / name, folder=tmp_path / "run", limit=limit)
    assert result.exit_code == 0, result.message
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 20
    turns = [[turn["role"] for turn in row["messages"] if turn["role"] != "system"] for row in rows]
    if name.startswith("tool-calling"):
        used = ["user", "assistant", "tool", "assistant"]
        assert all(roles in turns for roles in (["user", "assistant"], used, [*used[:-1], "tool", "assistant"]))
        assert all("tools" in row for row in rows)
    else:
        assert all(roles == ["user", "assistant"] * (len(roles) // 2) and roles for roles in turns)
    assert Counter(trap for row in rows for trap in traps_of(row)) == {}
    assert all(bool(row["messages"][-1]["reasoning_content"]) == name.startswith("reasoning") for row in rows)
    if name.startswith("grounded-qa"):
        refused = (tmp_path / "run" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
        assert {"no_citation", "not_in_passage"} <= {json.loads(line)["reason"] for line in refused}
        answers = [row["messages"][-1]["content"] for row in rows]
        assert 0 < sum("do not say" in answer or "書かれていません" in answer for answer in answers) < len(answers)
    assert not any("<draft>" in row["messages"][0]["content"] for row in rows)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_of_several_verified_traces_the_shortest_becomes_the_row(language, tmp_path):
    run = tmp_path / "run"
    assert synth.run(PROMPTS / f"reasoning-short-{language}", folder=run, limit=12).exit_code == 0
    rows, refused = (
        [json.loads(line) for line in (run / name).read_text(encoding="utf-8").splitlines()]
        for name in ("rows.jsonl", "rejected.jsonl")
    )

    def length(row):
        return -next(score["value"] for score in row["scores"] if score["name"] == "length")

    beaten = [
        (row, one)
        for row in rows
        for one in refused
        if one["reason"] == "not_best" and one["seed_id"] == row["seed_id"]
    ]
    assert len({row["id"] for row, _ in beaten}) >= 10
    assert all(length(row) <= length(one) for row, one in beaten)
    assert any(length(row) < length(one) for row, one in beaten)


@pytest.mark.parametrize(("name", "field"), [("classify", "label"), ("extract", "missing")])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_labelled_rows_are_as_many_of_each_value(name, field, language, tmp_path):
    loaded = synth.load(PROMPTS / f"{name}-{language}")
    synth.run(loaded.folder, folder=tmp_path / "run")
    values = [seed.fields[field] for seed in seeds.read(loaded.recipe.seeds, loaded.folder)]
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    counts = Counter(values[int(row["seed_id"])] for row in rows)
    assert set(counts) == set(values)
    assert len(set(counts.values())) == 1


@pytest.mark.parametrize("name", ["translate", "localise"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_rows_are_in_their_language_with_what_had_to_stay_and_in_the_units_of_their_readers(name, language, tmp_path):
    loaded = synth.load(PROMPTS / f"{name}-{language}")
    synth.run(loaded.folder, folder=tmp_path / "run")
    sources = {seed.id: seed.fields for seed in seeds.read(loaded.recipe.seeds, loaded.folder)}
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = {row["seed_id"][:8]: "\n".join(turn["content"] for turn in row["messages"]) for row in rows}
    assert all(bool(re.search("[ぁ-ん]", text)) == (language == "ja") for text in texts.values())
    kept = re.compile(r"print\(\d+ \* \d+\)|https://[\w./]+\w|\{user\}")
    for seed_id, text in texts.items():
        source = "\n".join(str(value) for value in sources[seed_id].values())
        assert set(kept.findall(source)) == set(kept.findall(text))
    foreign = {"ja": "マイル|ポンド|ドル|華氏|チップ|ジャック", "en": "yen|mats|Showa|oseibo|Suzuki"}[language]
    found = [text for text in texts.values() if re.search(foreign, text)]
    assert bool(found) == (name == "translate"), found


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_answer_comes_in_each_register_and_length_asked_for(language, tmp_path):
    loaded = synth.load(PROMPTS / f"style-{language}")
    synth.run(loaded.folder, folder=tmp_path / "run")
    wanted = {seed.id: seed.fields for seed in seeds.read(loaded.recipe.seeds, loaded.folder)}
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {wanted[row["seed_id"]]["style"] for row in rows} == {*loaded.recipe.seeds.axes["style"]}
    refused = (tmp_path / "run" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert "other_register" in {json.loads(line)["reason"] for line in refused}
    for row in rows:
        fields, answer = wanted[row["seed_id"]], row["messages"][-1]["content"]
        assert len(answer) <= fields["most_chars"]
        endings = r"です。|ます。|ません。|ください。"
        if language == "ja":
            assert bool(re.search(endings, answer)) == (fields["style"] != "常体")
        else:
            assert bool(re.search(r"\w'\w", answer)) == (fields["style"] == "casual")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_shape_that_is_shown_is_the_one_that_is_written_and_checked(language):
    loaded = synth.load(PROMPTS / f"extract-{language}")
    shown = loaded.templates.render("shown.md.j2", {"text": "..."}).split("\n")[2]
    (checked,) = [one.shape for one in loaded.recipe.stages[-1].validators if one.kind == "json_schema"]
    assert json.loads(shown) == checked == loaded.recipe.stages[0].generator.model_dump()["fields"]["expected"]
    assert {*checked["properties"]} == {*checked["required"]} == {"name", "city", "item", "quantity", "day"}


@pytest.mark.parametrize(("name", "sums"), [("consumption-tax-ja", 9), ("labour-law-ja", 8)])
def test_an_answer_to_a_sum_that_is_known_has_to_hold_it(name, sums):
    loaded = synth.load(PROMPTS / name)
    known = {
        seed.id: seed.fields for seed in seeds.read(loaded.recipe.seeds, loaded.folder) if seed.fields.get("answer")
    }
    assert len(known) == sums
    checks = [one for one in loaded.recipe.stages[0].validators if one.kind == "mentions" and one.of == "answer"]
    for fields in known.values():
        for text, is_right in ((f"計算すると{int(fields['answer']):,}円です。", True), ("計算すると7円です。", False)):
            turns = (Message(role="user", content=fields["instruction"]), Message(role="assistant", content=text))
            sample = Sample(id="0", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields=fields)
            (check,) = checks
            with nullcontext() if is_right else pytest.raises(Rejected, match="not_mentioned"):
                check.check(sample)


UNVERIFIED = ["consumption-tax", "labour-law", "medical", "python-data", "technical-translation"]


@pytest.mark.parametrize("name", [name for name in LIBRARY if name.rpartition("-")[0] in UNVERIFIED])
def test_a_recipe_of_a_domain_says_first_and_on_its_card_what_no_expert_verified(name):
    first = (PROMPTS / name / "README.md").read_text(encoding="utf-8").split("\n\n")[1]
    words = "(?:No|no) [a-z]+.* has verified|not run" if name.endswith("-en") else "確かめていません|実行していません"
    assert re.fullmatch(r"\*\*.*\*\*", first)
    assert re.search(words, first)
    description = synth.load(PROMPTS / name).recipe.description
    assert re.search("has verified|not run" if name.endswith("-en") else "受けていません|実行していません", description)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_best_of_several_draws_is_paired_with_one_that_is_two_points_worse(language, tmp_path):
    result = synth.run(PROMPTS / f"preference-{language}", folder=tmp_path / "run", limit=12)
    assert {view.name: bool(view.rows) for view in result.manifest.views} == {"preference": True, "unpaired": True}
    (path,) = (tmp_path / "run" / "dataset" / "views" / "preference").glob("train*")
    pairs = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    assert all(pair["chosen_score"] >= 4 and pair["chosen_score"] - pair["rejected_score"] >= 2 for pair in pairs)


@pytest.mark.parametrize("name", ["translate", "localise"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_request_that_only_works_in_its_own_language_is_refused_before_its_answer_is_bought(name, language):
    loaded = synth.load(PROMPTS / f"{name}-{language}")
    prompt = (loaded.folder / "ask.md.j2").read_text(encoding="utf-8")
    (said,) = re.findall(r"この依頼は.+?。|This request .+?\.", prompt)
    turns = (Message(role="user", content="?"), Message(role="assistant", content=said))
    sample = Sample(id="0", seed_id="0", parent_id="0", stage="ask", draw=0, messages=turns, fields={})
    (check,) = [one for one in loaded.recipe.stages[0].validators if one.kind == "language"]
    with pytest.raises(Rejected, match="wrong_language"):
        check.check(sample)
