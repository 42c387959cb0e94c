"""The faults of `reliability.md` section 6 that are about what one reply is, by their numbers, in whole runs.

Event streams (9 to 11) are never asked for: what is shown is that one that comes unasked is no answer.
"""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, ValidationError

from synth import schema
from synth.backends.online import online
from synth.errors import Transient
from synth.protocol.endpoint import Endpoint, Limits, Sampling
from synth.protocol.replies import read
from synth.types import Outcome
from tests.faults.played import WRITE, PlayedTeacher, choice, refuses, says
from tests.faults.scripted import CHUNKED, READ, Scripted, both_loops, chunk, request
from tests.protocol.test_replies import name_of

FILLER = 60
"""More good answers than it takes to see that a bad one is of its request."""


def beside(bad):
    """A teacher that answers `bad` by message, and all else well."""
    return PlayedTeacher(lambda prompt, body: bad.get(prompt) or says(f"答え: {prompt}"))


def questions(bad):
    return [*(f"問{number}" for number in range(FILLER)), *bad]


def event(text, end="\n\n"):
    delta = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return f"data: {json.dumps(delta, ensure_ascii=False)}{end}"


WHOLE_STREAM = event("東") + event("京") + "data: [DONE]\n\n"
STREAMS = {
    "lf": WHOLE_STREAM,
    "crlf": WHOLE_STREAM.replace("\n", "\r\n"),
    "cr": WHOLE_STREAM.replace("\n", "\r"),
    "comments first": ": keep-alive\n\n: keep-alive\r\n\r\n" + WHOLE_STREAM,
    "named events": "event: message\nid: 1\n" + WHOLE_STREAM,
    "data on many lines": WHOLE_STREAM.replace('"choices":', '"choices":\ndata: '),
    "blank lines first": "\n\n\r\n" + WHOLE_STREAM,
}
CUT_STREAM = event("東")
FAILED_STREAM = event("東") + 'data: {"error": {"code": 429, "message": "rate limit"}}\n\n'


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_fault_09_an_event_stream_is_one_reply_however_it_is_written_asked_for_or_not(stream):
    body = stream.encode()
    for whole in (body, b"\xef\xbb\xbf" + body):
        assert read(Outcome(200, whole, {"content-type": "text/event-stream"})).text == "東京"
    half = body[: len(body) // 2]
    assert name_of(Outcome(200, half)) == "malformed"
    if not stream.startswith("\n"):
        with pytest.raises(Transient, match="an event stream came"):
            read(Outcome(200, half))


@both_loops
def test_fault_09_an_event_stream_that_is_split_at_any_byte_is_one_reply(run):
    body = WHOLE_STREAM.encode()

    def script():
        for place in range(1, len(body), 7):
            yield READ
            yield CHUNKED
            yield chunk(body[:place])
            yield 0.001
            yield chunk(body[place:]) + chunk(b"")

    async def main(url):
        async with online(Endpoint(model="m", base_url=url, limits=Limits(deadline_s=20)), url) as backend:
            return [await backend.send(request()) for _ in range(1, len(body), 7)]

    with Scripted(script) as server:
        outcomes = run(main(server.url))
    assert {(outcome.body, outcome.error, read(outcome).text) for outcome in outcomes} == {(body, "", "東京")}


def test_fault_09_a_stream_is_not_asked_for_unless_the_recipe_says_so(played):
    teacher = beside({})
    played(teacher, questions({}))
    assert not any("stream" in body for body in teacher.bodies)
    with pytest.raises(ValidationError, match="'stream' is not for extra"):
        Sampling(extra={"stream": True})


def test_fault_11_an_error_event_after_text_is_classed_by_its_code():
    assert name_of(Outcome(200, FAILED_STREAM.encode())) == "rate"
    assert name_of(Outcome(200, FAILED_STREAM.replace("429", "503").encode())) == "capacity"


def test_fault_10_a_stream_that_ends_early_is_kept_asked_once_more_and_parked(played):
    stream = CUT_STREAM
    bad = {"悪い問": Outcome(200, stream.encode())}
    teacher = beside(bad)
    ended = played(teacher, questions(bad))
    assert ended.result.exit_code == 3
    assert ended.result.manifest.stages[0].parked == 1
    assert ended.bodies()[stream.encode()] == teacher.sent.count("悪い問") == 2
    assert ended.ledger()["malformed"].cost_microusd > 0, "it may have been paid for"
    assert len(ended.rows()) == FILLER


NO_ANSWERS = {
    "html": b"<html><body>login</body></html>",
    "empty": b"",
    "null": b"null",
    "list": b"[1, 2]",
    "truncated": says("途中まで").body[:-20],
    "not utf-8": says("x").body.replace(b'"x"', b'"\xff\xe6\x97"'),
    "utf-16": says("答え").body.decode().encode("utf-16"),
    "number": b"7",
    "no text": says("").body,
    "deep": b"[" * 100_000,
}


def test_fault_18_what_is_no_answer_is_kept_raw_asked_once_more_and_never_bought_again(played):
    bad = {name: Outcome(200, body) for name, body in NO_ANSWERS.items()}
    teacher = beside(bad)
    ended = played(teacher, questions(bad))
    assert ended.result.exit_code == 3
    assert len(ended.rows()) == FILLER
    assert {name: teacher.sent.count(name) for name in bad} == dict.fromkeys(bad, 2)
    kept = ended.bodies()
    assert {name: kept[body] for name, body in NO_ANSWERS.items() if body} == {
        name: 2 for name, body in NO_ANSWERS.items() if body
    }
    assert ended.ledger()["malformed"].attempts == ended.ledger()["poison"].attempts == len(bad)
    again = beside(bad)
    assert played(again, questions(bad)).rows() == ended.rows()
    assert again.sent == []


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (200, {"error": {"code": 429, "message": "slow down"}}, "rate"),
        (200, {"error": {"code": "503", "message": "no instances"}}, "capacity"),
        (200, {"error": {"code": 502, "message": "upstream"}}, "transient"),
        (200, {"error": {"code": 401, "message": "no such key"}}, "fatal"),
        (200, {"error": {"code": 400, "message": "too long"}}, "permanent"),
        (200, {"error": {"code": "²", "message": "odd"}}, "transient"),
        (200, {"error": {"code": "4" * 5000, "message": "long"}}, "transient"),
        (200, {"error": "something broke"}, "transient"),
        (200, {"error": {"message": "混雑しています", "code": None}}, "transient"),
        (200, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota"}}], "rate"),
        (200, [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "later"}}], "capacity"),
        (429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota"}}], "rate"),
        (503, [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "later"}}], "capacity"),
        (400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "bad"}}], "permanent"),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}], "fatal"),
        (200, {"choices": [], "error": {"code": 429, "message": "slow down"}}, "rate"),
    ],
)
def test_fault_19_an_error_inside_a_reply_is_named_by_its_own_code(status, body, name):
    assert name_of(Outcome(status, json.dumps(body).encode())) == name


