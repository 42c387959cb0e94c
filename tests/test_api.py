"""synth from Python: the same words as on the command line, in a script and in a notebook cell."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import synth
from synth.errors import RecipeError
from synth.report.words import ENGLISH

ROOT = Path(__file__).parent.parent


def test_the_errors_a_user_may_meet_can_be_named_without_the_heavy_imports():
    code = "import sys, synth; assert issubclass(synth.RecipeError, synth.SynthError); print('aiohttp' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"


def test_the_module_of_errors_is_there_as_soon_as_synth_is():
    code = "import synth; print(synth.errors.Fatal is synth.Fatal, synth.errors.Transient.__name__)"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["True", "Transient"]


def test_a_loaded_recipe_takes_the_same_words_as_a_path(write_recipe, tmp_path):
    loaded = synth.load(write_recipe())
    few = synth.run(loaded, folder=tmp_path / "few", rows=2, limit=2)
    assert few.manifest.row_count == 2
    with pytest.raises(synth.RecipeError, match="price"):
        synth.run(loaded, folder=tmp_path / "run", budget_usd=1, teachers="main=https://api.example.com/v1,m")


def test_a_preview_takes_teachers_seeds_and_a_budget(write_recipe, tmp_path):
    (tmp_path / "種.jsonl").write_text('{"topic": "料理", "level": "易"}\n', encoding="utf-8")
    seen = synth.preview(
        write_recipe("http://127.0.0.1:1/v1", endpoint="price: {input_usd: 1, output_usd: 1}"),
        folder=tmp_path / "run",
        seeds=str(tmp_path / "種.jsonl"),
        teachers=["main=practice:faultless,practice-1"],
        budget_usd=0.5,
    )
    assert seen.manifest.seeds.count == 1
    assert seen.manifest.budget_microusd == 500_000
    assert seen.examples


@pytest.mark.parametrize("words", [{"limit": -1}, {"limit": 0}, {"rows": 0}, {"budget_usd": float("nan")}])
def test_impossible_numbers_are_one_sentence(write_recipe, tmp_path, words):
    with pytest.raises(synth.RecipeError, match=next(iter(words)).split("_")[0]):
        synth.run(write_recipe(), folder=tmp_path / "run", **words)
    assert not (tmp_path / "run").exists()


def test_what_a_user_should_know_is_said_before_the_run(write_recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("NOTED_KEY", raising=False)
    recipe = write_recipe("http://127.0.0.1:1/v1", endpoint="key_variable: NOTED_KEY")
    (recipe / ".env").write_text("NOTED_KEY=語ではない")
    with pytest.raises(synth.Fatal, match="NOTED_KEY"):
        synth.run(recipe, folder=tmp_path / "run")
    assert f"The key in NOTED_KEY for http://127.0.0.1:1/v1 is read from {recipe / '.env'}." in capsys.readouterr().err


def test_a_preview_of_no_seeds_is_one_sentence(write_recipe):
    with pytest.raises(synth.RecipeError, match="n is 0"):
        synth.preview(write_recipe(), 0)


NOTEBOOK = """
import asyncio, json, os, signal, sys, threading, time
from aiohttp import web
import synth

