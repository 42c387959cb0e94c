"""Which samples become rows, and in which split."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from synth import load, run
from synth.errors import RecipeError
from synth.results.selection import Selection, select
from synth.results.split import Split, split_of
from synth.types import Message, Rejection, Sample, Score

ROOT = Path(__file__).parent.parent.parent


def sample(parent: str, draw: int, judge: float | None = None, text: str = "答え: 3") -> Sample:
    scores = () if judge is None else (Score(name="judge", value=judge),)
    return Sample(
        id=f"{parent}/{draw:02d}/000",
        seed_id=parent,
        parent_id=parent,
        stage="answer",
        draw=draw,
        messages=(Message(role="user", content="1+2は？"), Message(role="assistant", content=text)),
        fields={},
        scores=scores,
    )


def told(samples: list[Sample], selection: Selection) -> list[tuple[str, str]]:
    return [(one.id, one.reason if isinstance(one, Rejection) else "row") for one in select(samples, selection)]


def test_the_first_of_the_best_draws_is_kept_for_each_prompt():
    drawn = [sample("a", 0, 3), sample("a", 1, 5), sample("a", 2, 5), sample("b", 0, 4)]
    assert told(drawn, Selection(best_of="judge")) == [
        ("a/00/000", "not_best"),
        ("a/01/000", "row"),
        ("a/02/000", "not_best"),
        ("b/00/000", "row"),
    ]


def test_a_missing_score_is_below_every_threshold():
    drawn = [sample("a", 0), sample("a", 1, 3.9), sample("a", 2, 4)]
    chosen = list(select(drawn, Selection(require={"judge": 4})))
    assert [one.reason for one in chosen if isinstance(one, Rejection)] == ["below_threshold"] * 2
    assert "judge is missing" in chosen[0].detail
    assert "judge is 3.9, at least 4 is required" in chosen[1].detail


def test_a_target_keeps_the_first_rows_in_order_and_ends_there():
    drawn = [sample(parent, 0, 4) for parent in "abcd"]
    assert [reason for _, reason in told(drawn, Selection(rows=2))] == ["row", "row"]


def test_several_draws_of_one_prompt_may_stay():
    drawn = [sample("a", draw, score) for draw, score in enumerate((2, 5, 4))]
    chosen = told(drawn, Selection(best_of="judge", per_prompt=2))
    assert [reason for _, reason in chosen] == ["not_best", "row", "row"]


def test_the_first_draw_that_says_what_most_say_is_kept_and_the_row_tells_how_many():
    texts = ["答え: 7個", "答え: ３", "答えは三です。\n答え: 3", "まだ分かりません。", "答え: 七"]
    drawn = [sample("a", draw, text=text) for draw, text in enumerate([*texts, "Answer: 3"])]
    rows = [one for one in select(drawn, Selection(best_of="majority")) if isinstance(one, Sample)]
    assert [row.id for row in rows] == ["a/01/000"]
    assert rows[0].scores == (Score(name="majority", value=0.6, detail="3 of 5 say '３'"),)
    tied = [sample("b", draw, text=text) for draw, text in enumerate(["分かりません。", "答え: 7", "答え: 3"])]
    assert [reason for _, reason in told(tied, Selection(best_of="majority"))] == ["not_best", "row", "not_best"]


def test_of_every_value_as_many_rows_stay_as_the_rarest_has_the_first_ones():
    labels = ["返品", "配送", "返品", "請求", "配送", "配送"]
    labelled = [replace(sample(str(place), 0, 4), fields={"label": one}) for place, one in enumerate(labels)]
    labelled.append(replace(sample("6", 0, 1), fields={"label": "請求"}))
    found = list(select(labelled, Selection(require={"judge": 4}, balance="label")))
    assert [one.reason if isinstance(one, Rejection) else one.fields["label"] for one in found] == [
        *("返品", "配送", "not_balanced", "請求", "not_balanced", "not_balanced"),
        "below_threshold",
    ]
    assert isinstance(found[2], Rejection)
    assert found[2].detail == "label '返品' is in 2 rows, and 1 is what the rarest value has"
    assert list(select([], Selection(balance="label"))) == []


@pytest.mark.parametrize("other", [{"rows": 3}, {"diverse": {"order": ["judge"], "below": 0.5}}])
def test_balance_and_another_rule_for_how_many_rows_there_are_is_a_mistake(other):
    with pytest.raises(ValidationError, match="`balance` decides how many rows there are"):
        Selection.model_validate({"balance": "label", **other})


def test_balance_over_a_field_that_is_not_there_is_a_mistake_before_the_first_request(tmp_path):
    recipe = (ROOT / "prompts" / "gsm8k" / "recipe.yaml").read_text(encoding="utf-8")
    text = recipe.replace("  best_of: exact_answer", "  balance: レベル").replace("path: seeds", "path: ../seeds")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "recipe.yaml").write_text(text, encoding="utf-8")
    for name, place in (("solve.md.j2", "one"), ("seeds.jsonl", ".")):
        (tmp_path / place / name).write_bytes((ROOT / "prompts" / "gsm8k" / name).read_bytes())
    with pytest.raises(
        RecipeError, match=r"selection\.balance.*there is no field 'レベル'; the fields here are question"
    ):
        load(tmp_path / "one")


@pytest.mark.parametrize("chosen", ["selection: {require: {judge: 3}, best_of: judge}", ""])
def test_the_values_of_the_rows_scores_are_counted_whether_rows_are_chosen_or_not(write_recipe, tmp_path, chosen):
    recipe = write_recipe() / "recipe.yaml"
    own = "selection: {require: {judge: 4}, best_of: judge}"
    recipe.write_text(recipe.read_text().replace(own, chosen))
    manifest = run(recipe, folder=tmp_path / "run").manifest
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    assert manifest.scores == {"judge": Counter(row["scores"][0]["value"] for row in rows)}
    assert sum(manifest.rows.values()) == len(rows) > 10
    assert ("below_threshold" in manifest.not_selected) == bool(chosen)


def test_a_seed_is_in_one_split_whatever_the_order_and_shares_are_kept():
    split = Split(fractions={"train": 0.8, "validation": 0.1, "test": 0.1}, seed=3)
    where = {str(number): split_of(str(number), split) for number in range(10_000)}
    assert all(split_of(name, split) == found for name, found in reversed(where.items()))
    counts = Counter(where.values())
    assert abs(counts["train"] - 8000) < 200
    assert abs(counts["test"] - 1000) < 120
    assert {split_of("7", Split(fractions={"train": 0.5, "test": 0.5}, seed=seed)) for seed in range(20)} == {
        "train",
        "test",
    }


def test_rows_are_chosen_anew_without_a_request_and_the_recipes_own_choice_comes_back(synth, tmp_path):
    recipe = ROOT / "prompts" / "gsm8k"

    def rows() -> list[dict]:
        return [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]

    assert synth("run", recipe, "--out", "run").returncode == 0
    own, spent = rows(), (tmp_path / "run" / "manifest.json").read_text().count("attempts")
    chosen = synth("select", recipe, "--out", "run", "--best-of", "majority", "--require", "exact_answer=0")
    assert chosen.returncode == 0, chosen.stderr
    assert len(rows()) == len({row["messages"][0]["content"] for row in rows()})
    assert any(score["name"] == "majority" for row in rows() for score in row["scores"])
    assert synth("select", recipe, "--out", "run", "--per-prompt", "2").returncode == 0
    assert len(rows()) > len(own)
    assert synth("export", recipe, "--out", "run").returncode == 0
    assert rows() == own
    assert (tmp_path / "run" / "manifest.json").read_text().count("attempts") == spent


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--require", "judge=4", "no score 'judge'; the scorers are exact_answer"),
        ("--require", "exact_answer", "'exact_answer' is not SCORE=NUMBER"),
        ("--at-most", "exact_answer=nan", "at_most.exact_answer=nan: Input should be a finite number"),
        ("--best-of", "採点", "no score '採点'"),
    ],
)
def test_a_choice_that_cannot_be_made_is_said_in_words(synth, option, value, said):
    finished = synth("select", ROOT / "prompts" / "gsm8k", option, value)
    assert finished.returncode == 2
    assert said in finished.stderr
    assert "Traceback" not in finished.stderr
