"""Documents as seeds: what is cut where, what is left out, and what a bad one is called."""

from __future__ import annotations

import pytest

import synth
from synth import seeds
from synth.errors import RecipeError
from synth.recipes.loading import Overrides
from synth.seeds.sources import Documents

MARKDOWN = """\
---
title: 図書館
---
# 利用案内

<!-- 下書き -->
開館は9時です。

## 貸し出し

本は12冊まで借りられます。

```text
# 見出しではない
```

### 延長 ###
2回まで延長できます。
"""
PAGE = """\
<html><head><title>農園</title><style>p {}</style></head><body><nav>お知らせ</nav>
<h1>農園のきまり</h1><p>小屋は<ruby>軒<rt>のき</rt></ruby>まで<b>2.6</b>メートル<br>です。</p>
<ul><li>樽は3つ</li><li>ホースは25メートル</li></ul><table><tr><th>月<th>料金<tr><td>4<td>850円</table>
<footer>会の印刷物</footer></body></html>
"""


def read(tmp_path, files, **options):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    source = Documents(path=options.pop("path", "."), **options)
    return [seed.fields for seed in seeds.read(source, tmp_path)]


def test_markdown_is_cut_at_its_headings_and_keeps_where_each_passage_stood(tmp_path):
    first, second, third = read(tmp_path, {"案内.md": MARKDOWN}, min_chars=1)
    assert (first["passage"], first["place"], first["line"]) == ("利用案内\n\n開館は9時です。", "利用案内", 7)
    assert second["passage"] == "貸し出し\n\n本は12冊まで借りられます。\n\n```text\n# 見出しではない\n```"
    assert (third["document"], third["place"]) == ("案内.md", "利用案内 > 貸し出し > 延長")
    assert [one["other"] for one in (first, second, third)] == [second["passage"], third["passage"], second["passage"]]


@pytest.mark.parametrize("joint", ["", "\n", "\n\n"])
def test_every_passage_of_a_long_section_says_the_line_that_it_begins_in(tmp_path, joint):
    sentences = [f"第{number:02d}条の定めは、この文のとおり長々と続いていきます。" for number in range(30)]
    text = "---\ntitle: 規約\n---\n\n# 規約\n\n## 第一章\n" + joint.join(sentences) + "\n"
    found = read(tmp_path, {"規約.md": text}, max_chars=120, min_chars=1)
    assert len(found) > 6
    lines = text.split("\n")
    for one in found:
        begins = one["passage"].removeprefix("第一章\n\n")[:5]
        assert begins in lines[one["line"] - 1], (begins, one["line"])


def test_short_sections_share_a_passage_below_the_headings_that_they_share(tmp_path):
    (whole,) = read(tmp_path, {"案内.md": MARKDOWN})
    assert (whole["place"], whole["other"], whole["other_place"]) == ("利用案内", "", "")


def test_a_page_is_read_without_what_is_no_text_of_it(tmp_path):
    (page,) = read(tmp_path, {"きまり.html": PAGE})
    assert page["passage"] == (
        "農園のきまり\n\n小屋は軒まで2.6メートル\nです。\n\n- 樽は3つ\n- ホースは25メートル\n\n月 | 料金\n4 | 850円"
    )


def test_a_page_is_read_in_the_encoding_that_it_names(tmp_path):
    page = '<meta charset="Shift_JIS"><p>炊飯器の取扱説明書</p>'.encode("cp932")
    assert read(tmp_path, {"a.html": page})[0]["passage"] == "炊飯器の取扱説明書"
    old = "<meta charset={}><p>①時間㈱</p>"
    for name in ("Shift_JIS", "x-sjis"):  # as browsers do, with the signs that only Windows had
        assert read(tmp_path, {"a.html": old.format(name).encode("cp932")})[0]["passage"] == "①時間㈱"
    quoted = "<meta charset=ISO-8859-1><p>“é”</p>".encode("cp1252")
    assert read(tmp_path, {"a.html": quoted})[0]["passage"] == "“é”"
    with pytest.raises(RecipeError, match=r"b.html.*'klingon', is not known"):
        read(tmp_path, {"b.html": b'<meta charset="klingon"><p>x</p>'}, path="b.html")


@pytest.mark.parametrize("reading", ["<rt>のき", "<rp>(<rt>の<rt>き<rp>)", "<rt>のき</rt>"])
def test_a_reading_that_is_not_closed_hides_nothing_after_its_word(tmp_path, reading):
    page = f"<p><ruby>軒{reading}</ruby>の高さです。</p><p>次の段落です。</p>"
    assert read(tmp_path, {"a.html": page})[0]["passage"] == "軒の高さです。\n\n次の段落です。"


@pytest.mark.parametrize("letter", ["か\u3099", "ｶﾞ", "葛\U000e0100"])
def test_a_letter_of_two_signs_is_not_cut_between_them(tmp_path, letter):
    found = [read(tmp_path, {"a.txt": "あ" * before + letter * 120}, max_chars=100, min_chars=10) for before in (0, 1)]
    assert all(one["passage"][0] in "あ" + letter[0] for passages in found for one in passages)