async def serve(counts):
    async def chat(request):
        counts.append(1)
        await asyncio.sleep(0.05)
        content = json.dumps({"instructions": [f"Task {len(counts)}-{n}" for n in range(6)]})
        return web.json_response({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port.append(site._server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()

counts, port = [], []
threading.Thread(target=lambda: asyncio.run(serve(counts)), daemon=True).start()
while not port:
    time.sleep(0.01)

def interrupt():
    while len(counts) < 4:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

async def cell():
    threading.Thread(target=interrupt).start()
    try:
        synth.run(sys.argv[1], folder=sys.argv[2], teachers=[f"main=http://127.0.0.1:{port[0]}/v1,m"])
    except KeyboardInterrupt:
        told = len(counts)
        time.sleep(0.5)
        print("interrupted", len(counts) == told, [t.name for t in threading.enumerate() if t.name.startswith("synth")])

signal.signal(signal.SIGINT, signal.default_int_handler)
loop = asyncio.new_event_loop()
loop.run_until_complete(cell())
"""


def test_an_interrupted_notebook_cell_leaves_no_run_behind(write_recipe, tmp_path):
    finished = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, write_recipe(in_flight=2), tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.stdout.strip() == "interrupted True []", finished.stderr
    again = synth.run(write_recipe(), folder=tmp_path / "run", limit=1, accept_change=True)  # the folder is free
    assert again.exit_code == 0


def test_the_examples_are_spread_over_the_run(tmp_path):
    recipe = synth.load(ROOT / "prompts" / "quickstart-ja")
    result = synth.run(recipe, folder=tmp_path, limit=9, teachers="main=practice:faultless,practice-1")
    assert len(result.examples) == 12
    assert len({sample.seed_id for sample in result.examples}) >= 7
    assert [sample.id for sample in result.examples] == sorted(sample.id for sample in result.examples)
    few = synth.run(recipe, folder=tmp_path, rows=5, limit=9, teachers="main=practice:faultless,practice-1")
    assert len(few.examples) == 5


def test_a_result_shows_itself_in_one_line_and_as_an_escaped_table(write_recipe, tmp_path):
    result = synth.run(write_recipe(), folder=tmp_path / "実行 <b>", limit=2)
    rows = result.manifest.row_count
    assert rows
    assert repr(result).startswith(f"<Result of {result.manifest.recipe.name}, complete: {rows} rows; ")
    assert "$0.0000 spent" in repr(result)
    assert "\n" not in repr(result)
    assert len(repr(result)) < 400
    shown = result._repr_html_()
    assert "実行 &lt;b&gt;/dataset" in shown
    assert "<b>/" not in shown
    assert "This is practice data" in shown
    for reason in result.manifest.rejected:
        assert ENGLISH.reasons[reason] in shown


def test_a_notice_and_why_a_run_ended_are_told_in_the_recipes_language(write_recipe, tmp_path):
    result = synth.run(write_recipe(), folder=tmp_path / "run", limit=1)
    changed = {
        "notice": "No row.",
        "notice_ja": "行がありません。",
        "message": "Stopped.",
        "message_ja": "停止しました。",
    }
    english, japanese = ("No row.", "Stopped."), ("行がありません。", "停止しました。")
    for language, said, others in (("ja", japanese, english), ("en", english, japanese)):
        recipe = result.manifest.recipe.model_copy(update={"language": language})
        manifest = result.manifest.model_copy(update={**changed, "recipe": recipe})
        spoken = replace(result, manifest=manifest, message="Stopped.")
        for told in (str(spoken), spoken._repr_html_()):
            assert [one for one in said if one not in told] == []
            assert [one for one in others if one in told] == []


@pytest.mark.parametrize("name", ["run", "ask_all"])
def test_help_says_what_every_word_means_within_a_terminals_width(name):
    called = getattr(synth, name)
    told = inspect.getdoc(called)
    assert [
        word for word in inspect.signature(called).parameters if not re.search(rf"^{word}  +\S", told, re.MULTILINE)
    ] == []
    assert max(len(line) for line in told.splitlines()) <= 76


@pytest.mark.parametrize(("language", "lines"), [("ja", ["完了", "行: ", "不採用の理由: ", "費用: 使用 $0.0000"]),
    ("en", ["Complete", "Rows: ", "Why samples were refused: ", "Cost: $0.0000 spent"])])  # fmt: skip
def test_a_printed_result_has_a_line_for_each_thing(write_recipe, tmp_path, language, lines):
    result = synth.run(write_recipe(), folder=tmp_path / "run", limit=1)
    spoken = result.manifest.recipe.model_copy(update={"language": language})
    told = str(
        replace(result, manifest=result.manifest.model_copy(update={"recipe": spoken}), message="止\x1b[31mめた")
    )
    assert [said for said, line in zip(lines, told.splitlines(), strict=False) if said not in line] == []
    assert told.splitlines()[4] == str(tmp_path / "run")
    assert told.endswith("止<U+001B>[31mめた")


@pytest.mark.parametrize(("language", "refused"), [("ja", "スコア不足 3"), ("en", "Score too low 3")])
def test_a_result_tells_what_was_left_out_and_why_it_ended(write_recipe, tmp_path, language, refused):
    result = synth.run(write_recipe(), folder=tmp_path, limit=1)
    changed = {
        "notice": "Parquet was <left> out.",
        "notice_ja": "",
        "not_selected": {"below_threshold": 3, "my_<own>": 1},
        "recipe": result.manifest.recipe.model_copy(update={"language": language}),
    }
    result = replace(result, manifest=result.manifest.model_copy(update=changed), message="停止\x1b[31mしました。")
    assert repr(result).endswith("Parquet was <left> out.; 停止<U+001B>[31mしました。>")
    shown = result._repr_html_()
    assert refused in shown
    assert ("使用 $0.0000" in shown) == (language == "ja")
    assert ("$0.0000 spent" in shown) == (language == "en")
    assert "my_&lt;own&gt; 1" in shown
    assert "Parquet was &lt;left&gt; out." in shown
    assert "\x1b" not in shown


def test_a_preview_names_no_file_that_is_not_there(write_recipe, tmp_path):
    assert "report.html" not in synth.preview(write_recipe(), 1, folder=tmp_path / "run")._repr_html_()


@pytest.mark.parametrize("is_loaded", [False, True])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"teachers": "mian=http://localhost:1/v1,模型"},
            r"teachers=mian=\.\.\.: write NAME=BASE_URL.* did you mean 'main'",
        ),
        ({"teachers": ["main=http://localhost:1/v1"]}, r"teachers=main=\.\.\.: write BASE_URL,MODEL"),
        ({"teachers": ["main=localhost:1/v1,m"]}, r"teachers=main=\.\.\.: "),
        ({"serve": "教師=m"}, r"serve=教師=m: the recipe names no teacher '教師'"),
        ({"serve": "'m"}, r"serve='m: "),
    ],
)
def test_what_is_said_of_a_teacher_names_the_argument_that_gave_it(tmp_path, given, said, is_loaded):
    recipe = ROOT / "prompts" / "quickstart-ja"
    with pytest.raises(RecipeError, match=f"^{said}") as caught:
        synth.run(synth.load(recipe) if is_loaded else recipe, folder=tmp_path / "run", **given)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("given", [{"budget_usd": -1}, {"rows": 0}, {"limit": 0}])
def test_what_is_given_wrongly_is_named_as_the_caller_wrote_it(tmp_path, given):
    (name,) = given
    with pytest.raises(RecipeError, match=f"^{name} is {given[name]}; "):
        synth.run(ROOT / "prompts" / "quickstart-ja", folder=tmp_path / "run", **given)
