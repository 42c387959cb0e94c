"""What is done with the samples of a whole run can change without a sample being made again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

import synth
from synth import pipeline
from synth.errors import FolderError, RecipeError
from synth.live.loop import run_loop
from synth.money.account import Account, set_total, standing
from synth.recipes.loading import load
from synth.results.manifest import read_manifest
from synth.results.outcomes import Outcomes, roll_back
from synth.results.result import Options
from synth.types import Rejection
from tests.forked import ROOT
from tests.results.test_decisions import saved
from tests.results.test_outcomes import SAMPLE

QUESTION = "太郎さんは、りんごを3個持っています。花子さんは、りんごを5個持っています。全部で何個ありますか。"
OTHER = "ある会社では、毎月120台の自転車を作ります。1年では全部で何台の自転車を作ることになりますか。"
VIEW = "output: {views: [{kind: preference, by: judge, gap: 1}]}"
CHANGES = {
    "a threshold": ("require: {judge: 4}", "require: {judge: 2}"),
    "what is best": ("best_of: judge}", "per_prompt: 2}"),
    "what is unlike": ("best_of: judge}", "diverse: {order: [judge], below: 0.3}}"),
    "the splits": ("{train: 0.7, test: 0.3}", "{train: 0.5, validation: 0.5}"),
    "a view": ("split:", f"{VIEW}\nsplit:"),
    "the licence": ("cc0-1.0", "cc-by-4.0"),
}
LEFT = ("outcomes.db", "seeds.db", "stalled.txt")


@pytest.fixture
def recipe(write_recipe) -> Path:
    return write_recipe("practice:") / "recipe.yaml"


def edit(recipe: Path, old: str, new: str) -> None:
    text = recipe.read_text(encoding="utf-8")
    assert old in text
    recipe.write_text(text.replace(old, new), encoding="utf-8")


def outputs(run: Path) -> dict[str, Any]:
    """What a run wrote, but for what tells when, and how long it took."""
    manifest = read_manifest(run / "manifest.json")
    told = manifest.model_dump(exclude={"started", "finished", "seconds", "limited_by_reservation_s"})
    names = [run / "rows.jsonl", run / "rejected.jsonl", run / "contamination.jsonl", *(run / "dataset").rglob("*")]
    files = {str(name.relative_to(run)): name.read_bytes() for name in names if name.is_file()}
    return {"manifest": told, **files}


@pytest.fixture
def made(monkeypatch) -> list[Path]:
    """The folders of the runs that made samples, each time."""
    folders: list[Path] = []
    begun = pipeline._begun

    def noted(loaded, store, *given):
        folders.append(store.folder)
        return begun(loaded, store, *given)

    monkeypatch.setattr(pipeline, "_begun", noted)
    return folders


def run(recipe: Path, folder: Path, **how: Any) -> pipeline.Result:
    return run_loop(pipeline.run(load(recipe), Options(folder, **how)))


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_about_no_sample_is_written_as_if_all_had_been_made_again(change, recipe, tmp_path, made):
    folder = tmp_path / "run"
    first = run(recipe, folder)
    kept, before = (folder / "outcomes.db").read_bytes(), outputs(folder)
    edit(recipe, *CHANGES[change])
    run(recipe, tmp_path / "other")
    result = run(recipe, folder)
    assert outputs(folder) == outputs(tmp_path / "other") != before
    assert (result.exit_code, result.message, result.manifest.state) == (0, "", "complete")
    assert (folder / "outcomes.db").read_bytes() == kept
    assert not (folder / "outcomes.db-journal").exists()
    assert run(recipe, folder).message.startswith("Nothing to do")
    edit(recipe, *reversed(CHANGES[change]))
    again = run(recipe, folder)
    assert outputs(folder) == before
    assert (again.examples, again.rejections) == (first.examples, first.rejections)
    assert made == [folder, tmp_path / "other"]


def test_decisions_are_followed_and_wrong_ones_cost_nothing(recipe, tmp_path, made):
    folder = tmp_path / "run"
    rows = list(run(recipe, folder).rows)
    unknown = saved(folder, [{"id": "99999999/00/000", "decision": "reject"}])
    with pytest.raises(RecipeError, match="99999999/00/000 was decided by hand, and this run has no such row"):
        run(recipe, folder, decisions=unknown)
    decided = saved(folder, [{"id": rows[0]["id"], "decision": "reject", "note": "古い情報"}])
    left = [one["id"] for one in run(recipe, folder, decisions=decided, offline=True).rows]
    assert rows[0]["id"] not in left
    assert len(left) >= len(rows) - 1
    assert "古い情報" in (folder / "rejected.jsonl").read_text(encoding="utf-8")
    assert made == [folder]


def test_an_output_that_is_gone_is_written_from_what_became_of_the_samples(recipe, tmp_path, made):
    folder = tmp_path / "run"
    run(recipe, folder)
    before = outputs(folder)
    for name in ("rows.jsonl", "manifest.json", "report.html"):
        (folder / name).unlink()
    run(recipe, folder)
    assert outputs(folder) == before
    assert (folder / "report.html").is_file()
    assert made == [folder]


def test_a_selection_of_so_many_rows_decides_about_samples_and_the_splits_do_not(recipe, tmp_path, made):
    edit(recipe, "best_of: judge}", "best_of: judge, rows: 8}")
    run(recipe, tmp_path / "run")
    edit(recipe, "judge: 4", "judge: 3")
    run(recipe, tmp_path / "run")
    edit(recipe, "{train: 0.7, test: 0.3}", "{train: 1}")
    assert run(recipe, tmp_path / "run").manifest.rows == {"train": 8}
    assert made == [tmp_path / "run"] * 2


def test_what_a_benchmark_refused_stays_for_review(recipe, tmp_path, made):
    (recipe.parent / "bench.tsv").write_text(f"{QUESTION}\t8\n", encoding="utf-8")
    seeds = b"\n".join(orjson.dumps({"instruction": one}) for one in (QUESTION, OTHER))
    (recipe.parent / "seeds.jsonl").write_bytes(seeds)
    text = recipe.read_text(encoding="utf-8")
    text = re.sub("seeds:\n(  .*\n)*", "seeds: {kind: jsonl, path: seeds.jsonl}\n", text)
    text = re.sub("  - name: write\n(    .*\n)*", "", text)
    recipe.write_text(f"{text}\ndecontaminate: {{against: [bench.tsv], field: 1}}\n", encoding="utf-8")
    folder = tmp_path / "run"
    run(recipe, folder)
    first = outputs(folder)
    assert first["manifest"]["decontamination"][0]["hits"] == 1
    assert QUESTION in first["contamination.jsonl"].decode()
    edit(recipe, "{train: 0.7, test: 0.3}", "{train: 1}")
    run(recipe, folder)
    again = outputs(folder)
    assert again["contamination.jsonl"] == first["contamination.jsonl"]
    assert again["manifest"]["decontamination"] == first["manifest"]["decontamination"]
    assert made == [folder]
    assert again["manifest"]["rows"] == {"train": 0}  # which makes no less of what became of the samples
    (folder / "contamination.jsonl").unlink()
    run(recipe, folder)
    assert outputs(folder) == again
    assert made == [folder] * 2


def test_templates_that_only_rendering_tells_of_are_still_known_when_all_was_written_anew(recipe, tmp_path, made):
    folder, answer = tmp_path / "run", recipe.parent / "answer.md.j2"
    answer.write_text(f"{answer.read_text(encoding='utf-8')}{{% include level ~ '.j2' %}}\n", encoding="utf-8")
    for level, text in (
        ("easy", "短く答えてください。"),
        ("hard", "よく考えてください。"),
    ):  # only easy is the first seed's
        (recipe.parent / f"{level}.j2").write_text(text, encoding="utf-8")
    first = run(recipe, folder).manifest.recipe
    assert {"easy.j2", "hard.j2"} <= first.templates.keys()
    edit(recipe, "{train: 0.7, test: 0.3}", "{train: 1}")
    again = run(recipe, folder).manifest.recipe
    assert (again.templates, again.prompts) == (first.templates, first.prompts)
    assert again.sha256 != first.sha256
    assert made == [folder]
    (recipe.parent / "hard.j2").write_text("とてもよく考えてください。", encoding="utf-8")
    assert not run(recipe, folder).message
    assert made == [folder] * 2


def test_the_checks_of_a_model_of_objects_decide_about_samples_and_its_schema_tells_nothing_of_them(tmp_path, made):
    recipe, folder = tmp_path / "recipe" / "recipe.yaml", tmp_path / "run"
    shutil.copytree(ROOT / "prompts" / "extract-ja", recipe.parent)
    rows = run(recipe, folder, limit=4).manifest.row_count
    model = recipe.parent / "order.py"
    check = "\n    @field_validator('quantity')\n    def _few(cls, given: int) -> int:\n        assert given < 0\n"
    text = model.read_text(encoding="utf-8").replace("import BaseModel", "import BaseModel, field_validator")
    model.write_text(f"{text}{check}", encoding="utf-8")
    edit(recipe, "train: 0.9", "train: 0.8")
    edit(recipe, "test: 0.1", "test: 0.2")
    assert run(recipe, folder, limit=4).manifest.row_count == 0 < rows
    assert made == [folder] * 2


def another_check(recipe: Path, folder: Path) -> None:
    edit(recipe, "{kind: repetition}, ", "")


def damaged(recipe: Path, folder: Path) -> None:
    path = folder / "outcomes.db"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (folder / "rows.jsonl").unlink()


def gone(recipe: Path, folder: Path) -> None:
    (folder / "outcomes.db").unlink()
    (folder / "rows.jsonl").unlink()


def another_store(recipe: Path, folder: Path) -> None:
    synth.preview(recipe, 1, folder=folder)
    (folder / "rows.jsonl").unlink()


@pytest.mark.parametrize("change", [another_check, damaged, gone, another_store], ids=lambda one: one.__name__)
def test_whatever_decides_about_samples_has_them_made_again(change, recipe, tmp_path, made):
    folder = tmp_path / "run"
    run(recipe, folder)
    change(recipe, folder)
    made.clear()
    run(recipe, folder)
    run(recipe, tmp_path / "other")
    assert made == [folder, tmp_path / "other"]
    assert outputs(folder)["rows.jsonl"] == outputs(tmp_path / "other")["rows.jsonl"]
    (folder / "rows.jsonl").unlink()
    run(recipe, folder)
    assert made == [folder, tmp_path / "other"]


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_what_another_user_made_and_may_not_be_written_is_made_again(mode, recipe, tmp_path, made, monkeypatch):
    folder = tmp_path / "run"
    run(recipe, folder)
    # root may do all: what others may, the mode tells
    monkeypatch.setattr(os, "access", lambda path, how: bool(Path(path).exists() and Path(path).stat().st_mode & how))
    for path in (one for one in folder.rglob("*") if one.is_file()):
        path.chmod(0o666)
    (folder / "outcomes.db").chmod(mode)
    edit(recipe, "judge: 4", "judge: 3")
    assert run(recipe, folder).exit_code == 0
    assert made == [folder] * 2


def test_nothing_stays_of_a_run_that_is_not_whole_and_of_a_preview(recipe, tmp_path):
    synth.preview(recipe, 1, folder=tmp_path / "run")
    assert not [name for name in LEFT if (tmp_path / "run" / name).exists()]
    edit(recipe, "split:", "budget: {requests: 9}\nsplit:")
    assert run(recipe, tmp_path / "run").exit_code == 6
    assert not [name for name in LEFT if (tmp_path / "run" / name).exists()]


def test_what_an_account_did_not_get_back_it_gets_by_running_again(recipe, tmp_path, monkeypatch):
    def refused(*_) -> None:
        raise FolderError("The account cannot be used.")

    account = tmp_path / "account"
    set_total(account, 10_000_000)
    edit(recipe, "split:", f"budget: {{account: {account}}}\nsplit:")
    edit(recipe, "sampling:", "price: {input_usd: 1, output_usd: 1}\n    sampling:")
    with monkeypatch.context() as patched:
        patched.setattr(Account, "give_back", refused)
        told = run(recipe, tmp_path / "run").message
    assert told.endswith("It still holds money for this run, which running again gives back.")
    (held,) = standing(account)[1]
    assert held.held_microusd > held.spent_microusd
    assert run(recipe, tmp_path / "run").message == ""
    (held,) = standing(account)[1]
    assert held.held_microusd == held.spent_microusd


KILLED = """
import os, sys
from pathlib import Path
from synth import pipeline
from synth.live.loop import run_loop
from synth.recipes.loading import load
from synth.results.outcomes import Outcomes
from synth.results.result import Options

