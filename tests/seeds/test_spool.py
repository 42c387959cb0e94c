"""Seeds on disk: in order, with the repeated ones told."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tracemalloc

import pytest

from synth.errors import FolderError, RecipeError
from synth.seeds.spool import SeedSpool
from synth.types import Rejection, Seed


def spooled(tmp_path, fields):
    spool = SeedSpool(tmp_path / "seeds.db", (Seed(id=f"{n:04d}", fields=one) for n, one in enumerate(fields)))
    found = list(spool)
    counts = spool.unique, spool.repeated
    spool.close()
    assert not (tmp_path / "seeds.db").exists()
    return found, counts


def test_repeated_seeds_are_told_across_width_and_white_space_but_not_case(tmp_path):
    texts = ["りんごは １２個", "りんごは 12個", "りんごは　12個 ", "リンゴは 12個", "pH", "ph", "12"]
    found, counts = spooled(tmp_path, [{"q": text} for text in texts])
    dropped = {one.id: one.twin_id for one in found if isinstance(one, Rejection)}
    assert dropped == {"0001": "0000", "0002": "0000"}
    assert counts == (5, 2)
    assert [one.fields["q"] for one in found if isinstance(one, Seed)] == [texts[0], *texts[3:]]


@pytest.mark.parametrize("blank", ["  ", "\t", "\n", "\x0b", "\x1c", " \t", "\x85", "\u3000", "\u00a0"])
def test_whatever_the_white_space_a_text_is_the_same(tmp_path, blank):
    twins = [f"a{blank}b", f"{blank}a b", f"a b{blank}"]
    _, counts = spooled(
        tmp_path, [{"q": "a b"}, *({"q": text} for text in twins), *({"q": text, "n": 1} for text in twins)]
    )
    assert counts == (2, 5)


def test_what_is_no_white_space_counts_and_so_do_names(tmp_path):
    _, counts = spooled(tmp_path, [{"q": "a b"}, {"q": "ab"}, {"q": "a\x00b"}, {"q": "a\\tb"}, {" q": "a b"}])
    assert counts == (5, 0)


def test_fields_come_back_as_they_went_in(tmp_path):
    fields = {"n": 2**80, "x": 0.1, "日本語": ["\u2028", None, True, {"a": [1]}], "絵": "🗾"}
    [seed], _ = spooled(tmp_path, [fields])
    assert seed.fields == fields


def test_a_number_is_not_its_text_and_the_order_of_fields_says_nothing(tmp_path):
    found, counts = spooled(tmp_path, [{"q": True}, {"q": "true"}, {"q": 1, "r": 2}, {"r": 2, "q": 1}])
    assert counts == (3, 1)
    assert isinstance(found[3], Rejection)


def test_memory_does_not_grow_with_the_seeds(tmp_path):
    def many():
        for n in range(20_000):
            yield Seed(id=f"{n:08d}", fields={"q": f"{n} " + "長い文" * 50})

    tracemalloc.start()
    spool = SeedSpool(tmp_path / "seeds.db", many())
    count = sum(1 for _ in spool)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    spool.close()
    assert count == 20_000
    assert peak < 4_000_000


def test_a_broken_seed_shows_before_the_first_comes_out_and_leaves_no_file(tmp_path):
    def broken():
        yield Seed(id="0", fields={})
        raise RecipeError("the second is broken")

    with pytest.raises(RecipeError, match="second"):
        SeedSpool(tmp_path / "seeds.db", broken())
    assert not (tmp_path / "seeds.db").exists()


def test_a_full_disk_is_one_sentence_and_leaves_no_file(tmp_path, monkeypatch):
    connect = sqlite3.connect

    class Full(sqlite3.Connection):
        def execute(self, statement, *values):
            if statement.startswith("INSERT"):
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(statement, *values)

    monkeypatch.setattr(sqlite3, "connect", lambda path, **how: connect(path, factory=Full, **how))
    with pytest.raises(FolderError, match=r"seeds\.db could not be written .*full"):
        spooled(tmp_path, [{"q": "一"}])
    assert not (tmp_path / "seeds.db").exists()


CLOSED_UNDERNEATH = """
import itertools, sqlite3, sys, threading, time
from contextlib import suppress
from pathlib import Path
from synth.seeds.spool import SeedSpool
from synth.types import Seed

def read(seeds):
    with suppress(sqlite3.ProgrammingError):
        list(seeds)

for number in range(30):
    many = (Seed(id=str(n), fields={"q": f"質問 {n} " * 20}) for n in range(3000))
    spool = SeedSpool(Path(sys.argv[1]) / "seeds.db", many)
    reading = threading.Thread(target=read, args=(iter(spool),))
    reading.start()
    time.sleep(0.002 * (number % 5))
    spool.close()
    reading.join()
print("whole")
"""


def test_seeds_that_are_closed_while_a_thread_reads_them_do_not_take_the_process_with_them(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_UNDERNEATH, tmp_path], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")
