"""The practice teacher in a user's place: it brings one exercise after the other, and now and then forgets its part."""

from __future__ import annotations

import re

from synth.backends.practice.questions import TASKS, TOPICS
from synth.backends.practice.reading import read
from synth.backends.practice.said import Asked, Said, Truth, is_right, verdict
from synth.patterns import lazy

DIALOGUE = lazy(r"<dialogue>\s*(.*?)\s*</dialogue>", re.DOTALL)
TURN = lazy(r"<(user|assistant)>\s*(.*?)\s*</\1>", re.DOTALL)
FIRST = {
    "en": ("{task}", "I am stuck on this one. {task}", "Could you help me with something? {task}"),
    "ja": ("{task}", "この問題が分からなくて困っています。{task}", "ちょっと教えてもらえますか。{task}"),
}
LATER = {
    "en": ("Thanks, that helps. And now this: {task}", "I see. What about another one? {task}", "Got it. Next: {task}"),
    "ja": (
        "ありがとうございます。では次はどうでしょう。{task}",
        "なるほど、分かりました。もう一問お願いします。{task}",
        "助かりました。続けてこれもお願いします。{task}",
    ),
}
SLIPS = {
    ("tuning", "en"): (
        "As an AI language model, I would solve it step by step.",
        "How can I help you today?",
        "Got it, thank you.\nAssistant: You are welcome. Is there anything else I can help you with?",
    ),
    ("tuning", "ja"): (
        "AIとして、順番に計算してお答えします。",
        "ご質問ありがとうございます。順に計算していきましょう。",
        "ありがとうございます。\nアシスタント：どういたしまして。",
    ),
    ("held_out", "en"): (
        "I'd be happy to help! Which part shall we look at?",
        "Thanks!\n\n**AI**: No problem at all.",
        "I'm a large language model and cannot check that myself.",
    ),
    ("held_out", "ja"): (
        "他に何かご質問はありますか。",
        "私はAIですので、計算はお任せください。",
        "了解です。\nAI: では計算します。",
    ),
}


def user(asked: Asked) -> Said | None:
    """The next turn of a dialogue that stands in the prompt, where no object is asked for."""
    shown = DIALOGUE.search(asked.prompt)
    if shown is None or asked.wanted:
        return None
    rng, language, turns = asked.rng, asked.language, TURN.findall(shown[1])
    earlier = [text for role, text in turns if role == "user"]
    point = rng.random()
    if earlier and point < asked.faults.echo:
        return Said(rng.choice(earlier), Truth("user", language=language, fault="echo"))
    if point > 1 - asked.faults.role_slip:
        slip = rng.choice(SLIPS[(asked.faults.templates, language)])
        return Said(slip, Truth("user", language=language, fault="role_slip"))
    names = next((names for topic, names in TOPICS[language] if topic in asked.prompt), None)
    tasks = [
        one for one in TASKS if one.language == language and one.name != "form" and (not names or one.name in names)
    ]
    task = rng.choice(tasks)
    wording = rng.choice((LATER if turns else FIRST)[language])
    return Said(wording.format(task=task.write(rng)), Truth("user", task.name, language))


def dialogue_judge(asked: Asked) -> Said | None:
    """A grade for a whole dialogue: by the worst of its answers."""
    shown = DIALOGUE.search(asked.prompt)
    if shown is None or "score" not in asked.wanted:
        return None
    turns = TURN.findall(shown[1])
    pairs = [(one[1], other[1]) for one, other in zip(turns[::2], turns[1::2], strict=False)]
    right = bool(pairs) and all(is_right(answer, read(question)) for question, answer in pairs)
    score = asked.rng.choice((4, 5, 5)) if right else asked.rng.choice((1, 1, 2))
    reason = {
        ("en", True): "Every answer follows from its question.",
        ("en", False): "One of the answers does not follow from its question.",
        ("ja", True): "どの答えも質問に合っています。",
        ("ja", False): "質問に合わない答えが混じっています。",
    }[(asked.language, right)]
    return verdict(asked, reason, score)
