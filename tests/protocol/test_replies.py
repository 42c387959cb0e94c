"""What came back gets one name, and the name decides what happens."""

from __future__ import annotations

import json

import pytest

from synth.admission.rate_headers import duration_s, retry_after_s
from synth.errors import Fatal, Rejected, Transient
from synth.protocol.fates import FATES
from synth.protocol.replies import read, usage_of
from synth.protocol.thoughts import MARKS
from synth.types import Outcome


def said(content, finish="stop", **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}
    return json.dumps(
        {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}
    ).encode()


def error(message, code=None, kind=None, **more):
    return json.dumps({"error": {"message": message, "code": code, "type": kind, **more}}).encode()


def name_of(outcome: Outcome) -> str:
    try:
        read(outcome)
    except Transient as failure:
        return failure.failure
    except Rejected as failure:
        return failure.reason
    except Fatal:
        return "fatal"
    return "ok"


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (200, said("答え: 12"), "ok"),
        (200, said("cut", "length"), "ok"),
        (200, said("", "length"), "truncated_empty"),
        (200, said(""), "malformed"),
        (200, said("no", "content_filter"), "teacher_refused"),
        (429, error("Rate limit reached", "rate_limit_exceeded"), "rate"),
        (429, error("You exceeded your current quota", "insufficient_quota"), "fatal"),
        (402, error("Insufficient credits"), "fatal"),
        (402, error("Payment required", 402, metadata={"error_type": "in_flight_budget_exhausted"}), "rate"),
        (402, error("Payment required", 402, metadata={"limit_source": "openrouter_in_flight_budget"}), "rate"),
        (402, error("Payment required", 402, metadata={"error_type": "weight_exceeds_budget"}), "permanent"),
        (429, error("Resource Unavailable", "resource_unavailable"), "capacity"),
        (401, error("Incorrect API key", "invalid_api_key"), "fatal"),
        (403, error("forbidden"), "fatal"),
        (404, error("The model `x` does not exist", "model_not_found"), "fatal"),
        (404, b"page not found", "fatal"),
        (301, b"", "fatal"),
        (400, error("Model Not Exist", "invalid_request_error"), "fatal"),
        (400, error("nope is not a valid model ID", 400), "fatal"),
        (400, error("Invalid model: nope", "1500", "invalid_model"), "fatal"),
        (400, error("models/nope is not found for API version v1beta"), "fatal"),
        (422, error("unknown model nope"), "fatal"),
        (400, error("API key not valid. Please pass a valid API key."), "fatal"),
        (400, error("Incorrect API key provided: xa***. You can obtain one from the console."), "fatal"),
        (400, error("No connected db.", "400", "no_db_connection"), "fatal"),
        (405, b"Method Not Allowed", "fatal"),
        (501, b"<html>Unsupported method ('POST')</html>", "fatal"),
        (400, b"The plain HTTP request was sent to HTTPS port", "fatal"),
        (400, b"Client sent an HTTP request to an HTTPS server.", "fatal"),
        (400, error("This model's maximum context length is 8192 tokens. The image was not found"), "permanent"),
        (422, error("input: " + "x" * 400 + " invalid API key"), "permanent"),
        (400, error("モデルの出力に使えない文字があります"), "permanent"),
        (400, error("prompt flagged", "content_filter"), "teacher_refused"),
        (400, error("max_tokens is too large", None), "permanent"),
        (413, error("too large"), "permanent"),
        (422, error("unprocessable"), "permanent"),
        (408, b"", "transient"),
        (409, b"", "transient"),
        (500, error("oops"), "transient"),
        (500, b"<html>bad gateway</html>", "transient"),
        (502, b"", "transient"),
        (503, error("The engine is overloaded"), "capacity"),
        (529, error("overloaded_error"), "capacity"),
    ],
)
def test_a_reply_is_named(status, body, name):
    found = name_of(Outcome(status, body))
    assert found == name
    assert found == "ok" or found in FATES


@pytest.mark.parametrize(("written", "name"), [(True, "ambiguous"), (False, "unreachable")])
def test_a_broken_transport_is_named_by_whether_the_request_was_written(written, name):
    assert name_of(Outcome(0, error="reset", written=written)) == name


def test_the_text_the_reasoning_and_the_usage_are_read():
    completion = read(Outcome(200, said("答え", reasoning_content="考え中")))
    assert (completion.text, completion.reasoning, completion.finish_reason) == ("答え", "考え中", "stop")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (3, 5)


