"""A static embedding model in a folder serves as an embedder, offline, and what it makes is kept like any reply."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys

import numpy as np
import pytest

from synth import opening, pipeline
from synth.admission.halt import Halt
from synth.backends.local import LocalModel
from synth.dedupe import Dedupe, Semantic
from synth.errors import Fatal, RecipeError
from synth.files import parts_by_meaning
from synth.files.asking import desk
from synth.files.parts_by_meaning import EMBEDDER
from synth.money.budget import Caps
from synth.protocol.endpoint import Endpoint
from synth.recipes.loading import load
from synth.results.result import Options
from tests.dedupe.test_semantic import ENGLISH, JAPANESE, RECIPE, USUAL, Both, texts, turned

model2vec = pytest.importorskip("model2vec")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that knows the words of the test's texts, each by a vector of its own."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    words = ["[UNK]", *JAPANESE, *ENGLISH]
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Split(Regex("|".join(sorted(words[1:], key=len, reverse=True))), "isolated")
    vectors = np.random.default_rng(0).normal(size=(len(words), 64)).astype(np.float32)
    path = tmp_path_factory.mktemp("model")
    model2vec.StaticModel(vectors, tokenizer).save_pretrained(path)
    return path


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_):
        raise OSError("nothing may be asked of the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def deduped(tmp_path, model, rows, run="vectors"):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({"prompt": row}, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

    async def main():
        endpoint = Endpoint(model="static", base_url=f"local:{model}")
        async with desk(tmp_path / run, {EMBEDDER: endpoint}, Caps(usd=1), Halt()) as opened:
            settings = Dedupe(by="question", near=False, semantic=Semantic(embedder=EMBEDDER))
            report = await parts_by_meaning.dedupe([path], tmp_path / "out", settings, (), opened)
            return report, opened.teachers[EMBEDDER].served

    return asyncio.run(main())


def test_the_same_words_in_another_order_are_found_in_both_languages_without_the_network(folder, tmp_path):
    every = [*texts("ja", 90), *texts("en", 90)]
    rows = [*every, turned(every[3], "ja"), turned(every[93], "en")]
    report, served = deduped(tmp_path, folder, rows)
    assert report.removed == {"semantic_duplicate": 2}
    assert {one.script for one in report.semantic.scripts} == {"japanese", "latin"}
    assert report.bought == (182, 6, 0)
    assert {name.partition(":")[0] for name in served} == {"sha256"}
    before = (tmp_path / "out" / "data.jsonl").read_bytes()
    report, _ = deduped(tmp_path, folder, rows)
    assert (report.bought.requests, (tmp_path / "out" / "data.jsonl").read_bytes()) == (0, before)


def test_all_of_a_long_text_counts(folder, tmp_path):
    one, other = "子ども" * 5000 + "静かに" * 5000, "子ども" * 5000 + "カレーを" * 5000
    report, _ = deduped(tmp_path, folder, [*texts("ja", 90), one, other])
    assert report.removed.total() == 0


def test_a_recipe_names_its_folder_from_its_own(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "model")
    every = texts("ja", 90)
    teacher = Both([*every, turned(every[3], "ja")])
    monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
    recipe = RECIPE.replace('{{model: e, base_url: "replay:none"', '{{model: e, base_url: "local:model"').format(
        **USUAL
    )
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (tmp_path / "seeds.jsonl").write_text("".join(f'{{"start": {place}}}\n' for place in range(0, 91, 5)))
    (tmp_path / "write.md.j2").write_text("WRITE {{ start }}")
    (tmp_path / "answer.md.j2").write_text("{{ instruction }}")
    result = asyncio.run(pipeline.run(load(tmp_path), Options(tmp_path / "run")))
    assert result.manifest.stages[0].rejected == {"semantic_duplicate": 1}
    assert [one.host for one in result.manifest.teachers] == ["replay", "local"]
    assert teacher.embedded == []


def test_it_does_not_chat(folder, tmp_path):
    async def main():
        endpoint = Endpoint(model="static", base_url=f"local:{folder}")
        async with desk(tmp_path / "vectors", {EMBEDDER: endpoint}, Caps(), Halt()) as opened:
            await opened.ask("a", "b").text([], teacher=EMBEDDER)

    with pytest.raises(Fatal, match="embeds and does nothing else"):
        asyncio.run(main())


def test_no_model_a_damaged_one_and_a_missing_package_are_one_sentence_each(folder, tmp_path, monkeypatch):
    with pytest.raises(RecipeError, match=r"no static embedding model in .*empty: config\.json, model\.safetensors"):
        LocalModel(tmp_path / "empty")
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"x")
    with pytest.raises(RecipeError, match=r"The model in .*broken cannot be read"):
        LocalModel(broken)
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(RecipeError, match=r"pip install 'synth\[embed\]'"):
        LocalModel(folder)
