from __future__ import annotations

import gc
import importlib
import pkgutil
import re

import pytest

import synth
from synth import patterns
from synth.patterns import Lazy, lazy

TEXT = "りんご 3 個と apple 12 個"
CALLS = {
    "search": (TEXT,),
    "match": (TEXT, 4),
    "fullmatch": ("34",),
    "split": (TEXT, 1),
    "findall": (TEXT,),
    "finditer": (TEXT,),
    "sub": ("0", TEXT),
    "subn": (lambda found: f"<{found[0]}>", TEXT),
}


def told(value):
    """What a method returned, matches as where they are and what they hold."""
    if isinstance(value, re.Match):
        return value.span(), value[0]
    return value if isinstance(value, str | list | tuple) else [told(one) for one in value]


@pytest.mark.parametrize("method", patterns.METHODS)
def test_a_lazy_pattern_answers_the_first_and_every_later_call_as_a_compiled_one(method):
    one, other = lazy(r"\d+"), re.compile(r"\d+")
    for _ in range(2):
        assert told(getattr(one, method)(*CALLS[method])) == told(getattr(other, method)(*CALLS[method]))


def test_arguments_by_name_and_flags_and_bytes_are_heeded():
    assert lazy("A").sub("b", string="aA", count=1) == "ab"
    assert lazy("A", re.IGNORECASE).sub("b", string="aA", count=1) == "bA"
    assert lazy(rb"\d").findall(b"a1") == [b"1"]


def test_a_pattern_is_compiled_once_and_not_before_it_is_used(monkeypatch):
    compiled = []
    compiling = re.compile
    monkeypatch.setattr(re, "compile", lambda *told: compiled.append(told) or compiling(*told))
    one = lazy("[か-こ]+")
    assert one.pattern == "[か-こ]+"
    assert compiled == []
    assert [bool(one.search(text)) for text in ("きく", "aiu")] == [True, False]
    assert one.sub("", "きく") == ""
    assert compiled == [("[か-こ]+", 0)]


def modules():
    found = [one.name for one in pkgutil.walk_packages(synth.__path__, "synth.") if not one.name.endswith("__main__")]
    return [importlib.import_module(name) for name in found]


def test_every_pattern_of_synth_can_be_compiled():
    assert len(modules()) > 300
    every = [one for one in gc.get_objects() if isinstance(one, Lazy)]
    assert len(every) > 300
    for one in every:
        re.compile(one.pattern, one.flags)