def test_fault_19_an_array_wrapped_limit_is_waited_out_in_a_whole_run(played):
    limit = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "per minute"}}]
    answers = [Outcome(200, json.dumps(limit).encode())] * 9
    ended = played(PlayedTeacher(lambda prompt, body: answers.pop() if answers else says("はい")), ["一"])
    assert (ended.result.exit_code, ended.rows()) == (0, ["はい"])
    assert ended.ledger()["rate"].attempts == 9
    assert ended.ledger()["rate"].cost_microusd == 0


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (Outcome(200, b'{"choices": []}'), "malformed"),
        (Outcome(200, b'{"choices": null}'), "malformed"),
        (Outcome(200, b'{"choices": {"0": {}}}'), "malformed"),
        (Outcome(200, b'{"choices": [null]}'), "malformed"),
        (Outcome(200, b'{"choices": [{"finish_reason": "stop"}]}'), "malformed"),
        (Outcome(200, b'{"choices": [{"text": "old style"}]}'), "malformed"),
        (choice(None), "malformed"),
        (choice("text"), "malformed"),
        (choice({}), "malformed"),
        (choice({"content": None}), "malformed"),
        (choice({"content": 7}), "malformed"),
        (choice({"content": []}), "malformed"),
        (choice({"content": [None, 3, {"type": "image_url"}]}), "malformed"),
        (choice({"content": None, "refusal": "お答えできません"}), "teacher_refused"),
        (choice({"content": "", "refusal": "no"}), "teacher_refused"),
        (choice({"content": None, "refusal": None}), "malformed"),
        (choice({"content": None, "tool_calls": [{"function": {"name": "f"}}]}, "tool_calls"), "malformed"),
        (choice({"content": [{"type": "text", "text": "はい"}]}), "ok"),
        (choice({"content": "はい", "tool_calls": []}), "ok"),
        (choice({"content": "はい"}, None), "ok"),
    ],
)
def test_fault_20_a_reply_without_a_choice_a_message_or_a_text_is_named(outcome, name):
    assert name_of(outcome) == name


