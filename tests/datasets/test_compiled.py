"""Templates of synth's own are compiled once, and anew when anything about them has changed."""

from __future__ import annotations

import py_compile
import sys
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from synth.datasets.compiled import Compiled


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of templates, whose compiled code goes elsewhere."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "kept"))
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.md.j2").write_text("{{ 名前 }}さん<{{ 2 | twice }}>", encoding="utf-8")
    return tmp_path / "templates"


def rendered(folder: Path, compiling: list[str], **options) -> str:
    """What the template gives in a process that has not seen it; notes what was compiled."""

    class Watched(Environment):
        def compile(self, source, name=None, *rest, **named):
            compiling.append(name)
            return super().compile(source, name, *rest, **named)

    environment = Watched(loader=FileSystemLoader(folder), bytecode_cache=Compiled(), **options)
    environment.filters["twice"] = lambda value: 2 * value
    return environment.get_template("page.md.j2").render(名前="<花子>")


def test_a_template_is_compiled_once(folder):
    compiling: list[str] = []
    assert [rendered(folder, compiling) for _ in range(3)] == ["<花子>さん<4>"] * 3
    assert compiling == ["page.md.j2"]


def test_it_does_not_displace_the_compiled_code_of_a_module_of_that_name(folder):
    (folder / "page.css").write_text("{{ 名前 }}", encoding="utf-8")
    (folder / "page.py").write_text("", encoding="utf-8")
    module = Path(py_compile.compile(str(folder / "page.py"), doraise=True))
    before = module.read_bytes()
    environment = Environment(loader=FileSystemLoader(folder), bytecode_cache=Compiled())
    environment.get_template("page.css").render(名前="花子")
    assert module.read_bytes() == before


def test_it_is_compiled_anew_when_it_or_how_it_is_read_has_changed(folder):
    compiling: list[str] = []
    rendered(folder, compiling)
    assert rendered(folder, compiling, autoescape=True) == "&lt;花子&gt;さん<4>"
    assert rendered(folder, compiling, autoescape=lambda name: name.endswith(".md.j2")) == "&lt;花子&gt;さん<4>"
    (folder / "page.md.j2").write_text("{{ 名前 }}様", encoding="utf-8")
    assert rendered(folder, compiling) == "<花子>様"
    assert compiling == ["page.md.j2"] * 3  # whether it escapes is told by the answer, not by who gives it


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"no code at all"])
def test_what_is_damaged_is_made_anew(folder, tmp_path, content):
    compiling: list[str] = []
    rendered(folder, compiling)
    (kept,) = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    kept.write_bytes(content)
    assert [rendered(folder, compiling) for _ in range(2)] == ["<花子>さん<4>"] * 2
    assert compiling == ["page.md.j2"] * 2


def test_where_nothing_can_be_kept_it_is_compiled_each_time(folder, tmp_path, monkeypatch):
    (tmp_path / "kept").write_text("a file where the folder would be")
    compiling: list[str] = []
    assert rendered(folder, compiling) == "<花子>さん<4>"
    (tmp_path / "kept").unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered(folder, compiling) == "<花子>さん<4>"
    assert compiling == ["page.md.j2"] * 2
    assert not (tmp_path / "kept").exists()