opened = Outcomes.__init__

def open_narrow(self, *given, **named):
    opened(self, *given, **named)
    self._connection.execute("PRAGMA cache_size = 1")  # so that what is refused is on disk when all is killed

Outcomes.__init__ = open_narrow
pipeline.write_report = lambda *_: os.kill(os.getpid(), 9)
run_loop(pipeline.run(load(Path(sys.argv[1])), Options(Path(sys.argv[2]))))
"""


def test_a_kill_while_all_is_written_anew_leaves_what_was_known(recipe, tmp_path, made):
    folder = tmp_path / "run"
    run(recipe, folder)
    kept = (folder / "outcomes.db").read_bytes()
    edit(recipe, "judge: 4", "judge: 5")
    run(recipe, tmp_path / "other")
    killed = subprocess.run([sys.executable, "-c", KILLED, recipe, folder], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert (folder / "outcomes.db").read_bytes() != kept
    run(recipe, folder)
    assert (folder / "outcomes.db").read_bytes() == kept
    assert outputs(folder) == outputs(tmp_path / "other")
    assert made == [folder, tmp_path / "other"]


def test_what_selection_refuses_is_not_kept(tmp_path):
    refused = [Rejection(id=f"{n:08d}", seed_id="", stage="selection", reason="not_best") for n in range(3_000)]
    path = tmp_path / "outcomes.db"
    first = Outcomes(path, {"answer": "m"})
    first.accept(SAMPLE)
    first.settle()
    for one in refused:
        first.reject(one)
    assert len(list(first.rejected())) == 3_000
    first.keep(b'{"made": 1}')
    first.close()
    before = path.read_bytes()
    for _ in range(2):
        again = Outcomes(path, {"answer": "m"}, kept=True)
        assert (again.manifest(), list(again.accepted()), list(again.rejected())) == (b'{"made": 1}', [SAMPLE], [])
        for one in refused:
            again.reject(one)
        assert again.refusal_of(refused[-1].id) == refused[-1]
        again.close()
        assert path.read_bytes() == before


def test_what_a_kill_left_half_written_is_undone(tmp_path):
    path, killed = tmp_path / "outcomes.db", tmp_path / "killed"
    first = Outcomes(path, {"answer": "m"})
    first.accept(SAMPLE)
    first.settle()
    first.keep(b"{}")
    first.close()
    before = path.read_bytes()
    again = Outcomes(path, {"answer": "m"}, kept=True)
    for n in range(3_000):
        again.reject(Rejection(id=f"{n:08d}", seed_id="", stage="selection", reason="not_best", detail="あ" * 300))
    killed.mkdir()
    for name in (path.name, f"{path.name}-journal"):
        shutil.copy(tmp_path / name, killed)  # as it lies there when the run is killed now
    again.close()
    assert (killed / path.name).read_bytes() != before
    roll_back(killed / path.name)
    assert (killed / path.name).read_bytes() == before
    assert [one.name for one in killed.iterdir()] == [path.name]
