"""vLLM that a run has to itself, as a server and over a pipe, played by a small program; tests/real has the real one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import synth.pipeline
from synth.admission import gauges
from synth.admission.halt import Halt
from synth.backends.own_vllm import command, life, own_vllm
from synth.backends.own_vllm.piped import CHILD
from synth.errors import EngineStopped, RecipeError
from synth.files.asking import desk
from synth.money.budget import Caps
from synth.protocol.endpoint import Endpoint
from synth.recipes.loading import Overrides, load
from synth.types import CHAT, POOLING, Message, Request
from tests.backends import fake_vllm

ROOT = Path(__file__).parent.parent.parent
WAYS = ("serve:", "vllm:")
RECIPE = """\
name: small
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: 小さい, base_url: "{base_url}", sampling: {{max_tokens: 50, temperature: 0}}{more}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2}}
    validators: []
"""
QUESTIONS = [f"{number}番目の質問は何ですか。" for number in range(12)]


@pytest.fixture
def book(tmp_path, monkeypatch) -> Path:
    """What the played vLLM is told and tells; SYNTH_VLLM names it."""
    folder = tmp_path / "偽 vllm"
    folder.mkdir()
    monkeypatch.setenv("SYNTH_VLLM", str(fake_vllm.install(folder)))
    monkeypatch.setenv("FAKE_VLLM", str(folder))
    return folder


@pytest.fixture
def recipe(tmp_path):
    """Writes the recipe; gives its folder, which holds a model's."""

    def write(base_url: str, more: str = "") -> Path:
        (tmp_path / "模型").mkdir(exist_ok=True)
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(base_url=base_url, more=more), encoding="utf-8")
        (tmp_path / "ask.md.j2").write_text("{{ q }}")
        seeds = "".join(json.dumps({"q": question}, ensure_ascii=False) + "\n" for question in QUESTIONS)
        (tmp_path / "seeds.jsonl").write_text(seeds, encoding="utf-8")
        return tmp_path

    return write


