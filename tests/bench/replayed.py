"""Recipes whose replies are recorded, with the lengths that real texts have: for `estimate.py` and its tests.

Each takes a folder and the order of its seeds, and gives the folder, in which it has written a recipe with its templates,
seeds and recorded replies. Tokens are counted as about four letters of English or one of Japanese each.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "shared" / "data"
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
ANEW = 10_000
"""How far apart the draws are of what is asked anew."""

HEAD = """\
name: recorded
language: {language}
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
{teachers}stages:
{stages}"""
TEACHER = """\
  {name}:
    model: recorded
    base_url: "replay:{name}.jsonl"
    price: {{input_usd: {price[0]}, output_usd: {price[1]}}}
"""
ANSWER = """\
  - name: answer
    generator: {{kind: answer, prompt: p.md.j2}}
    validators: [{{kind: finished}}{checks}]
    {more}
"""
TWO = """\
  - name: first
    generator: {kind: answer, prompt: p.md.j2, keep_as: text}
    validators: [{kind: finished}]
    dedupe: {by: answer}
  - name: second
    generator: {kind: answer, prompt: q.md.j2}
    validators: [{kind: finished}]
"""
VERIFIED = "scorers: [{kind: exact_answer, reference: answer}]"
SOLVE = "Solve it step by step, and end with a line `A: NUMBER`.\n\n{{ question }}"

Reply = dict[str, Any]


def lines(name: str) -> list[Any]:
    """The objects of a file of real data."""
    raw = (DATA / name).read_bytes()
    text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode("utf-8")
    return [json.loads(line) for line in text.splitlines() if line]


def reply(prompt: str, content: str, draw: int = 0) -> Reply:
    """A recorded reply with what it used."""
    usage = {"prompt_tokens": _tokens(prompt) + 8, "completion_tokens": _tokens(content)}
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return {"prompt": prompt, "draw": draw, "response": {"choices": [choice], "usage": usage, "model": "recorded"}}


def _tokens(text: str) -> int:
    plain = sum(letter < "\x80" for letter in text)
    return max(1, round(plain / 4 + (len(text) - plain) * 0.8))


def write(
    folder: Path,
    order: int,
    seeds: Iterable[Mapping[str, str]],
    replies: Mapping[str, Sequence[Reply]],
    stages: str,
    *,
    prompts: Sequence[str] = ("{{ q }}",),
    language: str = "en",
    prices: Mapping[str, tuple[float, float]] | None = None,
) -> Path:
    """Write a recipe whose seeds are in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    shuffled = list(seeds)
    random.Random(order).shuffle(shuffled)
    for name, rows in (("seeds", shuffled), *replies.items()):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    for name, text in zip("pq", prompts, strict=False):
        (folder / f"{name}.md.j2").write_text(text, encoding="utf-8")
    each = (TEACHER.format(name=name, price=(prices or {}).get(name, (1, 4))) for name in replies)
    recipe = HEAD.format(language=language, teachers="".join(each), stages=stages)
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return folder


def _solved(folder: Path, order: int, stages: str, drawn: Sequence[tuple[str, int, int]], **more: Any) -> Path:
    """Grade-school problems; `drawn` are teacher, draw and the model whose solution that is."""
    records = lines("gsm8k_model_solutions.jsonl")
    seeds = [
        {"question": one["question"].strip(), "answer": one["ground_truth"].rpartition("A:")[2].strip()}
        for one in records
    ]
    replies: dict[str, list[Reply]] = {name: [] for name, _, _ in drawn}
    for one in records:
        prompt = SOLVE.replace("{{ question }}", one["question"].strip())
        for name, draw, model in drawn:
            replies[name].append(reply(prompt, one[MODELS[model]]["solution"].strip(), draw))
    return write(folder, order, seeds, replies, stages, prompts=[SOLVE], **more)


def solutions(folder: Path, order: int) -> Path:
    """One solution of each problem, verified."""
    stages = ANSWER.format(checks="", more=VERIFIED) + "selection: {require: {exact_answer: 1}}\n"
    return _solved(folder, order, stages, [("main", 0, 3)])


def wanted(folder: Path, order: int) -> Path:
    """The same until 200 are right."""
    stages = ANSWER.format(checks="", more=VERIFIED) + "selection: {require: {exact_answer: 1}, rows: 200}\n"
    return _solved(folder, order, stages, [("main", 0, 3)])


def four_draws(folder: Path, order: int) -> Path:
    """Four solutions of each problem, of which one is kept."""
    stages = ANSWER.format(checks="", more=f"draws: 4\n    {VERIFIED}")
    stages += "selection: {require: {exact_answer: 1}, per_prompt: 1}\n"
    return _solved(folder, order, stages, [("main", draw, draw) for draw in range(4)])


def until_right(folder: Path, order: int) -> Path:
    """Solutions until one is right, four at most."""
    rule = "draws: {most: 4, verified: 1, by: exact_answer}"
    stages = ANSWER.format(checks="", more=f"{rule}\n    {VERIFIED}")
    return _solved(folder, order, stages, [("main", draw, draw) for draw in range(4)])


def escalating(folder: Path, order: int) -> Path:
    """A small model, and a dear one where that is wrong."""
    more = f"teachers: [small, large]\n    escalate_below: {{exact_answer: 1}}\n    {VERIFIED}"
    prices = {"small": (0.2, 0.8), "large": (3.0, 15.0)}
    stages = ANSWER.format(checks="", more=more)
    return _solved(folder, order, stages, [("small", 0, 0), ("large", 0, 3)], prices=prices)


