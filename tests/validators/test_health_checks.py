"""What each health check refuses, and what only looks like it, in English and Japanese."""

from __future__ import annotations

import json
import re._constants as sre
import re._parser
from pathlib import Path

import pytest

from synth.types import Message, Sample
from synth.validators import identity, language, leakage, markdown
from synth.validators.finished import find_truncation
from synth.validators.identity import find_self_identification
from synth.validators.language import find_language_drift
from synth.validators.leakage import Leakage, find_prompt_leak, find_template_leak
from synth.validators.markdown import find_broken_markdown, find_broken_tool_call
from synth.validators.merged import find_merged
from synth.validators.pii import find_pii
from synth.validators.placeholders import PLACEHOLDER, find_placeholder
from synth.validators.references import REFERENCE, find_missing_reference
from synth.validators.refusal import find_soft_refusal
from synth.validators.repetition import find_repetition
from synth.validators.script import find_damage, find_mixed_script
from synth.validators.toxicity import find_toxic

WHOLE = [
    "The list has three parts: one, two and three",
    "1. Wash the rice\n2. Soak it for half an hour\n3. Boil it",
    "It was a long day, and then we went home. Thank you for reading!",
    "Read the [guide](https://example.org/a_(b)/c).",
    "See the manual (https://example.org/manual) for more.",
    "He asked what the box was for.",
    'The board is 12" wide and 30" long',
    "The interval is [0, 1) and it is not closed on the right.",
    "She smiled :) and left the room without a word.",
    "Dear Ms Sato,\n\nThank you for the book.\n\nYours sincerely,",
    "1) first\n2) second",
    "米をといで三十分水につけます。そのあと炊きます",
    "夏は海に行きました。とても楽しかったです（笑）",
    "彼は「行きます」と言いました。それから出かけました。",
    "今日はいい天気ですね。散歩に行こうかな",
    "手順は次のとおりです。\n・洗う\n・切る\n・煮る",
    "詳しくは https://example.jp/案内 を見てください。",
    "以上です。よろしくお願いします",
    "答えは次の式で求めます。\n\\(a + b = c\\)",
    "説明します。準備するものは包丁とまな板",
    "私も好きです。特に好きなのは夏の花火",
    "詳しく調べました。結果は次のとおり",
    "行きましょう。さあ、早く早く",
    "そんなことは言っていません。私が言ったのは昨日のこと",
    "後の人が当たる確率を求めました。答え：2/5。どちらの人も同じ",
]
CUT = [
    "The three main causes of the war were the alliances, the arms race and the",
    "It depends on the weather. If it rains, the match will be played in the sports hall near",
    "The steps are these. First we add the numbers (being careful with the signs",
    "To sum up, the plan has merits,",
    "主な原因は三つあります。一つ目は同盟関係、二つ目は軍備拡張、三つ目は",
    "値を求めました。次にこれを元の式に代入すると、両辺が等しくなりまし",
    "彼は静かに言いました。「明日になれば",
    "この表現には二つの意味があり、一つは謝罪、",
    "```python\nprint(1)\n```\n\n~~~js\nlet a",
    "````markdown\n```\ninner\n```\n",
]


@pytest.mark.parametrize("text", WHOLE)
def test_a_text_that_ends_where_it_may_is_whole(text):
    assert find_truncation(text) is None


@pytest.mark.parametrize("text", CUT)
def test_a_text_that_ends_too_early_is_cut_whatever_the_server_says(text):
    assert find_truncation(text, "stop")


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("If the fever lasts for three days, see a doctor. Until then rest and drink water.", "I have a fever."),
        ("You should consult a lawyer.", "Whom should I ask about my lease?"),
        ("It depends on the size: small dogs live longer than large ones.", "How old do dogs get?"),
        ("Mix flour and water. For allergies, consult a doctor.", "How do I make dough?"),
        ("熱が続くときは医師に相談してください。それまでは水分をとって休みましょう。", "熱があります。"),
        ("弁護士に相談するのがよいでしょう。", "賃貸のトラブルは誰に聞けばいいですか。"),
        ("場合によりますが、小型犬の寿命は長めです。", "犬の寿命は？"),
    ],
)
def test_an_answer_that_mentions_limits_or_help_is_no_soft_refusal(text, question):
    assert find_soft_refusal(text, question) is None


