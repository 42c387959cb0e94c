"""Tokens as data: what a teacher tells of its tokens is asked for, kept beside the dataset, and loads by row id."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import jsonschema
import pytest
import yaml

import synth
from synth.backends.practice.told import logprobs_of
from synth.datasets.tokens import told
from synth.errors import RecipeError
from synth.protocol.endpoint import Endpoint
from synth.storage.database import connect, stored_requests
from synth.types import Outcome

RECIPE = """\
name: told
language: ja
license: cc0-1.0
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: small, base_url: "{base_url}", sampling: {{max_tokens: 500{sampling}}}{more}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2, question: q}}
    validators: [{{kind: refusal}}]
split: {{fractions: {{train: 1.0}}}}
"""
CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "openai_subset.json"
ANSWER = "鬱蒼とした森です。"
REFUSAL = "申し訳ありませんが、そのご質問にはお答えできません。"


@pytest.fixture
def folder(tmp_path: Path):
    def write(*choices: dict, sampling: str = ", logprobs: 2", more: str = "", base_url: str = "") -> Path:
        base_url = base_url or "replay:replies.jsonl"
        text = RECIPE.format(base_url=base_url, sampling=sampling, more=more)
        (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
        (tmp_path / "ask.md.j2").write_text("{{ q }}")
        seeds = [json.dumps({"q": f"問い{place}"}) for place in range(max(1, len(choices)))]
        (tmp_path / "seeds.jsonl").write_text("\n".join(seeds), encoding="utf-8")
        lines = [json.dumps({"prompt": f"問い{n}", "response": reply(one)}) for n, one in enumerate(choices)]
        (tmp_path / "replies.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return tmp_path

    return write


def reply(choice: dict) -> dict:
    beside = {name: choice.pop(name) for name in [*choice] if name in ("prompt_token_ids",)}
    return {"model": "served-1", "choices": [{"finish_reason": "stop", **choice}], **beside}


def choice(text: str, **more) -> dict:
    return {"message": {"role": "assistant", "content": text}, "logprobs": logprobs_of(text, 2), **more}


def entry(token: str, logprob: float, *top: tuple[str, float], **more) -> dict:
    likely = [{"token": text, "logprob": value, "bytes": None} for text, value in top]
    return {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": likely, **more}


def tokens_of(result: synth.Result) -> list[dict]:
    return [*datasets.load_dataset(str(result.dataset), "tokens", split="train")]


def run(path: Path) -> synth.Result:
    return synth.run(path, folder=path / "run")


def test_tokens_of_each_row_are_kept_by_its_id_and_parts_of_characters_by_their_bytes(folder):
    result = run(folder(choice(ANSWER), choice(REFUSAL), choice("杉林です。")))
    rows = [json.loads(line) for line in (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    found = tokens_of(result)
    assert [one["id"] for one in found] == [one["id"] for one in rows]
    for row, one in zip(rows, found, strict=True):
        assert b"".join(one["tokens"]).decode() == row["messages"][-1]["content"]
        assert len(one["tokens"]) == len(one["logprobs"]) == len(one["top_tokens"]) == len(one["top_logprobs"])
        assert all(len(top) == 2 for top in one["top_tokens"])
        assert (one["token_ids"], one["top_ids"], one["model"]) == (None, None, "served-1")
    assert any("\ufffd" in token.decode("utf-8", "replace") for one in found for token in one["tokens"])
    record = result.manifest.tokens
    assert record is not None
    assert (record.rows, record.without, record.with_ids, record.tokenizers) == (2, 0, 0, {"served-1": 2})
    assert record.tokens == sum(len(one["tokens"]) for one in found)
    assert [*datasets.load_dataset(str(result.dataset), split="train")["id"]] == [one["id"] for one in rows]


def test_ids_stand_for_tokens_where_a_server_gives_them(folder):
    content = [
        entry("token_id:7", -0.5, ("token_id:7", -0.5), ("token_id:9", -1.5), bytes=[*"森".encode()]),
        entry("token_id:2", 0.0, ("token_id:2", 0.0), ("token_id:3", -9999.0)),
    ]
    given = {"message": {"role": "assistant", "content": "森"}, "logprobs": {"content": content}}
    [one] = tokens_of(run(folder({**given, "token_ids": [7, 2], "prompt_token_ids": [1, 5]})))
    assert (one["token_ids"], one["top_ids"], one["top_tokens"]) == ([7, 2], [[7, 9], [2, 3]], None)
    assert (one["tokens"], one["prompt_token_ids"]) == (["森".encode(), None], [1, 5])
    assert one["top_logprobs"] == [[-0.5, -1.5], [0.0, -9999.0]]


def test_ids_that_stand_beside_each_token_are_kept_with_its_text(folder):
    one = entry("森", -0.5, ("森", -0.5), id=7, bytes=[*"森".encode()])
    one["top_logprobs"][0]["id"] = 7
    given = {"message": {"role": "assistant", "content": "森"}, "logprobs": {"content": [one]}}
    [found] = tokens_of(run(folder(given)))
    assert (found["token_ids"], found["top_ids"], found["tokens"]) == ([7], [[7]], ["森".encode()])


def test_ids_beside_a_choice_are_those_of_its_tokens(folder):
    content = [entry("森", -0.5, ("森", -0.5), ("林", -1.5))]
    given = {"message": {"role": "assistant", "content": "森"}, "logprobs": {"content": content}, "token_ids": [7]}
    [one] = tokens_of(run(folder(given)))
    assert (one["token_ids"], one["top_ids"], one["top_tokens"]) == ([7], None, [["森".encode(), "林".encode()]])


def test_the_body_asks_as_openai_describes_and_only_where_the_recipe_wants_it(folder):
    path = folder(base_url="practice:faultless") / "recipe.yaml"
    text = path.read_text(encoding="utf-8").replace("model: small", "model: practice-1")
    path.write_text(text, encoding="utf-8")
    result = run(path.parent)
    assert {len(top) for one in tokens_of(result) for top in one["top_logprobs"]} == {2}
    [(_, _, body)] = stored_requests(connect(result.folder / "run.db"))
    assert {name: value for name, value in json.loads(body).items() if "logprobs" in name} == {
        "logprobs": True,
        "top_logprobs": 2,
    }
    path.write_text(text.replace(", logprobs: 2", ""), encoding="utf-8")
    again = synth.run(path.parent, folder=path.parent / "run", accept_change=True)
    assert again.manifest.tokens is None
    assert not (again.dataset / "tokens").exists()
    assert "tokens" not in datasets.get_dataset_config_names(str(again.dataset))


@pytest.mark.skipif(not CONTRACT.exists(), reason=f"OpenAI's description is not at {CONTRACT}")
def test_the_practice_teachers_log_probabilities_fit_openais_description():
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))
    schema = {"$ref": "#/components/schemas/ChatCompletionTokenLogprob", "components": contract["components"]}
    for one in logprobs_of(ANSWER, 3)["content"]:
        jsonschema.validate(one, schema)


def test_rows_of_which_nothing_is_told_are_counted_and_the_card_says_what_is_missing(folder):
    silent = {"message": {"role": "assistant", "content": "杉です。"}, "logprobs": None}
    result = run(folder(choice(ANSWER), silent))
    record = result.manifest.tokens
    assert record is not None
    assert (record.rows, record.without) == (1, 1)
    card = (result.dataset / "README.md").read_text(encoding="utf-8")
    assert "1 行には、トークンについての情報がありません" in card
    assert "ロジットはありません" in card
    assert "served-1" in card


class Here(BaseHTTPRequestHandler):
    """A server of one's own that names the folder which it serves, as vLLM does."""

    root = ""

    def do_GET(self):
        self._say({"data": [{"id": "other", "root": "/nowhere"}, {"id": "small", "root": self.root}]})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self._say(reply(choice(ANSWER)))

    def _say(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def here(tmp_path):
    served = type("Served", (Here,), {"root": str(tmp_path / "模型")})
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_the_tokenizer_of_a_model_on_this_machine_is_told_by_the_hash_of_its_file(folder, here, tmp_path):
    path = folder(base_url=here)
    result = run(path)
    assert result.manifest.tokens is not None
    assert result.manifest.tokens.tokenizer_files == {}
    assert "ハッシュは分かっていません" in (result.dataset / "README.md").read_text(encoding="utf-8")
    (tmp_path / "模型").mkdir()
    (tmp_path / "模型" / "tokenizer.json").write_text("語彙", encoding="utf-8")
    first = f"tokenizer.json sha256:{hashlib.sha256('語彙'.encode()).hexdigest()}"
    known = synth.run(path, folder=path / "again")
    assert known.manifest.tokens is not None
    assert known.manifest.tokens.tokenizer_files == {"main": [first]}
    assert first in (known.dataset / "README.md").read_text(encoding="utf-8")
    (tmp_path / "模型" / "tokenizer.json").write_text("別の語彙", encoding="utf-8")
    (path / "seeds.jsonl").write_text('{"q": "問い0"}\n{"q": "もう一つの問い"}\n', encoding="utf-8")
    changed = synth.run(path, folder=path / "again", accept_change=True)
    assert changed.manifest.tokens is not None
    assert changed.manifest.tokens.tokenizer_files["main"][0] == first
    assert len(changed.manifest.tokens.tokenizer_files["main"]) == 2


def test_an_export_writes_the_same_tokens_again(folder):
    result = run(folder(choice(ANSWER)))
    file = result.dataset / "tokens/train.parquet"
    before = file.read_bytes()
    file.unlink()
    (result.folder / "rows.jsonl").unlink()
    assert (run(result.folder.parent).dataset / "tokens/train.parquet").read_bytes() == before


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"logprobs": {"content": [{"token": "a"}]}}]}',
     b'{"choices": [{"logprobs": {"content": [{"token": 3, "logprob": 0}]}}]}',
     b'{"choices": [{"logprobs": {"content": [{"token": "a", "logprob": 0, "bytes": [300]}]}}]}'],
)  # fmt: skip
def test_what_is_unusable_tells_nothing(body):
    assert told(Outcome(200, body)) is None


