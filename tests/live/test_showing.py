"""The line on a terminal, in a notebook and elsewhere."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

from synth.live import showing
from synth.live.showing import ProgressLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_line_is_written_anew_on_a_terminal_and_elsewhere_only_trouble_is(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    line = ProgressLine(quiet=False)
    line.show("種 1")
    line.show("種 2")
    line.end("終わり", is_problem=False)
    assert terminal.getvalue() == "\r\x1b[K種 1\r\x1b[K種 2\r\x1b[K終わり\n"
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stderr", plain)
    line = ProgressLine(quiet=False)
    line.show("1")
    line.end("fine", is_problem=False)
    line.end("wrong key", is_problem=True)
    assert plain.getvalue() == "wrong key\n"
    ProgressLine(quiet=True).end("nothing", is_problem=True)
    assert plain.getvalue() == "wrong key\n"


def test_a_notebook_gets_one_output_that_changes(monkeypatch):
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(("update", bundle["text/plain"], raw))

    def display(bundle, *, raw, display_id):
        shown.append(("display", bundle["text/plain"], raw and display_id))
        return Handle()

    monkeypatch.setattr(showing, "_notebook_display", lambda: display)
    line = ProgressLine(quiet=False)
    line.show("一")
    line.show("二")
    line.end("三", is_problem=False)
    assert shown == [("display", "一", True), ("update", "二", True), ("update", "三", True)]


def test_a_terminal_ipython_is_no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: object()))
    assert showing._notebook_display() is None