def test_who_served_a_reply_is_read_where_an_endpoint_passes_requests_on():
    assert read(Outcome(200, said("答え"))).provider == ""
    assert read(Outcome(200, said("答え").replace(b"{", b'{"provider": "DeepInfra", ', 1))).provider == "DeepInfra"


THOUGHT = "まず足す。\n1 + 1 = 2"


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        (f"<think>\n{THOUGHT}\n</think>\n\n答え: 2", "答え: 2", THOUGHT),
        (f"\n <think>{THOUGHT}</think>答え: 2", "答え: 2", THOUGHT),
        ("<think>\n\n</think>\n\n答え: 2", "答え: 2", None),
        ("<think>a</think>b</think>c", "b</think>c", "a"),
        (f"<think>\n\n</think>\n\n<think>{THOUGHT}</think>答え: 2", "答え: 2", THOUGHT),
        ("<think></think>" * 3 + "答え: 2", "答え: 2", None),
        ("Write `<think>` before you think, then </think>.", "Write `<think>` before you think, then </think>.", None),
        ("<thinking>a</thinking>b", "<thinking>a</thinking>b", None),
    ],
)
def test_reasoning_at_the_start_of_the_content_is_split_off(content, text, reasoning):
    completion = read(Outcome(200, said(content, reasoning_content=None, reasoning="")))
    assert (completion.text, completion.reasoning) == (text, reasoning)


def test_content_stays_whole_where_the_server_tells_the_reasoning_apart():
    for field in ("reasoning", "reasoning_content"):
        completion = read(Outcome(200, said("<think>a</think>b", **{field: "考え"})))
        assert (completion.text, completion.reasoning) == ("<think>a</think>b", "考え")


@pytest.mark.parametrize(("finish", "name"), [("length", "truncated_empty"), ("stop", "malformed")])
def test_reasoning_that_never_ends_is_no_answer(finish, name):
    assert name_of(Outcome(200, said(f"<think>{THOUGHT}", finish))) == name
    assert name_of(Outcome(200, said(f"<think>{THOUGHT}</think>\n", finish))) == name


PARTS = [
    ([{"type": "thinking", "thinking": [{"type": "text", "text": "考"}, {"type": "text", "text": "え"}]}], "考え"),
    ([{"type": "thinking", "thinking": "考え", "signature": "c2ln"}], "考え"),
    ([{"type": "text", "text": "考え", "thought": True}], "考え"),
    ([{"text": "考え", "thought": True}], "考え"),
    ([{"type": "redacted_thinking", "data": "c2ln"}], None),
]


@pytest.mark.parametrize(("parts", "reasoning"), PARTS)
def test_thoughts_among_the_parts_of_the_content_are_no_part_of_the_answer(parts, reasoning):
    completion = read(Outcome(200, said([*parts, {"type": "text", "text": "答え"}, {"text": "です。"}])))
    assert (completion.text, completion.reasoning) == ("答えです。", reasoning)
    assert "c2ln" not in repr(completion)


@pytest.mark.parametrize(
    ("details", "reasoning"),
    [
        ([{"type": "reasoning.text", "text": "考え", "signature": "c2ln"}, {"type": "reasoning.text", "text": "中"}], "考え中"),
        ([{"type": "reasoning.summary", "summary": "要約"}], "要約"),
        ([{"type": "reasoning.encrypted", "data": "c2ln"}], None),
    ],
)  # fmt: skip
def test_details_of_the_reasoning_are_read_but_for_what_is_encrypted(details, reasoning):
    completion = read(Outcome(200, said("答え", reasoning_details=details)))
    assert (completion.text, completion.reasoning) == ("答え", reasoning)


@pytest.mark.parametrize("mark", [*MARKS])
def test_each_family_has_marks_of_its_own(mark):
    completion = read(Outcome(200, said(f"{mark}\n{THOUGHT}\n{MARKS[mark]}答え: 2")))
    assert (completion.text, completion.reasoning) == ("答え: 2", THOUGHT)


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("Provide it briefly.</think>391", "391", "Provide it briefly."),
        ("足して二になる。</think>\n\n答え: 2", "答え: 2", "足して二になる。"),
        ("1 + 1 = 2\n</think>\n\n答え: 2", "答え: 2", "1 + 1 = 2"),
        ("The tag </think> ends it.", "The tag </think> ends it.", None),
        *(
            (about, about, None)
            for about in (
                "The tag `</think>` ends it.",
                "推論の終わりは`</think>`で示します。",
                "```html\n</think>\n```\nこの行が終わりの印です。",
                '{"answer": "2+2=4.</think>4"}',
            )
        ),
        ("終わりには</think>と書きます。", "終わりには</think>と書きます。", None),
        ("First `<think>`. Then </think>.", "First `<think>`. Then </think>.", None),
    ],
)
def test_reasoning_whose_opening_stood_in_the_prompt_ends_behind_a_sentence(content, text, reasoning):
    completion = read(Outcome(200, said(content)))
    assert (completion.text, completion.reasoning) == (text, reasoning)