def test_fault_20_text_in_parts_is_joined_and_a_lone_refusal_rejects_its_sample(played):
    parts = [{"type": "text", "text": "一"}, {"type": "thinking", "thinking": "…"}, {"type": "text", "text": "二"}]
    bad = {"parts": choice({"content": parts}), "refusal": choice({"content": None, "refusal": "お答えできません"})}
    teacher = beside(bad)
    ended = played(teacher, [*bad])
    assert ended.rows() == ["一二"]
    assert ended.rejected() == [("teacher_refused", "お答えできません")]
    assert len(teacher.sent) == 2


STRANGE = {
    "nul": "a\x00b",
    "bom": "\ufeff答え",
    "bidi": "右\u202eabc\u202c左\u2066x\u2069",
    "ansi": "\x1b[31m赤\x1b[0m",
    "line separators": "一\u2028二\u2029三\u0085四\r五\r\n六\n七\x0b八\x0c九",
    "noncharacter": "\uffff\U0010ffff",
    "astral": "𠮟る 👩‍👩‍👧",
}
ESCAPED = {
    "lone high": (rb"a\ud83d b", "a\ufffd b"),
    "lone low": (rb"a\udc00b", "a\ufffdb"),
    "swapped pair": (rb"\ude00\ud83d", "\ufffd\ufffd"),
    "whole pair": (rb"\ud83d\ude00", "😀"),
}
IMPOSSIBLE = {"no hex": rb"\uZZZZ", "cut escape": rb"\u12", "wrong escape": rb"\x41", "raw line break": b"a\nb"}


def test_fault_24_strange_characters_are_kept_raw_and_every_file_stays_valid(played, tmp_path):
    written = {name: json.dumps(text, ensure_ascii=False)[1:-1].encode() for name, text in STRANGE.items()}
    written |= {name: raw for name, (raw, _) in ESCAPED.items()}
    expected = STRANGE | {name: text for name, (_, text) in ESCAPED.items()}
    body = says("HERE").body
    teacher = beside({name: Outcome(200, body.replace(b"HERE", raw)) for name, raw in written.items()})
    ended = played(teacher, list(expected))
    assert ended.result.exit_code == 0
    assert ended.bodies() == {body.replace(b"HERE", raw): 1 for raw in written.values()}
    exported = (ended.folder / "rows.jsonl").read_bytes()
    exported.decode("utf-8")
    assert exported.count(b"\n") == len(expected)
    assert dict(zip(expected, ended.rows(), strict=True)) == expected
    table = pq.read_table(next((ended.folder / "dataset" / "data").glob("*.parquet"))).to_pylist()
    assert [row["messages"][-1]["content"] for row in table] == list(expected.values())
    for page in ("report.html", "dataset/README.md"):
        text = (ended.folder / page).read_bytes().decode("utf-8")
        assert not {"\x00", "\x1b", "\u202e"} & set(text)


def test_fault_24_an_escape_that_is_none_makes_a_reply_malformed(played):
    body = says("HERE").body
    bad = {
        name: Outcome(200, body.replace(b"HERE", raw)) for name, raw in IMPOSSIBLE.items() if name != "raw line break"
    }
    ended = played(beside(bad), questions(bad))
    assert ended.ledger()["malformed"].attempts == len(bad)
    assert len(ended.rows()) == FILLER


class Sum(BaseModel):
    reason: str
    n: int


HOSTILE_JSON = {
    "deep list": "[" * 10_000 + "]" * 10_000,
    "deep object": '{"n":' * 10_000 + "1" + "}" * 10_000,
    "deep within the parser's depth": '{"a":' * 1000 + "1" + "}" * 1000,
    "5,000 digits": '{"reason": "", "n": ' + "9" * 5000 + "}",
    "NaN": '{"reason": "", "n": NaN}',
    "Infinity": '{"reason": "", "n": -Infinity}',
    "twice the same name": '{"reason": "", "n": 1, "n": 2}',
    "twice, once escaped": '{"reason": "", "n": 1, "\\u006e": 2}',
    "twice, inside": '{"reason": "", "n": 1, "more": [{"理由": 1, "理由": 2}]}',
    "lone surrogate": '{"reason": "\\ud800", "n": 1}',
    "nothing": "",
    "a list": "[1]",
    "two after another": '{"reason": "", "n": 1} です。 {"reason": "", "n": 2}',
}


