"""The practice teacher translates and localises what stands in its phrase book, question by question."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from synth.backends.practice.playing import graded, spoilt, tagged
from synth.backends.practice.said import Asked, Said, Truth
from synth.patterns import lazy

Pair = tuple[str, str]
"""A question and its answer, with slots."""
LOCALISE = lazy(r"locali[sz]e|American|日本の読み手")


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is said in one language, the same in the other, and the same as its readers would say it."""

    said: Pair
    told: Pair
    home: Pair
    slots: Mapping[str, Mapping[str, str] | None]
    """What a slot may hold, with its counterpart; None for a number."""
    more: Callable[[Mapping[str, int]], Mapping[str, object]] = lambda _: {}
    """What follows from the numbers."""


def _walk(of: Mapping[str, int]) -> Mapping[str, object]:
    km = round(of["m"] * 1.609)
    return {"t": 20 * of["m"], "km": km, "kt": 12 * km}


def _bill(of: Mapping[str, int]) -> Mapping[str, object]:
    p = of["p"]
    return {"tip": p // 5, "sum": p * 6 // 5, "each": p * 2 // 5,
            "yen": p * 150, "tax": p * 15, "total": p * 165, "share": p * 55}  # fmt: skip


def _saving(of: Mapping[str, int]) -> Mapping[str, object]:
    y, m = of["y"], of["m"]
    return {
        "more": 12 * m,
        "sum": y + 12 * m,
        "dy": y // 100,
        "dm": m // 100,
        "dmore": 12 * m // 100,
        "dsum": (y + 12 * m) // 100,
    }


NAMES = {"Emily": "エミリー", "Jack": "ジャック", "Olivia": "オリビア", "Ryan": "ライアン", "Grace": "グレース"}
HOME_NAMES = {"Emily": "美咲", "Jack": "健太", "Olivia": "陽子", "Ryan": "直樹", "Grace": "さくら"}
CAKES = {
    "muffins": "マフィン",
    "cookies": "クッキー",
    "scones": "スコーン",
    "brownies": "ブラウニー",
    "cupcakes": "カップケーキ",
}
MONTHS = {"April": "4", "May": "5", "June": "6", "October": "10", "November": "11"}
EVENTS = {
    "people first walk on the Moon": "人が初めて月を歩いた",
    "the Berlin Wall fall": "ベルリンの壁が崩れた",
    "the Eiffel Tower open": "エッフェル塔が開業した",
    "Marie Curie win her first Nobel Prize": "マリー・キュリーが初めてノーベル賞を受けた",
    "the Panama Canal open": "パナマ運河が開通した",
}
YEARS = {
    "people first walk on the Moon": ("1969", "Apollo_11"),
    "the Berlin Wall fall": ("1989", "Berlin_Wall"),
    "the Eiffel Tower open": ("1889", "Eiffel_Tower"),
    "Marie Curie win her first Nobel Prize": ("1903", "Marie_Curie"),
    "the Panama Canal open": ("1914", "Panama_Canal"),
    "東海道新幹線が開業した": ("1964", "Tokaido_Shinkansen"),
    "東京タワーが完成した": ("1958", "Tokyo_Tower"),
    "青函トンネルが開通した": ("1988", "Seikan_Tunnel"),
    "日本国憲法が施行された": ("1947", "Constitution_of_Japan"),
    "瀬戸大橋が開通した": ("1988", "Great_Seto_Bridge"),
}
EVENTS_JA = {
    "東海道新幹線が開業した": "the Tokaido Shinkansen open",
    "東京タワーが完成した": "Tokyo Tower stand complete",
    "青函トンネルが開通した": "the Seikan Tunnel open",
    "日本国憲法が施行された": "the Constitution of Japan come into force",
    "瀬戸大橋が開通した": "the Great Seto Bridge open",
}
NAMES_JA = {"佐藤": "Sato", "鈴木": "Suzuki", "田中": "Tanaka", "高橋": "Takahashi", "山本": "Yamamoto"}
GUESTS = {"佐藤": "Emily", "鈴木": "Jack", "田中": "Olivia", "高橋": "Ryan", "山本": "Grace"}
KILOWATTS = {6: "2.2", 8: "2.5", 10: "2.8", 12: "3.6", 14: "4.0"}
CODE = "\n\n```python\nprint({a} * {b})\n```"
PAGE = "https://en.wikipedia.org/wiki/{page}"