@pytest.mark.parametrize(("finish", "name"), [("length", "truncated_empty"), ("stop", "malformed")])
def test_thoughts_without_an_answer_are_none(finish, name):
    assert name_of(Outcome(200, said([{"type": "thinking", "thinking": "考え"}], finish))) == name
    assert name_of(Outcome(200, said(None, finish, reasoning="考え"))) == name


@pytest.mark.parametrize(
    ("told", "reasoning"),
    [(None, None), ([], None), ([1, None], None), ({"a": 1}, None), ([{"type": "text", "text": "考え"}], "考え")],
)
def test_reasoning_of_another_shape_does_no_harm(told, reasoning):
    assert read(Outcome(200, said("答え", reasoning=told))).reasoning == reasoning


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -1}, {"prompt_tokens": "9"}, {"prompt_tokens": 1e12}, None, [], {"prompt_tokens": True}]
)
def test_unbelievable_usage_counts_as_unknown(usage):
    assert usage_of(Outcome(200, json.dumps({"usage": usage}).encode())).prompt_tokens is None


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, b"", 7),
        ({"retry-after-ms": "250"}, b"", 0.25),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:30 GMT", "date": "Tue, 24 Nov 2026 10:00:00 GMT"}, b"", 30),
        ({}, b'{"details": [{"retryDelay": "12.5s"}]}', 12.5),
        ({"retry-after": "soon"}, b"", None),
        ({"retry-after": "-5"}, b"", None),
    ],
)
def test_the_wish_to_wait_is_read(headers, body, seconds):
    assert retry_after_s(Outcome(429, body, headers)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("6m0s", 360), ("120ms", 0.12), ("1h2m3s", 3723), ("1.5s", 1.5), ("x", None), ("5", None)]
)
def test_durations_are_read(text, seconds):
    assert duration_s(text) == pytest.approx(seconds) if seconds is not None else duration_s(text) is None


@pytest.mark.parametrize(
    ("status", "error", "name"),
    [
        (429, {"message": "You exceeded your current quota, please check your plan and billing details. Please retry in 36.9s."}, "rate"),
        (429, {"message": "Rate limit reached. Visit https://x/account/billing to add a payment method", "code": "rate_limit_exceeded"}, "rate"),
        (429, {"message": "You exceeded your current quota, please check your plan and billing details.", "code": "insufficient_quota"}, "fatal"),
        (429, {"message": "You exceeded your current quota, please retry after payment", "type": "insufficient_quota"}, "fatal"),
        (200, {"message": "slow", "code": "429"}, "rate"),
        (200, {"message": "flagged", "code": "content_filter"}, "teacher_refused"),
    ],
)  # fmt: skip
def test_a_passing_limit_is_told_from_an_empty_account_and_inner_codes_count(status, error, name):
    assert name_of(Outcome(status, json.dumps({"error": error}).encode())) == name


@pytest.mark.parametrize("finish", ["error", "abort", "cancelled"])
def test_a_reply_that_the_server_did_not_end_is_no_answer(finish):
    with pytest.raises(Transient, match="malformed"):
        read(Outcome(200, said("半分だけの", finish)))


@pytest.mark.parametrize("finish", ["PROHIBITED_CONTENT", "RECITATION", "SAFETY", "content_filter"])
def test_a_reason_that_refuses_is_a_refusal_also_without_a_text(finish):
    with pytest.raises(Rejected, match="teacher_refused"):
        read(Outcome(200, said("", finish)))


def test_a_byte_order_mark_and_nan_beside_the_answer_do_not_spoil_it():
    body = '\ufeff{"choices": [{"message": {"content": "二です。"}, "finish_reason": "stop", "logprob": NaN}]}'
    assert read(Outcome(200, body.encode())).text == "二です。"
