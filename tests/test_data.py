"""The seed sets in data/: their counts, fields and balance, their answers, no twins, and nothing of a benchmark."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, ConfigDict, Field

from synth.cli import command

ROOT = Path(__file__).parent.parent
DATA = ROOT / "data"
BENCHMARKS = ROOT.parent / "shared" / "data"
FENCED = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
LANGUAGES = ("en", "ja")
TYPES = [
    "open_qa",
    "closed_qa",
    "summarize",
    "rewrite",
    "classify",
    "brainstorm",
    "plan",
    "translate",
    "code",
    "debug",
    "maths",
    "reasoning",
    "roleplay",
    "creative",
    "compare",
    "explain",
    "critique",
    "email",
    "table",
    "extract",
]
REGISTERS = ["敬体", "常体", "形式", "敬語", "話し言葉", "やさしい日本語", "英文", "文語", "方言"]
CHECKS = [
    "finished",
    "refusal",
    "repetition",
    "leakage",
    "placeholders",
    "references",
    "script",
    "markdown",
    "merged",
    "pii",
    "toxicity",
]


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str


class Task(Row):
    instruction: str = Field(min_length=10)
    input: str
    output: str = Field(min_length=1)
    type: Literal[*TYPES]
    topic: str = Field(min_length=1)
    difficulty: Literal["easy", "medium", "hard"]
    register_: Literal[*REGISTERS] | None = Field(default=None, alias="register")
    tests: str | None = Field(default=None, min_length=1)


class Topic(Row):
    domain: str = Field(min_length=1)
    topic: str = Field(min_length=2, max_length=80)


class Persona(Row):
    persona: str = Field(min_length=20, max_length=200)
    age: int = Field(ge=10, le=90)
    occupation: str = Field(min_length=1)
    region: str = Field(min_length=1)


class Plan(Row):
    domain: str
    topic: str
    type: Literal[*TYPES]
    difficulty: str
    length: str
    format: str
    register_: Literal[*REGISTERS] | None = Field(default=None, alias="register")
    persona: str
    shown: list[str] = Field(min_length=2, max_length=2)


class Question(Row):
    instruction: str = Field(min_length=10, max_length=300)
    about: str = Field(min_length=1)


class Legal(Question):
    area: str = Field(min_length=1)
    basis: str | None = Field(min_length=4)
    as_of: Literal["2025-04-01"]
    answer: str | None = Field(default=None, pattern=r"^\d+$")
    tests: str | None = Field(default=None, min_length=1)


class Medical(Question):
    expect: Literal["general", "see_doctor", "urgent", "decline", "phrasing"]


class Programming(Question):
    library: str = Field(min_length=1)
    difficulty: Literal["easy", "medium", "hard"]


class Term(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = Field(min_length=1)
    target: str = Field(min_length=1)


class Passage(Row):
    text: str = Field(min_length=20, max_length=300)
    from_: Literal["en", "ja"] = Field(alias="from")
    to: Literal["en", "ja"]
    field: str = Field(min_length=1)
    terms: list[Term] = Field(min_length=1)


SETS: dict[str, tuple[type[Row], int, str]] = {
    "tasks-en": (Task, 200, "messages"),
    "tasks-ja": (Task, 200, "messages"),
    "topics-en": (Topic, 500, "topic"),
    "topics-ja": (Topic, 500, "topic"),
    "personas-en": (Persona, 200, "persona"),
    "personas-ja": (Persona, 200, "persona"),
    "self-instruct-en": (Plan, 500, "topic"),
    "self-instruct-ja": (Plan, 500, "topic"),
    "consumption-tax-ja": (Legal, 73, "instruction"),
    "labour-law-ja": (Legal, 76, "instruction"),
    "medical-en": (Medical, 60, "instruction"),
    "medical-ja": (Medical, 60, "instruction"),
    "python-data-en": (Programming, 35, "instruction"),
    "python-data-ja": (Programming, 35, "instruction"),
    "technical-translation-en": (Passage, 35, "text"),
    "technical-translation-ja": (Passage, 35, "text"),
}
"""By file: what its rows are, how many they are, and what `synth` compares."""


def rows(name: str) -> list[dict[str, object]]:
    text = (DATA / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def synth(*words: str) -> dict[str, object]:
    """What a command says as JSON."""
    result = CliRunner().invoke(command, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", SETS)
def test_every_row_has_its_fields_and_an_id_that_says_its_place(name):
    kind, count, _ = SETS[name]
    singular = name.replace("s-", "-")
    assert [kind.model_validate(row).id for row in rows(name)] == [f"{singular}-{n:03d}" for n in range(1, count + 1)]


def test_every_file_is_told_of_here_and_in_the_readme():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert {path.stem for path in DATA.glob("*.jsonl")} == set(SETS)
    told = re.findall(r"^\| (`.*?) \| ([\d, ]+) \|", readme, re.MULTILINE)
    counts = {
        file: int(count)
        for files, numbers in told
        for file, count in zip(re.findall(r"`(.*?)\.jsonl`", files), numbers.split(", "), strict=True)
    }
    assert counts == {name: count for name, (_, count, _) in SETS.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_tasks_are_balanced_over_types_and_difficulty(language):
    tasks = rows(f"tasks-{language}")
    assert Counter(task["type"] for task in tasks) == dict.fromkeys(TYPES, 10)
    assert min(Counter(task["difficulty"] for task in tasks).values()) >= 50
    assert all(("register" in task) == (language == "ja") for task in tasks)
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    levels = Counter(str(task["difficulty"]) for task in tasks)
    assert f"{levels['easy']}, {levels['medium']}, {levels['hard']}" in readme


@pytest.mark.parametrize("language", LANGUAGES)
def test_topics_are_spread_evenly_over_their_domains(language):
    assert set(Counter(row["domain"] for row in rows(f"topics-{language}")).values()) == {20}


@pytest.mark.parametrize("language", LANGUAGES)
def test_personas_are_of_every_age_and_of_many_places(language):
    personas = rows(f"personas-{language}")
    tens = Counter(int(str(row["age"])) // 10 for row in personas)
    assert min(tens[n] for n in range(1, 8)) >= 10
    assert len({row["region"] for row in personas}) >= 120
    assert len({row["occupation"] for row in personas}) >= 190


@pytest.mark.parametrize("language", LANGUAGES)
def test_extracted_objects_are_json(language):
    for task in rows(f"tasks-{language}"):
        if task["type"] == "extract":
            json.loads(str(task["output"]))


def with_tests() -> list[dict[str, object]]:
    return [row for name in SETS for row in rows(name) if "tests" in row]


@pytest.mark.parametrize("task", with_tests(), ids=lambda task: task["id"])
def test_an_answer_passes_its_own_tests(task):
    blocks = FENCED.findall(str(task["output"])) if task.get("type") in ("code", "debug") else []
    names: dict[str, object] = {"SQL": next((text for kind, text in blocks if kind == "sql"), "")}
    code = "\n".join(text for kind, text in blocks if kind == "python")
    exec(compile(f"{code}\n{task['tests']}", str(task["id"]), "exec"), names)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_plan_joins_every_topic_with_the_other_axes_in_turn(language):
    plan, topics = rows(f"self-instruct-{language}"), rows(f"topics-{language}")
    personas, tasks = rows(f"personas-{language}"), rows(f"tasks-{language}")
    for n, (row, topic) in enumerate(zip(plan, topics, strict=True)):
        domain, place = divmod(n, 20)
        kind = TYPES[(place + domain) % 20]
        own = [task["instruction"] for task in tasks if task["type"] == kind]
        first = 2 * domain % 10
        shown = [own[first], own[first + 1]]
        told = (row["domain"], row["topic"], row["type"], row["persona"], row["shown"])
        assert told == (topic["domain"], topic["topic"], kind, personas[n * 77 % 200]["persona"], shown)
    assert sorted(Counter(row["difficulty"] for row in plan).values()) == [166, 167, 167]
    assert set(Counter(row["length"] for row in plan).values()) == {125}
    assert max(Counter((row["type"], row["difficulty"]) for row in plan).values()) <= 10
    assert all(("register" in row) == (language == "ja") for row in plan)


@pytest.mark.parametrize("name", ["consumption-tax-ja", "labour-law-ja"])
def test_the_tests_of_a_sum_hold_the_answer_that_it_gives(name):
    sums = [row for row in rows(name) if "answer" in row]
    assert len(sums) >= 8
    assert all(str(row["tests"]).endswith(f"== {row['answer']}") for row in sums)


@pytest.mark.parametrize("language", LANGUAGES)
def test_medical_questions_ask_for_help_of_every_kind(language):
    kinds = Counter(row["expect"] for row in rows(f"medical-{language}"))
    assert kinds == {"general": 20, "see_doctor": 12, "urgent": 12, "decline": 10, "phrasing": 6}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_term_of_a_passage_stands_in_it(language):
    for row in rows(f"technical-translation-{language}"):
        passage = Passage.model_validate(row)
        assert [passage.from_, passage.to] == [{"en": "ja", "ja": "en"}[language], language]
        assert [one.source for one in passage.terms if one.source.casefold() not in passage.text.casefold()] == []


@pytest.mark.parametrize("name", SETS)
def test_no_two_rows_say_the_same(name):
    assert synth("dedupe", str(DATA / f"{name}.jsonl"), "--by", SETS[name][2])["removed"] == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_tasks_pass_synths_own_checks(language, tmp_path):
    checks = [part for kind in CHECKS for part in ("--check", kind)]
    checks += ["--check", f"{{kind: language, language: {language}}}"]
    CliRunner().invoke(command, ["validate", str(DATA / f"tasks-{language}.jsonl"), *checks, "--out", str(tmp_path)])
    removed = (tmp_path / "removed.jsonl").read_text(encoding="utf-8").splitlines()
    assert [(json.loads(line)["columns"]["id"], json.loads(line)["detail"]) for line in removed] == []


@pytest.mark.parametrize("name", [name for name, (_, _, by) in SETS.items() if by == "instruction"])
def test_the_questions_pass_synths_own_checks(name):
    checks = ["placeholders", "references", "script", "merged", "pii", "toxicity"]
    checks.append(f"{{kind: language, language: {name[-2:]}}}")
    said = synth("validate", str(DATA / f"{name}.jsonl"), *(part for kind in checks for part in ("--check", kind)))
    assert said["removed"] == {}


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="../shared/data is not there")
@pytest.mark.parametrize(
    ("field", "files"),
    [
        (
            "",
            ["humaneval.jsonl.gz", "gsm8k_model_solutions.jsonl", "jcommonsenseqa.jsonl", "self_instruct_seeds.jsonl"],
        ),
        ("1", ["mgsm_en.tsv", "mgsm_ja.tsv"]),
    ],
)
@pytest.mark.parametrize("kind", ["messages", "topic", "persona", "instruction", "text"])
def test_nothing_is_an_item_of_a_benchmark(kind, field, files):
    names = [str(DATA / f"{name}.jsonl") for name, (_, _, by) in SETS.items() if by == kind]
    against = [part for file in files for part in ("--against", str(BENCHMARKS / file))]
    said = synth("decontaminate", *names, "--by", kind, *against, *(("--field", field) if field else ()))
    assert said["removed"] == {}
