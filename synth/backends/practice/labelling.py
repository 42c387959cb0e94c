"""The practice teacher writes messages for a label and orders to be read, labels such messages, reads such orders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from synth.backends.practice.playing import count_in, listed, spoilt, tagged
from synth.backends.practice.said import Asked, Said, Truth
from synth.backends.practice.vocabulary import CITIES, CITIES_JA, PEOPLE, PEOPLE_JA
from synth.patterns import lazy

LABEL = lazy(r"(?:Label: |分類：)(\w+)")
MESSAGES = {
    "en": {
        "delivery": ("Where is parcel {n}, due {d} days ago?", "Order {n} has been on its way for {d} days now."),
        "billing": ("Invoice {n} asks for {d} euros too much.", "I paid for order {n} and was reminded {d} times."),
        "returns": (
            "I want to send order {n} back after {d} days.",
            "Item {d} of order {n} does not fit, I return it.",
        ),
        "advice": ("Does article {n} go with a {d} cm shelf?", "Is article {n} large enough for {d} people?"),
        "complaint": ("Article {n} broke in {d} days, a scandal.", "I waited {d} minutes on the line for order {n}."),
        "praise": ("Order {n} came within {d} days, well done.", "All {d} of us are happy with article {n}, thanks."),
    },
    "ja": {
        "配送": ("{d}日前に届くはずの荷物{n}がまだ来ません。", "注文{n}は発送から{d}日たちますが、今どこですか。"),
        "請求": ("請求書{n}の金額が約束より{d}円高いです。", "注文{n}は払ったのに、督促が{d}回も来ました。"),
        "返品": ("{d}日前に届いた注文{n}の品を返したいです。", "注文{n}の{d}番目の品が合わないので返品します。"),
        "相談": ("商品{n}は幅{d}センチの棚に置けますか。", "商品{n}は{d}人で使うのに足りますか。"),
        "苦情": ("{d}日で商品{n}が壊れました。ひどい話です。", "注文{n}のことで{d}分も電話で待たされました。"),
        "お礼": ("注文{n}が{d}日で届きました。助かりました。", "商品{n}のおかげで{d}人とも喜んでいます。"),
    },
}
THINGS = {"en": ("lamps", "kettles", "chairs", "rucksacks"), "ja": ("ランプ", "急須", "椅子", "水筒")}
ORDERS = {
    "en": (
        "{name} from {city} would like {quantity} {item}, please{deadline}.",
        "Good morning, this is {name}. Send {quantity} {item} to {city}{deadline}.",
    ),
    "ja": (
        "{city}の{name}と申します。{item}を{quantity}個お願いします{deadline}。",
        "{item}{quantity}個を{city}の{name}さんまでお送りください{deadline}。",
    ),
}
DEADLINES = {"en": ", by {day} June", "ja": "（6月{day}日まで）"}


def labelling(asked: Asked) -> Said | None:
    """Messages for a label, labels for messages, orders with what they hold, and what orders hold; None for others."""
    asked = replace(asked, prompt=re.sub(r"\{.*\}", "", asked.prompt, flags=re.DOTALL))  # a schema is in no language
    if {*asked.fields} == {"text"} and (label := LABEL.search(asked.prompt)):
        return _messages(asked, label[1])
    if {*asked.fields} == {"text", "expected"}:
        return listed(asked, [_order(asked) for _ in range(count_in(asked.prompt))], "orders")
    (message, *_) = tagged(asked.prompt, "message") or [""]
    if not message:
        return None
    known = next((label for label, words in MESSAGES[asked.language].items() if _is_one_of(message, words)), "")
    order = _read_order(message, asked.language)
    return _label(asked, known) if known else _read(asked, order) if order is not None else None


def _messages(asked: Asked, label: str) -> Said:
    """Messages of a label; now and then one of another label, which a reader who does not see it will tell."""
    rng, known = asked.rng, MESSAGES[asked.language]
    texts: list[dict[str, Any]] = []
    for _ in range(count_in(asked.prompt)):
        other = rng.random() < asked.faults.wrong_answer
        words = rng.choice(known[rng.choice([one for one in known if one != label]) if other else label])
        texts.append({"text": words.format(n=rng.randint(1000, 9999), d=rng.randint(2, 60))})
    return listed(asked, texts, "messages")


def _label(asked: Asked, label: str) -> Said:
    other = asked.rng.choice([one for one in MESSAGES[asked.language] if one != label])
    truth = Truth("answerer", "labels", asked.language, answer=label)
    both = f"{label}, {other}"
    return spoilt(asked, label, truth, {"wrong_answer": other, "missing_answer": both})


def _order(asked: Asked) -> dict[str, Any]:
    """An order and what it holds, of which the number is sometimes wrong."""
    rng, language = asked.rng, asked.language
    held: dict[str, Any] = {
        "name": rng.choice(PEOPLE if language == "en" else PEOPLE_JA).removesuffix("さん"),
        "city": rng.choice(CITIES if language == "en" else CITIES_JA),
        "item": rng.choice(THINGS[language]),
        "quantity": rng.randint(2, 60),
        "day": rng.choice((None, rng.randint(3, 28))),
    }
    told = DEADLINES[language].format(day=held["day"]) if held["day"] else ""
    text = rng.choice(ORDERS[language]).format(**held, deadline=told)
    wrong = {"quantity": held["quantity"] + 1} if rng.random() < asked.faults.wrong_answer else {}
    expected = {**held, **wrong}
    as_text = asked.fields["expected"].get("type") == "string"
    return {"text": text, "expected": json.dumps(expected, ensure_ascii=False) if as_text else expected}


def _read(asked: Asked, held: Mapping[str, Any]) -> Said:
    good = json.dumps(held, ensure_ascii=False)
    truth = Truth("answerer", "orders", asked.language, answer=good)
    wrong = json.dumps({**held, "quantity": int(held["quantity"]) + asked.rng.randint(1, 9)}, ensure_ascii=False)
    less = json.dumps({name: value for name, value in held.items() if name != "city"}, ensure_ascii=False)
    return spoilt(asked, good, truth, {"wrong_answer": wrong, "missing_answer": less})


def _read_order(message: str, language: str) -> dict[str, Any] | None:
    deadline = re.escape(DEADLINES[language]).replace(r"\{day\}", r"(?P<day>\d+)")
    slots = {"deadline": f"(?:{deadline})?", "quantity": r"(?P<quantity>\d+)"}

    def slot(found: re.Match[str]) -> str:
        return slots.get(found[1], rf"(?P<{found[1]}>[^、。,.\d]+?)")

    for words in ORDERS[language]:
        if found := re.fullmatch(re.sub(r"\\\{(\w+)\\\}", slot, re.escape(words)), message.strip()):
            day = found["day"]
            held = {name: found[name] for name in ("name", "city", "item")}
            return {**held, "quantity": int(found["quantity"]), "day": int(day) if day else None}
    return None


def _is_one_of(message: str, words: tuple[str, ...]) -> bool:
    patterns = (re.sub(r"\\\{\w\\\}", r"\\d+", re.escape(one)) for one in words)
    return any(re.fullmatch(pattern, message.strip()) for pattern in patterns)
