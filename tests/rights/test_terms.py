"""What was said about training on a model's output: shown, recorded, and accepted by name where it restricts."""

from __future__ import annotations

import asyncio
import json

import pytest

from synth.errors import RecipeError
from synth.pipeline import run
from synth.protocol.endpoint import Endpoint
from synth.recipes.loading import Overrides, load
from synth.results.result import Options
from synth.rights import terms
from synth.rights.terms import terms_of, verdict_of

RECIPE = """\
name: example
language: {LANGUAGE}
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: MODEL, base_url: "replay:replies.jsonl"}}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
"""


def loaded(tmp_path, model, overrides=None, language="ja"):
    text = RECIPE.replace("MODEL", model).replace("{LANGUAGE}", language)
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    (tmp_path / "seeds.jsonl").write_text('{"q": "消費税とは"}\n', encoding="utf-8")
    (tmp_path / "replies.jsonl").write_text("", encoding="utf-8")
    return load(tmp_path, overrides)


@pytest.mark.parametrize(
    ("url", "model", "found", "verdict"),
    [
        ("https://api.openai.com/v1", "gpt-4o", ["openai"], "restricted"),
        ("https://openrouter.ai/api/v1", "openai/gpt-4o", ["openai", "openrouter"], "restricted"),
        ("http://localhost:8000/v1", "openai/gpt-oss-120b", ["gpt-oss"], "allowed"),
        ("http://localhost:8000/v1", "meta-llama/Llama-3.3-70B-Instruct", ["llama-3.1"], "allowed_with_duties"),
        ("http://localhost:8000/v1", "meta-llama/Meta-Llama-3-8B", ["llama-2"], "restricted"),
        (
            "http://localhost:8000/v1",
            "accounts/fireworks/models/llama-v3p3-70b-instruct",
            ["llama-3.1"],
            "allowed_with_duties",
        ),
        ("http://localhost:11434/v1", "llama3:8b", ["llama-2"], "restricted"),
        ("http://localhost:8000/v1", "abeja/gpt-neox-japanese-2.7b", [], "unknown"),
        ("http://localhost:8000/v1", "o4-mini-2025-04-16", ["openai"], "restricted"),
        ("http://localhost:8000/v1", "gpt-35-turbo", ["openai"], "restricted"),
        ("http://localhost:8000/v1", "Qwen/Qwen3-32B", ["qwen"], "allowed"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "qwen-plus-2025-12-01", [], "unknown"),
        ("https://openrouter.ai/api/v1", "qwen/qwen3-max-thinking", ["openrouter"], "unknown"),
        ("http://localhost:8000/v1", "google/gemma-7b-it", ["gemma-1"], "allowed_with_duties"),
        ("http://localhost:8000/v1", "google/gemma-3-27b-it", ["gemma-1"], "allowed_with_duties"),
        ("http://localhost:8000/v1", "google/gemma-4-31b-it", ["gemma-4"], "allowed"),
        ("http://localhost:8000/v1", "deepseek-ai/DeepSeek-R1", ["deepseek-r1"], "allowed"),
        ("https://api.deepseek.com", "deepseek-flash", ["deepseek-api"], "unknown"),
        ("http://localhost:8000/v1", "own-model", [], "unknown"),
        ("https://api.openai.com.example.org/v1", "own-model", [], "unknown"),
        ("practice:", "gpt-4o", [], "unknown"),
    ],
)
def test_the_hosts_and_the_models_texts_are_found_and_the_strictest_counts(url, model, found, verdict):
    said = terms_of(Endpoint(model=model, base_url=url))
    assert [one.id for one in said] == found
    assert verdict_of(said) == verdict


def test_every_text_names_its_source_and_says_the_same_in_both_languages():
    names = [one.id for one in terms.every()]
    assert len(names) == len(set(names))
    for one in terms.every():
        assert one.source.startswith("https://")
        assert one.hosts or one.models
        assert any("ぁ" <= sign <= "ん" for sign in one.ja.says)
        assert len(one.duties) == len(one.ja.duties)


def test_terms_that_restrict_training_have_to_be_accepted_by_name(tmp_path):
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, "gpt-4o")
    (problem,) = caught.value.problems
    assert problem.field == "teachers.main"
    assert "compete" in problem.message
    assert "--accept-terms openai" in problem.message
    assert loaded(tmp_path, "gpt-4o", Overrides(accept_terms=["openai"])).recipe.accept_terms == ["openai"]


def test_terms_that_nobody_knows_are_no_terms(tmp_path):
    with pytest.raises(RecipeError, match="there are no terms '利用規約'"):
        loaded(tmp_path, "own-model", Overrides(accept_terms=["利用規約"]))


@pytest.mark.parametrize(
    ("language", "verdict", "says"),
    [("en", "restricted", "models that compete with OpenAI"), ("ja", "制限あり", "OpenAI と競合するモデル")],
)
def test_what_was_said_and_that_it_was_accepted_stays_with_the_run(tmp_path, language, verdict, says):
    recipe = loaded(tmp_path, "gpt-4o", Overrides(accept_terms=["openai"]), language)
    manifest = asyncio.run(run(recipe, Options(tmp_path / "out"))).manifest
    (record,) = manifest.teachers
    assert (record.terms, [one.id for one in record.said]) == ("restricted", ["openai"])
    (first,) = manifest.accepted_terms
    assert (first.id, str(first.read)) == ("openai", "2025-05-31")
    again = asyncio.run(run(recipe, Options(tmp_path / "out"))).manifest
    assert again.accepted_terms == (first,)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["accepted_terms"][0]["id"] == "openai"
    for name in ("dataset/README.md", "report.html"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert verdict in text
        assert says in text
