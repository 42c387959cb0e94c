"""The shell around synth: completion, colour, keys from files, exit codes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import synth as package
from synth import errors
from synth.cli import command
from synth.protocol import keys
from synth.results.ending import PARKED_EXIT

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "shell.md").read_text(encoding="utf-8")
NAMED = "import sys; sys.argv[0] = 'synth'; from synth.cli import main; main()"


def named_synth(*arguments, **env):
    return subprocess.run(
        [sys.executable, "-c", NAMED, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script_and_the_script_its_answers(shell):
    script = named_synth("completion", shell)
    assert f"_SYNTH_COMPLETE={shell}_complete" in script
    # as each script asks: fish gives the word itself, the others its place
    asked = {"COMP_WORDS": "synth pre", "COMP_CWORD": "pre" if shell == "fish" else "1"}
    assert "preview" in named_synth(_SYNTH_COMPLETE=f"{shell}_complete", **asked)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_tells_what_a_command_is_for_in_whole_sentences(tmp_path):
    program = tmp_path / "synth"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n{NAMED}\n", encoding="utf-8"
    )
    program.chmod(0o755)
    asked = "synth completion fish | source; complete --do-complete 'synth comp'"
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    shown = subprocess.run(
        ["fish", "--no-config", "-c", asked], env={**os.environ, **path}, capture_output=True, text=True, check=True
    )
    assert "compare\tAsk several teachers the same, side by side." in shown.stdout.splitlines()


def test_options_and_choices_are_completed():
    options = named_synth(_SYNTH_COMPLETE="bash_complete", COMP_WORDS="synth run r --acc", COMP_CWORD="3")
    assert options.split() == ["plain,--accept-terms", "plain,--accept-change"]
    assert "plain,faultless" in named_synth(
        _SYNTH_COMPLETE="bash_complete", COMP_WORDS="synth practice --faults ", COMP_CWORD="3"
    )


def test_no_color_leaves_colours_out_of_a_terminal(synth, write_recipe):
    def colours(**env):
        shown = synth("run", write_recipe(), "--limit", "1", "--out", "run", env={"FORCE_COLOR": "1", **env})
        return re.findall(r"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|9[0-7]|38;)[0-9;]*m", shown.stdout + shown.stderr)

    assert colours(NO_COLOR="")  # empty counts as not set
    assert colours(NO_COLOR="1") == []


def subclasses(kind):
    return [kind, *(below for one in kind.__subclasses__() for below in subclasses(one))]


def test_the_table_of_exit_codes_is_what_errors_carry():
    rows = re.findall(r"^\| (\d+) \| (.+?) \|(.*)\|$", PAGE, re.MULTILINE)
    told = {int(code): set(re.findall(r"`(\w+)`", classes)) for code, _, classes in rows}
    kinds = [one for one in subclasses(errors.SynthError) if one.__module__ == "synth.errors"]
    inside = {"Rejected", "TeacherError", "Transient"}  # these never end a command
    for kind in kinds:
        if kind.__name__ not in inside:
            assert kind.__name__ in told[kind.exit_code], kind
    assert {name for names in told.values() for name in names} == {kind.__name__ for kind in kinds} - inside
    assert PARKED_EXIT in told
    assert told.keys() == {kind.exit_code for kind in kinds} | {0, 3}


@pytest.fixture
def looked(tmp_path, monkeypatch):
    """Look into a `.env` file with this text; gives what is said and the key."""
    monkeypatch.delenv("DOT_KEY", raising=False)
    monkeypatch.setattr(keys, "_read", {})

    def look(text, mode=0o600):
        path = tmp_path / ".env"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return keys.look({"DOT_KEY": "http://localhost/v1"}, [tmp_path]), keys.key_of("DOT_KEY")

    return look


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("DOT_KEY=ab-c", "ab-c"),
        ("# 鍵\nexport DOT_KEY = 'a b' # 注\n", "a b"),
        ('\ufeffDOT_KEY="q#r"', "q#r"),
        ("DOT_KEY=a#b # c", "a#b"),
        ("DOT_KEY=$HOME", "$HOME"),
        ("DOT_KEY=one\nDOT_KEY=two", "two"),
        ("XDOT_KEY=a\n#DOT_KEY=b\nDOT_KEY=", ""),
        ("DOT_KEY= # ここに鍵を書く\r\n", ""),
        ("DOT_KEY=# ここに鍵を書く", ""),
        ("DOT_KEY='ab-c'# 注\r\n", "ab-c"),
        ("DOT_KEY='never closed", ""),
    ],
)
def test_a_file_of_keys_is_read_line_by_line(looked, text, key):
    said, found = looked(text)
    assert found == key
    assert bool(said) == bool(key)
    assert all(key not in one for one in said)


def test_the_environment_counts_first(looked, monkeypatch):
    monkeypatch.setenv("DOT_KEY", "outer")
    assert looked("DOT_KEY=inner") == ([], "outer")


def test_nothing_else_is_taken_and_the_environment_stays_as_it_is(looked):
    before = dict(os.environ)
    looked("DOT_KEY=a\nOTHER_KEY=b")
    assert keys.key_of("OTHER_KEY") == ""
    assert dict(os.environ) == before


def test_a_key_that_left_the_file_is_gone(looked):
    assert looked("DOT_KEY=a")[1] == "a"
    assert looked("")[1] == ""


def test_a_file_that_everybody_can_read_is_said(looked):
    said, key = looked("DOT_KEY=secret-word", 0o644)
    assert key == "secret-word"
    assert any("Everybody on this machine can read" in one and "chmod 600" in one for one in said)
    assert not any("secret-word" in one for one in said)


def test_a_file_of_another_user_or_none_is_not_read(looked, tmp_path, monkeypatch):
    if hasattr(os, "getuid"):
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        monkeypatch.setattr(Path, "stat", lambda self, **_: os.stat_result((0o100600, 0, 0, 1, 999, 0, 9, 0, 0, 0)))
        said, key = looked("DOT_KEY=a")
        assert key == ""
        assert "another user" in said[0]
        monkeypatch.undo()
    monkeypatch.delenv("DOT_KEY", raising=False)
    (tmp_path / ".env").unlink()
    os.mkfifo(tmp_path / ".env")
    assert "no small text file" in keys.look({"DOT_KEY": "u"}, [tmp_path])[0]


def test_a_run_takes_its_key_from_beside_the_recipe_and_tells_its_name_alone(write_recipe, synth, tmp_path):
    recipe = write_recipe("http://127.0.0.1:1/v1", endpoint="key_variable: DOT_KEY")
    without = synth("run", recipe, "--out", "run")
    assert "DOT_KEY is not set, nor given in a .env file" in without.stderr
    (recipe / ".env").write_text("DOT_KEY=secret-word\n")
    (recipe / ".env").chmod(0o600)
    found = synth("run", recipe, "--out", "run")
    assert f"The key in DOT_KEY for http://127.0.0.1:1/v1 is read from {recipe / '.env'}." in found.stderr
    assert "cannot be reached" in found.stderr
    (tmp_path / ".env").write_text("DOT_KEY=other-secret\n")
    assert f"is read from {tmp_path / '.env'}." in synth("run", recipe, "--out", "run").stderr
    assert "secret" not in found.stdout + found.stderr


def test_asking_without_a_recipe_takes_its_key_from_the_working_directory(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DOT_KEY", raising=False)
    monkeypatch.setattr(keys, "_read", {})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(package.Fatal, match=r"nor given in a \.env file"):
        package.ask_all(["a"], teacher="http://127.0.0.1:1/v1,m,DOT_KEY", quiet=True)
    (tmp_path / ".env").write_text("DOT_KEY=secret-word\n")
    for quiet in (True, False):
        with pytest.raises(package.Fatal, match="cannot be reached"):
            package.ask_all(["a"], teacher="http://127.0.0.1:1/v1,m,DOT_KEY", quiet=quiet)
        said = capsys.readouterr().err
        assert (f"is read from {tmp_path / '.env'}." in said) is not quiet
        assert "secret-word" not in said


def test_help_and_completion_name_every_command():
    shown = named_synth(_SYNTH_COMPLETE="bash_complete", COMP_WORDS="synth ", COMP_CWORD="1")
    assert {line.split(",")[1] for line in shown.split()} == command.commands.keys()
