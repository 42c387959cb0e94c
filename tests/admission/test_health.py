"""How an endpoint fares."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from synth.admission.admission import Admission
from synth.admission.halt import Halt
from synth.admission.health import SILENCE_S, UNASKED_S, Health, Tries
from synth.admission.lane import Place
from synth.errors import Transient
from synth.protocol.endpoint import Endpoint, Limits
from synth.storage.store import Store
from synth.types import Outcome, Usage


@pytest.mark.parametrize(("every_s", "gives_up"), [(2 * SILENCE_S, False), (UNASKED_S / 2, True)])
def test_what_was_not_asked_for_hours_has_not_been_out_of_reach_for_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float, gives_up: bool
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    store = Store(tmp_path)
    admission = Admission(Limits(), lambda: now, Halt().sleep)
    health = Health("m", Endpoint(model="m", base_url="http://127.0.0.1:9/v1"), admission, store)
    failed = Transient("unreachable", "no route")
    while now < 1000.0 + 2 * SILENCE_S + 1:
        lane = admission.lanes[0]
        lane.in_flight += 1
        place = Place(lane, 1, {}, now, 1)
        now += 1.0
        health.heed(place, Outcome(0, error="connect"), "unreachable", failed, Usage(), Tries(0))
        now += every_s
    health.heed(Place(admission.lanes[0], 1, {}, now, 1), Outcome(0), "unreachable", failed, Usage(), Tries(0))
    assert (health.silent_s > SILENCE_S) == gives_up
    store.close()
