"""Whether tools were called as the request needs, and whether the answer says what they gave."""

from __future__ import annotations

import pytest

from synth.errors import Rejected
from synth.types import Function, Sample, ToolCall, ToolTurn
from synth.validators.tool_use import ToolUse


def checked(case, calls, answer):
    turns = [ToolTurn(role="user", content="仙台は明日20度を超えますか。")]
    for number, (arguments, result) in enumerate(calls):
        call = ToolCall(id=f"call{number}", function=Function(name="get_weather", arguments=arguments))
        turns += [
            ToolTurn(role="assistant", content="", tool_calls=(call,)),
            ToolTurn(role="tool", content=result, tool_call_id=call.id),
        ]
    turns.append(ToolTurn(role="assistant", content=answer))
    sample = Sample(
        id="0", seed_id="0", parent_id="0", stage="use", draw=0, messages=tuple(turns), fields={"case": case}
    )
    ToolUse(about="case", least={"one": 1, "several": 2, "none": 0}).check(sample)


ONE = ('{"city":"仙台"}', '{"sky":"雨","high_celsius":17.5}')
OTHER = ('{"city":"金沢"}', '{"sky":"晴れ","high_celsius":23}')


@pytest.mark.parametrize(
    ("case", "calls", "answer"),
    [
        ("one", [ONE], "明日の仙台は雨で、17.5度までです。20度は超えません。"),
        ("one", [ONE], "No: it is 17.5 degrees at most."),
        ("several", [ONE, OTHER], "仙台は17.5度、金沢は２３度です。"),
        ("none", [], "申し訳ありませんが、100点の歌は歌えません。"),
    ],
)
def test_what_fits_the_case_and_the_results_passes(case, calls, answer):
    checked(case, calls, answer)


@pytest.mark.parametrize(
    ("case", "calls", "answer", "reason"),
    [
        ("one", [], "たぶん雨です。", "wrong_tool_use: one: 0 calls, at least 1 wanted"),
        ("several", [ONE], "雨です。", "wrong_tool_use: several: 1 call, at least 2 wanted"),
        ("none", [ONE], "雨です。", "wrong_tool_use: none: 1 call, none wanted"),
        ("several", [ONE, ONE], "雨です。", "wrong_tool_use: the same call was made twice"),
        ("other", [], "雨です。", "wrong_tool_use: nothing is said of case 'other'"),
        ("one", [ONE], "明日は18.5度です。", "not_in_passage: '18.5' does not stand in what the tools gave"),
        ("one", [ONE], "It will be 19 degrees.", "not_in_passage: '19'"),
    ],
)
def test_what_does_not_is_refused(case, calls, answer, reason):
    with pytest.raises(Rejected, match=reason):
        checked(case, calls, answer)
