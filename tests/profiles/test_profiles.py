"""What is known of hosts: data that says what a recipe may ask of them, before anything is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synth.admission.rate_headers import allowances, retry_after_s
from synth.console.hosts import hosts as console_hosts
from synth.errors import RecipeError
from synth.files.plugin_texts import teachers_of
from synth.profiles import UNKNOWN, named, profile_of
from synth.protocol.messages import as_chat
from synth.protocol.thoughts import apart, unmixed
from synth.recipes.loading import Overrides, load, override
from synth.recipes.options import endpoint_of
from synth.types import Outcome

CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "openai_subset.json"
ENDED = {"guided_json", "guided_choice", "guided_regex", "guided_grammar"}
"""Fields that were never OpenAI's."""
RECIPE = """\
name: example
language: ja
accept_terms: [openai, anthropic]
seeds: {kind: grid, axes: {話題: [料理, 旅行]}}
teachers:
  main: {MAIN}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
"""


def loaded(tmp_path, main, overrides=None):
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("{MAIN}", "{" + main + "}"), encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("{{ 話題 }}について", encoding="utf-8")
    return load(tmp_path, overrides)


def problems(tmp_path, main, overrides=None):
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, main, overrides)
    return [(problem.field, problem.message) for problem in caught.value.problems]


OPENAI = 'base_url: "https://api.openai.com/v1", key_variable: OPENAI_API_KEY'
ANTHROPIC = 'base_url: "https://api.anthropic.com/v1", key_variable: ANTHROPIC_API_KEY'
DEEPSEEK = 'base_url: "https://api.deepseek.com", key_variable: DEEPSEEK_API_KEY'


@pytest.mark.parametrize("name", list(named()))
def test_every_profile_says_where_it_was_read_and_when(name):
    profile = named()[name]
    assert profile.source.startswith("https://")
    assert profile.read is not None


def test_no_two_profiles_claim_a_host():
    hosts = [host for profile in named().values() for host in profile.hosts]
    assert len(hosts) == len(set(hosts))


