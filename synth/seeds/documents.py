"""The user's own documents as seeds: Markdown, text, HTML and PDF, cut into passages that keep where they stood.

A passage ends where a section does, else between paragraphs, else between sentences, in Japanese as in English; only a
sentence longer than a whole passage is cut inside.
"""

from __future__ import annotations

import codecs
import glob
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from synth.errors import Problem, RecipeError
from synth.patterns import lazy
from synth.seeds.sources import Documents, below
from synth.types import Fields

MARKDOWN, PLAIN, HTML, PDF = (".md", ".markdown"), (".txt", ".text"), (".html", ".htm", ".xhtml"), (".pdf",)
ENDINGS = (*MARKDOWN, *PLAIN, *HTML, *PDF)
OTHER_ENCODINGS = {"cp932": "Shift_JIS", "euc_jp": "EUC-JP"}
NAMED = {
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j"), "cp932"),
    **dict.fromkeys(("iso-8859-1", "latin1", "us-ascii", "ascii"), "cp1252"),
}
"""What a page's encoding is where it names an older one: that browsers read it so is why pages name it."""
MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
DECLARED = lazy(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
LOOKED_AT = 4096
"""Bytes at the beginning of a page in which it says its encoding, and of any file in which a zero means no text."""
SENTENCE = lazy(r"[^。．！？!?\n]+?(?:[。．！？!?]+[」』）)”\"]*|(?<=[.])(?=\s)|\n|$)|[。．！？!?\n]+", re.DOTALL)
FRONT_MATTER = lazy(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
COMMENT = lazy(r"<!--.*?-->", re.DOTALL)
HEADING = lazy(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*$")
UNDERLINE = lazy(r"^ {0,3}(=+|-{2,})[ \t]*$")
FENCE = lazy(r"^ {0,3}(`{3,}|~{3,})")
BLANKS = lazy(r"[ \t\r\f\v\u00a0]+")
PAGE = lazy(r"p\. \d+$")
BETWEEN = "\n\n"


class Block(NamedTuple):
    """A paragraph, with the headings above it and the line that it begins in."""

    text: str
    headings: tuple[str, ...] = ()
    line: int = 1
    above: int = 0
    """How many line ends of the text belong to the heading that was put before it."""


def files_of(source: Documents, folder: Path) -> list[Path]:
    """The documents of a source in their order; of a folder those whose endings are known.

    Raises RecipeError when there is none.
    """
    path = folder / source.path
    if path.is_dir():
        found = [one for one in sorted(path.rglob("*")) if one.is_file() and one.suffix.lower() in ENDINGS]
    elif path.is_file():
        found = [path]
    else:
        names = sorted(glob.glob(source.path, root_dir=folder, recursive=True))  # noqa: PTH207 (takes absolute ones too)
        found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise RecipeError(
            f"There is no document in {below(folder, source.path).absolute()}: name a folder, a file or a pattern, and "
            f"files that end in {', '.join(ENDINGS)}."
        )
    return found


def passages(source: Documents, folder: Path) -> Iterator[Fields]:
    """The passages of all documents. Raises RecipeError with the file that cannot be read as a document."""
    root = folder / source.path if (folder / source.path).is_dir() else folder
    for path in files_of(source, folder):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        found = _passages(list(_blocks(path)), source.max_chars, source.min_chars)
        if not found:
            raise RecipeError(Problem(_empty(path), str(path)))
        for number, one in enumerate(found):
            beside = found[number + 1] if number + 1 < len(found) else found[number - 1] if number else Block("")
            yield {
                "passage": one.text,
                "document": name,
                "place": _place(one),
                "line": one.line,
                "other": beside.text,
                "other_place": _place(beside),
            }


def _empty(path: Path) -> str:
    more = "; a scanned one must be read by character recognition first" if path.suffix.lower() in PDF else ""
    return f"there is no text in it{more}; take it out of the folder"


def _place(block: Block) -> str:
    return " > ".join(block.headings)


def _blocks(path: Path) -> Iterator[Block]:
    ending = path.suffix.lower()
    if ending in PDF:
        return _pdf(path)
    if ending not in ENDINGS:
        raise RecipeError(Problem(f"this kind of file is not read; it should end in {', '.join(ENDINGS)}", str(path)))
    text = _decoded(path.read_bytes(), path, declares=ending in HTML)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    reader: Callable[[str], Iterator[Block]] = _markdown if ending in MARKDOWN else _html if ending in HTML else _plain
    return reader(text)


def _decoded(raw: bytes, path: Path, *, declares: bool) -> str:
    """The text of a file: UTF-8, or what a page says that it is. Raises RecipeError with what it seems to be."""
    if mark := next((name for sign, name in MARKS.items() if raw.startswith(sign)), ""):
        raise RecipeError(Problem(f"it is {mark}; save it as UTF-8", str(path), 1))
    if b"\0" in raw[:LOOKED_AT]:
        message = "it is no text, or UTF-16; save it as UTF-8, or take it out of the folder"
        raise RecipeError(Problem(message, str(path)))
    found = DECLARED.search(raw[:LOOKED_AT]) if declares else None
    named = found[1].decode() if found else "utf-8"
    encoding = NAMED.get(named.lower(), named)
    try:
        return raw.decode("utf-8-sig" if encoding.lower() == "utf-8" else encoding)
    except LookupError:
        raise RecipeError(Problem(f"its encoding, {encoding!r}, is not known; save it as UTF-8", str(path))) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
    seems = next((title for name, title in OTHER_ENCODINGS.items() if _reads_as(raw, name)), "")
    message = f"it is not UTF-8{f' but seems to be {seems}' if seems else ''}; save it as UTF-8"
    raise RecipeError(Problem(message, str(path), line))


def _reads_as(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _plain(text: str) -> Iterator[Block]:
    line = 1
    for part in re.split(r"(\n[ \t\u3000]*\n\s*)", text):
        if part.strip():
            before = len(part) - len(part.lstrip("\n"))
            yield Block(part.strip("\n").rstrip(), (), line + before)
        line += part.count("\n")


def _markdown(text: str) -> Iterator[Block]:
    """Paragraphs with the headings above them; a code fence is one, front matter and comments are left out."""
    kept = FRONT_MATTER.sub(lambda found: "\n" * found[0].count("\n"), text, count=1)
    kept = COMMENT.sub(lambda found: "\n" * found[0].count("\n"), kept)
    headings: list[tuple[int, str]] = []
    lines: list[str] = []
    start, fence = 1, ""

    def block() -> Iterator[Block]:
        if "".join(lines).strip():
            yield Block("\n".join(lines).strip("\n"), tuple(title for _, title in headings), start)
        lines.clear()

    for number, line in enumerate(kept.split("\n"), 1):
        mark = FENCE.match(line)
        if fence or mark:
            start = start if lines else number
            lines.append(line)
            if fence and mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            elif not fence and mark:
                fence = mark[1]
        elif title := HEADING.match(line):
            yield from block()
            _under(headings, len(title[1]), title[2])
        elif len(lines) == 1 and (under := UNDERLINE.match(line)):
            title_text = lines.pop().strip()
            _under(headings, 1 if under[1][0] == "=" else 2, title_text)
        elif not line.strip():
            yield from block()
        else:
            start = start if lines else number
            lines.append(line.rstrip())
    yield from block()


def _under(headings: list[tuple[int, str]], level: int, title: str) -> None:
    """Put a heading below those of a higher level, in place of the others."""
    headings[:] = [*(one for one in headings if one[0] < level), (level, title.strip())]


class _Page(HTMLParser):
    """Gathers paragraphs of a page, without what is no text of it."""

    LEFT_OUT = frozenset({"script", "style", "nav", "footer", "aside", "template", "noscript", "title", "svg"})
    INLINE = frozenset(
        {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "dfn", "em", "font", "i", "kbd", "label", "mark", "q"}
        | {"ruby", "rb", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr"}
    )

    READINGS = frozenset({"rt", "rp", "rtc"})
    """Above a word: pages may leave out where one ends, and then it does with the next one or with the word."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._headings: list[tuple[int, str]] = []
        self._level = 0
        self._skipped = 0
        self._in_reading = False
        self._verbatim = 0
        self._text: list[str] = []
        self._line = 1
        self._part, self._last_part = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 (the parser's shape)
        if tag in self.READINGS:
            self._in_reading = True
        elif tag in self.LEFT_OUT:
            self._skipped += 1
        elif tag == "br":
            self._text.append("\n")
        elif tag in ("td", "th") and "".join(self._text).strip():
            self._text.append(" | ")
        elif tag not in self.INLINE and tag not in ("td", "th"):
            self.end_block()
            self._level = int(tag[1]) if re.fullmatch(r"h[1-6]", tag) else 0
            self._verbatim += tag == "pre"
            self._part = tag if tag in ("li", "tr") else ""
            if tag == "li":
                self._text.append("- ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.READINGS or tag == "ruby":
            self._in_reading = False
        elif tag in self.LEFT_OUT:
            self._skipped = max(0, self._skipped - 1)
        elif tag not in self.INLINE and tag not in ("td", "th", "br"):
            self.end_block()
            self._level = 0
            self._verbatim = max(0, self._verbatim - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._skipped or self._in_reading:
            return
        if not "".join(self._text).strip(" -") and data.strip():
            self._line = self.getpos()[0]
        self._text.append(data if self._verbatim else re.sub(r"\s+", " ", data))

    def end_block(self) -> None:
        """Keep what was gathered as a heading or a paragraph."""
        text = "".join(self._text)
        lines = (line if self._verbatim else BLANKS.sub(" ", line).strip() for line in text.split("\n"))
        text = "\n".join(lines).strip("\n")
        self._text.clear()
        if not text.strip(" -\n"):
            return
        headings, last = tuple(title for _, title in self._headings), self._last_part
        self._last_part = self._part
        if self._level:
            _under(self._headings, self._level, text)
        elif self._part and self._part == last and self.blocks[-1].headings == headings:
            self.blocks[-1] = self.blocks[-1]._replace(text=f"{self.blocks[-1].text}\n{text}")  # one list, one table
        else:
            self.blocks.append(Block(text, headings, self._line))


def _html(text: str) -> Iterator[Block]:
    page = _Page()
    page.feed(text)
    page.close()
    page.end_block()
    yield from page.blocks


def _pdf(path: Path) -> Iterator[Block]:
    try:
        pypdf: Any = import_module("pypdf")
    except ModuleNotFoundError:
        raise RecipeError(f"{path} is read with the package pypdf; install it: pip install 'synth[pdf]'") from None
    failures: Any = (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError, AttributeError, OSError)
    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise RecipeError(Problem("it is locked with a password; unlock it first", str(path)))
        for number, page in enumerate(reader.pages, 1):
            for block in _plain(str(page.extract_text() or "")):
                yield Block(block.text, (f"p. {number}",), block.line)
    except failures as error:
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(Problem(f"it cannot be read as PDF ({reason})", str(path))) from None


def _passages(blocks: Sequence[Block], most: int, least: int) -> list[Block]:
    """Blocks put together into passages of at most `most` characters, none shorter than `least` where it can be."""
    found: list[Block] = []
    open_: Block | None = None
    for block in (piece for one in _titled(blocks) for piece in _pieces(one, most)):
        if open_ is None:
            open_ = block
            continue
        together = len(open_.text) + len(BETWEEN) + len(block.text)
        ends = block.headings != open_.headings and len(open_.text) >= least
        if ends or together > most:
            found.append(open_)
            open_ = block
        else:
            open_ = _joined(open_, block)
    if open_ is None:
        return found
    if found and len(open_.text) < least and len(found[-1].text) + len(BETWEEN) + len(open_.text) <= most:
        return [*found[:-1], _joined(found[-1], open_)]
    return [*found, open_]


def _joined(one: Block, other: Block) -> Block:
    """Two neighbours as one, below the headings that they share; where they share none, those of the first."""
    shared = [title for title, same in zip(one.headings, other.headings, strict=False) if title == same]
    return Block(f"{one.text}{BETWEEN}{other.text}", tuple(shared) or one.headings, one.line)


def _titled(blocks: Sequence[Block]) -> Iterator[Block]:
    """Blocks of which the first below each heading begins with it, so that a passage says what it is about."""
    before: tuple[str, ...] = ()
    for block in blocks:
        is_page = bool(PAGE.match("".join(block.headings)))
        new = block.headings[-1:] if block.headings != before and not is_page else ()
        before = block.headings
        text = BETWEEN.join([*new, block.text])
        yield block._replace(text=text, above=len(BETWEEN) if new else 0)


def _pieces(block: Block, most: int) -> Iterator[Block]:
    """A block in pieces of at most `most` characters that end with a sentence where there is one."""
    if len(block.text) <= most:
        yield block
        return
    text, line = "", block.line - block.above
    for sentence in _sentences(block.text, most):
        if text and len(text) + len(sentence) > most:
            yield _piece(block, text, line)
            line += text.count("\n")
            text = ""
        text += sentence
    if text.strip():
        yield _piece(block, text, line)


def _piece(block: Block, text: str, line: int) -> Block:
    """A part of a block that begins in this line, or where its first words do."""
    blank = text[: len(text) - len(text.lstrip())].count("\n")
    return Block(text.strip(), block.headings, max(block.line, line + blank))


def _sentences(text: str, most: int) -> Iterator[str]:
    """The sentences of a text, whole and with what stands between them; one that is too long in parts."""
    for match in SENTENCE.finditer(text):
        rest = match[0]
        while len(rest) > most:
            cut = max(rest.rfind(sign, most // 2, most) for sign in " 、，,") + 1 or most
            while cut > 1 and _continues(rest[cut]):
                cut -= 1
            yield rest[:cut]
            rest = rest[cut:]
        yield rest


def _continues(letter: str) -> bool:
    """Whether it belongs to the letter before it: an accent, a voicing mark, the variant of a kanji."""
    return letter in "ﾞﾟ\u200d" or unicodedata.category(letter).startswith("M")
