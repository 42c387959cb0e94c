"""The practice teacher asks about passages, answers from them with citations, and grades such answers.

It asks for the number that it left out of a sentence, so that it can find the sentence, and the answer, again.
"""

from __future__ import annotations

import re
from typing import Any

from synth.backends.practice.playing import count_in, graded, listed, spoilt, tagged
from synth.backends.practice.said import Asked, Said, Truth
from synth.patterns import lazy

GAP = {"en": "___", "ja": "＿＿"}
SENTENCES = {"en": lazy(r"[^.!?\n]*\d[^!?\n]*?[.!?](?=\s|$)"), "ja": lazy(r"[^。\n]*\d[^。\n]*。")}
NUMBER = lazy(r"\d+(?:[.:]\d+)?")
ONE = {
    "en": 'In {document}, which number belongs in the gap of "{sentence}"?',
    "ja": "{document}の「{sentence}」で、＿＿に入る数は何ですか。",
}
TWO = {
    "en": 'In {document}, which numbers belong in the gaps of "{sentence}" and of "{other}"?',
    "ja": "{document}の「{sentence}」と「{other}」で、＿＿に入る数はそれぞれ何ですか。",
}
NONE = {
    "en": (
        "Who wrote what {document} tells under {place}?",
        "Which company printed {document} with its part on {place}?",
        "What did the members vote on {place} in {document}?",
        "In which other language does {document} tell about {place}?",
        "How many people complained about {place} in {document}?",
    ),
    "ja": (
        "{document}の「{place}」を書いた人は誰ですか。",
        "{document}の「{place}」に苦情を寄せた人は何人いましたか。",
        "{document}の「{place}」が最初に決まったのはどの会議ですか。",
        "{document}の「{place}」は、ほかの言語ではどこで読めますか。",
        "{document}の「{place}」を印刷した会社はどこですか。",
    ),
}
SILENT = {"en": "The passages do not say.", "ja": "文書には書かれていません。"}
ASKED_ABOUT = lazy(r'"([^"]*___[^"]*)"|「([^「」]*＿＿[^「」]*)」')
DOCUMENT = lazy(r'looks things up in "([^"]+)"|^「([^」]+)」')


def grounded(asked: Asked) -> Said | None:
    """What it says to a prompt with passages; None for any other."""
    passages = tagged(asked.prompt, "passage")
    if not passages:
        return None
    if {"kind", "asked"} <= asked.fields.keys():
        return listed(asked, _questions(asked, passages), "grounded")
    (question, *_), answers = tagged(asked.prompt, "question") or [""], tagged(asked.prompt, "answer")
    if "score" in asked.wanted and answers:
        return graded(asked, right=_is_right(answers[0], _solved(question, passages), asked.language), task="grounded")
    return _answer(asked, _solved(question, passages)) if question else None


def _questions(asked: Asked, passages: list[str]) -> list[dict[str, Any]]:
    rng, language = asked.rng, asked.language
    found = DOCUMENT.search(asked.prompt)
    document = next((one for one in found.groups() if one), "") if found else ""
    known = [[_gapped(one[0].strip(), language) for one in SENTENCES[language].finditer(text)] for text in passages]
    place = re.search(r'place="([^"]*)"', asked.prompt)
    names = {
        "document": document.partition(".")[0],
        "place": (place[1].rpartition(" > ")[2] if place else "") or passages[0][:12],
    }
    questions: list[dict[str, Any]] = [
        {"kind": "unanswerable", "asked": rng.choice(NONE[language]).format(**names)},
    ]
    if len(known) > 1 and all(known):
        pair = {"sentence": rng.choice(known[0]), "other": rng.choice(known[1])}
        questions.append({"kind": "multi_hop", "asked": TWO[language].format(**names, **pair)})
    wanted = max(0, count_in(asked.prompt) - len(questions))
    chosen = rng.sample(known[0], min(wanted, len(known[0])))
    return questions + [{"kind": "factual", "asked": ONE[language].format(**names, sentence=one)} for one in chosen]


def _gapped(sentence: str, language: str) -> str:
    return NUMBER.sub(GAP[language], sentence, count=1).replace('"', "'").replace("「", "『").replace("」", "』")


def _solved(question: str, passages: list[str]) -> list[tuple[int, str, str]]:
    """For each gap in a question the passage's number, the sentence and what was left out of it."""
    solved: list[tuple[int, str, str]] = []
    for found in ASKED_ABOUT.finditer(question):
        gapped = found[1] or found[2]
        for place, text in enumerate(passages, 1):
            for language, sentences in SENTENCES.items():
                for one in sentences.finditer(text):
                    if _gapped(one[0].strip(), language) == gapped and all(number != place for number, *_ in solved):
                        solved.append((place, one[0].strip(), NUMBER.findall(one[0])[0]))
    return solved[: len(ASKED_ABOUT.findall(question))]


def _answer(asked: Asked, solved: list[tuple[int, str, str]]) -> Said:
    """The numbers with the sentences they stand in; where there is none, that there is none.

    A wrong answer is a number of nobody's, or an answer to what has none; a missing one leaves the citation out, and
    what points to nothing cites a passage that is not there.
    """
    rng, language = asked.rng, asked.language
    if not solved:
        invented = {
            "en": f"It was {rng.randint(1100, 1900)} of them [1].",
            "ja": f"{rng.randint(1100, 1900)}人です[1]。",
        }
        truth = Truth("answerer", "unanswerable", language, answer=SILENT[language])
        return spoilt(asked, SILENT[language], truth, {"wrong_answer": invented[language]})
    truth = Truth("answerer", "grounded", language, answer=", ".join(number for *_, number in solved))
    wrong = [(place, sentence, str(int(float(number.replace(":", "."))) + 1013)) for place, sentence, number in solved]
    good = _told(solved, language)
    faults = {
        "wrong_answer": _told(wrong, language),
        "missing_answer": re.sub(r" ?\[\d\]", "", good),
        "missing_reference": good.replace("[1]", "[7]").replace("[2]", "[7]"),
    }
    return spoilt(asked, good, truth, faults)


def _told(solved: list[tuple[int, str, str]], language: str) -> str:
    if language == "ja":
        return "".join(
            f"{number}です。「{sentence.rstrip('。')}」と書かれています[{place}]。"
            for place, sentence, number in solved
        )
    return " ".join(f'It is {number}: "{sentence}" [{place}].' for place, sentence, number in solved)


def _is_right(answer: str, solved: list[tuple[int, str, str]], language: str) -> bool:
    if not solved:
        return SILENT[language] in answer
    numbers = NUMBER.findall(answer)
    return all(number in numbers for *_, number in solved)