def asked_again(folder: Path, order: int) -> Path:
    """Solutions that are asked for again while they are long."""
    stages = ANSWER.format(checks=", {kind: length, max_chars: 220}", more="ask_again: 2")
    return _solved(folder, order, stages, [("main", times * ANEW, times) for times in range(3)])


def _answered(
    folder: Path, order: int, pairs: Iterable[tuple[str, str]], prompt: str, checks: str = "", language: str = "en"
) -> Path:
    unlike = dict(pairs)
    replies = [reply(prompt.replace("{{ q }}", question), answer) for question, answer in unlike.items()]
    seeds = [{"q": question} for question in unlike]
    stages = ANSWER.format(checks=checks, more="")
    return write(folder, order, seeds, {"main": replies}, stages, prompts=[prompt], language=language)


def _outputs() -> list[tuple[str, str]]:
    """Instructions of people's, and what they wrote themselves."""
    found: list[tuple[str, str]] = []
    for one in lines("self_instruct_seeds.jsonl"):
        first = one["instances"][0]
        question, answer = f"{one['instruction']}\n\n{first['input']}".strip(), first["output"].strip()
        found += [(question, answer)] * bool(answer)
    return found


def instructions(folder: Path, order: int) -> Path:
    """175 instructions of any kind: answers from one word to pages."""
    return _answered(folder, order, _outputs(), "{{ q }}")


def common_sense(folder: Path, order: int) -> Path:
    """2,000 Japanese questions with five words to choose from; long words are refused."""
    pairs = [
        (f"{one['question']}\n選択肢: {'、'.join(one[f'choice{at}'] for at in range(5))}", one[f"choice{one['label']}"])
        for one in lines("jcommonsenseqa.jsonl")
    ]
    prompt = "次の問いに、選択肢の一語だけで答えてください。\n\n{{ q }}"
    return _answered(folder, order, pairs, prompt, ", {kind: length, max_chars: 3}", "ja")


def functions(folder: Path, order: int) -> Path:
    """164 functions of Python; long ones are refused."""
    pairs = [
        (one["prompt"].strip(), f"```python\n{one['prompt']}{one['canonical_solution']}```")
        for one in lines("humaneval.jsonl.gz")
    ]
    prompt = "Complete the function.\n\n{{ q }}"
    return _answered(folder, order, pairs, prompt, ", {kind: length, max_chars: 900}")


def translations(folder: Path, order: int) -> Path:
    """250 problems put into Japanese."""
    texts = [
        [line.split("\t")[0].strip() for line in (DATA / name).read_text(encoding="utf-8").splitlines() if line]
        for name in ("mgsm_en.tsv", "mgsm_ja.tsv")
    ]
    prompt = "次の問題を日本語に訳してください。\n\n{{ q }}"
    return _answered(folder, order, zip(*texts, strict=True), prompt, language="ja")


def documents(folder: Path, order: int) -> Path:
    """500 documents of very different lengths, made of real sentences, each with a short reply."""
    questions = [one["question"].strip() for one in lines("gsm8k_model_solutions.jsonl")]
    chance, pairs = random.Random(5), list[tuple[str, str]]()
    for number in range(500):
        length = min(80, max(1, round(chance.lognormvariate(1.2, 1.0))))
        text = "\n".join(chance.choices(questions, k=length))
        pairs.append((f"Document {number}.\n{text}", chance.choice(questions)))
    return _answered(folder, order, pairs, "Summarise in one sentence.\n\n{{ q }}")


def traces(folder: Path, order: int) -> Path:
    """Answers as long as traces of reasoning vary: lengths are lognormal, with a deviation of the whole mean."""
    chance = random.Random(6)
    words = ["so", "thus", "then", "wait", "hence", "check"]
    pairs = [
        (one["question"].strip(), " ".join(chance.choices(words, k=min(20_000, round(chance.lognormvariate(5, 1.0))))))
        for one in lines("gsm8k_model_solutions.jsonl")
    ]
    return _answered(folder, order, pairs, "{{ q }}")


def _after_a_gate(folder: Path, order: int, pairs: Sequence[tuple[str, str]], prompts: Sequence[str]) -> Path:
    """What the first stage brings is compared with what it brought before, and each that is new gets a real text."""
    outputs, first, second = [answer for _, answer in _outputs()], list[Reply](), dict[str, Reply]()
    for question, text in pairs:
        picked = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % len(outputs)
        first.append(reply(prompts[0].replace("{{ q }}", question), text))
        second[text] = reply(prompts[1].replace("{{ text }}", text), outputs[picked][:600])
    seeds = [{"q": question} for question, _ in pairs]
    replies = {"main": [*first, *second.values()]}
    return write(folder, order, seeds, replies, TWO, prompts=prompts, language="ja")


def captions(folder: Path, order: int) -> Path:
    """3,000 captions of pictures, some of them of the same picture."""
    records = lines("jsts_pairs.jsonl")[:3000]
    pairs = [(f"{one['sentence1'].strip()}（{at}）", one["sentence2"].strip()) for at, one in enumerate(records)]
    return _after_a_gate(
        folder, order, pairs, ["言い換えてください: {{ q }}", "この情景から書いてください: {{ text }}"]
    )


def words(folder: Path, order: int) -> Path:
    """2,000 words that answer questions: one in four was the answer to another before."""
    pairs = {one["question"].strip(): one[f"choice{one['label']}"] for one in lines("jcommonsenseqa.jsonl")}
    prompts = ["一語で答えてください: {{ q }}", "この語について書いてください: {{ text }}"]
    return _after_a_gate(folder, order, [*pairs.items()], prompts)


EVERY: tuple[Callable[[Path, int], Path], ...] = (
    *(solutions, wanted, four_draws, until_right, escalating, asked_again),
    *(instructions, common_sense, functions, translations, documents, traces, captions, words),
)
