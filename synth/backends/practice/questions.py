"""What the practice teacher can ask and answer, in English and Japanese."""

from __future__ import annotations

import json
from datetime import date, timedelta

from synth.backends.practice.tasks import Slots, Solution, Task
from synth.backends.practice.vocabulary import (
    CITIES,
    CITIES_JA,
    COUNTERS,
    ERA_YEARS,
    ERAS,
    GOODS_JA,
    PEOPLE,
    PEOPLE_JA,
    RATES,
    SHOPS_JA,
    THINGS,
    THINGS_JA,
    WEEKDAYS,
    WEEKDAYS_JA,
    WORDS,
    romaji,
)


def _number(value: int, unit: str, steps: str) -> Solution:
    return Solution(f"{value}{unit}", steps, f"{value + max(3, value // 7)}{unit}")


def _buy(slots: Slots) -> Solution:
    count, price, paid = int(slots["n"]), int(slots["p"]), int(slots["n"]) * int(slots["p"]) + int(slots["r"])
    total = count * price
    steps = f"Each of the {count} costs ${price}, so together they cost {count} x {price} = {total} dollars. "
    return _number(total, " dollars", steps + f"A purse of ${paid} would cover it.")


def _buy_ja(slots: Slots) -> Solution:
    count, price, counter = int(slots["n"]), int(slots["p"]), slots["counter"]
    steps = (
        f"1{counter}{price}円の{slots['thing']}を{count}{counter}買うので、代金は単価×数で求めます。"
        f"{price}×{count}={count * price}となります。"
    )
    return _number(count * price, "円", steps)


def _left(slots: Slots) -> Solution:
    have, more, gone = int(slots["a"]), int(slots["b"]), int(slots["c"])
    left = have + more - gone
    steps = f"First add what came in: {have} + {more} = {have + more}. Then take away what went out: {left} remain."
    return _number(left, "", steps)


def _left_ja(slots: Slots) -> Solution:
    have, more, gone = int(slots["a"]), int(slots["b"]), int(slots["c"])
    left = have + more - gone
    steps = (
        f"まず増えた分を足すと{have}+{more}={have + more}です。そこから減った分を引くと、"
        f"{have + more}-{gone}={left}になります。"
    )
    return _number(left, slots["counter"], steps)


def _travel(slots: Slots) -> Solution:
    hours, speed = int(slots["h"]), int(slots["v"])
    steps = f"Distance is speed times time. At {speed} km per hour for {hours} hours that is {speed} x {hours}."
    return _number(hours * speed, " km", steps)


def _travel_ja(slots: Slots) -> Solution:
    hours, speed = int(slots["h"]), int(slots["v"])
    steps = f"道のりは速さ×時間で求めます。時速{speed}kmで{hours}時間進むので、{speed}×{hours}を計算します。"
    return _number(hours * speed, "km", steps)


def _convert(slots: Slots) -> Solution:
    kilos, grams = int(slots["k"]), int(slots["g"])
    steps = f"One kilogram is 1000 grams, so {kilos} kg is {kilos * 1000} g. Adding the other {grams} g gives the sum."
    return _number(kilos * 1000 + grams, " g", steps)


def _convert_ja(slots: Slots) -> Solution:
    kilos, grams = int(slots["k"]), int(slots["g"])
    steps = f"1kgは1000gなので、{kilos}kgは{kilos * 1000}gです。これに{grams}gを足すと合計の重さになります。"
    return _number(kilos * 1000 + grams, "g", steps)


def _start(slots: Slots) -> date:
    return date(int(slots["y"]), int(slots["m"]), int(slots["d"]))


def _weekday(slots: Slots) -> Solution:
    day = _start(slots)
    name, other = WEEKDAYS[day.weekday()], WEEKDAYS[(day.weekday() + 2) % 7]
    steps = (
        f"Counting whole weeks from a known date, the day number of {day.isoformat()} within its week gives the name."
    )
    return Solution(name, steps, other)


def _weekday_ja(slots: Slots) -> Solution:
    day = _start(slots)
    names = [f"{WEEKDAYS_JA[(day.weekday() + shift) % 7]}曜日" for shift in (0, 2)]
    return Solution(
        names[0],
        f"基準の日から{day.year}年{day.month}月{day.day}日までの日数を7で割った余りで曜日を求めます。",
        names[1],
    )


