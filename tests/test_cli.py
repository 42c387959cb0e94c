"""The command line as a user meets it: exit codes, one sentence, nothing lost."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import click
import pytest

from synth.cli import command
from synth.console.helping import EXAMPLES, SECTIONS
from synth.errors import FolderError
from synth.results.outcomes import Outcomes

ROOT = Path(__file__).parent.parent


@pytest.fixture
def practice():
    """A practice teacher of its own process that wants a key; gives its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["practice", "--port", str(port), "--key", "sk-right", "--faults", "faultless"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from synth.cli import main; main()", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "practice-1" in process.stdout.readline()
    yield f"http://127.0.0.1:{port}/v1"
    process.terminate()
    process.wait()
    process.stdout.close()


def assert_one_sentence(finished, code, *words):
    assert finished.returncode == code, finished.stderr
    assert "Traceback" not in finished.stderr
    last = finished.stderr.strip().splitlines()
    assert len(last) == 1, finished.stderr
    for word in words:
        assert word in last[0]


def test_a_wrong_key_names_the_url_and_the_variable_and_never_the_key(write_recipe, synth, practice, tmp_path):
    recipe = write_recipe(practice, endpoint="key_variable: MY_KEY")
    finished = synth("run", recipe, "--out", "run", env={"MY_KEY": "sk-wrong-and-secret"})
    assert_one_sentence(finished, 4, practice, "MY_KEY", "401")
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == b""
    for file in (tmp_path / "run").rglob("*"):
        assert not file.is_file() or b"sk-wrong-and-secret" not in file.read_bytes()


def test_the_right_key_works(write_recipe, synth, practice):
    recipe = write_recipe(practice, endpoint="key_variable: MY_KEY")
    finished = synth("run", recipe, "--limit", "1", "--out", "run", env={"MY_KEY": "sk-right"})
    assert finished.returncode == 0, finished.stderr


def test_a_missing_key_variable_is_named(write_recipe, synth, practice):
    recipe = write_recipe(practice, endpoint="key_variable: SYNTH_TEST_NO_SUCH_KEY")
    assert_one_sentence(synth("run", recipe), 4, "SYNTH_TEST_NO_SUCH_KEY", practice)


def test_a_wrong_host_is_named(write_recipe, synth, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    finished = synth("run", write_recipe(url), "--out", "run")
    assert_one_sentence(finished, 4, url, "cannot be reached")
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == b""


def test_a_wrong_path_is_named(write_recipe, synth, practice):
    url = practice.removesuffix("/v1") + "/v2"
    recipe = write_recipe(url, endpoint="key_variable: MY_KEY")
    assert_one_sentence(synth("run", recipe, env={"MY_KEY": "sk-right"}), 4, url, "/v1")


def test_an_unknown_model_is_named(write_recipe, synth, practice):
    recipe = write_recipe(practice, endpoint="key_variable: MY_KEY")
    teacher = f"main={practice},large-nonesuch,MY_KEY"
    finished = synth("run", recipe, "--teacher", teacher, env={"MY_KEY": "sk-right"})
    assert_one_sentence(finished, 4, practice, "large-nonesuch")


def test_a_recipe_error_lists_every_problem_with_its_place(write_recipe, synth):
    recipe = write_recipe()
    text = (
        (recipe / "recipe.yaml").read_text().replace("language: en", "langauge: 日本語").replace("draws: 2", "draws: 0")
    )
    (recipe / "recipe.yaml").write_text(text, encoding="utf-8")
    finished = synth("check", recipe)
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
    lines = finished.stderr.splitlines()
    assert any("recipe.yaml:2:1" in line and "langauge" in line and "language" in line for line in lines)
    assert any("stages[1].draws" in line for line in lines)


def test_an_unknown_price_under_a_budget_is_refused_with_the_way_out(write_recipe, synth):
    finished = synth("run", write_recipe("https://api.example.com/v1"), "--budget", "5")
    assert finished.returncode == 2
    assert "price" in finished.stderr
    assert "input_usd" in finished.stderr


def test_a_private_host_costs_nothing(write_recipe, synth, practice):
    recipe = write_recipe(practice, endpoint="key_variable: MY_KEY")
    finished = synth("run", recipe, "--budget", "0.01", "--limit", "1", env={"MY_KEY": "sk-right"})
    assert finished.returncode == 0, finished.stderr


def test_a_busy_folder_has_its_own_exit_code(write_recipe, synth, tmp_path):
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "run.lock").open("w") as lock:
        lock.write("process 1 on here")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert_one_sentence(synth("run", write_recipe(), "--out", "run"), 5, "in use", "another run folder")


def test_a_folder_that_cannot_be_made_is_one_sentence(write_recipe, synth, tmp_path):
    (tmp_path / "file").write_text("")
    for out in ("file", "/proc/nonesuch"):
        assert_one_sentence(synth("run", write_recipe(), "--out", out), 5, out, "choose another one")


def test_a_disk_that_is_full_at_the_start_is_one_sentence(tmp_path, monkeypatch):
    connect = sqlite3.connect

    class Full(sqlite3.Connection):
        def executescript(self, script):
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", lambda path, **how: connect(path, factory=Full, **how))
    with pytest.raises(FolderError, match=r"outcomes\.db could not be written .*full"):
        Outcomes(tmp_path / "outcomes.db", {}, lambda error: None)


def test_a_key_typed_into_the_option_is_not_repeated(write_recipe, synth):
    finished = synth("run", write_recipe(), "--teacher", "main=https://api.example.com/v1,m,sk-123-secret")
    assert_one_sentence(finished, 2, "never the key itself")
    assert "sk-123-secret" not in finished.stdout + finished.stderr


def test_a_run_of_another_recipe_is_left_alone(write_recipe, synth):
    recipe = write_recipe()
    assert synth("run", recipe, "--limit", "1", "--out", "run").returncode == 0
    text = (recipe / "recipe.yaml").read_text()
    (recipe / "recipe.yaml").write_text(text.replace("name: small", "name: other"))
    assert_one_sentence(synth("run", recipe, "--out", "run"), 5, "small", "--out")


def test_status_show_and_doctor_read_a_run(write_recipe, synth):
    recipe = write_recipe()
    ran = synth("run", recipe, "--limit", "3", "--out", "run")
    assert "planted" in ran.stdout
    assert "run/dataset" in ran.stdout
    status = json.loads(synth("status", "run", "--json").stdout)
    assert status["state"] == "complete"
    assert sum(status["rows"].values()) > 0
    rows = [json.loads(line) for line in synth("show", "run", "--json", "-n", "2").stdout.splitlines()]
    assert len(rows) == 2
    shown = synth("show", "run", rows[1]["id"])
    assert rows[1]["messages"][0]["content"][:20] in shown.stdout
    rejected = synth("show", "run", "--rejected", "--json", "-n", "1")
    assert json.loads(rejected.stdout)["reason"]
    report = json.loads(synth("doctor", "run", "--json").stdout)
    assert report["store"] == "sound"
    missing = synth("show", "run", "nonesuch")
    assert_one_sentence(missing, 5, "nonesuch")


def test_a_folder_without_a_run_is_one_sentence(synth, tmp_path):
    for name in ("status", "show", "doctor"):
        assert_one_sentence(synth(name, tmp_path), 5, str(tmp_path))


def test_preview_and_check_speak_json(write_recipe, synth, tmp_path):
    recipe = write_recipe()
    assert json.loads(synth("check", recipe, "--json").stdout)["seeds"] == 6
    seen = json.loads(synth("preview", recipe, "-n", "1", "--json").stdout)
    assert seen["rows"][0]["messages"]
    assert not list(tmp_path.rglob("rows.jsonl"))


def test_brackets_in_a_path_or_an_address_are_shown_as_they_are(write_recipe, synth):
    checked = synth("check", write_recipe("http://[::1]:8000/v1"))
    assert "http://[::1]:8000/v1" in checked.stdout
    ran = synth("run", write_recipe(), "--limit", "1", "--out", "[bold]日本")
    assert "[bold]日本/dataset" in ran.stdout


def test_a_terminal_that_knows_no_japanese_is_no_reason_to_fail(synth, tmp_path):
    ran = synth("preview", ROOT / "prompts" / "quickstart-ja", "-n", "1", env={"PYTHONIOENCODING": "ascii"})
    assert ran.returncode == 0, ran.stderr
    assert "\\u" in ran.stdout
    seen = synth("preview", ROOT / "prompts" / "quickstart-ja", "-n", "1", "--json", env={"PYTHONIOENCODING": "ascii"})
    assert json.loads(seen.stdout)["rows"]


@pytest.mark.parametrize("line", ["not json", "[1]", '{"id": "x"}', ""])
def test_a_damaged_line_of_an_output_is_named(synth, tmp_path, line):
    good = '{"id": "a", "messages": [{"role": "user", "content": "問"}], "scores": []}\n'
    (tmp_path / "rows.jsonl").write_text(good + line + "\n", encoding="utf-8")
    assert_one_sentence(synth("show", tmp_path), 5, "rows.jsonl:2", "export")


def test_a_key_with_a_line_break_is_named_by_its_variable(write_recipe, synth, practice):
    recipe = write_recipe(practice, endpoint="key_variable: MY_KEY")
    finished = synth("run", recipe, env={"MY_KEY": "sk-secret\nb"})
    assert_one_sentence(finished, 4, "MY_KEY", practice)
    assert "sk-secret" not in finished.stderr


@pytest.mark.parametrize("budget", ["nan", "inf"])
def test_a_budget_that_is_no_number_is_one_sentence(write_recipe, synth, budget):
    assert_one_sentence(synth("run", write_recipe(), "--budget", budget), 2, "budget")


def test_ctrl_c_is_announced_once_and_a_second_one_stops_at_once(write_recipe, begin):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        process = begin("run", write_recipe(url), "--out", "run", stderr=subprocess.PIPE)
        connection, _ = silent.accept()
        with connection, process.stderr:
            connection.recv(10)  # a request is on its way
            process.send_signal(signal.SIGINT)
            first = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
            process.wait(60)
    assert "Ctrl-C again" in first
    assert process.returncode == 130
    assert "Ctrl-C again" not in rest
    assert "Traceback" not in rest


@pytest.mark.parametrize("url", ["practice:", "replay:返信.jsonl", "vllm:/models/qwen"])
def test_what_is_no_server_cannot_be_probed(synth, url):
    assert_one_sentence(synth("probe", url), 2, url, "http://localhost:8000/v1")


def test_a_wrong_option_has_the_usage_exit_code(synth):
    finished = synth("run", "--nonsense")
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr


def test_the_schema_is_json(synth):
    assert "properties" in json.loads(synth("schema").stdout)


LOADED = """\
import sys
from synth.cli import main
try:
    main()
finally:
    print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""


def loads(heavy, *command):
    """Those of some modules that a command imports."""
    finished = subprocess.run(
        [sys.executable, "-c", LOADED.format(heavy=heavy), *map(str, command)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return ast.literal_eval(finished.stderr.splitlines()[-1])


def test_help_needs_none_of_the_heavy_imports():
    heavy = ["aiohttp", "numpy", "pyarrow", "pydantic", "rich", "uvloop"]
    assert loads(heavy, "--help") == []
    assert loads(heavy, "run", "--help") == []


def test_a_check_needs_neither_a_network_nor_numbers():
    assert loads(["aiohttp", "numpy", "pyarrow", "sqlite3"], "check", ROOT / "prompts" / "quickstart-en") == ["sqlite3"]


def test_the_module_is_the_command(tmp_path):
    def call(*arguments):
        return subprocess.run([sys.executable, "-m", "synth", *arguments], cwd=ROOT, capture_output=True, text=True)

    assert "quickstart-en: 30 seeds" in call("check", "prompts/quickstart-en").stdout
    missing = call("status", str(tmp_path / "none"))
    assert (missing.returncode, missing.stdout, len(missing.stderr.splitlines())) == (5, "", 1)


@pytest.mark.parametrize("name", ["quickstart-en", "quickstart-ja", "gsm8k"])
def test_the_shipped_recipes_check(name, synth):
    finished = synth("check", ROOT / "prompts" / name)
    assert finished.returncode == 0, finished.stderr
    assert "ok" in finished.stdout


@pytest.mark.parametrize("sum_usd", ["nan", "inf", "1e300", "-1"])
def test_a_sum_that_no_account_can_hold_is_refused_in_a_sentence(synth, tmp_path, sum_usd):
    finished = synth("account", "team.account", f"--usd={sum_usd}")
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
    assert "no sum of dollars" in finished.stderr
    assert not (tmp_path / "team.account").exists()


def test_a_budget_that_names_no_account_or_cannot_be_reckoned_with_is_refused(write_recipe, synth):
    recipe = write_recipe("practice:faultless")
    nameless = synth("check", recipe, "--budget", "account=")
    assert (nameless.returncode, "account=FILE" in nameless.stderr) == (2, True)
    for huge in ("1e300", "tokens=1e30"):
        finished = synth("check", recipe, "--budget", huge)
        assert (finished.returncode, "Traceback" in finished.stderr) == (2, False)


def test_the_list_of_commands_fits_80_columns_with_every_sentence_whole(synth) -> None:
    listed = synth("--help", env={"COLUMNS": "80"}).stdout
    for name, each in command.commands.items():
        assert re.search(rf"^  {name} +{re.escape(each.short_help or each.help or '')}$", listed, re.MULTILINE), name
    assert max(map(len, listed.splitlines())) <= 80


def test_every_command_stands_in_one_section() -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(command.commands)


@pytest.mark.parametrize("name", sorted(command.commands))
def test_the_help_of_a_command_ends_with_lines_that_it_understands(name: str) -> None:
    lines = [line for line in EXAMPLES[name] if line.startswith("synth ")]
    for line in lines:
        called, *words = shlex.split(line.partition(" >")[0])[1:]
        each = command.commands[called]
        each.make_parser(click.Context(each, info_name=called, **command.context_settings)).parse_args(words)
        assert len(line) <= 76
    each = command.commands[name]
    shown = each.get_help(click.Context(each, info_name=name, **command.context_settings)).splitlines()
    assert shown[-len(EXAMPLES[name]) :] == [f"  {line}" for line in EXAMPLES[name]]


def test_what_stands_in_for_the_recipes_words_is_told_after_a_commands_own_options() -> None:
    each = command.commands["run"]
    told = each.get_help(click.Context(each, info_name="run", **command.context_settings))
    assert told.index("\nOptions:") < told.index("--fresh") < told.index("\nIn place of the recipe's words:")
    assert told.index("\nIn place of the recipe's words:") < told.index("--teacher NAME") < told.index("\nExamples:")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("new", "x", "--from", "quikstart-jp"), "did you mean 'quickstart-ja'?"),
        (("convert", "a.jsonl", "--to", "llamafactory", "--out", "b"), "did you mean 'llama-factory'?"),
        (("lint", "a.jsonl", "--for", "ａｌｐａｃａ"), "did you mean 'alpaca'?"),
        (("ctl", "run", "paus"), "did you mean 'pause'?"),
        (("completion", "zhs"), "did you mean 'zsh'?"),
        (("practice", "--faults", "faultles"), "did you mean 'faultless'?"),
        (("dedupe", "a.jsonl", "--by", "本の題目"), "its columns are 本の題名, 本文; did you mean '本の題名'?"),
        (("validate", "a.jsonl", "--check", "refusl"), "did you mean 'refusal'?"),
        (("score", "a.jsonl", "--scorer", "{kind: length}", "--require", "lenght=3"), "did you mean 'length'?"),
        (("hosts", "vlm"), "did you mean 'vllm'?"),
        (("chek", "x"), "'check'"),
        (("run", "min"), "min cannot be read (No such file or directory); did you mean 'mine'?\n"),
        (("run", "old"), "old is the folder of a run: give the recipe that it was made from.\n"),
        (("run", "mine", "--budget", "request=5"), "there is no such cap; did you mean 'requests'?\n"),
        (("run", "mine", "--budget", "usd=5,requests=3"), "each cap has an option of its own"),
        (("new", "図書館", "--from", "gsm8k"), "Latin letters"),
        (("run", "x", "--budgett", "3"), "--budget"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_one_that_was_meant(synth, tmp_path, arguments, words):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "run.db").touch()
    if "mine" in arguments or "min" in arguments:
        synth("new", "mine", "--from", "quickstart-ja")
    (tmp_path / "a.jsonl").write_text('{"本の題名": "一", "本文": "二"}\n', encoding="utf-8")
    said = synth(*arguments)
    assert said.returncode == 2
    assert words in said.stderr


def test_a_reason_that_nothing_was_refused_for_is_answered_with_those_that_there_are(synth, tmp_path):
    refused = {"id": "1", "seed_id": "1", "messages": [], "scores": [], "reason": "丁寧でない", "detail": "です"}
    (tmp_path / "rejected.jsonl").write_text(json.dumps(refused) + "\n", encoding="utf-8")
    said = synth("show", tmp_path, "--reason", "丁寧でわない")
    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr == (
        "Nothing was refused for '丁寧でわない'; there are 丁寧でない 1; did you mean '丁寧でない'?\n"
    )
    assert "1  丁寧でない  です" in synth("show", tmp_path, "--reason", "丁寧でない").stdout


def test_a_full_disk_under_standard_output_is_one_sentence(write_recipe, tmp_path):
    words = [sys.executable, "-c", "from synth.cli import main; main()", "check", str(write_recipe())]
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert finished.returncode == 5
    assert finished.stderr.startswith("No space is left where this is written;")
    assert finished.stderr.count("\n") == 1