@pytest.mark.parametrize(
    "text",
    [
        "The Russian word спасибо means thanks.",
        "In Thai one says สวัสดี to greet people.",
        "The temperature is 20 °C, Δx is 5 μm and π is 3.14.",
        "Café, naïve and Zürich keep their accents – “quotes” too… 😀👍🏽",
        "東京（Tokyo）は日本の首都です。APIの仕様はRFCを参照。",
        "顔文字(´д｀)や(*´▽｀*)も使えます。",
        "「안녕하세요」は韓国語のあいさつです。",
        "中国語では「谢谢」と言います。",
        "数値は①〜③、単位は㎏と℃、部首は⺡です。",
        "The sushi place is called 寿司 in Japanese.",
        "São Paulo and NÃO are written with a tilde.",
        "髙橋さんと﨑山さんは彁という字を知っています。",
        "文字化けすると、日本語が「繧」「縺」のような字の並びになります。",
    ],
)
def test_foreign_words_signs_and_faces_in_their_place_are_kept(text):
    assert find_damage(text) is None
    assert find_mixed_script(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "We then считаем the sum.",
        "これはпростоな問題ですから、順番に計算しましょう。",
        "答えは这个です。",
        "The 合計 is 42, as we saw.",
        "次に더하기をします。それから答えを書きます。",
    ],
)
def test_stray_letters_of_another_script_are_found(text):
    assert find_mixed_script(text, "What is 40 + 2?")


@pytest.mark.parametrize(
    "text",
    [
        "It\u00e2\u20ac\u2122s fine",
        "caf\u00c3\u00a9",
        "\u00e3\u0081\u201c\u00e3\u201a\u0152",
        "文字\ufffd化け",
        "\ud83d half",
        "a\u0000b",
    ],
)
def test_damage_of_encoding_is_found(text):
    assert find_damage(text)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("ChatML wraps a turn like this:\n```\n<|im_start|>user\n```", "What is ChatML?"),
        ("<|im_start|> marks the beginning of a turn.", "What does <|im_start|> mean?"),
        ("## Output\n\nThe program prints 3. ### Input", "Describe the program."),
        ("Alice: Hi!\nUser: Hello!\nAssistant: How can I help?", "Write a chat between a user and an assistant."),
        ("The user: a person who uses a thing.\nThat is all.", "Define it."),
        ("システムの指示どおりに動く装置です。", "システムへの指示とは何ですか。"),
        ("The generic <T> and the tags <s> and <b> are HTML or Java.", "What are these?"),
    ],
)
def test_templates_in_code_in_the_question_or_as_prose_are_no_leak(text, question):
    assert find_template_leak(text, question) is None
    assert find_prompt_leak(text, "", question) is None


def test_a_long_sentence_of_the_system_turn_is_a_leak_and_a_short_or_asked_one_is_not():
    system = "Be kind. You are a patient tutor who never reveals the answer before the pupil has tried. 静かに。"
    assert find_prompt_leak(
        "You are a patient tutor who never reveals the answer before the pupil has tried. Well?", system
    )
    assert find_prompt_leak("Be kind. 静かに。", system) is None
    said = "you are a PATIENT tutor who never reveals the answer before the pupil has tried."
    assert find_prompt_leak(said, system, f"Translate: {said}") is None
    turns = [
        Message(role="system", content=system),
        Message(role="user", content="q"),
        Message(role="assistant", content=system),
    ]
    sample = Sample(id="0", seed_id="0", parent_id="0", stage="s", draw=0, messages=tuple(turns), fields={})
    with pytest.raises(Exception, match="prompt_leak"):
        Leakage().check(sample)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("OpenAI released the model in 2022, and Google followed with Bard.", "When did it begin?"),
        ("As an AI engineer I would start with Python.", "Where should I start?"),
        ("AI is short for artificial intelligence.", "What is AI?"),
        ("As an assistant manager, my job was to plan the shifts.", "Tell me about your job."),
        ("My knowledge of French is poor.", "Do you speak French?"),
        ("AIとして知られる技術は、1950年代に始まりました。", "AIの歴史は？"),
        ("OpenAIが開発したモデルの一つがGPT-4です。", "GPT-4とは何ですか。"),
        ("私の知識では、彼は東京に住んでいます。", "彼はどこにいますか。"),
        ("クロードは画家です。", "クロード・モネとは？"),
    ],
)
def test_talk_about_ai_is_no_self_identification(text, question):
    assert find_self_identification(text, question) is None


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Dear [Your Name],", "Write a template for a letter."),
        ("Use [text](https://example.org) for links and [x] for boxes; see [1] and [a, b].", "How does Markdown work?"),
        ("```python\nprint(f'{name}')  # TODO\n```", "Show an f-string."),
        (r"\frac{numerator}{denominator} and the set {a, b}", "Show a fraction."),
        ("The shirt comes in L, XL and XXL; XXX is a film.", "Sizes?"),
        ("○が正解、×が不正解です。△は保留です。", "記号の意味は？"),
        ("「〇〇は△△です」という形で答えます。", "文型を説明してください。"),
        ("必要事項（名前や住所）を入力します。", "申し込み方は？"),
        ("〇〇様", "メールのひな形を書いてください。"),
        ("○○に入るのは「金魚」です。", "夏祭りの定番「○○すくい」。○○に入る魚は？"),
        ("Array access is a[name] and the type is List<String>.", "Syntax?"),
    ],
)
def test_brackets_signs_and_blanks_that_were_asked_for_are_no_placeholders(text, question):
    found = find_placeholder(text, question)
    assert found is None or found == "XXX"


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("A picture says more than a thousand words. The chart topped in May.", "Explain the proverb."),
        ("![map](map.png)\n\nThe map above shows the way.", "Which way?"),
        ("Dear Mr Sato,\n\nI have attached my report.\n\nBest, Jo", "Reply to him."),
        ("Please find the attached file.", "Write an e-mail to your boss."),
        ("The image shows a dog; see the image above.", "Describe the image."),
        ("```\n+--+\n```\nThe diagram above is a box.", "Draw a box."),
        ("The following table lists the results; the table below too.", "List them."),
        ("次の図形の面積を求めます。図書館は上の階にあります。", "面積は？"),
        ("写真に写っている人は笑っています。", "写真を説明してください。"),
        ("添付ファイルをご確認ください。", "取引先へのメールを書いてください。"),
        ("詳しくは https://example.jp の図を見てください。こちらをクリックします。", "どこで見られますか。"),
        ("添付文書とは薬の説明書です。", "薬の添付文書とは？"),
    ],
)
def test_things_that_are_there_or_were_spoken_of_are_not_missing(text, question):
    assert find_missing_reference(text, question) is None


