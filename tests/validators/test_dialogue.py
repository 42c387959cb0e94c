"""Who says what in a dialogue, and texts that say nothing."""

from __future__ import annotations

import json

import pytest

from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.dialogue import Dialogue, find_slip
from synth.validators.hollow import Hollow, is_hollow


def sample(*turns: str) -> Sample:
    messages = tuple(Message(role="assistant" if at % 2 else "user", content=text) for at, text in enumerate(turns))
    return Sample(id="0", seed_id="0", parent_id="0", stage="talk", draw=0, messages=messages, fields={})


@pytest.mark.parametrize(
    "text",
    [
        "How can I help you today?",
        "I'd be happy to help you with that.",
        "As an AI language model, I have no views on it.",
        "Thanks.\n\n**Assistant:** You're welcome.",
        "<assistant>Of course.</assistant>",
        "他に何かご質問はありますか。",
        "お手伝いできることがあれば教えてください。",
        "お気軽にご質問ください。",
        "AIとして、お答えします。",
        "分かりました。\nアシスタント：では始めます。",
        "　",
    ],
)
def test_a_user_who_speaks_as_the_assistant_is_found(text):
    assert find_slip(Message(role="user", content=text)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "How can I help my daughter with fractions?",
        'Write a greeting for our shop that begins "How can I help you today?"',
        "Is an AI model allowed to give legal advice?",
        "Let me know if you need more details about the roof.",
        "I am here to pick up a parcel; how do I say that politely?",
        "娘の宿題を手伝うこつを教えてください。",
        "「お気軽にご質問ください」を英語にしてください。",
        "状況をご説明しますので、一緒に考えてもらえますか。",
        "AIを使った採用は法律上問題ありませんか。",
    ],
)
def test_what_users_say_is_no_slip(text):
    assert find_slip(Message(role="user", content=text)) is None


def test_an_assistant_may_write_lists_and_letters_but_not_the_users_next_turn():
    assert find_slip(Message(role="assistant", content="Name: Ken\n\nAddress: Osaka")) is None
    assert find_slip(Message(role="assistant", content="はい、できます。\n\nユーザー：ありがとう")) is not None


@pytest.mark.parametrize(
    ("turns", "echoes"),
    [
        (["Which fuse do I need?", "13 amps.", "Which fuse do I need??", "13."], True),
        (["どのヒューズですか。", "13アンペアです。", "そうですか。では5アンペアでは？", "足りません。"], False),
        # the same question with other numbers is another question
        (["What are 12 apples at $3 each?", "$36", "What are 15 apples at $3 each?", "$45"], False),
        (
            [
                "税抜き203円の税込み価格は何円ですか。",
                "223円です。",
                "税抜き305円の税込み価格は何円ですか。",
                "335円です。",
            ],
            False,
        ),
        # a user who hands the answer back
        (
            [
                "How?",
                "Rinse the rice three times and let it soak for thirty minutes before you cook it.",
                "Rinse the rice three times and let it soak for thirty minutes before you cook it",
                "Yes.",
            ],
            True,
        ),
        (
            [
                "炊き方は？",
                "米を三回すすぎ、三十分ほど水に浸してから火にかけてください。",
                "米を三回すすぎ、三十分ほど水に浸してから火にかけてください",
                "はい。",
            ],
            True,
        ),
        # an assistant that corrects a text repeats most of it
        (
            [
                "Correct this: He go to school every day and like it very much.",
                "He goes to school every day and likes it very much.",
            ],
            False,
        ),
        (["直してください：昨日は友達と映画を見るました。", "昨日は友達と映画を見ました。"], False),
    ],
)
def test_saying_again_what_was_said_is_an_echo(turns, echoes):
    if echoes:
        with pytest.raises(Rejected, match="echo"):
            Dialogue().check(sample(*turns))
    else:
        Dialogue().check(sample(*turns))


@pytest.mark.parametrize("text", ["And so?", "…", "", "それは、そうです。", "はい、そうです。", "It is what it is."])
def test_function_words_alone_say_nothing(text):
    assert is_hollow(text)


@pytest.mark.parametrize("text", ["B", "ウ", "42", "東京", "さくら", "It rains.", "雨です。", "かに"])
def test_a_short_answer_says_something(text):
    assert not is_hollow(text)


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("Sorry, that is too much to go into here.", True),
        ("申し訳ありませんが、長くなるので控えます。", True),
        ("Sorry if this is long. 12 x 3 = 36, so the answer is 36.", False),
        ("申し訳ありませんが、少し長く説明します。12×3=36です。", False),
        ("Dear Ms Okoro, I am sorry that the parcel came late.", False),
        (
            "Sorry to hear that. "
            + "First call the bank and have the card blocked, then write down every payment. " * 8,
            False,
        ),
    ],
)
def test_an_apology_that_answers_nothing_is_refused(answer, refused):
    if refused:
        with pytest.raises(Rejected, match="hollow"):
            Hollow().check(sample("?", answer))
    else:
        Hollow().check(sample("?", answer))


def test_turns_that_only_call_tools_are_no_echo_of_each_other():
    calls = [sample("天気は？", "").messages[1]] * 2
    turns = (
        Message(role="user", content="金沢と富山の天気は？"),
        *calls,
        Message(role="assistant", content="晴れです。"),
    )
    Dialogue().check(Sample(id="0", seed_id="0", parent_id="0", stage="talk", draw=0, messages=turns, fields={}))


def test_a_sample_is_seen_at_each_of_its_answers():
    whole = sample("a", "b", "c", "d")
    assert [one.answer() for one in whole.by_answer()] == ["b", "d"]
    assert [len(one.messages) for one in whole.by_answer()] == [2, 4]
    assert whole.by_answer()[-1] is whole
    assert sample("a").by_answer() == (sample("a"),)


def test_every_answer_of_a_dialogue_in_a_file_is_checked(tmp_path, synth):
    turns = [
        "税率は？",
        "申し訳ありませんが、そのご質問にはお答えできません。",
        "では店では？",
        "食品は8%、ほかは10%です。",
    ]
    messages = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(turns)]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": messages}, ensure_ascii=False), encoding="utf-8")
    said = synth("validate", "rows.jsonl", "--check", "refusal", "--json")
    assert json.loads(said.stdout)["removed"] == {"refusal": 1}
