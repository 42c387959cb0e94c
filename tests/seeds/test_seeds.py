"""Seeds: a clear error with its place, or handled; never a wrong row."""

from __future__ import annotations

import json

import pytest

from synth import seeds
from synth.errors import RecipeError
from synth.seeds import rows
from synth.seeds.sources import Csv, Documents, Grid, HuggingFace, Jsonl, Parquet, Text


def read(source, folder, limit=None):
    return [seed.fields for seed in seeds.read(source, folder, limit)]


def jsonl(tmp_path, raw: bytes):
    (tmp_path / "種.jsonl").write_bytes(raw)
    return read(Jsonl(path="種.jsonl"), tmp_path)


def problem(tmp_path, raw: bytes):
    with pytest.raises(RecipeError) as caught:
        jsonl(tmp_path, raw)
    return caught.value.problems[0]


def test_a_bom_crlf_and_empty_lines_are_no_part_of_the_data(tmp_path):
    assert jsonl(tmp_path, b'\xef\xbb\xbf{"q": "a"}\r\n\r\n  \n{"q": "b"}') == [{"q": "a"}, {"q": "b"}]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c"])
def test_unusual_line_separators_inside_strings_do_not_split_a_line(tmp_path, separator):
    text = f"一行目{separator}二行目"
    line = json.dumps({"q": text}, ensure_ascii=separator in "\x0b\x0c").encode()
    assert jsonl(tmp_path, line + b"\n") == [{"q": text}]


def test_bad_utf8_is_named_by_line_and_byte(tmp_path):
    found = problem(tmp_path, b'{"q": "ok"}\n{"q": "\xff"}\n')
    assert found.line == 2
    assert "byte 19" in found.message
    assert "種.jsonl" in found.file


def test_a_seed_file_beside_the_recipe_is_named_as_a_person_would_write_it(tmp_path):
    (tmp_path / "レシピ").mkdir()
    (tmp_path / "種.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read(Jsonl(path="../種.jsonl"), tmp_path / "レシピ")
    assert caught.value.problems[0].file == str(tmp_path / "種.jsonl")
    for source in (Jsonl(path="../無.jsonl"), Text(path="../無*.txt"), Documents(path="../無")):
        with pytest.raises(RecipeError, match=f"{tmp_path}/無"):
            read(source, tmp_path / "レシピ")


def test_a_way_up_from_behind_a_link_is_told_as_it_is(tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "recipe").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "elsewhere" / "seeds.jsonl").write_text('{"q": "答え"}', encoding="utf-8")
    assert read(Jsonl(path="../seeds.jsonl"), tmp_path / "recipe") == [{"q": "答え"}]


def test_utf16_is_named(tmp_path):
    assert "UTF-16" in problem(tmp_path, '{"q": 1}'.encode("utf-16")).message


@pytest.mark.parametrize(
    "line",
    [
        '{"a": {"質問": 1, "質問": 2}}',
        '{"質問": "一", "質問": "二"}',
        '{"質問": "一", "答え": "", "\\u8cea\\u554f": "一"}',
        '{"質問": 1, "質問": "二"}',
    ],
)
def test_duplicate_keys_are_refused_at_any_depth_and_of_texts_alone(tmp_path, line):
    assert "'質問' is given twice" in problem(tmp_path, line.encode()).message


@pytest.mark.parametrize(
    "raw", [b'{"q": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", b'{"q":' * 10_000 + b"1" + b"}" * 10_000]
)
def test_ten_thousand_levels_are_refused(tmp_path, raw):
    assert "nested" in problem(tmp_path, raw).message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"q": NaN}', "NaN"),
        (b'{"q": 1e999}', "too large"),
        (b'{"q": "\\ud800"}', "surrogate"),
        (b'{"\\ud800": "x"}', "surrogate"),
        (b'{"q": [{"\\udfff": "x"}]}', "surrogate"),
        (b'{"q": ' + b"9" * 5000 + b"}", "too long"),
        (b"[1, 2]", "object"),
        (b'"text"', "object"),
        (b'{"q": 1', "not JSON"),
        (b'{"q": 1} {"q": 2}', "not JSON"),
        (b'{"": 1}', "empty name"),
        (b'{"q": "x", "": "y"}', "empty name"),
        (b'{"q": "a\tb"}', "control character"),
        (b'{"q": "\xff"}', "not UTF-8"),
        (b'\xef\xbb\xbf{"q": "x"}', "not JSON"),
    ],
)
def test_other_broken_lines_are_named(tmp_path, raw, words):
    found = problem(tmp_path, b'{"q": "fine"}\n' + raw + b"\n")
    assert words in found.message
    assert found.line == 2