@pytest.mark.skipif(not CONTRACT.exists(), reason="needs ../shared/contract")
def test_what_a_host_does_not_take_are_fields_of_the_protocol():
    schemas = json.loads(CONTRACT.read_text(encoding="utf-8"))["components"]["schemas"]
    fields: set[str] = set()

    def collect(schema):
        fields.update(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            collect(schemas[part["$ref"].rpartition("/")[2]] if "$ref" in part else part)

    collect(schemas["CreateChatCompletionRequest"])
    told = set()
    for profile in named().values():
        for rule in (profile, *profile.models):
            told |= {*rule.refused, *rule.ignored}
        told |= set(profile.renamed)
    assert told - fields - ENDED - {"top_k"} == set()


@pytest.mark.parametrize(
    ("url", "title"),
    [
        ("https://api.openai.com/v1", "OpenAI"),
        ("https://mine.openai.azure.com/openai/v1", "Azure OpenAI"),
        ("http://192.168.1.9:11434/v1", "Ollama"),
        ("https://api.openai.com.example.org/v1", UNKNOWN.title),
        ("http://localhost:8000/v1", UNKNOWN.title),
    ],
)
def test_a_host_is_known_by_its_whole_name(url, title):
    assert profile_of(url).title == title


@pytest.mark.parametrize(
    ("main", "found"),
    [
        (f"model: o3-mini, {OPENAI}, sampling: {{temperature: 0.7}}", "sampling.temperature"),
        (f"model: GPT-5-mini, {OPENAI}, sampling: {{stop: [。]}}", "sampling.stop"),
        (f"model: gpt-4o, {OPENAI}, sampling: {{temperature: 2.5}}", "sampling.temperature"),
        (f"model: c, {ANTHROPIC}, sampling: {{seed: 1}}", "sampling.seed"),
        (f"model: c, {ANTHROPIC}, sampling: {{extra: {{reasoning_effort: low}}}}", "sampling.extra.reasoning_effort"),
        (f"model: c, {ANTHROPIC}, structured: json_object", "structured"),
        (f"model: claude-3-5-haiku-latest, {ANTHROPIC}, structured: json_schema", "structured"),
        (f"model: claude-opus-5, {ANTHROPIC}, sampling: {{temperature: 0.7}}", "sampling.temperature"),
        (f"model: claude-opus-4-8, {ANTHROPIC}, sampling: {{extra: {{top_k: 5}}}}", "sampling.extra.top_k"),
        (f"model: c, {ANTHROPIC}, service_tier: フレックス", "service_tier"),
        (f"model: d, {DEEPSEEK}, service_tier: flex", "service_tier"),
        (f"model: m, {OPENAI}, standard_after_s: 60", ""),
        (f"model: d, {DEEPSEEK}, recover: true", "recover"),
        (f"model: deepseek-flash, {DEEPSEEK}, sampling: {{top_p: 0.9}}", "sampling.top_p"),
        ('model: m, base_url: "https://api.openai.com/v1"', ""),
        ('model: m, base_url: "https://api.groq.com/v1", key_variable: GROQ_API_KEY', "base_url"),
        ('model: m, base_url: "http://localhost:8000/v1", profile: vllm, sampling: {extra: {guided_choice: [はい]}}',
         "sampling.extra.guided_choice"),
        (f"model: m, {OPENAI}, replicas: [{{base_url: 'https://openrouter.ai/api/v1'}}]", "replicas[0]"),
        (f"model: m, {OPENAI}, replicas: [{{base_url: 'https://api.groq.com/v1', key_variable: K}}]",
         "replicas[0].base_url"),
        (f"model: m, {OPENAI}, sampling: {{extra: {{logit_bias: {{}}}}}}, "
         "replicas: [{base_url: 'https://api.groq.com/openai/v1', key_variable: K}]", "sampling.extra.logit_bias"),
    ],
)  # fmt: skip
def test_what_a_host_does_not_take_is_a_mistake_with_its_place(tmp_path, main, found):
    ((field, message),) = problems(tmp_path, main)
    assert field == f"teachers.main.{found}".rstrip(".")
    assert message.partition(";")[2]


@pytest.mark.parametrize(
    "main",
    [
        f"model: gpt-4o, {OPENAI}, sampling: {{temperature: 0.7, seed: 1}}",
        f"model: gpt-5-chat-latest, {OPENAI}, sampling: {{temperature: 0.7}}",
        f"model: gpt-5.1, {OPENAI}, sampling: {{temperature: 0.7, extra: {{reasoning_effort: none}}}}",
        f"model: d, {DEEPSEEK}, sampling: {{temperature: 0.7, extra: {{thinking: {{type: disabled}}}}}}",
        f"model: c, {ANTHROPIC}, structured: prompt",
        'model: m, base_url: "http://localhost:8000/v1", '
        "replicas: [{base_url: 'https://api.groq.com/openai/v1', key_variable: K}]",
        f"model: m, {OPENAI}, replicas: [{{base_url: 'https://openrouter.ai/api/v1', key_variable: K}}]",
        'model: m, base_url: "http://localhost:8000/v1", sampling: {temperature: 3}',
    ],
)
def test_what_it_takes_is_none(tmp_path, main):
    assert loaded(tmp_path, main).notes == ()


def test_objects_are_asked_for_in_the_best_way_that_the_host_takes(tmp_path):
    def way(main):
        return loaded(tmp_path, main).recipe.teachers["main"].structured

    assert way('model: m, base_url: "http://localhost:8000/v1"') == "json_schema"
    assert way(f"model: claude-sonnet-4-5, {ANTHROPIC}") == "json_schema"
    assert way(f"model: claude-3-5-haiku-latest, {ANTHROPIC}") == "prompt"
    assert way(f"model: claude-sonnet-4-20250514, {ANTHROPIC}") == "prompt"
    assert way(f"model: d, {DEEPSEEK}") == "json_object"
    assert way(f"model: d, {DEEPSEEK}, structured: prompt") == "prompt"


def test_a_host_that_lets_requests_wait_long_gets_the_time(tmp_path):
    def deadline_s(main):
        return loaded(tmp_path, main).recipe.teachers["main"].limits.deadline_s

    assert deadline_s('model: m, base_url: "http://localhost:8000/v1"') == 600
    assert deadline_s(f"model: d, {DEEPSEEK}") == 1800
    assert deadline_s(f"model: d, {DEEPSEEK}, limits: {{deadline_s: 90}}") == 90
    assert deadline_s(f"model: gpt-4o, {OPENAI}, service_tier: priority") == 600
    assert deadline_s(f"model: gpt-4o, {OPENAI}, service_tier: flex") == 1800
    assert deadline_s('model: m, base_url: "http://localhost:8000/v1", service_tier: flex') == 600


LOCAL = 'model: m, base_url: "http://localhost:8000/v1", profile: vllm, sampling: {temperature: 0.7, seed: 1}'


def test_with_another_teacher_what_its_host_does_not_take_is_left_out_and_said(tmp_path):
    teacher = "main=https://api.anthropic.com/v1,claude,ANTHROPIC_API_KEY"
    moved = loaded(tmp_path, LOCAL, Overrides(teachers=[teacher]))
    endpoint = moved.recipe.teachers["main"]
    assert (endpoint.sampling.seed, endpoint.sampling.temperature, endpoint.structured) == (None, 0.7, "json_schema")
    assert moved.notes == ("--teacher main: seed is left out: Anthropic refuses it.",)


def test_a_way_of_asking_for_objects_that_the_other_host_does_not_heed_is_left_out_too(tmp_path):
    teacher = "main=https://api.anthropic.com/v1,claude,ANTHROPIC_API_KEY"
    local = 'model: m, base_url: "http://localhost:8000/v1", structured: json_object'
    moved = loaded(tmp_path, local, Overrides(teachers=[teacher]))
    assert moved.recipe.teachers["main"].structured == "json_schema"
    assert moved.notes == ("--teacher main: structured is left out: Anthropic does not heed json_object.",)
    kept = loaded(tmp_path, local, Overrides(teachers=["main=https://api.deepseek.com,d,DEEPSEEK_API_KEY"]))
    assert (kept.recipe.teachers["main"].structured, kept.notes) == ("json_object", ())


def test_an_endpoint_named_on_the_command_line_is_asked_as_its_host_is_known_to_take_it():
    judge = endpoint_of("https://api.deepseek.com,d,DEEPSEEK_API_KEY", "--judge ")
    assert (judge.structured, judge.limits.deadline_s) == ("json_object", 1800)
    assert teachers_of(["m=https://api.anthropic.com/v1,claude-2.1,ANTHROPIC_API_KEY"])["m"].structured == "prompt"


def test_a_service_tier_that_the_other_host_does_not_have_is_left_out_and_said(tmp_path):
    flex = f"model: gpt-4o, {OPENAI}, service_tier: flex, standard_after_s: 60"
    moved = loaded(tmp_path, flex, Overrides(teachers=["main=https://api.anthropic.com/v1,claude,ANTHROPIC_API_KEY"]))
    endpoint = moved.recipe.teachers["main"]
    assert (endpoint.service_tier, endpoint.standard_after_s) == ("", None)
    assert moved.notes == (
        "--teacher main: service_tier is left out: Anthropic has no tier 'flex'; there are auto, standard_only.",
    )


def test_a_teacher_that_moves_on_takes_nothing_of_its_first_host_along(tmp_path):
    first = loaded(tmp_path, f"model: c, {ANTHROPIC}")
    moved = override(first, Overrides(teachers=["main=http://localhost:8000/v1,m"]))
    assert moved.recipe.teachers["main"].structured == "json_schema"


def test_a_teacher_that_moves_on_is_asked_in_its_new_place_alone(tmp_path):
    pool = 'model: m, base_url: "http://localhost:8000/v1", replicas: [{base_url: "http://10.0.0.2:8000/v1"}]'
    moved = loaded(tmp_path, pool, Overrides(teachers=["main=practice:,practice-1"]))
    assert [one.base_url for one in moved.recipe.teachers["main"].members()] == ["practice:"]


def test_a_profile_that_does_not_exist_is_named(tmp_path):
    ((field, message),) = problems(
        tmp_path, 'model: m, base_url: "http://localhost:8000/v1", profile: ヴィエルエルエム'
    )
    assert field == "teachers.main.profile"
    assert "'ヴィエルエルエム'" in message
    assert "vllm" in message


THOUGHT = "筋道を立てて考える。"
REASONED = {
    "reasoning_content": {"content": "42", "reasoning_content": THOUGHT},
    "reasoning": {"content": "42", "reasoning": THOUGHT},
    "parts of the content": {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]},
            {"type": "text", "text": "42"},
        ]
    },
    "<thought>": {"content": f"<thought>{THOUGHT}</thought>42"},
}


