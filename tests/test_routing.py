"""Several teachers in one stage: by rule, and the cheap one first; what rows, manifest, report and card say of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import synth
from synth.errors import RecipeError

RECIPE = """\
name: shared
language: ja
license: cc0-1.0
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  cheap: {{model: small, base_url: "replay:cheap.jsonl", price: {{input_usd: 1, output_usd: 1}}}}
  strong: {{model: large, base_url: "replay:strong.jsonl", price: {{input_usd: 10, output_usd: 10}}}}
  third: {{model: huge, base_url: "replay:third.jsonl", price: {{input_usd: 100, output_usd: 100}}}}
stages:
  - name: answer
    {stage}
    generator: {{kind: answer, prompt: ask.md.j2, question: q}}
    validators: [{{kind: finished}}, {{kind: refusal}}]
    {scorers}
{more}
"""
REFUSAL = "申し訳ありませんが、そのご質問にはお答えできません。"
BOTH = "teachers: [cheap, strong]"
VERIFIED = "scorers: [{kind: exact_answer, reference: right}]"


def reply(text: str | tuple[str, str]) -> dict:
    said, finish = (text, "stop") if isinstance(text, str) else text
    message = {"role": "assistant", "content": said}
    usage = {"prompt_tokens": 10, "completion_tokens": 90}
    return {"model": "m", "choices": [{"message": message, "finish_reason": finish}], "usage": usage}


@pytest.fixture
def folder(tmp_path: Path):
    """Write the recipe with its replies: by teacher, one for each seed, none where it is None."""

    def write(stage: str, *, scorers: str = "", more: str = "", seeds=None, **given) -> Path:
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(stage=stage, scorers=scorers, more=more), encoding="utf-8")
        (tmp_path / "ask.md.j2").write_text("{{ q }}")
        count = len(next(iter(given.values())))
        seeds = seeds or [{} for _ in range(count)]
        seeds = [{"q": f"問い{place}", "right": str(place), **one} for place, one in enumerate(seeds)]
        (tmp_path / "seeds.jsonl").write_text("\n".join(map(json.dumps, seeds)), encoding="utf-8")
        for name in ("cheap", "strong", "third"):
            told = enumerate(given.get(name, []))
            lines = [json.dumps({"prompt": f"問い{n}", "response": reply(text)}) for n, text in told if text]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return tmp_path

    return write


def lines(result: synth.Result, name: str) -> list[dict]:
    return [json.loads(line) for line in (result.folder / name).read_text(encoding="utf-8").splitlines()]


def asked(result: synth.Result) -> dict[str, int]:
    return dict(Counter(one.teacher for one in result.manifest.ledger for _ in range(one.attempts)))


def run(folder: Path, **options) -> synth.Result:
    return synth.run(folder, folder=folder / "run", **options)


def test_the_strong_teacher_is_asked_for_what_the_cheap_one_fails_and_each_row_names_its_own(folder):
    result = run(
        folder(BOTH, cheap=["東京です。", REFUSAL, ("大阪は", "length")], strong=[None, "京都です。", "奈良です。"])
    )
    rows = lines(result, "rows.jsonl")
    assert [(one["teacher"], one["messages"][-1]["content"]) for one in rows] == [
        ("small", "東京です。"),
        ("large", "京都です。"),
        ("large", "奈良です。"),
    ]
    assert [one["repairs"] for one in rows] == [[], ["escalated"], ["escalated"]]
    # a row costs all that it took: 100 tokens of the cheap teacher, and 100 of the strong one
    assert [one["cost_microusd"] for one in rows] == [100, 1100, 1100]
    assert [(one["id"][-2:], one["reason"]) for one in lines(result, "rejected.jsonl")] == [
        ("~1", "refusal"),
        ("~1", "truncated"),
    ]
    assert asked(result) == {"cheap": 3, "strong": 2}


def test_the_manifest_counts_answers_use_and_cost_of_each_teacher_and_rows_of_each_model(folder):
    result = run(folder(BOTH, cheap=["東京です。", REFUSAL, REFUSAL], strong=[None, "京都です。", REFUSAL]))
    shares = result.manifest.stages[0].shares
    assert {name: (one.asked, one.of_use, one.cost_microusd) for name, one in shares.items()} == {
        "cheap": (3, 1, 300),
        "strong": (2, 1, 2000),
    }
    assert result.manifest.mixture == {"large": 1, "small": 1}
    report = result.report().path.read_text(encoding="utf-8")
    card = (result.dataset / "README.md").read_text(encoding="utf-8")
    assert "どの教師モデルが答えたか" in report
    assert "モデル別の行数" in report
    assert "| small | 1 |" in card
    assert "| answer | strong | 2 | 1 | $0.0020 |" in card


def test_a_stage_of_one_teacher_says_nothing_of_a_mixture(folder):
    result = run(folder("", cheap=["東京です。"]))
    assert (result.manifest.mixture, result.manifest.stages[0].shares) == ({}, {})
    assert "どの教師モデルが答えたか" not in result.report().path.read_text(encoding="utf-8")


def test_a_rule_sends_seeds_to_their_teacher_by_a_field_and_the_rest_to_the_stages_own(folder):
    stage = "route: {by: 分野, to: {数学: strong, 法律: [cheap, third]}}"
    kinds = [{"分野": "数学"}, {"分野": "料理"}, {"分野": "法律"}]
    result = run(
        folder(
            stage,
            seeds=kinds,
            cheap=[None, "煮ます。", REFUSAL],
            strong=["二です。"],
            third=[None, None, "民法です。"],
        )
    )
    assert [one["teacher"] for one in lines(result, "rows.jsonl")] == ["large", "small", "huge"]
    assert asked(result) == {"cheap": 2, "strong": 1, "third": 1}


def test_a_rule_reads_numbers_as_their_text(folder):
    result = run(folder('route: {by: level, to: {"3": strong}}', seeds=[{"level": 3}], strong=["はい。"]))
    assert [one["teacher"] for one in lines(result, "rows.jsonl")] == ["large"]


def test_a_rule_reads_yes_and_no_as_json_writes_them(folder):
    seeds = [{"難問": True}, {"難問": False}, {}]
    stage = 'route: {by: 難問, to: {"true": strong, "null": third}}'
    seeds[2] = {"難問": None}
    result = run(
        folder(stage, seeds=seeds, cheap=[None, "はい。"], strong=["東京です。"], third=[None, None, "さあ。"])
    )
    assert [one["teacher"] for one in lines(result, "rows.jsonl")] == ["large", "small", "huge"]


def test_a_verifier_sends_wrong_answers_on_and_the_last_teachers_are_left_to_selection(folder):
    stage = f"{BOTH}\n    escalate_below: {{exact_answer: 1}}"
    result = run(
        folder(stage, scorers=VERIFIED, cheap=["答え：0", "答え：7", "答え：8"], strong=[None, "答え：1", "答え：9"])
    )
    rows = lines(result, "rows.jsonl")
    assert [(one["teacher"], one["scores"][0]["value"]) for one in rows] == [("small", 1), ("large", 1), ("large", 0)]
    assert [len(one["scores"]) for one in rows] == [1, 1, 1]
    assert [one["reason"] for one in lines(result, "rejected.jsonl")] == ["below_threshold"] * 2


def test_a_judge_that_decides_is_paid_for_by_the_row_and_asked_once(folder):
    verdicts = {n: json.dumps({"reason": "よい", "score": grade}) for n, grade in enumerate((5, 2))}
    stage = f"{BOTH}\n    escalate_below: {{judge: 4}}"
    path = folder(
        stage,
        scorers="scorers: [{kind: judge, teacher: third, rubric: rubric.md.j2}]",
        cheap=["東京です。", "さあ。"],
        strong=[None, "京都です。"],
    )
    (path / "rubric.md.j2").write_text("{{ question }}{{ answer }}")
    given = {"問い0東京です。": verdicts[0], "問い1さあ。": verdicts[1], "問い1京都です。": verdicts[0]}
    told = [json.dumps({"prompt": prompt, "response": reply(text)}) for prompt, text in given.items()]
    (path / "third.jsonl").write_text("\n".join(told), encoding="utf-8")
    result = run(path)
    rows = lines(result, "rows.jsonl")
    assert [(one["teacher"], one["scores"][0]["value"]) for one in rows] == [("small", 5), ("large", 5)]
    assert asked(result) == {"cheap": 2, "strong": 1, "third": 3}
    assert rows[0]["cost_microusd"] == 100 + 10_000
    assert len(rows[0]["requests"]) == 2


def test_a_judge_that_fails_says_nothing_of_the_answer_and_no_stronger_teacher_is_asked(folder):
    stage = f"{BOTH}\n    escalate_below: {{judge: 4}}"
    judging = "scorers: [{kind: judge, teacher: third, rubric: rubric.md.j2}]"
    path = folder(stage, scorers=judging, cheap=["東京です。"], strong=["京都です。"])
    (path / "rubric.md.j2").write_text("{{ question }}{{ answer }}")
    (path / "third.jsonl").write_text("", encoding="utf-8")  # whatever it is asked, it has no reply
    result = run(path)
    assert [one["reason"] for one in lines(result, "rejected.jsonl")] == ["no_verdict"]
    assert "strong" not in asked(result)


def with_fallback(path: Path) -> Path:
    text = (
        (path / "recipe.yaml").read_text(encoding="utf-8").replace("model: small,", "model: small, fallback: strong,")
    )
    (path / "recipe.yaml").write_text(text, encoding="utf-8")
    return path


def test_a_stand_in_whose_own_turn_comes_is_asked_once(folder):
    result = run(with_fallback(folder(f"{BOTH}\n    ask_again: 1", cheap=[REFUSAL], strong=["京都です。"])))
    assert asked(result) == {"cheap": 1, "strong": 1}
    assert [one["repairs"] for one in lines(result, "rows.jsonl")] == [["escalated"]]


def test_a_verifier_by_which_the_next_teacher_is_asked_is_a_change_of_what_was_asked(folder):
    stage = f"{BOTH}\n    escalate_below: {{exact_answer: 1}}"
    run(folder(stage, scorers=VERIFIED, cheap=["答え：0"], strong=["答え：0"]))
    other = "scorers: [{kind: exact_answer, reference: q}]"
    with pytest.raises(RecipeError, match=r"scorers.*right"):
        run(folder(stage, scorers=other, cheap=["答え：0"], strong=["答え：0"]))


def test_the_cheap_teacher_is_asked_anew_before_the_strong_one_and_that_one_as_if_it_were_the_first(folder):
    path = folder(f"{BOTH}\n    ask_again: 1", cheap=[REFUSAL], strong=["東京です。"])
    again = json.dumps({"prompt": "問い0", "draw": 10_000, "response": reply(REFUSAL)})
    with (path / "cheap.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"\n{again}")
    result = run(path)
    assert [one["repairs"] for one in lines(result, "rows.jsonl")] == [["anew", "escalated"]]
    assert [one["id"][-2:] for one in lines(result, "rejected.jsonl")] == ["~1", "~2"]
    assert asked(result) == {"cheap": 2, "strong": 1}


def test_what_one_teachers_host_refuses_for_good_goes_to_the_next(folder):
    result = run(folder(BOTH, cheap=[None, "東京です。"], strong=["京都です。", None]))
    assert [one["teacher"] for one in lines(result, "rows.jsonl")] == ["large", "small"]
    assert [one["reason"] for one in lines(result, "rejected.jsonl")] == ["permanent"]


def test_where_no_reference_is_there_no_stronger_teacher_is_asked(folder):
    stage = f"{BOTH}\n    escalate_below: {{exact_answer: 1}}"
    result = run(folder(stage, scorers=VERIFIED, seeds=[{"right": ""}], cheap=["答え：0"], strong=["答え：0"]))
    assert asked(result) == {"cheap": 1}


def test_an_export_gives_the_same_rows_and_the_same_shares(folder):
    path = folder(BOTH, cheap=["東京です。", REFUSAL], strong=[None, "京都です。"])
    first = run(path)
    rows = (first.folder / "rows.jsonl").read_bytes()
    card = (first.dataset / "README.md").read_bytes()
    (first.folder / "rows.jsonl").unlink()
    again = run(path)
    assert (again.folder / "rows.jsonl").read_bytes() == rows
    assert (again.dataset / "README.md").read_bytes() == card
    assert again.manifest.stages[0].shares == first.manifest.stages[0].shares
    assert again.manifest.ledger == first.manifest.ledger


def test_another_way_to_share_is_a_change_of_what_was_asked(folder):
    run(folder(BOTH, cheap=["東京です。"], strong=["京都です。"]))
    with pytest.raises(RecipeError, match=r"teachers.*third"):
        run(folder("teachers: [cheap, third]", cheap=["東京です。"], third=["京都です。"]))


@pytest.mark.parametrize(
    ("stage", "scorers", "said"),
    [
        ("teachers: [cheap, weak]", "", "there is no teacher 'weak'"),
        ("teachers: [cheap, cheap]", "", "stands in it twice"),
        ("route: {by: q, to: {a: [cheap, weak]}}", "", "there is no teacher 'weak'"),
        ("route: {by: 分野, to: {a: strong}}", "", "there is no field '分野'"),
        ("route: {by: q, to: {a: []}}", "", "at least 1 item"),
        ("escalate_below: {exact_answer: 1}", VERIFIED, "no second teacher"),
        (f"{BOTH}\n    escalate_below: {{judge: 4}}", VERIFIED, "no scorer 'judge'; it has exact_answer"),
    ],
)
def test_what_cannot_be_meant_is_a_mistake_before_anything_is_asked(folder, stage, scorers, said):
    with pytest.raises(RecipeError, match=said):
        synth.load(folder(stage, scorers=scorers, cheap=["東京です。"]))


def test_a_generator_that_names_another_teacher_than_the_first_is_a_mistake(folder):
    path = folder(BOTH, cheap=["東京です。"])
    text = (path / "recipe.yaml").read_text(encoding="utf-8").replace("question: q", "question: q, teacher: third")
    (path / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="leave the generator's own teacher out"):
        synth.load(path)


def test_judges_that_are_one_of_several_teachers_are_declared(folder):
    path = folder(BOTH, scorers="scorers: [{kind: judge, teacher: strong, rubric: ask.md.j2}]", cheap=[REFUSAL])
    assert [one.own_answers for one in run(path).manifest.judges] == [True]