def test_large_integers_stay_exact(tmp_path):
    assert jsonl(tmp_path, b'{"n": 9007199254740993}') == [{"n": 9007199254740993}]


def test_an_empty_or_missing_file_is_an_error(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(RecipeError, match="no seeds"):
        read(Jsonl(path="empty.jsonl"), tmp_path)
    with pytest.raises(RecipeError, match="does not exist"):
        read(Jsonl(path="nonesuch.jsonl"), tmp_path)


def test_gzip_is_read(tmp_path):
    import gzip

    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress('{"q": "圧縮"}\n'.encode()))
    assert read(seeds.source_from_path("a.jsonl.gz"), tmp_path) == [{"q": "圧縮"}]


@pytest.mark.parametrize("damage", ["no gzip", "cut", "corrupt"])
def test_a_damaged_gzip_file_is_one_sentence(tmp_path, damage):
    import gzip

    whole = bytearray(gzip.compress(b"".join(b'{"q": "%d"}\n' % (n * 7919) for n in range(2000)), mtime=0))
    if damage == "corrupt":
        whole[200:240] = b"\xff" * 40
    raw = {"no gzip": b"hello world", "cut": bytes(whole[:-30]), "corrupt": bytes(whole)}[damage]
    (tmp_path / "a.jsonl.gz").write_bytes(raw)
    with pytest.raises(RecipeError, match=r"a\.jsonl\.gz"):
        read(Jsonl(path="a.jsonl.gz"), tmp_path)


def test_a_file_that_may_not_be_read_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"q": 1}')

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(rows, "opened", refuse)
    with pytest.raises(RecipeError, match=r"a\.jsonl cannot be read \(Permission denied\)"):
        read(Jsonl(path="a.jsonl"), tmp_path)