@pytest.mark.parametrize(
    "text",
    [
        "Write a recipe:\n1. List the ingredients\n2. Describe the steps\n3. Give a serving tip",
        "Which is larger? Explain why.\n\n1. 3/4\n2. 2/3",
        "Read the text and answer: What happened? Who was there?",
        "1. Apples\n2. Pears\n3. Plums\nSort these.",
        "Task 1 of the exam was hard. Write about it.",
        "次の二つの質問に答えてください。\n1. 首都はどこですか。\n2. 人口は何人ですか。",
        "俳句を一つ作り、その意味を説明してください。",
        "問1を解くのに5分かかりました。問2には何分かかりますか。",
        "以下の文を要約してください。\n---\n昔々、あるところに人が住んでいました。",
        "Find the fault and give the corrected loop.\n\nmiddle = (low + high) // 2\nif not found: return low  # which one?",
        "つぎの ぶんを みじかく して ください。\n\n来院前に必ずお電話にてご連絡の上、東側の入口をご利用ください。",
    ],
)
def test_one_task_with_its_steps_or_choices_is_no_merger(text):
    assert find_merged(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3 |",
        "| a \\| b | c |\n|---|---|\n| `x|y` | 2 |",
        "|x| is the absolute value of x, and P(A|B) is conditional.",
        "In Python 2**3 is 8 and **kwargs collects the rest.",
        "**Bold** and *italic* and ***both***.",
        "これは**「強調」**です。**太字**も使えます。",
        "It costs $5 or $$ in slang, they say $$.",
        "[a](https://example.org/a_(b)) and [b](<https://example.org/x y>) and [c](https://example.org 'title')",
        "````\n```\nnot closed inside\n````",
        '```json\n{"a": 1, ...}\n```',
        '```json\n{"a": 1}\n```\n```json\n[]\n```',
        "A * starts an item; 5 ** 2 is odd.",
    ],
)
def test_sound_markdown_is_kept(text):
    assert find_broken_markdown(text) is None
    assert find_broken_tool_call(text) is None


def test_a_sound_tool_call_is_kept():
    assert find_broken_tool_call('<tool_call>\n{"name": "f", "arguments": {"都市": "京都"}}\n</tool_call>') is None
    assert find_broken_tool_call('[TOOL_CALLS] [{"name": "f", "arguments": {}}]') is None
    assert find_broken_tool_call("<function=f>{}</function>") is None
    assert find_broken_tool_call("The tag <tool_call> opens a call.\n```\nx\n```") is not None


