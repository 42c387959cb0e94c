"""The words of the practice teacher's exercises, in English and Japanese."""

from __future__ import annotations

from datetime import date

PEOPLE = ("Mia", "Kenji", "Priya", "Oliver", "Sofia", "Daniel", "Aiko", "Ravi", "Emma", "Lucas", "Nora", "Tomas")
PEOPLE_JA = (
    "さくらさん", "健太さん", "美咲さん", "大輔さん", "陽子さん", "直樹さん", "恵さん", "悠斗さん",
    "彩さん", "拓也さん",
)  # fmt: skip
THINGS = (
    "notebooks", "apples", "tickets", "candles", "pencils", "seed packets", "muffins",
    "stamps", "postcards", "mugs",
)  # fmt: skip
COUNTERS = {
    "ノート": "冊", "りんご": "個", "切手": "枚", "ろうそく": "本", "鉛筆": "本",
    "消しゴム": "個", "絵はがき": "枚", "皿": "枚", "花の苗": "株", "手ぬぐい": "枚",
}  # fmt: skip
"""Things and what they are counted in."""
THINGS_JA = tuple(COUNTERS)
RATES = {
    "弁当": "8", "緑茶": "8", "和菓子": "8", "果物": "8", "牛肉": "8", "皿": "10",
    "傘": "10", "手ぬぐい": "10", "時計": "10", "辞書": "10",
}  # fmt: skip
"""Consumption tax in percent: less for food to take home."""
GOODS_JA = ("りんご", "みかん", "米", "味噌", "大豆", "じゃがいも", "玉ねぎ", "かぼちゃ", "茶葉", "さつまいも")
"""What is sold by weight."""
SHOPS_JA = ("文房具店", "和菓子店", "写真館", "喫茶店", "時計店", "洋品店", "書店", "陶器店", "花屋", "豆腐店")
CITIES = ("Osaka", "Leeds", "Boston", "Lyon", "Sendai", "Porto", "Nagoya", "Dublin", "Austin", "Kobe")
CITIES_JA = ("大阪市", "仙台市", "名古屋市", "札幌市", "広島市", "金沢市", "松山市", "熊本市")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS_JA = tuple("月火水木金土日")
ERAS = {
    "令和": ("Reiwa", date(2019, 5, 1)),
    "平成": ("Heisei", date(1989, 1, 8)),
    "昭和": ("Showa", date(1926, 12, 25)),
}
"""The first day of each, the latest first."""
ERA_YEARS = tuple(
    f"{era}{'元' if year == 1 else year}年"
    for era, last in (("昭和", 64), ("平成", 31), ("令和", 7))
    for year in range(1, last + 1)
)
"""The first year of an era is 元年."""
WORDS = (
    "さくら", "たぬき", "きつね", "みずうみ", "でんしゃ", "ひこうき", "ともだち", "せんせい",
    "くだもの", "やさい", "たまご", "ゆきだるま", "はなび", "おちゃ", "しんぶん", "てがみ",
    "ざっし", "がっこう", "びょういん", "りょこう", "じてんしゃ", "ふうせん", "つくえ", "まど",
    "えんぴつ", "けしごむ", "きって", "すいか", "ぶどう", "かぼちゃ", "にんじん", "ほうれんそう",
)  # fmt: skip
KANA = dict(zip(
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをんがぎぐげござじずぜぞだでどばびぶべぼ"
    "ぱぴぷぺぽ",
    [
        "a", "i", "u", "e", "o", "ka", "ki", "ku", "ke", "ko", "sa", "shi", "su", "se", "so",
        "ta", "chi", "tsu", "te", "to", "na", "ni", "nu", "ne", "no", "ha", "hi", "fu", "he", "ho",
        "ma", "mi", "mu", "me", "mo", "ya", "yu", "yo", "ra", "ri", "ru", "re", "ro", "wa", "o",
        "n", "ga", "gi", "gu", "ge", "go", "za", "ji", "zu", "ze", "zo", "da", "de", "do", "ba",
        "bi", "bu", "be", "bo", "pa", "pi", "pu", "pe", "po",
    ],
    strict=True,
))  # fmt: skip
SMALL = {"ゃ": "ya", "ゅ": "yu", "ょ": "yo"}


def romaji(kana: str) -> str:
    """Hiragana in Hepburn letters, every kana written out (がっこう is gakkou)."""
    text = ""
    double = False
    for letter in kana:
        if letter == "っ":
            double = True
            continue
        if letter in SMALL:
            stem = text[:-1]
            text = stem + (SMALL[letter][1:] if stem.endswith(("sh", "ch", "j")) else SMALL[letter])
            continue
        sound = KANA[letter]
        text += ("t" if sound.startswith("ch") else sound[0]) + sound if double else sound
        double = False
    return text