def test_hosts_that_give_no_log_probabilities_and_streams_are_mistakes_before_anything_is_asked(folder):
    for url in ("https://api.groq.com/openai/v1", "https://api.anthropic.com/v1"):
        endpoint = Endpoint(model="m", base_url=url)
        assert "logprobs" in dict(endpoint.known.objections("m", {"logprobs": True}))
    path = folder(base_url="https://api.groq.com/openai/v1", more=", key_variable: SOME_KEY")
    with pytest.raises(RecipeError, match=r"sampling.logprobs.*Groq"):
        synth.load(path)
    with pytest.raises(RecipeError, match="keeps no log-probabilities"):
        synth.load(folder(base_url="http://127.0.0.1:1/v1", more=", stream: true"))


def test_the_practice_teachers_tokens_are_its_text_and_its_probabilities_are_some():
    content = logprobs_of(ANSWER, 3)["content"]
    assert b"".join(bytes(one["bytes"]) for one in content).decode() == ANSWER
    assert any(one["token"] == "\ufffd" for one in content)
    for one in content:
        assert one["top_logprobs"][0]["token"] == one["token"]
        assert sum(math.exp(top["logprob"]) for top in one["top_logprobs"]) <= 1


def test_tokens_of_reasoning_come_before_those_of_the_answer(folder):
    whole = f"<think>木が三つ。</think>{ANSWER}"
    result = run(folder(choice(whole)))
    [one], [row] = tokens_of(result), (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(row)["messages"][-1]["content"] == ANSWER
    assert b"".join(one["tokens"]).decode() == whole


@pytest.mark.parametrize("ids", ["森", [2**31], [-1], ["森"], [1.5], [None], {"森": 1}])
def test_what_can_be_no_ids_is_not_told_as_such(folder, ids):
    [one] = tokens_of(run(folder(choice("森", prompt_token_ids=ids, token_ids=ids))))
    assert (one["prompt_token_ids"], one["token_ids"]) == (None, None)
    assert b"".join(one["tokens"]).decode() == "森"


def test_a_token_that_looks_like_an_id_no_file_can_hold_is_kept_as_its_text(folder):
    content = [entry("token_id:99999999999", -0.5)]
    given = {"message": {"role": "assistant", "content": "森"}, "logprobs": {"content": content}}
    [one] = tokens_of(run(folder(given)))
    assert (one["token_ids"], one["tokens"]) == (None, [b"token_id:99999999999"])


SHARED = """\
name: told
language: ja
license: cc0-1.0
seeds: {kind: jsonl, path: seeds.jsonl}
teachers:
  cheap: {model: small, base_url: "replay:cheap.jsonl", sampling: {max_tokens: 500, logprobs: 2}}
  strong: {model: large, base_url: "replay:strong.jsonl"}
stages:
  - name: answer
    teachers: [cheap, strong]
    generator: {kind: answer, prompt: ask.md.j2, question: q}
    validators: [{kind: finished}]
split: {fractions: {train: 1.0}}
"""


def test_a_row_has_the_tokens_of_no_teacher_but_the_one_that_answered(folder):
    path = folder(choice(ANSWER))
    (path / "recipe.yaml").write_text(SHARED, encoding="utf-8")
    for name, given in (
        ("cheap", choice(ANSWER, finish_reason="length")),
        ("strong", {"message": {"role": "assistant", "content": ANSWER}}),
    ):
        line = json.dumps({"prompt": "問い0", "response": reply(given)})
        (path / f"{name}.jsonl").write_text(line, encoding="utf-8")
    result = run(path)
    [row] = [json.loads(line) for line in (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (row["teacher"], len(row["requests"])) == ("large", 2)
    assert result.manifest.tokens is not None
    assert (result.manifest.tokens.rows, result.manifest.tokens.without) == (0, 1)


JUDGED = SHARED.replace(
    "teachers: [cheap, strong]", "scorers: [{kind: judge, teacher: cheap, rubric: ask.md.j2}]"
).replace("question: q}", "question: q, teacher: strong}")


def test_probabilities_of_what_becomes_no_row_are_a_mistake_and_those_of_a_stand_in_are_kept(folder):
    path = folder(choice(ANSWER))
    (path / "recipe.yaml").write_text(JUDGED, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"no answer of 'cheap' becomes a row"):
        synth.load(path)
    stands_in = (
        SHARED.replace("teachers: [cheap, strong]", "ask_again: 1")
        .replace("question: q}", "question: q, teacher: strong}")
        .replace("strong: {", "strong: {fallback: cheap, ")
    )
    (path / "recipe.yaml").write_text(stands_in, encoding="utf-8")
    refused = reply({"message": {"role": "assistant", "content": "森", "refusal": None}, "finish_reason": "length"})
    (path / "strong.jsonl").write_text(json.dumps({"prompt": "問い0", "response": refused}), encoding="utf-8")
    for_it = json.dumps({"prompt": "問い0", "draw": 10_000, "response": reply(choice(ANSWER))})
    (path / "cheap.jsonl").write_text(for_it, encoding="utf-8")
    [one] = tokens_of(run(path))
    assert b"".join(one["tokens"]).decode() == ANSWER


def by_ids(text: str, ids: list[int], tops: list[list[int]], **more) -> dict:
    content = [
        entry(f"token_id:{one}", -0.5, *((f"token_id:{top}", -0.5 - 0.25 * place) for place, top in enumerate(likely)))
        for one, likely in zip(ids, tops, strict=True)
    ]
    return {"message": {"role": "assistant", "content": text}, "logprobs": {"content": content}, **more}


@pytest.fixture
def distilled(folder):
    """A run of two rows with ids, one of which lies beyond two bytes, and of one without those of its prompt."""
    return run(
        folder(
            by_ids("森です。", [7, 70_000, 2], [[7, 9], [3, 70_000], [2, 1]], prompt_token_ids=[1, 5]),
            by_ids("林です。", [8, 2], [[8, 9], [2, 4]], prompt_token_ids=[1, 5, 6, 6]),
            by_ids("木です。", [8], [[8, 9]]),
        )
    )


def test_tokens_become_what_a_student_is_distilled_from(distilled, tmp_path, synth):
    done = synth("convert", distilled.folder, "--to", "distillation", "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "no_prompt_ids  1" in done.stderr
    rows = [*datasets.load_dataset("parquet", data_files=str(tmp_path / "out/train.parquet"), split="train")]
    first, second = rows
    assert first["input_ids"] == [1, 5, 7, 70_000, 2]
    assert first["labels"] == [-100, -100, 7, 70_000, 2]
    assert (first["top_ids"], first["top_logprobs"]) == ([[7, 9], [3, 70_000], [2, 1]], [[-0.5, -0.75]] * 3)
    assert len(second["top_ids"]) == sum(label >= 0 for label in second["labels"])
    made = [json.loads(line) for line in (distilled.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["id"] for one in rows] == [one["id"] for one in made[:2]]


def test_distillkit_reads_packed_rows_of_one_length_by_the_settings_beside_them(distilled, tmp_path, synth):
    out = tmp_path / "out"
    assert synth("convert", distilled.folder, "--to", "distillkit", "--out", out).returncode == 3
    settings = yaml.safe_load((out / "distillkit.yaml").read_text())
    told = settings["teacher"]["logprob_compressor"]
    assert (settings["sequence_length"], told["k"], told["exact_k"]) == (6, 2, 2)
    bits = math.ceil(math.log2(told["d"]))
    rows = [*datasets.load_dataset("parquet", data_files=str(out / "train.parquet"), split="train")]
    assert {len(value) for row in rows for value in row.values()} == {6}
    first, second = rows
    assert (first["input_ids"], first["attention_mask"]) == ([1, 5, 7, 70_000, 2, 0], [1, 1, 1, 1, 1, 0])
    assert (first["labels"], second["labels"][-1]) == ([-100, -100, 7, 70_000, 2, -100], 2)
    for row, place, ids in ((first, 1, [7, 9]), (first, 2, [3, 70_000]), (first, 3, [2, 1]), (second, 4, [2, 4])):
        stream = int.from_bytes(bytes(row["bytepacked_indices"][place]), "big")
        size = 8 * len(row["bytepacked_indices"][place])
        assert [stream >> (size - bits * (number + 1)) & (2**bits - 1) for number in range(2)] == ids
        assert struct.unpack("<2f", bytes(row["compressed_logprobs"][place])) == (-0.5, -0.75)
    for place in (0, 4, 5):
        assert max(struct.unpack("<2f", bytes(first["compressed_logprobs"][place]))) < -1000


def test_a_file_of_tokens_that_is_damaged_in_its_middle_is_a_sentence(distilled, tmp_path, synth):
    whole = bytearray((distilled.dataset / "tokens/train.parquet").read_bytes())
    whole[40:400] = bytes(360)
    (tmp_path / "壊れた.parquet").write_bytes(whole)
    done = synth("convert", tmp_path / "壊れた.parquet", "--to", "distillation", "--out", tmp_path / "out")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "壊れた.parquet: it is no Parquet file that can be read" in done.stderr


@pytest.mark.parametrize("name", ["distillation", "distillkit"])
def test_where_no_tokens_or_no_ids_are_told_nothing_is_written(name, folder, tmp_path, synth):
    result = run(folder(choice(ANSWER)))
    (tmp_path / "森.jsonl").write_text("{}\n", encoding="utf-8")
    for given, said in (
        (result.folder, f"No row can be written as {name}, so nothing was: no_token_ids 1."),
        (tmp_path / "森.jsonl", "it is no Parquet file that can be read"),
        (result.dataset / "data" / "train.parquet", "it holds no tokens of a run: there is no column"),
        (tmp_path / "nowhere", "There are no tokens in"),
    ):
        done = synth("convert", given, "--to", name, "--out", tmp_path / "out")
        assert done.returncode == 2
        assert said in done.stderr
    assert not (tmp_path / "out").exists()
    done = synth("convert", result.folder, "--to", name, "--out", tmp_path / "out", "--shuffle", "1")
    assert "takes no option but --out" in done.stderr


def test_each_of_several_draws_of_one_request_has_the_tokens_of_its_own_choice(folder):
    path = folder(base_url="practice:faultless", sampling=", logprobs: 2, seed: 3")
    text = (path / "recipe.yaml").read_text(encoding="utf-8").replace("model: small", "model: practice-1")
    (path / "recipe.yaml").write_text(
        text.replace("  - name: answer\n", "  - name: answer\n    draws: 4\n"), encoding="utf-8"
    )
    (path / "ask.md.j2").write_text(
        "バスが大阪市を出て、時速60kmで3時間走りました。進んだ道のりは何kmですか。", encoding="utf-8"
    )
    result = run(path)
    rows = (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(row)["messages"][-1]["content"] for row in rows]
    assert [b"".join(one["tokens"]).decode() for one in tokens_of(result)] == answers
    assert len(set(answers)) > 1
    assert sum(line.along for line in result.manifest.ledger) == 3