@pytest.mark.parametrize(
    "text",
    [
        "Write to someone@example.com, info@toyota.example or support@company.com.",
        "Call 0120-828-828 or 555-0142; the number 123-456-7890 is an example. 03-1234-5678も例です。",
        "1234567890123456 divided by 12 and 3141592653589793 are numbers.",
        "4111111111111111 + 1 = 4111111111111112",
        "In 2024-11-25 and 1999-12-31, pages 100-200, ISBN 978-4-00-310101-8.",
        "123456789018 - 1 = 123456789017",
        "192.168.0.1 and 10.0.0.255 are private; v1.2.3-4567 is a version.",
        "郵便番号は7桁（例：100-0001）です。",
        "人口は1,234,567人、面積は123-456-7890平方メートルではありません。",
    ],
)
def test_numbers_and_addresses_that_belong_to_nobody_are_no_personal_data(text):
    assert find_pii(text) is None


@pytest.mark.parametrize(
    ("text", "words", "question"),
    [
        ("She shut the door. The cat is a mongrel; class, assess, Scunthorpe.", (), ""),
        ("死ねばいいとは思わない。人は死ねない。クズ野菜とカステラを食べた。", (), ""),
        ("電気が消え、ろうそくをつけた。", (), ""),
        ("fucked up", (), "Find the toxic phrase: this is so fucked up."),
    ],
)
def test_words_that_only_contain_or_quote_abuse_are_kept(text, words, question):
    assert find_toxic(text, words, question) is None


def test_words_of_ones_own_are_whole_words_in_latin_letters_only():
    assert find_toxic("What a Dunce!", ("dunce",)) == "dunce"
    assert find_toxic("dunces", ("dunce",)) is None
    assert find_toxic("このたわけ者め", ("たわけ",)) == "たわけ"


@pytest.mark.parametrize(
    ("text", "wanted", "question"),
    [
        ("Die Antwort ist zwölf, weil die Summe der beiden Zahlen zwölf ist.", "de", ""),
        ("Antwoord: het is twaalf, want de som van de getallen is twaalf.", "nl", ""),
        ("Svaret är tolv, för att summan av talen är tolv och det är allt.", "sv", ""),
        ("Svaret er tolv, for summen av tallene er tolv og det er alt.", "nb", ""),
        ("Odpowiedź to dwanaście, ponieważ suma tych liczb jest równa dwanaście i nie jest inna.", "pl", ""),
        ("La resposta és dotze, perquè la suma dels dos nombres és dotze i no és una altra.", "ca", ""),
        ("Відповідь дванадцять, тому що сума цих чисел дорівнює дванадцяти.", "uk", ""),
        ("Отговорът е дванадесет, защото сборът на числата е дванадесет.", "bg", ""),
        ("The answer is that it was sold to them by the man.", "ja", "次の文を英語に訳してください。"),
        ("犬と猫", "en", ""),
        ("東京都、神奈川県、千葉県、埼玉県、茨城県、栃木県", "ja", ""),
        ("以下のコマンドを使います。\n\n```\npip install the package and then run it with the flags\n```", "ja", ""),
    ],
)
def test_a_text_in_the_language_wanted_or_asked_for_does_not_drift(text, wanted, question):
    assert find_language_drift(text, wanted, question) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Das Ergebnis ist zwölf, weil die Summe der beiden Zahlen zwölf ist.", "en"),
        ("The answer is twelve, because that is the sum of the two numbers.", "sw"),
        ("Ответ двенадцать, потому что сумма этих чисел равна двенадцати.", "en"),
        ("الجواب هو اثنا عشر لأن مجموع العددين هو اثنا عشر.", "ja"),
        ("คำตอบคือสิบสองเพราะผลรวมของตัวเลขคือสิบสอง", "ja"),
        ("答案是十二，因为这两个数字加起来就是十二，没有别的可能。", "ja"),
        (
            "まず二つの数を足します。\n\nThen we divide the sum by the number of the pupils, and that is the answer to the question of the day.",
            "ja",
        ),
        (
            "We first add the two numbers.\n\nそれから生徒の人数で割ると、一人分の答えが出ます。これで終わりです。間違いがないかもう一度見直してください。",
            "en",
        ),
    ],
)
def test_drift_into_another_language_is_found(text, wanted):
    assert find_language_drift(text, wanted)


def test_a_loop_whose_unit_is_long_or_cut_off_is_found():
    unit = "We add the next number to the sum, write it down, and look at the one after it in the list. "
    assert find_repetition("Let us begin. " + unit * 6 + unit[:50])
    assert find_repetition("はじめます。" + "次の数を足して、書き留めて、その次の数を見ます。" * 6 + "次の数を足し")
    assert find_repetition("Let us begin. " + unit * 2) is None


