"""Recipes and templates: every problem at once, each with its place, before any request."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from synth.errors import Fatal, RecipeError, Rejected
from synth.money.prices import tariff
from synth.protocol.endpoint import Endpoint, Sampling, is_private
from synth.recipes.described import json_schema
from synth.recipes.loading import Overrides, load, override
from synth.recipes.templates import Templates
from synth.types import Request

ROOT = Path(__file__).parents[2]
GOOD = """\
name: 例
language: ja
seeds: {kind: grid, axes: {話題: [料理, no, yes]}}
teachers:
  main: {model: m, base_url: "http://localhost:8000/v1"}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
"""


def problems(tmp_path, text, template="{{ 話題 }}", overrides=None):
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text(template, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, overrides)
    return caught.value.problems


def good(tmp_path, text="", overrides=None):
    (tmp_path / "recipe.yaml").write_text(text or FINE, encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("{{ 話題 }}", encoding="utf-8")
    return load(tmp_path, overrides)


FINE = GOOD.replace("例", "example")


def test_words_that_other_yaml_readers_take_for_booleans_stay_texts(tmp_path):
    assert good(tmp_path).recipe.seeds.axes == {"話題": ["料理", "no", "yes"]}


def test_the_language_and_the_first_teacher_fill_what_names_none(tmp_path):
    recipe = good(
        tmp_path, FINE + "    validators: [{kind: language}]\n    scorers: [{kind: exact_answer, reference: 話題}]\n"
    ).recipe
    assert recipe.stages[0].generator.teacher == "main"
    assert recipe.stages[0].validators[0].language == "ja"


def test_a_stage_without_validators_gets_the_usual_two(tmp_path):
    assert [one.kind for one in good(tmp_path).recipe.stages[0].validators] == ["finished", "refusal"]
    assert good(tmp_path, FINE + "    validators: []\n").recipe.stages[0].validators == []


def test_all_problems_come_at_once_with_line_column_and_field(tmp_path):
    text = FINE.replace("language: ja", "language: 日本").replace("model: m", "modell: m") + "    draws: many\n"
    found = problems(tmp_path, text)
    places = {(problem.line, problem.field) for problem in found}
    assert (2, "language") in places
    assert (5, "teachers.main.model") in places
    assert (5, "teachers.main.modell") in places
    assert (9, "stages[0].draws") in places
    assert any("'日本'" in problem.message for problem in found)
    assert any("did you mean 'model'" in problem.message for problem in found)
    assert all(str(problem).startswith(str(tmp_path / "recipe.yaml") + ":") for problem in found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name: example", "name: example\nname: other"), "given twice"),
        (("model: m", "model: &a m"), "anchors"),
        (("model: m", "model: !!str m"), "tags"),
        (("kind: answer", "kind: anser"), "no kind"),
        (("kind: answer, ", ""), "'kind' is missing"),
        (("language: ja\n", ""), "'language' is missing"),
        (("name: example", "name: a b"), "a name has Latin letters"),
        (("localhost:8000/v1", "localhost:8000/v1?key=1"), "query"),
        (("http://localhost", "localhost"), "base URL"),
        (("model: m", "model: m, key_variable: sk-abc-123"), "never the key"),
        (("model: m", "model: m, price: {input_usd: '1', output_usd: 2}"), "number"),
        (("- name: answer", "- name: [answer"), "not YAML"),
        (("model: m", "model: m, sampling: {temperature: 1e999}"), "1e999 is too large"),
        (("model: m", "model: m, sampling: {seed: 99999999999999999999999}"), "too large"),
        (("model: m", "model: m, sampling: {seed: " + "9" * 5000 + "}"), "too large"),
        (("name: example", 'name: example\ndescription: "\\ud800"'), "surrogate"),
        (("name: example", 'name: example\n"\\ud800": 1'), "surrogate"),
        (("name: example", "name: example\ndescription: 日\a本"), "U+0007"),
        (("name: example", "name: exam\0ple"), "U+0000"),
        (('"http://localhost:8000/v1"', '"practice:nonsense"'), "practice:faultless"),
    ],
)
def test_single_mistakes_are_named(tmp_path, change, words):
    found = problems(tmp_path, FINE.replace(*change))
    assert any(words in problem.message for problem in found), found
    assert all(problem.line for problem in found)


@pytest.mark.parametrize(
    "text", ["[" * 450_000, "{a: " * 100_000, "\n".join(" " * n + "- a:" for n in range(1, 900, 2)).strip()]
)
def test_what_is_nested_too_deeply_is_refused_at_its_place(tmp_path, text):
    (found,) = problems(tmp_path, FINE + "x:\n " + text)
    assert "more than 100 levels" in found.message
    assert found.line >= 9


def test_a_mistake_in_form_does_not_hide_those_in_names_seeds_and_templates(tmp_path):
    text = (
        FINE.replace("axes: {話題: [料理, no, yes]}", "axes: {話題: [料理], seed: [1]}")
        + "    draws: many\nbugdet: 3\n"
    )
    found = problems(tmp_path, text + "selection: {best_of: nix}\n", "{{ 題名 }}")
    assert [(one.line, one.field) for one in found] == [
        (9, "stages[0].draws"), (10, "bugdet"), (11, "selection.best_of"), (3, "seeds"), (1, ""),
    ]  # fmt: skip


def test_seeds_that_cannot_be_read_do_not_hide_other_mistakes(tmp_path):
    text = FINE.replace("kind: grid, axes: {話題: [料理, no, yes]}", "kind: jsonl, path: nonesuch.jsonl")
    found = problems(tmp_path, text + "selection: {best_of: nix}\n")
    assert [one.line for one in found] == [9, 3]
    assert "nonesuch.jsonl" in found[1].message


@pytest.mark.parametrize("name", ["seed", "count", "examples", "instruction"])
def test_a_seed_field_with_the_name_of_a_templates_own_value_is_refused(tmp_path, name):
    text = FINE.replace("話題: [料理, no, yes]", f"話題: [料理], {name}: [5]").replace(
        "kind: answer", "kind: self_instruct"
    )
    (found,) = problems(tmp_path, text)
    assert (found.line, found.field) == (3, "seeds")
    assert repr(name) in found.message
    assert "rename" in found.message
    if name == "count":
        assert good(tmp_path, text.replace("kind: self_instruct", "kind: answer"))  # it gives its template no count


@pytest.mark.parametrize(
    ("change", "secret"),
    [
        (("model: m", "model: m, key_variable: sk-abc-123-secret"), "secret"),
        (("http://localhost", "https://user:secret@localhost"), "secret"),
    ],
)
def test_what_may_be_a_key_is_not_repeated(tmp_path, change, secret):
    found = problems(tmp_path, FINE.replace(*change))
    assert not any(secret in str(problem) for problem in found)


@pytest.mark.parametrize(
    ("stage", "selection", "words"),
    [
        ("draws: 3, dedupe: {by: question}", "{}", "have the same 'question'"),
        ("draws: {most: 3}, dedupe: {by: 話題}", "{}", "have the same '話題'"),
        ("draws: 3, dedupe: {by: answer}", "{best_of: majority}", "drops answers that say the same"),
        ("draws: 1, dedupe: {by: question}", "{}", ""),
        ("draws: 3, dedupe: {by: answer}", "{}", ""),
        ("draws: 3, dedupe: {by: instruction}, generator: {kind: self_instruct, prompt: ask.md.j2}", "{}", ""),
    ],
)
def test_draws_are_not_bought_to_be_dropped_by_their_own_gate(tmp_path, stage, selection, words):
    generator = "" if "generator" in stage else ", generator: {kind: answer, prompt: ask.md.j2}"
    text = (
        FINE[: FINE.index("  - name: answer")] + f"  - {{name: answer, {stage}{generator}}}\nselection: {selection}\n"
    )
    if not words:
        assert good(tmp_path, text).recipe.stages[0].dedupe is not None
        return
    (problem,) = problems(tmp_path, text)
    assert (problem.line, problem.field) == (7, "stages[0].dedupe")
    assert words in problem.message


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("    scorers: [{kind: judge, teacher: nobody}]\n", "no teacher 'nobody'"),
        ("selection: {require: {judge: 4}}\n", "no score 'judge'"),
        ("selection: {best_of: judge}\n", "no score 'judge'"),
        ("selection: {best_of: majority}\n", "one draw has no majority"),
        ("  - name: answer\n    generator: {kind: answer, prompt: ask.md.j2}\n", "called 'answer'"),
        ("    scorers: [{kind: exact_answer, reference: 答え}]\n", "no field '答え'"),
        ("    validators: [{kind: kept, of: [話題, 原文]}]\n", "no field '原文'"),
        ("    validators: [{kind: register, of: 文体}]\n", "no field '文体'"),
        ("    validators: [{kind: length, max_from: 字数}]\n", "no field '字数'"),
        ("split: {fractions: {train: 0.5}}\n", "add up to 1"),
    ],
)
def test_names_must_be_known(tmp_path, more, words):
    assert any(words in problem.message for problem in problems(tmp_path, FINE + more))


@pytest.mark.parametrize(
    ("template", "more", "said"),
    [
        ("{{ 題名 }}", "", "'題名' is not defined; the fields here are none"),
        ("何か", "selection: {balance: 水準}\n", "there is no field '水準'; the fields here are none"),
    ],
)
def test_a_field_is_missed_where_a_seed_has_none_at_all(tmp_path, template, more, said):
    (tmp_path / "none.jsonl").write_text("{}\n", encoding="utf-8")
    text = re.sub(r"seeds:.*", "seeds: {kind: jsonl, path: none.jsonl}", FINE)
    assert [problem.message for problem in problems(tmp_path, text + more, template)] == [said]


@pytest.mark.parametrize(
    ("template", "line", "words"),
    [
        ("一行目\n{{ 題名 }}", 2, "'題名' is not defined; the fields here are 話題"),
        ("{% if 話題 %}", 1, "end of template"),
        ("{% include 'nonesuch.j2' %}", 0, "nonesuch.j2"),
        ("{{ 話題 | nosuch }}", 1, "nosuch"),
        ("一行目\n\n{{ seed.題 }}", 3, "題"),
        ("一行目\n{{ 5 | dictsort }}", 2, "items"),
        ("一行目\n{% include 'ask.md.j2' %}", 2, "recursion"),
    ],
)
def test_template_problems_have_their_line(tmp_path, template, line, words):
    (found,) = problems(tmp_path, FINE, template)
    assert words in found.message
    assert found.line == line
    assert "ask.md.j2" in found.file


@pytest.mark.parametrize(
    ("template", "line", "words"),
    [
        ("質問：\n｛｛ 話題 ｝｝", 2, "'｛｛' is no sign of Jinja's; type {{"),
        ("{｛ 話題 }}", 1, "type {{"),
        ("{{ 話題 ｝｝", 1, "type }}"),
        ("｛% if 話題 %｝あ｛% endif %}", 1, "type {%"),
        ("{{ 話題 }}\n\n{％ if 話題 ％}", 3, "type {%"),
    ],
)
def test_braces_of_a_japanese_keyboard_are_told_where_they_would_stand_in_every_prompt(tmp_path, template, line, words):
    found = problems(tmp_path, FINE, template)[0]
    assert (found.line, words in found.message) == (line, True), found.message


def test_full_width_braces_that_are_no_pairs_are_text(tmp_path):
    (tmp_path / "ask.md.j2").write_text("集合｛1, 2｝の{{ 話題 }}は５０％です。", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(FINE, encoding="utf-8")
    assert load(tmp_path).recipe.name == "example"


def test_a_missing_template_names_a_near_one(tmp_path):
    (found,) = problems(tmp_path, FINE.replace("ask.md.j2", "asks.md.j2"))
    assert "did you mean 'ask.md.j2'" in found.message
    assert (found.line, found.column, found.field) == (8, 31, "stages[0].generator.prompt")


def test_templates_are_kept_in_their_folder_and_in_the_sandbox(tmp_path):
    assert problems(tmp_path, FINE.replace("ask.md.j2", "../../etc/passwd"))
    (found,) = problems(tmp_path, FINE, "{{ ''.__class__.__mro__ }}")
    assert "__class__" in found.message


def test_a_later_seed_that_lacks_a_field_is_rejected_with_the_place(tmp_path):
    (tmp_path / "a.j2").write_text("一\n{{ 題 }}")
    with pytest.raises(Rejected, match=r"a\.j2:2"):
        Templates(tmp_path).render("a.j2", {"話題": 1})


def test_null_is_never_printed_and_the_first_seed_may_have_it(tmp_path):
    text = FINE.replace("[料理, no, yes]", "[null, 料理]")
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("一\n{{ 話題 }}{% if 話題 is none %}なし{% endif %}", encoding="utf-8")
    templates = load(tmp_path).templates
    with pytest.raises(Rejected, match=r"ask\.md\.j2:2.*null.*話題") as caught:
        templates.render("ask.md.j2", {"話題": None, "q": 0})
    assert caught.value.reason == "template_error"
    assert templates.render("ask.md.j2", {"話題": 0}) == "一\n0"


def test_overrides_stand_in_for_the_recipes_words(tmp_path):
    (tmp_path / "s.jsonl").write_text('{"話題": "旅"}')
    overrides = Overrides(["main=https://api.example.com/v1,big,MY_KEY"], str(tmp_path / "s.jsonl"), None, 7)
    recipe = good(tmp_path, overrides=overrides).recipe
    assert recipe.teachers["main"].model == "big"
    assert recipe.teachers["main"].key_variable == "MY_KEY"
    assert recipe.selection.rows == 7
    (tmp_path / "own.jsonl").write_text('{"話題": "山"}', encoding="utf-8")
    crossed = FINE.replace(
        "seeds: {kind: grid, axes: {話題: [料理, no, yes]}}",
        "seeds: {kind: jsonl, path: own.jsonl, axes: {文体: [常体, 敬体]}}",
    )
    assert good(tmp_path, crossed, overrides=overrides).recipe.seeds.axes == {"文体": ["常体", "敬体"]}
    priced = FINE.replace("model: m", "model: m, price: {input_usd: 1, output_usd: 2}")
    kept = good(tmp_path, priced, Overrides(["main=https://api.example.com/v1,big"], budget={"usd": 1})).recipe
    assert kept.teachers["main"].price.output_usd == 2
    with pytest.raises(RecipeError, match="NAME is one of main"):
        good(tmp_path, overrides=Overrides(["nobody=http://localhost/v1,m"]))


def test_what_is_given_beside_the_recipe_is_not_looked_for_in_it(tmp_path):
    with pytest.raises(RecipeError) as missing:
        good(tmp_path, overrides=Overrides(seeds="無い種.jsonl"))
    assert str(missing.value) == "There is no seed file 無い種.jsonl; it counts from the folder you are in."
    with pytest.raises(RecipeError) as unknown:
        good(tmp_path, overrides=Overrides(selection={"require": {"正しさ": 4}}))
    assert str(unknown.value).startswith("there is no score '正しさ'")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (Overrides(budget={"usd": -5}), "budget"),
        (Overrides(budget={"usd": float("nan")}), "budget"),
        (Overrides(budget={"usd": float("inf")}), "budget"),
        (Overrides(rows=0), "rows"),
    ],
)
def test_overrides_are_checked_like_the_recipes_words(tmp_path, overrides, words):
    with pytest.raises(RecipeError, match=words):
        good(tmp_path, overrides=overrides)


def test_a_loaded_recipe_takes_overrides_and_keeps_those_it_was_loaded_with(tmp_path):
    loaded = good(tmp_path, overrides=Overrides(rows=7))
    other = override(loaded, Overrides(["main=http://localhost:1/v1,big"], budget={"usd": 2}))
    assert (other.recipe.selection.rows, other.recipe.teachers["main"].model) == (7, "big")
    assert other.recipe.cap_microusd() == 2_000_000
    assert other.sha256 != loaded.sha256
    with pytest.raises(RecipeError, match=r"recipe\.yaml: teachers\.main: .*price"):
        override(loaded, Overrides(["main=https://api.example.com/v1,big"], budget={"usd": 2}))


def test_an_unknown_price_under_a_budget_is_refused_and_a_private_host_is_free(tmp_path):
    assert good(tmp_path, overrides=Overrides(budget={"usd": 1})).recipe.cap_microusd() == 1_000_000
    hosted = FINE.replace("http://localhost:8000", "https://api.example.com")
    (found,) = problems(tmp_path, hosted, overrides=Overrides(budget={"usd": 1}))
    assert "price" in found.message
    assert "{input_usd" in found.message
    priced = hosted.replace("model: m", "model: m, price: {input_usd: 1, output_usd: 2}")
    assert good(tmp_path, priced, Overrides(budget={"usd": 1})).recipe.cap_microusd() == 1_000_000


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://localhost/v1", True), ("http://127.0.0.1/v1", True), ("http://[::1]/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://192.168.0.9/v1", True), ("http://gpu-box/v1", True), ("http://a.internal/v1", True),
        ("https://api.openai.com/v1", False), ("http://8.8.8.8/v1", False), ("http://169.254.169.254/v1", False),
    ],
)  # fmt: skip
def test_private_hosts_are_told_apart(url, private):
    assert is_private(url) is private


@pytest.mark.parametrize("url", ["http://h:99999/v1", "http://h:abc/v1", "http://h:0/v1", "http://h/v1#v2"])
def test_a_base_url_that_would_be_asked_elsewhere_is_refused_in_a_sentence(tmp_path, url):
    [problem] = problems(tmp_path, FINE.replace("http://localhost:8000/v1", url))
    assert problem.field == "teachers.main.base_url"
    assert ("port" in problem.message) is ("#" not in url)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sampling.max_tokens", "{max_tokens: 1000000000000}"),
        ("price.output_usd", "{input_usd: 0, output_usd: 1.0e+9}"),
        ("price.request_usd", "{input_usd: 0, output_usd: 0, request_usd: 1.0e+9}"),
        ("price.service_tiers.flex", "{input_usd: 0, output_usd: 0, service_tiers: {flex: 1.0e+9}}"),
    ],
)
def test_numbers_whose_cost_the_store_could_not_hold_are_refused(tmp_path, field, value):
    part = field.partition(".")[0]
    [problem] = problems(tmp_path, FINE.replace('8000/v1"}', f'8000/v1", {part}: {value}}}'))
    assert problem.field == f"teachers.main.{field}"
    most = {"sampling": {"max_tokens": 10_000_000}, "price": {"input_usd": 1e5, "output_usd": 1e5, "request_usd": 1e5}}
    dearest = Endpoint(model="m", base_url="http://h/v1", **most)
    worst = tariff(dearest.price).worst(Request(b"", "", "m", b"", 0, 10_000_000, 2 * 10_000_000))
    assert 1000 * worst.microusd < 2**63


def test_a_named_key_variable_must_be_set(monkeypatch):
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(Fatal, match="NO_SUCH"):
        Endpoint(model="m", base_url="http://localhost/v1", key_variable="NO_SUCH").key()


@pytest.mark.parametrize("key", ["sk-a\nb", "sk-“smart”", "two words", "鍵"])
def test_a_key_that_no_header_carries_is_named_by_its_variable_alone(monkeypatch, key):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(Fatal, match=r"MY_KEY.*http://localhost/v1") as caught:
        Endpoint(model="m", base_url="http://localhost/v1", key_variable="MY_KEY").key()
    assert key not in str(caught.value)
    monkeypatch.setenv("MY_KEY", " sk-fine_1\n")
    assert Endpoint(model="m", base_url="http://localhost/v1", key_variable="MY_KEY").key() == "sk-fine_1"


def test_size_and_encoding_are_checked(tmp_path):
    assert "1 MB" in problems(tmp_path, FINE + "#" * 1_000_001)[0].message
    (tmp_path / "recipe.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(RecipeError, match="UTF-8"):
        load(tmp_path)
    with pytest.raises(RecipeError, match="cannot be read"):
        load(tmp_path / "nonesuch")


@pytest.mark.parametrize("name", ["quickstart-en", "quickstart-ja", "gsm8k"])
def test_shipped_recipes_load_and_fit_the_published_schema(name):
    import yaml

    jsonschema = pytest.importorskip("jsonschema")
    assert load(ROOT / "prompts" / name).recipe.license
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    value = yaml.safe_load((ROOT / "prompts" / name / "recipe.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize("name", ["max_tokens", "n", "stream", "model", "messages", "max_completion_tokens"])
def test_what_synth_sets_itself_cannot_be_set_in_extra(name):
    with pytest.raises(ValidationError, match=f"'{name}' is not for extra"):
        Sampling(extra={name: 1})


def test_the_order_of_extra_fields_makes_no_other_request():
    assert list(Sampling(extra={"b": 1, "a": 2}).extra) == ["a", "b"]


@pytest.mark.parametrize(
    "options", ["fallback: main", "extractor: main", "stream: true", "sampling: {temperature: 0.2}"]
)
def test_what_concerns_writing_is_refused_of_a_teacher_that_only_measures(tmp_path, options):
    measuring = FINE.replace(
        "stages:", f'  student: {{model: s, base_url: "http://localhost:8001/v1", {options}}}\nstages:'
    )
    measuring += "    scorers: [{kind: likelihood, teacher: student}]\n"
    (found,) = problems(tmp_path, measuring)
    assert "'student' writes no text here, so this has no effect" in found.message
    assert found.field.startswith("teachers.student.")
    assert found.line == 6
    good(
        tmp_path, measuring.replace("likelihood", "judge").replace(", teacher: student", ", name: a, teacher: student")
    )
    good(tmp_path, measuring.replace(options, "sampling: {extra: {add_special_tokens: true}}"))