def _later(slots: Slots) -> Solution:
    days = int(slots["n"])
    day = _start(slots) + timedelta(days)
    wrong = day + timedelta(3)
    steps = (
        f"Go forward {days} days from {_start(slots).isoformat()}, month by month, minding the length of each month."
    )
    return Solution(day.isoformat(), steps, wrong.isoformat())


def _later_ja(slots: Slots) -> Solution:
    days = int(slots["n"])
    end = _start(slots) + timedelta(days)
    answers = [f"{day.year}年{day.month}月{day.day}日" for day in (end, end + timedelta(3))]
    return Solution(answers[0], f"各月の日数に気をつけながら、{days}日分だけ日付を先へ進めます。", answers[1])


def _before(era: str) -> int:
    """The Western year before the first of an era."""
    return ERAS[era][1].year - 1


def _era(slots: Slots) -> Solution:
    before = _before(next(kanji for kanji, (latin, _) in ERAS.items() if latin == slots["era"]))
    year = before + int(slots["e"])
    steps = f"The first year of {slots['era']} was {before + 1}, so add {slots['e']} to {before}."
    return Solution(str(year), steps, str(year + 1))


def _era_ja(slots: Slots) -> Solution:
    era, written = slots["era"][:2], slots["era"][2:-1]
    year = _before(era) + (1 if written == "元" else int(written))
    steps = f"{era}の年数に{_before(era)}を足すと西暦になります。元年は1年目と数えます。"
    return Solution(f"{year}年", steps, f"{year + 1}年")


def _western_ja(slots: Slots) -> Solution:
    day = _start(slots)
    era, first = next(((era, first) for era, (_, first) in ERAS.items() if day >= first), ("", day))
    if not era:
        raise ValueError(f"{day} lies before the eras known here")
    year = day.year - _before(era)
    steps = f"{first.year}年{first.month}月{first.day}日に{era}が始まりました。西暦の年から{_before(era)}を引きます。"
    return Solution(f"{era}{'元' if year == 1 else year}年", steps, f"{era}{year + 1}年")


def _tax(slots: Slots) -> Solution:
    price, rate = int(slots["p"]), int(slots["rate"])
    total = price * (100 + rate) // 100
    steps = (
        f"{rate}% of {price} yen is {price * rate / 100:g} yen. Adding it and dropping the fraction gives the total."
    )
    return _number(total, " yen", steps)


def _tax_ja(slots: Slots) -> Solution:
    price, rate = int(slots["p"]), int(slots["rate"])
    total = price * (100 + rate) // 100
    steps = f"{price}円の{rate}%は{price * rate / 100:g}円です。本体価格にこれを足し、1円未満を切り捨てます。"
    return _number(total, "円", steps)


def _kana(slots: Slots) -> Solution:
    words = [slots[name] for name in "abcde"]
    right = " ".join(romaji(word) for word in words)
    wrong = " ".join(romaji(word) for word in [*words[:-1], words[-1][::-1].lstrip("っゃゅょん")])
    if slots.get("_"):
        return Solution(right, "", wrong)
    return Solution(right, "Each kana is written out by the Hepburn table, one word after the other.", wrong)


def _kana_ja(slots: Slots) -> Solution:
    solution = _kana(slots)
    return Solution(
        solution.answer, "ヘボン式の表に従い、伸ばす音もかなのとおりに、一語ずつローマ字に直します。", solution.wrong
    )


def _form(slots: Slots) -> Solution:
    fields = {
        "name": slots["name"].removesuffix("さん"),
        "city": slots["city"],
        "item": slots["thing"],
        "quantity": int(slots["n"]),
    }
    wrong = {**fields, "quantity": int(slots["n"]) + 10}
    right, mistaken = (json.dumps(value, ensure_ascii=False) for value in (fields, wrong))
    return Solution(right, "", mistaken, json=True)


