"""No personal data that a pattern can tell."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from synth.errors import Rejected
from synth.language.text import subject
from synth.patterns import lazy
from synth.types import Sample, Value

EMAIL = lazy(r"(?<![\w.+-])([\w.+-]{1,64})@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24})(?![\w-])", re.ASCII)
NOBODY = lazy(
    r"(?:example|sample|test|domain|yourdomain|company|email|mail|website|mycompany|site|school|university|business)\.(?:[a-z.]+)\Z|.*\.(?:test|example|invalid|localhost)\Z|(?:.*\.)?example\.",
    re.IGNORECASE,
)
"""Domains kept for examples (RFC 2606), and those that writers make up."""
ROLE = lazy(
    r"(?:info|support|contact|sales|admin|webmaster|postmaster|no-?reply|help|office|press|hello|user(?:name)?|name|your.*|someone|me|git)\Z",
    re.IGNORECASE,
)
PHONE = lazy(
    r"(?<![\d-])(?:\+81[ -]?\d{1,4}[ -]?\d{1,4}[ -]?\d{4}|0[5789]0-?\d{4}-?\d{4}|0\d{1,3}[-(]\d{2,4}[-)]\d{4}|"
    r"\+[1-9]\d{0,2}[ .-]\(?\d{2,4}\)?(?:[ .-]\d{2,4}){2,3}|\(\d{3}\) ?\d{3}[-. ]\d{4}"
    r"|\d{3}[-.]\d{3}[-.]\d{4}|07\d{3} \d{6}|0\d{3} \d{3} \d{4}|020 \d{4} \d{4}|\+[1-9]\d{0,2} ?\d{4} \d{6}|\+\d{2} \d(?: \d{2}){4})(?![\d-])"
)
NO_PHONE = lazy(r"0{8}|0120|0800|0570|1?800|1?888|.*1234|.*12345|.*5678\Z|(\d)\1+\Z|\d*55501\d\d\Z")
"""Free calls, numbers written as examples, and those reserved for fiction."""
CARD = lazy(r"(?<![\d-])(?:[3-6]\d{3}([ -])\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -])\d{6}\2\d{5}|[3-6]\d{14,15})(?![\d-])")
CARD_WORD = lazy(r"card|visa|master|amex|カード|クレジット", re.IGNORECASE)
MY_NUMBER = lazy(r"(?<![\d-])\d{4}([ -]?)\d{4}\1\d{4}(?![\d-])")
MY_NUMBER_WORD = lazy(r"マイナンバー|個人番号|my ?number|individual number", re.IGNORECASE)
WEIGHTS = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
SSN = lazy(r"(?<![\d-])(?!000|666|9\d\d|123-45-6789|078-05-1120)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
ADDRESS = lazy(
    r"〒? ?\d{3}-\d{4}\s*(?:北海道|東京都|(?:京都|大阪)府|[一-鿿]{2,3}県)[^\s。、]{2,12}?[市区町村郡][^\s。、]{0,16}?\d"
)
STREET = lazy(
    r"(?:北海道|東京都|(?:京都|大阪)府|[一-鿿]{2,3}県)?[一-鿿ァ-ヶー]{1,4}[市区町村郡][一-鿿ぁ-んァ-ヶー]{1,12}(?:\d{1,4}-\d{1,3}-\d{1,3}|\d{1,3}丁目\d{1,3}番(?:地?\d{0,3}号?|-\d{1,3}))"
    r"|\b\d{1,5}\s+(?:[NSEW]\.?\s+)?(?:[A-Z][a-z]+\s+){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Terrace)\b\.?,?\s+(?:(?:Apt|Unit|Suite|#)\.?\s*\w+,?\s+)?[A-Z][A-Za-z. ]{2,24},?\s+[A-Z]{2}\.?\s+\d{5}\b"
)
IBAN = lazy(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b(?<=\d)")
NAMED_NUMBER = lazy(
    r"(?i:passport(?:\s+(?:number|no\.?|#))?|driver['’]?s?['’]?\s+licen[cs]e(?:\s+(?:number|no\.?))?|licen[cs]e\s+number|(?:bank\s+)?account\s+(?:number|no\.?)|sort\s+code|routing\s+number|national\s+insurance(?:\s+number)?|social\s+security(?:\s+(?:number|no\.?))?|\bSSN|tax\s+id|medicare\s+number)\s*(?:is|was|:|#)?\s*#?(?:[A-Z]{1,2}[ -]?)?\d[\d -]{5,}"
    r"|(?:口座番号|マイナンバー|個人番号|(?:運転)?免許証?(?:の)?番号|旅券番号|パスポート(?:の)?番号|(?:健康)?保険証?(?:の)?(?:記号)?番号|基礎年金番号|社員番号|会員番号|暗証番号|在留カード(?:番号)?)(?:は|:|が)?\s*(?:普通|当座)?\s*[A-Z]{0,2}\d[\d -]{5,}"
)
LONG_NUMBER, NUMBERED_STREET = lazy(r"\d[\d -]{5}"), lazy(r"\d-\d{1,3}-\d|丁目|\d{5}\b")
"""What NAMED_NUMBER and STREET need, looked for first as it takes less time."""
SPELT_MAIL = lazy(
    r"(?<![\w-])[\w-]{1,40}\s(?:dot\s[\w-]{1,40}\s)?(?:at|\[at\]|\(at\))\s\w{1,40}\s(?:dot|\[dot\]|\(dot\))\s+(?:com|net|org|jp|io|edu|co)\b|(?<![\w.-])[\w.-]{1,40}\s?[\[(]at[\])]\s?[\w-]+\s?(?:[\[(]dot[\])]|\.)\s?\w{2,}",
    re.IGNORECASE,
)
DASHES = lazy(r"(?<=\d)[\u2010-\u2015\u2212ー](?=\d)")
DIGIT = lazy(r"\d")
FICTIONAL = lazy(
    r"\b(?:fake|fictional|fictitious|dummy|made-up|mock|sample data)\b|架空|ダミー|サンプルデータ", re.IGNORECASE
)
"""Asked for is data of nobody."""
FEWEST_DIGITS = 7


class Pii(Value):
    """Refuse a text with personal data that has a form: e-mail, telephone, payment card, My Number, US social security
    number, Japanese postal address.

    It works on patterns and check digits alone: names, and addresses without a postal code, are not seen. Data that
    belongs to nobody is let through: example domains, role mailboxes, free calls, numbers of fiction, and what a question asks to be made up.
    """

    kind: Literal["pii"] = "pii"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`pii`)."""
        detail = find_pii(subject(sample))
        if detail is not None and FICTIONAL.search(sample.question()) is None:
            raise Rejected("pii", detail)


