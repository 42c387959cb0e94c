"""`synth compare`: the same prompts through several teachers, what may be said of it, and that nothing is bought twice."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from synth.comparing.bakeoff import Comparison, Measured
from synth.report import compared
from synth.report.compared import page

RECIPE = """\
name: contest
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  small: {{model: small-1, base_url: "replay:small.jsonl", fallback: large, price: {{input_usd: 1, output_usd: 1}}}}
  large: {{model: large-1, base_url: "replay:large.jsonl", price: {{input_usd: 10, output_usd: 10}}}}
  idle: {{model: idle-1, base_url: "replay:idle.jsonl"}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2{teacher}}}
    validators: [{{kind: refusal}}, {{kind: language}}]
    scorers: [{{kind: exact_answer, reference: right}}]
selection: {{require: {{exact_answer: 1}}, best_of: exact_answer}}
"""
REFUSAL = "申し訳ありませんが、そのご質問にはお答えできません。"
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e答え：12"
ENGLISH = "The answer is found by adding both numbers, which gives the following result.\nAnswer: {}"


def answer(number: int) -> str:
    return f"りんごは全部で{number}個になります。\n答え：{number}"


@pytest.fixture
def recipe(tmp_path: Path):
    """A recipe with two teachers of recorded replies: of 12 prompts the small one fails at eight, the large one at none."""

    def write(teacher: str = "", **changed: str) -> Path:
        folder = tmp_path / "contest"
        folder.mkdir(exist_ok=True)
        (folder / "recipe.yaml").write_text(RECIPE.format(teacher=teacher), encoding="utf-8")
        (folder / "ask.md.j2").write_text("{{ q }}")
        seeds = [{"q": f"問い{place}", "right": str(place)} for place in range(12)]
        small = {0: REFUSAL, 1: ENGLISH.format(1), **{place: answer(99) for place in range(2, 8)}}
        replies = {"small": {place: small.get(place, answer(place)) for place in range(12)}, "idle": {}}
        replies["large"] = {place: answer(place) for place in range(12)} | {
            int(place.removeprefix("q")): text for place, text in changed.items()
        }
        for name, of_prompt in replies.items():
            lines = [
                json.dumps({"prompt": f"問い{place}", "response": reply(text)}) for place, text in of_prompt.items()
            ]
            (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        (folder / "seeds.jsonl").write_text("\n".join(map(json.dumps, seeds)), encoding="utf-8")
        return folder

    return write


def reply(text: str) -> dict:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 10, "completion_tokens": 90}
    return {"model": "m", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}


def attempts(folder: Path) -> list[tuple[str, str, int]]:
    with closing(sqlite3.connect(folder / "run.db")) as connection:
        return connection.execute(
            "SELECT teacher, failure, count(*) FROM attempt JOIN settled ON settled.attempt = attempt.id GROUP BY 1, 2"
        ).fetchall()


def test_teachers_are_told_apart_by_acceptance_cost_scores_and_language(recipe, synth, tmp_path):
    done = synth("compare", recipe(), "--teachers", "small,large", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "runs/contest-compare/compare.json").read_bytes())
    small, large = found["contenders"]
    assert (small["name"], small["drafts"], small["accepted"]) == ("small", 12, 4)
    assert small["refused"] == {"below_threshold": 6, "refusal": 1, "wrong_language": 1}
    assert (large["accepted"], large["refused"]) == (12, {})
    # 12 replies of 100 tokens at a dollar a million for four rows, and at ten for twelve
    assert (small["cost_microusd"], small["cost_per_accepted_microusd"]) == (1200, 300)
    assert (large["cost_per_accepted_microusd"], large["tokens_per_accepted"]) == (1000, 90)
    assert small["scores"] == {"exact_answer": [0.4, 10]}
    assert (small["in_language"], large["in_language"]) == (pytest.approx(11 / 12), 1)
    assert large["served"] == ["m"]
    [accepted] = [one for one in found["differences"] if one["measure"] == "accepted"]
    assert (accepted["teacher"], accepted["against"], accepted["prompts"]) == ("large", "small", 12)
    assert (accepted["difference"], accepted["p"]) == (pytest.approx(8 / 12), pytest.approx(2 / 2**8))
    assert [*found["answers"]["00000000"]] == ["small", "large"]
    assert found["answers"]["00000000"]["small"][0]["reason"] == "refusal"


def test_few_prompts_say_that_the_difference_is_within_chance(recipe, synth):
    done = synth("compare", recipe(), "--teachers", "small,large", "-n", "3", env={"COLUMNS": "80"})
    assert "within chance" in done.stdout
    assert "more than chance" not in done.stdout
    table = done.stdout.splitlines()[:-1]
    assert max(map(len, table)) <= 80
    assert "more than chance" in synth("compare", recipe(), "--teachers", "small,large").stdout


def test_the_recipes_own_teacher_is_the_one_that_others_are_held_against(recipe, synth):
    found = json.loads(synth("compare", recipe(", teacher: large"), "--teachers", "small,large", "--json").stdout)
    assert [one["name"] for one in found["contenders"]] == ["large", "small"]
    assert {one["against"] for one in found["differences"]} == {"large"}


def test_nothing_is_bought_twice_nor_by_the_run_that_follows(recipe, synth, tmp_path):
    folder = recipe(", teacher: large")
    for _ in range(2):
        assert synth("compare", folder, "--teachers", "small,large").returncode == 0
    assert attempts(tmp_path / "runs/contest-compare") == [("large", "ok", 12), ("small", "ok", 12)]
    done = synth("run", folder, "--reuse", "runs/contest-compare")
    assert done.returncode == 0, done.stderr
    assert attempts(tmp_path / "runs/contest") == [("large", "reused", 12)]
    assert len((tmp_path / "runs/contest/rows.jsonl").read_text().splitlines()) == 12


def test_no_other_teacher_stands_in_for_one_that_is_compared(recipe, synth, tmp_path):
    folder = recipe()
    text = (folder / "recipe.yaml").read_text().replace("validators:", "ask_again: 1\n    validators:")
    (folder / "recipe.yaml").write_text(text)
    done = synth("compare", folder, "--teachers", "small,idle", "-n", "1", "--json")
    small, idle = json.loads(done.stdout)["contenders"]
    assert small["accepted"] == idle["accepted"] == 0
    assert idle["refused"] == {"permanent": 1}
    assert [name for name, _, _ in attempts(tmp_path / "runs/contest-compare")] == ["idle", "small", "small"]


def test_a_budget_ends_the_asking_and_what_came_is_told(recipe, synth, tmp_path):
    done = synth("compare", recipe(), "--teachers", "small,large", "--budget", "requests=15", "--json")
    assert done.returncode == 6
    small, large = json.loads(done.stdout)["contenders"]
    assert (small["prompts"], small["ended"]) == (12, "")
    assert large["prompts"] == 3
    assert "budget" in large["ended"]
    assert sum(count for _, _, count in attempts(tmp_path / "runs/contest-compare")) == 15


def test_earlier_stages_keep_their_teacher_and_drop_their_twins_for_all(recipe, synth, tmp_path):
    folder = recipe()
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    stages = """stages:
  - name: write
    generator: {kind: self_instruct, prompt: ask.md.j2, count: 2, teacher: large}
    dedupe: {by: instruction}
  - name: answer
    generator: {kind: answer, prompt: next.md.j2}
