"""Checks that refuse what should not teach, and spare what only looks like it."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, ValidationError

from synth.errors import Rejected
from synth.schema import read
from synth.types import Message, Sample
from synth.validators.answer_format import AnswerFormat
from synth.validators.finished import Finished
from synth.validators.json_schema import JsonSchema
from synth.validators.language import Language, language_of, spoken
from synth.validators.length import Length
from synth.validators.refusal import Refusal
from synth.validators.repetition import Repetition


class Named(BaseModel):
    名: str


def answer(text: str, finish: str = "stop") -> Sample:
    turns = (Message(role="user", content="問い"), Message(role="assistant", content=text))
    return Sample(
        id="0", seed_id="0", parent_id="0", stage="s", draw=0, fields={}, messages=turns, finish_reason=finish
    )


def reason(validator, text: str, finish: str = "stop") -> str:
    try:
        validator.check(answer(text, finish))
    except Rejected as error:
        return error.reason
    return ""


REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "I’m sorry, I cannot help you with this request.",
    "Sorry, but I am unable to answer that question.",
    "I can't help with that.",
    "I won't be able to complete this task.",
    "As a language model, I don't have opinions and cannot answer.",
    "I must respectfully decline to answer.",
    "That's not something I can help with.",
    "I'm not comfortable discussing this topic.",
    "Unfortunately, I cannot provide medical advice.",
    "申し訳ございませんが、その質問にはお答えできません。",
    "すみません、そのご依頼にはお応えできかねます。",
    "申し訳ありませんが、対応できません。",
    "AI言語モデルとして、個人的な意見を述べることはできません。",
    "恐れ入りますが、医療上の助言を提供することはできません。",
    "残念ですが、お手伝いできません。",
    "その内容については回答を控えさせていただきます。",
    "ご質問の件については、お答えしかねます。",
    "I don't feel comfortable answering that.",
    "I'd rather not answer this question.",
    "I prefer not to respond.",
    "I'm afraid that's not possible for me to help with.",
    "That's not something I'm able to help with.",
    "I do not have the ability to answer.",
    "I cannot create content that promotes violence.",
    "As an AI, I cannot give medical advice.",
    "It would be inappropriate for me to answer that.",
    "Sorry, no.",
    "申し訳ありませんが、その件についてはお話しできません。",
    "申し訳ございませんが、お役に立てません。",
    "ご期待に沿うことができません。",
    "すみません、その質問には答えられません。",
    "申し訳ないですが、それはできません。",
    "そのような内容をお教えすることはできません。",
    "不適切な内容のため、お答えを控えます。",
    "この質問に答えることはできません。",
    "ごめんなさい、それには答えられないです。",
    "私にはその情報を提供する権限がありません。",
    "そのような情報を提供することはできません。",
    "恐縮ですが、この話題は扱えません。",
    "お答えすることができません。",
    "医療に関する助言はできません。",
]
NOT_REFUSALS = [
    "I'm sorry to hear that you are ill. Drink water, rest, and see a doctor if the fever stays.",
    "Sorry for the confusion: the total is 42.",
    "He wrote \"I'm sorry, but I can't help you\" and left the room. The tone is cold because there is no reason given.",
    "A square number cannot end in 2, because squares end in 0, 1, 4, 5, 6 or 9.",
    "You cannot divide by zero, so x = 0 has to be left out.",
    "Unfortunately the train is late. Translate: 残念ながら電車が遅れています。",
    "It can't be both even and odd, so the answer is 7.\n\nA: 7",
    "Penguins cannot fly, yet they are birds.",
    "I can help with that. First, list what you know.",
    "To decline politely, thank the host first and give a short reason.",
    "申し訳ありませんが、少し長めに説明します。まず全体を見ましょう。",
    "断りのメールの例です。「誠に申し訳ございませんが、今回はお引き受けできません。」",
    "ペンギンは飛ぶことができませんが、鳥の仲間です。",
    "ゼロで割ることはできません。したがって、x は 0 以外の数です。",
    "「できません」と言う前に、できる方法を三つ考えてみましょう。",
    "お問い合わせありがとうございます。返品は到着後7日以内に承ります。",
    "すみませんという言葉には、謝罪と感謝の二つの意味があります。",
    "この式は因数分解できないので、解の公式を使います。答え: 3",
    "We must share 12 sweets among 3 children.",
    "We need to pass a callback function to map, like this: map(f, xs).",
    "We must solve the equation 2x + 3 = 7.",
    "We have to give each child 4 sweets, so 3 children need 12.",
    "We cannot solve this by factoring, so we use the quadratic formula.",
    "Because the denominator would be zero, we're not allowed to divide here.",
    "In Python we can't create a set that contains a list. Use a tuple.",
    "We must refuse the null hypothesis only when p is below 0.05.",
    "As a language teacher, you should not correct every mistake at once.",
    "As an AI engineer you do not need a PhD, but you need practice.",
    "I have to write a letter.",
    "I cannot help feeling that the ending is sad.",
    "I can't answer the phone right now, so please leave a message.",
    "If I can't solve a riddle, I ask my sister.",
    "I'm not allowed to eat nuts because I am allergic.",
    "Dear Anna,\n\nI'm sorry, but I can't come to your party on Saturday. Have a great time!\n\nBest, Tom",
    "Dear Mr Smith,\n\nUnfortunately, I cannot support the plan in its present form.",
    "遠慮しないで、いつでも連絡してください。",
    "車内での通話はご遠慮ください。",
    "彼は2020年に会長職を辞退した。",
    "先約があるため、パーティーへの招待を丁重にお断りした。",
    "彼は質問に答えることができませんでした。",
    "難しい質問には答えられない人もいます。",
    "GETリクエストにはボディが含まれません。",
    "このAPIは古いリクエストに応じることができません。",
    "この方法では、共有ブックにテーブルを作成できません。テーブルを範囲に変換してください。",
    "この現象は古典力学では説明できません。量子力学が必要です。",
    "返品は商品到着後8日を過ぎると対応できません。",
    "お客様のご依頼には追加料金は必要ありません。",
    "ビタミンCは体内で作成できないため、食べ物からとる必要があります。",
    "山田様\n\n申し訳ございませんが、その日は出席できません。",
    "申し訳ない気持ちを伝えるのは難しいものです。",
    "いつもお引き立ていただき、ありがとうございます。\nお値引きの件は、ご期待に添えず申し訳ございません。納期を二週間延ばせば五％お引きできます。",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_refused(text):
    assert reason(Refusal(), text) == "refusal"


@pytest.mark.parametrize("text", NOT_REFUSALS)
def test_what_only_sounds_like_a_refusal_is_kept(text):
    assert reason(Refusal(), text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 4. " * 20,
        "まず計算します。" + "もう一度確認します。" * 15,
        "So we get\n" + "and then " * 40,
        "結果は" + "はい" * 60,
        "First part is fine and says something. " + "abc " * 50 + "ab",
        "値を求めます。" + "\n次の行です" * 30,
    ],
)
def test_a_loop_is_refused(text):
    assert reason(Repetition(), text) == "repetition"


@pytest.mark.parametrize(
    "text",
    [
        "| 月 | 円 |\n|---|---|\n" + "| 1月 | 100 |\n" * 3 + "合計は300円です。",
        "----------------------------------------------------------------\n見出し",
        "```python\n" + "x = x + 1\n" * 30 + "```\nThis adds one thirty times.",
        "あいうえお、かきくけこ、さしすせそ、たちつてと、なにぬねの",
        "1. りんごを洗う\n2. りんごを切る\n3. りんごを煮る\n4. りんごを冷ます\n5. りんごを盛る",
        "ha ha ha ha, that is funny. Now to the point: the sum is 12.",
        "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
        "10 + 10 = 20, 20 + 10 = 30, 30 + 10 = 40, 40 + 10 = 50, 50 + 10 = 60, so five steps are needed.",
        "000000000000000000000000",
    ],
)
def test_tables_code_lists_and_songs_are_kept(text):
    assert reason(Repetition(), text) == ""


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("東京は日本の首都で、人口はおよそ千四百万人です。", "ja"),
        ("ＡＰＩキーは環境変数に入れて、`os.environ` から読みます。", "ja"),
        ("ﾊﾝｶｸのｶﾀｶﾅでも日本語として読めます。", "ja"),
        ("The capital of Japan is Tokyo, and it is a large city.", "en"),
        ("Die Hauptstadt von Japan ist Tokio, und sie ist eine große Stadt.", "de"),
        ("La capitale du Japon est Tokyo, et c'est une grande ville pour tous.", "fr"),
        ("日本的首都是东京，它是世界上人口最多的城市之一，经济和文化都非常发达。", "zh"),
        ("일본의 수도는 도쿄이며 매우 큰 도시입니다.", "ko"),
        ("42", None),
        ("東京都千代田区", None),
        ("東京都、神奈川県、千葉県、埼玉県、茨城県、栃木県、群馬県、山梨県、長野県", None),
        ("温故知新、一石二鳥、四面楚歌、臥薪嘗胆、呉越同舟、大器晩成、起死回生", None),
        ("1. 織田信長\n2. 豊臣秀吉\n3. 徳川家康\n4. 武田信玄\n5. 上杉謙信\n6. 伊達政宗\n7. 毛利元就", None),
        ("目的: 国語学習、数学学習、理科学習、社会科学習、英語学習、音楽鑑賞", None),
        ("這個問題的答案是三十五，因為我們把兩個數字加在一起了，所以沒有別的答案。", "zh"),
        ("经济发展与环境保护关系密切，应当统筹规划，协调推进，实现双赢局面。", "zh"),
        ("Lloyd makes $504 per day. Per week Lloyd makes 7 times that, so he has $3528.", "en"),
        ("```python\nprint('hello world, this is code')\n```", None),
        ("He runs 3*3=9 sprints per week\nSo he runs 9*60=540 meters per week\nA: 540", "en"),
        ("Per day, Lloyd makes 252 eggs * $2 = $504.\nPer week, Lloyd makes $504 * 7 = $3528.\nA: 3528", None),
        ("Per una settimana di corsa, Lloyd fa 9 gare per 60 metri.", "it"),
    ],
)
def test_languages_are_told_apart(text, language):
    assert language_of(spoken(text)) == language


def test_the_wrong_language_is_refused_and_quotations_and_code_are_not_judged():
    assert (
        reason(Language(language="ja"), "Read the question carefully and then write down what you know.")
        == "wrong_language"
    )
    assert (
        reason(Language(language="en"), "まず問題をよく読んで、分かっていることを書き出しましょう。")
        == "wrong_language"
    )
    assert reason(Language(language="en"), "The word 「ありがとうございます」 is what you say to thank someone.") == ""
    assert (
        reason(
            Language(language="ja"), "次のコードを実行します。\n```python\nfor number in range(100): print(number)\n```"
        )
        == ""
    )
    assert reason(Language(language="ja"), "FastAPI の Depends を使うと dependency injection ができます。") == ""


def test_a_cut_text_is_refused():
    assert reason(Finished(), "途中で", "length") == "truncated"
    assert reason(Finished(), "```python\nprint(1)") == "truncated"
    assert reason(Finished(), "```python\nprint(1)\n```") == ""


def test_length_counts_characters_of_any_script():
    assert reason(Length(min_chars=3), "二字") == "too_short"
    assert reason(Length(max_chars=4), "五文字です") == "too_long"
    assert reason(Length(min_chars=2, max_chars=5), "五文字です") == ""


@pytest.mark.parametrize(("most", "wanted"), [(4, "too_long"), (5, ""), (None, "")])
def test_a_seed_may_say_its_own_length(most, wanted):
    turns = (Message(role="user", content="?"), Message(role="assistant", content="五文字です"))
    fields = {"most": most}
    sample = Sample(id="0", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields=fields)
    found = ""
    try:
        Length(max_from="most").check(sample)
    except Rejected as error:
        found = error.reason
    assert found == wanted


@pytest.mark.parametrize(
    "text", ["説明。\n\n答え: 12", "Steps.\n\n**Answer:** 12", "\\boxed{12}", "#### 12", '{"a": 1}', "答えは 12"]
)
def test_a_marked_answer_is_found(text):
    assert reason(AnswerFormat(), text) == ""


@pytest.mark.parametrize("text", ["全部で12個になります", "It is about twelve", "12"])
def test_an_unmarked_answer_is_refused(text):
    assert reason(AnswerFormat(), text) == "no_final_answer"


def test_a_pattern_of_ones_own_is_used_and_checked():
    assert reason(AnswerFormat(pattern=r"^結論:\s*\S+"), "前置き\n結論: 可") == ""
    assert reason(AnswerFormat(pattern=r"^結論:\s*\S+"), "A: 1") == "no_final_answer"
    with pytest.raises(ValidationError, match="regular expression"):
        AnswerFormat(pattern="(")


def test_json_must_fit_its_shape():
    pytest.importorskip("jsonschema")
    shape = {"type": "object", "properties": {"名前": {"type": "string"}}, "required": ["名前"]}
    validator = JsonSchema(shape=shape)
    good = json.dumps({"名前": "花子"}, ensure_ascii=False)
    assert reason(validator, good) == ""
    assert reason(validator, f"```json\n{good}\n```") == "invalid_json"
    assert reason(JsonSchema(shape=shape, fences=True), f"```json\n{good}\n```") == ""
    assert reason(validator, '{"名前": 1}') == "schema_mismatch"
    assert reason(validator, "{'名前': 1}") == "invalid_json"
    with pytest.raises(ValidationError, match="not a JSON schema"):
        JsonSchema(shape={"type": "nonsense"})


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"properties": {"名前": {"$ref": "#/$defs/名"}}}, "leads nowhere"),
        ({"$ref": "http://127.0.0.1:9/none.json"}, "leads nowhere"),
        ({"$ref": "#"}, "back to itself"),
        ({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"allOf": [{"$ref": "#/$defs/x"}]}}}, "to itself"),
    ],
)
def test_a_schema_that_could_not_be_applied_is_refused_at_once(shape, sentence):
    pytest.importorskip("jsonschema")
    with pytest.raises(ValidationError, match=sentence):
        JsonSchema(shape=shape)


def test_a_schema_may_refer_to_itself_one_level_down():
    pytest.importorskip("jsonschema")
    tree = JsonSchema(shape={"type": "object", "properties": {"子": {"$ref": "#"}}})
    assert reason(tree, '{"子": {"子": {}}}') == ""
    assert reason(tree, '{"子": {"子": 1}}') == "schema_mismatch"


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"名": "花子"}\n```',
        '```json\r\n{"名": "花子"}\r\n```\r\n',
        '```json {"名": "花子"}```',
        '```{"名": "花子"}```',
        '\ufeff{"名": "花子"}',
        '\ufeff```json\n{"名": "花子"}\n```',
    ],
)
def test_a_fence_of_any_shape_and_a_byte_order_mark_are_taken_off(text):
    found = read(Named, text).value
    assert found is not None
    assert found.名 == "花子"
    assert reason(JsonSchema(fences=True), text) == ""