def noted(book: Path, name: str) -> list[str]:
    path = book / name
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def is_there(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def nobody_is_left(book: Path) -> bool:
    """Whether all that was started is gone; what was killed a moment ago may still be taken away by the system."""
    end = time.monotonic() + 10
    while any(map(is_there, noted(book, "starts") + noted(book, "workers"))):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def until(true) -> None:
    while not true():
        time.sleep(0.02)


async def opened(way, folder, log, *, deadline_s=600.0, said=None, halt=None, work):
    """Do some work with a backend of vLLM's own."""
    endpoint = Endpoint(model="小さい", base_url=f"{way}Hub/name", limits={"deadline_s": deadline_s})
    say = (said if said is not None else []).append
    async with own_vllm(endpoint, folder, log, halt or Halt(), say, lambda _: "") as backend:
        return await work(backend)


def request(text: str, path: str = CHAT, model: str = "小さい") -> Request:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return Request(b"k", "main", model, json.dumps(body, ensure_ascii=False).encode(), 0, 1, 1, path=path)


def test_a_run_has_the_same_rows_by_a_server_of_its_own_over_a_pipe_and_by_a_server_that_was_there(
    book, recipe, tmp_path, monkeypatch
):
    rows = {}
    for way in WAYS:
        result = synth.run(recipe(f"{way}./模型", ", vllm_args: [--max-model-len, 512]"), folder=tmp_path / way)
        assert (result.exit_code, result.message) == (0, "")
        rows[way] = (result.folder / "rows.jsonl").read_bytes()
        assert nobody_is_left(book)
    port = _free_port()
    there = subprocess.Popen(
        [
            book / "bin" / "vllm",
            "serve",
            "x",
            "--served-model-name",
            "小さい",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
    )
    try:
        until(lambda: _answers(port))
        result = synth.run(recipe(f"http://127.0.0.1:{port}/v1"), folder=tmp_path / "there")
        rows["there"] = (result.folder / "rows.jsonl").read_bytes()
    finally:
        there.kill()
        there.wait()
    assert len(set(rows.values())) == 1
    assert [json.loads(line)["messages"][-1]["content"] for line in rows["vllm:"].splitlines()] == [
        f"/v1/chat/completions: {question}" for question in QUESTIONS
    ]
    shared = ["--served-model-name", "小さい", "--enable-prompt-tokens-details", "--max-model-len", "512"]
    served, piped = (json.loads(line) for line in noted(book, "args")[:2])
    model = str(tmp_path / "模型")
    assert served[: 1 + len(shared)] == piped == [model, *shared]
    assert served[1 + len(shared) :: 2] == ["--host", "--port", "--disable-uvicorn-access-log"]


def _free_port() -> int:
    from synth.backends.own_vllm.served import free_port

    return free_port()


def _answers(port: int) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("way", WAYS)
def test_a_vllm_that_does_not_start_is_told_with_what_it_said_last(way, book, recipe, synth, tmp_path):
    (book / "plan").write_text("fail")
    done = synth("run", recipe(f"{way}some/model"), "--out", "run")
    assert done.returncode == 7
    said = done.stderr.splitlines()
    assert said[0] == "Waiting for vLLM to load 小さい (its log: run/vllm-main.log) ..."
    assert said[1] == "vLLM does not serve 小さい: it ended with exit code 3. Its log run/vllm-main.log says"
    assert said[2:] == ["小さい を読み込んでいます", "RuntimeError: 重みが見つかりません"]
    assert nobody_is_left(book)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("replies", [1, 5])
def test_a_vllm_that_dies_in_mid_run_is_started_again_once_and_the_run_goes_on(way, replies, book, recipe, tmp_path):
    (book / "plan").write_text(f"die={replies}")
    said = []
    options = synth.pipeline.Options(tmp_path / "run", say=said.append)
    result = asyncio.run(synth.pipeline.run(load(recipe(f"{way}some/model")), options))
    assert (result.exit_code, result.manifest.row_count) == (0, len(QUESTIONS))
    assert len(noted(book, "starts")) == 2
    again = [one for one in said if "starting it again" in one]
    assert again == ["vLLM ended with exit code 9 while it served 小さい; starting it again."]
    assert "動力が止まりました" in (tmp_path / "run" / "vllm-main.log").read_text(encoding="utf-8")
    assert nobody_is_left(book)


@pytest.mark.parametrize("way", WAYS)
def test_a_vllm_that_dies_again_stops_the_run_which_keeps_what_came(way, book, recipe, synth, tmp_path):
    (book / "plan").write_text("die_always=4")
    done = synth("run", recipe(f"{way}some/model", ", limits: {max_in_flight: 1}"), "--out", "run")
    assert done.returncode == 7
    assert "it ended with exit code 9, a second time. Its log run/vllm-main.log says" in done.stderr
    assert done.stderr.rstrip().endswith("EngineDeadError: 動力が止まりました")
    assert len((tmp_path / "run" / "rows.jsonl").read_text().splitlines()) == 6
    (book / "plan").write_text("")
    assert synth("run", tmp_path, "--out", "run").returncode == 0
    assert len((tmp_path / "run" / "rows.jsonl").read_text().splitlines()) == len(QUESTIONS)
    assert len(noted(book, "answered")) == 8 + 6


@pytest.mark.parametrize("way", WAYS)
def test_a_vllm_that_had_served_for_long_is_started_again_however_often_it_dies(
    way, book, recipe, tmp_path, monkeypatch
):
    monkeypatch.setattr(life, "SOUND_S", 0.0)
    (book / "plan").write_text("die_always=4")
    result = synth.run(recipe(f"{way}some/model", ", limits: {max_in_flight: 1}"), folder=tmp_path / "run")
    assert (result.exit_code, result.manifest.row_count) == (0, len(QUESTIONS))
    assert len(noted(book, "starts")) == 4


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("moment", ["load=60", "never"])
def test_nothing_of_it_is_left_when_synth_itself_is_killed(begin, way, moment, book, recipe, tmp_path):
    (book / "plan").write_text(moment)
    process = _started(begin, recipe(f"{way}some/model"), tmp_path)
    until(lambda: noted(book, "workers"))
    if moment == "never":
        until(lambda: "vLLM serves" in (tmp_path / "said").read_text(encoding="utf-8"))
    assert not nobody_is_left(book)
    process.kill()
    process.wait()
    until(lambda: nobody_is_left(book))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_loads_ends_both(begin, way, number, book, recipe, tmp_path):
    (book / "plan").write_text("load=60")
    process = _started(begin, recipe(f"{way}some/model"), tmp_path)
    until(lambda: noted(book, "workers"))
    process.send_signal(number)
    assert process.wait(60) in (130, -number)
    until(lambda: nobody_is_left(book))
    assert "Traceback" not in (tmp_path / "said").read_text(encoding="utf-8")


def _started(begin, recipe: Path, folder: Path):
    with (folder / "said").open("wb") as said:
        return begin("run", recipe, "--out", "run", stdout=said, stderr=said)


def test_over_the_pipe_any_number_are_under_way_at_once(book, tmp_path):
    (book / "plan").write_text("together=40")

    async def work(backend):
        return await asyncio.gather(*(backend.send(request(f"質問{number}" * 3000)) for number in range(40)))

    outcomes = asyncio.run(opened("vllm:", tmp_path, tmp_path / "log", work=work))
    said = [json.loads(outcome.body)["choices"][0]["message"]["content"] for outcome in outcomes]
    assert said == [f"/v1/chat/completions: {f'質問{number}' * 3000}" for number in range(40)]


def test_over_the_pipe_a_deadline_holds_and_what_nobody_waits_for_any_more_is_cancelled(book, tmp_path):
    (book / "plan").write_text("never")

    async def work(backend):
        outcome = await backend.send(request("遅い"))
        while not noted(book, "cancelled"):
            await asyncio.sleep(0.01)
        return outcome

    outcome = asyncio.run(opened("vllm:", tmp_path, tmp_path / "log", deadline_s=0.5, work=work))
    assert (outcome.error, outcome.written) == ("timeout", True)


def test_over_the_pipe_errors_and_other_paths_are_those_of_the_application(book, tmp_path, monkeypatch):
    monkeypatch.setattr(life, "DYING_S", 0.1)

    async def work(backend):
        return [
            await backend.send(one)
            for one in (request("x", model="nonesuch"), request("raise yourself"), request("x", POOLING))
        ]

    missing, broken, pooled = asyncio.run(opened("vllm:", tmp_path, tmp_path / "log", work=work))
    assert (missing.status, json.loads(missing.body)["error"]["type"]) == (404, "NotFoundError")
    assert (broken.status, json.loads(broken.body)["error"]["message"]) == (500, "ValueError: 自分で上げました")
    assert json.loads(pooled.body)["choices"][0]["message"]["content"] == "/pooling: x"


def test_while_it_starts_again_a_request_waits_and_has_failed_at_its_deadline(book, tmp_path):
    async def work(backend):
        (book / "plan").write_text("load=60")
        os.kill(int(noted(book, "starts")[-1]), signal.SIGKILL)
        while len(noted(book, "starts")) < 2:
            await asyncio.sleep(0.01)
        return await backend.send(request("今は"))

    outcome = asyncio.run(opened("vllm:", tmp_path, tmp_path / "log", deadline_s=0.5, work=work))
    assert (outcome.error, outcome.written, outcome.detail) == (
        "timeout",
        False,
        "no complete reply within the deadline",
    )


def test_a_vllm_that_says_nothing_any_more_is_not_waited_for(book, tmp_path, monkeypatch):
    (book / "plan").write_text("load=60")
    monkeypatch.setattr(life, "SILENT_S", 0.5)
    with pytest.raises(EngineStopped, match="has said nothing for 0 minutes"):
        asyncio.run(opened("serve:", tmp_path, tmp_path / "log", work=None))
    assert nobody_is_left(book)


def test_a_vllm_whose_application_lies_elsewhere_says_what_to_write(book, tmp_path):
    (book / "site" / "vllm" / "entrypoints" / "launchers" / "app.py").unlink()
    with pytest.raises(EngineStopped, match=r"This vLLM \(0.0\) keeps its application elsewhere.*\n?.*serve:MODEL"):
        asyncio.run(opened("vllm:", tmp_path, tmp_path / "log", work=None))


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_lasts_beyond_the_first_look_at_its_load_ends_well(way, book, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(gauges, "LOOK_EVERY_S", 0.0)
    looked_at, page = [], gauges.page

    def noting(endpoint):
        looked_at.append(endpoint.host)
        return page(endpoint)

    monkeypatch.setattr(gauges, "page", noting)
    result = synth.run(recipe(f"{way}some/model"), folder=tmp_path / "run")
    assert (result.exit_code, result.message) == (0, "")
    ports = {args[args.index("--port") + 1] for args in map(json.loads, noted(book, "args")) if "--port" in args}
    assert set(looked_at) == {f"127.0.0.1:{port}" for port in ports}


@pytest.mark.parametrize("way", WAYS)
def test_a_key_that_vllm_would_ask_for_by_the_environment_is_not_asked_of_the_run(
    way, book, recipe, tmp_path, monkeypatch
):
    monkeypatch.setenv("VLLM_API_KEY", "秘密ではない")
    result = synth.run(recipe(f"{way}some/model"), folder=tmp_path / "run")
    assert (result.exit_code, result.message) == (0, "")


def test_a_process_that_is_asked_over_a_pipe_ends_when_synth_is_killed_in_the_middle_of_a_line(book):
    vllm = Path(os.environ["SYNTH_VLLM"])
    asked = [command.python_of(vllm), CHILD, "m", "--served-model-name", "m"]
    process = subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        process.communicate(b'{"number":1,"path":"/chat', timeout=30)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert nobody_is_left(book)


def test_what_is_stored_needs_no_vllm(book, recipe, synth, tmp_path):
    assert synth("run", recipe("vllm:some/model"), "--out", "run").returncode == 0
    assert synth("run", tmp_path, "--out", "run").returncode == 0
    assert synth("export", tmp_path, "--out", "run").returncode == 0
    assert len(noted(book, "starts")) == 1


def test_a_missing_vllm_is_told_with_the_ways_to_have_one(recipe, synth, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "BESIDE", "nowhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SYNTH_VLLM", raising=False)
    with pytest.raises(EngineStopped, match=r"not installed: pip install 'synth\[vllm\]'.*`make vllm`.*SYNTH_VLLM"):
        command.command_of("小さい")
    done = synth("run", recipe("serve:some/model"), env={"SYNTH_VLLM": "./無い/vllm"})
    assert (done.returncode, done.stderr) == (
        7,
        "SYNTH_VLLM names ./無い/vllm, which is no command; give the path of `vllm` itself.\n",
    )


def test_a_vllm_without_a_python_beside_it_can_only_serve(tmp_path, monkeypatch):
    alone = tmp_path / "vllm"
    alone.write_text("")
    with pytest.raises(EngineStopped, match=r'no Python beside.*write base_url: "serve:MODEL"'):
        command.python_of(alone)


def test_a_path_without_a_model_is_a_mistake_and_a_name_is_left_to_vllm(tmp_path):
    assert command.model_at("Qwen/Qwen3-8B", tmp_path) == "Qwen/Qwen3-8B"
    with pytest.raises(RecipeError, match=r"There is no model in .*無い"):
        command.model_at("./無い", tmp_path)


def test_serve_on_the_command_line_names_the_model_for_the_teacher(book, recipe, synth, tmp_path):
    there = recipe("https://api.example.com/v1", ", key_variable: SOME_KEY")
    done = synth("run", there, "--out", "run", "--serve", "模型 --max-model-len 512 --dtype 'float32'")
    assert done.returncode == 0, done.stderr
    (args,) = (json.loads(line) for line in noted(book, "args"))
    options = [
        "--served-model-name",
        "模型",
        "--enable-prompt-tokens-details",
        "--max-model-len",
        "512",
        "--dtype",
        "float32",
    ]
    assert args[: 1 + len(options)] == [str(tmp_path / "模型"), *options]
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["teachers"][0]["host"] == "serve"


def test_serve_says_what_is_wrong_with_it(recipe, tmp_path):
    folder = recipe("http://localhost:8000/v1")
    two = (folder / "recipe.yaml").read_text().replace("stages:", "  判定: {model: j, base_url: 'practice:'}\nstages:")
    with pytest.raises(RecipeError, match="--serve 'x: No closing quotation; write"):
        load(folder, Overrides(serve="'x"))
    with pytest.raises(RecipeError, match=r"--serve 教師=./x: the recipe names no teacher '教師'; there is main"):
        load(folder, Overrides(serve="教師=./x"))
    for options in ("x --port 3", "x --api-key=k"):
        with pytest.raises(RecipeError, match=r"--serve main=...: '--.*' is not for vllm_args: synth sets it"):
            load(folder, Overrides(serve=options))
    (folder / "recipe.yaml").write_text(two.replace("判定", "judge"), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"several teachers \(main, judge\); write NAME=x"):
        load(folder, Overrides(serve="x"))
    loaded = load(folder, Overrides(serve="judge=x=y")).recipe.teachers
    assert (loaded["judge"].base_url, loaded["judge"].model) == ("serve:x=y", "x=y")
    assert loaded["main"].base_url == "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base_url": "http://localhost:8000/v1", "vllm_args": ["--dtype", "half"]}, "vllm_args are for base_url"),
        ({"base_url": "serve:", "vllm_args": ["--served-model-name", "x"]}, "is not for vllm_args"),
        ({"base_url": "serve:", "vllm_args": ["--served_model_name=x"]}, "is not for vllm_args"),
        ({"base_url": "serve:", "vllm_args": ["--ssl-certfile", "x"]}, "is not for vllm_args"),
        ({"base_url": "serve:", "key_variable": "SOME_KEY"}, "asks for no key"),
        ({"base_url": "vllm:", "stream": True}, "does not stream"),
    ],
)
def test_what_has_no_effect_with_vllm_of_ones_own_or_none_without_it_is_a_mistake(fields, said):
    with pytest.raises(ValueError, match=said):
        Endpoint(model="m", **fields)


@pytest.mark.parametrize("way", WAYS)
def test_a_vllm_of_ones_own_is_known_free_and_queues_silently(way):
    endpoint = Endpoint(model="m", base_url=way)
    assert (endpoint.known.title, endpoint.host, endpoint.queues_silently) == ("vLLM", way[:-1], True)
    assert endpoint.known_price().input_usd == 0


def test_commands_on_files_may_have_one_too(book, tmp_path):
    async def main():
        endpoint = Endpoint(model="小さい", base_url="vllm:some/model")
        async with desk(tmp_path / "run", {"student": endpoint}, Caps(), Halt()) as opened:
            return await opened.ask("stage", "1").text([Message(role="user", content="何ですか。")], teacher="student")

    assert asyncio.run(main()).text == "/v1/chat/completions: 何ですか。"
