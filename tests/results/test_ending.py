"""What is said at the end of a run."""

from __future__ import annotations

import pytest

from synth.results.ending import parked_for


@pytest.mark.parametrize(
    ("parked", "poison", "said"),
    [
        (1, 0, "1 sample got no usable reply: parked, to be asked for once more when you run again."),
        (2, 2, "2 samples failed in the same way each time: parked, until `synth retry` asks again."),
        (
            7,
            3,
            "7 samples got no usable reply: parked, to be asked for once more when you run again, but for 3 that failed in "
            "the same way each time: `synth retry`.",
        ),
    ],
)
def test_who_is_asked_again_by_what_is_said_of_parked_samples(parked, poison, said):
    assert parked_for(parked, poison) == said