def test_csv_keeps_quoted_newlines_and_drops_the_bom(tmp_path):
    (tmp_path / "a.csv").write_bytes('\ufeff質問,答え\r\n"一行目\n二行目","1,000"\r\n'.encode())
    assert read(Csv(path="a.csv"), tmp_path) == [{"質問": "一行目\n二行目", "答え": "1,000"}]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a,b\n1,2\n3\n", 3, "1 value for 2"),
        ("a,a\n1,2\n", 1, "once"),
        ("a,\n1,2\n", 1, "once"),
        ('a\n"x\n', 2, "not CSV"),
    ],
)
def test_broken_csv_is_named_by_line(tmp_path, text, line, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(RecipeError) as caught:
        read(Csv(path="a.csv"), tmp_path)
    assert caught.value.problems[0].line == line
    assert words in caught.value.problems[0].message


def test_parquet_and_datasets_on_disk(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    datasets = pytest.importorskip("datasets")
    from datetime import date

    table = pyarrow.table({"q": ["日本語", None], "day": [date(2024, 5, 1), None]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read(Parquet(path="a.parquet"), tmp_path) == [{"q": "日本語", "day": "2024-05-01"}, {"q": None, "day": None}]
    datasets.Dataset.from_dict({"q": ["一", "二"]}).save_to_disk(str(tmp_path / "saved"))
    assert read(HuggingFace(path="saved"), tmp_path, 1) == [{"q": "一"}]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(RecipeError, match=r"bad\.parquet"):
        read(Parquet(path="bad.parquet"), tmp_path)


def test_parquet_that_gives_no_rows_of_json_is_refused_with_its_place(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    broken_text = pyarrow.Array.from_buffers(pyarrow.string(), 1, pyarrow.array([b"\xff\xfe"]).buffers())
    tables = {
        "twice": pyarrow.table([pyarrow.array([1]), pyarrow.array([2])], names=["q", "q"]),
        "nameless": pyarrow.table({"": ["a"]}),
        "NaN": pyarrow.table({"q": [1.0, float("nan")]}),
        "utf-8": pyarrow.table({"q": broken_text}),
        "range": pyarrow.table({"q": pyarrow.array([2**62], pyarrow.timestamp("us"))}),
        "bytes": pyarrow.table({"q": [b"x"]}),
    }
    words = {"twice": "name of its own", "nameless": "name of its own", "NaN": "row 2: the field 'q' holds nan"}
    for name, table in tables.items():
        parquet.write_table(table, tmp_path / f"{name}.parquet")
        with pytest.raises(RecipeError, match=f"{name}.parquet.*{words.get(name, name)}"):
            read(Parquet(path=f"{name}.parquet"), tmp_path)
    parquet.write_table(pyarrow.table({"q": ["a"] * 1000}), tmp_path / "page.parquet", compression="none")
    raw = bytearray((tmp_path / "page.parquet").read_bytes())
    raw[4:40] = b"\xff" * 36
    (tmp_path / "page.parquet").write_bytes(raw)
    with pytest.raises(RecipeError, match=r"page\.parquet cannot be read as Parquet"):
        read(Parquet(path="page.parquet"), tmp_path)


def test_the_split_of_a_saved_dataset_is_heeded(tmp_path):
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_dict({"q": ["一", "二"]})
    one.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": one, "test": one.select([1])}).save_to_disk(str(tmp_path / "two"))
    assert read(HuggingFace(path="two", split="test"), tmp_path) == [{"q": "二"}]
    with pytest.raises(RecipeError, match=r"'val'.* has train, test"):
        read(HuggingFace(path="two", split="val"), tmp_path)
    with pytest.raises(RecipeError, match=r"'train\[:1\]'.*leave `split` out"):
        read(HuggingFace(path="one", split="train[:1]"), tmp_path)


def test_a_grid_is_a_product_in_order_and_its_sample_is_seeded(tmp_path):
    assert read(Grid(axes={"a": [1, 2], "b": ["x", "y"]}), tmp_path) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip
    huge = Grid(axes={name: list(range(1000)) for name in "abcd"}, sample=50, seed=1)
    points = read(huge, tmp_path)
    assert len({json.dumps(point) for point in points}) == 50
    assert points == read(huge, tmp_path)
    assert points != read(huge.model_copy(update={"seed": 2}), tmp_path)


def test_text_files_by_file_paragraph_and_line(tmp_path):
    (tmp_path / "一.txt").write_text("段落一\r\n続き\n\n段落二\n", newline="")
    assert [len(read(Text(path="*.txt", by=by), tmp_path)) for by in ("file", "paragraph", "line")] == [1, 2, 3]
    assert read(Text(path="*.txt"), tmp_path)[0]["file"] == "一.txt"


def test_broken_text_is_named_by_line_and_brackets_in_a_given_path_are_no_pattern(tmp_path):
    (tmp_path / "悪[1].txt").write_bytes("一行目\n二".encode() + b"\xff")
    with pytest.raises(RecipeError, match="byte 13 of the file is not UTF-8") as caught:
        read(seeds.source_from_path(str(tmp_path / "悪[1].txt")), tmp_path)
    assert caught.value.problems[0].line == 2
    (tmp_path / "良い.txt").write_text("一", encoding="utf-8")
    assert read(seeds.source_from_path(str(tmp_path / "良*.txt")), tmp_path)[0]["text"] == "一"


def test_a_path_is_understood_by_its_ending():
    assert seeds.source_from_path("a.tsv") == Csv(path="a.tsv", delimiter="\t")
    with pytest.raises(RecipeError, match="jsonl"):
        seeds.source_from_path("a.docx")


def test_each_row_comes_once_for_every_point_of_its_axes_and_rows_at_the_end_move_none(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"q": "一"}\n{"q": "二"}\n', encoding="utf-8")
    source = Jsonl(path="a.jsonl", axes={"文体": ["常体", "敬体"], "most": [60, 200]})
    found = read(source, tmp_path)
    assert len(found) == 8
    assert seeds.describe(source) == "jsonl a.jsonl × 文体 (2) × most (2)"
    assert found[:3] == [
        {"q": "一", "文体": "常体", "most": 60},
        {"q": "一", "文体": "常体", "most": 200},
        {"q": "一", "文体": "敬体", "most": 60},
    ]
    (tmp_path / "a.jsonl").write_text('{"q": "一"}\n{"q": "二"}\n{"q": "三"}\n', encoding="utf-8")
    assert read(source, tmp_path)[:8] == found


def test_an_axis_that_rows_have_a_field_of_is_told(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"文体": "一"}\n', encoding="utf-8")
    with pytest.raises(RecipeError, match="have a field '文体' already"):
        read(Jsonl(path="a.jsonl", axes={"文体": ["常体"]}), tmp_path)
