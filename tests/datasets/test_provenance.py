"""Where each row comes from, row by row and request by request, and nothing of it in what is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

import synth
from synth.datasets.provenance import ProvenanceRecord
from synth.results.trace import trace
from tests.written import lines

RECIPE = """\
name: origins
language: ja
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: practice-1, base_url: "practice:faultless", sampling: {temperature: 0.5, seed: 3}}}
stages:
  - name: write
    generator: {kind: self_instruct, prompt: write.md.j2, count: 4}
  - name: answer
    draws: 2
    generator: {kind: answer, prompt: answer.md.j2, question: instruction}
    scorers: [{kind: judge}]
selection: {best_of: judge}
split: {fractions: {train: 0.5, test: 0.5}}
output: {provenance: true, views: [preference]}
"""
SEEDS = "".join(f'{{"topic": "{topic}", "level": "初級向け"}}\n' for topic in ("買い物", "旅行", "料理", "文房具"))
QUICKSTART = Path(__file__).parents[2] / "prompts" / "quickstart-ja"


def make(folder: Path, recipe: str = RECIPE) -> synth.Result:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (folder / "seeds.jsonl").write_text(SEEDS, encoding="utf-8")
    for name in ("write.md.j2", "answer.md.j2"):
        (folder / name).write_bytes((QUICKSTART / name).read_bytes())
    return synth.run(folder, folder=folder / "run")


def told(run: Path, record: ProvenanceRecord) -> dict[str, dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [row for file in record.files.values() for row in parquet.read_table(run / "dataset" / file).to_pylist()]
    return {row["id"]: row for row in rows}


def test_every_row_and_every_refused_sample_tells_all_that_its_trace_tells(tmp_path: Path) -> None:
    result = make(tmp_path / "a")
    run, record = result.folder, result.manifest.provenance
    assert record is not None
    found = told(run, record)
    rows, refused = lines(run / "rows.jsonl"), lines(run / "rejected.jsonl")
    assert found.keys() == {one["id"] for one in (*rows, *refused) if one["messages"]}
    assert record.rows["rejected"] == len(refused) > 0
    for one in (*rows[:3], *refused[:3]):
        steps = trace(run, one["id"]).steps
        for request, step in zip(found[one["id"]]["requests"], steps, strict=True):
            [*_, last] = step.attempts
            same = (step.request, step.stage, step.teacher, step.model, step.served, step.draw)
            assert same == tuple(request[name] for name in ("key", "stage", "teacher", "model", "served", "draw"))
            assert orjson.loads(request["sampling"])["temperature"] == step.asked["temperature"]
            assert request["started"].isoformat(timespec="milliseconds") == last.started[:23]
            assert (request["seconds"], request["cost_microusd"]) == (last.seconds, last.cost_microusd)
            assert request["host"] == "practice"
    first = found[rows[0]["id"]]
    write, answer, score = first["requests"]
    hashes = result.manifest.recipe.templates
    assert write["templates"] == [f"write.md.j2 {hashes['write.md.j2']}"]
    assert (answer["stage"], score["stage"]) == ("answer", "answer:score")
    assert first["parents"] == [rows[0]["id"].rsplit("/", 2)[0]]
    assert first["seed_id"] == rows[0]["seed_id"]
    assert {one["verdict"] for one in found.values()} == {"accepted", *(one["reason"] for one in refused)}


def test_what_is_trained_on_holds_none_of_it(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run = make(tmp_path / "a").folder
    for file in (run / "dataset/views").rglob("*.parquet"):
        assert set(parquet.read_schema(file).names) <= {
            "id", "prompt", "chosen", "rejected", "rejected_id", "rejected_for",
        }  # fmt: skip


def test_the_card_does_not_depend_on_when_a_run_was_made(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a"), make(tmp_path / "b")
    cards = [result.folder.joinpath("dataset/README.md").read_bytes() for result in (one, other)]
    assert cards[0] == cards[1]


def test_it_is_gone_when_the_recipe_no_longer_asks_for_it(tmp_path: Path) -> None:
    run = make(tmp_path / "a").folder
    assert (run / "dataset/provenance").is_dir()
    make(tmp_path / "a", RECIPE.replace("provenance: true, ", ""))
    assert not (run / "dataset/provenance").exists()
    assert "config_name: provenance" not in (run / "dataset/README.md").read_text(encoding="utf-8")


def test_every_configuration_loads(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    result = make(tmp_path / "a", RECIPE.replace("[preference]", "[prompt, {kind: preference, by: judge, gap: 0.5}]"))
    rows = result.manifest.row_count
    for name in ("default", "prompt", "provenance"):
        loaded = datasets.load_dataset(str(result.dataset), name, cache_dir=str(tmp_path / "cache"))
        assert sum(len(split) for part, split in loaded.items() if part != "rejected") == rows
