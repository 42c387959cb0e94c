"""Reply health: how many planted faults each check catches, and how many texts that nobody here wrote it refuses."""

from __future__ import annotations

import csv
import json
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random

import pytest

from synth.backends.practice.ailments import AILMENTS
from synth.backends.practice.answering import say
from synth.backends.practice.faults import UNHEALTHY
from synth.backends.practice.questions import TASKS
from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.finished import Finished
from synth.validators.identity import find_self_identification
from synth.validators.language import NAMES, SCRIPTS, WORDS, Language
from synth.validators.leakage import Leakage
from synth.validators.markdown import Markdown
from synth.validators.merged import Merged
from synth.validators.pii import Pii
from synth.validators.placeholders import Placeholders, find_placeholder
from synth.validators.references import References
from synth.validators.refusal import Refusal
from synth.validators.repetition import Repetition
from synth.validators.script import Script
from synth.validators.toxicity import Toxicity

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
ROUNDS = 110
SYSTEM = {
    "en": "You are a patient teacher of arithmetic. Show every step of the way and never guess a number.",
    "ja": "あなたは算数を教える根気強い先生です。途中の式をすべて書き、数を当て推量で答えてはいけません。",
}
REASONS = {
    "refusal": {"refusal"},
    "truncation": {"truncated"},
    "repetition": {"repetition"},
    "wrong_language": {"wrong_language"},
    "silent_cut": {"truncated"},
    "soft_refusal": {"soft_refusal", "refusal"},
    "drift": {"wrong_language", "mixed_script"},
    "garbled": {"damaged_text", "mixed_script"},
    "leak": {"template_leak"},
    "prompt_leak": {"prompt_leak"},
    "self_identification": {"self_identification"},
    "placeholder": {"placeholder"},
    "missing_reference": {"missing_reference"},
    "broken_markdown": {"broken_markdown", "truncated"},
    "broken_tool_call": {"broken_tool_call"},
    "pii": {"pii"},
    "toxic": {"toxic"},
    "merged": {"merged_instructions"},
}
"""What each planted fault may be refused for."""


def checks(language: str):
    return (
        Finished(), Refusal(), Repetition(), Script(), Language(language=language), Leakage(), Placeholders(),
        References(), Merged(), Markdown(), Pii(), Toxicity(),
    )  # fmt: skip


def reasons(sample: Sample, language: str) -> dict[str, str]:
    """Every reason for which one check or other refuses a sample, with its detail."""
    found = {}
    for check in checks(language):
        try:
            check.check(sample)
        except Rejected as error:
            found[error.reason] = error.detail
    return found


def sample(question: str, answer: str = "", system: str = "", finish: str = "stop") -> Sample:
    turns = [Message(role="system", content=system)] if system else []
    turns += [Message(role="user", content=question)]
    turns += [Message(role="assistant", content=answer)] if answer else []
    return Sample(
        id="0", seed_id="0", parent_id="0", stage="s", draw=0, fields={}, messages=tuple(turns), finish_reason=finish
    )


