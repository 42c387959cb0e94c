"""ISO 639-1, the codes of languages: https://www.loc.gov/standards/iso639-2/php/code_list.php"""

from __future__ import annotations

CODES = (
    " aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el"
    " en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu"
    " ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na"
    " nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn"
    " so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu "
)
MEANT = {
    code: meant
    for meant, codes in {
        "ja": ("jp", "jpn"),
        "en": ("eng", "us", "gb"),
        "zh": ("cn", "zho", "chi"),
        "ko": ("kor",),
        "cs": ("cz",),
        "de": ("deu", "ger"),
        "fr": ("fra", "fre"),
        "es": ("spa",),
        "pt": ("por",),
        "it": ("ita",),
        "da": ("dk",),
        "ru": ("rus",),
        "el": ("gr",),
        "uk": ("ua",),
        "he": ("iw",),
        "vi": ("vie",),
        "th": ("tha",),
        "ar": ("ara",),
    }.items()
    for code in codes
}
"""Codes of countries, and longer codes, where two letters are what texts are told by."""


def is_japanese(code: str) -> bool:
    """Whether a code such as `ja` or `ja-JP` is that of Japanese."""
    return code.lower().partition("-")[0] == "ja"


def mistaken(code: str) -> str:
    """What is wrong with a code; empty for one that ISO 639-1 has, and for three letters without two of their own."""
    if code in MEANT:
        return f"{code!r} is not how this language is called here; write {MEANT[code]!r}"
    return "" if len(code) != 2 or f" {code} " in CODES else f"{code!r} is no language of ISO 639-1, such as ja or en"
