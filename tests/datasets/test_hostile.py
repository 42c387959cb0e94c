"""Hostile texts in a card do nothing: rendered in Chromium they run no script, fetch nothing, and break no table."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from synth.datasets.card import card, write_card
from synth.datasets.export import Written
from synth.datasets.metadata import wrong
from synth.datasets.plots import drawn
from synth.language.text import UNSEEN
from synth.report.figures import bars
from synth.types import Message, Sample

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WRITTEN = Written(rows={"train": 18}, files={"train": "data/train.parquet"})
HOSTILE = [
    "<script>document.title='pwned'</script>",
    "<img src=URL onerror=\"document.title='pwned'\">",
    "</code></pre><iframe src=URL></iframe>",
    "![x](URL)",
    "![x][ref]\n\n[ref]: URL",
    "[click](javascript:document.title='pwned')",
    "<URL>",
    "```\n<img src=URL>\n```",
    "````\n```\n~~~\n<img src=URL>",
    "~~~\n<svg onload=\"document.title='pwned'\">",
    "---\nlicense: mit\nconfigs: []\n---",
    "\n---\n",
    "a | b | c\n|---|---|\n| <b>x</b> |",
    "a\\| b \\\\| c",
    "\u202egnp.exe\u202c と \u2066isolate\u2069",
    "＜script＞document.title＝'pwned'＜/script＞ ｜ ｜ ［x］（URL）",
    "<!-- ",
    "]]>--><style>*{display:none}</style>",
    "&lt;script&gt; &#60;img src=URL&#62;",
    "{{ 7 * 7 }} {% raw %} {{ ''.__class__ }}",
    "<link rel=stylesheet href=URL><meta http-equiv=refresh content='0;url=URL'>",
    "$\\href{URL}{x}$ \\(x\\)",
    "\x00\x1b[2J\x07\r<img src=URL>\r",
    "\ud800 半分の文字",
    "1. <details open ontoggle=\"document.title='pwned'\">",
    "    <img src=URL>",
    "> > - ```\n<object data=URL>",
    "# 見出し\n\n## 別の見出し\n" + "=" * 40,
]


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server that nothing may ask: its address, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def hostile_cards(make_manifest: Callable[..., Any], url: str, language: str) -> list[str]:
    """A card for each text, which stands wherever a text of a model's or a server's can stand."""
    cards: list[str] = []
    for text in (one.replace("URL", f"{url}/{number}") for number, one in enumerate(HOSTILE)):
        manifest = make_manifest(language=language, license_id="cc-by-4.0", name=text)
        plain = text.encode("utf-8", "replace").decode()
        (teacher,) = manifest.teachers
        (stage,) = manifest.stages
        manifest = manifest.model_copy(
            update={
                "teachers": (teacher.model_copy(update={"served": (text,), "model": text}),),
                "stages": (stage.model_copy(update={"name": text, "rejected": {text: 1}}),),
                "seeds": manifest.seeds.model_copy(update={"identity": text, "license": text}),
                "scores": {text: {1.0: 3}},
                "mixture": {text: 3},
                "recipe": manifest.recipe.model_copy(update={"prompts": {text: text}, "text": plain}),
            }
        )
        sample = Sample(
            id="1",
            seed_id="1",
            parent_id="1",
            stage="answers",
            draw=0,
            messages=(
                Message(role="user", content=text),
                Message(role="assistant", content=f"答え\n{text}\n", reasoning_content=text),
            ),
            fields={},
        )
        cards.append(card(manifest, WRITTEN, [sample]).encode("utf-8", "replace").decode())
    return cards


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_text_breaks_the_front_matter(make_manifest, language) -> None:
    for text in hostile_cards(make_manifest, "http://127.0.0.1:1", language):
        _, front, body = text.split("---\n", 2)
        header = yaml.safe_load(front)
        assert header["license"] == "cc-by-4.0"
        assert list(wrong(header)) == []
        assert body.startswith("\n# ")
        assert UNSEEN.search(text) is None, "what turns the direction of a line, or is not seen, is shown by its number"


def rendered(text: str) -> str:
    """The body as HTML by a reader that lets all HTML through, which the Hub's does not."""
    markdown: Any = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    reader = markdown.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return reader.render(text.split("---\n", 2)[2])


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_text_becomes_markup_of_the_page(make_manifest, language) -> None:
    usual = rendered(card(make_manifest(language=language, license_id="cc-by-4.0"), WRITTEN))
    for text in hostile_cards(make_manifest, "http://127.0.0.1:1", language):
        page = rendered(text)
        assert page.count("<h1") == usual.count("<h1") == 1
        for tag in (
            "<script",
            "<iframe",
            "<svg",
            "<object",
            "<style",
            "<link",
            "<meta",
            "<details",
            "<!--",
            "<h3",
            "<b>",
        ):
            assert tag not in page, tag
        assert all(one.startswith('<img src="figures/') for one in re.findall("<img[^>]*>", page))
        assert "127.0.0.1" not in "".join(part.split('"')[0] for part in page.split('href="')[1:])
        for line in page.splitlines():
            for row in line.split("<tr>")[1:]:
                assert row.count("<td") in (0, row.count("</td>"))


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_browser_runs_and_fetches_nothing(make_manifest, listener, tmp_path: Path, language) -> None:
    url, asked = listener
    cards = "<hr>".join(rendered(text) for text in hostile_cards(make_manifest, url, language))
    drawing = drawn("".join(HOSTILE).replace("URL", url), bars((one.replace("URL", url), 3) for one in HOSTILE))
    (tmp_path / "plot.svg").write_text(drawing, encoding="utf-8", errors="replace")
    head = '<!doctype html><meta charset="utf-8"><title>inert</title>'
    inline = drawing.encode("utf-8", "replace").decode()
    (tmp_path / "card.html").write_text(head + cards + inline + '<iframe src="plot.svg"></iframe>', encoding="utf-8")
    shown = dumped(tmp_path / "card.html", tmp_path)
    assert "<title>inert</title>" in shown
    assert shown.count("<script") == 0
    assert html.escape("<script>document.title='pwned'</script>", quote=False) in shown
    assert asked == []
    # the same texts without their escapes do what they want, so that silence tells something
    raw = head + "".join(one.encode("utf-8", "replace").decode().replace("URL", url) for one in HOSTILE[:3])
    (tmp_path / "raw.html").write_text(raw, encoding="utf-8")
    assert "<title>pwned</title>" in dumped(tmp_path / "raw.html", tmp_path)
    assert asked


def dumped(page: Path, folder: Path) -> str:
    """The page as Chromium has it after a while."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"),
            *("--disable-background-networking", "--virtual-time-budget=3000", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout


def test_figures_of_an_earlier_export_do_not_stay(make_manifest, tmp_path: Path) -> None:
    (tmp_path / "dataset" / "figures").mkdir(parents=True)
    (tmp_path / "dataset" / "figures" / "score-9.svg").write_text("<svg/>")
    write_card(tmp_path, make_manifest(), WRITTEN)
    names = {path.name for path in (tmp_path / "dataset" / "figures").iterdir()}
    assert names == {"way.svg", "rejected.svg"}


def test_a_figure_names_the_reasons_in_the_language_of_the_card(make_manifest, tmp_path: Path) -> None:
    write_card(tmp_path, make_manifest(language="ja"), WRITTEN)
    assert "不採用の理由" in (tmp_path / "dataset" / "figures" / "rejected.svg").read_text(encoding="utf-8")
