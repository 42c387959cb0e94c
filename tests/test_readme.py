"""What the README and its pages say holds: recipe, commands, files, links, and the figures of the practice runs."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import click
import pytest

import synth
from synth.backends.practice.faults import faults_of
from synth.backends.practice.scoreboard import scoreboard
from synth.cli import command
from synth.formats import FORMATS
from tests.crash.table import results, tables

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
JAPANESE = (ROOT / "README.ja.md").read_text(encoding="utf-8")
WRITTEN = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
ALL = "\n".join([README, *WRITTEN.values()])
BY_HAND = "\n".join([README, *(text for text in WRITTEN.values() if "tools/reference.py" not in text[:200])])
WORDS = {
    "wrong answer (only the judge can see it)": "wrong_answer",
    "refusal": "refusal",
    "truncation": "truncation",
    "repetition": "repetition",
    "wrong language": "wrong_language",
    "no final answer": "missing_answer",
    "near-duplicate instruction": "near_duplicate",
    "invalid JSON (mended or asked again)": "invalid_json",
}


def table(heading: str) -> list[list[str]]:
    """The rows below a table's heading line, cell by cell."""
    below = ALL.split(heading, 1)[1].splitlines()[2:]
    rows = [line.strip("| ").split(" | ") for line in below]
    return rows[: next(place for place, line in enumerate(below) if not line.startswith("|"))]


@pytest.mark.parametrize("page", [README, JAPANESE], ids=["English", "Japanese"])
def test_its_recipe_is_a_recipe(page, tmp_path):
    recipe = page.split("```yaml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (tmp_path / "topics.jsonl").write_text('{"topic": "買い物"}\n', encoding="utf-8")
    (tmp_path / "write.md.j2").write_text("{{ count }} {{ topic }}")
    (tmp_path / "answer.md.j2").write_text("{{ instruction }}")
    assert synth.load(tmp_path).recipe.name == "my-exercises"


def test_its_commands_and_options_exist():
    assert set(re.findall(r"(?:`|bin/)synth ([a-z]+)", README)) == command.commands.keys()
    named = set(re.findall(r"(?:`|bin/)synth ([a-z]+)", ALL))
    assert named == command.commands.keys()
    known = {option for each in command.commands.values() for one in each.params for option in one.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", BY_HAND)) - known - OTHERS == set()


def shell_lines(text: str) -> list[str]:
    """What a page has a reader type: lines of its shell blocks, and commands in the text."""
    blocks = "\n".join(re.findall(r"```(?:sh|text|)\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ").splitlines()
    inline = [" ".join(found.split()) for found in re.findall(r"`((?:\.venv/bin/)?synth [^`]+)`", text)]
    return [line.strip() for line in [*blocks, *inline]]


def test_every_line_that_a_page_has_a_reader_type_is_one_that_its_command_understands():
    wrong, seen = [], 0
    for path in (
        *ROOT.glob("README*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("prompts/*/README.md"),
        ROOT / "data/README.md",
    ):
        for line in shell_lines(path.read_text(encoding="utf-8")):
            words = shlex.split(line, comments=True) if re.match(r"(?:\.venv/bin/)?synth ", line) else []
            if not words or words[1].startswith("-"):
                continue
            words = list(itertools.takewhile(lambda word: word not in ("|", ">", "&&", ";"), words[1:]))
            each, seen = command.commands[words[0]], seen + 1
            try:
                each.make_parser(click.Context(each, info_name=words[0], **command.context_settings)).parse_args(
                    words[1:]
                )
            except click.ClickException as error:
                wrong.append(f"{path.relative_to(ROOT)}: {line}: {error.format_message()}")
    assert wrong == []
    assert seen > 100


def test_the_japanese_page_names_every_command_and_no_option_that_is_not_there():
    assert set(re.findall(r"(?:`|bin/)synth ([a-z]+)", JAPANESE)) == command.commands.keys()
    known = {option for each in command.commands.values() for one in each.params for option in one.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", JAPANESE)) - known - OTHERS == set()


OTHERS = {
    "--max-model-len",
    "--max-num-batched-tokens",
    "--reasoning-parser",
    "--help",
    "--version",
    "--brief",
    "--gates",
    "--profile",
    "--rows",
    "--kills",
    "--batch-kills",
    "--in-flight",
    "--latency-ms",
    "--minutes",
    "--language",
}
"""Of synth itself, of pytest and of the benchmarks."""


def test_the_files_it_names_exist():
    named = set(re.findall(r"(?<![\w./-])(?:tests|prompts|synth|docs)/[\w./-]*\w", ALL))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
    tests = {path.name for path in ROOT.glob("tests/**/*.py")}
    assert set(re.findall(r"\btest_\w+\.py", ALL)) - tests == set()


def test_its_links_lead_to_files_and_headings_that_exist():
    pages = [
        *ROOT.glob("README*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("prompts/*/README.md"),
        ROOT / "data/README.md",
    ]
    dead = []
    for name, text in ((str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")) for page in pages):
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            target, _, anchor = link.partition("#")
            path = (ROOT / name).parent / target if target else ROOT / name
            if "://" in link or (path.exists() and (not anchor or anchor in anchors(path))):
                continue
            dead.append(f"{name}: {link}")
    assert dead == []


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_readme():
    assert {f"docs/{name}" for name in WRITTEN} - set(re.findall(r"\]\((docs/[\w-]+\.md)\)", README)) == set()


@pytest.mark.parametrize(("language", "column"), [("en", 1), ("ja", 2)])
def test_its_practice_figures_are_those_of_the_practice_runs(language, column, tmp_path):
    recipe = ROOT / "prompts" / f"quickstart-{language}"
    teachers = synth.load(recipe).recipe.teachers.values()
    result = synth.run(recipe, folder=tmp_path / "run")
    board = scoreboard(result.folder, {one.model: faults_of(one.base_url) for one in teachers})
    rows = {row[0]: row[column] for row in table("| planted fault | English, caught | Japanese, caught |")}
    assert rows.pop("good samples lost") == f"{board.lost} of {board.good}"
    assert {WORDS[name]: said for name, said in rows.items()} == {
        fault: f"{board.caught[fault]} of {count}" for fault, count in board.planted.items()
    }
    assert board.recall() >= 0.95
    assert board.false_rejections() <= 0.01
    refused = [line for line in result.manifest.ledger if line.failure == "rate"]
    assert len({line.stage for line in refused}) > 1
    assert board.resent["rate limit"] == sum(line.sends for line in refused)


def test_what_you_can_lose_is_what_the_last_kills_came_to():
    found = results()
    for name, made in tables(found):
        assert f"\n\n{made}\n\n" in (ROOT / name).read_text(encoding="utf-8"), (
            f"{name}: let tests/crash/table.py write it"
        )
    assert all(tally.kills.total() > 0 and tally.runs_compared > 0 for tally in found.values())


def test_its_table_of_formats_is_that_of_the_command():
    told = {
        name: row[2].strip("`")
        for row in table("| `--to` | for | reasoning |")
        for name in row[0].replace("`", "").split(", ")
    }
    words = {"field": "reasoning_content", "inline": "inline", "drop": "dropped"}
    assert told.pop("text") == "as the template has it"
    assert told == {name: words[form.styles[0]] for name, form in FORMATS.items() if form.make}


def test_every_folder_of_the_code_is_told():
    told = {name for cell, _ in table("| folder | holds |") for name in re.findall(r"`(\w+)/`", cell)}
    assert told == {path.parent.name for path in Path(synth.__file__).parent.glob("*/__init__.py")}