def planted(language: str, templates: str):
    """Every answer and instruction of the unwell practice teacher, with its fault."""
    faults = UNHEALTHY.model_copy(update={"templates": templates})
    rng = Random(7)
    for task in [task for task in TASKS if task.language == language]:
        for draw in range(ROUNDS):
            question = task.write(rng)
            turns = [{"role": "system", "content": SYSTEM[language]}, {"role": "user", "content": question}]
            said = say({"model": "practice-1", "seed": draw, "messages": turns}, faults)
            yield said.truth.fault, sample(question, said.content, SYSTEM[language], said.finish_reason)
    prompt = {"en": "Write 20 new exercises.", "ja": "練習問題を20個作ってください。"}[language]
    for draw in range(ROUNDS // 2):
        schema = {"json_schema": {"schema": {"properties": {"instructions": {}}}}}
        turns = [{"role": "user", "content": prompt}]
        said = say({"model": "practice-1", "seed": draw, "messages": turns, "response_format": schema}, faults)
        for one in said.truth.instructions:
            yield one.fault, sample(one.text)


@pytest.mark.parametrize("templates", ["tuning", "held_out"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_planted_fault_is_caught_for_its_own_reason_and_the_good_are_spared(language, templates):
    total, caught, good, lost, missed = Counter(), Counter(), 0, [], {}
    for fault, one in planted(language, templates):
        found = reasons(one, language)
        if fault in REASONS:
            total[fault] += 1
            right = bool(REASONS[fault] & found.keys())
            caught[fault] += right
            if not right:
                text = one.answer() or one.question()
                missed[(fault, text[:30] + " ... " + text[-90:])] = found
        elif not fault:
            good += 1
            lost += [(found, one.answer() or one.question())] if found else []
    for (fault, text), found in missed.items():
        print("MISSED", fault, found, repr(text))
    for found, text in lost:
        print("LOST", found, repr(text))
    print({fault: f"{caught[fault]}/{total[fault]}" for fault in REASONS}, f"lost {len(lost)} of {good}")
    assert {*AILMENTS, "merged"} <= total.keys()
    for fault, count in total.items():
        assert count >= 10, fault
        assert caught[fault] >= 0.97 * count, fault
    assert len(lost) <= 0.005 * good


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_many_wordings_of_each_fault_are_caught_and_what_resembles_them_is_spared(language):
    path = Path(__file__).parent / "validators" / "wordings.jsonl"
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    total, wrong = Counter(), Counter()
    for case in [case for case in cases if case["lang"] == language]:
        found = reasons(sample(case["question"], case["answer"]), language)
        total[case["should"]] += 1
        if bool(found) != (case["should"] == "reject"):
            wrong[case["should"]] += 1
            print(case["should"], case["class"], found, case["answer"] or case["question"])
    assert wrong["reject"] <= 0.03 * total["reject"]
    assert wrong["accept"] <= 0.02 * total["accept"]


@cache
def real_texts():
    """Texts that others wrote, as samples by language."""
    if not DATA.is_dir():
        pytest.skip("there is no ../shared/data")
    lines = {
        name: [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
        for name in (
            "gsm8k_model_solutions.jsonl",
            "self_instruct_seeds.jsonl",
            "jcommonsenseqa.jsonl",
            "jsts_pairs.jsonl",
        )
    }
    english, japanese = [], []
    for row in lines["gsm8k_model_solutions.jsonl"]:
        english += [sample(row["question"])]
        solutions = [row["ground_truth"], *(one["solution"] for one in row.values() if isinstance(one, dict))]
        english += [sample(row["question"], solution) for solution in solutions]
    for row in lines["self_instruct_seeds.jsonl"]:
        for instance in row["instances"]:
            question = "\n\n".join(filter(None, (row["instruction"], instance["input"])))
            english += [sample(question), sample(question, instance["output"])]
    japanese += [sample(row["question"]) for row in lines["jcommonsenseqa.jsonl"]]
    japanese += [
        sample("写真を説明してください。", row["sentence1"] + row["sentence2"])
        for row in lines["jsts_pairs.jsonl"][:2000]
    ]
    for name, into in (("mgsm_en.tsv", english), ("mgsm_ja.tsv", japanese)):
        with (DATA / name).open(encoding="utf-8", newline="") as file:
            into += [sample(row[0]) for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return {"en": english, "ja": japanese}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_hardly_a_text_that_others_wrote_is_refused(language):
    texts = real_texts()[language]
    refused = Counter()
    for one in texts:
        for reason, detail in reasons(one, language).items():
            refused[reason] += 1
            print(reason, "|", detail, "|", repr((one.answer() or one.question())[-160:]))
    print(dict(refused), "of", len(texts))
    for reason, count in refused.items():
        assert count <= 0.01 * len(texts), reason


@pytest.mark.parametrize(
    "unit",
    [
        *("\n", "「", "a.b+c", "\nAssistant: hi", "** a\n", "[a](http://x ", "あ", "1234 5678 "),
        *("〇", "Ｘ", "|||", "ところで、", "\\(", "<div>"),
    ],
)
def test_a_long_monotonous_text_does_not_hold_the_checks_up(unit):
    # a search that grows with the square of the text would meet the test's own timeout
    text = unit * (200_000 // len(unit))
    found = {**reasons(sample("q?", text), "en"), **reasons(sample(text), "en")}
    assert not {"pii", "toxic", "refusal", "self_identification", "missing_reference"} & found.keys()


@pytest.mark.parametrize("start", ["My training and OpenAI", "AIの話。OpenAI"])
def test_an_empty_page_does_not_hold_the_search_for_the_model_up(start):
    assert find_self_identification(start + "\n" * 60_000 + ".") is None


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("[Date: ________/________/________ (day, month, year)]", "________"),
        ("[Name " + "-" * 60 + "\n\nSignature", None),
        ("[" + "_" * 20_000 + " /", "_" * 20_000),
        ("<name" + "_" * 20_000, None),
        ("(insert " + "a" * 20_000, None),
        ("［印］[Name（氏名） " + "_" * 60, "（氏名）"),
        ("[Address /// /// /// /// /// ///（住所）", "（住所）"),
    ],
)
def test_the_lines_of_a_form_do_not_hold_the_search_for_blanks_up(form, found):
    # a search that tries every way to part such a line would meet the test's own timeout
    assert find_placeholder(f"Please sign here.\n\n{form}\n", "q?") == found


@pytest.mark.parametrize(
    "blank",
    [
        "[Your Name]", "[Date: ____]", "[Name ____]", "[Company's Legal_Name/Title]", "[Insert the name of the town here]", "[my_company_name]",
        "[Client First Name]", "<name_of_city>", "<Company's full name>", "<insert date>", "(your full name)", "〇〇様", "××株式会社", "ＸＸさん",
    ],
)  # fmt: skip
def test_blanks_are_found_in_every_writing(blank):
    assert blank.startswith(find_placeholder(f"Dear {blank}, thank you.", "q?"))


@pytest.mark.parametrize(
    ("english", "japanese", "answer"),
    [
        ("Dutch", "オランダ語", "Het is een mooie dag en ik ben blij dat je er bent."),
        ("Swedish", "スウェーデン語", "Havet är stort och det är inte lätt att se var det slutar, men vi kan så klart försöka."),
        ("Turkish", "トルコ語", "Bu sonbahar çok güzel ve her yer altın gibi, ama ne kadar da soğuk bir gün."),
        ("Arabic", "アラビア語", "البحر كبير جدا وجميل في الصباح والمساء"),
        ("Thai", "タイ語", "ทะเลกว้างใหญ่และสวยงามมากในตอนเช้าวันนี้"),
        ("Hindi", "ヒンディー語", "समुद्र बहुत बड़ा और सुंदर है और सुबह शांत रहता है"),
        ("Greek", "ギリシャ語", "Η θάλασσα είναι πολύ μεγάλη και όμορφη το πρωί"),
    ],
)  # fmt: skip
def test_an_answer_may_be_in_any_language_that_its_question_names(english, japanese, answer):
    for language, question, other in (
        ("en", f"Write one sentence about the sea in {english}.", "Write one sentence about the sea."),
        ("ja", f"海について{japanese}で一文書いてください。", "海について一文書いてください。"),
    ):
        assert reasons(sample(question, answer), language).keys() == set()
        assert reasons(sample(other, answer), language).keys() == {"wrong_language"}


def test_every_language_that_is_told_has_the_names_by_which_a_question_asks_for_it():
    assert {*WORDS, *dict(SCRIPTS), "ja", "zh", "ko"} == NAMES.keys()


@pytest.mark.parametrize(
    "instruction",
    [
        "1. Recommend a good book about trains.\n2. Draft a short note to a neighbour.",
        "Can you name a friendly cat. On another topic, outline a plan for a garden.",
        "1. 電車についての短い文章を書いて\n2. 隣の人への手紙の題を考えて",
    ],
)
def test_two_tasks_are_two_whatever_verbs_ask_for_them(instruction):
    assert reasons(sample(instruction), "ja" if not instruction.isascii() else "en").keys() == {"merged_instructions"}


@pytest.mark.parametrize(
    "question", ["Give me two questions with answers about trains.", "Write a short Q&A about trains."]
)
def test_questions_that_were_asked_for_are_no_invented_turns(question):
    assert reasons(sample(question, "Here you are.\nQ: What is a train?\nA: A vehicle on rails."), "en") == {}
