"""What is said of a teacher that cannot serve: one sentence, whatever the server's own words end with."""

from __future__ import annotations

import pytest

from synth.protocol.endpoint import Endpoint
from synth.protocol.explain import unusable
from synth.types import Outcome

ENDPOINT = Endpoint(model="m", base_url="https://api.example.com/v1", key_variable="KEY")


@pytest.mark.parametrize("mark", ["", ".", "。", "。。"])
@pytest.mark.parametrize("status", [400, 401, 402, 404, 500])
def test_a_servers_own_words_end_no_sentence_in_its_middle_and_each_ends_with_one_full_stop(status, mark):
    said = unusable("main", ENDPOINT, Outcome(status, b""), f"HTTP {status}: できません{mark}")
    assert said.endswith(".")
    assert not said.endswith("..")
    assert f"HTTP {status}: できません" in said
    assert "。" not in said
