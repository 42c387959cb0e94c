"""`synth convert`: files and runs in, files in a trainer's shape out, read back equal by everybody's readers."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

from synth.errors import RecipeError
from synth.formats import FORMATS
from synth.formats.convert import Wanted, convert
from synth.lint.tokens import Tokens
from synth.recipes.views import Preference
from tests.formats.test_formats import ANSWER, HARD, LONG, PLAIN, REASONED, ROWS, fit_for, lines, saved, talk

MANY = [talk({"role": "user", "content": f"質問 {n} 😀"}, ANSWER, id=f"{n:06d}/0/0", topic="税") for n in range(10)]


@pytest.fixture
def source(tmp_path):
    return saved(tmp_path / "a.jsonl", ROWS)


@pytest.fixture
def run_of(tmp_path):
    """Make what a run of this name leaves: a row and a refused answer of each split."""

    def make(name: str) -> Path:
        run = tmp_path / "runs" / name
        (run / "dataset" / "data").mkdir(parents=True)
        (run / "dataset" / "README.md").write_text("")
        (run / "run.db").write_bytes(b"")
        kept: list[dict] = []
        for place, split in enumerate(("train", "test")):
            asked = [{"role": "user", "content": f"{name}の質問{place}"}]
            of = {"id": f"{place:08d}/00/000/00/000", "split": split, "scores": []}
            kept.append({**of, "messages": [*asked, {"role": "assistant", "content": "はい。"}]})
            saved(run / "dataset" / "data" / f"{split}.jsonl", [{"messages": kept[-1]["messages"]}])
        refused = [
            {
                **one,
                "id": one["id"].replace("/00/000/00/000", "/00/000/01/000"),
                "messages": [one["messages"][0], {"role": "assistant", "content": "お答えできません。"}],
                "reason": "refusal",
            }
            for one in kept
        ]
        saved(run / "rows.jsonl", kept)
        saved(run / "rejected.jsonl", refused)
        return run

    return make


def test_left_out_rows_are_counted_with_reason_and_place_and_end_with_3(synth, source, tmp_path):
    done = synth("convert", source, "--to", "alpaca", "--out", tmp_path / "b.jsonl")
    assert done.returncode == 3
    assert "several_turns" in done.stderr
    assert f"{source}:3" in done.stderr
    assert "1 row" in done.stdout
    assert lines(tmp_path / "b.jsonl") == [
        {"instruction": HARD, "input": "", "output": "10％です。", "id": "000001/0/0"}
    ]
    told = json.loads(synth("convert", source, "--to", "alpaca", "--out", tmp_path / "b.jsonl", "--json").stdout)
    assert {reason: one["rows"] for reason, one in told["left_out"].items()} == {
        "system": 1, "several_turns": 1, "tools": 1,
    }  # fmt: skip
    whole = synth("convert", source, "--to", "messages", "--out", tmp_path / "c.jsonl")
    assert whole.returncode == 0


def test_dropped_reasoning_is_told(synth, source, tmp_path):
    done = synth("convert", source, "--to", "openai", "--out", tmp_path / "b.jsonl")
    assert "reasoning of 2 rows was dropped" in done.stderr
    inline = synth("convert", source, "--to", "openai", "--reasoning", "inline", "--out", tmp_path / "b.jsonl")
    assert "dropped" not in inline.stderr
    assert "<think>\\n標準税率" in (tmp_path / "b.jsonl").read_text(encoding="utf-8")


def test_what_stands_beside_the_conversation_that_is_written_is_warned_of(tmp_path):
    beside = {"prompt": "問い？", "completion": "答え", "reasoning": "考え"}
    rows = [beside, {**PLAIN, "prompt": "別の問い", "completion": "別の答え"}]
    found = convert([saved(tmp_path / "a.jsonl", rows)], tmp_path / "b.jsonl", Wanted("messages"))
    assert {name: one.rows for name, one in found.warnings.items()} == {"reasoning_column": 1, "two_formats": 1}


def test_a_kept_column_that_json_cannot_hold_is_one_sentence(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"prompt": ["問い？"], "completion": ["答え"], "印": [b"\xff"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(RecipeError, match=r"a\.parquet:1: .*印.* bytes"):
        convert([tmp_path / "a.parquet"], tmp_path / "b.jsonl", Wanted("messages", keep=("印",)))


def test_when_nothing_fits_nothing_is_written(tmp_path):
    with pytest.raises(RecipeError, match=r"No row can be written as alpaca, so nothing was: several_turns 1"):
        convert([saved(tmp_path / "a.jsonl", [LONG])], tmp_path / "b.jsonl", Wanted("alpaca"))
    assert not (tmp_path / "b.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "parrot", "--out", "b.jsonl"], "is none of messages, prompt-completion"),
        (["--to", "text", "--out", "b.jsonl"], "needs the student's --tokenizer"),
        (["--to", "messages", "--out", "b.csv"], "should end in .jsonl or .parquet"),
        (["--to", "messages", "--out", "a.jsonl"], "would be written over"),
        (["--to", "openai", "--out", "b.parquet"], "let --out end in .jsonl"),
        (["--to", "openai", "--out", "b.jsonl", "--keep", "topic"], "leave --keep out"),
        (["--to", "messages", "--out", "b.jsonl", "--keep", "prompt"], "a meaning of its own"),
        (["--to", "alpaca", "--out", "b.jsonl", "--keep", "input"], "a meaning of its own"),
        (["--to", "messages", "--out", "b.jsonl", "--keep", "topic"], "there is no column 'topic'"),
        (["--to", "llama-factory", "--out", "b.jsonl", "--shards", "2"], "leave --shards out"),
    ],
)
def test_wrong_arguments_are_one_sentence(synth, source, options, words):
    done = synth("convert", source.name, *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_folder_of_files_becomes_a_file_for_each_and_never_one(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    saved(folder / "train.jsonl", MANY[:8])
    saved(folder / "test.jsonl", MANY[8:])
    converted = convert([folder], tmp_path / "out", Wanted("openai"))
    assert {path.name: rows for path, rows in converted.files.items()} == {"train.jsonl": 8, "test.jsonl": 2}
    with pytest.raises(RecipeError, match=r"one file would mix them"):
        convert([folder], tmp_path / "all.jsonl", Wanted("openai"))
    joined = convert([folder / "train.jsonl", folder / "test.jsonl"], tmp_path / "all.jsonl", Wanted("openai"))
    assert joined.rows() == 10
    (tmp_path / "other").mkdir()
    with pytest.raises(RecipeError, match="would become"):
        convert([folder, saved(tmp_path / "other" / "test.jsonl", MANY)], tmp_path / "out", Wanted("openai"))


def test_a_seed_shuffles_alike_and_shards_hold_every_row_once(tmp_path):
    source = saved(tmp_path / "a.jsonl", MANY)
    plain = convert([source], tmp_path / "plain.jsonl", Wanted("messages"))
    assert [row["id"] for row in lines(tmp_path / "plain.jsonl")] == [row["id"] for row in MANY]
    assert plain.rows() == 10
    orders = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        convert([source], tmp_path / name, Wanted("messages", seed=seed, shards=3))
        files = sorted((tmp_path / name).iterdir())
        assert [file.name for file in files] == [f"a-{n:05d}-of-00003.jsonl" for n in range(3)]
        assert [len(lines(file)) for file in files] == [3, 3, 4]
        orders.append([row["id"] for row in chain.from_iterable(map(lines, files))])
    assert sorted(orders[0]) == [row["id"] for row in MANY]
    assert orders[0] == orders[1] != orders[2]


def test_kept_columns_stand_beside_the_id(tmp_path):
    source = saved(tmp_path / "a.jsonl", MANY)
    convert([source], tmp_path / "b.jsonl", Wanted("prompt", keep=["topic"]))
    assert [*lines(tmp_path / "b.jsonl")[0]] == ["prompt", "id", "topic"]


def test_a_line_is_a_line_for_readers_that_know_more_line_ends(source, tmp_path):
    convert([source], tmp_path / "b.jsonl", Wanted("nemo"))
    text = (tmp_path / "b.jsonl").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(ROWS)
    assert lines(tmp_path / "b.jsonl")[0]["messages"][0]["content"] == HARD


def test_halves_of_characters_become_a_sign_and_are_counted(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps(talk({"role": "user", "content": "税\ud83d率"}, ANSWER)), encoding="utf-8")
    converted = convert([source], tmp_path / "b.jsonl", Wanted("messages"))
    assert lines(tmp_path / "b.jsonl")[0]["messages"][0]["content"] == "税\ufffd率"
    assert converted.warnings["damaged_text"].rows == 1


def test_llama_factory_is_told_of_the_files_beside_what_it_knows(tmp_path):
    (tmp_path / "out").mkdir()
    register = tmp_path / "out" / "dataset_info.json"
    register.write_text('{"older": {"file_name": "older.json"}}', encoding="utf-8")
    convert([saved(tmp_path / "税.jsonl", ROWS)], tmp_path / "out", Wanted("llama-factory"))
    known = json.loads(register.read_text(encoding="utf-8"))
    assert known["older"] == {"file_name": "older.json"}
    entry = known["税"]
    assert entry["formatting"] == "sharegpt"
    rows = lines(tmp_path / "out" / entry["file_name"])
    assert all({*entry["columns"].values()} <= row.keys() for row in rows)
    assert {turn[entry["tags"]["role_tag"]] for row in rows for turn in row["conversations"]} <= {
        *entry["tags"].values()
    }
    register.write_text("[", encoding="utf-8")
    with pytest.raises(RecipeError, match="it is no JSON object"):
        convert([tmp_path / "税.jsonl"], tmp_path / "out", Wanted("llama-factory"))


def test_llama_factory_keeps_the_splits_of_several_runs_apart_and_what_else_is_listed(run_of, tmp_path):
    out = tmp_path / "LLaMA-Factory" / "data"
    out.mkdir(parents=True)
    theirs = {"alpaca_ja": {"hf_hub_url": "someone/日本語", "columns": {"prompt": "指示"}}}
    (out / "dataset_info.json").write_text(json.dumps(theirs, ensure_ascii=False), encoding="utf-8")
    first, second = run_of("図書館"), run_of("desk")
    for run in (first, second / "dataset", first):
        convert([run], out, Wanted("llama-factory"))
    convert([first], out, Wanted("llama-factory-preference", rule=Preference(kind="preference")))
    listed = json.loads((out / "dataset_info.json").read_text(encoding="utf-8"))
    assert listed["alpaca_ja"] == theirs["alpaca_ja"]
    names = {f"{run}-{split}" for run in ("図書館", "desk") for split in ("train", "test")}
    names |= {"図書館-train-preference", "図書館-test-preference"}
    assert listed.keys() == {"alpaca_ja", *names}
    assert all((out / f"{name}.jsonl").exists() and listed[name]["file_name"] == f"{name}.jsonl" for name in names)


def test_llama_factorys_own_dataset_of_the_same_name_is_left_alone(tmp_path):
    register = tmp_path / "out" / "dataset_info.json"
    register.parent.mkdir()
    register.write_text(json.dumps({"税": {"file_name": "others.json"}}), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"has a dataset '税' already, of others\.json"):
        convert([saved(tmp_path / "税.jsonl", ROWS)], tmp_path / "out", Wanted("llama-factory"))
    assert [path.name for path in register.parent.iterdir()] == ["dataset_info.json"]
    assert json.loads(register.read_text(encoding="utf-8")) == {"税": {"file_name": "others.json"}}


def test_llama_factory_is_told_that_pairs_are_ranked(tmp_path):
    convert([saved(tmp_path / "組.jsonl", fit_for("preference"))], tmp_path / "out", Wanted("llama-factory-preference"))
    entry = json.loads((tmp_path / "out/dataset_info.json").read_text(encoding="utf-8"))["組"]
    assert (entry["ranking"], entry["columns"]["chosen"]) == (True, "chosen")
    rows = lines(tmp_path / "out" / entry["file_name"])
    assert rows[0]["chosen"] == {"from": "gpt", "value": "10％です。"}


TEMPLATE = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content %}({{ m.reasoning_content }})" \
           "{% endif %}{{ m.content }}{{ eos_token }}{% endfor %}"  # fmt: skip


@pytest.mark.parametrize("adds", [False, True])
def test_text_is_what_the_chat_template_writes_without_a_second_beginning(adds, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    one = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "^": 1}, unk_token="[UNK]"))
    if adds:
        one.post_processor = tokenizers.processors.TemplateProcessing("^ $A", None, [("^", 1)])
    one.save(str(tmp_path / "tokenizer.json"))
    config = {"chat_template": TEMPLATE, "bos_token": "^", "eos_token": "$"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    source = saved(tmp_path / "a.jsonl", [REASONED])
    render = Tokens(str(tmp_path)).text
    convert([source], tmp_path / "b.jsonl", Wanted("text", render=render))
    begin = "" if adds else "^"
    assert lines(tmp_path / "b.jsonl") == [
        {
            "text": f"{begin}<system>簡潔に。$<user>{HARD}$<assistant>(標準税率は10％。\n食品は8％。)10％です。$",
            "id": "000002/0/0",
        }
    ]
    convert([source], tmp_path / "b.jsonl", Wanted("text", "inline", render=render))
    assert "<assistant><think>\n標準税率" in lines(tmp_path / "b.jsonl")[0]["text"]


def test_parquet_that_cannot_hold_a_column_says_which(tmp_path):
    rows = [{**PLAIN, "meta": 1}, {**PLAIN, "meta": "二"}]
    with pytest.raises(RecipeError, match="no type for meta, which holds int and str"):
        convert([saved(tmp_path / "a.jsonl", rows)], tmp_path / "b.parquet", Wanted("messages", keep=["meta"]))
    assert not (tmp_path / "b.parquet").exists()
    rows = [{**PLAIN, "meta": 2**63 + 1}]
    with pytest.raises(RecipeError, match="write JSONL instead"):
        convert([saved(tmp_path / "a.jsonl", rows)], tmp_path / "b.parquet", Wanted("messages", keep=["meta"]))


def read_by_datasets(path, kind, cache):
    datasets = pytest.importorskip("datasets")
    return [*datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(cache))]


def read_by_polars(path, kind, cache):
    polars = pytest.importorskip("polars")
    return (polars.read_parquet(path) if kind == "parquet" else polars.read_ndjson(path)).to_dicts()


def read_by_pandas(path, kind, cache):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(path) if kind == "parquet" else pandas.read_json(path, lines=True)
    return json.loads(frame.to_json(orient="records"))


def read_by_duckdb(path, kind, cache):
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.read_parquet(str(path)) if kind == "parquet" else duckdb.read_json(str(path))
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def nullless(value):
    if isinstance(value, dict):
        return {name: nullless(one) for name, one in value.items() if one is not None}
    return [nullless(one) for one in value] if isinstance(value, list) else value


READ_BACK = ["messages", "prompt-completion", "prompt", "tools", "reasoning", "preference", "unpaired", "nemo",
             "llama-factory"]  # fmt: skip


@pytest.mark.parametrize("name", READ_BACK)
@pytest.mark.parametrize("kind", ["json", "parquet"])
@pytest.mark.parametrize("reader", [read_by_datasets, read_by_polars, read_by_pandas, read_by_duckdb])
def test_everybodys_readers_read_back_the_same(reader, kind, name, tmp_path):
    if FORMATS[name].is_lines and kind == "parquet":
        pytest.skip("these files are lines of JSON")
    path = tmp_path / f"out.{'jsonl' if kind == 'json' else kind}"
    source = saved(tmp_path / "a.jsonl", fit_for(name))
    convert([source], path, Wanted(name))
    convert([source], tmp_path / "as.jsonl", Wanted(name))
    assert nullless(reader(path, kind, tmp_path / "cache")) == nullless(lines(tmp_path / "as.jsonl"))


def test_parquet_tells_readers_nothing_but_columns(source, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    convert([source], tmp_path / "b.parquet", Wanted("messages"))
    assert not parquet.read_schema(tmp_path / "b.parquet").metadata