@pytest.mark.parametrize("name", [name for name, one in named().items() if one.reasoning != "hidden"])
def test_the_reasoning_that_a_profile_names_is_read_apart_from_the_answer(name):
    told = named()[name].reasoning
    if told == "thinking blocks":
        content = [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "42"}]
        message = as_chat({"type": "message", "content": content})["choices"][0]["message"]
    else:
        message = REASONED[told]
    text, reasoning = apart(message)
    if not reasoning:
        text, reasoning = unmixed(text)
    assert (text, reasoning) == ("42", THOUGHT)


@pytest.mark.parametrize(("name", "limit"), [(name, limit) for name, one in named().items() for limit in one.limits])
def test_a_limit_that_a_profile_names_is_read(name, limit):
    if limit == "retryDelay":
        details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}]
        body = json.dumps([{"error": {"code": 429, "details": details}}]).encode()
        assert retry_after_s(Outcome(429, body)) == 37
    elif limit.startswith("retry-after"):
        assert retry_after_s(Outcome(429, b"", {limit: "2"})) == (0.002 if limit.endswith("ms") else 2)
    else:
        headers = {limit: "3", limit.replace("remaining", "limit"): "10"}
        assert [(one.remaining, one.limit) for one in allowances(headers)] == [(3, 10)]


def test_hosts_tells_all_that_is_known_of_one(capsys):
    console_hosts("openai", as_json=False)
    told = " ".join(capsys.readouterr().out.split())
    assert all(
        word in told for word in ("OPENAI_API_KEY", "x-ratelimit-remaining-tokens", "hidden", "50,000", "openai")
    )
    console_hosts("", as_json=False)
    told = capsys.readouterr().out
    assert [name for name in named() if name not in told] == []


def test_a_host_that_is_not_known_is_one_sentence():
    with pytest.raises(RecipeError, match=r"There is no profile 'ディープシーク'; there are anthropic, azure"):
        console_hosts("ディープシーク", as_json=False)
    with pytest.raises(RecipeError, match=r"did you mean 'openai'\?$"):
        console_hosts("opnai", as_json=False)
