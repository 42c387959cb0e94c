"""How many faulty replies the health checks refuse, and how many good ones, by class and language.

    PYTHONPATH=. .venv/bin/python tests/bench/health.py CASES.jsonl [--misses]

A line of the file is {"lang": "en" | "ja", "class": ..., "should": "reject" | "accept", "question": ..., "answer": ...};
without an answer the question is judged, as an instruction. A faulty reply counts as caught whatever check refuses it,
and the last column says how many of them were refused for the reason of their class, where its name is known here.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.finished import Finished
from synth.validators.language import Language
from synth.validators.leakage import Leakage
from synth.validators.markdown import Markdown
from synth.validators.merged import Merged
from synth.validators.pii import Pii
from synth.validators.placeholders import Placeholders
from synth.validators.references import References
from synth.validators.refusal import Refusal
from synth.validators.repetition import Repetition
from synth.validators.script import Script
from synth.validators.toxicity import Toxicity

WORDS = {
    "template_leak": ("leak", "template"),
    "prompt_leak": ("prompt", "leak", "echo"),
    "self_identification": ("self",),
    "missing_reference": ("reference", "attachment", "missing"),
    "merged_instructions": ("merge",),
    "broken_markdown": ("markdown", "fence"),
    "broken_tool_call": ("tool",),
    "placeholder": ("placeholder",),
    "truncated": ("cut", "trunc", "markdown"),
    "repetition": ("repet", "loop"),
    "wrong_language": ("language", "drift", "script"),
    "mixed_script": ("script", "garb", "drift", "language"),
    "damaged_text": ("garb", "damage", "script"),
    "refusal": ("refusal",),
    "soft_refusal": ("refusal",),
    "toxic": ("toxic",),
    "pii": ("pii", "personal"),
}
"""Parts of the names of classes for which a reason is the right one."""


def checks(language: str):
    """Every health check, as a recipe in that language has them."""
    return (
        Finished(), Refusal(), Repetition(), Script(), Language(language=language), Leakage(), Placeholders(),
        References(), Merged(), Markdown(), Pii(), Toxicity(),
    )  # fmt: skip


def reasons(case: dict[str, str]) -> dict[str, str]:
    """Each reason for which one check or other refuses a case, with its detail."""
    turns = [Message(role="user", content=case.get("question", ""))]
    if case.get("answer"):
        turns.append(Message(role="assistant", content=case["answer"]))
    sample = Sample(
        id="0", seed_id="0", parent_id="0", stage="s", draw=0, fields={}, messages=tuple(turns), finish_reason="stop"
    )
    found = {}
    for check in checks(case["lang"]):
        try:
            check.check(sample)
        except Rejected as error:
            found[error.reason] = error.detail
    return found


def main() -> None:
    """Read the cases, judge them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--misses", action="store_true", help="print each case that was judged wrongly")
    options = parser.parse_args()
    total, refused, apt = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]](), Counter[tuple[str, ...]]()
    for line in options.cases.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        found = reasons(case)
        group = (case["should"], case["lang"], case["class"])
        for key in (group, (*group[:2], "TOTAL")):
            total[key] += 1
            refused[key] += bool(found)
            apt[key] += any(word in case["class"].lower() for reason in found for word in WORDS.get(reason, ()))
        if options.misses and bool(found) != (case["should"] == "reject"):
            print(case["should"].upper(), case["lang"], case["class"], found)
            print("    Q", repr(case.get("question", "")))
            print("    A", repr(case.get("answer", "")))
    for key in sorted(total):
        right = f"  for its reason {apt[key]}" if key[0] == "reject" else ""
        print(
            f"{key[0]} {key[1]} {key[2]:24} refused {refused[key]}/{total[key]} = {refused[key] / total[key]:.3f}{right}"
        )


if __name__ == "__main__":
    main()
