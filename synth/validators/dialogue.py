"""Whoever speaks in a dialogue keeps to its own part, and says something new."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from synth.dedupe.normalise import normalise
from synth.errors import Rejected
from synth.language.text import KANA, prose
from synth.patterns import lazy
from synth.types import Message, Sample, Value
from synth.validators.identity import find_self_identification
from synth.validators.refusal import QUOTED

USER = r"(?:user|human|ユーザー?)"
ASSISTANT = r"(?:assistant|chat\s?bot|アシスタント|AI)"
LABEL = lazy(rf"\A\s*(?:\*\*)?(?:{USER}|利用者|質問者)(?:\*\*)?\s?[:：](?:\*\*)?\s*", re.IGNORECASE)
TAGS = lazy(r"\A\s*<user>\s*(.*?)\s*</user>\s*\Z", re.DOTALL)
OTHER_PART = {
    "user": lazy(rf"^\s*(?:\*\*)?{ASSISTANT}(?:\*\*)?\s?[:：]|</?assistant>", re.IGNORECASE | re.MULTILINE),
    "assistant": lazy(rf"\n\s*\n\s*(?:\*\*)?{USER}(?:\*\*)?\s?[:：]|</?user>", re.IGNORECASE),
}
"""Where the other one's turn begins."""
SERVING = lazy(
    r"\bhow (?:can|may|could) I (?:help|assist|be of (?:help|service|assistance))"
    r"(?: (?:you|to you|with this|with that|today)\b|\s*\?)"
    r"|\banything else (?:that )?(?:I can|you(?:'d| would) like (?:me to )?(?:help|assist|know))"
    r"|\bI(?:'d| would|'ll| will|'m| am) (?:be )?(?:happy|glad|here|pleased|delighted) to (?:help|assist)(?: you)?\b"
    r"|\blet me know if you have any (?:other|more|further|additional)?\s?questions",
    re.IGNORECASE,
)
SERVING_JA = lazy(
    r"(?:(?:ほか|他)にも?|何か)、?(?:何か)?(?:ご質問|お困りのこと|お手伝い)[^。\n]{0,12}(?:でしょうか|ますか|ありましたら|ございましたら|あれば)"
    r"|お手伝いできること|お役に立て(?:れば|たら)(?:幸い|うれし|嬉し)|(?:お気軽|ご遠慮なく|遠慮なく)に?[^。\n]{0,6}(?:ご質問|お尋ね|お問い合わせ|ご相談)ください"
    r"|ご質問(?:を)?(?:いただき)?ありがとうございます|(?:喜んで|いつでも)お(?:手伝い|答え)(?:いた|し)"
)
"""What somebody says who serves, and not who asks."""
GRAM, GRAM_JA = 5, 3
ALIKE, WITHIN = 0.9, 0.9
FEWEST_CHARS, FEWEST_CHARS_JA = 40, 16
"""Of a turn that may repeat a part of what was said: words and formulae are taken up in every dialogue."""
FIGURES = lazy(r"\d+")


class Dialogue(Value):
    """Refuse a dialogue in which somebody speaks in the other's place, or says again what was said.

    The user speaks as the assistant where it names itself a model, offers help, or writes the assistant's turn as well;
    the assistant as the user where it goes on with the user's next turn.
    """

    kind: Literal["dialogue"] = "dialogue"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`role_slip`) or Rejected(`echo`)."""
        said = (one for one in sample.messages if one.role in ("user", "assistant"))
        turns = [one for one in said if one.role == "user" or one.content.strip()]  # a turn of calls says nothing
        for place, turn in enumerate(turns):
            if slip := find_slip(turn):
                raise Rejected("role_slip", f"{turn.role}: {slip}")
            if echo := find_echo(turns[: place + 1]):
                raise Rejected("echo", f"{turn.role}: {echo}")


def unlabelled(text: str) -> str:
    """A user's turn without the tag or label that tells whose it is."""
    tagged = TAGS.match(text)
    return LABEL.sub("", tagged[1] if tagged else text, count=1).strip()


def find_slip(turn: Message) -> str | None:
    """The words with which a turn speaks in the other's place; None when it does not."""
    text = turn.content
    other = OTHER_PART.get(turn.role)
    if other is not None and (found := other.search(text)):
        return found[0].strip()
    if turn.role != "user":
        return None
    if not text.strip():
        return "nothing was said"
    plain = QUOTED.sub(" ", prose(text)).replace("’", "'")
    found = SERVING.search(plain) or SERVING_JA.search(plain)
    return found[0] if found else find_self_identification(plain)


def find_echo(turns: Sequence[Message]) -> str | None:
    """What the last turn repeats of those before it; None when it says something new.

    A turn repeats another one of its own side that has the same numbers and nearly the same letters, or any that is the
    same; and a user repeats an assistant in whose turn nearly all of its own stands.
    """
    newest = turns[-1]
    plain = normalise(newest.content)
    grams, figures = _grams(plain), FIGURES.findall(plain)
    for earlier in turns[:-1]:
        before = normalise(earlier.content)
        if plain == before:
            return f"the {earlier.role}'s {earlier.content[:80]!r}"
        if earlier.role == newest.role:
            known = _grams(before)
            again = FIGURES.findall(before) == figures and len(grams & known) >= ALIKE * len(grams | known)
        else:
            fewest = FEWEST_CHARS_JA if KANA.search(plain) else FEWEST_CHARS
            is_long = newest.role == "user" and len(plain) >= fewest
            again = is_long and len(grams & _grams(before)) >= WITHIN * len(grams)
        if again:
            return f"the {earlier.role}'s {earlier.content[:80]!r}"
    return None


def _grams(plain: str) -> set[str]:
    size = GRAM_JA if KANA.search(plain) else GRAM
    return {plain[at : at + size] for at in range(max(1, len(plain) - size + 1))}
