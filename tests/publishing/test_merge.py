"""`synth merge`: finished runs as one dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from synth.dedupe.decontaminate import Benchmarks, Item
from synth.errors import FolderError, RecipeError
from synth.merging import How, merge
from synth.publishing.content import gather
from synth.results.manifest import read_manifest
from synth.results.split import Split
from tests.publishing.conftest import QUESTIONS


def rows(folder: Path, name: str = "rows.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def answers(folder: Path) -> dict[str, str]:
    return {row["id"]: row["messages"][-1]["content"] for row in rows(folder)}


def test_what_a_later_run_repeats_goes_and_the_first_run_wins(make_run, tmp_path) -> None:
    first = make_run({"train": ["一の答え", "二の答え"], "test": ["三の答え"]}, folder="first")
    second = make_run({"train": ["別の答え"], "test": ["ほかの答え", "四の答え"]}, folder="second", start=1)
    manifest = merge([first, second], tmp_path / "out", How("both"))
    assert answers(tmp_path / "out") == {
        "first/000000/0/0": "一の答え",
        "first/000001/0/0": "二の答え",
        "first/000002/0/0": "三の答え",
        "second/000003/0/0": "四の答え",
    }
    (refused, *_) = rows(tmp_path / "out", "rejected.jsonl")
    assert (refused["id"], refused["stage"], refused["reason"]) == ("second/000001/0/0", "merge", "duplicate")
    assert (refused["twin_id"], refused["teacher"]) == ("first/000001/0/0", "large-model")
    told = {one.run: (one.rows, one.kept, one.removed) for one in manifest.merged}
    assert told == {"first": (3, 3, {}), "second": (3, 1, {"duplicate": 2})}
    assert read_manifest(tmp_path / "out" / "manifest.json") == manifest


def test_the_other_order_keeps_the_other_runs_answer(make_run, tmp_path) -> None:
    first = make_run({"train": ["一の答え"]}, folder="first")
    second = make_run({"train": ["別の答え"]}, folder="second")
    merge([second, first], tmp_path / "out", How("both"))
    assert answers(tmp_path / "out") == {"second/000000/0/0": "別の答え"}


def test_writing_width_and_kana_hide_no_twin(make_run, tmp_path) -> None:
    first = make_run({"train": ["ｶﾀｶﾅ　の　答え　１２３"]}, folder="first")
    second = make_run({"train": ["カタカナの答え 123"]}, folder="second", start=1)
    manifest = merge([first, second], tmp_path / "out", How("both", by="answer"))
    assert [one.kept for one in manifest.merged] == [1, 0]


def test_draws_of_one_prompt_within_a_run_stay(make_run, tmp_path) -> None:
    first = make_run({"train": ["同じ答え", "同じ答え"]}, folder="first")
    second = make_run({"train": ["同じ答え"]}, folder="second", start=5)
    assert merge([first, second], tmp_path / "out", How("one", by="answer")).row_count == 2


def test_benchmarks_are_kept_out_of_all_runs(make_run, tmp_path) -> None:
    first = make_run({"train": ["一", "二", "三"]}, folder="first")
    how = How("both", benchmarks=Benchmarks([Item("exam.jsonl", 1, QUESTIONS[1])]))
    manifest = merge([first], tmp_path / "out", how)
    assert manifest.row_count == 2
    assert manifest.merged[0].removed == {"contaminated": 1}
    (record,) = manifest.decontamination
    assert (record.name, record.hits) == ("exam.jsonl", 1)
    assert rows(tmp_path / "out", "rejected.jsonl")[0]["reason"] == "contaminated"


def test_all_rows_can_be_dealt_anew(make_run, tmp_path) -> None:
    first = make_run({"train": [f"答え {number}" for number in range(12)]}, folder="first")
    manifest = merge([first], tmp_path / "out", How("both", split=Split(fractions={"train": 0.5, "held": 0.5})))
    assert set(manifest.rows) == {"train", "held"}
    assert manifest.row_count == 12


def test_records_and_terms_are_united_and_the_card_tells_what_came_from_where(make_run, tmp_path) -> None:
    first = make_run({"train": ["一"]}, folder="first", model="meta-llama/Llama-3.3-70B-Instruct")
    second = make_run({"train": ["二"]}, folder="second", start=1, language="en", seeds_license="cc-by-4.0")
    manifest = merge([first, second], tmp_path / "out", How("both"))
    assert [teacher.name for teacher in manifest.teachers] == ["first/main", "second/main"]
    assert [stage.name for stage in manifest.stages] == ["first/answers", "second/answers"]
    assert manifest.cost_microusd == 3000
    assert manifest.seeds.count == 6
    assert manifest.seeds.license == "cc0-1.0, cc-by-4.0"
    text = (tmp_path / "out" / "dataset" / "README.md").read_text(encoding="utf-8")
    assert "| first | sums | cc-by-4.0 | 1 | 1 | – |" in text
    assert "「Built with Llama」と表示" in text
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in text
    assert yaml.safe_load(text.split("---\n")[1])["language"] == ["ja", "en"]
    gather(tmp_path / "out")


def test_the_same_merge_gives_the_same_bytes(make_run, tmp_path) -> None:
    runs = [make_run({"train": ["一", "二"]}, folder="first"), make_run({"train": ["三"]}, folder="second", start=5)]
    for name in ("a", "b"):
        merge(runs, tmp_path / name, How("both"))
    for file in ("rows.jsonl", "rejected.jsonl", "manifest.json", "dataset/README.md", "dataset/data/train.parquet"):
        if (tmp_path / "a" / file).exists():
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_licences_that_do_not_agree_need_one_for_the_whole_that_carries_them(make_run, tmp_path) -> None:
    first = make_run({"train": ["一"]}, folder="first", license="apache-2.0")
    second = make_run({"train": ["二"]}, folder="second", start=1, license="cc-by-nc-4.0")
    with pytest.raises(RecipeError, match=r"different licences \(first apache-2\.0, second cc-by-nc-4\.0\)"):
        merge([first, second], tmp_path / "out", How("both"))
    with pytest.raises(RecipeError, match=r"apache-2\.0 cannot stand over the run second \(cc-by-nc-4\.0\)"):
        merge([first, second], tmp_path / "out", How("both", license="apache-2.0"))
    assert merge([first, second], tmp_path / "out", How("both", license="cc-by-nc-4.0")).recipe.license


def test_a_licence_of_seeds_is_not_lost_beside_seeds_without_one(make_run, tmp_path) -> None:
    first = make_run({"train": ["一"]}, folder="first", seeds_license="cc-by-nc-4.0")
    second = make_run({"train": ["二"]}, folder="second", start=1, seeds_license=None, language="en")
    merge([first, second], tmp_path / "out", How("both"))
    merge([second, tmp_path / "out"], tmp_path / "again", How("again"))
    for folder in ("out", "again"):
        with pytest.raises(RecipeError, match=r"cc-by-4\.0 cannot stand over the seeds \(cc-by-nc-4\.0\)"):
            gather(tmp_path / folder)
    japanese, english = (
        (tmp_path / name / "dataset" / "README.md").read_text(encoding="utf-8") for name in ("out", "again")
    )
    assert "申告されていません（実行の一部。申告されたもの：cc-by-nc-4.0）。" in japanese
    assert "not declared for all of the runs; declared are: cc-by-nc-4.0.\nNeither it" in english


def test_runs_of_one_name_keep_ids_of_their_own(make_run, tmp_path) -> None:
    folders = ["a/答え", "b/答え", "c/答え-2"]
    runs = [make_run({"train": [f"{n} 番目"]}, folder=folder, start=n) for n, folder in enumerate(folders)]
    manifest = merge(runs, tmp_path / "out", How("all"))
    assert [one.run for one in manifest.merged] == ["答え", "答え-3", "答え-2"]
    assert len(answers(tmp_path / "out")) == 3


def test_what_a_person_did_to_rows_is_still_told(make_run, tmp_path) -> None:
    runs = [
        make_run({"train": [name]}, folder=name, start=start, by_hand={"edit": 2})
        for start, name in enumerate(("first", "second"))
    ]
    assert merge(runs, tmp_path / "out", How("both")).by_hand == {"edit": 4}


def test_a_name_that_ends_with_dashes_ends_no_front_matter(make_run, tmp_path) -> None:
    merge([make_run(folder="first")], tmp_path / "out", How("一覧---"))
    assert gather(tmp_path / "out").manifest.recipe.name == "一覧---"


def test_a_merge_of_a_run_that_is_not_complete_is_not_complete(make_run, tmp_path) -> None:
    runs = [make_run({"train": ["一"]}, folder="first", state="interrupted")]
    assert merge(runs, tmp_path / "out", How("both")).state == "partial"


def test_what_is_no_finished_run_is_a_sentence(make_run, tmp_path, synth) -> None:
    run = make_run(folder="first")
    with pytest.raises(FolderError, match=r"manifest\.json cannot be read"):
        merge([run, tmp_path / "nothing"], tmp_path / "out", How("both"))
    with pytest.raises(FolderError, match="is one of the runs"):
        merge([run], run, How("both"))
    (run / "rows.jsonl").write_text((run / "rows.jsonl").read_text() * 2)
    stopped = synth("merge", run, "--out", tmp_path / "out")
    assert stopped.returncode == 5
    assert "has 6 rows, and its record 3; export it again." in stopped.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_the_command_says_what_came_of_each_run(make_run, tmp_path, synth) -> None:
    first, second = make_run({"train": ["一"]}, folder="first"), make_run({"train": ["二"]}, folder="second")
    told = synth("merge", first, second, "--out", tmp_path / "out", env={"COLUMNS": "80"})
    assert told.returncode == 0, told.stderr
    assert "1 row (train 1)" in told.stdout
    assert "duplicate 1" in told.stdout
    assert all(len(line) <= 80 for line in told.stdout.splitlines()[:-1])
    as_json = json.loads(synth("merge", first, second, "--out", tmp_path / "out", "--json").stdout)
    assert [one["kept"] for one in as_json["runs"]] == [1, 0]


def test_a_row_of_a_merged_dataset_is_traced_in_its_run(make_run, tmp_path, synth) -> None:
    merge([make_run({"train": ["一"]}, folder="first")], tmp_path / "out", How("both"))
    told = synth("trace", tmp_path / "out", "first/000000/0/0")
    assert told.returncode == 5
    assert "the replies lie in the run first, whose row 000000/0/0 this is" in told.stderr
