"""Views of a run's rows: each its own configuration, made by the recipe or from the folder, without a request."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from synth.datasets.card import card
from synth.datasets.export import Written, write_dataset
from synth.errors import RecipeError
from synth.formats.convert import Wanted, convert
from synth.formats.pairs import judged
from synth.formats.views import ViewRecord, write_views
from synth.recipes.loading import load
from synth.recipes.views import NO_QUALITY, QUALITY, Output, Preference, Unpaired
from synth.report.words import ENGLISH
from tests.datasets.conftest import packed
from tests.datasets.run_folder import QUESTION, answer, asking_for, write_run

LONG = "3 を足して {} 個になります。"


def usual(number: int) -> list[dict[str, Any]]:
    """One prompt: two kept draws, one refused as bad, and three that were refused for nothing bad."""
    return [
        answer(number, 0, f"{number + 3} 個です。", 5.0),
        answer(number, 1, LONG.format(number + 3), 3.0),
        answer(number, 2, "申し訳ありませんが、お答えできません。", None, reason="refusal"),
        answer(number, 3, f"{number + 3} 個", None, reason="near_duplicate"),
        answer(number, 4, f"たぶん {number} 個", 1.0, reason="below_threshold"),
        answer(number, 5, f"{number + 3} 個だと思います。", 1.0, reason="beyond_target"),
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [one for number in range(4) for one in usual(number)])


def rows(run: Path, record: ViewRecord, split: str = "train") -> list[dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    return [row for file in record.files[split] for row in parquet.read_table(run / "dataset" / file).to_pylist()]


def test_a_pair_is_a_row_and_what_was_refused_for_its_quality(run: Path) -> None:
    [record] = write_views(asking_for(run, views=["preference"]), run)
    [first, *_] = found = rows(run, record)
    assert len(found) == 4
    assert first == {
        "id": "000000/00/000",
        "prompt": [{"role": "user", "content": QUESTION.format(0)}],
        "chosen": [{"role": "assistant", "content": "3 個です。"}],
        "rejected": [{"role": "assistant", "content": "申し訳ありませんが、お答えできません。"}],
        "rejected_id": "000000/02/000",
        "rejected_for": "refusal",
    }


def test_by_a_score_the_pair_furthest_apart_comes_first_and_none_is_nearer_than_the_gap(run: Path) -> None:
    view = {"kind": "preference", "by": "judge", "gap": 2}
    [record] = write_views(asking_for(run, views=[view]), run)
    assert [(row["chosen_score"], row["rejected_score"]) for row in rows(run, record)] == [(5.0, 1.0)] * 4
    [record] = write_views(asking_for(run, views=[{**view, "per_prompt": 9}]), run)
    scores = [(row["chosen_score"], row["rejected_score"]) for row in rows(run, record)]
    assert scores == [(5.0, 1.0), (5.0, 3.0), (3.0, 1.0)] * 4
    [record] = write_views(asking_for(run, views=[{**view, "gap": 4.5}]), run)
    assert record.rows == {}


@pytest.mark.parametrize("reason", sorted(NO_QUALITY))
def test_a_reason_that_says_nothing_of_quality_makes_no_answer_a_bad_one(reason: str, tmp_path: Path) -> None:
    draws = [answer(0, 0, "3 個です。", 5.0), answer(0, 1, "3 個。", 1.0, reason=reason)]
    run = write_run(tmp_path / "run", draws)
    for rule in (
        Preference(kind="preference"),
        Preference(kind="preference", by="judge", gap=1),
        Unpaired(kind="unpaired"),
        Unpaired(kind="unpaired", by="judge", good=4, bad=2),
    ):
        assert [row for _, row in judged(run, rule) if row.get("label", False) is False] == []
    with pytest.raises(ValidationError, match="says nothing of an answer's quality"):
        Preference(kind="preference", reasons=[reason])


def test_reasons_are_those_that_the_words_know() -> None:
    assert ENGLISH.reasons.keys() >= QUALITY | NO_QUALITY
    assert not QUALITY & NO_QUALITY


def test_answers_that_say_the_same_or_answer_another_prompt_are_no_pair(tmp_path: Path) -> None:
    same = answer(0, 1, " 3 個です。\n", None, reason="refusal", reasoning="別の考え")
    other = answer(0, 2, "いやです。", None, reason="refusal")
    other["messages"][0]["content"] = "別の質問"
    run = write_run(tmp_path / "run", [answer(0, 0, "3 個です。"), same, other])
    assert list(judged(run, Preference(kind="preference", per_prompt=9))) == []


def test_a_reply_that_was_asked_anew_is_a_draw_of_its_prompt(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run", [answer(0, 0, "3 個です。"), answer(0, 0, "いやです。", None, reason="refusal", anew="~1")]
    )
    assert [row["rejected_id"] for _, row in judged(run, Preference(kind="preference"))] == ["000000/00/000~1"]


def test_answers_of_an_earlier_stage_are_draws_of_no_row(tmp_path: Path) -> None:
    earlier = answer(0, 1, "いやです。", None, reason="refusal")
    row = {**answer(0, 0, "3 個です。"), "id": "000000/00/000/00/000"}
    run = write_run(tmp_path / "run", [row, earlier, {**earlier, "id": "000000/00/000"}])
    assert list(judged(run, Preference(kind="preference"))) == []


def test_labels_go_by_verdict_or_by_two_scores(run: Path) -> None:
    by_score = {"kind": "unpaired", "by": "judge", "good": 4, "bad": 3, "name": "scored"}
    [verdict, score] = write_views(asking_for(run, views=["unpaired", by_score]), run)
    assert verdict.labels == {"good": 8, "bad": 8}
    assert score.labels == {"good": 4, "bad": 8}
    assert {(row["id"][-6:], row["label"]) for row in rows(run, score)} == {
        ("00/000", True), ("01/000", False), ("04/000", False),
    }  # fmt: skip
    [first, *_] = rows(run, verdict)
    assert first["completion"] == [{"role": "assistant", "content": "3 個です。"}]


def test_a_dialogue_that_was_refused_for_whichever_answer_makes_no_bad_last_one(tmp_path: Path) -> None:
    def dialogue(draw: int, first: str, last: str, **more: str) -> dict[str, Any]:
        one = answer(0, draw, last, None, **more)
        asked = one["messages"][0]
        return {**one, "messages": [asked, {**one["messages"][-1], "content": first}, *one["messages"]]}

    good = dialogue(0, "3 個です。", "4 個です。")
    late = dialogue(1, "3 個です。", "お答えできません。", reason="refusal")
    early = dialogue(2, "お答えできません。", "4 個です。", reason="refusal")
    run = write_run(tmp_path / "run", [good, late, early])
    labels = {row["id"]: row["label"] for _, row in judged(run, Unpaired(kind="unpaired"))}
    assert labels == {"000000/00/000": True, "000000/01/000": False}


def test_a_strange_file_beside_the_views_is_cleared_away(run: Path) -> None:
    folder = run / "dataset" / "views"
    folder.mkdir(parents=True)
    (folder / ".DS_Store").write_bytes(b"x")
    write_views(asking_for(run, views=["preference"]), run)
    assert [path.name for path in folder.iterdir()] == ["preference"]


def test_how_often_the_chosen_answer_is_the_longer_one_is_told(run: Path) -> None:
    [record] = write_views(asking_for(run, views=["preference"]), run)
    assert record.pairs is not None
    assert (record.pairs.chosen_longer, record.pairs.rejected_longer) == (0, 4)
    assert (record.pairs.chosen_median, record.pairs.rejected_median) == (6, 19)


def test_a_row_without_reasoning_or_tools_has_no_place_where_they_are_the_matter(tmp_path: Path) -> None:
    tools = json.dumps([{"type": "function", "function": {"name": "足す", "parameters": {"type": "object"}}}])
    draws = [answer(0, 0, "3", reasoning="0 に 3 を足す。"), answer(1, 0, "4"), answer(2, 0, "5", tools=tools)]
    run = write_run(tmp_path / "run", draws)
    inline = {"kind": "reasoning", "reasoning": "inline", "name": "inline"}
    apart, within, called = write_views(asking_for(run, views=["reasoning", inline, "tools"]), run)
    assert [row["messages"][-1] for row in rows(run, apart)] == [
        {"role": "assistant", "content": "3", "reasoning_content": "0 に 3 を足す。"}
    ]
    assert [row["messages"][-1]["content"] for row in rows(run, within)] == ["<think>\n0 に 3 を足す。\n</think>\n\n3"]
    assert apart.left_out == within.left_out == {"no_reasoning": 2}
    assert [json.loads(row["tools"])[0]["function"]["name"] for row in rows(run, called)] == ["足す"]
    assert called.left_out == {"no_tools": 2}


def test_every_split_has_the_columns_of_all(tmp_path: Path) -> None:
    """Readers take the columns of the first file and fail on another one."""
    draws = [answer(0, 0, "3", reasoning="足す。", split="train"), answer(1, 0, "4", split="test")]
    run = write_run(tmp_path / "run", draws)
    [record] = write_views(asking_for(run, views=["messages"]), run)
    parquet = pytest.importorskip("pyarrow.parquet")
    train, test = (parquet.read_schema(run / "dataset" / record.files[split][0]) for split in ("train", "test"))
    assert train == test
    assert not train.metadata


def test_a_large_view_is_several_files_and_a_shuffled_one_the_same_each_time(tmp_path: Path) -> None:
    text = "長い答え。" * 20_000
    run = write_run(tmp_path / "run", [answer(number, 0, f"{text}{number}") for number in range(12)])
    loaded = asking_for(run, views=["messages", {"kind": "prompt", "shuffle": 7}], shard_mb=1)
    whole, shuffled = write_views(loaded, run)
    assert whole.files["train"] == tuple(f"views/messages/train-{n:05d}-of-00004.parquet" for n in range(4))
    assert [row["id"] for row in rows(run, whole)] == [f"{number:06d}/00/000" for number in range(12)]
    order = [row["id"] for row in rows(run, shuffled)]
    assert order != sorted(order)
    assert write_views(loaded, run) == (whole, shuffled)


def test_a_view_that_is_no_longer_wanted_is_gone(run: Path) -> None:
    write_views(asking_for(run, views=["messages", "prompt"]), run)
    write_views(asking_for(run, views=["prompt"]), run)
    assert [path.name for path in (run / "dataset/views").iterdir()] == ["prompt"]
    write_views(asking_for(run), run)
    assert list((run / "dataset/views").iterdir()) == []


def test_replaced_halves_of_characters_are_counted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [answer(0, 0, "壊れた\ufffd字"), answer(1, 0, "4")])
    [record] = write_views(asking_for(run, views=["messages"]), run)
    assert record.warnings == {"damaged_text": 1}


def test_a_view_without_a_row_has_no_file(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [answer(0, 0, "3")])
    [record] = write_views(asking_for(run, views=["preference"]), run)
    assert (record.rows, record.files, record.lengths) == ({}, {}, None)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"views": ["parrot"]}, "messages"),
        ({"views": [{"kind": "preference", "by": "judge"}]}, "needs `gap`"),
        ({"views": [{"kind": "preference", "gap": 1}]}, "name it with `by`"),
        ({"views": [{"kind": "preference", "reasons": ["refusal"], "by": "judge", "gap": 1}]}, "decide by verdict"),
        ({"views": [{"kind": "preference", "reasons": ["refusals"]}]}, "did you mean 'refusal'"),
        ({"views": [{"kind": "unpaired", "by": "judge", "good": 2, "bad": 2}]}, "a bad one scores less"),
        ({"views": [{"kind": "messages", "gap": 1}]}, "gap"),
        ({"views": [{"kind": "reasoning", "reasoning": "drop"}]}, "cannot drop it"),
        ({"views": ["messages", "messages"]}, "two views are called 'messages'"),
        ({"views": [{"kind": "messages", "name": "data"}]}, "cannot be called 'data'"),
        ({"tokenizer": "student"}, "none is listed"),
        ({"shard_mb": 5}, "none is listed"),
    ],
)
def test_what_a_view_cannot_heed_is_a_mistake(output: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Output.model_validate(output)


def test_a_finished_run_becomes_a_file_of_pairs_without_its_recipe(run: Path, tmp_path: Path) -> None:
    rule = Preference(kind="preference", by="judge", gap=1)
    done = convert([run], tmp_path / "pairs.jsonl", Wanted("preference", rule=rule))
    assert done.rows() == 4
    first = json.loads((tmp_path / "pairs.jsonl").read_text("utf-8").splitlines()[0])
    assert (first["id"], first["chosen_score"], first["rejected_score"]) == ("000000/00/000", 5.0, 1.0)


def test_pairs_of_anybody_are_written_whole_and_equal_ones_left_out(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    lines = [
        {"prompt": "問い", "chosen": "良い", "rejected": "悪い"},
        {"chosen": [{"role": "user", "content": "問い"}, {"role": "assistant", "content": "良い"}],
         "rejected": [{"role": "user", "content": "問い"}, {"role": "assistant", "content": "悪い"}]},
        {"prompt": "問い", "chosen": "同じ", "rejected": "同じ"},
    ]  # fmt: skip
    source.write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")
    done = convert([source], tmp_path / "b.jsonl", Wanted("preference"))
    assert {reason: one.rows for reason, one in done.left_out.items()} == {"chosen_equals_rejected": 1}
    written = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text("utf-8").splitlines()]
    assert [(row["prompt"][0]["content"], row["chosen"][0]["content"], row["rejected"][0]["content"])
            for row in written] == [("問い", "良い", "悪い")] * 2  # fmt: skip


def test_pairs_are_made_of_runs_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"messages": []}\n', "utf-8")
    with pytest.raises(RecipeError, match="No row can be written as preference"):
        convert([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", Wanted("preference"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--to", "messages", "--by", "judge"],
            "--by: draws are told apart for pairs and labels of a run alone",
        ),
        (["--to", "preference", "--gap", "1"], "`gap` goes with a score"),
        (["--to", "preference", "--by", "judge"], "`by: judge` needs `gap`"),
        (["--to", "preference", "--reason", "duplicate"], "says nothing of an answer's quality"),
        (["--to", "preference", "--by", "長さ", "--gap", "1"], "No draws of the run can be told apart so (長さ"),
        (["--to", "preference", "--by", "ｊｕｇｅ", "--gap", "1"], "which has judge; did you mean 'judge'?\n"),
        (["--to", "preference", "--reason", "refusl"], "there is no reason 'refusl'; did you mean 'refusal'?\n"),
        (["--to", "preference", "--per-prompt", "0"], "--per-prompt: Input should be greater than or equal to 1"),
    ],
)
def test_options_that_tell_nothing_apart_are_one_sentence(
    options: list[str], words: str, synth: Any, run: Path
) -> None:
    done = synth("convert", run, "--out", run.parent / "out.jsonl", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_makes_labelled_answers_of_a_run(synth: Any, run: Path) -> None:
    out = run.parent / "out.jsonl"
    done = synth("convert", run, "--to", "unpaired", "--by", "judge", "--good", "4", "--bad", "1", "--out", out)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [(row["label"], row["score"]) for row in rows[:2]] == [(True, 5.0), (False, 1.0)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("output: {views: [{kind: preference, by: 長さ, gap: 1}]}", "the last stage gives no score '長さ'"),
        ("output: {views: [preference]}", "asks for one: more `draws`"),
        ("output: {views: [text]}", "name the folder of its tokenizer"),
        ("output: {views: [messages], tokenizer: 生徒}", "there is no tokenizer.json in"),
        ("output: {views: [messages, {kind: prompt, name: messages}]}", "two views are called 'messages'"),
    ],
)
def test_a_view_that_cannot_come_is_found_before_the_first_request(change: str, words: str, tmp_path: Path) -> None:
    recipe = (
        "name: r\nlanguage: ja\nseeds: {kind: jsonl, path: s.jsonl}\n"
        'teachers: {main: {model: m, base_url: "practice:"}}\n'
        "stages: [{name: a, generator: {kind: answer, prompt: a.md.j2}}]\n"
    )
    (tmp_path / "recipe.yaml").write_text(recipe + change + "\n", "utf-8")
    (tmp_path / "s.jsonl").write_text('{"q": "問い"}\n', "utf-8")
    (tmp_path / "a.md.j2").write_text("{{ q }}", "utf-8")
    with pytest.raises(RecipeError, match=words) as raised:
        load(tmp_path)
    assert "recipe.yaml:6:" in str(raised.value)


@pytest.mark.parametrize(
    ("language", "words"), [("ja", "選ばれなかった回答のほうが長いもの 4 組"), ("en", "the rejected one in 4")]
)
def test_the_card_tells_of_views(language: str, words: str, run: Path, make_manifest: Any) -> None:
    views = write_views(asking_for(run, views=["preference", "unpaired", "tools"]), run)
    text = card(
        make_manifest(language=language, views=views), Written(rows={"train": 8}, files={"train": "data/train.parquet"})
    )
    assert words in text
    header = yaml.safe_load(text.split("---\n")[1])
    assert [one["config_name"] for one in header["configs"]] == ["default", "preference", "unpaired"]
    assert "no\\_tools 8" in text


def test_every_configuration_loads_by_its_name_and_reads_back_what_was_written(
    tmp_path: Path, make_manifest: Any, make_sample: Any
) -> None:
    datasets = pytest.importorskip("datasets")
    hard = "税\u2028\u0085\ttab\u0000 \u001b[31m 😀👨‍👩‍👧 ｶﾅ"
    draws = [
        one
        for number, split in ((0, "train"), (1, "test"))
        for one in (
            answer(number, 0, f"{hard}{number}", 5.0, reasoning=hard if split == "train" else None, split=split),
            answer(number, 1, f"違う {number}", 1.0, reason="below_threshold"),
        )
    ]
    run = write_run(tmp_path / "run", draws)
    kinds = ["messages", "prompt-completion", "prompt", "reasoning", "preference", "unpaired"]
    views = write_views(asking_for(run, views=kinds), run)
    samples = ((split, packed(make_sample(0, "問い", "答え"))) for split in ("train", "test"))
    written = write_dataset(samples, tmp_path / "rows")
    (tmp_path / "rows/dataset/data").rename(run / "dataset/data")
    (run / "dataset/README.md").write_text(card(make_manifest(views=views), written), "utf-8")
    for view in views:
        loaded = datasets.load_dataset(str(run / "dataset"), view.name, cache_dir=str(tmp_path / "cache"))
        assert {split: len(rows) for split, rows in loaded.items()} == view.rows
    pair = datasets.load_dataset(str(run / "dataset"), "preference", split="test", cache_dir=str(tmp_path / "cache"))[0]
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == (f"{hard}1", "違う 1")
    assert pair["prompt"][0]["content"] == QUESTION.format(1)


def test_a_refused_answer_is_labelled_with_the_tools_that_its_prompt_offers(tmp_path: Path) -> None:
    tools = json.dumps([{"type": "function", "function": {"name": "足す", "parameters": {"type": "object"}}}])
    draws = [answer(0, 0, "3", tools=tools), answer(0, 1, "いやです。", None, reason="refusal")]
    run = write_run(tmp_path / "run", draws)
    assert [row["tools"] for _, row in judged(run, Unpaired(kind="unpaired"))] == [tools, tools]


def test_the_page_names_the_reasons_that_call_an_answer_bad() -> None:
    page = (Path(__file__).parents[2] / "docs/formats.md").read_text("utf-8")
    told = page.split("was refused for what calls an answer bad:", 1)[1].split(". `--reason`", 1)[0]
    assert set(re.findall(r"`(\w+)`", told)) == QUALITY


def test_an_output_that_is_written_out_whole_is_read_back_as_the_same() -> None:
    for given in ({}, {"views": ["messages", {"kind": "preference", "by": "judge", "gap": 1}], "shard_mb": 5}):
        output = Output.model_validate(given)
        assert Output.model_validate_json(output.model_dump_json()) == output


def test_without_pyarrow_a_view_is_lines_of_json(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.formats.views.find_spec", lambda name: None)
    [record] = write_views(asking_for(run, views=["preference"]), run)
    assert record.files == {"train": ("views/preference/train.jsonl",)}
    lines = (run / "dataset" / record.files["train"][0]).read_text("utf-8").splitlines()
    assert [json.loads(line)["rejected_for"] for line in lines] == ["refusal"] * 4