def find_pii(text: str) -> str | None:
    """The kind of personal data found in a text, with its first characters; None when there is none."""
    lower = text.lower()
    spelt = SPELT_MAIL.search(text) if any(mark in lower for mark in ("dot", "at]", "at)")) else None
    if spelt is not None:
        return f"an e-mail address: {spelt[0][:3]}..."
    mailed, many = "@" in text or "＠" in text, len(DIGIT.findall(text)) >= FEWEST_DIGITS
    if not mailed and not many:
        return None
    plain = text if text.isascii() else DASHES.sub("-", unicodedata.normalize("NFKC", text))
    for mail in EMAIL.finditer(plain) if mailed else ():
        if not (NOBODY.match(mail[2]) or ROLE.match(mail[1])):
            return f"an e-mail address: {mail[0][:3]}..."
    if not many:
        return None
    named = CARD_WORD.search(plain)
    for card in CARD.finditer(plain):
        digits = re.sub(r"\D", "", card[0])
        grouped = len(card[0]) > len(digits)
        if (grouped and named) or (_luhn(digits) and (grouped or named)):
            return f"a payment card number: {card[0][:4]}..."
    for number in MY_NUMBER.finditer(plain) if MY_NUMBER_WORD.search(plain) else ():
        digits = re.sub(r"\D", "", number[0])
        if _check_digit(digits) == int(digits[-1]):
            return f"a My Number: {number[0][:4]}..."
    if social := SSN.search(plain):
        return f"a social security number: {social[0][:3]}..."
    for phone in PHONE.finditer(plain):
        if not NO_PHONE.match(re.sub(r"\D", "", phone[0])):
            return f"a telephone number: {phone[0][:4]}..."
    if LONG_NUMBER.search(plain) and (named := NAMED_NUMBER.search(plain)):
        return f"a personal number: {named[0][:12]}..."
    if iban := IBAN.search(plain):
        return f"a bank account: {iban[0][:4]}..."
    address = ADDRESS.search(plain) or (STREET.search(plain) if NUMBERED_STREET.search(plain) else None)
    return None if address is None else f"a postal address: {address[0][:6]}..."


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _check_digit(digits: str) -> int:
    """Of a My Number: Ministry of Internal Affairs and Communications, ordinance 85 of 2014, article 5."""
    rest = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, digits, strict=False)) % 11
    return 0 if rest <= 1 else 11 - rest