@pytest.mark.parametrize("size", range(4, 25))
def test_a_loop_that_a_text_comes_out_of_is_found_wherever_it_begins_and_however_long_its_unit_is(size):
    unit, end = (
        "かきくけこさしすせそたちつてとなにぬねのはひふへほ"[:size],
        "、と続いたあと、ようやく本題に戻って答えを述べます。",
    )
    for before in range(8):
        assert "runs in a loop" in str(find_repetition("答えはこちらです"[:before] + unit * 7 + end))
        assert find_repetition("答えはこちらです"[:before] + unit * 2 + end) is None


@pytest.mark.parametrize("gaps", [" ", ",", "、", ", ", " ,", ", ,  "])
def test_a_word_over_and_over_is_found_whatever_parts_its_copies(gaps):
    words = "".join("again" + gaps[at % len(gaps)] for at in range(12))
    assert "runs in a loop" in str(find_repetition(f"Let us count {words}and there we come to the end of it at last."))
    words = "".join(f"word{chr(97 + at)}" + gaps[at % len(gaps)] for at in range(12))
    assert find_repetition(f"Let us count {words}and there we come to the end of it at last.") is None


CASES = [
    json.loads(line) for line in Path(__file__).with_name("wordings.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(
    ("module", "marks", "find"),
    [
        (identity, ("SELF_MARKS",), lambda case: find_self_identification(case["answer"], case["question"])),
        (leakage, ("TEMPLATE_MARKS",), lambda case: find_template_leak(case["answer"], case["question"])),
        (
            leakage,
            ("PROMPT_MARKS", "HEADING_MARKS"),
            lambda case: find_prompt_leak(case["answer"], "", case["question"]),
        ),
        (markdown, ("CALL_MARKS",), lambda case: find_broken_tool_call(case["answer"])),
        (language, ("CLAUSE_MARKS",), lambda case: find_language_drift(case["answer"], "ja", case["question"])),
    ],
    ids=["identity", "template", "prompt", "tool call", "language"],
)
def test_the_marks_looked_for_first_spare_time_and_change_no_verdict(monkeypatch, module, marks, find):
    """A wording that joins a pattern without its mark joining too would never be found."""
    quick = [find(case) for case in CASES]
    for name in marks:
        monkeypatch.setattr(module, name, ("",))  # which is in every text
    assert [(bool(one), case["answer"]) for one, case in zip(quick, CASES, strict=True)] == [
        (bool(find(case)), case["answer"]) for case in CASES
    ]
    assert any(quick)


@pytest.mark.parametrize("wanted", ["en", "ja", "de"])
def test_what_tells_at_once_that_a_text_is_in_no_other_language_changes_no_verdict(monkeypatch, wanted):
    texts = [
        *(case["answer"] for case in CASES),
        "He said that he had not seen it. Nein, das ist nicht wahr, und es geht um das Haus.",
    ]
    texts += [text[at:] + text[:at] for text in texts for at in (len(text) // 3, len(text) // 2)]
    quick = [find_language_drift(text, wanted) for text in texts]
    monkeypatch.setattr(language, "_only", lambda *_: False)
    assert quick == [find_language_drift(text, wanted) for text in texts]
    assert any(quick)
    assert not all(quick)


def beginnings(parsed, known):
    """The characters that a match of a pattern may begin with, but for where it begins as is `known`."""
    found = set()
    for kind, of in parsed:
        if kind is sre.AT and (kind, of) in known:
            return found
        if kind in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
            continue
        if kind in (sre.LITERAL, sre.IN):
            return found | ({(kind, of)} if kind is sre.LITERAL else set(of))
        inner = of[1] if kind is sre.BRANCH else [of[-1]]
        found = found.union(*(beginnings(one, known) for one in inner))
        if kind in (sre.BRANCH, sre.SUBPATTERN) or of[0]:
            return found
    return found


@pytest.mark.parametrize("pattern", [PLACEHOLDER, REFERENCE])
def test_all_that_a_match_may_begin_with_is_told_before_the_pattern(pattern):
    """A wording that begins otherwise would never be found."""
    (kind, (_, before)), *body = re._parser.parse(pattern.pattern, pattern.flags)
    assert kind is sre.ASSERT
    parts = before[0][1][1] if before[0][0] is sre.BRANCH else [before]
    known = {one for ((kind, of),) in parts for one in (of if kind is sre.IN else [(kind, of)])}
    assert beginnings(body, known) <= known
