"""`synth new`: the library is listed, copied whole, never written over anything, and in the wheel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import synth
from synth.errors import FolderError
from synth.recipes import library

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.parent.name for path in (ROOT / "prompts").glob("*/recipe.yaml"))


def test_without_a_recipe_all_are_listed_with_a_line_each(synth):
    shown = synth("new")
    assert shown.returncode == 0
    assert [line.split()[0] for line in shown.stdout.splitlines()] == RECIPES
    assert all(len(line.split(maxsplit=1)[1]) > 8 for line in shown.stdout.splitlines())
    named = synth("new", "mine")
    assert named.returncode == 2
    assert named.stdout == shown.stdout
    assert "synth new mine --from RECIPE" in named.stderr
    assert json.loads(synth("new", "--json").stdout).keys() == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_copy_is_a_sound_recipe_that_needs_nothing_of_the_library(name, tmp_path):
    path = library.copy(name, tmp_path / "税の質問" / "mine")
    loaded = synth.load(path)
    assert loaded.recipe.name == "mine"
    for file in path.parent.rglob("*"):
        if file.is_file():
            assert "../" not in file.read_text(encoding="utf-8"), file
    original = {file.name for file in (ROOT / "prompts" / name).iterdir()} - {"README.md", "sample.jsonl"}
    assert original <= {file.name for file in path.parent.iterdir()}


def test_a_copy_says_what_comes_next_and_runs(synth, tmp_path):
    begun = synth("new", "mine", "--from", "evol-instruct-ja")
    assert begun.returncode == 0
    assert "tasks-ja.jsonl" in begun.stdout
    assert "synth check mine" in begun.stdout
    text = (tmp_path / "mine" / "recipe.yaml").read_text(encoding="utf-8")
    assert text.startswith("# もとの課題を")  # comments stay
    assert "path: tasks-ja.jsonl" in text
    assert synth("run", "mine", "--limit", "3").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("new", "mine", "--from", "nothing"), 2, "There is no recipe 'nothing' in the library"),
        (("new", "a b", "--from", "gsm8k"), 2, "'a b' cannot be a recipe's name"),
        (("new", "税", "--from", "gsm8k"), 2, "'税' cannot be a recipe's name"),
        (("new", "--from", "gsm8k"), 2, "synth new NAME --from gsm8k"),
        (("new", "there", "--from", "gsm8k"), 5, "there exists already, and nothing is written over"),
        (("new", "../../../../nowhere/mine", "--from", "../quickstart-en"), 2, "There is no recipe '../quickstart-en'"),
    ],
)
def test_what_cannot_be_begun_is_one_sentence_and_writes_nothing(synth, tmp_path, words, code, says):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "recipe.yaml").write_text("mine", encoding="utf-8")
    said = synth(*words)
    assert said.returncode == code
    assert says in said.stderr
    assert "Traceback" not in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there" / "recipe.yaml").read_text(encoding="utf-8") == "mine"


def test_two_files_of_one_name_from_elsewhere_stay_two(tmp_path, monkeypatch):
    for folder, topic in (("prompts/one", "税"), ("prompts/two", "暦"), ("data", "旅")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "seeds.jsonl").write_text(f'{{"topic": "{topic}"}}\n', encoding="utf-8")
    text = "name: one\nseeds: {path: ../two/seeds.jsonl}\nmore: [seeds.jsonl, ../../data/seeds.jsonl, ../two/seeds.jsonl]\n"
    (tmp_path / "prompts" / "one" / "recipe.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(library, "root", lambda: tmp_path)
    copied = library.copy("one", tmp_path / "mine").read_text(encoding="utf-8")
    assert (
        copied == "name: mine\nseeds: {path: two-seeds.jsonl}\nmore: [seeds.jsonl, data-seeds.jsonl, two-seeds.jsonl]\n"
    )
    topics = {path.name: path.read_text(encoding="utf-8")[11] for path in (tmp_path / "mine").glob("*.jsonl")}
    assert topics == {"seeds.jsonl": "税", "two-seeds.jsonl": "暦", "data-seeds.jsonl": "旅"}


def test_a_folder_that_cannot_be_written_is_told_and_left_as_it_was(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(FolderError, match="cannot be written"):
        library.copy("gsm8k", tmp_path / "file" / "mine")
    assert (tmp_path / "file").is_file()


def test_the_wheel_holds_the_library_and_an_installed_synth_reads_it_there(tmp_path):
    pytest.importorskip("setuptools")
    words = [
        sys.executable,
        "setup.py",
        "-q",
        "egg_info",
        "--egg-base",
        str(tmp_path),
        "build_py",
        "--build-lib",
        str(tmp_path / "built"),
    ]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=100)
    code = "import sys; from synth.recipes import library; print(library.copy('rewrite-ja', __import__('pathlib').Path('mine')), *library.recipes())"
    environment = {"PYTHONPATH": str(tmp_path / "built"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["mine/recipe.yaml", *RECIPES]
    assert (tmp_path / "built" / "synth" / "library" / "data" / "LICENSE").is_file()
