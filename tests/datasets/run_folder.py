"""A finished run's folder as its views are made from: draws of Japanese questions, kept and refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synth.recipes.recipe import LoadedRecipe, Recipe
from synth.recipes.templates import Templates

QUESTION = "りんごが {} 個と 3 個で何個ですか。😀"


def answer(number: int, draw: int, text: str, judge: float | None = 4.0, **more: Any) -> dict[str, Any]:
    """One draw as its line has it; `reason` makes it a refused one."""
    turns = [
        {"role": "user", "content": QUESTION.format(number), "reasoning_content": None},
        {"role": "assistant", "content": text, "reasoning_content": more.pop("reasoning", None)},
    ]
    scores = [] if judge is None else [{"name": "judge", "value": judge, "detail": ""}]
    own = {"id": f"{number:06d}/{draw:02d}/000{more.pop('anew', '')}", "messages": turns, "seed_id": f"{number:06d}"}
    return {**own, "scores": scores, "repairs": [], "requests": [], "cost_microusd": 1, **more}


def write_run(folder: Path, answers: Sequence[dict[str, Any]]) -> Path:
    """The files of a run with these rows and refused samples."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kept in (("rows.jsonl", True), ("rejected.jsonl", False)):
        lines = [{"split": "train", **one} if kept else one for one in answers if ("reason" not in one) == kept]
        lines.sort(key=lambda one: one["id"])
        (folder / name).write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), "utf-8")
    return folder


def asking_for(folder: Path, **output: Any) -> LoadedRecipe:
    """A recipe with this output, whose files lie in a folder."""
    fields = {
        "name": "practice",
        "language": "ja",
        "seeds": {"kind": "jsonl", "path": "seeds.jsonl"},
        "teachers": {"main": {"model": "m", "base_url": "practice:"}},
        "stages": [{"name": "answer", "draws": 2, "generator": {"kind": "answer", "prompt": "a.j2"},
                    "scorers": [{"kind": "judge"}]}],
        "output": output,
    }  # fmt: skip
    return LoadedRecipe(Recipe.model_validate(fields), folder / "recipe.yaml", "", Templates(folder))