INTO_JA = (
    Phrase(
        ("How long does it take to walk {m} miles?",
         "At an ordinary pace a mile takes about 20 minutes, so {m} miles take about {t} minutes."),
        ("{m}マイル歩くのに、どのくらいかかりますか。",
         "ふつうの速さなら1マイルに20分ほどかかるので、{m}マイルではおよそ{t}分です。"),
        ("{km}キロ歩くのに、どのくらいかかりますか。",
         "ふつうの速さなら1キロに12分ほどかかるので、{km}キロではおよそ{kt}分です。"),
        {"m": None}, _walk),
    Phrase(
        ("My recipe sets the oven to {f}°F for {n} minutes. Is that too hot for {cake}?",
         "No, {f}°F is usual for {cake}. Look at them five minutes early, and take them out when they are golden."),
        ("手もとのレシピでは、オーブンを華氏{f}度にして{n}分焼きます。{cake_}には熱すぎませんか。",
         "いいえ、{cake_}なら華氏{f}度がふつうです。五分早めに様子を見て、きつね色になったら取り出してください。"),
        ("手もとのレシピでは、オーブンを{c}度にして{n}分焼きます。{cake_}には熱すぎませんか。",
         "いいえ、{cake_}なら{c}度がふつうです。五分早めに様子を見て、きつね色になったら取り出してください。"),
        {"f": None, "n": None, "cake": CAKES}, lambda of: {"c": round((of["f"] - 32) / 18) * 10}),
    Phrase(
        ("{name} and two friends had dinner for ${p}. What does each pay with a 20% tip?",
         "The tip is ${tip}, so the bill comes to ${sum}. Divided by three, each pays ${each}."),
        ("{name_}と友人二人が夕食をとり、代金は{p}ドルでした。20%のチップを加えると、一人いくら払いますか。",
         "チップは{tip}ドルなので、合計は{sum}ドルです。三人で割ると、一人{each}ドルになります。"),
        ("{home}さんと友人二人が夕食をとり、代金は税抜きで{yen}円でした。10%の消費税を加えると、一人いくら払いますか。",
         "消費税は{tax}円なので、合計は{total}円です。三人で割ると、一人{share}円になります。"),
        {"name": NAMES, "p": None}, _bill),
    Phrase(
        ("What does this Python code print?" + CODE, "`print` shows the product of {a} and {b}, which is {ab}."),
        ("次のPythonのコードは何を出力しますか。" + CODE, "`print`が{a}と{b}の積を表示するので、{ab}です。"),
        ("次のPythonのコードは何を出力しますか。" + CODE, "`print`が{a}と{b}の積を表示するので、{ab}です。"),
        {"a": None, "b": None}, lambda of: {"ab": of["a"] * of["b"]}),
    Phrase(
        ("In which year did {event}, and where can I read about it?",
         f"That was in {{year}}. A good page to begin with is {PAGE}."),
        ("{event_}のは何年ですか。どこで詳しく読めますか。", f"{{year}}年です。まずは {PAGE} を読むとよいでしょう。"),
        ("{event_}のは何年ですか。どこで詳しく読めますか。", f"{{year}}年です。まずは {PAGE} を読むとよいでしょう。"),
        {"event": EVENTS}),
    Phrase(
        ("Write two lines to {name}: the parents' evening moves to {month} {d}.",
         "Hi {name},\nThe parents' evening moves to {month} {d}. See you there!"),
        ("保護者の夕べが{month_}月{d}日に変わったと、{name_}に伝える文を二行で書いてください。",
         "こんにちは、{name_}。\n保護者の夕べは{month_}月{d}日に変わります。会場で会いましょう。"),
        ("保護者会が{month_}月{d}日に変わったことを、{home}さんに伝える文を二行で書いてください。",
         "{home}さん、お世話になっております。\n保護者会は{month_}月{d}日に変更になりました。当日もよろしくお願いいたします。"),
        {"name": NAMES, "month": MONTHS, "d": None}),
    Phrase(
        ("Shorten this and leave {{user}} as it is: Dear {{user}}, your parcel, which weighs {lb} pounds, has come to our counter.",
         "Dear {{user}}, your {lb}-pound parcel is at our counter."),
        ("次の文を短くし、{{user}}はそのまま残してください。「{{user}}様　重さ{lb}ポンドのお荷物が窓口に届いております。」",
         "{{user}}様　{lb}ポンドのお荷物を窓口でお預かりしております。"),
        ("次の文を短くし、{{user}}はそのまま残してください。「{{user}}様　重さ{kg}キロのお荷物が窓口に届いております。」",
         "{{user}}様　{kg}キロのお荷物を窓口でお預かりしております。"),
        {"lb": None}, lambda of: {"kg": round(of["lb"] * 0.4536)}),
)  # fmt: skip
INTO_EN = (
    Phrase(
        ("{n}畳の部屋に合うエアコンを選ぶ目安を、一つ教えてください。",
         "{n}畳の部屋なら、冷房能力が{kw}キロワットほどの機種が目安です。日当たりがよければ、一段上を選びます。"),
        ("Give one rule for choosing an air conditioner for a room of {n} tatami mats.",
         "For {n} mats, look for about {kw} kW of cooling. Where the sun comes in, take one size more."),
        ("Give one rule for choosing an air conditioner for a room of {ft} square feet.",
         "For {ft} square feet, look for about {kw} kW of cooling. Where the sun comes in, take one size more."),
        {"n": None}, lambda of: {"ft": round(of["n"] * 1.62 * 10.76 / 10) * 10, "kw": KILOWATTS.get(of["n"], f"{of['n'] * 0.28:.1f}")}),
    Phrase(
        ("{name}さんには{y}円の貯金があり、毎月{m}円ずつ増やします。一年後にはいくらになりますか。",
         "一年で{more}円増えるので、{sum}円になります。"),
        ("{name_} has {y} yen saved and adds {m} yen every month. How much is it after a year?",
         "In a year {more} yen are added, which makes {sum} yen."),
        ("{home} has ${dy} saved and adds ${dm} every month. How much is it after a year?",
         "In a year ${dmore} are added, which makes ${dsum}."),
        {"name": NAMES_JA, "y": None, "m": None}, _saving),
    Phrase(
        ("祖父は昭和{e}年に生まれました。今年何歳になるかは、どう計算しますか。",
         "昭和{e}年は西暦{w}年なので、今年の西暦から{w}を引きます。"),
        ("My grandfather was born in Showa {e}. How do I work out how old he turns this year?",
         "Showa {e} is {w}, so take {w} away from this year."),
        ("My grandfather was born in {w}. How do I work out how old he turns this year?",
         "Take {w} away from this year."),
        {"e": None}, lambda of: {"w": 1925 + of["e"]}),
    Phrase(
        ("次のPythonのコードは何を出力しますか。" + CODE, "`print`が{a}と{b}の積を表示するので、{ab}です。"),
        ("What does this Python code print?" + CODE, "`print` shows the product of {a} and {b}, which is {ab}."),
        ("What does this Python code print?" + CODE, "`print` shows the product of {a} and {b}, which is {ab}."),
        {"a": None, "b": None}, lambda of: {"ab": of["a"] * of["b"]}),
    Phrase(
        ("{event}のは何年ですか。どこで詳しく読めますか。", f"{{year}}年です。まずは {PAGE} を読むとよいでしょう。"),
        ("In which year did {event_}, and where can I read about it?",
         f"That was in {{year}}. A good page to begin with is {PAGE}."),
        ("In which year did {event_}, and where can I read about it?",
         f"That was in {{year}}. A good page to begin with is {PAGE}."),
        {"event": EVENTS_JA}),
    Phrase(
        ("{name}さんにお歳暮のお礼を伝える文を、二行で書いてください。",
         "{name}様　このたびは結構なお品をいただき、ありがとうございました。\n家族でおいしくいただきました。"),
        ("Write two lines that thank {name_} for the year-end gift, the oseibo.",
         "Dear {name_}, thank you very much for the fine gift.\nThe family enjoyed it."),
        ("Write two lines that thank {home} for the holiday gift.",
         "Dear {home}, thank you so much for the lovely gift.\nWe all enjoyed it."),
        {"name": NAMES_JA}),
    Phrase(
        ("次の文を短くし、{{user}}はそのまま残してください。「{{user}}様　重さ{kg}キロのお荷物が窓口に届いております。」",
         "{{user}}様　{kg}キロのお荷物を窓口でお預かりしております。"),
        ("Shorten this and leave {{user}} as it is: Dear {{user}}, your parcel, which weighs {kg} kg, has come to our counter.",
         "Dear {{user}}, your {kg} kg parcel is at our counter."),
        ("Shorten this and leave {{user}} as it is: Dear {{user}}, your parcel, which weighs {lb} pounds, has come to our counter.",
         "Dear {{user}}, your {lb}-pound parcel is at our counter."),
        {"kg": None}, lambda of: {"lb": round(of["kg"] / 0.4536)}),
)  # fmt: skip