TASKS: tuple[Task, ...] = (
    Task("purchase", "en", (
        "{name} buys {n} {thing} at ${p} each. How many dollars does {name} pay in total?",
        "A shop sells {thing} for ${p} apiece. What do {n} of them cost {name} altogether, in dollars?",
        "For a party {name} orders {n} {thing}, and every single one costs ${p}. What is the bill in dollars?",
    ), {"name": PEOPLE, "thing": THINGS, "n": range(12, 99), "p": range(3, 60), "r": ("0",)},
        lambda s: _buy({**s, "r": "0"})),
    Task("purchase", "ja", (
        "{name}は1{counter}{p}円の{thing}を{n}{counter}買いました。代金は全部で何円ですか。",
        "ある店では{thing}が1{counter}{p}円です。{name}が{n}{counter}注文すると、合計金額は何円になりますか。",
        "バザーのために、{name}が{thing}を{n}{counter}仕入れます。単価は{p}円です。支払う金額を求めてください。",
    ), {"name": PEOPLE_JA, "thing": THINGS_JA, "counter": COUNTERS, "n": range(12, 99), "p": range(35, 480)}, _buy_ja),
    Task("stock", "en", (
        "{name} had {a} {thing}, received {b} more and gave away {c}. How many {thing} are left?",
        "There were {a} {thing} in the store room of {name}. A delivery brought {b}, and {c} were sold. How many remain?",
        "In the morning {name} counted {a} {thing}; {b} were added at noon and {c} used by the evening. What was left?",
    ), {"name": PEOPLE, "thing": THINGS, "a": range(60, 400), "b": range(11, 99), "c": range(7, 58)}, _left),
    Task("stock", "ja", (
        "{name}は{thing}を{a}{counter}持っていました。あとから{b}{counter}もらい、{c}{counter}を友だちにあげました。残りは何{counter}ですか。",
        "倉庫に{thing}が{a}{counter}ありました。{b}{counter}届き、{c}{counter}を出荷しました。{name}が数えると、何{counter}残っていますか。",
        "朝、{name}の店には{thing}が{a}{counter}ありました。昼に{b}{counter}入荷し、夕方までに{c}{counter}売れました。今は何{counter}ありますか。",
    ), {"name": PEOPLE_JA, "thing": THINGS_JA, "counter": COUNTERS, "a": range(60, 400), "b": range(11, 99), "c": range(7, 58)}, _left_ja),
    Task("travel", "en", (
        "A bus leaves {city} and drives for {h} hours at {v} km per hour. How many kilometres does it cover?",
        "{name} cycles away from {city} at a steady {v} km per hour for {h} hours. How far is that, in kilometres?",
    ), {"name": PEOPLE, "city": CITIES, "h": range(2, 19), "v": range(13, 119)}, _travel),
    Task("travel", "ja", (
        "バスが{city}を出て、時速{v}kmで{h}時間走りました。進んだ道のりは何kmですか。",
        "{name}は{city}から時速{v}kmの一定の速さで{h}時間移動しました。移動した距離をkmで答えてください。",
    ), {"name": PEOPLE_JA, "city": CITIES_JA, "h": range(2, 19), "v": range(13, 119)}, _travel_ja),
    Task("weight", "en", (
        "A parcel to {city} holds {k} kg of {thing} and {g} g of paper. What does it weigh in grams?",
        "{name} mixes {k} kg of flour with {g} g of sugar. How heavy is the mixture in grams?",
    ), {"name": PEOPLE, "thing": THINGS, "city": CITIES, "k": range(2, 40), "g": range(105, 990)}, _convert),
    Task("weight", "ja", (
        "{city}へ送る荷物には、{thing}{k}kgと緩衝材{g}gが入っています。中身の重さは合わせて何gですか。",
        "{name}の菓子工房では、小麦粉{k}kgに砂糖{g}gを混ぜました。全体の重さは何gですか。",
    ), {"name": PEOPLE_JA, "thing": GOODS_JA, "city": CITIES_JA, "k": range(2, 40), "g": range(105, 990)}, _convert_ja),
    Task("weekday", "en", (
        "On which day of the week does {y}-{m}-{d} fall?",
        "{name} was told the date {y}-{m}-{d}. Which weekday is that?",
    ), {"name": PEOPLE, "y": range(1960, 2060), "m": range(1, 13), "d": range(1, 29)}, _weekday),
    Task("weekday", "ja", (
        "西暦{y}年{m}月{d}日は何曜日ですか。",
        "{name}の手帳には{y}年{m}月{d}日と書いてあります。その日は何曜日にあたりますか。",
    ), {"name": PEOPLE_JA, "y": range(1960, 2060), "m": range(1, 13), "d": range(1, 29)}, _weekday_ja),
    Task("later", "en", (
        "A course starts on {y}-{m}-{d} and ends {n} days later. Give the last day as YYYY-MM-DD.",
        "{name} borrows a book on {y}-{m}-{d} and returns it {n} days later. On which date (YYYY-MM-DD) is that?",
    ), {"name": PEOPLE, "y": range(2001, 2040), "m": range(1, 13), "d": range(1, 29), "n": range(15, 300)}, _later),
    Task("later", "ja", (
        "{y}年{m}月{d}日に始まる講座は、その{n}日後に終わります。終わる日付を答えてください。",
        "{name}は{y}年{m}月{d}日に旅に出て、{n}日後に帰ります。帰る日は何年何月何日ですか。",
    ), {"name": PEOPLE_JA, "y": range(2001, 2040), "m": range(1, 13), "d": range(1, 29), "n": range(15, 300)}, _later_ja),
    Task("era", "en", (
        "{name} found a letter from {city} dated {era} {e}, signed by {other}. Which year of the Western calendar is that?",
    ), {"name": PEOPLE, "city": CITIES, "other": PEOPLE, "era": ("Heisei", "Showa"), "e": range(2, 31)}, _era),
    Task("era", "ja", (
        "{city}の{shop}は、{name}が{era}に開きました。西暦では何年ですか。",
        "{name}は{era}に{city}で生まれました。生まれた年を西暦で答えてください。",
    ), {"name": PEOPLE_JA, "city": CITIES_JA, "shop": SHOPS_JA, "era": ERA_YEARS}, _era_ja),
    Task("western", "ja", (
        "{name}は西暦{y}年{m}月{d}日に生まれました。生まれた年を元号で答えてください。",
        "{city}の{shop}は{y}年{m}月{d}日に開店しました。それは元号では何年ですか。",
    ), {"name": PEOPLE_JA, "city": CITIES_JA, "shop": SHOPS_JA, "y": range(1930, 2026), "m": range(1, 13), "d": range(1, 29)},
        _western_ja),
    Task("tax", "en", (
        "A lunch set in {city} costs {p} yen before tax. With {rate}% consumption tax, fractions dropped, what does it cost?",
        "{name} buys {thing} priced at {p} yen without tax. What is paid in yen with {rate}% tax, rounded down?",
    ), {"name": PEOPLE, "thing": THINGS, "city": CITIES, "p": range(203, 9800), "rate": ("8", "10")}, _tax),
    Task("tax", "ja", (
        "税抜き{p}円の{thing}に{rate}%の消費税がかかります。1円未満を切り捨てると、税込みで何円ですか。",
        "{name}が税抜き{p}円の{thing}を買いました。消費税率が{rate}%のとき、支払額は何円ですか。端数は切り捨てます。",
    ), {"name": PEOPLE_JA, "thing": tuple(RATES), "p": range(203, 9800), "rate": RATES}, _tax_ja),
    Task("kana", "en", ("Write 「{a}」, 「{b}」, 「{c}」, 「{d}」 and 「{e}」 in Hepburn letters.",), dict.fromkeys("abcde", WORDS), _kana),
    Task("kana", "ja", ("ヘボン式ローマ字で書くと？　{a}、{b}、{c}、{d}、{e}",), dict.fromkeys("abcde", WORDS), _kana_ja),
    Task("form", "en", (
        'Extract name, city, item, quantity as JSON: "{name} of {city} would like {n} {thing}, order {z}."',
    ), {"name": PEOPLE, "city": CITIES, "thing": THINGS, "n": range(11, 99), "z": range(10000, 99999)}, _form),
    Task("form", "ja", (
        "次の注文からname、city、item、quantityを抜き出し、JSONで答えてください。「{city}の{name}より、{thing}{n}{counter}のご注文、受付番号{z}」",
    ), {"name": PEOPLE_JA, "city": CITIES_JA, "thing": THINGS_JA, "counter": COUNTERS, "n": range(11, 99), "z": range(10000, 99999)}, _form),
)  # fmt: skip

TOPICS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "en": (
        ("shopping", ("purchase", "tax", "stock")), ("cooking", ("weight", "stock")), ("travel", ("travel", "later")),
        ("school supplies", ("purchase", "stock")), ("post and parcels", ("weight", "form")), ("calendars", ("weekday", "later")),
        ("receipts and tax", ("tax", "purchase")), ("Japanese eras", ("era", "weekday")), ("reading kana", ("kana",)),
        ("order forms", ("form", "purchase")),
    ),
    "ja": (
        ("買い物", ("purchase", "tax", "stock")), ("料理", ("weight", "stock")), ("旅行", ("travel", "later")),
        ("文房具", ("purchase", "stock")), ("荷物と郵便", ("weight", "form")), ("暦", ("weekday", "later")),
        ("レシートと消費税", ("tax", "purchase")), ("元号", ("era", "western")), ("かなの読み方", ("kana",)),
        ("注文書", ("form", "purchase")),
    ),
}  # fmt: skip
"""What instructions can be asked for, by language, with the tasks each topic stands for."""