@pytest.mark.parametrize(
    "sentence", ["水は二つの井戸からくみ、樽にためます。", "「何時まで？」と聞く人がいます。", "It takes 3.5 hours. "]
)
def test_a_long_paragraph_is_cut_between_sentences(tmp_path, sentence):
    passages = read(tmp_path, {"a.txt": sentence * 40}, max_chars=100, min_chars=10)
    assert len(passages) > 4
    assert all(len(one["passage"]) <= 100 for one in passages)
    assert all(one["passage"].endswith(sentence.strip()) for one in passages)
    assert "".join(one["passage"].replace(" ", "") for one in passages) == sentence.replace(" ", "") * 40


def test_a_sentence_longer_than_a_passage_is_cut_inside_and_nothing_is_lost(tmp_path):
    text = "とても長い一文で、" * 40 + "終わります。"
    passages = read(tmp_path, {"a.txt": text}, max_chars=100, min_chars=10)
    assert "".join(one["passage"] for one in passages) == text
    assert all(len(one["passage"]) <= 100 for one in passages)


def test_of_a_folder_the_documents_are_read_in_order_and_of_a_pattern_what_fits(tmp_path):
    files = {"b/二.txt": "二つ目です。", "a.md": "一つ目です。", "b/picture.png": b"\x89PNG\0"}
    assert [one["document"] for one in read(tmp_path, files)] == ["a.md", "b/二.txt"]
    assert [one["passage"] for one in read(tmp_path, files, path="b/*.txt")] == ["二つ目です。"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "炊飯器の取扱説明書です。".encode("cp932"), "not UTF-8 but seems to be Shift_JIS; save it as UTF-8"),
        ("a.txt", "炊飯器".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        ("a.txt", "text".encode("utf-16-le"), "it is no text, or UTF-16"),
        ("a.md", b"\x00\x01\x02binary", "it is no text, or UTF-16"),
        ("a.md", b" \n\n", "there is no text in it"),
        ("a.html", b"<script>x</script>", "there is no text in it"),
        ("a.docx", b"PK", "this kind of file is not read"),
    ],
)
def test_a_bad_document_is_told_in_a_sentence(tmp_path, name, content, words):
    with pytest.raises(RecipeError, match=words) as caught:
        read(tmp_path, {name: content}, path=name)
    assert name in str(caught.value)


def test_a_folder_without_documents_is_told_with_what_would_be_read(tmp_path):
    with pytest.raises(RecipeError, match=r"There is no document in .*\.pdf"):
        read(tmp_path, {"picture.png": b"\x89PNG"})


def test_a_pdf_is_read_page_by_page(tmp_path):
    pytest.importorskip("pypdf")
    first, second = read(tmp_path, {"a.pdf": pdf("The hall opens at 9.", "It closes at 19.")}, min_chars=1)
    assert (first["passage"], first["place"]) == ("The hall opens at 9.", "p. 1")
    assert (second["passage"], second["place"]) == ("It closes at 19.", "p. 2")
    with pytest.raises(RecipeError, match=r"b.pdf.*there is no text in it; a scanned one"):
        read(tmp_path, {"b.pdf": pdf("")}, path="b.pdf")
    with pytest.raises(RecipeError, match=r"c.pdf.*cannot be read as PDF"):
        read(tmp_path, {"c.pdf": b"%PDF-1.4 nothing"}, path="c.pdf")


def test_without_its_package_a_pdf_is_told_how_to_be_read(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pypdf", None)
    with pytest.raises(
        RecipeError, match=r"a\.pdf is read with the package pypdf; install it: pip install 'synth\[pdf\]'"
    ):
        read(tmp_path, {"a.pdf": pdf("x")}, path="a.pdf")


def pdf(*pages: str) -> bytes:
    """A document with a line on each page."""
    kids = " ".join(f"{4 + 2 * place} 0 R" for place in range(len(pages)))
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>", font]
    for place, text in enumerate(pages):
        shown = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        resources = "/MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R {resources} /Contents {5 + 2 * place} 0 R >>")
        objects.append(f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream")
    content, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(content))
        content += f"{number} 0 obj\n{one}\nendobj\n".encode()
    table = "".join(f"{at:010d} 00000 n \n" for at in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(content)}\n%%EOF\n"
    return content + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


def test_other_documents_take_the_place_of_the_recipes_own_and_are_cut_as_it_says(tmp_path):
    (tmp_path / "手引き.md").write_text("# 手引き\n\n窓口は三番です。\n", encoding="utf-8")
    loaded = synth.load("prompts/grounded-qa-ja", Overrides(seeds=str(tmp_path)))
    assert loaded.recipe.seeds == Documents(path=str(tmp_path), max_chars=350, min_chars=120)
    (seed,) = seeds.read(loaded.recipe.seeds, loaded.folder)
    assert (seed.fields["document"], seed.fields["passage"]) == ("手引き.md", "手引き\n\n窓口は三番です。")


def test_a_changed_document_is_another_source(tmp_path):
    source = Documents(path="docs")
    assert seeds.sha256(source, tmp_path) is None
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("一", encoding="utf-8")
    before = seeds.sha256(source, tmp_path)
    (tmp_path / "docs" / "a.md").write_text("二", encoding="utf-8")
    assert before not in (None, seeds.sha256(source, tmp_path))