def parallel(asked: Asked) -> Said | None:
    """A request or an answer in the other language, or a grade for one; None for any other prompt."""
    (request, *_) = tagged(asked.prompt, "source") or [""]
    if not request:
        return None
    book = INTO_JA if asked.language == "ja" else INTO_EN
    known = next((found for phrase in book if (found := _read(phrase, request)) is not None), None)
    is_answer, home = bool(tagged(asked.prompt, "source_answer")), bool(LOCALISE.search(asked.prompt))
    if known is None:
        return None
    phrase, values = known
    told = [text.format(**values) for text in (phrase.home if home else phrase.told)]
    good = told[is_answer]
    if "score" in asked.wanted:
        pair = tagged(asked.prompt, "asked") + tagged(asked.prompt, "answer")
        return graded(asked, right=pair == told, task="parallel")
    wrong = re.sub(r"\d{2,}", lambda found: str(int(found[0]) + 7), good, count=1)
    other = (phrase.told if home else phrase.home)[is_answer].format(**values)
    truth = Truth("answerer", "parallel", asked.language, answer=good)
    return spoilt(asked, good, truth, {"wrong_answer": wrong, "missing_answer": other})


def _read(phrase: Phrase, request: str) -> tuple[Phrase, Mapping[str, object]] | None:
    found = _pattern(
        phrase.said[0], tuple((name, tuple(of) if of else ()) for name, of in phrase.slots.items())
    ).search(request)
    if found is None:
        return None
    values: dict[str, object] = dict(found.groupdict())
    for name, of in phrase.slots.items():
        if of is not None:
            values[f"{name}_"] = of[found[name]]
    first = str(values.get("name", ""))
    values["home"] = {**HOME_NAMES, **GUESTS}.get(first, "")
    values["year"], values["page"] = YEARS.get(str(values.get("event", "")), ("", ""))
    numbers = {name: int(found[name]) for name, of in phrase.slots.items() if of is None}
    return phrase, {**values, **phrase.more(numbers)}


@cache
def _pattern(question: str, slots: tuple[tuple[str, tuple[str, ...]], ...]) -> re.Pattern[str]:
    """How a question is recognised with what stands in its slots."""
    held, seen = dict(slots), set[str]()

    def slot(piece: re.Match[str]) -> str:
        if piece[1] in seen:
            return f"(?P={piece[1]})"
        seen.add(piece[1])
        return f"(?P<{piece[1]}>{'|'.join(map(re.escape, held[piece[1]])) or '[0-9]+'})"

    return re.compile(
        re.sub(r"(?<!\\\{)\\\{(\w+)\\\}(?!\\\})", slot, re.escape(question))
        .replace(r"\{\{", r"\{")
        .replace(r"\}\}", r"\}")
    )
