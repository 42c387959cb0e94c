"""The practice teacher answers requests in a domain with what its prompt demands of an answer, and grades by that."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

from synth.backends.practice.playing import graded, spoilt, tagged
from synth.backends.practice.said import Asked, Said, Truth, language_of
from synth.patterns import lazy

ABOUT = lazy(r"(?:Subject: |話題：)(.+)")
CASE = lazy(r"(?:Kind of case: |場合：)(\w+)")
LIBRARY = lazy(r"(?:Library: |ライブラリ：)(.+)")
AS_OF = lazy(r"\d{4}-\d{2}-\d{2}")
TERM = lazy(r"^- (.+?) → (.+)$", re.MULTILINE)
ON = {"en": "On {about}: here is what can be said in general.", "ja": "{about}について、一般的なことをお答えします。"}
LAW = {
    "en": "This is how it stood on {day}; what holds for you depends on the details.",
    "ja": "{day}時点の定めによる説明で、個別の事情によって結論は変わります。",
}
CARE = {
    "en": {
        "general": "This is general information and no diagnosis.",
        "see_doctor": "Please have a doctor look at it this week.",
        "urgent": "Call the emergency number now, and do not stay alone.",
        "decline": "I will not do that, as it could harm somebody; a pharmacist or doctor can tell you what is safe.",
        "phrasing": "You could say: “I would like to understand what was found, and what happens next.”",
    },
    "ja": {
        "general": "一般的な説明で、診断ではありません。",
        "see_doctor": "今週のうちに、医師の診察を受けてください。",
        "urgent": "すぐに119番に電話し、一人にならないでください。",
        "decline": "害になるおそれがあるので、それはいたしません。安全な方法は薬剤師か医師に尋ねてください。",
        "phrasing": "「分かったことと、これからのことを教えてください」と言ってみてはいかがでしょうか。",
    },
}
TRANSLATED = {"en": "The passage speaks of {terms}.", "ja": "この文では、{terms}について述べています。"}
CODE = "```python\nimport {module}\n\n\ndef main(rows: list[dict[str, str]]) -> int:\n    return len(rows)\n```"
WRONG = {
    "en": "It is nothing to think about; everybody does as they like.",
    "ja": "気にすることはありません。好きなようにして構いません。",
}


def expert(asked: Asked) -> Said | None:
    """What it says to a prompt with a request; None for any other."""
    (request, *_) = tagged(asked.prompt, "request") or [""]
    if not request:
        return None
    told = asked.prompt.replace(request, "")
    asked = replace(asked, prompt=told)
    parts, answers = _parts(told, language_of(told)), tagged(told, "answer")
    if not parts:
        return None
    if "score" in asked.wanted and answers:
        return graded(asked, right=all(part.strip() in answers[0] for part in parts), task="expert")
    joint = "" if asked.language == "ja" else " "
    truth = Truth("answerer", "expert", asked.language, answer=parts[-1])
    wrong = WRONG[asked.language]
    faults = {"wrong_answer": wrong, "missing_answer": joint.join(parts[:-1]) or wrong}
    return spoilt(asked, joint.join(parts).replace(" \n", "\n"), truth, faults)


def _parts(told: str, language: str) -> list[str]:
    """What an answer has to hold, by what the prompt says of the case."""
    parts: list[str] = []
    if about := ABOUT.search(told):
        parts.append(ON[language].format(about=about[1].strip()))
    if iso := AS_OF.search(told):
        day = date.fromisoformat(iso[0])
        shown = f"{day.year}年{day.month}月{day.day}日" if language == "ja" else f"{day.day} {day:%B} {day.year}"
        parts.append(LAW[language].format(day=shown))
    if case := CASE.search(told):
        parts.append(CARE[language][case[1]])
    if terms := TERM.findall(told):
        joint = "、" if language == "ja" else ", "
        parts.append(TRANSLATED[language].format(terms=joint.join(target for _, target in terms)))
    if library := LIBRARY.search(told):
        name = library[1].split()[0].strip().lower()
        parts.append(
            "\n\n"
            + CODE.format(module=name if name.isascii() and name.isidentifier() and name != "standard" else "csv")
        )
    return parts
