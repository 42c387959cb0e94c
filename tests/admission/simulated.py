"""A controller against the bench's simulated endpoints, in virtual time."""

from __future__ import annotations

import importlib.util
import sys
from math import inf
from pathlib import Path
from types import ModuleType

from synth.admission.concurrency import Concurrency


def load_bench() -> ModuleType:
    path = Path(__file__).parents[1] / "bench" / "controller.py"
    spec = importlib.util.spec_from_file_location("bench_controller", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


bench = load_bench()


def ramped(most: int = 500) -> tuple[Concurrency, float]:
    """A controller that has reached `most`, and the time."""
    control, now = Concurrency(most), 0.0
    while control.limit < most:
        now += 0.01
        control.sending(control.allowed())
        control.accepted(now, now - 1, 100, control.sent)
    return control, now


def opened(control: Concurrency, seconds: float, in_flight: int = 0) -> int:
    """How many are on the wire after so long a time in which nothing comes back."""
    now, ends = 1.0, 1.0 + seconds
    while now < ends:
        closed_s = control.closed_s(now) if in_flight < control.allowed() else inf
        if closed_s > 0:
            now += max(0.001, min(closed_s, ends - now))
        else:
            in_flight += 1
            control.sending(in_flight)
    return in_flight


def boundless(_: float) -> int:
    return 10**6