@pytest.mark.parametrize("text", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_fault_25_hostile_json_does_not_fit_and_does_no_harm(text):
    found = schema.read(Sum, text)
    assert found.value is None
    assert found.problem
    assert schema.read(Sum, '{"reason": "二", "n": 2}').value == Sum(reason="二", n=2)


def test_fault_25_hostile_structured_output_rejects_its_sample_only(played):
    good = json.dumps({"instructions": ["東京について書きなさい。"]}, ensure_ascii=False)
    twice = '{"instructions": ["一"], "instructions": ["二"]}'
    bad = {
        "深い": "[" * 10_000,
        "二度": twice,
        "NaN": '{"instructions": [NaN]}',
        "数": '{"instructions": ' + "9" * 5000,
    }

    def play(prompt, body):
        asked = body["messages"][0]["content"]
        return says(bad.get(asked, good))

    fine = [f"問{number}" for number in range(30)]
    ended = played(PlayedTeacher(play), [*fine, *bad], generator=WRITE)
    assert ended.result.exit_code == 0
    assert [reason for reason, _ in ended.rejected()] == ["invalid_output"] * len(bad)
    assert "'instructions' stands twice" in ended.rejected()[1][1]
    assert len(ended.rows()) == len(fine)


@pytest.mark.parametrize("thought", ["", "<think>考えています"], ids=["empty", "unclosed thinking"])
def test_fault_26_an_answer_that_thinking_left_no_room_for_is_asked_once_with_a_larger_cap(played, thought):
    def play(prompt, body):
        enough = prompt == "易しい" and body["max_tokens"] > 100
        return says("はい") if enough else says(thought, "length", usage=(0, body["max_tokens"]))

    teacher = PlayedTeacher(play)
    ended = played(teacher, ["易しい", "難しい"])
    assert sorted((body["messages"][0]["content"], body["max_tokens"]) for body in teacher.bodies) == sorted(
        [("易しい", 100), ("易しい", 200), ("難しい", 100), ("難しい", 200)]
    )
    assert ended.rows() == ["はい"]
    assert [reason for reason, _ in ended.rejected()] == ["truncated_empty"]
    [row] = [json.loads(line) for line in (ended.folder / "rows.jsonl").read_text().splitlines()]
    first = (ended.folder / "rows.jsonl").read_bytes()
    assert row["cost_microusd"] == 100 * 10 + 5 * 10, "both replies made the row"
    again = PlayedTeacher(play)
    ended = played(again, ["易しい", "難しい"])
    assert again.sent == [], "both were paid for and neither is bought again"
    assert (ended.folder / "rows.jsonl").read_bytes() == first


def test_fault_26_a_larger_cap_goes_for_structured_output_too(played):
    def play(prompt, body):
        good = json.dumps({"instructions": ["はい"]})
        return says(good) if body["max_tokens"] == 200 else says("", "length")

    teacher = PlayedTeacher(play)
    assert played(teacher, ["問"], generator=WRITE).rows() == ["はい"]
    assert len(teacher.sent) == 2


def test_fault_26_a_model_that_may_not_write_so_much_has_used_the_recipes_cap(played):
    too_much = refuses(400, "max_tokens is too large: 200")
    teacher = PlayedTeacher(lambda prompt, body: too_much if body["max_tokens"] > 100 else says("", "length"))
    ended = played(teacher, ["問"])
    assert [reason for reason, _ in ended.rejected()] == ["truncated_empty"]
    assert len(teacher.sent) == 2


FILTERED = {
    "400": refuses(400, "The response was filtered", "content_filter"),
    "400 as Azure nests it": Outcome(
        400,
        b'{"error": {"message": "triggering Azure OpenAI\'s content management policy", "param": "prompt", '
        b'"code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}',
    ),
    "403": refuses(403, "Input flagged by moderation"),
    "200": says("途中", "content_filter"),
    "200 and empty": says("", "content_filter"),
    "200 as an error": Outcome(200, b'{"error": {"code": "content_filter", "message": "flagged"}}'),
    "refusal": choice({"content": None, "refusal": "お答えできません"}),
    "Gemini": says("", "PROHIBITED_CONTENT"),
}


def test_fault_27_what_a_filter_stopped_is_sent_once_in_every_form(played):
    teacher = beside(FILTERED)
    ended = played(teacher, [*FILTERED, *questions({})])
    assert {name: teacher.sent.count(name) for name in FILTERED} == dict.fromkeys(FILTERED, 1)
    assert len(ended.rejected()) == len(FILTERED)
    assert {reason for reason, _ in ended.rejected()} == {"teacher_refused"}
    assert ended.result.exit_code == 0
    assert ended.result.manifest.stages[0].parked == 0


def test_fault_28_the_models_that_answered_are_recorded(played):
    served = ["asked-2026-01-01", "asked-mini"]
    teacher = PlayedTeacher(lambda prompt, body: says("はい", model=served[prompt == "二"]))
    ended = played(teacher, ["一", "二"])
    assert ended.result.exit_code == 0
    manifest = json.loads((ended.folder / "manifest.json").read_bytes())
    assert sorted(manifest["teachers"][0]["served"]) == served
    assert all(name in (ended.folder / "dataset" / "README.md").read_text() for name in served)
    assert all(name in (ended.folder / "report.html").read_text() for name in served)


@pytest.mark.parametrize("other", ["asked-mini", ""], ids=["another", "unsaid"])
def test_fault_28_another_model_than_the_pinned_one_stops_the_run_and_its_replies_make_no_row(played, other):
    pinned, asked = "pin_model: asked-2026-01-01", [f"問{number}" for number in range(40)]
    other_says = Outcome(200, says("安い答え", model=other).body)
    teacher = PlayedTeacher(
        lambda prompt, body: says("良い答え", model="asked-2026-01-01") if teacher.landed < 10 else other_says
    )
    ended = played(teacher, asked, in_flight=1, fields=pinned)
    assert ended.result.exit_code == 4
    for word in ("'main'", "pin_model", "'asked-2026-01-01'", repr(other) if other else "does not say"):
        assert word in ended.result.message
    assert set(ended.rows()) == {"良い答え"}
    assert len(teacher.sent) <= 13, "it went on buying"
    assert ended.bodies()[other_says.body] == len(teacher.sent) - 10
    back = PlayedTeacher(lambda prompt, body: says("良い答え", model="asked-2026-01-01"))
    ended = played(back, asked, in_flight=1, fields=pinned)
    assert ended.result.exit_code == 0
    assert len(back.sent) == 30, "what another model wrote is asked again, and nothing else"
    assert len(ended.rows()) == 40


@pytest.mark.parametrize(
    ("how", "hint"),
    [("json_schema", "structured: prompt"), ("json_object", "structured: prompt"), ("prompt", "plainer")],
)
def test_fault_29_a_teacher_that_ignores_the_schema_is_found_out_before_much_is_spent(played, how, hint):
    teacher = PlayedTeacher(lambda prompt, body: says("もちろんです！では始めましょう。"))
    fields, asked = f"structured: {how}", [f"問{number}" for number in range(300)]
    ended = played(teacher, asked, in_flight=2, generator=WRITE, fields=fields)
    assert ended.result.exit_code == 4
    for word in ("'main'", "11 do not fit", "not valid JSON", hint):
        assert word in ended.result.message
    assert "\n" not in ended.result.message
    assert len(teacher.sent) <= 20
    mended = PlayedTeacher(lambda prompt, body: says('{"instructions": ["はい"]}'))
    ended = played(mended, asked, in_flight=2, generator=WRITE, fields=fields)
    assert ended.result.exit_code == 0, "replies that are in the store do not count against a server that was mended"
    assert len(ended.rows()) + len(ended.rejected()) == 300
    assert len(ended.rejected()) <= 6


def test_fault_29_a_few_replies_that_do_not_fit_stop_nothing(played):
    teacher = PlayedTeacher(
        lambda prompt, body: says("いいえ" if prompt.startswith("悪") else '{"instructions": ["はい"]}')
    )
    asked = [*(f"悪{number}" for number in range(3)), *(f"問{number}" for number in range(100))]
    ended = played(teacher, asked, in_flight=2, generator=WRITE)
    assert ended.result.exit_code == 0
    late = [*asked, *(f"問{number}" for number in range(100, 140)), *(f"悪{number}" for number in range(100, 140))]
    ended = played(teacher, late, in_flight=1, generator=WRITE)
    assert ended.result.exit_code == 0, "a teacher that showed that it can is not stopped later"


def test_fault_30_several_choices_are_never_asked_for_and_the_first_of_them_counts(played):
    with pytest.raises(ValidationError, match="'n' is not for extra"):
        Sampling(extra={"n": 4})
    three = [{"message": {"content": text}, "finish_reason": "stop"} for text in "一二三"]
    body = {"model": "asked", "choices": three, "usage": {"prompt_tokens": 3, "completion_tokens": 60}}
    teacher = PlayedTeacher(lambda prompt, asked: Outcome(200, json.dumps(body).encode()))
    ended = played(teacher, ["問"])
    assert "n" not in teacher.bodies[0]
    assert ended.rows() == ["一"]
    assert ended.ledger()["ok"].cost_microusd == 600, "all three were paid for"