"""
    (folder / "recipe.yaml").write_text(text[: text.index("stages:")] + stages, encoding="utf-8")
    (folder / "next.md.j2").write_text("{{ instruction }}")
    written = json.dumps({"instructions": ["東京の名所を書きなさい。", "大阪の名所を書きなさい。"]}, ensure_ascii=False)
    lines = [json.dumps({"prompt": f"問い{place}", "response": reply(written)}) for place in range(2)]
    asked = ["東京の名所を書きなさい。", "大阪の名所を書きなさい。"]
    given = [json.dumps({"prompt": one, "response": reply(f"{one[:2]}には名所がたくさんあります。")}) for one in asked]
    (folder / "large.jsonl").write_text("\n".join([*lines, *given]), encoding="utf-8")
    (folder / "small.jsonl").write_text("\n".join(given), encoding="utf-8")
    done = synth("compare", folder, "--teachers", "small,large", "-n", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert [one["accepted"] for one in json.loads(done.stdout)["contenders"]] == [2, 2]
    assert {name: count for name, _, count in attempts(tmp_path / "runs/contest-compare")} == {
        "large": 4,
        "small": 2,
    }


def test_names_that_are_not_there_and_a_lonely_teacher_are_one_sentence(recipe, synth):
    folder = recipe()
    for arguments, said in (
        (["--teachers", "small,medium"], "no teacher 'medium'"),
        (["--teachers", "small"], "only small to compare"),
        (["--stage", "write"], "no stage 'write'"),
    ):
        done = synth("compare", folder, *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr


def test_the_page_is_in_the_recipes_language_and_no_answer_becomes_an_element(recipe, synth, tmp_path):
    done = synth("compare", recipe(q1=HOSTILE), "--teachers", "small,large")
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "runs/contest-compare/compare.html").read_text(encoding="utf-8")
    assert '<html lang="ja">' in html
    assert "default-src 'none'" in html
    assert "教師モデルの比較" in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not {"\x1b", "\u202e"} & set(html)
    assert "りんごは全部で99個になります。" in html
    found = Comparison.model_validate_json((tmp_path / "runs/contest-compare/compare.json").read_bytes())
    english = page(found.model_copy(update={"language": "en"}))
    assert "Side by side" in english
    assert "more than chance" in english


@pytest.mark.parametrize(
    ("measure", "difference", "interval", "said"),
    [
        ("accepted", -0.16, (-0.27, -0.004), ("-16 %", "-27 … 0 %")),
        ("language", 0.004, (-0.02, 0.031), ("0 %", "-2 … +3 %")),
        ("judge", -0.0769, (-0.2221, -3.52e-06), ("-0.077", "-0.222 … 0")),
        ("judge", 1050.4, None, ("+1,050", "–")),
    ],
)
def test_a_difference_is_told_in_digits_that_mean_something(measure, difference, interval, said):
    one = Measured(
        measure=measure, teacher="b", against="a", prompts=28, difference=difference, interval=interval, p=0.2
    )
    assert (compared.amount(one, one.difference), compared.interval(one)) == said
