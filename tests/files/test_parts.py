"""The parts of a run on files that exist already: every shape, every kind of file, rows kept as they were."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.datasets.tables import pieces
from synth.dedupe import Dedupe
from synth.dedupe.decontaminate import Benchmarks, Item
from synth.errors import RecipeError
from synth.files import parts, plugin_texts
from synth.files.scoring import scoring
from synth.shapes import messages_of

QUESTION = "パン屋さんは14枚の天板へロールパンを6個ずつ並べ、9個を残してすべて売りました。何個売れましたか？"
HALF_WIDTH = "ﾊﾟﾝ屋さんは１４枚の天板へﾛｰﾙﾊﾟﾝを６個ずつ並べ、９個を残してすべて売りました｡何個売れましたか?"
CODE = "Pythonで`def add(a, b): return a + b`という関数を書きました。この関数を説明し、使用例を示してください。"
OTHER = "List three ways in which a small town could lower the cost of its public library without closing it."


def messages(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def prompt(question, answer):
    return {"prompt": question, "completion": answer}


def conversational(question, answer):
    return {"prompt": [{"role": "user", "content": question}], "completion": [{"role": "assistant", "content": answer}]}


def alpaca(question, answer):
    return {"instruction": question, "input": "", "output": answer}


def sharegpt(question, answer):
    return {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}


SHAPES = [messages, prompt, conversational, alpaca, sharegpt]
ROWS = [
    (QUESTION, "75個です。"),
    (CODE, "足し算です。"),
    (HALF_WIDTH, "75個"),
    (OTHER, "..."),
    (CODE.replace("示して", "見せて"), "和です。"),
]


def written(path: Path, rows) -> Path:
    """The rows as a file of the kind its name says, with columns and types that must survive."""
    rows = [{"番号": n, **row, "meta": {"tags": ["a", "b"], "score": 0.5}} for n, row in enumerate(rows)]
    if path.suffix == ".parquet":
        table = pa.Table.from_pylist(rows).replace_schema_metadata({"note": "ours"})
        pq.write_table(table, path, row_group_size=2)
    else:
        # as somebody else's writer might put it: blanks, escapes, a blank line, no newline at the end
        text = "\n\n".join(json.dumps(row, ensure_ascii=row["番号"] == 0, indent=None) for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def lines(path: Path) -> list[bytes]:
    raw = path.read_bytes()
    return [line for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).split(b"\n") if line]


def removed(out: Path):
    return [json.loads(line) for line in (out / "removed.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["data.jsonl", "data.ndjson.gz", "data.parquet"])
@pytest.mark.parametrize("shape", SHAPES)
def test_twins_are_removed_from_every_shape_and_kind_of_file_and_the_rest_stays_as_it_was(tmp_path, shape, name):
    path, out = written(tmp_path / name, [shape(*row) for row in ROWS]), tmp_path / "out"
    report = parts.sift([path], out, parts.deduping(Dedupe(by="question")), "question")
    assert (report.rows.total(), report.kept.total()) == (5, 3)
    assert report.removed == {"duplicate": 1, "near_duplicate": 1}
    if name.endswith("parquet"):
        before, after = pq.read_table(path), pq.read_table(out / name)
        assert after.equals(before.take([0, 1, 3]), check_metadata=True)
    else:
        assert lines(out / name) == [lines(path)[place] for place in (0, 1, 3)]
    places = [3, 5] if name.endswith("parquet") else [5, 9]
    assert [(one["row"], one["reason"]) for one in removed(out)] == [
        (places[0], "duplicate"),
        (places[1], "near_duplicate"),
    ]
    assert removed(out)[0]["pair"] == {"twin": f"{path}:1", "similarity": 1.0}
    assert removed(out)[0]["columns"]["番号"] == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_reads_as_the_same_conversation(shape):
    turns = messages_of(shape(QUESTION, "75"))
    assert turns is not None
    assert [(turn.role, turn.content) for turn in turns] == [("user", QUESTION), ("assistant", "75")]


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"instruction": "訳して", "input": "Hello", "output": "こんにちは"}, [("user", "訳して\n\nHello"), ("assistant", "こんにちは")]),
        ({"prompt": "どこ？"}, [("user", "どこ？")]),
        ({"instruction": "書いて"}, [("user", "書いて")]),
        ({"prompt": "", "completion": None, "messages": None}, [("user", "")]),
        ({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": [{"type": "text", "text": "絵"}, {"type": "image"}]},
                       {"role": "assistant", "content": None, "tool_calls": []}, {"role": "tool", "content": "{}"}]},
         [("system", "S"), ("user", "絵"), ("assistant", "")]),
    ],
)  # fmt: skip
def test_parts_that_are_missing_or_no_text_are_read_too(row, turns):
    found = messages_of(row)
    assert found is not None
    assert [(turn.role, turn.content) for turn in found] == turns


@pytest.mark.parametrize(
    "row", [{"text": "x"}, {"messages": "x"}, {"conversations": [1]}, {"prompt": 3}, {"instruction": None}, {}]
)
def test_other_shapes_are_not_guessed(row):
    assert messages_of(row) is None


def test_benchmark_items_are_removed_with_their_pair(tmp_path):
    path = written(
        tmp_path / "data.jsonl",
        [messages("次を解いて。\n" + HALF_WIDTH.replace("１４", "２０"), "?"), messages(CODE, "")],
    )
    hits: Counter[str] = Counter()
    benchmarks = Benchmarks([Item("bench", 1, OTHER), Item("bench", 2, QUESTION)])
    report = parts.sift([path], tmp_path / "out", parts.decontaminating(benchmarks, "messages", hits))
    assert report.removed == {"contaminated": 1}
    assert hits == {"bench": 1}
    (one,) = removed(tmp_path / "out")
    assert (one["pair"]["item"], one["pair"]["text"]) == ("bench#2", QUESTION)


def test_rows_are_validated_by_a_recipes_own_words(tmp_path):
    rows = [prompt("数えて", "１、２、３、それから四と五です。"), prompt("数えて", "One, two, three and then the four of them."),
            prompt("数えて", "申し訳ありませんが、そのご質問にはお答えできません。"), prompt("数えて", "三")]  # fmt: skip
    path = written(tmp_path / "data.jsonl", rows)
    checks = plugin_texts.validators_of(["refusal", "{kind: language, language: ja}", "{kind: length, min_chars: 2}"])
    with parts.validating(checks) as judge:
        report = parts.sift([path], None, judge)
    assert report.removed == {"refusal": 1, "wrong_language": 1, "too_short": 1}
    assert [validator.kind for validator in plugin_texts.validators_of([])] == ["finished", "refusal"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("politeness", "there is no kind 'politeness' here; choose one of answer_format, "),
        ("ｌenght", "there is no kind 'ｌenght' here; did you mean 'length'"),
        ("{kind: length, min_char: 5}", "min_char: there is no field 'min_char' here; did you mean 'min_chars'"),
        ("{kind：length}", "'：' is a full-width colon"),
        ("{kind: length, min_chars: many}", "min_chars"),
        ("{kind: language}", "name the language"),
        ("{kind: length", "not YAML"),
        ("[1]", "--check"),
    ],
)
def test_a_check_that_is_none_is_one_clear_sentence(text, words):
    with pytest.raises(RecipeError, match=words) as error:
        plugin_texts.validators_of([text])
    assert "\n" not in str(error.value)


def test_rows_are_scored_and_those_below_what_is_required_removed(tmp_path):
    rows = [
        {**prompt("6×7は？", "答え：４２です"), "正解": "42"},
        {**prompt("6×7は？", "答え：四十一"), "正解": "42"},
        {**prompt("6×7は？", "42"), "正解": ""},
    ]
    path = written(tmp_path / "data.jsonl", rows)
    scorers = plugin_texts.scorers_of(["{kind: exact_answer, reference: 正解}"])
    scores: parts.Scores = {}
    with (
        (tmp_path / "scores.jsonl").open("wb") as notes,
        scoring(scorers, {"exact_answer": 1}, notes, scores) as judge,
    ):
        report = parts.sift([path], tmp_path / "out", judge)
    assert report.removed == {"below_threshold": 1, "no_reference": 1}
    assert scores == {"exact_answer": {1.0: 1, 0.0: 1}}
    assert [json.loads(line)["exact_answer"] for line in lines(tmp_path / "scores.jsonl")] == [1.0, 0.0]
    for asking in ("judge", "{kind: likelihood, teacher: student}", "{kind: reward, teacher: rewards}"):
        with (
            pytest.raises(RecipeError, match="asks a teacher"),
            scoring(plugin_texts.scorers_of([asking]), {}, None, {}),
        ):
            pass
    with pytest.raises(RecipeError, match="no score 'other'"), scoring(scorers, {"other": 1}, None, {}):
        pass


@pytest.mark.parametrize("name", ["data.jsonl", "data.parquet"])
def test_rows_are_dealt_with_their_twins_and_every_row_is_somewhere(tmp_path, name):
    letters = "海山川駅橋森庭島港畑湖谷塔寺村道空雪花石"
    rows = [
        alpaca(f"{a}{b}{a}の{b}{a}{b}を{n}枚、{b}{b}{a}に{a}{a}{b}と並べるには？", str(n))
        for a in letters
        for b in letters
        if a < b
        for n in (2, 3)
    ]
    path = written(tmp_path / name, rows)
    judge, notice = parts.splitting([path], plugin_texts.split_of_text("train=0.7,test=0.3", 0), "question")
    report = parts.sift([path], tmp_path / "out", judge, "question", ["train", "test"])
    assert notice == ""
    assert report.kept.total() == len(rows)
    assert report.kept["train"] > report.kept["test"] > 0
    found = {
        split: [row["instruction"] for piece in pieces(tmp_path / "out" / split / name) for row in piece.rows]
        for split in ("train", "test")
    }
    templates = {
        split: {"".join(c for c in text if not c.isdigit()) for text in texts} for split, texts in found.items()
    }
    assert not templates["train"] & templates["test"]
    assert sorted(found["train"] + found["test"]) == sorted(row["instruction"] for row in rows)
    with pytest.raises(RecipeError, match="add up to 1"):
        plugin_texts.split_of_text("train=0.7", 0)
    with pytest.raises(RecipeError, match="NAME=VALUE"):
        plugin_texts.split_of_text("train", 0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"prompt": "x"}\n{"prompt": \n', r"a.jsonl:2:\d+: not JSON"),
        ("a.jsonl", '{"prompt": "x"}\n\n[1]\n', "a.jsonl:3: a JSON object is expected"),
        (
            "a.jsonl",
            '{"質問": "x", "答え": "y"}\n',
            "a.jsonl:1: its columns are 質問, 答え; one of these shapes is expected: messages",
        ),
        (
            "a.jsonl",
            '{"prompt": "x"}\n{"prompt": "消費税"}\n'.encode("cp932"),
            "a.jsonl:2: byte 13 of the line is not UTF-8; save it as UTF-8",
        ),
        ("a.jsonl", '{"prompt": "消費税"}\n'.encode("utf-16"), "a.jsonl:1: it is UTF-16; save it as UTF-8"),
        ("a.csv", "x", r"a.csv cannot be read: it should end in .jsonl"),
        ("a.json", "[]", "jq -c"),
        ("a.parquet", "x", r"a.parquet cannot be read \(Parquet"),
        ("a.jsonl.gz", "x", "a.jsonl.gz cannot be read"),
        ("missing.jsonl", None, "missing.jsonl cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_its_place_and_nothing_is_written(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecipeError, match=words) as error:
        parts.sift([tmp_path / name], tmp_path / "out", parts.deduping(Dedupe(by="messages")))
    assert "\n" not in str(error.value)
    assert not [path for path in tmp_path.rglob("out/*") if path.is_file()]


def test_a_column_may_be_named_and_a_misspelt_one_is_told(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"本文": "同じ"}\n{"本文": "同じ。"}\n', encoding="utf-8")
    report = parts.sift([path], None, parts.deduping(Dedupe(by="本文")), "本文")
    assert report.removed == {"duplicate": 1}
    with pytest.raises(RecipeError, match="no column 'text'; its columns are 本文"):
        parts.sift([path], None, parts.deduping(Dedupe(by="text")), "text")


def test_an_input_is_never_written_over(tmp_path):
    path = written(tmp_path / "data.jsonl", [prompt("x", "y")])
    before = path.read_bytes()
    with pytest.raises(RecipeError, match="written over"):
        parts.sift([path], tmp_path, parts.deduping(Dedupe()))
    (tmp_path / "other").mkdir()
    twin = written(tmp_path / "other" / "data.jsonl", [prompt("x", "y")])
    with pytest.raises(RecipeError, match=r"2 of the files are called data\.jsonl"):
        parts.sift([path, twin], tmp_path / "out", parts.deduping(Dedupe()))
    assert path.read_bytes() == before


def test_twins_are_found_across_files_and_known_data(tmp_path):
    first, second = (
        written(tmp_path / "a.jsonl", [alpaca(QUESTION, "")]),
        written(tmp_path / "b.parquet", [sharegpt(HALF_WIDTH, ""), sharegpt(OTHER, "")]),
    )
    known = written(tmp_path / "known.jsonl", [messages(OTHER.upper(), "...")])
    judge = parts.deduping(Dedupe(by="question"), [str(known)])
    report = parts.sift([first, second], tmp_path / "out", judge, "question")
    assert report.removed == {"duplicate": 1, "not_novel": 1}
    assert [one["pair"]["twin"] for one in removed(tmp_path / "out")] == [f"{first}:1", f"{known}#1"]


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(prompt(f"{n} " + "長い文" * 200, "はい"), ensure_ascii=False) + "\n" for n in range(6000)
        )
    assert path.stat().st_size > 10_000_000
    tracemalloc.start()
    with parts.validating(plugin_texts.validators_of(["refusal"])) as judge:
        report = parts.sift([path], tmp_path / "out", judge)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.kept.total() == 6000
    assert peak < 9_000_000


def test_the_commands_say_what_they_did_and_fail_with_one_sentence(synth, tmp_path):
    path = written(tmp_path / "data.jsonl", [messages(QUESTION, "75"), messages(HALF_WIDTH, "75"), messages(OTHER, "")])
    finished = synth("dedupe", path, "--by", "question", "--out", "out", "--json")
    assert json.loads(finished.stdout)["removed"] == {"duplicate": 1}
    (tmp_path / "bench.tsv").write_text(f"{QUESTION}\t75\n", encoding="utf-8")
    finished = synth("decontaminate", path, "--against", "bench.tsv", "--field", "1")
    assert "3 rows: 1 kept, 2 removed" in finished.stdout
    assert "bench.tsv: 1 item: 1 found by n-grams" in finished.stdout
    finished = synth("validate", path, "--check", "nonsense")
    assert (finished.returncode, finished.stdout, finished.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("word", ["word ", "語"])
def test_the_mean_of_long_lengths_is_theirs(tmp_path, synth, word):
    written(tmp_path / "data.jsonl", [prompt(f"{place}?", word * 1049) for place in range(3)])
    shown = synth("score", "data.jsonl", "--scorer", "{kind: length}").stdout
    assert "length: mean 1,050 of 3 rows" in shown
