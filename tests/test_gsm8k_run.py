"""The gsm8k recipe on real questions: the four model solutions of each are its four draws."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

import synth
from synth.language.answers import final_answer, same_answer
from tests.written import lines

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "gsm8k_model_solutions.jsonl"
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"the real data is not at {DATA}")


def test_the_recipe_verifies_recorded_solutions_as_their_labels_say(tmp_path):
    records = lines(DATA)
    template = (ROOT / "prompts" / "gsm8k" / "solve.md.j2").read_text(encoding="utf-8")
    seeds, replies = tmp_path / "questions.jsonl", tmp_path / "replies.jsonl"
    with seeds.open("w", encoding="utf-8") as file:
        for record in records:
            reference = final_answer(record["ground_truth"]).text
            file.write(json.dumps({"question": record["question"], "answer": reference}) + "\n")
    with replies.open("w", encoding="utf-8") as file:
        for record in records:
            prompt = template.replace("{{ question }}", record["question"]).strip()
            for draw, model in enumerate(MODELS):
                reply = {"prompt": prompt, "draw": draw, "content": record[model]["solution"]}
                file.write(json.dumps(reply) + "\n")
    result = synth.run(
        ROOT / "prompts" / "gsm8k",
        folder=tmp_path / "run",
        seeds=str(seeds),
        teachers=[f"main=replay:{replies},recorded"],
    )
    assert result.exit_code == 0
    label = {
        (index, draw): record[model]["is_correct"]
        for index, record in enumerate(records)
        for draw, model in enumerate(MODELS)
    }
    verdict: dict[tuple[int, int], bool] = {}
    reasons: Counter[str] = Counter()
    for record in lines(tmp_path / "run" / "rejected.jsonl"):
        reasons[record["reason"]] += 1
        if record["reason"] != "repeated_seed":
            place = int(record["seed_id"]), int(record["id"].split("/")[1])
            verdict[place] = bool(record["scores"]) and record["scores"][0]["value"] == 1
    for record in lines(tmp_path / "run" / "rows.jsonl"):
        verdict[int(record["seed_id"]), int(record["id"].split("/")[1])] = record["scores"][0]["value"] == 1
    wrong = [place for place in verdict if verdict[place] != label[place]]
    print(f"{len(verdict)} verdicts, {len(wrong)} differ from the label; {dict(reasons)}")
    assert len(verdict) == 4 * (len(records) - reasons["repeated_seed"])
    assert wrong == []


def test_without_the_answer_line_the_general_extractor_is_right_for_nearly_all():
    right, wrong = 0, []
    for record in lines(DATA):
        reference = final_answer(record["ground_truth"]).text
        for model in MODELS:
            solution, label = record[model]["solution"], record[model]["is_correct"]
            bare = re.sub(r"\n?^A:.*\s*\Z", "", solution, flags=re.MULTILINE)
            found = final_answer(bare)
            if (found is not None and same_answer(found.text, reference)) == label:
                right += 1
            else:
                wrong.append((label, reference, found and found.text, bare[-100:]))
    print(f"{right} of {right + len(wrong)} verdicts equal the label without the A: line; the others:")
    for label, reference, found, end in wrong:
        print(f"  label {label}, reference {reference}, found {found}: ...{end!r}")
    assert right + len(wrong) == 2640
    assert right >= 2611
