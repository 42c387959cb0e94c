"""How likely a model finds an answer: from the log-probabilities of the prompt that its server echoes."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from synth import sending as module
from synth.admission.halt import Halt
from synth.backends.online import online
from synth.backends.practice.characters import read_through
from synth.backends.practice.faults import NO_FAULTS, Faults
from synth.backends.practice.server import practice_server
from synth.backends.replay import ReplayRun
from synth.errors import BudgetReached, Fatal, Rejected
from synth.money.budget import Budget, Caps
from synth.protocol.endpoint import Endpoint, Price
from synth.protocol.measures import Token
from synth.protocol.wording import Wording
from synth.recipes.templates import Templates
from synth.scorers.likelihood import Likelihood
from synth.sending import Sender
from synth.storage.store import Store
from synth.types import COMPLETIONS, Message, Outcome, Planned, Sample
from tests.asked import teacher_over, unit_of

COSTLY = Endpoint(model="m", base_url="https://api.example.com/v1", price=Price(input_usd=1000, output_usd=0))
MEASURES = ("logprob", "perplexity", "per_character", "per_byte", "ifd")


def sample(question, answer, **fields):
    turns = [Message(role="user", content=question)] if question else []
    messages = (*turns, Message(role="assistant", content=answer))
    return Sample(id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=messages, fields=fields)


class Known:
    """Answers what is asked from a table of texts."""

    draw = 0

    def __init__(self, folder, texts):
        self.templates = Templates(folder)
        self.texts = texts
        self.asked = []

    def render(self, name, values):
        return self.templates.render(name, values)

    async def found(self, path, fields, *, teacher):
        assert (path, fields["echo"], fields["max_tokens"], teacher) == (COMPLETIONS, True, 1, "student")
        self.asked.append(fields["prompt"])
        found = self.texts[fields["prompt"]]
        if isinstance(found, Rejected):
            raise found
        return tuple(Token(*one) for one in found)


def scored(ask, one, **more):
    return asyncio.run(Likelihood(teacher="student", **more).score(one, ask))


QUESTION = [("いくら", None), ("？", -1.0), ("\n\n", -2.0)]
KNOWN = {
    "いくら？\n\n三円": [*QUESTION, ("", -0.25), ("三", -0.75), ("円", -2.0)],
    "いくら？": QUESTION[:2],
    "いくら？\n\n": QUESTION,
    "三円": [("", None), ("三", -4.0), ("円", -4.0)],
}


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        ("logprob", -1.0),
        ("perplexity", math.e),
        ("per_character", -1.5),
        ("per_byte", -0.5),
        ("ifd", 1.375 / 4),  # of the tokens that both have
    ],
)
def test_the_tokens_of_the_answer_are_measured_and_no_others(tmp_path, measure, value):
    ask = Known(tmp_path, KNOWN)
    score = scored(ask, sample("いくら？", " 三円\n"), measure=measure)
    assert (score.name, score.value) == ("likelihood", pytest.approx(value))
    assert ask.asked == ["いくら？\n\n三円", "いくら？\n\n", *(["三円"] if measure == "ifd" else [])]
    assert "2 characters, loss" in score.detail


def test_a_token_that_holds_the_end_of_the_prompt_too_counts_as_the_answers(tmp_path):
    texts = {
        "値段\n\nは": [("値段", None), ("\n\nは", -3.0)],
        "値段\n\n": [("値段", None), ("\n", -1.0), ("\n", -1.0)],
    }
    assert scored(Known(tmp_path, texts), sample("値段", "は")).value == -3.0


@pytest.mark.parametrize(
    ("question", "answer", "tokens"),
    [("値段", "は三円", ["は", "三円"]), ("The price", "Three yen", ["Three", " yen"])],
)
def test_line_ends_that_are_cut_otherwise_before_a_letter_stay_the_prompts(tmp_path, question, answer, tokens):
    texts = {
        f"{question}\n\n{answer}": [(question, None), ("\n", -9.0), ("\n", -9.0), *((one, -1.0) for one in tokens)],
        f"{question}\n\n": [(question, None), ("\n\n", -1.0)],
    }
    assert scored(Known(tmp_path, texts), sample(question, answer)).value == -1.0


@pytest.mark.parametrize("answer", ["猫です", "It is a cat."])
def test_an_answer_without_a_question_is_measured_from_its_second_token_on(tmp_path, answer):
    ask = Known(tmp_path, {answer: [(answer[:1], None), (answer[1:2], -1.0), (answer[2:], -3.0)]})
    assert scored(ask, sample("", answer)).value == -2.0
    assert ask.asked == [answer]


def test_chatml_writes_the_roles_and_leaves_the_question_out_where_the_answer_stands_alone(tmp_path):
    chat = "<|im_start|>user\nいくら？<|im_end|>\n<|im_start|>assistant\n"
    alone = "<|im_start|>assistant\n"
    texts = {text: [("<s>", None), ("p", -1.0)] for text in (chat, alone)}
    texts |= {f"{chat}三円": [("<s>", None), ("p", -1.0), ("三円", -1.0)],
              f"{alone}三円": [("<s>", None), ("p", -1.0), ("三円", -4.0)]}  # fmt: skip
    score = scored(Known(tmp_path, texts), sample("いくら？", "三円"), measure="ifd", prompt="likelihood.chatml.md.j2")
    assert score.value == 0.25


def test_a_template_of_ones_own_sees_the_fields_and_must_end_with_the_answer(tmp_path):
    (tmp_path / "own.j2").write_text("{{ shop }}: {{ answer }}", encoding="utf-8")
    (tmp_path / "other.j2").write_text("{{ answer }} ({{ shop }})", encoding="utf-8")
    ask = Known(tmp_path, {"書店: 三円": [("書店: ", None), ("三円", -1.0)], "書店: ": [("書店: ", None)]})
    one = sample("いくら？", "三円", shop="書店")
    assert scored(ask, one, prompt="own.j2").value == -1.0
    with pytest.raises(Rejected, match=r"other\.j2 must end with {{ answer }}") as caught:
        scored(ask, one, prompt="other.j2")
    assert caught.value.reason == "template_error"


@pytest.mark.parametrize(
    ("texts", "answer"),
    [
        ({}, " \n"),
        ({"三": [("三", None)]}, "三"),
        ({"三円": Rejected("permanent", "the context is full")}, "三円"),
    ],
)
def test_what_cannot_be_measured_has_no_verdict_and_no_score_of_zero(tmp_path, texts, answer):
    with pytest.raises(Rejected) as caught:
        scored(Known(tmp_path, texts), sample("", answer))
    assert caught.value.reason == "no_verdict"


def test_the_difficulty_of_an_answer_whose_loss_alone_is_not_known_has_no_verdict(tmp_path):
    texts = {"問\n\n三": [("問", None), ("\n\n", -1.0), ("三", -1.0)], "問\n\n": [("問", None), ("\n\n", -1.0)],
             "三": [("三", None)]}  # fmt: skip
    with pytest.raises(Rejected, match="no_verdict"):
        scored(Known(tmp_path, texts), sample("問", "三"), measure="ifd")


def test_a_loss_beyond_all_measure_still_has_a_perplexity(tmp_path):
    ask = Known(tmp_path, {"猫です": [("猫", None), ("です", -9999.0)]})
    assert math.isfinite(scored(ask, sample("", "猫です"), measure="perplexity").value)


class Practice:
    """A backend that answers as the practice teacher does, and notes what was sent."""

    def __init__(self, change=lambda document: document):
        self.sent = []
        self.change = change

    async def send(self, request):
        self.sent.append(request)
        await asyncio.sleep(0)
        prompt = json.loads(request.body)["prompt"]
        shown = [*read_through(prompt), ("!", -1.0)]
        logprobs = {"tokens": [text for text, _ in shown], "token_logprobs": [logprob for _, logprob in shown]}
        document = {
            "model": "m",
            "choices": [{"index": 0, "text": prompt + "!", "logprobs": logprobs, "finish_reason": "length"}],
            "usage": {"prompt_tokens": len(shown) - 1, "completion_tokens": 1, "total_tokens": len(shown)},
        }
        return Outcome(200, json.dumps(self.change(document)).encode())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_S", 0.0)


def bought(folder, backend, samples, *, caps=None, earlier=(), ledger=None, **more):
    """The scores of samples from a fresh or existing store, with what each was charged."""

    async def main():
        how = {"caps": caps, "earlier": earlier, "ledger": ledger}
        async with teacher_over(folder, COSTLY, backend, "student", **how) as student:
            found = []
            for one in samples:
                ask = unit_of(student, one.id, folder)
                score = await Likelihood(teacher="student", **more).score(one, ask)
                found.append((score.value, ask.unit.cost_microusd))
            return found

    return asyncio.run(main())


DRAWS = [sample("三つで何円ですか。", "六円です。"), sample("三つで何円ですか。", "It is six yen.")]


def test_log_probabilities_are_bought_once_and_those_of_a_question_once_for_all_its_draws(tmp_path):
    backend, ledger = Practice(), []
    first = bought(tmp_path / "run", backend, DRAWS, ledger=ledger)
    assert [request.path for request in backend.sent] == [COMPLETIONS] * 3
    prompts = [json.loads(request.body)["prompt"] for request in backend.sent]
    assert prompts == [
        "三つで何円ですか。\n\n六円です。",
        "三つで何円ですか。\n\n",
        "三つで何円ですか。\n\nIt is six yen.",
    ]
    used = [len(read_through(prompt)) for prompt in prompts]
    assert [cost for _, cost in first] == [1000 * (used[0] + used[1]), 1000 * (used[2] + used[1])]
    assert sum(line.cost_microusd for line in ledger) == 1000 * sum(used)
    again = Practice()
    assert bought(tmp_path / "run", again, DRAWS) == first
    earlier = ReplayRun(tmp_path / "run")
    assert [value for value, _ in bought(tmp_path / "other", again, DRAWS, earlier=[earlier])] == [
        value for value, _ in first
    ]
    earlier.close()
    assert again.sent == []
    bought(tmp_path / "run", again, DRAWS, measure="ifd")
    assert [json.loads(request.body)["prompt"] for request in again.sent] == ["六円です。", "It is six yen."]


def test_the_budget_holds_for_prompts_that_are_only_read(tmp_path):
    with pytest.raises(BudgetReached):
        bought(tmp_path / "run", Practice(), [sample("x" * 5000, "y")], caps=Caps(usd=1))


def without(document):
    document["choices"][0]["logprobs"] = None
    return document


def chatlike(document):
    document["choices"][0]["logprobs"] = {"content": [{"token": "!", "logprob": -1.0}]}
    return document


def not_echoed(document):
    logprobs = document["choices"][0]["logprobs"]
    document["choices"][0]["logprobs"] = {name: values[-1:] for name, values in logprobs.items()}
    return document


def zeros(document):
    logprobs = document["choices"][0]["logprobs"]
    logprobs["token_logprobs"] = [0.0 for _ in logprobs["tokens"]]
    return document


def chat(document):
    return {"choices": [{"message": {"content": "六円です。"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without, "the reply has no log-probabilities"),
        (chatlike, "the reply has no log-probabilities"),
        (chat, "the reply has no log-probabilities"),
        (not_echoed, "log-probabilities of what was written, and none of the prompt"),
        (zeros, "all log-probabilities in the reply are 0"),
    ],
)
def test_an_endpoint_that_gives_none_stops_the_run_with_a_sentence_and_no_score(tmp_path, change, said):
    backend = Practice(change)
    with pytest.raises(Fatal) as caught:
        bought(tmp_path / "run", backend, DRAWS)
    assert str(caught.value).startswith(
        "https://api.example.com/v1 (teacher 'student') has no log-probabilities of prompts at /completions ("
    )
    assert said in str(caught.value)
    assert str(caught.value).endswith("name a server that gives them with `echo`, such as vLLM.")
    assert len(backend.sent) == 1
    assert bought(tmp_path / "run", Practice(), DRAWS)  # another server is asked anew


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"detail": "Not Found"}'),
        (400, b'{"error": {"message": "Setting \'echo\' and \'logprobs\' at the same time is not supported"}}'),
        (400, b'{"error": {"message": "You requested both echo and logprobs, which are not available here."}}'),
        (422, b'{"detail": [{"loc": ["body"], "msg": "unknown parameter: logprobs"}]}'),
    ],
)
def test_an_endpoint_that_refuses_such_requests_is_told_in_a_sentence(tmp_path, status, body):
    class Refusing:
        async def send(self, request):
            return Outcome(status, body)

    with pytest.raises(Fatal, match="teacher 'student'"):
        bought(tmp_path / "run", Refusing(), DRAWS)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values[:-2],
        lambda values: [values[0], None, *values[2:]],
        lambda values: [values[0], 0.7, *values[2:]],
        lambda values: [values[0], "-1", *values[2:]],
        lambda values: [values[0], float("nan"), *values[2:]],
    ],
)
def test_unusable_log_probabilities_are_asked_for_once_more(tmp_path, change):
    class Once(Practice):
        async def send(self, request):
            self.change = (lambda document: document) if self.sent else damaged
            return await super().send(request)

    def damaged(document):
        logprobs = document["choices"][0]["logprobs"]
        logprobs["token_logprobs"] = change(logprobs["token_logprobs"])
        return document

    ledger = []
    assert (
        bought(tmp_path / "run", Once(), DRAWS[:1], ledger=ledger)[0][0]
        == bought(tmp_path / "other", Practice(), DRAWS[:1])[0][0]
    )
    assert {line.failure: line.attempts for line in ledger} == {"malformed": 1, "ok": 2}


def test_what_was_kept_just_before_a_kill_is_settled_as_log_probabilities(tmp_path):
    backend = Practice()

    async def killed():
        store = Store(tmp_path / "run")
        await store.open_run()
        sender = Sender("student", COSTLY, backends=[None], store=store, budget=Budget(Caps()), halt=Halt())
        fields = {"prompt": "六円です。", "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
        request = Wording("student", COSTLY).request_to(COMPLETIONS, fields)
        assert request.max_tokens == 1
        attempt = await store.begin([Planned(request, "stage", "0/00", 99_999)], sender.price)
        await store.keep(attempt, await backend.send(request))
        store.close()

    asyncio.run(killed())
    ledger = []
    ((value, cost),) = bought(tmp_path / "run", backend, [sample("", "六円です。")], ledger=ledger)
    assert [(line.failure, line.cost_microusd) for line in ledger] == [("ok", cost)]
    assert value < 0
    assert len(backend.sent) == 1


def over_http(folder, samples, faults=NO_FAULTS, ledger=None, **more):
    endpoint = Endpoint(model="practice-1", base_url="practice:")

    async def main():
        async with (
            practice_server(faults) as base_url,
            online(endpoint, base_url) as backend,
            teacher_over(folder, endpoint, backend, "student", ledger=ledger) as student,
        ):
            ask = unit_of(student, templates=folder)
            return [(await Likelihood(teacher="student", **more).score(one, ask)).value for one in samples]

    return asyncio.run(main())


EXERCISES = {
    "en": ("Mia buys 3 notebooks at 4 dollars each. How many dollars does she pay?",
           "She pays 3 x 4 = 12 dollars.\n\nA: 12", "zqx vvk 鬱 jjwq kzz pfv"),
    "ja": ("バスが大阪市を出て、時速60kmで3時間走りました。進んだ道のりは何kmですか。",
           "道のりは速さ×時間で求めます。\n\n答え: 180km", "髟虻の鬢蟹を逅鬱へ罠蜚"),
}  # fmt: skip


@pytest.mark.parametrize("language", EXERCISES)
@pytest.mark.parametrize("measure", MEASURES[:4])
@pytest.mark.parametrize("prompt", ["likelihood.md.j2", "likelihood.chatml.md.j2"])
def test_the_practice_teacher_finds_fluent_answers_likelier_than_garbage(tmp_path, language, measure, prompt):
    question, good, bad = EXERCISES[language]
    fluent, garbage = over_http(
        tmp_path, [sample(question, good), sample(question, bad)], measure=measure, prompt=prompt
    )
    assert fluent < garbage if measure == "perplexity" else garbage < fluent < 0


@pytest.mark.parametrize(
    ("question", "of_it", "other"),
    [
        ("What is a xylograph?", "A xylograph is a xylograph.", "A bryozoan is a bryozoan."),
        ("鬱金香とは何ですか。", "鬱金香は鬱金香です。", "蒲公英は蒲公英です。"),
    ],
)
def test_an_answer_that_its_question_helps_with_is_less_difficult_than_one_that_it_does_not(
    tmp_path, question, of_it, other
):
    helped, not_helped = over_http(tmp_path, [sample(question, of_it), sample(question, other)], measure="ifd")
    assert 0 < helped < not_helped


def test_log_probabilities_arrive_in_spite_of_faults_on_the_way(tmp_path):
    ledger = []
    samples = [sample(f"{number}個で何円ですか。", f"{number}円です。") for number in range(20)]
    faulty = over_http(tmp_path / "faulty", samples, Faults(rate_limit=0.4, server_error=0.4), ledger)
    assert faulty == over_http(tmp_path / "straight", samples)
    assert {line.failure for line in ledger} == {"ok", "rate", "transient"}
